"""The page's inputs: how each looks, what the network says of it, and its small grey picture for the playground."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from convlayers.inspect.page.block import Block
from convlayers.inspect.page.exact import volume
from convlayers.inspect.page.words import times

#: Classes that are listed, and the playground's longest side: pixels are to be seen one by one.
CLASSES, SIDE, SAMPLES = 5, 40, 96
LUMINANCE = torch.tensor([0.299, 0.587, 0.114])


def describe(inputs: Tensor, pixels: Tensor | None, names: list[str], block: Block) -> list[dict[str, Any]]:
    """How each input is shown.

    Args:
        inputs: as the network takes them (batch, channels, *spatial).
        pixels: bytes to show instead, of the same shape.
    """
    channels, rank = inputs.shape[1], inputs.dim() - 2
    described = []
    for i, name in enumerate(names):
        shown = pixels[i] if pixels is not None else _bytes(inputs[i])
        if rank == 1 and channels <= 4:
            look = "curve"
        elif rank == 1:  # A spectrogram and the like: channels as rows, the lowest below.
            look, shown = "sequential", shown.flip(0)[None, :, :]
        elif channels == 3:
            look = "colour"
        else:
            look, shown = "grey", shown if channels == 1 else shown.float().mean(0, keepdim=True).byte()
        described.append(
            {"name": name, "size": times(inputs.shape[1:]), "look": look, "pixels": block.add(volume(shown))}
        )
    return described


def _bytes(values: Tensor) -> Tensor:
    """Any values as bytes between their least and their most."""
    values = values.float().nan_to_num()
    low, high = values.amin().item(), values.amax().item()
    return ((values - low) * (255 / ((high - low) or 1))).round().clamp(0, 255).to(torch.uint8)


def playground(described: list[dict[str, Any]], inputs: Tensor, pixels: Tensor | None, block: Block) -> list[Any]:
    """Of each input a small grey picture with values from 0 to 1; of a signal an excerpt with values from -1 to 1."""
    channels, rank = inputs.shape[1], inputs.dim() - 2
    pictures = []
    for i in range(len(described)):
        values = (pixels[i] if pixels is not None else _bytes(inputs[i])).float() / 255
        if rank == 3:
            values = values[:, values.shape[1] // 2]
        if rank == 1:
            small = _loudest(inputs[i].float().mean(0) if channels > 4 else inputs[i, 0].float())
        else:
            grey = torch.tensordot(LUMINANCE, values, 1) if len(values) == 3 else values.mean(0)
            scale = min(1.0, SIDE / max(grey.shape))
            size = max(1, round(grey.shape[0] * scale)), max(1, round(grey.shape[1] * scale))
            small = F.adaptive_avg_pool2d(grey[None], size)[0]
        pictures.append(block.add(small.contiguous()))
    return pictures


def _loudest(line: Tensor) -> Tensor:
    """The excerpt of a signal with the most in it, as (1, samples) with 1 for its largest sample, either sign."""
    line = line.nan_to_num()
    count = min(SAMPLES, len(line))
    energy = F.avg_pool1d(line.square()[None, None], count, 1)[0, 0]
    start = int(energy.argmax())
    part = line[start : start + count]
    return part[None] / part.abs().amax().clamp_min(1e-12)


def predictions(output: Any, classes: list[str] | None) -> tuple[list[list[dict[str, Any]] | None], str]:
    """The likeliest classes of each input, and a sentence on where the numbers come from.

    Example:
        >>> predictions(torch.tensor([[0.0, 2.0]]).log_softmax(1), ["cat", "dog"])[0][0][0]["name"]
        'dog'
    """
    if not isinstance(output, Tensor) or output.dim() != 2 or output.shape[1] < 2:
        shape = tuple(output.shape[1:]) if isinstance(output, Tensor) else type(output).__name__
        return [None] * (len(output) if isinstance(output, Tensor) else 0), f"The network gives {shape}: no classes."
    if not output.isfinite().all():
        return [None] * len(output), "The network's answer is not finite."
    output = output.float()
    already = bool((output >= 0).all()) and torch.allclose(output.sum(1), torch.ones(len(output)), atol=1e-3)
    chances = output if already else output.softmax(1)
    named = classes if classes and len(classes) == output.shape[1] else [f"class {i}" for i in range(output.shape[1])]
    found: list[list[dict[str, Any]] | None] = []
    for row in chances:
        best = row.topk(min(CLASSES, len(row)))
        found.append(
            [{"name": named[i], "share": p} for p, i in zip(best.values.tolist(), best.indices.tolist(), strict=True)]
        )
    sentence = f"The likeliest of {output.shape[1]} classes"
    return found, sentence + ("." if already else "; probabilities are the softmax of the network's answers.")
