"""What a convolution costs on each implementation: seconds, predicted from its sizes alone.

A time is a sum of amounts of work (:func:`work`), each at a price in seconds (:data:`PRICES`) that was fitted to times
as measured. It holds for one thread: a choice that changed with the number of threads would change results with it.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

Ints = tuple[int, ...]

#: Floats in a vector of each instruction set.
LANES = {"avx512": 16, "avx2": 8, "neon": 4, "generic": 4}


#: As in csrc/kernels/winograd/winograd.cpp: floats of a group's weights that are transformed once for all tiles, at
#: most; tiles that each transform of more serves, at most and at least; floats of sources that may be transformed at a
#: time, unless weights are more.
_WHOLE, _RANGE, _LEAST, _SOURCES = 3 * 2**20, 112, 12, 2**20


class Call(NamedTuple):
    """The sizes of one convolution, or transposed convolution: all that its cost depends on.

    Attributes:
        in_channels, out_channels: in total, over all groups.
        size, output_size: elements along each axis of the input and of the output.
        contiguous: whether the input is contiguous; channels last else.
        covers: whether a filter covers just its input, once: a product of matrices.
    """

    transposed: bool
    batch: int
    in_channels: int
    out_channels: int
    groups: int
    size: Ints
    output_size: Ints
    kernel: Ints
    stride: Ints
    dilation: Ints
    contiguous: bool
    covers: bool = False

    def __str__(self) -> str:
        def times(*entries: int) -> str:
            return "x".join(map(str, entries))

        text = f"{times(self.batch, self.in_channels, *self.size)} {'T' if self.transposed else ''}-> "
        text += f"{times(self.out_channels, *self.output_size)} kernel {times(*self.kernel)}"
        text += f" stride {times(*self.stride)} dilation {times(*self.dilation)} groups {self.groups}"
        return text + (" contiguous" if self.contiguous else " channels-last")


class Axis(NamedTuple):
    """How Winograd's tiles cover an axis: each computes ``outputs`` outputs from ``points`` products for each of
    ``parts`` filters whose products are summed.

    Attributes:
        every: outputs from one of a tile to the next.
    """

    outputs: int
    points: int
    parts: int
    every: int = 1

    def tiles(self, size: int) -> int:
        """How many cover so many outputs."""
        whole, rest = divmod(size, self.outputs * self.every)
        return whole * self.every + min(rest, self.every)


def covers(
    transposed: bool, groups: int, size: Ints, kernel: Ints, output_size: Ints, low: Ints, dilation: Ints
) -> bool:
    """Whether a filter covers just its input, once, as in csrc/torch/covering.cpp; False where a size is symbolic.

    Example:
        >>> covers(False, 1, size=(7, 7), kernel=(7, 7), output_size=(1, 1), low=(0, 0), dilation=(1, 1))
        True
    """
    if transposed or groups != 1:
        return False
    axes = list(zip(size, kernel, output_size, low, dilation, strict=True))
    if any(type(number) is not int for axis in axes for number in axis):
        return False
    return all(n == k and (o, lo) == (1, 0) and (d == 1 or k == 1) for n, k, o, lo, d in axes)


def winograd_axes(kernel: Ints, stride: Ints, dilation: Ints) -> tuple[Axis, ...] | None:
    """The axes of a convolution by Winograd's algorithm, as in csrc/kernels/winograd/winograd.cpp: the last two with 2
    to 5 taps in the longest of 4 phases of the stride at most (where 2, in all of them), or one of up to 7 where
    another has one tap; None where there are none.

    Example:
        >>> winograd_axes((3, 5), (1, 2), (1, 1))
        (Axis(outputs=4, points=6, parts=1, every=1), Axis(outputs=4, points=6, parts=2, every=1))
        >>> winograd_axes((1, 1), (1, 1), (1, 1)) is None
        True
    """

    def tiled(a: int, alone: bool) -> Axis | None:
        common = math.gcd(stride[a], dilation[a])
        parts = stride[a] // common
        taps = -(-kernel[a] // parts)
        short = taps == 2 and kernel[a] < 2 * parts
        if short or parts > 4 or not (1 < taps < 6 or (alone and taps == 7)):
            return None
        outputs = (9 if alone and taps > 4 else 7) - taps
        return Axis(outputs, outputs + taps - 1, parts, dilation[a] // common)

    rank = len(kernel)
    plain = [Axis(1, 1, k) for k in kernel]
    for v in reversed(range(rank)):
        for u in reversed(range(v)):
            if (first := tiled(u, False)) and (last := tiled(v, False)):
                return tuple(first if a == u else last if a == v else plain[a] for a in range(rank))
        if (one := tiled(v, True)) and (rank < 3 or any(kernel[u] == 1 for u in range(rank) if u != v)):
            return tuple(one if a == v else plain[a] for a in range(rank))
    return None


def winograd_regions(call: Call) -> list[tuple[Ints, tuple[Axis, ...]]] | None:
    """The outputs along each axis, and the axes, of each convolution that a call is by Winograd's algorithm; None if it
    has not the form. A transposed one is as many as its strides have phases.
    """
    if not call.transposed:
        axes = winograd_axes(call.kernel, call.stride, call.dilation)
        return None if axes is None else [(call.output_size, axes)]
    if any(math.gcd(s, d) > 1 for s, d in zip(call.stride, call.dilation, strict=True)):
        return None
    phases = [
        [(-(-size // s), len(range(phase, k, s))) for phase in range(min(s, size))]
        for size, k, s in zip(call.output_size, call.kernel, call.stride, strict=True)
    ]
    regions = []
    for region in itertools.product(*phases):
        axes = winograd_axes(tuple(taps for _, taps in region), (1,) * len(region), call.dilation)
        if axes is None:
            return None
        regions.append((tuple(outputs for outputs, _ in region), axes))
    return regions


def work(kernel: str, call: Call, lanes: int) -> dict[str, float]:
    """The amounts of work of an implementation, by name; vectors hold ``lanes`` channels."""

    def vectors(channels: int) -> int:
        return -(-channels // lanes)

    in_elements = call.batch * call.in_channels * math.prod(call.size)
    out_elements = call.batch * call.out_channels * math.prod(call.output_size)
    taps = math.prod(call.kernel)
    pixels = call.batch * math.prod(call.size if call.transposed else call.output_size)
    in_group, out_group = call.in_channels // call.groups, call.out_channels // call.groups
    amounts: dict[str, float] = {
        "calls": 1,
        "elements": in_elements + out_elements,
        "contiguous elements": (in_elements + out_elements) * call.contiguous,
    }
    if kernel == "depthwise":
        lines = pixels * vectors(call.out_channels)
        return amounts | {"products": lines * taps, "outputs": lines}
    if kernel == "winograd":
        names = ("products", "source points", "output points", "weights", "slices of weights")
        amounts |= dict.fromkeys(names, 0)
        for sizes, axes in winograd_regions(call) or ():
            # Whole tiles are computed, however few of their outputs are wanted.
            tiles = call.batch * math.prod(axis.tiles(size) for size, axis in zip(sizes, axes, strict=True))
            points, parts = (math.prod(axis[i] for axis in axes) for i in (1, 2))
            amounts["products"] += tiles * points * parts * call.in_channels * vectors(out_group)
            amounts["source points"] += tiles * points * parts * call.groups * vectors(in_group)
            amounts["output points"] += tiles * points * call.groups * vectors(out_group)
            weights = points * parts * call.in_channels * vectors(out_group)
            if weights * lanes <= _WHOLE * call.groups:
                amounts["weights"] += weights
            else:  # They are too many to be kept transformed: they are for some tiles after the other.
                chunk = max(_SOURCES, taps * in_group * out_group) // (points * parts * in_group)
                amounts["slices of weights"] += weights * -(-tiles // min(_RANGE, max(_LEAST, chunk)))
        return amounts
    if kernel == "grouped":
        # As many whole groups as a vector holds of both sides.
        together = max(1, lanes // max(in_group, out_group))
        columns = -(-call.groups // together) * vectors(out_group)
        return amounts | {"products": pixels * taps * in_group * columns, "weights": taps * in_group * columns}
    columns = call.groups * vectors(out_group)
    # Ours leaves out products with zeros beyond a border.
    pairs = _pairs_inside(call) if kernel == "direct" and not call.transposed else pixels * taps
    return amounts | {
        "products": pairs * in_group * columns,
        "look-ups": pixels * taps * call.groups,
        "weights": taps * in_group * columns,
    }


def _pairs_inside(call: Call) -> int:
    """Pairs of an output and a tap of a convolution that meet within its input, if as much is added below as above."""
    pairs = call.batch
    for n, outputs, k, s, d in zip(call.size, call.output_size, call.kernel, call.stride, call.dilation, strict=True):
        low = max(0, (outputs - 1) * s + (k - 1) * d + 1 - n) // 2
        starts = [low - tap * d for tap in range(k)]
        pairs *= sum(max(0, min(outputs - 1, (n - 1 + at) // s) - max(0, -(-at // s)) + 1) for at in starts)
    return pairs


def seconds(kernel: str, call: Call, isa: str) -> float:
    """The predicted time of a forward pass on one thread. In training the same kernel is the fastest: in all of 85
    measured problems, the order of the implementations was that of the forward pass.

    Args:
        kernel: ``'direct'``, ``'winograd'``, ``'depthwise'``, ``'grouped'`` or ``'torch'``, one that can compute the
            call.
        isa: a name of :data:`LANES`.

    Example:
        >>> call = Call(False, 1, 64, 64, 1, (56, 56), (56, 56), (3, 3), (1, 1), (1, 1), False)
        >>> seconds("winograd", call, "avx512") < seconds("direct", call, "avx512")
        True
    """
    return total(PRICES[isa][price(kernel, call)], work(kernel, call, LANES[isa]))


def total(prices: dict[str, float], amounts: dict[str, float]) -> float:
    """Seconds for these amounts of work; what has no price costs nothing.

    Example:
        >>> total({"products": 0.5}, {"products": 4, "elements": 3})
        2.0
    """
    return sum(prices.get(name, 0.0) * amount for name, amount in amounts.items())


def price(kernel: str, call: Call) -> str:
    """The entry of :data:`PRICES` for an implementation of a call."""
    if kernel not in ("direct", "torch") or call.groups == 1:
        return kernel
    return f"{kernel} depthwise" if call.groups == call.in_channels else f"{kernel} grouped"


# Measured on AMD Zen 4 (EPYC) with torch 2.13 by ``python -m convlayers.bench.fit`` (for AVX2 see there), which prints
# where our cheapest by these prices was not our fastest. torch's depthwise convolutions have fast and slow paths that
# no such sum follows; nothing is decided by that price.
_AVX512: dict[str, dict[str, float]] = {
    # 29 problems, mean error 32 %
    "depthwise": {
        "calls": 5.02e-06,
        "elements": 1.13e-10,
        "contiguous elements": 4.13e-10,
        "products": 2.52e-10,
        "outputs": 1.07e-09,
    },
    # 97 problems, mean error 11 %
    "direct": {
        "calls": 5.09e-06,
        "elements": 4.29e-11,
        "contiguous elements": 3.55e-11,
        "products": 2.99e-10,
        "look-ups": 6.43e-10,
        "weights": 4.86e-09,
    },
    # 29 problems, mean error 14 %
    "direct depthwise": {
        "calls": 6.37e-06,
        "elements": 1.46e-09,
        "contiguous elements": 4.83e-10,
        "products": 1.39e-10,
        "look-ups": 1.12e-09,
        "weights": 1.25e-08,
    },
    # 46 problems, mean error 16 %
    "direct grouped": {
        "calls": 5.85e-06,
        "elements": 1.76e-10,
        "contiguous elements": 4.35e-10,
        "products": 2.84e-10,
        "look-ups": 1.55e-09,
        "weights": 5.47e-09,
    },
    # 46 problems, mean error 13 %
    "grouped": {
        "calls": 5.32e-06,
        "elements": 1.1e-10,
        "contiguous elements": 2.86e-10,
        "products": 3.36e-10,
        "weights": 4.02e-09,
    },
    # 97 problems, mean error 26 %
    "torch": {
        "calls": 1.23e-05,
        "elements": 9.87e-11,
        "contiguous elements": 4.71e-11,
        "products": 2.96e-10,
        "look-ups": 1.02e-09,
        "weights": 1.28e-08,
    },
    # 29 problems, mean error 92 %
    "torch depthwise": {
        "calls": 3.8e-05,
        "elements": 1.8e-10,
        "contiguous elements": 3.77e-10,
        "products": 1.48e-11,
        "look-ups": 1.48e-11,
        "weights": 2.84e-08,
    },
    # 46 problems, mean error 44 %
    "torch grouped": {"calls": 3.53e-05, "elements": 1.92e-10, "products": 2.67e-10, "weights": 1.55e-08},
    # 86 problems, mean error 10 %
    "winograd": {
        "calls": 4.9e-06,
        "contiguous elements": 2.48e-10,
        "products": 2.87e-10,
        "source points": 5.7e-09,
        "output points": 2.54e-09,
        "weights": 1.21e-09,
        "slices of weights": 2.81e-09,
    },
}
_AVX2: dict[str, dict[str, float]] = {
    # 29 problems, mean error 31 %
    "depthwise": {
        "calls": 5.09e-06,
        "elements": 9.31e-11,
        "contiguous elements": 4.62e-10,
        "products": 2.61e-10,
        "outputs": 8.31e-10,
    },
    # 97 problems, mean error 12 %
    "direct": {
        "calls": 5.45e-06,
        "elements": 3.01e-11,
        "contiguous elements": 1.37e-10,
        "products": 1.64e-10,
        "look-ups": 7.68e-10,
        "weights": 2.64e-09,
    },
    # 29 problems, mean error 13 %
    "direct depthwise": {
        "calls": 6.15e-06,
        "elements": 2.94e-09,
        "contiguous elements": 4.08e-10,
        "products": 3.79e-10,
        "look-ups": 9.1e-10,
        "weights": 1.38e-08,
    },
    # 46 problems, mean error 21 %
    "direct grouped": {
        "calls": 6.04e-06,
        "elements": 1.34e-10,
        "contiguous elements": 3.93e-10,
        "products": 1.57e-10,
        "look-ups": 2.38e-09,
        "weights": 4.68e-09,
    },
    # 46 problems, mean error 18 %
    "grouped": {
        "calls": 5.3e-06,
        "elements": 2.02e-10,
        "contiguous elements": 2.56e-10,
        "products": 2.62e-10,
        "weights": 3.65e-09,
    },
    # 97 problems, mean error 27 %
    "torch": {
        "calls": 1.24e-05,
        "elements": 8.2e-11,
        "contiguous elements": 5.05e-11,
        "products": 1.62e-10,
        "look-ups": 1.12e-09,
        "weights": 5.09e-09,
    },
    # 29 problems, mean error 91 %
    "torch depthwise": {
        "calls": 3.79e-05,
        "elements": 2.36e-10,
        "contiguous elements": 2.79e-10,
        "products": 1.32e-11,
        "look-ups": 1.32e-11,
        "weights": 3.36e-08,
    },
    # 46 problems, mean error 44 %
    "torch grouped": {
        "calls": 4.42e-05,
        "contiguous elements": 1.2e-10,
        "products": 1.59e-10,
        "look-ups": 1.16e-09,
        "weights": 8.15e-09,
    },
    # 86 problems, mean error 19 %
    "winograd": {
        "calls": 5.46e-06,
        "contiguous elements": 2.95e-10,
        "products": 1.42e-10,
        "source points": 4.5e-09,
        "output points": 2.51e-09,
        "weights": 6.63e-10,
        "slices of weights": 1.67e-09,
    },
}
#: For each instruction set and implementation, seconds a unit of each kind of work. A vector of NEON or of the generic
#: kernels is taken to cost what one of AVX2 does, which is twice as long: derived, not measured.
PRICES = {"avx512": _AVX512, "avx2": _AVX2, "neon": _AVX2, "generic": _AVX2}
