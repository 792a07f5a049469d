"""The tensors of a problem, in the layouts that peers ask for."""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch
from torch import Tensor

from convlayers.bench.problem import Problem

LAYOUTS = ("channels-last", "contiguous")


class Tensors(NamedTuple):
    """What a call is given; ``upstream`` is the gradient of the output."""

    input: Tensor
    weight: Tensor
    bias: Tensor
    upstream: Tensor


class Data:
    """Normally distributed float32 tensors for a problem, the same for every peer.

    Example:
        >>> from convlayers.bench import shapes
        >>> axis = dict(size=(4,), kernel=(3,), stride=(1,), low=(1,), high=(1,), dilation=(1,), output_padding=(0,))
        >>> problem = Problem("", False, 1, 2, 2, 1, **axis, output_size=(4,))
        >>> Data(problem).laid_out("channels-last").input.stride()
        (8, 1, 2)
    """

    def __init__(self, problem: Problem, seed: int = 0) -> None:
        self.rank = problem.rank
        draw = functools.partial(torch.randn, generator=torch.Generator().manual_seed(seed))
        shapes = (problem.input_shape, problem.weight_shape, (problem.out_channels,), problem.output_shape)
        self._contiguous = Tensors(*(draw(shape) for shape in shapes))
        self._channels_last: Tensors | None = None

    def laid_out(self, layout: str) -> Tensors:
        """The tensors in a layout, as after ``model.to(memory_format=...)``: in 2-D and 3-D weights as well.

        torch has no such format for one dimension. There the input has the strides of (batch, length, channels), and
        the weights stay as they are.
        """
        if layout == "contiguous":
            return self._contiguous
        if self._channels_last is None:
            input, weight, bias, upstream = self._contiguous
            weight = weight if self.rank == 1 else channels_last(weight)
            self._channels_last = Tensors(channels_last(input), weight, bias, channels_last(upstream))
        return self._channels_last


def channels_last(tensor: Tensor) -> Tensor:
    """A copy with the second axis innermost in memory, also where an axis of size 1 would leave that open."""
    moved = tensor.movedim(1, -1)
    return torch.empty(moved.shape, dtype=tensor.dtype).copy_(moved).movedim(-1, 1)
