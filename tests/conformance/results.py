"""What a case came to."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

PASSED = "passed"
#: Stock torch fails or skips the case in the same way.
AS_TORCH = "as torch"
#: We differ from torch on purpose: accept what it refuses, or the other way round.
ON_PURPOSE = "on purpose"
FAILED = "failed"


class Case(NamedTuple):
    """One case of a suite.

    Attributes:
        name: unique in its suite.
        verdict: one of the constants above.
        detail: for all verdicts but PASSED, why.
    """

    name: str
    verdict: str = PASSED
    detail: str = ""


def judge(name: str, check: Callable[[], str | None]) -> Case:
    """A case from a function that returns what is wrong, or None; what it raises is wrong, too."""
    try:
        wrong = check()
    except Exception as error:
        wrong = f"raised {type(error).__name__}: {error}"
    return Case(name, FAILED, wrong) if wrong else Case(name)
