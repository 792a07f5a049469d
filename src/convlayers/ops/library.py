"""Loads the compiled operators, once, and answers what this machine can run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

NAME = "libconvlayers.so"


def _find() -> Path:
    """The library beside the package; in an editable install the package has more than one folder."""
    import convlayers

    folders = [Path(folder) for folder in convlayers.__path__]
    for folder in folders:
        if (folder / NAME).is_file():
            return folder / NAME
    raise ImportError(
        f"convlayers was installed without its kernels: no {NAME} in {', '.join(map(str, folders))}. "
        "Reinstall it: pip install ."
    )


torch.ops.load_library(_find())


def isas() -> tuple[str, ...]:
    """The instruction sets that this machine can run, best first.

    Example:
        >>> "generic" in isas()
        True
    """
    return tuple(torch.ops.convlayers.isas().split(","))


def isa() -> str:
    """The instruction set that the kernels use: the best, or the one that ``CONVLAYERS_ISA`` names.

    Example:
        >>> isa() in isas()
        True
    """
    return torch.ops.convlayers.isa()


def differentiable(
    name: str, setup: Callable[[Any, tuple, Any], None], backward: Callable[..., Any]
) -> Callable[..., Any]:
    """Gives the operator its derivative, and returns what calls it from Python.

    torch.library's own autograd layer, which compilers and exporters need, costs 0.1 ms a call. Eager calls take
    torch.autograd.Function instead, with the same ``setup`` and ``backward``, or nothing where no gradient is wanted.

    Args:
        setup: (ctx, inputs, output) keeps what ``backward`` needs.
        backward: (ctx, *grads) -> a gradient for every input.
    """
    torch.library.register_autograd(f"convlayers::{name}", backward, setup_context=setup)
    operator = getattr(torch.ops.convlayers, name).default

    class Eager(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> Any:
            with torch._C._AutoDispatchBelowAutograd():
                output = operator(*inputs)
            setup(ctx, inputs, output)
            return output

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            return backward(ctx, *grads)

    def call(*inputs: Any) -> Any:
        if torch.compiler.is_compiling() or torch.jit.is_tracing():
            return operator(*inputs)
        if torch.is_grad_enabled():
            for t in inputs:
                if isinstance(t, Tensor) and t.requires_grad:
                    return Eager.apply(*inputs)
        with torch._C._AutoDispatchBelowAutograd():
            return operator(*inputs)

    return call
