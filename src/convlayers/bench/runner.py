"""One row: check every peer, cut the batch to what the time allows, and time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch

from convlayers.bench import check, timing
from convlayers.bench.check import Verdict
from convlayers.bench.data import Data
from convlayers.bench.kinds import kind
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
        keep_memory: whether :func:`convlayers.keep_memory` is in force, for every peer.
    """

    seconds: float = 1.0
    rounds: int = 25
    budget: float = 3.0
    keep_memory: bool = False


class Figures(NamedTuple):
    """What was measured.

    Attributes:
        times: of each peer that was timed, by name.
        ratios: for each family beside ours, the time of its fastest over that of the first peer.
        gflops, gbytes: what the first peer did, in thousands of millions a second: two operations a multiplication,
            padding counted; input, weight and output once a pass.
        share: of the limit that is nearer. Above 1 where the data stayed in the caches.
    """

    times: dict[str, Times]
    ratios: dict[str, float]
    gflops: float
    gbytes: float
    share: float


@dataclass(frozen=True)
class Result:
    """A row in one direction.

    Attributes:
        problem: with the batch that was timed.
        batch: the batch that the list gives.
        figures: None where the first peer is wrong; another that is wrong, or lacks the problem, is not timed.
    """

    file: str
    direction: str
    problem: Problem
    batch: int
    verdicts: dict[str, Verdict]
    figures: Figures | None

    @property
    def kind(self) -> str:
        """What kind of convolution it is."""
        return kind(self.problem)

    @property
    def ratios(self) -> dict[str, float]:
        """The figures' ratios; none where there are no figures."""
        return self.figures.ratios if self.figures else {}

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
            able = tuple(peer for peer in peers if verdicts[peer.name].right)
            if peers[0] not in able:
                yield Result(file, direction, problem, problem.batch, verdicts, None)
            else:
                timed = problem.with_batch(affordable(problem, direction, able, settings.seconds))
                figures = _timed(timed, direction, able, settings, limits)
                yield Result(file, direction, timed, problem.batch, verdicts, figures)


def _timed(problem: Problem, direction: str, peers: tuple[Peer, ...], settings: Settings, limits: Limits) -> Figures:
    with torch.set_grad_enabled(direction == "training"):
        settle = timing.SETTLE if any(peer.own_threads for peer in peers) else 0.0
        times = timing.alternating(_calls(problem, direction, peers), settings.rounds, settings.budget, settle)
    ours = times[peers[0].name].median
    ratios: dict[str, float] = {}
    for peer in peers:
        if peer.family != peers[0].family:
            ratio = times[peer.name].median / ours
            ratios[peer.family] = min(ratio, ratios.get(peer.family, ratio))
    gflops = PASSES[direction] * 2 * problem.macs / ours / 1e9
    gbytes = PASSES[direction] * problem.bytes / ours / 1e9
    share = max(gflops / limits.gflops, gbytes / limits.gbytes)
    return Figures(times, ratios, gflops, gbytes, share)


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
