"""Depthwise convolution layers: every channel by itself."""

from __future__ import annotations

from typing import Any

import torch

from convlayers.activations import ActivationLike
from convlayers.geometry import IntOrInts, Padding, PaddingMode
from convlayers.init import Initialiser
from convlayers.nn.conv import Conv1d, Conv2d, Conv3d, ConvNd
from convlayers.nn.extras import check_channels


class DepthwiseConvNd(ConvNd):
    """A depthwise convolution of any rank; our convolution of that rank comes after it among a layer's bases."""

    def __init__(
        self,
        in_channels: int,
        kernel_size: IntOrInts,
        stride: IntOrInts = 1,
        padding: Padding = 0,
        dilation: IntOrInts = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        multiplier: int = 1,
        padding_value: float = 0.0,
        activation: ActivationLike = None,
        weight_init: Initialiser = None,
        bias_init: Initialiser = None,
    ) -> None:
        check_channels(1, in_channels=in_channels, multiplier=multiplier)
        super().__init__(
            in_channels,
            in_channels * multiplier,
            kernel_size,
            stride,
            padding,
            dilation,
            in_channels,
            bias,
            padding_mode,
            device,
            dtype,
            padding_value=padding_value,
            activation=activation,
            weight_init=weight_init,
            bias_init=bias_init,
        )

    @property
    def multiplier(self) -> int:
        """Output channels for each input channel."""
        return self.out_channels // self.in_channels


class DepthwiseConv1d(DepthwiseConvNd, Conv1d):
    """Depthwise convolution of signals; arguments as for :class:`DepthwiseConv2d`.

    Shape:
        input (batch, channels, length) or (channels, length) -> (batch, channels * multiplier, positions) or without
        the batch.

    Example:
        >>> DepthwiseConv1d(4, 3, padding="causal")(torch.zeros(1, 4, 10)).shape
        torch.Size([1, 4, 10])
    """


class DepthwiseConv2d(DepthwiseConvNd, Conv2d):
    """Depthwise convolution of images: every channel has ``multiplier`` kernels of its own, and channels do not mix.

    It is :class:`Conv2d` with ``groups=in_channels`` and has its ``state_dict``.

    Shape:
        input (batch, channels, height, width) or (channels, height, width) -> (batch, channels * multiplier, rows,
        columns) or without the batch; outputs c * multiplier to (c + 1) * multiplier - 1 come from channel c.

    Args:
        in_channels: channels of the input.
        kernel_size, stride, padding, dilation, bias, padding_mode, device, dtype: as for :class:`Conv2d`.
        multiplier: output channels for each input channel.
        padding_value, activation, weight_init, bias_init: as for :class:`Conv2d`.

    Raises:
        ValueError: for amounts out of range or unknown names.
        TypeError: for arguments of the wrong kind.

    Example:
        >>> layer = DepthwiseConv2d(8, 3, padding="same", multiplier=2)
        >>> layer(torch.zeros(1, 8, 16, 16)).shape, layer.weight.shape
        (torch.Size([1, 16, 16, 16]), torch.Size([16, 1, 3, 3]))

    Source:
        Howard et al.: MobileNets, 2017, arXiv 1704.04861, section 3.1.
    """


class DepthwiseConv3d(DepthwiseConvNd, Conv3d):
    """Depthwise convolution of volumes or videos; arguments as for :class:`DepthwiseConv2d`.

    Shape:
        input (batch, channels, depth, height, width) or without the batch -> (batch, channels * multiplier,
        \\*positions) or without the batch.

    Example:
        >>> DepthwiseConv3d(2, 3, padding=1)(torch.zeros(1, 2, 4, 8, 8)).shape
        torch.Size([1, 2, 4, 8, 8])
    """
