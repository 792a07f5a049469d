"""Every suite, group by group: all cases pass, but for those that torch fails in the same way or that we accept.

`make conformance` runs all cases; of the longest lists, here some.
"""

import pytest

from . import edge_shapes, keras_layers, moduleinfo, onnx_nodes, opinfo, opinfo_errors
from .results import FAILED, names_by_detail

SUITES = (opinfo, opinfo_errors, moduleinfo, onnx_nodes, keras_layers)


def _check(cases):
    assert cases, "there are no cases"
    failed = [case for case in cases if case.verdict == FAILED]
    assert not failed, f"{len(failed)} of {len(cases)} failed:\n" + "\n".join(names_by_detail(failed[:20]))


@pytest.mark.parametrize(
    ("suite", "group"), [pytest.param(s, g, id=f"{s.NAME}: {g}") for s in SUITES for g in s.groups()]
)
def test_suite(suite, group):
    # Torch has 1440 samples of max_pool2d for each of its types, and as many of its backward.
    some = {"step": 7} if suite is opinfo and group.startswith("max_pool2d") else {}
    _check(suite.run(group, **some))


def test_edge_shapes():
    if not edge_shapes.FOLDER.exists():
        pytest.skip(f"the lists of edge shapes are not in the repository, and not at {edge_shapes.FOLDER}")
    _check([case for group in edge_shapes.groups() for case in edge_shapes.run(group, step=25)])
