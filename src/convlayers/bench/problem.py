"""One convolution to measure: sizes only, and what follows from them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from convlayers.ops import cost

Ints = tuple[int, ...]


@dataclass(frozen=True)
class Problem:
    """A convolution or a transposed convolution; tuples have one entry a spatial axis.

    Attributes:
        batch: examples a call.
        in_channels, out_channels: in total, over all groups.
        size, output_size: elements along each axis of the input and of the output.
        low, high: elements of padding below and above each axis (transposed: output elements cut off).
        output_padding: output elements added above each axis; 0 unless transposed.
    """

    name: str
    transposed: bool
    batch: int
    in_channels: int
    out_channels: int
    groups: int
    size: Ints
    kernel: Ints
    stride: Ints
    low: Ints
    high: Ints
    dilation: Ints
    output_padding: Ints
    output_size: Ints

    @property
    def rank(self) -> int:
        """How many spatial axes there are."""
        return len(self.size)

    @property
    def function(self) -> str:
        """The name of the function in ``torch.nn.functional`` and in ``convlayers.functional``."""
        return f"conv{'_transpose' if self.transposed else ''}{self.rank}d"

    def call(self, contiguous: bool) -> cost.Call:
        """What its cost depends on, in one of the layouts."""
        sizes = (self.size, self.output_size, self.kernel, self.stride, self.dilation)
        channels = (self.in_channels, self.out_channels, self.groups)
        covers = cost.covers(
            self.transposed, self.groups, self.size, self.kernel, self.output_size, self.low, self.dilation
        )
        return cost.Call(self.transposed, self.batch, *channels, *sizes, contiguous, covers)

    @property
    def symmetric(self) -> bool:
        """Whether one amount of padding an axis says it all."""
        return self.low == self.high

    @property
    def pairs(self) -> list[int]:
        """The padding as ``torch.nn.functional.pad`` takes it: low and high of the last axis first."""
        return [amount for pair in zip(self.low[::-1], self.high[::-1], strict=True) for amount in pair]

    @property
    def input_shape(self) -> Ints:
        """(batch, in_channels, *size)."""
        return (self.batch, self.in_channels, *self.size)

    @property
    def weight_shape(self) -> Ints:
        """As torch has it: (out_channels, in_channels / groups, *kernel), transposed with the channels swapped."""
        first, second = self.out_channels, self.in_channels
        if self.transposed:
            first, second = second, first
        return (first, second // self.groups, *self.kernel)

    @property
    def output_shape(self) -> Ints:
        """(batch, out_channels, *output_size)."""
        return (self.batch, self.out_channels, *self.output_size)

    @property
    def macs(self) -> int:
        """Multiplications with additions of a forward pass, those with padding counted as well."""
        windows = self.input_shape if self.transposed else self.output_shape
        return math.prod(windows) * math.prod(self.weight_shape[1:])

    @property
    def bytes(self) -> int:
        """Bytes of float32 that a forward pass cannot avoid: input, weight and output, once each."""
        return 4 * sum(math.prod(shape) for shape in (self.input_shape, self.weight_shape, self.output_shape))

    def with_batch(self, batch: int) -> Problem:
        """The same with another batch."""
        return replace(self, batch=batch)

    def __str__(self) -> str:
        def times(entries: Ints) -> str:
            return "x".join(str(entry) for entry in entries)

        def option(letter: str, entries: Ints, usual: int) -> str:
            if set(entries) == {usual}:
                return ""
            return f" {letter}{entries[0] if len(set(entries)) == 1 else times(entries)}"

        text = f"{self.in_channels}x{times(self.size)} {'T' if self.transposed else ''}-> {self.out_channels}"
        text += f" {times(self.kernel)}" + option("s", self.stride, 1) + option("p", self.low, 0)
        if not self.symmetric:
            text += f":{times(self.high)}" if any(self.low) else f" p0:{times(self.high)}"
        return text + option("d", self.dilation, 1) + (f" g{self.groups}" if self.groups > 1 else "")
