"""Max pooling over windows that lie by chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from convlayers.errors import ArgumentError, ArgumentTypeError
from convlayers.functional.arguments import spatial
from convlayers.functional.pool_arguments import batched, flag
from convlayers.geometry import IntOrInts, Ints, integers
from convlayers.ops import pool as ops
from convlayers.ops import select

Ratio = float | Sequence[float]


def _fractional(
    rank: int,
    input: Tensor,
    kernel_size: IntOrInts,
    output_size: IntOrInts | None,
    output_ratio: Ratio | None,
    return_indices: bool,
    samples: Tensor | None,
) -> Tensor | tuple[Tensor, Tensor]:
    x, unbatched = batched(input, rank)
    size = spatial(x)
    kernel = integers("kernel_size", kernel_size, rank, least=1)
    if output_size is not None:
        sizes = integers("output_size", output_size, rank, least=1)
    elif output_ratio is not None:
        sizes = _scaled(size, output_ratio)
    else:
        raise ArgumentError("output_size or output_ratio must be given; received neither")
    if any(o + k - 1 > n for o, k, n in zip(sizes, kernel, size, strict=True)):
        raise ArgumentError(
            "output_size + kernel_size - 1 must not exceed the input's size along any axis; received output_size "
            f"{sizes} and kernel_size {kernel} for an input of {size}"
        )
    flag("return_indices", return_indices)
    if samples is None:
        samples = torch.rand(x.shape[0], x.shape[1], rank, dtype=x.dtype, device=x.device)
    else:
        _check_samples(samples, x, rank)
        samples = samples[: x.shape[0]]
    output, indices = ops.fractional_max_pool(x, kernel, sizes, samples)
    if unbatched:
        output, indices = output.squeeze(0), indices.squeeze(0)
    return (output, indices) if return_indices else output


def _scaled(size: Ints, output_ratio: Ratio) -> Ints:
    ratios: tuple[Any, ...] = tuple(output_ratio) if isinstance(output_ratio, list | tuple) else (output_ratio,)
    if len(ratios) not in (1, len(size)):
        raise ArgumentError(f"output_ratio must be one number or {len(size)}; received {output_ratio!r}")
    if not all(isinstance(r, int | float) and not isinstance(r, bool) for r in ratios):
        raise ArgumentTypeError(f"output_ratio must be a number or a tuple of numbers; received {output_ratio!r}")
    if not all(0 < r <= 1 for r in ratios):
        raise ArgumentError(f"output_ratio must lie between 0 and 1; received {output_ratio!r}")
    ratios = ratios * len(size) if len(ratios) == 1 else ratios
    sizes = tuple(int(n * r) for n, r in zip(size, ratios, strict=True))
    if 0 in sizes:
        raise ArgumentError(f"output_ratio must leave an output; received {output_ratio!r} for an input of {size}")
    return sizes


def _check_samples(samples: Tensor, input: Tensor, rank: int) -> None:
    if not isinstance(samples, Tensor):
        raise ArgumentTypeError(f"_random_samples must be a tensor; received {type(samples).__name__}")
    # As torch has it, samples for a larger batch will do.
    batch, channels = input.shape[:2]
    if samples.dim() != 3 or samples.shape[0] < batch or samples.shape[1:] != (channels, rank):
        raise ArgumentError(
            f"_random_samples must have shape {(batch, channels, rank)} (batch, channels, axes) or a larger batch; "
            f"received {tuple(samples.shape)}"
        )
    if samples.dtype != input.dtype or samples.device != input.device:
        raise ArgumentError(
            f"_random_samples must have the input's dtype and device ({input.dtype}, {input.device}); received "
            f"{samples.dtype}, {samples.device}"
        )
    if select.readable(samples) and not bool(samples.isfinite().all()):
        raise ArgumentError("_random_samples must be finite; received infinities or NaN")


def fractional_max_pool2d(
    input: Tensor,
    kernel_size: IntOrInts,
    output_size: IntOrInts | None = None,
    output_ratio: Ratio | None = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Max pooling over windows of one size, whose distances vary by chance so that the output has any size wanted.

    Shape:
        input (batch, channels, height, width) or (channels, height, width); result (..., channels, *output_size).

    Args:
        kernel_size: elements of a window along each axis.
        output_size: the output's size; or
        output_ratio: the output's size as a share of the input's, between 0 and 1.
        return_indices: also return where each maximum is, as :func:`max_pool2d` does.
        _random_samples: where the windows lie, (batch, channels, 2) finite numbers, the sample of the width first;
            drawn from [0, 1) where None.

    Returns:
        The maxima; with ``return_indices``, also their int64 indices.

    Raises:
        ValueError: for an output that the input has no room for, a ratio or samples out of range or of other shapes.
        TypeError: for arguments of other types.

    Example:
        >>> fractional_max_pool2d(torch.zeros(1, 9, 9), 2, output_ratio=0.7).shape
        torch.Size([1, 6, 6])

    Source:
        Graham: Fractional max-pooling, 2014, arXiv 1412.6071, section 2.
    """
    return _fractional(2, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)


def fractional_max_pool3d(
    input: Tensor,
    kernel_size: IntOrInts,
    output_size: IntOrInts | None = None,
    output_ratio: Ratio | None = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """:func:`fractional_max_pool2d` in a volume.

    Shape:
        input (batch, channels, depth, height, width) or without the batch; samples (batch, channels, 3), depth first.

    Example:
        >>> fractional_max_pool3d(torch.zeros(1, 8, 8, 8), 2, output_size=(4, 5, 6)).shape
        torch.Size([1, 4, 5, 6])
    """
    return _fractional(3, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)


def fractional_max_pool2d_with_indices(
    input: Tensor,
    kernel_size: IntOrInts,
    output_size: IntOrInts | None = None,
    output_ratio: Ratio | None = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """:func:`fractional_max_pool2d` and the indices, whatever ``return_indices`` says (as in torch).

    Example:
        >>> fractional_max_pool2d_with_indices(torch.arange(4.0).view(1, 2, 2), 2, output_size=1)
        (tensor([[[3.]]]), tensor([[[3]]]))
    """
    return _fractional(2, input, kernel_size, output_size, output_ratio, True, _random_samples)  # type: ignore[return-value]


def fractional_max_pool3d_with_indices(
    input: Tensor,
    kernel_size: IntOrInts,
    output_size: IntOrInts | None = None,
    output_ratio: Ratio | None = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """:func:`fractional_max_pool3d` and the indices, whatever ``return_indices`` says (as in torch).

    Example:
        >>> fractional_max_pool3d_with_indices(torch.arange(8.0).view(1, 2, 2, 2), 2, output_size=1)
        (tensor([[[[7.]]]]), tensor([[[[7]]]]))
    """
    return _fractional(3, input, kernel_size, output_size, output_ratio, True, _random_samples)  # type: ignore[return-value]
