"""OpInfo: every error input that torch keeps for its own convolution and pooling functions must be refused by ours."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from . import subject
from .opinfo import function, operators
from .results import FAILED, WIDER, Case

NAME = "OpInfo error inputs"
WHAT = "every call that torch says its convolution and pooling functions must refuse"


def _cropped(input: Tensor, weight: Tensor, bias: Tensor, padding: tuple[int]) -> Tensor:
    (amount,) = padding
    return F.conv3d(F.pad(input, [amount] * 6), weight, bias)


def _strided_same(input: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: str, groups: int) -> Tensor:
    # ceil(size / stride) outputs; what is odd goes high.
    sizes = zip(input.shape[2:], weight.shape[2:], strict=True)
    totals = [max((-(-n // stride) - 1) * stride + k - n, 0) for n, k in sizes]
    beside = [amount for total in reversed(totals) for amount in (total // 2, total - total // 2)]
    return F.conv3d(F.pad(input, beside), weight, bias, stride, 0, 1, groups)


#: What we accept on purpose, by operator and torch's message: the meaning, and the definition that it is held to.
WIDER_MEANINGS: dict[tuple[str, str], tuple[str, Callable[..., Tensor]]] = {
    ("conv3d", "padding='same' is not supported for strided convolutions"): ("'same' at any stride", _strided_same),
    ("conv3d", "negative padding is not supported"): ("negative padding crops", _cropped),
}


def groups() -> list[str]:
    return [name for name, op in operators().items() if op.error_inputs_func is not None]


def run(group: str) -> list[Case]:
    op = operators()[group]
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Using padding='same' with even kernel lengths")
        ours = function(op, subject.functional)
        return [_case(group, i, ours, wrong) for i, wrong in enumerate(op.error_inputs("cpu"))]


def _case(group: str, i: int, ours: Callable[..., Tensor], wrong: Any) -> Case:
    name, sample = f"{group}[{i}]", wrong.sample_input
    try:
        result = ours(sample.input, *sample.args, **sample.kwargs)
    except wrong.error_type as error:
        return Case(name) if str(error) else Case(name, FAILED, "refused without a word")
    except Exception as error:
        return Case(name, FAILED, f"{type(error).__name__} instead of {wrong.error_type.__name__}: {error}")
    if (group, wrong.error_regex) not in WIDER_MEANINGS or subject.IS_TORCH:
        return Case(name, FAILED, f"accepted what torch refuses ({wrong.error_regex})")
    meaning, definition = WIDER_MEANINGS[group, wrong.error_regex]
    if not torch.allclose(result, definition(sample.input, *sample.args, **sample.kwargs)):
        return Case(name, FAILED, f"accepted what torch refuses, but wrong for: {meaning}")
    return Case(name, WIDER, meaning)
