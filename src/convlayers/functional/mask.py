"""Samples of different sizes in one batch: which elements are real, and which outputs are.

A mask is True where a sample has data. Each sample is a box within its frame (in one dimension: an interval); holes
inside the box are missing data, which counts as padding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from convlayers import geometry
from convlayers.errors import ArgumentError, ArgumentTypeError
from convlayers.geometry import IntOrInts, Padding, reach


def check_boolean(mask: Any) -> None:
    """Refuses what is not a boolean tensor."""
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        kind = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise ArgumentTypeError(f"mask must be a boolean tensor, True where there is data; received {kind}")


def check_mask(mask: Any, input: Tensor, rank: int) -> Tensor:
    """The mask as (batch, 1, \\*spatial), or (1, \\*spatial) for an input without a batch.

    Raises:
        ValueError: for a mask whose shape is not that of the input without its channels.
        TypeError: for a mask that is not boolean.
    """
    check_boolean(mask)
    channel = input.dim() - rank - 1
    frame = (*input.shape[:channel], *input.shape[channel + 1 :])
    if tuple(mask.shape) == frame:
        return mask.unsqueeze(channel)
    if tuple(mask.shape) == (*frame[:channel], 1, *frame[channel:]):
        return mask
    raise ArgumentError(
        f"mask must have the input's shape without its channels, {frame}; received shape {tuple(mask.shape)} with an "
        f"input of shape {tuple(input.shape)}"
    )


def output_mask(
    mask: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts = 1,
    padding: Padding = 0,
    dilation: IntOrInts = 1,
    *,
    rank: int = 1,
) -> Tensor:
    """Which outputs of a convolution belong to the samples that a mask marks.

    An output is real where a convolution of the sample alone, with the same amounts of padding, would have it. With a
    stride, samples begin at a multiple of it.

    Shape:
        mask (..., \\*spatial) with ``rank`` spatial axes -> (..., \\*positions), both boolean.

    Args:
        kernel_size, stride, padding, dilation: of the convolution.
        rank: how many of the mask's axes, from the last, are spatial.

    Raises:
        ValueError: for amounts out of range.
        TypeError: for a mask that is not boolean.

    Example:
        >>> mask = torch.tensor([[True, True, True, False, False]])
        >>> output_mask(mask, 3, padding="same")
        tensor([[ True,  True,  True, False, False]])
        >>> output_mask(mask, 3)
        tensor([[ True, False, False]])
    """
    check_boolean(mask)
    kernel = geometry.integers("kernel_size", kernel_size, rank, least=1)
    step = geometry.integers("stride", stride, rank, least=1)
    spread = geometry.integers("dilation", dilation, rank, least=1)
    size = tuple(mask.shape[mask.dim() - rank :])
    low, high = geometry.resolve_padding(padding, size, kernel, step, spread)
    result = None
    for axis, (n, k, s, lo, hi, d) in enumerate(zip(size, kernel, step, low, high, spread, strict=True)):
        others = [a - rank for a in range(rank) if a != axis]
        profile = mask.amax(dim=others) if others else mask
        start = torch.arange(geometry.output_size(n, k, s, lo, hi, d), device=mask.device) * s
        # The window of a real output starts no earlier than the sample's own padding, and ends no later.
        begun = profile.cummax(-1).values[..., start.clamp(max=n - 1)]
        not_ended = profile.flip(-1).cummax(-1).values.flip(-1)[..., (start - lo + reach(k, d) - 1 - hi).clamp(min=0)]
        real = (begun & not_ended)[(..., *(slice(None) if a == axis else None for a in range(rank)))]
        result = real if result is None else result & real
    assert result is not None
    return result
