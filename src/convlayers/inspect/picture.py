"""Numbers as pictures: colours, tiles, sheets of them, and lines for what has one axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

PAPER, INK, GAP = (250, 250, 248), (40, 40, 40), 4
#: Negative, zero, positive; and from nothing to much.
DIVERGING = ((33, 102, 172), (247, 247, 247), (178, 24, 43))
SEQUENTIAL = ((18, 16, 44), (140, 41, 99), (251, 180, 60), (252, 253, 220))


def colours(values: np.ndarray, stops: tuple[tuple[int, int, int], ...]) -> np.ndarray:
    """Values between 0 and 1 as colours between stops: (...,) -> (..., 3).

    Example:
        >>> colours(np.array([0.0, 0.5]), DIVERGING).tolist()
        [[33, 102, 172], [247, 247, 247]]
    """
    at = np.linspace(0, 1, len(stops))
    channels = [np.interp(values, at, [stop[c] for stop in stops]) for c in range(3)]
    return np.stack(channels, -1).round().astype(np.uint8)


def signed(values: Tensor, bound: float) -> np.ndarray:
    """Numbers as colours, blue below 0, white at 0, red above: (height, width) -> (height, width, 3)."""
    return colours(values.numpy() / max(bound, 1e-12) / 2 + 0.5, DIVERGING)


def scaled(values: Tensor) -> Tensor:
    """Numbers between 0, the least of them, and 1, the greatest.

    Example:
        >>> import torch
        >>> scaled(torch.tensor([2.0, 3.0, 4.0]))
        tensor([0.0000, 0.5000, 1.0000])
    """
    low, high = values.min(), values.max()
    return (values - low) / (high - low).clamp(min=1e-12)


def tile(pixels: np.ndarray, size: int) -> Image.Image:
    """A small picture about ``size`` pixels high: each of its pixels a square, or smaller where it is larger."""
    height, width = pixels.shape[:2]
    factor = max(1, round(size / height)) if height <= size else size / height
    shape = max(1, round(width * factor)), max(1, round(height * factor))
    way = Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.BOX
    return Image.fromarray(pixels).resize(shape, way)


def grid(tiles: Sequence[Image.Image], columns: int) -> Image.Image:
    """Tiles of one size, side by side and below each other."""
    width, height = tiles[0].size
    rows, columns = -(-len(tiles) // columns), min(columns, len(tiles))
    sheet = Image.new("RGB", (columns * (width + GAP) + GAP, rows * (height + GAP) + GAP), PAPER)
    for i, one in enumerate(tiles):
        sheet.paste(one, (GAP + i % columns * (width + GAP), GAP + i // columns * (height + GAP)))
    return sheet


def strips(rows: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    """Pictures below each other, each under its title."""
    width = max(max(strip.width for _, strip in rows), *(8 + 7 * len(title) for title, _ in rows))
    sheet = Image.new("RGB", (width, sum(strip.height + 18 for _, strip in rows)), PAPER)
    draw, top = ImageDraw.Draw(sheet), 0
    for title, strip in rows:
        draw.text((GAP, top + 3), title, fill=INK)
        sheet.paste(strip, (0, top + 18))
        top += strip.height + 18
    return sheet


def lines(rows: Sequence[tuple[str, Tensor]], *, share: bool, columns: int = 1) -> Any:
    """Signals as a matplotlib figure, an axis each: (length,) or (channels, length), a line a channel.

    Args:
        share: whether all have one scale.
        columns: side by side.
    """
    from matplotlib.figure import Figure

    height = -(-len(rows) // columns)
    figure = Figure(figsize=(10 if columns < 3 else 1.6 * columns, 1.1 * height + 0.6), layout="constrained")
    axes = figure.subplots(height, columns, squeeze=False, sharey=share).ravel()
    for axis in axes[len(rows) :]:
        axis.remove()
    for axis, (title, values) in zip(axes, rows, strict=False):
        axis.plot(
            values.reshape(-1, values.shape[-1]).T.numpy(), linewidth=0.9, marker="." if values.shape[-1] < 16 else ""
        )
        axis.set_title(title, fontsize=8, loc="left")
        axis.tick_params(labelsize=7)
        axis.margins(x=0.01)
    return figure


def as_image(input: Tensor) -> np.ndarray:
    """An input as it looks: (channels, height, width) -> (height, width, 3), from its least value to its greatest."""
    values = scaled(input if input.shape[0] == 3 else input.mean(0, keepdim=True).expand(3, -1, -1))
    return (255 * values.permute(1, 2, 0)).round().byte().numpy()


def overlaid(input: Tensor, heat: Tensor, low: float, high: float) -> np.ndarray:
    """A map over a grey picture of the input: (channels, height, width), (height, width) -> (height, width, 3)."""
    grey = as_image(input).mean(-1, keepdims=True)
    share = ((heat - low) / max(high - low, 1e-12)).clamp(0, 1).numpy()
    return (0.45 * grey + 0.55 * colours(share, SEQUENTIAL)).astype(np.uint8)


def heat(title: str, input: Tensor, values: Tensor, size: int = 224) -> Any:
    """An input beside a map of it, for every rank: (channels, *size), (*size).

    Returns:
        A PIL image, of three slices for 3-D; a matplotlib figure for 1-D.
    """
    low, high = min(float(values.min()), 0.0), float(values.max())
    if values.dim() == 1:
        return lines([("input", input), (title, values)], share=False)
    if values.dim() == 2:
        pair = [tile(as_image(input), size), tile(overlaid(input, values, low, high), size)]
        return strips([(title, grid(pair, 2))])
    depth = values.shape[0]
    rows = []
    for at in sorted({depth // 4, depth // 2, 3 * depth // 4}):
        pair = [tile(as_image(input[:, at]), size), tile(overlaid(input[:, at], values[at], low, high), size)]
        rows.append((f"{title}, slice {at} of {depth}", grid(pair, 2)))
    return strips(rows)
