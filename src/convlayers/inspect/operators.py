"""What an operator's output sees: by its rule, element by element, or, where it is not known, everything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from convlayers.inspect import rules_mixing, rules_moves, rules_windows  # noqa: F401  (they fill RULES)
from convlayers.inspect.place import Place, joined, untracked
from convlayers.inspect.relation import Relation
from convlayers.inspect.rules import RULES
from convlayers.inspect.sight import Sight

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
    seen: list[tuple[Sight, Sequence[Relation | None]]] = [
        (p.blurred(p.axes()).sight, [None] * len(p.sight.size)) for p in places
    ]
    return untracked(Sight.union(seen, exact=False), out.shape)


def tensors_in(value: Any) -> list[Tensor]:
    """The tensors among arguments, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [t for entry in value for t in tensors_in(entry)] if isinstance(value, list | tuple) else []
