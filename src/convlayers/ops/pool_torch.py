"""Pooling by torch's own operators: for devices, dtypes and transforms that have no kernel of ours.

What torch's operators cannot say (uneven padding, dilated averages) is laid out for them first: the elements of each
window are copied side by side, and pooled with a stride as long as the window.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from convlayers.geometry import output_size as window_count
from convlayers.ops import select
from convlayers.ops.layout import in_layout_of
from convlayers.ops.windows import Axis, Ints, Windows

_MAX: dict[int, Callable] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
ADAPTIVE_MAX: dict[int, Callable] = {
    1: F.adaptive_max_pool1d_with_indices,
    2: F.adaptive_max_pool2d_with_indices,
    3: F.adaptive_max_pool3d_with_indices,
}
ADAPTIVE_AVG: dict[int, Callable] = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}


def _ceil_mode(size: Ints, windows: Windows) -> bool | None:
    """The ``ceil_mode`` with which torch's own operators give these windows; None where they cannot."""
    if windows.low != windows.high or any(2 * p > k for p, k in zip(windows.low, windows.kernel, strict=True)):
        return None
    for ceil_mode in (False, True):
        sizes = (
            window_count(a.size, a.kernel, a.stride, a.low, a.high, a.dilation, ceil_mode) for a in windows.axes(size)
        )
        if tuple(sizes) == windows.output_size:
            return ceil_mode
    return None


def _along(values: Tensor, axis: int, rank: int) -> Tensor:
    """A vector, shaped to act along one spatial axis of (batch, channels, *spatial)."""
    return values.view(-1, *[1] * (rank - 1 - axis))


def max_pool(input: Tensor, windows: Windows, indices: bool) -> tuple[Tensor, Tensor | None]:
    size = tuple(input.shape[2:])
    rank = len(size)
    ceil_mode = _ceil_mode(size, windows)
    axes = windows.axes(size)
    if ceil_mode is not None and not any(axis.may_miss() for axis in axes):
        result = _MAX[rank](
            input, windows.kernel, windows.stride, windows.low, windows.dilation,
            ceil_mode=ceil_mode, return_indices=indices,
        )  # fmt: skip
        return result if indices else (result, None)

    # An element outside repeats the first of its window that lies inside: neither maximum nor first index change.
    laid_out, sources = input, []
    missed = torch.zeros((), dtype=torch.bool, device=input.device)
    for i, axis in enumerate(axes):
        at, inside = axis.positions(input.device), axis.inside(input.device)
        first = inside.to(torch.int8).argmax(1, keepdim=True)
        sources.append(torch.where(inside, at, at.gather(1, first).clamp(0, axis.size - 1)).flatten())
        laid_out = laid_out.index_select(i + 2, sources[-1])
        missed = missed | _along(~inside.any(1), i, rank)
    output, at = _MAX[rank](laid_out, windows.kernel, windows.kernel, return_indices=True)
    lowest = -float("inf") if output.is_floating_point() else torch.iinfo(output.dtype).min
    output = in_layout_of(input, output.masked_fill(missed, lowest))
    return output, in_layout_of(input, _original(at, sources, size).masked_fill(missed, -1)) if indices else None


def _original(indices: Tensor, sources: list[Tensor], size: Ints) -> Tensor:
    """Indices into a plane that was laid out by ``sources``, as indices into the plane of this size."""
    result, scale = torch.zeros_like(indices), 1
    for source, extent in zip(reversed(sources), reversed(size), strict=True):
        result = result + source[indices % len(source)] * scale
        indices = indices // len(source)
        scale *= extent
    return result


def avg_pool(input: Tensor, windows: Windows, count_include_pad: bool, divisor: int) -> Tensor:
    size = tuple(input.shape[2:])
    rank = len(size)
    ceil_mode = _ceil_mode(size, windows)
    if ceil_mode is not None and all(d == 1 for d in windows.dilation) and not (rank == 1 and divisor):
        if rank == 1:
            return F.avg_pool1d(input, windows.kernel, windows.stride, windows.low, ceil_mode, count_include_pad)
        function = F.avg_pool2d if rank == 2 else F.avg_pool3d
        return function(
            input, windows.kernel, windows.stride, windows.low, ceil_mode, count_include_pad, divisor or None
        )  # fmt: skip

    # Sums of windows laid out side by side, what lies outside them zero; then divided.
    laid_out = input
    count = torch.ones((), dtype=torch.int64, device=input.device)
    for i, axis in enumerate(windows.axes(size)):
        laid_out = _side_by_side(laid_out, i, rank, axis)
        count = count * _along(axis.counts(count_include_pad, input.device), i, rank)
    kernel = windows.kernel
    if rank == 1:
        laid_out, kernel = laid_out.unsqueeze(-1), (*kernel, 1)
    total = (F.avg_pool3d if rank == 3 else F.avg_pool2d)(laid_out, kernel, kernel, divisor_override=1)
    total = total.squeeze(-1) if rank == 1 else total
    rounding = None if total.is_floating_point() else "trunc"
    return in_layout_of(input, torch.div(total, divisor or count, rounding_mode=rounding))


def _side_by_side(input: Tensor, i: int, rank: int, axis: Axis) -> Tensor:
    at = axis.positions(input.device).clamp(0, axis.size - 1).flatten()
    inside = _along(axis.inside(input.device).flatten(), i, rank)
    return input.index_select(i + 2, at).masked_fill(~inside, 0)


def max_unpool(input: Tensor, indices: Tensor, output_size: Ints) -> Tensor:
    # Not torch's own operator: scatter checks every index, on every path.
    plane = input.new_zeros((*input.shape[:2], prod(output_size)))
    output = plane.scatter(2, indices.flatten(2), input.flatten(2)).unflatten(2, output_size)
    return in_layout_of(input, output)


def fractional_max_pool(input: Tensor, kernel: Ints, output_size: Ints, samples: Tensor) -> tuple[Tensor, Tensor]:
    # The window's place is computed in the samples' precision; torch's own operators read out of bounds where that
    # rounds it upwards: in bfloat16, or where a sample lies far from the [0, 1) that it is drawn from.
    size = tuple(input.shape[2:])
    exact = torch.finfo(samples.dtype).eps * max(size) < 1e-3
    exact = exact and select.readable(samples) and bool(((samples >= 0) & (samples < 1)).all())
    # torch's three-dimensional operator refuses windows that just fit.
    if exact and all(o + k - 1 < n for o, k, n in zip(output_size, kernel, size, strict=True)):
        function = torch._C._nn.fractional_max_pool2d if len(size) == 2 else torch._C._nn.fractional_max_pool3d
        return function(input, kernel, output_size, samples)
    if len(size) == 2:
        samples = samples.flip(2)
    # Along each axis (batch, channels, outputs * kernel) positions, then all pairs of them as indices into the plane.
    index, scale = torch.zeros(*samples.shape[:2], dtype=torch.int64, device=samples.device), prod(size)
    for i, (extent, window, outputs) in enumerate(zip(size, kernel, output_size, strict=True)):
        scale //= extent
        start = _fractional_starts(samples[..., i], extent - window, outputs)
        at = (start[..., None] + torch.arange(window, device=start.device)).flatten(2) * scale
        index = index[..., None] + at[(..., *[None] * i, slice(None))]
    laid_out = input.flatten(2).gather(2, index.flatten(2)).unflatten(2, index.shape[2:])
    output, at = _MAX[len(size)](laid_out, kernel, kernel, return_indices=True)
    at = index.flatten(2).gather(2, at.flatten(2)).unflatten(2, at.shape[2:])
    return in_layout_of(input, output), in_layout_of(input, at)


def _fractional_starts(sample: Tensor, last: int, outputs: int) -> Tensor:
    """(batch, channels, outputs): where the windows begin; the last ends with the input (Graham 2014, section 3)."""
    sample = sample[..., None]
    step = torch.full_like(sample, last) / max(outputs - 1, 1)
    order = torch.arange(outputs, device=sample.device, dtype=sample.dtype)
    start = ((order + sample) * step).to(torch.int64) - (sample * step).to(torch.int64)
    return torch.where(torch.arange(outputs, device=sample.device) < outputs - 1, start.clamp(0, last), last)
