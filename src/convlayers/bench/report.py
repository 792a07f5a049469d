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
from convlayers.bench.runner import Result, Settings
from convlayers.bench.summary import SLOW, Summary, slow, summaries

_NAME, _SHAPE, _TIME = 22, 42, 10
_FIGURES = ("GFLOP/s", "GB/s", "limit")


@dataclass
class Report:
    """Everything of one run: the command that began it, and the families of peers beside ours, its rivals."""

    command: str
    machine: Machine
    limits: Limits
    settings: Settings
    rivals: tuple[str, ...]
    results: list[Result] = field(default_factory=list)
    complete: bool = False

    @property
    def wrong(self) -> bool:
        """Whether any peer was wrong anywhere."""
        return any(result.wrong for result in self.results)

    def save(self, path: Path) -> None:
        """Writes JSON: machine, limits, settings, rows (times in seconds), summaries, whether all rows are there."""
        content: dict[str, Any] = {
            "command": self.command,
            "machine": self.machine._asdict(),
            "limits": self.limits._asdict(),
            "settings": asdict(self.settings),
            "rivals": self.rivals,
            "rows": [_row(result) for result in self.results],
            "summaries": [asdict(summary) for summary in summaries(self.results)],
            "complete": self.complete,
        }
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _row(result: Result) -> dict[str, Any]:
    verdicts = {
        name: verdict._asdict() | {"error": verdict.error if math.isfinite(verdict.error) else None}
        for name, verdict in result.verdicts.items()
    }
    row: dict[str, Any] = {name: getattr(result, name) for name in ("file", "kind", "direction", "batch")}
    row |= {"problem": asdict(result.problem), "shape": str(result.problem), "verdicts": verdicts}
    row["operations_a_byte"] = 2 * result.problem.macs / result.problem.bytes
    if result.figures:
        times = {name: times._asdict() for name, times in result.figures.times.items()}
        row |= result.figures._asdict() | {"times": times}
    return row


def opening(machine: Machine, limits: Limits, settings: Settings) -> str:
    """The machine, what it can do, measured, and how memory is treated."""
    return (
        f"{machine.processor}, {machine.threads} threads, {machine.isa}; "
        f"convlayers {machine.convlayers}, torch {machine.torch}\n"
        f"limits: {limits.gflops:.0f} GFLOP/s (matrix product), {limits.gbytes:.1f} GB/s (copy)\n"
        f"memory: {treatment(settings.keep_memory)}"
    )


def treatment(keep_memory: bool) -> str:
    """How all peers get their memory."""
    return "kept (convlayers.keep_memory)" if keep_memory else "as the C allocator has it"


def header(peers: Iterable[Peer], rivals: Iterable[str]) -> str:
    """Two lines over the columns: the words of each peer's name, and what the ratios are to. Times are milliseconds."""
    words = [peer.name.replace("channels-last", "ch.-last").split(" ", 1) for peer in peers]
    above = f"{'milliseconds a call':{_NAME + _SHAPE + 10}}" + _right(first for first, *_ in words)
    below = f"{'name':{_NAME}} {'shape':{_SHAPE}} {'pass':8}" + _right(" ".join(rest) for _, *rest in words)
    above += "".join(f"{'to':>{_ratio(rival)}}" for rival in rivals)
    below += "".join(f"{rival:>{_ratio(rival)}}" for rival in rivals)
    return f"{above}\n{below}" + "".join(f"{name:>8}" for name in _FIGURES)


def _ratio(rival: str) -> int:
    return max(8, len(rival) + 1)


def _right(cells: Iterable[str]) -> str:
    return "".join(f" {cell:>{_TIME}}" for cell in cells)


def line(result: Result, rivals: Iterable[str]) -> str:
    """A row, '-' where a peer has no such computation; a line more for each peer that is wrong."""
    batch = str(result.batch) if result.problem.batch == result.batch else f"{result.batch}->{result.problem.batch}"
    shape = f"n {batch} {result.problem}"
    left = f"{_end(result.problem.name, _NAME)} {_start(shape, _SHAPE)} {result.direction:8}"
    wrong = [f"  WRONG {name}: {what}" for name, what in result.wrong.items()]
    figures = result.figures
    if figures is None:
        return "\n".join([f"{left} WRONG", *wrong])
    times = figures.times
    left += _right(
        f"{1e3 * times[name].median:.3f}" if name in times else _no_time(result, name) for name in result.verdicts
    )
    left += "".join(
        f"{figures.ratios[rival]:{_ratio(rival)}.2f}" if rival in figures.ratios else f"{'-':>{_ratio(rival)}}"
        for rival in rivals
    )
    return "\n".join([f"{left}{figures.gflops:8.1f}{figures.gbytes:8.1f}{figures.share:8.0%}", *wrong])


def _no_time(result: Result, name: str) -> str:
    return "WRONG" if result.verdicts[name].wrong else "-"


def _end(text: str, width: int) -> str:
    """What layers of one network differ in is at the end of their names."""
    return f"{text:{width}}" if len(text) <= width else ".." + text[2 - width :]


def _start(text: str, width: int) -> str:
    return f"{text:{width}}" if len(text) <= width else text[: width - 2] + ".."


def closing(results: list[Result], rivals: tuple[str, ...]) -> str:
    """Means of lists, kinds and all against the first rival, those of all against the others, and what is slow."""
    found = summaries(results)
    lines = [_summary(summary) for summary in found if rivals[:1] == (summary.rival,) or summary.by == "all"]
    for rival in rivals[:1]:
        below = [f"  {r.ratios[rival]:.2f} {r.direction:8} {r.problem.name}" for r in slow(results, rival)]
        lines += [f"below {SLOW} of {rival}: {len(below)} of {len(results)}", *below]
    return "\n".join(lines)


def _summary(summary: Summary) -> str:
    name = summary.group if summary.by == "all" else f"{summary.by} {summary.group}"
    return (
        f"{name}, {summary.direction}: geometric mean {summary.geometric_mean:.2f} of {summary.rival}, "
        f"least {summary.least:.2f}, below 1 in {summary.below_one} of {summary.rows} rows, "
        f"{summary.share:.0%} of the limit"
    )
