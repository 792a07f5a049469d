"""How long calls take: samples in rounds that take the callers in turn, so that a slow moment meets all of them."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

#: Seconds of work that one sample should be, so that the clock and one interruption do not matter.
SAMPLE = 2e-3
#: Seconds of calls before a sample where callers have threads of their own: idle ones wait in a loop for about so long.
SETTLE = 10e-3
#: Rounds that are taken even where they cost more than the budget.
LEAST_ROUNDS = 3

Call = Callable[[], object]


class Times(NamedTuple):
    """Seconds a call, of several samples."""

    median: float
    least: float
    quartiles: tuple[float, float]
    samples: int
    calls_a_sample: int


def estimate(call: Call) -> float:
    """Seconds of a call: the least of three, after one that warms up."""
    call()
    return min(_sample(call, 1) for _ in range(3))


def alternating(calls: dict[str, Call], rounds: int, budget: float, settle: float = 0.0) -> dict[str, Times]:
    """Times calls in turn, A B C A B C and so on.

    Args:
        calls: what to time, by name.
        rounds: samples of each, at most.
        budget: seconds for all of it, from the first call to the last; :data:`LEAST_ROUNDS` are taken in any case.
        settle: seconds of calls before each sample, not counted: what the caller before left running ends in them.

    Returns:
        The times of each, under its name.
    """
    begin = time.perf_counter()
    repeats = {name: math.ceil(SAMPLE / max(estimate(call), SAMPLE / 10_000)) for name, call in calls.items()}
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for done in range(rounds):
        if done >= LEAST_ROUNDS and (time.perf_counter() - begin) * (done + 1) > budget * done:
            break
        for name, call in calls.items():
            if settle:
                _repeat(call, settle)
            samples[name].append(_sample(call, repeats[name]))
    return {name: _summary(taken, repeats[name]) for name, taken in samples.items()}


def _repeat(call: Call, seconds: float) -> None:
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        call()


def _sample(call: Call, repeats: int) -> float:
    begin = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - begin) / repeats


def _summary(taken: list[float], repeats: int) -> Times:
    if len(taken) == 1:
        return Times(taken[0], taken[0], (taken[0], taken[0]), 1, repeats)
    first, median, third = statistics.quantiles(taken, n=4, method="inclusive")
    return Times(median, min(taken), (first, third), len(taken), repeats)
