"""Which parts of an input a prediction rests on: those that must not be covered."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from convlayers.inspect.watch import evaluating, one_input, predicted

if TYPE_CHECKING:
    from PIL.Image import Image

#: Covered inputs that the model sees at once.
BATCH = 32


def occlusion(
    model: nn.Module, input: Tensor, target: int | None = None, *, window: int | None = None, stride: int | None = None
) -> Image | Any:
    """How much the score of a class falls when a window of the input is covered (Zeiler & Fergus 2013, 1311.2901).

    Args:
        input: one input with a batch of 1, or without a batch.
        target: the class; the predicted one unless given.
        window: elements along each axis; an eighth of the input unless given.
        stride: from one window to the next; half a window unless given.

    Returns:
        The input beside the map, bright where covering it costs the class most: a PIL image (of 3-D, slices), or a
        matplotlib figure for 1-D.

    Raises:
        ValueError: for a model that gives no scores, a class that there is not, or more than one input.

    Example:
        >>> layers = torch.nn.Conv2d(1, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 2)
        >>> occlusion(torch.nn.Sequential(*layers), torch.rand(1, 16, 16)).size
        (460, 250)
    """
    from convlayers.inspect import picture

    input = one_input(model, input)
    with evaluating(model):
        target = predicted(model, input, target)
    drop = occluded(model, input, target, window=window, stride=stride)
    return picture.heat(f"class {target}: how much its score needs each part", input[0].float().cpu(), drop)


def occluded(
    model: nn.Module, input: Tensor, target: int, *, window: int | None = None, stride: int | None = None
) -> Tensor:
    """How much the score falls, for every element of the input's spatial axes: the mean over the windows that cover it.

    Args:
        input: with a batch of 1; what is covered takes the input's mean.
    """
    size = input.shape[2:]
    windows = [min(n, window or max(1, n // 8)) for n in size]
    steps = [stride or max(1, w // 2) for w in windows]
    starts = [sorted({*range(0, n - w + 1, step), n - w}) for n, w, step in zip(size, windows, steps, strict=True)]
    places: list[tuple[slice, ...]] = [
        tuple(slice(at, at + w) for at, w in zip(start, windows, strict=True)) for start in itertools.product(*starts)
    ]
    drop, count = torch.zeros(size), torch.zeros(size)
    with evaluating(model), torch.no_grad():
        whole = float(model(input)[0, target])
        for first in range(0, len(places), BATCH):
            batch = places[first : first + BATCH]
            covered = input.repeat(len(batch), *[1] * (input.dim() - 1))
            for i, place in enumerate(batch):
                covered[i][(slice(None), *place)] = input.mean()
            scores = model(covered)[:, target].float().cpu()
            for score, place in zip(scores, batch, strict=True):
                drop[place] += whole - score
                count[place] += 1
    return drop / count.clamp(min=1)
