"""What convolutions, poolings, borders and interpolations see: a relation along each spatial axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from convlayers.inspect import relation as rel
from convlayers.inspect.place import Factor, Place
from convlayers.inspect.relation import Relation
from convlayers.inspect.rules import rule
from convlayers.ops.borders import CIRCULAR, REFLECT, REPLICATE

_FOLDS = {REFLECT: "reflect", REPLICATE: "replicate", CIRCULAR: "circular"}


def _per_axis(values: Any, rank: int, default: Any = None) -> list[Any]:
    if values is None or (isinstance(values, list | tuple) and not values):
        return list(default)
    entries = list(values) if isinstance(values, list | tuple) else [values]
    return entries * rank if len(entries) == 1 else entries


def _windowed(place: Place, rank: int, relations: Callable[[int, int], Relation], channels: int | None = None) -> Place:
    """Passes the last ``rank`` dimensions through a relation each: (axis number, size) -> relation."""
    first = len(place.dims) - rank
    if channels is not None:
        place = place.mixed([first - 1]).replaced(first - 1, Factor(channels, None))
    for axis in range(rank):
        place = place.single(first + axis)
        place = place.along(first + axis, relations(axis, place.shape[first + axis]))
    return place


@rule("aten.convolution", "aten.mkldnn_convolution", "aten.convolution_overrideable")
def _(of, a, out):
    rank, kernel = out.dim() - 2, a["weight"].shape[2:]
    stride, padding, dilation = (_per_axis(a[key], rank) for key in ("stride", "padding", "dilation"))

    def relation(i: int, size: int) -> Relation:
        where = {"kernel": kernel[i], "stride": stride[i], "low": padding[i], "dilation": dilation[i]}
        return (rel.spread if a.get("transposed") else rel.window)(out.shape[2 + i], **where)

    return _windowed(of(a["input"]), rank, relation, out.shape[1])


@rule("convlayers.convolution")
def _(of, a, out):
    kernel, rank = a["weight"].shape[2:], out.dim() - 2

    def relation(i: int, size: int) -> Relation:
        make = rel.spread if a["transposed"] else rel.window
        plain = make(
            out.shape[2 + i], kernel=kernel[i], stride=a["stride"][i], low=a["low"][i], dilation=a["dilation"][i]
        )
        fold = _FOLDS.get(a["border"][i])
        if fold is None:
            return plain

        def folded(o: Tensor) -> Tensor:
            at = plain.reads(o)
            return torch.where(at == rel.NOTHING, at, rel.folded_positions(at, size, fold))

        return plain._replace(folded=folded)

    return _windowed(of(a["input"]), rank, relation, out.shape[1])


@rule(
    *(f"aten.max_pool{n}d_with_indices" for n in (2, 3)),
    *(f"aten.{kind}_pool{n}d" for kind in ("max", "avg") for n in (1, 2, 3)),
)
def _(of, a, out):
    place = of(a["self"])
    rank = len(_per_axis(a["kernel_size"], 1))
    rank = max(rank, len(place.dims) - 2 if len(place.dims) > 3 else 1)
    kernel = _per_axis(a["kernel_size"], rank)
    stride = _per_axis(a.get("stride"), rank, kernel)
    low, dilation = _per_axis(a.get("padding", 0), rank), _per_axis(a.get("dilation", 1), rank)
    size = out.shape[out.dim() - rank :]
    return _windowed(
        place,
        rank,
        lambda i, _: rel.window(size[i], kernel=kernel[i], stride=stride[i], low=low[i], dilation=dilation[i]),
    )


@rule(*(f"convlayers.{name}" for name in ("max_pool", "max_pool_with_indices", "max_pool_with_taps", "avg_pool")))
def _(of, a, out):
    def relation(i: int, size: int) -> Relation:
        if not a["kernel"]:
            return rel.adaptive(size, a["output_size"][i])
        where = {"kernel": a["kernel"][i], "stride": a["stride"][i], "low": a["low"][i], "dilation": a["dilation"][i]}
        return rel.window(a["output_size"][i], **where)

    return _windowed(of(a["input"]), len(a["output_size"]), relation)


@rule(
    *(f"aten.{under}adaptive_{kind}_pool{n}d" for under in ("", "_") for kind in ("max", "avg") for n in (1, 2, 3)),
)
def _(of, a, out):
    rank = len(a["output_size"])
    return _windowed(of(a["self"]), rank, lambda i, n: rel.adaptive(n, out.shape[out.dim() - rank + i]))


@rule("aten.constant_pad_nd")
def _(of, a, out):
    return _padded(of(a["self"]), a["pad"], out, "constant")


@rule(*(f"aten.reflection_pad{n}d" for n in (1, 2, 3)))
def _(of, a, out):
    return _padded(of(a["self"]), a["padding"], out, "reflect")


@rule(*(f"aten.replication_pad{n}d" for n in (1, 2, 3)))
def _(of, a, out):
    return _padded(of(a["self"]), a["padding"], out, "replicate")


def _padded(place: Place, amounts: Sequence[int], out: Tensor, mode: str) -> Place:
    rank = len(amounts) // 2
    low = list(reversed(amounts[::2]))
    return _windowed(place, rank, lambda i, n: rel.bordered(out.shape[out.dim() - rank + i], low[i], n, mode))


_RESIZE = {"nearest": (1, 2, 3), "nearest_exact": (1, 2, 3), "linear": (1,), "bilinear": (2,), "trilinear": (3,)}


@rule(
    *(f"aten.{'_' * (mode == 'nearest_exact')}upsample_{mode}{n}d" for mode, ranks in _RESIZE.items() for n in ranks),
    "aten.upsample_bicubic2d",
)
def _(of, a, out):
    name = a["operator"]
    mode = "cubic" if "cubic" in name else "nearest-exact" if "exact" in name else "nearest"
    mode = "linear" if "linear" in name else mode
    rank = out.dim() - 2
    given = a.get("scale_factors") or [
        a.get(key) for key in (("scales",) if rank == 1 else ("scales_d", "scales_h", "scales_w")[3 - rank :])
    ]
    corners = bool(a.get("align_corners"))
    return _windowed(
        of(a.get("self", a.get("input"))),
        rank,
        lambda i, n: rel.resized(n, out.shape[2 + i], mode, corners, given[i]),
    )
