"""Times a dense convolution and a depthwise-separable one in its place: the table of docs/separable.md.

python docs/measure/separable.py
"""

from __future__ import annotations

import statistics
import time

import torch
from torch import nn

import convlayers
from convlayers.inspect import summary

#: Input channels, output channels, height and width: early to late steps of networks for pictures.
CASES = [(32, 64, 112), (64, 128, 56), (128, 256, 28), (256, 512, 14), (512, 512, 7)]
ROUNDS, SECONDS = 9, 0.02


class Exact(nn.Module):
    """A layer without Winograd's algorithm."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        with convlayers.precision("exact"):
            return self.layer(input)


def calls(layer: nn.Module, input: torch.Tensor) -> int:
    """How many calls take about SECONDS."""
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < SECONDS:
        layer(input)
        count += 1
    return count


@torch.no_grad()
def milliseconds(layers: list[nn.Module], input: torch.Tensor) -> list[float]:
    """The median of ROUNDS, the layers taking turns."""
    for layer in layers:
        calls(layer, input)
    counts = [calls(layer, input) for layer in layers]
    times: list[list[float]] = [[] for _ in layers]
    for _ in range(ROUNDS):
        for layer, count, mine in zip(layers, counts, times, strict=True):
            begin = time.perf_counter()
            for _ in range(count):
                layer(input)
            mine.append(1e3 * (time.perf_counter() - begin) / count)
    return [statistics.median(mine) for mine in times]


def main() -> None:
    torch.manual_seed(0)
    convlayers.keep_memory()  # Else the system clears the pages of large outputs, in some calls and not in others.
    print(f"{torch.get_num_threads()} threads, {convlayers.isa()}, batch 1, channels last, forward, float32")
    print(
        "| channels, size | parameters | MACs | dense ms | without Winograd ms | separable ms | of it 1x1 ms | time |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for channels, out, size in CASES:
        dense = convlayers.Conv2d(channels, out, 3, padding="same").eval()
        separable = convlayers.SeparableConv2d(channels, out, 3, padding="same").eval()
        input = torch.randn(1, channels, size, size).contiguous(memory_format=torch.channels_last)
        few, many = (summary(nn.Sequential(layer), input).total for layer in (separable, dense))
        a, b, c, d = milliseconds([dense, Exact(dense), separable, separable.pointwise], input)
        print(
            f"| {channels} to {out}, {size}x{size} | {many.parameters / few.parameters:.1f}x fewer "
            f"| {many.macs / few.macs:.1f}x fewer | {a:.3f} | {b:.3f} | {c:.3f} | {d:.3f} "
            f"| {a / c:.1f}x less; {b / c:.1f}x |",
            flush=True,
        )


if __name__ == "__main__":
    main()
