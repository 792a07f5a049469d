"""A pytest plugin for Keras's own tests: routes its torch backend to the suites' subject and writes down outcomes.

Loaded with ``-p``; ``CONVLAYERS_OUTCOMES`` names the JSON file to write: each test's outcome, and how often each of the
functions was called, and how often each kernel computed in float32.
"""

from __future__ import annotations

import collections
import json
import os
from types import SimpleNamespace
from typing import Any

import torch.nn.functional as F

from tests.conformance import subject

_calls: collections.Counter[str] = collections.Counter()
_outcomes: dict[str, list[str]] = {}


def _counted(name: str) -> Any:
    function = subject.recorded(name)

    def call(*args: Any, **kwargs: Any) -> Any:
        _calls[name] += 1
        return function(*args, **kwargs)

    return call


def pytest_configure() -> None:
    import keras.src.backend.torch.nn as backend

    # The backend's view of torch.nn.functional, not the module itself: our own last resort is there.
    assert backend.tnn is F
    wanted = [name for name in dir(F) if "conv" in name or "pool" in name]
    routed = {name: _counted(name) for name in wanted if hasattr(subject.functional, name)}
    backend.tnn = SimpleNamespace(**{**vars(F), **routed})


def pytest_runtest_logreport(report: Any) -> None:
    # A test is what its worst phase is: setup, call or teardown.
    outcome, reason = report.outcome, ""
    if outcome == "skipped":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix("Skipped: ")
    elif outcome == "failed":
        reason = str(report.longrepr)[-1000:]
    order = ("passed", "skipped", "failed")
    before = _outcomes.get(report.nodeid, ["passed", ""])
    _outcomes[report.nodeid] = max(before, [outcome, reason], key=lambda o: order.index(o[0]))


def pytest_sessionfinish() -> None:
    with open(os.environ["CONVLAYERS_OUTCOMES"], "w") as file:
        json.dump({"tests": _outcomes, "calls": _calls, "kernels": subject.kernels}, file)
