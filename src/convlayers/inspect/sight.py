"""What every position of a tensor sees of the input: the algebra under the receptive field.

Along each axis of the input a position sees a set of elements, and operators combine these sets: a window sees what its
elements see together, a sum what its terms see together. Three things are kept of them. The first and the last element,
for every position, within the input. The same as if the input went on beyond its border for ever, which has a finite
form because it repeats: a :class:`Period`. And the operators themselves, as a graph: walked backwards from one position
it gives exactly what that position sees, holes and crosses included.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from convlayers.inspect.relation import NOTHING, Relation

#: A longer period is not followed; behind several odd upsamplings in a row.
LONGEST = 4096
_FAR = 1 << 40


class Period(NamedTuple):
    """First and last element seen by every position p = q * len(low) + r, on an axis without ends.

    They are ``low[r] + q * step`` and ``high[r] + q * step``; ``high < low`` where nothing is seen.
    """

    step: int
    low: Tensor
    high: Tensor

    def at(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """First and last element seen by these positions; a position of NOTHING sees nothing."""
        length = len(self.low)
        r, q = positions % length, positions.div(length, rounding_mode="floor")
        nothing = (positions == NOTHING) | (self.high[r] < self.low[r])
        low, high = self.low[r] + q * self.step, self.high[r] + q * self.step
        return torch.where(nothing, _FAR, low), torch.where(nothing, -_FAR, high)

    def through(self, relation: Relation) -> Period | None:
        """What the outputs of an operator see; None where that does not repeat."""
        if relation.steps is None:
            return None
        outputs, inputs = relation.steps
        times = len(self.low) // math.gcd(len(self.low), inputs)
        if times * outputs > LONGEST:
            return None
        low, high = self.at(relation.reads(torch.arange(times * outputs)))
        step = self.step * (times * inputs) // len(self.low)
        return Period(step, low.amin(1), high.amax(1)).shortest()

    def union(self, other: Period) -> Period | None:
        """What is seen by a sum; None where the two move at different speeds."""
        length = math.lcm(len(self.low), len(other.low))
        if self.step * len(other.low) != other.step * len(self.low) or length > LONGEST:
            return None
        (low, high), (other_low, other_high) = self.at(torch.arange(length)), other.at(torch.arange(length))
        step = self.step * length // len(self.low)
        return Period(step, torch.minimum(low, other_low), torch.maximum(high, other_high)).shortest()

    def shortest(self) -> Period:
        """The same without repetition, where all positions see windows of one size, evenly spaced."""
        length = len(self.low)
        if length > 1 and self.step % length == 0:
            moved = torch.arange(length) * (self.step // length)
            if bool((self.low - moved == self.low[0]).all() and (self.high - moved == self.high[0]).all()):
                return Period(self.step // length, self.low[:1], self.high[:1])
        return self


class Sight:
    """What the positions of a tensor see. It has one entry an axis of the input.

    Attributes:
        size: positions of the tensor along the axis; 1 where all see the same.
        low, high: (size,): the first and the last element that each sees, within the input.
        period: as if the input had no ends; None where that has no regular form.
        sources: what it was computed from: another sight, and for each axis the relation to it (None: as it is).
        exact: False where it may be too large.
        gaps: whether there are positions, here or on the way, that see nothing: then the elements that are seen along
            one axis may depend on the position along another.
    """

    _count = itertools.count()

    def __init__(
        self,
        size: tuple[int, ...],
        low: list[Tensor],
        high: list[Tensor],
        period: list[Period | None],
        sources: list[tuple[Sight, Sequence[Relation | None]]],
        exact: bool,
    ) -> None:
        self.size, self.low, self.high, self.period, self.sources = size, low, high, period, sources
        self.exact = exact
        self.gaps: bool = any(source.gaps for source, _ in sources) or any(
            bool((last < first).any()) for first, last in zip(low, high, strict=True)
        )
        self.number = next(Sight._count)

    @staticmethod
    def of_input(size: Sequence[int]) -> Sight:
        """The input itself: every element sees itself.

        Example:
            >>> Sight.of_input([2, 3]).mask((1, 0))
            tensor([[False, False, False],
                    [ True, False, False]])
        """
        positions = [torch.arange(n) for n in size]
        one = torch.zeros(1, dtype=torch.long)
        return Sight(tuple(size), positions, positions, [Period(1, one, one)] * len(size), [], True)

    @staticmethod
    def union(sources: list[tuple[Sight, Sequence[Relation | None]]], exact: bool = True) -> Sight:
        """What is seen by positions that read these sources, all at once."""
        axes = range(len(sources[0][0].size))
        parts = [[_read(sight, axis, relations[axis]) for axis in axes] for sight, relations in sources]
        low, high, period = [], [], []
        for axis in axes:
            lows, highs, periods = zip(*(part[axis] for part in parts), strict=True)
            low.append(torch.stack(lows).amin(0))
            high.append(torch.stack(highs).amax(0))
            joined: Period | None = periods[0]
            for other in periods[1:]:
                joined = None if joined is None or other is None else joined.union(other)
            period.append(joined)
        return Sight(
            tuple(len(entry) for entry in low),
            low,
            high,
            period,
            sources,
            exact and all(sight.exact for sight, _ in sources),
        )

    def mask(self, unit: Sequence[int]) -> Tensor:
        """Exactly what a position sees, shaped as the input."""
        start = torch.zeros(self.size, dtype=torch.bool)
        start[tuple(unit)] = True
        waiting, masks, heap = {self.number: self}, {self.number: start}, [-self.number]
        while True:
            sight = waiting.pop(-heapq.heappop(heap))  # what was computed last first: all that reads it has been seen
            mask = masks.pop(sight.number)
            if not sight.sources:
                return mask
            for source, relations in sight.sources:
                seen = mask
                for axis, relation in enumerate(relations):
                    if relation is not None:
                        seen = _spread(seen, axis, relation.inside(source.size[axis]), source.size[axis])
                if source.number in masks:
                    masks[source.number] |= seen
                else:
                    waiting[source.number], masks[source.number] = source, seen.clone()
                    heapq.heappush(heap, -source.number)


def _read(sight: Sight, axis: int, relation: Relation | None) -> tuple[Tensor, Tensor, Period | None]:
    if relation is None:
        return sight.low[axis], sight.high[axis], sight.period[axis]
    index = relation.inside(sight.size[axis])
    outside = index < 0
    low = sight.low[axis][index.clamp(min=0)].masked_fill(outside, _FAR).amin(1)
    high = sight.high[axis][index.clamp(min=0)].masked_fill(outside, -_FAR).amax(1)
    period = sight.period[axis]
    return low, high, None if period is None else period.through(relation)


def _spread(mask: Tensor, axis: int, index: Tensor, size: int) -> Tensor:
    """Which positions of a source these positions read, along one axis."""
    rows = mask.movedim(axis, 0)
    chosen = rows.reshape(len(rows), -1).any(1).nonzero()[:, 0]
    at = index[chosen]
    which, tap = (at >= 0).nonzero(as_tuple=True)
    found = torch.zeros((size, *rows.shape[1:]), dtype=torch.int32)
    found.index_add_(0, at[which, tap], rows[chosen][which].int())
    return (found > 0).movedim(0, axis)
