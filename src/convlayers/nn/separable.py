"""Depthwise-separable convolution layers: space first, each channel by itself, then channels, each pixel by itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from convlayers.activations import ActivationLike
from convlayers.geometry import IntOrInts, Padding, PaddingMode
from convlayers.init import Initialiser
from convlayers.nn.conv import Conv1d, Conv2d, Conv3d
from convlayers.nn.depthwise import DepthwiseConv1d, DepthwiseConv2d, DepthwiseConv3d
from convlayers.nn.extras import check_channels


class SeparableConvNd(nn.Module):
    """A separable convolution of any rank: ``depthwise``, without a bias, then ``pointwise``."""

    _depthwise: type
    _pointwise: type

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrInts,
        stride: IntOrInts = 1,
        padding: Padding = 0,
        dilation: IntOrInts = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        depth_multiplier: int = 1,
        padding_value: float = 0.0,
        activation: ActivationLike = None,
        weight_init: Initialiser = None,
        bias_init: Initialiser = None,
    ) -> None:
        super().__init__()
        check_channels(1, in_channels=in_channels, out_channels=out_channels, depth_multiplier=depth_multiplier)
        self.depthwise = self._depthwise(
            in_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            False,
            padding_mode,
            device,
            dtype,
            multiplier=depth_multiplier,
            padding_value=padding_value,
            weight_init=weight_init,
        )
        self.pointwise = self._pointwise(
            in_channels * depth_multiplier,
            out_channels,
            1,
            bias=bias,
            device=device,
            dtype=dtype,
            activation=activation,
            weight_init=weight_init,
            bias_init=bias_init,
        )

    def forward(self, input: Tensor, mask: Tensor | None = None) -> Tensor:
        """The separable convolution of the input; ``mask`` as for :meth:`Conv2d.forward`."""
        hidden = self.depthwise(input, mask)
        return self.pointwise(hidden, None if mask is None else self.output_mask(mask))

    def output_mask(self, mask: Tensor) -> Tensor:
        """The mask for the layer's output: where it belongs to a sample."""
        return self.depthwise.output_mask(mask)


class SeparableConv1d(SeparableConvNd):
    """Depthwise-separable convolution of signals; arguments as for :class:`SeparableConv2d`.

    Shape:
        input (batch, in_channels, length) or (in_channels, length) -> (batch, out_channels, positions) or without the
        batch.

    Example:
        >>> SeparableConv1d(4, 6, 3, padding="same")(torch.zeros(1, 4, 10)).shape
        torch.Size([1, 6, 10])
    """

    _depthwise, _pointwise = DepthwiseConv1d, Conv1d


class SeparableConv2d(SeparableConvNd):
    """Depthwise-separable convolution of images: a :class:`DepthwiseConv2d`, then a 1 x 1 convolution.

    With k x k taps it has about k * k times fewer parameters and products than the dense layer.

    Shape:
        input (batch, in_channels, height, width) or (in_channels, height, width) -> (batch, out_channels, rows,
        columns) or without the batch.

    Args:
        in_channels, out_channels: channels of the input and of the result.
        kernel_size, stride, padding, dilation, padding_mode, padding_value: of the depthwise step, as for
            :class:`Conv2d`.
        bias, activation, bias_init: of the pointwise step.
        device, dtype, weight_init: of both.
        depth_multiplier: channels between the steps for each input channel.

    Raises:
        ValueError: for amounts out of range or unknown names.
        TypeError: for arguments of the wrong kind.

    Example:
        >>> layer = SeparableConv2d(16, 32, 3, padding="same")
        >>> layer(torch.zeros(1, 16, 8, 8)).shape, sum(p.numel() for p in layer.parameters())
        (torch.Size([1, 32, 8, 8]), 688)

    Source:
        Chollet: Xception, 2017, arXiv 1610.02357, section 2.
    """

    _depthwise, _pointwise = DepthwiseConv2d, Conv2d


class SeparableConv3d(SeparableConvNd):
    """Depthwise-separable convolution of volumes or videos; arguments as for :class:`SeparableConv2d`.

    Shape:
        input (batch, in_channels, depth, height, width) or without the batch -> (batch, out_channels, \\*positions) or
        without the batch.

    Example:
        >>> SeparableConv3d(4, 6, 3, padding=1)(torch.zeros(1, 4, 5, 6, 7)).shape
        torch.Size([1, 6, 5, 6, 7])
    """

    _depthwise, _pointwise = DepthwiseConv3d, Conv3d
