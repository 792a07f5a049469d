"""The layers of the page: which are shown, with which maps, at what cost."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from convlayers.inspect.page.block import Block, shares
from convlayers.inspect.page.calls import Call
from convlayers.inspect.page.exact import Sums, volume
from convlayers.inspect.page.words import duration, memory, times
from convlayers.inspect.summary import Row, Summary

#: Layers and maps of a layer that are shown at most.
LAYERS, MAPS = 48, 64


def chosen(calls: list[Call]) -> list[Call]:
    """The calls that the page shows: those that compute something, without norms or activations where they are many."""
    shown = [call for call in calls if not _idle(call)]
    for kind in ("norm", "activation"):
        if len(shown) > LAYERS:
            shown = [call for call in shown if kind_of(call.module) != kind]
    if len(shown) > LAYERS:
        shown = shown[: LAYERS // 2] + shown[-(LAYERS // 2) :]
    return shown


def _idle(call: Call) -> bool:
    """Whether a layer gives what it got: dropout, flattening, the identity."""
    same = call.input.numel() == call.output.numel() and torch.equal(call.input.flatten(), call.output.flatten())
    return same and kind_of(call.module) not in ("convolution", "pooling", "activation")


def kind_of(module: nn.Module) -> str:
    """A word for what a layer does.

    Example:
        >>> kind_of(nn.Conv2d(1, 1, 3)), kind_of(nn.MaxPool2d(2)), kind_of(nn.ReLU()), kind_of(nn.Linear(1, 1))
        ('convolution', 'pooling', 'activation', 'linear')
    """
    name = type(module).__name__
    if isinstance(module, _ConvNd):
        return "transposed convolution" if "Transpose" in name else "convolution"
    if "Pool" in name:
        return "pooling"
    if isinstance(module, _NormBase | nn.LayerNorm | nn.GroupNorm) or "Norm" in name:
        return "norm"
    if isinstance(module, nn.Linear):
        return "linear"
    if isinstance(module, nn.ReLU) or type(module).__module__.endswith("activation"):
        return "activation"
    return name


def describe(calls: list[Call], summary: Summary, block: Block, room: int) -> tuple[list[dict[str, Any]], list[str]]:
    """The page's layers, and notes on what it leaves out.

    Args:
        calls: with all of the page's inputs as the batch.
        room: bytes that maps and sums may take, half each.
    """
    rows = {row.name: row for row in summary.rows}
    outputs = [_maps(call) for call in calls]
    sizes = [output[:, :1].numel() for output in outputs]
    wanted = [min(MAPS, output.shape[1]) * size for output, size in zip(outputs, sizes, strict=True)]
    counts = [max(1, share // size) for share, size in zip(shares(wanted, room // 2), sizes, strict=True)]
    shown = [_varied(output, count) for output, count in zip(outputs, counts, strict=True)]
    sums = [Sums(call, maps) if Sums.fits(call) else None for call, maps in zip(calls, shown, strict=True)]
    rooms = _rooms([one.need() if one else 0 for one in sums], room // 2)
    layers = []
    for call, output, maps, one, granted in zip(calls, outputs, shown, sums, rooms, strict=True):
        layer = _layer(call, output, maps, rows.get(call.name), block)
        layer["conv"] = conv = one.describe(block, granted) if one else None
        if conv and len(conv["sees"]) < len(maps):
            layer["mapsText"] += f" Sums and filters are kept of the first {len(conv['sees'])}."
        layers.append(layer)
    return layers, _notes(layers, calls)


def _rooms(needs: list[int], total: int) -> list[int]:
    """The first convolution reads the input itself and is looked at first: the others share what it leaves."""
    first = next((i for i, need in enumerate(needs) if need), 0)
    granted = min(needs[first], total // 2)
    rest = shares([0 if i == first else need for i, need in enumerate(needs)], total - granted)
    return [granted if i == first else share for i, share in enumerate(rest)]


def _maps(call: Call) -> Tensor:
    """An output as (batch, maps, depth, height, width); what has one value a channel is one row of values."""
    output = call.output.float()
    if isinstance(call.module, nn.Linear | nn.LayerNorm) and output.dim() > 2:
        output = output.movedim(-1, 1)  # These have channels last.
    convolution = isinstance(call.module, _ConvNd)
    if not 3 <= output.dim() <= 5 or (output[0, 0].numel() == 1 and not convolution):
        output = output.flatten(1)[:, None] if output.dim() > 1 else output[:, None, None]
    return torch.stack([volume(maps) for maps in output])


def _varied(output: Tensor, count: int) -> list[int]:
    """The channels that vary most over positions and inputs, ascending."""
    spread = output.transpose(0, 1).flatten(1).nan_to_num().std(1, correction=0)
    return sorted(spread.argsort(descending=True, stable=True)[:count].tolist())


def _layer(call: Call, output: Tensor, shown: list[int], row: Row | None, block: Block) -> dict[str, Any]:
    kind, total = kind_of(call.module), output.shape[1]
    size = list(output.shape[2:])
    shape = times(call.output.shape[1:])
    left_out = f"{len(shown)} of {total} maps, those that vary most. " if len(shown) < total else ""
    return {
        "name": call.name or type(call.module).__name__,
        "kind": kind,
        "shape": shape,
        "text": f"{kind[0].upper()}{kind[1:]}: {_repr(call.module)}",
        "size": size,
        "shown": shown,
        "mapsText": f"{left_out}Each map has a scale of its own; blue is negative, red positive where there are both.",
        "maps": [block.add_maps(maps[shown]) for maps in output],
        "cost": _cost(row, shape) if row else [],
        "field": _field(row, size, block) if row else None,
    }


def _repr(module: nn.Module) -> str:
    return " ".join(repr(module).split())


def _cost(row: Row, shape: str) -> list[tuple[str, str, str]]:
    """The row of the summary as terms: name, value, a note."""
    terms = [
        ("Output", shape, ""),
        ("Parameters", f"{row.parameters:,}", ""),
        ("MACs", f"{row.macs:,}", f"{row.flops:,} FLOPs"),
        ("Memory", memory(row.inference_bytes), f"{memory(row.training_bytes)} kept in training"),
        ("Bytes moved", memory(row.bytes_moved), ""),
    ]
    if row.seconds is not None:
        terms.append(("Predicted time", duration(row.seconds), "forward, one thread"))
    if row.field:
        stride = times("varies" if step is None else step for step in row.field.stride)
        terms.append(("Receptive field", times(row.field.size), f"stride {stride}"))
    if row.dense_parameters:
        ratio = row.dense_parameters / max(1, row.parameters)
        terms.append(
            ("Fully connected instead", f"{row.dense_parameters:,}", f"parameters: {ratio:,.0f} times as many")
        )
    return terms


def _field(row: Row, size: list[int], block: Block) -> list[dict[str, Any]] | None:
    """For each of the page's axes, the first and the last input element that each position sees."""
    field = row.field
    if field is None:
        return None
    missing = 3 - len(field.input_size)
    axes = [(torch.zeros(1), torch.zeros(1))] * missing
    axes += [(torch.tensor(low), torch.tensor(high)) for low, high in zip(field.low, field.high, strict=True)]
    if any(len(low) not in (1, n) for (low, _), n in zip(axes, size, strict=True)):
        return None
    return [{"low": block.add(low.int()), "high": block.add(high.int())} for low, high in axes]


def _notes(layers: list[dict[str, Any]], calls: list[Call]) -> list[str]:
    """Sentences on what there was no room for."""
    notes = []
    without = [
        layer["name"]
        for layer, call in zip(layers, calls, strict=True)
        if isinstance(call.module, _ConvNd) and layer["conv"] is None
    ]
    if without:
        notes.append(f"No sums for {', '.join(without)}: not a plain convolution, or too large for this page.")
    partial = [layer["name"] for layer in layers if layer["conv"] and layer["conv"]["rest"]]
    if partial:
        notes.append(
            f"Of {len(partial)} convolutions the page keeps some input channels only; what the others add was computed "
            "in double precision when it was written."
        )
    return notes
