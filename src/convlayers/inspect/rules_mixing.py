"""What operators see that mix positions: reductions, normalisations, products of matrices, attention."""

from __future__ import annotations

from collections.abc import Sequence

from convlayers.inspect.place import Factor, Place, joined, untracked
from convlayers.inspect.rules import rule


@rule(
    *(
        f"aten.{name}"
        for name in ("mean", "sum", "amax", "amin", "max", "min", "prod", "any", "all", "argmax", "argmin")
    ),
    *(f"aten.{name}" for name in ("var", "std", "var_mean", "std_mean", "logsumexp", "linalg_vector_norm", "norm")),
)
def _(of, a, out):
    place = of(a["self"])
    given = a.get("dim")
    dims = range(len(place.dims)) if given is None else given if isinstance(given, list | tuple) else [given]
    return place.reduced(dims or range(len(place.dims)), bool(a.get("keepdim")))


@rule(
    *(
        f"aten.{name}"
        for name in ("_softmax", "_log_softmax", "_safe_softmax", "softmax", "cumsum", "cumprod", "sort", "topk")
    )
)
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
