"""What a convolution is beside its tensors: sizes, windows, groups."""

from __future__ import annotations

import functools
import struct
from typing import Any

import torch
from torch import Tensor

from convlayers.activations import Activation

Ints = tuple[int, ...]

#: Our kernels, in the order of ``Algorithm`` in csrc/torch/call.h.
KERNELS = ("direct", "winograd", "depthwise", "grouped")


class Arguments:
    """A convolution's arguments that are no tensors, checked, for operands of these shapes.

    One object should stand for all calls of a kind, as those of :func:`arguments` do: what is found out about one, and
    how it is handed to the operator, is kept for the next. So it is compared by identity, and never changed.

    Attributes:
        input_shape: (batch, in_channels, \\*spatial).
        weight_shape: (out_channels, in_channels / groups, \\*kernel), transposed (in_channels, out_channels / groups,
            \\*kernel).
        output_size, stride, low, dilation, border, value: one entry a spatial axis. ``low`` is how far the first
            window reaches below the input (may be negative); ``border`` holds codes of ``ops.borders``, ``value`` the
            constants for those that are CONSTANT.
        out_channels: of the result, over all groups.
        is_eager: whether neither compiled nor traced; then all sizes are integers.

    Example:
        >>> at = Arguments((1, 3, 8), (4, 3, 5), output_size=(4,), stride=(1,), low=(0,), dilation=(1,), groups=1,
        ...                transposed=False, border=(0,), value=(0.0,))
        >>> at.out_channels
        4
    """

    def __init__(
        self,
        input_shape: Ints,
        weight_shape: Ints,
        *,
        output_size: Ints,
        stride: Ints,
        low: Ints,
        dilation: Ints,
        groups: int,
        transposed: bool,
        border: Ints,
        value: tuple[float, ...],
    ) -> None:
        self.input_shape = input_shape
        self.weight_shape = weight_shape
        self.output_size = output_size
        self.stride = stride
        self.low = low
        self.dilation = dilation
        self.groups = groups
        self.transposed = transposed
        self.border = border
        self.value = value
        self.out_channels = weight_shape[1] * groups if transposed else weight_shape[0]
        self.is_eager = not torch.compiler.is_compiling() and not torch.jit.is_tracing()
        self._packed: dict[Any, Tensor] = {}

    @property
    def windows(self) -> tuple[Ints, Ints, Ints, int, bool, Ints, tuple[float, ...]]:
        """As the operators' schemas name them, after the size of the result."""
        return self.stride, self.low, self.dilation, self.groups, self.transposed, self.border, self.value

    def packed(self, kernel: str, activation: Activation) -> Tensor:
        """All of them as one tensor, for the operators' ``packed`` overloads; the order is that of csrc/torch/call.cpp.

        Handing over lists takes the dispatcher five microseconds, a third of a small convolution's time.
        """
        found = self._packed.get((kernel, activation))
        if found is None:
            head = len(self.stride), self.groups, self.transposed, KERNELS.index(kernel), activation.code
            axes = zip(self.output_size, self.stride, self.dilation, self.low, self.border, self.value, strict=True)
            words = [struct.pack("=5q2d", *head, activation.alpha, activation.beta)]
            words += [struct.pack("=5qd", *axis) for axis in axes]
            found = torch.frombuffer(bytearray(b"".join(words)), dtype=torch.int64)
            self._packed[kernel, activation] = found
        return found


_remembered = functools.lru_cache(maxsize=4096)(
    lambda input_shape, weight_shape, windows: Arguments(input_shape, weight_shape, **dict(windows))
)


def arguments(input_shape: Ints, weight_shape: Ints, **windows: Any) -> Arguments:
    """:class:`Arguments` of these values: the same object as the last time."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return Arguments(input_shape, weight_shape, **windows)
    return _remembered(input_shape, weight_shape, tuple(windows.items()))
