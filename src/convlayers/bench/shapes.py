"""Lists of shapes as CSV: reads a file into problems, or says which line and column is wrong.

The columns are :data:`COLUMNS`, in any order. ``ndim`` is the number of spatial axes: 1 fills the columns of the width
alone (w, s and those in _w), 2 those of height and width, 3 all; the others stay empty. ``c`` and ``k`` are channels in
total; ``t``, ``r``, ``s`` the kernel's depth, height and width; ``dil_*`` is 1 for a dense kernel; ``o*`` are the
output's sizes. ``pad_*`` is the padding below; with ``exact_sym_pad`` 1 also that above, with 0 that above follows from
the output's size. ``count`` is how often the network has the layer; a row is measured once. With ``transposed`` 1, c,
d, h, w are the input of the transposed convolution.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from convlayers.bench.problem import Problem

#: For each axis, outermost first: columns of size, kernel, stride, padding below, dilation, output size.
AXES = tuple(
    (axis, taps, f"stride_{axis}", f"pad_{axis}", f"dil_{axis}", f"o{axis}")
    for axis, taps in (("d", "t"), ("h", "r"), ("w", "s"))
)
COLUMNS = (
    *("name", "ndim", "n", "c", "k", "groups", "exact_sym_pad", "count", "transposed"),
    *(column for axis in AXES for column in axis),
)
_LEAST = dict.fromkeys(("pad_d", "pad_h", "pad_w", "exact_sym_pad", "transposed"), 0)
_MOST = {"ndim": 3, "exact_sym_pad": 1, "transposed": 1}


class ShapeError(ValueError):
    """A list of shapes cannot be read: a sentence with the file, the line and the column."""


class Axis(NamedTuple):
    """Padding along one axis."""

    low: int
    high: int
    output_padding: int


def read(path: Path) -> list[Problem]:
    """The rows of a file, in order; empty lines are left out.

    Raises:
        ShapeError: for a file that cannot be read, or a row that is not a convolution.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, strict=True)
            header = next(lines, [])
            missing = [column for column in COLUMNS if header.count(column) != 1]
            if missing:
                raise ShapeError(f"{path}, line 1: the header must have each column once; look at {', '.join(missing)}")
            problems = []
            for cells in lines:
                if not any(cell.strip() for cell in cells):
                    continue
                where = f"{path}, line {lines.line_num}"
                if len(cells) != len(header):
                    raise ShapeError(f"{where}: must have {len(header)} cells as the header has; has {len(cells)}")
                problems.append(_problem(dict(zip(header, cells, strict=True)), where))
    except OSError as error:
        raise ShapeError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ShapeError(f"{path}: is not CSV in UTF-8: {error}") from error
    if not problems:
        raise ShapeError(f"{path}: has no rows")
    return problems


def _problem(row: dict[str, str], where: str) -> Problem:
    def refuse(column: str, rule: str) -> ShapeError:
        return ShapeError(f"{where}, column {column}: {rule}; received {row[column]!r}")

    def integer(column: str) -> int:
        least, most = _LEAST.get(column, 1), _MOST.get(column, 2**31 - 1)
        try:
            value = int(row[column])
        except ValueError:
            raise refuse(column, "must be an integer") from None
        if not least <= value <= most:
            raise refuse(column, f"must be from {least} to {most}")
        return value

    rank, transposed, exact = integer("ndim"), integer("transposed") == 1, integer("exact_sym_pad") == 1
    for column in (column for axis in AXES[: 3 - rank] for column in axis):
        if row[column].strip():
            raise refuse(column, f"must be empty where ndim is {rank}")
    groups = integer("groups")
    for column in ("c", "k"):
        if integer(column) % groups:
            raise refuse(column, f"must be a multiple of groups = {groups}")
    integer("count")
    numbers = [tuple(integer(column) for column in axis) for axis in AXES[3 - rank :]]
    resolve = transposed_axis if transposed else convolution_axis
    axes = [_resolved(resolve, axis, exact, refuse, AXES[3 - rank + i][5]) for i, axis in enumerate(numbers)]
    size, kernel, stride, _, dilation, output_size = zip(*numbers, strict=True)
    low, high, output_padding = zip(*axes, strict=True)
    return Problem(
        name=row["name"],
        transposed=transposed,
        batch=integer("n"),
        in_channels=integer("c"),
        out_channels=integer("k"),
        groups=groups,
        size=size,
        kernel=kernel,
        stride=stride,
        low=low,
        high=high,
        dilation=dilation,
        output_padding=output_padding,
        output_size=output_size,
    )


def _resolved(
    resolve: Callable[..., Axis], axis: tuple[int, ...], exact: bool, refuse: Callable[..., ShapeError], column: str
) -> Axis:
    try:
        padding = resolve(*axis)
    except ValueError as error:
        raise refuse(column, str(error)) from None
    if exact and (padding.high != padding.low or padding.output_padding):
        raise refuse(column, f"is not what padding of {padding.low} on both sides gives, as exact_sym_pad = 1 says")
    return padding


def convolution_axis(size: int, kernel: int, stride: int, low: int, dilation: int, output: int) -> Axis:
    """The padding above that gives ``output`` windows; of several, the nearest to ``low``. Negative amounts crop.

    Raises:
        ValueError: where no padding above gives that many windows without cropping everything.

    Example:
        >>> convolution_axis(size=224, kernel=3, stride=2, low=0, dilation=1, output=112)
        Axis(low=0, high=1, output_padding=0)
    """
    least = (output - 1) * stride + dilation * (kernel - 1) + 1 - size - low
    high = min(max(low, least), least + stride - 1)
    if size + high <= 0:
        raise ValueError("would leave nothing of the input")
    return Axis(low, high, 0)


def transposed_axis(size: int, kernel: int, stride: int, low: int, dilation: int, output: int) -> Axis:
    """Output padding, or more cut off above than below, that gives ``output`` elements.

    Raises:
        ValueError: for more elements than output padding, which stays below stride or dilation, can add.

    Example:
        >>> transposed_axis(size=7, kernel=3, stride=2, low=1, dilation=1, output=14)
        Axis(low=1, high=1, output_padding=1)
    """
    surplus = output - ((size - 1) * stride + dilation * (kernel - 1) + 1 - 2 * low)
    if surplus >= max(stride, dilation):
        raise ValueError(
            f"must be at most {output - surplus + max(stride, dilation) - 1}, which output padding can give"
        )
    return Axis(low, low + max(-surplus, 0), max(surplus, 0))
