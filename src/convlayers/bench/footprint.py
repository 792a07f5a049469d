"""How much memory one call takes at its peak, as the system counts it: every page that the process has, of any origin.

Linux with glibc alone. Freed memory must go back to the system at once for this, so :func:`prepare` has every block of
64 KB or more mapped by itself: the opposite of :func:`convlayers.keep_memory`, and slow.
"""

from __future__ import annotations

import gc
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from convlayers.bench.data import Data
from convlayers.bench.limits import Machine
from convlayers.bench.peers import Peer, UnsupportedError
from convlayers.bench.problem import Problem
from convlayers.memory import glibc
from convlayers.ops import convolution, cost

#: Bytes of input, weight and output up to which a batch is taken as it is.
MOST = 2**28
#: What a thread may use beside packed weights.
A_THREAD = 2 * 2**20
#: Packed channels come in whole vectors of the widest instruction set.
_VECTOR = 16
_M_MMAP_THRESHOLD, _BLOCK = -3, 64 * 1024
_PROCESS = Path("/proc/self")


@dataclass(frozen=True)
class Footprint:
    """Bytes of one call of each peer.

    Attributes:
        problem: with a batch whose tensors take no more than :data:`MOST`.
        peaks: by how much the process grew at most, by the names of the peers.
        results: of the tensors that the call returns.
        allowed: that the first peer's peak may be: results, packed weights, and 2 MB a thread.
    """

    file: str
    direction: str
    problem: Problem
    peaks: dict[str, int]
    results: int
    allowed: int

    @property
    def fits(self) -> bool:
        """Whether the first peer's peak is as it may be."""
        return next(iter(self.peaks.values())) <= self.allowed


def prepare() -> bool:
    """Makes this process fit to be measured, for good; False where that cannot be."""
    library = glibc()
    if library is None or not (_PROCESS / "clear_refs").exists():
        return False
    return bool(library.mallopt(_M_MMAP_THRESHOLD, _BLOCK))


def measure(
    rows: Iterable[tuple[str, Problem]], directions: tuple[str, ...], peers: tuple[Peer, ...]
) -> Iterator[Footprint]:
    """Measures rows one by one, each in every direction; a peer that lacks a problem has no peak.

    Args:
        rows: the name of a list and a problem of it.
        directions: of 'forward' and 'training'.
        peers: the first is the one whose peak is judged.
    """
    for file, problem in rows:
        batch = problem.batch
        while batch > 1 and problem.with_batch(batch).bytes > MOST:
            batch //= 2
        cut = problem.with_batch(batch)
        for direction in directions:
            peaks = {peer.name: _peak(cut, direction, peer) for peer in peers}
            found = {name: peak for name, peak in peaks.items() if peak is not None}
            results = _results(cut, direction)
            allowed = results + packed(cut) + A_THREAD * torch.get_num_threads()
            yield Footprint(file, direction, cut, found, results, allowed)


def _peak(problem: Problem, direction: str, peer: Peer) -> int | None:
    """By how much the process grows in a call, after one that does what is done once."""
    library = glibc()
    assert library is not None
    try:
        call = getattr(peer.prepare(problem, Data(problem)), direction)
    except UnsupportedError:
        return None
    if call is None:
        return None
    with torch.set_grad_enabled(direction == "training"):
        call()
        gc.collect()
        library.malloc_trim(0)
        (_PROCESS / "clear_refs").write_text("5")  # the peak becomes what there is now
        before = _kilobytes("VmRSS")
        call()
        return 1024 * (_kilobytes("VmHWM") - before)


def _results(problem: Problem, direction: str) -> int:
    shapes = [problem.output_shape]
    if direction == "training":
        shapes += [problem.input_shape, problem.weight_shape, (problem.out_channels,)]
    return 4 * sum(math.prod(shape) for shape in shapes)


def packed(problem: Problem) -> int:
    """Bytes of the weights as kernels read them, channels of a group in whole vectors, in the larger direction.

    Example:
        >>> from convlayers.bench import problems, shapes
        >>> first = shapes.read(problems.FOLDER / "vgg16.csv")[0]
        >>> first.weight_shape, packed(first)
        ((64, 3, 3, 3), 36864)
    """
    inner, outer = problem.in_channels // problem.groups, problem.out_channels // problem.groups
    taps = _packed_taps(problem)
    if inner == 1 or outer == 1:
        return 4 * problem.groups * taps * max(inner, outer)
    return 4 * problem.groups * taps * max(inner * _whole(outer), outer * _whole(inner))


def _packed_taps(problem: Problem) -> int:
    call = problem.call(contiguous=False)
    regions = cost.winograd_regions(call) if convolution.candidates(call, exact=False)[0] == "winograd" else None
    if regions is None:
        return math.prod(problem.kernel)
    # Winograd's algorithm has a weight for each product: F(4x4, 3x3) 36 where the filter has 9 taps.
    return max(math.prod(axis.points * axis.parts for axis in axes) for _, axes in regions)


def _whole(channels: int) -> int:
    return math.ceil(channels / _VECTOR) * _VECTOR


def _kilobytes(name: str) -> int:
    for line in (_PROCESS / "status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise OSError(f"/proc/self/status has no {name}")


def header(peers: Iterable[Peer]) -> str:
    """Two lines over the columns."""
    words = [peer.name.replace("channels-last", "ch.-last").split(" ", 1) for peer in peers]
    above = f"{'MB at the peak of a call':82}" + "".join(f"{first:>12}" for first, _ in words)
    below = f"{'name':32} {'shape':40} {'pass':8}" + "".join(f"{second:>12}" for _, second in words)
    return f"{above}\n{below}{'results':>9}{'allowed':>9}"


def line(found: Footprint, peers: Iterable[Peer]) -> str:
    """A row; '-' for a peer that has no such computation."""
    peaks = (f"{found.peaks[peer.name] / 2**20:12.1f}" if peer.name in found.peaks else f"{'-':>12}" for peer in peers)
    shape = f"n {found.problem.batch} {found.problem}"
    end = "" if found.fits else "  MORE"
    return (
        f"{found.problem.name[-32:]:32} {shape[:40]:40} {found.direction:8}{''.join(peaks)}"
        f"{found.results / 2**20:9.1f}{found.allowed / 2**20:9.1f}{end}"
    )


def save(path: Path, command: str, machine: Machine, found: Iterable[Footprint]) -> None:
    """Writes JSON: command, machine and rows, in bytes."""
    rows = [asdict(footprint) | {"fits": footprint.fits} for footprint in found]
    content = {"command": command, "machine": machine._asdict(), "footprints": rows}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
