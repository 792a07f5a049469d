"""What a network costs, layer by layer, and what each layer sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from convlayers.inspect.receptive_field import Field

Ints = tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """One call of a layer.

    Attributes:
        name: as ``model.named_modules()`` has it; with ``#2`` after it for its second call; with ``.conv2d`` and the like
            for an operator that a module calls as a function.
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
        raise NotImplementedError


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
    """
    raise NotImplementedError
