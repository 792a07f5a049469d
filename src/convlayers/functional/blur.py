"""Blur pooling: a low-pass filter before the stride, so that a shifted input gives a shifted output."""

from __future__ import annotations

import functools
import math
from math import comb

import torch
from torch import Tensor

from convlayers import geometry
from convlayers.functional import conv
from convlayers.functional.pool_arguments import batched
from convlayers.geometry import IntOrInts, Ints, Padding, PaddingMode

_CONVOLUTION = {1: conv.conv1d, 2: conv.conv2d, 3: conv.conv3d}


def _binomial(size: int) -> Tensor:
    """Row size - 1 of Pascal's triangle, divided by its sum; the nearest that whole numbers come to a Gaussian."""
    if size <= 64:
        return torch.tensor([comb(size - 1, k) / 2 ** (size - 1) for k in range(size)], dtype=torch.float64)
    k = torch.arange(size, dtype=torch.float64)  # Whole numbers as long as these would take minutes.
    return torch.exp(math.lgamma(size) - torch.lgamma(k + 1) - torch.lgamma(size - k) - (size - 1) * math.log(2))


def _filter(kernel: Ints, like: Tensor) -> Tensor:
    """The product of a binomial filter along each axis."""
    axes = [_binomial(k) for k in kernel]
    return functools.reduce(lambda a, b: a[..., None] * b, axes).to(like)


def _blur_pool(
    rank: int,
    input: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts,
    padding: Padding | None,
    padding_mode: PaddingMode,
    padding_value: float,
) -> Tensor:
    x, unbatched = batched(input, rank)
    kernel = geometry.integers("kernel_size", kernel_size, rank, least=1)
    if padding is None:
        padding = tuple(((k - 1) // 2, k // 2) for k in kernel)
    # Refused before the filter is built: it may be longer than memory.
    modes = geometry.padding_modes(padding_mode, rank)
    step, entries = geometry.integers("stride", stride, rank, least=1), geometry.padding_entries(padding, rank)
    value = geometry.padding_values(padding_value, modes)
    geometry.convolution_windows(tuple(x.shape[2:]), kernel, step, entries, (1,) * rank, modes, value)
    channels = x.shape[1]
    weight = _filter(kernel, x).expand(channels, 1, *kernel)
    output = _CONVOLUTION[rank](
        x, weight, None, stride, padding, 1, channels, padding_mode=padding_mode, padding_value=padding_value
    )
    return output.squeeze(0) if unbatched else output


def blur_pool1d(
    input: Tensor,
    kernel_size: IntOrInts = 4,
    stride: IntOrInts = 2,
    padding: Padding | None = None,
    *,
    padding_mode: PaddingMode = "reflect",
    padding_value: float = 0.0,
) -> Tensor:
    """Every ``stride``-th element of a blurred signal; see :func:`blur_pool2d`.

    Shape:
        input (batch, channels, length) or (channels, length).

    Example:
        >>> blur_pool1d(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), 3)
        tensor([[1.5000, 3.0000]])
    """
    return _blur_pool(1, input, kernel_size, stride, padding, padding_mode, padding_value)


def blur_pool2d(
    input: Tensor,
    kernel_size: IntOrInts = 4,
    stride: IntOrInts = 2,
    padding: Padding | None = None,
    *,
    padding_mode: PaddingMode = "reflect",
    padding_value: float = 0.0,
) -> Tensor:
    """Every ``stride``-th pixel of a picture blurred by a binomial filter, each channel by itself.

    After a max pooling or a convolution of stride 1 it takes the place of their stride, without its aliasing.

    Shape:
        input (batch, channels, height, width) or (channels, height, width); result (..., ceil(height / stride),
        ceil(width / stride)) unless ``padding`` says otherwise.

    Args:
        kernel_size: elements of the filter along each axis; 3 is (1, 2, 1) / 4.
        stride: pixels from one output to the next.
        padding: as for :func:`conv2d`; None centres the filter on the pixels, (kernel_size - 1) // 2 below and
            kernel_size // 2 above.
        padding_mode, padding_value: what lies beyond the border, as for :func:`conv2d`.

    Raises:
        ValueError: for sizes or strides below 1, a reflection wider than the input, a filter that does not fit.
        TypeError: for arguments of other types.

    Example:
        >>> blur_pool2d(torch.ones(3, 7, 8)).shape
        torch.Size([3, 4, 4])

    Source:
        Zhang: Making convolutional networks shift-invariant again, 2019, arXiv 1904.11486, section 3.2.
    """
    return _blur_pool(2, input, kernel_size, stride, padding, padding_mode, padding_value)


def blur_pool3d(
    input: Tensor,
    kernel_size: IntOrInts = 4,
    stride: IntOrInts = 2,
    padding: Padding | None = None,
    *,
    padding_mode: PaddingMode = "reflect",
    padding_value: float = 0.0,
) -> Tensor:
    """Every ``stride``-th element of a blurred volume; see :func:`blur_pool2d`.

    Shape:
        input (batch, channels, depth, height, width) or without the batch.

    Example:
        >>> blur_pool3d(torch.ones(1, 4, 4, 4), 3).unique()
        tensor([1.])
    """
    return _blur_pool(3, input, kernel_size, stride, padding, padding_mode, padding_value)
