"""The layers that torch.nn lacks, each beside its definition in torch's own operators."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import convlayers

CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
RANKS = pytest.mark.parametrize("rank", [1, 2, 3])


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def picture(rank: int, channels: int = 4, size: int = 6) -> Tensor:
    return torch.randn(2, channels, *[size] * rank, generator=torch.Generator().manual_seed(rank))


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


# --- depthwise, separable ---------------------------------------------------------------------------------------------


@RANKS
@pytest.mark.parametrize("multiplier", [1, 3])
def test_a_depthwise_convolution_keeps_channels_apart(rank, multiplier):
    layer = getattr(convlayers, f"DepthwiseConv{rank}d")(4, 3, 2, 1, multiplier=multiplier, activation="relu")
    assert (layer.multiplier, layer.in_channels, layer.out_channels) == (multiplier, 4, 4 * multiplier)
    x = picture(rank)
    for channel in range(4):
        of_channel = slice(channel * multiplier, (channel + 1) * multiplier)
        expected = CONV[rank](x[:, channel : channel + 1], layer.weight[of_channel], layer.bias[of_channel], 2, 1)
        close(layer(x)[:, of_channel], expected.relu())
    torchs = getattr(nn, f"Conv{rank}d")(4, 4 * multiplier, 3, 2, 1, groups=4)
    torchs.load_state_dict(layer.state_dict())
    close(layer(x), torchs(x).relu())


@RANKS
def test_a_separable_convolution_is_two_steps(rank):
    layer = getattr(convlayers, f"SeparableConv{rank}d")(
        4, 5, 3, 2, 2, 2, depth_multiplier=3, padding_mode="constant", padding_value=0.5, activation="tanh"
    )
    assert {name: tuple(p.shape) for name, p in layer.named_parameters()} == {
        "depthwise.weight": (12, 1, *[3] * rank),
        "pointwise.weight": (5, 12, *[1] * rank),
        "pointwise.bias": (5,),
    }
    x = picture(rank)
    hidden = CONV[rank](F.pad(x, [2] * 2 * rank, value=0.5), layer.depthwise.weight, None, 2, 0, 2, 4)
    close(layer(x), CONV[rank](hidden, layer.pointwise.weight, layer.pointwise.bias).tanh())


# --- blocks -----------------------------------------------------------------------------------------------------------

NORMS = {
    None: lambda rank: nn.Identity(),
    "batch": lambda rank: getattr(nn, f"BatchNorm{rank}d")(6),
    "instance": lambda rank: getattr(nn, f"InstanceNorm{rank}d")(6, affine=True),
    "group": lambda rank: nn.GroupNorm(2, 6),  # two: the largest power of two that divides six channels
    "layer": lambda rank: nn.GroupNorm(1, 6),
}
POOLS = {
    None: lambda rank: nn.Identity(),
    "max": lambda rank: getattr(nn, f"MaxPool{rank}d")(2),
    "avg": lambda rank: getattr(nn, f"AvgPool{rank}d")(2),
    "global_max": lambda rank: getattr(nn, f"AdaptiveMaxPool{rank}d")(1),
    "global_avg": lambda rank: getattr(nn, f"AdaptiveAvgPool{rank}d")(1),
}
ACTIVATIONS = {"relu": nn.ReLU(), "silu": nn.SiLU(), None: nn.Identity()}
BLOCKS = [
    *((norm, "relu", "max", 0.0) for norm in NORMS),
    *(("batch", "silu", pool, 0.5) for pool in POOLS),
    *((None, activation, "avg", 0.5) for activation in ACTIVATIONS),
]


@RANKS
@pytest.mark.parametrize(("norm", "activation", "pool", "dropout"), BLOCKS)
def test_a_block_is_torchs_modules_one_after_the_other(rank, norm, activation, pool, dropout):
    block = getattr(convlayers, f"ConvBlock{rank}d")(
        4, 6, 3, norm=norm, activation=activation, pool=pool, dropout=dropout
    )
    convolution = getattr(nn, f"Conv{rank}d")(4, 6, 3, padding="same", bias=norm is None)
    parts = (convolution, NORMS[norm](rank), ACTIVATIONS[activation], POOLS[pool](rank), nn.Dropout(dropout))
    definition = nn.Sequential(*parts)
    convolution.load_state_dict(block.conv.state_dict())
    for training in (True, True, False):  # The running means of batch normalisation move on, and are then used.
        block.train(training), definition.train(training)
        results = []
        for module in (block, definition):
            torch.manual_seed(5)  # of the dropout
            results.append(module(3 * picture(rank) + 1))
        close(*results)
    if norm is not None:
        torch.testing.assert_close(block.norm.state_dict(), parts[1].state_dict(), rtol=1e-4, atol=1e-5)
    single = picture(rank)[0]
    close(block(single), definition(single[None])[0])


def test_a_block_takes_modules():
    prelu, norm, pool = nn.PReLU(6), nn.Identity(), nn.AvgPool2d(3)
    block = convlayers.ConvBlock2d(4, 6, 3, norm=norm, activation=prelu, pool=pool, bias=True)
    assert (block.norm, block.activation, block.pool) == (norm, prelu, pool)
    x = picture(2)
    close(block(x), pool(prelu(F.conv2d(x, block.conv.weight, block.conv.bias, padding=1))))
    assert {"conv.weight", "conv.bias", "activation.weight"} == block.state_dict().keys()


def test_the_bias_of_a_block():
    for kwargs, expected in (({}, False), ({"norm": None}, True), ({"bias": True}, True)):
        assert (convlayers.ConvBlock1d(2, 3, 3, **kwargs).conv.bias is not None) is expected


# --- gated ------------------------------------------------------------------------------------------------------------


@RANKS
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("activation", "gate"), [(None, "sigmoid"), ("tanh", "sigmoid"), ("relu", torch.cos)])
def test_a_gated_convolution_is_two_convolutions(rank, groups, activation, gate):
    layer = getattr(convlayers, f"GatedConv{rank}d")(
        4, 6, 3, padding=1, groups=groups, activation=activation, gate=gate
    )
    functions = {None: lambda t: t, "tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid}
    x = picture(rank)
    # Each group has the filters of its features, then those of its gates.
    weights = layer.conv.weight.unflatten(0, (groups, 2, 6 // groups)).unbind(1)
    biases = layer.conv.bias.unflatten(0, (groups, 2, 6 // groups)).unbind(1)
    features, gates = (
        CONV[rank](x, weight.flatten(0, 1), bias.flatten(), padding=1, groups=groups)
        for weight, bias in zip(weights, biases, strict=True)
    )
    expected = functions[activation](features) * functions.get(gate, gate)(gates)
    close(layer(x), expected)
    close(layer(x[1]), expected[1])
    if (groups, activation, gate) == (1, None, "sigmoid"):
        close(layer(x), F.glu(layer.conv(x), 1))


# --- weight-standardised ----------------------------------------------------------------------------------------------


@RANKS
@pytest.mark.parametrize("groups", [1, 2])
def test_standardised_filters(rank, groups):
    layer = getattr(convlayers, f"StandardizedConv{rank}d")(4, 6, 3, groups=groups, eps=1e-3)
    nn.init.normal_(layer.weight, 1.0, 0.5)
    filters = []
    for row in layer.weight.detach().double():
        filters.append((row - row.mean()) / (((row - row.mean()) ** 2).mean() + 1e-3).sqrt())
    expected = CONV[rank](picture(rank), torch.stack(filters).float(), layer.bias, groups=groups)
    close(layer(picture(rank)), expected)
    close(layer.standardised_weight(), torch.stack(filters).float())
    # Scaling and shifting the weights changes nothing, and gradients know that.
    layer.double().eps = 1e-12
    layer(picture(rank).double()).pow(2).sum().backward()
    size, grad = layer.weight.grad.abs().max(), layer.weight.grad.flatten(1)
    torch.testing.assert_close(grad.sum(1) / size, torch.zeros(6).double(), atol=1e-8, rtol=0)
    along = (grad * layer.weight.detach().flatten(1)).sum(1)
    torch.testing.assert_close(along / size, torch.zeros(6).double(), atol=1e-8, rtol=0)


# --- locally connected ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation", "mode"),
    [(3, 1, 0, 1, "zeros"), ((2, 3), (2, 1), ((1, 0), (2, 2)), (1, 2), "replicate"), (3, 2, "same", 1, "reflect")],
)
def test_a_locally_connected_layer_has_filters_of_its_own_everywhere(kernel, stride, padding, dilation, mode, bias):
    layer = convlayers.LocallyConnected2d(
        2, 3, (6, 5), kernel, stride, padding, dilation, bias, mode, activation="leaky_relu"
    )
    x = torch.randn(2, 2, 6, 5)
    rows, columns = layer.output_size
    expected = torch.zeros(2, 3, rows, columns)
    for row, column in itertools.product(range(rows), range(columns)):
        # The convolution that has this position's filters everywhere, at this position.
        everywhere = convlayers.functional.conv2d(
            x.double(), layer.weight[row, column].double(), None, stride, padding, dilation, padding_mode=mode
        )
        expected[:, :, row, column] = everywhere[:, :, row, column].float()
    if bias:
        expected = expected + layer.bias
    close(layer(x), F.leaky_relu(expected))
    close(layer(x[0]), F.leaky_relu(expected[0]))


def test_a_locally_connected_layer_of_equal_filters_is_a_convolution():
    layer = convlayers.LocallyConnected1d(2, 3, 9, 3, 2, 1)
    with torch.no_grad():
        layer.weight[:] = layer.weight[0].clone()
    x = torch.randn(2, 2, 9)
    close(layer(x), F.conv1d(x, layer.weight[0], None, 2, 1) + layer.bias)
    assert layer.weight.shape == (5, 3, 2, 3)


def test_filters_of_a_locally_connected_layer_are_initialised_one_by_one():
    layer = convlayers.LocallyConnected2d(2, 4, 5, 3, weight_init="orthogonal", bias_init=0.5)
    for filters in layer.weight.detach().flatten(0, 1):
        close(filters.flatten(1) @ filters.flatten(1).T, torch.eye(4))
    assert bool((layer.bias == 0.5).all())
