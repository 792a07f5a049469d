"""The project's own lists, a network or a kind of layer a file, in the format of :mod:`convlayers.bench.shapes`.

Every size is computed from the networks as their papers describe them (``tests/networks.py`` says which), each distinct
layer once.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent


def lists() -> dict[Path, str]:
    """The files, each with its name.

    Example:
        >>> "resnet50" in lists().values()
        True
    """
    return {path: path.stem for path in sorted(FOLDER.glob("*.csv"))}
