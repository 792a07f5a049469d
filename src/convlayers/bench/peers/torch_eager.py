"""torch.nn.functional as it is, in either layout.

Where the padding differs above and below, ``torch.nn.functional.pad`` comes first, or, transposed, a slice last; it is
part of the call.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from convlayers.bench.data import Data
from convlayers.bench.peers.peer import Calls, differentiable
from convlayers.bench.problem import Problem


@dataclass(frozen=True)
class TorchEager:
    """torch in a layout."""

    layout: str
    family: str = "torch"
    own_threads: bool = False

    @property
    def name(self) -> str:
        return f"torch {self.layout}"

    def prepare(self, problem: Problem, data: Data) -> Calls:
        return differentiable(convolution(problem), data.laid_out(self.layout))


def convolution(problem: Problem) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """A function of input, weight and bias that computes the problem with torch's operators."""
    options: dict[str, Any] = {"stride": problem.stride, "padding": problem.low, "dilation": problem.dilation}
    if problem.transposed:
        options["output_padding"] = problem.output_padding
    elif not problem.symmetric:
        options["padding"] = 0
    function = functools.partial(getattr(F, problem.function), groups=problem.groups, **options)
    inside = (..., *(slice(size) for size in problem.output_size))

    def padded(input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return function(F.pad(input, problem.pairs), weight, bias)

    def cut(input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return function(input, weight, bias)[inside]

    return function if problem.symmetric else cut if problem.transposed else padded
