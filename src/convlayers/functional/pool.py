"""Pooling over sliding windows: maxima and averages, in one to three dimensions."""

from __future__ import annotations

from torch import Tensor

from convlayers.errors import ArgumentError
from convlayers.functional.arguments import spatial
from convlayers.functional.pool_arguments import batched, flag, windows
from convlayers.geometry import LIMIT, IntOrInts, Padding, integer
from convlayers.ops import pool as ops

# --- maxima -----------------------------------------------------------------------------------------------------------


def _max_pool(
    rank: int,
    input: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None,
    padding: Padding,
    dilation: IntOrInts,
    ceil_mode: bool,
    return_indices: bool,
) -> Tensor | tuple[Tensor, Tensor]:
    x, unbatched = batched(input, rank)
    view = windows(spatial(x), kernel_size, stride, padding, dilation, ceil_mode)
    output, indices = ops.max_pool(x, view, flag("return_indices", return_indices))
    if unbatched:
        output, indices = output.squeeze(0), None if indices is None else indices.squeeze(0)
    return output if indices is None else (output, indices)


def max_pool1d(
    input: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: Padding = 0,
    dilation: IntOrInts = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """The largest element of each window along one axis; see :func:`max_pool2d`.

    Shape:
        input (batch, channels, length) or (channels, length).

    Example:
        >>> max_pool1d(torch.tensor([[1.0, 3.0, 2.0, 5.0, 4.0]]), 3, stride=1, padding="same")
        tensor([[3., 3., 5., 5., 5.]])
    """
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: Padding = 0,
    dilation: IntOrInts = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """The largest element of each window.

    Shape:
        input (batch, channels, height, width) or (channels, height, width), either layout; the result has its layout.

    Args:
        kernel_size: elements of a window along each axis; one integer for all axes, or one each.
        stride: elements from one window to the next; the kernel's size where None.
        padding: elements beyond the border that windows may cover, which count as -infinity: an amount for both sides
            (at most half a window), an amount or a pair ``(low, high)`` an axis, or ``'valid'`` (none), ``'same'``
            (ceil(size / stride) windows, an odd element above; ``'same_lower'``: below), ``'full'`` (every window that
            touches the input), ``'causal'`` (below only); a tuple of these mixes them, one an axis.
        dilation: distance between the elements of a window.
        ceil_mode: also take a last window that begins inside the input but ends outside.
        return_indices: also return where each maximum is.

    Returns:
        The maxima, NaN where a window holds one; with ``return_indices``, also int64 indices into the plane
        (row * width + column): of equal maxima the first, -1 for a window that holds padding only.

    Raises:
        ValueError: for sizes, strides or dilations below 1, padding that is too wide, windows that do not fit.
        TypeError: for arguments of other types.

    Example:
        >>> image = torch.arange(16.0).view(1, 4, 4)
        >>> max_pool2d(image, 2)
        tensor([[[ 5.,  7.],
                 [13., 15.]]])
        >>> max_pool2d(image, 3, stride=2, padding="same").shape
        torch.Size([1, 2, 2])
    """
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(
    input: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: Padding = 0,
    dilation: IntOrInts = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """The largest element of each window in a volume; see :func:`max_pool2d`.

    Shape:
        input (batch, channels, depth, height, width) or without the batch.

    Example:
        >>> max_pool3d(torch.zeros(1, 4, 8, 8), 2, padding=("causal", 0, 0)).shape
        torch.Size([1, 2, 4, 4])
    """
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool1d_with_indices(
    input: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: Padding = 0,
    dilation: IntOrInts = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, Tensor]:
    """:func:`max_pool1d` and the indices of the maxima, whatever ``return_indices`` says (as in torch).

    Example:
        >>> max_pool1d_with_indices(torch.tensor([[1.0, 3.0, 2.0, 0.0]]), 2)
        (tensor([[3., 2.]]), tensor([[1, 2]]))
    """
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, True)  # type: ignore[return-value]


def max_pool2d_with_indices(
    input: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: Padding = 0,
    dilation: IntOrInts = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, Tensor]:
    """:func:`max_pool2d` and the indices of the maxima, whatever ``return_indices`` says (as in torch).

    Example:
        >>> max_pool2d_with_indices(torch.tensor([[[1.0, 3.0], [2.0, 0.0]]]), 2)
        (tensor([[[3.]]]), tensor([[[1]]]))
    """
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, True)  # type: ignore[return-value]


def max_pool3d_with_indices(
    input: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: Padding = 0,
    dilation: IntOrInts = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, Tensor]:
    """:func:`max_pool3d` and the indices of the maxima, whatever ``return_indices`` says (as in torch).

    Example:
        >>> max_pool3d_with_indices(torch.arange(8.0).view(1, 2, 2, 2), 2)
        (tensor([[[[7.]]]]), tensor([[[[7]]]]))
    """
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, True)  # type: ignore[return-value]


# --- averages ---------------------------------------------------------------------------------------------------------


def _avg_pool(
    rank: int,
    input: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None,
    padding: Padding,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
    dilation: IntOrInts,
) -> Tensor:
    x, unbatched = batched(input, rank)
    view = windows(spatial(x), kernel_size, stride, padding, dilation, ceil_mode)
    divisor = 0
    if divisor_override is not None:
        divisor = integer("divisor_override", divisor_override)
        if divisor == 0:
            raise ArgumentError("divisor_override must not be zero; received 0. Leave it out to divide by the count")
        if abs(divisor) > LIMIT:
            raise ArgumentError(f"divisor_override must fit 64 bits; received {divisor}")
    output = ops.avg_pool(x, view, flag("count_include_pad", count_include_pad), divisor)
    return output.squeeze(0) if unbatched else output


def avg_pool1d(
    input: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    *,
    divisor_override: int | None = None,
    dilation: IntOrInts = 1,
) -> Tensor:
    """The average of each window along one axis; see :func:`avg_pool2d`.

    Shape:
        input (batch, channels, length) or (channels, length).

    Example:
        >>> avg_pool1d(torch.tensor([[1.0, 2.0, 3.0, 6.0]]), 2)
        tensor([[1.5000, 4.5000]])
    """
    return _avg_pool(
        1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, dilation
    )  # fmt: skip


def avg_pool2d(
    input: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: IntOrInts = 1,
) -> Tensor:
    """The average of each window.

    Shape:
        input (batch, channels, height, width) or (channels, height, width), either layout; the result has its layout.

    Args:
        kernel_size, stride, padding, ceil_mode, dilation: as for :func:`max_pool2d`; padding counts as zeros.
        count_include_pad: whether the elements of the padding count in the divisor; those beyond it, which
            ``ceil_mode`` reaches, never do.
        divisor_override: divide by this instead of by the number of elements.

    Returns:
        The averages; 0 for a window that holds padding only.

    Raises:
        ValueError: as :func:`max_pool2d`, and for a divisor of zero.
        TypeError: for arguments of other types.

    Example:
        >>> image = torch.arange(16.0).view(1, 4, 4)
        >>> avg_pool2d(image, 2)
        tensor([[[ 2.5000,  4.5000],
                 [10.5000, 12.5000]]])
        >>> avg_pool2d(image, 2, stride=1, dilation=2)
        tensor([[[ 5.,  6.],
                 [ 9., 10.]]])
    """
    return _avg_pool(
        2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, dilation
    )  # fmt: skip


def avg_pool3d(
    input: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: IntOrInts = 1,
) -> Tensor:
    """The average of each window in a volume; see :func:`avg_pool2d`.

    Shape:
        input (batch, channels, depth, height, width) or without the batch.

    Example:
        >>> avg_pool3d(torch.ones(1, 4, 4, 4), 3, stride=2, padding="same", count_include_pad=False).unique()
        tensor([1.])
    """
    return _avg_pool(
        3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, dilation
    )  # fmt: skip
