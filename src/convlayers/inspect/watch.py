"""Runs of a model, on values this time, that leave it as it was."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from convlayers.errors import ArgumentError


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, parameters that ask for no gradient, random numbers of their own; all as before afterwards."""
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


def convolutions_of(model: nn.Module) -> dict[str, Any]:
    """The convolutions among a model's layers by name: torch's, and what is derived from them.

    Raises:
        ValueError: for a model without any.
    """
    found = {name: module for name, module in model.named_modules() if isinstance(module, _ConvNd)}
    if not found:
        kinds = ", ".join(dict.fromkeys(type(m).__name__ for m in model.modules() if not list(m.children())))
        raise ArgumentError(f"model must have a convolution; received {type(model).__name__}, which has {kinds}")
    return found


def one_input(model: nn.Module, input: Tensor) -> Tensor:
    """An input with a batch of 1, from one with or without that batch.

    Raises:
        ValueError: for more than one input.
    """
    rank = next(iter(convolutions_of(model).values())).weight.dim() - 2
    dims = rank + 2 if input.is_floating_point() else rank + 1
    one = input.unsqueeze(0) if input.dim() == dims - 1 else input
    if one.dim() != dims or one.shape[0] != 1:
        raise ArgumentError(
            f"input must be one input of {dims - 1} axes, with a batch of 1 or without; received {tuple(input.shape)}"
        )
    return one


def predicted(model: nn.Module, input: Tensor, target: int | None) -> int:
    """The class asked for, or the one with the highest score.

    Raises:
        ValueError: for a model that gives no scores (1, classes), or a class that there is not.
    """
    with torch.no_grad():
        scores = model(input)
    if not isinstance(scores, Tensor) or scores.dim() != 2:
        shape = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise ArgumentError(f"model must give scores (batch, classes); {type(model).__name__} gives {shape}")
    if target is not None and not 0 <= target < scores.shape[1]:
        raise ArgumentError(f"target must be one of 0 to {scores.shape[1] - 1}; received {target}")
    return int(scores[0].argmax()) if target is None else target
