"""Peers of other projects: right on small problems, and plain about what they cannot compute."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench_rows import CROPPED, DOUBLED, ONE_SIDED, PLAIN, ROWS, SIGNAL, problem

from convlayers.bench import check, peers

DIRECTIONS = ("forward", "training")


@pytest.mark.filterwarnings("ignore")  # torch's compiler warns of its own parts
@pytest.mark.parametrize("row", [PLAIN, ONE_SIDED, SIGNAL, DOUBLED], ids=lambda row: row["name"])
def test_compiled_is_right(row: dict[str, str], tmp_path: Path) -> None:
    found = check.verdicts(problem(row, tmp_path), DIRECTIONS, peers.PEERS["compiled"])
    assert [verdict for verdicts in found.values() for verdict in verdicts.values() if not verdict.right] == []


@pytest.mark.parametrize("family", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_others_are_right_or_say_what_they_lack(family: str, row: dict[str, str], tmp_path: Path) -> None:
    for package in peers.NEEDS[family]:
        pytest.importorskip(package)
    [peer] = peers.PEERS[family]
    found = check.verdicts(problem(row, tmp_path), DIRECTIONS, (peer,))
    forward, training = (found[direction][peer.name] for direction in DIRECTIONS)
    assert forward.lacks == ("ONNX has no negative padding" if row is CROPPED else "")
    assert forward.wrong == ""
    assert training.lacks == (forward.lacks or "computes no gradients")
