"""Batch normalisation, against float64 and against torch: values, gradients, statistics, layouts, threads."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.library import opcheck

import convlayers
from convlayers import activations
from convlayers import functional as C
from convlayers.activations import resolve

OPS = torch.ops.convlayers
#: Channels below, at and above whole vectors; rows that are one block, several, several tasks; planes in pieces.
SHAPES = [(2, 3), (70, 37), (64, 16), (3, 20, 9), (2, 5, 7, 11), (4, 64, 6, 6), (2, 3, 70, 90), (2, 600, 3, 3),
          (9, 33, 20, 20), (2, 4, 3, 4, 5), (1, 1, 40, 30), (5, 1, 3)]  # fmt: skip
FROM_OUTPUT = [name for name in activations.names() if resolve(name).from_output]


def laid_out(t: Tensor, channels_last: bool) -> Tensor:
    return t.movedim(1, -1).contiguous().movedim(-1, 1) if channels_last else t.contiguous()


def operands(shape: tuple[int, ...], channels_last: bool = False, residual: bool = False, offset: float = 3.0):
    """input, weight, bias, residual or None, and a gradient of the result."""
    generator = torch.Generator().manual_seed(sum(shape))
    x, r, g = (torch.randn(shape, generator=generator) for _ in range(3))
    x = laid_out(x * 2 + offset, channels_last)
    weight, bias = (torch.randn(shape[1], generator=generator) for _ in range(2))
    return x, weight, bias, laid_out(r, channels_last) if residual else None, laid_out(g, channels_last)


def definition(x, weight, bias, residual, activation, statistics=None, eps=1e-5) -> Tensor:
    """By formula, in the operands' precision."""
    axes, shape = [0, *range(2, x.dim())], (-1, *[1] * (x.dim() - 2))
    if statistics is None:
        statistics = x.mean(axes), x.var(axes, unbiased=False)
    mean, variance = (s.view(shape) for s in statistics)
    z = (x - mean) / (variance + eps).sqrt()
    z = z if weight is None else z * weight.view(shape)
    z = z if bias is None else z + bias.view(shape)
    return resolve(activation)(z if residual is None else z + residual)


def values_and_gradients(function, operands: tuple, grad: Tensor, dtype: torch.dtype) -> list[Tensor]:
    leaves = [None if t is None else t.detach().to(dtype).requires_grad_() for t in operands]
    y = function(*leaves)
    present = [t for t in leaves if t is not None]
    return [y.detach(), *torch.autograd.grad(y, present, grad.to(dtype))]


def check(ours, exact, operands: tuple, grad: Tensor) -> list[Tensor]:
    got = values_and_gradients(ours, operands, grad, torch.float32)
    wanted = values_and_gradients(exact, operands, grad, torch.float64)
    for name, a, b in zip(["output", *"abcd"], got, wanted, strict=False):
        scale = max(1.0, b.abs().max().item())
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=3e-6 * scale, msg=lambda m, name=name: f"{name}: {m}")
    return got


def compare(ins: tuple, grad: Tensor, activation: str | None, statistics: tuple[Tensor, Tensor] | None) -> list[Tensor]:
    """The function against its definition; the statistics are the batch's unless given."""
    mean, variance = statistics or (None, None)
    exact = statistics and tuple(s.double() for s in statistics)
    return check(
        lambda x, w, b, r: C.batch_norm(x, mean, variance, w, b, not statistics, residual=r, activation=activation),
        lambda x, w, b, r: definition(x, w, b, r, activation, exact),
        ins,
        grad,
    )


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_training_agrees_with_float64(shape, channels_last):
    for activation, residual in itertools.product((None, "relu"), (False, True)):
        *ins, grad = operands(shape, channels_last, residual)
        y, grad_x, *_ = compare(tuple(ins), grad, activation, None)
        assert y.stride() == ins[0].stride()
        assert grad_x.stride() == ins[0].stride()


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("activation", activations.names())
def test_every_activation(activation, channels_last):
    given = torch.linspace(-1, 3, 21), torch.linspace(0.5, 2, 21)
    for residual, statistics in itertools.product((False, True), (None, given)):
        *ins, grad = operands((3, 21, 6, 7), channels_last, residual)
        compare(tuple(ins), grad, activation, statistics)


def test_without_weight_or_bias():
    x, weight, bias, residual, grad = operands((4, 19, 5, 5))
    for w, b in ((weight, None), (None, bias), (None, None)):
        compare((x, w, b, residual), grad, "relu", None)


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_large_mean_costs_no_accuracy(channels_last):
    x, weight, bias, _, _ = operands((8, 40, 12, 12), channels_last, offset=1000.0)
    y = C.batch_norm(x, None, None, weight, bias, True)
    wanted = definition(*(t.double() for t in (x, weight, bias)), None, None)
    assert (y - wanted).abs().max() < 3e-6
    x[0, :, 0, 0] = 1e6  # and one far off, where the blocks' pivots are taken
    y = C.batch_norm(x, None, None, weight, bias, True)
    wanted = definition(*(t.double() for t in (x, weight, bias)), None, None)
    assert (y - wanted).abs().max() < 1e-4 * wanted.abs().max()


def test_a_constant_channel():
    x = torch.full((4, 5, 6, 6), 7.25)
    assert C.batch_norm(x, None, None, training=True).abs().max() < 1e-3
    assert C.batch_norm(x.movedim(1, -1).contiguous().movedim(-1, 1), None, None, training=True).abs().max() < 1e-3


def test_what_is_not_finite_stays_in_its_channel():
    for value in (float("inf"), float("nan")):
        x = torch.randn(3, 20, 4, 4)
        x[1, 7, 2, 2] = value
        for t in (x, laid_out(x, True)):
            y = C.batch_norm(t, None, None, training=True)
            assert y[:, 7].isnan().all()
            assert y[:, [c for c in range(20) if c != 7]].isfinite().all()


# --- layers: torch's, step by step ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kwargs", [
    {}, {"momentum": None}, {"momentum": 0.3, "eps": 1e-3}, {"affine": False}, {"track_running_stats": False},
    {"momentum": 0.0}, {"momentum": 1.0}, {"dtype": torch.float64},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_layers_step_as_torchs_do(rank, kwargs):
    ours, theirs = (getattr(library, f"BatchNorm{rank}d")(6, **kwargs) for library in (convlayers, nn))
    assert isinstance(ours, type(theirs))
    for step in range(4):
        for module in (ours, theirs):
            module.train(step != 3)
        x = torch.randn(3, 6, *[4] * rank, dtype=kwargs.get("dtype")) * (step + 1) + step
        results = [module(x.requires_grad_()) for module in (ours, theirs)]
        torch.testing.assert_close(*results, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(
            *(torch.autograd.grad(y.square().sum(), x)[0] for y in results), rtol=1e-4, atol=1e-4
        )
        torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=1e-5, atol=1e-6)


def test_the_layers_own_arguments():
    layer = convlayers.BatchNorm2d(4, activation="relu", bias=False)
    assert layer.bias is None
    x, r = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3)
    wanted = F.relu(F.batch_norm(x, None, None, training=True) + r)
    torch.testing.assert_close(layer(x, residual=r), wanted, rtol=1e-5, atol=1e-5)
    own = convlayers.BatchNorm2d(4, activation=nn.PReLU(4, init=0.5))
    torch.testing.assert_close(own(x), F.leaky_relu(F.batch_norm(x, None, None, training=True), 0.5))


def test_an_empty_batch_is_as_torchs():
    for shape, training in itertools.product(((0, 6), (0, 6, 4, 4), (2, 6, 0, 4)), (True, False)):
        x = torch.zeros(shape, requires_grad=True)
        results = []
        for function in (C.batch_norm, F.batch_norm):
            mean, variance = torch.ones(6), torch.ones(6)
            y = function(x, mean, variance, torch.ones(6), None, training)
            results.append((y, torch.autograd.grad(y.sum(), x)[0], mean, variance))
        torch.testing.assert_close(*results, equal_nan=True)


def test_strides_of_any_kind():
    base = torch.randn(5, 14, 8, 10)
    grad = torch.randn(3, 14, 10, 4)
    for x in (base[1:4].transpose(2, 3)[..., ::2], base.movedim(1, -1).contiguous().movedim(-1, 1)[1:4, :, :4].mT):
        x = x.detach().requires_grad_()
        residual = torch.randn(x.shape).mT.contiguous().mT
        y = C.batch_norm(x, None, None, training=True, residual=residual, activation="relu")
        wanted = F.relu(F.batch_norm(x, None, None, training=True) + residual)
        torch.testing.assert_close(y, wanted, rtol=1e-5, atol=1e-5)
        for g in (grad, grad.mT.contiguous().mT, torch.ones(()).expand(y.shape)):
            got = [torch.autograd.grad(t, x, g, retain_graph=True)[0] for t in (y, wanted)]
            torch.testing.assert_close(*got, rtol=1e-4, atol=1e-5)


def test_one_result_of_many_is_changed_in_place():
    x = torch.randn(3, 5, 4, 4, requires_grad=True)
    # A ReLU's output is not kept; a tanh's is, and torch notices that it has changed.
    C.batch_norm(x, None, None, training=True, activation="relu").mul_(2).sum().backward()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        C.batch_norm(x, None, None, training=True, activation="tanh").mul_(2).sum().backward()


# --- what is refused --------------------------------------------------------------------------------------------------

_x, _four = torch.zeros(2, 4, 3), torch.ones(4)


@pytest.mark.parametrize(("message", "call"), [
    ("input must be a tensor; received list", lambda: C.batch_norm([1.0], None, None, training=True)),
    ("input must have at least 2 dimensions .*", lambda: C.batch_norm(torch.zeros(4), _four, _four)),
    ("running_mean must have one element for each of the 4", lambda: C.batch_norm(_x, torch.ones(3), _four)),
    ("weight must have one element .* received shape .4, 1", lambda: C.batch_norm(_x, _four, _four, torch.ones(4, 1))),
    ("bias must be a tensor or None; received float", lambda: C.batch_norm(_x, _four, _four, None, 1.0)),
    ("residual must have the input's shape", lambda: C.batch_norm(_x, _four, _four, residual=torch.zeros(2, 4, 1))),
    ("residual should be the same dtype", lambda: C.batch_norm(_x, _four, _four, residual=_x.double())),
    ("running_mean and running_var must be given", lambda: C.batch_norm(_x, None, None)),
    ("running_mean and running_var must be given", lambda: C.batch_norm(_x, _four, None)),
    ("Expected more than 1 value per channel", lambda: C.batch_norm(_x[:1, :, :1], None, None, training=True)),
    ("eps must be positive", lambda: C.batch_norm(_x, None, None, training=True, eps=0.0)),
    ("eps must be positive, or without training not negative", lambda: C.batch_norm(_x, _four, _four, eps=-1.0)),
    ("activation must be one of", lambda: C.batch_norm(_x, _four, _four, activation="rellu")),
    ("activation must be one of", lambda: convlayers.BatchNorm1d(4, activation="rellu")),
    ("input must have 2 or 3 dimensions", lambda: convlayers.BatchNorm1d(4)(torch.zeros(2, 4, 3, 3))),
    ("input must have 4 dimensions", lambda: convlayers.BatchNorm2d(4)(torch.zeros(4, 3, 3))),
    ("input must have 5 dimensions", lambda: convlayers.BatchNorm3d(4)(torch.zeros(4, 3, 3))),
])  # fmt: skip
def test_errors(message, call):
    with pytest.raises(RuntimeError, match=message):
        call()


_stats = torch.zeros(2, 4, dtype=torch.float64)


@pytest.mark.parametrize("call", [
    lambda: OPS.batch_norm(_x.double(), None, None, None, None, None, 1e-5, 0, 0.0, 0.0),
    lambda: OPS.batch_norm(_four, None, None, None, None, None, 1e-5, 0, 0.0, 0.0),
    lambda: OPS.batch_norm(_x[:0], None, None, None, None, None, 1e-5, 0, 0.0, 0.0),
    lambda: OPS.batch_norm(_x, torch.ones(3), None, None, None, None, 1e-5, 0, 0.0, 0.0),
    lambda: OPS.batch_norm(_x, None, None, _x[:1], None, None, 1e-5, 0, 0.0, 0.0),
    lambda: OPS.batch_norm(_x, None, None, None, _four, None, 1e-5, 0, 0.0, 0.0),
    lambda: OPS.batch_norm(_x, None, None, None, _four, _four[:2], 1e-5, 0, 0.0, 0.0),
    lambda: OPS.batch_norm(_x, None, None, None, None, None, 1e-5, 99, 0.0, 0.0),
    lambda: OPS.batch_norm_grad(_x[:1], _x, None, _stats, None, None, 1e-5, True, False, 0, 0.0, 0.0),
    lambda: OPS.batch_norm_grad(_x, _x, None, _stats.float(), None, None, 1e-5, True, False, 0, 0.0, 0.0),
    lambda: OPS.batch_norm_grad(_x, _x, None, _stats[:, :3], None, None, 1e-5, True, False, 0, 0.0, 0.0),
    lambda: OPS.batch_norm_grad(_x, _x, None, _stats, None, None, 1e-5, True, True, 1, 0.0, 0.0),
], ids=range(12))  # fmt: skip
def test_bare_operators_refuse_what_does_not_fit(call):
    with pytest.raises(RuntimeError):
        call()


# --- the operators ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels_last", [False, True])
def test_opcheck(channels_last):
    x, w, b, r, g = operands((3, 5, 4, 4), channels_last, residual=True)
    for t in (x, w, b, r, g):
        t.requires_grad_()
    opcheck(OPS.batch_norm.default, (x, w, b, r, None, None, 1e-5, resolve("relu").code, 0.0, 0.0))
    opcheck(OPS.batch_norm.default, (x, None, None, None, torch.zeros(5), torch.ones(5), 1e-5, 0, 0.0, 0.0))
    tanh = resolve("tanh").code
    y, statistics = (t.detach() for t in OPS.batch_norm(x, w, b, r, None, None, 1e-5, tanh, 0.0, 0.0))
    opcheck(OPS.batch_norm_grad.default, (g, x, y, statistics, w, b, 1e-5, True, True, tanh, 0.0, 0.0))
    opcheck(OPS.batch_norm_grad.default, (g, x, None, statistics, None, None, 1e-5, False, False, 1, 0.0, 0.0))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("activation", [None, *FROM_OUTPUT])
def test_second_derivatives(activation, residual, training):
    """Ours in float32, against torch's own in float64."""
    statistics = (torch.linspace(-1, 3, 5), torch.linspace(0.5, 2, 5))

    def second(function, dtype):
        x, w, b, r, g = (
            None if t is None else t.to(dtype).requires_grad_() for t in operands((2, 5, 3, 3), False, residual)
        )
        mean, variance = (None, None) if training else (s.to(dtype) for s in statistics)
        leaves = [t for t in (x, w, b, r, g) if t is not None]
        y = function(x, mean, variance, w, b, training, residual=r)
        first = torch.autograd.grad(y, leaves[:-1], g, create_graph=True)
        penalty = sum((grad * torch.linspace(-1, 1, grad.numel()).view(grad.shape).to(dtype)).sum() for grad in first)
        return torch.autograd.grad((penalty * penalty), leaves, allow_unused=True)

    ours = second(lambda *a, residual: C.batch_norm(*a, residual=residual, activation=activation), torch.float32)
    act = resolve(activation)
    theirs = second(
        lambda *a, residual: act(F.batch_norm(*a) if residual is None else F.batch_norm(*a) + residual), torch.float64
    )
    for mine, its in zip(ours, theirs, strict=True):
        if its is None or not its.any():
            assert mine is None or mine.abs().max() < 1e-4
            continue
        torch.testing.assert_close(mine.double(), its, rtol=1e-4, atol=1e-4 * its.abs().max().item())


def test_what_runs():
    layer, x = convlayers.BatchNorm2d(4, activation="relu"), torch.zeros(2, 4, 3, 3)
    (choice,) = convlayers.which(layer, x)
    assert (choice.operation, choice.kernel) == ("batch_norm", "norm")
    assert convlayers.which(layer.double(), x.double())[0].kernel == "torch"
    assert not layer.running_mean.any()
    block = convlayers.ConvBlock2d(4, 8, 3)
    assert [choice.operation for choice in convlayers.which(block, x)] == ["convolution", "batch_norm"]


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")  # inside torch, at the first jvp
def test_transforms_take_torchs_operators():
    layer = convlayers.BatchNorm2d(4, activation="relu").eval()
    x = torch.randn(3, 2, 4, 5, 5)
    torch.testing.assert_close(torch.func.vmap(layer)(x), torch.stack([layer(image) for image in x]))
    value, tangent = torch.func.jvp(layer, (x[0],), (x[1],))
    torch.testing.assert_close(value, layer(x[0]))
    assert tangent.shape == value.shape


@pytest.mark.parametrize("activation", ["relu", "silu"])
def test_compiled(activation):
    layers = [convlayers.BatchNorm2d(4, activation=activation) for _ in range(2)]
    compiled = torch.compile(layers[1], backend="aot_eager", fullgraph=True)
    for training in (True, False):
        results = []
        for layer, call in zip(layers, (layers[0], compiled), strict=True):
            layer.train(training)
            x, r = (torch.linspace(-2, high, 200).view(2, 4, 5, 5).requires_grad_() for high in (3, 1))
            y = call(x, residual=r)
            results.append([y, *torch.autograd.grad(y.square().sum(), [x, r, layer.weight, layer.bias])])
        torch.testing.assert_close(*results)
        torch.testing.assert_close(layers[0].state_dict(), layers[1].state_dict())


PROGRAM = """
import torch
from convlayers import functional as C
torch.set_num_threads({threads})
generator = torch.Generator().manual_seed(0)
total = []
for shape in ((16, 70, 23, 29), (8, 520, 20, 20), (3000, 100)):
    for last in (False, True):
        x, r = (torch.randn(shape, generator=generator) for _ in range(2))
        x = x.movedim(1, -1).contiguous().movedim(-1, 1) if last else x
        w = torch.ones(shape[1]).requires_grad_()
        y = C.batch_norm(x.requires_grad_(), None, None, w, training=True, residual=r, activation="relu")
        total += [t.detach().flatten() for t in (y, *torch.autograd.grad(y.square().sum(), (x, w)))]
print(torch.cat(total).view(torch.int32).long().mul(torch.arange(sum(map(len, total))) % 97 + 1).sum().item())
"""


def test_bitwise_equal_for_any_number_of_threads():
    results = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM.format(threads=threads)], capture_output=True, text=True, check=True
        ).stdout
        for threads in (1, 2, 4)
    }
    assert len(results) == 1
