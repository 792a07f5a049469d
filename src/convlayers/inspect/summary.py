"""What a network costs, layer by layer, and what each layer sees."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from dataclasses import fields as fields_of
from typing import Any

from torch import Tensor, nn

from convlayers.errors import ArgumentError
from convlayers.inspect import advice
from convlayers.inspect.receptive_field import Field, field_of
from convlayers.inspect.trace import Call, Trace, convolutions, inputs_of, trace
from convlayers.ops import cost
from convlayers.ops.convolution import predicted

Ints = tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """One call of a layer.

    Attributes:
        name: as ``model.named_modules()`` has it; with ``#2`` after it for its second call; with ``.conv2d`` and the
            like for an operator that a module calls as a function.
        kind: the module's class, or the operator.
        depth: how many modules it is inside of, the model itself not counted.
        leaf: whether it has no module of its own: totals are sums over these alone.
        output_shape: of the (first) output, with the batch.
        parameters: of the module; 0 in the second call of a shared module, so that sums count each once.
        macs: products that are added up, in convolutions and matrix products: one multiplication and one addition each.
        flops: 2 * macs, which is what ``torch.utils.flop_counter`` counts.
        inference_bytes: of the output, which is in memory until the last layer has read it.
        training_bytes: what the layer keeps for its backward pass (without parameters, each memory once).
        bytes_moved: read and written by its operators, weights included.
        seconds: predicted for a forward pass on our kernels on one thread (``ops/cost.py``); None where there is no
            prediction.
        field: what its units see of the input; None where that has no meaning.
        dense_parameters, dense_macs: of the fully connected layer that would give the same output from the same
            input; None for what is not a convolution.

    Example:
        >>> row = summary(torch.nn.Sequential(torch.nn.Conv2d(3, 10, 5, padding=2)), (3, 32, 32)).rows[0]
        >>> isinstance(row, Row), row.parameters, row.dense_parameters
        (True, 760, 31467520)
    """

    name: str
    kind: str
    depth: int
    leaf: bool
    output_shape: Ints
    parameters: int
    macs: int
    flops: int
    inference_bytes: int
    training_bytes: int
    bytes_moved: int
    seconds: float | None
    field: Field | None
    dense_parameters: int | None
    dense_macs: int | None


@dataclass(frozen=True)
class Summary:
    """What :func:`summary` finds. ``print`` shows a table (with rich), ``rows`` are for code, ``to_json`` for files.

    Attributes:
        model: its class.
        input_shapes: with the batch.
        rows: in the order of the calls; a module before those that it has.
        total: the sums, as a row: of parameters each once; ``inference_bytes`` is the peak of what is alive at once.
        trainable: parameters that ask for a gradient.
        share: the part of the input that the last feature sees (before what sees all by its nature: a global pool,
            a flattening).
        last_feature: the row's name.
        warnings: a sentence each.

    Example:
        >>> found = summary(torch.nn.Sequential(torch.nn.Conv2d(3, 10, 5, padding=2)), (3, 32, 32))
        >>> isinstance(found, Summary), found.total.macs, found.total.flops
        (True, 768000, 1536000)
    """

    model: str
    input_shapes: tuple[Ints, ...]
    rows: list[Row]
    total: Row
    trainable: int
    share: float | None
    last_feature: str | None
    warnings: list[str]

    def to_json(self) -> str:
        """All of it as JSON; fields as their size, stride and offset."""
        values = {
            "model": self.model,
            "input_shapes": self.input_shapes,
            "rows": [_plain(row) for row in self.rows],
            "total": _plain(self.total),
            "trainable": self.trainable,
            "share": self.share,
            "last_feature": self.last_feature,
            "warnings": self.warnings,
        }
        return json.dumps(values, indent=2)

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        from convlayers.inspect import table

        yield from table.parts(self, options.max_width)

    def __str__(self) -> str:
        from convlayers.inspect import table

        return table.text(self)


def summary(
    model: nn.Module,
    input_size_or_tensors: Sequence[int] | Tensor | Sequence[Tensor],
    *,
    batch_size: int = 1,
    depth: int | None = None,
) -> Summary:
    """What a network costs, layer by layer, without computing anything.

    Args:
        model: any network.
        input_size_or_tensors: the size of one input, channels first and without a batch, such as (3, 224, 224); or the
            tensors to call it with.
        batch_size: how many inputs at once, where a size is given.
        depth: rows at most so many modules deep; deeper ones are counted in the row above. All unless given.

    Raises:
        ValueError: for a model without a convolution, or an input that it refuses.

    Example:
        >>> layers = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Flatten(), torch.nn.Linear(8 * 16, 10)
        >>> found = summary(torch.nn.Sequential(*layers), (3, 4, 4))
        >>> [(row.name, row.kind, row.parameters, row.macs) for row in found.rows]
        [('0', 'Conv2d', 224, 3456), ('1', 'Flatten', 0, 0), ('2', 'Linear', 1290, 1280)]
        >>> found.rows[0].dense_parameters, found.total.flops
        (6272, 9472)
    """
    if depth is not None and depth < 1:
        raise ArgumentError(f"depth must be at least 1; received {depth}")
    inputs = inputs_of(input_size_or_tensors, batch_size, model)
    found = convolutions(trace(model, inputs), model)
    trained = _training_trace(model, inputs)
    kept = {call.name: call.saved_bytes for call in trained.calls} if trained else {}
    fields = {id(call): field_of(call, found.input_size) for call in found.calls}
    bottom = found.calls[0]
    total = replace(_row(bottom, None, kept, True), inference_bytes=found.peak_bytes, depth=0)
    rows = []
    for i, call in enumerate(found.calls[1:], 1):
        if depth is None or call.depth <= depth:
            deeper = found.calls[i + 1].depth > call.depth if i + 1 < len(found.calls) else False
            leaf = not deeper or call.depth == depth
            rows.append(_row(call, fields[id(call)], kept, leaf))
    last = _last_feature(found, fields)
    seen = fields[id(last)] if last else None
    return Summary(
        model=type(model).__name__,
        input_shapes=found.input_shapes,
        rows=rows,
        total=total,
        trainable=sum(p.numel() for p in model.parameters() if p.requires_grad),
        share=seen.share() if seen else None,
        last_feature=last.name if last and seen else None,
        warnings=advice.warnings(found, last, seen),
    )


def _training_trace(model: nn.Module, inputs: Sequence[Tensor]) -> Trace | None:
    """The same run in training; in evaluation where it cannot train on this (a batch normalisation of one value)."""
    try:
        return trace(model, inputs, places=False, training=True)
    except ArgumentError:
        return trace(model, inputs, places=False, keeping=True)


def _row(call: Call, seen: Field | None, kept: dict[str, int], leaf: bool) -> Row:
    flops = sum(operator.flops for operator in call.operators)
    times = [seconds(o.convolution) for o in call.operators if o.convolution is not None]
    dense = call.convolution
    inside = outside = 0
    if dense is not None:
        inside, outside = math.prod(call.input_shapes[0][1:]), math.prod(call.output_shape[1:])
        batch = call.output_shape[0]
    biased = getattr(call.module, "bias", None) is not None
    return Row(
        name=call.name,
        kind=call.kind,
        depth=call.depth,
        leaf=leaf,
        output_shape=call.output_shape,
        parameters=sum(p.numel() for p in call.module.parameters()) if call.module is not None and call.first else 0,
        macs=flops // 2,
        flops=flops,
        inference_bytes=call.output_bytes,
        training_bytes=kept.get(call.name, 0),
        bytes_moved=sum(operator.bytes_moved for operator in call.operators),
        seconds=sum(times) if times else None,
        field=seen,
        dense_parameters=None if dense is None else inside * outside + outside * biased,
        dense_macs=None if dense is None else batch * inside * outside,
    )


def seconds(call: cost.Call) -> float:
    """The predicted time of a convolution on our kernels, on one thread, forward."""
    return min(predicted(call).values())


def _last_feature(found: Trace, fields: dict[int, Field | None]) -> Call | None:
    """The last call whose output still has positions of the input; the last convolution, if it sees as much."""
    left = [call for call in found.calls if call.place and max(call.place.sight.size) > 1]
    if not left:
        return None
    seen, convolution = fields[id(left[-1])], next((call for call in reversed(left) if call.convolution), None)
    if convolution is None:
        return left[-1]
    other = fields[id(convolution)]
    return convolution if seen and other and seen.share() == other.share() else left[-1]


def _plain(row: Row) -> dict[str, Any]:
    values = {f.name: getattr(row, f.name) for f in fields_of(row) if f.name != "field"}
    if row.field is not None:
        strides = [None if stride is None else float(stride) for stride in row.field.stride]
        values["field"] = {
            "size": row.field.size,
            "stride": strides,
            "offset": row.field.offset,
            "share": row.field.share(),
            "exact": row.field.exact,
        }
    return values
