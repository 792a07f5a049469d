"""Whether a peer is right, before anything is timed.

Every result is compared with float64 (``reference``) on normally distributed data. A float32 sum of L products of such
numbers is about sqrt(L) in size, and its rounding errors add up to about eps * L. So the largest error may be

    4 * eps * sqrt(L) * max(largest reference value, sqrt(L)),    eps = 2**-23

(Winograd's algorithm has two to three times the rounding of a sum; ``convlayers.precision('exact')`` does without.)

where L is the length of the sum behind one element: taps * in_channels / groups for the output, taps * out_channels /
groups for the gradient of the input, batch * windows for that of the weight, batch * outputs for that of the bias.

The batch is cut to :data:`BATCH` for this, as float64 is slow, and to 1 where a few samples would take more memory than
machines have; the spatial sizes and the channels stay.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from convlayers.bench import reference
from convlayers.bench.data import Data
from convlayers.bench.peers import Peer, UnsupportedError
from convlayers.bench.problem import Problem

#: The batch that results are checked with, at most.
BATCH = 2
#: Bytes of a problem's tensors, at most, with more than one sample: what is compared takes some ten times as much.
BYTES = 1 << 30
RESULTS = ("output", "input gradient", "weight gradient", "bias gradient")


class Verdict(NamedTuple):
    """What came of one peer in one direction.

    Attributes:
        error: the largest error over its bound, of all results; at most 1 is right. NaN where there is no number.
        wrong: what is wrong, in a sentence; empty where all is right.
        lacks: why there is nothing to compare, in a sentence: the peer has no such computation. Empty where it has.
    """

    error: float
    wrong: str = ""
    lacks: str = ""

    @property
    def right(self) -> bool:
        """Whether there is a result, and it is right."""
        return not self.wrong and not self.lacks


def verdicts(problem: Problem, directions: tuple[str, ...], peers: tuple[Peer, ...]) -> dict[str, dict[str, Verdict]]:
    """Runs each peer once in each of ``directions``, 'forward' and 'training', and compares all that it returns.

    Returns:
        For each direction, a verdict for the name of each peer. A peer that raises is wrong.
    """
    problem = problem.with_batch(min(problem.batch, BATCH))
    if problem.bytes > BYTES:
        problem = problem.with_batch(1)
    data = Data(problem)
    tensors = data.laid_out("contiguous")
    training = "training" in directions
    right = reference.training(problem, tensors) if training else (reference.forward(problem, tensors),)
    return {
        direction: {peer.name: _verdict(problem, data, direction, peer, right) for peer in peers}
        for direction in directions
    }


def _verdict(problem: Problem, data: Data, direction: str, peer: Peer, right: tuple[Tensor, ...]) -> Verdict:
    try:
        calls = peer.prepare(problem, data)
        if direction == "training":
            if calls.training is None:
                return Verdict(math.nan, lacks="computes no gradients")
            return _compared(problem, tuple(calls.training()), right)
        with torch.no_grad():
            return _compared(problem, (calls.forward(),), right[:1])
    except UnsupportedError as error:
        return Verdict(math.nan, lacks=str(error))
    except Exception as error:  # whatever a peer of others may raise
        return Verdict(math.nan, f"raises {type(error).__name__}: {str(error).partition(chr(10))[0]}")


def lengths(problem: Problem) -> tuple[int, ...]:
    """Terms in the sum behind one element of each of :data:`RESULTS`."""
    taps = math.prod(problem.kernel)
    windows = math.prod(problem.size if problem.transposed else problem.output_size)
    return (
        taps * problem.in_channels // problem.groups + 1,
        taps * problem.out_channels // problem.groups,
        problem.batch * windows,
        problem.batch * math.prod(problem.output_size),
    )


def _compared(problem: Problem, returned: tuple[Tensor, ...], right: tuple[Tensor, ...]) -> Verdict:
    if len(returned) != len(right):
        return Verdict(math.nan, f"returns {len(returned)} tensors, not {len(right)}")
    worst = 0.0
    for name, value, expected, length in zip(RESULTS, returned, right, lengths(problem), strict=False):
        if value.shape != expected.shape:
            return Verdict(math.nan, f"{name} has the shape {tuple(value.shape)}, not {tuple(expected.shape)}")
        if value.dtype != torch.float32:
            return Verdict(math.nan, f"{name} is {value.dtype}, not torch.float32")
        largest = max(expected.abs().max().item(), math.sqrt(length))
        error = (value.detach() - expected).abs_().max().item() / largest
        bound = 4 * torch.finfo(torch.float32).eps * math.sqrt(length)
        # Not `error > bound`: a NaN must be wrong.
        if not error <= bound:
            return Verdict(
                error / bound, f"{name} is off by {error:.1e} of its largest value, at most {bound:.1e} is right"
            )
        worst = max(worst, error / bound)
    return Verdict(worst)
