"""What the benchmark prints of a row, and the means of lists and kinds."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench_rows import DEFAULT, ONE_SIDED, PLAIN, SHORTENED, SIGNAL, VOLUME, problem

from convlayers.bench import check, kinds, report, runner, summary, timing
from convlayers.bench.problem import Problem


def result(
    given: Problem,
    ratios: dict[str, float],
    file: str = "a.csv",
    direction: str = "forward",
    batch: int = 50,
    share: float = 0.5,
) -> runner.Result:
    times = {peer.name: timing.Times(1e-3, 1e-3, (1e-3, 2e-3), 3, 2) for peer in DEFAULT}
    figures = runner.Figures(times, ratios, 12.5, 3.25, share)
    verdicts = {peer.name: check.Verdict(0.25) for peer in DEFAULT}
    return runner.Result(file, direction, given, batch, verdicts, figures)


def test_means_are_geometric_a_list_a_kind_and_for_all(tmp_path: Path) -> None:
    plain, signal = problem(PLAIN | {"groups": "1"}, tmp_path), problem(SIGNAL | {"groups": "1"}, tmp_path)
    results = [
        result(signal, {"torch": 0.5, "compiled": 3.0}),
        result(plain, {"torch": 8.0}, share=0.75),
        result(plain, {"torch": 4.0}, file="b.csv"),
        result(plain, {}),
        result(plain, {"torch": 0.98}, direction="training"),
    ]
    found = {(s.by, s.group, s.direction, s.rival): s for s in summary.summaries(results)}
    assert list(found) == [
        ("list", "a.csv", "forward", "torch"),
        ("list", "a.csv", "forward", "compiled"),
        ("list", "b.csv", "forward", "torch"),
        ("list", "a.csv", "training", "torch"),
        ("kind", "other 2-D", "forward", "torch"),
        ("kind", "other 2-D", "training", "torch"),
        ("kind", "1-D", "forward", "torch"),
        ("kind", "1-D", "forward", "compiled"),
        ("all", "all", "forward", "torch"),
        ("all", "all", "forward", "compiled"),
        ("all", "all", "training", "torch"),
    ]
    first, total = found["list", "a.csv", "forward", "torch"], found["all", "all", "forward", "torch"]
    assert (first.rows, first.geometric_mean, first.least, first.below_one) == (2, pytest.approx(2.0), 0.5, 1)
    assert (first.share, total.share) == (0.625, 0.5)
    assert (total.rows, total.geometric_mean, total.least, total.below_one) == (3, pytest.approx(16 ** (1 / 3)), 0.5, 1)
    assert summary.slow(results, "torch") == results[:1]
    lines = report.closing(results, ("torch", "compiled")).splitlines()
    assert (
        lines[0]
        == "list a.csv, forward: geometric mean 2.00 of torch, least 0.50, below 1 in 1 of 2 rows, 62% of the limit"
    )
    assert lines[-4:] == [
        "all, forward: geometric mean 3.00 of compiled, least 3.00, below 1 in 0 of 1 rows, 50% of the limit",
        "all, training: geometric mean 0.98 of torch, least 0.98, below 1 in 1 of 1 rows, 50% of the limit",
        "below 0.97 of torch: 1 of 5",
        "  0.50 forward  signal",
    ]
    assert len(lines) == 3 + 3 + 3 + 2


def test_lines_fit_150_characters_and_tell_of_a_cut_batch(tmp_path: Path) -> None:
    given = problem(VOLUME | {"name": "a name that is much too long for its column"}, tmp_path)
    line = report.line(result(given, {"torch": 2.0}), ("torch",))
    header = report.header(DEFAULT, ("torch",)).splitlines()
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


def square(
    side: int, channels: int = 64, out: int = 64, groups: int = 1, stride: int = 1, dilation: int = 1
) -> Problem:
    """A 2-D convolution whose padding keeps the size at stride 1."""
    low = (dilation * (side - 1) // 2,) * 2
    axes = {"kernel": (side,) * 2, "stride": (stride,) * 2, "low": low, "high": low, "dilation": (dilation,) * 2}
    sizes = {"size": (32, 32), "output_size": (32 // stride,) * 2, "output_padding": (0, 0)}
    return Problem("", False, 1, channels, out, groups, **axes, **sizes)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (square(1), "1x1"),
        (square(1, 3), "1x1"),
        (square(1, dilation=2), "1x1"),
        (square(3), "3x3, stride 1, 64 channels or more"),
        (square(3, 63), "other 2-D"),
        (square(3, stride=2), "other 2-D"),
        (square(5), "other 2-D"),
        (square(7, 3), "few channels"),
        (square(3, 1, 1), "few channels"),
        (square(3, groups=2), "grouped"),
        (square(3, dilation=2), "dilated"),
        (square(3, groups=64), "depthwise 3x3"),
        (square(1, groups=64), "depthwise 3x3"),
        (square(5, groups=64), "depthwise 5x5 and 7x7"),
        (square(31, groups=64), "depthwise larger"),
        (square(3, groups=64, dilation=2), "depthwise dilated"),
    ],
)
def test_kinds_of_pictures(given: Problem, kind: str) -> None:
    assert kinds.kind(given) == kind


def test_kinds_of_other_ranks(tmp_path: Path) -> None:
    dense = {"groups": "1"}
    found = [
        kinds.kind(problem(row, tmp_path))
        for row in (SHORTENED, SIGNAL | dense, SIGNAL | {"k": "8", "groups": "8"}, VOLUME | {"t": "3", "dil_d": "1"})
    ]
    assert found == ["transposed", "1-D", "depthwise 1-D", "depthwise 3-D"]
    assert kinds.kind(problem(VOLUME | dense, tmp_path)) == "dilated"
