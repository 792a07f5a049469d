"""Fractional pooling and unpooling: each plane has places of its own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from convlayers import functional as C
from convlayers.ops import reference_pool as reference

SIZES = {1: (8,), 2: (6, 8), 3: (6, 4, 8)}


def integers(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randint(-9, 10, shape, generator=torch.Generator().manual_seed(sum(shape))).to(dtype)


def function(library: object, name: str, rank: int):
    return getattr(library, f"{name}{rank}d")


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("output", [1, 2, 3])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("spread", [1, 8])
def test_fractional_equals_torch(rank: int, output: int, channels_last: bool, dtype: torch.dtype, spread: int) -> None:
    x = integers(2, 5, *[n + 3 for n in SIZES[rank]]).to(dtype)
    if channels_last:
        x = x.movedim(1, -1).contiguous().movedim(-1, 1)
    samples = torch.rand(2, 5, rank, generator=torch.Generator().manual_seed(output)).to(dtype)
    samples = samples.where(samples < 1, 0.5)
    if spread > 1:  # torch draws in [0, 1) but takes others, too
        samples = (samples - 0.5) * spread
    arguments = {"output_size": (output,) * rank, "return_indices": True, "_random_samples": samples}
    ours = function(C, "fractional_max_pool", rank)(x, 2, **arguments)
    theirs = function(F, "fractional_max_pool", rank)(x, 2, **arguments)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_fractional_equals_the_definition() -> None:
    x = integers(1, 1, 9, 12)
    samples = torch.tensor([[[0.3, 0.8]]])
    values, indices = C.fractional_max_pool2d(x, (2, 3), (5, 4), return_indices=True, _random_samples=samples)
    axes = [reference.fractional(9, 5, 2, 0.8), reference.fractional(12, 4, 3, 0.3)]  # the width's sample comes first
    expected, places = reference.max_pool(x, axes)
    assert torch.equal(values.double(), expected)
    assert torch.equal(indices, places)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("power", [1, 0.5, 0.25, 0.125])
def test_fractional_windows_lie_inside_whatever_the_sample(power: float, dtype: torch.dtype) -> None:
    # Where torch, which does not look, would read anywhere.
    x = torch.arange(1000).to(dtype).expand(1, 2, 3, 1000)
    sample = torch.finfo(dtype).max ** power
    samples = torch.tensor([[[sample, 0.5], [-sample, 0.5]]], dtype=dtype)
    _, indices = C.fractional_max_pool2d(x, 1, (3, 900), return_indices=True, _random_samples=samples)
    rows, columns = indices // 1000, indices % 1000
    assert bool(((rows >= 0) & (rows < 3)).all())
    assert int(columns.max()) == 999


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fractional_windows_may_just_fit(dtype: torch.dtype) -> None:
    x = integers(1, 2, 4, 4, 4, dtype=dtype)
    assert torch.equal(C.fractional_max_pool3d(x, 2, 3), F.max_pool3d(x, 2, 1))


def test_fractional_draws_as_torch_does() -> None:
    x = integers(2, 3, 9, 9)
    torch.manual_seed(5)
    ours = C.fractional_max_pool2d(x, 2, output_ratio=(0.5, 0.7))
    torch.manual_seed(5)
    assert torch.equal(ours, F.fractional_max_pool2d(x, 2, output_ratio=(0.5, 0.7)))
    torch.manual_seed(5)
    unbatched = C.fractional_max_pool2d(x[0], 2, 4)
    torch.manual_seed(5)
    assert torch.equal(unbatched, F.fractional_max_pool2d(x[0], 2, 4))


def test_fractional_in_low_precision_stays_inside() -> None:
    """bfloat16 rounds a window's place upwards; torch's operator then reads beyond the input."""
    x = torch.zeros(1, 1, 300, 300, dtype=torch.bfloat16)
    samples = torch.full((1, 1, 2), 0.996, dtype=torch.bfloat16)
    _, indices = C.fractional_max_pool2d(x, 2, 297, return_indices=True, _random_samples=samples)
    assert indices.min() >= 0
    assert indices.max() < 300 * 300


def test_fractional_gradient_equals_torch() -> None:
    samples = torch.rand(2, 3, 2, generator=torch.Generator().manual_seed(0))
    gradients = []
    for library in (C, F):
        x = integers(2, 3, 9, 9).requires_grad_()
        y = library.fractional_max_pool2d(x, 3, 4, _random_samples=samples)
        (y * torch.arange(y.numel()).view(y.shape)).sum().backward()
        gradients.append(x.grad)
    assert torch.equal(*gradients)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_unpool_equals_torch(rank: int, channels_last: bool, dtype: torch.dtype) -> None:
    x = integers(2, 19, *SIZES[rank], dtype=dtype)
    if channels_last:
        x = x.movedim(1, -1).contiguous().movedim(-1, 1)
    pooled, indices = function(F, "max_pool", rank)(x, 2, return_indices=True)
    ours = function(C, "max_unpool", rank)(pooled, indices, 2)
    assert torch.equal(ours, function(F, "max_unpool", rank)(pooled, indices, 2))
    assert torch.equal(ours.double(), reference.max_unpool(pooled, indices, SIZES[rank]))
    assert torch.equal(function(C, "max_unpool", rank)(pooled[0], indices[0], 2), ours[0])


def test_unpool_of_overlapping_windows_keeps_the_last() -> None:
    x = torch.tensor([[[1.0, 2.0, 3.0]]])
    assert C.max_unpool1d(x, torch.tensor([[[0, 0, 4]]]), 2).tolist() == [[[2.0, 0.0, 0.0, 0.0, 3.0, 0.0]]]


def test_unpool_to_a_given_size() -> None:
    x = integers(1, 2, 7, 9)
    pooled, indices = C.max_pool2d(x, 2, return_indices=True)
    for size in ((7, 9), x.shape):
        restored = C.max_unpool2d(pooled, indices, 2, output_size=size)
        assert torch.equal(restored, F.max_unpool2d(pooled, indices, 2, output_size=size))


def test_unpool_gradient_equals_torch() -> None:
    pooled, indices = F.max_pool2d(integers(2, 3, 6, 6), 2, return_indices=True)
    gradients = []
    for library in (C, F):
        x = pooled.clone().requires_grad_()
        y = library.max_unpool2d(x, indices, 2)
        (y * torch.arange(y.numel()).view(y.shape)).sum().backward()
        gradients.append(x.grad)
    assert torch.equal(*gradients)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("index", [-1, 2**40, -(2**62), 64])
@pytest.mark.parametrize("channels_last", [False, True])
def test_unpool_refuses_indices_outside(rank: int, dtype: torch.dtype, index: int, channels_last: bool) -> None:
    x = torch.zeros(2, 3, *[2] * rank, dtype=dtype)
    indices = torch.zeros(x.shape, dtype=torch.int64)
    if channels_last:
        x, indices = (t.movedim(1, -1).contiguous().movedim(-1, 1) for t in (x, indices))
    indices[1, 2] = index
    with pytest.raises(RuntimeError, match="ind"):
        function(C, "max_unpool", rank)(x, indices, 2)
