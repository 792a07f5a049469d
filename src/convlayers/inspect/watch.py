"""Runs of a model, on values this time, that leave it as it was."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from convlayers.errors import ArgumentError


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, parameters that ask for no gradient, and random numbers of their own; all as before afterwards."""
    modes = {module: module.training for module in model.modules()}
    wanting = [p for p in model.parameters() if p.requires_grad]
    try:
        with torch.random.fork_rng(devices=[]):
            model.eval()
            for p in wanting:
                p.requires_grad_(False)
            yield
    finally:
        for p in wanting:
            p.requires_grad_(True)
        for module, mode in modes.items():
            module.training = mode


def outputs_of(model: nn.Module, inputs: Sequence[Any], layers: Sequence[str]) -> dict[str, Tensor]:
    """The first output of each of these layers' first call, in the order of the calls; no more than a forward pass.

    Raises:
        ValueError: for a layer that there is not, or that was not reached.
    """
    outputs: dict[str, Tensor] = {}
    handles = []

    def keep(name: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            value = output[0] if isinstance(output, tuple | list) else output
            if isinstance(value, Tensor):
                # An operator in place, as ReLU(inplace=True), would change it later.
                outputs.setdefault(name, value.clone())

        return hook

    try:
        for name in layers:
            handles.append(layer_of(model, name).register_forward_hook(keep(name)))
        model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return outputs


def layer_of(model: nn.Module, name: str) -> nn.Module:
    """A layer by its name.

    Raises:
        ValueError: for one that there is not, with those that there are.
    """
    layers = dict(model.named_modules())
    if name not in layers:
        known = [n for n in layers if n]
        shown = ", ".join(known[:40]) + (f", ... ({len(known)} in all)" if len(known) > 40 else "")
        raise ArgumentError(f"layer must be one of {shown}; received {name!r}")
    return layers[name]
