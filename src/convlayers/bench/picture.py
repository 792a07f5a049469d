"""One picture of a run, as SVG: the ratio of every row, sorted, and every row under the machine's roofline.

It brings its own background and follows the reader's light or dark scheme.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

WIDTH, HEIGHT = 960, 400
#: Colours of the directions, in this order.
_STYLE = """
  svg { --back: #ffffff; --ink: #1f2328; --dim: #59636e; --grid: #d1d9e0; --forward: #0969da; --training: #bc4c00 }
  @media (prefers-color-scheme: dark) {
    svg { --back: #0d1117; --ink: #f0f6fc; --dim: #9198a1; --grid: #3d444d; --forward: #4493f8; --training: #f0883e }
  }
  text { font: 12px system-ui, sans-serif; fill: var(--dim) }
  .title { font-size: 14px; font-weight: 600; fill: var(--ink) }
  .back { fill: var(--back) } .grid { stroke: var(--grid) } .edge { stroke: var(--ink); fill: none; stroke-width: 1.5 }
  .forward { fill: var(--forward) } .training { fill: var(--training) }
  circle { fill-opacity: 0.75 }
"""


class _Scale(NamedTuple):
    """A logarithmic axis: values from ``low`` to ``high`` lie from ``begin`` to ``end`` in the picture."""

    low: float
    high: float
    begin: float
    end: float

    def at(self, value: float) -> float:
        part = math.log(value / self.low) / math.log(self.high / self.low)
        return round(self.begin + part * (self.end - self.begin), 1)

    def ticks(self, base: int) -> list[float]:
        """Powers of ``base`` within the axis."""
        first, last = (math.log(value, base) for value in (self.low, self.high))
        return [float(base) ** power for power in range(math.ceil(first - 1e-9), math.floor(last + 1e-9) + 1)]


def svg(run: dict[str, Any]) -> str:
    """The picture of a run that :func:`convlayers.bench.render.load` gave."""
    rival = run["rivals"][0]
    rows = [row for row in run["rows"] if rival in row.get("ratios", {})]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'role="img" aria-label="Ratio of every row to the fastest rival, sorted; every row under the roofline">',
        f"<style>{_STYLE}</style>",
        f'<rect class="back" width="{WIDTH}" height="{HEIGHT}" rx="6"/>',
        *_ratios(rows, rival),
        *_roofline(rows, run["limits"]),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _ratios(rows: list[dict[str, Any]], rival: str) -> list[str]:
    left, right, top, bottom = 56, 460, 64, 340
    scale = _scale([row["ratios"][rival] for row in rows], bottom, top)
    parts = [_text(left - 40, 30, f"Speed beside {rival}: above 1, ours is faster", "title")]
    for tick in scale.ticks(2):
        parts += _horizontal(left, right, scale.at(tick), f"{tick:g}", "edge" if tick == 1 else "grid")
    for direction in _directions(rows):
        found = sorted(row["ratios"][rival] for row in rows if row["direction"] == direction)
        step = (right - left) / len(found)
        spots = ((left + (i + 0.5) * step, scale.at(ratio)) for i, ratio in enumerate(found))
        parts += _dots(direction, spots)
    parts += _legend(_directions(rows), left, bottom + 44)
    return [*parts, _text((left + right) / 2, bottom + 22, "layers, slowest to fastest", anchor="middle")]


def _roofline(rows: list[dict[str, Any]], limits: dict[str, float]) -> list[str]:
    left, right, top, bottom = 556, 936, 64, 340
    across = _scale([row["operations_a_byte"] for row in rows], left, right)
    up = _scale([limits["gflops"], *(row["gflops"] for row in rows)], bottom, top)
    most = f"{limits['gflops']:.0f} GFLOP/s, {limits['gbytes']:.0f} GB/s"
    parts = [_text(left - 48, 30, f"Machine's measured limits: {most}", "title")]
    parts.append(_text(left - 48, 48, "GFLOP/s as the definition counts them; Winograd's algorithm does fewer"))
    for tick in up.ticks(2):
        parts += _horizontal(left, right, up.at(tick), f"{tick:g}", "grid")
    for tick in across.ticks(4):
        parts.append(_text(across.at(tick), bottom + 22, f"{tick:g}", anchor="middle"))
    # Where memory limits, speed is intensity times bandwidth: from the axis' edge to the ridge, then flat.
    ridge = limits["gflops"] / limits["gbytes"]
    first = max(across.low, up.low / limits["gbytes"])
    corners = [(first, first * limits["gbytes"]), (ridge, limits["gflops"]), (across.high, limits["gflops"])]
    inside = [(min(max(x, across.low), across.high), min(y, limits["gflops"])) for x, y in corners]
    parts.append(f'<polyline class="edge" points="{" ".join(f"{across.at(x)},{up.at(y)}" for x, y in inside)}"/>')
    for direction in _directions(rows):
        of = (row for row in rows if row["direction"] == direction)
        parts += _dots(direction, ((across.at(row["operations_a_byte"]), up.at(row["gflops"])) for row in of))
    below = "operations a byte of input, weight and output"
    return [*parts, _text((left + right) / 2, bottom + 44, below, anchor="middle")]


def _scale(values: list[float], begin: float, end: float) -> _Scale:
    """An axis from the power of two below all values to that above them."""
    low, high = math.floor(math.log2(min(values))), math.ceil(math.log2(max(values)))
    return _Scale(2.0**low, 2.0 ** max(high, low + 1), begin, end)


def _directions(rows: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["direction"] for row in rows))


def _horizontal(left: float, right: float, y: float, label: str, kind: str) -> list[str]:
    line = f'<line class="{kind}" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>'
    return [line, _text(left - 8, y + 4, label, anchor="end")]


def _dots(direction: str, spots: Iterable[tuple[float, float]]) -> list[str]:
    return [f'<circle class="{direction}" cx="{x:.1f}" cy="{y}" r="3"/>' for x, y in spots]


def _legend(directions: list[str], x: float, y: float) -> list[str]:
    meaning = {"forward": "forward", "training": "training (forward and all gradients)"}
    parts = []
    for direction in directions:
        parts.append(f'<circle class="{direction}" cx="{x + 4}" cy="{y - 4}" r="4"/>')
        parts.append(_text(x + 14, y, meaning[direction]))
        x += 90
    return parts


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "") -> str:
    attributes = (f' class="{kind}"' if kind else "") + (f' text-anchor="{anchor}"' if anchor else "")
    return f'<text x="{x}" y="{y}"{attributes}>{html.escape(text)}</text>'
