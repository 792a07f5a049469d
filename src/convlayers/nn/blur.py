"""Blur pooling as a layer, in one to three dimensions."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from convlayers.functional import blur
from convlayers.geometry import IntOrInts, Padding, PaddingMode


class _BlurPool(nn.Module):
    """Blur pooling of any rank; no parameters, nothing in the ``state_dict``."""

    _function: Callable[..., Tensor]

    def __init__(
        self,
        kernel_size: IntOrInts = 4,
        stride: IntOrInts = 2,
        padding: Padding | None = None,
        *,
        padding_mode: PaddingMode = "reflect",
        padding_value: float = 0.0,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.padding_mode = padding_mode
        self.padding_value = padding_value

    def forward(self, input: Tensor) -> Tensor:
        return type(self)._function(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            padding_mode=self.padding_mode,
            padding_value=self.padding_value,
        )

    def extra_repr(self) -> str:
        value = f", padding_value={self.padding_value}" if self.padding_value else ""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"padding_mode={self.padding_mode}{value}"
        )


class BlurPool1d(_BlurPool):
    """Every ``stride``-th element of a blurred signal; see :func:`convlayers.functional.blur_pool2d`.

    Shape:
        input (batch, channels, length) or (channels, length).

    Example:
        >>> BlurPool1d(3)
        BlurPool1d(kernel_size=3, stride=2, padding=None, padding_mode=reflect)
    """

    _function = staticmethod(blur.blur_pool1d)


class BlurPool2d(_BlurPool):
    """Every ``stride``-th pixel of a blurred picture; see :func:`convlayers.functional.blur_pool2d`.

    Shape:
        input (batch, channels, height, width) or (channels, height, width).

    Example:
        >>> import torch
        >>> BlurPool2d()(torch.ones(3, 7, 8)).shape
        torch.Size([3, 4, 4])

    Source:
        Zhang: Making convolutional networks shift-invariant again, 2019, arXiv 1904.11486, section 3.2.
    """

    _function = staticmethod(blur.blur_pool2d)


class BlurPool3d(_BlurPool):
    """Every ``stride``-th element of a blurred volume; see :func:`convlayers.functional.blur_pool2d`.

    Shape:
        input (batch, channels, depth, height, width) or without the batch.

    Example:
        >>> BlurPool3d(3).stride
        2
    """

    _function = staticmethod(blur.blur_pool3d)
