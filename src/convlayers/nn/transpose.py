"""Transposed convolution layers: one for any rank, and its three names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin

from convlayers import geometry
from convlayers.activations import ActivationLike
from convlayers.errors import ArgumentError, ArgumentTypeError
from convlayers.functional import transpose
from convlayers.geometry import IntOrInts, Padding, PaddingMode
from convlayers.init import Initialiser
from convlayers.nn.extras import Extras, check_channels, plain_tensor


class ConvTransposeNd(Extras):
    """A transposed convolution of any rank; torch.nn's class of that rank comes after it among a layer's bases."""

    _function: Callable[..., Tensor]

    def __init__(
        self,
        in_channels: int,
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
        if not isinstance(self, LazyModuleMixin):  # Those learn their channels later.
            check_channels(groups, in_channels=in_channels, out_channels=out_channels)
        super().__init__(
            in_channels,
            out_channels,
            geometry.integers("kernel_size", kernel_size, self.rank, least=1),
            geometry.integers("stride", stride, self.rank, least=1),
            0,
            geometry.integers("output_padding", output_padding, self.rank, least=0),
            groups,
            bias,
            geometry.integers("dilation", dilation, self.rank, least=1),
            "zeros",
            device,
            dtype,
        )
        self._set_extras(padding, padding_mode, padding_value, activation, weight_init, bias_init)

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """The transposed convolution of the input.

        Args:
            output_size: the size wanted where a stride leaves several possible ones; the spatial axes, or the whole
                shape. It takes the place of ``output_padding``.
        """
        extra = self.output_padding if output_size is None else self._extra(input, output_size)
        return type(self)._function(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            extra,
            self.groups,
            self.dilation,
            padding_mode=self.padding_mode,
            padding_value=self.padding_value,
            activation=self.activation,
        )

    def _extra(self, input: Tensor, output_size: Sequence[int]) -> tuple[int, ...]:
        """The output padding that gives an output of this size."""
        before = plain_tensor("input", input).dim() - self.rank
        if not isinstance(output_size, list | tuple):
            raise ArgumentTypeError(f"output_size must be a tuple; received {output_size!r}")
        wanted = tuple(geometry.integer("output_size", n) for n in output_size)
        if len(wanted) not in (self.rank, self.rank + before):
            raise ArgumentError(
                f"output_size must have {self.rank} elements, or {self.rank + before} with the batch and channels; "
                f"received {wanted}"
            )
        wanted = wanted[-self.rank :]
        size = tuple(input.shape[before:])
        geometry_of = (self.kernel_size, self.stride, self.dilation)
        low, high = geometry.resolve_padding(self.padding, size, *geometry_of, transposed=True)
        least = tuple(
            geometry.transposed_output_size(n, k, s, lo, hi, d)
            for n, k, s, d, lo, hi in zip(size, *geometry_of, low, high, strict=True)
        )
        for want, low_end, s in zip(wanted, least, self.stride, strict=True):
            if not low_end <= want < low_end + s:
                most = tuple(n + s - 1 for n, s in zip(least, self.stride, strict=True))
                raise ArgumentError(
                    f"output_size must lie between {least} and {most} for an input of spatial size {size}; received "
                    f"{wanted}"
                )
        return tuple(want - low_end for want, low_end in zip(wanted, least, strict=True))


class ConvTranspose1d(ConvTransposeNd, nn.ConvTranspose1d):
    """Transposed convolution of signals; arguments as for :class:`ConvTranspose2d`.

    Shape:
        input (batch, in_channels, length) or (in_channels, length) -> (batch, out_channels, positions) or without the
        batch.

    Example:
        >>> ConvTranspose1d(4, 2, 8, stride=4, padding="same")(torch.zeros(1, 4, 10)).shape
        torch.Size([1, 2, 40])
    """

    rank = 1
    _function = staticmethod(transpose.conv_transpose1d)


class ConvTranspose2d(ConvTransposeNd, nn.ConvTranspose2d):
    """Transposed convolution of images: torch.nn.ConvTranspose2d, with padding by name, borders and an activation.

    Shape:
        input (batch, in_channels, height, width) or (in_channels, height, width) -> (batch, out_channels, rows,
        columns) or without the batch, in the input's layout.

    Args:
        in_channels, out_channels: channels of the input and of the result.
        kernel_size: taps along each axis; one integer for all, or one each.
        stride: output elements from one input element's copy of the kernel to the next.
        padding: output elements cut off: an amount, an amount or a pair ``(low, high)`` an axis (negative: the output
            goes on), ``'valid'``, ``'same'`` (size * stride outputs), ``'same_lower'``, ``'full'``, ``'causal'``, or a
            tuple that mixes them; see :func:`convlayers.functional.conv_transpose2d`.
        output_padding: output elements added above; smaller than stride or dilation.
        groups: channels are cut into this many groups that do not see each other.
        bias: whether to add a learned constant to each output channel.
        dilation: distance between the taps of the kernel.
        padding_mode: how the input goes on beyond its edge before it is spread out (torch has ``'zeros'`` only):
            ``'zeros'``, ``'constant'``, ``'reflect'``, ``'replicate'`` or ``'circular'``; a tuple gives one an axis.
        device, dtype: of the parameters.
        padding_value: the constant of ``'constant'``.
        activation: applied to the result: a name such as ``'relu'``, a module or a callable.
        weight_init, bias_init: a name such as ``'he_normal'``, a number or a callable; see :mod:`convlayers.init`.

    Raises:
        ValueError: for amounts out of range, groups that do not divide the channels, unknown names.
        TypeError: for arguments of the wrong kind.

    Example:
        >>> layer = ConvTranspose2d(8, 4, 3, stride=2, padding="same", padding_mode="replicate")
        >>> layer(torch.zeros(1, 8, 7, 7)).shape
        torch.Size([1, 4, 14, 14])
        >>> ConvTranspose2d(8, 4, 3, stride=2)(torch.zeros(1, 8, 7, 7), output_size=(16, 16)).shape
        torch.Size([1, 4, 16, 16])

    Source:
        Dumoulin, Visin: A guide to convolution arithmetic for deep learning, 2016, arXiv 1603.07285, chapter 4.
    """

    rank = 2
    _function = staticmethod(transpose.conv_transpose2d)


class ConvTranspose3d(ConvTransposeNd, nn.ConvTranspose3d):
    """Transposed convolution of volumes; arguments as for :class:`ConvTranspose2d`.

    Shape:
        input (batch, in_channels, depth, height, width) or without the batch -> (batch, out_channels, \\*positions) or
        without the batch.

    Example:
        >>> ConvTranspose3d(2, 1, 2, stride=2)(torch.zeros(1, 2, 4, 4, 4)).shape
        torch.Size([1, 1, 8, 8, 8])
    """

    rank = 3
    _function = staticmethod(transpose.conv_transpose3d)
