"""Networks whose pages the tests look at: of pictures, signals and volumes; and the command as a person types it."""

from __future__ import annotations

import subprocess
import sys

import torch
from torch import nn

import convlayers


def picture_network() -> nn.Module:
    """Borders, groups, dilation, fused activations, a shared activation, a branch."""

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = convlayers.Conv2d(3, 8, 5, 2, padding="same", padding_mode="reflect", activation="leaky_relu")
            self.wide = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=4, padding_mode="circular")
            self.act = nn.ReLU(inplace=True)
            self.last = convlayers.Conv2d(8, 6, 3, padding=((0, 1), (2, 0)), padding_mode="constant", padding_value=0.5)
            self.pool = nn.AdaptiveAvgPool2d(1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x)
            x = x + self.act(self.wide(x))
            return self.pool(self.act(self.last(x))).flatten(1)

    torch.manual_seed(0)
    return Network()


def line_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(1, 8, 9, stride=4, padding=4),
        nn.ReLU(),
        convlayers.Conv1d(8, 8, 3, padding="causal", dilation=2, activation="tanh"),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(8, 3),
    )


def volume_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(1, 4, 3, stride=(1, 2, 2), padding=1), nn.ReLU(), nn.Conv3d(4, 4, (2, 3, 1)))


CASES = {
    "picture": (picture_network, (2, 3, 15, 18)),
    "line": (line_network, (1, 1, 400)),
    "volume": (volume_network, (1, 1, 6, 12, 10)),
}


def inputs_of(name: str) -> torch.Tensor:
    return torch.randn(*CASES[name][1], generator=torch.Generator().manual_seed(1))


def convlayers_command(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "convlayers.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
