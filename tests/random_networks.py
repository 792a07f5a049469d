"""Random networks with branches: chains, skips, concatenations, hourglasses and gates, of any rank."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor, nn

import convlayers

WIDTH = 2


class Skip(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Concatenation(nn.Module):
    def __init__(self, branches: Sequence[nn.Module], merge: nn.Module) -> None:
        super().__init__()
        self.branches, self.merge = nn.ModuleList(branches), merge

    def forward(self, x: Tensor) -> Tensor:
        return self.merge(torch.cat([branch(x) for branch in self.branches], 1))


class Hourglass(nn.Module):
    """Down, through, up, cropped to the smaller of both, and beside the input."""

    def __init__(self, body: nn.Module, merge: nn.Module) -> None:
        super().__init__()
        self.body, self.merge = body, merge

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        shared = tuple(slice(min(a, b)) for a, b in zip(x.shape[2:], y.shape[2:], strict=True))
        return self.merge(torch.cat([x[(..., *shared)], y[(..., *shared)]], 1))


class Gate(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x + 1) * torch.sigmoid(x.mean(list(range(2, x.dim())), keepdim=True))


class Moved(nn.Module):
    """Elements picked, turned round or rolled along the last axis."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "slice":
            return x[..., 1::2]
        if self.kind == "flip":
            return x.flip(-1)
        if self.kind == "roll":
            return x.roll(1, -1)
        if self.kind == "tokens":
            return x.flatten(2).transpose(1, 2).relu().transpose(1, 2).unflatten(2, x.shape[2:])
        return x.transpose(1, -1).contiguous().tanh().transpose(1, -1)


class Written(nn.Module):
    """A tensor that is filled part by part, as an own padding would be."""

    def forward(self, x: Tensor) -> Tensor:
        out = x.new_zeros((*x.shape[:-1], x.shape[-1] + 2))
        out[..., 1:-1] = x
        out[..., 0] = x[..., -1]
        return out


def network(draw: random.Random) -> tuple[nn.Module, tuple[int, ...]]:
    """A network and the size of an input that it takes, channels first. The first step is a convolution."""
    rank = draw.choice((1, 1, 2, 2, 2, 3))
    size = tuple(draw.randint(7, {1: 40, 2: 20, 3: 10}[rank]) for _ in range(rank))
    with torch.random.fork_rng():
        first = getattr(nn, f"Conv{rank}d")(WIDTH, WIDTH, draw.randint(1, 3), padding=draw.randint(0, 1))
        shape = tuple(first(torch.zeros(1, WIDTH, *size)).shape[1:])
        chain = _chain(draw, rank, shape, draw.randint(2, 6), 2)
    return nn.Sequential(first, chain, nn.Identity()), (WIDTH, *size)


def _chain(draw: random.Random, rank: int, shape: tuple[int, ...], length: int, depth: int) -> nn.Sequential:
    """Steps that fit, one after the other."""
    chain = nn.Sequential()
    x = torch.zeros(1, *shape)
    for _ in range(length):
        step = _step(draw, rank, tuple(x.shape[1:]), depth)
        try:
            y = step.eval()(x)
        except (RuntimeError, ValueError):
            continue
        if min(y.shape[2:]) >= 1 and max(y.shape[2:]) <= 64 and y.shape[1] == WIDTH:
            chain.append(step)
            x = y
    return chain


def _step(draw: random.Random, rank: int, shape: tuple[int, ...], depth: int) -> nn.Module:
    def pick(name: str) -> type:
        return getattr(nn, f"{name}{rank}d")

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw.randint(low, high) for _ in range(rank))

    kinds = ["conv", "conv", "conv", "ours", "transposed", "max", "avg", "up", "adaptive", "moved", "norm", "written"]
    kinds += ["skip", "skip", "concatenation", "concatenation", "hourglass", "gate"] * (depth > 0)
    kind = draw.choice(kinds)
    kernel, stride = each(1, 4), tuple(draw.choice((1, 1, 2, 3)) for _ in range(rank))
    padding = tuple(draw.randint(0, k - 1) for k in kernel)
    if kind == "conv":
        mode = draw.choice(("zeros", "zeros", "reflect", "replicate", "circular"))
        return pick("Conv")(
            WIDTH, WIDTH, kernel, stride, padding, each(1, 3), draw.choice((1, WIDTH)), padding_mode=mode
        )
    if kind == "ours":
        mode = draw.choice(("zeros", "reflect", "replicate", "circular"))
        where = draw.choice(("valid", "same", "causal", "full"))
        if draw.random() < 0.3:
            return getattr(convlayers, f"MaxPool{rank}d")(kernel, stride, where)
        return getattr(convlayers, f"Conv{rank}d")(WIDTH, WIDTH, kernel, stride, where, each(1, 2), padding_mode=mode)
    if kind == "transposed":
        return pick("ConvTranspose")(WIDTH, WIDTH, kernel, stride, padding, dilation=each(1, 2))
    if kind == "max":
        return pick("MaxPool")(kernel, stride, tuple(k // 2 for k in kernel), each(1, 2), ceil_mode=draw.random() < 0.3)
    if kind == "avg":
        return pick("AvgPool")(kernel, stride, tuple(k // 2 for k in kernel), ceil_mode=draw.random() < 0.3)
    if kind == "up":
        smooth = ("linear", "bilinear", "trilinear")[rank - 1]
        mode = draw.choice(("nearest", smooth))
        corners = draw.random() < 0.5 if mode == smooth else None
        if draw.random() < 0.5:
            return nn.Upsample(scale_factor=draw.choice((2, 3, 1.5)), mode=mode, align_corners=corners)
        return nn.Upsample(tuple(n + draw.randint(0, 5) for n in shape[1:]), mode=mode, align_corners=corners)
    if kind == "adaptive":
        return pick("AdaptiveAvgPool")(tuple(draw.randint(max(1, n // 2), n) for n in shape[1:]))
    if kind == "norm":
        return nn.Sequential(pick("BatchNorm")(WIDTH), nn.ReLU(inplace=draw.random() < 0.5))
    if kind == "moved":
        return Moved(draw.choice(("slice", "flip", "roll", "tokens", "swap")))
    if kind == "written":
        return Written()
    if kind == "gate":
        return Gate()
    if kind == "skip":
        return Skip(_same(draw, rank, depth))
    merge = pick("Conv")(2 * WIDTH, WIDTH, 1)
    if kind == "concatenation":
        return Concatenation([_same(draw, rank, depth), _same(draw, rank, depth)], merge)
    return Hourglass(_chain(draw, rank, shape, draw.randint(1, 4), depth - 1), merge)


def _same(draw: random.Random, rank: int, depth: int) -> nn.Module:
    """One to three convolutions and poolings that keep the size, or nothing."""
    body = nn.Sequential()
    for _ in range(draw.randint(0, 3)):
        kernel = tuple(draw.choice((1, 3, 5)) for _ in range(rank))
        dilation = tuple(draw.randint(1, 2) for _ in range(rank))
        padding = tuple(d * (k - 1) // 2 for d, k in zip(dilation, kernel, strict=True))
        if draw.random() < 0.25:
            body.append(getattr(nn, f"MaxPool{rank}d")(3, 1, 1))
        else:
            body.append(getattr(nn, f"Conv{rank}d")(WIDTH, WIDTH, kernel, 1, padding, dilation))
    return body
