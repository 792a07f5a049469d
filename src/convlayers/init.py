"""Initialisers by name, for ``weight_init=`` and ``bias_init=``; the random numbers are torch.nn.init's.

The fans are those of the forward pass: a convolution's output sums ``fan_in = in_channels / groups * taps`` products,
and an input takes part in ``fan_out = out_channels / groups * taps`` of them, whichever way round the weight is stored.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from convlayers.errors import ArgumentError, ArgumentTypeError

Initialiser = str | float | Callable[[Tensor], object] | None

#: Variance of the weights = scale / fan: (scale, fan, distribution).
_SCALED = {
    "he_normal": (2.0, "in", "normal"),
    "he_uniform": (2.0, "in", "uniform"),
    "glorot_normal": (1.0, "mean", "normal"),
    "glorot_uniform": (1.0, "mean", "uniform"),
    "lecun_normal": (1.0, "in", "normal"),
    "lecun_uniform": (1.0, "in", "uniform"),
}
_ALIASES = {
    "kaiming_normal": "he_normal",
    "kaiming_uniform": "he_uniform",
    "xavier_normal": "glorot_normal",
    "xavier_uniform": "glorot_uniform",
}
_PLAIN: dict[str, Callable[[Tensor], object]] = {
    "zeros": nn.init.zeros_,
    "ones": nn.init.ones_,
    "normal": lambda t: nn.init.normal_(t, std=0.02),
    "truncated_normal": lambda t: nn.init.trunc_normal_(t, std=0.02, a=-0.04, b=0.04),
}
#: These need the axes of a weight.
_WEIGHT_ONLY = (*_SCALED, *_ALIASES, "orthogonal", "dirac")


def names() -> list[str]:
    """The names that ``weight_init=`` takes; ``bias_init=`` takes those that need no fans.

    Example:
        >>> names()[:3]
        ['dirac', 'glorot_normal', 'glorot_uniform']
    """
    return sorted({*_WEIGHT_ONLY, *_PLAIN})


def check(argument: str, init: Initialiser) -> None:
    """Refuses what :func:`initialise` would not take, before a layer is built with it.

    Raises:
        ValueError: for a name that is not known.
        TypeError: for what is neither a name nor a number nor callable.

    Example:
        >>> check("weight_init", "he_normal")
    """
    if isinstance(init, str):
        known = names() if argument == "weight_init" else sorted(_PLAIN)
        if init not in known:
            raise ArgumentError(
                f"{argument} must be one of {', '.join(known)}, a number or a callable; received {init!r}"
            )
    elif init is not None and (isinstance(init, bool) or not (isinstance(init, int | float) or callable(init))):
        raise ArgumentTypeError(f"{argument} must be a name, a number or a callable; received {type(init).__name__}")


def initialise(tensor: Tensor, init: Initialiser, *, groups: int = 1, transposed: bool = False) -> None:
    """Fills a layer's weight or bias in place.

    Shape:
        a weight is (out_channels, in_channels / groups, \\*kernel), transposed (in_channels, out_channels / groups,
        \\*kernel).

    Args:
        init: ``'he_normal'``, ``'he_uniform'`` (He 2015), ``'glorot_normal'``, ``'glorot_uniform'`` (Glorot 2010),
            ``'lecun_normal'``, ``'lecun_uniform'`` (LeCun 1998), ``'orthogonal'`` (Saxe 2014), ``'dirac'`` (the
            identity), ``'truncated_normal'``, ``'normal'`` (standard deviation 0.02), ``'zeros'``, ``'ones'``; a
            number, which fills the tensor; a callable that fills the tensor in place, as torch.nn.init's functions do,
            or returns its values; None leaves it as it is.

    Example:
        >>> weight = torch.empty(64, 32, 3, 3)
        >>> _ = torch.manual_seed(0)
        >>> initialise(weight, "he_normal")
        >>> abs(weight.std().item() - (2 / (32 * 9)) ** 0.5) < 1e-3
        True

    Source:
        He, Zhang, Ren, Sun: Delving deep into rectifiers, 2015, section 2.2; Glorot, Bengio: Understanding the
        difficulty of training deep feedforward neural networks, 2010, section 4.2.1.
    """
    if init is None:
        return
    with torch.no_grad():
        if isinstance(init, str):
            _by_name(tensor, _ALIASES.get(init, init), groups, transposed)
        elif callable(init):
            values = init(tensor)
            if isinstance(values, Tensor) and values is not tensor:
                tensor.copy_(values)
        else:
            tensor.fill_(init)


def _by_name(tensor: Tensor, name: str, groups: int, transposed: bool) -> None:
    if name in _PLAIN:
        _PLAIN[name](tensor)
    elif name == "orthogonal":
        for group in tensor.chunk(groups):
            nn.init.orthogonal_(group)
    elif name == "dirac":
        nn.init.dirac_(tensor, groups)
    else:
        scale, fan, distribution = _SCALED[name]
        taps = math.prod(tensor.shape[2:])
        rows, columns = tensor.shape[0] // groups * taps, tensor.shape[1] * taps
        fan_in, fan_out = (rows, columns) if transposed else (columns, rows)
        std = math.sqrt(scale / (fan_in if fan == "in" else (fan_in + fan_out) / 2))
        if distribution == "normal":
            nn.init.normal_(tensor, std=std)
        else:
            nn.init.uniform_(tensor, -math.sqrt(3) * std, math.sqrt(3) * std)
