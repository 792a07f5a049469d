"""bfloat16 and float16: stored so, computed in float32, rounded once; on our kernels where torch's are slower."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import convlayers
from convlayers import functional
from convlayers.ops import select

HALVES = [torch.bfloat16, torch.float16]
SIZES: dict[int, tuple[int, ...]] = {1: (37,), 2: (9, 11), 3: (5, 6, 7)}


def operands(dtype: torch.dtype, rank: int, groups: int, transposed: bool, last: bool = False) -> list[Tensor]:
    generator = torch.Generator().manual_seed(rank + groups)
    channels = (12, 24 // groups) if transposed else (24, 12 // groups)
    x = torch.randn(2, 12, *SIZES[rank], generator=generator)
    if last:
        x = x.movedim(1, -1).contiguous().movedim(-1, 1)
    weight, bias = torch.randn(*channels, *[3] * rank, generator=generator), torch.randn(24, generator=generator)
    return [t.to(dtype).requires_grad_() for t in (x, weight, bias)]


def results(function: Any, tensors: list[Tensor], **kwargs: Any) -> list[Tensor]:
    """The output and the gradients of a sum weighted by integers."""
    y = function(*tensors, **kwargs)
    grad = torch.randint(-4, 5, y.shape, generator=torch.Generator().manual_seed(1)).to(y.dtype)
    return [y.detach(), *torch.autograd.grad(y, tensors, grad)]


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("groups", [1, 3, 12])
def test_our_kernels_round_a_float32_sum_once(monkeypatch, dtype, rank, transposed, groups):
    """Within half a unit in the last place of the exact result, and what a float32 sum is off by."""
    name = f"conv_transpose{rank}d" if transposed else f"conv{rank}d"
    monkeypatch.setattr(select, "forced", "direct" if groups < 12 else "depthwise")
    for last, kwargs in itertools.product((False, True), ({}, {"stride": 2, "padding": 1}, {"dilation": 2})):
        tensors = operands(dtype, rank, groups, transposed, last)
        ours = results(getattr(functional, name), tensors, groups=groups, **kwargs)
        doubles = [t.detach().double().requires_grad_() for t in tensors]
        exact = results(getattr(F, name), doubles, groups=groups, **kwargs)
        theirs = results(getattr(F, name), tensors, groups=groups, **kwargs)
        for mine, torchs, true in zip(ours, theirs, exact, strict=True):
            assert mine.dtype == dtype
            error = (mine.double() - true).abs()
            torch.testing.assert_close(mine.double(), true, rtol=torch.finfo(dtype).eps * 0.51, atol=2e-4)
            assert error.max() <= (torchs.double() - true).abs().max() + torch.finfo(dtype).eps / 2 * true.abs().max()
        wide = getattr(functional, name)(*(t.float() for t in tensors), groups=groups, **kwargs)
        assert ours[0].stride() == wide.stride()


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_every_number_passes_unchanged(monkeypatch, dtype):
    """All 65,536 of them through a filter of one tap: infinities, NaN, denormals."""
    monkeypatch.setattr(select, "forced", "depthwise")
    x = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(dtype).view(1, 4, 128, 128)
    y = functional.conv2d(x, torch.ones(4, 1, 1, 1, dtype=dtype), groups=4)
    torch.testing.assert_close(y, x, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_ties_go_to_even(monkeypatch, dtype):
    monkeypatch.setattr(select, "forced", "depthwise")
    eps = torch.finfo(dtype).eps
    x = torch.tensor([[[1.0, eps / 2], [1.0 + eps, eps / 2]]]).transpose(1, 2).to(dtype)  # a channel: 1, 1 + eps
    weight = torch.tensor([[[1.0]], [[1.0]]], dtype=dtype)
    y = functional.conv1d(x, weight, torch.tensor([0.0, 0.0], dtype=dtype), groups=2)
    assert torch.equal(y, x)
    pairs = torch.tensor([[[1.0, eps / 2], [1.0 + eps, eps / 2]]]).to(dtype)
    sums = functional.conv1d(pairs, torch.ones(2, 1, 2, dtype=dtype), groups=2)
    assert sums.flatten().tolist() == [1.0, 1.0 + 2 * eps]


def kernel(native: bool, monkeypatch, dtype, shape, groups, gradients=(True, True), transposed=False, **kwargs) -> str:
    monkeypatch.setitem(select.NATIVE, dtype, native)
    x = torch.zeros(1, 8, *[9] * (len(shape) - 2), dtype=dtype, requires_grad=gradients[0])
    weight = torch.zeros(shape, dtype=dtype, requires_grad=gradients[1])
    name = f"conv_transpose{x.dim() - 2}d" if transposed else f"conv{x.dim() - 2}d"
    (choice,) = convlayers.which(getattr(functional, name), x, weight, groups=groups, **kwargs)
    return choice.kernel


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_what_runs(monkeypatch, dtype):
    def runs(*args: Any, native: bool = True, **kwargs: Any) -> str:
        return kernel(native, monkeypatch, dtype, *args, **kwargs)

    none, to_input, to_weight = (False, False), (True, False), (False, True)
    dense, three, five, cube = (8, 8, 3, 3), (8, 1, 3, 3), (8, 1, 5, 5), (8, 1, 3, 3, 3)
    # Where oneDNN does not multiply the dtype, ours: whatever it is.
    assert runs(dense, 1, none, native=False, stride=2) == "direct"
    assert runs((8, 4, 3, 3), 2, native=False) == "grouped"
    assert runs(three, 8, none, native=False) == "depthwise"
    # Where it does, only what it is slow at.
    assert runs(dense, 1) == runs((8, 4, 3, 3), 2, stride=2) == "torch"
    assert runs(three, 8) == runs(five, 8, none) == runs(cube, 8, none) == "torch"
    assert runs(five, 8, to_weight) == runs(three, 8, to_weight, dilation=2) == runs(cube, 8, to_weight) == "depthwise"
    assert runs(five, 8, to_input) == runs(three, 8, to_weight, stride=2) == "torch"
    assert runs(three, 8, to_input, stride=2) == runs(cube, 8, to_input) == "depthwise"
    assert runs(three, 8, none, transposed=True) == "torch"
    assert runs(three, 8, none, transposed=True, stride=2) == "depthwise"
    with torch.no_grad():
        assert runs(five, 8) == "torch"


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_filters_that_no_kernel_of_ours_takes(monkeypatch, dtype, native):
    monkeypatch.setitem(select.NATIVE, dtype, native)
    x, weight = torch.randn(1, 2, 40, 40).to(dtype), torch.randn(3, 2, 33, 33).to(dtype)
    (choice,) = convlayers.which(functional.conv2d, x, weight)
    assert choice.kernel == "torch"
    assert torch.equal(functional.conv2d(x, weight), torch.nn.functional.conv2d(x, weight))


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_registered_and_twice_differentiated(monkeypatch, dtype):
    monkeypatch.setitem(select.NATIVE, dtype, False)
    x, weight, bias = operands(dtype, 2, 12, False)

    def twice(x: Tensor, weight: Tensor) -> Tensor:
        y = functional.conv2d(x, weight, bias, groups=12, activation="relu")
        (grad,) = torch.autograd.grad(y.float().square().sum(), x, create_graph=True)
        return torch.autograd.grad(grad.float().sum(), weight)[0]

    assert twice(x, weight).dtype == dtype
    torch.library.opcheck(
        torch.ops.convlayers.convolution.default,
        (x, weight, bias, [7, 9], [1, 1], [0, 0], [1, 1], 12, False, [0, 0], [0.0, 0.0], "depthwise", 0, 0.0, 0.0),
    )
