"""Pooling over sliding windows, exact on small integers: against torch, and the definition where torch has nothing."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from convlayers import functional as C
from convlayers.ops import reference_pool as reference

SIZES = {1: (9,), 2: (7, 8), 3: (5, 6, 4)}
LAYOUTS = ("contiguous", "channels_last", "strided")


def integers(*shape: int, layout: str = "contiguous", dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Small integers, so that sums are exact."""
    generator = torch.Generator().manual_seed(sum(shape))
    x = torch.randint(-9, 10, shape, generator=generator).to(dtype)
    if layout == "channels_last":
        return x.movedim(1, -1).contiguous().movedim(-1, 1)
    if layout == "strided":
        return torch.stack((x, -x), -1)[..., 0]
    return x


def same(actual: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(actual.double(), expected.double(), rtol=1e-6, atol=0, equal_nan=True)


def function(library: object, name: str, rank: int):
    return getattr(library, f"{name}{rank}d")


WINDOWS = [  # kernel, stride, padding, dilation, ceil_mode
    (2, None, 0, 1, False),
    (3, 2, 1, 1, False),
    (3, 2, 1, 1, True),
    (2, 3, 1, 1, True),
    (3, 1, 1, 1, False),
    (2, 2, 1, 2, False),
    (3, 2, 0, 2, True),
]


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [1, 3, 21])
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_max_pool_equals_torch(rank: int, layout: str, channels: int, window: tuple) -> None:
    if rank == 3 and window == (3, 2, 0, 2, True):
        window = (2, 2, 0, 2, True)
    x = integers(2, channels, *SIZES[rank], layout=layout)
    ours = function(C, "max_pool", rank)(x, *window, return_indices=True)
    torchs = function(F, "max_pool", rank)(x, *window, return_indices=True)
    torch.testing.assert_close(ours, torchs, rtol=0, atol=0)
    assert torch.equal(function(C, "max_pool", rank)(x, *window), torchs[0])
    assert torch.equal(function(C, "max_pool", rank)(x[0], *window), torchs[0][0])


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [1, 3, 21])
@pytest.mark.parametrize("window", [w for w in WINDOWS if w[3] == 1], ids=str)
@pytest.mark.parametrize("count_include_pad", [False, True])
def test_avg_pool_equals_torch(rank: int, layout: str, channels: int, window: tuple, count_include_pad: bool) -> None:
    kernel, stride, padding, _, ceil_mode = window
    x = integers(2, channels, *SIZES[rank], layout=layout)
    arguments = (kernel, stride, padding, ceil_mode, count_include_pad)
    expected = function(F, "avg_pool", rank)(x, *arguments)
    same(function(C, "avg_pool", rank)(x, *arguments), expected)
    same(function(C, "avg_pool", rank)(x[1], *arguments), expected[1])
    if rank > 1:
        same(function(C, "avg_pool", rank)(x, *arguments, -3), function(F, "avg_pool", rank)(x, *arguments, -3))


WIDER = [  # kernel, stride, padding, dilation, ceil_mode; the amounts that the padding stands for, low and high
    (3, 2, "same", 1, False),
    (2, 3, "same", 1, False),
    (4, 3, "same_lower", 1, True),
    (3, 2, "same", 2, False),
    (3, 1, "full", 2, False),
    (3, 2, "causal", 2, False),
    (3, 2, ((2, 0),), 1, True),
    (4, 3, ((1, 3),), 1, False),
    (2, 2, "valid", 3, False),
    (2, 1, ((3, 7),), 7, False),  # wider than the input: windows that see padding only
]


def amounts(padding: object, size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """What a name stands for, from its meaning in words."""
    if not isinstance(padding, str):
        return padding[0]  # type: ignore[index]
    reach = dilation * (kernel - 1)
    outputs = math.ceil(size / stride)
    total = max(0, (outputs - 1) * stride + reach + 1 - size)
    return {
        "valid": (0, 0),
        "full": (reach, reach),
        "causal": (reach, 0),
        "same": (total // 2, total - total // 2),
        "same_lower": (total - total // 2, total // 2),
    }[padding]


def wide_windows(size: tuple[int, ...], window: tuple) -> tuple[list[reference.Positions], list[tuple[int, int]]]:
    kernel, stride, padding, dilation, ceil_mode = window
    axes, counted = [], []
    for n in size:
        low, high = amounts(padding, n, kernel, stride, dilation)
        steps = (n + low + high - dilation * (kernel - 1) - 1) / stride
        output = (math.ceil(steps) if ceil_mode else math.floor(steps)) + 1
        if ceil_mode and (output - 1) * stride >= n + low:
            output -= 1
        axes.append(reference.sliding(output, kernel, stride, low, dilation))
        counted.append((-low, n + high))
    return axes, counted


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("window", WIDER, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_wider_windows_equal_the_definition(rank: int, window: tuple, dtype: torch.dtype) -> None:
    """float32 on our kernels, float64 on torch's operators."""
    size = {1: (7,), 2: (7, 5), 3: (7, 4, 5)}[rank]
    kernel, stride, padding, dilation, ceil_mode = window
    if window[3] == 2 or window[3] == 3:
        size = tuple(n + 2 for n in size)
    if window[3] == 7:
        size = tuple(min(n, 3) for n in size)
    x = integers(2, 3, *size, dtype=dtype)
    axes, counted = wide_windows(size, window)
    values, indices = function(C, "max_pool", rank)(x, *window, return_indices=True)
    expected, places = reference.max_pool(x, axes)
    same(values, expected)
    assert torch.equal(indices, places)
    for include in (False, True):
        mean = function(C, "avg_pool", rank)(x, kernel, stride, padding, ceil_mode, include, dilation=dilation)
        same(mean, reference.avg_pool(x, axes, counted if include else [(0, n) for n in size]))
    fixed = function(C, "avg_pool", rank)(
        x, kernel, stride, padding, ceil_mode, divisor_override=5, dilation=dilation
    )  # fmt: skip
    same(fixed, reference.avg_pool(x, axes, counted, 5))


def test_names_mix_over_axes() -> None:
    x = integers(1, 2, 6, 7)
    mixed = C.max_pool2d(x, 3, 2, padding=("causal", (1, 0)))
    assert torch.equal(mixed, F.max_pool2d(F.pad(x, (1, 0, 2, 0), value=-math.inf), 3, 2))
    assert C.max_pool3d(integers(1, 1, 6, 6, 6), 3, 2, padding=("same", 1, "valid")).shape == (1, 1, 3, 3, 2)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_nan_and_infinity(rank: int, layout: str) -> None:
    x = integers(2, 19, *SIZES[rank], layout=layout)
    x[0, 0] = -math.inf
    x[:, 1:4].flatten(2)[..., ::3] = math.nan
    x[:, 1, ..., ::3] = math.nan
    x[:, 2, ..., 1] = math.inf
    for window in ((3, 2, 1), (2, 1, 0)):
        ours = function(C, "max_pool", rank)(x, *window, return_indices=True)
        torchs = function(F, "max_pool", rank)(x, *window, return_indices=True)
        torch.testing.assert_close(ours, torchs, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("norm", [1, 2, 3.5, math.inf, -math.inf])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_lp_pool_equals_torch(rank: int, norm: float, ceil_mode: bool) -> None:
    x = integers(2, 3, *SIZES[rank]).abs()
    for stride in (None, 2):
        ours = function(C, "lp_pool", rank)(x, norm, 3, stride, ceil_mode)
        torch.testing.assert_close(ours, function(F, "lp_pool", rank)(x, norm, 3, stride, ceil_mode))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_lp_pool_pads_and_dilates(rank: int) -> None:
    x = integers(2, 3, *[6] * rank)
    axes, counted = wide_windows(tuple(x.shape[2:]), (3, 2, "same", 2, False))
    total = reference.avg_pool(x.double() ** 2, axes, counted, 1)
    ours = function(C, "lp_pool", rank)(x, 2, 3, 2, padding="same", dilation=2)
    torch.testing.assert_close(ours.double(), total.sqrt(), rtol=1e-6, atol=1e-6)
    largest = function(C, "lp_pool", rank)(x, math.inf, 3, 2, padding="same", dilation=2)
    same(largest, reference.max_pool(x.abs(), axes)[0])


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("channels", [2, 19])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("name", "window"),  # torch has no dilated average
    [("max_pool", w) for w in WINDOWS[1:6]] + [("avg_pool", w) for w in WINDOWS[1:6] if w[3] == 1],
    ids=str,
)
def test_gradients_equal_torch(rank: int, channels: int, layout: str, window: tuple, name: str) -> None:
    kernel, stride, padding, dilation, ceil_mode = window
    extra = {"dilation": dilation} if name == "max_pool" else {"count_include_pad": False}
    x = integers(2, channels, *SIZES[rank], layout=layout)
    gradients = []
    for library in (C, F):
        leaf = x.clone(memory_format=torch.preserve_format).requires_grad_()
        y = function(library, name, rank)(leaf, kernel, stride, padding, ceil_mode=ceil_mode, **extra)
        (y * (torch.arange(y.numel()).view(y.shape) % 7 - 3)).sum().backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rank", [2, 3])
def test_channels_last_in_channels_last_out(rank: int, layout: str) -> None:
    x = integers(2, 5, *SIZES[rank], layout=layout).requires_grad_()
    expected = "channels_last" if layout == "channels_last" else "contiguous"
    values, indices = function(C, "max_pool", rank)(x, 2, return_indices=True)
    for y in (values, indices, function(C, "avg_pool", rank)(x, 2)):
        shown = y.movedim(1, -1) if expected == "channels_last" else y
        assert shown.is_contiguous()
    (gradient,) = torch.autograd.grad(values.sum(), x)
    shown = gradient.movedim(1, -1) if expected == "channels_last" else gradient
    assert shown.is_contiguous()


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("name", ["max_pool", "avg_pool"])
def test_empty_batch(rank: int, name: str) -> None:
    x = torch.zeros(0, 3, *SIZES[rank], requires_grad=True)
    y = function(C, name, rank)(x, 2)
    assert y.shape == function(F, name, rank)(x, 2).shape
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.shape == x.shape


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.uint8])
def test_other_dtypes_take_torchs_operators(dtype: torch.dtype) -> None:
    x = integers(1, 2, 6, 6).abs().to(dtype)
    ours = C.max_pool2d(x, 3, 2, 1, return_indices=True)
    torch.testing.assert_close(ours, F.max_pool2d(x, 3, 2, 1, return_indices=True), rtol=0, atol=0)
    same(C.max_pool2d(x, 2, 3, "same"), F.max_pool2d(x.float(), 2, 3))
    if dtype not in (torch.int32, torch.uint8):
        assert torch.equal(C.avg_pool2d(x, 3, 2, 1), F.avg_pool2d(x, 3, 2, 1))


def test_windows_as_wide_as_the_input_can_have() -> None:
    """Sizes far beyond the input: no overflow, no table, no loop over what is not there."""
    x = integers(1, 1, 6)
    assert torch.equal(C.max_pool1d(x, 3, 2**40, dilation=1), x[..., :3].amax(-1, keepdim=True))
    assert torch.equal(C.max_pool1d(x, 2**40, 2**40, padding="same"), x.amax(-1, keepdim=True))
    assert C.avg_pool1d(x, 2**40, 2**40, padding="same", count_include_pad=False).item() == x.mean().item()


@pytest.mark.parametrize("shape", [(1, 70, 90, 130), (2, 5, 1, 3000), (16, 64, 48, 52), (3, 20, 7, 7)], ids=str)
@pytest.mark.parametrize("grad_layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("window", [(2, 2, 0), (3, 1, 1), (3, 2, 1)], ids=str)
def test_planes_of_any_size_equal_torch(shape: tuple, grad_layout: str, window: tuple) -> None:
    """Pictures that are cut into parts, planes too short for a vector, gradients that go past the caches."""
    if shape[2] == 1:
        window = tuple((min(n, shape[2]) if i < 2 else 0, n) for i, n in enumerate(window))
    for name in ("max_pool2d", "avg_pool2d"):
        x = integers(*shape)
        x.view(-1)[::97] = float("-inf")
        if name == "max_pool2d":
            x.view(-1)[::1009] = math.nan
        results = []
        for library in (C, F):
            leaf = x.clone().requires_grad_()
            output = getattr(library, name)(leaf, *window)
            (gradient,) = torch.autograd.grad(output, leaf, integers(*output.shape, layout=grad_layout))
            assert gradient.is_contiguous()
            results.append((output, gradient))
        # Of several NaN the last is taken, as torch does; averages round each share.
        torch.testing.assert_close(*results, rtol=1e-6, atol=1e-5 if name == "avg_pool2d" else 0, equal_nan=True)


@pytest.mark.parametrize("size", [(3, 40, 7, 7), (2, 16, 200, 190), (2, 3, 15, 17)], ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_whole_planes(size: tuple, layout: str) -> None:
    x = integers(*size, layout=layout).requires_grad_()
    for ours in (C.adaptive_avg_pool2d(x, 1), C.avg_pool2d(x, size[2:]), C.avg_pool2d(x, size[2:], padding=0)):
        same(ours, x.detach().double().mean((2, 3), keepdim=True))
        (gradient,) = torch.autograd.grad(ours, x, integers(*size[:2], 1, 1))
        same(gradient, (integers(*size[:2], 1, 1).double() / (size[2] * size[3])).expand(size))
    same(C.avg_pool2d(x, size[2:], divisor_override=-2), x.detach().double().sum((2, 3), keepdim=True) / -2)
    (gradient,) = torch.autograd.grad(C.adaptive_avg_pool2d(x, 1).sum(), x)
    same(gradient, torch.full(size, 1 / (size[2] * size[3])))
