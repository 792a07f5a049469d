"""``convlayers predict RUN IMAGE...``: what a trained network sees in pictures."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any


def add(subparsers: Any) -> None:
    """Adds the command's arguments."""
    parser = subparsers.add_parser("predict", help="class and probability of pictures", description=__doc__)
    parser.add_argument("run_folder", metavar="RUN", type=Path, help="a folder that `convlayers train` wrote")
    parser.add_argument("images", metavar="IMAGE", type=Path, nargs="+", help="picture files")


def run(arguments: argparse.Namespace) -> int:
    """Prints a line a picture; a file that cannot be read is named, and the others go on."""
    import torch

    from convlayers.train import answers, images, run_folder

    network, description = run_folder.load(arguments.run_folder)
    failures = 0
    width = max(len(str(path)) for path in arguments.images)
    for path in arguments.images:
        try:
            pixels = images.read(path, description.preprocessing)
        except images.UnreadableImageError as error:
            print(f"convlayers: {error}", file=sys.stderr)
            failures += 1
            continue
        chances = answers.probabilities(network, description.preprocessing.normalise(pixels.unsqueeze(0)))[0]
        best = int(torch.argmax(chances))
        print(f"{path!s:{width}}  {description.classes[best]}  {100 * chances[best]:.1f} %")
    return 1 if failures else 0
