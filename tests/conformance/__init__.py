"""Conformance: other people's suites, run on our functions and layers.

Each suite is a module with ``NAME``, ``groups()`` (names to run one by one) and ``run(group)`` (a :class:`Case` for
each case of the group). test_suites.py runs them under pytest; ``python -m tests.conformance.report`` counts them into
a table.
"""
