"""Activations: each as the kernels compute it, against float64; what is fused and what is left alone."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from convlayers import activations
from convlayers.activations import Activation, resolve
from convlayers.ops.arguments import arguments
from convlayers.ops.convolution import convolution

MODULES = {
    "relu": nn.ReLU(), "relu6": nn.ReLU6(), "leaky_relu": nn.LeakyReLU(), "hardtanh": nn.Hardtanh(), "tanh": nn.Tanh(),
    "sigmoid": nn.Sigmoid(), "silu": nn.SiLU(), "swish": nn.SiLU(), "gelu": nn.GELU(),
    "gelu_tanh": nn.GELU(approximate="tanh"), "hardswish": nn.Hardswish(), "hardsigmoid": nn.Hardsigmoid(),
    "elu": nn.ELU(), "softplus": nn.Softplus(), "mish": nn.Mish(), "identity": nn.Identity(), "linear": nn.Identity(),
}  # fmt: skip


def fused(x: torch.Tensor, activation: Activation) -> torch.Tensor:
    """The activation as the epilogue of a 1x1 convolution with weight 1."""
    image, weight = x.reshape(1, 1, -1), torch.ones(1, 1, 1)
    at = arguments(
        image.shape, weight.shape, output_size=(x.numel(),), stride=(1,), low=(0,), dilation=(1,), groups=1,
        transposed=False, border=(0,), value=(0.0,),
    )  # fmt: skip
    return convolution(image, weight, None, at, activation).reshape(x.shape)


def test_every_name_is_tested() -> None:
    assert sorted(MODULES) == activations.names()


@pytest.mark.parametrize("name", MODULES)
def test_the_kernel_agrees_with_float64(name: str) -> None:
    fine = torch.linspace(-12, 12, 40_001)
    wide = torch.cat([torch.logspace(-30, 3, 2_000), -torch.logspace(-30, 3, 2_000), torch.zeros(1)])
    x = torch.cat([fine, wide])
    wanted = MODULES[name](x.double())
    got = fused(x, resolve(name)).double()
    # Relative to the value, or to the largest float32 rounding of an intermediate of size 1 where the value is smaller.
    error = (got - wanted).abs() / wanted.abs().clamp_min(1e-6)
    worst = error.argmax()
    assert error[worst] < 2e-6 or (got - wanted).abs().max() < 3e-7, f"{name}({x[worst]}): {error[worst]}"


@pytest.mark.parametrize("name", MODULES)
def test_the_kernel_agrees_with_torch_at_the_ends(name: str) -> None:
    x = torch.tensor([float("nan"), float("inf"), float("-inf"), 0.0, 1e38, -1e38, 88.0, -88.0, 104.0, -104.0])
    # In float64: torch's float32 gelu of infinity is NaN on some processors.
    wanted = MODULES[name](x.double()).float()
    torch.testing.assert_close(fused(x, resolve(name)), wanted, equal_nan=True, rtol=1e-5, atol=1e-30)


@pytest.mark.parametrize("name", [name for name in MODULES if resolve(name).from_output])
def test_gradients_from_the_output(name: str) -> None:
    x = torch.linspace(-8, 8, 1001).double()[1::2].requires_grad_()
    y = MODULES[name](x)
    grad = torch.linspace(1, 2, x.numel(), dtype=torch.float64)
    (wanted,) = torch.autograd.grad(y, x, grad, create_graph=True)
    torch.testing.assert_close(resolve(name).gradient(grad, y), wanted)


@pytest.mark.parametrize("name", MODULES)
def test_training_through_the_operator(name: str) -> None:
    x = torch.linspace(-4, 4, 103, requires_grad=True)
    (got,) = torch.autograd.grad(fused(x, resolve(name)).square().sum(), x, create_graph=True)
    z = x.detach().double().requires_grad_()
    (wanted,) = torch.autograd.grad(MODULES[name](z).square().sum(), z, create_graph=True)
    torch.testing.assert_close(got.double(), wanted, rtol=1e-4, atol=1e-5)
    if name == "hardsigmoid":
        with pytest.raises(RuntimeError, match="not implemented"):  # nor has torch its second derivative
            torch.autograd.grad(wanted.square().sum(), z)
        return
    (again,) = torch.autograd.grad(got.square().sum(), x)
    (wanted_again,) = torch.autograd.grad(wanted.square().sum(), z)
    torch.testing.assert_close(again.double(), wanted_again, rtol=1e-3, atol=1e-4)


def test_modules_and_functions_are_recognised() -> None:
    assert resolve(nn.LeakyReLU(0.25)) == resolve("leaky_relu")._replace(alpha=0.25)
    assert resolve(F.gelu) == resolve("gelu")
    assert resolve(torch.tanh) == resolve("tanh")
    assert resolve(None) == resolve("identity")
    prelu = nn.PReLU()
    assert resolve(prelu) is prelu
    hooked = nn.ReLU()
    hooked.register_forward_hook(lambda *_: None)
    assert resolve(hooked) is hooked

    class Louder(nn.ReLU):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    louder = Louder()
    assert resolve(louder) is louder


def test_a_negative_slope_hides_the_sign_of_the_input() -> None:
    assert not resolve(nn.LeakyReLU(-0.5)).from_output
    x = torch.tensor([-2.0, 3.0], requires_grad=True)
    fused(x, resolve(nn.LeakyReLU(-0.5))).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [-0.5, 1.0]


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"activation must be one of .*relu.*; received 'rleu'"):
        resolve("rleu")
    with pytest.raises(TypeError, match="activation must be a name, a module or a callable; received int"):
        resolve(3)  # type: ignore[arg-type]
