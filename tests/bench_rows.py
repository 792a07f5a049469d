"""Rows of lists of shapes that the benchmark's tests share."""

from __future__ import annotations

from pathlib import Path

from convlayers.bench import peers, shapes
from convlayers.bench.problem import Problem

PLAIN = dict.fromkeys(shapes.COLUMNS, "") | {
    "name": "plain", "ndim": "2", "n": "3", "c": "8", "k": "12", "h": "10", "w": "9", "r": "3", "s": "3",
    "stride_h": "2", "stride_w": "2", "pad_h": "1", "pad_w": "1", "dil_h": "1", "dil_w": "1", "groups": "2",
    "oh": "5", "ow": "5", "exact_sym_pad": "1", "count": "1", "transposed": "0",
}  # fmt: skip
#: Only above, as TensorFlow pads; and a row whose last elements no window sees, so that they are cropped.
ONE_SIDED = PLAIN | {"name": "one-sided", "pad_h": "0", "pad_w": "0", "exact_sym_pad": "0"}
CROPPED = PLAIN | {"name": "cropped", "oh": "3", "ow": "2", "exact_sym_pad": "0"}
#: 10 and 9 give 19 and 17 by themselves: one more by output padding; and two and one fewer, cut off above.
DOUBLED = PLAIN | {"name": "doubled", "oh": "20", "ow": "18", "exact_sym_pad": "0", "transposed": "1"}
SHORTENED = DOUBLED | {"name": "shortened", "oh": "17", "ow": "16"}
SIGNAL = PLAIN | dict.fromkeys(("h", "r", "stride_h", "pad_h", "dil_h", "oh"), "") | {"name": "signal", "ndim": "1"}
VOLUME = PLAIN | {
    "name": "volume", "ndim": "3", "d": "4", "t": "2", "stride_d": "1", "pad_d": "1", "dil_d": "2", "od": "4",
    "k": "8", "groups": "8",
}  # fmt: skip
COVERING = PLAIN | {
    "name": "covering",
    "groups": "1",
    "r": "10",
    "s": "9",
    "oh": "1",
    "ow": "1",
    "pad_h": "0",
    "pad_w": "0",
}
ROWS = (PLAIN, ONE_SIDED, CROPPED, DOUBLED, SHORTENED, SIGNAL, VOLUME, COVERING)
#: What is measured where nothing is said.
DEFAULT = (*peers.OURS, *peers.PEERS["torch"])


def written(path: Path, *rows: dict[str, str], header: tuple[str, ...] = shapes.COLUMNS) -> Path:
    lines = [",".join(header), *(",".join(row[column] for column in header) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def problem(row: dict[str, str], tmp_path: Path) -> Problem:
    return shapes.read(written(tmp_path / "row.csv", row))[0]
