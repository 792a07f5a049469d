"""Sliding windows over an axis: what each output of a pooling sees."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

Ints = tuple[int, ...]


class Windows(NamedTuple):
    """Windows along every spatial axis, one entry an axis.

    Output o sees the positions o * stride - low + k * dilation, 0 <= k < kernel, of the input; those outside it are
    padding. ``low`` and ``high`` are the padding's amounts below and above.
    """

    output_size: Ints
    kernel: Ints
    stride: Ints
    low: Ints
    high: Ints
    dilation: Ints

    @property
    def reach(self) -> Ints:
        """Positions from the first that a window sees to the last, both included."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    def axes(self, size: Ints) -> list[Axis]:
        """The axes one by one, over an input of this size."""
        return [Axis(*entry) for entry in zip(size, *self, strict=True)]


class Axis(NamedTuple):
    """One axis of :class:`Windows`, with the size of the input along it."""

    size: int
    output: int
    kernel: int
    stride: int
    low: int
    high: int
    dilation: int

    def may_miss(self) -> bool:
        """Whether some window might see padding only: one whose steps jump over the whole input."""
        return self.dilation > self.size and (self.low > 0 or self.high > 0)

    def positions(self, device: torch.device) -> Tensor:
        """(output, kernel): the position of each element of each window, outside the input too."""
        start = torch.arange(self.output, device=device) * self.stride - self.low
        return start[:, None] + torch.arange(self.kernel, device=device) * self.dilation

    def inside(self, device: torch.device) -> Tensor:
        """(output, kernel): which elements of each window lie inside the input."""
        at = self.positions(device)
        return (at >= 0) & (at < self.size)

    def counts(self, with_padding: bool, device: torch.device) -> Tensor:
        """(output,): how many elements of each window count, at least 1: in the input, or in its padding as well.

        A window that reaches beyond the padding (``ceil_mode``) is cut off there.
        """
        start = torch.arange(self.output, device=device) * self.stride - self.low
        first = torch.zeros_like(start) if with_padding else self._steps(-start)
        last = self._steps(self.size + (self.high if with_padding else 0) - start)
        return (last - first).clamp(min=1)

    def _steps(self, distance: Tensor) -> Tensor:
        """How many of a window's elements lie before a point this far from its start."""
        return ((distance + self.dilation - 1) // self.dilation).clamp(0, self.kernel)
