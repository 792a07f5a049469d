"""Runs the suites and prints the README's table of them: ``python -m tests.conformance.report [--suite NAME]``.

Below the table: by name, what stock torch fails or skips too, and what we accept on purpose; then every failure. The
exit status is 1 where a case failed or a suite had none. With ``CONVLAYERS_SUBJECT=torch``, the same of torch itself.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import sys

from . import edge_shapes, keras_layers, moduleinfo, onnx_nodes, opinfo, opinfo_errors, subject
from .results import AS_TORCH, FAILED, PASSED, WIDER, Case, names_by_detail

SUITES = (opinfo, opinfo_errors, moduleinfo, keras_layers, onnx_nodes, edge_shapes)
#: Those that torch's own functions can take, for the control run.
CONTROL = (opinfo, opinfo_errors, moduleinfo, keras_layers)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", default="", help="only suites whose name contains this")
    wanted = parser.parse_args().suite.lower()
    suites = [s for s in (CONTROL if subject.IS_TORCH else SUITES) if wanted in s.NAME.lower()]
    if not suites:
        parser.error(f"--suite must be part of one of the names {', '.join(s.NAME for s in SUITES)}")
    print("| suite | what | cases | passed | stock torch fails or skips too | wider on purpose | failed |")
    print("|---|---|--:|--:|--:|--:|--:|")
    results = {suite.NAME: _row(suite) for suite in suites}
    versions = [f"{package} {importlib.metadata.version(package)}" for package in ("torch", "keras", "onnx")]
    print(f"\nPython {platform.python_version()}, {', '.join(versions)}; {subject.INSTRUCTIONS}.")
    for verdict, title in (
        (AS_TORCH, "Stock torch, run in the same way, fails or skips too"),
        (WIDER, "Accepted on purpose, and right by the wider meaning"),
        (FAILED, "Failed"),
    ):
        for name, cases in results.items():
            lines = [f"- {line}" for line in names_by_detail(case for case in cases if case.verdict == verdict)]
            if lines:
                print(f"\n{title} ({name}):\n", *lines, sep="\n")
    return any(case.verdict == FAILED for cases in results.values() for case in cases)


def _row(suite) -> list[Case]:
    if suite is edge_shapes and not edge_shapes.FOLDER.exists():
        print(f"| {suite.NAME} | not run: the lists are not in the repository ({edge_shapes.FOLDER}) | | | | | |")
        return []
    cases = [case for group in suite.groups() for case in suite.run(group)]
    cases = cases or [Case("the suite", FAILED, "has no cases")]
    verdicts = [case.verdict for case in cases]
    counts = (len(cases), *(verdicts.count(v) for v in (PASSED, AS_TORCH, WIDER, FAILED)))
    print(f"| {suite.NAME} | {suite.WHAT} | " + " | ".join(f"{n:,}" for n in counts) + " |", flush=True)
    return cases


if __name__ == "__main__":
    sys.exit(main())
