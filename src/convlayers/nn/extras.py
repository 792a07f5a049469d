"""What our convolution layers have beyond torch.nn's, shared: wider padding, an activation, initialisers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from convlayers import geometry, init
from convlayers.activations import ActivationLike, resolve
from convlayers.errors import ArgumentError, ArgumentTypeError
from convlayers.geometry import Padding, PaddingMode


def check_channels(groups: Any, **channels: Any) -> None:
    """Refuses channels below 1, and groups that do not divide them."""
    if geometry.integer("groups", groups) < 1:
        raise ArgumentError(f"groups must be at least 1; received {groups}")
    for name, count in channels.items():
        if geometry.integer(name, count) < 1:
            raise ArgumentError(f"{name} must be at least 1; received {count}")
        if count % groups:
            raise ArgumentError(f"groups must divide {name}; received {name}={count} and groups={groups}")


class Extras(_ConvNd):
    """A layer of torch.nn's convolutions, with our extras. It stands before torch's class among a layer's bases."""

    rank: int
    padding_value: float
    activation: Any
    weight_init: init.Initialiser = None
    bias_init: init.Initialiser = None

    if TYPE_CHECKING:  # torch's class comes between this one and its base, with a signature of its own.

        def __init__(self, *args: Any) -> None: ...

    def _set_extras(
        self,
        padding: Padding,
        padding_mode: PaddingMode,
        padding_value: float,
        activation: ActivationLike,
        weight_init: init.Initialiser,
        bias_init: init.Initialiser,
    ) -> None:
        """Takes the extras, once torch's constructor is through, and initialises the weights that they ask for."""
        entries = geometry.padding_entries(padding, self.rank)
        modes = geometry.padding_modes(padding_mode, self.rank)
        geometry.padding_values(padding_value, modes)
        resolve(activation)
        init.check("weight_init", weight_init)
        init.check("bias_init", bias_init)
        # A plain name or plain amounts are stored as torch stores them: tools read these attributes.
        self.padding = padding if isinstance(padding, str) else entries  # type: ignore[assignment]
        self.padding_mode = modes[0] if len(set(modes)) == 1 else modes  # type: ignore[assignment]
        self.padding_value = padding_value
        self.activation = activation
        self.weight_init, self.bias_init = weight_init, bias_init
        self._reversed_padding_repeated_twice = self._static_padding(entries)
        if weight_init is not None or bias_init is not None:
            self.reset_parameters()

    def _static_padding(self, entries: tuple[Any, ...]) -> list[int]:
        """The amounts in torch.nn.functional.pad's order; 0 where they depend on the input's size."""
        amounts: list[int] = []
        for entry, k, s, d in zip(entries, self.kernel_size, self.stride, self.dilation, strict=True):
            sized = entry in ("same", "same_lower") and s != 1
            amounts[:0] = (0, 0) if sized or self.transposed else geometry.amounts(entry, 0, k, s, d)
        return amounts

    def reset_parameters(self) -> None:
        """Draws the parameters anew: as torch does, then as ``weight_init`` and ``bias_init`` say."""
        super().reset_parameters()
        init.initialise(self.weight, self.weight_init, groups=self.groups, transposed=self.transposed)
        if self.bias is not None:
            init.initialise(self.bias, self.bias_init)

    def extra_repr(self) -> str:
        text = super().extra_repr()
        if self.padding_value != 0:
            text += f", padding_value={self.padding_value}"
        if activation := named(activation=self.activation):
            text += f", {activation}"
        return text

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        # A layer that was pickled by an earlier version, or as torch's own.
        for name, value in (("padding_value", 0.0), ("activation", None)):
            if name not in self.__dict__ and name not in self._modules:
                setattr(self, name, value)


def named(**activations: ActivationLike) -> str:
    """How a layer prints its activations; torch prints those that are modules by itself."""
    return ", ".join(
        f"{name}={getattr(activation, '__name__', activation)}"
        for name, activation in activations.items()
        if activation is not None and not isinstance(activation, nn.Module)
    )


def plain_tensor(name: str, value: Any) -> Tensor:
    """Refuses what is not a tensor."""
    if not isinstance(value, torch.Tensor):
        raise ArgumentTypeError(f"{name} must be a tensor; received {type(value).__name__}")
    return value
