"""What a network computes for an input: the calls of its layers, with what goes in and what comes out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd


@dataclass(frozen=True)
class Call:
    """One call of a layer that has no layers of its own.

    Attributes:
        name: as ``model.named_modules()`` has it; with ``#2`` after it for its second call, and so on.
        module: the layer.
        input, output: the tensors, with the batch.
    """

    name: str
    module: nn.Module
    input: Tensor
    output: Tensor


@torch.no_grad()
def trace(model: nn.Module, input: Tensor) -> tuple[list[Call], Any]:
    """The calls in their order, and what the model gives; the model runs in evaluation mode and is left as it was.

    Example:
        >>> calls, output = trace(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()), torch.zeros(1, 1, 8, 8))
        >>> [(call.name, tuple(call.output.shape)) for call in calls]
        [('0', (1, 4, 6, 6)), ('1', (1, 4, 6, 6))]
    """
    calls: list[Call] = []
    seen: Counter[str] = Counter()
    given: list[Tensor] = []
    modes = {module: module.training for module in model.modules()}
    names = {module: name for name, module in model.named_modules()}

    def before(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        # Copies, here and below: the layer, or the next, may work in place.
        given.append(arguments[0].clone() if arguments and isinstance(arguments[0], Tensor) else torch.empty(0))

    def after(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        input, name = given.pop(), names[module]
        seen[name] += 1
        if input.numel() and isinstance(output, Tensor):
            calls.append(Call(name if seen[name] == 1 else f"{name}#{seen[name]}", module, input, output.clone()))

    hooks = []
    for module in names:
        if isinstance(module, _ConvNd) or not any(True for _ in module.children()):
            hooks += [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
    try:
        output = model.eval()(input)
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes.items():
            module.training = mode
    return calls, output
