"""Times pooling, and batch normalisation with ReLU, beside torch's in both layouts, forward and with the gradients.

    python docs/measure/pooling_and_norm.py [words of the names]

Ours channels last, and the fastest of torch's; results are compared with float64 first. Memory is kept
(`convlayers.keep_memory`) for both. Beside the ratios: at what part of a copy's speed those bytes are moved that a call
must move where nothing stays in a cache.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import torch
import torch.nn.functional as T
from torch import Tensor

import convlayers
import convlayers.functional as ours
from convlayers.bench import limits
from convlayers.bench.timing import alternating

ROUNDS, BUDGET = 25, 0.6

#: Name, batch, channels, spatial sizes, operation, arguments: layers of the networks that the names say.
POOLING = [
    ("resnet.maxpool", 8, 64, (112, 112), "max_pool2d", {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("resnet.maxpool, one", 1, 64, (112, 112), "max_pool2d", {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("googlenet.pool2", 8, 192, (56, 56), "max_pool2d", {"kernel_size": 3, "stride": 2, "ceil_mode": True}),
    ("googlenet.pool3", 8, 480, (28, 28), "max_pool2d", {"kernel_size": 3, "stride": 2, "ceil_mode": True}),
    ("googlenet.pool4", 8, 832, (14, 14), "max_pool2d", {"kernel_size": 2, "stride": 2, "ceil_mode": True}),
    ("googlenet.3a", 8, 192, (28, 28), "max_pool2d", {"kernel_size": 3, "stride": 1, "padding": 1}),
    ("googlenet.4b", 8, 512, (14, 14), "max_pool2d", {"kernel_size": 3, "stride": 1, "padding": 1}),
    ("googlenet.5a", 8, 832, (7, 7), "max_pool2d", {"kernel_size": 3, "stride": 1, "padding": 1}),
    ("alexnet.pool1", 8, 64, (55, 55), "max_pool2d", {"kernel_size": 3, "stride": 2}),
    ("alexnet.pool5", 8, 256, (13, 13), "max_pool2d", {"kernel_size": 3, "stride": 2}),
    ("vgg.pool1", 2, 64, (224, 224), "max_pool2d", {"kernel_size": 2, "stride": 2}),
    ("vgg.pool2", 4, 128, (112, 112), "max_pool2d", {"kernel_size": 2, "stride": 2}),
    ("vgg.pool3", 8, 256, (56, 56), "max_pool2d", {"kernel_size": 2, "stride": 2}),
    ("vgg.pool4", 8, 512, (28, 28), "max_pool2d", {"kernel_size": 2, "stride": 2}),
    ("vgg.pool5", 8, 512, (14, 14), "max_pool2d", {"kernel_size": 2, "stride": 2}),
    ("yolo.sppf", 8, 256, (20, 20), "max_pool2d", {"kernel_size": 5, "stride": 1, "padding": 2}),
    ("yolo.spp", 2, 256, (20, 20), "max_pool2d", {"kernel_size": 13, "stride": 1, "padding": 6}),
    ("densenet.transition1", 8, 128, (56, 56), "avg_pool2d", {"kernel_size": 2, "stride": 2}),
    ("densenet.transition3", 8, 512, (14, 14), "avg_pool2d", {"kernel_size": 2, "stride": 2}),
    ("inception.mixed_5b", 8, 192, (35, 35), "avg_pool2d", {"kernel_size": 3, "stride": 1, "padding": 1}),
    ("inception.mixed_6b", 8, 768, (17, 17), "avg_pool2d", {"kernel_size": 3, "stride": 1, "padding": 1}),
    ("resnet.avgpool", 8, 2048, (7, 7), "adaptive_avg_pool2d", {"output_size": 1}),
    ("m5.pool1", 8, 128, (3960,), "max_pool1d", {"kernel_size": 4, "stride": 4}),
    ("text.pool", 16, 100, (512,), "max_pool1d", {"kernel_size": 3, "stride": 2}),
    ("c3d.pool1", 1, 64, (16, 112, 112), "max_pool3d", {"kernel_size": (1, 2, 2), "stride": (1, 2, 2)}),
    ("c3d.pool2", 2, 128, (16, 28, 28), "max_pool3d", {"kernel_size": 2, "stride": 2}),
    ("i3d.pool4", 1, 480, (16, 28, 28), "max_pool3d", {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("i3d.mixed_4b", 1, 512, (8, 14, 14), "max_pool3d", {"kernel_size": 3, "stride": 1, "padding": 1}),
]
NORM = [
    ("resnet.bn1", 8, 64, (112, 112)),
    ("resnet.1.bn1", 8, 64, (56, 56)),
    ("resnet.1.bn3", 8, 256, (56, 56)),
    ("resnet.2.bn1", 8, 128, (28, 28)),
    ("resnet.2.bn3", 8, 512, (28, 28)),
    ("resnet.3.bn3", 8, 1024, (14, 14)),
    ("resnet.4.bn1", 8, 512, (7, 7)),
    ("resnet.4.bn3", 8, 2048, (7, 7)),
    ("mobilenet.bn1", 16, 32, (112, 112)),
    ("mobilenet.bn6", 16, 384, (14, 14)),
    ("m5.bn1", 8, 128, (3960,)),
    ("r3d.bn2", 2, 64, (8, 56, 56)),
]
#: How often elements are read or written, forward and with gradients. Pooling: x and y, then both gradients.
#: Normalisation reads x twice, for the statistics and for y, and then x and the gradient of y twice again.
POOLING_PASSES, NORM_PASSES = (2, 4), (3, 8)


class Operation(NamedTuple):
    """What is applied, and the parameters whose gradients are wanted beside the input's."""

    apply: Callable[[Tensor], Tensor]
    parameters: tuple[Tensor, ...] = ()

    def forward(self, x: Tensor) -> Callable[[], object]:
        def call() -> Tensor:
            with torch.no_grad():
                return self.apply(x)

        return call

    def training(self, x: Tensor, gradient: Tensor) -> Callable[[], tuple[Tensor, ...]]:
        x = x.detach().requires_grad_()
        return lambda: torch.autograd.grad(self.apply(x), (x, *self.parameters), gradient)


def _pooling(module: ModuleType, operation: str, arguments: dict[str, Any]) -> Operation:
    function = getattr(module, operation)
    return Operation(lambda x: function(x, **arguments))


def _norm(mine: bool, channels: int, dtype: torch.dtype = torch.float32) -> Operation:
    weight, bias = (torch.linspace(low, 1, channels, dtype=dtype).requires_grad_() for low in (0.5, -1))
    if mine:
        return Operation(
            lambda x: ours.batch_norm(x, None, None, weight, bias, training=True, activation="relu"), (weight, bias)
        )
    return Operation(lambda x: torch.relu_(T.batch_norm(x, None, None, weight, bias, training=True)), (weight, bias))


def _check(mine: Operation, exact: Operation, x: Tensor) -> Tensor:
    """Compares with float64, and gives a gradient of the result's shape."""
    wanted = exact.apply(x.double())
    gradient = torch.randn(wanted.shape)
    for place in (torch.Tensor.contiguous, _last):
        torch.testing.assert_close(mine.apply(place(x)).double(), wanted, rtol=1e-4, atol=1e-5)
        found = mine.training(place(x), place(gradient))()
        exactly = exact.training(x.double(), gradient.double())()
        for a, b in zip(found, exactly, strict=True):
            torch.testing.assert_close(a.double(), b, rtol=1e-3, atol=1e-5 * float(b.abs().max()))
    return gradient


def _last(x: Tensor) -> Tensor:
    return x.movedim(1, -1).contiguous().movedim(-1, 1)


def _row(
    name: str, mine: Operation, torchs: Operation, x: Tensor, gradient: Tensor, copy: float, passes: tuple[int, int]
) -> list[float]:
    """Prints a line, and gives the two ratios."""
    ratios, line = [], f"{name:22}"
    for training in (False, True):
        calls = {}
        for peer, operation in (("ours", mine), ("torch", torchs)):
            for layout, place in (("contiguous", torch.Tensor.contiguous), ("last", _last)):
                call = operation.training(place(x), place(gradient)) if training else operation.forward(place(x))
                calls[f"{peer} {layout}"] = call
        times = {peer: found.median for peer, found in alternating(calls, ROUNDS, BUDGET).items()}
        best = min(times["torch contiguous"], times["torch last"])
        ratios.append(best / times["ours last"])
        moved = 4 * passes[training] * (x.numel() + gradient.numel()) / 2
        line += "".join(f"{1e3 * seconds:9.3f}" for seconds in times.values())
        line += f"{ratios[-1]:7.2f}{best / times['ours contiguous']:7.2f}"
        line += f"{moved / times['ours last'] / 1e9 / copy:7.0%}  "
    print(line, flush=True)
    return ratios


def main() -> None:
    torch.manual_seed(0)
    convlayers.keep_memory()
    copy = limits.measure().gbytes
    print(f"{torch.get_num_threads()} threads, {convlayers.isa()}, torch {torch.__version__}; copy {copy:.1f} GB/s")
    print("milliseconds of ours contiguous and channels last, torch's likewise; ratios of ours last and contiguous to")
    print("the better of torch's; bytes a second of ours last, as a part of a copy's. Forward; with gradients.")
    for title, cases, passes in (("pooling", POOLING, POOLING_PASSES), ("batch norm + ReLU", NORM, NORM_PASSES)):
        rows = []
        print(title)
        for name, batch, channels, size, *what in cases:
            if not any(word in name for word in sys.argv[1:] or [""]):
                continue
            if what:
                mine, torchs = (_pooling(module, *what) for module in (ours, T))
                exact = torchs
            else:
                mine, torchs = (_norm(who, channels) for who in (True, False))
                exact = _norm(False, channels, torch.float64)
            x = torch.randn(batch, channels, *size)
            rows.append(_row(name, mine, torchs, x, _check(mine, exact, x), copy, passes))
        if rows:
            means = (statistics.geometric_mean(column) for column in zip(*rows, strict=True))
            print("geometric means: forward {:.2f}, with gradients {:.2f}".format(*means))


if __name__ == "__main__":
    main()
