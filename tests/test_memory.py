"""That memory is kept where the C library is glibc: no new pages for an output of a size that there was before."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import pytest

import convlayers

FAULTS = """
import resource, statistics, sys, torch, convlayers
if sys.argv[1] == "keep":
    assert convlayers.keep_memory()
def met():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
layers = torch.nn.Conv2d(4, 64, 1), convlayers.Conv2d(4, 64, 1)
picture = torch.randn(1, 4, 400, 400)
with torch.no_grad():
    for layer in layers:
        for _ in range(3):
            layer(picture)
        counts = []
        for _ in range(9):
            before = met()
            layer(picture)
            counts.append(met() - before)
        print(statistics.median(counts))
"""


def faults(treatment: str) -> list[float]:
    """Page faults of a call of torch's layer and of ours, each with an output of 41 MB: the median of nine.

    A single call may find that something small has come to lie in the block it would have taken.
    """
    command = [sys.executable, "-c", FAULTS, treatment]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return [float(line) for line in done.stdout.split()]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_an_output_takes_the_pages_of_the_one_before() -> None:
    # A page has 4 KB, or 64 where the system was built so.
    assert min(faults("leave")) > 600
    assert max(faults("keep")) < 100


@pytest.mark.parametrize("missing", ["gnu_get_libc_version", "mallopt"])
def test_where_there_is_no_glibc_nothing_is_done(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int]] = []
    library = type("Library", (), {})()
    library.gnu_get_libc_version = library.mallopt = lambda *option: calls.append(option) or 1
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    assert convlayers.keep_memory() is True
    assert calls == [(-4, 0), (-1, -1)]
    delattr(library, missing)
    assert convlayers.keep_memory() is False
    assert len(calls) == 2
