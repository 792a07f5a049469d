"""Every suite, group by group: all cases pass, but for those that torch fails in the same way or that we accept."""

import pytest

from . import edge_shapes, keras_layers, moduleinfo, onnx_nodes, opinfo, opinfo_errors
from .results import FAILED

SUITES = (opinfo, opinfo_errors, moduleinfo, onnx_nodes, keras_layers, edge_shapes)


@pytest.mark.parametrize(
    ("suite", "group"), [pytest.param(s, g, id=f"{s.NAME}: {g}") for s in SUITES for g in s.groups()]
)
def test_suite(suite, group):
    cases = suite.run(group)
    failed = [f"{case.name}: {case.detail}" for case in cases if case.verdict == FAILED]
    assert cases, "the group has no cases"
    assert not failed, f"{len(failed)} of {len(cases)} failed:\n" + "\n".join(failed[:20])
