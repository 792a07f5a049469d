"""What an input looks like after each layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from convlayers.inspect.watch import convolutions_of, evaluating, one_input, outputs_of

if TYPE_CHECKING:
    from PIL.Image import Image


def activations(model: nn.Module, input: Tensor, layers: Sequence[str] | None = None) -> dict[str, Tensor]:
    """The outputs of layers, by name, as the model computes them for an input.

    Args:
        input: with its batch, as the model takes it.
        layers: names as ``model.named_modules()`` has them; every convolution unless given.

    Raises:
        ValueError: for a model without a convolution, or a layer that there is not.

    Example:
        >>> layers = torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 2, 3)
        >>> [tuple(t.shape) for t in activations(torch.nn.Sequential(*layers), torch.zeros(1, 1, 8, 8)).values()]
        [(1, 4, 6, 6), (1, 2, 4, 4)]
    """
    chosen = list(convolutions_of(model)) if layers is None else layers
    with evaluating(model), torch.no_grad():
        return outputs_of(model, (input,), chosen)


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

    Raises:
        ValueError: for a model without a convolution, a layer that there is not, or more than one input.

    Example:
        >>> layers = torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 2, 3)
        >>> feature_maps(torch.nn.Sequential(*layers), torch.rand(1, 8, 8)).size
        (284, 272)
    """
    from convlayers.inspect import picture

    input = one_input(model, input)
    rows = [("input", input[0].detach().float().cpu())] if input.is_floating_point() else []
    rank = input.dim() - 2 if rows else input.dim() - 1
    for name, output in activations(model, input, layers).items():
        if output.dim() == rank + 2 and max(output.shape[2:]) > 1:
            size = "x".join(map(str, output.shape[2:]))
            rows.append((f"{name}: {output.shape[1]} maps of {size}", output[0].float().cpu()))
    shown = []
    for title, maps in rows:
        order = maps.flatten(1).std(1, correction=0).argsort(descending=True)[:channels]
        shown.append((title, maps[order]))
    if rank == 1:
        return picture.lines(shown, share=False)
    strips = []
    for title, maps in shown:
        planes = maps if rank == 2 else maps[:, maps.shape[1] // 2]
        tiles = [picture.tile(picture.colours(picture.scaled(m).numpy(), picture.SEQUENTIAL), tile) for m in planes]
        strips.append((title, picture.grid(tiles, len(tiles))))
    return picture.strips(strips)
