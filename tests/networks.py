"""The networks that the project's own problem lists are of, in torch.nn, as their papers describe them.

``python -m tests.networks`` writes the lists (``convlayers/bench/problems/*.csv``) from these; a test compares both. No
weight is ever stored: everything lives on torch's meta device, which knows shapes only.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from convlayers.bench import problems, shapes

#: A layer's name, the layer, and the shape of what it is given.
Layer = tuple[str, Any, tuple[int, ...]]
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def traced(name: str, network: nn.Module, *shape: int) -> Iterator[Layer]:
    """The convolutions of a network in the order in which an input of a shape meets them."""
    met: list[Layer] = []
    for path, module in network.named_modules():
        if isinstance(module, CONVOLUTIONS):
            module.register_forward_hook(
                lambda module, inputs, _, path=path: met.append((f"{name}.{path}", module, tuple(inputs[0].shape)))
            )
    network(torch.empty(shape))
    yield from tuple(met)  # not what later calls add


# --- pictures ---------------------------------------------------------------------------------------------------------


class Bottleneck(nn.Module):
    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1)
        self.conv3 = nn.Conv2d(width, 4 * width, 1)
        self.shortcut = nn.Conv2d(channels, 4 * width, 1, stride) if channels != 4 * width else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(self.conv2(self.conv1(x))) + self.shortcut(x)


def resnet50() -> Iterator[Layer]:
    """He et al. 2015 (arXiv 1512.03385), table 1; the stride is the 3x3's, as everybody has it since."""
    layers: dict[str, nn.Module] = {"conv1": nn.Conv2d(3, 64, 7, 2, 3), "pool": nn.MaxPool2d(3, 2, 1)}
    channels = 64
    for stage, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), 2):
        for block in range(blocks):
            layers[f"conv{stage}_{block + 1}"] = Bottleneck(channels, width, 2 if stage > 2 and block == 0 else 1)
            channels = 4 * width
    return traced("resnet50", sequential(layers), 32, 3, 224, 224)


def sequential(layers: dict[str, nn.Module]) -> nn.Sequential:
    network = nn.Sequential()
    for name, layer in layers.items():
        network.add_module(name, layer)
    return network


def mobilenet_v2() -> Iterator[Layer]:
    """Sandler et al. 2018 (arXiv 1801.04381), table 2; the sums do not change a shape and are left out."""
    layers: dict[str, nn.Module] = {"conv1": nn.Conv2d(3, 32, 3, 2, 1)}
    channels, number = 32, 0
    for expansion, out, repeats, first in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    ):  # fmt: skip
        for repeat in range(repeats):
            number, wide = number + 1, expansion * channels
            if expansion > 1:
                layers[f"block{number}_expand"] = nn.Conv2d(channels, wide, 1)
            layers[f"block{number}_depthwise"] = nn.Conv2d(wide, wide, 3, 1 if repeat else first, 1, groups=wide)
            layers[f"block{number}_project"] = nn.Conv2d(wide, out, 1)
            channels = out
    layers["conv_last"] = nn.Conv2d(320, 1280, 1)
    return traced("mobilenet_v2", sequential(layers), 32, 3, 224, 224)


def convnext_t() -> Iterator[Layer]:
    """Liu et al. 2022 (arXiv 2201.03545), table 9; its linear layers are 1x1 convolutions."""
    layers: dict[str, nn.Module] = {}
    channels = 3
    for stage, (width, blocks) in enumerate(((96, 3), (192, 3), (384, 9), (768, 3)), 1):
        side = 4 if stage == 1 else 2
        layers[f"down{stage}"] = nn.Conv2d(channels, width, side, side)
        for block in range(1, blocks + 1):
            layers[f"stage{stage}_{block}_depthwise"] = nn.Conv2d(width, width, 7, padding=3, groups=width)
            layers[f"stage{stage}_{block}_expand"] = nn.Conv2d(width, 4 * width, 1)
            layers[f"stage{stage}_{block}_project"] = nn.Conv2d(4 * width, width, 1)
        channels = width
    return traced("convnext_t", sequential(layers), 16, 3, 224, 224)


def vgg16() -> Iterator[Layer]:
    """Simonyan & Zisserman 2014 (arXiv 1409.1556), configuration D."""
    layers: dict[str, nn.Module] = {}
    channels = 3
    for stage, (width, convolutions) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), 1):
        for convolution in range(1, convolutions + 1):
            layers[f"conv{stage}_{convolution}"] = nn.Conv2d(channels, width, 3, padding=1)
            channels = width
        layers[f"pool{stage}"] = nn.MaxPool2d(2)
    return traced("vgg16", sequential(layers), 16, 3, 224, 224)


def inception() -> Iterator[Layer]:
    """What is wide in GoogLeNet (Szegedy et al. 2014, arXiv 1409.4842, table 1) and Inception v3 (2015, 1512.00567)."""
    for name, side, reduced, out in (
        ("3a", 28, 16, 32), ("3b", 28, 32, 96), ("4a", 14, 16, 48), ("4b", 14, 24, 64), ("4c", 14, 24, 64),
        ("4d", 14, 32, 64), ("4e", 14, 32, 128), ("5a", 7, 32, 128), ("5b", 7, 48, 128),
    ):  # fmt: skip
        yield f"googlenet.{name}.5x5", nn.Conv2d(reduced, out, 5, padding=2), (32, reduced, side, side)
    yield "inception_v3.mixed_35.5x5", nn.Conv2d(48, 64, 5, padding=2), (32, 48, 35, 35)
    for width in (128, 160, 192):
        for out in (width, 192):
            for kernel in ((1, 7), (7, 1)):
                layer = nn.Conv2d(width, out, kernel, padding=(kernel[0] // 2, kernel[1] // 2))
                yield f"inception_v3.mixed_17.{width}.{kernel[0]}x{kernel[1]}", layer, (32, width, 17, 17)
    for kernel in ((1, 3), (3, 1)):
        layer = nn.Conv2d(384, 384, kernel, padding=(kernel[0] // 2, kernel[1] // 2))
        yield f"inception_v3.mixed_8.{kernel[0]}x{kernel[1]}", layer, (32, 384, 8, 8)


# --- one output a pixel -----------------------------------------------------------------------------------------------


class UNet(nn.Module):
    """Both U-Nets: 2-D, unpadded and with the channels doubled at once; 3-D, padded and doubled at the second layer."""

    def __init__(self, rank: int, channels: int, width: int, depth: int, classes: int) -> None:
        super().__init__()
        conv, up = getattr(nn, f"Conv{rank}d"), getattr(nn, f"ConvTranspose{rank}d")
        padding = rank - 2
        self.pool = getattr(nn, f"MaxPool{rank}d")(2)
        self.down, self.up, self.merge = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for level in range(depth):
            out = width << level
            middle = out if rank == 2 else out // 2
            pair = conv(channels, middle, 3, padding=padding), conv(middle, out, 3, padding=padding)
            self.down.append(nn.Sequential(*pair))
            channels = out
        for level in reversed(range(depth - 1)):
            out = width << level
            self.up.append(up(2 * out, out if rank == 2 else 2 * out, 2, 2))
            joined = 2 * out if rank == 2 else 3 * out
            pair = conv(joined, out, 3, padding=padding), conv(out, out, 3, padding=padding)
            self.merge.append(nn.Sequential(*pair))
        self.last = conv(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        seen = []
        for level, down in enumerate(self.down):
            x = down(self.pool(x) if level else x)
            seen.append(x)
        for up, merge, beside in zip(self.up, self.merge, reversed(seen[:-1]), strict=True):
            x = up(x)
            beside = beside[(..., *(slice(size) for size in x.shape[2:]))]
            x = merge(torch.cat((beside, x), 1))
        return self.last(x)


def unet() -> Iterator[Layer]:
    """Ronneberger et al. 2015 (arXiv 1505.04597), figure 1."""
    return traced("unet", UNet(2, 1, 64, 5, 2), 1, 1, 572, 572)


def unet3d() -> Iterator[Layer]:
    """Cicek et al. 2016 (arXiv 1606.06650), figure 2; padded, and on volumes of 64^3."""
    return traced("unet3d", UNet(3, 3, 64, 4, 3), 1, 3, 64, 64, 64)


def atrous() -> Iterator[Layer]:
    """DeepLabv3 (Chen et al. 2017, arXiv 1706.05587) at output stride 16; v3+ (2018, 1802.02611), depthwise."""
    yield "deeplab_v3.block4", nn.Conv2d(512, 512, 3, padding=2, dilation=2), (8, 512, 33, 33)
    for rate in (6, 12, 18):
        yield f"deeplab_v3.aspp_{rate}", nn.Conv2d(2048, 256, 3, padding=rate, dilation=rate), (8, 2048, 33, 33)
    for rate in (6, 12, 18):
        layer = nn.Conv2d(2048, 2048, 3, padding=rate, dilation=rate, groups=2048)
        yield f"deeplab_v3plus.aspp_{rate}", layer, (8, 2048, 33, 33)


def transposed() -> Iterator[Layer]:
    """DCGAN's generator (Radford et al. 2015, arXiv 1511.06434, figure 1) and FCN-8s (Long et al. 2014, 1411.4038)."""
    layers: dict[str, nn.Module] = {"project": nn.ConvTranspose2d(100, 1024, 4)}
    for number, (channels, out) in enumerate(((1024, 512), (512, 256), (256, 128), (128, 3)), 1):
        layers[f"conv{number}"] = nn.ConvTranspose2d(channels, out, 4, 2, 1)
    yield from traced("dcgan", sequential(layers), 128, 100, 1, 1)
    up = {"upscore2": nn.ConvTranspose2d(21, 21, 4, 2), "upscore_pool4": nn.ConvTranspose2d(21, 21, 4, 2)}
    # 500 x 500 with 100 of padding: 16 x 16 scores.
    yield from traced("fcn8s", sequential(up | {"upscore8": nn.ConvTranspose2d(21, 21, 16, 8)}), 1, 21, 16, 16)


# --- groups -----------------------------------------------------------------------------------------------------------


def grouped() -> Iterator[Layer]:
    """The layers in groups of ResNeXt-50 32x4d (Xie et al. 2016, arXiv 1611.05431, table 1), RegNetX-4.0GF and
    RegNetY-16GF (Radosavovic et al. 2020, 2003.13678, figures 16 and 17), ShuffleNet 1x of 3 groups (Zhang et al. 2017,
    1707.01083, table 1)."""
    for name, widths, depths, group in (
        ("resnext50", (128, 256, 512, 1024), (3, 4, 6, 3), (4, 8, 16, 32)),
        ("regnetx_4gf", (80, 240, 560, 1360), (2, 5, 14, 2), (40,) * 4),
        ("regnety_16gf", (224, 448, 1232, 3024), (2, 4, 11, 1), (112,) * 4),
    ):
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            for block in range(depth):
                stride = 1 if block or (name == "resnext50" and stage == 0) else 2
                layer = nn.Conv2d(width, width, 3, stride, 1, groups=width // group[stage])
                yield f"{name}.{stage + 1}_{block + 1}", layer, (32, width, *(stride * (56 >> stage),) * 2)
    for stage, (width, side, units) in enumerate(((240, 28, 3), (480, 14, 7), (960, 7, 3)), 2):
        for unit in range(2, units + 2):
            reduce, expand = nn.Conv2d(width, width // 4, 1, groups=3), nn.Conv2d(width // 4, width, 1, groups=3)
            yield f"shufflenet.{stage}_{unit}.reduce", reduce, (32, width, side, side)
            yield f"shufflenet.{stage}_{unit}.expand", expand, (32, width // 4, side, side)


# --- depthwise --------------------------------------------------------------------------------------------------------


def depthwise() -> Iterator[Layer]:
    """EfficientNet-B0's 5x5 (Tan & Le 2019, arXiv 1905.11946, table 1), RepLKNet-31B (Ding et al. 2022, 2203.06717,
    section 4.1), X3D-M (Feichtenhofer 2020, 2004.04730, table 2)."""
    for channels, side, stride in ((144, 56, 2), (240, 28, 1), (480, 14, 1), (672, 14, 1), (672, 14, 2), (1152, 7, 1)):
        layer = nn.Conv2d(channels, channels, 5, stride, 2, groups=channels)
        yield f"efficientnet_b0.{channels}.{side}", layer, (32, channels, side, side)
    for channels, side, kernel in ((128, 56, 31), (256, 28, 29), (512, 14, 27), (1024, 7, 13)):
        layer = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        yield f"replknet_31b.{channels}", layer, (16, channels, side, side)
    stem = nn.Conv3d(24, 24, (5, 1, 1), padding=(2, 0, 0), groups=24)
    yield "x3d_m.conv1_t", stem, (4, 24, 16, 112, 112)
    for stage, (channels, side) in enumerate(((54, 56), (108, 28), (216, 14), (432, 7)), 2):
        for stride in (2, 1):
            layer = nn.Conv3d(channels, channels, 3, (1, stride, stride), 1, groups=channels)
            yield f"x3d_m.res{stage}.stride{stride}", layer, (4, channels, 16, side * stride, side * stride)


# --- video, text, sound -----------------------------------------------------------------------------------------------


class Factorised(nn.Module):
    """(2+1)-D: space, then time, with as many weights in between as the whole cube would have."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        middle = 27 * channels * out // (9 * channels + 3 * out)
        self.space = nn.Conv3d(channels, middle, (1, 3, 3), (1, stride, stride), (0, 1, 1))
        self.time = nn.Conv3d(middle, out, (3, 1, 1), (stride, 1, 1), (1, 0, 0))

    def forward(self, x: Tensor) -> Tensor:
        return self.time(self.space(x))


class VideoBlock(nn.Module):
    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = Factorised(channels, out, stride), Factorised(out, out, 1)
        self.shortcut = nn.Conv3d(channels, out, 1, stride) if channels != out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x)) + self.shortcut(x)


def r2plus1d() -> Iterator[Layer]:
    """Tran et al. 2018 (arXiv 1711.11248), R(2+1)D of 18 layers on clips of 16 x 112 x 112."""
    layers: dict[str, nn.Module] = {
        "stem_space": nn.Conv3d(3, 45, (1, 7, 7), (1, 2, 2), (0, 3, 3)),
        "stem_time": nn.Conv3d(45, 64, (3, 1, 1), padding=(1, 0, 0)),
    }
    channels = 64
    for stage, out in enumerate((64, 128, 256, 512), 2):
        for block in (1, 2):
            layers[f"conv{stage}_{block}"] = VideoBlock(channels, out, 2 if channels != out else 1)
            channels = out
    return traced("r2plus1d", sequential(layers), 4, 3, 16, 112, 112)


def text_cnn() -> Iterator[Layer]:
    """Kim 2014 (arXiv 1408.5882): 100 maps each of 3, 4 and 5 words; sentences of 56, padded by 4 on both sides."""
    for words in (3, 4, 5):
        yield f"text_cnn.{words}", nn.Conv1d(300, 100, words), (50, 300, 64)


def m5() -> Iterator[Layer]:
    """Dai et al. 2016 (arXiv 1610.00087), table 1: four seconds of sound at 8 kHz."""
    layers: dict[str, nn.Module] = {"conv1": nn.Conv1d(1, 128, 80, 4, 38)}
    channels = 128
    for number, out in enumerate((128, 256, 512), 2):
        layers[f"pool{number - 1}"] = nn.MaxPool1d(4)
        layers[f"conv{number}"] = nn.Conv1d(channels, out, 3, padding=1)
        channels = out
    return traced("m5", sequential(layers), 128, 1, 32000)


class Causal(nn.Conv1d):
    """Padding before alone, so that no output sees what comes after it."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(nn.functional.pad(input, (self.low, 0)))

    @property
    def low(self) -> int:
        return self.dilation[0] * (self.kernel_size[0] - 1)


def wavenet() -> Iterator[Layer]:
    """van den Oord et al. 2016 (arXiv 1609.03499); 64 residual and 256 skip channels (Arik et al. 2017, 1702.07825)."""
    second = (4, 64, 16000)
    yield "wavenet.input", Causal(256, 64, 2), (4, 256, 16000)
    for exponent in range(10):
        yield f"wavenet.dilated_{2**exponent}", Causal(64, 128, 2, dilation=2**exponent), second
    yield "wavenet.residual", nn.Conv1d(64, 64, 1), second
    yield "wavenet.skip", nn.Conv1d(64, 256, 1), second
    yield "wavenet.output", nn.Conv1d(256, 256, 1), (4, 256, 16000)


# --- the lists --------------------------------------------------------------------------------------------------------

NETWORKS: dict[str, Callable[[], Iterable[Layer]]] = {
    network.__name__: network
    for network in (
        resnet50, mobilenet_v2, convnext_t, vgg16, inception, unet, unet3d, atrous, transposed, grouped, depthwise,
        r2plus1d, text_cnn, m5, wavenet,
    )
}  # fmt: skip


def rows(network: str) -> list[dict[str, str]]:
    """The lines of a network's list: each distinct layer under the name of its first, with how often there is one."""
    distinct: dict[tuple[object, ...], dict[str, str]] = {}
    with torch.device("meta"):
        for name, layer, shape in NETWORKS[network]():
            row = _row(layer, shape)
            first = distinct.setdefault(tuple(row.items()), {"name": name, "count": "0"} | row)
            first["count"] = str(int(first["count"]) + 1)
    return [{column: row[column] for column in shapes.COLUMNS} for row in distinct.values()]


def _row(layer: Any, shape: tuple[int, ...]) -> dict[str, str]:
    low = (layer.low,) if isinstance(layer, Causal) else layer.padding
    output = layer(torch.empty(shape)).shape
    numbers = zip(shape[2:], layer.kernel_size, layer.stride, low, layer.dilation, output[2:], strict=True)
    row = dict.fromkeys(shapes.COLUMNS[9:], "")
    for columns, values in zip(shapes.AXES[3 - len(shape[2:]) :], numbers, strict=True):
        row |= dict(zip(columns, map(str, values), strict=True))
    whole = {"ndim": len(shape) - 2, "n": shape[0], "c": shape[1], "k": output[1], "groups": layer.groups}
    whole |= {"exact_sym_pad": not isinstance(layer, Causal), "transposed": layer.transposed}
    return row | {column: str(int(value)) for column, value in whole.items()}


def write(folder: Path) -> None:
    """Writes the lists."""
    for network in NETWORKS:
        with (folder / f"{network}.csv").open("w", newline="", encoding="utf-8") as file:
            lines = csv.DictWriter(file, shapes.COLUMNS, lineterminator="\n")
            lines.writeheader()
            lines.writerows(rows(network))


if __name__ == "__main__":
    write(problems.FOLDER)
