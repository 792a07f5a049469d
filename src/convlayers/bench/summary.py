"""Means over rows: of each list, of each kind of convolution, and of all."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from convlayers.bench.kinds import KINDS
from convlayers.bench.runner import Figures, Result

#: Ratios below this are named one by one: what two runs of the same code differ by is left out.
SLOW = 0.97


@dataclass(frozen=True)
class Summary:
    """Ratios to one family of peers in one direction; every row counts the same.

    Attributes:
        by: ``'list'``, ``'kind'`` or ``'all'``.
        group: which list or kind; ``'all'`` for all.
        rival: the family.
        share: the median, over the rows, of what share of the machine's nearer limit ours reached: what is left to gain
            without fewer multiplications.
    """

    by: str
    group: str
    direction: str
    rival: str
    rows: int
    geometric_mean: float
    least: float
    below_one: int
    share: float


def summaries(results: Iterable[Result]) -> list[Summary]:
    """One for each group, direction and rival that has a ratio: lists in their order, kinds in theirs, then all."""
    of: dict[tuple[str, str, str, str], list[Figures]] = {}
    for result in results:
        if result.figures:
            for rival in result.ratios:
                for by, group in (("list", result.file), ("kind", result.kind), ("all", "all")):
                    of.setdefault((by, group, result.direction, rival), []).append(result.figures)
    found = [_summary(*key, figures) for key, figures in of.items()]
    return sorted(found, key=lambda s: (_ORDER[s.by], KINDS.index(s.group) if s.by == "kind" else 0))


def _summary(by: str, group: str, direction: str, rival: str, of: list[Figures]) -> Summary:
    ratios = [figures.ratios[rival] for figures in of]
    mean, below = statistics.geometric_mean(ratios), sum(ratio < 1 for ratio in ratios)
    share = statistics.median(figures.share for figures in of)
    return Summary(by, group, direction, rival, len(of), mean, min(ratios), below, share)


_ORDER = {"list": 0, "kind": 1, "all": 2}


def slow(results: Iterable[Result], rival: str) -> list[Result]:
    """The results whose ratio to a rival is below :data:`SLOW`, the slowest first."""
    return sorted(
        (result for result in results if result.ratios.get(rival, SLOW) < SLOW), key=lambda result: result.ratios[rival]
    )
