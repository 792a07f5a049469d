"""What the page needs to show a convolution's sums: windows, weights, input channels as far as there is room."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn

from convlayers import functional, geometry
from convlayers.activations import Activation, resolve
from convlayers.inspect.page.block import LEVELS, Block
from convlayers.inspect.page.calls import Call

#: Activations that the page's arithmetic.js has.
_KNOWN = frozenset({"identity", "relu", "leaky_relu", "hardtanh", "tanh", "sigmoid", "silu", "elu"})
_FUNCTIONS = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class Sums:
    """The numbers behind one convolution's output, for some of its maps and all inputs of the page.

    Args:
        call: of the layer, its tensors with all inputs as the batch.
        shown: numbers of the output channels.
    """

    def __init__(self, call: Call, shown: list[int]) -> None:
        self.module = cast(Any, call.module)
        self.call, self.shown = call, shown
        self.rank = call.input.dim() - 2
        self.taps = math.prod(self.module.kernel_size)
        self.activation = resolve(getattr(self.module, "activation", None))
        # Of each shown output channel, the first input channel of its group.
        per_group = self.module.out_channels // self.module.groups
        self.seen = self.module.in_channels // self.module.groups
        self.first = [channel // per_group * self.seen for channel in shown]

    @staticmethod
    def fits(call: Call) -> bool:
        """Whether the layer computes a plain convolution that the page can repeat: seen by its own output."""
        if not isinstance(call.module, _CONVOLUTIONS) or call.input.dim() != call.output.dim():
            return False
        sums = Sums(call, [0])
        if not isinstance(sums.activation, Activation) or sums.activation.name not in _KNOWN:
            return False
        try:
            again = sums.activation(sums.convolve(list(range(sums.seen))) + sums.bias().view(1, -1, *[1] * sums.rank))
        except (ValueError, RuntimeError):
            return False
        return torch.allclose(
            again.float(), call.output[:, :1], rtol=1e-3, atol=1e-4 * float(call.output.abs().max()) + 1e-6
        )

    def bias(self) -> Tensor:
        """Of the shown maps, zeros where the layer has none."""
        if self.module.bias is None:
            return torch.zeros(len(self.shown))
        return self.module.bias.detach().float()[self.shown]

    def _options(self) -> dict[str, Any]:
        module = self.module
        value = getattr(module, "padding_value", 0.0)
        return {
            "stride": module.stride,
            "padding": module.padding,
            "dilation": module.dilation,
            "padding_mode": module.padding_mode,
            "padding_value": value,
        }

    def convolve(self, channels: list[int]) -> Tensor:
        """The sums over some channels of each shown map's group, in double precision, without bias."""
        input, weight = self.call.input.double(), self.module.weight.detach().double()
        maps = []
        for channel, first in zip(self.shown, self.first, strict=True):
            part = input[:, [first + c for c in channels]]
            maps.append(_FUNCTIONS[self.rank](part, weight[channel : channel + 1, channels], **self._options()))
        return torch.cat(maps, 1)

    # --- what it takes ------------------------------------------------------------------------------------------------

    def _channels(self) -> list[int]:
        """The input channels that the shown maps see."""
        return sorted({first + c for first in self.first for c in range(self.seen)})

    def need(self) -> int:
        """Bytes for all of it."""
        inputs = self.call.input[:, self._channels()]
        few = all(channel.unique().numel() <= LEVELS for maps in inputs for channel in maps)
        return inputs.numel() * (1 if few else 4) + len(self.shown) * self.seen * self.taps * 4

    def fit(self, room: int) -> tuple[Sums, list[int]]:
        """What there is room for: sums of all maps or the first of them; which of each group's channels, perhaps none.

        Where it is not all, what the channels left out add takes a number an output; half of the room is for these,
        half for the channels with the largest weights.
        """
        if self.need() <= room:
            return self, list(range(self.seen))
        map_size = self.call.output[:, :1].numel() * 4
        some = Sums(self.call, self.shown[: max(1, room // 2 // map_size)])
        plane = self.call.input[:, :1].numel() * 4 * len(set(some.first)) + len(some.shown) * self.taps * 4
        if some.need() <= room:
            return some, list(range(self.seen))
        count = max(0, min(self.seen - 1, (room - len(some.shown) * map_size) // plane))
        strength = self.module.weight.detach()[some.shown].flatten(2).square().sum((0, 2))
        return some, sorted(strength.argsort(descending=True)[:count].tolist())

    # --- what the page gets -------------------------------------------------------------------------------------------

    def describe(self, block: Block, room: int) -> dict[str, Any] | None:
        """The page's ``conv`` of a layer, for the maps that its weights are of; None where there is no room for any."""
        some, kept = self.fit(room)
        return some._describe(block, kept) if kept else None

    def _describe(self, block: Block, kept: list[int]) -> dict[str, Any]:
        channels = sorted({first + c for first in self.first for c in kept})
        place = {channel: i for i, channel in enumerate(channels)}
        weights = self.module.weight.detach().float()[self.shown][:, kept]
        rest = None
        if len(kept) < self.seen:
            others = [c for c in range(self.seen) if c not in set(kept)]
            rest = [block.add(volume(maps)) for maps in self.convolve(others).float()]
        return {
            "axes": self._axes(),
            "weights": block.add(weights.reshape(*weights.shape[:2], *cube(weights.shape[2:]))),
            "bias": block.add(self.bias()),
            "biased": self.module.bias is not None,
            "inputs": [block.add_exact(volume(maps)) for maps in self.call.input[:, channels].float()],
            "kept": channels,
            "sees": [[place[first + c] for c in kept] for first in self.first],
            "channels": self.seen,
            "rest": rest,
            "activation": self._activation(),
            "text": _text(len(kept), self.seen),
        }

    def _activation(self) -> list[Any] | None:
        assert isinstance(self.activation, Activation)
        name, _, alpha, beta = self.activation
        return None if name == "identity" else [name, alpha, beta]

    def _axes(self) -> list[dict[str, Any]]:
        """How the windows lie along depth, height and width, for arithmetic.js."""
        options, module = self._options(), self.module
        size = tuple(self.call.input.shape[2:])
        modes = geometry.padding_modes(options["padding_mode"], self.rank)
        low, high = geometry.resolve_padding(
            options["padding"], size, module.kernel_size, module.stride, module.dilation
        )
        values = geometry.padding_values(options["padding_value"], modes)
        keys = ("n", "k", "s", "d", "low", "high", "border", "value")
        axes = zip(size, module.kernel_size, module.stride, module.dilation, low, high, modes, values, strict=True)
        none = dict(zip(keys, (1, 1, 1, 1, 0, 0, "constant", 0.0), strict=True))
        return [none] * (3 - self.rank) + [dict(zip(keys, axis, strict=True)) for axis in axes]


def cube(size: Any) -> tuple[int, ...]:
    """Spatial sizes as three: depth, height, width.

    Example:
        >>> cube((8,)), cube((4, 8))
        ((1, 1, 8), (1, 4, 8))
    """
    return (1,) * (3 - len(size)) + tuple(size)


def volume(maps: Tensor) -> Tensor:
    """Maps (channels, *spatial) of any rank as (channels, depth, height, width)."""
    return maps.reshape(maps.shape[0], *cube(maps.shape[1:]))


def _text(kept: int, seen: int) -> str:
    if kept == seen:
        return ""
    which = f"This page keeps the {kept} of {seen} input channels with the largest weights"
    return f"{which}; what the others add is kept as a sum."
