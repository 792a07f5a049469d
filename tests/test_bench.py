"""The benchmark: what a row means, that wrong results are found and not timed, and what is printed and saved."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from bench_rows import DEFAULT, DOUBLED, PLAIN, ROWS, SIGNAL, VOLUME, problem, written

import convlayers
from convlayers import cli
from convlayers.bench import check, limits, peers, reference, runner, timing
from convlayers.bench.data import LAYOUTS, Data
from convlayers.bench.peers import Calls, UnsupportedError
from convlayers.bench.problem import Problem


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_the_reference_is_torch_in_float64(row: dict[str, str], tmp_path: Path) -> None:
    given = problem(row, tmp_path)
    tensors = Data(given).laid_out("contiguous")
    input, weight, bias = (tensor.double().requires_grad_() for tensor in tensors[:3])
    function = getattr(F, given.function)
    if given.transposed:
        whole = function(input, weight, bias, given.stride, 0, given.output_padding, given.groups, given.dilation)
        expected = F.pad(whole, [-amount for amount in given.pairs])
    else:
        expected = function(F.pad(input, given.pairs), weight, bias, given.stride, 0, given.dilation, given.groups)
    assert expected.shape == given.output_shape
    gradients = torch.autograd.grad(expected, (input, weight, bias), tensors.upstream.double())
    for found, right in zip(reference.training(given, tensors), (expected, *gradients), strict=True):
        torch.testing.assert_close(found, right, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(reference.forward(given, tensors), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_every_peer_is_right_and_gets_its_layout(row: dict[str, str], tmp_path: Path) -> None:
    given = problem(row, tmp_path)
    for direction, verdicts in check.verdicts(given, ("forward", "training"), DEFAULT).items():
        assert list(verdicts) == [peer.name for peer in DEFAULT]
        assert {name: verdict.wrong for name, verdict in verdicts.items() if verdict.wrong} == {}, direction
    data = Data(given)
    for layout in LAYOUTS:
        for tensor in (data.laid_out(layout).input, data.laid_out(layout).upstream):
            inner = tensor.movedim(1, -1) if layout == "channels-last" else tensor
            assert inner.is_contiguous()


def test_work_is_counted_by_hand(tmp_path: Path) -> None:
    plain, doubled = problem(PLAIN, tmp_path), problem(DOUBLED, tmp_path)
    assert plain.macs == 3 * 12 * 5 * 5 * 4 * 9
    assert plain.bytes == 4 * (3 * 8 * 10 * 9 + 12 * 4 * 9 + 3 * 12 * 5 * 5)
    assert doubled.macs == 3 * 8 * 10 * 9 * 6 * 9


# --- wrong peers ------------------------------------------------------------------------------------------------------


class Broken:
    """Ours with one result changed; remembers the batch of each call."""

    name, family, own_threads = "broken peer", "torch", False

    def __init__(self, at: int, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.at, self.change = at, change
        self.batches: list[int] = []

    def prepare(self, problem: Problem, data: Data) -> Calls:
        right = peers.OURS[0].prepare(problem, data)

        def changed(results: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            self.batches.append(problem.batch)
            return tuple(self.change(t.detach().clone()) if i == self.at else t for i, t in enumerate(results))

        return Calls(lambda: changed((right.forward(),))[0], lambda: changed(right.training()))


def _one_element(tensor: torch.Tensor) -> torch.Tensor:
    tensor[(-1,) * tensor.dim()] += 0.01
    return tensor


CHANGES = {
    "one element": _one_element,
    "a NaN": lambda t: t.index_fill(0, torch.tensor([0]), math.nan),
    "half precision": lambda t: t.bfloat16().float(),
    "a shape": lambda t: t[..., :-1],
    "a dtype": lambda t: t.double(),
}


@pytest.mark.parametrize("at", range(4), ids=check.RESULTS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_wrong_result_is_found(at: int, change: str, tmp_path: Path) -> None:
    broken = Broken(at, CHANGES[change])
    verdicts = check.verdicts(problem(PLAIN, tmp_path), ("forward", "training"), (peers.OURS[0], broken))
    assert verdicts["training"][peers.OURS[0].name].wrong == ""
    assert verdicts["training"][broken.name].wrong.startswith(check.RESULTS[at])
    assert bool(verdicts["forward"][broken.name].wrong) == (at == 0)


def test_a_wrong_peer_is_printed_not_timed_and_exits_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Broken(2, _one_element)
    monkeypatch.setitem(peers.PEERS, "torch", (broken,))
    monkeypatch.setattr(limits, "measure", lambda: limits.Limits(100.0, 10.0))
    path, out = written(tmp_path / "list.csv", PLAIN), tmp_path / "out.json"
    arguments = ["bench", "--shapes", str(path), "--directions", "training", "--json", str(out)]
    assert cli.main(arguments) == 1
    printed = capsys.readouterr().out
    assert "WRONG broken peer: weight gradient is off by" in printed
    assert broken.batches == [check.BATCH]
    [row] = json.loads(out.read_text())["rows"]
    assert list(row["times"]) == [peer.name for peer in peers.OURS]
    assert row["ratios"] == {}
    assert row["verdicts"]["ours channels-last"]["wrong"] == ""
    monkeypatch.setattr(peers, "OURS", (broken, peers.OURS[0]))
    assert cli.main(arguments) == 1
    assert "times" not in json.loads(out.read_text())["rows"][0]


class Lacking:
    """Computes nothing, or no gradients."""

    name, family, own_threads = "lacking peer", "torch", False

    def __init__(self, forward: bool) -> None:
        self.forward = forward

    def prepare(self, problem: Problem, data: Data) -> Calls:
        if not self.forward:
            raise UnsupportedError("no such convolution")
        return peers.OURS[0].prepare(problem, data)._replace(training=None)


def test_what_a_peer_lacks_is_said_and_the_others_are_timed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "measure", lambda: limits.Limits(100.0, 10.0))
    path, out = written(tmp_path / "list.csv", PLAIN), tmp_path / "out.json"
    arguments = ["bench", "--shapes", str(path), "--rounds", "3", "--budget", "0.01", "--json", str(out)]
    for forward, lacks in ((True, ("", "computes no gradients")), (False, 2 * ("no such convolution",))):
        monkeypatch.setitem(peers.PEERS, "torch", (Lacking(forward),))
        assert cli.main(arguments) == 0
        printed = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("plain")]
        rows = json.loads(out.read_text())["rows"]
        for row, columns, reason in zip(rows, printed, lacks, strict=True):
            assert row["verdicts"]["lacking peer"] == {
                "error": row["verdicts"]["lacking peer"]["error"],
                "wrong": "",
                "lacks": reason,
            }
            assert ("lacking peer" in row["times"]) == ("torch" in row["ratios"]) == (not reason)
            assert (columns[-5:-3] == ["-", "-"]) == bool(reason)


def test_a_peer_that_raises_is_wrong(tmp_path: Path) -> None:
    def refuse(_: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError("not this\none")

    verdicts = check.verdicts(problem(PLAIN, tmp_path), ("forward",), (Broken(0, refuse),))
    assert verdicts["forward"]["broken peer"].wrong == "raises NotImplementedError: not this"


# --- time -------------------------------------------------------------------------------------------------------------


class Slow:
    """Takes a fixed time an example."""

    name, family, own_threads = "slow peer", "torch", False

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def prepare(self, problem: Problem, data: Data) -> Calls:
        def wait() -> Any:
            time.sleep(self.seconds * problem.batch)

        return Calls(wait, wait)


def test_the_batch_is_halved_until_the_slowest_peer_fits(tmp_path: Path) -> None:
    given = problem(PLAIN, tmp_path).with_batch(50)
    slow = Slow(0.01)
    # 12 examples of 10 ms fit; a loaded machine takes longer, and cuts more.
    assert runner.affordable(given, "forward", (peers.OURS[0], slow), 0.2) in (3, 6, 12)
    assert runner.affordable(given, "forward", (peers.OURS[0], slow), 1e-9) == 1
    assert runner.affordable(given, "forward", (peers.OURS[0], slow), 1e9) == 50


def test_calls_take_turns() -> None:
    order: list[str] = []

    def call(name: str, seconds: float) -> timing.Call:
        return lambda: (order.append(name), time.sleep(seconds))

    times = timing.alternating({"a": call("a", timing.SAMPLE), "b": call("b", 2 * timing.SAMPLE)}, 4, 60.0)
    assert order == [*"aaaabbbb", *"ab" * 4]
    assert {name: (t.samples, t.calls_a_sample) for name, t in times.items()} == {"a": (4, 1), "b": (4, 1)}
    for t in times.values():
        assert timing.SAMPLE <= t.least <= t.quartiles[0] <= t.median <= t.quartiles[1]


def test_callers_settle_before_their_samples() -> None:
    calls = [0]

    def call() -> None:
        calls[0] += 1
        time.sleep(0.003)

    times = timing.alternating({"a": call}, 3, 60.0, settle=0.01)["a"]
    # Four to estimate; each round, four to settle in 10 ms (fewer where the machine is slow) and one that is timed.
    assert (times.samples, times.calls_a_sample) == (3, 1)
    assert 4 + 3 * 2 <= calls[0] <= 4 + 3 * 5


def test_short_calls_are_repeated_and_the_budget_ends_the_rounds() -> None:
    quick = timing.alternating({"quick": lambda: None}, 5, 60.0)["quick"]
    assert quick.calls_a_sample > 10
    slept = timing.alternating({"slow": lambda: time.sleep(0.01)}, 1000, 0.1)["slow"]
    assert timing.LEAST_ROUNDS <= slept.samples <= 10


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_measures_prints_and_saves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = written(tmp_path / "list.csv", *ROWS), tmp_path / "out.json"
    quick = ["--rounds", "3", "--budget", "0.01"]
    assert cli.main(["bench", "--shapes", str(path), "--filter", "one", *quick, "--json", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "memory: as the C allocator has it"
    assert [line.split()[0] for line in lines[5:7]] == ["one-sided", "one-sided"]
    saved = json.loads(out.read_text())
    given = "--shapes list.csv --filter one --rounds 3 --budget 0.01 --json out.json"
    assert saved["command"] == f"convlayers bench {given}"
    assert saved["complete"] is True
    assert min(saved["limits"].values()) > 0
    assert [row["direction"] for row in saved["rows"]] == ["forward", "training"]
    for row in saved["rows"]:
        assert row["problem"]["high"] == [1, 2]
        assert list(row["times"]) == [peer.name for peer in DEFAULT]
        medians = {name: times["median"] for name, times in row["times"].items()}
        best = min(medians["torch contiguous"], medians["torch channels-last"])
        assert row["ratios"] == {"torch": pytest.approx(best / medians["ours channels-last"])}
        passes = {"forward": 1, "training": 3}[row["direction"]]
        work = passes * 2 * 3 * 12 * 5 * 5 * 4 * 9
        assert row["gflops"] == pytest.approx(work / medians["ours channels-last"] / 1e9)
    found = [(summary["by"], summary["group"], summary["rows"]) for summary in saved["summaries"]]
    assert found == 2 * [("list", str(path), 1)] + 2 * [("kind", "grouped", 1)] + 2 * [("all", "all", 1)]
    assert saved["settings"]["keep_memory"] is False
    assert len(lines) == 14 + sum(row["ratios"]["torch"] < 0.97 for row in saved["rows"])


def test_an_interrupted_run_keeps_what_it_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(Slow):
        def prepare(self, problem: Problem, data: Data) -> Calls:
            if problem.name == "signal":
                raise KeyboardInterrupt
            return peers.OURS[0].prepare(problem, data)

    monkeypatch.setitem(peers.PEERS, "torch", (Interrupted(0),))
    monkeypatch.setattr(limits, "measure", lambda: limits.Limits(100.0, 10.0))
    path, out = written(tmp_path / "list.csv", PLAIN, SIGNAL, VOLUME), tmp_path / "out.json"
    arguments = ["bench", "--shapes", str(path), "--directions", "forward", "--budget", "0.01", "--json", str(out)]
    assert cli.main(arguments) == 130
    assert "forward: geometric mean" in capsys.readouterr().out
    saved = json.loads(out.read_text())
    assert [row["problem"]["name"] for row in saved["rows"]] == ["plain"]
    assert saved["complete"] is False


def test_mistakes_are_refused_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "list.csv", PLAIN)
    mistakes = {
        ("--filter", "resnet"): "--filter: no row has 'resnet' in its name",
        ("--json", str(tmp_path / "none" / "out.json")): "--json must be a file in a folder that exists",
        ("--shapes", str(tmp_path / "none.csv")): "none.csv: cannot be read",
    }
    for arguments, sentence in mistakes.items():
        assert cli.main(["bench", "--shapes", str(path), *arguments]) == 2
        assert sentence in capsys.readouterr().err
    for wrong in (
        ["--directions", "backward"],
        ["--peers", "tensorflow"],
        ["--peers", "torch,torch"],
        ["--seconds", "0"],
        ["--rounds", "x"],
        ["--threads", "-1"],
    ):
        with pytest.raises(SystemExit, match="2"):
            cli.main(["bench", "--shapes", str(path), *wrong])
        assert wrong[0] in capsys.readouterr().err


def test_a_peer_that_is_not_installed_is_left_out_with_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "measure", lambda: limits.Limits(100.0, 10.0))
    monkeypatch.setitem(peers.NEEDS, "openvino", ("json", "no_such_package"))
    path, out = written(tmp_path / "list.csv", PLAIN), tmp_path / "out.json"
    quick = ["--rounds", "3", "--budget", "0.01", "--directions", "forward", "--json", str(out)]
    assert cli.main(["bench", "--shapes", str(path), *quick, "--peers", "openvino,torch"]) == 0
    assert 'left out: openvino (not installed: no_such_package; pip install "convlayers[bench]")' in (
        capsys.readouterr().out.splitlines()
    )
    saved = json.loads(out.read_text())
    assert saved["rivals"] == ["torch"]
    assert list(saved["rows"][0]["times"]) == [peer.name for peer in DEFAULT]


def test_memory_is_kept_for_all_or_the_command_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "measure", lambda: limits.Limits(100.0, 10.0))
    path, out = written(tmp_path / "list.csv", PLAIN), tmp_path / "out.json"
    arguments = ["bench", "--shapes", str(path), "--rounds", "3", "--budget", "0.01", "--json", str(out)]
    for possible in (True, False):
        monkeypatch.setattr(convlayers, "keep_memory", lambda possible=possible: possible)
        assert cli.main([*arguments, "--keep-memory"]) == (0 if possible else 2)
        printed = capsys.readouterr()
        if possible:
            assert "memory: kept (convlayers.keep_memory)" in printed.out.splitlines()
            assert json.loads(out.read_text())["settings"]["keep_memory"] is True
        else:
            assert "--keep-memory: only glibc can be told" in printed.err


def test_importing_convlayers_does_not_import_the_benchmark() -> None:
    code = "import sys, convlayers, convlayers.cli; print([m for m in sys.modules if m.startswith('convlayers.bench')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
