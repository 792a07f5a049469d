"""Sizes and padding against counting, against torch, and against the definitions of the names."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F

from convlayers import geometry
from convlayers.errors import ArgumentError, ArgumentTypeError
from convlayers.functional.cached import cached

AXES = list(itertools.product((1, 2, 5, 8), (1, 2, 3, 4), (1, 2, 3), (1, 2, 3)))


@pytest.mark.parametrize(("low", "high"), [(0, 0), (2, 0), (1, 3), (-1, 2)])
def test_output_size_counts_the_windows_that_fit(low, high):
    for n, k, s, d in AXES:
        ends = [o * s + d * (k - 1) for o in range(40)]
        fit = sum(end < n + low + high for end in ends)
        size = geometry.output_size(n, k, s, low, high, d)
        assert max(size, 0) == fit, (n, k, s, d)


@pytest.mark.parametrize("ceil_mode", [False, True])
def test_output_size_is_that_of_torchs_poolings(ceil_mode):
    for n, k, s, d in AXES:
        for pad in range(k // 2 + 1):
            size = geometry.output_size(n, k, s, pad, pad, d, ceil_mode)
            if size < 1 or n + 2 * pad < geometry.reach(k, d):
                continue
            torch_size = F.max_pool1d(torch.zeros(1, n), k, s, pad, d, ceil_mode).shape[-1]
            assert size == torch_size, (n, k, s, pad, d)


def test_same_keeps_ceil_of_size_over_stride_and_is_balanced():
    for n, k, s, d in AXES:
        low, high = geometry.amounts("same", n, k, s, d)
        assert geometry.output_size(n, k, s, low, high, d) == -(-n // s)
        assert 0 <= high - low <= 1
        assert geometry.amounts("same_lower", n, k, s, d) == (high, low)
        if (low, high) != (0, 0):  # One element less would lose an output.
            assert geometry.output_size(n, k, s, low, high - 1, d) < -(-n // s)


def test_full_takes_every_window_that_touches_and_causal_none_that_looks_ahead():
    for n, k, s, d in AXES:
        low, high = geometry.amounts("full", n, k, s, d)
        first, last = -low + d * (k - 1), (geometry.output_size(n, k, 1, low, high, d) - 1) - low
        assert (first, last) == (0, n - 1)
        low, high = geometry.amounts("causal", n, k, s, d)
        assert all(o * s - low + d * (k - 1) == o * s for o in range(geometry.output_size(n, k, s, low, high, d)))


def test_transposed_names():
    for n, k, s, d in AXES:
        whole = torch.nn.ConvTranspose1d(1, 1, k, s, dilation=d)(torch.zeros(1, 1, n)).shape[-1]
        for name in ("valid", "full"):
            assert geometry.transposed_output_size(n, k, s, *geometry.transposed_amounts(name, k, s, d), d) == whole
        for name in ("same", "same_lower", "causal"):
            low, high = geometry.transposed_amounts(name, k, s, d)
            assert geometry.transposed_output_size(n, k, s, low, high, d) == n * s
            assert low >= 0
        low, high = geometry.transposed_amounts("same", k, s, d)
        assert high < 0 or 0 <= high - low <= 1
        assert geometry.transposed_amounts("causal", k, s, d)[0] == 0


def test_beyond_is_what_the_outputs_see():
    for n, k, s, d in AXES:
        for low in (0, 1, 3):
            output = geometry.transposed_output_size(n, k, s, low, low, d)
            if output < 1:
                continue
            seen = [
                (o + low - t * d) // s for o in range(output) for t in range(k) if (o + low - t * d) % s == 0
            ]  # fmt: skip
            below, above = geometry.beyond(n, k, s, low, d, output)
            assert below >= max(0, -min(seen, default=0))
            assert above >= max(0, max(seen, default=0) - (n - 1))


@pytest.mark.parametrize(
    ("padding", "low", "high"),
    [
        (1, (1, 1), (1, 1)),
        ((1, 2), (1, 2), (1, 2)),
        ([1, 2], (1, 2), (1, 2)),
        ((3,), (3, 3), (3, 3)),
        (((1, 2), (3, 4)), (1, 3), (2, 4)),
        (((1, 2),), (1, 1), (2, 2)),
        (-1, (-1, -1), (-1, -1)),
        ("valid", (0, 0), (0, 0)),
        ("same", (1, 1), (1, 2)),
        ("same_lower", (1, 2), (1, 1)),
        (("causal", (1, -1)), (2, 1), (0, -1)),
        (torch.tensor(2), (2, 2), (2, 2)),
    ],
)
def test_every_form_of_padding(padding, low, high):
    assert geometry.resolve_padding(padding, (5, 6), (3, 4), (1, 1), (1, 1)) == (low, high)


@pytest.mark.parametrize(
    ("padding", "error", "says"),
    [
        ("sane", ArgumentError, "one of valid, same, same_lower, full, causal; received 'sane'"),
        (("same", "bogus"), ArgumentError, "received"),
        ((1, 2, 3), ArgumentError, "2, one a spatial axis"),
        (((1, 2, 3), 1), ArgumentError, "pairs"),
        (1.5, ArgumentTypeError, "must be an integer; received 1.5"),
        (True, ArgumentTypeError, "must be an integer"),
        (None, ArgumentTypeError, "must be an integer"),
        (((1, 0.5), 1), ArgumentTypeError, "must be an integer"),
    ],
)
def test_padding_that_is_refused(padding, error, says):
    with pytest.raises(error, match=says):
        geometry.resolve_padding(padding, (5, 6), (3, 4), (1, 1), (1, 1))


def test_a_pair_for_one_axis_is_explained():
    with pytest.raises(ArgumentError, match=r"padding=\(\(low, high\),\)"):
        geometry.padding_entries((1, 2), 1)


def test_sizes_that_do_not_fit_64_bits():
    with pytest.raises(ArgumentError, match="64 bits"):
        geometry.convolution_windows((8,), (3,), (1,), (0,), (2**62,), ("zeros",), (0.0,))
    with pytest.raises(ArgumentError, match="64 bits"):
        geometry.transposed_windows((2**40,), (3,), (2**40,), (0,), (0,), (1,), ("zeros",), (0.0,))
    with pytest.raises(ArgumentError, match=r"at most 2\*\*63 - 1 elements"):
        geometry.check_elements(2**32, 2**32)


def test_remembered_geometry_is_not_confused_by_equal_numbers():
    calls = []

    @cached
    def remembered(*args):
        calls.append(args)
        return args

    assert remembered(1, (2,)) is remembered(1, (2,))
    assert len(calls) == 1
    remembered([1])  # What cannot be remembered is computed.
    remembered([1])
    assert len(calls) == 3
