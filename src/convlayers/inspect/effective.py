"""The effective receptive field: how much each input element weighs for a unit (Luo et al. 2016, arXiv 1701.04128)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from convlayers.inspect.trace import spatial_axes
from convlayers.inspect.watch import evaluating, outputs_of


def effective_fields(model: nn.Module, inputs: Sequence[Tensor], layers: Sequence[str]) -> dict[str, Tensor]:
    """The energy of the gradient of each layer's centre unit, summed over channels, adding up to 1.

    The gradient is that of the sum of the unit's channels, at a random input (seeded): rectifiers are as open as an
    input of noise leaves them.

    Args:
        inputs: what to call the model with; the values of the first are replaced by noise.
        layers: names; a layer that is called more than once counts with its first call, and one without a dimension
            of positions is left out.
    """
    noise = torch.randn(inputs[0].shape, generator=torch.Generator().manual_seed(0)).to(inputs[0])
    noise.requires_grad_()
    axes = spatial_axes(noise)
    energies = {}
    with evaluating(model), torch.enable_grad():
        outputs = outputs_of(model, (noise, *inputs[1:]), [name for name in layers if "#" not in name])
        for name, output in outputs.items():
            positions = output.shape[axes.start :]
            if output.grad_fn is None or not positions:
                continue
            at: Any = (slice(None), slice(None), *(n // 2 for n in positions))
            centre = output[at]
            (gradient,) = torch.autograd.grad(centre.sum(), noise, retain_graph=True)
            others = [d for d in range(noise.dim()) if d not in axes]
            energy = gradient.square().sum(others)
            energies[name] = energy / energy.sum().clamp(min=torch.finfo(energy.dtype).tiny)
    return energies
