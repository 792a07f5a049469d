"""Fits the prices of :mod:`convlayers.ops.cost` to this machine: measures a spread of problems, prints the prices.

    python -m convlayers.bench.fit
    CONVLAYERS_ISA=avx2 ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 python -m convlayers.bench.fit

Forward passes on one thread: every third row of the project's own lists, batches cut, and a grid with
small ones and few channels.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator

import torch

from convlayers import keep_memory
from convlayers.activations import IDENTITY
from convlayers.bench import problems, shapes, timing
from convlayers.bench.data import Data
from convlayers.bench.problem import Problem
from convlayers.ops import convolution, cost, library
from convlayers.ops.arguments import arguments
from convlayers.ops.borders import CONSTANT

#: Multiplications to which a batch is cut, and those of the largest picture that is measured.
CUT, MOST = 1e8, 8e8
#: Which of the lists' rows are measured.
STEP = 3
#: Channels of input and output in the grid.
CHANNELS = ((1, 64), (3, 32), (8, 8), (16, 64), (64, 64), (128, 16))
#: Samples of each implementation, and the seconds that they may take together.
ROUNDS, BUDGET = 5, 0.2


def spread() -> Iterator[Problem]:
    """The problems."""
    rows = [row for path in problems.lists() for row in shapes.read(path)]
    for row in rows[::STEP]:
        each = row.macs // row.batch
        if each <= MOST:
            yield row.with_batch(max(1, min(row.batch, int(CUT / each))))
    for (inner, outer), side, (taps, step) in itertools.product(CHANNELS, (4, 16, 64), ((1, 1), (3, 1), (4, 2))):
        for groups in [g for g in (1, 4, 8, 16, 64) if inner % g == 0] if inner == outer else [1]:
            pad = ((taps - 1) // 2,) * 2
            shape = ((side,) * 2, (taps,) * 2, (step,) * 2, pad, pad, (1,) * 2, (0,) * 2)
            yield Problem("grid", False, 1, inner, outer, groups, *shape, (side // step,) * 2)


def measure(problem: Problem, layout: str) -> tuple[cost.Call, dict[str, float]]:
    """Its sizes, and seconds of each implementation."""
    x, weight, bias, _ = Data(problem).laid_out(layout)
    p, rank = problem, problem.rank
    call = p.call(x.is_contiguous())
    at = arguments(
        tuple(x.shape), tuple(weight.shape), output_size=p.output_size, stride=p.stride, low=p.low, dilation=p.dilation,
        groups=p.groups, transposed=p.transposed, border=(CONSTANT,) * rank, value=(0.0,) * rank,
    )  # fmt: skip
    calls: dict[str, timing.Call] = {
        kernel: functools.partial(convolution.run, kernel, x, weight, bias, at, IDENTITY)
        for kernel in (*convolution.candidates(call, exact=False), "torch")
    }
    return call, {kernel: times.median for kernel, times in timing.alternating(calls, ROUNDS, BUDGET).items()}


def fit(rows: list[tuple[dict[str, float], float]]) -> dict[str, float]:
    """The prices, none negative, with the least relative errors: far ones count less (weights of a sum of moduli)."""
    names = list(rows[0][0])
    shares = torch.tensor([[amounts[name] / seconds for name in names] for amounts, seconds in rows]).double()
    scale = shares.norm(dim=0).clamp_min(1e-300)
    columns, weights = list(range(len(names))), torch.ones(len(rows)).double()
    while True:
        for _ in range(20):
            system = (shares / scale)[:, columns]
            prices = torch.linalg.lstsq(system * weights[:, None], weights[:, None]).solution[:, 0]
            weights = (system @ prices - 1).abs().clamp_min(0.1).rsqrt()
        if (prices >= 0).all():
            return {names[c]: float(f"{p / scale[c]:.3g}") for c, p in zip(columns, prices.tolist(), strict=True)}
        columns.pop(int(prices.argmin()))


def main() -> None:
    """Measures, prints the prices, and what taking our cheapest by them costs beside our fastest."""
    keep_memory()
    torch.set_num_threads(1)
    layouts = itertools.cycle(("channels-last", "channels-last", "contiguous"))
    with torch.no_grad():
        measured = [measure(problem, layout) for problem, layout in zip(spread(), layouts, strict=False)]
    rows: dict[str, list[tuple[dict[str, float], float]]] = {}
    lanes = cost.LANES[library.isa()]
    for call, times in measured:
        for kernel, seconds in times.items():
            rows.setdefault(cost.price(kernel, call), []).append((cost.work(kernel, call, lanes), seconds))
    prices = {name: fit(row) for name, row in sorted(rows.items())}
    for name, entries in prices.items():
        ratios = [cost.total(entries, amounts) / seconds for amounts, seconds in rows[name]]
        error = 100 * (torch.tensor(ratios).log().abs().mean().exp() - 1)
        print(f"    {name!r}: {entries},  # {len(ratios)} problems, mean error {error:.0f} %")
    for call, times in measured:
        ours = {k: seconds for k, seconds in times.items() if k != "torch" and convolution.compares(k, call)}
        predicted = {k: cost.total(prices[cost.price(k, call)], cost.work(k, call, lanes)) for k in ours}
        taken = min(predicted, key=predicted.__getitem__)
        if ours[taken] > 1.05 * min(ours.values()):
            print(f"# {call}: {taken} is taken, of", {k: f"{1e6 * s:.0f} us" for k, s in ours.items()})


if __name__ == "__main__":
    main()
