"""The slow definitions of convolution and its transpose, in float64 and plain torch: the oracle of the tests.

For every tap of the kernel, written out: which input element does each output element see, along each axis? The sum of
the products is the result. Nothing here shares code with the kernels or with torch's convolutions; autograd through it
gives the gradients of reference.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from convlayers.ops.borders import CIRCULAR, CONSTANT, REFLECT, REPLICATE


def convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    output_size: Sequence[int],
    stride: Sequence[int],
    low: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    transposed: bool,
    border: Sequence[int],
    value: Sequence[float],
) -> Tensor:
    """What ``ops.convolution.convolution`` computes, of the same arguments, in float64 (complex128 where complex).

    Example:
        >>> from convlayers.ops.borders import CIRCULAR
        >>> signal, taps = torch.tensor([[[1.0, 2.0, 4.0]]]), torch.tensor([[[1.0, 10.0]]])
        >>> convolution(
        ...     signal, taps, None, output_size=[3], stride=[1], low=[1], dilation=[1], groups=1, transposed=False,
        ...     border=[CIRCULAR], value=[0.0]
        ... )
        tensor([[[14., 21., 42.]]], dtype=torch.float64)
    """
    dtype = torch.complex128 if input.is_complex() else torch.float64
    x, w = input.to(dtype), weight.to(dtype)
    if transposed:  # (in, out / groups, ...) -> (out, in / groups, ...)
        w = torch.cat([part.transpose(0, 1) for part in w.chunk(groups)])
    output = x.new_zeros((x.shape[0], w.shape[0], *output_size))
    for tap in itertools.product(*(range(k) for k in w.shape[2:])):
        seen = x
        unread = []
        for axis, k in enumerate(tap):
            sources = [
                _source(o, k, stride[axis], low[axis], dilation[axis], transposed) for o in range(output_size[axis])
            ]
            seen, nothing = _read(seen, axis + 2, sources, border[axis], value[axis])
            unread.append(nothing)
        for axis, nothing in enumerate(unread):  # Between two of the inputs that a stride spreads out there is nothing.
            seen = _put(seen, axis + 2, nothing, 0.0)
        filters = w
        for k in tap:
            filters = filters.select(2, k)
        parts = zip(filters.chunk(groups), seen.chunk(groups, 1), strict=True)
        output = output + torch.cat([torch.einsum("oc,bc...->bo...", f, part) for f, part in parts], 1)
    return output if bias is None else output + bias.to(dtype).view(-1, *[1] * len(tap))


def _source(output: int, tap: int, stride: int, low: int, dilation: int, transposed: bool) -> int | None:
    """The input position that an output sees through a tap, outside the input too; None where there is none."""
    if not transposed:
        return output * stride + tap * dilation - low
    position = output + low - tap * dilation
    return position // stride if position % stride == 0 else None


def _read(x: Tensor, dim: int, sources: list[int | None], border: int, value: float) -> tuple[Tensor, list[bool]]:
    """The elements at these positions along an axis, continued beyond its ends, and where there is no position."""
    size = x.shape[dim]
    at = [0 if source is None else _fold(source, size, border) for source in sources]
    outside = [index is None for index in at]
    seen = x.index_select(dim, torch.tensor([index or 0 for index in at], dtype=torch.long, device=x.device))
    return _put(seen, dim, outside, value), [source is None for source in sources]


def _fold(position: int, size: int, border: int) -> int | None:
    """The element that a position shows; None for the constant."""
    if 0 <= position < size:
        return position
    if border == CONSTANT:
        return None
    if border == CIRCULAR:
        return position % size
    if border == REPLICATE:
        return 0 if position < 0 else size - 1
    assert border == REFLECT
    return -position if position < 0 else 2 * (size - 1) - position


def _put(x: Tensor, dim: int, where: list[bool], value: float) -> Tensor:
    """``value`` in these places along an axis."""
    if not any(where):
        return x
    shape = [1] * x.dim()
    shape[dim] = len(where)
    return x.masked_fill(torch.tensor(where, device=x.device).view(shape), value)
