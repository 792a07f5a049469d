"""The checks that every convolution shares: tensors that fit each other, with or without a batch axis.

Whatever is refused here is refused before anything is computed, by an error that names the argument, the rule, what was
received and, where one is known, the way out.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from convlayers.errors import ArgumentError, ArgumentTypeError

AXES = {1: "length", 2: "height, width", 3: "depth, height, width"}


def batched(input: Any, rank: int) -> tuple[Tensor, bool]:
    """The input as (batch, channels, \\*spatial), and whether the batch axis was put there."""
    if not isinstance(input, Tensor):
        raise ArgumentTypeError(f"input must be a tensor; received {type(input).__name__}")
    dims = input.dim()
    if dims == rank + 2:
        return input, False
    if dims == rank + 1:
        return input.unsqueeze(0), True
    raise ArgumentError(
        f"input must have {rank + 2} dimensions (batch, channels, {AXES[rank]}) or {rank + 1} without the batch; "
        f"received shape {tuple(input.shape)}"
    )


def shapes_of(input: Tensor, weight: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shapes of both; refuses a weight that is no tensor."""
    if not isinstance(weight, Tensor):
        raise ArgumentTypeError(f"weight must be a tensor; received {type(weight).__name__}")
    if torch.jit.is_tracing():  # which makes sizes tensors
        return tuple(int(n) for n in input.shape), tuple(int(n) for n in weight.shape)
    return input.shape, weight.shape


def check_shapes(
    input: tuple[int, ...], shape: tuple[int, ...], groups: int, rank: int, *, transposed: bool, unbatched: bool
) -> None:
    """Refuses a weight of a shape that does not fit a batched input's."""
    layout = "(in_channels, out_channels / groups" if transposed else "(out_channels, in_channels / groups"
    if len(shape) != rank + 2:
        raise ArgumentError(
            f"weight must have {rank + 2} dimensions {layout}, {AXES[rank]}); received shape {tuple(shape)}"
        )
    if groups < 1:
        raise ArgumentError(f"groups must be at least 1; received {groups}")
    if 0 in shape:
        raise ArgumentError(f"weight must not be empty: channels and kernel at least 1; received shape {tuple(shape)}")
    if shape[0] % groups:
        which = "in_channels" if transposed else "out_channels"
        raise ArgumentError(
            f"groups must divide {which}, the first axis of weight; received groups={groups} with weight of shape "
            f"{tuple(shape)}"
        )
    expected = shape[0] if transposed else shape[1] * groups
    if input[1] != expected:
        raise _channel_mismatch(input, shape, groups, expected, unbatched)
    if 0 in input[2:] and input[0] != 0:
        raise ArgumentError(f"input must not have empty axes other than its batch; received shape {tuple(input)}")


def check_operands(input: Tensor, weight: Tensor, bias: Any, channels: int) -> None:
    """Refuses a weight or a bias of another dtype or on another device than the input, and a bias that does not fit."""
    dtype, is_cpu = input.dtype, input.is_cpu
    if weight.dtype is not dtype or not (is_cpu and weight.is_cpu):
        check_alike(input, "weight", weight)
    if bias is None:
        return
    if not isinstance(bias, Tensor):
        raise ArgumentTypeError(f"bias must be a tensor or None; received {type(bias).__name__}")
    if bias.dim() != 1 or bias.shape[0] != channels:
        raise ArgumentError(
            f"bias must have one element for each of the {channels} output channels; received shape {tuple(bias.shape)}"
        )
    if bias.dtype is not dtype or not (is_cpu and bias.is_cpu):
        check_alike(input, "bias", bias)


def check_alike(input: Tensor, name: str, parameter: Tensor) -> None:
    """Refuses a parameter of another dtype or on another device than the input."""
    if input.dtype != parameter.dtype and not torch.is_autocast_enabled(input.device.type):
        raise ArgumentTypeError(
            f"input and {name} should be the same dtype; received {input.dtype} and {parameter.dtype}. Convert one, "
            f"such as input.to({parameter.dtype})"
        )
    if input.device != parameter.device:
        raise ArgumentError(
            f"input and {name} must be on the same device; received {input.device} and {parameter.device}"
        )


def _channel_mismatch(
    input: tuple[int, ...], weight_shape: tuple[int, ...], groups: int, expected: int, unbatched: bool
) -> ArgumentError:
    shape = tuple(input[1:] if unbatched else input)
    hint = ""
    if shape[-1] == expected:
        first = 0 if unbatched else 1
        order = (*range(first), len(shape) - 1, *range(first, len(shape) - 1))
        hint = f". This looks like channels-last data: use x.permute{order}"
    return ArgumentError(
        f"input must have {expected} channels, as weight of shape {tuple(weight_shape)} with groups={groups} expects; "
        f"received input of shape {shape}, which has {input[1]}{hint}"
    )


def spatial(input: Tensor) -> tuple[int, ...]:
    """The sizes of the axes behind batch and channels."""
    size = tuple(input.shape[2:])
    # torch.jit.trace makes sizes tensors; they cannot be remembered as plain geometry.
    return tuple(int(n) for n in size) if torch.jit.is_tracing() else size
