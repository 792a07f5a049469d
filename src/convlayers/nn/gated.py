"""Gated convolution: half of the channels decide how much of the other half passes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from convlayers.activations import ActivationLike, resolve
from convlayers.geometry import IntOrInts, Padding, PaddingMode
from convlayers.init import Initialiser
from convlayers.nn.conv import Conv1d, Conv2d, Conv3d
from convlayers.nn.extras import check_channels, named
from convlayers.ops.layout import in_layout_of


class GatedConvNd(nn.Module):
    """A gated convolution of any rank; ``conv`` has features and gates of each group side by side."""

    _conv: type

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
        padding_value: float = 0.0,
        activation: ActivationLike = None,
        gate: ActivationLike = "sigmoid",
        weight_init: Initialiser = None,
        bias_init: Initialiser = None,
    ) -> None:
        super().__init__()
        check_channels(groups, in_channels=in_channels, out_channels=out_channels)
        resolve(activation)
        resolve(gate, "gate")
        self.conv = self._conv(
            in_channels,
            2 * out_channels,
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
            weight_init=weight_init,
            bias_init=bias_init,
        )
        self.activation, self.gate = activation, gate

    def forward(self, input: Tensor, mask: Tensor | None = None) -> Tensor:
        """The gated convolution of the input; ``mask`` as for :meth:`Conv2d.forward`."""
        both = self.conv(input, mask)
        channel = both.dim() - self.conv.rank - 1
        parts = both.unflatten(channel, (self.conv.groups, 2, -1)).unbind(channel + 1)
        features, gates = (part.flatten(channel, channel + 1) for part in parts)
        output = resolve(self.activation)(features) * resolve(self.gate)(gates)
        if channel == 1:  # Of several groups, the parts are contiguous copies.
            output = in_layout_of(both, output)
        if mask is not None:  # An activation may turn the 0 of what is not real into something else.
            real = self.conv.output_mask(mask)
            output = torch.where(real if real.dim() == output.dim() else real.unsqueeze(channel), output, 0)
        return output

    def output_mask(self, mask: Tensor) -> Tensor:
        """The mask for the layer's output: where it belongs to a sample."""
        return self.conv.output_mask(mask)

    def extra_repr(self) -> str:
        return named(activation=self.activation, gate=self.gate)


class GatedConv1d(GatedConvNd):
    """Gated convolution of signals; arguments as for :class:`GatedConv2d`.

    Shape:
        input (batch, in_channels, length) or (in_channels, length) -> (batch, out_channels, positions) or without the
        batch.

    Example:
        >>> GatedConv1d(4, 6, 3, padding="causal", dilation=4, activation="tanh")(torch.zeros(1, 4, 20)).shape
        torch.Size([1, 6, 20])
    """

    _conv = Conv1d


class GatedConv2d(GatedConvNd):
    """Gated convolution of images: activation(features) * gate(gates), both convolutions of the same input.

    Without an activation it is the gated linear unit (Dauphin 2017); with ``activation='tanh'`` the gated unit of
    PixelCNN and WaveNet (van den Oord 2016).

    Shape:
        input (batch, in_channels, height, width) or (in_channels, height, width) -> (batch, out_channels, rows,
        columns) or without the batch.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype,
            padding_value, weight_init, bias_init: as for :class:`Conv2d`.
        activation: of the features; None leaves them as they are.
        gate: of the gates.

    Raises:
        ValueError: for amounts out of range or unknown names.
        TypeError: for arguments of the wrong kind.

    Example:
        >>> layer = GatedConv2d(3, 8, 3, padding="same")
        >>> layer(torch.zeros(1, 3, 16, 16)).shape
        torch.Size([1, 8, 16, 16])

    Source:
        Dauphin, Fan, Auli, Grangier: Language modeling with gated convolutional networks, 2017, arXiv 1612.08083,
        section 2; van den Oord et al.: Conditional image generation with PixelCNN decoders, 2016, arXiv 1606.05328,
        section 2.1.
    """

    _conv = Conv2d


class GatedConv3d(GatedConvNd):
    """Gated convolution of volumes or videos; arguments as for :class:`GatedConv2d`.

    Shape:
        input (batch, in_channels, depth, height, width) or without the batch -> (batch, out_channels, \\*positions) or
        without the batch.

    Example:
        >>> GatedConv3d(1, 2, 3, padding=1)(torch.zeros(1, 1, 4, 5, 6)).shape
        torch.Size([1, 2, 4, 5, 6])
    """

    _conv = Conv3d
