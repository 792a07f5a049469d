"""One example of every layer, for the tests that all layers must pass: arguments, and an input that fits."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import convlayers.nn

#: Family -> the arguments of its layers, in one to three dimensions.
FAMILIES: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    # torch.nn has these, too.
    "Conv": ((4, 6, 3), {"stride": 2, "padding": 1, "groups": 2}),
    "ConvTranspose": ((4, 6, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
    "LazyConv": ((6, 3), {"padding": "same", "dilation": 2}),
    "LazyConvTranspose": ((6, 3), {"stride": 2, "bias": False}),
    "BatchNorm": ((4,), {"eps": 1e-4, "momentum": None}),
    "MaxPool": ((3, 2, 1), {"ceil_mode": True}),
    "AvgPool": ((3, 2, 1), {"count_include_pad": False}),
    "LPPool": ((2, 3), {"stride": 2}),
    "AdaptiveMaxPool": ((3,), {}),
    "AdaptiveAvgPool": ((3,), {}),
    "FractionalMaxPool": ((2,), {"output_size": 3}),
    "MaxUnpool": ((2,), {}),
    # These it lacks.
    "BlurPool": ((3,), {"padding_mode": "replicate"}),
    "ConvBlock": ((4, 6, 3), {"norm": "batch", "activation": "silu", "pool": "max", "dropout": 0.25}),
    "DepthwiseConv": ((4, 3), {"multiplier": 2, "padding": "same", "activation": "relu"}),
    "GatedConv": ((4, 6, 3), {"padding": "causal", "activation": "tanh", "groups": 2}),
    "GlobalAvgPool": ((), {}),
    "GlobalMaxPool": ((), {"keepdim": False}),
    "LocallyConnected": ((4, 6, 6, 3), {"padding": 1, "stride": 2, "activation": "relu"}),
    "PartialConv": ((4, 6, 3), {"padding": "same"}),
    "SeparableConv": ((4, 6, 3), {"padding": "same", "depth_multiplier": 2, "activation": nn.ELU(0.5)}),
    "StandardizedConv": ((4, 6, 3), {"padding": 1, "padding_mode": "reflect"}),
}


class Case(NamedTuple):
    """A layer and the arguments that it is built with here."""

    family: str
    rank: int

    @property
    def name(self) -> str:
        return f"{self.family}{self.rank}d"

    @property
    def in_torch(self) -> bool:
        return hasattr(nn, self.name)

    def build(self, library: Any = convlayers.nn) -> nn.Module:
        """The layer, from ours or from torch.nn; the same parameters from both."""
        args, kwargs = FAMILIES[self.family]
        torch.manual_seed(0)
        return getattr(library, self.name)(*args, **kwargs)

    def inputs(self, dtype: torch.dtype = torch.float32, **kwargs: Any) -> tuple[Tensor, ...]:
        """What its forward takes; a batch of 2."""
        generator = torch.Generator().manual_seed(self.rank)
        x = torch.randn(2, 4, *[6] * self.rank, generator=generator).to(dtype=dtype, **kwargs)
        if self.family != "MaxUnpool":
            return (x,)
        pool = (nn.functional.max_pool1d, nn.functional.max_pool2d, nn.functional.max_pool3d)[self.rank - 1]
        pooled, indices = pool(x, 2, return_indices=True)
        return pooled.to(dtype=dtype, **kwargs), indices.to(**kwargs)

    def __str__(self) -> str:
        return self.name


#: Every layer that convlayers.nn exports whose family is known; a test asserts that this is every layer.
CASES = [Case(name[:-2], int(name[-2])) for name in convlayers.nn.__all__ if name[:-2] in FAMILIES]


def seeded(layer: nn.Module, *inputs: Tensor) -> Tensor:
    """The layer's result, where chance plays a part always the same."""
    torch.manual_seed(1)
    return layer(*inputs)
