"""What is refused, in whose words: the argument, the rule, what was received, and the way out where there is one.

test_crashes.py has the functions and torch's layers, test_pool_errors.py the poolings; here are the layers that torch
lacks, what only a whole call can know, and that a layer says what its function says.
"""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn as nn

import convlayers
from convlayers import functional as F
from convlayers.errors import ArgumentError, ArgumentTypeError

X2 = torch.zeros(1, 4, 8, 8)
W2 = torch.zeros(4, 4, 3, 3)
MASK = torch.ones(1, 8, 8, dtype=torch.bool)
HUGE = 2**62

conv, up, lazy = convlayers.Conv2d, convlayers.ConvTranspose2d, convlayers.LazyConv2d
depthwise, separable, block = convlayers.DepthwiseConv2d, convlayers.SeparableConv2d, convlayers.ConvBlock2d
gated, local, shared = convlayers.GatedConv2d, convlayers.LocallyConnected2d, convlayers.PartialConv2d
blur, standardised = convlayers.BlurPool2d, convlayers.StandardizedConv2d

VALUES = [
    # --- a layer is refused when it is built
    ("out_channels must be at least 1; received 0", partial(lazy, 0, 3)),
    ("groups must divide out_channels; received out_channels=4 and groups=3", partial(lazy, 4, 3, groups=3)),
    ("kernel_size must be at least 1; received 0", partial(lazy, 4, 0)),
    ("stride must be at least 1; received 0", partial(lazy, 4, 3, stride=0)),
    ("dilation must be at least 1; received -1", partial(lazy, 4, 3, dilation=-1)),
    (
        "output_padding must be at least 0; received -1",
        partial(convlayers.LazyConvTranspose2d, 4, 3, output_padding=-1),
    ),
    ("padding must be an amount or one of valid, same, .*; received 'sane'", partial(lazy, 4, 3, padding="sane")),
    ("in_channels must be at least 1; received 0", partial(depthwise, 0, 3)),
    ("multiplier must be at least 1; received 0", partial(depthwise, 4, 3, multiplier=0)),
    ("kernel_size must be one integer or 2, one a spatial axis; received", partial(depthwise, 4, (3, 3, 3))),
    ("in_channels must be at least 1; received 0", partial(separable, 0, 4, 3)),
    ("out_channels must be at least 1; received -2", partial(separable, 4, -2, 3)),
    ("^depth_multiplier must be at least 1; received 0", partial(separable, 4, 4, 3, depth_multiplier=0)),
    ("activation must be one of elu, .*; received 'relux'", partial(separable, 4, 4, 3, activation="relux")),
    ("groups must divide out_channels; received out_channels=5 and groups=2", partial(gated, 4, 5, 3, groups=2)),
    ("^gate must be one of elu, .*; received 'sigmoidal'", partial(gated, 4, 4, 3, gate="sigmoidal")),
    ("padding_mode must be one of zeros, .*; received 'mirror'", partial(gated, 4, 4, 3, padding_mode="mirror")),
    ("out_channels must be at least 1; received 0", partial(block, 4, 0, 3)),
    ("norm must be one of batch, group, .*; received 'bach'", partial(block, 4, 4, 3, norm="bach")),
    ("pool must be one of max, avg, .*; received 'mean'", partial(block, 4, 4, 3, pool="mean")),
    ("pool_size must be at least 1; received 0", partial(block, 4, 4, 3, pool="max", pool_size=0)),
    ("dropout must lie between 0 and 1; received 1.5", partial(block, 4, 4, 3, dropout=1.5)),
    ("dropout must lie between 0 and 1; received nan", partial(block, 4, 4, 3, dropout=float("nan"))),
    ("activation must be one of elu, .*; received 'relux'", partial(block, 4, 4, 3, activation="relux")),
    ("kernel_size must not exceed the padded input: 7 taps .*; received an axis of 6", partial(local, 4, 4, 6, 7)),
    ("input_size must be at least 1; received 0", partial(local, 4, 4, 0, 3)),
    ("in_channels must be at least 1; received 0", partial(local, 0, 4, 6, 3)),
    ("sizes must fit 64 bits; received an axis of 6", partial(local, 4, 4, 6, 3, dilation=HUGE)),
    (
        "padding must be smaller than the input where .* 'reflect'",
        partial(local, 4, 4, 6, 3, 1, 6, padding_mode="reflect"),
    ),
    (
        "padding_value must be 0 unless padding_mode is 'constant'; received 1.0",
        partial(conv, 4, 4, 3, padding_value=1.0),
    ),
    ("eps must be greater than 0; received 0", partial(standardised, 4, 4, 3, eps=0)),
    ("groups must divide in_channels; received in_channels=4 and groups=3", partial(shared, 4, 6, 3, groups=3)),
    # --- a call is refused
    (
        r"input must have 4 channels, .* received input of shape \(1, 5, 8, 8\), which has 5$",
        lambda: conv(4, 4, 3)(torch.zeros(1, 5, 8, 8)),
    ),
    (
        r"as weight of shape \(4, 2, 3, 3\) with groups=2 expects",
        lambda: conv(4, 4, 3, groups=2)(torch.zeros(1, 5, 8, 8)),
    ),
    (
        "groups must divide in_channels; received in_channels=6 and groups=4",
        lambda: lazy(4, 3, groups=4)(torch.zeros(1, 6, 5, 5)),
    ),
    (
        r"input must have 4 dimensions \(batch, channels, height, width\) or 3 without the batch; received shape",
        lambda: lazy(4, 3)(X2[0, 0]),
    ),
    ("input must have 4 dimensions", lambda: shared(4, 4, 3)(X2[0, 0])),
    ("input must have 4 dimensions", lambda: local(4, 4, 8, 3)(X2[0, 0])),
    (
        r"the spatial size \(6, 6\) that the layer was built for; received shape \(1, 4, 8, 8\)",
        lambda: local(4, 4, 6, 3)(X2),
    ),
    ("sizes must fit 64 bits; received an axis of 8", lambda: conv(4, 4, 3, dilation=HUGE)(X2)),
    ("sizes must fit 64 bits; received an axis of 16", lambda: up(4, 4, 3, 2, dilation=HUGE)(X2)),
    (
        r"kernel_size must not exceed the padded input: 9 taps 1 apart reach 9 elements; received an axis of 8",
        lambda: conv(4, 4, 9)(X2),
    ),
    (
        r"'reflect'; received 8 \+ 8 on an axis of 8. Use 'replicate', or pad less",
        lambda: conv(4, 4, 3, padding=8, padding_mode="reflect")(X2),
    ),
    (
        "output_padding must be smaller than stride or dilation; received 2 with .*. Pass output_size",
        lambda: up(4, 4, 3, 2, output_padding=2)(X2),
    ),
    (
        "output_size must have 2 elements, or 4 with the batch and channels; received",
        lambda: up(4, 4, 3)(X2, (1, 2, 3)),
    ),
    ("input and weight must be on the same device; received meta and cpu", lambda: conv(4, 4, 3)(X2.to("meta"))),
    (
        "input and bias must be on the same device; received cpu and meta",
        lambda: F.conv2d(X2, W2, torch.zeros(4, device="meta")),
    ),
    (
        "input and weight must be on the same device; received cpu and meta",
        lambda: local(4, 4, 8, 3, device="meta")(X2),
    ),
    (
        r"mask must have the input's shape without its channels, \(1, 8, 8\); received shape \(1, 8, 7\)",
        lambda: conv(4, 4, 3)(X2, MASK[..., 1:]),
    ),
    (
        "mask needs one constant beyond the border .*; received padding_mode='reflect'. Use 'zeros'",
        lambda: conv(4, 4, 3, padding=1, padding_mode="reflect")(X2, MASK),
    ),
    (
        "mask must have the input's shape, with all, one or no channels; received shape",
        lambda: shared(4, 4, 3)(X2, MASK[..., 1:]),
    ),
    (
        "padding must be smaller than the input where padding_mode is 'reflect'",
        lambda: blur(9, padding="full")(torch.zeros(1, 1, 3, 3)),
    ),
    ("padding_mode must be one of zeros, .*; received 'mirror'", lambda: blur(3, padding_mode="mirror")(X2)),
    ("kernel_size must be at least 1; received 0", lambda: blur(0)(X2)),
    ("stride must be at least 1; received 0", lambda: blur(3, 0)(X2)),
    # Refused before a filter of this size is computed.
    (r"'reflect'; received 499999 \+ 500000 on an axis of 8", lambda: blur(10**6)(X2)),
    ("kernel_size must not exceed the padded input", lambda: blur(2**40, padding=1)(X2)),
]

TYPES = [
    ("multiplier must be an integer; received 1.5", partial(depthwise, 4, 3, multiplier=1.5)),
    ("gate must be a name, a module or a callable; received int", partial(gated, 4, 4, 3, gate=3)),
    ("activation must be a name, a module or a callable; received list", lambda: F.conv2d(X2, W2, activation=[])),
    ("norm must be a name, a module or None; received int", partial(block, 4, 4, 3, norm=3)),
    ("pool must be a name, a module or None; received int", partial(block, 4, 4, 3, pool=2)),
    ("pool_size must be an integer; received '2'", partial(block, 4, 4, 3, pool="max", pool_size="2")),
    ("dropout must be a number; received 'half'", partial(block, 4, 4, 3, dropout="half")),
    ("eps must be a number; received '1'", partial(standardised, 4, 4, 3, eps="1")),
    ("input must be a tensor; received list", lambda: lazy(4, 3)([1.0])),
    ("input must be a tensor; received list", lambda: shared(4, 4, 3)([1.0])),
    ("input must be a tensor; received list", lambda: local(4, 4, 8, 3)([1.0])),
    ("input must be a tensor; received list", lambda: up(4, 4, 3)([1.0], (10, 10))),
    ("mask must be a tensor; received list", lambda: shared(4, 4, 3)(X2, [1])),
    ("mask must be a tensor; received list", lambda: shared(4, 4, 3).output_mask([1])),
    ("mask must be a boolean tensor, True where there is data; received list", lambda: conv(4, 4, 3).output_mask([1])),
    ("mask must be a boolean tensor, .*; received torch.float32", lambda: conv(4, 4, 3)(X2, MASK.float())),
    ("output_size must be a tuple; received 5", lambda: up(4, 4, 3)(X2, 5)),
    ("output_size must be an integer; received 10.0", lambda: up(4, 4, 3)(X2, (10.0, 10.0))),
    (
        "same dtype; received torch.float64 and torch.float32. Convert one, such as input.to",
        lambda: conv(4, 4, 3)(X2.double()),
    ),
    (
        "input and weight should be the same dtype; received torch.float64 and torch.float32",
        lambda: local(4, 4, 8, 3)(X2.double()),
    ),
    (
        "input and bias should be the same dtype; received torch.float32 and torch.float64",
        lambda: F.conv2d(X2, W2, torch.zeros(4).double()),
    ),
    ("kernel_size must be an integer; received 2.0", lambda: blur(2.0)(X2)),
]


@pytest.mark.parametrize(("message", "call"), VALUES, ids=[message[:60] for message, _ in VALUES])
def test_values_are_refused(message, call):
    with pytest.raises(ArgumentError, match=message):
        call()


@pytest.mark.parametrize(("message", "call"), TYPES, ids=[message[:60] for message, _ in TYPES])
def test_types_are_refused(message, call):
    with pytest.raises(ArgumentTypeError, match=message):
        call()


def test_the_errors_are_those_of_python_and_of_torch():
    assert issubclass(ArgumentError, ValueError)
    assert issubclass(ArgumentError, RuntimeError)
    assert issubclass(ArgumentTypeError, TypeError)
    assert issubclass(ArgumentTypeError, RuntimeError)


# --- channels-last data -----------------------------------------------------------------------------------------------

BUILT = {
    "Conv": lambda rank: getattr(convlayers, f"Conv{rank}d")(3, 4, 3),
    "ConvTranspose": lambda rank: getattr(convlayers, f"ConvTranspose{rank}d")(3, 4, 3),
    "DepthwiseConv": lambda rank: getattr(convlayers, f"DepthwiseConv{rank}d")(3, 3),
    "SeparableConv": lambda rank: getattr(convlayers, f"SeparableConv{rank}d")(3, 4, 3),
    "GatedConv": lambda rank: getattr(convlayers, f"GatedConv{rank}d")(3, 4, 3),
    "ConvBlock": lambda rank: getattr(convlayers, f"ConvBlock{rank}d")(3, 4, 3),
    "PartialConv": lambda rank: getattr(convlayers, f"PartialConv{rank}d")(3, 4, 3),
    "StandardizedConv": lambda rank: getattr(convlayers, f"StandardizedConv{rank}d")(3, 4, 3),
}


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("family", BUILT)
def test_channels_last_data_is_told_how_to_turn(family, rank):
    layer = BUILT[family](rank)
    x = torch.randn(2, *[8] * rank, 3)
    order = {1: "0, 2, 1", 2: "0, 3, 1, 2", 3: "0, 4, 1, 2, 3"}[rank]
    advice = f"This looks like channels-last data: use x.permute({order})"
    with pytest.raises(ArgumentError) as caught:
        layer(x)
    message = str(caught.value)
    assert message.endswith(advice)
    assert f"received input of shape {tuple(x.shape)}" in message
    assert layer(eval(advice.rpartition("use ")[2])).shape[0] == 2  # The advice works.


def test_an_image_without_a_batch_is_told_so_as_well():
    x = torch.randn(8, 9, 3)
    with pytest.raises(ArgumentError, match=r"looks like channels-last data: use x.permute\(2, 0, 1\)$"):
        conv(3, 4, 3)(x)
    assert conv(3, 4, 3)(x.permute(2, 0, 1)).shape == (4, 6, 7)


# --- layer and function alike -----------------------------------------------------------------------------------------

BAD = [
    {"stride": 0}, {"stride": -1}, {"stride": 1.5}, {"stride": (1, 1, 1, 1)}, {"dilation": 0}, {"dilation": "1"},
    {"dilation": HUGE}, {"groups": 0}, {"groups": 3}, {"groups": 1.0}, {"padding": "sane"}, {"padding": 0.5},
    {"padding": ((1, 2, 3),) * 2}, {"padding": 9, "padding_mode": "reflect"}, {"padding_mode": "mirror"},
    {"padding_mode": 3}, {"padding_value": 2.0}, {"padding_value": "0"}, {"activation": "relux"}, {"activation": 3},
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD, ids=str)
@pytest.mark.parametrize("name", ["conv2d", "conv_transpose2d"])
def test_a_layer_says_what_its_function_says(name, bad):
    layer = {"conv2d": conv, "conv_transpose2d": up}[name]
    said = []
    for call in (lambda: getattr(F, name)(X2, W2, **bad), lambda: layer(4, 4, 3, **bad)(X2)):
        with pytest.raises((ArgumentError, ArgumentTypeError)) as caught:
            call()
        said.append((caught.type, str(caught.value)))
    if "groups" in bad:  # The layer speaks of channels where the function sees a weight.
        assert said[0][0] is said[1][0]
        assert all("groups" in message and "received" in message for _, message in said)
    else:
        assert said[0] == said[1]


def test_nothing_is_left_behind_by_a_refusal():
    """A refused first input leaves a lazy layer lazy, and a good one is taken afterwards."""
    layer = lazy(4, 3, groups=4)
    with pytest.raises(ArgumentError):
        layer(torch.zeros(1, 6, 5, 5))
    assert isinstance(layer.weight, nn.parameter.UninitializedParameter)
    assert layer(torch.zeros(1, 8, 5, 5)).shape == (1, 4, 3, 3)
