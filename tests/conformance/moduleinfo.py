"""ModuleInfo: every input that torch keeps for its convolution and pooling layers, through our layers of those names.

Each input makes several cases: what the layer is (type, state, text), what it computes (also from non-contiguous and
channels-last inputs), its second derivatives, and whether it survives being copied.
"""

from __future__ import annotations

import copy
import functools
import io
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from . import subject
from .compare import CLOSE, COUNTED, FORMATS, Evaluation, compare, torch_evaluation
from .results import FAILED, Case, judge

NAME = "ModuleInfo"
WHAT = "every input that torch tests its convolution and pooling layers with; also layouts, copies, second derivatives"

DTYPES = (torch.float32, torch.float64)


@functools.cache
def modules() -> dict[str, Any]:
    """The ModuleInfos of convolution and pooling layers, by the layer's name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_modules import module_db
    infos = {info.module_cls.__name__: info for info in module_db if info.module_cls.__module__.startswith("torch.nn.")}
    return {name: info for name, info in infos.items() if "Conv" in name or "Pool" in name}


def groups() -> list[str]:
    return [f"{name}-{str(dtype).removeprefix('torch.')}" for name in modules() for dtype in DTYPES]


def run(group: str) -> list[Case]:
    name, _, dtype_name = group.rpartition("-")
    info, dtype = modules()[name], getattr(torch, dtype_name)
    torch.manual_seed(0)
    given = {"device": "cpu", "dtype": dtype, "requires_grad": False, "training": True}
    inputs = info.module_inputs_func(info, **given)
    cases = []
    for i, sample in enumerate(inputs):
        label = f"{group}[{i}{'-' + sample.desc if sample.desc else ''}]"
        try:
            pair = Pair(name, dtype, sample)
        except Exception as error:
            cases.append(Case(label, FAILED, f"raised {type(error).__name__}: {error}"))
            continue
        checks = [pair.is_alike, pair.computes_alike, pair.differentiates_twice_alike, pair.survives_copies]
        checks += [pair.takes_non_contiguous] + [pair.keeps_channels_last] * pair.is_batched
        cases += [judge(f"{label}.{check.__name__}", check) for check in checks]
    if info.module_error_inputs_func:
        errors = info.module_error_inputs_func(info, **given)
        cases += [_refuses(f"{group}.error[{i}]", name, dtype, error) for i, error in enumerate(errors)]
    return cases


def _build(module: Any, name: str, dtype: torch.dtype, constructor: Any) -> nn.Module:
    torch.manual_seed(1)
    return getattr(module, name)(*constructor.args, **constructor.kwargs).to(dtype)


class Pair:
    """Our layer and torch's, built and initialised alike."""

    def __init__(self, name: str, dtype: torch.dtype, sample: Any):
        self.name, self.dtype = name, dtype
        self.torch_class = getattr(nn, name)
        self.ours, self.theirs = (_build(m, name, dtype, sample.constructor_input) for m in (subject.layers, nn))
        self.input, *rest = (*sample.forward_input.args, *sample.forward_input.kwargs.values())
        assert not rest, "the suite knows layers of one input"
        for layer in (self.ours, self.theirs):
            torch.manual_seed(2)
            with torch.no_grad():
                layer(self.input)  # lazy layers take shape

    @property
    def is_batched(self) -> bool:
        rank = int(self.name[-2])
        return self.input.dim() == rank + 2

    @property
    def terms(self) -> int | str | None:
        if self.dtype != torch.float32:
            return None
        if "LP" in self.name:
            return CLOSE
        if "Conv" in self.name:
            return COUNTED
        return self.input.shape[1:].numel() if "Avg" in self.name else None

    def is_alike(self) -> str | None:
        # A lazy layer has become the layer that it stood for.
        if not isinstance(self.ours, type(self.theirs)):
            return f"{type(self.ours)} is no {type(self.theirs)}"
        mine, yours = self.ours.state_dict(), self.theirs.state_dict()
        if list(mine) != list(yours):
            return f"state_dict has {list(mine)} instead of {list(yours)}"
        unequal = [key for key in yours if not torch.equal(mine[key], yours[key])]
        if unequal:
            return f"initialised otherwise from the same seed: {', '.join(unequal)}"
        if repr(self.ours) != repr(self.theirs):
            return f"{self.ours!r} instead of {self.theirs!r}"
        self.ours.load_state_dict(yours)
        self.theirs.load_state_dict(mine)
        return None

    def computes_alike(self) -> str | None:
        return self._compare(self.input)

    def takes_non_contiguous(self) -> str | None:
        wide = torch.empty((*self.input.shape, 2), dtype=self.dtype)[..., 0]
        return self._compare(wide.copy_(self.input))

    def keeps_channels_last(self) -> str | None:
        form = FORMATS.get(self.input.dim())
        if form is None:
            return self._compare(self.input.mT.contiguous().mT)
        self.ours.to(memory_format=form)
        self.theirs.to(memory_format=form)
        return self._compare(self.input.contiguous(memory_format=form))

    def _compare(self, input: Tensor) -> str | None:
        parameters = dict(self.theirs.named_parameters())
        functions = (_as_function(self.ours), _as_function(self.theirs))
        return compare(*functions, ((input,), parameters), self.terms)

    def differentiates_twice_alike(self) -> str | None:
        arguments = ((self.input,), dict(self.theirs.named_parameters()))
        seconds = []
        for evaluate, layer in ((Evaluation, self.ours), (torch_evaluation, self.theirs)):
            first = evaluate(_as_function(layer), arguments)
            leaves = [*first.args, *first.kwargs.values()]
            torch.manual_seed(3)
            cotangent = torch.randn_like(first.results[0]).requires_grad_()
            gradients = torch.autograd.grad(first.results[0], leaves, cotangent, create_graph=True)
            total = sum((g * torch.randn_like(g)).sum() for g in gradients if g.requires_grad)
            seconds.append(torch.autograd.grad(total, [cotangent, *leaves], materialize_grads=True))
        for mine, yours in zip(*seconds, strict=True):
            scale = float(yours.abs().max().nan_to_num())
            torch.testing.assert_close(mine, yours, rtol=1e-5, atol=1e-5 * scale, equal_nan=True)
        return None

    def survives_copies(self) -> str | None:
        file = io.BytesIO()
        torch.save(self.ours, file)
        file.seek(0)
        copies = {
            "copy.deepcopy": copy.deepcopy(self.ours),
            "pickle": pickle.loads(pickle.dumps(self.ours)),
            "torch.save": torch.load(file, weights_only=False),
        }
        expected = self._first_result(self.ours)
        lost = [how for how, layer in copies.items() if not self._first_result(layer).equal(expected)]
        return f"computes otherwise after {', '.join(lost)}" if lost else None

    def _first_result(self, layer: nn.Module) -> Tensor:
        result = Evaluation(layer, ((self.input,), {})).results[0]
        return result.detach().nan_to_num()


def _as_function(layer: nn.Module) -> Callable[..., Any]:
    return lambda input, **parameters: functional_call(layer, parameters, (input,))


def _refuses(label: str, name: str, dtype: torch.dtype, error: Any) -> Case:
    sample = error.module_error_input
    try:
        layer = _build(subject.layers, name, dtype, sample.constructor_input)
        layer(*sample.forward_input.args, **sample.forward_input.kwargs)
    except error.error_type:
        return Case(label)
    except Exception as other:
        return Case(label, FAILED, f"{type(other).__name__} instead of {error.error_type.__name__}: {other}")
    return Case(label, FAILED, f"accepted what torch refuses ({error.error_regex})")
