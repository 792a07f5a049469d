"""One row: check every peer, cut the batch to what the time allows, and time."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch

from convlayers.bench import check, timing
from convlayers.bench.check import Verdict
from convlayers.bench.data import Data
from convlayers.bench.limits import Limits
from convlayers.bench.peers import Calls, Peer
from convlayers.bench.problem import Problem
from convlayers.bench.timing import Times

#: Passes over the data: training has the forward pass and the gradients of input and weight, of the same cost each.
PASSES = {"forward": 1, "training": 3}


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        seconds: that one call of any peer may take; the batch is cut until it does.
        rounds: samples of each peer, at most.
        budget: seconds for the samples of one row in one direction.
    """

    seconds: float = 1.0
    rounds: int = 25
    budget: float = 3.0


class Figures(NamedTuple):
    """What was measured.

    Attributes:
        times: of each peer, by name.
        ratio: time of the fastest rival over that of the first peer; None without rivals.
        gflops, gbytes: what the first peer did, in thousands of millions a second: two operations a multiplication,
            padding counted; input, weight and output once a pass.
        share: of the limit that is nearer. Above 1 where the data stayed in the caches.
    """

    times: dict[str, Times]
    ratio: float | None
    gflops: float
    gbytes: float
    share: float


@dataclass(frozen=True)
class Result:
    """A row in one direction.

    Attributes:
        problem: with the batch that was timed.
        batch: the batch that the list gives.
        figures: None where a peer is wrong.
    """

    file: str
    direction: str
    problem: Problem
    batch: int
    verdicts: dict[str, Verdict]
    figures: Figures | None

    @property
    def wrong(self) -> dict[str, str]:
        """What is wrong, by the names of the peers."""
        return {name: verdict.wrong for name, verdict in self.verdicts.items() if verdict.wrong}


def measure(
    rows: Iterable[tuple[str, Problem]],
    directions: tuple[str, ...],
    peers: tuple[Peer, ...],
    settings: Settings,
    limits: Limits,
) -> Iterator[Result]:
    """Measures rows one by one, each in every direction.

    Args:
        rows: the name of a file and a problem of it.
        directions: of 'forward' and 'training'.
        peers: the first is the one that the ratio is about.
    """
    for file, problem in rows:
        for direction, verdicts in check.verdicts(problem, directions, peers).items():
            if any(verdict.wrong for verdict in verdicts.values()):
                yield Result(file, direction, problem, problem.batch, verdicts, None)
            else:
                timed = problem.with_batch(affordable(problem, direction, peers, settings.seconds))
                figures = _timed(timed, direction, peers, settings, limits)
                yield Result(file, direction, timed, problem.batch, verdicts, figures)


def _timed(problem: Problem, direction: str, peers: tuple[Peer, ...], settings: Settings, limits: Limits) -> Figures:
    with torch.set_grad_enabled(direction == "training"):
        times = timing.alternating(_calls(problem, direction, peers), settings.rounds, settings.budget)
    ours = times[peers[0].name].median
    rivals = [times[peer.name].median for peer in peers if peer.rival]
    gflops = PASSES[direction] * 2 * problem.macs / ours / 1e9
    gbytes = PASSES[direction] * problem.bytes / ours / 1e9
    share = max(gflops / limits.gflops, gbytes / limits.gbytes)
    ratio = min(rivals) / ours if rivals else None
    return Figures(times, ratio, gflops, gbytes, share)


def affordable(problem: Problem, direction: str, peers: tuple[Peer, ...], seconds: float) -> int:
    """The batch, halved until one call of the slowest peer should take less than ``seconds``; at least 1.

    Time is taken to grow with the batch, from calls of each peer with a batch of 1.
    """
    if problem.batch == 1:
        return 1
    with torch.set_grad_enabled(direction == "training"):
        slowest = max(timing.estimate(call) for call in _calls(problem.with_batch(1), direction, peers).values())
    batch = problem.batch
    while batch > 1 and batch * slowest > seconds:
        batch //= 2
    return batch


def _calls(problem: Problem, direction: str, peers: tuple[Peer, ...]) -> dict[str, timing.Call]:
    data = Data(problem)
    prepared: dict[str, Calls] = {peer.name: peer.prepare(problem, data) for peer in peers}
    return {name: getattr(calls, direction) for name, calls in prepared.items()}


@dataclass(frozen=True)
class Summary:
    """Ratios of one file in one direction; every row counts the same."""

    file: str
    direction: str
    rows: int
    geometric_mean: float
    least: float
    below_one: int


def summaries(results: Iterable[Result]) -> list[Summary]:
    """A summary for each file and direction, of the rows that have a ratio."""
    ratios: dict[tuple[str, str], list[float]] = {}
    for result in results:
        if result.figures and result.figures.ratio is not None:
            ratios.setdefault((result.file, result.direction), []).append(result.figures.ratio)
    return [
        Summary(*key, len(of), statistics.geometric_mean(of), min(of), sum(ratio < 1 for ratio in of))
        for key, of in ratios.items()
    ]
