"""What lies beyond the border of an axis: codes shared with csrc/kernels/gather.h, and the slow way to make it so."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

CONSTANT, REFLECT, REPLICATE, CIRCULAR = range(4)

#: padding_mode -> code; 'zeros' is the constant 0.
CODES = {"zeros": CONSTANT, "constant": CONSTANT, "reflect": REFLECT, "replicate": REPLICATE, "circular": CIRCULAR}


def positions(size: int, low: int, high: int, border: int, device: torch.device) -> Tensor:
    """The input coordinate that each padded coordinate shows, for the borders that repeat the input."""
    at = torch.arange(-low, size + high, device=device)
    if border == REFLECT:
        return (size - 1) - ((size - 1) - at.abs()).abs()
    if border == REPLICATE:
        return at.clamp(0, size - 1)
    return at.remainder(size)


def extend(
    input: Tensor,
    low: tuple[int, ...],
    high: tuple[int, ...],
    border: tuple[int, ...],
    value: tuple[float, ...],
) -> Tensor:
    """The input with its border around it, as a copy; negative amounts crop.

    Shape:
        input (batch, channels, \\*spatial) -> (batch, channels, \\*(low + spatial + high)).

    Axes are extended first to last, so a corner between two constants shows the constant of the later axis.
    """
    for axis, (lo, hi, kind, constant) in enumerate(zip(low, high, border, value, strict=True)):
        if (lo, hi) == (0, 0):
            continue
        dim = axis + 2
        if kind == CONSTANT:
            # Grow first, crop then: what one side crops may be what the other has added.
            beside = [0, 0] * (input.dim() - 1 - dim)
            input = F.pad(input, [*beside, max(lo, 0), max(hi, 0)], value=constant)
            first = max(-lo, 0)
            input = input.narrow(dim, first, input.shape[dim] - first - max(-hi, 0))
        else:
            input = input.index_select(dim, positions(input.shape[dim], lo, hi, kind, input.device))
    return input
