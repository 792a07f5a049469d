"""Batch normalisation: torch.nn.functional's function, with a residual and an activation."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_variadic

from convlayers.activations import IDENTITY, Activation, ActivationLike, resolve
from convlayers.errors import ArgumentError, ArgumentTypeError
from convlayers.functional.arguments import check_alike
from convlayers.ops import batch_norm as ops


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    residual: Tensor | None = None,
    activation: ActivationLike = None,
) -> Tensor:
    """``activation((input - mean) / sqrt(variance + eps) * weight + bias + residual)``, a channel, in one step.

    Shape:
        input (batch, channels, \\*spatial), any number of spatial axes, either layout; residual as the input; all
        others (channels,); result as the input, in its layout.

    Args:
        running_mean, running_var: what is normalised by, unless ``training``: then they are moved, by ``momentum``,
            towards the batch's mean and variance (the unbiased one), where they are given.
        weight, bias: None: 1 and 0.
        training: whether to normalise by the mean and the (biased) variance of the batch, channel by channel.
        momentum: the weight of the batch in the running statistics.
        eps: added to the variance.
        residual: added to the normalised input before the activation, as at the end of a residual block.
        activation: applied to the result: a name such as ``'relu'``, a module or a callable.

    Returns:
        The result, of the input's dtype.

    Raises:
        ValueError: for shapes that do not fit, a single value a channel in training, missing statistics without.
        TypeError: for arguments of the wrong kind. (Both are RuntimeErrors as well, as torch raises them.)

    Example:
        >>> import torch
        >>> x = torch.tensor([[1.0, 4.0], [3.0, 4.0]])
        >>> batch_norm(x, None, None, training=True, eps=1e-12)
        tensor([[-1.,  0.],
                [ 1.,  0.]])
        >>> batch_norm(x, None, None, training=True, eps=1e-12, residual=x, activation="relu")
        tensor([[0., 4.],
                [4., 4.]])

    Source:
        Ioffe, Szegedy: Batch normalization, 2015, arXiv 1502.03167, algorithms 1 and 2.
    """
    operands = (input, running_mean, running_var, weight, bias)
    if has_torch_function_variadic(*operands, residual):
        extras: dict[str, Any] = {"training": training, "momentum": momentum, "eps": eps}
        extras |= {"residual": residual, "activation": activation}
        return handle_torch_function(batch_norm, (*operands, residual), *operands, **extras)
    _check(input, residual, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    _check_statistics(input, running_mean, running_var, training)
    if not (eps > 0 or (eps == 0 and not training)):
        raise ArgumentError(f"eps must be positive, or without training not negative; received {eps}")
    act = resolve(activation)
    fused = act if isinstance(act, Activation) else IDENTITY
    output = ops.batch_norm(*operands, training, momentum, eps, residual, fused)
    return output if fused is act else act(output)


def _check(input: Any, residual: Any, **parameters: Any) -> None:
    """Refuses tensors that do not fit the input."""
    if not isinstance(input, Tensor):
        raise ArgumentTypeError(f"input must be a tensor; received {type(input).__name__}")
    if input.dim() < 2:
        raise ArgumentError(
            f"input must have at least 2 dimensions (batch, channels, ...); received shape {tuple(input.shape)}"
        )
    for name, value in parameters.items():
        if value is None:
            continue
        if not isinstance(value, Tensor):
            raise ArgumentTypeError(f"{name} must be a tensor or None; received {type(value).__name__}")
        if value.dim() != 1 or value.shape[0] != input.shape[1]:
            raise ArgumentError(
                f"{name} must have one element for each of the {input.shape[1]} channels of an input of shape "
                f"{tuple(input.shape)}; received shape {tuple(value.shape)}"
            )
    if residual is not None:
        if not isinstance(residual, Tensor):
            raise ArgumentTypeError(f"residual must be a tensor or None; received {type(residual).__name__}")
        if residual.shape != input.shape:
            raise ArgumentError(
                f"residual must have the input's shape {tuple(input.shape)}; received {tuple(residual.shape)}"
            )
        check_alike(input, "residual", residual)


def _check_statistics(input: Tensor, mean: Tensor | None, variance: Tensor | None, training: bool) -> None:
    if training:
        if input.numel() == input.shape[1] != 0:
            raise ArgumentError(
                f"Expected more than 1 value per channel when training; received input of shape {tuple(input.shape)}. "
                "Give it a larger batch, or normalise by running statistics"
            )
    elif mean is None or variance is None:
        raise ArgumentError(
            "running_mean and running_var must be given unless training; received "
            f"{'neither' if mean is variance else 'one of them'}"
        )
