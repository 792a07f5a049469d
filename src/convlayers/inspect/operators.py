"""What each operator's output sees, by its name: the rules by which sights pass through a network.

An operator that has no rule is taken to let every position see everything, and marked as not exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from convlayers.inspect import relation as rel
from convlayers.inspect.place import Factor, Place, concatenated, joined, untracked
from convlayers.inspect.relation import Relation
from convlayers.inspect.sight import Sight
from convlayers.ops.borders import CIRCULAR, REFLECT, REPLICATE

#: (place of a tensor or None, the operator's arguments by name, its first output) -> the output's place.
Rule = Callable[[Callable[[Any], "Place | None"], dict[str, Any], Any], "Place | None"]
RULES: dict[str, Rule] = {}
_FOLDS = {REFLECT: "reflect", REPLICATE: "replicate", CIRCULAR: "circular"}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Gives operators, by ``namespace.name``, a rule."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


def _per_axis(values: Any, rank: int, default: Any = None) -> list[Any]:
    if values is None or (isinstance(values, list | tuple) and not values):
        return list(default)
    entries = list(values) if isinstance(values, list | tuple) else [values]
    return entries * rank if len(entries) == 1 else entries


def _windowed(
    place: Place, rank: int, relations: Callable[[int, int], Relation], channels: int | None = None
) -> Place:
    """Passes the last ``rank`` dimensions through a relation each: (axis number, size) -> relation."""
    first = len(place.dims) - rank
    if channels is not None:
        place = place.mixed([first - 1]).replaced(first - 1, Factor(channels, None))
    for axis in range(rank):
        place = place.single(first + axis)
        place = place.along(first + axis, relations(axis, place.shape[first + axis]))
    return place


# --- windows ----------------------------------------------------------------------------------------------------------


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


# --- moving elements --------------------------------------------------------------------------------------------------


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
    return Place(place.sight, (place.dims[0], place.dims[1] + place.dims[3] + place.dims[5], place.dims[2], place.dims[4]))


@rule("aten.embedding")
def _(of, a, out):
    place = of(a["indices"])
    return None if place is None else Place(place.sight, (*place.dims, (Factor(out.shape[-1], None),)))


# --- mixing -----------------------------------------------------------------------------------------------------------


@rule(
    *(f"aten.{name}" for name in ("mean", "sum", "amax", "amin", "max", "min", "prod", "any", "all", "argmax", "argmin")),
    *(f"aten.{name}" for name in ("var", "std", "var_mean", "std_mean", "logsumexp", "linalg_vector_norm", "norm")),
)
def _(of, a, out):
    place = of(a["self"])
    given = a.get("dim")
    dims = range(len(place.dims)) if given is None else given if isinstance(given, list | tuple) else [given]
    return place.reduced(dims or range(len(place.dims)), bool(a.get("keepdim")))


@rule(*(f"aten.{name}" for name in ("_softmax", "_log_softmax", "_safe_softmax", "softmax", "cumsum", "cumprod", "sort", "topk")))
def _(of, a, out):
    place = of(a["self"]).mixed([a.get("dim", -1)])
    return place if place.shape == tuple(out.shape) else untracked(place.blurred(place.axes()).sight, out.shape)


@rule("aten.native_layer_norm")
def _(of, a, out):
    return of(a["input"]).mixed(range(-len(a["normalized_shape"]), 0))


@rule("aten.native_group_norm")
def _(of, a, out):
    return of(a["input"]).mixed(range(1, out.dim()))


@rule("aten.native_batch_norm", "aten._native_batch_norm_legit")
def _(of, a, out):
    place = of(a["input"])
    return place.mixed(d for d in range(out.dim()) if d != 1) if a["training"] else place


@rule("aten._native_batch_norm_legit_no_training")
def _(of, a, out):
    return of(a["input"])


@rule("convlayers.batch_norm")
def _(of, a, out):
    place = of(a["input"])
    if a.get("mean") is None:
        place = place.mixed(d for d in range(out.dim()) if d != 1)
    return joined([p for p in (place, of(a["residual"])) if p is not None], out.shape)


def _product(left: Place | None, right: Place | None, shape: Sequence[int]) -> Place:
    """(..., m, k) times (..., k, n). Where both have positions, as in an attention, all are taken to meet all."""
    rank = len(shape)
    if left is not None and right is not None:
        shared = set(left.axes([-2])) & set(right.axes([-1]))
        left, right = left.blurred(shared), right.blurred(shared)
    places = []
    if left is not None:
        left = left.mixed([-1])
        places.append(left.replaced(len(left.dims) - 1, Factor(1, None)))
    if right is not None:
        right = right.mixed([-2])
        places.append(right.replaced(len(right.dims) - 2, Factor(1, None)))
    padded = [Place(p.sight, ((Factor(1, None),),) * (rank - len(p.dims)) + p.dims) for p in places]
    return joined(padded, shape)


@rule("aten.mm", "aten.bmm", "aten.matmul")
def _(of, a, out):
    return _product(of(a["self"]), of(a.get("mat2", a.get("other"))), out.shape)


@rule("aten.addmm", "aten.baddbmm")
def _(of, a, out):
    left, right = of(a.get("mat1", a.get("batch1"))), of(a.get("mat2", a.get("batch2")))
    product = None if left is None and right is None else _product(left, right, out.shape)
    return joined([place for place in (product, of(a["self"])) if place is not None], out.shape)


@rule("aten.linear")
def _(of, a, out):
    place = of(a["input"]).mixed([-1])
    return place.replaced(out.dim() - 1, Factor(out.shape[-1], None))


@rule(
    "aten._scaled_dot_product_flash_attention_for_cpu",
    "aten._scaled_dot_product_attention_math",
    "aten._scaled_dot_product_efficient_attention",
    "aten.scaled_dot_product_attention",
)
def _(of, a, out):
    places = []
    if (query := of(a["query"])) is not None:
        places.append(query.mixed([-1]).replaced(out.dim() - 1, Factor(1, None)))
    for key in ("key", "value"):
        if (place := of(a[key])) is not None:
            place = place.mixed([-2, -1])
            places.append(place.replaced(out.dim() - 2, Factor(1, None)).replaced(out.dim() - 1, Factor(1, None)))
    return joined(places, out.shape)


# --- elementwise, and whatever is not known ---------------------------------------------------------------------------

_POINTWISE = {
    f"aten.{name}"
    for name in (
        "clone", "contiguous", "detach", "alias", "_to_copy", "to", "lift_fresh", "native_dropout", "dropout", "copy",
        "_conj", "prelu", "_prelu_kernel", "softplus", "elu", "celu", "hardtanh", "hardswish", "hardsigmoid",
        "leaky_relu", "mish", "gelu", "silu", "relu", "relu6", "rrelu_with_noise", "log_sigmoid_forward", "bernoulli",
        "nan_to_num", "where", "masked_fill", "lerp", "addcmul", "addcdiv", "threshold", "glu_jvp",
    )
}  # fmt: skip

#: Operators that take no more than the shape of a tensor.
_FACTORIES = {f"aten.new_{name}" for name in ("empty", "zeros", "ones", "full", "empty_strided")} | {
    f"aten.{name}_like" for name in ("empty", "zeros", "ones", "full", "rand", "randn", "randint")
}

#: Operators whose rule works where their first tensor sees nothing of the input.
_SEVERAL = {
    f"aten.{name}" for name in ("cat", "stack", "embedding", "mm", "bmm", "matmul", "addmm", "baddbmm")
}  # fmt: skip


def place_of_output(func: Any, of: Callable[[Any], Place | None], args: dict[str, Any], out: Tensor) -> Place | None:
    """The place of an operator's (first) output; None where it sees nothing of the input.

    Args:
        func: the operator.
        of: gives the place of a tensor.
        args: its arguments by name.
        out: its first output.
    """
    places = [place for tensor in tensors_in(args) if (place := of(tensor)) is not None]
    name = func.overloadpacket._qualified_op_name.replace("::", ".")
    if not places or name in _FACTORIES:
        return None
    base = name.removesuffix("_") if name.endswith("_") and not name.endswith("__") else name
    if torch.Tag.pointwise in func.tags or base in _POINTWISE:
        return joined(places, out.shape)
    main = next(iter(tensors_in(args)))
    if base in RULES and (base in _SEVERAL or of(main) is not None):
        place = RULES[base](of, args | {"operator": name}, out)
        if place is None or place.shape == tuple(out.shape):
            return place
    seen = [(p.blurred(p.axes()).sight, [None] * len(p.sight.size)) for p in places]
    return untracked(Sight.union(seen, exact=False), out.shape)


def tensors_in(value: Any) -> list[Tensor]:
    """The tensors among arguments, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [t for entry in value for t in tensors_in(entry)] if isinstance(value, list | tuple) else []
