"""Partial convolution: the mean over the pixels that are there, as if those that are missing were like them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from convlayers.activations import ActivationLike, resolve
from convlayers.errors import ArgumentError
from convlayers.geometry import IntOrInts, Padding, PaddingMode
from convlayers.init import Initialiser
from convlayers.nn.conv import Conv1d, Conv2d, Conv3d, ConvNd
from convlayers.nn.extras import plain_tensor


class PartialConvNd(ConvNd):
    """A partial convolution of any rank; our convolution of that rank comes after it among a layer's bases."""

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
            activation=activation,
            weight_init=weight_init,
            bias_init=bias_init,
        )

    def forward(self, input: Tensor, mask: Tensor | None = None) -> Any:
        """The partial convolution of the input.

        Args:
            mask: non-zero where a pixel is there: (batch, 1, \\*spatial) for all channels, (batch, in_channels,
                \\*spatial) for each, or (batch, \\*spatial); without the batch where the input has none. Without a
                mask, all of the input is there.

        Returns:
            The output; given a mask, the pair of the output and its mask, of the output's dtype, 1 where any pixel of
            the window was there, with one channel where the mask had one.
        """
        unbatched = plain_tensor("input", input).dim() == self.rank + 1
        x = input.unsqueeze(0) if unbatched else input
        present = self._present(x, mask, unbatched)
        output = self._raw(torch.where(present != 0, x, 0), self.weight, self.groups)
        count, window = self._count(present)
        seen = count > 0
        ratio = torch.where(seen, window / count.clamp(min=1), 0)
        output = output * ratio
        if self.bias is not None:
            output = output + self.bias.view(-1, *[1] * self.rank) * seen
        output = resolve(self.activation)(output)
        if unbatched:
            output, seen = output.squeeze(0), seen.squeeze(0)
        return output if mask is None else (output, seen.to(output.dtype))

    def output_mask(self, mask: Tensor) -> Tensor:
        """The mask for the layer's output: boolean, True where any pixel of the window is there.

        Shape:
            mask (..., \\*spatial), the same for all channels -> (..., \\*positions).
        """
        present = (
            (plain_tensor("mask", mask) != 0)
            .reshape(-1, 1, *mask.shape[mask.dim() - self.rank :])
            .to(self.weight.dtype)
        )
        seen = self._count(present)[0] > 0
        return seen.reshape(*mask.shape[: mask.dim() - self.rank], *seen.shape[2:])

    def _present(self, x: Tensor, mask: Tensor | None, unbatched: bool) -> Tensor:
        """The mask as (batch, 1 or in_channels, \\*spatial), of the input's dtype, 0 or 1."""
        if mask is None:
            return x.new_ones((x.shape[0], 1, *x.shape[2:]))
        mask = plain_tensor("mask", mask)
        shape = tuple(mask.shape)
        whole = (1, *shape) if unbatched else shape
        if len(whole) == self.rank + 1:
            whole = (whole[0], 1, *whole[1:])
        if whole not in ((x.shape[0], 1, *x.shape[2:]), tuple(x.shape)):
            raise ArgumentError(
                "mask must have the input's shape, with all, one or no channels; received shape "
                f"{shape} with an input of shape {tuple(x.shape[1:] if unbatched else x.shape)}"
            )
        return (mask.reshape(whole) != 0).to(x.dtype)

    def _count(self, present: Tensor) -> tuple[Tensor, int]:
        """How many elements of each window are there, and how many a window has; one channel, or one an output."""
        taps = math.prod(self.kernel_size)
        if present.shape[1] != self.in_channels or self.in_channels == 1:
            return self._raw(present, present.new_ones((1, 1, *self.kernel_size)), 1), taps
        columns = self.in_channels // self.groups
        ones = present.new_ones((self.groups, columns, *self.kernel_size))
        count = self._raw(present, ones, self.groups)
        return count.repeat_interleave(self.out_channels // self.groups, 1), taps * columns

    def _raw(self, x: Tensor, weight: Tensor, groups: int) -> Tensor:
        """The convolution alone: no bias, no activation."""
        return type(self)._function(
            x, weight, None, self.stride, self.padding, self.dilation, groups, padding_mode=self.padding_mode
        )


class PartialConv1d(PartialConvNd, Conv1d):
    """Partial convolution of signals; arguments as for :class:`PartialConv2d`.

    Shape:
        input (batch, in_channels, length) or (in_channels, length) -> (batch, out_channels, positions) or without the
        batch.

    Example:
        >>> layer = PartialConv1d(1, 1, 3, padding="same", bias=False, weight_init="ones")
        >>> layer(torch.ones(1, 4)).detach()  # where the window leaves the input, what is inside counts for all
        tensor([[3., 3., 3., 3.]])
    """


class PartialConv2d(PartialConvNd, Conv2d):
    """Partial convolution of images: holes do not count, and windows with holes are scaled up for what is missing.

    For a window of which n of N elements are there: weight * (input there) * N / n + bias; 0 where n = 0. Elements
    beyond a border of zeros are missing as well. The state_dict is that of :class:`Conv2d`.

    Shape:
        input (batch, in_channels, height, width) or (in_channels, height, width) -> (batch, out_channels, rows,
        columns) or without the batch; given a mask, the pair of this and the output's mask.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype,
            activation, weight_init, bias_init: as for :class:`Conv2d`.

    Raises:
        ValueError: for amounts out of range, unknown names, a mask whose shape does not fit.
        TypeError: for arguments of the wrong kind.

    Example:
        >>> layer = PartialConv2d(3, 8, 3, padding=1)
        >>> image, mask = torch.zeros(1, 3, 8, 8), torch.ones(1, 1, 8, 8)
        >>> mask[..., 2:7, 2:7] = 0  # a hole of 5 x 5 shrinks to 3 x 3
        >>> output, mask = layer(image, mask)
        >>> output.shape, int((mask == 0).sum())
        (torch.Size([1, 8, 8, 8]), 9)

    Source:
        Liu, Reda, Shih, Wang, Tao, Catanzaro: Image inpainting for irregular holes using partial convolutions, 2018,
        arXiv 1804.07723, section 3.1.
    """


class PartialConv3d(PartialConvNd, Conv3d):
    """Partial convolution of volumes; arguments as for :class:`PartialConv2d`.

    Shape:
        input (batch, in_channels, depth, height, width) or without the batch -> (batch, out_channels, \\*positions) or
        without the batch.

    Example:
        >>> PartialConv3d(1, 2, 3, padding=1)(torch.zeros(1, 1, 4, 5, 6)).shape
        torch.Size([1, 2, 4, 5, 6])
    """
