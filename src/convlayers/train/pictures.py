"""Pictures of what a network has learned: its first filters, and what one input looks like after each step."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn

PAPER, INK, GAP = (250, 250, 248), (40, 40, 40), 4
#: Negative, zero, positive; and from nothing to much.
DIVERGING = ((33, 102, 172), (247, 247, 247), (178, 24, 43))
SEQUENTIAL = ((18, 16, 44), (140, 41, 99), (251, 180, 60), (252, 253, 220))


def _colours(values: np.ndarray, stops: tuple[tuple[int, int, int], ...]) -> np.ndarray:
    """Values between 0 and 1 as colours between stops: (...,) -> (..., 3)."""
    at = np.linspace(0, 1, len(stops))
    channels = [np.interp(values, at, [stop[c] for stop in stops]) for c in range(3)]
    return np.stack(channels, -1).round().astype(np.uint8)


def _tile(colours: np.ndarray, size: int) -> Image.Image:
    """A small picture, each pixel a square, about ``size`` pixels high."""
    scale = max(1, round(size / colours.shape[0]))
    height, width = colours.shape[0] * scale, colours.shape[1] * scale
    return Image.fromarray(colours).resize((width, height), Image.Resampling.NEAREST)


def _grid(tiles: list[Image.Image], columns: int) -> Image.Image:
    width, height = tiles[0].size
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * (width + GAP) + GAP, rows * (height + GAP) + GAP), PAPER)
    for i, tile in enumerate(tiles):
        sheet.paste(tile, (GAP + i % columns * (width + GAP), GAP + i // columns * (height + GAP)))
    return sheet


def filters(network: nn.Module, columns: int = 8, size: int = 60) -> Image.Image:
    """The filters of the first 2-D convolution, one tile each: blue is negative, white zero, red positive.

    Filters over three channels are summed over them. All tiles share one scale.
    """
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    bank = first.weight.detach().sum(1).numpy()
    bound = max(float(np.abs(bank).max()), 1e-12)
    return _grid([_tile(_colours(f / bound / 2 + 0.5, DIVERGING), size) for f in bank], columns)


@torch.no_grad()
def feature_maps(network: nn.Module, input: Tensor, channels: int = 12, size: int = 64) -> Image.Image:
    """One input after each of the network's convolution steps, a row a step: dark is nothing, bright is much.

    Shape:
        input (channels, height, width), as the network takes it.

    Args:
        channels: how many of a step's maps are shown, those that vary most.
        size: height of a map in pixels.
    """
    network.eval()
    rows: list[tuple[str, Tensor]] = [("input", input)]
    value = input.unsqueeze(0)
    for number, step in enumerate(network.children(), 1):
        value = step(value)
        if value.dim() == 4 and value.shape[-1] > 1:
            rows.append((f"step {number}: {value.shape[1]} maps of {value.shape[2]}x{value.shape[3]}", value[0]))
    strips = []
    for title, maps in rows:
        order = maps.flatten(1).std(1).argsort(descending=True)[:channels]
        tiles = []
        for m in maps[order].numpy():
            low, high = float(m.min()), float(m.max())
            tiles.append(_tile(_colours((m - low) / max(high - low, 1e-12), SEQUENTIAL), size))
        strips.append((title, _grid(tiles, len(tiles))))
    width = max(strip.width for _, strip in strips)
    sheet = Image.new("RGB", (width, sum(strip.height + 18 for _, strip in strips)), PAPER)
    draw, top = ImageDraw.Draw(sheet), 0
    for title, strip in strips:
        draw.text((GAP, top + 3), title, fill=INK)
        sheet.paste(strip, (0, top + 18))
        top += strip.height + 18
    return sheet
