"""What units see: equal to the support of the gradient, exactly, on whole networks and on random ones with branches."""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from gradient_support import layers_of, support
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_networks import network
from torch import Tensor, nn
from whole_networks import WaveNet, googlenet, mobilenet_v2, r2plus1d_18, resnet18, unet

import convlayers
from convlayers.inspect import Field, receptive_field


def bounding_box(mask: Tensor) -> tuple[tuple[int, int], ...]:
    if not mask.any():
        return ((0, 0),) * mask.dim()
    return tuple((int(at.min()), int(at.max()) + 1) for at in mask.nonzero().T)


def compare(model: nn.Module, size: Sequence[int], last: bool = False) -> dict[str, Field]:
    """Holds the fields of all layers (or the last) against gradients: of corners and the middle."""
    fields = receptive_field(model, size)
    with layers_of(model, size) as (x, outputs):
        for name, output in list(outputs.items())[-last:]:
            field = fields[name]
            assert field.exact, name
            assert field.output_size == tuple(output.shape[2:]) or set(field.output_size) == {1}, name
            for unit in {(0,) * len(field.output_size), field.centre, tuple(n - 1 for n in field.output_size)}:
                expected = support(x, output, unit)
                assert torch.equal(field.mask(unit), expected), (name, unit)
                assert field.box(unit) == bounding_box(expected), (name, unit)
    return fields


WHOLE = [
    (resnet18(16), (3, 97, 97)),
    (mobilenet_v2(8), (3, 65, 49)),
    (unet(16), (1, 204, 188)),
    (googlenet(16), (3, 65, 65)),
    (WaveNet(16, stacks=2, layers=7), (16, 600)),
    (r2plus1d_18(16), (3, 8, 32, 24)),
]


@pytest.mark.parametrize(
    ("model", "size"), WHOLE, ids=["resnet18", "mobilenet_v2", "unet", "googlenet", "wavenet", "r2plus1d"]
)
def test_whole_networks(model, size):
    compare(model, size)


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32 - 1))
def test_random_networks_with_branches(seed):
    compare(*network(random.Random(seed)))


# The arithmetic of chains (Araujo, Norris & Sim 2019, "Computing receptive fields of convolutional neural networks",
# which has VGG-16's 212): sums of (kernel - 1) times the strides before.
def by_hand(*layers: tuple[int, int]) -> int:
    """The size for a chain of (kernel, stride)."""
    size, step = 1, 1
    for kernel, stride in layers:
        size, step = size + (kernel - 1) * step, step * stride
    return size


@pytest.mark.parametrize(
    ("model", "input_size", "layer", "size", "stride"),
    [
        (resnet18(16), (3, 224, 224), "layer4.1.conv2", 435, 32),
        (mobilenet_v2(8), (3, 224, 224), "0.18.0", 491, 32),
        (googlenet(16), (3, 224, 224), "inception3a.branch3.1.0", 27 + 4 * 8, 8),
        (WaveNet(16), (16, 2000), "output.3", 1 + 1 + 1023, 1),
        (unet(16), (1, 572, 572), "down.4.1", 140, 16),
    ],
    ids=["resnet18", "mobilenet_v2", "googlenet", "wavenet", "unet"],
)
def test_size_beyond_the_border(model, input_size, layer, size, stride):
    field = receptive_field(model, input_size)[layer]
    assert set(field.size) == {size}
    assert set(field.stride) == {Fraction(stride)}


def test_hand_computed_sizes():
    stem = (7, 2), (3, 2)
    blocks = [(3, 1)] * 4 + [(3, 2), (3, 1), (3, 1), (3, 1)] * 3
    assert by_hand(*stem, *blocks) == 435
    assert (
        by_hand((3, 2), (3, 1), (3, 2), (3, 1), (3, 2), *[(3, 1)] * 2, (3, 2), *[(3, 1)] * 6, (3, 2), *[(3, 1)] * 3)
        == 491
    )
    down = [(3, 1), (3, 1), (2, 2)] * 4
    assert by_hand(*down, (3, 1), (3, 1)) == 140
    vgg = [step for n in (2, 2, 3, 3, 3) for step in [(3, 1)] * n + [(2, 2)]]
    assert by_hand(*vgg) == 212
    layers = [nn.Conv2d(3, 3, k, padding=1) if s == 1 else nn.MaxPool2d(k, s) for k, s in vgg]
    assert list(receptive_field(nn.Sequential(*layers), (3, 64, 64)).values())[-1].size == (212, 212)


@pytest.mark.parametrize(
    "model", [resnet18(16), googlenet(16), r2plus1d_18(16)], ids=["resnet18", "googlenet", "r2plus1d"]
)
def test_size_stride_and_offset_hold_on_an_input_that_is_large_enough(model):
    """What is said of an endless input from a small one, seen by a unit that no border reaches."""
    rank = 3 if isinstance(next(m for m in model.modules() if isinstance(m, nn.Conv3d | nn.Conv2d)), nn.Conv3d) else 2
    small = receptive_field(model, (3, *[48] * rank))
    large = receptive_field(model, (3, *[1600] * rank))
    compared = 0
    for name, field in small.items():
        unit = large[name].centre
        if None in field.stride or max(large[name].output_size) < 2:
            continue
        starts = [int(o + u * s) for o, u, s in zip(field.offset, unit, field.stride, strict=True)]
        box = tuple((start, start + size) for start, size in zip(starts, field.size, strict=True))
        assert large[name].box(unit) == box, name
        compared += 1
    assert compared > 20


def last(model: nn.Module, size: Sequence[int]) -> Field:
    return list(receptive_field(model, size).values())[-1]


def test_dilation_leaves_holes_in_the_mask_and_not_in_the_box():
    field = last(nn.Conv1d(1, 1, 3, dilation=3), (1, 10))
    assert field.mask((1,)).nonzero()[:, 0].tolist() == [1, 4, 7]
    assert field.box((1,)) == ((1, 8),)
    assert field.size == (7,)


def test_branches_of_different_shapes_make_a_cross():
    class Cross(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tall, self.wide = nn.Conv2d(1, 1, (5, 1), padding=(2, 0)), nn.Conv2d(1, 1, (1, 5), padding=(0, 2))
            self.out = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.tall(x) + self.wide(x))

    field = last(Cross(), (1, 9, 9))
    assert field.mask((4, 4)).sum() == 9
    assert field.box((4, 4)) == ((2, 7), (2, 7))


def test_a_transposed_convolution_sees_half_steps():
    field = last(nn.Sequential(nn.Conv1d(1, 1, 3, padding=1), nn.ConvTranspose1d(1, 1, 2, 2)), (1, 8))
    assert (field.size, field.stride, field.offset) == ((3,), (Fraction(1, 2),), (-1,))
    assert (field.low[0][:4], field.high[0][:4]) == ([0, 0, 0, 0], [1, 1, 2, 2])


class Block(nn.Module):
    """Any function with a convolution before it."""

    def __init__(self, function: Any, rank: int = 2) -> None:
        super().__init__()
        self.conv, self.function, self.out = getattr(nn, f"Conv{rank}d")(2, 4, 3, padding=1), function, nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.function(self.conv(x)))


def attention(x: Tensor) -> Tensor:
    tokens = x.flatten(2).transpose(1, 2)
    return F.scaled_dot_product_attention(tokens, tokens, tokens).transpose(1, 2).unflatten(2, x.shape[2:])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.mean((2, 3)), lambda x: x.flatten(1), lambda x: F.adaptive_max_pool2d(x, 1), attention,
        lambda x: F.softmax(x.flatten(2), -1), lambda x: F.layer_norm(x, x.shape[1:]), lambda x: F.instance_norm(x),
        lambda x: F.group_norm(x, 2),
    ],
    ids=["mean", "flatten", "global max", "attention", "softmax", "layer norm", "instance norm", "group norm"],
)  # fmt: skip
def test_what_mixes_all_positions_sees_all(function):
    model = Block(function)
    if function(torch.zeros(1, 4, 6, 6)).dim() == 2:
        model.out = nn.Linear(function(torch.zeros(1, 4, 6, 6)).shape[1], 3)
    field = last(model, (2, 6, 6))
    assert field.exact
    assert field.box() == ((0, 6), (0, 6))
    assert field.share() == 1


def windows(x: Tensor) -> Tensor:
    """Attention inside of windows of 4x4, as Swin's."""
    n, c, h, w = x.shape
    tokens = x.reshape(n, c, h // 4, 4, w // 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(-1, 16, c)
    seen = (tokens @ tokens.transpose(1, 2)).softmax(-1) @ tokens
    return seen.reshape(n, h // 4, w // 4, 4, 4, c).permute(0, 5, 1, 3, 2, 4).reshape(n, c, h, w)


@pytest.mark.parametrize(
    ("function", "unit", "box"),
    [
        (lambda x: F.pixel_shuffle(x, 2), (5, 4), ((1, 4), (1, 4))),
        (lambda x: F.pixel_unshuffle(x, 2), (2, 1), ((3, 7), (1, 5))),
        (lambda x: x.permute(0, 2, 3, 1), (3, 4), ((2, 5), (3, 6))),
        (lambda x: x.view(1, 2, 2, 8, 8).transpose(1, 2).flatten(1, 2), (3, 4), ((2, 5), (3, 6))),
        (lambda x: torch.stack([x, x], 1).sum(1), (3, 4), ((2, 5), (3, 6))),
        (lambda x: torch.cat([x, x], 3), (3, 8), ((2, 5), (0, 2))),
        (lambda x: F.layer_norm(x.permute(0, 2, 3, 1), (4,)).permute(0, 3, 1, 2), (3, 4), ((2, 5), (3, 6))),
        (lambda x: F.pad(x, (1, 1, 1, 1)), (1, 1), ((0, 2), (0, 2))),
        (lambda x: F.pad(x, (2, 2, 2, 2), mode="circular"), (0, 4), ((5, 8), (1, 4))),
        (lambda x: sum(x.split(2, 1)), (3, 4), ((2, 5), (3, 6))),
        (lambda x: x.unbind(2)[3], (3, 0), ((2, 5), (0, 8))),
        (windows, (5, 2), ((3, 8), (0, 5))),
        (lambda x: F.interpolate(x, size=(8, 4), mode="bicubic"), (3, 1), ((2, 5), (0, 6))),
    ],
    ids=[
        "pixel shuffle", "pixel unshuffle", "channels last", "channel shuffle", "stack", "cat along width",
        "layer norm", "pad", "circular pad", "split", "unbind", "window attention", "bicubic",
    ],
)  # fmt: skip
def test_functions(function, unit, box):
    field = last(Block(function), (2, 8, 8))
    assert field.exact
    if field.output_size == (1, 8):  # unbound: one row is left
        unit = (0, 4)
        box = ((2, 5), (3, 6))
    assert field.box(unit) == box


def test_ours_see_as_torchs():
    ours = nn.Sequential(
        convlayers.ConvBlock2d(1, 4, 3, pool="max"),
        convlayers.DepthwiseConv2d(4, 3, padding="same", dilation=2),
        convlayers.ConvTranspose2d(4, 4, 4, 2, "same"),
    )
    theirs = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4),
        nn.ConvTranspose2d(4, 4, 4, 2, 1),
    )
    a, b = last(ours, (1, 16, 16)), last(theirs, (1, 16, 16))
    assert (a.size, a.stride, a.offset, a.low, a.high) == (b.size, b.stride, b.offset, b.low, b.high)


def test_tokens_of_a_text():
    model = nn.Sequential(nn.Embedding(10, 4), Turned(), nn.Conv1d(4, 8, 5))
    assert last(model, [torch.zeros(1, 20, dtype=torch.long)]).box((3,)) == ((3, 8),)


class Turned(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)


def test_an_unknown_operator_is_marked():
    field = last(Block(lambda x: torch.fft.fft2(x).real), (2, 8, 8))
    assert not field.exact
    assert field.share() == 1


def test_effective_field():
    model = nn.Sequential(*[nn.Conv2d(1, 1, 3, padding=1, bias=False) for _ in range(6)])
    for layer in model:
        nn.init.constant_(layer.weight, 1 / 9)
    field = receptive_field(model, (1, 33, 33), effective=True)["5"]
    assert field.effective.shape == (33, 33)
    assert torch.equal(field.effective > 0, field.mask())
    # Luo et al.: constant kernels give a Gaussian, of variance n * 2 / 3 for kernels of 3; squaring halves it.
    at = torch.arange(33.0) - 16
    variance = (field.effective.sum(1) * at**2).sum() / field.effective.sum()
    assert variance == pytest.approx(6 * (2 / 3) / 2, rel=0.1)
    assert field.effective.sum() == pytest.approx(1, rel=1e-5)


def test_the_model_is_as_before():
    model = resnet18(16).train()
    model.layer1.eval()
    modes = [module.training for module in model.modules()]
    state = {name: t.clone() for name, t in model.state_dict().items()}
    random_state = torch.get_rng_state()
    receptive_field(model, (3, 32, 32), effective=True)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(t, state[name]) for name, t in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize(
    ("model", "size", "message"),
    [
        (
            nn.Sequential(nn.Linear(3, 3), nn.ReLU()),
            (3, 3),
            "must have a convolution; received Sequential, which has Linear, ReLU",
        ),
        (nn.Sequential(nn.Conv2d(3, 4, 3)), (1, 8, 8), "it refuses 1x1x8x8 .* in layer '0'.*3 channels"),
        (nn.Sequential(nn.Conv2d(3, 4, 3)), (3, 2, 2), "it refuses 1x3x2x2"),
        (nn.Sequential(nn.Conv2d(3, 4, 3)), (3,), "must be channels and one size a spatial axis"),
        (nn.Sequential(nn.LazyConv2d(4, 3)), (3, 8, 8), "lazy layers. Call it once before"),
    ],
)
def test_refusals(model, size, message):
    with pytest.raises(ValueError, match=message):
        receptive_field(model, size)


def test_a_unit_that_there_is_not():
    with pytest.raises(ValueError, match="unit must be a position of 6x6; received"):
        last(nn.Conv2d(1, 1, 3), (1, 8, 8)).box((6, 0))
