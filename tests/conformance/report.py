"""Runs the suites and prints the README's table of them: ``python -m tests.conformance.report [--names]``."""

from __future__ import annotations

import argparse
import sys

from . import edge_shapes, keras_layers, moduleinfo, onnx_nodes, opinfo, opinfo_errors, subject
from .results import AS_TORCH, FAILED, ON_PURPOSE, PASSED

SUITES = (opinfo, opinfo_errors, moduleinfo, keras_layers, onnx_nodes, edge_shapes)
#: Those that torch's own functions can take, for the control run.
CONTROL = (opinfo, opinfo_errors, moduleinfo, keras_layers)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--names", action="store_true", help="also list the cases that did not simply pass, and why")
    parser.add_argument("--suite", help="only suites whose name contains this")
    arguments = parser.parse_args()
    failed, remarks = 0, []
    print("| suite | cases | passed | as torch | on purpose | failed |\n|---|--:|--:|--:|--:|--:|")
    for suite in CONTROL if subject.IS_TORCH else SUITES:
        if arguments.suite and arguments.suite not in suite.NAME:
            continue
        cases = [case for group in suite.groups() for case in suite.run(group)]
        verdicts = [case.verdict for case in cases]
        count = {verdict: verdicts.count(verdict) for verdict in (PASSED, AS_TORCH, ON_PURPOSE, FAILED)}
        print(f"| {suite.NAME} | {len(cases):,} | " + " | ".join(f"{n:,}" for n in count.values()) + " |", flush=True)
        remarks += [(suite.NAME, case) for case in cases if case.verdict != PASSED]
        failed += count[FAILED]
    for name, case in remarks:
        if arguments.names or case.verdict == FAILED:
            print(f"\n{name}: {case.name}: {case.verdict}: {case.detail}")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
