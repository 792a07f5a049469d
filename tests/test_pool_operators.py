"""The registered pooling operators: schemas, fakes, derivatives of both orders, selection, what bare calls refuse."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch.library import opcheck

from convlayers import functional as C
from convlayers.ops import pool
from convlayers.ops.select import which
from convlayers.ops.windows import Windows

OPS = torch.ops.convlayers
LAYOUTS = [False, True]


def tensor(*shape: int, channels_last: bool = False, grad: bool = True) -> torch.Tensor:
    t = torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))
    if channels_last:
        t = t.movedim(1, -1).contiguous().movedim(-1, 1)
    return t.requires_grad_(grad)


def sliding(rank: int) -> list[list[int]]:
    """kernel, stride, low, dilation"""
    return [[3] * rank, [2] * rank, [1] * rank, [1] * rank]


@pytest.mark.parametrize(("rank", "channels_last"), [(1, False), (2, True), (3, False)])
def test_opcheck(rank: int, channels_last: bool) -> None:
    x = tensor(2, 5, *[5] * rank, channels_last=channels_last)
    y = tensor(2, 5, *[3] * rank, channels_last=channels_last)
    output, size = [3] * rank, [5] * rank
    kernel, stride, low, dilation = sliding(rank)
    opcheck(OPS.max_pool.default, (x, output, kernel, stride, low, dilation))
    opcheck(OPS.max_pool_with_indices.default, (x, output, kernel, stride, low, dilation))
    opcheck(OPS.max_pool_with_indices.default, (x, output, [], [], [], []))
    for averaged in ([kernel, stride, low, low, dilation, True, 0], [[], [], [], [], [], False, 0]):
        opcheck(OPS.avg_pool.default, (x, output, *averaged))
        opcheck(OPS.avg_pool_input_grad.default, (y, size, *averaged, channels_last))
    opcheck(OPS.max_pool_with_taps.default, (x, output, kernel, stride, low, dilation))
    _, taps = OPS.max_pool_with_taps(x, output, kernel, stride, low, dilation)
    opcheck(OPS.max_pool_input_grad.default, (y, taps, size, kernel, stride, low, dilation, channels_last))
    _, indices = OPS.max_pool_with_indices(x, output, kernel, stride, low, dilation)
    opcheck(OPS.pool_scatter.default, (y, indices, size, channels_last))
    opcheck(OPS.pool_gather.default, (x, indices))
    _, indices = OPS.max_pool_with_indices(x, output, [], [], [], [])
    if rank > 1:
        opcheck(OPS.fractional_max_pool.default, (x, torch.full((2, 5, rank), 0.4), output, [2] * rank))
    apart = torch.arange(y[0, 0].numel()).view(y.shape[2:]).expand(y.shape)
    opcheck(OPS.max_unpool.default, (y, apart, size))


def numeric(function, x: torch.Tensor) -> None:
    """First and second derivatives against differences; linear functions and maxima have exact ones in float32."""

    def gradient(x: torch.Tensor) -> torch.Tensor:
        y = function(x)
        weight = torch.arange(1.0, y.numel() + 1).view(y.shape) / y.numel()
        (g,) = torch.autograd.grad((weight * y * y).sum(), x, create_graph=True)
        return g

    direction = torch.linspace(-1, 1, x.numel()).view(x.shape)
    step = 1e-3
    exact = torch.autograd.grad((gradient(x) * direction).sum(), x)[0]
    around = [gradient((x + sign * step * direction).detach().requires_grad_()).detach() for sign in (1, -1)]
    torch.testing.assert_close(exact, (around[0] - around[1]) / (2 * step), rtol=2e-2, atol=2e-3)


@pytest.mark.parametrize("channels_last", LAYOUTS)
def test_double_backward(channels_last: bool) -> None:
    # Distinct values far apart: a small step changes no maximum.
    x = torch.randperm(2 * 3 * 6 * 6, generator=torch.Generator().manual_seed(0)).view(2, 3, 6, 6) / 20.0
    if channels_last:
        x = x.to(memory_format=torch.channels_last)
    x.requires_grad_()
    samples = torch.full((2, 3, 2), 0.3)
    numeric(lambda x: C.max_pool2d(x, 3, 2, 1), x)
    numeric(lambda x: C.avg_pool2d(x, 3, 2, "same", dilation=2), x)
    numeric(lambda x: C.adaptive_avg_pool2d(x, 4), x)
    numeric(lambda x: C.adaptive_max_pool2d(x, 4), x)
    numeric(lambda x: C.fractional_max_pool2d(x, 2, 4, _random_samples=samples), x)
    indices = torch.arange(36).view(1, 1, 6, 6).expand(2, 3, 6, 6) * 4
    numeric(lambda x: C.max_unpool2d(x, indices, 2), x)


def test_values_alone_have_the_same_gradient() -> None:
    x = tensor(2, 5, 6, 6)
    windows = ([3, 3], *sliding(2))
    one = torch.autograd.grad(OPS.max_pool(x, *windows).square().sum(), x)
    two = torch.autograd.grad(OPS.max_pool_with_indices(x, *windows)[0].square().sum(), x)
    three = torch.autograd.grad(OPS.max_pool_with_taps(x, *windows)[0].square().sum(), x)
    assert torch.equal(one[0], two[0])
    assert torch.equal(one[0], three[0])


@pytest.mark.parametrize("channels_last", LAYOUTS)
@pytest.mark.parametrize("channels", [1, 3, 16, 37, 64, 100])
@pytest.mark.parametrize("windows", [
    ((2, 2), (2, 2), (0, 0), (1, 1)), ((3, 3), (2, 2), (1, 1), (1, 1)), ((3, 2), (1, 3), (1, 0), (2, 3)),
    ((4, 3), (2, 4), (3, 2), (2, 2)), ((15, 17), (3, 3), (7, 8), (1, 1)), ((2, 2), (1, 1), (9, 9), (9, 12)),
], ids=str)  # fmt: skip
def test_taps_lead_where_indices_do(windows, channels, channels_last) -> None:
    """The gradient by taps is that by indices, bit by bit; both ways differentiate alike."""
    kernel, stride, low, dilation = windows
    x = tensor(2, channels, 11, 13, channels_last=channels_last)
    x = (x.detach() * 2).round().requires_grad_()  # equal elements, of which the first counts
    output = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in zip((11, 13), *windows, strict=True)]
    results = []
    for operator in (OPS.max_pool_with_indices, OPS.max_pool_with_taps):
        y = operator(x, output, kernel, stride, low, dilation)[0]
        weight = torch.linspace(-1, 1, y.numel()).view(y.shape).requires_grad_()
        (first,) = torch.autograd.grad(y, x, weight, create_graph=True)
        assert first.stride() == x.stride()
        (second,) = torch.autograd.grad((first * first).sum(), weight)
        results.append((y, first, second))
    for by_index, by_tap in zip(*results, strict=True):
        assert torch.equal(by_index, by_tap)


CALLS = {
    "max_pool": lambda x: C.max_pool2d(x, 3, 2, "same"),
    "avg_pool": lambda x: C.avg_pool2d(x, 3, 2, "causal", dilation=2),
    "adaptive_max_pool": lambda x: C.adaptive_max_pool2d(x, 3),
    "adaptive_avg_pool": lambda x: C.global_avg_pool2d(x),
    "fractional_max_pool": lambda x: C.fractional_max_pool2d(x, 2, 3),
    "max_unpool": lambda x: C.max_unpool2d(x, torch.zeros(x.shape, dtype=torch.int64), 2),
}


@pytest.mark.parametrize("name", CALLS)
def test_our_kernels_run(name: str) -> None:
    (choice,) = which(CALLS[name], torch.zeros(1, 2, 8, 8))
    assert (choice.operation, choice.kernel) == (name, "pool")
    (choice,) = which(CALLS[name], torch.zeros(1, 2, 8, 8, dtype=torch.float64))
    assert choice.kernel == "torch"


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")  # inside torch, at the first jvp
def test_transforms_take_torchs_operators() -> None:
    x = tensor(3, 2, 4, 8, 8, grad=False)
    for name, call in CALLS.items():
        if name not in ("fractional_max_pool", "max_unpool"):
            torch.testing.assert_close(torch.func.vmap(call)(x), torch.stack([call(image) for image in x]))
    value, tangent = torch.func.jvp(lambda x: C.avg_pool2d(x, 3, 2, "same", dilation=2), (x[0],), (x[1],))
    torch.testing.assert_close(value, C.avg_pool2d(x[0], 3, 2, "same", dilation=2))
    torch.testing.assert_close(tangent, C.avg_pool2d(x[1], 3, 2, "same", dilation=2))


def test_vmap_over_unpooling_and_samples() -> None:
    x, indices = C.max_pool2d(tensor(3, 2, 4, 8, 8, grad=False).flatten(0, 1), 2, return_indices=True)
    x, indices = x.unflatten(0, (3, 2)), indices.unflatten(0, (3, 2))
    unpool = lambda x, i: C.max_unpool2d(x, i, 2)  # noqa: E731
    both = torch.stack([unpool(a, b) for a, b in zip(x, indices, strict=True)])
    assert torch.equal(torch.func.vmap(unpool)(x, indices), both)
    samples = torch.full((3, 2, 4, 2), 0.3)
    pooled = torch.func.vmap(lambda x, u: C.fractional_max_pool2d(x, 2, 2, _random_samples=u))(x, samples)
    one = C.fractional_max_pool2d(x[1], 2, 2, _random_samples=samples[1])
    assert torch.equal(pooled[1], one)


@pytest.mark.parametrize("channels_last", LAYOUTS)
def test_packed_arguments_mean_the_same(channels_last: bool) -> None:
    x = tensor(2, 5, 7, 8, channels_last=channels_last, grad=False)
    at = Windows((4, 3), (3, 4), (2, 3), (1, 1), (1, 2), (1, 2))
    most = (at.kernel, at.stride, at.low, at.dilation)
    packed = pool._packed(x.shape[2:], at, False, 5)
    y, taps = OPS.max_pool_with_taps(x, at.output_size, *most)
    for got in (OPS.max_pool.packed(x, packed), OPS.max_pool_with_taps.packed(x, packed)[0]):
        assert torch.equal(got, y)
    back = OPS.max_pool_input_grad(y, taps, x.shape[2:], *most, channels_last)
    assert torch.equal(OPS.max_pool_input_grad.packed(y, taps, packed, channels_last), back)
    assert torch.equal(OPS.avg_pool.packed(x, packed), OPS.avg_pool(x, *at, False, 5))
    back = OPS.avg_pool_input_grad(y, x.shape[2:], *at[1:], False, 5, channels_last)
    assert torch.equal(OPS.avg_pool_input_grad.packed(y, packed, channels_last), back)
    adaptive = pool._packed(x.shape[2:], Windows((3, 3), (), (), (), (), ()))
    means = OPS.avg_pool(x, [3, 3], [], [], [], [], [], False, 0)
    assert torch.equal(OPS.avg_pool.packed(x, adaptive), means)


BARE = [
    lambda: OPS.max_pool.packed(torch.zeros(1, 1, 4), torch.zeros(0, dtype=torch.int64)),
    lambda: OPS.max_pool.packed(torch.zeros(1, 1, 4), torch.tensor([1, 0, 0, 4, 2, 2])),
    lambda: OPS.max_pool.packed(torch.zeros(1, 1, 4), torch.ones(10)),
    lambda: OPS.max_pool.packed(torch.zeros(1, 1, 4), torch.tensor([4, 0, 0, 4, 2, 2, 2, 0, 0, 1])),
    lambda: OPS.avg_pool.packed(torch.zeros(1, 1, 4), torch.tensor([1, 0, 0, 4, 2, 2, 0, 0, 0, 1])),
    lambda: OPS.max_pool(torch.zeros(1, 1, 4).double(), [2], [2], [2], [0], [1]),
    lambda: OPS.max_pool(torch.zeros(1, 4), [2], [2], [2], [0], [1]),
    lambda: OPS.max_pool(torch.zeros(1, 1, 4), [2], [0], [2], [0], [1]),
    lambda: OPS.max_pool(torch.zeros(1, 1, 4), [2], [2], [0], [0], [1]),
    lambda: OPS.max_pool(torch.zeros(1, 1, 4), [2], [2], [2], [-1], [1]),
    lambda: OPS.max_pool(torch.zeros(1, 1, 4), [2], [2], [2, 2], [0], [1]),
    lambda: OPS.max_pool(torch.zeros(1, 1, 4), [-2], [2], [2], [0], [1]),
    lambda: OPS.max_pool(torch.zeros(1, 1, 4), [2], [2**62], [2], [0], [2**62]),
    lambda: OPS.max_pool(torch.zeros(1, 1, 4, 4), [2**40, 2**40], [], [], [], []),
    lambda: OPS.avg_pool(torch.zeros(1, 1, 4), [2], [2], [2], [0], [], [1], True, 0),
    lambda: OPS.avg_pool_input_grad(torch.zeros(1, 1, 4), [2**62], [2], [2], [0], [0], [1], True, 0, False),
    lambda: OPS.max_pool_with_taps(torch.zeros(1, 1, 400), [1], [256], [1], [0], [1]),
    lambda: OPS.max_pool_with_taps(torch.zeros(1, 1, 4), [2], [], [], [], []),
    lambda: OPS.max_pool_input_grad(torch.zeros(1, 1, 2), torch.zeros(1, 1, 2), [4], [2], [2], [0], [1], True),
    lambda: OPS.max_pool_input_grad(torch.zeros(1, 1, 2), torch.zeros(1, 1, 3).byte(), [4], [2], [2], [0], [1], True),
    lambda: OPS.max_unpool(torch.zeros(1, 1, 2), torch.zeros(1, 1, 3).long(), [4]),
    lambda: OPS.max_unpool(torch.zeros(1, 1, 2), torch.full((1, 1, 2), 4), [4]),
    lambda: OPS.max_unpool(torch.zeros(1, 1, 2), torch.zeros(1, 1, 2).int(), [4]),
    lambda: OPS.max_unpool(torch.zeros(1, 1, 2), torch.zeros(1, 1, 2).long(), [0]),
    lambda: OPS.pool_gather(torch.zeros(1, 1, 2), torch.full((1, 1, 2), 2)),
    lambda: OPS.pool_gather(torch.zeros(1, 1, 2), torch.zeros(2, 1, 2).long()),
    lambda: OPS.pool_scatter(torch.zeros(1, 1, 2), torch.full((1, 1, 2), -2), [4], True),
    lambda: OPS.fractional_max_pool(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 2), [4, 4], [2, 2]),
    lambda: OPS.fractional_max_pool(torch.zeros(1, 1, 4, 4), torch.full((1, 1, 2), torch.nan), [2, 2], [2, 2]),
    lambda: OPS.fractional_max_pool(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 3), [2, 2], [2, 2]),
]


@pytest.mark.parametrize("call", BARE, ids=range(len(BARE)))
def test_bare_operators_refuse_what_does_not_fit(call) -> None:
    with pytest.raises(RuntimeError):
        call()


def test_windows_that_see_padding_only_have_no_gradient() -> None:
    x = torch.ones(1, 2, 3, requires_grad=True)
    y, indices = C.max_pool1d(x, 2, 1, ((3, 7),), 7, return_indices=True)
    assert (indices == -1).any()
    y.clamp(min=0).sum().backward()
    assert x.grad.isfinite().all()


def test_a_gradient_may_come_in_any_layout() -> None:
    x = tensor(2, 5, 6, 6, channels_last=True)
    y = C.max_pool2d(x, 2)
    for grad in (torch.ones(()).expand(y.shape), torch.ones(y.shape), torch.ones(3, 3, 5, 2).permute(3, 2, 0, 1)):
        (g,) = torch.autograd.grad(y, x, grad, retain_graph=True)
        assert g.sum() == y.numel()


PROGRAM = """
import torch
from convlayers import functional as C
torch.set_num_threads({threads})
generator = torch.Generator().manual_seed(0)
total = []
for shape in ((3, 70, 19, 23), (1, 200, 40, 40)):
    x = torch.randn(shape, generator=generator).requires_grad_()
    for y in (C.max_pool2d(x, 3, 2, 1), C.avg_pool2d(x, 3, 2, "same"), C.global_avg_pool2d(x)):
        (g,) = torch.autograd.grad(y.square().sum(), x)
        total += [y.detach().flatten(), g.flatten()]
print(torch.cat(total).view(torch.int32).long().mul(torch.arange(sum(map(len, total))) % 97 + 1).sum().item())
"""


def test_bitwise_equal_for_any_number_of_threads() -> None:
    results = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM.format(threads=threads)], capture_output=True, text=True, check=True
        ).stdout
        for threads in (1, 2, 4)
    }
    assert len(results) == 1


def test_a_plane_too_large_for_the_kernels_takes_torchs_operators() -> None:
    x = torch.zeros(1, 1, 2**16, 2**15, device="meta")
    windows = Windows((2**15, 2**14), (2, 2), (2, 2), (0, 0), (0, 0), (1, 1))
    assert pool.max_pool(x, windows, False)[0].shape == (1, 1, 2**15, 2**14)
