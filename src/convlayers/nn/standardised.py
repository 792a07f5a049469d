"""Weight-standardised convolution: every filter with mean 0 and variance 1."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from convlayers.activations import ActivationLike
from convlayers.errors import ArgumentError, ArgumentTypeError
from convlayers.geometry import IntOrInts, Padding, PaddingMode
from convlayers.init import Initialiser
from convlayers.nn.conv import Conv1d, Conv2d, Conv3d, ConvNd


class StandardizedConvNd(ConvNd):
    """A weight-standardised convolution of any rank; our convolution of that rank comes after it among the bases."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrInts,
        stride: IntOrInts = 1,
        padding: Padding = 0,
        dilation: IntOrInts = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        eps: float = 1e-5,
        padding_value: float = 0.0,
        activation: ActivationLike = None,
        weight_init: Initialiser = None,
        bias_init: Initialiser = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
            padding_value=padding_value,
            activation=activation,
            weight_init=weight_init,
            bias_init=bias_init,
        )
        if isinstance(eps, bool) or not isinstance(eps, int | float):
            raise ArgumentTypeError(f"eps must be a number; received {eps!r}")
        if not eps > 0:
            raise ArgumentError(f"eps must be greater than 0; received {eps}")
        self.eps = eps

    def standardised_weight(self) -> Tensor:
        """The weight that the convolution takes: each filter less its mean, divided by its standard deviation."""
        axes = tuple(range(1, self.weight.dim()))
        variance, mean = torch.var_mean(self.weight, axes, correction=0, keepdim=True)
        return (self.weight - mean) * torch.rsqrt(variance + self.eps)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(input, self.standardised_weight(), bias)


class StandardizedConv1d(StandardizedConvNd, Conv1d):
    """Weight-standardised convolution of signals; arguments as for :class:`StandardizedConv2d`.

    Shape:
        input (batch, in_channels, length) or (in_channels, length) -> (batch, out_channels, positions) or without the
        batch.

    Example:
        >>> StandardizedConv1d(4, 6, 3, padding="same")(torch.zeros(1, 4, 10)).shape
        torch.Size([1, 6, 10])
    """


class StandardizedConv2d(StandardizedConvNd, Conv2d):
    """Weight-standardised convolution of images, which makes group normalisation train as batch normalisation does.

    The state_dict is that of :class:`Conv2d`; the filters are standardised on their way into the convolution.

    Shape:
        input (batch, in_channels, height, width) or (in_channels, height, width) -> (batch, out_channels, rows,
        columns) or without the batch.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype,
            padding_value, activation, weight_init, bias_init: as for :class:`Conv2d`.
        eps: added to a filter's variance.

    Raises:
        ValueError: for amounts out of range or unknown names.
        TypeError: for arguments of the wrong kind.

    Example:
        >>> layer = StandardizedConv2d(3, 8, 3, padding="same")
        >>> weight = layer.standardised_weight()
        >>> bool(weight.mean((1, 2, 3)).abs().max() < 1e-6), layer(torch.zeros(1, 3, 16, 16)).shape
        (True, torch.Size([1, 8, 16, 16]))

    Source:
        Qiao, Wang, Liu, Shen, Yuille: Weight standardization, 2019, arXiv 1903.10520, section 3.1.
    """


class StandardizedConv3d(StandardizedConvNd, Conv3d):
    """Weight-standardised convolution of volumes; arguments as for :class:`StandardizedConv2d`.

    Shape:
        input (batch, in_channels, depth, height, width) or without the batch -> (batch, out_channels, \\*positions) or
        without the batch.

    Example:
        >>> StandardizedConv3d(1, 2, 3, padding=1)(torch.zeros(1, 1, 4, 5, 6)).shape
        torch.Size([1, 2, 4, 5, 6])
    """
