"""convlayers.functional, with the input in either layout."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from convlayers import functional
from convlayers.bench.data import Data
from convlayers.bench.peers.peer import Calls, differentiable
from convlayers.bench.problem import Problem


@dataclass(frozen=True)
class Ours:
    """Ours in a layout."""

    layout: str
    family: str = "ours"
    own_threads: bool = False

    @property
    def name(self) -> str:
        return f"ours {self.layout}"

    def prepare(self, problem: Problem, data: Data) -> Calls:
        padding = problem.low if problem.symmetric else tuple(zip(problem.low, problem.high, strict=True))
        options: dict[str, Any] = {"stride": problem.stride, "padding": padding, "dilation": problem.dilation}
        if problem.transposed:
            options["output_padding"] = problem.output_padding
        function = functools.partial(getattr(functional, problem.function), groups=problem.groups, **options)
        return differentiable(function, data.laid_out(self.layout))
