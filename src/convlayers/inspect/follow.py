"""What every tensor of a run sees: the events of a trace, gone through in order."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from convlayers.inspect.operators import place_of_output
from convlayers.inspect.place import Factor, Place, joined, untracked
from convlayers.inspect.relation import constant, placed
from convlayers.inspect.sight import Sight


class _Slice(NamedTuple):
    """Of a view: what it is a slice of."""

    base: Tensor
    dim: int
    start: int
    step: int
    selected: bool


def follow(events: list[tuple[Any, ...]], input: Tensor, axes: range) -> None:
    """Fills in the place of every call of a trace.

    Args:
        events: operators (function, arguments by name, outputs) and calls that ended (call, output), in order.
        input: which tensor is seen.
        axes: its dimensions that are space or time.
    """
    places: dict[int, Place] = {}
    views: dict[int, _Slice] = {}
    dims = tuple((Factor(n, d - axes.start if d in axes else None),) for d, n in enumerate(input.shape))
    places[id(input)] = Place(Sight.of_input([input.shape[d] for d in axes]), dims)

    def of(tensor: Any) -> Place | None:
        return places.get(id(tensor)) if isinstance(tensor, Tensor) else None

    for event in events:
        if len(event) == 2:
            event[0].place = _settled(of(event[1]))
            continue
        func, named, outputs = event
        name = func.overloadpacket._qualified_op_name
        if name in ("aten::split", "aten::split_with_sizes", "aten::unbind"):
            place = of(named["self"])
            if place is not None:
                places.update(zip(map(id, outputs), _parts(place, named.get("dim", 0), outputs), strict=True))
            continue
        place = place_of_output(func, of, named, outputs[0])
        if place is not None:
            places[id(outputs[0])] = place
            blurred = place.blurred(place.axes(), exact=False).sight if len(outputs) > 1 else place.sight
            for other in outputs[1:]:  # indices, or statistics
                same = other.shape == outputs[0].shape
                places[id(other)] = place if same else untracked(blurred, other.shape)
            if func._schema.is_mutable and id(outputs[0]) in views:
                _write_through(outputs[0], views, places)
        if name in ("aten::slice", "aten::select"):
            base, dim = named["self"], named.get("dim", 0) % named["self"].dim()
            at = named.get("start", named.get("index", 0)) or 0
            start = at + base.shape[dim] if at < 0 else at
            views[id(outputs[0])] = _Slice(base, dim, start, named.get("step", 1), name == "aten::select")


def _settled(place: Place | None) -> Place | None:
    """The same, its positions counted as the tensor has them: 2 * height of them after a pixel shuffle."""
    for dim in range(len(place.dims) if place else 0):
        assert place is not None
        if len(place.dims[dim]) > 1 and len(place.axes([dim])) == 1:
            place = place.single(dim)
    return place


def _parts(place: Place, dim: int, outputs: list[Tensor]) -> list[Place]:
    """Pieces one after the other; where the dimension is gone from them, single positions of it."""
    dim, start, parts = dim % len(place.dims), 0, []
    gone = outputs[0].dim() < len(place.dims)
    for out in outputs:
        size = 1 if gone else out.shape[dim]
        part = place.picked(dim, torch.arange(start, start + size))
        parts.append(Place(part.sight, part.dims[: dim + (not gone)] + part.dims[dim + 1 :]))
        start += size
    return parts


def _write_through(view: Tensor, views: dict[int, _Slice], places: dict[int, Place]) -> None:
    """What is written to a slice can be seen in what it is a slice of."""
    base, dim, start, step, selected = views[id(view)]
    place = places[id(view)]
    if selected:
        place = Place(place.sight, (*place.dims[:dim], (Factor(1, None),), *place.dims[dim:]))
    place, before = place.single(dim), places.get(id(base))
    total, axis = base.shape[dim], place.dims[dim][0].axis
    if axis is not None:
        place = place.along(dim, placed(total, start, step, place.shape[dim]))
    else:
        beside = before.single(dim).dims[dim][0].axis if before is not None else None
        if beside is not None and beside not in place.axes():
            place = place.read(
                {beside: constant(total, start, place.shape[dim])}, place.replaced(dim, Factor(total, beside)).dims
            )
        else:  # taken to be everywhere along a dimension that is none of the input's
            place = place.read({}, place.replaced(dim, Factor(total, None)).dims, exact=not selected)
    places[id(base)] = joined([p for p in (place, before) if p is not None], tuple(base.shape))
    if id(base) in views:
        _write_through(base, views, places)
