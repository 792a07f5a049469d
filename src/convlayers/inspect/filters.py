"""A layer's filters as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from PIL.Image import Image


def filters(model: nn.Module, layer: str | None = None, *, limit: int = 64, tile: int = 60) -> Image | Any:
    """The filters of a convolution: blue is negative, white zero, red positive, all on one scale.

    Three input channels are shown in colour, others summed. 1-D filters are lines (a matplotlib Figure); of 3-D ones every
    slice is a tile, a row a filter.

    Args:
        layer: its name; the first convolution unless given.
        limit: filters at most.
        tile: height of one in pixels.

    Returns:
        A PIL image, or a matplotlib figure for 1-D.
    """
    raise NotImplementedError
