"""What is printed, in columns, and what is saved, as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from convlayers.bench.limits import Limits, Machine
from convlayers.bench.peers import Peer
from convlayers.bench.runner import Result, Settings, Summary, summaries

_NAME, _SHAPE, _TIME = 22, 42, 10
_FIGURES = ("ratio", "GFLOP/s", "GB/s", "limit")


@dataclass
class Report:
    """Everything of one run."""

    machine: Machine
    limits: Limits
    settings: Settings
    results: list[Result] = field(default_factory=list)
    complete: bool = False

    @property
    def wrong(self) -> bool:
        """Whether any peer was wrong anywhere."""
        return any(result.wrong for result in self.results)

    def save(self, path: Path) -> None:
        """Writes JSON: machine, limits, settings, rows (times in seconds), summaries, whether all rows are there."""
        content: dict[str, Any] = {
            "machine": self.machine._asdict(),
            "limits": self.limits._asdict(),
            "settings": asdict(self.settings),
            "rows": [_row(result) for result in self.results],
            "summaries": [asdict(summary) for summary in summaries(self.results)],
            "complete": self.complete,
        }
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _row(result: Result) -> dict[str, Any]:
    verdicts = {
        name: {"error": verdict.error if math.isfinite(verdict.error) else None, "wrong": verdict.wrong}
        for name, verdict in result.verdicts.items()
    }
    row: dict[str, Any] = {name: getattr(result, name) for name in ("file", "direction", "batch")}
    row |= {"problem": asdict(result.problem), "verdicts": verdicts}
    if result.figures:
        times = {name: times._asdict() for name, times in result.figures.times.items()}
        row |= result.figures._asdict() | {"times": times}
    return row


def opening(machine: Machine, limits: Limits) -> str:
    """The machine and what it can do, measured."""
    return (
        f"{machine.processor}, {machine.threads} threads, {machine.isa}; "
        f"convlayers {machine.convlayers}, torch {machine.torch}\n"
        f"limits: {limits.gflops:.0f} GFLOP/s (matrix product), {limits.gbytes:.1f} GB/s (copy)"
    )


def header(peers: Iterable[Peer]) -> str:
    """Two lines over the columns: the words of each peer's name. Times are milliseconds."""
    words = [peer.name.replace("channels-last", "ch.-last").split(" ", 1) for peer in peers]
    above = f"{'milliseconds a call':{_NAME + _SHAPE + 10}}" + _right(first for first, *_ in words)
    below = f"{'name':{_NAME}} {'shape':{_SHAPE}} {'pass':8}" + _right(" ".join(rest) for _, *rest in words)
    return f"{above}\n{below}" + "".join(f"{name:>8}" for name in _FIGURES)


def _right(cells: Iterable[str]) -> str:
    return "".join(f" {cell:>{_TIME}}" for cell in cells)


def line(result: Result) -> str:
    """A row; for a wrong one a line more for each peer that is wrong."""
    batch = str(result.batch) if result.problem.batch == result.batch else f"{result.batch}->{result.problem.batch}"
    shape = f"n {batch} {result.problem}"
    left = f"{_end(result.problem.name, _NAME)} {_start(shape, _SHAPE)} {result.direction:8}"
    figures = result.figures
    if figures is None:
        return "\n".join([f"{left} WRONG", *(f"  WRONG {name}: {what}" for name, what in result.wrong.items())])
    milliseconds = _right(f"{1e3 * times.median:.3f}" for times in figures.times.values())
    ratio = "-" if figures.ratio is None else f"{figures.ratio:.2f}"
    return f"{left}{milliseconds}{ratio:>8}{figures.gflops:8.1f}{figures.gbytes:8.1f}{figures.share:8.0%}"


def _end(text: str, width: int) -> str:
    """What layers of one network differ in is at the end of their names."""
    return f"{text:{width}}" if len(text) <= width else ".." + text[2 - width :]


def _start(text: str, width: int) -> str:
    return f"{text:{width}}" if len(text) <= width else text[: width - 2] + ".."


def closing(found: Iterable[Summary]) -> str:
    """The summaries, one a line."""
    return "\n".join(
        f"{summary.file}, {summary.direction}: geometric mean {summary.geometric_mean:.2f}, least {summary.least:.2f}, "
        f"below 1 in {summary.below_one} of {summary.rows} rows"
        for summary in found
    )
