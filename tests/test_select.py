"""Which kernel takes a convolution: by predicted cost, for any instruction set, and by what tune() measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import convlayers
from convlayers.ops import convolution, cost, tuned
from convlayers.ops.cost import Call

ISAS = tuple(cost.LANES)


def call(channels: int, size: int, taps: int = 3, groups: int = 1, batch: int = 1) -> Call:
    sides = ((size, size), (size, size), (taps, taps), (1, 1), (1, 1))
    return Call(False, batch, channels, channels, groups, *sides, False)


def fastest(c: Call, isa: str) -> str:
    compared = [kernel for kernel in convolution.candidates(c, exact=False) if convolution.compares(kernel, c)]
    return min(compared, key=lambda kernel: cost.seconds(kernel, c, isa))


@pytest.mark.parametrize("isa", ISAS)
def test_choices_for_instruction_sets_that_this_machine_need_not_have(isa: str) -> None:
    assert fastest(call(64, 56), isa) == "winograd"
    assert fastest(call(256, 14, batch=8), isa) == "winograd"
    assert fastest(call(64, 56, taps=1), isa) == "direct"
    assert fastest(call(2, 56), isa) == "direct"  # transforms of few channels cost more than they spare
    assert fastest(call(256, 1), isa) == "direct"  # one output of a tile of 16
    assert fastest(call(64, 56, groups=64), isa) == "depthwise"
    few = 4 if cost.LANES[isa] > 4 else 2  # channels a group: so that two groups share a vector
    assert fastest(call(64, 56, groups=64 // few), isa) == "grouped"
    assert fastest(call(256, 14, groups=4), isa) == "winograd"
    assert fastest(call(256, 14, groups=4, taps=1), isa) == "direct"


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kernel", ["winograd", "direct", "grouped", "torch"])
def test_more_work_costs_more(isa: str, kernel: str) -> None:
    least = call(32, 16)
    for more in (call(64, 16), call(32, 32), call(32, 16, taps=5), call(32, 16, batch=2)):
        assert 0 < cost.seconds(kernel, least, isa) < cost.seconds(kernel, more, isa)
    contiguous = least._replace(contiguous=True)
    assert cost.seconds(kernel, least, isa) <= cost.seconds(kernel, contiguous, isa)


def test_every_implementation_has_prices() -> None:
    assert cost.PRICES.keys() == cost.LANES.keys() >= {*convlayers.isas()}
    for prices in cost.PRICES.values():
        assert prices.keys() == cost.PRICES["avx512"].keys()
        assert all(min(entries.values()) >= 0 and sum(entries.values()) > 0 for entries in prices.values())


def test_a_choice_comes_with_its_costs() -> None:
    (choice,) = convlayers.which(convlayers.Conv2d(64, 64, 3), torch.zeros(1, 64, 56, 56))
    assert next(iter(choice.costs)) == choice.kernel == "winograd"
    assert sorted(choice.costs) == ["direct", "torch", "winograd"]
    assert choice.reason.startswith("predicted ")
    assert "; " in choice.reason
    assert list(choice.costs.values()) == sorted(choice.costs.values())


def test_the_number_of_threads_changes_nothing() -> None:
    layer, x, before = convlayers.Conv2d(16, 16, 3), torch.zeros(1, 16, 12, 12), torch.get_num_threads()
    try:
        found = [(torch.set_num_threads(n), convlayers.which(layer, x))[1] for n in (1, 2, 4)]  # type: ignore[func-returns-value]
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1] == found[2]


def test_compiled_with_symbolic_sizes() -> None:
    layer = convlayers.Conv2d(16, 16, 3)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True, dynamic=True)
    for n in (2, 3, 5):
        x = torch.randn(n, 16, 20 + n, 21)
        torch.testing.assert_close(compiled(x), layer(x))


def test_compiled_with_fixed_sizes_it_is_the_same_kernel() -> None:
    layer, x = convlayers.Conv2d(16, 16, 3), torch.randn(2, 16, 20, 21)
    assert torch.equal(torch.compile(layer, backend="aot_eager", fullgraph=True, dynamic=False)(x), layer(x))


# --- tune -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache folder, which is looked at."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("CONVLAYERS_TUNED", raising=False)
    convolution.forget()
    yield tmp_path
    convolution.forget()


LAYER = "convlayers.Conv2d(24, 24, 3), torch.zeros(1, 24, 9, 9)"


def layer_and_input() -> tuple[torch.nn.Module, torch.Tensor]:
    return convlayers.Conv2d(24, 24, 3), torch.zeros(1, 24, 9, 9)


def prefer(file: Path, kernel: str) -> None:
    """Makes the file say that this kernel is the fastest."""
    content = json.loads(file.read_text())
    for seconds in content["calls"].values():
        seconds[kernel] = min(seconds.values()) / 2
    file.write_text(json.dumps(content))


def elsewhere(expression: str, **environment: str) -> str:
    script = f"import torch, convlayers; print({expression})"
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], env=os.environ | environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


@pytest.mark.parametrize("kernel", ["direct", "winograd", "torch"])
def test_what_was_measured_decides_here_and_in_other_processes(cache: Path, kernel: str) -> None:
    layer, x = layer_and_input()
    tuning = convlayers.tune(layer, x)
    ((seconds,), file) = tuning.times.values(), tuning.file
    assert file is not None
    assert seconds.keys() == {"direct", "winograd", "torch"}
    assert str(file) in str(tuning)
    assert [path for path in cache.rglob("*") if path.is_file()] == [file]
    choice = convlayers.which(layer, x)[0]
    assert (choice.costs, choice.kernel) == (seconds, min(seconds, key=seconds.__getitem__))

    prefer(file, kernel)
    convolution.forget()
    choice = convlayers.which(layer, x)[0]
    assert choice.kernel == kernel
    assert choice.reason.startswith("measured by tune")
    torch.testing.assert_close(layer(x), torch.nn.functional.conv2d(x, layer.weight, layer.bias))  # type: ignore[arg-type]
    assert elsewhere(f"convlayers.which({LAYER})[0].kernel") == kernel
    assert elsewhere(f"convlayers.which({LAYER})[0].reason", CONVLAYERS_TUNED="off").startswith("predicted")


def test_other_calls_and_exact_do_not_look_at_it(cache: Path) -> None:
    layer, x = layer_and_input()
    file = convlayers.tune(layer, x).file
    assert file is not None
    prefer(file, "torch")
    convolution.forget()
    assert convlayers.which(layer, torch.zeros(2, 24, 9, 9))[0].reason.startswith("predicted")
    assert convlayers.which(layer, x.contiguous(memory_format=torch.channels_last))[0].reason.startswith("predicted")
    with convlayers.precision("exact"):
        assert convlayers.which(layer, x)[0].kernel == "direct"


def test_later_measurements_are_added(cache: Path) -> None:
    layer, x = layer_and_input()
    first = convlayers.tune(layer, x)
    network = torch.nn.Sequential(convlayers.DepthwiseConv1d(8, 3), convlayers.ConvTranspose1d(8, 4, 2))
    second = convlayers.tune(network, torch.zeros(1, 8, 9))
    assert [sorted(seconds) for seconds in second.times.values()] == [
        ["depthwise", "direct", "torch"],
        ["direct", "torch", "winograd"],
    ]
    assert first.file == second.file
    assert convlayers.which(layer, x)[0].reason.startswith("measured by tune")


def test_nothing_is_written_without_tune_or_without_a_convolution(cache: Path) -> None:
    layer, x = layer_and_input()
    layer(x).sum().backward()
    convlayers.which(layer, x)
    assert convlayers.tune(layer.double(), x.double()) == ({}, None)
    assert convlayers.tune(torch.nn.ReLU(), x) == ({}, None)
    assert not list(cache.iterdir())


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"calls": 3}', '{"calls": {"a": {"direct": -1.0}}}', '{"calls": {"a": 1}}']
)
def test_a_broken_file_is_ignored_with_one_warning(cache: Path, text: str) -> None:
    layer, x = layer_and_input()
    file = tuned.file(torch.get_num_threads())
    file.parent.mkdir()
    file.write_text(text)
    with pytest.warns(UserWarning, match="is ignored: it is no file of convlayers.tune") as caught:
        assert convlayers.which(layer, x)[0].reason.startswith("predicted")
    assert str(file) in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        convlayers.which(layer, torch.zeros(3, 24, 9, 9))


def test_filters_of_very_many_taps_are_left_to_torch():
    # Each tap would be a class of pixels by itself, and a filter of 11x11x11x16 is packed to eight times its size; not
    # where it covers its input (tests/test_covering.py).
    volume, weight = torch.randn(1, 16, 12, 11, 11, requires_grad=True), torch.randn(1, 16, 11, 11, 11)
    (choice,) = convlayers.which(convlayers.functional.conv3d, volume, weight)
    assert choice.kernel == "torch"
    output = convlayers.functional.conv3d(volume, weight)
    (gradient,) = torch.autograd.grad(output[:, :, 0].sum(), volume)
    assert torch.equal(gradient[:, :, :-1], weight)
    assert not gradient[:, :, -1].any()
    picture, blur = torch.zeros(1, 8, 40, 40), torch.zeros(8, 1, 33, 33)
    (choice,) = convlayers.which(convlayers.functional.conv2d, picture, blur, groups=8)
    assert choice.kernel == "depthwise"
