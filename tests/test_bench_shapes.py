"""Lists of shapes: what a row means, and that a bad one is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench_rows import CROPPED, DOUBLED, ONE_SIDED, PLAIN, SHORTENED, VOLUME, problem, written

from convlayers.bench import shapes

# --- reading ----------------------------------------------------------------------------------------------------------


def test_rows_are_read_in_order_and_empty_lines_left_out(tmp_path: Path) -> None:
    path = written(tmp_path / "list.csv", PLAIN, VOLUME, header=shapes.COLUMNS[::-1])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n\r\n"))
    plain, volume = shapes.read(path)
    assert (plain.name, plain.batch, plain.input_shape, plain.output_shape) == (
        "plain",
        3,
        (3, 8, 10, 9),
        (3, 12, 5, 5),
    )
    assert (plain.weight_shape, plain.stride, plain.low, plain.high) == ((12, 4, 3, 3), (2, 2), (1, 1), (1, 1))
    assert (volume.rank, volume.kernel, volume.dilation, volume.groups) == (3, (2, 3, 3), (2, 1, 1), 8)


@pytest.mark.parametrize(
    ("changes", "column", "rule"),
    [
        ({"h": "ten"}, "h", "must be an integer; received 'ten'"),
        ({"h": ""}, "h", "must be an integer; received ''"),
        ({"h": "1.5"}, "h", "must be an integer; received '1.5'"),
        ({"w": "0"}, "w", "must be from 1 to"),
        ({"pad_w": "-1"}, "pad_w", "must be from 0 to"),
        ({"ndim": "4"}, "ndim", "must be from 1 to 3; received '4'"),
        ({"exact_sym_pad": "2"}, "exact_sym_pad", "must be from 0 to 1"),
        ({"ndim": "1"}, "h", "must be empty where ndim is 1; received '10'"),
        ({"groups": "3"}, "c", "must be a multiple of groups = 3; received '8'"),
        ({"groups": "8"}, "k", "must be a multiple of groups = 8; received '12'"),
        ({"oh": "6"}, "oh", "is not what padding of 1 on both sides gives"),
        ({"oh": "1", "h": "1", "stride_h": "1", "pad_h": "5", "exact_sym_pad": "0"}, "oh", "would leave nothing"),
        (DOUBLED | {"oh": "21"}, "oh", "must be at most 20, which output padding can give; received '21'"),
        (DOUBLED | {"exact_sym_pad": "1"}, "oh", "is not what padding of 1 on both sides gives"),
    ],
)  # fmt: skip
def test_a_bad_cell_is_named_with_line_and_column(
    changes: dict[str, str], column: str, rule: str, tmp_path: Path
) -> None:
    path = written(tmp_path / "bad.csv", PLAIN, PLAIN | changes)
    with pytest.raises(shapes.ShapeError) as error:
        shapes.read(path)
    assert f"{path}, line 3, column {column}: {rule}" in str(error.value)


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    contents = {
        b"\xff\xfe\x00": "is not CSV in UTF-8",
        b'name,"ndim': "is not CSV in UTF-8",
        b"": "line 1: the header must have each column once; look at name, ndim, n",
        b"name,ndim\n": "line 1: the header must have each column once; look at n, c",
        (",".join((*shapes.COLUMNS, "n")) + "\n").encode(): "must have each column once; look at n",
        (",".join(shapes.COLUMNS) + "\n").encode(): "has no rows",
        (",".join(shapes.COLUMNS) + "\n1,2\n").encode(): f"line 2: must have {len(shapes.COLUMNS)} cells",
    }
    for content, sentence in contents.items():
        path.write_bytes(content)
        with pytest.raises(shapes.ShapeError, match=sentence) as error:
            shapes.read(path)
        assert str(path) in str(error.value)
    with pytest.raises(shapes.ShapeError, match="cannot be read: No such file"):
        shapes.read(tmp_path / "none.csv")


# --- geometry ---------------------------------------------------------------------------------------------------------


def test_padding_follows_from_the_output_size(tmp_path: Path) -> None:
    assert [(p.low, p.high) for p in (problem(ONE_SIDED, tmp_path), problem(CROPPED, tmp_path))] == [
        ((0, 0), (1, 2)),
        ((1, 1), (-3, -4)),
    ]
    doubled, shortened = problem(DOUBLED, tmp_path), problem(SHORTENED, tmp_path)
    assert (doubled.high, doubled.output_padding) == ((1, 1), (1, 1))
    assert (shortened.high, shortened.output_padding) == ((3, 2), (0, 0))
