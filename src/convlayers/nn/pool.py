"""Pooling layers: torch.nn's, with our functions below them.

Each is an instance of torch.nn's class of the same name, takes its arguments and prints as it does. ``padding`` takes
names, pairs and amounts as :func:`convlayers.functional.max_pool2d` does; averages and norms take ``dilation``.
"""

from __future__ import annotations

import functools
from typing import Any, TypeVar

import torch
from torch import Tensor

from convlayers.functional import pool, pool_norm
from convlayers.functional.pool_arguments import window
from convlayers.geometry import IntOrInts, Padding

Layer = TypeVar("Layer", bound=type[torch.nn.Module])


def _checked(layer: Layer) -> Layer:
    """A layer that refuses, when it is made, what a call of it would refuse whatever its input."""
    make, rank = layer.__init__, int(layer.__name__[-2])

    @functools.wraps(make)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        own = {"padding": 0, "dilation": 1, **vars(self)}
        window(rank, *(own[name] for name in ("kernel_size", "stride", "padding", "dilation", "ceil_mode")))

    layer.__init__ = __init__  # type: ignore[method-assign]
    return layer


# --- maxima -----------------------------------------------------------------------------------------------------------


@_checked
class MaxPool1d(torch.nn.MaxPool1d):
    """The largest element of each window along one axis; see :func:`convlayers.functional.max_pool1d`.

    Shape:
        input (batch, channels, length) or (channels, length).

    Example:
        >>> MaxPool1d(3, stride=2, padding="same")(torch.zeros(1, 8)).shape
        torch.Size([1, 4])
    """

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        return pool.max_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )


@_checked
class MaxPool2d(torch.nn.MaxPool2d):
    """The largest element of each window of a picture; see :func:`convlayers.functional.max_pool2d`.

    Shape:
        input (batch, channels, height, width) or (channels, height, width).

    Example:
        >>> MaxPool2d(3, stride=2, padding="same")(torch.zeros(1, 8, 8)).shape
        torch.Size([1, 4, 4])
    """

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        return pool.max_pool2d(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )


@_checked
class MaxPool3d(torch.nn.MaxPool3d):
    """The largest element of each window of a volume; see :func:`convlayers.functional.max_pool3d`.

    Shape:
        input (batch, channels, depth, height, width) or without the batch.

    Example:
        >>> MaxPool3d(3, stride=2, padding="same")(torch.zeros(1, 8, 8, 8)).shape
        torch.Size([1, 4, 4, 4])
    """

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        return pool.max_pool3d(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )


# --- averages ---------------------------------------------------------------------------------------------------------


@_checked
class AvgPool1d(torch.nn.AvgPool1d):
    """The average of each window along one axis; see :func:`convlayers.functional.avg_pool1d`.

    Shape:
        input (batch, channels, length) or (channels, length).

    Example:
        >>> AvgPool1d(2)(torch.ones(1, 8)).shape
        torch.Size([1, 4])
    """

    def __init__(
        self,
        kernel_size: IntOrInts,
        stride: IntOrInts | None = None,
        padding: Padding = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        *,
        divisor_override: int | None = None,
        dilation: IntOrInts = 1,
    ) -> None:
        named = isinstance(padding, str)  # torch would take its letters for a tuple
        super().__init__(kernel_size, stride, 0 if named else padding, ceil_mode, count_include_pad)  # type: ignore[arg-type]
        if named:
            self.padding = padding  # type: ignore[assignment]
        self.divisor_override = divisor_override
        self.dilation = dilation

    def forward(self, input: Tensor) -> Tensor:
        return pool.avg_pool1d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            divisor_override=self.divisor_override,
            dilation=self.dilation,
        )

    def extra_repr(self) -> str:
        return super().extra_repr() + (f", dilation={self.dilation}" if self.dilation != 1 else "")


@_checked
class AvgPool2d(torch.nn.AvgPool2d):
    """The average of each window of a picture; see :func:`convlayers.functional.avg_pool2d`.

    Shape:
        input (batch, channels, height, width) or (channels, height, width).

    Example:
        >>> AvgPool2d(2)(torch.ones(1, 8, 8)).shape
        torch.Size([1, 4, 4])
    """

    def __init__(
        self,
        kernel_size: IntOrInts,
        stride: IntOrInts | None = None,
        padding: Padding = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
        *,
        dilation: IntOrInts = 1,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)  # type: ignore[arg-type]
        self.dilation = dilation

    def forward(self, input: Tensor) -> Tensor:
        return pool.avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            divisor_override=self.divisor_override,
            dilation=self.dilation,
        )

    def extra_repr(self) -> str:
        return super().extra_repr() + (f", dilation={self.dilation}" if self.dilation != 1 else "")


@_checked
class AvgPool3d(torch.nn.AvgPool3d):
    """The average of each window of a volume; see :func:`convlayers.functional.avg_pool3d`.

    Shape:
        input (batch, channels, depth, height, width) or without the batch.

    Example:
        >>> AvgPool3d(2)(torch.ones(1, 8, 8, 8)).shape
        torch.Size([1, 4, 4, 4])
    """

    def __init__(
        self,
        kernel_size: IntOrInts,
        stride: IntOrInts | None = None,
        padding: Padding = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
        *,
        dilation: IntOrInts = 1,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)  # type: ignore[arg-type]
        self.dilation = dilation

    def forward(self, input: Tensor) -> Tensor:
        return pool.avg_pool3d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            divisor_override=self.divisor_override,
            dilation=self.dilation,
        )

    def extra_repr(self) -> str:
        return super().extra_repr() + (f", dilation={self.dilation}" if self.dilation != 1 else "")


# --- power averages ---------------------------------------------------------------------------------------------------


@_checked
class LPPool1d(torch.nn.LPPool1d):
    """The p-norm of each window along one axis; see :func:`convlayers.functional.lp_pool1d`.

    Shape:
        input (batch, channels, length) or (channels, length).

    Example:
        >>> LPPool1d(2, 2)(torch.ones(1, 8)).shape
        torch.Size([1, 4])
    """

    def __init__(
        self,
        norm_type: float,
        kernel_size: IntOrInts,
        stride: IntOrInts | None = None,
        ceil_mode: bool = False,
        *,
        padding: Padding = 0,
        dilation: IntOrInts = 1,
    ) -> None:
        super().__init__(norm_type, kernel_size, stride, ceil_mode)  # type: ignore[arg-type]
        self.padding = padding
        self.dilation = dilation

    def forward(self, input: Tensor) -> Tensor:
        return pool_norm.lp_pool1d(
            input,
            float(self.norm_type),
            self.kernel_size,
            self.stride,
            self.ceil_mode,
            padding=self.padding,
            dilation=self.dilation,
        )

    def extra_repr(self) -> str:
        wider = "".join(
            f", {name}={value}"
            for name, value, usual in (("padding", self.padding, 0), ("dilation", self.dilation, 1))
            if value != usual
        )
        return super().extra_repr() + wider


@_checked
class LPPool2d(torch.nn.LPPool2d):
    """The p-norm of each window of a picture; see :func:`convlayers.functional.lp_pool2d`.

    Shape:
        input (batch, channels, height, width) or (channels, height, width).

    Example:
        >>> LPPool2d(2, 2)(torch.ones(1, 8, 8)).shape
        torch.Size([1, 4, 4])
    """

    def __init__(
        self,
        norm_type: float,
        kernel_size: IntOrInts,
        stride: IntOrInts | None = None,
        ceil_mode: bool = False,
        *,
        padding: Padding = 0,
        dilation: IntOrInts = 1,
    ) -> None:
        super().__init__(norm_type, kernel_size, stride, ceil_mode)  # type: ignore[arg-type]
        self.padding = padding
        self.dilation = dilation

    def forward(self, input: Tensor) -> Tensor:
        return pool_norm.lp_pool2d(
            input,
            float(self.norm_type),
            self.kernel_size,
            self.stride,
            self.ceil_mode,
            padding=self.padding,
            dilation=self.dilation,
        )

    def extra_repr(self) -> str:
        wider = "".join(
            f", {name}={value}"
            for name, value, usual in (("padding", self.padding, 0), ("dilation", self.dilation, 1))
            if value != usual
        )
        return super().extra_repr() + wider


@_checked
class LPPool3d(torch.nn.LPPool3d):
    """The p-norm of each window of a volume; see :func:`convlayers.functional.lp_pool3d`.

    Shape:
        input (batch, channels, depth, height, width) or without the batch.

    Example:
        >>> LPPool3d(2, 2)(torch.ones(1, 8, 8, 8)).shape
        torch.Size([1, 4, 4, 4])
    """

    def __init__(
        self,
        norm_type: float,
        kernel_size: IntOrInts,
        stride: IntOrInts | None = None,
        ceil_mode: bool = False,
        *,
        padding: Padding = 0,
        dilation: IntOrInts = 1,
    ) -> None:
        super().__init__(norm_type, kernel_size, stride, ceil_mode)  # type: ignore[arg-type]
        self.padding = padding
        self.dilation = dilation

    def forward(self, input: Tensor) -> Tensor:
        return pool_norm.lp_pool3d(
            input,
            float(self.norm_type),
            self.kernel_size,
            self.stride,
            self.ceil_mode,
            padding=self.padding,
            dilation=self.dilation,
        )

    def extra_repr(self) -> str:
        wider = "".join(
            f", {name}={value}"
            for name, value, usual in (("padding", self.padding, 0), ("dilation", self.dilation, 1))
            if value != usual
        )
        return super().extra_repr() + wider
