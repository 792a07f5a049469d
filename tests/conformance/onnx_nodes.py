"""ONNX's node cases: inputs and outputs that the standard generates for its convolution and pooling operators.

A small evaluator maps a node's attributes to our arguments; attributes and defaults as in ONNX's Operators.md.
"""

from __future__ import annotations

import functools
import importlib
import math
import pkgutil
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from . import subject
from .results import Case, judge

NAME = "ONNX node cases"
WHAT = "every case of ONNX's convolution and pooling operators, but for quantised and deformable convolution"

#: Operators beside convolution and pooling proper, and why their cases are not run.
LEFT_OUT = {
    "ConvInteger": "integers with zero points: quantised arithmetic",
    "QLinearConv": "integers with scales and zero points: quantised arithmetic",
    "DeformConv": "samples at learned offsets: another operator",
}


@functools.cache
def nodes() -> dict[str, list[Any]]:
    """ONNX's cases by operator."""
    import numpy
    import onnx.backend.test.case.node as collection

    numpy.random.seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in pkgutil.iter_modules(collection.__path__):
            if "conv" in module.name or "pool" in module.name:
                importlib.import_module(f"{collection.__name__}.{module.name}")
    found: dict[str, list[Any]] = {}
    for case in collection._NodeTestCases:
        operator = case.model.graph.node[0].op_type
        # An operator's expansion into other operators is that operator's matter.
        if operator not in LEFT_OUT and "_expanded" not in case.name:
            found.setdefault(operator, []).append(case)
    return found


def groups() -> list[str]:
    return list(nodes())


def run(group: str) -> list[Case]:
    return [judge(case.name, functools.partial(_check, case)) for case in nodes()[group]]


def _check(case: Any) -> str | None:
    import onnx

    node = case.model.graph.node[0]
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    subject.kernels.clear()
    for inputs, outputs in case.data_sets:
        given = iter(torch.from_numpy(array.copy()) for array in inputs)
        tensors = [next(given) if name else None for name in node.input]
        results = OPERATORS[node.op_type](Attributes(attributes), *tensors)
        results = results if isinstance(results, tuple) else (results,)
        for actual, array in zip(results[: len(outputs)], outputs, strict=True):
            expected = torch.from_numpy(array.copy())
            torch.testing.assert_close(actual, expected, rtol=case.rtol, atol=max(case.atol, 1e-6))
    return "float32 ran on torch's kernels" if subject.kernels["torch"] else None


class Attributes:
    """A node's attributes, each with ONNX's default, in our terms."""

    def __init__(self, values: dict[str, Any]):
        self.values = values

    def get(self, name: str, default: Any = None) -> Any:
        return self.values.get(name, default)

    def axes(self, name: str, rank: int, default: int = 1) -> tuple[int, ...]:
        return tuple(self.get(name, [default] * rank))

    def padding(self, rank: int) -> Any:
        """The padding as pairs or a name of ours."""
        auto = self.get("auto_pad", b"NOTSET").decode()
        if auto != "NOTSET":
            return {"SAME_UPPER": "same", "SAME_LOWER": "same_lower", "VALID": "valid"}[auto]
        pads = self.get("pads", [0] * (2 * rank))
        return tuple(zip(pads[:rank], pads[rank:], strict=True))


def _function(name: str, rank: int) -> Callable[..., Any]:
    return subject.recorded(f"{name}{rank}d")


def conv(node: Attributes, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    rank = x.dim() - 2
    return _function("conv", rank)(
        x, w, b, node.axes("strides", rank), node.padding(rank), node.axes("dilations", rank), node.get("group", 1)
    )


def conv_transpose(node: Attributes, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    rank = x.dim() - 2
    stride, dilation = node.axes("strides", rank), node.axes("dilations", rank)
    extra, padding = node.axes("output_padding", rank, 0), node.padding(rank)
    if node.get("output_shape"):
        # ONNX's formula for the total; what is odd goes low, but for SAME_UPPER.
        sizes = zip(x.shape[2:], stride, extra, w.shape[2:], dilation, node.get("output_shape"), strict=True)
        total = [s * (n - 1) + e + (k - 1) * d + 1 - o for n, s, e, k, d, o in sizes]
        upper = node.get("auto_pad") == b"SAME_UPPER"
        padding = tuple((t // 2, t - t // 2) if upper else (t - t // 2, t // 2) for t in total)
    return _function("conv_transpose", rank)(x, w, b, stride, padding, extra, node.get("group", 1), dilation)


def causal_conv_with_state(
    node: Attributes, x: Tensor, w: Tensor, b: Tensor | None = None, past: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Depthwise, over the input behind what came before it; and what the next call will need of both."""
    state = w.shape[2] - 1
    before = x.new_zeros(*x.shape[:2], state) if past is None else past
    whole = torch.cat([before, x], 2)
    y = _function("conv", 1)(whole, w, b, groups=x.shape[1])
    activation = node.get("activation", b"none").decode()
    y = F.silu(y) if activation in ("silu", "swish") else y
    return y, whole[..., whole.shape[2] - state :]


def average_pool(node: Attributes, x: Tensor) -> Tensor:
    rank = x.dim() - 2
    return _function("avg_pool", rank)(
        x, node.axes("kernel_shape", rank), node.axes("strides", rank), node.padding(rank),
        bool(node.get("ceil_mode", 0)), bool(node.get("count_include_pad", 0)), dilation=node.axes("dilations", rank),
    )  # fmt: skip


def max_pool(node: Attributes, x: Tensor) -> tuple[Tensor, Tensor]:
    rank = x.dim() - 2
    y, indices = _function("max_pool", rank)(
        x, node.axes("kernel_shape", rank), node.axes("strides", rank), node.padding(rank),
        node.axes("dilations", rank), bool(node.get("ceil_mode", 0)), return_indices=True,
    )  # fmt: skip
    # ONNX counts through the whole tensor, and column by column where storage_order is 1.
    plane = math.prod(x.shape[2:])
    if node.get("storage_order", 0):
        height, width = x.shape[2:]
        indices = indices % width * height + indices // width
    offset = torch.arange(x.shape[0] * x.shape[1]).view(*x.shape[:2], *[1] * rank) * plane
    return y, indices + offset


def lp_pool(node: Attributes, x: Tensor) -> Tensor:
    rank = x.dim() - 2
    # torch keeps the sign of an odd power's sum; ONNX has absolute values.
    return _function("lp_pool", rank)(
        x.abs(), node.get("p", 2), node.axes("kernel_shape", rank), node.axes("strides", rank),
        bool(node.get("ceil_mode", 0)), padding=node.padding(rank), dilation=node.axes("dilations", rank),
    )  # fmt: skip


def max_unpool(node: Attributes, x: Tensor, indices: Tensor, output_shape: Tensor | None = None) -> Tensor:
    rank = x.dim() - 2
    kernel, stride = node.axes("kernel_shape", rank), node.axes("strides", rank)
    size = [(n - 1) * s + k for n, s, k in zip(x.shape[2:], stride, kernel, strict=True)]
    if output_shape is not None:
        # The indices count in the planes of the smaller, inferred output.
        inferred, size = size, output_shape.tolist()[2:]
        at = torch.unravel_index(indices % math.prod(inferred), inferred)
        indices = sum(a * math.prod(size[i + 1 :]) for i, a in enumerate(at))
    else:
        indices = indices % math.prod(size)
    return _function("max_unpool", rank)(x, indices, kernel, stride, output_size=size)


def global_pool(name: str) -> Callable[[Attributes, Tensor], Tensor]:
    return lambda node, x: _function(name, x.dim() - 2)(x, 1)


OPERATORS: dict[str, Callable[..., Any]] = {
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "CausalConvWithState": causal_conv_with_state,
    "AveragePool": average_pool,
    "MaxPool": max_pool,
    "LpPool": lp_pool,
    "MaxUnpool": max_unpool,
    "GlobalAveragePool": global_pool("adaptive_avg_pool"),
    "GlobalMaxPool": global_pool("adaptive_max_pool"),
}
