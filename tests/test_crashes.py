"""No argument ends the process: what crashes torch, or makes it answer wrongly, is refused by a sentence.

All calls run in one process of their own; one that ended it would leave the rest unreported.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

import convlayers
from convlayers import functional as F

HUGE = 2**62
NAN, INF = float("nan"), float("inf")

#: What a call is named, what its refusal must name, and the call.
Refused = tuple[str, str, Callable[[], Any]]

_SIGNALS, _TAPS = torch.randn(1, 4, 8), torch.randn(4, 4, 3)
_IMAGES, _KERNELS = torch.randn(1, 4, 4, 4), torch.randn(4, 4, 3, 3)
_VOLUMES, _CUBES = torch.randn(1, 4, 4, 4, 4), torch.randn(4, 4, 2, 2, 2)
_CONVOLUTIONS = {1: (_SIGNALS, _TAPS), 2: (_IMAGES, _KERNELS), 3: (_VOLUMES, _CUBES)}


def _convolutions() -> Iterator[Refused]:
    for rank, (x, w) in _CONVOLUTIONS.items():
        for name in (f"conv{rank}d", f"conv_transpose{rank}d"):
            f = getattr(F, name)
            for argument in ("stride", "dilation", "groups"):
                for value in (0, -1, 1.5, "1", None, True, 2**70):
                    yield f"{name}({argument}={value!r})", argument, partial(f, x, w, **{argument: value})
            for argument, value in (
                *(("groups", value) for value in (3, HUGE)),
                *(("dilation", value) for value in (HUGE, 2**63 - 1)),
                ("stride", (1,) * 4),
                *(("padding", value) for value in ("sane", 1.5, None, HUGE, 2**70)),
                *(("padding", value) for value in (((1,),), ((1, 2, 3),), (1,) * 4, ((0, 2**63 - 1),))),
                *(("padding_mode", value) for value in ("mirror", 3)),
                *(("padding_value", value) for value in ("zero", 1.0)),  # 1.0 belongs to padding_mode='constant'
                *(("activation", value) for value in ("relux", 3)),
            ):
                yield f"{name}({argument}={value!r})", argument, partial(f, x, w, **{argument: value})
            yield f"{name}(weight of rank 1)", "weight", partial(f, x, torch.ones(3))
            yield f"{name}(weight list)", "weight", partial(f, x, [1.0])
            yield f"{name}(input list)", "input", partial(f, [1.0], w)
            yield f"{name}(input of rank 1)", "input", partial(f, torch.ones(3), w)
            yield f"{name}(dtypes)", "weight", partial(f, x, w.double())
            yield f"{name}(bias shape)", "bias", partial(f, x, w, torch.ones(99))
            yield f"{name}(bias dtype)", "bias", partial(f, x, w, torch.ones(4).double())
            yield f"{name}(empty kernel)", "kernel", partial(f, x, w[..., :0])
            yield f"{name}(no channels)", "channels", partial(f, x[:, :0], w[:0, :0])
            yield f"{name}(channels)", "channels", partial(f, x[:, :1], w)
    for rank, (x, w) in _CONVOLUTIONS.items():
        f = getattr(F, f"conv{rank}d")
        yield f"conv{rank}d(huge kernel)", "kernel", partial(f, x, w.repeat_interleave(9, -1))
        yield f"conv{rank}d(cropped away)", "kernel", partial(f, x, w, padding=-3)
        yield f"conv{rank}d(reflect)", "reflect", partial(f, x, w, padding=8, padding_mode="reflect")
        yield f"conv{rank}d(circular)", "circular", partial(f, x, w, padding=9, padding_mode="circular")
        f = getattr(F, f"conv_transpose{rank}d")
        for value in (-1, 1, HUGE, 1.5, None):
            yield (
                f"conv_transpose{rank}d(output_padding={value})",
                "output_padding",
                partial(f, x, w, output_padding=value),
            )
        yield f"conv_transpose{rank}d(cropped away)", "padding", partial(f, x, w, padding=7)


def _pools() -> Iterator[Refused]:
    for rank, (x, _) in _CONVOLUTIONS.items():
        for name in (f"max_pool{rank}d", f"avg_pool{rank}d"):
            f = getattr(F, name)
            for value in (0, -1, 99, HUGE, 2**70, 1.5, "2", None, (), (2,) * 5):
                yield f"{name}(kernel_size={value!r})", "kernel_size", partial(f, x, value)
            for value in (0, -1, 1.5, "2", 2**70, (2,) * 5):
                yield f"{name}(stride={value!r})", "stride", partial(f, x, 2, value)
            for value in (-1, 2, HUGE, 2**70, 1.5, None, "sane"):
                yield f"{name}(padding={value!r})", "padding", partial(f, x, 2, padding=value)
            for value in (0, -1, HUGE, 2**70, 1.5, None):
                yield f"{name}(dilation={value!r})", "dilation", partial(f, x, 2, dilation=value)
            yield f"{name}(input list)", "input", partial(f, [1.0], 2)
            yield f"{name}(input of rank 1)", "input", partial(f, torch.ones(4), 2)
            yield f"{name}(empty axis)", "input", partial(f, x[..., :0], 1)
        for kind in ("max", "avg"):
            f = getattr(F, f"adaptive_{kind}_pool{rank}d")
            for value in (-1, (), 1.5, "2", (1,) * 4):
                yield f"adaptive_{kind}_pool{rank}d({value!r})", "output_size", partial(f, x, value)
            yield f"adaptive_{kind}_pool{rank}d(2**64)", "result", partial(f, x, 2**64)
        for value in (0, NAN, "2", None):
            yield f"lp_pool{rank}d(norm_type={value})", "norm_type", partial(getattr(F, f"lp_pool{rank}d"), x, value, 2)
    for value in (0, 2**64, 1.5):
        yield (
            f"avg_pool2d(divisor {value})",
            "divisor_override",
            partial(F.avg_pool2d, _IMAGES, 2, divisor_override=value),
        )


def _indexed_pools() -> Iterator[Refused]:
    x, index = _IMAGES, torch.zeros(_IMAGES.shape, dtype=torch.int64)
    for dtype in (torch.float32, torch.float64):
        y, kind = x.to(dtype), str(dtype).removeprefix("torch.")
        for value in (-1, 8 * 8, 2**31, HUGE, -HUGE):
            yield f"max_unpool2d({kind}, index {value})", "indices", partial(F.max_unpool2d, y, index + value, 2)
        pool = partial(F.fractional_max_pool2d, y, 2, output_size=2)
        for value in (NAN, INF, -INF):
            samples = torch.full((1, 4, 2), value, dtype=dtype)
            yield f"fractional({kind}, sample {value})", "_random_samples", partial(pool, _random_samples=samples)
    yield "max_unpool2d(shape)", "indices", partial(F.max_unpool2d, x, index[..., :1], 2)
    yield "max_unpool2d(dtype)", "indices", partial(F.max_unpool2d, x, index.int(), 2)
    yield "max_unpool2d(kernel)", "result", partial(F.max_unpool2d, x, index, HUGE)
    yield "max_unpool2d(output_size)", "output_size", partial(F.max_unpool2d, x, index, 2, output_size=(99, 99))
    pool = partial(F.fractional_max_pool2d, x, 2)
    few = torch.zeros(1, 1, 2)
    yield "fractional(sample shape)", "_random_samples", partial(pool, output_size=2, _random_samples=few)
    for value in (0, -1, 99, HUGE):
        yield f"fractional(output_size={value})", "output_size", partial(pool, output_size=value)
    for value in (0.0, -1.0, NAN, INF):
        yield f"fractional(output_ratio={value})", "output_ratio", partial(pool, output_ratio=value)


def _layers() -> Iterator[Refused]:
    for name in ("Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"):
        layer = getattr(convlayers, name)
        for value in (0, -1, 1.5, "3"):
            yield f"{name}(in_channels={value!r})", "in_channels", partial(layer, value, 4, 3)
            yield f"{name}(out_channels={value!r})", "out_channels", partial(layer, 4, value, 3)
            yield f"{name}(kernel_size={value!r})", "kernel_size", partial(layer, 4, 4, value)
        for argument in ("stride", "dilation", "groups"):
            for value in (0, -1, 3.5):
                yield f"{name}({argument}={value})", argument, partial(layer, 4, 4, 3, **{argument: value})
        yield f"{name}(groups=3)", "groups", partial(layer, 4, 4, 3, groups=3)
        yield f"{name}(padding_mode)", "padding_mode", partial(layer, 4, 4, 3, padding_mode="mirror")
        yield f"{name}(weight_init)", "weight_init", partial(layer, 4, 4, 3, weight_init="he_abnormal")
    for layer in (convlayers.Conv2d(3, 4, 3), convlayers.ConvTranspose2d(3, 4, 3)):
        yield f"{type(layer).__name__}(channels-last data)", "permute", partial(layer, torch.randn(1, 8, 8, 3))


@functools.cache
def refused() -> dict[str, tuple[str, Callable[[], Any]]]:
    calls = [*_convolutions(), *_pools(), *_indexed_pools(), *_layers()]
    return {name: (word, call) for name, word, call in calls}


def _run() -> None:
    """Makes every call and prints what came of it, one line of JSON each."""
    for name, (_, call) in refused().items():
        print(json.dumps([name]), flush=True)  # so that a call that ends the process is known
        try:
            result = call()
            shape = tuple(result.shape) if isinstance(result, Tensor) else result
            outcome = ["accepted", str(shape)]
        except Exception as error:
            outcome = [",".join(c.__name__ for c in type(error).__mro__), str(error)]
        print(json.dumps([name, *outcome]), flush=True)


@pytest.fixture(scope="module")
def outcomes() -> dict[str, list[str]]:
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True, check=False)
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        name, *outcome = json.loads(line)
        found[name] = outcome
    last = list(found)[-1] if found else "the import"
    assert done.returncode == 0, f"the process ended with {done.returncode} in {last}: {done.stderr[-2000:]}"
    return found


@pytest.mark.parametrize("name", list(refused()))
def test_is_refused_by_a_sentence(name, outcomes):
    word, _ = refused()[name]
    kind, message = outcomes[name]
    assert kind != "accepted", message
    assert "ValueError" in kind or "TypeError" in kind or "RuntimeError" in kind, f"{kind}: {message}"
    assert word in message, message
    # It also says what was received, or what it would have led to.
    assert "received " in message or "it would " in message, message


@pytest.mark.parametrize("size", [2**62, 2**40])
@pytest.mark.parametrize("layer", [convlayers.Conv2d, convlayers.ConvTranspose2d])
def test_a_layer_that_no_memory_holds_is_refused(layer, size):
    for arguments in ((size, size, 3), (4, 4, size)):
        with pytest.raises(RuntimeError, match=r"sizes|elements|memory"):
            layer(*arguments)


def test_nan_beyond_the_border_stays_there():
    output = F.conv1d(torch.ones(1, 1, 6), torch.ones(1, 1, 3), padding=1, padding_mode="constant", padding_value=NAN)
    assert output.isnan().flatten().tolist() == [True, False, False, False, False, True]


if __name__ == "__main__":
    _run()
