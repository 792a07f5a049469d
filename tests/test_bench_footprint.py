"""The memory of a call, as the system counts it."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from bench_rows import PLAIN, SIGNAL, problem, written

from convlayers import cli
from convlayers.bench import footprint
from convlayers.bench.peers import OURS

LARGE = PLAIN | {
    "name": "large", "n": "4", "c": "64", "k": "128", "h": "64", "w": "64", "oh": "64", "ow": "64", "groups": "1",
    "stride_h": "1", "stride_w": "1",
}  # fmt: skip
linux = pytest.mark.skipif(platform.libc_ver()[0] != "glibc" or sys.platform != "linux", reason="another system")


@linux
def test_a_peer_is_seen_to_take_what_it_takes(tmp_path: Path) -> None:
    """In a process of its own: what is allocated, freed and of whatever origin, to a megabyte."""
    path, out = written(tmp_path / "list.csv", LARGE), tmp_path / "out.json"
    code = f"""
import sys, torch
from convlayers import cli
from convlayers.bench import peers
from convlayers.bench.peers import Calls

class Wasteful:
    name, family, own_threads = "wasteful peer", "torch", False
    def prepare(self, problem, data):
        right = peers.PEERS["torch"][1].prepare(problem, data)
        def forward():
            torch.ones(20 * 2**18) + 1  # 40 MB, freed again
            return right.forward()
        return Calls(forward, None)

class Nothing(Wasteful):
    name = "no peer"
    def prepare(self, problem, data):
        return Calls(lambda: None, None)

peers.PEERS["torch"] = (Wasteful(), Nothing())
sys.exit(cli.main(["bench", "--memory", "--threads", "2", "--shapes", {str(path)!r}, "--json", {str(out)!r}]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    forward, training = json.loads(out.read_text())["footprints"]
    assert forward["results"] == 4 * 4 * 128 * 64 * 64
    assert training["results"] == forward["results"] + 4 * (4 * 64 * 64 * 64 + 128 * 64 * 9 + 128)
    assert forward["allowed"] == forward["results"] + 4 * 36 * 64 * 128 + 2 * 2 * 2**20
    ours = [peer.name for peer in OURS]
    assert list(forward["peaks"]) == [*ours, "wasteful peer", "no peer"]
    assert list(training["peaks"]) == ours
    megabyte = 2**20
    assert forward["peaks"]["no peer"] < megabyte
    assert 39 * megabyte < forward["peaks"]["wasteful peer"] < 42 * megabyte
    for row in (forward, training):
        assert row["results"] - megabyte < row["peaks"][ours[0]] <= row["allowed"]
        assert row["fits"]


def test_packed_weights_by_hand(tmp_path: Path) -> None:
    assert footprint.packed(problem(LARGE, tmp_path)) == 4 * 36 * 64 * 128
    # Three taps by steps of two are none of its: F(4, 3) along the other axis, six products for each of the three.
    halved = LARGE | {"stride_h": "2", "oh": "32"}
    assert footprint.packed(problem(halved, tmp_path)) == 4 * 6 * 3 * 64 * 128
    assert footprint.packed(problem(halved | {"stride_w": "2", "ow": "32"}, tmp_path)) == 4 * 9 * 64 * 128
    # Two groups of 4 to 6 channels, three taps; a vector holds 16.
    assert footprint.packed(problem(SIGNAL, tmp_path)) == 4 * 2 * 3 * 6 * 16
    assert footprint.packed(problem(SIGNAL | {"c": "4", "k": "8", "groups": "4"}, tmp_path)) == 4 * 4 * 3 * 2


def test_more_than_allowed_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(footprint, "prepare", lambda: True)
    monkeypatch.setattr(footprint, "_peak", lambda *_: 10**9)
    path = written(tmp_path / "list.csv", PLAIN)
    assert cli.main(["bench", "--shapes", str(path), "--memory", "--directions", "forward"]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed[2].endswith("  MORE")
    assert printed[3] == "more than results, packed weights and 2 MB a thread: 1 of 1"


def test_mistakes_are_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(footprint, "glibc", lambda: None)
    command = ["bench", "--shapes", str(written(tmp_path / "list.csv", PLAIN)), "--memory"]
    assert cli.main(command) == 2
    assert "--memory needs Linux and glibc" in capsys.readouterr().err
    assert cli.main([*command, "--keep-memory"]) == 2
    assert "leave --keep-memory out" in capsys.readouterr().err
