"""Layers that learn how many channels their input has from the first one that they see."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from convlayers import geometry
from convlayers.activations import ActivationLike
from convlayers.functional.arguments import batched
from convlayers.geometry import IntOrInts, Padding, PaddingMode
from convlayers.init import Initialiser
from convlayers.nn.conv import Conv1d, Conv2d, Conv3d
from convlayers.nn.extras import Extras, check_channels
from convlayers.nn.transpose import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d


class _Lazy(Extras):
    """What lazy layers share; torch.nn's lazy class and our own layer come after it among a layer's bases."""

    def initialize_parameters(self, input: Tensor, *args: Any, **kwargs: Any) -> None:
        if self.has_uninitialized_params():  # type: ignore[operator]
            check_channels(self.groups, in_channels=batched(input, self.rank)[0].shape[1])
            super().initialize_parameters(input)  # type: ignore[misc]
        elif self.in_channels == 0:  # The weights were loaded, and say it.
            self.in_channels = self.weight.shape[0] if self.transposed else self.weight.shape[1] * self.groups


class LazyConvNd(_Lazy):
    """A convolution of any rank whose ``in_channels`` come from its first input."""

    def __init__(
        self,
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
        check_channels(groups, out_channels=out_channels)
        kernel = geometry.integers("kernel_size", kernel_size, self.rank, least=1)
        super().__init__(out_channels, kernel, stride, 0, dilation, groups, bias, "zeros", device, dtype)
        self._set_extras(padding, padding_mode, padding_value, activation, weight_init, bias_init)


class LazyConvTransposeNd(_Lazy):
    """A transposed convolution of any rank whose ``in_channels`` come from its first input."""

    def __init__(
        self,
        out_channels: int,
        kernel_size: IntOrInts,
        stride: IntOrInts = 1,
        padding: Padding = 0,
        output_padding: IntOrInts = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: IntOrInts = 1,
        padding_mode: PaddingMode = "zeros",
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        padding_value: float = 0.0,
        activation: ActivationLike = None,
        weight_init: Initialiser = None,
        bias_init: Initialiser = None,
    ) -> None:
        check_channels(groups, out_channels=out_channels)
        kernel = geometry.integers("kernel_size", kernel_size, self.rank, least=1)
        super().__init__(
            out_channels, kernel, stride, 0, output_padding, groups, bias, dilation, "zeros", device, dtype
        )
        self._set_extras(padding, padding_mode, padding_value, activation, weight_init, bias_init)


class LazyConv1d(LazyConvNd, nn.LazyConv1d, Conv1d):  # type: ignore[misc]
    """:class:`Conv1d` without ``in_channels``: they come from the first input, after which it is a Conv1d.

    Example:
        >>> layer = LazyConv1d(4, 3, padding="causal")
        >>> layer(torch.zeros(1, 2, 10)).shape, layer
        (torch.Size([1, 4, 10]), Conv1d(2, 4, kernel_size=(3,), stride=(1,), padding=causal))
    """

    cls_to_become = Conv1d


class LazyConv2d(LazyConvNd, nn.LazyConv2d, Conv2d):  # type: ignore[misc]
    """:class:`Conv2d` without ``in_channels``: they come from the first input, after which it is a Conv2d.

    Example:
        >>> layer = LazyConv2d(10, 5, padding="same")
        >>> layer(torch.zeros(1, 3, 32, 32)).shape, layer.in_channels
        (torch.Size([1, 10, 32, 32]), 3)
    """

    cls_to_become = Conv2d


class LazyConv3d(LazyConvNd, nn.LazyConv3d, Conv3d):  # type: ignore[misc]
    """:class:`Conv3d` without ``in_channels``: they come from the first input, after which it is a Conv3d.

    Example:
        >>> LazyConv3d(4, 3)(torch.zeros(1, 2, 8, 8, 8)).shape
        torch.Size([1, 4, 6, 6, 6])
    """

    cls_to_become = Conv3d


class LazyConvTranspose1d(LazyConvTransposeNd, nn.LazyConvTranspose1d, ConvTranspose1d):  # type: ignore[misc]
    """:class:`ConvTranspose1d` without ``in_channels``: they come from the first input.

    Example:
        >>> LazyConvTranspose1d(4, 2, stride=2)(torch.zeros(1, 3, 5)).shape
        torch.Size([1, 4, 10])
    """

    cls_to_become = ConvTranspose1d


class LazyConvTranspose2d(LazyConvTransposeNd, nn.LazyConvTranspose2d, ConvTranspose2d):  # type: ignore[misc]
    """:class:`ConvTranspose2d` without ``in_channels``: they come from the first input.

    Example:
        >>> LazyConvTranspose2d(4, 2, stride=2)(torch.zeros(1, 3, 5, 5)).shape
        torch.Size([1, 4, 10, 10])
    """

    cls_to_become = ConvTranspose2d


class LazyConvTranspose3d(LazyConvTransposeNd, nn.LazyConvTranspose3d, ConvTranspose3d):  # type: ignore[misc]
    """:class:`ConvTranspose3d` without ``in_channels``: they come from the first input.

    Example:
        >>> LazyConvTranspose3d(4, 2, stride=2)(torch.zeros(1, 3, 5, 5, 5)).shape
        torch.Size([1, 4, 10, 10, 10])
    """

    cls_to_become = ConvTranspose3d
