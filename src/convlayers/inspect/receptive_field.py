"""What each layer sees of the input: the receptive field of its units, through every branch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from torch import Tensor, nn

from convlayers.errors import ArgumentError
from convlayers.inspect.effective import effective_fields
from convlayers.inspect.sight import Sight
from convlayers.inspect.trace import Call, convolutions, inputs_of, trace

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
            input: ``high < low`` for a unit that sees nothing but border. Each axis by itself; :meth:`box` is exact
            also where a padding is so wide that a unit sees nothing along one axis.
        exact: False where an operator on the way is not known here and was taken to see everything.
        effective: where asked for, the gradient's energy of the centre unit, shaped as the input's spatial axes and
            adding up to 1; else None.

    Example:
        >>> field = receptive_field(torch.nn.Sequential(torch.nn.Conv1d(1, 1, 3, dilation=2)), (1, 8))["0"]
        >>> isinstance(field, Field), field.size, field.box((0,)), field.mask((0,)).int().tolist()
        (True, (5,), ((0, 5),), [1, 0, 1, 0, 1, 0, 0, 0])
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

    sight: Sight = field(repr=False, kw_only=True)

    @property
    def centre(self) -> Ints:
        """The unit in the middle."""
        return tuple(n // 2 for n in self.output_size)

    def box(self, unit: Sequence[int] | None = None) -> tuple[tuple[int, int], ...]:
        """The smallest box that holds what a unit sees, within the input: (start, stop) along each axis, half open.

        Args:
            unit: a position along each axis; the one in the middle unless given.
        """
        if self.sight.gaps:
            seen = self.mask(unit).nonzero()
            if not len(seen):
                return ((0, 0),) * len(self.input_size)
            return tuple(zip(seen.amin(0).tolist(), (seen.amax(0) + 1).tolist(), strict=True))
        axes = zip(self.low, self.high, self._checked(unit), strict=True)
        return tuple((low[at], high[at] + 1) for low, high, at in axes)

    def mask(self, unit: Sequence[int] | None = None) -> Tensor:
        """Exactly what a unit sees, shaped as the input's spatial axes: holes of a dilation and crosses included."""
        return self.sight.mask(self._checked(unit))

    def share(self, unit: Sequence[int] | None = None) -> float:
        """The part of the input that a unit's box covers: 1.0 is all of it."""
        return math.prod(stop - start for start, stop in self.box(unit)) / math.prod(self.input_size)

    def _checked(self, unit: Sequence[int] | None) -> Ints:
        chosen = self.centre if unit is None else tuple(unit)
        bounds = list(zip(chosen, self.output_size, strict=False))
        if len(chosen) != len(self.output_size) or not all(0 <= at < size for at, size in bounds):
            raise ArgumentError(f"unit must be a position of {'x'.join(map(str, self.output_size))}; received {unit}")
        return chosen


def receptive_field(
    model: nn.Module, size: Sequence[int] | Tensor | Sequence[Tensor], *, effective: bool = False
) -> dict[str, Field]:
    """What the units of each layer see of the input, exactly, on a graph with any branches.

    A unit sees an element where the gradient of the unit by the element can be other than 0 by the network's structure:
    the support of the gradient of a network of the same graph whose weights are positive, and whose activations,
    poolings and normalisations are linear, so that nothing cancels and nothing is switched off. Over channels it is the
    union. Batch normalisation is taken in evaluation. What mixes all positions sees all of them: a global pool, a
    squeeze-and-excitation, a linear layer over positions, an attention.

    Args:
        model: any network.
        size: of one input, channels first and without a batch, such as (3, 224, 224); or the tensors to call it with,
            the first of which counts as the input.
        effective: also the effective receptive field (Luo et al. 2016, arXiv 1701.04128): the energy of the gradient of
            the centre unit. It takes one backward pass a layer.

    Returns:
        A :class:`Field` by name, for every module without modules of its own (and convolutions called as functions), in
        the order of their calls.

    Raises:
        ValueError: for a model without a convolution, or an input that it refuses.

    Example:
        >>> layers = torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.MaxPool2d(2), torch.nn.Conv2d(4, 4, 3, dilation=2)
        >>> fields = receptive_field(torch.nn.Sequential(*layers), (1, 16, 16))
        >>> fields["2"].size, [int(stride) for stride in fields["2"].stride], fields["2"].offset
        ((12, 12), [2, 2], (-1, -1))
        >>> fields["2"].box((0, 0))
        ((0, 11), (0, 11))
    """
    inputs = inputs_of(size, 1, model)
    found = convolutions(trace(model, inputs), model)
    fields = {}
    for call in found.calls:
        seen = field_of(call, found.input_size)
        if call.leaf and seen is not None:
            fields[call.name] = seen
    if effective:
        energies = effective_fields(model, inputs, list(fields))
        fields = {name: replace(seen, effective=energies.get(name)) for name, seen in fields.items()}
    return fields


def field_of(call: Call, input_size: Ints) -> Field | None:
    """The field of a call of a trace; None where its output sees nothing of the input."""
    if call.place is None:
        return None
    sight = call.place.sight
    size, stride, offset = [], [], []
    for low, high, period in zip(sight.low, sight.high, sight.period, strict=True):
        widths = high - low if period is None else period.high - period.low
        size.append(max(int(widths.amax()) + 1, 0))
        stride.append(None if period is None else Fraction(period.step, len(period.low)))
        offset.append(None if period is None else int(period.low[0]))
    first, last = ([entry.tolist() for entry in side] for side in (sight.low, sight.high))
    names = call.name, call.kind, input_size, sight.size
    return Field(*names, tuple(size), tuple(stride), tuple(offset), tuple(first), tuple(last), sight.exact, sight=sight)
