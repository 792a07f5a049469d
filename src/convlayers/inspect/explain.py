"""One page that shows a network at work: its layers, their numbers, a playground, how it was trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from convlayers.errors import ArgumentError
from convlayers.inspect.page import layers, pictures, render
from convlayers.inspect.page.block import Block
from convlayers.inspect.page.calls import Call, trace
from convlayers.inspect.page.words import times
from convlayers.inspect.summary import summary

#: Bytes that a page has at most, and that its numbers take before they are packed.
LARGEST, ROOM = 4_900_000, 4_600_000
#: Kernels of the network's own that the playground offers.
KERNELS = 12


def explain(
    model: nn.Module,
    inputs: Tensor,
    *,
    title: str | None = None,
    names: Sequence[str] | None = None,
    pixels: Tensor | None = None,
    classes: Sequence[str] | None = None,
    run: Path | None = None,
) -> str:
    """A page of HTML that shows a network at work, in one file that needs no other and loads nothing.

    It shows the inputs and what the network says of them; every layer with its feature maps, filters and cost; for any
    output pixel what it sees of the input and the products that add up to it; a playground of convolution, activation
    and pooling; and how a run went.

    Shape:
        inputs (batch, channels, *spatial), of one to three spatial axes.

    Args:
        model: any network with a convolution.
        inputs: a few examples, as the model takes them; all layers are shown for each.
        title: of the page; the model's class unless given.
        names: of the inputs.
        pixels: bytes of the inputs' shape, to show in their place: the pictures before they were normalised.
        classes: names of the outputs.
        run: a folder that ``convlayers train`` wrote: its curves, confusions and mistakes are shown.

    Returns:
        The page, less than 5 MB: where that is too little, channels are left out, and the page says so.

    Raises:
        ValueError: for a model without a convolution, or inputs that it does not take.

    Example:
        >>> page = explain(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()), torch.rand(1, 1, 8, 8))
        >>> page[:15], len(page) < 5_000_000
        ('<!doctype html>', True)
    """
    convolutions = [module for module in model.modules() if isinstance(module, _ConvNd)]
    if not convolutions:
        kinds = sorted(
            {type(module).__name__ for module in model.modules() if not any(True for _ in module.children())}
        )
        raise ArgumentError(f"model must have a convolution; {type(model).__name__} has {', '.join(kinds)} alone")
    if not 3 <= inputs.dim() <= 5:
        raise ArgumentError(
            "inputs must have shape (batch, channels, *spatial) with one to three spatial axes; "
            f"received {tuple(inputs.shape)}"
        )
    calls, output = _run(model, inputs)
    spatial = [call for call in calls if isinstance(call.module, _ConvNd)]
    if not spatial:
        raise ArgumentError(f"model must call its convolutions; {type(model).__name__} calls none for this input")
    names = list(names) if names else [f"input {i + 1}" for i in range(len(inputs))]
    costs = summary(model, inputs[:1])
    shown = layers.chosen(calls)
    room = ROOM
    while True:
        block = Block()
        described = pictures.describe(inputs, pixels, names, block)
        chances, sentence = pictures.predictions(output, list(classes) if classes else None)
        for each, chance in zip(described, chances, strict=False):
            each["prediction"] = chance
        own, notes = layers.describe(shown, costs, block, room)
        if len(shown) < len(calls):
            notes.insert(
                0,
                f"{len(shown)} of {len(calls)} layers are shown: without those that change nothing"
                + _less(shown, calls),
            )
        page = render(
            {
                "title": title or type(model).__name__,
                "lead": _lead(costs, inputs),
                "rank": inputs.dim() - 2,
                "answer": sentence,
                "inputs": described,
                "layers": own,
                "first": next(i for i, call in enumerate(shown) if isinstance(call.module, _ConvNd)),
                "playground": {
                    "text": _playground_text(inputs),
                    "pictures": pictures.playground(described, inputs, pixels, block),
                    "kernels": _kernels(shown, block, inputs.dim() - 2),
                },
                "training": _training(run, block),
                "notes": [*notes, *costs.warnings, *_NOTES],
            },
            block,
        )
        size = len(page.encode())
        if size <= LARGEST or room < 10_000:
            return page
        room = int(room * 0.9 * LARGEST / size)


_NOTES = (
    "Sums are in double precision from the network's own single-precision weights and inputs.",
    "This file loads nothing: it can be read without a network, sent and archived.",
)


def _run(model: nn.Module, inputs: Tensor) -> tuple[list[Call], Any]:
    try:
        return trace(model, inputs)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        first = next((name, m) for name, m in model.named_modules() if isinstance(m, _ConvNd))
        reason = str(error).strip().splitlines()[0]
        raise ArgumentError(
            f"inputs must be what the model takes; received shape {tuple(inputs.shape)}, and its first convolution, "
            f"{first[0]!r}, takes {first[1].in_channels} channels of {len(first[1].kernel_size)} spatial axes: {reason}"
        ) from error


def _less(shown: list[Call], calls: list[Call]) -> str:
    kinds = {layers.kind_of(call.module) for call in calls} - {layers.kind_of(call.module) for call in shown}
    named = [f"{kind}s" for kind in ("norm", "activation") if kind in kinds]
    return f", {' and '.join(named)}." if named else "."


def _lead(costs: Any, inputs: Tensor) -> str:
    count = sum(row.leaf for row in costs.rows)
    amounts = f"{count} layers, {costs.total.parameters:,} parameters, {costs.total.macs:,} multiplications"
    return f"{amounts} for an input of {times(inputs.shape[1:])}."


def _playground_text(inputs: Tensor) -> str:
    what = {
        1: f"an excerpt of the signal, of {pictures.SAMPLES} samples from \u22121 to 1",
        2: "the picture, grey, with values from 0 to 1, and small enough for its pixels to be seen",
        3: "the middle slice, with values from 0 to 1, and small enough for its pixels to be seen",
    }[inputs.dim() - 2]
    return f"A convolution of your own on {what}. Choose a kernel or type one, and let the window slide."


def _kernels(shown: list[Call], block: Block, rank: int) -> list[dict[str, Any]]:
    """Some of the first convolution's kernels, over its first input channel; of 3-D ones the middle slice."""
    first = next((call for call in shown if isinstance(call.module, _ConvNd)), None)
    if first is None or not isinstance(first.module.weight, Tensor):
        return []
    weights = first.module.weight.detach().float()[:KERNELS, 0]
    if rank == 3:
        weights = weights[:, weights.shape[1] // 2]
    if rank == 1:
        weights = weights[:, None]
    return [{"name": f"{first.name}: filter {i}", "weights": block.add(each)} for i, each in enumerate(weights)]


def _training(run: Path | None, block: Block) -> dict[str, Any] | None:
    if run is None:
        return None
    from convlayers.inspect.page import training

    return training.describe(run, block)
