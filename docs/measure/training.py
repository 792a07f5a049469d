"""The one way in which the experiments of docs/ train a network on digits."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def fit(
    network: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    steps: int,
    change: Callable[[Tensor], Tensor] | None = None,
) -> None:
    """Trains in place: AdamW, batches of 64, a rate that rises to 0.005 and falls, the same for every network.

    Args:
        change: made of each batch, such as an augmentation.
    """
    optimiser = torch.optim.AdamW(network.parameters(), 5e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 5e-3, steps)
    network.train()
    for _ in range(steps):
        chosen = torch.randint(len(labels), (64,))
        batch = inputs[chosen] if change is None else change(inputs[chosen])
        loss = F.cross_entropy(network(batch), labels[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()


@torch.no_grad()
def accuracy(network: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """The share named right, in percent."""
    return 100 * (network.eval()(inputs).argmax(1) == labels).double().mean().item()
