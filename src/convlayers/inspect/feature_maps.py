"""What an input looks like after each layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    from PIL.Image import Image


def activations(model: nn.Module, input: Tensor, layers: Sequence[str] | None = None) -> dict[str, Tensor]:
    """The outputs of layers, by name, as the model computes them for an input.

    Args:
        input: with its batch, as the model takes it.
        layers: names as ``model.named_modules()`` has them; every convolution unless given.
    """
    raise NotImplementedError


def feature_maps(
    model: nn.Module, input: Tensor, layers: Sequence[str] | None = None, *, channels: int = 12, tile: int = 64
) -> Image | Any:
    """One input after each layer, a row a layer: dark is little, bright is much; the channels that vary most.

    Args:
        input: one input with a batch of 1, or without a batch.
        layers: names; every convolution unless given.
        channels: of each layer, at most.
        tile: height of a map in pixels.

    Returns:
        A PIL image (of 3-D maps, the middle slice), or a matplotlib figure for 1-D.
    """
    raise NotImplementedError
