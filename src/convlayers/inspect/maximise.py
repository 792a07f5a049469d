"""An input that a unit answers to most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from PIL.Image import Image


def activation_maximisation(
    model: nn.Module, layer: str, channel: int, size: Sequence[int], *, steps: int = 128, seed: int = 0
) -> Image | Any:
    """The input that a channel of a layer answers to most, found by gradient ascent from noise.

    Args:
        layer: its name.
        channel: of its output.
        size: of the input, channels first and without a batch.
        steps: of the ascent.
        seed: of the noise.
    """
    raise NotImplementedError
