"""OpInfo: every error input that torch keeps for its own convolution and pooling functions must be refused by ours."""

from __future__ import annotations

import warnings

import torch

from . import subject
from .opinfo import function, operators
from .results import FAILED, ON_PURPOSE, Case

NAME = "OpInfo error inputs"

#: What we accept on purpose, by operator and torch's message: why.
ACCEPTED: dict[tuple[str, str], str] = {
    ("conv3d", "padding='same' is not supported for strided convolutions"): "'same' holds for every stride",
    ("conv3d", "negative padding is not supported"): "negative padding crops",
}


def groups() -> list[str]:
    return [name for name, op in operators().items() if op.error_inputs_func is not None]


def run(group: str) -> list[Case]:
    op = operators()[group]
    ours = function(op, subject.functional)
    cases = []
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Using padding='same' with even kernel lengths")
        for i, wrong in enumerate(op.error_inputs("cpu")):
            name, sample = f"{group}[{i}]", wrong.sample_input
            reason = None if subject.IS_TORCH else ACCEPTED.get((group, wrong.error_regex))
            try:
                ours(sample.input, *sample.args, **sample.kwargs)
            except wrong.error_type as error:
                cases.append(Case(name) if str(error) else Case(name, FAILED, "refused without a word"))
            except Exception as error:
                detail = f"{type(error).__name__} instead of {wrong.error_type.__name__}: {error}"
                cases.append(Case(name, FAILED, detail))
            else:
                detail = f"accepted what torch refuses ({wrong.error_regex})"
                cases.append(Case(name, ON_PURPOSE, reason) if reason else Case(name, FAILED, detail))
    return cases
