"""Winograd's algorithm: within its bound of float64 in all three directions, for every border; chosen where it pays."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import convlayers
import convlayers.functional as F
from convlayers.ops import select

#: Relative to the largest entry of a result, in float32's unit roundoff of 6e-8: some 80 of them.
BOUND = 5e-6


def results(
    function: Callable[..., Tensor], tensors: tuple[Tensor, ...], grad: Tensor, **options: object
) -> list[Tensor]:
    """The output and the gradients of all tensors."""
    leaves = [t.detach().clone().requires_grad_() for t in tensors]
    output = function(*leaves, **options)
    return [output.detach(), *torch.autograd.grad(output, leaves, grad)]


SHAPES = [
    # batch, in, out, size, kernel
    (2, 16, 64, (8, 8), (3, 3)),
    (3, 17, 70, (9, 13), (3, 3)),
    (2, 5, 3, (7, 5), (3, 3)),
    (1, 8, 8, (3, 3), (3, 3)),
    (4, 130, 200, (7, 7), (3, 3)),
    (1, 512, 512, (7, 7), (3, 3)),
    (2, 1800, 56, (7, 6), (3, 3)),
    (2, 18, 40, (5, 9, 9), (3, 3, 3)),
    (1, 8, 16, (7, 8, 8), (3, 3, 3)),
    (0, 8, 8, (8, 8), (3, 3)),
    (2, 17, 70, (9, 8), (5, 5)),
    (2, 300, 80, (14, 14), (5, 5)),
    (3, 17, 40, (37,), (3,)),
    (3, 17, 40, (37,), (5,)),
    (1, 400, 130, (33,), (5,)),
    (3, 17, 40, (37,), (7,)),
    (2, 9, 40, (6, 17), (1, 3)),
    (2, 9, 40, (17, 6), (3, 1)),
    (1, 384, 128, (17, 6), (7, 1)),
    (2, 9, 40, (6, 17), (4, 7)),
    (2, 9, 40, (9, 5, 4), (5, 1, 1)),
    (2, 9, 40, (9, 8, 7), (3, 2, 3)),
    (2, 9, 40, (9, 8), (2, 2)),
    (2, 9, 40, (9, 11), (5, 3)),
    (2, 9, 40, (9, 11), (4, 2)),
    (2, 9, 40, (21,), (4,)),
]
#: With a stride or a dilation, along all axes or along each; in groups.
STEPPED = [
    (2, 17, 70, (15, 14), (5, 5), {"stride": 2}),
    (2, 17, 40, (15, 14), (4, 4), {"stride": 2}),
    (2, 17, 40, (19, 18), (7, 8), {"stride": 2}),
    (2, 17, 40, (13, 23), (5, 10), {"stride": 2}),
    (2, 17, 40, (13, 23), (5, 3), {"stride": 2}),
    (1, 300, 130, (14, 14), (5, 5), {"stride": 2}),
    (2, 17, 40, (16, 16), (9, 6), {"stride": 3}),
    (2, 17, 40, (9, 14), (3, 5), {"stride": (1, 2)}),
    (2, 17, 40, (15, 13), (3, 3), {"dilation": 2}),
    (1, 17, 40, (15, 13), (3, 3), {"dilation": (3, 4)}),
    (2, 17, 40, (15, 13), (3, 3), {"dilation": 2, "stride": 2}),
    (1, 9, 40, (21, 21), (6, 6), {"dilation": 2, "stride": 3}),
    (2, 17, 40, (37,), (3,), {"dilation": 7}),
    (2, 17, 40, (37,), (10,), {"stride": 4}),
    (2, 9, 40, (6, 13, 12), (3, 5, 5), {"stride": (1, 2, 2)}),
    (2, 9, 40, (9, 8, 7), (3, 3, 3), {"dilation": (2, 1, 2)}),
    (2, 51, 120, (9, 13), (3, 3), {"groups": 3}),
    (3, 40, 24, (15, 14), (5, 5), {"groups": 2, "stride": 2}),
    (1, 600, 600, (5, 6), (3, 3), {"groups": 2}),
    (2, 34, 150, (37,), (4,), {"groups": 2, "dilation": 3}),
]
BORDERS = [
    {"padding": "same"},
    {"padding": 0},
    {"padding": "full"},
    {"padding": "same", "padding_mode": "circular"},
    {"padding": "same", "padding_mode": "reflect"},
    {"padding": "same", "padding_mode": "replicate"},
    {"padding": "same", "padding_mode": "constant", "padding_value": 2.5},
]


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("shape", [*((*shape, {}) for shape in SHAPES), *STEPPED], ids=str)
def test_all_directions_agree_with_float64(
    shape: tuple[int, int, int, tuple[int, ...], tuple[int, ...], dict[str, object]],
    channels_last: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch, inputs, outputs, size, kernel, steps = shape
    torch.manual_seed(0)
    function = (F.conv1d, F.conv2d, F.conv3d)[len(size) - 1]
    x = torch.randn(batch, inputs, *size)
    in_group = inputs // int(steps.get("groups", 1))  # type: ignore[call-overload]
    weight = torch.randn(outputs, in_group, *kernel) * (in_group * math.prod(kernel)) ** -0.5
    if channels_last:
        x, weight = (t.movedim(1, -1).contiguous().movedim(-1, 1) for t in (x, weight))
    bias = torch.randn(outputs)
    for border in BORDERS:
        options = border | steps
        if "stride" in steps and border["padding"] == "same":
            options["padding"] = tuple(k // 2 for k in kernel)
        monkeypatch.setattr(select, "forced", "winograd")
        choice = convlayers.which(function, x, weight, bias, **options)
        assert [c.kernel for c in choice] == ["winograd"]
        with torch.no_grad():
            grad = torch.randn_like(function(x, weight, bias, **options))
        got = results(function, (x, weight, bias), grad, **options)
        monkeypatch.setattr(select, "forced", "")
        exact = [t.double() for t in (x, weight, bias)]
        wanted = results(function, tuple(exact), grad.double(), **options)
        for name, ours, reference in zip(("output", "input", "weight", "bias"), got, wanted, strict=True):
            assert ours.shape == reference.shape
            if reference.numel():
                error = (ours.double() - reference).abs().max() / reference.abs().max().clamp_min(1e-30)
                assert error < BOUND, f"{name}, {options}: {error:.1e}"


@pytest.mark.parametrize("order", ["HWIO", "HWOI"])
@pytest.mark.parametrize(("inputs", "outputs"), [(24, 1), (1, 24), (7, 5)])
def test_weights_whose_channels_lie_side_by_side(
    inputs: int, outputs: int, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As Keras has them. Where there is one of the inner channels, both strides are 1.
    torch.manual_seed(0)
    sizes = {"H": 3, "W": 5, "I": inputs, "O": outputs}
    weight = torch.randn([sizes[axis] for axis in order]).permute([order.index(axis) for axis in "OIHW"])
    x = torch.randn(2, inputs, 12, 13)
    monkeypatch.setattr(select, "forced", "winograd")
    grad = torch.randn_like(F.conv2d(x, weight, padding="same"))
    got = results(F.conv2d, (x, weight, torch.zeros(outputs)), grad, padding="same")
    monkeypatch.setattr(select, "forced", "")
    exact = (x.double(), weight.double(), torch.zeros(outputs).double())
    wanted = results(F.conv2d, exact, grad.double(), padding="same")
    for ours, reference in zip(got, wanted, strict=True):
        assert (ours.double() - reference).abs().max() / reference.abs().max() < BOUND


def test_sources_in_several_chunks() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(2, 400, 24, 24), torch.randn(300, 400, 3, 3) / 60
    assert convlayers.which(F.conv2d, x, weight)[0].kernel == "winograd"
    got, wanted = F.conv2d(x, weight), torch.nn.functional.conv2d(x.double(), weight.double())
    assert (got.double() - wanted).abs().max() / wanted.abs().max() < BOUND


def test_the_epilogue_and_transposed_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, 24, 10, 10), torch.randn(24, 40, 3, 3) / 15, torch.randn(40)
    monkeypatch.setattr(select, "forced", "winograd")
    got = F.conv_transpose2d(x, weight, bias, padding=1, activation="tanh")
    monkeypatch.setattr(select, "forced", "")
    wanted = torch.nn.functional.conv_transpose2d(x.double(), weight.double(), bias.double(), padding=1).tanh()
    assert (got.double() - wanted).abs().max() < BOUND


@pytest.mark.parametrize(
    ("kernel", "options"),
    [
        ((4, 4), {"stride": 2, "padding": 1}),
        ((5, 5), {"stride": 2, "padding": 2, "output_padding": 1}),
        ((5, 10), {"stride": 2}),
        ((6, 9), {"stride": 3, "padding": (1, 2)}),
        ((3, 3), {"dilation": 2, "padding": 2}),
        ((5, 4), {"stride": (1, 2), "dilation": (2, 1)}),
        ((4,), {"stride": 2, "padding": 1}),
        ((3, 4, 4), {"stride": (1, 2, 2), "padding": 1}),
    ],
    ids=str,
)
def test_transposed_convolutions(
    kernel: tuple[int, ...], options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    rank = len(kernel)
    ours = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[rank - 1]
    theirs = getattr(torch.nn.functional, f"conv_transpose{rank}d")
    x, bias = torch.randn(2, 20, *(9, 7, 8)[:rank]), torch.randn(36)
    weight = torch.randn(20, 36, *kernel) * (20 * math.prod(kernel)) ** -0.5
    monkeypatch.setattr(select, "forced", "winograd")
    assert convlayers.which(ours, x, weight, bias, **options)[0].kernel == "winograd"
    with torch.no_grad():
        grad = torch.randn_like(ours(x, weight, bias, **options))
    got = results(ours, (x, weight, bias), grad, **options)
    exact = tuple(t.double() for t in (x, weight, bias))
    for a, b in zip(got, results(theirs, exact, grad.double(), **options), strict=True):
        assert (a.double() - b).abs().max() / b.abs().max() < BOUND


def test_double_backward(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(select, "forced", "winograd")
    found = []
    for dtype in (torch.float32, torch.float64):
        generator = torch.Generator().manual_seed(1)
        x = torch.randn(2, 6, 8, 8, generator=generator).to(dtype).requires_grad_()
        weight = (torch.randn(7, 6, 3, 3, generator=generator) / 7).to(dtype).requires_grad_()
        y = F.conv2d(x, weight, padding=1)
        first = torch.autograd.grad((y**2).sum(), (x, weight), create_graph=True)
        found.append(torch.autograd.grad(sum((g**2).sum() for g in first), (x, weight)))
    for ours, wanted in zip(*found, strict=True):
        assert (ours.double() - wanted).abs().max() / wanted.abs().max() < 4 * BOUND


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize(
    ("layer", "size"),
    [
        (convlayers.Conv2d(40, 72, 3, padding=1), (20, 20)),
        (convlayers.Conv2d(256, 130, 3, padding=1), (20, 20)),
        (convlayers.Conv2d(512, 512, 3, padding=1), (7, 7)),  # its weights are transformed slice by slice
        (convlayers.Conv1d(40, 72, 5), (300,)),
        (convlayers.Conv2d(40, 72, 5, stride=2), (30, 30)),
        (convlayers.Conv2d(40, 72, 3, dilation=2), (30, 30)),
        (convlayers.ConvTranspose2d(40, 72, 4, stride=2), (20, 20)),
        (convlayers.Conv2d(80, 144, 3, groups=2), (30, 30)),
    ],
    ids=str,
)
def test_the_same_bits_for_any_number_of_threads(layer: torch.nn.Module, size: tuple[int, ...], threads: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, layer.in_channels, *size, requires_grad=True)  # type: ignore[arg-type]
    assert convlayers.which(layer, x)[0].kernel == "winograd"

    def run() -> list[Tensor]:
        y = layer(x)
        return [y, *torch.autograd.grad((y**2).sum(), (x, layer.weight, layer.bias))]

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        wanted = run()
        torch.set_num_threads(threads)
        assert all(map(torch.equal, run(), wanted))
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("layer", "size", "kernel"),
    [
        (convlayers.Conv2d(64, 64, 3, padding=1), (56, 56), "winograd"),
        (convlayers.Conv3d(32, 32, (1, 3, 3)), (4, 16, 16), "winograd"),
        (convlayers.Conv2d(1, 64, 3, padding=1), (56, 56), "direct"),
        (convlayers.Conv2d(3, 64, 5, padding=2), (56, 56), "direct"),
        (convlayers.Conv2d(64, 64, 3, padding=1), (1, 64), "direct"),
        (convlayers.Conv2d(8, 8, (1, 7)), (17, 17), "direct"),
        (convlayers.Conv2d(64, 64, 3, stride=2), (56, 56), "direct"),
        (convlayers.Conv2d(64, 64, 5, stride=2), (56, 56), "winograd"),
        (convlayers.Conv2d(64, 64, 3, dilation=2), (56, 56), "winograd"),
        (convlayers.Conv2d(64, 64, 3, dilation=24), (56, 56), "direct"),
        (convlayers.Conv2d(64, 64, 16, stride=8), (56, 56), "direct"),
        (convlayers.ConvTranspose2d(64, 64, 4, stride=2), (28, 28), "winograd"),
        (convlayers.ConvTranspose2d(64, 64, 3, stride=2), (28, 28), "direct"),
        (convlayers.ConvTranspose2d(64, 64, 2, stride=2), (28, 28), "direct"),
        (convlayers.Conv2d(64, 64, 5), (56, 56), "winograd"),
        (convlayers.Conv2d(64, 64, (1, 7)), (17, 17), "winograd"),
        (convlayers.Conv2d(64, 64, (7, 7)), (56, 56), "winograd"),
        (convlayers.Conv2d(64, 64, (3, 2), stride=(1, 2)), (56, 56), "winograd"),
        (convlayers.Conv2d(64, 64, 3, groups=2), (56, 56), "winograd"),
        (convlayers.Conv1d(64, 64, 3), (56,), "winograd"),
    ],
    ids=str,
)
def test_it_is_chosen_where_it_pays(layer: torch.nn.Module, size: tuple[int, ...], kernel: str) -> None:
    x = torch.zeros(1, layer.in_channels, *size)  # type: ignore[arg-type]
    assert convlayers.which(layer, x)[0].kernel == kernel
    with convlayers.precision("exact"):
        assert convlayers.which(layer, x)[0].kernel == "direct"
    assert convlayers.which(layer, x)[0].kernel == kernel


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 3, "padding": 5, "dilation": 5},
        {"kernel_size": 7, "padding": 3},
        {"kernel_size": 1, "padding": 3, "stride": 2},
    ],
    ids=str,
)
def test_exact_does_not_depend_on_the_batch_around_a_sample(options: dict[str, int]) -> None:
    torch.manual_seed(0)
    layer, x = convlayers.Conv2d(32, 32, **options), torch.randn(5, 32, 14, 14, requires_grad=True)  # type: ignore[arg-type]
    with convlayers.precision("exact"):
        y, alone = layer(x), layer(x[3:4])
        assert torch.equal(y[3:4], alone)
        grad = torch.randn_like(y)
        (whole,), (part,) = torch.autograd.grad(y, x, grad), torch.autograd.grad(alone, x, grad[3:4])
        assert torch.equal(whole[3], part[3])


def test_precision_holds_until_it_is_changed() -> None:
    layer, x = convlayers.Conv2d(64, 64, 3, padding=1), torch.zeros(1, 64, 8, 8)
    convlayers.precision("exact")
    try:
        assert convlayers.which(layer, x)[0].kernel == "direct"
    finally:
        convlayers.precision("default")
    assert convlayers.which(layer, x)[0].kernel == "winograd"
    with pytest.raises(ValueError, match="mode must be 'default' or 'exact'; received 'fast'"):
        convlayers.precision("fast")
