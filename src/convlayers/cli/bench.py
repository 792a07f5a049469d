"""``convlayers bench``: how fast our convolutions are beside torch's and others', on lists of shapes."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convlayers.cli import UsageError, check_writable, positive

DIRECTIONS = ("forward", "training")
RIVALS = ("torch", "compiled", "onnxruntime", "openvino")


def _some_of(names: Sequence[str]) -> Any:
    """Reads names with commas between them, for an argument's ``type``."""

    def parse(text: str) -> tuple[str, ...]:
        chosen = tuple(text.split(","))
        if len(set(chosen)) != len(chosen) or not set(chosen) <= set(names):
            raise argparse.ArgumentTypeError(f"must be of {', '.join(names)}, with commas; received {text!r}")
        return chosen

    return parse


def add(subparsers: Any) -> None:
    """Adds the command's arguments."""
    parser = subparsers.add_parser("bench", help="measure convolutions beside torch's", description=__doc__)
    shapes = "lists of shapes (default: the project's own)"
    parser.add_argument("--shapes", metavar="FILE.csv", type=Path, nargs="+", help=shapes)
    parser.add_argument("--filter", metavar="TEXT", default="", help="only rows whose name has this in it")
    directions = "forward, training (forward and all gradients), or both (default) with a comma"
    parser.add_argument("--directions", type=_some_of(DIRECTIONS), default=DIRECTIONS, help=directions)
    peers = f"beside ours, of {', '.join(RIVALS)}, with commas (default: torch); ratios are to the first"
    parser.add_argument("--peers", metavar="NAME,...", type=_some_of(RIVALS), default=("torch",), help=peers)
    keep = "all peers with convlayers.keep_memory() in force"
    parser.add_argument("--keep-memory", action="store_true", help=keep)
    memory = "measure the memory of a call at its peak, not its time; 1 where ours takes more than it should"
    parser.add_argument("--memory", action="store_true", help=memory)
    seconds = "that one call may take; the batch is halved until it does (default: 1)"
    parser.add_argument("--seconds", type=positive(float), default=1.0, help=seconds)
    parser.add_argument("--rounds", type=positive(int), default=25, help="samples of each, at most (default: 25)")
    budget = "seconds for the samples of a row in one direction (default: 3)"
    parser.add_argument("--budget", type=positive(float), default=3.0, help=budget)
    parser.add_argument("--json", metavar="OUT.json", type=Path, help="where to save all that was measured")
    parser.add_argument("--threads", type=positive(int), help="of torch (default: as torch has it)")
    render = parser.add_argument_group("show what --json saved, and measure nothing")
    runs = "print tables of these, or write them to --readme and draw the first to --picture"
    render.add_argument("--render", metavar="OUT.json", type=Path, nargs="+", help=runs)
    marks = "the file whose tables, between <!-- speed --> and <!-- /speed -->, are written anew"
    render.add_argument("--readme", metavar="FILE.md", type=Path, help=marks)
    render.add_argument("--picture", metavar="FILE.svg", type=Path, help="ratio of every row, sorted, and a roofline")


def run(arguments: argparse.Namespace) -> int:
    """Prints a line a row as it is measured, then means; returns 1 if any result was wrong."""
    if arguments.render:
        return _render(arguments)
    for option in ("readme", "picture"):
        if getattr(arguments, option):
            raise UsageError(f"--{option} shows what a run saved: --render OUT.json --{option} ...")
    import torch

    from convlayers.bench import limits, peers

    rows = _rows(arguments)
    check_writable("--json", arguments.json)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    lacking = {rival: peers.missing(rival) for rival in arguments.peers}
    rivals = tuple(rival for rival in arguments.peers if not lacking[rival])
    packages = dict.fromkeys(package for rival in rivals for package in peers.NEEDS.get(rival, ()))
    machine = limits.machine(packages)
    for rival, absent in lacking.items():
        if absent:
            names = ", ".join(absent)
            print(f'left out: {rival} (not installed: {names}; pip install "convlayers[bench]")')
    return (_memory if arguments.memory else _time)(arguments, rows, rivals, machine)


def _time(arguments: argparse.Namespace, rows: list[tuple[str, Any]], rivals: tuple[str, ...], machine: Any) -> int:
    import convlayers
    from convlayers.bench import limits, peers, report, runner

    convlayers.keep_weights(0)  # what training pays at every call counts in all figures
    if arguments.keep_memory and not convlayers.keep_memory():
        raise UsageError("--keep-memory: only glibc can be told to keep memory; this is another C library")
    measured = (*peers.OURS, *(peer for rival in rivals for peer in peers.PEERS[rival]))
    settings = runner.Settings(arguments.seconds, arguments.rounds, arguments.budget, arguments.keep_memory)
    done = report.Report(_line(arguments), machine, limits.measure(), settings, rivals)
    print(report.opening(done.machine, done.limits, settings))
    print(report.header(measured, rivals), flush=True)
    try:
        for result in runner.measure(rows, arguments.directions, measured, settings, done.limits):
            done.results.append(result)
            print(report.line(result, rivals), flush=True)
        done.complete = True
    finally:
        print(report.closing(done.results, rivals), flush=True)
        if arguments.json:
            done.save(arguments.json)
    return 1 if done.wrong else 0


def _memory(arguments: argparse.Namespace, rows: list[tuple[str, Any]], rivals: tuple[str, ...], machine: Any) -> int:
    from convlayers.bench import footprint, peers

    if arguments.keep_memory:
        raise UsageError("--memory sees what a call needs beyond what is kept; leave --keep-memory out")
    if not footprint.prepare():
        raise UsageError("--memory needs Linux and glibc")
    measured = (*peers.OURS, *(peer for rival in rivals for peer in peers.PEERS[rival]))
    print(footprint.header(measured), flush=True)
    found = []
    try:
        for one in footprint.measure(rows, arguments.directions, measured):
            found.append(one)
            print(footprint.line(one, measured), flush=True)
    finally:
        more = sum(not one.fits for one in found)
        print(f"more than results, packed weights and 2 MB a thread: {more} of {len(found)}", flush=True)
        if arguments.json:
            footprint.save(arguments.json, _line(arguments), machine, found)
    return 1 if more else 0


def _line(arguments: argparse.Namespace) -> str:
    """The command as it was given, with files' names alone: their folders mean nothing elsewhere."""
    return shlex.join(Path(word).name if os.sep in word else word for word in arguments.words)


def _rows(arguments: argparse.Namespace) -> list[tuple[str, Any]]:
    """The name of a list and a problem of it, for all that were asked for."""
    from convlayers.bench import problems, shapes

    paths = {path: str(path) for path in arguments.shapes} if arguments.shapes else problems.lists()
    rows = [(name, problem) for path, name in paths.items() for problem in shapes.read(path)]
    rows = [(name, problem) for name, problem in rows if arguments.filter in problem.name]
    if not rows:
        raise UsageError(f"--filter: no row has {arguments.filter!r} in its name")
    return rows


def _render(arguments: argparse.Namespace) -> int:
    from convlayers.bench import picture, render

    runs = [render.load(path) for path in arguments.render]
    texts = [render.tables(run) for run in runs]
    if arguments.picture:
        if arguments.picture.suffix != ".svg":
            raise UsageError(f"--picture must end in .svg; received {arguments.picture}")
        arguments.picture.parent.mkdir(parents=True, exist_ok=True)
        arguments.picture.write_text(picture.svg(runs[0]), encoding="utf-8")
        base = arguments.readme.parent if arguments.readme else Path()
        texts.insert(0, f"![Ratio of every row, and the roofline]({os.path.relpath(arguments.picture, base)})")
    text = "\n\n".join(texts)
    if arguments.readme:
        render.insert(arguments.readme, text)
    else:
        print(text)
    return 0
