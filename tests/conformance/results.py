"""What a case came to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

PASSED = "passed"
#: Stock torch, run in the same way, fails or skips the case in the same way.
AS_TORCH = "as torch"
#: We accept on purpose what torch refuses, and the result is what the wider meaning says.
WIDER = "wider"
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


def names_by_detail(cases: Iterable[Case]) -> Iterator[str]:
    """Cases in few lines: 'name 1-3, 7: detail' for those that differ in a number at the end only."""
    together: dict[tuple[str, str], list[int]] = {}
    for case in cases:
        stem, number = re.fullmatch(r"(.*?)(\d*)", case.name, re.DOTALL).groups()
        together.setdefault((stem, case.detail), []).extend([int(number)] if number else [])
    for (stem, detail), numbers in together.items():
        yield f"{stem} {_ranges(sorted(numbers))}".rstrip() + f": {detail}"


def _ranges(numbers: list[int]) -> str:
    ranges: list[list[int]] = []
    for n in numbers:
        if ranges and n == ranges[-1][1] + 1:
            ranges[-1][1] = n
        else:
            ranges.append([n, n])
    return ", ".join(f"{first}-{last}" if first < last else f"{first}" for first, last in ranges)
