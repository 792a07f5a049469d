"""The arguments that the poolings share: checked once, here, before anything is computed."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import torch
from convlayers.errors import ArgumentError, ArgumentTypeError
from torch import Tensor

from convlayers.ops.windows import Ints, Windows, output_size

IntOrInts = int | Sequence[int]
#: Amounts on both sides, a pair (low, high) an axis, or names.
Padding = int | str | Sequence[int | str | tuple[int, int]]

PADDING_NAMES = ("valid", "same", "same_lower", "full", "causal")
_LIMIT = 2**63 - 1


def integer(name: str, value: Any) -> int:
    """One integer; refuses bool and float, as torch does."""
    if isinstance(value, torch.SymInt):
        return value  # type: ignore[return-value]
    if not isinstance(value, bool | str | float):
        try:
            return operator.index(value)
        except TypeError:
            pass
    raise ArgumentTypeError(f"{name} must be an integer or a tuple of integers; received {value!r}")


def integers(name: str, value: Any, rank: int, least: int) -> Ints:
    """An integer for each of ``rank`` spatial axes, from one for all or one each, none below ``least``."""
    entries = tuple(value) if isinstance(value, list | tuple) else (value,)
    if len(entries) not in (1, rank):
        raise ArgumentError(f"{name} must be one integer or {rank}, one a spatial axis; received {value!r}")
    result = tuple(integer(name, entry) for entry in entries)
    if any(entry < least for entry in result):
        rule = "must not be negative" if least == 0 else "must be greater than zero"
        raise ArgumentError(f"{name} {rule}; received {value!r}")
    return result * rank if len(result) == 1 else result


def flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ArgumentTypeError(f"{name} must be True or False; received {value!r}")
    return value


def batched(input: Tensor, rank: int, name: str = "input", empty_channels: bool = False) -> tuple[Tensor, bool]:
    """(batch, channels, *spatial) and whether the batch axis was put there; only the batch may be empty."""
    if not isinstance(input, Tensor):
        raise ArgumentTypeError(f"{name} must be a tensor; received {type(input).__name__}")
    if input.dim() not in (rank + 1, rank + 2):
        raise ArgumentError(
            f"{name} must have {rank + 1} dimensions (channels, {rank} spatial) or {rank + 2} (batch, channels, "
            f"{rank} spatial); received shape {tuple(input.shape)}"
        )
    unbatched = input.dim() == rank + 1
    lengths = input.shape if unbatched else input.shape[1:]
    if any(length == 0 for length in (lengths[1:] if empty_channels else lengths)):
        what = "spatial axes" if empty_channels else "channels and spatial axes"
        raise ArgumentError(f"{name} must not have empty {what}; received shape {tuple(input.shape)}")
    return (input.unsqueeze(0) if unbatched else input), unbatched


def check_sizes(**sizes: int) -> None:
    """Refuses sizes that do not fit 64 bits."""
    for what, size in sizes.items():
        if size > _LIMIT:
            raise ArgumentError(f"{what} must not exceed 2**63 - 1; received arguments that make it {size}")


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
    rank = len(size)
    kernel = integers("kernel_size", kernel_size, rank, least=1)
    default = stride is None or (isinstance(stride, list | tuple) and len(stride) == 0)
    step = kernel if default else integers("stride", stride, rank, least=1)
    spread = integers("dilation", dilation, rank, least=1)
    flag("ceil_mode", ceil_mode)
    amounts = [
        _amounts(entry, padding, *axis)
        for entry, *axis in zip(_entries(padding, rank), size, kernel, step, spread, strict=True)
    ]
    low, high = (tuple(side) for side in zip(*amounts, strict=True))
    outputs = []
    for n, k, s, lo, hi, d in zip(size, kernel, step, low, high, spread, strict=True):
        check_sizes(extent=n + lo + hi + d * (k - 1) + s)
        outputs.append(output_size(n, k, s, lo, hi, d, ceil_mode))
        if outputs[-1] < 1:
            raise ArgumentError(
                f"kernel_size must not exceed the padded input: {k} elements {d} apart reach {d * (k - 1) + 1}; "
                f"received an axis of size {n} with {lo} + {hi} of padding. Pad more, or take ceil_mode=True or a "
                "smaller kernel"
            )
    check_sizes(elements_of_a_window=math.prod(kernel), elements_of_an_output_plane=math.prod(outputs))
    return Windows(tuple(outputs), kernel, step, low, high, spread)


def _entries(padding: Padding, rank: int) -> tuple:
    entries = tuple(padding) if isinstance(padding, list | tuple) else (padding,)
    if len(entries) not in (1, rank):
        raise ArgumentError(f"padding must be one entry or {rank}, one a spatial axis; received {padding!r}")
    return entries * rank if len(entries) == 1 else entries


def _amounts(entry: Any, padding: Padding, size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """How far the first window reaches below the input, and the last above it."""
    reach = dilation * (kernel - 1) + 1
    if isinstance(entry, str):
        return _named(entry, size, reach, stride)
    if isinstance(entry, list | tuple):
        if len(entry) != 2:
            raise ArgumentError(f"padding's pairs must be (low, high); received {padding!r}")
        low, high = (integer("padding", amount) for amount in entry)
        most, rule = reach - 1, f"less than the window's reach of {reach}, so that windows see the input"
    else:
        low = high = integer("padding", entry)
        most, rule = reach // 2, f"at most half of the window's reach of {reach}; a pair (low, high) may be wider"
    if min(low, high) < 0:
        raise ArgumentError(f"padding must not be negative; received {padding!r}. Crop the input instead")
    if max(low, high) > most:
        raise ArgumentError(f"padding must be {rule}; received {padding!r}")
    return low, high


def _named(name: str, size: int, reach: int, stride: int) -> tuple[int, int]:
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    amounts = {
        "valid": (0, 0),
        "same": (total // 2, total - total // 2),
        "same_lower": (total - total // 2, total // 2),
        "full": (reach - 1, reach - 1),
        "causal": (reach - 1, 0),
    }
    if name not in amounts:
        raise ArgumentError(f"padding must be one of {', '.join(PADDING_NAMES)}, or amounts; received {name!r}")
    return amounts[name]
