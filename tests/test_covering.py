"""Filters that cover all of their input are a product of matrices, with torch's values and layouts."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch._subclasses import FakeTensorMode

import convlayers
import convlayers.functional as F
from convlayers.bench.problem import Problem
from convlayers.inspect import summary
from convlayers.ops.convolution import predicted


def contiguous(t: torch.Tensor) -> torch.Tensor:
    return t.contiguous()


def channels_last(t: torch.Tensor) -> torch.Tensor:
    return t.contiguous(memory_format=torch.channels_last)


def sparse(t: torch.Tensor) -> torch.Tensor:
    """Every other channel of a tensor of twice as many."""
    return t.repeat_interleave(2, dim=1)[:, ::2]


def repeated(t: torch.Tensor) -> torch.Tensor:
    """One column, expanded."""
    return t[..., :1].expand_as(t)


@pytest.mark.parametrize(
    ("batch", "channels", "outputs", "size"),
    [(3, 6, 5, (4, 3)), (2, 1, 4, (5, 5)), (1, 40, 2, (1, 3)), (2, 32, 1, (2, 3)), (5, 20, 70, (3, 1))],
)
def test_values_and_layouts(batch: int, channels: int, outputs: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    plain = torch.randn(batch, channels, *size), torch.randn(outputs, channels, *size)
    bias, back = torch.randn(outputs), torch.randn(batch, outputs, 1, 1)
    every, dense = (contiguous, channels_last, sparse, repeated), (contiguous, channels_last)
    for of_input, of_weight, of_back in itertools.product(every, every, dense):
        operands = [of_input(plain[0]), of_weight(plain[1]), bias]
        found = all_of(F.conv2d, [t.detach().requires_grad_() for t in operands], of_back(back))
        wanted = all_of(torch.nn.functional.conv2d, [t.double().requires_grad_() for t in operands], back.double())
        for got, exact in zip(found, wanted, strict=True):
            assert torch.allclose(got.double(), exact, atol=1e-4, rtol=1e-4), (of_input, of_weight, of_back)
        fakes = FakeTensorMode()
        fake, fake_back = [fakes.from_tensor(t) for t in operands], fakes.from_tensor(of_back(back))
        with fakes:
            traced = all_of(F.conv2d, [t.requires_grad_() for t in fake], fake_back)
        assert [t.stride() for t in traced] == [t.stride() for t in found], (of_input, of_weight, of_back)


def all_of(function, operands: list[torch.Tensor], back: torch.Tensor) -> tuple[torch.Tensor, ...]:
    output = function(*operands)
    return output, *torch.autograd.grad(output, operands, back)


def test_the_activation_and_an_empty_batch() -> None:
    x, weight = torch.randn(4, 8, 5), torch.randn(3, 8, 5)
    assert torch.equal(F.conv1d(x, weight, activation="relu"), F.conv1d(x, weight).relu())
    x = torch.randn(0, 8, 5, requires_grad=True)
    weight.requires_grad_()
    output = F.conv1d(x, weight)
    assert output.shape == (0, 3, 1)
    gradients = torch.autograd.grad(output.sum(), (x, weight))
    assert gradients[0].shape == x.shape
    assert torch.equal(gradients[1], torch.zeros_like(weight))


def test_a_window_beside_its_input_does_not_cover_it() -> None:
    x, weight = torch.randn(2, 4, 6, 7), torch.randn(3, 4, 6, 7)
    for padding in (((1, -1), 0), ((-2, 2), (1, -1))):
        padded = torch.nn.functional.pad(x, [*padding[1], *padding[0]] if padding[1] else [0, 0, *padding[0]])
        wanted = torch.nn.functional.conv2d(padded.double(), weight.double())
        assert torch.allclose(F.conv2d(x, weight, padding=padding).double(), wanted, atol=1e-4)


@pytest.mark.parametrize("outputs", [1, 9])
def test_a_sample_is_the_same_in_every_batch_and_by_any_threads(outputs: int) -> None:
    x, weight = torch.randn(7, 16, 11, 11), torch.randn(outputs, 16, 11, 11)
    alone = torch.cat([F.conv2d(x[i : i + 1], weight) for i in range(7)])
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 4):
            torch.set_num_threads(count)
            assert torch.equal(F.conv2d(x, weight), alone)
    finally:
        torch.set_num_threads(threads)


def test_the_gradient_of_a_weight_lies_as_the_weight_does() -> None:
    """So an optimiser's state and a parameter's gradient need no copy between layouts."""
    for groups, kernel in itertools.product((1, 4), (1, 3)):
        x = torch.randn(2, 8, 6, 6)
        for layout in (torch.contiguous_format, torch.channels_last):
            weight = torch.randn(12, 8 // groups, kernel, kernel).to(memory_format=layout).requires_grad_()
            (gradient,) = torch.autograd.grad(F.conv2d(x, weight, groups=groups).sum(), weight)
            assert gradient.stride() == weight.stride()
            (wanted,) = torch.autograd.grad(torch.nn.functional.conv2d(x, weight, groups=groups).sum(), weight)
            assert torch.allclose(gradient, wanted, atol=1e-3)


def test_many_taps_are_no_obstacle() -> None:
    volume, weight = torch.randn(1, 4, 13, 13, 13, requires_grad=True), torch.randn(1, 4, 13, 13, 13)
    (choice,) = convlayers.which(F.conv3d, volume, weight)
    assert choice.kernel == "direct"
    (gradient,) = torch.autograd.grad(F.conv3d(volume, weight).sum(), volume)
    assert torch.equal(gradient, weight)


def test_its_time_is_foreseen() -> None:
    layer, row = (
        convlayers.Conv3d(4, 1, 13),
        Problem(
            "", False, 1, 4, 1, 1, (13,) * 3, (13,) * 3, (1,) * 3, (0,) * 3, (0,) * 3, (1,) * 3, (0,) * 3, (1,) * 3
        ),
    )
    (choice,) = convlayers.which(layer, torch.zeros(1, 4, 13, 13, 13))
    assert summary(layer, (4, 13, 13, 13)).total.seconds == choice.costs["direct"]
    assert predicted(row.call(contiguous=True)) == {"direct": choice.costs["direct"]}
