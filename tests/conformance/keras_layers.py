"""Keras's own tests of its convolution and pooling layers, with its torch backend's functions routed to ours.

They run twice, in processes of their own: on torch's functions and on ours (keras_plugin.py). What is skipped or fails
on torch's as well is listed as such.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from .results import AS_TORCH, FAILED, Case

NAME = "Keras layer tests"
WHAT = "Keras's own tests of its convolution and pooling layers, on its torch backend"

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("keras.src.layers.convolutional", "keras.src.layers.pooling")


def groups() -> list[str]:
    return list(_PACKAGES)


@functools.cache
def _outcomes(package: str, subject: str) -> dict[str, Any]:
    """Each test's outcome and reason, and the numbers of calls to each function and kernel."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "outcomes.json")
        environment = {
            **os.environ,
            "KERAS_BACKEND": "torch",
            "KERAS_HOME": folder,
            "CONVLAYERS_SUBJECT": subject,
            "CONVLAYERS_OUTCOMES": str(file),
        }
        # An empty configuration: our own would make Keras's warnings errors.
        Path(folder, "pytest.ini").write_text("[pytest]\n")
        command = [sys.executable, "-m", "pytest", "-q", "-c", f"{folder}/pytest.ini", "-p", "no:cacheprovider"]
        command += ["-p", "tests.conformance.keras_plugin", "--pyargs", package]
        done = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True, check=False)
        if not file.exists():
            raise RuntimeError(f"Keras's tests did not run:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        return json.loads(file.read_text())


def run(group: str) -> list[Case]:
    stock = _outcomes(group, "torch")
    ours = _outcomes(group, os.environ.get("CONVLAYERS_SUBJECT", ""))
    cases = []
    for name, (outcome, reason) in sorted(ours["tests"].items()):
        before, _ = stock["tests"].get(name, ("missing", ""))
        if outcome == "passed":
            cases.append(Case(name))
        elif outcome == before:
            cases.append(Case(name, AS_TORCH, f"{outcome}: {reason}"))
        else:
            cases.append(Case(name, FAILED, f"{outcome}, but {before} on torch: {reason}"))
    missing = [Case(name, FAILED, "did not run") for name in stock["tests"] if name not in ours["tests"]]
    if not ours["calls"]:
        missing.append(Case("routing", FAILED, "no function was called"))
    if count := ours["kernels"].get("torch"):
        missing.append(Case("kernels", FAILED, f"{count} float32 operators ran on torch's kernels"))
    return cases + missing
