"""Initialisers: each name against its formula, for every layer that has weights."""

from __future__ import annotations

import math

import pytest
import torch
from layers import CASES
from torch import nn

import convlayers
from convlayers import init

SCALED = {
    # Variance = scale / fan (He 2015, section 2.2; Glorot 2010, equations 12 and 16; LeCun 1998, section 4.6).
    "he": lambda fan_in, fan_out: 2 / fan_in,
    "glorot": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "lecun": lambda fan_in, fan_out: 1 / fan_in,
}
ALIASES = {"kaiming": "he", "xavier": "glorot"}
FAMILIES = (*SCALED, *ALIASES)
NAMES = [*(f"{family}_{kind}" for family in FAMILIES for kind in ("normal", "uniform"))]
LAYERS = [
    # layer, its arguments, fan in, fan out: products in an output's sum, and sums that an input takes part in
    (convlayers.Conv1d, (24, 32, 25), 24 * 25, 32 * 25),
    (convlayers.Conv2d, (32, 64, (3, 5), 1, 0, 1, 2), 16 * 15, 32 * 15),
    (convlayers.Conv3d, (16, 32, 3), 16 * 27, 32 * 27),
    (convlayers.ConvTranspose2d, (32, 64, (3, 5), 1, 0, 0, 2), 16 * 15, 32 * 15),
    (convlayers.ConvTranspose1d, (64, 32, 12), 64 * 12, 32 * 12),
    (convlayers.DepthwiseConv2d, (256, 7), 49, 49),
    (convlayers.StandardizedConv2d, (32, 64, 3), 32 * 9, 64 * 9),
]


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def test_every_name_is_tested():
    others = {"orthogonal", "dirac", "zeros", "ones", "normal", "truncated_normal"}
    assert set(init.names()) == {*NAMES, *others}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("layer", "args", "fan_in", "fan_out"), LAYERS, ids=lambda v: getattr(v, "__name__", None))
def test_weights_have_the_variance_of_their_formula(name, layer, args, fan_in, fan_out):
    family, kind = name.split("_")
    weight = layer(*args, weight_init=name).weight.detach().double()
    variance = SCALED[ALIASES.get(family, family)](fan_in, fan_out)
    bound = math.sqrt(3 * variance)
    # Five standard deviations of the sample's mean and variance: the kurtosis is 3, or 9 / 5.
    count, kurtosis = weight.numel(), 3.0 if kind == "normal" else 1.8
    assert abs(weight.mean()) < 5 * math.sqrt(variance / count)
    assert abs(weight.square().mean() / variance - 1) < 5 * math.sqrt((kurtosis - 1) / count)
    if kind == "uniform":
        assert 0.999 * bound < weight.abs().max() <= bound * (1 + 1e-6)
    else:
        assert weight.abs().max() > 1.5 * bound


@pytest.mark.parametrize("torchs", ["kaiming_normal", "kaiming_uniform", "xavier_normal", "xavier_uniform"])
def test_the_names_of_torch_give_its_numbers(torchs):
    ours, expected = torch.empty(6, 8, 3, 3), torch.empty(6, 8, 3, 3)
    init.initialise(ours, torchs)
    kwargs = {"nonlinearity": "relu"} if torchs.startswith("kaiming") else {}
    torch.manual_seed(0)
    getattr(nn.init, f"{torchs}_")(expected, **kwargs)
    torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("inputs", "outputs"), [(4, 8), (8, 4)])
def test_orthogonal_filters(groups, inputs, outputs):
    weight = convlayers.Conv2d(groups * inputs, groups * outputs, 2, groups=groups, weight_init="orthogonal").weight
    for group in weight.detach().flatten(1).chunk(groups):
        torch.testing.assert_close(group @ group.T, torch.eye(outputs), atol=1e-5, rtol=0)


def test_orthogonal_where_there_are_more_filters_than_taps():
    weight = convlayers.Conv1d(2, 12, 3, weight_init="orthogonal").weight.detach().flatten(1)
    torch.testing.assert_close(weight.T @ weight, torch.eye(6), atol=1e-5, rtol=0)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_dirac_is_the_identity(rank, groups):
    layer = getattr(convlayers, f"Conv{rank}d")(
        4, 4, 3, padding=1, groups=groups, weight_init="dirac", bias_init="zeros"
    )
    x = torch.randn(2, 4, *[5] * rank)
    torch.testing.assert_close(layer(x), x)


def test_names_that_need_no_fans():
    def layer(name):
        return convlayers.Conv1d(64, 64, 9, weight_init=name, bias_init=name)

    for name, value in (("zeros", 0.0), ("ones", 1.0), (0.25, 0.25), (-3, -3.0)):
        filled = layer(name)
        assert bool((filled.weight == value).all()), name
        assert bool((filled.bias == value).all()), name
    normal, truncated = layer("normal").weight.detach(), layer("truncated_normal").weight.detach()
    assert abs(normal.std().item() / 0.02 - 1) < 0.02
    assert normal.abs().max() > 0.06
    assert 0.0399 < truncated.abs().max().item() <= 0.04
    # Cut at two standard deviations: var = 1 - 2 * 2 * pdf(2) / (cdf(2) - cdf(-2)).
    assert abs(truncated.std().item() / (0.02 * 0.87963) - 1) < 0.02


def test_callables_fill_the_tensor_or_return_its_values():
    ramp = convlayers.Conv1d(2, 3, 4, weight_init=lambda w: torch.arange(24.0).view(w.shape), bias_init=nn.init.ones_)
    assert torch.equal(ramp.weight.detach().flatten(), torch.arange(24.0))
    assert torch.equal(ramp.bias.detach(), torch.ones(3))
    assert ramp.weight.requires_grad
    assert ramp.weight.grad_fn is None
    filled = convlayers.Conv1d(2, 3, 4, weight_init=lambda w: w.fill_(2.0))
    assert bool((filled.weight == 2).all())


def test_without_an_initialiser_weights_are_torchs():
    ours = convlayers.Conv2d(3, 4, 3)
    torch.manual_seed(0)
    theirs = nn.Conv2d(3, 4, 3)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=0, atol=0)
    # An initialiser of the bias leaves the weight as torch draws it.
    named = convlayers.Conv2d(3, 4, 3, bias_init=0.5)
    torch.manual_seed(0)
    named.reset_parameters()
    assert torch.equal(named.weight, theirs.weight)
    assert bool((named.bias == 0.5).all())


def test_reset_parameters_draws_anew_as_it_was_asked_to():
    layer = convlayers.Conv2d(8, 8, 3, weight_init="orthogonal", bias_init="ones")
    first = layer.weight.detach().clone()
    nn.init.zeros_(layer.bias)
    layer.reset_parameters()
    weight = layer.weight.detach().flatten(1)
    assert not torch.equal(layer.weight, first)
    torch.testing.assert_close(weight @ weight.T, torch.eye(8), atol=1e-5, rtol=0)
    assert bool((layer.bias == 1).all())


@pytest.mark.parametrize("family", ["LazyConv", "LazyConvTranspose"])
def test_lazy_layers_initialise_once_they_know_their_channels(family):
    layer = getattr(convlayers, f"{family}1d")(8, 3, weight_init="ones", bias_init=2.0)
    layer(torch.zeros(1, 4, 9))
    assert bool((layer.weight == 1).all())
    assert bool((layer.bias == 2).all())


TAKE_INITIALISERS = (
    "Conv", "ConvTranspose", "LazyConv", "LazyConvTranspose", "ConvBlock", "DepthwiseConv", "GatedConv",
    "LocallyConnected", "PartialConv", "SeparableConv", "StandardizedConv",
)  # fmt: skip
ARGUMENTS = {"LocallyConnected": (4, 6, 6, 3), "DepthwiseConv": (4, 3)}


@pytest.mark.parametrize("case", [c for c in CASES if c.family in TAKE_INITIALISERS], ids=str)
def test_every_layer_with_weights_takes_initialisers(case):
    layer_class = getattr(convlayers, case.name)
    args = ARGUMENTS.get(case.family, (6, 3) if "Lazy" in case.family else (4, 6, 3))
    kwargs = {"bias": True} if case.family == "ConvBlock" else {}
    layer = layer_class(*args, weight_init=0.125, bias_init=0.25, **kwargs)
    layer(*case.inputs())
    named = {name: p for name, p in layer.named_parameters() if not name.startswith("norm")}
    assert any(name.endswith("bias") for name in named)
    for name, p in named.items():
        assert bool((p == (0.25 if name.endswith("bias") else 0.125)).all()), name
    for argument in ("weight_init", "bias_init"):
        with pytest.raises(ValueError, match=f"{argument} must be one of .*; received 'he_abnormal'"):
            layer_class(*args, **{argument: "he_abnormal"})
        with pytest.raises(TypeError, match=f"{argument} must be a name, a number or a callable; received list"):
            layer_class(*args, **{argument: [1.0]})


def test_a_bias_has_no_fans():
    with pytest.raises(ValueError, match="bias_init must be one of normal, ones, truncated_normal, zeros"):
        convlayers.Conv2d(2, 2, 3, bias_init="he_normal")
