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

from convlayers import cli
from convlayers.bench import check, limits, peers, reference, report, runner, shapes, timing
from convlayers.bench.data import LAYOUTS, Data
from convlayers.bench.peers import Calls
from convlayers.bench.problem import Problem

PLAIN = dict.fromkeys(shapes.COLUMNS, "") | {
    "name": "plain", "ndim": "2", "n": "3", "c": "8", "k": "12", "h": "10", "w": "9", "r": "3", "s": "3",
    "stride_h": "2", "stride_w": "2", "pad_h": "1", "pad_w": "1", "dil_h": "1", "dil_w": "1", "groups": "2",
    "oh": "5", "ow": "5", "exact_sym_pad": "1", "count": "1", "transposed": "0",
}  # fmt: skip
#: Only above, as TensorFlow pads; and a row whose last elements no window sees, so that they are cropped.
ONE_SIDED = PLAIN | {"name": "one-sided", "pad_h": "0", "pad_w": "0", "exact_sym_pad": "0"}
CROPPED = PLAIN | {"name": "cropped", "oh": "3", "ow": "2", "exact_sym_pad": "0"}
#: 10 and 9 give 19 and 17 by themselves: one more by output padding; and two and one fewer, cut off above.
DOUBLED = PLAIN | {"name": "doubled", "oh": "20", "ow": "18", "exact_sym_pad": "0", "transposed": "1"}
SHORTENED = DOUBLED | {"name": "shortened", "oh": "17", "ow": "16"}
SIGNAL = PLAIN | dict.fromkeys(("h", "r", "stride_h", "pad_h", "dil_h", "oh"), "") | {"name": "signal", "ndim": "1"}
VOLUME = PLAIN | {
    "name": "volume", "ndim": "3", "d": "4", "t": "2", "stride_d": "1", "pad_d": "1", "dil_d": "2", "od": "4",
    "k": "8", "groups": "8",
}  # fmt: skip
ROWS = (PLAIN, ONE_SIDED, CROPPED, DOUBLED, SHORTENED, SIGNAL, VOLUME)


def written(path: Path, *rows: dict[str, str], header: tuple[str, ...] = shapes.COLUMNS) -> Path:
    lines = [",".join(header), *(",".join(row[column] for column in header) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def problem(row: dict[str, str], tmp_path: Path) -> Problem:
    return shapes.read(written(tmp_path / "row.csv", row))[0]


# --- reading ----------------------------------------------------------------------------------------------------------


def test_rows_are_read_in_order_and_empty_lines_left_out(tmp_path: Path) -> None:
    path = written(tmp_path / "list.csv", PLAIN, VOLUME, header=shapes.COLUMNS[::-1])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n\r\n"))
    plain, volume = shapes.read(path)
    assert (plain.name, plain.batch, plain.input_shape, plain.output_shape) == (
        "plain",
        3,
        (3, 8, 10, 9),
        (3, 12, 5, 5),
    )
    assert (plain.weight_shape, plain.stride, plain.low, plain.high) == ((12, 4, 3, 3), (2, 2), (1, 1), (1, 1))
    assert (volume.rank, volume.kernel, volume.dilation, volume.groups) == (3, (2, 3, 3), (2, 1, 1), 8)


@pytest.mark.parametrize(
    ("changes", "column", "rule"),
    [
        ({"h": "ten"}, "h", "must be an integer; received 'ten'"),
        ({"h": ""}, "h", "must be an integer; received ''"),
        ({"h": "1.5"}, "h", "must be an integer; received '1.5'"),
        ({"w": "0"}, "w", "must be from 1 to"),
        ({"pad_w": "-1"}, "pad_w", "must be from 0 to"),
        ({"ndim": "4"}, "ndim", "must be from 1 to 3; received '4'"),
        ({"exact_sym_pad": "2"}, "exact_sym_pad", "must be from 0 to 1"),
        ({"ndim": "1"}, "h", "must be empty where ndim is 1; received '10'"),
        ({"groups": "3"}, "c", "must be a multiple of groups = 3; received '8'"),
        ({"groups": "8"}, "k", "must be a multiple of groups = 8; received '12'"),
        ({"oh": "6"}, "oh", "is not what padding of 1 on both sides gives"),
        ({"oh": "1", "h": "1", "stride_h": "1", "pad_h": "5", "exact_sym_pad": "0"}, "oh", "would leave nothing"),
        (DOUBLED | {"oh": "21"}, "oh", "must be at most 20, which output padding can give; received '21'"),
        (DOUBLED | {"exact_sym_pad": "1"}, "oh", "is not what padding of 1 on both sides gives"),
    ],
)  # fmt: skip
def test_a_bad_cell_is_named_with_line_and_column(
    changes: dict[str, str], column: str, rule: str, tmp_path: Path
) -> None:
    path = written(tmp_path / "bad.csv", PLAIN, PLAIN | changes)
    with pytest.raises(shapes.ShapeError) as error:
        shapes.read(path)
    assert f"{path}, line 3, column {column}: {rule}" in str(error.value)


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    contents = {
        b"\xff\xfe\x00": "is not CSV in UTF-8",
        b'name,"ndim': "is not CSV in UTF-8",
        b"": "line 1: the header must have each column once; look at name, ndim, n",
        b"name,ndim\n": "line 1: the header must have each column once; look at n, c",
        (",".join((*shapes.COLUMNS, "n")) + "\n").encode(): "must have each column once; look at n",
        (",".join(shapes.COLUMNS) + "\n").encode(): "has no rows",
        (",".join(shapes.COLUMNS) + "\n1,2\n").encode(): f"line 2: must have {len(shapes.COLUMNS)} cells",
    }
    for content, sentence in contents.items():
        path.write_bytes(content)
        with pytest.raises(shapes.ShapeError, match=sentence) as error:
            shapes.read(path)
        assert str(path) in str(error.value)
    with pytest.raises(shapes.ShapeError, match="cannot be read: No such file"):
        shapes.read(tmp_path / "none.csv")


# --- geometry ---------------------------------------------------------------------------------------------------------


def test_padding_follows_from_the_output_size(tmp_path: Path) -> None:
    assert [(p.low, p.high) for p in (problem(ONE_SIDED, tmp_path), problem(CROPPED, tmp_path))] == [
        ((0, 0), (1, 2)),
        ((1, 1), (-3, -4)),
    ]
    doubled, shortened = problem(DOUBLED, tmp_path), problem(SHORTENED, tmp_path)
    assert (doubled.high, doubled.output_padding) == ((1, 1), (1, 1))
    assert (shortened.high, shortened.output_padding) == ((3, 2), (0, 0))


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
    for direction, verdicts in check.verdicts(given, ("forward", "training"), peers.PEERS).items():
        assert list(verdicts) == [peer.name for peer in peers.PEERS]
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

    name, rival = "broken peer", True

    def __init__(self, at: int, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.at, self.change = at, change
        self.batches: list[int] = []

    def prepare(self, problem: Problem, data: Data) -> Calls:
        right = peers.PEERS[0].prepare(problem, data)

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
    verdicts = check.verdicts(problem(PLAIN, tmp_path), ("forward", "training"), (peers.PEERS[0], broken))
    assert verdicts["training"][peers.PEERS[0].name].wrong == ""
    assert verdicts["training"][broken.name].wrong.startswith(check.RESULTS[at])
    assert bool(verdicts["forward"][broken.name].wrong) == (at == 0)


def test_a_wrong_peer_is_printed_not_timed_and_exits_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Broken(2, _one_element)
    monkeypatch.setattr(peers, "PEERS", (peers.PEERS[0], broken))
    monkeypatch.setattr(limits, "measure", lambda: limits.Limits(100.0, 10.0))
    path, out = written(tmp_path / "list.csv", PLAIN), tmp_path / "out.json"
    arguments = ["bench", "--shapes", str(path), "--directions", "training", "--json", str(out)]
    assert cli.main(arguments) == 1
    printed = capsys.readouterr().out
    assert "WRONG broken peer: weight gradient is off by" in printed
    assert broken.batches == [check.BATCH]
    [row] = json.loads(out.read_text())["rows"]
    assert "times" not in row
    assert row["verdicts"]["ours channels-last"]["wrong"] == ""


def test_a_peer_that_raises_is_wrong(tmp_path: Path) -> None:
    def refuse(_: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError("not this\none")

    verdicts = check.verdicts(problem(PLAIN, tmp_path), ("forward",), (Broken(0, refuse),))
    assert verdicts["forward"]["broken peer"].wrong == "raises NotImplementedError: not this"


# --- time -------------------------------------------------------------------------------------------------------------


class Slow:
    """Takes a fixed time an example."""

    name, rival = "slow peer", True

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
    assert runner.affordable(given, "forward", (peers.PEERS[0], slow), 0.2) in (3, 6, 12)
    assert runner.affordable(given, "forward", (peers.PEERS[0], slow), 1e-9) == 1
    assert runner.affordable(given, "forward", (peers.PEERS[0], slow), 1e9) == 50


def test_calls_take_turns() -> None:
    order: list[str] = []

    def call(name: str, seconds: float) -> timing.Call:
        return lambda: (order.append(name), time.sleep(seconds))

    times = timing.alternating({"a": call("a", timing.SAMPLE), "b": call("b", 2 * timing.SAMPLE)}, 4, 60.0)
    assert order == [*"aaaabbbb", *"ab" * 4]
    assert {name: (t.samples, t.calls_a_sample) for name, t in times.items()} == {"a": (4, 1), "b": (4, 1)}
    for t in times.values():
        assert timing.SAMPLE <= t.least <= t.quartiles[0] <= t.median <= t.quartiles[1]


def test_short_calls_are_repeated_and_the_budget_ends_the_rounds() -> None:
    quick = timing.alternating({"quick": lambda: None}, 5, 60.0)["quick"]
    assert quick.calls_a_sample > 10
    slept = timing.alternating({"slow": lambda: time.sleep(0.01)}, 1000, 0.1)["slow"]
    assert timing.LEAST_ROUNDS <= slept.samples <= 10


# --- report -----------------------------------------------------------------------------------------------------------


def result(given: Problem, ratio: float | None, file: str = "a.csv", direction: str = "forward") -> runner.Result:
    times = {peer.name: timing.Times(1e-3, 1e-3, (1e-3, 2e-3), 3, 2) for peer in peers.PEERS}
    figures = runner.Figures(times, ratio, 12.5, 3.25, 0.5)
    verdicts = {peer.name: check.Verdict(0.25, "") for peer in peers.PEERS}
    return runner.Result(file, direction, given, 50, verdicts, figures)


def test_means_are_geometric_a_file_and_direction(tmp_path: Path) -> None:
    given = problem(PLAIN, tmp_path)
    ratios = [result(given, 0.5), result(given, 8.0), result(given, 3.0, direction="training"), result(given, None)]
    first, second = runner.summaries(ratios)
    assert (first.file, first.direction, first.rows, first.least, first.below_one) == ("a.csv", "forward", 2, 0.5, 1)
    assert first.geometric_mean == pytest.approx(2.0)
    assert (second.direction, second.geometric_mean) == ("training", pytest.approx(3.0))
    assert report.closing([first]) == "a.csv, forward: geometric mean 2.00, least 0.50, below 1 in 1 of 2 rows"


def test_lines_fit_150_characters_and_tell_of_a_cut_batch(tmp_path: Path) -> None:
    given = problem(VOLUME | {"name": "a name that is much too long for its column"}, tmp_path)
    line = report.line(result(given, 2.0))
    header = report.header(peers.PEERS).splitlines()
    assert "n 50->3 8x4x10x9 -> 8 2x3x3" in line
    assert line.startswith(".. long for its column n")
    assert max(len(text) for text in (line, *header)) == 150
    assert len(line) == len(header[1])
    assert line.split()[-8:] == ["1.000"] * 4 + ["2.00", "12.5", "3.2", "50%"]


def test_shapes_are_written_short(tmp_path: Path) -> None:
    assert [str(problem(row, tmp_path)) for row in (PLAIN, ONE_SIDED, SHORTENED, SIGNAL, VOLUME)] == [
        "8x10x9 -> 12 3x3 s2 p1 g2",
        "8x10x9 -> 12 3x3 s2 p0:1x2 g2",
        "8x10x9 T-> 12 3x3 s2 p1:3x2 g2",
        "8x9 -> 12 3 s2 p1 g2",
        "8x4x10x9 -> 8 2x3x3 s1x2x2 p1 d2x1x1 g8",
    ]


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_measures_prints_and_saves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = written(tmp_path / "list.csv", *ROWS), tmp_path / "out.json"
    quick = ["--rounds", "3", "--budget", "0.01"]
    assert cli.main(["bench", "--shapes", str(path), "--filter", "one", *quick, "--json", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[4:6]] == ["one-sided", "one-sided"]
    saved = json.loads(out.read_text())
    assert saved["complete"] is True
    assert min(saved["limits"].values()) > 0
    assert [row["direction"] for row in saved["rows"]] == ["forward", "training"]
    for row in saved["rows"]:
        assert row["problem"]["high"] == [1, 2]
        assert list(row["times"]) == [peer.name for peer in peers.PEERS]
        medians = {name: times["median"] for name, times in row["times"].items()}
        best = min(medians["torch contiguous"], medians["torch channels-last"])
        assert row["ratio"] == pytest.approx(best / medians["ours channels-last"])
        passes = {"forward": 1, "training": 3}[row["direction"]]
        work = passes * 2 * 3 * 12 * 5 * 5 * 4 * 9
        assert row["gflops"] == pytest.approx(work / medians["ours channels-last"] / 1e9)
    assert [summary["rows"] for summary in saved["summaries"]] == [1, 1]
    assert len(lines) == 8


def test_an_interrupted_run_keeps_what_it_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(Slow):
        def prepare(self, problem: Problem, data: Data) -> Calls:
            if problem.name == "signal":
                raise KeyboardInterrupt
            return peers.PEERS[0].prepare(problem, data)

    monkeypatch.setattr(peers, "PEERS", (peers.PEERS[0], Interrupted(0)))
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
    for wrong in (["--directions", "backward"], ["--seconds", "0"], ["--rounds", "x"], ["--threads", "-1"]):
        with pytest.raises(SystemExit, match="2"):
            cli.main(["bench", "--shapes", str(path), *wrong])
        assert wrong[0] in capsys.readouterr().err


def test_importing_convlayers_does_not_import_the_benchmark() -> None:
    code = "import sys, convlayers, convlayers.cli; print([m for m in sys.modules if m.startswith('convlayers.bench')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
