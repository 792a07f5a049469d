"""The stack of docs/dilated.md: causal convolutions of two taps, each with twice the dilation of the one before."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import convlayers


class Step(nn.Module):
    """A gated, dilated, causal convolution, with a way past it unless told otherwise.

    Source:
        van den Oord et al.: WaveNet, 2016, arXiv 1609.03499, sections 2.3 and 2.4.

    Shape:
        (batch, channels, length) -> the same.
    """

    def __init__(self, channels: int, dilation: int, past: bool) -> None:
        super().__init__()
        self.past = past
        self.dilated = convlayers.Conv1d(channels, 2 * channels, 2, padding="causal", dilation=dilation)
        self.mixing = convlayers.Conv1d(channels, channels, 1)

    def forward(self, input: Tensor) -> Tensor:
        value, gate = self.dilated(input).chunk(2, 1)
        output = self.mixing(torch.tanh(value) * torch.sigmoid(gate))
        return input + output if self.past else output


def wavenet(channels: int = 16, steps: int = 8, past: bool = True) -> nn.Sequential:
    """Signals (batch, 1, length) -> (batch, 1, length): dilations 1, 2, 4, ..., 2 ** (steps - 1)."""
    network = nn.Sequential()
    network.add_module("first", convlayers.Conv1d(1, channels, 1))
    for number in range(steps):
        network.add_module(f"step{number}", Step(channels, 2**number, past))
    network.add_module("last", convlayers.Conv1d(channels, 1, 1))
    return network
