"""The step that the networks repeat, made of torch.nn's own layers: what ours is compared with."""

from __future__ import annotations

from torch import nn


def torch_block(in_channels: int, out_channels: int, kernel_size: int, *, pool: str | None = None) -> nn.Module:
    """:class:`convlayers.ConvBlock2d` with its default padding, normalisation and activation, in torch.nn's layers.

    Shape:
        input (batch, in_channels, height, width) -> (batch, out_channels, rows, columns).

    Example:
        >>> import torch
        >>> torch_block(3, 8, 3, pool="max")(torch.zeros(1, 3, 8, 8)).shape
        torch.Size([1, 8, 4, 4])
    """
    layers: list[nn.Module] = [
        nn.Conv2d(in_channels, out_channels, kernel_size, padding="same", bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    ]
    if pool == "max":
        layers.append(nn.MaxPool2d(2))
    elif pool == "global_avg":
        layers.append(nn.AdaptiveAvgPool2d(1))
    return nn.Sequential(*layers)
