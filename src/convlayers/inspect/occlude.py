"""Which parts of an input a prediction rests on: those that must not be covered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    from PIL.Image import Image


def occlusion(
    model: nn.Module, input: Tensor, target: int | None = None, *, window: int | None = None, stride: int | None = None
) -> Image | Any:
    """How much the score of a class falls when a window of the input is covered (Zeiler & Fergus 2013, 1311.2901).

    Args:
        input: one input with a batch of 1, or without a batch.
        target: the class; the predicted one unless given.
        window: elements along each axis; an eighth of the input unless given.
        stride: from one window to the next; half a window unless given.
    """
    raise NotImplementedError
