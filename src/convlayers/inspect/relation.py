"""Which positions of its input each position of an operator's output reads, along one axis."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

#: In place of a position, where nothing is read.
NOTHING = -(1 << 40)


class Relation(NamedTuple):
    """What each position of an output reads of an axis.

    Attributes:
        outputs: how many positions the output has.
        reads: positions (m,) -> (m, k), the positions that each reads; outside the input too, where there is border,
            and :data:`NOTHING` where there is no position to read.
        steps: (a, b) where the output's position o + a reads what o reads, b further on, whatever o; None where no
            such steps exist.
        folded: ``reads`` with what lies in the border replaced by what is shown there; None for a border of constants.
    """

    outputs: int
    reads: Callable[[Tensor], Tensor]
    steps: tuple[int, int] | None
    folded: Callable[[Tensor], Tensor] | None = None

    def inside(self, size: int) -> Tensor:
        """(outputs, k): positions read inside an input of ``size``; -1 for what lies outside.

        Example:
            >>> window(3, kernel=3, stride=1, low=1, dilation=1).inside(3)
            tensor([[-1,  0,  1],
                    [ 0,  1,  2],
                    [ 1,  2, -1]])
        """
        at = (self.folded or self.reads)(torch.arange(self.outputs))
        return torch.where((at >= 0) & (at < size), at, -1)


def window(outputs: int, *, kernel: int, stride: int = 1, low: int = 0, dilation: int = 1) -> Relation:
    """A sliding window, as of a convolution or a pooling; ``low`` is how far the first reaches below the input."""
    taps = torch.arange(kernel) * dilation - low
    return Relation(outputs, lambda o: o[:, None] * stride + taps, (1, stride))


def spread(outputs: int, *, kernel: int, stride: int, low: int, dilation: int) -> Relation:
    """A transposed convolution: output o reads position i where i * stride + k * dilation - low = o for a tap k.

    Example:
        >>> spread(4, kernel=2, stride=2, low=0, dilation=1).inside(2).amax(1)
        tensor([0, 0, 1, 1])
    """
    taps = torch.arange(kernel) * dilation - low

    def reads(o: Tensor) -> Tensor:
        at = o[:, None] - taps
        return torch.where(at % stride == 0, at.div(stride, rounding_mode="floor"), NOTHING)

    return Relation(outputs, reads, (stride, 1))


def whole(size: int) -> Relation:
    """One position that reads all."""
    return window(1, kernel=size, stride=size)


def same_for_all(outputs: int) -> Relation:
    """Every position reads the only one that there is."""
    return Relation(outputs, lambda o: torch.zeros_like(o)[:, None], (1, 0))


def repeated(size: int, outer: int, inner: int) -> Relation:
    """An axis inside a longer one: position p of (outer, size, inner), flattened, reads (p // inner) % size."""
    if outer == 1:
        return Relation(size * inner, lambda o: (o // inner)[:, None], (inner, 1))
    return Relation(outer * size * inner, lambda o: (o // inner % size)[:, None], None)


def placed(outputs: int, start: int, step: int, size: int) -> Relation:
    """The inverse of a slice: position start + step * i of the output reads i, others nothing."""

    def reads(o: Tensor) -> Tensor:
        at = o - start
        inside = (at % step == 0) & (at >= 0) & (at < size * step)
        return torch.where(inside, at // step, NOTHING)[:, None]

    return Relation(outputs, reads, None)


def constant(outputs: int, start: int, size: int) -> Relation:
    """So many positions from ``start`` on read the only one that there is; others nothing."""
    return Relation(outputs, lambda o: (((o < start) | (o >= start + size)).long() * NOTHING)[:, None], None)


def table(index: Tensor) -> Relation:
    """Any relation: (outputs, k) positions, :data:`NOTHING` where there is none."""
    return Relation(len(index), lambda o: index[o], None)


def adaptive(size: int, outputs: int) -> Relation:
    """Adaptive pooling: o reads from floor(o * size / outputs) to ceil((o + 1) * size / outputs).

    Example:
        >>> adaptive(5, 2).inside(5)
        tensor([[0, 1, 2],
                [2, 3, 4]])
    """
    o = torch.arange(outputs)
    widest = int((-(-(o + 1) * size // outputs) - o * size // outputs).amax())

    def reads(o: Tensor) -> Tensor:
        start, stop = o * size // outputs, -(-(o + 1) * size // outputs)
        at = start[:, None] + torch.arange(widest)
        return torch.where(at < stop[:, None], at, NOTHING)

    divisor = math.gcd(size, outputs)
    return Relation(outputs, reads, (outputs // divisor, size // divisor))


def bordered(outputs: int, low: int, size: int, mode: str) -> Relation:
    """Padding by ``low`` elements below; what lies beyond shows nothing ('constant') or is folded back in."""

    def reads(o: Tensor) -> Tensor:
        return (o - low)[:, None]

    def fold(o: Tensor) -> Tensor:
        return folded_positions(reads(o), size, mode)

    return Relation(outputs, reads, (1, 1), None if mode == "constant" else fold)


def folded_positions(at: Tensor, size: int, mode: str) -> Tensor:
    """The positions that a border shows: 'reflect', 'replicate' or 'circular'.

    Example:
        >>> folded_positions(torch.tensor([-2, -1, 0, 3, 4]), 4, "reflect")
        tensor([2, 1, 0, 3, 2])
    """
    if mode == "circular":
        return at % size
    if mode == "replicate":
        return at.clamp(0, size - 1)
    at = at.abs()
    return torch.where(at >= size, 2 * (size - 1) - at, at)


def resized(size: int, outputs: int, mode: str, align_corners: bool, scale: float | None) -> Relation:
    """torch's interpolation: 'nearest', 'nearest-exact', 'linear' or 'cubic'. A neighbour of weight 0 is not read."""
    step = 1 / scale if scale else size / outputs
    if align_corners:
        step = (size - 1) / (outputs - 1) if outputs > 1 else 0.0
    divisor = math.gcd(size, outputs)
    steps = (outputs // divisor, size // divisor) if abs(step - size / outputs) < 1e-9 else None

    def source(o: Tensor) -> Tensor:
        position = o.double()
        return position * step if align_corners or mode == "nearest" else (position + 0.5) * step - 0.5

    def reads(o: Tensor) -> Tensor:
        at = source(o)
        if mode == "nearest":
            return (at + 1e-9).floor().long()[:, None]
        if mode == "nearest-exact":
            return (at + 0.5 + 1e-9).floor().long()[:, None]
        base = (at + 1e-9).floor()
        between = (at - base).abs() > 1e-6
        taps = torch.tensor([0, 1] if mode == "linear" else [0, -1, 1, 2])
        positions = base.long()[:, None] + taps
        positions[:, 1:] = torch.where(between[:, None], positions[:, 1:], NOTHING)
        return positions

    def clamped(o: Tensor) -> Tensor:
        if mode == "linear":  # torch clamps the source, not the neighbours: at the edge one of them has weight 0
            at = source(o).clamp(0, size - 1)
            base = (at + 1e-9).floor()
            other = torch.where((at - base).abs() > 1e-6, base.long() + 1, NOTHING)
            return torch.stack((base.long(), other), 1)
        positions = reads(o)
        return torch.where(positions == NOTHING, positions, positions.clamp(0, size - 1))

    return Relation(outputs, reads, steps, clamped)
