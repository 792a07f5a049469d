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
from convlayers.ops.borders import CONSTANT, extend
from convlayers.ops.cost import Call
from convlayers.ops.layout import is_channels_last, new_in_layout

Ints = tuple[int, ...]
_ACTIVATIONS = list(CODES)
_DTYPES = (torch.float32, *select.NATIVE)


def convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    output_size: Ints,
    stride: Ints,
    low: Ints,
    dilation: Ints,
    groups: int,
    transposed: bool,
    border: Ints,
    value: tuple[float, ...],
    activation: Activation = IDENTITY,
) -> Tensor:
    """Convolution, or transposed convolution, of checked arguments: on the kernel that should be fastest.

    Shape:
        input (batch, in_channels, \\*spatial), 1 to 3 spatial axes; weight (out_channels, in_channels / groups,
        \\*kernel), transposed (in_channels, out_channels / groups, \\*kernel); bias (out_channels,);
        result (batch, out_channels, \\*output_size).

    Args:
        output_size, stride, low, dilation, border, value: one entry a spatial axis. ``low`` is how far the first
            window reaches below the input (may be negative); ``border`` holds codes of ``ops.borders``, ``value`` the
            constants for those that are CONSTANT.
        activation: applied to the result.
    """
    ranking = _ranking(transposed, input, weight, output_size, stride, dilation, groups)
    kernels, costs = ranking.kernels, ranking.costs
    if input.dtype in select.NATIVE:
        pays = _widening_pays(input, weight, stride, dilation, groups, transposed)
        ours = tuple(k for k in kernels if k != "torch")
        kernels, costs = (*ours, "torch") if pays else ("torch", *ours), None  # the costs are those of float32
    operation = "transposed_convolution" if transposed else "convolution"
    kernel = select.choose(operation, kernels, input, weight, bias, costs=costs, dtypes=_DTYPES)
    arguments = (output_size, stride, low, dilation, groups, transposed, border, value, activation)
    if observers:
        observers[-1](ranking.call, (input, weight, bias), arguments)
    return run(kernel, input, weight, bias, *arguments)


def run(
    kernel: str,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    output_size: Ints,
    stride: Ints,
    low: Ints,
    dilation: Ints,
    groups: int,
    transposed: bool,
    border: Ints,
    value: tuple[float, ...],
    activation: Activation,
) -> Tensor:
    """:func:`convolution` on a kernel that can compute it, or on torch's own operator."""
    if kernel == "torch":
        output = _torch(input, weight, bias, output_size, stride, low, dilation, groups, transposed, border, value)
        return activation(output)
    needs_grad = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (input, weight, bias))
    constant = not (torch.is_grad_enabled() and weight.requires_grad)
    fused = activation if activation.from_output or not needs_grad else IDENTITY
    output = _convolution(
        input, weight, bias, output_size, stride, low, dilation, groups, transposed, border, value, kernel,
        fused.code, fused.alpha, fused.beta, constant,
    )  # fmt: skip
    return output if fused is activation else activation(output)


#: What looks at each call, operands and other arguments, while tune() finds out which are reached.
observers: list[Callable[[Call, tuple[Tensor | None, ...], tuple], None]] = []


# --- which kernels, best first ----------------------------------------------------------------------------------------


class _Ranking(NamedTuple):
    """Kernels, best first, for a call, and the costs that say so: None where sizes are symbolic."""

    kernels: tuple[str, ...]
    call: Call
    costs: select.Costs | None = None


def _ranking(
    transposed: bool, input: Tensor, weight: Tensor, output_size: Ints, stride: Ints, dilation: Ints, groups: int
) -> _Ranking:
    shape, weight_shape, exact = input.shape, weight.shape, select.is_exact()
    geometry = (transposed, shape, weight_shape, output_size, stride, dilation, groups, input.is_contiguous())
    sizes = (*shape, *weight_shape, *output_size)
    if not torch.compiler.is_compiling():
        if set(map(type, sizes)) == {int}:
            return _ranked(*geometry, exact, torch.get_num_threads())
    else:
        from torch.fx.experimental.symbolic_shapes import has_static_value  # imports SymPy, which compilers have

        if all(has_static_value(size) for size in sizes):
            plain = tuple(tuple(entry) if isinstance(entry, tuple) else entry for entry in geometry)
            return _Ranking(_ranked_while_compiling(*plain, exact), _call(*geometry))
    call = _call(*geometry)
    return _Ranking(candidates(call, exact), call)


def _call(
    transposed: bool,
    shape: Ints,
    weight_shape: Ints,
    output_size: Ints,
    stride: Ints,
    dilation: Ints,
    groups: int,
    contiguous: bool,
) -> Call:
    out_channels = weight_shape[1] * groups if transposed else weight_shape[0]
    sizes = (tuple(shape[2:]), tuple(output_size), tuple(weight_shape[2:]))
    return Call(transposed, shape[0], shape[1], out_channels, groups, *sizes, stride, dilation, contiguous)


@functools.lru_cache(maxsize=4096)
def _ranked(*arguments: Any) -> _Ranking:
    """By their times: those that tune() measured with so many threads, else as predicted. torch's own operator is
    among them only where it was measured: its results may change with the number of threads."""
    *geometry, exact, threads = arguments
    call = _call(*geometry)
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
    # With few channels direct kernels of other kinds run (lines, columns), which Winograd does not beat.
    compared = (k for k in candidates(call, exact) if k != "winograd" or _has_many_channels(call))
    return {kernel: cost.seconds(kernel, call, library.isa()) for kernel in compared}


def _has_many_channels(call: Call) -> bool:
    return min(call.in_channels, call.out_channels) >= 16


def forget() -> None:
    """Ranks every call afresh from now on: there are new times."""
    tuned.read.cache_clear()
    _ranked.cache_clear()


def _ranked_while_compiling(*arguments: Any) -> tuple[str, ...]:
    return _ranked(*arguments, torch.get_num_threads()).kernels


# torch.compiler.assume_constant_result sets this: compilers call the function and do not look inside. But that imports
# all of Dynamo, which takes seconds.
_ranked_while_compiling._dynamo_marked_constant = True  # type: ignore[attr-defined]


def candidates(call: Call, exact: bool) -> tuple[str, ...]:
    """The kernels that can compute it, the likely best first: the rule where there are no numbers to compare.

    Ours, but for filters of very many taps: each tap could be a class of pixels by itself, and packed, a few filters
    fill vectors with zeros.
    """
    channelwise = 1 < call.groups == call.in_channels
    if math.prod(call.kernel) > (16 * 1024 if channelwise else 1024):
        return ("torch",)
    if call.groups > 1:
        if channelwise:
            return ("depthwise", "direct")
        few = max(call.in_channels, call.out_channels) <= 8 * call.groups
        return ("grouped", "direct") if few else ("direct", "grouped")
    if exact or cost.winograd_tile(call.kernel, call.stride, call.dilation) is None:
        return ("direct",)
    return ("winograd", "direct") if _has_many_channels(call) else ("direct", "winograd")


def _widening_pays(input: Tensor, weight: Tensor, stride: Ints, dilation: Ints, groups: int, transposed: bool) -> bool:
    """Whether bfloat16 or float16 is better widened to float32, computed by a kernel of ours, and rounded.

    Always, where oneDNN does not compute in the dtype. Where it does, it is slow at nothing but depthwise convolutions:
    at a transposed one, and so at the gradient to the input, unless of stride and dilation 1 in at most two axes; and
    at the gradient to the weight, unless of 1x1 or an undilated 3x3.
    """
    if not select.NATIVE[input.dtype]:
        return True
    if groups == 1 or groups != (weight.shape[0] if transposed else input.shape[1]):
        return False
    training, dilated = torch.is_grad_enabled(), any(d > 1 for d in dilation)
    scatters = transposed or (training and input.requires_grad)
    if scatters and (len(stride) == 3 or dilated or any(s > 1 for s in stride)):
        return True
    return training and weight.requires_grad and (dilated or tuple(weight.shape[2:]) not in ((1, 1), (3, 3)))


# --- torch's own operators, with the same meaning ---------------------------------------------------------------------


def _torch(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    output_size: Ints,
    stride: Ints,
    low: Ints,
    dilation: Ints,
    groups: int,
    transposed: bool,
    border: Ints,
    value: tuple[float, ...],
) -> Tensor:
    rank = len(stride)
    size = tuple(input.shape[2:])
    kernel = tuple(weight.shape[2:])
    plain = all(b == CONSTANT for b in border) and not any(value)
    if not transposed:
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


@torch.library.register_fake("convlayers::convolution_input_grad")
def _(grad, weight, input_size, stride, low, dilation, groups, transposed, border, kernel, constant=False):
    channels = weight.shape[0] if transposed else weight.shape[1] * groups
    return _like(grad, weight, channels, input_size)


@torch.library.register_fake("convlayers::convolution_weight_grad")
def _(grad, input, kernel_size, stride, low, dilation, groups, transposed, border, value, kernel):
    rows, columns = (input.shape[1], grad.shape[1]) if transposed else (grad.shape[1], input.shape[1])
    return grad.new_empty((rows, columns // groups, *kernel_size))


# --- derivatives: each is one of the three operators, so they can be taken again ----------------------------------


def _setup(ctx: Any, inputs: tuple, output: Tensor) -> None:
    input, weight, bias, _, *ctx.geometry, value, kernel, code, alpha, beta, _ = inputs
    ctx.value, ctx.kernel = value, kernel
    ctx.activation = code, alpha, beta
    ctx.has_bias = bias is not None
    ctx.save_for_backward(input, weight, None if code == IDENTITY.code else output)


def _backward(ctx: Any, grad: Tensor) -> tuple:
    input, weight, output = ctx.saved_tensors
    if output is not None:
        code, alpha, beta = ctx.activation
        grad = Activation(_ACTIVATIONS[code], code, alpha, beta).gradient(grad, output)
    need = ctx.needs_input_grad
    grad_input = grad_weight = grad_bias = None
    if need[0]:
        grad_input = _input_grad(grad, weight, input.shape[2:], *ctx.geometry, ctx.kernel, not need[1])
    if need[1]:
        grad_weight = _weight_grad(grad, input, weight.shape[2:], *ctx.geometry, ctx.value, ctx.kernel)
    if ctx.has_bias and need[2]:
        grad_bias = grad.sum([0, *range(2, grad.dim())])
    return grad_input, grad_weight, grad_bias, *[None] * 13


def _setup_input_grad(ctx: Any, inputs: tuple, output: Tensor) -> None:
    grad, weight, _, *ctx.geometry, ctx.kernel, _ = inputs
    ctx.save_for_backward(grad, weight)


def _backward_input_grad(ctx: Any, second: Tensor) -> tuple:
    grad, weight = ctx.saved_tensors
    zeros = [0.0] * len(ctx.geometry[0])
    grad_grad = grad_weight = None
    if ctx.needs_input_grad[0]:
        rest = zeros, ctx.kernel, 0, 0.0, 0.0, False
        grad_grad = _convolution(second, weight, None, grad.shape[2:], *ctx.geometry, *rest)
    if ctx.needs_input_grad[1]:
        grad_weight = _weight_grad(grad, second, weight.shape[2:], *ctx.geometry, zeros, ctx.kernel)
    return grad_grad, grad_weight, *[None] * 9


def _setup_weight_grad(ctx: Any, inputs: tuple, output: Tensor) -> None:
    grad, input, _, *ctx.geometry, ctx.value, ctx.kernel = inputs
    ctx.save_for_backward(grad, input)


def _backward_weight_grad(ctx: Any, second: Tensor) -> tuple:
    grad, input = ctx.saved_tensors
    grad_grad = grad_input = None
    if ctx.needs_input_grad[0]:
        rest = ctx.value, ctx.kernel, 0, 0.0, 0.0, False
        grad_grad = _convolution(input, second, None, grad.shape[2:], *ctx.geometry, *rest)
    if ctx.needs_input_grad[1]:
        grad_input = _input_grad(grad, second, input.shape[2:], *ctx.geometry, ctx.kernel, False)
    return grad_grad, grad_input, *[None] * 9


_convolution = library.differentiable("convolution", _setup, _backward)
_input_grad = library.differentiable("convolution_input_grad", _setup_input_grad, _backward_input_grad)
_weight_grad = library.differentiable("convolution_weight_grad", _setup_weight_grad, _backward_weight_grad)


# --- cost, for torch.utils.flop_counter: the count that it gives for torch's own convolutions -----------------------


def _flops(spatial_shape: Any, weight_shape: Any) -> int:
    return 2 * math.prod(weight_shape) * math.prod(spatial_shape)


@register_flop_formula(torch.ops.convlayers.convolution)
def _(input_shape, weight_shape, bias, output_size, stride, low, dilation, groups, transposed, *_, **__) -> int:
    pixels = input_shape[2:] if transposed else output_size
    return _flops((input_shape[0], *pixels), weight_shape)


@register_flop_formula(torch.ops.convlayers.convolution_input_grad)
def _(grad_shape, weight_shape, input_size, stride, low, dilation, groups, transposed, *_, **__) -> int:
    pixels = input_size if transposed else grad_shape[2:]
    return _flops((grad_shape[0], *pixels), weight_shape)


@register_flop_formula(torch.ops.convlayers.convolution_weight_grad)
def _(grad_shape, input_shape, kernel_size, stride, low, dilation, groups, transposed, *_, out_shape=None, **__) -> int:
    pixels = input_shape[2:] if transposed else grad_shape[2:]
    return _flops((grad_shape[0], *pixels), out_shape)
