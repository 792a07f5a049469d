"""Pooling: which implementation runs, the operators' fakes and derivatives. Schemas: csrc/registration.cpp.

For one axis, with w(o) the positions that output o sees and div(o) how many of them count,

    max      y(o) = max over i in w(o) of x(i), at index i(o): the first of equals, the last of NaNs
    average  y(o) = sum over i in w(o) of x(i) / div(o)
    scatter  x(i) = sum over o with i(o) = i of y(o)          gather  y(o) = x(i(o))

Indices count the elements of one plane of the input, last axis fastest. A window that lies in padding only gives
-infinity, at index -1; its gradient goes nowhere.

Where nobody asks for indices, a maximum's place is kept as its tap, a byte: which element of its window it is.
A gradient of max pooling is a scatter, whose gradient is a gather, whose gradient is a scatter; the average is linear.
Windows come as :class:`Windows`, or, empty, mean adaptive ones (ops/windows.py).
"""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch import Tensor

from convlayers.errors import ArgumentError
from convlayers.ops import library, pool_torch, select
from convlayers.ops.layout import is_channels_last, new_in_layout
from convlayers.ops.windows import Ints, Windows

#: What a byte can count; the last value means none.
_TAPS = 256


def max_pool(input: Tensor, windows: Windows, indices: bool) -> tuple[Tensor, Tensor | None]:
    """The largest element of each window, and where it is (None unless ``indices``).

    Shape:
        input (batch, channels, \\*spatial), 1 to 3 spatial axes; both results (batch, channels, \\*output_size).
    """
    if _kernel("max_pool", input) == "torch":
        return pool_torch.max_pool(input, windows, indices)
    return _native_max(input, windows, indices)


def adaptive_max_pool(input: Tensor, output_size: Ints, indices: bool) -> tuple[Tensor, Tensor | None]:
    """As :func:`max_pool`, over adaptive windows."""
    if _kernel("adaptive_max_pool", input) == "torch":
        output, at = pool_torch.ADAPTIVE_MAX[len(output_size)](input, output_size)
        return output, at if indices else None
    return _native_max(input, Windows(output_size, (), (), (), (), ()), indices)


def _native_max(input: Tensor, windows: Windows, indices: bool) -> tuple[Tensor, Tensor | None]:
    output_size, kernel, stride, low, _, dilation = windows
    if not indices:
        # For a gradient, to know the tap is enough: a byte, which tells a window's elements but not a plane's.
        in_a_byte = kernel and math.prod(kernel) < _TAPS
        needs_grad = _needs_grad(input)
        if _is_eager() and (in_a_byte or not needs_grad):
            packed = _packed(input.shape[2:], windows)
            return (_apply_max(input, windows, packed) if needs_grad else _PACKED_MAX(input, packed)), None
        if not needs_grad:
            return _max(input, output_size, kernel, stride, low, dilation), None
        if in_a_byte:
            return _max_with_taps(input, output_size, kernel, stride, low, dilation)[0], None
    output, at = _max_with_indices(input, output_size, kernel, stride, low, dilation)
    return output, at if indices else None


def fractional_max_pool(input: Tensor, kernel: Ints, output_size: Ints, samples: Tensor) -> tuple[Tensor, Tensor]:
    """Max pooling over windows that lie by chance, a set of them for each plane, and where each maximum is.

    Shape:
        input (batch, channels, \\*spatial), 2 or 3 spatial axes; samples (batch, channels, axes), finite, for two
        axes the last axis first, as torch has it; both results (batch, channels, \\*output_size).
    """
    if _kernel("fractional_max_pool", input, samples) == "torch":
        return pool_torch.fractional_max_pool(input, kernel, output_size, samples)
    return _fractional(input, samples, output_size, kernel)


def max_unpool(input: Tensor, indices: Tensor, output_size: Ints) -> Tensor:
    """Zeros, but for each element of the input, which goes where its index says; of equal indices the last counts.

    Shape:
        input and indices (batch, channels, \\*spatial); result (batch, channels, \\*output_size).
    """
    if _kernel("max_unpool", input) == "torch":
        if select.readable(indices):
            _check_indices(indices, math.prod(output_size))
        return pool_torch.max_unpool(input, indices, output_size)
    return _unpool(input, indices, output_size)


def avg_pool(input: Tensor, windows: Windows, count_include_pad: bool, divisor: int) -> Tensor:
    """The sum over each window, divided by ``divisor``, or, where that is 0, by the number of elements that count.

    Shape:
        input (batch, channels, \\*spatial), 1 to 3 spatial axes; result (batch, channels, \\*output_size).
    """
    if _kernel("avg_pool", input) == "torch":
        return pool_torch.avg_pool(input, windows, count_include_pad, divisor)
    return _native_average(input, windows, count_include_pad, divisor)


def adaptive_avg_pool(input: Tensor, output_size: Ints) -> Tensor:
    """As :func:`avg_pool`, over adaptive windows."""
    if _kernel("adaptive_avg_pool", input) == "torch":
        return pool_torch.ADAPTIVE_AVG[len(output_size)](input, output_size)
    return _native_average(input, Windows(output_size, (), (), (), (), ()), False, 0)


def _native_average(input: Tensor, windows: Windows, count_include_pad: bool, divisor: int) -> Tensor:
    if not _is_eager():
        return _average(input, *windows, count_include_pad, divisor)
    packed = _packed(input.shape[2:], windows, count_include_pad, divisor)
    if _needs_grad(input):
        return _apply_average(input, (*windows, count_include_pad, divisor), packed)
    return _PACKED_AVERAGE(input, packed)


def _is_eager() -> bool:
    """Whether nobody looks at the operators' arguments."""
    return not (torch.compiler.is_compiling() or torch.jit.is_tracing() or torch._C._len_torch_dispatch_stack() > 0)


@functools.lru_cache(maxsize=4096)
def _packed(size: Ints, windows: Windows, count_include_pad: bool = False, divisor: int = 0) -> Tensor:
    """All arguments that are no tensors as one, for the operators' ``packed`` overloads; the order is that of
    csrc/torch/pool.cpp. An adaptive window has a kernel of 0."""
    axes = zip(size, *(entry or (0,) * len(size) for entry in windows), strict=True)
    words = [len(size), count_include_pad, divisor, *(word for axis in axes for word in axis)]
    return torch.tensor(words, device="cpu")


def _needs_grad(input: Tensor) -> bool:
    return torch.is_grad_enabled() and input.requires_grad


def _check_indices(indices: Tensor, plane: int) -> None:
    # In words that scatter, which checks them as well, does not have; the kernels use the same.
    if indices.numel() > 0 and not bool(((indices >= 0) & (indices < plane)).all()):
        raise ArgumentError(f"indices must point into the plane; received an index outside 0 to {plane - 1}")


def _kernel(operation: str, input: Tensor, *others: Tensor) -> str:
    # The kernels hold a plane's indices in 32 bits.
    small = math.prod(input.shape[2:]) < 2**31
    return select.choose(operation, ("pool",) if small else ("torch",), input, *others)


# --- fakes: shapes and layouts ----------------------------------------------------------------------------------------


def _like(source: Tensor, spatial: Any, dtype: torch.dtype | None = None) -> Tensor:
    return new_in_layout(source, is_channels_last(source), (*source.shape[:2], *spatial), dtype)


@torch.library.register_fake("convlayers::max_pool")
def _(input, output_size, kernel, stride, low, dilation):
    return _like(input, output_size)


@torch.library.register_fake("convlayers::max_pool_with_indices")
def _(input, output_size, kernel, stride, low, dilation):
    return _like(input, output_size), _like(input, output_size, torch.int64)


@torch.library.register_fake("convlayers::max_pool_with_taps")
def _(input, output_size, kernel, stride, low, dilation):
    taps = new_in_layout(input, True, (*input.shape[:2], *output_size), torch.uint8)
    return _like(input, output_size), taps


@torch.library.register_fake("convlayers::max_pool_input_grad")
def _(grad, taps, input_size, kernel, stride, low, dilation, channels_last):
    return new_in_layout(grad, channels_last, (*grad.shape[:2], *input_size))


@torch.library.register_fake("convlayers::fractional_max_pool")
def _(input, samples, output_size, kernel):
    return _like(input, output_size), _like(input, output_size, torch.int64)


@torch.library.register_fake("convlayers::avg_pool")
def _(input, output_size, kernel, stride, low, high, dilation, count_include_pad, divisor):
    return _like(input, output_size)


@torch.library.register_fake("convlayers::avg_pool_input_grad")
def _(grad, input_size, kernel, stride, low, high, dilation, count_include_pad, divisor, channels_last):
    return new_in_layout(grad, channels_last, (*grad.shape[:2], *input_size))


@torch.library.register_fake("convlayers::max_unpool")
def _(input, indices, output_size):
    return _like(input, output_size)


@torch.library.register_fake("convlayers::pool_scatter")
def _(source, indices, output_size, channels_last):
    return new_in_layout(source, channels_last, (*source.shape[:2], *output_size))


@torch.library.register_fake("convlayers::pool_gather")
def _(source, indices):
    return _like(indices, indices.shape[2:], source.dtype)


# --- derivatives ------------------------------------------------------------------------------------------------------


def _keep_layout(ctx: Any, tensor: Tensor) -> None:
    # Its gradient is wanted in the same size and layout.
    ctx.size, ctx.channels_last = tensor.shape[2:], not tensor.is_contiguous() and is_channels_last(tensor)


def _setup_max(ctx: Any, inputs: tuple, output: Tensor) -> None:
    input, *ctx.geometry = inputs
    _keep_layout(ctx, input)
    ctx.save_for_backward(input)


def _backward_max(ctx: Any, grad: Tensor) -> tuple:
    # The indices were not kept: found again.
    (input,) = ctx.saved_tensors
    _, indices = _max_with_indices(input, *ctx.geometry)
    return _scatter(grad, indices, ctx.size, ctx.channels_last), *[None] * 5


def _setup_taps(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    input, _, *ctx.geometry = inputs
    _keep_layout(ctx, input)
    ctx.save_for_backward(output[1])


def _backward_taps(ctx: Any, grad: Tensor, _: Tensor) -> tuple:
    (taps,) = ctx.saved_tensors
    return _max_grad(grad, taps, ctx.size, *ctx.geometry, ctx.channels_last), *[None] * 5


def _setup_max_grad(ctx: Any, inputs: tuple, output: Tensor) -> None:
    _, taps, _, *ctx.geometry, _ = inputs
    ctx.save_for_backward(taps)


def _backward_max_grad(ctx: Any, second: Tensor) -> tuple:
    (taps,) = ctx.saved_tensors
    return _gather(second, _indices_of(taps, second.shape[2:], *ctx.geometry)), *[None] * 7


def _indices_of(taps: Tensor, size: Any, kernel: Ints, stride: Ints, low: Ints, dilation: Ints) -> Tensor:
    """Where in a plane of this size the taps are."""
    tap = taps.to(torch.int64)
    index, scale = torch.zeros_like(tap), 1
    for axis in reversed(range(len(size))):
        start = torch.arange(tap.shape[axis + 2]) * stride[axis] - low[axis]
        at = start.view(-1, *[1] * (len(size) - 1 - axis)) + tap % kernel[axis] * dilation[axis]
        index, tap = index + at * scale, tap // kernel[axis]
        scale *= size[axis]
    return index.masked_fill(taps == _TAPS - 1, -1)


def _setup_with_indices(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    ctx.others = len(inputs) - 1
    _keep_layout(ctx, inputs[0])
    ctx.save_for_backward(output[1])


def _backward_with_indices(ctx: Any, grad: Tensor, _: Tensor) -> tuple:
    (indices,) = ctx.saved_tensors
    return _scatter(grad, indices, ctx.size, ctx.channels_last), *[None] * ctx.others


def _setup_put(ctx: Any, inputs: tuple, output: Tensor) -> None:
    ctx.others = len(inputs) - 1
    ctx.save_for_backward(inputs[1])


def _backward_put(ctx: Any, grad: Tensor) -> tuple:
    (indices,) = ctx.saved_tensors
    return _gather(grad, indices), *[None] * ctx.others


def _setup_gather(ctx: Any, inputs: tuple, output: Tensor) -> None:
    _keep_layout(ctx, inputs[0])
    ctx.save_for_backward(inputs[1])


def _backward_gather(ctx: Any, grad: Tensor) -> tuple:
    (indices,) = ctx.saved_tensors
    return _scatter(grad, indices, ctx.size, ctx.channels_last), None


def _setup_average(ctx: Any, inputs: tuple, output: Tensor) -> None:
    input, _, *ctx.geometry = inputs
    _keep_layout(ctx, input)


def _backward_average(ctx: Any, grad: Tensor) -> tuple:
    return _average_grad(grad, ctx.size, *ctx.geometry, ctx.channels_last), *[None] * 8


def _setup_average_grad(ctx: Any, inputs: tuple, output: Tensor) -> None:
    grad, _, *ctx.geometry, _ = inputs
    ctx.size = grad.shape[2:]


def _backward_average_grad(ctx: Any, second: Tensor) -> tuple:
    return _average(second, ctx.size, *ctx.geometry), *[None] * 9


class _EagerMax(torch.autograd.Function):
    """Maxima of eager calls: the same, with packed arguments."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, windows: Windows, packed: Tensor) -> Tensor:
        output, taps = _PACKED_MAX_WITH_TAPS(input, packed)
        _keep_layout(ctx, input)
        ctx.windows, ctx.packed = windows, packed
        ctx.save_for_backward(taps)
        return output

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        (taps,) = ctx.saved_tensors
        if torch.is_grad_enabled() or not _is_eager():  # to be differentiated again, or traced
            at = ctx.windows
            geometry = at.kernel, at.stride, at.low, at.dilation
            return _max_grad(grad, taps, ctx.size, *geometry, ctx.channels_last), None, None
        return _PACKED_MAX_GRAD(grad, taps, ctx.packed, ctx.channels_last), None, None


class _EagerAverage(torch.autograd.Function):
    """Averages of eager calls: the same, with packed arguments."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, geometry: tuple, packed: Tensor) -> Tensor:
        _keep_layout(ctx, input)
        ctx.geometry, ctx.packed = geometry, packed
        return _PACKED_AVERAGE(input, packed)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        if torch.is_grad_enabled() or not _is_eager():
            return _average_grad(grad, ctx.size, *ctx.geometry[1:], ctx.channels_last), None, None
        return _PACKED_AVERAGE_GRAD(grad, ctx.packed, ctx.channels_last), None, None


# Without the handling of torch.func's transforms, in which torch's own operators run.
_apply_max = super(torch.autograd.Function, _EagerMax).apply
_apply_average = super(torch.autograd.Function, _EagerAverage).apply

_PACKED_MAX = torch.ops.convlayers.max_pool.packed
_PACKED_MAX_WITH_TAPS = torch.ops.convlayers.max_pool_with_taps.packed
_PACKED_MAX_GRAD = torch.ops.convlayers.max_pool_input_grad.packed
_PACKED_AVERAGE = torch.ops.convlayers.avg_pool.packed
_PACKED_AVERAGE_GRAD = torch.ops.convlayers.avg_pool_input_grad.packed

_max = library.differentiable("max_pool", _setup_max, _backward_max)
_max_with_taps = library.differentiable("max_pool_with_taps", _setup_taps, _backward_taps)
_max_grad = library.differentiable("max_pool_input_grad", _setup_max_grad, _backward_max_grad)
_max_with_indices = library.differentiable("max_pool_with_indices", _setup_with_indices, _backward_with_indices)
_fractional = library.differentiable("fractional_max_pool", _setup_with_indices, _backward_with_indices)
_scatter = library.differentiable("pool_scatter", _setup_put, _backward_put)
_unpool = library.differentiable("max_unpool", _setup_put, _backward_put)
_gather = library.differentiable("pool_gather", _setup_gather, _backward_gather)
_average = library.differentiable("avg_pool", _setup_average, _backward_average)
_average_grad = library.differentiable("avg_pool_input_grad", _setup_average_grad, _backward_average_grad)
