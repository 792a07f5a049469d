"""Whole networks in torch.nn, as their papers describe them, for the tests of ``convlayers.inspect``.

``width`` divides the channels, so that a test which computes something need not wait for it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from networks import Causal, UNet
from torch import Tensor, nn


def conv_bn(
    channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1, act: type = nn.ReLU
) -> nn.Sequential:
    conv = nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out), act(inplace=True))


class BasicBlock(nn.Module):
    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.downsample: nn.Module | None = None
        if stride > 1 or channels != out:
            self.downsample = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


def resnet18(width: int = 1) -> nn.Module:
    """He et al. 2015 (arXiv 1512.03385), table 1."""
    layers: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(3, 64 // width, 7, 2, 3, bias=False),
        "bn1": nn.BatchNorm2d(64 // width),
        "relu": nn.ReLU(inplace=True),
        "maxpool": nn.MaxPool2d(3, 2, 1),
    }
    channels = 64 // width
    for stage in range(4):
        out = (64 << stage) // width
        blocks = [BasicBlock(channels, out, 2 if stage else 1), BasicBlock(out, out, 1)]
        layers[f"layer{stage + 1}"], channels = nn.Sequential(*blocks), out
    layers |= {"avgpool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "fc": nn.Linear(channels, 1000)}
    return named(layers)


def named(layers: dict[str, nn.Module]) -> nn.Sequential:
    network = nn.Sequential()
    for name, layer in layers.items():
        network.add_module(name, layer)
    return network


class InvertedResidual(nn.Module):
    def __init__(self, channels: int, out: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels * expansion
        layers = [conv_bn(channels, wide, 1, act=nn.ReLU6)] if expansion > 1 else []
        layers += [conv_bn(wide, wide, 3, stride, wide, nn.ReLU6), nn.Conv2d(wide, out, 1, bias=False)]
        self.conv = nn.Sequential(*layers, nn.BatchNorm2d(out))
        self.skips = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.skips else self.conv(x)


def mobilenet_v2(width: int = 1) -> nn.Module:
    """Sandler et al. 2018 (arXiv 1801.04381), table 2."""
    layers: list[nn.Module] = [conv_bn(3, 32 // width, 3, 2, act=nn.ReLU6)]
    channels = 32 // width
    for expansion, out, repeats, first in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    ):  # fmt: skip
        for repeat in range(repeats):
            layers.append(InvertedResidual(channels, out // width, 1 if repeat else first, expansion))
            channels = out // width
    layers.append(conv_bn(channels, 1280 // width, 1, act=nn.ReLU6))
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(1280 // width, 1000)
    return nn.Sequential(nn.Sequential(*layers), *head)


class Inception(nn.Module):
    def __init__(self, channels: int, one: int, three: tuple[int, int], five: tuple[int, int], pool: int) -> None:
        super().__init__()
        self.branch1 = conv_bn(channels, one, 1)
        self.branch2 = nn.Sequential(conv_bn(channels, three[0], 1), conv_bn(*three, 3))
        self.branch3 = nn.Sequential(conv_bn(channels, five[0], 1), conv_bn(*five, 5))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1), conv_bn(channels, pool, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


def googlenet(width: int = 1) -> nn.Module:
    """Szegedy et al. 2014 (arXiv 1409.4842), table 1; with batch normalisation, without the auxiliary heads."""
    w = width
    layers: dict[str, nn.Module] = {
        "conv1": conv_bn(3, 64 // w, 7, 2),
        "maxpool1": nn.MaxPool2d(3, 2, ceil_mode=True),
        "conv2": conv_bn(64 // w, 64 // w, 1),
        "conv3": conv_bn(64 // w, 192 // w, 3),
        "maxpool2": nn.MaxPool2d(3, 2, ceil_mode=True),
    }
    channels = 192
    for name, one, three, five, pool in (
        ("3a", 64, (96, 128), (16, 32), 32), ("3b", 128, (128, 192), (32, 96), 64),
        ("4a", 192, (96, 208), (16, 48), 64), ("4b", 160, (112, 224), (24, 64), 64),
        ("4c", 128, (128, 256), (24, 64), 64), ("4d", 112, (144, 288), (32, 64), 64),
        ("4e", 256, (160, 320), (32, 128), 128), ("5a", 256, (160, 320), (32, 128), 128),
        ("5b", 384, (192, 384), (48, 128), 128),
    ):  # fmt: skip
        if name in ("4a", "5a"):
            layers[f"maxpool{name[0]}"] = nn.MaxPool2d(3, 2, ceil_mode=True)
        a, b = (three[0] // w, three[1] // w), (five[0] // w, five[1] // w)
        layers[f"inception{name}"] = Inception(channels // w, one // w, a, b, pool // w)
        channels = one + three[1] + five[1] + pool
    head = {"avgpool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "fc": nn.Linear(1024 // w, 1000)}
    return named(layers | head)


def unet(width: int = 1) -> nn.Module:
    """Ronneberger et al. 2015 (arXiv 1505.04597), figure 1: unpadded, with crops; without its rectifiers."""
    return UNet(2, 1, 64 // width, 5, 2)


class Gate(nn.Module):
    """One layer of WaveNet: a dilated causal convolution, gated, with a residual and a skip connection."""

    def __init__(self, channels: int, skip: int, dilation: int) -> None:
        super().__init__()
        self.dilated = Causal(channels, 2 * channels, 2, dilation=dilation)
        self.residual, self.skip = nn.Conv1d(channels, channels, 1), nn.Conv1d(channels, skip, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a, b = self.dilated(x).chunk(2, 1)
        gated = torch.tanh(a) * torch.sigmoid(b)
        return x + self.residual(gated), self.skip(gated)


class WaveNet(nn.Module):
    """van den Oord et al. 2016 (arXiv 1609.03499): stacks of dilations 1, 2, 4, ... 512."""

    def __init__(self, width: int = 1, stacks: int = 1, layers: int = 10) -> None:
        super().__init__()
        channels, skip = 64 // width, 256 // width
        self.input = Causal(256 // width, channels, 2)
        self.layers = nn.ModuleList(Gate(channels, skip, 2**e) for _ in range(stacks) for e in range(layers))
        self.output = nn.Sequential(nn.ReLU(), nn.Conv1d(skip, skip, 1), nn.ReLU(), nn.Conv1d(skip, 256 // width, 1))

    def forward(self, x: Tensor) -> Tensor:
        x, skips = self.input(x), 0
        for layer in self.layers:
            x, skip = layer(x)
            skips = skips + skip
        return self.output(skips)


class Conv2Plus1(nn.Sequential):
    """(2+1)-D: space, then time, with as many weights in between as the whole cube would have."""

    def __init__(self, channels: int, out: int, stride: int = 1) -> None:
        middle = 27 * channels * out // (9 * channels + 3 * out)
        super().__init__(
            nn.Conv3d(channels, middle, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False),
            nn.BatchNorm3d(middle),
            nn.ReLU(inplace=True),
            nn.Conv3d(middle, out, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=False),
        )


class VideoBlock(nn.Module):
    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(Conv2Plus1(channels, out, stride), nn.BatchNorm3d(out), nn.ReLU(inplace=True))
        self.conv2 = nn.Sequential(Conv2Plus1(out, out), nn.BatchNorm3d(out))
        self.downsample: nn.Module | None = None
        if stride > 1 or channels != out:
            self.downsample = nn.Sequential(nn.Conv3d(channels, out, 1, stride, bias=False), nn.BatchNorm3d(out))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv2(self.conv1(x)) + (x if self.downsample is None else self.downsample(x)))


def r2plus1d_18(width: int = 1) -> nn.Module:
    """Tran et al. 2018 (arXiv 1711.11248), 18 layers."""
    layers: dict[str, nn.Module] = {
        "stem": nn.Sequential(
            nn.Conv3d(3, 45, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False), nn.BatchNorm3d(45), nn.ReLU(inplace=True),
            nn.Conv3d(45, 64 // width, (3, 1, 1), padding=(1, 0, 0), bias=False), nn.BatchNorm3d(64 // width),
            nn.ReLU(inplace=True),
        )
    }  # fmt: skip
    channels = 64 // width
    for stage in range(4):
        out = (64 << stage) // width
        layers[f"layer{stage + 1}"] = nn.Sequential(
            VideoBlock(channels, out, 2 if stage else 1), VideoBlock(out, out, 1)
        )
        channels = out
    return named(layers | {"avgpool": nn.AdaptiveAvgPool3d(1), "flatten": nn.Flatten(), "fc": nn.Linear(channels, 400)})
