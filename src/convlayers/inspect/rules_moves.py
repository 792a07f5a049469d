"""What operators see that move elements: views, slices, concatenations."""

from __future__ import annotations

import torch

from convlayers.inspect import relation as rel
from convlayers.inspect.place import Factor, Place, concatenated, joined
from convlayers.inspect.rules import rule


@rule("aten.view", "aten._unsafe_view", "aten.reshape", "aten._reshape_alias", "aten.view_copy")
def _(of, a, out):
    return of(a["self"]).reshaped(out.shape)


@rule("aten.as_strided")
def _(of, a, out):
    return of(a["self"])  # of another shape it is not known what it reads


@rule("aten.permute")
def _(of, a, out):
    place = of(a["self"])
    return Place(place.sight, tuple(place.dims[d] for d in a["dims"]))


@rule("aten.transpose", "aten.t", "aten.numpy_T", "aten.swapaxes")
def _(of, a, out):
    place = of(a["self"])
    dims = list(place.dims)
    i, j = (a["dim0"], a["dim1"]) if "dim0" in a else (0, -1)
    if dims:
        dims[i], dims[j] = dims[j], dims[i]
    return Place(place.sight, tuple(dims))


@rule("aten.unsqueeze")
def _(of, a, out):
    place = of(a["self"])
    at = a["dim"] % out.dim()
    return Place(place.sight, (*place.dims[:at], (Factor(1, None),), *place.dims[at:]))


@rule("aten.squeeze")
def _(of, a, out):
    place = of(a["self"])
    given = a.get("dim")
    chosen = range(len(place.dims)) if given is None else given if isinstance(given, list | tuple) else [given]
    gone = {d % len(place.dims) for d in chosen if place.shape[d] == 1}
    return Place(place.sight, tuple(dim for d, dim in enumerate(place.dims) if d not in gone))


@rule("aten.expand")
def _(of, a, out):
    return joined([of(a["self"])], out.shape)


@rule("aten.repeat")
def _(of, a, out):
    place = joined([of(a["self"])], (1,) * (len(a["repeats"]) - a["self"].dim()) + tuple(a["self"].shape))
    dims = [(Factor(r, None), *dim) if r > 1 else dim for r, dim in zip(a["repeats"], place.dims, strict=True)]
    return Place(place.sight, tuple(dims))


@rule("aten.slice")
def _(of, a, out):
    dim, step = a.get("dim", 0), a.get("step", 1)
    start = slice(a.get("start"), None).indices(a["self"].shape[dim])[0]
    dim %= a["self"].dim()
    return of(a["self"]).along(dim, rel.window(out.shape[dim], kernel=1, stride=step, low=-start))


@rule("aten.select")
def _(of, a, out):
    dim = a["dim"] % a["self"].dim()
    at = a["index"] % a["self"].shape[dim]
    place = of(a["self"]).picked(dim, torch.tensor([at]))
    return Place(place.sight, place.dims[:dim] + place.dims[dim + 1 :])


@rule("aten.flip")
def _(of, a, out):
    place = of(a["self"])
    for dim in a["dims"]:
        dim %= out.dim()
        place = place.picked(dim, torch.arange(out.shape[dim] - 1, -1, -1))
    return place


@rule("aten.roll")
def _(of, a, out):
    place = of(a["self"])
    for shift, dim in zip(a["shifts"], a.get("dims", []), strict=True):
        dim %= out.dim()
        place = place.picked(dim, (torch.arange(out.shape[dim]) - shift) % out.shape[dim])
    return place


@rule("aten.cat")
def _(of, a, out):
    parts = [t for t in a["tensors"] if t.dim() == out.dim()]  # torch lets an empty tensor of any rank in
    dim = a.get("dim", 0) % out.dim()
    return concatenated([(t.shape[dim], of(t)) for t in parts], dim, out.shape)


@rule("aten.stack")
def _(of, a, out):
    dim = a.get("dim", 0) % out.dim()
    parts = []
    for t in a["tensors"]:
        place = of(t)
        if place is not None:
            place = Place(place.sight, (*place.dims[:dim], (Factor(1, None),), *place.dims[dim:]))
        parts.append((1, place))
    return concatenated(parts, dim, out.shape)


@rule("aten.pixel_shuffle")
def _(of, a, out):
    n, c, h, w = a["self"].shape
    r = a["upscale_factor"]
    split = of(a["self"]).reshaped((n, c // r**2, r, r, h, w)).dims
    dims = (split[0], split[1], split[4] + split[2], split[5] + split[3])
    return Place(of(a["self"]).sight, dims)


@rule("aten.pixel_unshuffle")
def _(of, a, out):
    n, c, h, w = a["self"].shape
    r = a["downscale_factor"]
    place = of(a["self"]).reshaped((n, c, h // r, r, w // r, r))
    return Place(
        place.sight, (place.dims[0], place.dims[1] + place.dims[3] + place.dims[5], place.dims[2], place.dims[4])
    )


@rule("aten.embedding")
def _(of, a, out):
    place = of(a["indices"])
    return None if place is None else Place(place.sight, (*place.dims, (Factor(out.shape[-1], None),)))
