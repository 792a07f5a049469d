"""A network of our layers under torch.compile, torch.export and autograd's own checks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import pytest
import torch
from layers import CASES, seeded
from torch import Tensor, nn

import convlayers
from convlayers.nn import (
    AvgPool2d,
    BlurPool2d,
    Conv2d,
    ConvBlock2d,
    ConvTranspose2d,
    DepthwiseConv2d,
    GatedConv2d,
    GlobalAvgPool2d,
    MaxPool2d,
    PartialConv2d,
    SeparableConv2d,
    StandardizedConv2d,
)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    torch.manual_seed(0)
    torch._dynamo.reset()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # With tensors as small as these, threads only wait for each other.
    yield
    torch.set_num_threads(threads)


def network(smooth: bool = False) -> nn.Sequential:
    """A small network with most kinds of layers; ``smooth``: with derivatives of every order."""
    return nn.Sequential(
        ConvBlock2d(2, 4, 3, padding_mode="reflect", norm="group", activation="silu"),
        DepthwiseConv2d(4, 3, padding="same", multiplier=2, activation="tanh"),
        AvgPool2d(3, 2, "same") if smooth else MaxPool2d(3, 2, "same"),
        GatedConv2d(8, 4, 3, padding=((1, 0), "causal"), groups=2),
        StandardizedConv2d(4, 4, 3, padding="same", padding_mode="circular"),
        BlurPool2d(3, 2),
        SeparableConv2d(4, 3, 2, padding="full", activation="softplus" if smooth else "relu"),
        PartialConv2d(3, 3, 3, padding="same"),
        ConvTranspose2d(3, 3, 3, 2, "same", padding_mode="replicate"),
        Conv2d(3, 2, 1),
        GlobalAvgPool2d(keepdim=False),
    )


def results(function: Callable[[Tensor], Tensor], model: nn.Module, x: Tensor) -> list[Tensor]:
    """The output, and the gradients of everything."""
    x = x.clone().requires_grad_()
    output = function(x)
    weights = list(model.parameters())
    return [output.detach(), *torch.autograd.grad(output.square().sum(), [x, *weights])]


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiled_it_gives_the_same_and_the_same_gradients(dynamic):
    model = network()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    for shape in [(2, 2, 12, 9), (3, 2, 13, 16)] if dynamic else [(2, 2, 12, 9)]:
        x = torch.randn(shape)
        torch.testing.assert_close(results(compiled, model, x), results(model, model, x), rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # of torch's own imports
def test_compiled_by_inductor():
    model = nn.Sequential(Conv2d(3, 8, 3, padding="same", activation="relu"), MaxPool2d(2), GatedConv2d(8, 4, 3))
    x = torch.randn(2, 3, 8, 8)
    compiled = torch.compile(model, fullgraph=True)
    torch.testing.assert_close(results(compiled, model, x), results(model, model, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", [c for c in CASES if not c.family.startswith("Lazy")], ids=str)
def test_every_layer_compiles_whole(case):
    layer = case.build().eval()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    expected = seeded(layer, *case.inputs())
    torch.testing.assert_close(seeded(compiled, *case.inputs()), expected, rtol=1e-5, atol=1e-6)


def test_exported_it_takes_other_batches_and_sizes():
    model = network().eval()
    height, width = torch.export.Dim("height", min=8, max=64), torch.export.Dim("width", min=8, max=64)
    shapes = ({0: torch.export.Dim("batch"), 2: height, 3: width},)
    program = torch.export.export(model, (torch.randn(2, 2, 12, 10),), dynamic_shapes=shapes)
    for shape in [(2, 2, 12, 10), (5, 2, 9, 31)]:
        x = torch.randn(shape)
        torch.testing.assert_close(program.module()(x), model(x), rtol=1e-5, atol=1e-6)


def test_first_and_second_derivatives():
    model = network(smooth=True).double()
    named = dict(model.named_parameters())
    weights = nn.utils.parameters_to_vector(named.values()).detach().requires_grad_()
    x = torch.randn(1, 2, 7, 6, dtype=torch.float64, requires_grad=True)

    def call(x: Tensor, weights: Tensor) -> Tensor:
        parts = weights.split([p.numel() for p in named.values()])
        shaped = {name: part.view_as(p) for (name, p), part in zip(named.items(), parts, strict=True)}
        return torch.func.functional_call(model, shaped, x)

    assert torch.autograd.gradcheck(call, (x, weights), fast_mode=True)
    assert torch.autograd.gradgradcheck(call, (x, weights), fast_mode=True)


def test_gradients_of_the_kernels_are_those_of_float64():
    model = network(smooth=True)
    x = torch.randn(2, 2, 12, 10)
    choices = convlayers.which(model, x)
    assert {choice.kernel for choice in choices} >= {"direct", "depthwise", "pool"}
    double = copy.deepcopy(model).double()
    expected = [t.float() for t in results(double, double, x.double())]
    torch.testing.assert_close(results(model, model, x), expected, rtol=1e-3, atol=1e-5)


def test_it_learns():
    """A few steps of an optimiser bring the loss down, in training mode and with our kernels below."""
    model = network()
    x, target = torch.randn(8, 2, 12, 12), torch.randn(8, 2)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.03)
    losses = []
    for _ in range(30):
        optimiser.zero_grad()
        loss = (model(x) - target).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2, losses
