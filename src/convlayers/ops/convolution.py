"""The convolution operator and its transpose: schema's fakes, derivatives, cost, and torch's own as the last resort.

One operator serves both directions. Written for one spatial axis, with x(i) the input continued beyond its border,

    convolution   y(o) = sum over k of  W(k)   x(o * stride + k * dilation - low)
    transposed    y(o) = sum over k of  W(k)^T x((o + low - k * dilation) / stride), where that is an integer.

Transposed with a border means that the input goes on beyond its edge before it is spread out; without one it is the
adjoint of the convolution with the same arguments, which is torch's definition.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from convlayers.activations import CODES, IDENTITY, Activation
from convlayers.ops import cost, library, select, tuned
from convlayers.ops.arguments import Arguments
from convlayers.ops.borders import CONSTANT, extend
from convlayers.ops.cost import Call
from convlayers.ops.layout import is_channels_last, new_in_layout

_ACTIVATIONS = list(CODES)
_DTYPES = (torch.float32, *select.NATIVE)
_OPERATIONS = ("convolution", "transposed_convolution")


def convolution(
    input: Tensor, weight: Tensor, bias: Tensor | None, at: Arguments, activation: Activation = IDENTITY
) -> Tensor:
    """Convolution, or transposed convolution, of checked arguments: on the kernel that should be fastest.

    Shape:
        input and weight as ``at`` says, 1 to 3 spatial axes; bias (out_channels,);
        result (batch, out_channels, \\*output_size).

    Args:
        activation: applied to the result.
    """
    contiguous, exact = input.is_contiguous(), select.is_exact()
    if at.is_eager:
        ranking = _ranked(at, contiguous, exact, torch.get_num_threads())
    else:
        ranking = _ranking(at, contiguous, exact)
    kernels, costs = ranking.kernels, ranking.costs
    if input.dtype is not torch.float32 and input.dtype in select.NATIVE:
        ours = tuple(k for k in kernels if k != "torch")
        pays = _widening_pays(input, weight, at)
        kernels, costs = (*ours, "torch") if pays else ("torch", *ours), None  # the costs are those of float32
    kernel = select.choose(_OPERATIONS[at.transposed], kernels, input, weight, bias, costs=costs, dtypes=_DTYPES)
    if observers:
        observers[-1](ranking.call, (input, weight, bias), (at, activation))
    return run(kernel, input, weight, bias, at, activation)


def run(
    kernel: str, input: Tensor, weight: Tensor, bias: Tensor | None, at: Arguments, activation: Activation
) -> Tensor:
    """:func:`convolution` on a kernel that can compute it, or on torch's own operator."""
    if kernel == "torch":
        return activation(_torch(input, weight, bias, at))
    training = torch.is_grad_enabled()
    needs_grad = training and (input.requires_grad or weight.requires_grad or (bias is not None and bias.requires_grad))
    constant = not (training and weight.requires_grad)
    fused = activation if not needs_grad or activation.from_output else IDENTITY
    if not at.is_eager or torch._C._len_torch_dispatch_stack() > 0:
        output = _convolution(
            input, weight, bias, at.output_size, *at.windows, kernel, fused.code, fused.alpha, fused.beta, constant
        )
    elif needs_grad:
        output = _apply(input, weight, bias, at, kernel, fused)
    else:
        output = _PACKED(input, weight, bias, at.packed(kernel, fused), constant)
    return output if fused is activation else activation(output)


#: What looks at each call, operands and other arguments, while tune() finds out which are reached.
observers: list[Callable[[Call, tuple[Tensor | None, ...], tuple], None]] = []


# --- which kernels, best first ----------------------------------------------------------------------------------------


class _Ranking(NamedTuple):
    """Kernels, best first, for a call, and the costs that say so: None where sizes are symbolic."""

    kernels: tuple[str, ...]
    call: Call
    costs: select.Costs | None = None


def _ranking(at: Arguments, contiguous: bool, exact: bool) -> _Ranking:
    """Where torch compiles or traces."""
    if torch.compiler.is_compiling():
        from torch.fx.experimental.symbolic_shapes import has_static_value  # imports SymPy, which compilers have

        if all(has_static_value(size) for size in (*at.input_shape, *at.weight_shape, *at.output_size)):
            call = _call(at, contiguous)
            return _Ranking(_ranked_while_compiling(tuple(call), exact), call)
    call = _call(at, contiguous)
    return _Ranking(candidates(call, exact), call)


def _call(at: Arguments, contiguous: bool) -> Call:
    batch, in_channels, *size = at.input_shape
    inner, outer, kernel = tuple(size), tuple(at.output_size), tuple(at.weight_shape[2:])
    sizes, channels = (inner, outer, kernel), (in_channels, at.out_channels, at.groups)
    covers = cost.covers(at.transposed, at.groups, inner, kernel, outer, at.low, at.dilation)
    return Call(at.transposed, batch, *channels, *sizes, at.stride, at.dilation, contiguous, covers)


@functools.lru_cache(maxsize=4096)
def _ranked(at: Arguments, contiguous: bool, exact: bool, threads: int) -> _Ranking:
    return _ranked_call(_call(at, contiguous), exact, threads)


def _ranked_call(call: Call, exact: bool, threads: int) -> _Ranking:
    """By their times: those that tune() measured with so many threads, else as predicted. torch's own operator is
    among them only where it was measured: its results may change with the number of threads."""
    ours = candidates(call, exact)
    measured = tuned.lookup(call, threads)
    if measured is not None and not exact:
        costs = select.Costs(measured, measured=True)
        return _Ranking(costs.ranked((*ours, "torch")), call, costs)
    seconds = predicted(call, exact)
    costs = select.Costs(seconds | {"torch": cost.seconds("torch", call, library.isa())}, measured=False)
    # Each kernel rounds in its own way: under 'exact' a sample has the same one in every batch.
    ranked = ours if exact else (*costs.ranked(seconds), *(k for k in ours if k not in seconds))
    return _Ranking(ranked, call, costs)


def predicted(call: Call, exact: bool = False) -> dict[str, float]:
    """Seconds of each kernel that is compared, forward on one thread."""
    return {k: cost.seconds(k, call, library.isa()) for k in candidates(call, exact) if compares(k, call)}


def compares(kernel: str, call: Call) -> bool:
    """Whether the predicted time decides. With few channels a group direct kernels of other kinds run (lines, columns),
    which Winograd's does not beat, nor a product of matrices; with many, groups are no longer what fills a vector.
    """
    if kernel == "winograd":
        return _winograd_may_pay(call)
    return kernel != "grouped" or max(call.in_channels, call.out_channels) <= 32 * call.groups


def _winograd_may_pay(call: Call) -> bool:
    return min(call.in_channels, call.out_channels) >= 16 * call.groups and not call.covers


def forget() -> None:
    """Ranks every call afresh from now on: there are new times."""
    tuned.read.cache_clear()
    _ranked.cache_clear()


def _ranked_while_compiling(call: tuple, exact: bool) -> tuple[str, ...]:
    return _ranked_call(Call(*call), exact, torch.get_num_threads()).kernels


# torch.compiler.assume_constant_result sets this: compilers call the function and do not look inside. But that imports
# all of Dynamo, which takes seconds.
_ranked_while_compiling._dynamo_marked_constant = True  # type: ignore[attr-defined]


def candidates(call: Call, exact: bool) -> tuple[str, ...]:
    """The kernels that can compute it, the likely best first: the rule where there are no numbers to compare.

    Ours, but for filters of very many taps: each tap could be a class of pixels by itself, and packed, a few filters
    fill vectors with zeros. But for those that cover their input, whose taps are as channels.
    """
    channelwise = 1 < call.groups == call.in_channels
    if math.prod(call.kernel) > (16 * 1024 if channelwise else 1024):
        return ("direct",) if call.covers else ("torch",)
    if call.groups > 1:
        if channelwise:
            return ("depthwise", "direct")
        few = max(call.in_channels, call.out_channels) <= 8 * call.groups
        ours: tuple[str, ...] = ("grouped", "direct") if few else ("direct", "grouped")
    else:
        ours = ("direct",)
    if exact or cost.winograd_regions(call) is None:
        return ours
    return ("winograd", *ours) if _winograd_may_pay(call) else (*ours, "winograd")


def _widening_pays(input: Tensor, weight: Tensor, at: Arguments) -> bool:
    """Whether bfloat16 or float16 is better widened to float32, computed by a kernel of ours, and rounded.

    Always, where oneDNN does not compute in the dtype. Where it does, it is slow at nothing but depthwise convolutions:
    at a transposed one, and so at the gradient to the input, unless of stride and dilation 1 in at most two axes; and
    at the gradient to the weight, unless of 1x1 or an undilated 3x3.
    """
    if not select.NATIVE[input.dtype]:
        return True
    if at.groups == 1 or at.groups != at.input_shape[1]:
        return False
    training, dilated = torch.is_grad_enabled(), any(d > 1 for d in at.dilation)
    scatters = at.transposed or (training and input.requires_grad)
    if scatters and (len(at.stride) == 3 or dilated or any(s > 1 for s in at.stride)):
        return True
    return training and weight.requires_grad and (dilated or tuple(weight.shape[2:]) not in ((1, 1), (3, 3)))


# --- torch's own operators, with the same meaning ---------------------------------------------------------------------


def _torch(input: Tensor, weight: Tensor, bias: Tensor | None, at: Arguments) -> Tensor:
    output_size, groups = at.output_size, at.groups
    stride, low, dilation, border, value = at.stride, at.low, at.dilation, at.border, at.value
    rank = len(stride)
    size = tuple(input.shape[2:])
    kernel = tuple(weight.shape[2:])
    plain = all(b == CONSTANT for b in border) and not any(value)
    if not at.transposed:
        high = tuple(
            (o - 1) * s + d * (k - 1) + 1 - lo - n
            for o, s, d, k, lo, n in zip(output_size, stride, dilation, kernel, low, size, strict=True)
        )
        if plain:
            # What both sides share is torch's own padding. Beyond the last window there is room for less than a stride
            # more or less: nobody looks there.
            shared = tuple(max(min(lo, hi + s - 1), 0) for lo, hi, s in zip(low, high, stride, strict=True))
            low = tuple(lo - both for lo, both in zip(low, shared, strict=True))
            rest = zip(high, shared, stride, strict=True)
            high = tuple(0 if -s < hi - both < 0 else hi - both for hi, both, s in rest)
        else:
            shared = (0,) * rank
        input = extend(input, low, high, border, value)
        forward: Callable[..., Tensor] = (F.conv1d, F.conv2d, F.conv3d)[rank - 1]
        return forward(input, weight, bias, stride, shared, dilation, groups)

    transpose: Callable[..., Tensor] = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[rank - 1]
    whole = tuple((n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(size, stride, dilation, kernel, strict=True))
    extra = tuple(o - (w - 2 * lo) for o, w, lo in zip(output_size, whole, low, strict=True))
    allowed = all(lo >= 0 and 0 <= e < max(s, d) for lo, e, s, d in zip(low, extra, stride, dilation, strict=True))
    if plain and allowed:
        return transpose(input, weight, bias, stride, low, extra, groups, dilation)
    if not plain:
        below = tuple(
            max(0, (d * (k - 1) - lo) // s) for d, k, lo, s in zip(dilation, kernel, low, stride, strict=True)
        )
        above = tuple(
            max(0, (o - 1 + lo) // s - (n - 1)) for o, lo, s, n in zip(output_size, low, stride, size, strict=True)
        )
        input = extend(input, below, above, border, value)
        low = tuple(lo + b * s for lo, b, s in zip(low, below, stride, strict=True))
    output = transpose(input, weight, None, stride, 0, 0, groups, dilation)
    crop = tuple(o + lo - w for o, lo, w in zip(output_size, low, output.shape[2:], strict=True))
    output = extend(output, tuple(-lo for lo in low), crop, (CONSTANT,) * rank, (0.0,) * rank)
    # A view of the whole output would be neither contiguous nor channels last; the sum with a bias is no view.
    return output.clone() if bias is None else output + bias.view(-1, *[1] * rank)


# --- fakes: shapes and layouts ----------------------------------------------------------------------------------------


def _like(source: Tensor, weight: Tensor, channels: Any, spatial: Any) -> Tensor:
    """An empty result: channels last where the source or the weight is, as in torch, contiguous elsewhere."""
    channels_last = is_channels_last(source) or is_channels_last(weight)
    return new_in_layout(source, channels_last, (source.shape[0], channels, *spatial))


@torch.library.register_fake("convlayers::convolution")
def _(
    input,
    weight,
    bias,
    output_size,
    stride,
    low,
    dilation,
    groups,
    transposed,
    border,
    value,
    kernel,
    activation,
    alpha,
    beta,
    constant=False,
):
    channels = weight.shape[1] * groups if transposed else weight.shape[0]
    return _like(input, weight, channels, output_size)


@torch.library.register_fake("convlayers::convolution_backward")
def _(
    grad,
    input,
    weight,
    stride,
    low,
    dilation,
    groups,
    transposed,
    border,
    value,
    kernel,
    wants_input,
    wants_weight,
    wants_bias,
    constant=False,
):
    of_input = _like(grad, weight, input.shape[1], input.shape[2:]) if wants_input else grad.new_empty(0)
    of_weight = grad.new_empty(0)
    if wants_weight:
        of_weight = new_in_layout(input, is_channels_last(weight), weight.shape)
    return of_input, of_weight, grad.new_empty(grad.shape[1] if wants_bias else 0)


# --- derivatives: each is one of the two operators, so they can be taken again ----------------------------------------


def _wanted(gradients: tuple[Tensor, ...], wants: tuple[bool, ...]) -> list[Tensor | None]:
    return [gradient if wanted else None for gradient, wanted in zip(gradients, wants, strict=True)]


def _setup(ctx: Any, inputs: tuple, output: Tensor) -> None:
    input, weight, bias, _, *ctx.windows, kernel, code, alpha, beta, _ = inputs
    ctx.kernel, ctx.activation, ctx.has_bias = kernel, (code, alpha, beta), bias is not None
    ctx.save_for_backward(input, weight, None if code == IDENTITY.code else output)


def _backward(ctx: Any, grad: Tensor) -> tuple:
    input, weight, output = ctx.saved_tensors
    if output is not None:
        code, alpha, beta = ctx.activation
        grad = Activation(_ACTIVATIONS[code], code, alpha, beta).gradient(grad, output)
    wants = (*ctx.needs_input_grad[:2], ctx.has_bias and ctx.needs_input_grad[2])
    gradients = _gradients(grad, input, weight, *ctx.windows, ctx.kernel, *wants, not wants[1])
    return *_wanted(gradients, wants), *[None] * 13


class _Eager(torch.autograd.Function):
    """The same for eager calls, without the 0.1 ms that torch.library's own layer costs."""

    @staticmethod
    def forward(
        ctx: Any, input: Tensor, weight: Tensor, bias: Tensor | None, at: Arguments, kernel: str, activation: Activation
    ) -> Tensor:
        packed = at.packed(kernel, activation)
        output = _PACKED(input, weight, bias, packed, not weight.requires_grad)
        ctx.at, ctx.kernel, ctx.activation, ctx.packed = at, kernel, activation, packed
        ctx.save_for_backward(input, weight, None if activation.code == IDENTITY.code else output)
        return output

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        input, weight, output = ctx.saved_tensors
        if output is not None:
            grad = ctx.activation.gradient(grad, output)
        wants = ctx.needs_input_grad[:3]
        if torch.is_grad_enabled() or torch._C._len_torch_dispatch_stack() > 0:  # to be differentiated again, or traced
            gradients = _gradients(grad, input, weight, *ctx.at.windows, ctx.kernel, *wants, not wants[1])
        else:
            gradients = _PACKED_BACKWARD(grad, input, weight, ctx.packed, *wants)
            if wants == (True, True, True):
                return *gradients, None, None, None
        return *_wanted(gradients, wants), None, None, None


# Without the handling of torch.func's transforms, in which torch's own operator runs.
_apply = super(torch.autograd.Function, _Eager).apply


def _setup_gradients(ctx: Any, inputs: tuple, output: tuple) -> None:
    grad, input, weight, *ctx.windows, ctx.value, ctx.kernel, _, _, _, _ = inputs
    ctx.wants = inputs[-4:-1]
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(grad, input, weight)


def _backward_of_gradients(ctx: Any, *to: Tensor | None) -> tuple[Tensor | None, ...]:
    """The gradients are linear in ``grad`` and in one operand each."""
    grad, input, weight = ctx.saved_tensors
    to_input, to_weight, to_bias = (t if wanted else None for t, wanted in zip(to, ctx.wants, strict=True))
    zeros, size = [0.0] * len(ctx.value), grad.shape[2:]
    windows, inert = (*ctx.windows, ctx.value, ctx.kernel), (0, 0.0, 0.0, False)
    bordered_by_zeros = (*ctx.windows, zeros, ctx.kernel)
    parts: list[Tensor] = []
    grad_input = grad_weight = None
    if to_input is not None:
        parts.append(_convolution(to_input, weight, None, size, *bordered_by_zeros, *inert))
        grad_weight = _gradients(grad, to_input, weight, *bordered_by_zeros, False, True, False, False)[1]
    if to_weight is not None:
        parts.append(_convolution(input, to_weight, None, size, *windows, *inert))
        grad_input = _gradients(grad, input, to_weight, *windows, True, False, False, False)[0]
    if to_bias is not None:
        parts.append(to_bias.view(-1, *[1] * len(zeros)).expand_as(grad))
    grad_grad = functools.reduce(torch.add, parts) if parts else None
    return grad_grad, grad_input, grad_weight, *[None] * 12


_convolution = library.differentiable("convolution", _setup, _backward)
_gradients = library.differentiable("convolution_backward", _setup_gradients, _backward_of_gradients)
_PACKED = torch.ops.convlayers.convolution.packed
_PACKED_BACKWARD = torch.ops.convlayers.convolution_backward.packed


# --- cost, for torch.utils.flop_counter: the count that it gives for torch's own convolutions -----------------------


def _flops(spatial_shape: Any, weight_shape: Any) -> int:
    return 2 * math.prod(weight_shape) * math.prod(spatial_shape)


@register_flop_formula(torch.ops.convlayers.convolution)
def _(input_shape, weight_shape, bias, output_size, stride, low, dilation, groups, transposed, *_, **__) -> int:
    pixels = input_shape[2:] if transposed else output_size
    return _flops((input_shape[0], *pixels), weight_shape)


@register_flop_formula(torch.ops.convlayers.convolution_backward)
def _(
    grad_shape,
    input_shape,
    weight_shape,
    stride,
    low,
    dilation,
    groups,
    transposed,
    border,
    value,
    kernel,
    wants_input,
    wants_weight,
    *_,
    **__,
) -> int:
    pixels = input_shape[2:] if transposed else grad_shape[2:]
    return (wants_input + wants_weight) * _flops((input_shape[0], *pixels), weight_shape)
