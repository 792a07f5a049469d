"""What a unit sees by its gradient: the support of the gradient of a network made positive and linear.

Weights and biases become positive; activations and normalisations become the identity and maxima become averages while
the network runs. Nothing is negative then, so nothing cancels, and nothing is switched off.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

IDENTITIES = {
    "relu", "relu_", "relu6", "hardtanh", "leaky_relu", "elu", "silu", "gelu", "hardswish", "hardsigmoid", "batch_norm",
    "dropout", "dropout_",
}  # fmt: skip
MAXIMA = (torch.max_pool1d, torch.max_pool2d, torch.max_pool3d)
PLAIN = (F.conv1d, F.conv2d, F.conv3d)


class Linear(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in IDENTITIES:
            return args[0]
        if name in ("tanh", "sigmoid"):  # gates: products of many would be more than a float can hold
            return args[0] / (1 + args[0].detach().amax())
        for rank in (1, 2, 3):
            if name in (f"max_pool{rank}d", f"max_pool{rank}d_with_indices"):
                return average(rank, *args, **kwargs)
        return func(*args, **kwargs)


def average(
    rank: int,
    x: Tensor,
    kernel: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """A sum over the same windows as max pooling's."""
    stride = stride or kernel
    with torch.no_grad():
        size = MAXIMA[rank - 1](x, kernel, stride, padding, dilation, ceil_mode).shape[2:]
    kernel, stride, padding, dilation = (
        [v] * rank if isinstance(v, int) else list(v) for v in (kernel, stride, padding, dilation)
    )
    last = [(o - 1) * s + d * (k - 1) + 1 for o, s, k, d in zip(size, stride, kernel, dilation, strict=True)]
    amounts = [(p, max(0, end - p - n)) for p, end, n in zip(padding, last, x.shape[2:], strict=True)]
    padded = F.pad(x, [amount for pair in reversed(amounts) for amount in pair])
    weight = torch.ones((x.shape[1], 1, *kernel), dtype=x.dtype)
    summed = PLAIN[rank - 1](padded, weight, None, stride, 0, dilation, x.shape[1])
    values = summed[(..., *(slice(n) for n in size))]
    return (values, torch.zeros_like(values, dtype=torch.long)) if return_indices else values


def positive(model: nn.Module) -> nn.Module:
    """A copy with positive weights and biases, in float64; the weights of a filter have sum 1."""
    model = copy.deepcopy(model).double().eval()
    for module in model.modules():
        if isinstance(getattr(module, "weight", None), Tensor) and module.weight.dim() > 1:
            module.weight.data = torch.full_like(module.weight, 1 / module.weight[0].numel())
        if isinstance(getattr(module, "bias", None), Tensor):
            module.bias.data.fill_(1.0)
    return model


@contextmanager
def layers_of(model: nn.Module, size: Sequence[int]) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    """An input and the (first) outputs of all modules without modules of their own, with gradients."""
    model = positive(model)
    x = torch.ones((1, *size), dtype=torch.float64, requires_grad=True)
    outputs: dict[str, Tensor] = {}

    def keep(name: str, output: Tensor) -> None:
        outputs.setdefault(name, output * 1)

    for name, module in model.named_modules():
        if not list(module.children()):
            module.register_forward_hook(lambda m, i, o, name=name: keep(name, o))
    with Linear():
        model(x * 1)
    yield x, outputs


def support(x: Tensor, output: Tensor, unit: Sequence[int]) -> Tensor:
    """Which elements of the input, over all channels, a unit's gradient reaches."""
    chosen = output[(0, slice(None), *unit)] if output.dim() > 2 else output
    (gradient,) = torch.autograd.grad(chosen.sum(), x, retain_graph=True, allow_unused=True)
    if gradient is None:
        return torch.zeros(x.shape[2:], dtype=torch.bool)
    return (gradient[0] != 0).any(0)
