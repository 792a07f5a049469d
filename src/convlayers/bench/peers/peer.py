"""What a peer is: something that computes a problem, set up once and then called many times."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from convlayers.bench.data import Data, Tensors
from convlayers.bench.problem import Problem


class Calls(NamedTuple):
    """What is timed.

    Attributes:
        forward: returns the output.
        training: returns the output and the gradients of input, weight and bias; None where there are no gradients.
    """

    forward: Callable[[], Tensor]
    training: Callable[[], tuple[Tensor, ...]] | None


class UnsupportedError(Exception):
    """A peer has no way to compute a problem: a clause that says what it lacks."""


class Peer(Protocol):
    """An implementation.

    Attributes:
        name: two words, the implementation and its layout.
        family: its name in ``PEERS``; ``'ours'`` for ours.
        own_threads: whether it runs on threads other than torch's.
    """

    @property
    def name(self) -> str: ...

    @property
    def family(self) -> str: ...

    @property
    def own_threads(self) -> bool: ...

    def prepare(self, problem: Problem, data: Data) -> Calls:
        """Does what need not be done every call: lays out the data, builds what runs.

        Raises:
            UnsupportedError: where the peer has no such convolution.
        """


def differentiable(function: Callable[[Tensor, Tensor, Tensor], Tensor], tensors: Tensors) -> Calls:
    """The calls of a function of input, weight and bias that torch can differentiate."""
    input, weight, bias, upstream = tensors
    leaves = [tensor.detach().requires_grad_() for tensor in (input, weight, bias)]

    def training() -> tuple[Tensor, ...]:
        output = function(*leaves)
        return (output, *torch.autograd.grad(output, leaves, upstream))

    return Calls(lambda: function(input, weight, bias), training)
