"""A network by what a person types: a name, a run's folder, or a function of theirs."""

from __future__ import annotations

from torch import nn


def find(text: str, *, channels: int = 3, classes: int = 10) -> nn.Module:
    """The network that a text names, ready to look into; nothing is unpickled.

    Args:
        text: a name of ``convlayers.models``, a folder that ``convlayers train`` wrote, ``timm:NAME``,
            ``torchvision:NAME`` (untrained), or ``package.module:callable`` that returns a module.
        channels, classes: for the names of ``convlayers.models``.
    """
    raise NotImplementedError
