"""Conformance: other people's suites, run on our functions and layers.

Each suite is a module with ``NAME``, ``WHAT`` it is, ``groups()`` (names to run one by one) and ``run(group)`` (a
:class:`Case` for each case of the group). test_suites.py runs them under pytest; ``python -m tests.conformance.report``
counts them into a table.
"""

import os

# Tens of thousands of small calls: where other processes want the processors too, torch's threads would spend most of
# the time spinning for one another. OpenMP reads this once, when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
