"""Transposed convolution: exactly its definition, adjoint to the convolution, torch's answer where torch has one."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from test_conv import MODES, integers
from torch import Tensor, nn

import convlayers
from convlayers import functional, geometry
from convlayers.ops import reference

OURS = {1: functional.conv_transpose1d, 2: functional.conv_transpose2d, 3: functional.conv_transpose3d}
TORCH = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
SIZES = {1: (7,), 2: (4, 5), 3: (3, 4, 3)}
KERNELS = {1: (4,), 2: (3, 2), 3: (2, 3, 2)}


def problem(rank: int, groups: int = 1, batch: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    return (
        integers(batch, 4, *SIZES[rank], seed=1),
        integers(4, 8 // groups, *KERNELS[rank], seed=2),
        integers(8, seed=3),
    )


def defined(x: Tensor, weight: Tensor, bias: Tensor | None, rank: int, groups: int, **kwargs) -> Tensor:
    modes = geometry.padding_modes(kwargs.get("padding_mode", "zeros"), rank)
    windows = geometry.transposed_windows(
        tuple(x.shape[2:]),
        tuple(weight.shape[2:]),
        geometry.integers("stride", kwargs.get("stride", 1), rank, 1),
        geometry.padding_entries(kwargs.get("padding", 0), rank),
        geometry.integers("output_padding", kwargs.get("output_padding", 0), rank, 0),
        geometry.integers("dilation", kwargs.get("dilation", 1), rank, 1),
        modes,
        geometry.padding_values(kwargs.get("padding_value", 0.0), modes),
    )
    return reference.convolution(x, weight, bias, groups=groups, transposed=True, **windows._asdict())


PADDINGS = [0, 1, -1, "valid", "same", "same_lower", "full", "causal", ((1, 0),), ((-1, 2),)]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("padding", PADDINGS, ids=str)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_every_padding_and_border_exactly(rank, padding, mode):
    for groups, stride, dilation in [(1, 1, 1), (2, 2, 1), (4, 3, 1), (4, 2, 2 if rank < 3 else 1)]:
        x, weight, bias = problem(rank, groups)
        kwargs = {"stride": stride, "padding": padding, "dilation": dilation, "padding_mode": mode}
        if mode == "constant":
            kwargs["padding_value"] = 3.0
        expected = defined(x, weight, bias, rank, groups, **kwargs)
        assert torch.equal(OURS[rank](x, weight, bias, groups=groups, **kwargs).double(), expected)
        assert torch.equal(OURS[rank](x.double(), weight.double(), bias.double(), groups=groups, **kwargs), expected)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_gradients_exactly(groups, mode):
    x, weight, bias = (t.requires_grad_() for t in problem(2, groups))
    kwargs = {"stride": (2, 1), "padding": ((1, 2), "same"), "output_padding": (1, 0), "padding_mode": mode}
    output = functional.conv_transpose2d(x, weight, bias, groups=groups, **kwargs)
    expected = defined(x, weight, bias, 2, groups, **kwargs)
    grad = integers(*output.shape, seed=4)
    for mine, wanted in zip(
        torch.autograd.grad(output, (x, weight, bias), grad),
        torch.autograd.grad(expected, (x, weight, bias), grad.double()),
        strict=True,
    ):
        assert torch.equal(mine, wanted)


def test_gradgradcheck():
    x, weight, bias = (t.double() / 8 for t in problem(1))
    args = tuple(t.clone().requires_grad_() for t in (x[:1, :2, :4], weight[:2, :2], bias[:2]))
    assert torch.autograd.gradgradcheck(
        lambda *a: functional.conv_transpose1d(*a, stride=2, padding="same", padding_mode="replicate"), args
    )


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"stride": 2},
        {"stride": (2,), "padding": [1], "output_padding": (1,)},
        {"padding": 1, "groups": 2},
        {"stride": 1, "dilation": 2, "output_padding": 1},
        {"stride": 3, "padding": 1, "output_padding": 2, "groups": 4, "dilation": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_torchs_answer(rank, kwargs):
    x, weight, bias = problem(rank, kwargs.get("groups", 1))
    for dtype in (torch.float32, torch.float64, torch.complex64):
        args = (x.to(dtype), weight.to(dtype), bias.to(dtype))
        expected = TORCH[rank](*args, **kwargs)
        assert torch.equal(OURS[rank](*args, **kwargs), expected)
        assert torch.equal(OURS[rank](args[0][0], *args[1:], **kwargs), expected[0])
        assert OURS[rank](*(t.to("meta") for t in args), **kwargs).shape == expected.shape
    order = (("stride", 1), ("padding", 0), ("output_padding", 0), ("groups", 1), ("dilation", 1))
    positional = [kwargs.get(name, default) for name, default in order]
    assert torch.equal(OURS[rank](x, weight, None, *positional), TORCH[rank](x, weight, None, *positional))


@pytest.mark.parametrize("padding", [0, 1, ((2, 1), "causal"), "same"], ids=str)
def test_with_zeros_it_is_the_adjoint_of_the_convolution(padding):
    small, weight, _ = problem(2)
    low, high = geometry.resolve_padding(padding, (4, 5), (3, 2), (2, 1), (1, 1), transposed=True)
    large = functional.conv_transpose2d(small, weight, stride=(2, 1), padding=padding)
    other = integers(*large.shape, seed=5)
    back = functional.conv2d(other, weight, stride=(2, 1), padding=tuple(zip(low, high, strict=True)))
    assert torch.equal((large * other).sum(), (small * back[..., :4, :5]).sum())


def test_causal_sees_nothing_later():
    x, weight, _ = problem(1)
    before = functional.conv_transpose1d(x, weight, stride=3, padding="causal")
    later = x.clone()
    later[..., 4:] += 1
    after = functional.conv_transpose1d(later, weight, stride=3, padding="causal")
    assert torch.equal(before[..., :12], after[..., :12])
    assert not torch.equal(before[..., 12:], after[..., 12:])


def test_an_empty_batch():
    x, weight, bias = (t.requires_grad_() for t in problem(2, batch=0))
    output = functional.conv_transpose2d(x, weight, bias, stride=2, padding="same", padding_mode="circular")
    assert output.shape == (0, 8, 8, 10)
    output.sum().backward()
    assert weight.grad.abs().sum() == 0


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2])
def test_layer_is_torchs(rank, groups):
    ours, theirs = (
        getattr(module, f"ConvTranspose{rank}d")(4, 8, KERNELS[rank], 2, 1, 1, groups, True, 1)
        for module in (convlayers, nn)
    )
    assert isinstance(ours, type(theirs))
    assert repr(ours) == repr(theirs)
    ours.load_state_dict(theirs.state_dict())
    x, *_ = problem(rank)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)
    sizes = theirs(x).shape
    wanted = [n - 1 for n in sizes[2:]]
    assert torch.allclose(ours(x, wanted), theirs(x, wanted), atol=1e-5)
    assert ours(x, output_size=torch.Size((2, 8, *wanted))).shape == (2, 8, *wanted)
    assert ours(x[0], output_size=wanted).shape == (8, *wanted)


@pytest.mark.parametrize("padding", ["same", "causal", "valid", ((1, 0),)], ids=str)
def test_output_size_with_padding_by_name(padding):
    layer = convlayers.ConvTranspose1d(2, 3, 4, stride=3, padding=padding)
    x = torch.randn(1, 2, 5)
    least = layer(x).shape[-1]
    for size in range(least, least + 3):
        assert layer(x, output_size=[size]).shape == (1, 3, size)
    for size in (least - 1, least + 3):
        with pytest.raises(ValueError, match="output_size must lie between"):
            layer(x, output_size=[size])
    with pytest.raises(ValueError, match="output_size must have 1 elements, or 3"):
        layer(x, output_size=[1, 2])


def test_borders_of_the_layer():
    layer = convlayers.ConvTranspose2d(
        4, 8, (3, 2), 2, "same", padding_mode=("replicate", "constant"), padding_value=1.5, activation="relu"
    )
    x, *_ = problem(2)
    expected = functional.conv_transpose2d(
        x, layer.weight, layer.bias, 2, "same", padding_mode=("replicate", "constant"), padding_value=1.5
    ).relu()
    assert torch.equal(layer(x), expected)
    assert "padding_mode=('replicate', 'constant'), padding_value=1.5, activation=relu" in repr(layer)
