"""Batches of samples of different sizes, and partial convolutions: what is not there has no influence."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import convlayers

NAN = float("nan")
CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
RANKS = pytest.mark.parametrize("rank", [1, 2, 3])


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


# --- samples of different sizes ---------------------------------------------------------------------------------------

FRAME = (10, 9, 8)
SIZES = [(10, 9, 8), (7, 6, 8), (4, 9, 5)]  # of the samples; the last is the smallest that all layers below can take


def batch(rank: int) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Samples in the corner of a frame that is NaN elsewhere, where they are, and the samples alone."""
    x = torch.full((3, 4, *FRAME[:rank]), NAN)
    mask = torch.zeros((3, *FRAME[:rank]), dtype=torch.bool)
    alone = []
    for i, size in enumerate(SIZES):
        corner = tuple(slice(n) for n in size[:rank])
        alone.append(torch.randn(4, *size[:rank], generator=torch.Generator().manual_seed(i)))
        x[(i, slice(None), *corner)] = alone[-1]
        mask[(i, *corner)] = True
    return x, mask, alone


MASKED = [
    ("Conv", (4, 5, 3), {}),
    ("Conv", (4, 5, 3), {"padding": "same", "activation": "sigmoid"}),
    ("Conv", (4, 6, 3), {"padding": 2, "stride": 2, "groups": 2}),
    ("Conv", (4, 5, 2), {"padding": "causal", "dilation": 2, "padding_mode": "constant", "padding_value": 1.5}),
    ("DepthwiseConv", (4, 3), {"padding": 1, "multiplier": 2}),
    ("SeparableConv", (4, 5, 3), {"padding": 1, "stride": 2, "activation": "softplus"}),
    ("GatedConv", (4, 6, 3), {"padding": "same", "activation": "tanh", "gate": "softplus", "groups": 2}),
    ("StandardizedConv", (4, 5, 3), {"padding": "full"}),
]


@RANKS
@pytest.mark.parametrize(("family", "args", "kwargs"), MASKED, ids=str)
def test_every_sample_gives_what_it_gives_alone(rank, family, args, kwargs):
    layer = getattr(convlayers, f"{family}{rank}d")(*args, **kwargs)
    x, mask, alone = batch(rank)
    result, real = layer(x, mask), layer.output_mask(mask)
    assert real.shape == (3, *result.shape[2:])
    for i, sample in enumerate(alone):
        expected = layer(sample)
        corner = tuple(slice(n) for n in expected.shape[1:])
        close(result[(i, slice(None), *corner)], expected)
        assert int(real[i].sum()) == expected[0].numel()
        assert bool(real[(i, *corner)].all())
    assert bool((result.masked_select(~real.unsqueeze(1)) == 0).all())
    # The mask may have an axis for the channels; a sample need not have one for the batch.
    assert torch.equal(layer(x, mask.unsqueeze(1)), result)
    close(layer(x[1], mask[1]), result[1])


@RANKS
def test_what_is_outside_gets_no_gradient(rank):
    layer = getattr(convlayers, f"Conv{rank}d")(4, 5, 3, padding="same")
    x, mask, _ = batch(rank)
    x.requires_grad_()
    layer(x, mask).sum().backward()
    assert bool((x.grad.movedim(1, -1)[~mask] == 0).all())
    assert bool((x.grad.movedim(1, -1)[mask] != 0).any())
    assert not bool(layer.weight.grad.isnan().any())


# --- partial convolution ----------------------------------------------------------------------------------------------


def holes(rank: int, channels: int) -> Tensor:
    mask = (torch.rand(2, channels, *[7] * rank, generator=torch.Generator().manual_seed(rank)) < 0.4).float()
    mask[1, :, :5] = 0  # so large that some windows see nothing
    return mask


@RANKS
@pytest.mark.parametrize("channels", [1, 4], ids=["one mask", "a mask for every channel"])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "mode"), [(1, 1, 1, "zeros"), (2, 0, 2, "zeros"), (1, 2, 1, "replicate")]
)
def test_partial_convolution(rank, channels, groups, stride, padding, dilation, mode):
    """Liu 2018, equations 1 and 2: W'(X * M) sum(1) / sum(M) + b where sum(M) > 0, else 0; the mask follows."""
    layer = getattr(convlayers, f"PartialConv{rank}d")(4, 6, 3, stride, padding, dilation, groups, True, mode)
    x, mask = torch.randn(2, 4, *[7] * rank), holes(rank, channels)
    amounts, border = [padding] * 2 * rank, "constant" if mode == "zeros" else mode
    there = mask.expand_as(x)
    product, present = F.pad(x * there, amounts, mode=border), F.pad(there, amounts, mode=border)
    raw = CONV[rank](product, layer.weight, None, stride, 0, dilation, groups)
    count = CONV[rank](present, torch.ones_like(layer.weight), None, stride, 0, dilation, groups)
    window = layer.weight[0].numel()
    expected = torch.where(count > 0, raw * (window / count) + layer.bias.view(-1, *[1] * rank), 0)

    poisoned = x.masked_fill(there == 0, NAN)
    result, seen = layer(poisoned, mask)
    close(result, expected)
    assert seen.shape == (2, 1 if channels == 1 else 6, *result.shape[2:])
    assert torch.equal(seen.expand_as(count), (count > 0).float())
    assert bool((count == 0).any())
    assert bool((count > 0).any())

    single, single_seen = layer(poisoned[1], mask[1])
    close(single, result[1])
    assert torch.equal(single_seen, seen[1])
    if channels == 1:
        without_channels, _ = layer(poisoned, mask[:, 0] > 0)
        close(without_channels, result)
        assert torch.equal(layer.output_mask(mask[:, 0]), seen[:, 0] > 0)


@RANKS
def test_partial_convolution_of_all_that_is_there(rank):
    layer = getattr(convlayers, f"PartialConv{rank}d")(4, 6, 3, activation="tanh")
    convolution = getattr(nn, f"Conv{rank}d")(4, 6, 3)
    convolution.load_state_dict(layer.state_dict())
    x = torch.randn(2, 4, *[7] * rank)
    close(layer(x), convolution(x).tanh())
    result, seen = layer(x, torch.ones_like(x))
    close(result, convolution(x).tanh())
    assert bool((seen == 1).all())


def test_partial_padding_counts_as_missing():
    """Liu 2018, Partial convolution based padding: at a border of zeros the mean is that of what is inside."""
    layer = convlayers.PartialConv2d(1, 1, 3, padding=1, bias=False)
    x = torch.randn(1, 1, 5, 5)
    inside = F.conv2d(torch.ones_like(x), torch.ones(1, 1, 3, 3), padding=1)
    close(layer(x), F.conv2d(x, layer.weight, padding=1) * 9 / inside)
