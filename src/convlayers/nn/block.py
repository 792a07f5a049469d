"""A convolution, its normalisation, an activation and a pooling as one layer: the step that networks repeat."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from convlayers.activations import ActivationLike, resolve
from convlayers.errors import ArgumentError, ArgumentTypeError
from convlayers.geometry import IntOrInts, Padding, PaddingMode, integers
from convlayers.init import Initialiser
from convlayers.nn import pool, pool_adaptive
from convlayers.nn.batch_norm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from convlayers.nn.conv import Conv1d, Conv2d, Conv3d
from convlayers.nn.extras import named

_CONV = {1: Conv1d, 2: Conv2d, 3: Conv3d}
_BATCH_NORM = {1: BatchNorm1d, 2: BatchNorm2d, 3: BatchNorm3d}
_INSTANCE_NORM = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
_POOL: dict[str, tuple[type[nn.Module], ...]] = {
    "max": (pool.MaxPool1d, pool.MaxPool2d, pool.MaxPool3d),
    "avg": (pool.AvgPool1d, pool.AvgPool2d, pool.AvgPool3d),
}
_GLOBAL_POOL: dict[str, tuple[type[nn.Module], ...]] = {
    "global_max": (pool_adaptive.GlobalMaxPool1d, pool_adaptive.GlobalMaxPool2d, pool_adaptive.GlobalMaxPool3d),
    "global_avg": (pool_adaptive.GlobalAvgPool1d, pool_adaptive.GlobalAvgPool2d, pool_adaptive.GlobalAvgPool3d),
}
_NORMS = ("batch", "group", "layer", "instance")
_POOLS = (*_POOL, *_GLOBAL_POOL)


def _norm(
    norm: str | nn.Module | None, rank: int, channels: int, device: Any, dtype: Any, activation: ActivationLike
) -> nn.Module | None:
    """The normalisation; that of the batch takes the activation into its own step."""
    if norm is None or isinstance(norm, nn.Module):
        return norm
    if not isinstance(norm, str):
        raise ArgumentTypeError(f"norm must be a name, a module or None; received {type(norm).__name__}")
    if norm == "batch":
        return _BATCH_NORM[rank](channels, device=device, dtype=dtype, activation=activation)
    if norm == "instance":
        return _INSTANCE_NORM[rank](channels, affine=True, device=device, dtype=dtype)
    if norm in ("group", "layer"):
        groups = math.gcd(channels, 32) if norm == "group" else 1
        return nn.GroupNorm(groups, channels, device=device, dtype=dtype)
    raise ArgumentError(f"norm must be one of {', '.join(_NORMS)}, a module or None; received {norm!r}")


def _pool(name: str | nn.Module | None, rank: int, size: IntOrInts) -> nn.Module | None:
    if name is None or isinstance(name, nn.Module):
        return name
    if not isinstance(name, str):
        raise ArgumentTypeError(f"pool must be a name, a module or None; received {type(name).__name__}")
    if name in _POOL:
        return _POOL[name][rank - 1](integers("pool_size", size, rank, least=1))
    if name in _GLOBAL_POOL:
        return _GLOBAL_POOL[name][rank - 1]()
    raise ArgumentError(f"pool must be one of {', '.join(_POOLS)}, a module or None; received {name!r}")


class ConvBlockNd(nn.Module):
    """The block of any rank: ``conv``, ``norm``, ``activation``, ``pool``, ``dropout``, those that it was asked for."""

    rank: int

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrInts,
        stride: IntOrInts = 1,
        padding: Padding = "same",
        dilation: IntOrInts = 1,
        groups: int = 1,
        bias: bool | None = None,
        padding_mode: PaddingMode = "zeros",
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        padding_value: float = 0.0,
        norm: str | nn.Module | None = "batch",
        activation: ActivationLike = "relu",
        pool: str | nn.Module | None = None,
        pool_size: IntOrInts = 2,
        dropout: float = 0.0,
        weight_init: Initialiser = None,
        bias_init: Initialiser = None,
    ) -> None:
        super().__init__()
        if isinstance(dropout, bool) or not isinstance(dropout, int | float):
            raise ArgumentTypeError(f"dropout must be a number; received {dropout!r}")
        if not 0 <= dropout <= 1:
            raise ArgumentError(f"dropout must lie between 0 and 1; received {dropout}")
        resolve(activation)
        self.conv = _CONV[self.rank](
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            # Normalisation takes a constant away again: batch and instance normalisation all of it.
            norm is None if bias is None else bias,
            padding_mode,
            device,
            dtype,
            padding_value=padding_value,
            activation=activation if norm is None else None,
            weight_init=weight_init,
            bias_init=bias_init,
        )
        self.norm = _norm(norm, self.rank, out_channels, device, dtype, activation)
        self.activation = None if norm is None or norm == "batch" else activation
        self.pool = _pool(pool, self.rank, pool_size)
        self.dropout = nn.Dropout(dropout) if dropout else None

    def forward(self, input: Tensor) -> Tensor:
        output = self.conv(input)
        if self.norm is not None:
            output = resolve(self.activation)(self._normalise(output))
        if self.pool is not None:
            output = self.pool(output)
        return output if self.dropout is None else self.dropout(output)

    def _normalise(self, x: Tensor) -> Tensor:
        """The normalisation, for an input without a batch as well: torch's would take its channels for the batch."""
        assert self.norm is not None
        return self.norm(x) if x.dim() == self.rank + 2 else self.norm(x.unsqueeze(0)).squeeze(0)

    def extra_repr(self) -> str:
        return named(activation=self.activation)


class ConvBlock1d(ConvBlockNd):
    """Convolution, normalisation, activation and pooling of signals; arguments as for :class:`ConvBlock2d`.

    Shape:
        input (batch, in_channels, length) or (in_channels, length) -> (batch, out_channels, positions) or without the
        batch.

    Example:
        >>> ConvBlock1d(2, 8, 5, pool="max")(torch.zeros(4, 2, 100)).shape
        torch.Size([4, 8, 50])
    """

    rank = 1


class ConvBlock2d(ConvBlockNd):
    """Convolution, normalisation, activation, pooling and dropout of images, in this order, as one trainable layer.

    Shape:
        input (batch, in_channels, height, width) or (in_channels, height, width) -> (batch, out_channels, rows,
        columns) or without the batch.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, padding_mode, device, dtype,
            padding_value, weight_init, bias_init: as for :class:`Conv2d`, but that ``padding`` is ``'same'``.
        bias: whether the convolution has one; None: where there is no normalisation.
        norm: ``'batch'`` (Ioffe 2015), ``'group'`` (Wu 2018: 32 groups, or the largest power of two that divides the
            channels), ``'layer'`` (one group: all channels and positions of a sample), ``'instance'`` (Ulyanov 2016), a
            module, or None.
        activation: a name such as ``'relu'``, a module, a callable, or None.
        pool: ``'max'`` or ``'avg'`` over windows of ``pool_size``, ``'global_max'`` or ``'global_avg'`` over
            everything, a module, or None.
        pool_size: elements of a pooling window along each axis, and their distance.
        dropout: the share of elements that are set to 0 in training.

    Raises:
        ValueError: for amounts out of range or unknown names.
        TypeError: for arguments of the wrong kind.

    Example:
        >>> block = ConvBlock2d(3, 16, 3, norm="group", activation="silu", pool="max")
        >>> block(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 16, 16, 16])

    Source:
        Ioffe, Szegedy: Batch normalization, 2015, arXiv 1502.03167, section 3.2.
    """

    rank = 2


class ConvBlock3d(ConvBlockNd):
    """Convolution, normalisation, activation and pooling of volumes; arguments as for :class:`ConvBlock2d`.

    Shape:
        input (batch, in_channels, depth, height, width) or without the batch -> (batch, out_channels, \\*positions) or
        without the batch.

    Example:
        >>> ConvBlock3d(1, 4, 3, pool="global_avg")(torch.zeros(2, 1, 8, 8, 8)).shape
        torch.Size([2, 4, 1, 1, 1])
    """

    rank = 3
