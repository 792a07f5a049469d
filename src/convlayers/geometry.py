"""Where windows lie: output sizes, padding and borders in checked integers. Everything else relies on these.

An axis of n elements, windows of k taps that lie d apart (reach r = d * (k - 1) + 1), one window every s elements,
`low` and `high` elements of padding:

    convolution   o = floor((n + low + high - r) / s) + 1
    transposed    o = (n - 1) * s - low - high + r + output_padding

Sizes may be symbolic (``torch.SymInt``, under ``torch.compile`` and ``torch.export``): they are added, multiplied and
compared where torch's own convolution compares them, never made into plain integers.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from convlayers.errors import ArgumentError, ArgumentTypeError
from convlayers.ops.borders import CIRCULAR, CODES, CONSTANT, REFLECT

Ints = tuple[int, ...]
IntOrInts = int | Sequence[int]
#: An amount for both sides, a pair (low, high), or a name.
PaddingEntry = int | str | tuple[int, int]
#: One entry for all axes, or a tuple of entries, one an axis.
Padding = PaddingEntry | Sequence[PaddingEntry]
PaddingMode = str | Sequence[str]

PADDING_NAMES = ("valid", "same", "same_lower", "full", "causal")
PADDING_MODES = tuple(CODES)
LIMIT = 2**63 - 1


class Windows(NamedTuple):
    """Where the windows of a call lie, one entry a spatial axis; what ``ops.convolution`` takes."""

    output_size: Ints
    stride: Ints
    low: Ints
    dilation: Ints
    border: Ints
    value: tuple[float, ...]


# --- arguments --------------------------------------------------------------------------------------------------------


def integer(name: str, value: Any) -> int:
    """One integer, as torch takes it: bool, float and str are not.

    Raises:
        TypeError: for anything that is not an integer.

    Example:
        >>> integer("groups", 2)
        2
    """
    if type(value) is int or isinstance(value, torch.SymInt):
        return value  # type: ignore[return-value]
    if not isinstance(value, bool | float | str):
        try:
            return operator.index(value)
        except TypeError:
            pass
    raise ArgumentTypeError(f"{name} must be an integer; received {value!r}")


def integers(name: str, value: Any, rank: int, least: int) -> Ints:
    """An integer for each spatial axis, from one for all or from one each, none below ``least``.

    Raises:
        ValueError: for a wrong number of them, or one below ``least``.
        TypeError: for anything that is not an integer.

    Example:
        >>> integers("stride", 2, 3, least=1), integers("stride", [1, 2], 2, least=1)
        ((2, 2, 2), (1, 2))
    """
    entries = tuple(value) if isinstance(value, list | tuple) else (value,)
    if len(entries) not in (1, rank):
        raise ArgumentError(f"{name} must be one integer or {_count(rank)}; received {value!r}")
    entries = tuple(entry if type(entry) is int else integer(name, entry) for entry in entries)
    for entry in entries:
        if entry < least:
            raise ArgumentError(f"{name} must be at least {least}; received {value!r}")
    return entries if len(entries) == rank else entries * rank


def padding_entries(padding: Any, rank: int) -> tuple[PaddingEntry, ...]:
    """``padding`` as one entry a spatial axis: an integer, a pair or a name.

    Raises:
        ValueError: for a wrong number of entries or an unknown name.
        TypeError: for anything else.

    Example:
        >>> padding_entries(1, 2), padding_entries([(0, 1), "same"], 2)
        ((1, 1), ((0, 1), 'same'))
    """
    entries = tuple(padding) if isinstance(padding, list | tuple) else (padding,)
    if len(entries) not in (1, rank):
        hint = ". A pair (low, high) goes in a tuple of its own: padding=((low, high),)" if rank == 1 else ""
        raise ArgumentError(f"padding must be one entry or {_count(rank)}; received {padding!r}{hint}")
    entries = tuple(_padding_entry(entry, padding) for entry in entries)
    return entries if len(entries) == rank else entries * rank


def _padding_entry(entry: Any, padding: Any) -> PaddingEntry:
    if type(entry) is int:
        return entry
    if isinstance(entry, str):
        if entry in PADDING_NAMES:
            return entry
        raise ArgumentError(f"padding must be an amount or one of {', '.join(PADDING_NAMES)}; received {padding!r}")
    if isinstance(entry, list | tuple):
        if len(entry) != 2:
            raise ArgumentError(f"padding must have pairs (low, high) of two amounts; received {padding!r}")
        return integer("padding", entry[0]), integer("padding", entry[1])
    return integer("padding", entry)


def padding_modes(padding_mode: Any, rank: int) -> tuple[str, ...]:
    """``padding_mode`` as one name a spatial axis.

    Raises:
        ValueError: for an unknown name or a wrong number of them.
        TypeError: for anything that is not a name.

    Example:
        >>> padding_modes("reflect", 2), padding_modes(("circular", "zeros"), 2)
        (('reflect', 'reflect'), ('circular', 'zeros'))
    """
    modes = tuple(padding_mode) if isinstance(padding_mode, list | tuple) else (padding_mode,) * rank
    if len(modes) != rank:
        raise ArgumentError(f"padding_mode must be one name or {_count(rank)}; received {padding_mode!r}")
    for mode in modes:
        if not isinstance(mode, str):
            raise ArgumentTypeError(f"padding_mode must be a name; received {padding_mode!r}")
        if mode not in CODES:
            raise ArgumentError(f"padding_mode must be one of {', '.join(CODES)}; received {padding_mode!r}")
    return modes


def padding_values(padding_value: Any, modes: tuple[str, ...]) -> tuple[float, ...]:
    """The constant beyond the border of each axis: ``padding_value`` where the mode is 'constant', else 0.

    Raises:
        ValueError: for a value that no axis would use.
        TypeError: for anything that is not a number.

    Example:
        >>> padding_values(0.5, ("constant", "zeros"))
        (0.5, 0.0)
    """
    if isinstance(padding_value, bool) or not isinstance(padding_value, int | float):
        raise ArgumentTypeError(f"padding_value must be a number; received {padding_value!r}")
    if padding_value != 0 and "constant" not in modes:
        raise ArgumentError(
            f"padding_value must be 0 unless padding_mode is 'constant'; received {padding_value!r} with "
            f"padding_mode={modes[0] if len(set(modes)) == 1 else modes!r}. Use padding_mode='constant'"
        )
    return tuple(float(padding_value) if mode == "constant" else 0.0 for mode in modes)


def _count(rank: int) -> str:
    return "one in a tuple" if rank == 1 else f"{rank}, one a spatial axis"


# --- one axis ---------------------------------------------------------------------------------------------------------


def reach(kernel: int, dilation: int) -> int:
    """Elements from the first that a window sees to the last, both included.

    Example:
        >>> reach(3, 2)
        5
    """
    return dilation * (kernel - 1) + 1


def amounts(entry: PaddingEntry, size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Padding below and above the input of a convolution or a pooling along one axis.

    'same' gives ceil(size / stride) windows, an odd element above; 'same_lower' has it below; 'full' takes every
    window that touches the input; 'causal' lets a window see nothing later than itself. Negative amounts crop.

    Example:
        >>> amounts("same", 6, 3, 2, 1), amounts("causal", 6, 3, 1, 2)
        ((0, 1), (4, 0))
    """
    if type(entry) is int:
        return entry, entry
    if isinstance(entry, tuple):
        return entry
    r = reach(kernel, dilation)
    if entry in ("same", "same_lower"):
        total = r - 1 if stride == 1 else (-(-size // stride) - 1) * stride + r - size
        if r < stride:  # Windows with gaps between them: only then can the total be negative.
            total = max(total, 0)
        half = total // 2
        return (half, total - half) if entry == "same" else (total - half, half)
    named = {"valid": (0, 0), "full": (r - 1, r - 1), "causal": (r - 1, 0)}
    return named[entry] if isinstance(entry, str) else (entry, entry)


def transposed_amounts(entry: PaddingEntry, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """What a transposed convolution cuts off its whole output, below and above, along one axis.

    'valid' and 'full' cut nothing: every output that an input reaches is kept. 'same' keeps size * stride outputs;
    where the windows reach less than that, the amount above is negative and the output goes on, filled from the bias.
    'causal' keeps as many, and no output sees a later input.

    Example:
        >>> transposed_amounts("same", 4, 2, 1), transposed_amounts("same", 2, 3, 1)
        ((1, 1), (0, -1))
    """
    if type(entry) is int:
        return entry, entry
    if isinstance(entry, tuple):
        return entry
    total = reach(kernel, dilation) - stride
    half = max(total, 0) // 2
    more = max(total, 0) - half
    named = {
        "valid": (0, 0),
        "full": (0, 0),
        "same": (half, total - half),
        "same_lower": (more, total - more),
        "causal": (0, total),
    }
    return named[entry] if isinstance(entry, str) else (entry, entry)


def resolve_padding(
    padding: Padding, size: Ints, kernel: Ints, stride: Ints, dilation: Ints, *, transposed: bool = False
) -> tuple[Ints, Ints]:
    """Padding in elements, below and above each axis, from any form of ``padding``.

    Args:
        padding: an amount, a pair (low, high), a name, or a tuple of these, one a spatial axis.
        size, kernel, stride, dilation: one entry a spatial axis.
        transposed: whether for a transposed convolution, which cuts as much off its output.

    Returns:
        ``(low, high)``; negative amounts crop.

    Raises:
        ValueError: for an unknown name or a wrong number of entries.
        TypeError: for anything else.

    Example:
        >>> resolve_padding("same", (5, 6), (3, 3), (1, 2), (1, 1))
        ((1, 0), (1, 1))
        >>> resolve_padding(((1, 2), "causal"), (5, 6), (3, 3), (1, 1), (1, 1))
        ((1, 2), (2, 0))
    """
    entries = padding_entries(padding, len(size))
    if transposed:
        pairs = [transposed_amounts(*axis) for axis in zip(entries, kernel, stride, dilation, strict=True)]
    else:
        pairs = [amounts(*axis) for axis in zip(entries, size, kernel, stride, dilation, strict=True)]
    return tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)


def output_size(
    size: int, kernel: int, stride: int, low: int, high: int, dilation: int, ceil_mode: bool = False
) -> int:
    """How many windows fit an axis; less than 1 where the first does not.

    ``ceil_mode`` takes one more, that begins inside the input or its padding below but ends outside, as torch's
    poolings do.

    Example:
        >>> output_size(6, 3, 2, 0, 0, 1), output_size(6, 3, 2, 0, 0, 1, ceil_mode=True)
        (2, 3)
    """
    room = size + low + high - reach(kernel, dilation)
    if not ceil_mode:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - 1 if (count - 1) * stride >= size + low else count


def transposed_output_size(
    size: int, kernel: int, stride: int, low: int, high: int, dilation: int, output_padding: int = 0
) -> int:
    """Size of a transposed convolution's output along an axis.

    Example:
        >>> transposed_output_size(4, 3, 2, 1, 1, 1, output_padding=1)
        8
    """
    return (size - 1) * stride - low - high + reach(kernel, dilation) + output_padding


# --- whole calls ------------------------------------------------------------------------------------------------------


def convolution_windows(
    size: Ints,
    kernel: Ints,
    stride: Ints,
    padding: tuple[PaddingEntry, ...],
    dilation: Ints,
    modes: tuple[str, ...],
    value: tuple[float, ...],
) -> Windows:
    """Where the windows of a convolution lie.

    Raises:
        ValueError: for a kernel that is larger than the padded input, a border wider than the input can fill, or sizes
            beyond 64 bits.

    Example:
        >>> convolution_windows((32, 32), (5, 5), (1, 1), ("same",) * 2, (1, 1), ("zeros",) * 2, (0.0, 0.0)).output_size
        (32, 32)
    """
    low, high = resolve_padding(padding, size, kernel, stride, dilation)
    outputs = []
    for n, k, s, entry, lo, hi, d, mode in zip(size, kernel, stride, padding, low, high, dilation, modes, strict=True):
        check_extents(n, k, s, lo, hi, d)
        if entry in ("same", "same_lower"):
            output = -(-n // s)  # What the formula gives, in a form that stays simple for a symbolic size.
        elif n + lo + hi < reach(k, d):
            raise ArgumentError(
                f"kernel_size must not exceed the padded input: {k} taps {d} apart reach {reach(k, d)} elements; "
                f"received an axis of {n} with {lo} + {hi} of padding. Pad more, or use a smaller kernel or dilation"
            )
        else:
            output = output_size(n, k, s, lo, hi, d)
        _check_border(mode, n, lo, hi)
        outputs.append(output)
    return Windows(tuple(outputs), stride, low, dilation, tuple(CODES[mode] for mode in modes), value)


def transposed_windows(
    size: Ints,
    kernel: Ints,
    stride: Ints,
    padding: tuple[PaddingEntry, ...],
    output_padding: Ints,
    dilation: Ints,
    modes: tuple[str, ...],
    value: tuple[float, ...],
) -> Windows:
    """Where the windows of a transposed convolution lie.

    Raises:
        ValueError: for an ``output_padding`` that is not smaller than stride or dilation, an empty output, a border
            wider than the input can fill, or sizes beyond 64 bits.

    Example:
        >>> transposed_windows((4,), (3,), (2,), (1,), (1,), (1,), ("zeros",), (0.0,)).output_size
        (8,)
    """
    low, high = resolve_padding(padding, size, kernel, stride, dilation, transposed=True)
    outputs = []
    for n, k, s, lo, hi, extra, d, mode in zip(
        size, kernel, stride, low, high, output_padding, dilation, modes, strict=True
    ):
        if extra >= s and extra >= d:
            raise ArgumentError(
                f"output_padding must be smaller than stride or dilation; received {extra} with stride {s} and "
                f"dilation {d}. Pass output_size to the layer, or enlarge the output by a negative padding above: "
                f"padding=((low, high - {extra}),)"
            )
        check_extents(n * s, k, s, lo, hi, d)
        output = transposed_output_size(n, k, s, lo, hi, d, extra)
        if output < 1:
            raise ArgumentError(
                f"padding must leave some output; received an axis of {n} with stride {s}, {k} taps {d} apart and "
                f"{lo} + {hi} of padding, which leaves {output}. Pad less"
            )
        if CODES[mode] != CONSTANT:
            below, above = beyond(n, k, s, lo, d, output)
            _check_border(mode, n, below, above)
        outputs.append(output)
    return Windows(tuple(outputs), stride, low, dilation, tuple(CODES[mode] for mode in modes), value)


def beyond(size: int, kernel: int, stride: int, low: int, dilation: int, output: int) -> tuple[int, int]:
    """How many inputs beyond either edge the outputs of a transposed convolution can see along an axis.

    Example:
        >>> beyond(4, 3, 1, 1, 1, 4)
        (1, 1)
    """
    below = max(0, (dilation * (kernel - 1) - low) // stride)
    above = max(0, (output - 1 + low) // stride - (size - 1))
    return below, above


def _check_border(mode: str, size: int, low: int, high: int) -> None:
    """Refuses a border that an axis of this size cannot fill."""
    code = CODES[mode]
    if code == CONSTANT or (low <= 0 and high <= 0):
        return
    widest = max(low, high)
    if size == 0:
        raise ArgumentError(f"padding_mode {mode!r} needs an axis that is not empty; received one of size 0")
    if code == REFLECT and widest >= size:
        raise ArgumentError(
            f"padding must be smaller than the input where padding_mode is 'reflect'; received {low} + {high} on an "
            f"axis of {size}. Use 'replicate', or pad less"
        )
    if code == CIRCULAR and widest > size:
        raise ArgumentError(
            f"padding must not exceed the input where padding_mode is 'circular'; received {low} + {high} on an axis "
            f"of {size}. Use 'replicate', or pad less"
        )


def check_extents(size: int, kernel: int, stride: int, low: int, high: int, dilation: int) -> None:
    """Refuses an axis whose coordinates would not fit 64 bits."""
    extent = size + abs(low) + abs(high) + dilation * kernel + stride
    if not torch.compiler.is_compiling() and type(extent) is int and extent > LIMIT:
        raise ArgumentError(
            f"sizes must fit 64 bits; received an axis of {size} with kernel_size {kernel}, stride {stride}, dilation "
            f"{dilation} and padding {low} + {high}"
        )


def check_elements(*sizes: int) -> None:
    """Refuses a tensor with more elements than 64 bits can count."""
    count = math.prod(sizes)
    if not torch.compiler.is_compiling() and type(count) is int and count > LIMIT:
        raise ArgumentError(f"the result must have at most 2**63 - 1 elements; it would have shape {sizes}")
