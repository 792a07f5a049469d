"""Every instruction set that this machine runs, every kernel forced: exact, and reported by ``convlayers.which``."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import convlayers

TESTS = Path(__file__).parent
#: Each kernel that can be forced, and what it cannot compute, which falls to the first that can.
KERNELS = ("direct", "depthwise", "grouped", "pool", "torch")

_REPORT = """
import json, sys, torch, convlayers
from convlayers import functional as F
from convlayers.ops import select
x, dense, depthwise = torch.zeros(1, 4, 8, 8), torch.zeros(4, 4, 3, 3), torch.zeros(4, 1, 3, 3)
grouped = torch.zeros(4, 2, 3, 3)
calls = {
    "dense": lambda: convlayers.which(F.conv2d, x, dense),
    "transposed": lambda: convlayers.which(F.conv_transpose2d, x, dense),
    "depthwise": lambda: convlayers.which(F.conv2d, x, depthwise, groups=4),
    "grouped": lambda: convlayers.which(F.conv2d, x, grouped, groups=2),
    "max": lambda: convlayers.which(F.max_pool2d, x, 2),
    "average": lambda: convlayers.which(F.avg_pool2d, x, 2),
}
reports = {}
assert select.forced == sys.argv[1]  # as the environment has it
for select.forced in sys.argv[1:]:
    reports[select.forced] = {name: call()[0]._asdict() for name, call in calls.items()}
print(json.dumps([convlayers.isa(), reports]))
"""


def _python(*arguments: str, isa: str, kernel: str, **environment: str) -> subprocess.CompletedProcess[str]:
    forced = {"CONVLAYERS_ISA": isa, "CONVLAYERS_KERNEL": kernel, **environment}
    return subprocess.run(
        [sys.executable, *arguments], env={**os.environ, **forced}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("isa", convlayers.isas())
def test_what_is_forced_is_reported(isa):
    done = _python("-c", _REPORT, *KERNELS, isa=isa, kernel=KERNELS[0])
    assert done.returncode == 0, done.stderr
    chosen_isa, reports = json.loads(done.stdout)
    assert chosen_isa == isa
    assert tuple(reports) == KERNELS
    able = {
        "dense": ("direct",),
        "transposed": ("direct",),
        "depthwise": ("depthwise", "direct"),
        "grouped": ("grouped", "direct"),
        "max": ("pool",),
        "average": ("pool",),
    }
    for kernel, name in itertools.product(KERNELS, able):
        choice = reports[kernel][name]
        expected = kernel if kernel in (*able[name], "torch") else able[name][0]
        assert choice["kernel"] == expected, (kernel, name)
        assert choice["isa"] == ("" if expected == "torch" else isa), (kernel, name)


@pytest.mark.parametrize(
    ("isa", "kernel"),
    [
        *((isa, kernel) for isa in convlayers.isas() for kernel in ("", "direct", "grouped")),
        (convlayers.isas()[0], "torch"),
    ],
)
def test_every_kernel_is_exact(isa, kernel):
    # The properties in a process of their own: the instruction set is chosen once, when the library is loaded.
    done = _python(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", str(TESTS / "test_properties.py"), "-k", "exact or bound"),
        isa=isa,
        kernel=kernel,
        CONVLAYERS_EXAMPLES="100",
    )
    assert done.returncode == 0, done.stdout[-4000:]


def test_an_isa_that_there_is_not_is_refused():
    done = _python("-c", "import convlayers; convlayers.isa()", isa="sse9", kernel="")
    assert done.returncode == 1
    assert "CONVLAYERS_ISA" in done.stderr
