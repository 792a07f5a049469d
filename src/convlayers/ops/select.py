"""Which implementation runs: the one place where that is decided, for every operator.

The choice is a pure function of what the call is (operation, dtypes, devices, transforms in force, geometry, gradients
wanted), of the processor, of ``CONVLAYERS_KERNEL`` and of what ``convlayers.tune`` measured. torch's own operators take
whatever has no kernel of ours, half precision where the processor has instructions for it, and what tune() found them
faster at; nothing by a prediction, since their results may change with the number of threads.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from convlayers.errors import ArgumentError
from convlayers.ops import library


class Choice(NamedTuple):
    """What would run, and why.

    Attributes:
        operation: the operator, such as ``'convolution'`` or ``'max_pool'``.
        kernel: ``'direct'``, ``'winograd'``, ``'depthwise'``, ``'grouped'``, ``'norm'``, ``'pool'``, or ``'torch'`` for
            torch's own.
        isa: the instruction set of the kernel; ``''`` for torch's own.
        reason: one sentence.
        costs: seconds of each implementation that could run, best first: as :func:`convlayers.tune` measured them, or
            as predicted for a forward pass on one thread. Empty where nothing is compared.
    """

    operation: str
    kernel: str
    isa: str
    reason: str
    costs: dict[str, float]


class Costs(NamedTuple):
    """What implementations of a call cost.

    Attributes:
        seconds: by implementation.
        measured: by ``convlayers.tune``; else predicted.
    """

    seconds: dict[str, float]
    measured: bool

    def ranked(self, kernels: Iterable[str]) -> tuple[str, ...]:
        """The kernels, cheapest first; those without a time last.

        Example:
            >>> Costs({"direct": 2e-3, "winograd": 1e-3}, measured=False).ranked(["direct", "depthwise", "winograd"])
            ('winograd', 'direct', 'depthwise')
        """
        return tuple(sorted(kernels, key=lambda kernel: self.seconds.get(kernel, math.inf)))

    def explain(self, kernel: str) -> str:
        """One line: the time of this kernel, then the others'.

        Example:
            >>> Costs({"direct": 2.4e-3, "winograd": 1.2e-3}, measured=False).explain("winograd")
            'predicted 1.2 ms; direct 2.4 ms'
        """
        by = "measured by tune" if self.measured else "predicted"
        times = {name: f"{1e3 * seconds:.3g} ms" for name, seconds in self.seconds.items()}
        own = f"{by} {times.get(kernel, 'without a time')}"
        others = ", ".join(f"{name} {times[name]}" for name in self.ranked(times) if name != kernel)
        return f"{own}; {others}" if others else own


#: Whether oneDNN, which computes torch's convolutions, computes them in these dtypes on this processor.
NATIVE = {
    torch.bfloat16: torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported(),
    torch.float16: torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_fp16_supported(),
}


def obstacle(*tensors: Tensor | None, dtypes: tuple[torch.dtype, ...] = (torch.float32,)) -> str | None:
    """Why none of our kernels, which take ``dtypes``, can take these tensors, or None where they can."""
    compiling = torch.compiler.is_compiling()
    for t in tensors:  # of float32 on a CPU in 0.3 microseconds: this is a good part of a small call's time
        if t is None:
            continue
        if not t.is_cpu:
            return f"no kernel for device {t.device.type}"
        if t.dtype not in dtypes:
            return f"no kernel for {t.dtype}"
        if t.layout is not torch.strided:
            return f"no kernel for layout {t.layout}"
        if compiling:
            continue
        if t.is_neg():
            return "a lazily negated tensor"
        if torch.overrides.has_torch_function_unary(t):
            return f"{type(t).__name__} overrides torch's functions"
    if torch.is_autocast_enabled("cpu"):
        return "autocast chooses the dtype"
    if compiling:
        return None
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return "a torch.func transform is in force"
    if torch.autograd.forward_ad._current_level >= 0:
        return "forward-mode differentiation is in force"
    return None


def readable(values: Tensor) -> bool:
    """Whether a tensor's values can be looked at: not while they are traced, batched, or of another kind."""
    if torch.compiler.is_compiling() or torch._C._functorch.peek_interpreter_stack() is not None:
        return False
    return type(values) in (Tensor, torch.nn.Parameter) and values.device.type != "meta"


_exact = False


class precision:
    """How much a convolution may round: from here on, or within a ``with`` block.

    Args:
        mode: ``'default'`` lets convolutions of 2 to 7 taps along an axis run by Winograd's algorithm: two to three
            times the rounding of the definition, and an infinity or NaN spreads to outputs beside those that see it.
            ``'exact'`` takes kernels that add up the definition's products, in one order: a sample's result does not
            depend on its batch.

    Example:
        >>> import convlayers
        >>> layer, x = convlayers.Conv2d(64, 64, 3, padding=1), torch.zeros(1, 64, 8, 8)
        >>> which(layer, x)[0].kernel
        'winograd'
        >>> with convlayers.precision("exact"):
        ...     which(layer, x)[0].kernel
        'direct'
    """

    def __init__(self, mode: str) -> None:
        global _exact
        if mode not in ("default", "exact"):
            raise ArgumentError(f"mode must be 'default' or 'exact'; received {mode!r}")
        self._before, self._mode = _exact, mode == "exact"
        _exact = self._mode

    def __enter__(self) -> None:
        global _exact
        _exact = self._mode

    def __exit__(self, *error: object) -> None:
        global _exact
        _exact = self._before


def is_exact() -> bool:
    """Whether ``precision('exact')`` is in force."""
    return _exact


_trace: list[list[Choice]] = []

#: The implementation that takes every call that it can.
forced = os.environ.get("CONVLAYERS_KERNEL", "")


def choose(
    operation: str,
    kernels: tuple[str, ...],
    *tensors: Tensor | None,
    costs: Costs | None = None,
    dtypes: tuple[torch.dtype, ...] = (torch.float32,),
) -> str:
    """The kernel for this call: the first of ``kernels``, torch's own where there is an obstacle.

    Args:
        operation: the operator's name, for the report.
        kernels: our kernels that can compute it, best first; torch's own is the last unless it is named.
        tensors: the operands.
        costs: why they are in that order, for the report.
        dtypes: what these kernels take.
    """
    why_not = obstacle(*tensors, dtypes=dtypes)
    if why_not is not None:
        kernel, reason = "torch", why_not
    elif forced == "torch" or forced in kernels:
        kernel, reason = forced, "forced by CONVLAYERS_KERNEL"
    else:
        kernel, reason = kernels[0], ""
    if _trace and not torch.compiler.is_compiling():
        if not reason:
            reason = "the first kernel that can compute it" if costs is None else costs.explain(kernel)
        isa = "" if kernel == "torch" else library.isa()
        seconds = {} if costs is None or why_not is not None else costs.seconds
        ordered = {name: seconds[name] for name in sorted(seconds, key=seconds.__getitem__)}
        _trace[-1].append(Choice(operation, kernel, isa, reason, ordered))
    return kernel


@contextlib.contextmanager
def _recording() -> Iterator[list[Choice]]:
    _trace.append([])
    try:
        yield _trace[-1]
    finally:
        _trace.pop()


def which(function: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Choice, ...]:
    """What a call would run on, operator by operator, without computing anything.

    Args:
        function: a layer, a model or a function of ``convlayers.functional``.
        args, kwargs: what it would be called with.

    Returns:
        A :class:`Choice` for each of our operators that the call reaches, in order. The gradients of an operator take
        the same kernels as the operator. Under ``torch.no_grad()`` it tells of a call that wants none.

    Example:
        >>> import convlayers
        >>> layer = convlayers.Conv2d(3, 8, 3, padding="same")
        >>> [choice.kernel for choice in which(layer, torch.zeros(1, 3, 8, 8))]
        ['direct']
        >>> which(layer.double(), torch.zeros(1, 3, 8, 8).double())[0].reason
        'no kernel for torch.float64'
    """
    with _recording() as choices:
        dry_run(function, *args, **kwargs)
    return tuple(choices)


def dry_run(function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Calls it on tensors that have shapes and no memory."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    mode = FakeTensorMode(allow_non_fake_inputs=True)
    fake = torch.utils._pytree.tree_map_only(Tensor, mode.from_tensor, (args, kwargs))
    with mode:
        function(*fake[0], **fake[1])
