"""Every layer: those that torch.nn has stand in for them, and all can be copied, stored, moved and trained."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from layers import CASES, FAMILIES, seeded
from torch import nn

import convlayers

TORCHS = [case for case in CASES if case.in_torch]
FORMATS = {2: torch.channels_last, 3: torch.channels_last_3d}

every_layer = pytest.mark.parametrize("case", CASES, ids=str)
torchs_layers = pytest.mark.parametrize("case", TORCHS, ids=str)


def test_every_layer_is_among_them():
    assert {case.name for case in CASES} == set(convlayers.nn.__all__)
    assert {case.family for case in CASES} == set(FAMILIES)
    assert {case.family for case in CASES if not case.in_torch} == {
        "BlurPool", "ConvBlock", "DepthwiseConv", "GatedConv", "GlobalAvgPool", "GlobalMaxPool", "LocallyConnected",
        "PartialConv", "SeparableConv", "StandardizedConv",
    }  # fmt: skip


# --- in torch's place -------------------------------------------------------------------------------------------------


@torchs_layers
def test_it_is_torchs_layer(case):
    ours, theirs = case.build(), case.build(nn)
    assert isinstance(ours, type(theirs))
    assert repr(ours) == repr(theirs)
    before = [ours.state_dict(), theirs.state_dict()]
    assert before[0].keys() == before[1].keys()
    if not case.family.startswith("Lazy"):  # from the same seed the same parameters
        torch.testing.assert_close(*before, rtol=0, atol=0)
    torch.testing.assert_close(seeded(ours, *case.inputs()), seeded(theirs, *case.inputs()), rtol=1e-5, atol=1e-5)
    assert repr(ours) == repr(theirs)  # also once a lazy one knows its channels
    assert isinstance(ours, type(theirs))


# To a batch normalisation, two axes are batch and channels.
@pytest.mark.parametrize("case", [case for case in TORCHS if case.family != "BatchNorm"], ids=str)
def test_it_takes_an_input_without_a_batch(case):
    ours, theirs = case.build(), case.build(nn)
    single = [x[0] for x in case.inputs()]
    torch.testing.assert_close(seeded(ours, *single), seeded(theirs, *single), rtol=1e-5, atol=1e-5)


@torchs_layers
def test_weights_go_both_ways(case):
    ours, theirs = case.build(), case.build(nn)
    seeded(ours, *case.inputs()), seeded(theirs, *case.inputs())  # lazy ones get their weights
    for source, target in ((theirs, ours), (ours, theirs)):
        for p in source.parameters():
            nn.init.normal_(p)
        target.load_state_dict(source.state_dict())
        results = seeded(ours, *case.inputs()), seeded(theirs, *case.inputs())
        torch.testing.assert_close(*results, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ["LazyConv", "LazyConvTranspose"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_lazy_layer_takes_weights_before_it_has_its_own(family, rank):
    (case,) = (c for c in CASES if c == (family, rank))
    theirs, ours = case.build(nn), case.build()
    assert ours.has_uninitialized_params()
    expected = theirs(*case.inputs())
    ours.load_state_dict(theirs.state_dict())
    assert not ours.has_uninitialized_params()
    torch.testing.assert_close(ours(*case.inputs()), expected, rtol=1e-5, atol=1e-5)
    assert type(ours) is getattr(convlayers, case.name.removeprefix("Lazy"))
    assert ours.in_channels == 4


@pytest.mark.parametrize(
    "kwargs",
    [
        {"padding": "same", "dilation": 2},
        {"padding": "valid", "bias": False},
        {"padding": 2, "padding_mode": "circular"},
        {"padding": 2, "padding_mode": "reflect", "stride": 2},
        {"padding": 1, "padding_mode": "replicate", "groups": 4},
        {"stride": 3, "dtype": torch.float64},
        {"device": "meta"},
    ],
    ids=str,
)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_convolutions_take_torchs_arguments(rank, kwargs):
    ours, theirs = (getattr(library, f"Conv{rank}d")(4, 8, 3, **kwargs) for library in (convlayers, nn))
    assert repr(ours) == repr(theirs)
    x = torch.randn(2, 4, *[7] * rank, dtype=kwargs.get("dtype"), device=kwargs.get("device"))
    theirs.load_state_dict(ours.state_dict(), assign=kwargs.get("device") == "meta")
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)
    for name in ("padding", "padding_mode", "stride", "dilation", "groups", "kernel_size", "output_padding"):
        mine, its = getattr(ours, name), getattr(theirs, name)
        assert mine == its, f"{name} is {mine}, not {its}"


def test_a_picture_of_three_channels_through_ten_filters():
    layer = convlayers.Conv2d(3, 10, 5, stride=1, padding="same")
    assert layer(torch.randn(1, 3, 32, 32)).shape == (1, 10, 32, 32)
    assert layer(torch.randn(3, 32, 32)).shape == (10, 32, 32)
    assert sum(p.numel() for p in layer.parameters()) == (5 * 5 * 3 + 1) * 10 == 760


# --- what modules can do ----------------------------------------------------------------------------------------------


@every_layer
def test_it_can_be_copied_and_pickled(case):
    layer = case.build().eval()
    untouched = pickle.loads(pickle.dumps(layer))  # a lazy one before it knows its channels
    expected = seeded(layer, *case.inputs())
    buffer = io.BytesIO()
    torch.save(layer, buffer)
    buffer.seek(0)
    copies = (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), torch.load(buffer, weights_only=False))
    for other in copies:
        assert type(other) is type(layer)
        assert repr(other) == repr(layer)
        assert torch.equal(seeded(other, *case.inputs()), expected)
    assert seeded(untouched, *case.inputs()).shape == expected.shape


@every_layer
def test_weights_are_stored_and_loaded(case):
    layer, other = case.build().eval(), case.build().eval()
    expected = seeded(layer, *case.inputs())
    seeded(other, *case.inputs())
    for p in other.parameters():
        nn.init.constant_(p, 7.0)
    buffer = io.BytesIO()
    torch.save(layer.state_dict(), buffer)
    buffer.seek(0)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    assert torch.equal(seeded(other, *case.inputs()), expected)


@every_layer
def test_it_prints_what_it_is(case):
    layer = case.build()
    _, kwargs = FAMILIES[case.family]
    text = repr(layer)
    assert text.startswith(f"{case.name}(")
    for name in ("padding_mode", "gate", "activation"):
        value = kwargs.get(name)
        if isinstance(value, str):
            assert f"{name}={value}" in text
        elif value is not None:
            assert repr(value) in text


@every_layer
def test_it_changes_dtype(case):
    layer = case.build().eval()
    expected = seeded(layer, *case.inputs())
    # Fractional pooling draws its samples in the input's dtype: other windows in another one.
    if case.family != "FractionalMaxPool":
        double = seeded(copy.deepcopy(layer).double(), *case.inputs(torch.float64))
        assert double.dtype == torch.float64
        torch.testing.assert_close(double.float(), expected, rtol=1e-4, atol=1e-5)
    half = copy.deepcopy(layer).bfloat16()
    if case.name in ("AvgPool3d", "LPPool3d"):  # torch has no such kernel, and says so
        with pytest.raises(NotImplementedError, match=r"avg_pool3d.*BFloat16"):
            seeded(half, *case.inputs(torch.bfloat16))
        return
    result = seeded(half, *case.inputs(torch.bfloat16))
    assert result.dtype == torch.bfloat16
    assert result.shape == expected.shape


@every_layer
def test_it_knows_its_shape_on_the_meta_device(case):
    layer = case.build().eval()
    shape = seeded(layer, *case.inputs()).shape
    assert layer.to("meta")(*case.inputs(device="meta")).shape == shape


@pytest.mark.parametrize("case", [c for c in CASES if c.rank > 1], ids=str)
def test_channels_last(case):
    layer = case.build().eval()
    inputs = case.inputs()
    expected = seeded(layer, *inputs)
    last = layer.to(memory_format=FORMATS[case.rank])
    laid_out = [x.contiguous(memory_format=FORMATS[case.rank]) for x in inputs]
    actual = seeded(last, *laid_out)
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)
    if actual.dim() == case.rank + 2:
        assert actual.is_contiguous(memory_format=FORMATS[case.rank])


@every_layer
def test_training_reaches_the_input_and_every_parameter(case):
    layer = case.build()
    inputs = case.inputs()
    inputs[0].requires_grad_()
    result = seeded(layer, *inputs)
    (result * torch.randn(result.shape)).sum().backward()
    for name, p in [("input", inputs[0]), *layer.named_parameters()]:
        assert p.grad is not None, name
        assert p.grad.shape == p.shape, name
        assert bool(p.grad.abs().sum() > 0), name
