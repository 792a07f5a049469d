"""A summary as tables in the terminal, with rich: what each layer costs, and what each sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convlayers.inspect.receptive_field import Field
    from convlayers.inspect.summary import Row, Summary

#: Columns of a terminal that everything fits into.
WIDE = 100


def text(found: Summary, width: int = WIDE) -> str:
    """The tables as plain text."""
    from rich.console import Console

    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as captured:
        console.print(*parts(found, width), sep="\n")
    return captured.get()


def parts(found: Summary, width: int = WIDE) -> Iterator[Any]:
    """What rich prints: two tables, the totals, and what stands out; without the kinds where that is too wide."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shapes = ", ".join(times(shape) for shape in found.input_shapes)
    style: dict[str, Any] = {
        "box": box.SIMPLE_HEAD,
        "pad_edge": False,
        "padding": (0, 1, 0, 0),
        "title_justify": "left",
    }
    cost = Table(title=f"{found.model} on {shapes}: what it costs", **style)
    kinds = width >= WIDE
    cost.add_column("layer", overflow="fold", min_width=12)
    if kinds:
        cost.add_column("kind", style="dim", overflow="fold")
    cost.add_column("output", no_wrap=True)
    for name in ("params", "MACs", "FLOPs", "infer B", "train B", "moved B", "ms"):
        cost.add_column(name, justify="right", no_wrap=True)
    for row in found.rows:
        numbers = _numbers(row) if row.leaf else [""] * 7
        cost.add_row(_label(row), *[row.kind] * kinds, times(row.output_shape[1:]), *numbers)
    cost.add_section()
    cost.add_row("total", *[""] * kinds, "", *_numbers(found.total), style="bold")
    yield cost

    sight = Table(title="what a unit sees, and the fully connected layer instead", **style)
    sight.add_column("layer", overflow="fold", min_width=12)
    if kinds:
        sight.add_column("kind", style="dim", overflow="fold")
    for name in ("sees", "every", "from", "of input", "dense params", "dense MACs"):
        sight.add_column(name, justify="right", no_wrap=True)
    before: Field | None = None
    for row in found.rows:
        field = row.field
        if row.leaf and field is not None and (row.dense_macs is not None or not _alike(field, before)):
            before = field
            seen = times(field.size) + ("" if field.exact else "?")
            every = "-" if None in field.stride else _axes([f"{float(s):.3g}" for s in field.stride if s is not None])
            start = "-" if None in field.offset else _axes([str(o) for o in field.offset])
            share = f"{100 * field.share():.3g} %"
            sight.add_row(row.name, *[row.kind] * kinds, seen, every, start, share, *_dense(row))
    yield sight

    lines = [
        f"{found.total.parameters:,} parameters ({found.trainable:,} trainable); {found.total.macs:,} MACs = "
        f"{found.total.flops:,} FLOPs (a multiplication and an addition each)",
        f"activations: {size(found.total.inference_bytes)}B at most at once in inference, "
        f"{size(found.total.training_bytes)}B kept for a backward pass",
        "ms: predicted for the convolutions, forward, on convlayers' kernels and one thread",
    ]
    if found.share is not None:
        lines.append(f"the last feature ({found.last_feature}) sees {100 * found.share:.3g} % of the input")
    yield Text("\n".join(lines))
    for sentence in found.warnings:
        yield Text(f"! {sentence}", style="yellow")


def _alike(field: Field, other: Field | None) -> bool:
    return other is not None and (field.size, field.stride, field.offset) == (other.size, other.stride, other.offset)


def _label(row: Row) -> str:
    parent, _, own = row.name.rpartition(".")
    return "  " * (row.depth - 1) + (own if parent else row.name)


def _numbers(row: Row) -> list[str]:
    counts = (row.parameters, row.macs, row.flops, row.inference_bytes, row.training_bytes, row.bytes_moved)
    return [
        *(size(count) if count else "-" for count in counts),
        "-" if row.seconds is None else f"{1e3 * row.seconds:.3g}",
    ]


def _dense(row: Row) -> list[str]:
    if row.dense_parameters is None or row.dense_macs is None:
        return ["", ""]
    pairs = ((row.dense_parameters, row.parameters), (row.dense_macs, row.macs))
    return [f"{size(dense)}" + (f" (x{size(dense / own)})" if own else "") for dense, own in pairs]


def times(sizes: Sequence[int]) -> str:
    """Sizes as people write them.

    Example:
        >>> times((3, 224, 224))
        '3x224x224'
    """
    return "x".join(map(str, sizes))


def _axes(entries: list[str]) -> str:
    return entries[0] if len(set(entries)) == 1 else ",".join(entries)


def size(count: float) -> str:
    """A count in at most four characters and a letter.

    Example:
        >>> size(11_689_512), size(512), size(1.5)
        ('11.7M', '512', '1.5')
    """
    for letter in ("", "k", "M", "G", "T", "P"):
        if abs(count) < 999.5 or letter == "P":
            return f"{count:.3g}{letter}"
        count /= 1000
    raise AssertionError
