"""Activation functions by name: what each is called, which the kernels know, and how each is undone.

An activation is fused into the convolution that feeds it where the kernels know it. Where its derivative is a function
of its *output* (ReLU, tanh...), it is fused in training as well, and the input of the activation is never stored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convlayers.errors import ArgumentError, ArgumentTypeError


class Activation(NamedTuple):
    """An activation that the kernels know: its code in csrc/kernels/base/activation.h and its two parameters.

    Example:
        >>> Activation("hardtanh", CODES["hardtanh"], 0.0, 6.0)(torch.tensor([-1.0, 9.0]))
        tensor([0., 6.])
    """

    name: str
    code: int
    alpha: float = 0.0
    beta: float = 0.0

    def __call__(self, x: Tensor) -> Tensor:
        return _FORWARD[self.name](x, self.alpha, self.beta)

    @property
    def from_output(self) -> bool:
        """Whether the derivative can be had from the output alone (a negative leaky slope hides the input's sign)."""
        return self.name in _BACKWARD and not (self.name in ("leaky_relu", "elu") and self.alpha < 0)

    def gradient(self, grad: Tensor, output: Tensor) -> Tensor:
        """The gradient of the activation's input, from that of its output and the output itself; differentiable."""
        return _BACKWARD[self.name](grad, output, self.alpha, self.beta)


_FORWARD: dict[str, Callable[[Tensor, float, float], Tensor]] = {
    "identity": lambda x, a, b: x,
    "relu": lambda x, a, b: F.relu(x),
    "leaky_relu": lambda x, a, b: F.leaky_relu(x, a),
    "hardtanh": lambda x, a, b: F.hardtanh(x, a, b),
    "tanh": lambda x, a, b: torch.tanh(x),
    "sigmoid": lambda x, a, b: torch.sigmoid(x),
    "silu": lambda x, a, b: F.silu(x),
    "gelu": lambda x, a, b: F.gelu(x),
    "gelu_tanh": lambda x, a, b: F.gelu(x, approximate="tanh"),
    "hardswish": lambda x, a, b: F.hardswish(x),
    "hardsigmoid": lambda x, a, b: F.hardsigmoid(x),
    "elu": lambda x, a, b: F.elu(x, a),
    "softplus": lambda x, a, b: F.softplus(x),
    "mish": lambda x, a, b: F.mish(x),
}

_BACKWARD: dict[str, Callable[[Tensor, Tensor, float, float], Tensor]] = {
    "identity": lambda g, y, a, b: g,
    "relu": lambda g, y, a, b: g * (y > 0),
    "leaky_relu": lambda g, y, a, b: torch.where(y > 0, g, g * a),
    "hardtanh": lambda g, y, a, b: g * ((y > a) & (y < b)),
    "tanh": lambda g, y, a, b: g * (1 - y * y),
    "sigmoid": lambda g, y, a, b: g * y * (1 - y),
    "elu": lambda g, y, a, b: torch.where(y > 0, g, g * (y + a)),
}

#: name -> code, in the order of csrc/kernels/base/activation.h.
CODES = {name: code for code, name in enumerate(_FORWARD)}
IDENTITY = Activation("identity", 0)

#: What each name stands for, in the words of torch.nn's modules and their defaults.
_NAMES: dict[str, Activation] = {
    **{name: Activation(name, code) for name, code in CODES.items()},
    "leaky_relu": Activation("leaky_relu", CODES["leaky_relu"], 0.01),
    "hardtanh": Activation("hardtanh", CODES["hardtanh"], -1.0, 1.0),
    "relu6": Activation("hardtanh", CODES["hardtanh"], 0.0, 6.0),
    "elu": Activation("elu", CODES["elu"], 1.0),
    "linear": IDENTITY,
    "swish": Activation("silu", CODES["silu"]),
}

_MODULES: dict[type[nn.Module], Callable[..., Activation | None]] = {
    nn.Identity: lambda m: IDENTITY,
    nn.ReLU: lambda m: _NAMES["relu"],
    nn.ReLU6: lambda m: _NAMES["relu6"],
    nn.LeakyReLU: lambda m: _NAMES["leaky_relu"]._replace(alpha=float(m.negative_slope)),
    nn.Hardtanh: lambda m: _NAMES["hardtanh"]._replace(alpha=float(m.min_val), beta=float(m.max_val)),
    nn.Tanh: lambda m: _NAMES["tanh"],
    nn.Sigmoid: lambda m: _NAMES["sigmoid"],
    nn.SiLU: lambda m: _NAMES["silu"],
    nn.GELU: lambda m: _NAMES["gelu" if m.approximate == "none" else "gelu_tanh"],
    nn.Hardswish: lambda m: _NAMES["hardswish"],
    nn.Hardsigmoid: lambda m: _NAMES["hardsigmoid"],
    nn.ELU: lambda m: _NAMES["elu"]._replace(alpha=float(m.alpha)),
    nn.Softplus: lambda m: _NAMES["softplus"] if (m.beta, m.threshold) == (1, 20) else None,
    nn.Mish: lambda m: _NAMES["mish"],
}

_FUNCTIONS: dict[Callable[..., Tensor], str] = {
    F.relu: "relu", torch.relu: "relu", F.relu6: "relu6", F.leaky_relu: "leaky_relu", F.hardtanh: "hardtanh",
    F.tanh: "tanh", torch.tanh: "tanh", F.sigmoid: "sigmoid", torch.sigmoid: "sigmoid", F.silu: "silu",
    F.gelu: "gelu", F.hardswish: "hardswish", F.hardsigmoid: "hardsigmoid", F.elu: "elu", F.softplus: "softplus",
    F.mish: "mish",
}  # fmt: skip

ActivationLike = str | nn.Module | Callable[[Tensor], Tensor] | None


def names() -> list[str]:
    """The names that ``activation=`` takes.

    Example:
        >>> names()[:4]
        ['elu', 'gelu', 'gelu_tanh', 'hardsigmoid']
    """
    return sorted(_NAMES)


def resolve(activation: ActivationLike, name: str = "activation") -> Activation | Callable[[Tensor], Tensor]:
    """An activation that the kernels know, or else the callable as it came.

    Args:
        activation: a name, a ``torch.nn`` module, any callable from tensor to tensor, or None (the identity).
        name: of the argument, for the error.

    Raises:
        ValueError: for a name that is not known.
        TypeError: for what cannot be called.

    Example:
        >>> resolve("relu6")
        Activation(name='hardtanh', code=3, alpha=0.0, beta=6.0)
        >>> resolve(nn.LeakyReLU(0.2)).alpha
        0.2
    """
    if activation is None:
        return IDENTITY
    if isinstance(activation, Activation):
        return activation
    if isinstance(activation, str):
        if activation not in _NAMES:
            raise ArgumentError(
                f"{name} must be one of {', '.join(names())}, a module or a callable; received {activation!r}"
            )
        return _NAMES[activation]
    if isinstance(activation, nn.Module):
        # Hooks and subclasses may do more than the kernel would: only the plain module is taken apart.
        known = _MODULES.get(type(activation))
        hooked = activation._forward_hooks or activation._forward_pre_hooks or activation._backward_hooks
        return (known(activation) if known and not hooked else None) or activation
    if not callable(activation):
        raise ArgumentTypeError(f"{name} must be a name, a module or a callable; received {type(activation).__name__}")
    try:
        return _NAMES[_FUNCTIONS[activation]]
    except (KeyError, TypeError):
        return activation
