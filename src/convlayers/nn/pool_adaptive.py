"""Pooling layers to a given size, over everything, by chance, and back: torch.nn's, with our functions below them."""

from __future__ import annotations

import torch
from torch import Tensor

from convlayers.functional import pool_adaptive, pool_fractional, pool_unpool


class AdaptiveMaxPool1d(torch.nn.AdaptiveMaxPool1d):
    """The largest element of each of ``output_size`` windows; see :func:`convlayers.functional.adaptive_max_pool1d`.

    Shape:
        input (batch, channels, length) or (channels, length).

    Example:
        >>> AdaptiveMaxPool1d(3)(torch.zeros(1, 8)).shape
        torch.Size([1, 3])
    """

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        return pool_adaptive.adaptive_max_pool1d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool2d(torch.nn.AdaptiveMaxPool2d):
    """The largest element of each of ``output_size`` windows; see :func:`convlayers.functional.adaptive_max_pool2d`.

    Shape:
        input (batch, channels, height, width) or (channels, height, width).

    Example:
        >>> AdaptiveMaxPool2d(3)(torch.zeros(1, 8, 8)).shape
        torch.Size([1, 3, 3])
    """

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        return pool_adaptive.adaptive_max_pool2d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool3d(torch.nn.AdaptiveMaxPool3d):
    """The largest element of each of ``output_size`` windows; see :func:`convlayers.functional.adaptive_max_pool3d`.

    Shape:
        input (batch, channels, depth, height, width) or without the batch.

    Example:
        >>> AdaptiveMaxPool3d(3)(torch.zeros(1, 8, 8, 8)).shape
        torch.Size([1, 3, 3, 3])
    """

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        return pool_adaptive.adaptive_max_pool3d(input, self.output_size, self.return_indices)


class AdaptiveAvgPool1d(torch.nn.AdaptiveAvgPool1d):
    """The average of each of ``output_size`` windows; see :func:`convlayers.functional.adaptive_avg_pool1d`.

    Shape:
        input (batch, channels, length) or (channels, length).

    Example:
        >>> AdaptiveAvgPool1d(3)(torch.zeros(1, 8)).shape
        torch.Size([1, 3])
    """

    def forward(self, input: Tensor) -> Tensor:
        return pool_adaptive.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool2d(torch.nn.AdaptiveAvgPool2d):
    """The average of each of ``output_size`` windows; see :func:`convlayers.functional.adaptive_avg_pool2d`.

    Shape:
        input (batch, channels, height, width) or (channels, height, width).

    Example:
        >>> AdaptiveAvgPool2d(3)(torch.zeros(1, 8, 8)).shape
        torch.Size([1, 3, 3])
    """

    def forward(self, input: Tensor) -> Tensor:
        return pool_adaptive.adaptive_avg_pool2d(input, self.output_size)


class AdaptiveAvgPool3d(torch.nn.AdaptiveAvgPool3d):
    """The average of each of ``output_size`` windows; see :func:`convlayers.functional.adaptive_avg_pool3d`.

    Shape:
        input (batch, channels, depth, height, width) or without the batch.

    Example:
        >>> AdaptiveAvgPool3d(3)(torch.zeros(1, 8, 8, 8)).shape
        torch.Size([1, 3, 3, 3])
    """

    def forward(self, input: Tensor) -> Tensor:
        return pool_adaptive.adaptive_avg_pool3d(input, self.output_size)


class _GlobalPool(torch.nn.Module):
    def __init__(self, keepdim: bool = True) -> None:
        super().__init__()
        self.keepdim = keepdim

    def extra_repr(self) -> str:
        return f"keepdim={self.keepdim}"


class GlobalMaxPool1d(_GlobalPool):
    """The largest element of each channel; see :func:`convlayers.functional.global_max_pool1d`.

    Shape:
        input (batch, channels, length) or (channels, length).

    Example:
        >>> GlobalMaxPool1d(keepdim=False)(torch.zeros(2, 3, 8)).shape
        torch.Size([2, 3])
    """

    def forward(self, input: Tensor) -> Tensor:
        return pool_adaptive.global_max_pool1d(input, self.keepdim)


class GlobalMaxPool2d(_GlobalPool):
    """The largest element of each channel; see :func:`convlayers.functional.global_max_pool2d`.

    Shape:
        input (batch, channels, height, width) or (channels, height, width).

    Example:
        >>> GlobalMaxPool2d(keepdim=False)(torch.zeros(2, 3, 8, 8)).shape
        torch.Size([2, 3])
    """

    def forward(self, input: Tensor) -> Tensor:
        return pool_adaptive.global_max_pool2d(input, self.keepdim)


class GlobalMaxPool3d(_GlobalPool):
    """The largest element of each channel; see :func:`convlayers.functional.global_max_pool3d`.

    Shape:
        input (batch, channels, depth, height, width) or without the batch.

    Example:
        >>> GlobalMaxPool3d(keepdim=False)(torch.zeros(2, 3, 8, 8, 8)).shape
        torch.Size([2, 3])
    """

    def forward(self, input: Tensor) -> Tensor:
        return pool_adaptive.global_max_pool3d(input, self.keepdim)


class GlobalAvgPool1d(_GlobalPool):
    """The average of each channel; see :func:`convlayers.functional.global_avg_pool1d`.

    Shape:
        input (batch, channels, length) or (channels, length).

    Example:
        >>> GlobalAvgPool1d(keepdim=False)(torch.zeros(2, 3, 8)).shape
        torch.Size([2, 3])
    """

    def forward(self, input: Tensor) -> Tensor:
        return pool_adaptive.global_avg_pool1d(input, self.keepdim)


class GlobalAvgPool2d(_GlobalPool):
    """The average of each channel; see :func:`convlayers.functional.global_avg_pool2d`.

    Shape:
        input (batch, channels, height, width) or (channels, height, width).

    Example:
        >>> GlobalAvgPool2d(keepdim=False)(torch.zeros(2, 3, 8, 8)).shape
        torch.Size([2, 3])
    """

    def forward(self, input: Tensor) -> Tensor:
        return pool_adaptive.global_avg_pool2d(input, self.keepdim)


class GlobalAvgPool3d(_GlobalPool):
    """The average of each channel; see :func:`convlayers.functional.global_avg_pool3d`.

    Shape:
        input (batch, channels, depth, height, width) or without the batch.

    Example:
        >>> GlobalAvgPool3d(keepdim=False)(torch.zeros(2, 3, 8, 8, 8)).shape
        torch.Size([2, 3])
    """

    def forward(self, input: Tensor) -> Tensor:
        return pool_adaptive.global_avg_pool3d(input, self.keepdim)


class FractionalMaxPool2d(torch.nn.FractionalMaxPool2d):
    """Max pooling over windows that lie by chance; see :func:`convlayers.functional.fractional_max_pool2d`.

    Shape:
        input (batch, channels, height, width) or (channels, height, width).

    Example:
        >>> FractionalMaxPool2d(2, output_size=3)(torch.zeros(1, 8, 8)).shape
        torch.Size([1, 3, 3])
    """

    _random_samples: Tensor | None

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        return pool_fractional.fractional_max_pool2d(
            input, self.kernel_size, self.output_size, self.output_ratio, self.return_indices, self._random_samples
        )


class FractionalMaxPool3d(torch.nn.FractionalMaxPool3d):
    """Max pooling over windows that lie by chance; see :func:`convlayers.functional.fractional_max_pool3d`.

    Shape:
        input (batch, channels, depth, height, width) or without the batch.

    Example:
        >>> FractionalMaxPool3d(2, output_size=3)(torch.zeros(1, 8, 8, 8)).shape
        torch.Size([1, 3, 3, 3])
    """

    _random_samples: Tensor | None

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        return pool_fractional.fractional_max_pool3d(
            input, self.kernel_size, self.output_size, self.output_ratio, self.return_indices, self._random_samples
        )


class MaxUnpool1d(torch.nn.MaxUnpool1d):
    """Puts the maxima of a pooling back where they were; see :func:`convlayers.functional.max_unpool1d`.

    Shape:
        input (batch, channels, length) or (channels, length).

    Example:
        >>> indices = torch.zeros(1, 1).long()
        >>> MaxUnpool1d(2)(torch.ones(1, 1), indices).shape
        torch.Size([1, 2])
    """

    def forward(self, input: Tensor, indices: Tensor, output_size: list[int] | None = None) -> Tensor:
        return pool_unpool.max_unpool1d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool2d(torch.nn.MaxUnpool2d):
    """Puts the maxima of a pooling back where they were; see :func:`convlayers.functional.max_unpool2d`.

    Shape:
        input (batch, channels, height, width) or (channels, height, width).

    Example:
        >>> indices = torch.zeros(1, 1, 1).long()
        >>> MaxUnpool2d(2)(torch.ones(1, 1, 1), indices).shape
        torch.Size([1, 2, 2])
    """

    def forward(self, input: Tensor, indices: Tensor, output_size: list[int] | None = None) -> Tensor:
        return pool_unpool.max_unpool2d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool3d(torch.nn.MaxUnpool3d):
    """Puts the maxima of a pooling back where they were; see :func:`convlayers.functional.max_unpool3d`.

    Shape:
        input (batch, channels, depth, height, width) or without the batch.

    Example:
        >>> indices = torch.zeros(1, 1, 1, 1).long()
        >>> MaxUnpool3d(2)(torch.ones(1, 1, 1, 1), indices).shape
        torch.Size([1, 2, 2, 2])
    """

    def forward(self, input: Tensor, indices: Tensor, output_size: list[int] | None = None) -> Tensor:
        return pool_unpool.max_unpool3d(input, indices, self.kernel_size, self.stride, self.padding, output_size)
