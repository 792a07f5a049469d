"""Small networks made of the layers, by name: one file each, and a line here."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from convlayers.errors import ArgumentError
from convlayers.models import digits, pictures

#: A network's maker: (channels, classes, block) -> module; ``block`` makes its steps, ours or torch.nn's.
_NETWORKS: dict[str, Callable[..., nn.Module]] = {"digits": digits.build, "pictures": pictures.build}


def names() -> list[str]:
    """The networks that there are.

    Example:
        >>> names()
        ['digits', 'pictures']
    """
    return sorted(_NETWORKS)


def build(name: str, channels: int, classes: int, **options: object) -> nn.Module:
    """A network by its name, with weights not yet trained.

    Args:
        name: one of :func:`names`.
        channels: of the pictures: 1 (grey) or 3 (colour).
        classes: how many logits come out.
        options: ``block``, what makes a step; :class:`convlayers.ConvBlock2d` unless given.

    Raises:
        ValueError: for a name that there is not.

    Example:
        >>> import torch
        >>> build("digits", 1, 10)(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 10])
    """
    if name not in _NETWORKS:
        raise ArgumentError(f"network must be one of {', '.join(names())}; received {name!r}")
    return _NETWORKS[name](channels, classes, **options)
