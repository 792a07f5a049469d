"""Batch normalisation layers: torch.nn's, with a residual and an activation in the same step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from convlayers import functional
from convlayers.activations import ActivationLike, resolve
from convlayers.errors import ArgumentError
from convlayers.nn.extras import named


class BatchNormNd(_BatchNorm):
    """Batch normalisation of any rank; torch.nn's class of that rank comes after it among a layer's bases."""

    activation: Any

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
        activation: ActivationLike = None,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype)
        if not bias:  # Not through torch's constructor: before torch 2.13 it knows no such argument.
            self.register_parameter("bias", None)
        resolve(activation)
        self.activation = activation

    def forward(self, input: Tensor, residual: Tensor | None = None) -> Tensor:
        """The normalised input, plus ``residual`` where there is one, through the activation."""
        self._check_input_dim(input)
        # Statistics are moved in training where they are tracked, and used outside of it where there are some.
        moved = self.training and self.track_running_stats
        use = moved or not self.training
        mean, variance = (self.running_mean, self.running_var) if use else (None, None)
        return functional.batch_norm(
            input,
            mean,
            variance,
            self.weight,
            self.bias,
            self.training or (self.running_mean is None and self.running_var is None),
            self._next_momentum() if moved else 0.0,
            self.eps,
            residual=residual,
            activation=self.activation,
        )

    def _next_momentum(self) -> float:
        """Counts a batch; without a momentum, the running statistics are averages over all of them."""
        if self.num_batches_tracked is None:
            return self.momentum or 0.0
        self.num_batches_tracked.add_(1)
        return 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum

    def extra_repr(self) -> str:
        text, activation = super().extra_repr(), named(activation=self.activation)
        return f"{text}, {activation}" if activation else text

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        # A layer that was pickled as torch's own.
        if "activation" not in self.__dict__ and "activation" not in self._modules:
            self.activation = None


def _check_dimensions(input: Tensor, *allowed: int) -> None:
    if input.dim() not in allowed:
        raise ArgumentError(
            f"input must have {' or '.join(map(str, allowed))} dimensions (batch, channels, ...); "
            f"received shape {tuple(input.shape)}"
        )


class BatchNorm1d(BatchNormNd, torch.nn.BatchNorm1d):
    """Batch normalisation of vectors or signals; arguments as for :class:`BatchNorm2d`.

    Shape:
        input (batch, channels) or (batch, channels, length) -> the same.

    Example:
        >>> BatchNorm1d(8)(torch.randn(4, 8, 100)).shape
        torch.Size([4, 8, 100])
    """

    def _check_input_dim(self, input: Tensor) -> None:
        _check_dimensions(input, 2, 3)


class BatchNorm2d(BatchNormNd, torch.nn.BatchNorm2d):
    """Batch normalisation of images, with a residual and an activation; see :func:`convlayers.functional.batch_norm`.

    Shape:
        input and residual (batch, channels, height, width) -> the same.

    Args:
        num_features: the channels.
        eps: added to the variance.
        momentum: the weight of a batch in the running statistics; None: they average over all batches.
        affine: whether there are a weight and a bias to be learned.
        track_running_stats: whether running statistics are kept for evaluation; else the batch's serve there, too.
        bias: whether there is a bias, where there is a weight.
        activation: applied to the result: a name such as ``'relu'``, a module or a callable.

    Raises:
        ValueError: for inputs that do not fit, or a single value a channel in training.

    Example:
        >>> norm, x = BatchNorm2d(16, activation="relu"), torch.randn(4, 16, 8, 8)
        >>> norm(x, residual=x).shape
        torch.Size([4, 16, 8, 8])
        >>> sorted(norm.state_dict())
        ['bias', 'num_batches_tracked', 'running_mean', 'running_var', 'weight']

    Source:
        Ioffe, Szegedy: Batch normalization, 2015, arXiv 1502.03167.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        _check_dimensions(input, 4)


class BatchNorm3d(BatchNormNd, torch.nn.BatchNorm3d):
    """Batch normalisation of volumes; arguments as for :class:`BatchNorm2d`.

    Shape:
        input and residual (batch, channels, depth, height, width) -> the same.

    Example:
        >>> BatchNorm3d(4, affine=False)(torch.randn(2, 4, 5, 6, 7)).shape
        torch.Size([2, 4, 5, 6, 7])
    """

    def _check_input_dim(self, input: Tensor) -> None:
        _check_dimensions(input, 5)
