"""Adaptive and global pooling against torch."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from convlayers import functional as C
from convlayers.ops import reference_pool as reference

SIZES = {1: (9,), 2: (7, 8), 3: (5, 6, 4)}


def integers(*shape: int) -> torch.Tensor:
    return torch.randint(-9, 10, shape, generator=torch.Generator().manual_seed(sum(shape))).float()


def function(library: object, name: str, rank: int):
    return getattr(library, f"{name}{rank}d")


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("channels", [1, 21])
@pytest.mark.parametrize("output", [0, 1, 2, 3, 5, 11])
@pytest.mark.parametrize("channels_last", [False, True])
def test_equals_torch(rank: int, channels: int, output: int, channels_last: bool) -> None:
    x = integers(2, channels, *SIZES[rank])
    if channels_last:
        x = x.movedim(1, -1).contiguous().movedim(-1, 1)
    sizes = (output,) * rank
    ours = function(C, "adaptive_max_pool", rank)(x, sizes, True)
    torch.testing.assert_close(ours, function(F, "adaptive_max_pool", rank)(x, sizes, True), rtol=0, atol=0)
    expected = function(F, "adaptive_avg_pool", rank)(x, sizes)
    torch.testing.assert_close(function(C, "adaptive_avg_pool", rank)(x, output), expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(function(C, "adaptive_avg_pool", rank)(x[0], sizes), expected[0], rtol=1e-6, atol=0)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_equals_the_definition(rank: int) -> None:
    x = integers(1, 2, *SIZES[rank])
    axes = [reference.adaptive(n, 3) for n in SIZES[rank]]
    values, indices = function(C, "adaptive_max_pool", rank)(x, 3, True)
    expected, places = reference.max_pool(x, axes)
    assert torch.equal(values.double(), expected)
    assert torch.equal(indices, places)
    mean = function(C, "adaptive_avg_pool", rank)(x, 3)
    expected = reference.avg_pool(x, axes, [(0, n) for n in SIZES[rank]])
    torch.testing.assert_close(mean.double(), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("output", [1, 3, 11])
@pytest.mark.parametrize("name", ["adaptive_max_pool", "adaptive_avg_pool"])
def test_gradients_equal_torch(rank: int, output: int, name: str) -> None:
    gradients = []
    for library in (C, F):
        x = integers(2, 5, *SIZES[rank]).requires_grad_()
        y = function(library, name, rank)(x, (output,) * rank)
        (y * (torch.arange(y.numel()).view(y.shape) % 7 - 3)).sum().backward()
        gradients.append(x.grad)
    torch.testing.assert_close(*gradients)


def test_none_keeps_the_inputs_size() -> None:
    x = integers(2, 3, 7, 8)
    assert torch.equal(C.adaptive_max_pool2d(x, (None, 2)), F.adaptive_max_pool2d(x, (None, 2)))
    assert torch.equal(C.adaptive_avg_pool2d(x, None), x)
    assert C.adaptive_avg_pool3d(integers(1, 4, 5, 6), (2, None, None)).shape == (1, 2, 5, 6)


def test_an_empty_output_has_a_gradient() -> None:
    x = integers(1, 2, 5).requires_grad_()
    C.adaptive_avg_pool1d(x, 0).sum().backward()
    assert torch.equal(x.grad, torch.zeros(1, 2, 5))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("channels", [1, 3, 200])
def test_global_pooling(rank: int, channels: int) -> None:
    x = integers(2, channels, *SIZES[rank])
    axes = tuple(range(2, rank + 2))
    assert torch.equal(function(C, "global_max_pool", rank)(x), x.amax(axes, keepdim=True))
    assert torch.equal(function(C, "global_max_pool", rank)(x[0], keepdim=False), x[0].flatten(1).amax(1))
    torch.testing.assert_close(function(C, "global_avg_pool", rank)(x), x.mean(axes, keepdim=True))
    torch.testing.assert_close(function(C, "global_avg_pool", rank)(x, False), x.mean(axes))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes_take_torchs_operators(dtype: torch.dtype) -> None:
    x = integers(1, 2, 6, 6).to(dtype)
    assert torch.equal(C.adaptive_avg_pool2d(x, 4), F.adaptive_avg_pool2d(x, 4))
    assert torch.equal(C.adaptive_max_pool2d(x, 4), F.adaptive_max_pool2d(x, 4))
