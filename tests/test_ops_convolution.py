"""The registered convolution operators: schema, fakes, derivatives, cost, and bitwise repeatability."""

from __future__ import annotations

import contextlib
import itertools

import pytest
import torch
import torch.nn.functional as F
from torch.library import opcheck
from torch.utils.flop_counter import FlopCounterMode

from convlayers import functional
from convlayers.activations import IDENTITY, resolve
from convlayers.ops.arguments import arguments
from convlayers.ops.borders import CONSTANT, REFLECT
from convlayers.ops.convolution import convolution

OPS = torch.ops.convlayers


def tensor(*shape: int, channels_last: bool = False) -> torch.Tensor:
    generator = torch.Generator().manual_seed(len(shape) + sum(shape))
    t = torch.randn(shape, generator=generator)
    if channels_last:
        t = t.movedim(1, -1).contiguous().movedim(-1, 1)
    return t.requires_grad_()


def geometry(rank: int, transposed: bool, groups: int, border: int = CONSTANT) -> dict:
    return {
        "stride": [2] * rank,
        "low": [1] * rank,
        "dilation": [1] * rank,
        "groups": groups,
        "transposed": transposed,
        "border": [border] * rank,
    }


KINDS = [(1, 1, REFLECT, False), (2, 2, CONSTANT, True), (2, 4, REFLECT, False), (3, 1, CONSTANT, True)]


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("rank", "groups", "border", "channels_last"), KINDS)
def test_opcheck(rank: int, groups: int, border: int, channels_last: bool, transposed: bool) -> None:
    size, output_size = [4] * rank, [7 if transposed else 2] * rank
    kernel = "depthwise" if groups == 4 else "direct"
    x = tensor(2, 4, *size, channels_last=channels_last)
    weight = tensor(4, 4 // groups, *[3] * rank)
    grad = tensor(2, 4, *output_size, channels_last=channels_last)
    at = geometry(rank, transposed, groups, border)
    opcheck(
        OPS.convolution.default,
        (x, weight, tensor(4), output_size),
        {**at, "value": [0.5] * rank, "kernel": kernel, "activation": 0, "alpha": 0.0, "beta": 0.0},
    )
    rest = {**at, "value": [0.5] * rank, "kernel": kernel}
    for wanted in itertools.product((True, False), repeat=3):
        wants = dict(zip(("wants_input", "wants_weight", "wants_bias"), wanted, strict=True))
        opcheck(OPS.convolution_backward.default, (grad, x, weight), rest | wants)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("transposed", [False, True])
def test_flops_are_those_that_torch_counts(transposed: bool, groups: int) -> None:
    x, weight = tensor(2, 4, 6, 6), tensor(4, 4 // groups, 3, 3)
    function = F.conv_transpose2d if transposed else F.conv2d
    with FlopCounterMode(display=False) as wanted:
        y = function(x, weight, stride=2, padding=1, groups=groups)

    def ours() -> torch.Tensor:
        at = arguments(
            x.shape, weight.shape, output_size=tuple(y.shape[2:]), stride=(2, 2), low=(1, 1), dilation=(1, 1),
            groups=groups, transposed=transposed, border=(CONSTANT, CONSTANT), value=(0.0, 0.0),
        )  # fmt: skip
        return convolution(x, weight, None, at)

    with FlopCounterMode(display=False) as forward:
        ours()
    with FlopCounterMode(display=False) as both:
        ours().sum().backward()
    assert forward.get_total_flops() == wanted.get_total_flops() > 0
    # Each gradient costs what the forward pass costs. (torch's own count of grouped gradients forgets the groups.)
    assert both.get_total_flops() == 3 * forward.get_total_flops()


@pytest.mark.parametrize("groups", [1, 3, 24])
@pytest.mark.parametrize("transposed", [False, True])
def test_bitwise_the_same_for_any_number_of_threads_and_any_batch(transposed: bool, groups: int) -> None:
    x, weight, bias = tensor(5, 24, 19, 23), tensor(24, 24 // groups, 3, 3), tensor(24)
    size = (37, 45) if transposed else (10, 12)

    def run(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        at = arguments(
            x.shape, weight.shape, output_size=size, stride=(2, 2), low=(1, 1), dilation=(1, 1), groups=groups,
            transposed=transposed, border=(CONSTANT, REFLECT), value=(0.0, 0.0),
        )  # fmt: skip
        y = convolution(x, weight, bias, at, resolve("tanh"))
        return y, *torch.autograd.grad(y.square().sum(), (x, weight, bias))

    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2, 4, 2):
            torch.set_num_threads(count)
            results.append(run(x))
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        for first, second in zip(results[0], other, strict=True):
            assert torch.equal(first, second)
    one = run(x[3:4].detach().requires_grad_())
    assert torch.equal(one[0], results[0][0][3:4])
    assert torch.equal(one[1], results[0][1][3:4])


BIASED = {  # what sums the gradients: the kernel of the weight's gradient, or by itself
    "direct": (8, 40, 3, 1, 2),
    "few channels": (3, 24, 5, 1, 1),
    "winograd": (32, 40, 3, 1, 1),
    "depthwise": (24, 24, 3, 24, 1),
    "grouped": (24, 48, 3, 12, 1),
    "turned 1x1": (64, 20, 1, 1, 1),
    "turned for few outputs": (40, 3, 3, 1, 2),
    "winograd, strided": (32, 40, 5, 1, 2),
    "winograd in groups": (64, 48, 3, 2, 1),
}


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("kind", BIASED)
def test_the_gradient_of_a_bias(kind: str, frozen: bool) -> None:
    channels, out_channels, taps, groups, stride = BIASED[kind]
    x, weight, bias = (
        tensor(3, channels, 70, 61),
        tensor(out_channels, channels // groups, taps, taps),
        tensor(out_channels),
    )
    y = functional.conv2d(x, weight.requires_grad_(not frozen), bias, stride, padding=1, groups=groups)
    grad = torch.rand_like(y)  # of one sign: the sums grow
    given = (bias,) if frozen else (weight, bias)
    *_, got = torch.autograd.grad(y, given, grad)
    wanted = grad.double().sum([0, 2, 3])
    assert got.shape == bias.shape
    assert ((got - wanted).abs() / wanted).max() < 8 * torch.finfo(torch.float32).eps


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("transposed", [False, True])
def test_the_gradient_of_few_output_channels(transposed: bool, stride: int, mode: str) -> None:
    # Its factors change places: sources are then read as in the gradient of the input, folded borders and all.
    function = functional.conv_transpose2d if transposed else functional.conv2d
    x, weight = tensor(2, 40, 9, 11), tensor(*((40, 3) if transposed else (3, 40)), 3, 4)
    options = {"stride": stride, "padding": (2, 1), "padding_mode": mode}
    y = function(x.detach(), weight, **options)
    grad = torch.randn_like(y)
    (got,) = torch.autograd.grad(y, weight, grad)
    exact = weight.detach().double().requires_grad_()
    (wanted,) = torch.autograd.grad(function(x.detach().double(), exact, **options), exact, grad.double())
    assert (got - wanted).abs().max() < 2e-6 * wanted.abs().max()


def test_bare_operators_refuse_packed_arguments_that_are_none() -> None:
    x, weight = tensor(1, 4, 6, 6).detach(), tensor(4, 4, 3, 3).detach()
    at = geometry(2, False, 1)
    packed = arguments(
        x.shape, weight.shape, output_size=(3, 3), value=(0.0, 0.0),
        **{name: tuple(entry) if isinstance(entry, list) else entry for name, entry in at.items()},
    ).packed("direct", IDENTITY)  # fmt: skip
    wanted = OPS.convolution(
        x, weight, None, [3, 3], **at, value=[0.0, 0.0], kernel="direct", activation=0, alpha=0.0, beta=0.0
    )
    assert torch.equal(OPS.convolution.packed(x, weight, None, packed, False), wanted)
    spoilt = [packed[:-1], packed.double(), packed[None], torch.cat([packed, packed]), packed[:0], packed.to("meta")]
    for place, number in itertools.product(range(len(packed)), (-1, 99, 2**62)):
        spoilt.append(packed.index_fill(0, torch.tensor([place]), number))
    for words in spoilt:
        with contextlib.suppress(RuntimeError):  # some numbers make another convolution: none may read out of bounds
            y = OPS.convolution.packed(x, weight, None, words, False)
            OPS.convolution_backward.packed(torch.ones_like(y), x, weight, words, True, True, True)
    for words in spoilt[:6]:
        with pytest.raises(RuntimeError, match="convlayers"):
            OPS.convolution.packed(x, weight, None, words, False)


def test_bare_operators_refuse_what_would_read_out_of_bounds() -> None:
    x, weight = tensor(1, 4, 6, 6).detach(), tensor(4, 4, 3, 3).detach()
    at = geometry(2, False, 1)
    rest = {"value": [0.0, 0.0], "kernel": "direct", "activation": 0, "alpha": 0.0, "beta": 0.0}
    cases = [
        ((x, weight[:, :3], None, [3, 3]), at, rest),
        ((x, weight, x[0, 0, 0], [3, 3]), at, rest),
        ((x, weight, None, [3]), at, rest),
        ((x, weight, None, [3, -1]), at, rest),
        ((x.double(), weight, None, [3, 3]), at, rest),
        ((x, weight, None, [3, 3]), at | {"groups": 3}, rest),
        ((x, weight, None, [3, 3]), at | {"stride": [0, 1]}, rest),
        ((x, weight, None, [3, 3]), at | {"dilation": [2**62, 1]}, rest),
        ((x, weight, None, [3, 3]), at | {"border": [9, 0]}, rest),
        ((x, weight, None, [3, 3]), at, rest | {"kernel": "depthwise"}),
        ((x, weight, None, [3, 3]), at, rest | {"activation": 99}),
        ((x[..., :0], weight, None, [3, 3]), at | {"border": [0, 1]}, rest),
    ]
    for args, where, how in cases:
        with pytest.raises(RuntimeError, match="convlayers"):
            OPS.convolution(*args, **where, **how)
    assert OPS.convolution(x, weight, None, [3, 3], **at, **rest).shape == (1, 4, 3, 3)


def test_without_an_activation_nothing_is_applied() -> None:
    assert IDENTITY(torch.tensor([-1.0])).item() == -1.0
