"""Pooling by power averages, the p-norm of each window, in one to three dimensions."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from convlayers.errors import ArgumentError, ArgumentTypeError
from convlayers.functional.arguments import spatial
from convlayers.functional.pool_arguments import batched, windows
from convlayers.geometry import IntOrInts, Padding
from convlayers.ops import pool as ops


def _lp_pool(
    rank: int,
    input: Tensor,
    norm_type: float,
    kernel_size: IntOrInts,
    stride: IntOrInts | None,
    ceil_mode: bool,
    padding: Padding,
    dilation: IntOrInts,
) -> Tensor:
    if isinstance(norm_type, bool | str) or not isinstance(norm_type, int | float | Tensor):
        raise ArgumentTypeError(f"norm_type must be a number; received {norm_type!r}")
    number = not isinstance(norm_type, Tensor)
    if number and (norm_type == 0 or math.isnan(norm_type)):
        raise ArgumentError(f"norm_type must be a number other than zero; received {norm_type!r}")
    x, unbatched = batched(input, rank)
    view = windows(spatial(x), kernel_size, stride, padding, dilation, ceil_mode)
    if number and math.isinf(norm_type):
        # The limits of the power average: the largest magnitude, and the smallest.
        sign = 1 if norm_type > 0 else -1
        output = sign * ops.max_pool(sign * x.abs(), view, False)[0]
    else:
        mean = ops.avg_pool(x.pow(norm_type), view, True, 0)
        # Through sign and relu the gradient of a window of zeros is the one that torch gives.
        total = (torch.sign(mean) * torch.relu(torch.abs(mean))).mul(math.prod(view.kernel))
        output = total.pow(1.0 / norm_type)
    return output.squeeze(0) if unbatched else output


def lp_pool1d(
    input: Tensor,
    norm_type: float,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    ceil_mode: bool = False,
    *,
    padding: Padding = 0,
    dilation: IntOrInts = 1,
) -> Tensor:
    """The p-norm of each window along one axis; see :func:`lp_pool2d`.

    Shape:
        input (batch, channels, length) or (channels, length).

    Example:
        >>> lp_pool1d(torch.tensor([[3.0, 4.0, 6.0, 8.0]]), 2, 2)
        tensor([[ 5., 10.]])
    """
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode, padding, dilation)


def lp_pool2d(
    input: Tensor,
    norm_type: float,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    ceil_mode: bool = False,
    *,
    padding: Padding = 0,
    dilation: IntOrInts = 1,
) -> Tensor:
    """The p-norm of each window: the p-th root of the sum of its elements' p-th powers.

    A window that ``ceil_mode`` lets end outside is weighted as if it were whole, as in torch.

    Shape:
        input (batch, channels, height, width) or (channels, height, width).

    Args:
        norm_type: p, not zero; infinity takes the largest magnitude, -infinity the smallest.
        kernel_size, stride, ceil_mode, padding, dilation: as for :func:`max_pool2d`; padding counts as zeros.

    Returns:
        The norms; NaN where an odd power sums to less than zero.

    Raises:
        ValueError: as :func:`max_pool2d`, and for a ``norm_type`` of zero.
        TypeError: for arguments of other types.

    Example:
        >>> lp_pool2d(torch.ones(1, 4, 4), 2, 2)
        tensor([[[2., 2.],
                 [2., 2.]]])
    """
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode, padding, dilation)


def lp_pool3d(
    input: Tensor,
    norm_type: float,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    ceil_mode: bool = False,
    *,
    padding: Padding = 0,
    dilation: IntOrInts = 1,
) -> Tensor:
    """The p-norm of each window in a volume; see :func:`lp_pool2d`.

    Shape:
        input (batch, channels, depth, height, width) or without the batch.

    Example:
        >>> lp_pool3d(torch.ones(1, 2, 2, 2), 3, 2)
        tensor([[[[2.]]]])
    """
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode, padding, dilation)
