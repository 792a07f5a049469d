"""A network for very small pictures: three 3x3 steps, one halving, the average over what is left."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from convlayers.nn import ConvBlock2d


def build(channels: int, classes: int, block: Callable[..., nn.Module] = ConvBlock2d) -> nn.Module:
    """Shape: pictures (batch, channels, height, width), 2x2 at least -> logits (batch, classes)."""
    return nn.Sequential(
        block(channels, 32, 3),
        block(32, 64, 3, pool="max"),
        block(64, 128, 3, pool="global_avg"),
        nn.Flatten(),
        nn.Dropout(0.25),
        nn.Linear(128, classes),
    )
