"""What a trained network answers: apart from the loop, since it needs no Lightning, which takes seconds to import."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.no_grad()
def probabilities(network: nn.Module, inputs: Tensor) -> Tensor:
    """Class probabilities (batch, classes) of inputs (batch, channels, height, width), 256 at a time."""
    network.eval()
    batches = inputs.contiguous(memory_format=torch.channels_last).split(256)
    return torch.cat([network(batch).softmax(1) for batch in batches])
