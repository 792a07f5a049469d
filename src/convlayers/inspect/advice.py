"""What stands out in a summary, a sentence each."""

from __future__ import annotations

import math

from convlayers.inspect.receptive_field import Field
from convlayers.inspect.trace import Call, Operator, Trace

#: A last feature that sees less than this of the input along an axis is likely to miss what an object is.
LIKELY_OBJECT = 0.5
#: More of a layer's reads than this in its border is a waste; more of the work than this in one layer, dominance.
WASTE, DOMINANCE = 0.4, 0.5


def warnings(found: Trace, last: Call | None, seen: Field | None) -> list[str]:
    """Sentences about layers that see little, waste their border, or dominate cost."""
    sentences = []
    bottom = found.calls[0].place
    # What comes after it may see more: an attention, or an operator that is not known.
    if last is not None and seen is not None and bottom is not None and bottom.sight.exact:
        sentences += _sees_little(last, seen)
    layers = [call for call in found.calls if call.convolution is not None]
    for call in layers:
        assert call.convolution is not None
        sentences += _wastes(call, call.convolution)
    return sentences + _dominates(found)


def _sees_little(last: Call, seen: Field) -> list[str]:
    box = [stop - start for start, stop in seen.box()]
    if all(width >= LIKELY_OBJECT * n for width, n in zip(box, seen.input_size, strict=True)):
        return []
    sizes = "x".join(map(str, box)), "x".join(map(str, seen.input_size))
    return [
        f"{last.name} ({last.kind}), the last feature, sees {sizes[0]} of {sizes[1]} ({100 * seen.share():.1f} %): an "
        "object that is larger is seen in parts only. A stride, a pooling, a dilation or more layers let it see more."
    ]


def _wastes(call: Call, operator: Operator) -> list[str]:
    sizes, padding = operator.convolution, operator.padding
    assert sizes is not None
    assert padding is not None
    if sizes.transposed:
        return []
    inside = 1.0
    axes = zip(sizes.size, sizes.output_size, sizes.kernel, sizes.stride, padding[0], sizes.dilation, strict=True)
    for n, o, k, s, low, d in axes:
        hits = sum(
            max(0, min(o - 1, (n - 1 + low - t * d) // s) - max(0, -(-(low - t * d) // s)) + 1) for t in range(k)
        )
        inside *= hits / (o * k)
    if inside >= 1 - WASTE or max(sizes.kernel) == 1:
        return []
    return [
        f"{call.name} ({call.kind}) reads border with {100 * (1 - inside):.0f} % of its products: kernel "
        f"{'x'.join(map(str, sizes.kernel))}, dilation {'x'.join(map(str, sizes.dilation))}, padding "
        f"{'x'.join(map(str, padding[0]))} on an input of {'x'.join(map(str, sizes.size))}. A smaller kernel, "
        "dilation or padding would see as much."
    ]


def _dominates(found: Trace) -> list[str]:
    total = sum(operator.flops for operator in found.calls[0].operators)
    leaves = [call for call in found.calls[1:] if call.leaf and call.operators]
    working = [call for call in leaves if any(operator.flops for operator in call.operators)]
    sentences = []
    if len(working) > 2:
        most = max(working, key=_flops)
        if _flops(most) > DOMINANCE * total:
            share = 100 * _flops(most) / total
            sentences.append(f"{most.name} ({most.kind}) does {share:.0f} % of all multiplications.")
        weights = {
            call.name: sum(math.prod(p.shape) for p in call.module.parameters(recurse=False))
            for call in working
            if call.module is not None and call.first
        }
        model = found.calls[0].module
        assert model is not None
        everything = sum(p.numel() for p in model.parameters())
        if weights and max(weights.values()) > DOMINANCE * everything:
            name = max(weights, key=weights.__getitem__)
            sentences.append(f"{name} has {100 * weights[name] / everything:.0f} % of all parameters.")
    return sentences


def _flops(call: Call) -> int:
    return sum(operator.flops for operator in call.operators)
