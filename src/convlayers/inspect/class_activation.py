"""Where in an input a network sees a class: Grad-CAM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

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
    """
    raise NotImplementedError
