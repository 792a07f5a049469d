"""The edge shapes of ../shared/shapes/correctness: windows, strides and dilations against sizes and uneven padding.

The lists lie beside the repository, not in it; a clone elsewhere has none of them, and this suite is empty there.
Forward and both gradients of small-integer tensors are compared with torch's in float64: exactly with
``precision('exact')``, and within Winograd's bound with the default, which may choose it. Under pytest every 25th row
runs; the report (``make conformance``) runs all.
"""

from __future__ import annotations

import csv
import functools
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

import convlayers

from . import subject
from .results import Case, judge

NAME = "Edge shapes"
WHAT = "oneDNN's windows against sizes and uneven padding; dense, dilated, depthwise; both gradients, exact where asked"
#: What a result may be off by, relative to its largest entry: nothing, or what Winograd's algorithm rounds.
BOUNDS = {"exact": 0.0, "default": 5e-6}
FOLDER = Path(__file__).resolve().parents[3] / "shared" / "shapes" / "correctness"


def groups() -> list[str]:
    return sorted(file.stem for file in FOLDER.glob("*.csv"))


def run(group: str, step: int = 1) -> list[Case]:
    with open(FOLDER / f"{group}.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return [judge(row["name"], functools.partial(check, row)) for row in rows[::step]]


def check(row: dict[str, str]) -> str | None:
    rank = int(row["ndim"])
    axes = {1: "w", 2: "hw", 3: "dhw"}[rank]
    number = lambda *names: tuple(int(row[name]) for name in names)  # noqa: E731
    n, c, k, groups = number("n", "c", "k", "groups")
    size = number(*axes)
    kernel = number(*"trs"[-rank:])
    stride, low, dilation = (number(*(f"{what}_{a}" for a in axes)) for what in ("stride", "pad", "dil"))
    output = number(*(f"o{a}" for a in axes))
    # The list has the lower amount and the output; the upper one follows, and is negative where rows are left over.
    extent = zip(output, stride, dilation, kernel, low, size, strict=True)
    high = tuple((o - 1) * s + d * (w - 1) + 1 - lo - i for o, s, d, w, lo, i in extent)
    padding = tuple(zip(low, high, strict=True))

    torch.manual_seed(0)
    x, w, b = integers(n, c, *size), integers(k, c // groups, *kernel), integers(k)
    grad = integers(n, k, *output)
    name = f"conv{rank}d"
    geometry = (stride, padding, dilation, groups)
    beside = [amount for pair in reversed(padding) for amount in pair]
    padded = lambda x, w, b, s, _, d, g: getattr(F, name)(F.pad(x, beside), w, b, s, 0, d, g)  # noqa: E731
    expected = evaluate(padded, *(t.double() for t in (x, w, b, grad)), *geometry)
    for mode, bound in BOUNDS.items():
        with convlayers.precision(mode):
            actual = evaluate(getattr(subject.functional, name), x, w, b, grad, *geometry)
        for what, a, e in zip(("output", "grad input", "grad weight", "grad bias"), actual, expected, strict=True):
            if a.numel() and not (a.double() - e).abs().max() <= bound * e.abs().max():
                return f"{mode} {what} differs: {x.shape=}, {w.shape=}, {stride=}, {padding=}, {dilation=}, {groups=}"
    return None


def integers(*shape: int) -> Tensor:
    """Small integers: sums of their products are exact in float32."""
    return torch.randint(-3, 4, shape, dtype=torch.float32)


def evaluate(function, x: Tensor, w: Tensor, b: Tensor, grad: Tensor, *geometry) -> list[Tensor]:
    leaves = [t.requires_grad_() for t in (x, w, b)]
    result = function(*leaves, *geometry)
    if result.shape != grad.shape:
        raise AssertionError(f"shape {tuple(result.shape)} instead of {tuple(grad.shape)}")
    return [result, *torch.autograd.grad(result, leaves, grad)]
