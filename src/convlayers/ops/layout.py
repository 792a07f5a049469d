"""Channels last or contiguous: what a tensor is, and results that are the same."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def is_channels_last(t: Tensor) -> bool:
    """Whether the strides of a tensor (batch, channels, \\*spatial) are in channels-last order, by torch's own rule:
    one that could be either counts as contiguous."""
    size, stride = t.shape, t.stride()
    least: Any = 0
    for axis in (1, *range(t.dim() - 1, 1, -1), 0):
        if size[axis] == 0 or stride[axis] < least or (axis == 0 and least == stride[1]):
            return False
        least = stride[axis] * size[axis]
    return bool(stride[1] > 0)


def new_in_layout(like: Tensor, channels_last: bool, shape: Any, dtype: torch.dtype | None = None) -> Tensor:
    """Memory of this shape, channels last or contiguous."""
    if channels_last:
        return like.new_empty((shape[0], *shape[2:], shape[1]), dtype=dtype).movedim(-1, 1)
    return like.new_empty(shape, dtype=dtype)


def in_layout_of(like: Tensor, t: Tensor) -> Tensor:
    """The tensor, copied where it is not in the layout of another."""
    if is_channels_last(like):
        return t.movedim(1, -1).contiguous().movedim(-1, 1)
    return t.contiguous()
