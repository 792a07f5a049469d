"""What each layer sees of the input: the receptive field of its units, through every branch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor, nn

Ints = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Field:
    """What the units of one layer see of the input, along the input's spatial axes (and over all channels).

    A unit is a position of the layer's output along the input's axes, one entry an axis; where the layer has no
    position along an axis any more (after a flattening, say), that entry is 0.

    Attributes:
        name: the layer, as ``model.named_modules()`` has it; with ``#2`` after it for its second call, and so on.
        kind: its class.
        input_size: of the network's input, its spatial axes alone.
        output_size: how many positions the layer's output has along each of these axes.
        size: elements from the first that a unit may see to the last, the border's included: so it may exceed the
            input. Of the widest units where they differ (behind a transposed convolution).
        stride: how many elements further the next unit sees; a fraction behind upsampling. None where there is no
            such number: behind an attention, or where branches of different steps meet.
        offset: where the field of the unit 0 begins; negative where it begins in the border. None as ``stride``.
        low, high: for each axis and each unit along it, the first input element that it sees and the last, within the
            input: ``high < low`` for a unit that sees nothing but border.
        exact: False where an operator on the way is not known here and was taken to see everything.
        effective: where asked for, the gradient's energy of the centre unit, shaped as the input's spatial axes and
            adding up to 1; else None.
    """

    name: str
    kind: str
    input_size: Ints
    output_size: Ints
    size: Ints
    stride: tuple[Fraction | None, ...]
    offset: tuple[int | None, ...]
    low: tuple[Sequence[int], ...]
    high: tuple[Sequence[int], ...]
    exact: bool
    effective: Tensor | None = None

    @property
    def centre(self) -> Ints:
        """The unit in the middle."""
        return tuple(n // 2 for n in self.output_size)

    def box(self, unit: Sequence[int] | None = None) -> tuple[tuple[int, int], ...]:
        """The smallest box that holds what a unit sees, within the input: (start, stop) along each axis, half open.

        Args:
            unit: a position along each axis; the one in the middle unless given.
        """
        raise NotImplementedError

    def mask(self, unit: Sequence[int] | None = None) -> Tensor:
        """Exactly what a unit sees, shaped as the input's spatial axes: holes of a dilation and crosses included."""
        raise NotImplementedError

    def share(self, unit: Sequence[int] | None = None) -> float:
        """The part of the input that a unit's box covers: 1.0 is all of it."""
        raise NotImplementedError


def receptive_field(
    model: nn.Module, size: Sequence[int] | Tensor | Sequence[Tensor], *, effective: bool = False
) -> dict[str, Field]:
    """What the units of each layer see of the input, exactly, on a graph with any branches.

    Args:
        model: any network.
        size: of one input, channels first and without a batch, such as (3, 224, 224); or the tensors to call it with,
            the first of which counts as the input.
        effective: also the effective receptive field (Luo et al. 2016, arXiv 1701.04128): the energy of the gradient of
            the centre unit. It takes one backward pass a layer.

    Returns:
        A :class:`Field` by name, for every module without modules of its own, in the order of their calls.
    """
    raise NotImplementedError
