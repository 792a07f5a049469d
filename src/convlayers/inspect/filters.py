"""A layer's filters as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from convlayers.errors import ArgumentError
from convlayers.inspect.watch import convolutions_of, layer_of

if TYPE_CHECKING:
    from PIL.Image import Image


def filters(model: nn.Module, layer: str | None = None, *, limit: int = 64, tile: int = 60) -> Image | Any:
    """The filters of a convolution: blue is negative, white zero, red positive, all on one scale.

    Three input channels are shown as red, green and blue, grey being zero; others are summed. 1-D filters are lines (a
    matplotlib figure); of 3-D ones every slice is a tile, a row a filter.

    Args:
        layer: its name; the first convolution unless given.
        limit: filters at most.
        tile: height of one in pixels.

    Returns:
        A PIL image, or a matplotlib figure for 1-D.

    Raises:
        ValueError: for a model without a convolution, or a layer that there is not or that is none.

    Example:
        >>> filters(torch.nn.Sequential(torch.nn.Conv2d(3, 16, 5))).size
        (516, 132)
    """
    from convlayers.inspect import picture

    convolutions = convolutions_of(model)
    if layer is None:
        layer = next(iter(convolutions))
    elif layer_of(model, layer) is not convolutions.get(layer):
        raise ArgumentError(f"layer must be a convolution, one of {', '.join(convolutions)}; received {layer!r}")
    module = convolutions[layer]
    weight = module.weight.detach().float().cpu()
    bank = (weight.transpose(0, 1) if module.transposed else weight)[:limit]  # (filters, channels, *kernel)
    summed = bank.sum(1)
    bound = float(summed.abs().max())
    if summed.dim() == 2:
        rows = [(f"{layer}: filter {i}", taps) for i, taps in enumerate(summed)]
        return picture.lines(rows, share=True, columns=min(8, len(rows)))
    if summed.dim() == 4:
        tiles = [picture.tile(picture.signed(part, bound), tile) for volume in summed for part in volume]
        return picture.grid(tiles, summed.shape[1])
    if bank.shape[1] == 3:
        bound = float(bank.abs().max())
        pixels = [(255 * (f / max(bound, 1e-12) / 2 + 0.5)).permute(1, 2, 0).round().byte().numpy() for f in bank]
    else:
        pixels = [picture.signed(f, bound) for f in summed]
    return picture.grid([picture.tile(one, tile) for one in pixels], 8)
