"""The partial inverse of max pooling."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from convlayers.errors import ArgumentError, ArgumentTypeError
from convlayers.functional.pool_arguments import batched, strides
from convlayers.geometry import IntOrInts, Ints, check_elements, integer, integers
from convlayers.ops import pool as ops


def _max_unpool(
    rank: int,
    input: Tensor,
    indices: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None,
    padding: IntOrInts,
    output_size: Sequence[int] | None,
) -> Tensor:
    x, unbatched = batched(input, rank)
    if not isinstance(indices, Tensor) or indices.dtype != torch.int64:
        received = indices.dtype if isinstance(indices, Tensor) else type(indices).__name__
        raise ArgumentTypeError(f"indices must be a tensor of torch.int64; received {received}")
    if indices.shape != input.shape or indices.device != input.device:
        raise ArgumentError(
            f"indices must have the input's shape and device ({tuple(input.shape)}, {input.device}); received "
            f"{tuple(indices.shape)}, {indices.device}"
        )
    kernel = integers("kernel_size", kernel_size, rank, least=1)
    step = strides(stride, kernel)
    pad = integers("padding", padding, rank, least=0)
    whole = tuple((n - 1) * s + k - 2 * p for n, k, s, p in zip(x.shape[2:], kernel, step, pad, strict=True))
    sizes = whole if output_size is None else _given(output_size, whole, step)
    if min(sizes) < 1:
        raise ArgumentError(f"padding must leave an output; received {padding!r}, which makes its size {sizes}")
    check_elements(*x.shape[:2], *sizes)
    output = ops.max_unpool(x, indices.unsqueeze(0) if unbatched else indices, sizes)
    return output.squeeze(0) if unbatched else output


def _given(output_size: Sequence[int], whole: Ints, stride: Ints) -> Ints:
    """The output's size as asked for: any that a pooling with these arguments would have made the input from."""
    rank = len(whole)
    if not isinstance(output_size, list | tuple):
        raise ArgumentTypeError(f"output_size must be a tuple of integers; received {output_size!r}")
    # With the batch and the channels, or without either.
    entries = output_size[2:] if len(output_size) == rank + 2 else output_size
    if len(entries) != rank:
        raise ArgumentError(f"output_size must have {rank} or {rank + 2} entries; received {output_size!r}")
    sizes = tuple(integer("output_size", entry) for entry in entries)
    for size, w, s in zip(sizes, whole, stride, strict=True):
        if not w - s < size < w + s:
            raise ArgumentError(
                f"output_size must lie between {w - s} and {w + s}, the limits excluded; received {output_size!r}"
            )
    return sizes


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: IntOrInts = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Puts the maxima of :func:`max_pool1d` back where they were; see :func:`max_unpool2d`.

    Shape:
        input and indices (batch, channels, length) or (channels, length).

    Example:
        >>> max_unpool1d(torch.tensor([[5.0, 7.0]]), torch.tensor([[1, 2]]), 2)
        tensor([[0., 5., 7., 0.]])
    """
    return _max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: IntOrInts = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Puts the maxima of :func:`max_pool2d` back where they were, among zeros.

    Shape:
        input and indices (batch, channels, height, width) or (channels, height, width).

    Args:
        indices: where each element goes in its output plane, int64, as ``return_indices`` gave it; where two are equal
            the last element counts.
        kernel_size, stride, padding: those of the pooling.
        output_size: the size of the pooling's input, with or without batch and channels, where it is not
            (size - 1) * stride + kernel_size - 2 * padding.

    Returns:
        The output, zero wherever nothing was put.

    Raises:
        ValueError: for an ``output_size`` that no such pooling has.
        TypeError: for arguments of other types.
        RuntimeError: for indices outside the output.

    Example:
        >>> max_unpool2d(torch.tensor([[[9.0]]]), torch.tensor([[[2]]]), 2)
        tensor([[[0., 0.],
                 [9., 0.]]])

    Source:
        Zeiler, Fergus: Visualizing and understanding convolutional networks, 2014, section 2.1.
    """
    return _max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: IntOrInts = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Puts the maxima of :func:`max_pool3d` back where they were; see :func:`max_unpool2d`.

    Shape:
        input and indices (batch, channels, depth, height, width) or without the batch.

    Example:
        >>> max_unpool3d(torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1).long(), 2).sum()
        tensor(1.)
    """
    return _max_unpool(3, input, indices, kernel_size, stride, padding, output_size)
