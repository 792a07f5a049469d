"""torch.compile with its own backend, inductor, in either layout: torch's operators compiled for a problem's shapes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convlayers.bench.data import Data
from convlayers.bench.peers.peer import Calls, differentiable
from convlayers.bench.peers.torch_eager import convolution
from convlayers.bench.problem import Problem


@dataclass(frozen=True)
class TorchCompiled:
    """torch.compile in a layout."""

    layout: str
    family: str = "compiled"
    own_threads: bool = False

    @property
    def name(self) -> str:
        return f"compiled {self.layout}"

    def prepare(self, problem: Problem, data: Data) -> Calls:
        # What was compiled for other problems would be looked through on each call, and be counted to torch's limit.
        torch.compiler.reset()
        function = convolution(problem)

        # A function of its own: torch.compile does not take a functools.partial.
        def call(input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
            return function(input, weight, bias)

        return differentiable(torch.compile(call, dynamic=False, fullgraph=True), data.laid_out(self.layout))
