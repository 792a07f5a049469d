"""The layer of the guide's example: ten 5x5 filters over three channels, made by hand instead of learned."""

from __future__ import annotations

import torch

import convlayers


def ten_filters() -> convlayers.Conv2d:
    """Six edges, each 30 degrees further; a spot; a blur; and two that compare colours. The greatest weight is 1.

    Shape:
        input (batch, 3, height, width) or (3, height, width) -> the same with 10 channels.
    """
    at = torch.arange(5.0) - 2
    y, x = torch.meshgrid(at, at, indexing="ij")
    bell = torch.exp(-(x**2 + y**2) / 4)
    bell /= bell.sum()
    angles = torch.arange(6) * (torch.pi / 6)
    edges = torch.stack([bell * (x * torch.cos(a) + y * torch.sin(a)) for a in angles])
    narrow = torch.exp(-(x**2 + y**2))
    spot = narrow / narrow.sum() - bell
    grey = torch.stack([*edges, spot, bell]).unsqueeze(1).expand(-1, 3, -1, -1)
    red_green = torch.stack([bell, -bell, 0 * bell])
    blue_yellow = torch.stack([-bell / 2, -bell / 2, bell])
    layer = convlayers.Conv2d(3, 10, 5, padding="same", padding_mode="replicate", bias_init="zeros")
    with torch.no_grad():
        filters = torch.cat([grey, torch.stack([red_green, blue_yellow])])
        layer.weight.copy_(filters / filters.abs().amax((1, 2, 3), keepdim=True))
    return layer
