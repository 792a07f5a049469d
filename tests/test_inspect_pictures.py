"""Pictures of what a network has learned, from signals, pictures and volumes; and that the model stays as it was."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn

import convlayers
from convlayers.inspect import (
    activation_maximisation,
    activations,
    class_activation_map,
    feature_maps,
    filters,
    occlusion,
)
from convlayers.inspect.class_activation import grad_cam
from convlayers.inspect.maximise import maximised
from convlayers.inspect.occlude import occluded


def network(rank: int, channels: int = 1) -> nn.Sequential:
    conv, pool = getattr(nn, f"Conv{rank}d"), getattr(nn, f"AdaptiveAvgPool{rank}d")
    norm = getattr(nn, f"BatchNorm{rank}d")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            conv(channels, 6, 3, padding=1), norm(6), nn.ReLU(inplace=True), conv(6, 4, 3, stride=2, padding=1),
            nn.ReLU(), pool(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(4, 3),
        )  # fmt: skip


SIZES = {1: (1, 64), 2: (1, 24, 20), 3: (1, 8, 12, 12)}


def all_pictures(rank: int) -> dict[str, Any]:
    model, x = network(rank), torch.rand(SIZES[rank], generator=torch.Generator().manual_seed(1))
    return {
        "filters": filters(model),
        "filters of 3": filters(model, "3", limit=2),
        "feature maps": feature_maps(model, x),
        "maximisation": activation_maximisation(model, "3", 1, SIZES[rank], steps=3),
        "occlusion": occlusion(model, x.unsqueeze(0), window=4),
        "class activation": class_activation_map(model, x, 2),
    }


@pytest.mark.parametrize("rank", [2, 3])
def test_pictures(rank):
    for name, picture in all_pictures(rank).items():
        assert isinstance(picture, Image.Image), name
        assert len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 10, name


def test_signals_are_lines():
    for name, figure in all_pictures(1).items():
        assert isinstance(figure, Figure), name
        figure.draw_without_rendering()
        assert all(len(line.get_xdata()) > 2 for axis in figure.axes for line in axis.lines), name
    assert len(filters(network(1)).axes) == 6


def test_filters_are_the_weights():
    layer = nn.Conv2d(1, 2, 1, bias=False)
    layer.weight.data = torch.tensor([1.0, -0.5]).view(2, 1, 1, 1)
    pixels = np.asarray(filters(layer, tile=8))
    assert pixels[6, 6].tolist() == [178, 24, 43]  # the largest weight: full red
    assert pixels[6, 18].tolist() == [140, 174, 210]  # half of it below 0: half way to blue
    three = nn.Conv2d(3, 1, 1, bias=False)
    three.weight.data = torch.tensor([1.0, 0.0, -1.0]).view(1, 3, 1, 1)
    assert np.asarray(filters(three, tile=8))[6, 6].tolist() == [255, 128, 0]
    transposed = nn.ConvTranspose2d(1, 5, 3)
    assert filters(transposed, tile=9).size == (5 * 13 + 4, 17)


def test_activations_are_the_models():
    model = network(2).train()
    x = torch.rand(2, *SIZES[2])
    found = activations(model, x, ["0", "1", "2", "8"])
    model.eval()
    with torch.no_grad():
        a = model[0](x)
        b = model[1](a)
        assert torch.equal(found["0"], a)
        assert torch.equal(found["1"], b)  # as it was before ReLU worked in place
        assert torch.equal(found["2"], b.relu())
        assert torch.equal(found["8"], model(x))


def test_maximisation_finds_what_the_channel_answers_to():
    model = network(2)
    start, end = (maximised(model, "0", 2, (1, 24, 24), steps=steps) for steps in (1, 64))
    answers = [activations(model, one[None], ["0"])["0"][0, 2].mean() for one in (start, end)]
    assert answers[1] > answers[0]
    again = maximised(model, "0", 2, (1, 24, 24), steps=64)
    assert torch.equal(end, again)


class Corner(nn.Module):
    """Its class 1 is how bright the upper left quarter is."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1)
        self.conv.weight.data.fill_(1)
        self.conv.bias.data.zero_()

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        score = y[:, :, : y.shape[2] // 2, : y.shape[3] // 2].mean((1, 2, 3))
        return torch.stack([-score, score], 1)


def test_occlusion_and_class_activation_find_the_place():
    x = torch.zeros(1, 1, 16, 16)
    x[:, :, :8, :8] = 1
    drop = occluded(Corner(), x, 1, window=4)
    assert (drop[:8, :8] > 0).all()
    assert drop[12:, 12:].abs().max() == 0
    # Every window lies wholly in the quarter: it takes away 16 of its 64 pixels, down to the mean.
    assert drop[2, 2] == pytest.approx((1 - 0.25) * 16 / 64, rel=1e-5)
    found = grad_cam(Corner(), x, 1, "conv")
    assert (found[:8, :8] > 0).all()
    assert found[8:, 8:].abs().max() == 0


def test_grad_cam_by_its_definition():
    model, x = network(2).eval(), torch.rand(1, *SIZES[2])
    maps = model[:4](x)
    maps.retain_grad()
    model[4:](maps)[0, 1].backward()
    weights = maps.grad.mean((2, 3), keepdim=True)
    expected = (weights * maps).sum(1, keepdim=True).relu()
    expected = nn.functional.interpolate(expected, x.shape[2:], mode="bilinear")[0, 0].detach()
    torch.testing.assert_close(grad_cam(model, x, 1, "3"), expected)


def test_the_model_is_as_before():
    model = network(2).train()
    model[3].weight.requires_grad_(False)
    modes, asked = [m.training for m in model.modules()], [p.requires_grad for p in model.parameters()]
    state = {name: t.clone() for name, t in model.state_dict().items()}
    x, random_state = torch.rand(SIZES[2]), torch.get_rng_state()
    filters(model), feature_maps(model, x), occlusion(model, x), class_activation_map(model, x)
    activation_maximisation(model, "3", 0, SIZES[2], steps=2)
    assert [m.training for m in model.modules()] == modes
    assert [p.requires_grad for p in model.parameters()] == asked
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(t, state[name]) for name, t in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in model.modules())
    assert not x.requires_grad


def test_ours():
    model = nn.Sequential(convlayers.ConvBlock2d(3, 8, 3, pool="global_avg"), nn.Flatten(), nn.Linear(8, 2))
    x = torch.rand(3, 16, 16)
    assert filters(model).size == (8 * 64 + 4, 68)
    assert feature_maps(model, x).size[0] > 100
    assert math.isfinite(np.asarray(class_activation_map(model, x)).mean())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x: filters(nn.Linear(2, 2)), "must have a convolution; received Linear, which has Linear"),
        (lambda m, x: filters(m, "conv9"), "layer must be one of 0, 1, 2, .*; received 'conv9'"),
        (lambda m, x: filters(m, "1"), "layer must be a convolution, one of 0, 3; received '1'"),
        (lambda m, x: feature_maps(m, x, ["nothing"]), "layer must be one of 0, 1, 2"),
        (lambda m, x: feature_maps(m, torch.rand(2, *SIZES[2])), r"one input of 3 axes.*received \(2, 1, 24, 20\)"),
        (lambda m, x: activation_maximisation(m, "3", 4, SIZES[2]), "channel must be one of 0 to 3 in '3'; received 4"),
        (lambda m, x: occlusion(m, x, 3), "target must be one of 0 to 2; received 3"),
        (lambda m, x: class_activation_map(m, x, layer="head"), "layer must be one of .*; received 'head'"),
        (lambda m, x: occlusion(m[:4], x), r"must give scores \(batch, classes\); Sequential gives \(1, 4, 12, 10\)"),
    ],
)  # fmt: skip
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call(network(2), torch.rand(SIZES[2]))
