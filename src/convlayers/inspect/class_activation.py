"""Where in an input a network sees a class: Grad-CAM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from convlayers.inspect.watch import convolutions_of, evaluating, layer_of, one_input, predicted

if TYPE_CHECKING:
    from PIL.Image import Image


def class_activation_map(
    model: nn.Module, input: Tensor, target: int | None = None, *, layer: str | None = None
) -> Image | Any:
    """Grad-CAM (Selvaraju et al. 2016, arXiv 1610.02391) laid over the input; through captum.

    Args:
        input: one input with a batch of 1, or without a batch.
        target: the class; the predicted one unless given.
        layer: its name; the last convolution unless given.

    Returns:
        The input beside the map: a PIL image (of 3-D, slices), or a matplotlib figure for 1-D.

    Raises:
        ValueError: for a model without a convolution or that gives no scores, a layer or a class that there is not, or
            more than one input.

    Example:
        >>> layers = torch.nn.Conv2d(1, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 2)
        >>> class_activation_map(torch.nn.Sequential(*layers), torch.rand(1, 16, 16)).size
        (460, 250)
    """
    from convlayers.inspect import picture

    input = one_input(model, input)
    name = layer or list(convolutions_of(model))[-1]
    with evaluating(model):
        target = predicted(model, input, target)
    weights = grad_cam(model, input, target, name)
    return picture.heat(f"class {target} as {name} sees it", input[0].float().cpu(), weights)


def grad_cam(model: nn.Module, input: Tensor, target: int, layer: str) -> Tensor:
    """The map itself, shaped as the input's spatial axes, from 0.

    Args:
        input: with a batch of 1.
    """
    from captum.attr import LayerAttribution, LayerGradCam

    with evaluating(model), torch.enable_grad():
        method = LayerGradCam(model, layer_of(model, layer))
        found = method.attribute(input.detach().clone().requires_grad_(), target, relu_attributions=True)
    size = tuple(input.shape[2:])
    mode = ("linear", "bilinear", "trilinear")[len(size) - 1]
    return LayerAttribution.interpolate(found.detach(), size, mode)[0, 0].float().cpu()
