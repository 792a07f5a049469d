"""Convolution: exactly its definition on small integers, and torch's answer wherever torch has one."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import convlayers
from convlayers import functional, geometry
from convlayers.ops import reference

OURS = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
TORCH = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
SIZES = {1: (11,), 2: (7, 6), 3: (4, 5, 6)}
KERNELS = {1: (3,), 2: (3, 2), 3: (2, 3, 2)}


def integers(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-4, 5, shape, generator=generator).float()


def problem(rank: int, groups: int = 1, batch: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Input, weight and bias of small integers: sums of their products are exact in float32."""
    return (
        integers(batch, 4, *SIZES[rank], seed=1),
        integers(8, 4 // groups, *KERNELS[rank], seed=2),
        integers(8, seed=3),
    )


def defined(x: Tensor, weight: Tensor, bias: Tensor | None, rank: int, groups: int, **kwargs) -> Tensor:
    """The reference's answer to a call of ours."""
    stride = geometry.integers("stride", kwargs.get("stride", 1), rank, 1)
    dilation = geometry.integers("dilation", kwargs.get("dilation", 1), rank, 1)
    modes = geometry.padding_modes(kwargs.get("padding_mode", "zeros"), rank)
    windows = geometry.convolution_windows(
        tuple(x.shape[2:]),
        tuple(weight.shape[2:]),
        stride,
        geometry.padding_entries(kwargs.get("padding", 0), rank),
        dilation,
        modes,
        geometry.padding_values(kwargs.get("padding_value", 0.0), modes),
    )
    return reference.convolution(x, weight, bias, groups=groups, transposed=False, **windows._asdict())


PADDINGS = [0, 1, -1, "valid", "same", "same_lower", "full", "causal", ((1, 0),), ((-1, 2),)]
MODES = ["zeros", "constant", "reflect", "replicate", "circular"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("padding", PADDINGS, ids=str)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_every_padding_and_border_exactly(rank, padding, mode):
    for groups, stride, dilation in [(1, 1, 1), (2, 2, 1), (4, 1, 1), (4, 2, 2 if rank < 3 else 1)]:
        x, weight, bias = problem(rank, groups)
        kwargs = {"stride": stride, "padding": padding, "dilation": dilation, "padding_mode": mode}
        if mode == "constant":
            kwargs["padding_value"] = 3.0
        expected = defined(x, weight, bias, rank, groups, **kwargs)
        output = OURS[rank](x, weight, bias, groups=groups, **kwargs)
        assert torch.equal(output.double(), expected)
        # The same composed of torch's operators.
        assert torch.equal(OURS[rank](x.double(), weight.double(), bias.double(), groups=groups, **kwargs), expected)


@pytest.mark.parametrize("rank", [2, 3])
def test_a_border_of_its_own_on_every_axis(rank):
    x, weight, bias = problem(rank)
    for modes in itertools.permutations(MODES, rank):
        kwargs = {"padding": ("same", (2, 1), "causal")[:rank], "padding_mode": modes, "padding_value": 0.0}
        if "constant" in modes:
            kwargs["padding_value"] = -2.0
        output = OURS[rank](x, weight, bias, **kwargs)
        assert torch.equal(output.double(), defined(x, weight, bias, rank, 1, **kwargs)), modes


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_gradients_exactly(groups, mode):
    x, weight, bias = (t.requires_grad_() for t in problem(2, groups))
    kwargs = {"stride": (2, 1), "padding": ((1, 2), "same"), "padding_mode": mode}
    output, expected = (
        functional.conv2d(x, weight, bias, groups=groups, **kwargs),
        defined(x, weight, bias, 2, groups, **kwargs),
    )
    grad = integers(*output.shape, seed=4)
    ours = torch.autograd.grad(output, (x, weight, bias), grad)
    wanted = torch.autograd.grad(expected, (x, weight, bias), grad.double())
    for mine, theirs in zip(ours, wanted, strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("mode", ["zeros", "reflect"])
def test_gradgradcheck(mode):
    x, weight, bias = (t.double() / 8 for t in problem(1))
    args = tuple(t.clone().requires_grad_() for t in (x[:1, :2, :5], weight[:2, :2], bias[:2]))
    assert torch.autograd.gradgradcheck(
        lambda *a: functional.conv1d(*a, stride=2, padding="same", padding_mode=mode, activation="tanh"), args
    )


def test_second_derivatives_on_kernels():
    x, weight, bias = problem(2)
    x, weight, bias = (t.requires_grad_() for t in (x / 8, weight / 8, bias / 8))

    def second(f, *args):
        y = f(*args).tanh().square().sum()
        first = torch.autograd.grad(y, args, create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in first), args)

    ours = second(lambda *a: functional.conv2d(*a, padding="same", padding_mode="circular"), x, weight, bias)
    doubles = [t.detach().double().requires_grad_() for t in (x, weight, bias)]
    theirs = second(lambda *a: defined(*a, 2, 1, padding="same", padding_mode="circular"), *doubles)
    for mine, wanted in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.double(), wanted, rtol=1e-4, atol=1e-3)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")  # torch's own copy, not ours
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"stride": 2},
        {"stride": (2,), "padding": [1], "dilation": (2,)},
        {"padding": "same"},
        {"padding": "valid"},
        {"padding": 1, "groups": 2},
        {"padding": "same", "dilation": 2, "groups": 4},
        {"stride": torch.tensor(2)},
    ],
    ids=str,
)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_torchs_answer(rank, kwargs):
    x, weight, bias = problem(rank, kwargs.get("groups", 1))
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.complex64, torch.int64):
        args = (x.to(dtype), weight.to(dtype), bias.to(dtype))
        expected = TORCH[rank](*args, **kwargs)
        output = OURS[rank](*args, **kwargs)
        assert output.dtype == dtype
        assert torch.equal(output, expected)
        assert torch.equal(OURS[rank](args[0][0], *args[1:], **kwargs), expected[0])
        assert OURS[rank](*(t.to("meta") for t in args), **kwargs).shape == expected.shape
    positional = [kwargs.get(k, d) for k, d in (("stride", 1), ("padding", 0), ("dilation", 1), ("groups", 1))]
    assert torch.equal(OURS[rank](x, weight, None, *positional), TORCH[rank](x, weight, None, *positional))


@pytest.mark.parametrize("groups", [1, 4])
def test_an_empty_batch_gives_an_empty_result_and_gradients(groups):
    x, weight, bias = (t.requires_grad_() for t in problem(2, groups, batch=0))
    output = functional.conv2d(x, weight, bias, stride=2, padding="same", groups=groups, padding_mode="circular")
    assert output.shape == (0, 8, 4, 3)
    output.sum().backward()
    assert x.grad.shape == x.shape
    assert weight.grad.abs().sum() == 0
    assert bias.grad.abs().sum() == 0
    assert functional.conv2d(torch.zeros(0, 4, 0, 6), weight, padding=2).shape == (0, 8, 2, 9) if groups == 1 else True


@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "strided"])
def test_layouts(layout):
    x, weight, bias = problem(2)
    expected = F.conv2d(x, weight, bias, padding=1)
    if layout == "channels_last":
        x = x.to(memory_format=torch.channels_last)
    elif layout == "strided":
        x = torch.stack([x, x], -1)[..., 0]
    output = functional.conv2d(x, weight, bias, padding=1)
    assert torch.equal(output, expected)
    if layout != "strided":
        format = torch.channels_last if layout == "channels_last" else torch.contiguous_format
        assert output.is_contiguous(memory_format=format)


@pytest.mark.parametrize(
    "activation",
    ["relu", "tanh", "silu", "gelu", nn.LeakyReLU(0.3), nn.Hardtanh(-2.0, 3.0), F.relu6, nn.PReLU(), torch.exp, None],
    ids=lambda activation: getattr(activation, "__name__", str(activation)),
)
def test_activation_is_applied_to_the_result(activation):
    x, weight, bias = problem(2)
    x, weight, bias = (t.requires_grad_() for t in (x / 4, weight / 4, bias / 4))
    apply = {"relu": F.relu, "tanh": torch.tanh, "silu": F.silu, "gelu": F.gelu, None: nn.Identity()}.get(activation)
    apply = activation if apply is None else apply
    expected = apply(F.conv2d(x, weight, bias, padding=1))
    output = functional.conv2d(x, weight, bias, padding=1, activation=activation)
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)
    for mine, wanted in zip(
        torch.autograd.grad(output.sum(), (x, weight, bias)),
        torch.autograd.grad(expected.sum(), (x, weight, bias)),
        strict=True,
    ):
        torch.testing.assert_close(mine, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.* is deprecated")  # torch's, on first use of forward mode
def test_transforms():
    x, weight, _ = problem(2)
    samples = torch.stack([x, x + 1])
    expected = torch.stack([F.conv2d(x, weight), F.conv2d(x + 1, weight)])
    assert torch.equal(torch.vmap(functional.conv2d, (0, None))(samples, weight), expected)
    primal, tangent = torch.func.jvp(lambda t: functional.conv2d(t, weight), (x,), (x + 1,))
    assert torch.equal(primal, expected[0])
    assert torch.equal(tangent, expected[1])
    gradient = torch.func.grad(lambda w: functional.conv2d(x, w).sum())(weight)
    assert torch.equal(gradient, torch.func.grad(lambda w: F.conv2d(x, w).sum())(weight))
    with torch.autocast("cpu", torch.bfloat16):
        assert functional.conv2d(x, weight.bfloat16()).dtype == torch.bfloat16


class Logged(Tensor):
    calls: list = []  # noqa: RUF012  (one list for the class is meant)

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        cls.calls.append(func)
        return super().__torch_function__(func, types, args, kwargs or {})


def test_tensor_subclasses_see_our_function():
    x, weight, bias = problem(2)
    Logged.calls.clear()
    output = functional.conv2d(x.as_subclass(Logged), weight, bias, padding="causal", activation="relu")
    assert functional.conv2d in Logged.calls
    assert type(output) is Logged
    expected = functional.conv2d(x, weight, bias, padding="causal", activation="relu")
    assert torch.equal(output.as_subclass(Tensor), expected)


def test_our_kernels_run():
    def kernel(function, *args, **kwargs):
        (choice,) = convlayers.which(function, *args, **kwargs)
        return choice.kernel

    x, weight, bias = problem(2)
    assert kernel(functional.conv2d, x, weight, bias, stride=2, padding="same", padding_mode="reflect") == "direct"
    assert kernel(functional.conv2d, x, problem(2, 2)[1], bias, groups=2, dilation=2) == "grouped"
    assert kernel(functional.conv2d, x, problem(2, 4)[1], bias, groups=4) == "depthwise"
    assert kernel(functional.conv2d, x.double(), weight.double()) == "torch"


@pytest.mark.parametrize("groups", [1, 4, 20])
@pytest.mark.parametrize("axes", list(itertools.permutations(range(4))))
def test_weights_lie_in_any_order(axes, groups):
    x, weight = integers(2, 20, 9, 8), integers(40, 20 // groups, 3, 3)
    laid_out = weight.permute(axes).contiguous().permute([axes.index(i) for i in range(4)])
    assert torch.equal(functional.conv2d(x, laid_out, groups=groups), functional.conv2d(x, weight, groups=groups))
    with convlayers.precision("exact"):
        output = functional.conv2d(x, laid_out, groups=groups)
    assert torch.equal(output.double(), F.conv2d(x.double(), weight.double(), groups=groups))


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiled_with_dynamic_sizes(backend):
    def f(x, weight):
        return functional.conv2d(x, weight, stride=2, padding=("same", "causal"), padding_mode="replicate")

    torch._dynamo.reset()
    compiled = torch.compile(f, fullgraph=True, dynamic=True, backend=backend)
    _, weight, _ = problem(2)
    for size in ((2, 4, 9, 8), (3, 4, 10, 12), (5, 4, 17, 7)):
        x = integers(*size)
        assert torch.equal(compiled(x, weight), f(x, weight))
