"""Means over rows: of each list, of each kind of convolution, and of all."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from convlayers.bench.kinds import KINDS
from convlayers.bench.runner import Result

#: Ratios below this are named one by one: what two runs of the same code differ by is left out.
SLOW = 0.97


@dataclass(frozen=True)
class Summary:
    """Ratios to one family of peers in one direction; every row counts the same.

    Attributes:
        by: ``'list'``, ``'kind'`` or ``'all'``.
        group: which list or kind; ``'all'`` for all.
        rival: the family.
    """

    by: str
    group: str
    direction: str
    rival: str
    rows: int
    geometric_mean: float
    least: float
    below_one: int


def summaries(results: Iterable[Result]) -> list[Summary]:
    """One for each group, direction and rival that has a ratio: lists in their order, kinds in theirs, then all."""
    ratios: dict[tuple[str, str, str, str], list[float]] = {}
    for result in results:
        for rival, ratio in result.ratios.items():
            for by, group in (("list", result.file), ("kind", result.kind), ("all", "all")):
                ratios.setdefault((by, group, result.direction, rival), []).append(ratio)
    found = [
        Summary(*key, len(of), statistics.geometric_mean(of), min(of), sum(ratio < 1 for ratio in of))
        for key, of in ratios.items()
    ]
    return sorted(found, key=lambda s: (_ORDER[s.by], KINDS.index(s.group) if s.by == "kind" else 0))


_ORDER = {"list": 0, "kind": 1, "all": 2}


def slow(results: Iterable[Result], rival: str) -> list[Result]:
    """The results whose ratio to a rival is below :data:`SLOW`, the slowest first."""
    return sorted(
        (result for result in results if result.ratios.get(rival, SLOW) < SLOW), key=lambda result: result.ratios[rival]
    )
