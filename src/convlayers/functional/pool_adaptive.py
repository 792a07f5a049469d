"""Pooling to a given output size, and over whole pictures."""

from __future__ import annotations

from collections.abc import Sequence

import torch  # noqa: F401  (examples)
from torch import Tensor

from convlayers.errors import ArgumentError
from convlayers.functional.arguments import spatial
from convlayers.functional.pool_arguments import batched, flag
from convlayers.geometry import Ints, check_elements, integers
from convlayers.ops import pool as ops

OutputSize = int | None | Sequence[int | None]


def _sizes(output_size: OutputSize, size: Ints) -> Ints:
    rank = len(size)
    entries = tuple(output_size) if isinstance(output_size, list | tuple) else (output_size,) * rank
    if len(entries) != rank:
        raise ArgumentError(f"output_size must be one integer or {rank}, one a spatial axis; received {output_size!r}")
    filled = tuple(n if entry is None else entry for entry, n in zip(entries, size, strict=True))
    result = integers("output_size", filled, rank, least=0)
    check_elements(*result)
    return result


def _adaptive_max(
    rank: int, input: Tensor, output_size: OutputSize, return_indices: bool
) -> Tensor | tuple[Tensor, Tensor]:
    x, unbatched = batched(input, rank)
    sizes = _sizes(output_size, spatial(x))
    output, indices = ops.adaptive_max_pool(x, sizes, flag("return_indices", return_indices))
    if unbatched:
        output, indices = output.squeeze(0), None if indices is None else indices.squeeze(0)
    return output if indices is None else (output, indices)


def _adaptive_avg(rank: int, input: Tensor, output_size: OutputSize) -> Tensor:
    x, unbatched = batched(input, rank, empty_channels=True)
    output = ops.adaptive_avg_pool(x, _sizes(output_size, spatial(x)))
    return output.squeeze(0) if unbatched else output


def adaptive_max_pool1d(
    input: Tensor, output_size: OutputSize, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """The largest element of each of ``output_size`` windows along one axis; see :func:`adaptive_max_pool2d`.

    Shape:
        input (batch, channels, length) or (channels, length).

    Example:
        >>> adaptive_max_pool1d(torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0]]), 2)
        tensor([[3., 5.]])
    """
    return _adaptive_max(1, input, output_size, return_indices)


def adaptive_max_pool2d(
    input: Tensor, output_size: OutputSize, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """The largest element of each window, with windows that divide the input into an output of the given size.

    Output o of an axis sees the elements from floor(o * size / output) up to ceil((o + 1) * size / output).

    Shape:
        input (batch, channels, height, width) or (channels, height, width); result (..., channels, *output_size).

    Args:
        output_size: elements along each axis, one integer for all axes or one each; None keeps the input's.
        return_indices: also return where each maximum is.

    Returns:
        The maxima; with ``return_indices``, also int64 indices into the plane, as :func:`max_pool2d` gives them.

    Raises:
        ValueError: for a negative size, or an input with an empty axis other than the batch.
        TypeError: for arguments of other types.

    Example:
        >>> adaptive_max_pool2d(torch.arange(12.0).view(1, 3, 4), (None, 2))
        tensor([[[ 1.,  3.],
                 [ 5.,  7.],
                 [ 9., 11.]]])
    """
    return _adaptive_max(2, input, output_size, return_indices)


def adaptive_max_pool3d(
    input: Tensor, output_size: OutputSize, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """The largest element of each window in a volume; see :func:`adaptive_max_pool2d`.

    Shape:
        input (batch, channels, depth, height, width) or without the batch.

    Example:
        >>> adaptive_max_pool3d(torch.zeros(1, 5, 6, 7), (2, None, 3)).shape
        torch.Size([1, 2, 6, 3])
    """
    return _adaptive_max(3, input, output_size, return_indices)


def adaptive_max_pool1d_with_indices(
    input: Tensor, output_size: OutputSize, return_indices: bool = False
) -> tuple[Tensor, Tensor]:
    """:func:`adaptive_max_pool1d` and the indices of the maxima, whatever ``return_indices`` says (as in torch).

    Example:
        >>> adaptive_max_pool1d_with_indices(torch.tensor([[1.0, 3.0, 2.0, 0.0]]), 2)
        (tensor([[3., 2.]]), tensor([[1, 2]]))
    """
    return _adaptive_max(1, input, output_size, True)  # type: ignore[return-value]


def adaptive_max_pool2d_with_indices(
    input: Tensor, output_size: OutputSize, return_indices: bool = False
) -> tuple[Tensor, Tensor]:
    """:func:`adaptive_max_pool2d` and the indices of the maxima, whatever ``return_indices`` says (as in torch).

    Example:
        >>> adaptive_max_pool2d_with_indices(torch.tensor([[[1.0, 3.0], [2.0, 0.0]]]), 1)
        (tensor([[[3.]]]), tensor([[[1]]]))
    """
    return _adaptive_max(2, input, output_size, True)  # type: ignore[return-value]


def adaptive_max_pool3d_with_indices(
    input: Tensor, output_size: OutputSize, return_indices: bool = False
) -> tuple[Tensor, Tensor]:
    """:func:`adaptive_max_pool3d` and the indices of the maxima, whatever ``return_indices`` says (as in torch).

    Example:
        >>> adaptive_max_pool3d_with_indices(torch.arange(8.0).view(1, 2, 2, 2), 1)
        (tensor([[[[7.]]]]), tensor([[[[7]]]]))
    """
    return _adaptive_max(3, input, output_size, True)  # type: ignore[return-value]


def adaptive_avg_pool1d(input: Tensor, output_size: OutputSize) -> Tensor:
    """The average of each of ``output_size`` windows along one axis; see :func:`adaptive_avg_pool2d`.

    Shape:
        input (batch, channels, length) or (channels, length).

    Example:
        >>> adaptive_avg_pool1d(torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0]]), 2)
        tensor([[2., 4.]])
    """
    return _adaptive_avg(1, input, output_size)


def adaptive_avg_pool2d(input: Tensor, output_size: OutputSize) -> Tensor:
    """The average of each window, with windows that divide the input as for :func:`adaptive_max_pool2d`.

    Shape:
        input (batch, channels, height, width) or (channels, height, width); result (..., channels, *output_size).

    Args:
        output_size: elements along each axis, one integer for all axes or one each; None keeps the input's.

    Returns:
        The averages.

    Raises:
        ValueError: for a negative size, or an input with an empty spatial axis.
        TypeError: for arguments of other types.

    Example:
        >>> adaptive_avg_pool2d(torch.arange(12.0).view(1, 3, 4), (1, 2))
        tensor([[[4.5000, 6.5000]]])
    """
    return _adaptive_avg(2, input, output_size)


def adaptive_avg_pool3d(input: Tensor, output_size: OutputSize) -> Tensor:
    """The average of each window in a volume; see :func:`adaptive_avg_pool2d`.

    Shape:
        input (batch, channels, depth, height, width) or without the batch.

    Example:
        >>> adaptive_avg_pool3d(torch.ones(1, 5, 6, 7), 1)
        tensor([[[[1.]]]])
    """
    return _adaptive_avg(3, input, output_size)


# --- over everything --------------------------------------------------------------------------------------------------


def _keep(output: Tensor, rank: int, keepdim: bool) -> Tensor:
    return output if flag("keepdim", keepdim) else output.flatten(-rank).squeeze(-1)


def _global_max(rank: int, input: Tensor, keepdim: bool) -> Tensor:
    return _keep(_adaptive_max(rank, input, 1, False), rank, keepdim)  # type: ignore[arg-type]


def _global_avg(rank: int, input: Tensor, keepdim: bool) -> Tensor:
    return _keep(_adaptive_avg(rank, input, 1), rank, keepdim)


def global_max_pool1d(input: Tensor, keepdim: bool = True) -> Tensor:
    """The largest element of each channel of a signal; see :func:`global_max_pool2d`.

    Shape:
        input (batch, channels, length) or (channels, length).

    Example:
        >>> global_max_pool1d(torch.arange(8.0).view(2, 4), keepdim=False)
        tensor([3., 7.])
    """
    return _global_max(1, input, keepdim)


def global_max_pool2d(input: Tensor, keepdim: bool = True) -> Tensor:
    """The largest element of each channel of a picture.

    Shape:
        input (batch, channels, height, width) or (channels, height, width); result (..., channels, 1, 1), or
        (..., channels) without ``keepdim``.

    Args:
        keepdim: keep the spatial axes, with size 1.

    Raises:
        ValueError: for an input with an empty axis other than the batch.

    Example:
        >>> global_max_pool2d(torch.arange(8.0).view(2, 2, 2), keepdim=False)
        tensor([3., 7.])
    """
    return _global_max(2, input, keepdim)


def global_max_pool3d(input: Tensor, keepdim: bool = True) -> Tensor:
    """The largest element of each channel of a volume; see :func:`global_max_pool2d`.

    Shape:
        input (batch, channels, depth, height, width) or without the batch.

    Example:
        >>> global_max_pool3d(torch.arange(16.0).view(2, 2, 2, 2), keepdim=False)
        tensor([ 7., 15.])
    """
    return _global_max(3, input, keepdim)


def global_avg_pool1d(input: Tensor, keepdim: bool = True) -> Tensor:
    """The average of each channel of a signal; see :func:`global_avg_pool2d`.

    Shape:
        input (batch, channels, length) or (channels, length).

    Example:
        >>> global_avg_pool1d(torch.arange(8.0).view(2, 4), keepdim=False)
        tensor([1.5000, 5.5000])
    """
    return _global_avg(1, input, keepdim)


def global_avg_pool2d(input: Tensor, keepdim: bool = True) -> Tensor:
    """The average of each channel of a picture.

    Shape:
        input (batch, channels, height, width) or (channels, height, width); result (..., channels, 1, 1), or
        (..., channels) without ``keepdim``.

    Args:
        keepdim: keep the spatial axes, with size 1.

    Raises:
        ValueError: for an input with an empty spatial axis.

    Example:
        >>> global_avg_pool2d(torch.arange(8.0).view(2, 2, 2), keepdim=False)
        tensor([1.5000, 5.5000])

    Source:
        Lin, Chen, Yan: Network in network, 2014, section 3.2.
    """
    return _global_avg(2, input, keepdim)


def global_avg_pool3d(input: Tensor, keepdim: bool = True) -> Tensor:
    """The average of each channel of a volume; see :func:`global_avg_pool2d`.

    Shape:
        input (batch, channels, depth, height, width) or without the batch.

    Example:
        >>> global_avg_pool3d(torch.arange(16.0).view(2, 2, 2, 2), keepdim=False)
        tensor([ 3.5000, 11.5000])
    """
    return _global_avg(3, input, keepdim)
