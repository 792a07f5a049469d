"""What ``convlayers.which`` says of torch's own samples: in float32 on the CPU every kernel is ours, kind by kind."""

from __future__ import annotations

import collections
import inspect
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from conformance import opinfo

import convlayers
from convlayers.ops.select import Choice

#: Each kind of call (a convolution may be of two), and the kernels that it may run on. No pooling of float32 numbers on
#: the CPU is left to torch (but for planes of 2**31 elements): fractional pooling and unpooling have kernels, too.
KINDS = {
    "dense": {"direct", "winograd"},
    "grouped": {"direct", "grouped"},
    "depthwise": {"depthwise"},
    "dilated": {"direct", "depthwise", "grouped"},
    "transposed, dense": {"direct", "winograd"},
    "transposed, depthwise": {"depthwise"},
    "transposed, dilated": {"direct", "depthwise", "grouped"},
    "max_pool": {"pool"},
    "avg_pool": {"pool"},
    "adaptive_max_pool": {"pool"},
    "adaptive_avg_pool": {"pool"},
    "fractional_max_pool": {"pool"},
    "max_unpool": {"pool"},
}


def _convolution_kinds(function: Any, sample: Any) -> list[str]:
    call = inspect.signature(function).bind(sample.input, *sample.args, **sample.kwargs)
    call.apply_defaults()
    weight, groups = call.arguments["weight"], call.arguments["groups"]
    transposed = "transpose" in function.__name__
    in_channels = weight.shape[0] if transposed else weight.shape[1] * groups
    kinds = ["dense" if groups == 1 else "depthwise" if groups == in_channels else "grouped"]
    if int(torch.tensor(call.arguments["dilation"]).max()) > 1:
        kinds.append("dilated")
    return [f"transposed, {kind}" if transposed else kind for kind in kinds]


def _choices(dtype: torch.dtype, step: int = 1) -> Iterator[tuple[str, Choice]]:
    """The kinds of each sample, and what it would run on."""
    for name, operator in opinfo.operators().items():
        if name.endswith("backward") or dtype not in operator.supported_dtypes("cpu"):
            continue  # the samples of the backward are those of max_pool2d
        function = opinfo.function(operator, convlayers.functional)
        for sample in itertools.islice(opinfo.samples(operator, dtype), 0, None, step):
            kinds = _convolution_kinds(function, sample) if "conv" in name else [function.__name__[: -len("2d")]]
            choices = convlayers.which(function, sample.input, *sample.args, **sample.kwargs)
            assert choices, f"{name} reached no operator of ours"
            yield from itertools.product(kinds, choices)


def test_float32_runs_on_our_kernels() -> None:
    kernels: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for kind, choice in _choices(torch.float32, step=3):
        kernels[kind][choice.kernel] += 1
        assert choice.isa == ("" if choice.kernel == "torch" else convlayers.isa())
    assert kernels.keys() == KINDS.keys(), "every kind was met"
    wrong = {kind: dict(count) for kind, count in kernels.items() if not KINDS[kind].issuperset(count)}
    assert not wrong


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_grouped_transposed_convolutions_run_on_our_kernels(rank: int) -> None:
    # The one kind that torch has no sample of.
    function = getattr(convlayers.functional, f"conv_transpose{rank}d")
    x, weight = torch.zeros(1, 4, *[5] * rank), torch.zeros(4, 3, *[3] * rank)
    assert {choice.kernel for choice in convlayers.which(function, x, weight, groups=2)} <= KINDS["grouped"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64], ids=str)
def test_other_dtypes_run_on_torch_and_say_so(dtype: torch.dtype) -> None:
    choices = {(choice.kernel, choice.reason) for _, choice in _choices(dtype, step=10)}
    assert choices == {("torch", f"no kernel for {dtype}")}
