"""The command line: one file a command, which imports what it needs when it runs."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

#: Commands, each a module here with ``add(subparsers)`` and ``run(arguments) -> exit status``.
COMMANDS = ("train", "predict", "summary", "explain", "bench")
#: What a missing package belongs to.
EXTRAS = {
    **dict.fromkeys(("lightning", "numpy", "PIL", "rich", "safetensors", "sklearn"), "train"),
    **dict.fromkeys(("captum", "matplotlib"), "inspect"),
}


class UsageError(Exception):
    """A mistake of the user's, in a sentence for them."""


def check_writable(option: str, path: Path | None) -> None:
    """Refuses a file that could not be written in the end, before the work."""
    if path and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise UsageError(f"{option} must be a file in a folder that exists; received {path}")


def positive(kind: type) -> Any:
    """Reads a number above 0, for an argument's ``type``.

    Args:
        kind: ``int`` or ``float``.
    """

    def parse(text: str) -> Any:
        value = kind(text)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"must be above 0; received {text}")
        return value

    parse.__name__ = kind.__name__
    return parse


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit status: 0 done, 1 done in part, 2 refused, 130 interrupted."""
    parser = argparse.ArgumentParser(
        prog="convlayers", description="Convolution layers: train, predict, look inside, measure."
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    modules = {name: importlib.import_module(f"convlayers.cli.{name}") for name in COMMANDS}
    for module in modules.values():
        module.add(subparsers)
    words = sys.argv[1:] if arguments is None else list(arguments)
    parsed = parser.parse_args(words)
    parsed.words = ["convlayers", *words]
    try:
        return modules[parsed.command].run(parsed)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").split(".")[0])
        if extra is None:
            raise
        print(f'convlayers: {error.name} is not installed: pip install "convlayers[{extra}]"', file=sys.stderr)
        return 2
    except (UsageError, ValueError) as error:
        print(f"convlayers: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("convlayers: interrupted", file=sys.stderr)
        return 130
