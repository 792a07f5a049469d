"""The slow definitions of pooling, in float64 and plain torch: the oracle of the tests.

Every window is a list of positions for each axis, written out from its definition; every output is computed by itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

#: For one axis: for each output, the positions that it sees, outside the input too.
Positions = list[list[int]]


def sliding(output: int, kernel: int, stride: int, low: int, dilation: int) -> Positions:
    return [[o * stride - low + k * dilation for k in range(kernel)] for o in range(output)]


def adaptive(size: int, output: int) -> Positions:
    return [list(range(o * size // output, -(-(o + 1) * size // output))) for o in range(output)]


def fractional(size: int, output: int, kernel: int, sample: float) -> Positions:
    """In float32, as the definition that torch publishes: Graham 2014, with the last window at the end."""
    step = torch.tensor(float(size - kernel)) / torch.tensor(float(output - 1))
    u = torch.tensor(sample, dtype=torch.float32)
    starts = [int((o + u) * step) - int(u * step) for o in range(output - 1)] + [size - kernel]
    return [[start + k for k in range(kernel)] for start in starts]


def max_pool(input: Tensor, axes: Sequence[Positions]) -> tuple[Tensor, Tensor]:
    """Maxima and their indices: the first of equals, the last of NaNs; -infinity at -1 where nothing is seen."""
    size = input.shape[2:]

    def largest(plane: Tensor, window: list[tuple[int, ...]]) -> tuple[float, int]:
        best, where = -float("inf"), -1
        for at in _inside(window, size):
            value = float(plane[at])
            if where < 0 or value > best or value != value:
                best, where = value, _flat(at, size)
        return best, where

    return _each(input, axes, largest)


def avg_pool(
    input: Tensor,
    axes: Sequence[Positions],
    counted: Sequence[tuple[int, int]],
    divisor: int | None = None,
) -> Tensor:
    """Averages; of a window's positions those in the half-open range ``counted`` of each axis count."""

    def mean(plane: Tensor, window: list[tuple[int, ...]]) -> tuple[float, int]:
        total = sum(float(plane[at]) for at in _inside(window, input.shape[2:]))
        count = sum(all(a <= i < b for i, (a, b) in zip(at, counted, strict=True)) for at in window)
        return total / (divisor or max(count, 1)), 0

    return _each(input, axes, mean)[0]


def max_unpool(input: Tensor, indices: Tensor, size: Sequence[int]) -> Tensor:
    output = torch.zeros(*input.shape[:2], *size, dtype=torch.float64)
    for n, c in itertools.product(*map(range, input.shape[:2])):
        plane = output[n, c].view(-1)
        for value, index in zip(input[n, c].flatten().tolist(), indices[n, c].flatten().tolist(), strict=True):
            plane[index] = value
    return output


def _flat(at: tuple[int, ...], size: Sequence[int]) -> int:
    index = 0
    for i, n in zip(at, size, strict=True):
        index = index * n + i
    return index


def _inside(window: list[tuple[int, ...]], size: Sequence[int]) -> list[tuple[int, ...]]:
    return [at for at in window if all(0 <= i < n for i, n in zip(at, size, strict=True))]


def _each(input: Tensor, axes: Sequence[Positions], function: Callable) -> tuple[Tensor, Tensor]:
    shape = (*input.shape[:2], *map(len, axes))
    values, indices = torch.zeros(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.int64)
    for output in itertools.product(*(range(len(axis)) for axis in axes)):
        window = list(itertools.product(*(axis[o] for axis, o in zip(axes, output, strict=True))))
        for n, c in itertools.product(*map(range, shape[:2])):
            value, index = function(input[n, c].double(), window)
            values[(n, c, *output)], indices[(n, c, *output)] = value, index
    return values, indices
