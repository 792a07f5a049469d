"""Trains a convolutional network and a fully connected one on centred digits, tests both on digits that have moved.

    python docs/measure/shifted_digits.py

The tables of docs/dense.md: digits on 12x12 pixels, so that a move by two loses nothing; three seeds.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from training import accuracy, fit

from convlayers import models
from convlayers.inspect import summary
from convlayers.train import data

SEEDS, STEPS, SIDE = 3, 300, 12


def connected() -> nn.Module:
    """Two hidden layers of 238: about the parameters of the network 'digits'."""
    hidden = 238
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(SIDE * SIDE, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Dropout(0.25),
        nn.Linear(hidden, 10),
    )


def moved(inputs: Tensor, by: int) -> list[Tensor]:
    """The inputs moved so that the larger of both moves is ``by``: every such direction. The frame is empty there."""
    moves = itertools.product(range(-by, by + 1), repeat=2)
    return [inputs.roll(move, (2, 3)) for move in moves if max(map(abs, move)) == by]


def randomly_moved(batch: Tensor) -> Tensor:
    """Each by -2 to 2 pixels along each axis."""
    return torch.stack([one.roll(torch.randint(-2, 3, (2,)).tolist(), (1, 2)) for one in batch])


def main() -> None:
    digits = data.digits()
    frame = (2, 2, 2, 2)
    (train, train_labels), (test, labels) = (
        (F.pad(digits.pixels[part].float() / 255, frame), digits.labels[part]) for part in (digits.train, digits.test)
    )
    kinds = {"convolutions": lambda: models.build("digits", 1, 10), "fully connected": connected}
    for kind, build in kinds.items():
        network = build()
        total = sum(p.numel() for p in network.parameters())
        macs = _macs(network)
        print(f"{kind}: {total:,} parameters, {macs:,} MACs")
    print("| network | trained on | centred | moved by 1 | moved by 2 |\n|---|---|--:|--:|--:|")
    for how, change in {"centred": None, "moved at random": randomly_moved}.items():
        for kind, build in kinds.items():
            scores = []
            for seed in range(SEEDS):
                torch.manual_seed(seed)
                network = build()
                fit(network, train, train_labels, STEPS, change)
                scores.append(
                    [
                        sum(accuracy(network, x, labels) for x in tests) / len(tests)
                        for tests in ([test], moved(test, 1), moved(test, 2))
                    ]
                )
            columns = [f"{sum(c) / SEEDS:.1f} ({min(c):.1f} to {max(c):.1f})" for c in zip(*scores, strict=True)]
            print(f"| {kind} | {how} | {' | '.join(columns)} |", flush=True)


def _macs(network: nn.Module) -> int:
    convolutional = any(isinstance(layer, nn.Conv2d) for layer in network.modules())
    if convolutional:
        return summary(network, (1, SIDE, SIDE)).total.macs
    return sum(layer.in_features * layer.out_features for layer in network.modules() if isinstance(layer, nn.Linear))


if __name__ == "__main__":
    main()
