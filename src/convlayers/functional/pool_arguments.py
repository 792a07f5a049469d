"""The arguments that the poolings share: checked once, here, before anything is computed."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from convlayers import geometry
from convlayers.errors import ArgumentError, ArgumentTypeError
from convlayers.functional.arguments import batched as with_batch
from convlayers.functional.cached import cached
from convlayers.geometry import IntOrInts, Ints, Padding, PaddingEntry
from convlayers.ops.windows import Windows


def flag(name: str, value: Any) -> bool:
    """True or False, and nothing that only counts as such."""
    if not isinstance(value, bool):
        raise ArgumentTypeError(f"{name} must be True or False; received {value!r}")
    return value


def batched(input: Any, rank: int, empty_channels: bool = False) -> tuple[Tensor, bool]:
    """(batch, channels, \\*spatial) and whether the batch axis was put there; only the batch may be empty."""
    x, unbatched = with_batch(input, rank)
    if any(length == 0 for length in x.shape[2 if empty_channels else 1 :]):
        what = "spatial axes" if empty_channels else "channels and spatial axes"
        raise ArgumentError(f"input must not have empty {what}; received shape {tuple(input.shape)}")
    return x, unbatched


def strides(stride: IntOrInts | None, kernel: Ints) -> Ints:
    """``stride`` for each axis; the kernel's size where it is left out."""
    if stride is None or (isinstance(stride, list | tuple) and len(stride) == 0):
        return kernel
    return geometry.integers("stride", stride, len(kernel), least=1)


def window(
    rank: int,
    kernel_size: IntOrInts,
    stride: IntOrInts | None,
    padding: Padding,
    dilation: IntOrInts,
    ceil_mode: bool,
) -> tuple[Ints, Ints, tuple[PaddingEntry, ...], Ints, bool]:
    """What can be checked of a pooling's arguments before its input is known: (kernel, stride, padding, dilation,
    ceil_mode), an entry an axis."""
    kernel = geometry.integers("kernel_size", kernel_size, rank, least=1)
    spread = geometry.integers("dilation", dilation, rank, least=1)
    entries = geometry.padding_entries(padding, rank)
    for entry, k, d in zip(entries, kernel, spread, strict=True):
        _check_padding(entry, geometry.reach(k, d))
    return kernel, strides(stride, kernel), entries, spread, flag("ceil_mode", ceil_mode)


@cached
def windows(
    size: Ints,
    kernel_size: IntOrInts,
    stride: IntOrInts | None,
    padding: Padding,
    dilation: IntOrInts,
    ceil_mode: bool,
) -> Windows:
    """Sliding windows over spatial axes of this size, from the arguments of a pooling.

    Raises:
        ValueError: a size, stride or dilation below 1, padding that is negative or wider than a window, or windows that
            do not fit.
        TypeError: for arguments of other types.
    """
    kernel, steps, entries, spread, ceil = window(len(size), kernel_size, stride, padding, dilation, ceil_mode)
    low, high, outputs = [], [], []
    for n, k, s, entry, d in zip(size, kernel, steps, entries, spread, strict=True):
        reach = geometry.reach(k, d)
        lo, hi = geometry.amounts(entry, n, k, s, d)
        geometry.check_extents(n, k, s, lo, hi, d)
        output = geometry.output_size(n, k, s, lo, hi, d, ceil)
        if output < 1:
            raise ArgumentError(
                f"kernel_size must not exceed the padded input: {k} elements {d} apart reach {reach}; received an axis "
                f"of {n} with {lo} + {hi} of padding. Pad more, or take ceil_mode=True or a smaller kernel"
            )
        low.append(lo)
        high.append(hi)
        outputs.append(output)
    geometry.check_elements(*outputs)
    if math.prod(kernel) > geometry.LIMIT:
        raise ArgumentError(f"kernel_size must have at most 2**63 - 1 elements; received {kernel}")
    return Windows(tuple(outputs), kernel, steps, tuple(low), tuple(high), spread)


def _check_padding(entry: PaddingEntry, reach: int) -> None:
    if isinstance(entry, str):
        return
    if isinstance(entry, tuple):
        low, high = entry
        most, rule = reach - 1, f"less than the window's reach of {reach}"
    else:
        low = high = entry
        most, rule = reach // 2, f"at most half of the window's reach of {reach}; a pair (low, high) may be wider"
    if low < 0 or high < 0:
        raise ArgumentError(f"padding must not be negative; received {entry!r}. Crop the input instead")
    if low > most or high > most:
        raise ArgumentError(f"padding must be {rule}; received {entry!r}")
