"""The README's tables and the picture, from a small saved run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from bench_rows import PLAIN, SIGNAL, problem
from test_bench_report import result

from convlayers import cli
from convlayers.bench import limits, render, report, runner


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    plain, signal = problem(PLAIN, tmp_path), problem(SIGNAL | {"groups": "1"}, tmp_path)
    found = report.Report(
        "convlayers bench --keep-memory",
        limits.Machine("A processor", 2, "avx512", "2.13", "0.1", "Linux", {"onnx": "1.2"}),
        limits.Limits(200.0, 33.3),
        runner.Settings(keep_memory=True),
        ("torch", "openvino"),
        [
            result(plain, {"torch": 2.0, "openvino": 4.0}, "lists/a.csv"),
            result(plain, {"torch": 8.0}, "lists/a.csv", "training"),
            result(signal, {"torch": 0.5, "openvino": 0.25}, "b"),
            result(signal, {}, "b", "training"),
        ],
        complete=True,
    )
    found.save(tmp_path / "out.json")
    return tmp_path / "out.json"


def test_tables(saved: Path) -> None:
    text = render.tables(render.load(saved))
    assert text.startswith(
        "`convlayers bench --keep-memory` on A processor, 2 threads, avx512; convlayers 0.1, torch 2.13"
    )
    assert "onnx 1.2; measured limits 200 GFLOP/s and 33 GB/s; memory kept (convlayers.keep_memory)." in text
    lines = [re.sub(" +", " ", line) for line in text.splitlines()]
    columns = " | ".join(
        f"{d}: {w}" for d in ("forward", "training") for w in ("mean", "least", "below 1", "of the limit")
    )
    for line in (
        f"| list | {columns} |",
        "| a | 2.00 | 2.00 | 0 of 1 | 50% | 8.00 | 8.00 | 0 of 1 | 50% |",
        "| b | 0.50 | 0.50 | 1 of 1 | 50% | - | - | - | - |",
        "| **all** | 1.00 | 0.50 | 1 of 2 | 50% | 8.00 | 8.00 | 0 of 1 | 50% |",
        "| grouped | 2.00 | 2.00 | 0 of 1 | 50% | 8.00 | 8.00 | 0 of 1 | 50% |",
        "| 1-D | 0.50 | 0.50 | 1 of 1 | 50% | - | - | - | - |",
        "| openvino | 1.00 | 0.25 | 1 of 2 | 50% | - | - | - | - |",
        "Below 0.97: signal forward 0.50.",
    ):
        assert line in lines
    assert len([line for line in lines if line.startswith("|")]) == 5 + 5 + 4
    assert "interrupted" not in text
    run = json.loads(saved.read_text())
    assert "interrupted" in render.tables(run | {"complete": False})


def test_the_command_writes_readme_and_picture(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readme, picture = saved.parent / "README.md", saved.parent / "docs" / "speed.svg"
    readme.write_text("before\n<!-- speed -->\nold\n<!-- /speed -->\nafter\n")
    command = ["bench", "--render", str(saved), "--readme", str(readme), "--picture", str(picture)]
    assert cli.main(command) == 0
    assert capsys.readouterr().out == ""
    text = readme.read_text()
    assert text.startswith(
        "before\n<!-- speed -->\n![Ratio of every row, and the roofline](docs/speed.svg)\n\n`convlayers"
    )
    assert text.endswith("</details>\n<!-- /speed -->\nafter\n")
    assert "old" not in text
    assert cli.main(command) == 0
    assert readme.read_text() == text
    assert cli.main(["bench", "--render", str(saved), str(saved)]) == 0
    table = render.tables(render.load(saved))
    assert capsys.readouterr().out == f"{table}\n\n{table}\n"


def test_every_row_is_a_dot_in_both_panels(saved: Path) -> None:
    picture = saved.parent / "speed.svg"
    assert cli.main(["bench", "--render", str(saved), "--picture", str(picture)]) == 0
    root = ElementTree.fromstring(picture.read_text())
    circles = [c.attrib for c in root.iter() if c.tag.endswith("circle")]
    dots = [(c["class"], float(c["cx"]), float(c["cy"])) for c in circles if c["r"] == "3"]
    left, right = ([dot for dot in dots if (dot[1] < 480) == first] for first in (True, False))
    assert [kind for kind, *_ in left] == [kind for kind, *_ in right] == ["forward", "forward", "training"]
    # Sorted: 0.5, then 2, as far below 1 as above; 8 is two octaves higher.
    (_, first, low), (_, second, high), (_, _, highest) = left
    assert first < second
    assert high - highest == pytest.approx(low - high, abs=0.3)
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    assert all(0 < x < width and 0 < y < height for _, x, y in dots)


def test_one_row_is_enough_for_a_picture(saved: Path) -> None:
    run = json.loads(saved.read_text())
    saved.write_text(json.dumps(run | {"rows": run["rows"][:1]}))
    assert cli.main(["bench", "--render", str(saved), "--picture", str(saved.parent / "one.svg")]) == 0


def test_mistakes_are_refused_in_a_sentence(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run: dict[str, Any] = json.loads(saved.read_text())
    folder = saved.parent
    contents = {"list": [], "text": "no", "empty": run | {"rows": []}, "alone": run | {"rivals": []}}
    contents["old"] = run | {"summaries": [{"by": "all", "rows": 1}]}
    for name, content in contents.items():
        (folder / f"{name}.json").write_text(content if name == "text" else json.dumps(content))
    (folder / "unmarked.md").write_text("<!-- /speed --> <!-- speed -->")
    render_it = ["--render", str(saved)]
    mistakes = {
        ("--render", str(folder / "none.json")): "none.json: cannot be read: No such file",
        ("--render", str(folder / "list.json")): "list.json: is not what `convlayers bench --json` saves",
        ("--render", str(folder / "text.json")): "text.json: is not what `convlayers bench --json` saves",
        ("--render", str(folder / "old.json")): "old.json: is not what `convlayers bench --json` saves",
        ("--render", str(folder / "empty.json")): "empty.json: has no row with a ratio",
        ("--render", str(folder / "alone.json")): "alone.json: has no row with a ratio",
        (*render_it, "--readme", str(folder / "unmarked.md")): "unmarked.md: must have <!-- speed --> once",
        (*render_it, "--readme", str(folder / "none.md")): "none.md: cannot be read",
        (*render_it, "--picture", "speed.png"): "--picture must end in .svg; received speed.png",
        ("--picture", "speed.svg"): "--picture shows what a run saved",
        ("--readme", "README.md"): "--readme shows what a run saved",
    }
    for arguments, sentence in mistakes.items():
        assert cli.main(["bench", *arguments]) == 2
        assert sentence in capsys.readouterr().err


def test_the_readme_has_its_marks() -> None:
    text = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    assert [text.count(mark) for mark in render.MARKS] == [1, 1]
