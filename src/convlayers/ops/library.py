"""Loads the compiled operators, once, and answers what this machine can run."""

from __future__ import annotations

from pathlib import Path

import torch

NAME = "libconvlayers.so"


def _find() -> Path:
    """The library beside the package; in an editable install the package has more than one folder."""
    import convlayers

    folders = [Path(folder) for folder in convlayers.__path__]
    for folder in folders:
        if (folder / NAME).is_file():
            return folder / NAME
    raise ImportError(
        f"convlayers was installed without its kernels: no {NAME} in {', '.join(map(str, folders))}. "
        "Reinstall it: pip install ."
    )


torch.ops.load_library(_find())


def isas() -> tuple[str, ...]:
    """The instruction sets that this machine can run, best first.

    Example:
        >>> "generic" in isas()
        True
    """
    return tuple(torch.ops.convlayers.isas().split(","))


def isa() -> str:
    """The instruction set that the kernels use: the best, or the one that ``CONVLAYERS_ISA`` names.

    Example:
        >>> isa() in isas()
        True
    """
    return torch.ops.convlayers.isa()
