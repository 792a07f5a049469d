"""``convlayers explain MODEL [INPUT...] -o report.html``: one page that shows what a network does with an input."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from convlayers.cli import check_writable
from convlayers.cli.summary import MODEL, size


def add(subparsers: Any) -> None:
    """Adds the command's arguments."""
    parser = subparsers.add_parser("explain", help="write a page that shows a network at work", description=__doc__)
    parser.add_argument("model", metavar="MODEL", help=MODEL)
    inputs = "picture, sound (.wav) or array (.npy) files; unless given, a run's samples, else random numbers"
    parser.add_argument("inputs", metavar="INPUT", type=Path, nargs="*", help=inputs)
    parser.add_argument("-o", "--out", metavar="FILE.html", type=Path, default=Path("report.html"), help="the page")
    known = "size of an input (default: what a run or one of timm's networks knows, or the files' own)"
    parser.add_argument("--input", metavar="3x224x224", type=size, help=known)


def run(arguments: argparse.Namespace) -> int:
    """Writes the page, and says where it is and how large."""
    from convlayers.inspect import explain
    from convlayers.inspect.page import sources

    check_writable("--out", arguments.out)
    subject = sources.subject(arguments.model, arguments.input)
    inputs, pixels, names = sources.inputs(subject, arguments.inputs)
    page = explain(
        subject.model,
        inputs,
        title=subject.title,
        names=names,
        pixels=pixels,
        classes=subject.classes,
        run=subject.run,
    )
    arguments.out.write_text(page, encoding="utf-8")
    print(f"wrote {arguments.out}: {len(page) / 1e6:.1f} MB, {len(names)} input{'s' if len(names) > 1 else ''}")
    return 0
