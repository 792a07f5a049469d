"""``convlayers bench --shapes FILE...``: how fast our convolutions are beside torch's, on lists of shapes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from convlayers.cli import UsageError, positive

DIRECTIONS = ("forward", "training")


def _directions(text: str) -> tuple[str, ...]:
    chosen = tuple(text.split(","))
    if len(set(chosen)) != len(chosen) or not set(chosen) <= set(DIRECTIONS):
        raise argparse.ArgumentTypeError(f"must be {' or '.join(DIRECTIONS)} or both with a comma; received {text!r}")
    return chosen


def add(subparsers: Any) -> None:
    """Adds the command's arguments."""
    parser = subparsers.add_parser("bench", help="measure convolutions beside torch's", description=__doc__)
    parser.add_argument("--shapes", metavar="FILE.csv", type=Path, nargs="+", required=True, help="lists of shapes")
    parser.add_argument("--filter", metavar="TEXT", default="", help="only rows whose name has this in it")
    directions = "forward, training (forward and all gradients), or both (default) with a comma"
    parser.add_argument("--directions", type=_directions, default=DIRECTIONS, help=directions)
    seconds = "that one call may take; the batch is halved until it does (default: 1)"
    parser.add_argument("--seconds", type=positive(float), default=1.0, help=seconds)
    parser.add_argument("--rounds", type=positive(int), default=25, help="samples of each, at most (default: 25)")
    budget = "seconds for the samples of a row in one direction (default: 3)"
    parser.add_argument("--budget", type=positive(float), default=3.0, help=budget)
    parser.add_argument("--json", metavar="OUT.json", type=Path, help="where to save all that was measured")
    parser.add_argument("--threads", type=positive(int), help="of torch (default: as torch has it)")


def run(arguments: argparse.Namespace) -> int:
    """Prints a line a row as it is measured, then means; returns 1 if any result was wrong."""
    import torch

    from convlayers.bench import limits, peers, report, runner, shapes

    rows = [(str(path), problem) for path in dict.fromkeys(arguments.shapes) for problem in shapes.read(path)]
    rows = [(file, problem) for file, problem in rows if arguments.filter in problem.name]
    if not rows:
        raise UsageError(f"--filter: no row has {arguments.filter!r} in its name")
    if arguments.json and (arguments.json.is_dir() or not arguments.json.absolute().parent.is_dir()):
        raise UsageError(f"--json must be a file in a folder that exists; received {arguments.json}")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    settings = runner.Settings(arguments.seconds, arguments.rounds, arguments.budget)
    done = report.Report(limits.machine(), limits.measure(), settings)
    print(report.opening(done.machine, done.limits))
    print(report.header(peers.PEERS), flush=True)
    try:
        for result in runner.measure(rows, arguments.directions, peers.PEERS, settings, done.limits):
            done.results.append(result)
            print(report.line(result), flush=True)
        done.complete = True
    finally:
        print(report.closing(runner.summaries(done.results)), flush=True)
        if arguments.json:
            done.save(arguments.json)
    return 1 if done.wrong else 0
