"""Convolution layers: one for any rank, and its three names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin

from convlayers import geometry
from convlayers.activations import ActivationLike
from convlayers.errors import ArgumentError
from convlayers.functional import conv
from convlayers.functional.mask import check_mask, output_mask
from convlayers.geometry import IntOrInts, Padding, PaddingMode
from convlayers.init import Initialiser
from convlayers.nn.extras import Extras, check_channels, plain_tensor


class ConvNd(Extras):
    """A convolution of any rank; torch.nn's class of that rank comes after it among a layer's bases."""

    _function: Callable[..., Tensor]

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
        weight_init: Initialiser = None,
        bias_init: Initialiser = None,
    ) -> None:
        if not isinstance(self, LazyModuleMixin):  # Those learn their channels later.
            check_channels(groups, in_channels=in_channels, out_channels=out_channels)
        super().__init__(
            in_channels,
            out_channels,
            geometry.integers("kernel_size", kernel_size, self.rank, least=1),
            geometry.integers("stride", stride, self.rank, least=1),
            0,
            geometry.integers("dilation", dilation, self.rank, least=1),
            groups,
            bias,
            "zeros",
            device,
            dtype,
        )
        self._set_extras(padding, padding_mode, padding_value, activation, weight_init, bias_init)

    def forward(self, input: Tensor, mask: Tensor | None = None) -> Tensor:
        """The convolution of the input.

        Args:
            mask: for samples of different sizes in one batch: boolean, True where there is data, of the input's shape
                without its channels. What it leaves out counts as padding, whatever it holds, and outputs that do not
                belong to a sample are 0: each sample gives what it would give alone. :meth:`output_mask` says which.
        """
        if mask is not None:
            return self._masked(input, mask)
        return self._conv_forward(input, self.weight, self.bias)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return type(self)._function(
            input,
            weight,
            bias,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            padding_mode=self.padding_mode,
            padding_value=self.padding_value,
            activation=self.activation,
        )

    def output_mask(self, mask: Tensor) -> Tensor:
        """The mask for the layer's output: where it belongs to a sample.

        Shape:
            mask (batch, \\*spatial) or (batch, 1, \\*spatial) -> the same with the output's sizes.
        """
        return output_mask(mask, self.kernel_size, self.stride, self.padding, self.dilation, rank=self.rank)

    def _masked(self, input: Tensor, mask: Tensor) -> Tensor:
        values = set(geometry.padding_values(self.padding_value, geometry.padding_modes(self.padding_mode, self.rank)))
        if len(values) > 1 or not {"zeros", "constant"}.issuperset(self._modes()):
            raise ArgumentError(
                "mask needs one constant beyond the border of every axis, since a sample's border lies inside its "
                f"frame; received padding_mode={self.padding_mode!r}. Use 'zeros' or 'constant'"
            )
        mask = check_mask(mask, plain_tensor("input", input), self.rank)
        output = self._conv_forward(torch.where(mask, input, values.pop()), self.weight, self.bias)
        return torch.where(self.output_mask(mask), output, 0)

    def _modes(self) -> tuple[str, ...]:
        return geometry.padding_modes(self.padding_mode, self.rank)


class Conv1d(ConvNd, nn.Conv1d):
    """Convolution of signals; arguments as for :class:`Conv2d`.

    Shape:
        input (batch, in_channels, length) or (in_channels, length) -> (batch, out_channels, positions) or without the
        batch.

    Example:
        >>> layer = Conv1d(2, 4, 3, padding="causal", dilation=2)
        >>> layer(torch.zeros(1, 2, 10)).shape
        torch.Size([1, 4, 10])

    Source:
        van den Oord et al.: WaveNet, 2016, arXiv 1609.03499, section 2.1 (causal, dilated).
    """

    rank = 1
    _function = staticmethod(conv.conv1d)


class Conv2d(ConvNd, nn.Conv2d):
    """Convolution of images: torch.nn.Conv2d, with every border, an activation and initialisers.

    Shape:
        input (batch, in_channels, height, width) or (in_channels, height, width) -> (batch, out_channels, rows,
        columns) or without the batch, in the input's layout (contiguous or channels last).

    Args:
        in_channels, out_channels: channels of the input and of the result.
        kernel_size: taps along each axis; one integer for all, or one each.
        stride: elements from one window to the next.
        padding: elements put around the input: an amount, an amount or a pair ``(low, high)`` an axis (negative amounts
            crop), ``'valid'``, ``'same'``, ``'same_lower'``, ``'full'``, ``'causal'``, or a tuple that mixes them, one
            an axis; see :func:`convlayers.functional.conv2d`.
        dilation: distance between the taps of a window.
        groups: channels are cut into this many groups that do not see each other.
        bias: whether to add a learned constant to each output channel.
        padding_mode: ``'zeros'``, ``'constant'``, ``'reflect'``, ``'replicate'`` or ``'circular'``; a tuple gives one
            an axis.
        device, dtype: of the parameters.
        padding_value: the constant of ``'constant'``.
        activation: applied to the result: a name such as ``'relu'``, a module or a callable.
        weight_init, bias_init: a name such as ``'he_normal'``, a number or a callable; see :mod:`convlayers.init`.
            Without one, torch's default.

    Raises:
        ValueError: for amounts out of range, groups that do not divide the channels, unknown names.
        TypeError: for arguments of the wrong kind.

    Example:
        >>> layer = Conv2d(3, 10, 5, padding="same")
        >>> layer(torch.zeros(1, 3, 32, 32)).shape
        torch.Size([1, 10, 32, 32])
        >>> sum(p.numel() for p in layer.parameters())
        760
        >>> Conv2d(3, 8, 3, 2, padding="same", padding_mode="reflect", activation="relu", weight_init="he_normal")
        Conv2d(3, 8, kernel_size=(3, 3), stride=(2, 2), padding=same, padding_mode=reflect, activation=relu)

    Source:
        LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document recognition, 1998, section II.
    """

    rank = 2
    _function = staticmethod(conv.conv2d)


class Conv3d(ConvNd, nn.Conv3d):
    """Convolution of volumes or videos; arguments as for :class:`Conv2d`.

    Shape:
        input (batch, in_channels, depth, height, width) or without the batch -> (batch, out_channels, \\*positions) or
        without the batch.

    Example:
        >>> layer = Conv3d(1, 4, 3, padding=("causal", 1, 1))
        >>> layer(torch.zeros(1, 1, 8, 16, 16)).shape
        torch.Size([1, 4, 8, 16, 16])
    """

    rank = 3
    _function = staticmethod(conv.conv3d)
