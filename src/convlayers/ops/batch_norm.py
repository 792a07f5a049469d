"""Batch normalisation: which implementation runs, fakes and derivatives. Formulas: csrc/kernels/norm/norm.h.

The operator normalises, scales and shifts, adds a residual, and applies an activation, in one step; its gradient takes
the activation's inside, from the output, or from the input anew where that is cheaper than to read it.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from convlayers.activations import CODES, IDENTITY, Activation
from convlayers.ops import library, select
from convlayers.ops.layout import is_channels_last, new_in_layout

_ACTIVATIONS = list(CODES)
#: Activations that are computed again from the input: to read their output would cost more.
_CHEAP = ("identity", "relu", "leaky_relu", "hardtanh")


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    residual: Tensor | None,
    activation: Activation = IDENTITY,
) -> Tensor:
    """Batch normalisation of checked arguments: a kernel of ours where there is one.

    Shape:
        input and residual (batch, channels, \\*spatial); all others (channels,); result as the input.

    Args:
        running_mean, running_var: in training, updated where they are given; else what the input is normalised by.
    """
    # Nothing to sum: torch says what that gives.
    kernels = ("norm",) if input.numel() > 0 else ("torch",)
    used = (input, running_mean, running_var, weight, bias, residual)
    if select.choose("batch_norm", kernels, *used) == "torch":
        output = F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
        return activation(output if residual is None else output + residual)
    needs_grad = torch.is_grad_enabled() and any(
        t is not None and t.requires_grad for t in (input, weight, bias, residual)
    )
    fused = activation if activation.from_output or not needs_grad else IDENTITY
    given = (None, None) if training else (running_mean, running_var)
    output, statistics = _batch_norm(
        input, weight, bias, residual, *given, eps, fused.code, fused.alpha, fused.beta
    )  # fmt: skip
    if training:
        _update(running_mean, running_var, statistics, momentum, input.numel() // input.shape[1])
    return output if fused is activation else activation(output)


@torch.no_grad()
def _update(mean: Tensor | None, variance: Tensor | None, statistics: Tensor, momentum: float, count: int) -> None:
    """Moves the running statistics towards the batch's, of which the variance is taken as that of a sample."""
    if mean is None and variance is None:
        return
    # Few calls: for small inputs, each costs as much as the kernel.
    batch_mean, batch_variance = statistics.float().unbind()
    if mean is not None:
        mean.lerp_(batch_mean, momentum)
    if variance is not None:
        variance.mul_(1 - momentum).add_(batch_variance, alpha=momentum * count / (count - 1))


# --- fakes: shapes and layouts ----------------------------------------------------------------------------------------


@torch.library.register_fake("convlayers::batch_norm")
def _(input, weight, bias, residual, mean, variance, eps, activation, alpha, beta):
    output = new_in_layout(input, is_channels_last(input), input.shape)
    return output, input.new_empty((2, input.shape[1]), dtype=torch.float64)


@torch.library.register_fake("convlayers::batch_norm_grad")
def _(grad, input, output, statistics, weight, bias, eps, training, residual, activation, alpha, beta):
    channels_last, channels = is_channels_last(input), input.shape[1]
    grad_input = new_in_layout(input, channels_last, input.shape)
    grad_residual = new_in_layout(input, channels_last, input.shape) if residual else input.new_empty((0,))
    return grad_input, input.new_empty((channels,)), input.new_empty((channels,)), grad_residual


# --- derivatives ------------------------------------------------------------------------------------------------------


def _setup(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    input, weight, bias, residual, mean, _, ctx.eps, code, alpha, beta = inputs
    result, statistics = output
    ctx.activation = Activation(_ACTIVATIONS[code], code, alpha, beta)
    ctx.training, ctx.residual = mean is None, residual is not None
    # The sum with a residual can be had from the output alone.
    again = ctx.activation.name in _CHEAP and not (ctx.residual and ctx.activation.name != "identity")
    ctx.save_for_backward(input, None if again else result, statistics, weight, bias)
    ctx.mark_non_differentiable(statistics)


def _backward(ctx: Any, grad: Tensor, _: Any) -> tuple:
    input, output, statistics, weight, bias = ctx.saved_tensors
    act = ctx.activation
    # Without an activation, the residual's gradient is that of the sum.
    masked = ctx.residual and act.name != "identity"
    grad_input, grad_weight, grad_bias, grad_sum = _grad(
        grad, input, output, statistics, weight, bias, ctx.eps, ctx.training, masked, act.code, act.alpha, act.beta
    )
    grad_residual = (grad_sum if masked else grad) if ctx.residual else None
    return (
        grad_input,
        None if weight is None else grad_weight,
        None if bias is None else grad_bias,
        grad_residual,
        *[None] * 6,
    )


def _setup_grad(ctx: Any, inputs: tuple, output: tuple) -> None:
    *tensors, ctx.eps, ctx.training, ctx.residual, code, alpha, beta = inputs
    ctx.activation = Activation(_ACTIVATIONS[code], code, alpha, beta)
    ctx.save_for_backward(*tensors)


def _backward_grad(ctx: Any, *second: Tensor) -> tuple:
    """Differentiates the definition, written in torch's own operators."""
    grad, input, output, statistics, weight, bias = ctx.saved_tensors
    with torch.enable_grad():
        # Aliases: what is differentiated ends at them, whatever they were computed from.
        grad, input = grad.view_as(grad), input.view_as(input)
        output, weight = (None if t is None else t.view_as(t) for t in (output, weight))
        results = _definition(ctx, grad, input, output, statistics, weight, bias)
        sources = (grad, input, output, weight)
        given = [i for i, (r, s) in enumerate(zip(results, second, strict=True)) if s is not None and r.requires_grad]
        wanted = [t for t in sources if t is not None and t.requires_grad]
        found = torch.autograd.grad(
            [results[i] for i in given], wanted, [second[i] for i in given], create_graph=True, allow_unused=True
        )
    each = iter(found)
    grads = [next(each) if t is not None and t.requires_grad else None for t in sources]
    return *grads[:3], None, grads[3], *[None] * 7


def _definition(
    ctx: Any,
    grad: Tensor,
    input: Tensor,
    output: Tensor | None,
    statistics: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
) -> tuple[Tensor, ...]:
    """The four gradients, by formula."""
    axes = (0, *range(2, input.dim()))
    each = lambda t: t.view(-1, *[1] * (input.dim() - 2))  # noqa: E731
    if ctx.training:
        variance, mean = torch.var_mean(input, axes, correction=0)
    else:
        mean, variance = statistics.to(input.dtype)
    scale = (variance + ctx.eps).rsqrt()
    normal = (input - each(mean)) * each(scale)
    if output is None:
        z = normal if weight is None else normal * each(weight)
        output = ctx.activation(z if bias is None else z + each(bias))
    grad_sum = ctx.activation.gradient(grad, output)
    grad_bias = grad_sum.sum(axes)
    grad_weight = (grad_sum * normal).sum(axes)
    grad_input = grad_sum
    if ctx.training:
        count = input.numel() // input.shape[1]
        grad_input = grad_input - (each(grad_bias) + normal * each(grad_weight)) / count
    grad_input = grad_input * each(scale if weight is None else scale * weight)
    return grad_input, grad_weight, grad_bias, grad_sum if ctx.residual else grad_sum.new_empty(0)


_batch_norm = library.differentiable("batch_norm", _setup, _backward)
_grad = library.differentiable("batch_norm_grad", _setup_grad, _backward_grad)
