"""What the machine can do at most: multiplications with additions in registers, and bytes to and from memory."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import torch

import convlayers
from convlayers.ops.tuned import processor

#: Sizes of square matrices, some of which fit the caches of any processor.
SIZES = (192, 256, 384, 512, 768, 1024)
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


class Machine(NamedTuple):
    """What is measured on; ``others`` are the versions of the packages that other peers need."""

    processor: str
    threads: int
    isa: str
    torch: str
    convlayers: str
    system: str
    others: dict[str, str]


class Limits(NamedTuple):
    """The most that was seen: of multiplications and additions, and of bytes read and written, in thousands of millions
    a second."""

    gflops: float
    gbytes: float


def machine(packages: Iterable[str] = ()) -> Machine:
    """This machine, as far as it says what it is, with the versions of ``packages``."""
    return Machine(
        processor=processor(),
        threads=torch.get_num_threads(),
        isa=convlayers.isa(),
        torch=torch.__version__,
        convlayers=version("convlayers"),
        system=platform.platform(),
        others={package: version(package) for package in packages},
    )


def measure() -> Limits:
    """The best of many matrix products and of several copies of a buffer four times the largest cache."""
    with torch.no_grad():
        return Limits(max(_product(size) for size in SIZES) / 1e9, _copy() / 1e9)


def _product(size: int) -> float:
    left, right = torch.randn(size, size), torch.randn(size, size)
    output = torch.empty(size, size)
    return 2 * size**3 / _best(lambda: torch.mm(left, right, out=output), 0.15)


def _copy() -> float:
    elements = max(2**26, 4 * _largest_cache() // 4)
    source, target = torch.zeros(elements), torch.zeros(elements)
    return 8 * elements / _best(lambda: target.copy_(source), 0.4)


def _best(call: Callable[[], object], seconds: float) -> float:
    end, best = time.perf_counter() + seconds, float("inf")
    call()
    while (begin := time.perf_counter()) < end or best == float("inf"):
        call()
        best = min(best, time.perf_counter() - begin)
    return best


def _largest_cache() -> int:
    """Bytes, where the system says."""
    sizes = [0]
    for file in _CACHES.glob("index*/size"):
        text = file.read_text().strip()
        if text.endswith("K") and text[:-1].isdigit():
            sizes.append(int(text[:-1]) * 1024)
    return max(sizes)
