"""``convlayers summary MODEL``: what each layer of a network costs, and what it sees."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from convlayers.cli import UsageError, check_writable, positive

MODEL = (
    "a network's name, a folder that `convlayers train` wrote, timm:NAME, torchvision:NAME, or package.module:callable"
)


def size(text: str) -> tuple[int, ...]:
    """Reads ``3x224x224``, for an argument's ``type``.

    Example:
        >>> size("3x224x224")
        (3, 224, 224)
    """
    try:
        sizes = tuple(int(entry) for entry in text.lower().split("x"))
    except ValueError:
        sizes = ()
    if len(sizes) < 2 or min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"must be channels and sizes, such as 3x224x224; received {text!r}")
    return sizes


def add(subparsers: Any) -> None:
    """Adds the command's arguments."""
    parser = subparsers.add_parser("summary", help="what a network's layers cost and see", description=__doc__)
    parser.add_argument("model", metavar="MODEL", help=MODEL)
    parser.add_argument("--input", type=size, metavar="3x224x224", help="size of an input (default: a run's own)")
    parser.add_argument("--batch-size", type=positive(int), default=1, help="inputs at once (default: 1)")
    parser.add_argument("--depth", type=positive(int), help="modules inside of modules that are shown (default: all)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="where to save it")


def run(arguments: argparse.Namespace) -> int:
    """Prints two tables, the totals, and what stands out."""
    from rich.console import Console

    from convlayers.inspect import find, summary

    path = arguments.json
    check_writable("--json", path)
    input_size = arguments.input or _size_of_run(arguments.model)
    model = find(arguments.model, channels=input_size[0])
    found = summary(model, input_size, batch_size=arguments.batch_size, depth=arguments.depth)
    Console(width=None if sys.stdout.isatty() else 100).print(found)
    if path:
        path.write_text(found.to_json() + "\n", encoding="utf-8")
    return 0


def _size_of_run(text: str) -> tuple[int, ...]:
    if not Path(text).is_dir():
        raise UsageError("--input must give the size of an input, channels first, such as 3x224x224")
    from convlayers.train import run_folder

    preprocessing = run_folder.load(Path(text))[1].preprocessing
    return preprocessing.channels, preprocessing.height, preprocessing.width
