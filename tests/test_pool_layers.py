"""Pooling layers and blur pooling."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import convlayers
from convlayers import functional as C

SIZES = {1: (9,), 2: (8, 9), 3: (7, 8, 6)}


def integers(*shape: int) -> torch.Tensor:
    return torch.randint(-9, 10, shape, generator=torch.Generator().manual_seed(sum(shape))).float()


LAYERS = [
    ("MaxPool", (3,), {"stride": 2, "padding": 1}),
    ("MaxPool", (2,), {"dilation": 2, "ceil_mode": True}),
    ("AvgPool", (3,), {"stride": 2, "padding": 1, "count_include_pad": False}),
    ("LPPool", (2, 3), {"stride": 2, "ceil_mode": True}),
    ("AdaptiveMaxPool", (3,), {}),
    ("AdaptiveAvgPool", (3,), {}),
]


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(("name", "arguments", "keywords"), LAYERS, ids=str)
def test_layers_are_torchs(rank: int, name: str, arguments: tuple, keywords: dict) -> None:
    ours = getattr(convlayers, f"{name}{rank}d")(*arguments, **keywords)
    theirs = getattr(torch.nn, f"{name}{rank}d")(*arguments, **keywords)
    assert isinstance(ours, type(theirs))
    assert repr(ours) == repr(theirs)
    x = integers(2, 3, *SIZES[rank])
    torch.testing.assert_close(ours(x), theirs(x))
    if "Max" in name:
        ours.return_indices = theirs.return_indices = True
        torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_unpool_layers(rank: int) -> None:
    x = integers(2, 3, *[6] * rank)
    pooled, indices = getattr(convlayers, f"MaxPool{rank}d")(2, return_indices=True)(x)
    ours, theirs = (getattr(library, f"MaxUnpool{rank}d")(2) for library in (convlayers, torch.nn))
    assert isinstance(ours, type(theirs))
    assert repr(ours) == repr(theirs)
    assert torch.equal(ours(pooled, indices), theirs(pooled, indices))
    assert ours(pooled, indices, output_size=[7] * rank).shape == (2, 3, *[7] * rank)


@pytest.mark.parametrize("rank", [2, 3])
def test_fractional_layers(rank: int) -> None:
    samples = torch.full((2, 3, rank), 0.7)
    keywords = {"output_ratio": 0.6, "return_indices": True, "_random_samples": samples}
    ours, theirs = (getattr(lib, f"FractionalMaxPool{rank}d")(2, **keywords) for lib in (convlayers, torch.nn))
    assert isinstance(ours, type(theirs))
    x = integers(2, 3, *SIZES[rank])
    torch.testing.assert_close(ours(x), theirs(x))
    assert ours.state_dict().keys() == theirs.state_dict().keys()


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_wider_layers(rank: int) -> None:
    x = integers(2, 3, *SIZES[rank])
    average = getattr(convlayers, f"AvgPool{rank}d")(3, 2, "same", dilation=2, divisor_override=4)
    function = getattr(C, f"avg_pool{rank}d")
    assert torch.equal(average(x), function(x, 3, 2, "same", divisor_override=4, dilation=2))
    assert "padding=same, dilation=2" in repr(average)
    norm = getattr(convlayers, f"LPPool{rank}d")(2, 3, 2, padding="same", dilation=2)
    torch.testing.assert_close(norm(x), getattr(C, f"lp_pool{rank}d")(x, 2, 3, 2, padding="same", dilation=2))
    assert repr(norm).endswith("padding=same, dilation=2)")
    largest = getattr(convlayers, f"MaxPool{rank}d")(3, 2, "causal")
    assert torch.equal(largest(x), getattr(C, f"max_pool{rank}d")(x, 3, 2, "causal"))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", ["Max", "Avg"])
def test_global_layers(rank: int, kind: str) -> None:
    x = integers(2, 3, *SIZES[rank])
    layer = getattr(convlayers, f"Global{kind}Pool{rank}d")
    function = getattr(C, f"global_{kind.lower()}_pool{rank}d")
    assert torch.equal(layer()(x), function(x))
    assert layer(keepdim=False)(x).shape == (2, 3)
    assert repr(layer()) == f"Global{kind}Pool{rank}d(keepdim=True)"


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_blur_pool_is_a_depthwise_convolution(rank: int, kernel: int, stride: int) -> None:
    x = integers(2, 3, *SIZES[rank])
    rows = {1: [1], 2: [1, 1], 3: [1, 2, 1], 4: [1, 3, 3, 1]}
    axis = torch.tensor(rows[kernel], dtype=torch.float32) / 2 ** (kernel - 1)
    weight = axis
    for _ in range(rank - 1):
        weight = weight[..., None] * axis
    below, above = (kernel - 1) // 2, kernel // 2
    padded = F.pad(x, [below, above] * rank, mode="reflect") if kernel > 1 else x
    convolution = (F.conv1d, F.conv2d, F.conv3d)[rank - 1]
    expected = convolution(padded, weight.expand(3, 1, *weight.shape), stride=stride, groups=3)
    layer = getattr(convlayers, f"BlurPool{rank}d")(kernel, stride)
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer(x[0]), expected[0])
    assert not layer.state_dict()


def test_blur_pool_borders_gradients_and_refusals() -> None:
    x = integers(1, 2, 6, 6).requires_grad_()
    y = C.blur_pool2d(x, 3, padding="same", padding_mode="constant", padding_value=2.0)
    assert y.shape == (1, 2, 3, 3)
    y.sum().backward()
    assert x.grad is not None
    assert C.blur_pool2d(x.double(), 3).dtype == torch.float64
    with pytest.raises(ValueError, match="kernel_size must be at least 1"):
        C.blur_pool2d(x, 0)


@pytest.mark.parametrize("kind", ["MaxPool", "AvgPool", "LPPool"])
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(
    ("sentence", "options"),
    [
        (r"kernel_size must be at least 1; received \(?0", {"kernel_size": 0}),
        ("stride must be at least 1", {"kernel_size": 2, "stride": 0}),
        ("kernel_size must be an integer; received 'a'", {"kernel_size": "a"}),
        ("kernel_size must be one integer or", {"kernel_size": (2, 2, 2, 2)}),
    ],
)
def test_layers_refuse_when_they_are_made(kind: str, rank: int, sentence: str, options: dict) -> None:
    layer = getattr(convlayers, f"{kind}{rank}d")
    arguments = (2.0,) if kind == "LPPool" else ()
    with pytest.raises((ValueError, TypeError), match=sentence):
        layer(*arguments, **options)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_padding_and_dilation_are_checked_when_a_layer_is_made(rank: int) -> None:
    with pytest.raises(ValueError, match="padding must be at most half of the window's reach of 2"):
        getattr(convlayers, f"MaxPool{rank}d")(2, padding=2)
    with pytest.raises(ValueError, match="padding must not be negative"):
        getattr(convlayers, f"AvgPool{rank}d")(2, padding=-1)
    with pytest.raises(ValueError, match="dilation must be at least 1"):
        getattr(convlayers, f"AvgPool{rank}d")(2, dilation=0)
