"""OpInfo: every sample input that torch keeps for its own convolution and pooling functions."""

from __future__ import annotations

import functools
import itertools
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch

from . import subject
from .compare import COUNTED, Evaluation, compare
from .results import Case, judge

NAME = "OpInfo samples"
WHAT = "every call that torch tests its convolution and pooling functions with, in every dtype; values and gradients"

_PREFIX = "nn.functional."
_MAX_BACKWARD = "max_pool2d_with_indices_backward"


@functools.cache
def operators() -> dict[str, Any]:
    """The OpInfos of convolution and pooling, by name (variants in brackets)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_methods_invocations import op_db
    found = {}
    for op in op_db:
        if ("conv" in op.name or "pool" in op.name) and (op.name.startswith(_PREFIX) or op.name == _MAX_BACKWARD):
            variant = f"[{op.variant_test_name}]" if op.variant_test_name else ""
            found[op.name.removeprefix(_PREFIX) + variant] = op
    return found


def function(op: Any, module: Any) -> Callable[..., Any]:
    """The function that an OpInfo stands for, of torch.nn.functional or of ours."""
    if op.name != _MAX_BACKWARD:
        return getattr(module, op.name.removeprefix(_PREFIX))

    def gradient_of_ones(*args: Any, **kwargs: Any) -> torch.Tensor:
        # Contiguous: autograd lets a gradient's layout be as it comes.
        pooled = Evaluation(module.max_pool2d, (args, {**kwargs, "return_indices": False}))
        return pooled.gradients([torch.ones_like(pooled.results[0])])[0].contiguous()

    return gradient_of_ones


def terms(op: Any, dtype: torch.dtype, sample: Any) -> int | str | None:
    """How many products a result sums, for :func:`compare`."""
    if "conv" in op.name:
        return COUNTED if dtype in (torch.float32, torch.bfloat16, torch.float16) else None
    if dtype != torch.float32 or "avg" not in op.name:
        return None
    # Elements in a window of an average, which is also at least how many windows share an element.
    rank = int(op.name[-2])
    window = sample.args[0] if sample.args else sample.kwargs.get("kernel_size", sample.kwargs.get("output_size"))
    window = tuple(window) * (rank // len(window)) if isinstance(window, tuple | list) else (window,) * rank
    if "adaptive" in op.name:
        sizes = zip(sample.input.shape[-rank:], window, strict=True)
        window = tuple(1 if o is None or 0 in (i, o) else max(i, o) // min(i, o) + 2 for i, o in sizes)
    return math.prod(window)


def samples(op: Any, dtype: torch.dtype) -> Iterator[Any]:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield from op.sample_inputs("cpu", dtype)


def groups() -> list[str]:
    return [
        f"{name}-{str(dtype).removeprefix('torch.')}"
        for name, op in operators().items()
        for dtype in sorted(op.supported_dtypes("cpu"), key=str)
    ]


def run(group: str, step: int = 1) -> list[Case]:
    """Every ``step``-th sample."""
    name, _, dtype_name = group.rpartition("-")
    op, dtype = operators()[name], getattr(torch, dtype_name)
    ours, theirs = function(op, subject.functional), function(op, torch.nn.functional)
    cases = []
    for i, sample in itertools.islice(enumerate(samples(op, dtype)), 0, None, step):
        arguments = ((sample.input, *sample.args), sample.kwargs)
        how = terms(op, dtype, sample)
        cases.append(judge(f"{group}[{i}]", functools.partial(compare, ours, theirs, arguments, how)))
    return cases
