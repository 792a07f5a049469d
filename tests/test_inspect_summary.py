"""What layers cost: against torch.utils.flop_counter, torchinfo, autograd's own counts and tables computed by hand."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchinfo
from networks import Causal
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.utils.flop_counter import FlopCounterMode
from whole_networks import WaveNet, googlenet, mobilenet_v2, r2plus1d_18, resnet18, unet

import convlayers
from convlayers import models
from convlayers.inspect import Summary, summary
from convlayers.inspect.table import text

WHOLE: dict[str, tuple[nn.Module, tuple[int, ...]]] = {}
with torch.device("meta"):
    WHOLE["resnet18"] = resnet18(), (3, 224, 224)
    WHOLE["mobilenet_v2"] = mobilenet_v2(), (3, 224, 224)
    WHOLE["unet"] = unet(), (1, 572, 572)
    WHOLE["googlenet"] = googlenet(), (3, 224, 224)
    WHOLE["wavenet"] = WaveNet(), (256, 16000)
    WHOLE["r2plus1d"] = r2plus1d_18(), (3, 16, 112, 112)


@pytest.fixture(scope="module", params=WHOLE)
def whole(request: Any) -> tuple[str, nn.Module, tuple[int, ...], Summary]:
    model, size = WHOLE[request.param]
    return request.param, model, size, summary(model, size)


def layers(found: Summary, model: nn.Module) -> dict[str, Any]:
    """Rows of modules without modules of their own, at their first call."""
    leaves = {name for name, module in model.named_modules() if not list(module.children())}
    return {row.name: row for row in found.rows if row.name in leaves}


def test_flops_are_flop_counters(whole):
    _, model, size, found = whole
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(torch.empty(1, *size, device="meta"))
    assert found.total.flops == counter.get_total_flops()
    by_module = {name: sum(counts.values()) for name, counts in counter.get_flop_counts().items()}
    compared = 0
    for row in found.rows:
        key = f"{type(model).__name__}.{row.name}"
        if (
            key in by_module
            and row.flops == 2 * row.macs
            and not any(r.name.startswith(f"{row.name}#") for r in found.rows)
        ):
            assert row.flops == by_module[key], row.name
            compared += row.flops > 0
    assert compared > 9


def test_shapes_parameters_and_products_are_torchinfos(whole):
    _, model, size, found = whole
    theirs = torchinfo.summary(
        model, input_data=torch.empty(1, *size, device="meta"), device="meta", verbose=0, depth=9
    )
    ours = layers(found, model)
    assert found.total.parameters == theirs.total_params
    assert found.trainable == theirs.trainable_params
    compared = 0
    for info in theirs.summary_list:
        row = ours.get(path_of(info))
        if row is None or not info.is_leaf_layer or info.is_recursive:
            continue
        assert list(row.output_shape) == list(info.output_size), row.name
        assert row.parameters == info.trainable_params
        bias = getattr(info.module, "bias", None)
        # torchinfo counts a bias as products, a transposed convolution by its output (4 times too much for U-Net's),
        # and nothing of classes that it does not know by name.
        if isinstance(info.module, _ConvNd | nn.Linear) and not isinstance(info.module, Causal | nn.ConvTranspose2d):
            extra = 0 if bias is None else math.prod(row.output_shape)
            assert row.macs == info.macs - extra, row.name
            compared += 1
    assert compared > 9


def path_of(info: Any) -> str:
    names = []
    while info.parent_info is not None:
        names.append(info.var_name)
        info = info.parent_info
    return ".".join(reversed(names))


def test_products_by_the_definition(whole):
    """Every weight is used once an output pixel; once an input pixel where transposed."""
    _, model, size, found = whole
    rows = layers(found, model)
    expected: dict[str, int] = {}

    def count(name: str, module: Any, x: Tensor, output: Tensor) -> None:
        pixels = (x if getattr(module, "transposed", False) else output).shape[2:]
        expected[name] = math.prod(module.weight.shape) * math.prod(pixels) * output.shape[0]

    handles = [
        module.register_forward_hook(lambda m, i, o, name=name: count(name, m, i[0], o))
        for name, module in model.named_modules()
        if isinstance(module, _ConvNd | nn.Linear)
    ]
    model.eval()(torch.empty(1, *size, device="meta"))
    for handle in handles:
        handle.remove()
    assert {name: rows[name].macs for name in expected} == expected
    assert sum(expected.values()) == found.total.macs


def test_published_totals():
    """11.7 million and 1.8 billion (He et al.); 3.5 million and 300 million (Sandler et al.); to the last one."""
    resnet, mobilenet = (summary(*WHOLE[name]).total for name in ("resnet18", "mobilenet_v2"))
    assert (resnet.parameters, resnet.macs) == (11_689_512, 1_814_073_344)
    assert (mobilenet.parameters, mobilenet.macs) == (3_504_872, 300_774_272)


def test_resnet18_by_hand():
    """He et al., table 1: each row is (kernel, channels, output), twice two a stage."""
    rows = {row.name: row for row in summary(*WHOLE["resnet18"]).rows}
    assert rows["conv1"].macs == 7 * 7 * 3 * 64 * 112 * 112
    for stage in range(1, 5):
        width, side = 64 << (stage - 1), 112 >> stage
        narrow = width if stage == 1 else width // 2
        assert rows[f"layer{stage}.0.conv1"].macs == 9 * narrow * width * side * side
        for layer in ("0.conv2", "1.conv1", "1.conv2"):
            assert rows[f"layer{stage}.{layer}"].macs == 9 * width * width * side * side
    assert rows["fc"].macs == 512 * 1000


def test_wavenet_by_hand():
    found, length = summary(*WHOLE["wavenet"]), 16000
    gate = 2 * 64 * 128 + 64 * 64 + 64 * 256
    assert found.total.macs == length * (2 * 256 * 64 + 10 * gate + 2 * 256 * 256)


def test_the_fully_connected_layer_instead():
    model = nn.Sequential(nn.Conv2d(3, 10, 5, padding=2))
    (row,) = summary(model, (3, 32, 32)).rows
    dense = nn.Linear(3 * 32 * 32, 10 * 32 * 32, device="meta")
    assert (row.parameters, row.dense_parameters) == (760, sum(p.numel() for p in dense.parameters()))
    assert summary(model, (3, 32, 32), batch_size=4).rows[0].dense_macs == 4 * math.prod(dense.weight.shape)


def test_memory():
    class Net(nn.Sequential):
        pass

    model = Net(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3, padding=1))
    found = summary(model, (3, 16, 16), batch_size=2)
    a, b, c = 2 * 3 * 256 * 4, 2 * 8 * 256 * 4, 2 * 4 * 256 * 4
    assert [row.inference_bytes for row in found.rows] == [b, b, c]
    assert found.total.inference_bytes == max(a + b, b + b, b + c)
    # Kept: the first's input; what ReLU gives, for itself and the second.
    assert [row.training_bytes for row in found.rows] == [a, b, 0]
    assert found.total.training_bytes == a + b
    weights = 4 * (3 * 8 * 9 + 8), 4 * (8 * 4 * 9 + 4)
    assert [row.bytes_moved for row in found.rows] == [a + weights[0] + b, b + b, b + weights[1] + c]


@pytest.mark.parametrize("model", [resnet18(16), models.build("digits", 3, 10)], ids=["torch", "ours"])
def test_training_memory_is_what_autograd_keeps(model):
    x, kept = torch.randn(2, 3, 32, 32), {}
    weights = {p.untyped_storage().data_ptr() for p in [*model.parameters(), *model.buffers()]}

    def pack(t: Tensor) -> Tensor:
        if t.untyped_storage().data_ptr() not in weights:
            kept[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes(), t
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        model.train()(x)
    found = summary(model, x)
    assert found.total.training_bytes == sum(size for size, _ in kept.values())


class Shared(nn.Module):
    """One convolution called twice, one as a function, a transposed one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.up = nn.Conv2d(4, 4, 3, padding=1), nn.ConvTranspose2d(4, 4, 2, 2)
        self.weight = nn.Parameter(torch.randn(4, 4, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.conv(self.conv(F.conv2d(x, self.weight, padding=1))))


def test_shared_functional_and_transposed():
    model = Shared()
    found = summary(model, (4, 8, 8))
    assert [row.name for row in found.rows] == ["conv2d", "conv", "conv#2", "up"]
    assert [row.parameters for row in found.rows] == [0, 148, 0, 68]
    assert [row.macs for row in found.rows] == [144 * 64, 144 * 64, 144 * 64, 64 * 64]
    assert [row.field.size[0] for row in found.rows] == [3, 5, 7, 7]
    assert found.total.parameters == sum(p.numel() for p in model.parameters())


def test_depth():
    model, size = resnet18(16), (3, 64, 64)
    everything, few = summary(model, size), summary(model, size, depth=1)
    assert [row.name for row in few.rows] == [name for name, _ in model.named_children()]
    assert sum(row.macs for row in few.rows) == sum(row.macs for row in everything.rows if row.leaf) == few.total.macs
    assert sum(row.parameters for row in few.rows) == few.total.parameters
    with pytest.raises(ValueError, match="depth must be at least 1; received 0"):
        summary(model, size, depth=0)


def test_predicted_times_are_those_of_which():
    layer, x = convlayers.Conv2d(32, 32, 3, padding=1), torch.zeros(1, 32, 28, 28)
    (choice,) = convlayers.which(layer, x)
    assert summary(nn.Sequential(layer), x).rows[0].seconds == choice.costs[choice.kernel]
    assert summary(nn.Sequential(layer, nn.ReLU()), x).rows[1].seconds is None


LITTLE, BORDER = "0 (Conv2d), the last feature, sees 3x3 of 64x64 (0.2 %)", "0 (Conv2d) reads border with 75 % of"


@pytest.mark.parametrize(
    ("model", "size", "words"),
    [
        (nn.Sequential(nn.Conv2d(3, 8, 3)), (3, 64, 64), [LITTLE]),
        (nn.Sequential(nn.Conv2d(3, 8, 3, padding=18, dilation=18)), (3, 24, 24), ["0 (Conv2d), the last", BORDER]),
        (
            nn.Sequential(nn.Conv2d(3, 64, 5, padding=2), nn.Conv2d(64, 4, 3), nn.Conv2d(4, 4, 30)),
            (3, 32, 32),
            [
                "1 (Conv2d), the last feature, sees 7x7",
                "0 (Conv2d) does 70 % of all multiplications",
                "2 has 67 % of all parameters",
            ],
        ),
        (nn.Sequential(nn.Conv2d(3, 8, 3), nn.MaxPool2d(4), nn.Conv2d(8, 8, 3)), (3, 18, 18), []),
    ],
    ids=["sees little", "wastes its border", "dominates", "nothing"],
)
def test_warnings(model, size, words):
    found = summary(model, size).warnings
    assert len(found) == len(words), found
    for sentence, start in zip(found, words, strict=True):
        assert sentence.startswith(start)


def test_border_reads_are_counted():
    """The share in the sentence, by brute force."""
    *_, sentence = summary(nn.Sequential(nn.Conv1d(1, 1, 5, 2, 8)), (1, 12)).warnings
    inside = [0 <= o * 2 - 8 + k < 12 for o in range(12) for k in range(5)]
    assert f"reads border with {100 * (1 - sum(inside) / len(inside)):.0f} %" in sentence


def test_json_and_text():
    found = summary(resnet18(16), (3, 64, 64))
    values = json.loads(found.to_json())
    assert values["total"]["macs"] == found.total.macs
    assert values["rows"][0]["field"] == {
        "size": [7, 7],
        "stride": [2, 2],
        "offset": [-3, -3],
        "share": 49 / 4096,
        "exact": True,
    }
    for width in (80, 100):
        shown = text(found, width)
        assert max(map(len, shown.splitlines())) <= width
        assert "layer4" in shown
        for column in ("params", "MACs", "FLOPs", "ms", "sees", "dense MACs"):
            assert column in shown
    assert str(found) == text(found, 100)


def test_the_model_is_as_before():
    model = mobilenet_v2(8).train()
    model[0].eval()
    modes = [module.training for module in model.modules()]
    state = {name: t.clone() for name, t in model.state_dict().items()}
    random_state = torch.get_rng_state()
    summary(model, (3, 32, 32))
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(t, state[name]) for name, t in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


class Deciding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) if x.sum() > 0 else x


@pytest.mark.parametrize(
    ("model", "size", "message"),
    [
        (nn.Sequential(nn.Linear(3, 3)), (3, 3), "must have a convolution; received Sequential, which has Linear"),
        (resnet18(16), (1, 64, 64), "it refuses 1x1x64x64 .* in layer 'conv1'"),
        (resnet18(16), "3x64x64", "input size must be integers"),
        (Deciding(), (3, 8, 8), "must not decide by the values of a tensor: Deciding is run on stand-ins"),
    ],
)
def test_refusals(model, size, message):
    with pytest.raises((ValueError, TypeError), match=message):
        summary(model, size)
