"""``convlayers.tune``: measures on this machine which implementation is the fastest, and remembers it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from convlayers.ops import convolution, select, tuned
from convlayers.ops.cost import Call

#: Samples of each implementation of a call, and the seconds that they may take together.
ROUNDS, BUDGET = 15, 1.0


class Reached(NamedTuple):
    """A convolution that a call reached: its operands, and the other arguments of ``ops.convolution.run``."""

    operands: tuple[Tensor | None, ...]
    arguments: tuple[Any, ...]


class Tuning(NamedTuple):
    """What :func:`tune` measured; printed, a table.

    Attributes:
        times: for each distinct convolution, seconds of each implementation.
        file: what was written; None where no convolution of ours was reached.
    """

    times: dict[Call, dict[str, float]]
    file: Path | None

    def __str__(self) -> str:
        rows = [
            f"{call}: "
            + ", ".join(f"{name} {1e3 * s:.3g} ms" for name, s in sorted(seconds.items(), key=lambda p: p[1]))
            for call, seconds in self.times.items()
        ]
        return "\n".join([*rows, f"written to {self.file}" if self.file else "no convolution to measure"])


def tune(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Tuning:
    """Measures every implementation of each convolution that a call reaches, torch's own too, and remembers the times.

    From then on, in this process and in later ones, such calls take the fastest: the same sizes, layout, number of
    threads, processor, instruction set and versions of convlayers and torch. The times go to a JSON file in
    ``$XDG_CACHE_HOME/convlayers`` (``~/.cache/convlayers``), which nothing else writes; delete it, or set
    ``CONVLAYERS_TUNED=off``, and choices are predicted again. ``precision('exact')`` does not look at it.

    What was measured depends on the machine and its threads, so the last bits of results may, too.

    Args:
        function: a layer, a model or a function of ``convlayers.functional``.
        args, kwargs: what it would be called with. Gradients are measured as well where an operand, a layer's weight
            for example, requires them; under ``torch.no_grad()`` only the forward pass is.

    Returns:
        The times, and the file that was written.

    Example:
        >>> import os, tempfile, unittest.mock, convlayers
        >>> layer, x = convlayers.Conv2d(16, 16, 3), torch.zeros(1, 16, 8, 8)
        >>> with tempfile.TemporaryDirectory() as folder, unittest.mock.patch.dict(os.environ, XDG_CACHE_HOME=folder):
        ...     times, file = tune(layer, x)
        ...     os.listdir(os.path.dirname(file)) == [file.name]
        True
        >>> [sorted(seconds) for seconds in times.values()]
        [['direct', 'torch', 'winograd']]
    """
    reached: dict[Call, Reached] = {}

    def observe(call: Call, operands: tuple[Tensor | None, ...], arguments: tuple[Any, ...]) -> None:
        if select.obstacle(*operands) is None:
            reached.setdefault(call, Reached(operands, arguments))

    convolution.observers.append(observe)
    try:
        select.dry_run(function, *args, **kwargs)
    finally:
        convolution.observers.remove(observe)
    times = {call: _measure(call, *found) for call, found in reached.items()}
    if not times:
        return Tuning(times, None)
    file = tuned.remember(times, torch.get_num_threads())
    convolution.forget()
    return Tuning(times, file)


def _measure(call: Call, operands: tuple[Tensor | None, ...], arguments: tuple[Any, ...]) -> dict[str, float]:
    """Seconds of each implementation, in turn, on random numbers in memory laid out as the operands."""
    from convlayers.bench.timing import alternating

    input, weight, bias = (None if t is None else _random(t) for t in operands)
    assert input is not None
    assert weight is not None
    leaves = [t for t in (input, weight, bias) if t is not None and t.requires_grad]

    def once(kernel: str) -> None:
        output = convolution.run(kernel, input, weight, bias, *arguments)
        if leaves and torch.is_grad_enabled():
            torch.autograd.grad(output, leaves, torch.ones_like(output))

    kernels = (*convolution.candidates(call, exact=False), "torch")
    calls: dict[str, Callable[[], object]] = {kernel: functools.partial(once, kernel) for kernel in kernels}
    return {name: times.median for name, times in alternating(calls, ROUNDS, BUDGET).items()}


def _random(like: Tensor) -> Tensor:
    return torch.empty_strided(like.shape, like.stride()).normal_().requires_grad_(like.requires_grad)
