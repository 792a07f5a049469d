"""Convolutions drawn by hypothesis, and what they should give: an independent oracle, padding and torch in float64."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from hypothesis import assume
from hypothesis import strategies as st
from torch import Tensor, nn

NAMES = ("valid", "same", "same_lower", "full", "causal")
MODES = ("zeros", "constant", "reflect", "replicate", "circular")
FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}
LAYOUTS = ("contiguous", "channels last", "sliced", "expanded", "permuted")

#: Activations whose values and derivatives stay small multiples of 1/4 for small integers.
ACTIVATIONS: tuple[Any, ...] = (None, "relu", "relu6", nn.LeakyReLU(0.25), nn.Hardtanh(-3.0, 5.0), torch.abs)
_APPLIED = {None: lambda t: t, "relu": F.relu, "relu6": F.relu6}


class Problem(NamedTuple):
    """One call of a convolution: sizes and arguments, no data."""

    rank: int
    transposed: bool
    batch: int | None
    size: tuple[int, ...]
    in_channels: int
    out_channels: int
    groups: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: Any
    output_padding: tuple[int, ...]
    padding_mode: tuple[str, ...]
    padding_value: float
    bias: bool
    activation: Any
    layout: str
    seed: int

    @property
    def name(self) -> str:
        return f"conv_transpose{self.rank}d" if self.transposed else f"conv{self.rank}d"

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (*(() if self.batch is None else (self.batch,)), self.in_channels, *self.size)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        if self.transposed:
            return (self.in_channels, self.out_channels // self.groups, *self.kernel)
        return (self.out_channels, self.in_channels // self.groups, *self.kernel)

    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of ours."""
        given = {name: getattr(self, name) for name in ("stride", "padding", "dilation", "groups", "activation")}
        given |= {"padding_mode": self.padding_mode, "padding_value": self.padding_value}
        return given | ({"output_padding": self.output_padding} if self.transposed else {})


# --- drawing ----------------------------------------------------------------------------------------------------------


def _axes(rank: int, low: int, high: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.tuples(*[st.integers(low, high)] * rank)


def _padding(rank: int) -> st.SearchStrategy[Any]:
    amount = st.integers(0, 4)
    pair = st.tuples(st.integers(-2, 5), st.integers(-2, 5))
    name = st.sampled_from(NAMES)
    entry = st.one_of(amount, pair, name)
    return st.one_of(amount, st.tuples(*[amount] * rank), st.tuples(*[pair] * rank), name, st.tuples(*[entry] * rank))


@st.composite
def problems(draw: Any, largest: int = 1) -> Problem:
    """A problem that our functions should accept; ``largest`` multiplies the sizes of its axes."""
    rank = draw(st.integers(1, 3))
    transposed = draw(st.booleans())
    kind = draw(st.sampled_from(("dense", "grouped", "depthwise")))
    if kind == "dense":
        groups, in_channels, out_channels = 1, draw(st.integers(1, 37)), draw(st.integers(1, 37))
    elif kind == "grouped":
        groups = draw(st.integers(2, 4))
        in_channels, out_channels = (groups * draw(st.integers(1, 9)) for _ in range(2))
    else:
        groups, multiplier = draw(st.integers(2, 37)), draw(st.integers(1, 3))
        in_channels, out_channels = groups, groups * multiplier
    size = draw(_axes(rank, 1, (24, 10, 6)[rank - 1] * largest))
    stride, dilation = draw(_axes(rank, 1, 3)), draw(_axes(rank, 1, 3))
    plain = draw(st.booleans())
    problem = Problem(
        rank=rank,
        transposed=transposed,
        batch=draw(st.sampled_from((1, 2, 3, 0, None))),
        size=size,
        in_channels=in_channels,
        out_channels=out_channels,
        groups=groups,
        kernel=draw(_axes(rank, 1, (9, 5, 3)[rank - 1])),
        stride=stride,
        dilation=dilation,
        padding=draw(_padding(rank)),
        output_padding=tuple(draw(st.integers(0, s - 1)) for s in stride) if transposed else (0,) * rank,
        padding_mode=("zeros",) * rank if plain else draw(st.tuples(*[st.sampled_from(MODES)] * rank)),
        padding_value=0.0,
        bias=draw(st.booleans()),
        activation=draw(st.sampled_from(ACTIVATIONS)),
        layout=draw(st.sampled_from(LAYOUTS)),
        seed=draw(st.integers(0, 2**16)),
    )
    if "constant" in problem.padding_mode:
        problem = problem._replace(padding_value=float(draw(st.integers(-2, 2))))
    assume(expected_size(problem) is not None)
    return problem


# --- data -------------------------------------------------------------------------------------------------------------


def tensors(problem: Problem, integers: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """Input, weight and bias: small integers, or normally distributed."""
    generator = torch.Generator().manual_seed(problem.seed)

    def make(*shape: int) -> Tensor:
        if integers:
            return torch.randint(-3, 4, shape, generator=generator, dtype=torch.float32)
        return torch.randn(shape, generator=generator)

    bias = make(problem.out_channels) if problem.bias else None
    return (
        laid_out(make(*problem.input_shape), problem.layout, problem.rank),
        guarded(make(*problem.weight_shape)),
        bias,
    )


def guarded(tensor: Tensor) -> Tensor:
    """The same, in memory with NaN on both sides, and off the alignment that allocations have."""
    buffer = torch.full((tensor.numel() + 34,), float("nan"))
    inside = buffer[17:-17].view(tensor.shape)
    return inside.copy_(tensor)


def laid_out(tensor: Tensor, layout: str, rank: int) -> Tensor:
    """The same values in another layout (for 'expanded': of its first entry), with NaN wherever nothing belongs."""
    channels = tensor.dim() - rank - 1
    if layout == "channels last" and channels >= 0:
        return guarded(tensor.movedim(channels, -1)).movedim(-1, channels)
    if layout == "sliced":
        wide = torch.full([2 * n + 1 for n in tensor.shape], float("nan"))
        return wide[tuple(slice(1, None, 2) for _ in tensor.shape)].copy_(tensor)
    if layout == "expanded" and tensor.shape[0] > 0:
        return tensor[:1].expand(tensor.shape)
    if layout == "permuted":
        return tensor.mT.contiguous().mT if tensor.dim() > 1 else tensor
    return guarded(tensor)


# --- the oracle -------------------------------------------------------------------------------------------------------


def amounts(problem: Problem) -> tuple[tuple[int, int], ...]:
    """Padding below and above each axis, by the names' definitions."""
    entries = problem.padding if isinstance(problem.padding, tuple) else (problem.padding,) * problem.rank
    axes = zip(entries, problem.size, problem.kernel, problem.stride, problem.dilation, strict=True)
    return tuple(_amount(*axis, problem.transposed) for axis in axes)


def _amount(entry: Any, n: int, k: int, s: int, d: int, transposed: bool) -> tuple[int, int]:
    reach = d * (k - 1) + 1
    if isinstance(entry, tuple):
        return entry
    if isinstance(entry, int):
        return entry, entry
    if entry == "valid" or (entry == "full" and transposed):
        return 0, 0
    if entry == "full":
        return reach - 1, reach - 1
    if entry == "causal":
        return (0, reach - s) if transposed else (reach - 1, 0)
    # 'same': n * s outputs, transposed; else ceil(n / s), for which the input must not be cropped.
    total = reach - s if transposed else max((-(-n // s) - 1) * s + reach - n, 0)
    small, large = max(total, 0) // 2, (max(total, 0) + 1) // 2
    first = small if entry == "same" else large
    return first, total - first


def _beyond(problem: Problem) -> list[tuple[int, int]]:
    """How many elements beyond each axis' ends windows may see; negative where the input is cropped."""
    if not problem.transposed:
        return list(amounts(problem))
    beyond = []
    for i, (output, (low, _)) in enumerate(zip(_sizes(problem), amounts(problem), strict=True)):
        n, s, reach = problem.size[i], problem.stride[i], problem.dilation[i] * (problem.kernel[i] - 1)
        # Output o meets tap t at input (o + low - t * dilation) / stride.
        beyond.append((max(0, (reach - low) // s), max(0, (output - 1 + low) // s - (n - 1))))
    return beyond


def _sizes(problem: Problem) -> list[int]:
    result = []
    for i, (low, high) in enumerate(amounts(problem)):
        n, k, s, d = problem.size[i], problem.kernel[i], problem.stride[i], problem.dilation[i]
        reach = d * (k - 1) + 1
        if problem.transposed:
            result.append((n - 1) * s + reach - low - high + problem.output_padding[i])
        else:
            result.append((n + low + high - reach) // s + 1)
    return result


def expected_size(problem: Problem) -> tuple[int, ...] | None:
    """The output's size along each axis, or None where the call should be refused."""
    sizes = _sizes(problem)
    if min(sizes) < 1:
        return None
    for n, mode, (low, high) in zip(problem.size, problem.padding_mode, _beyond(problem), strict=True):
        widest = {"reflect": n - 1, "circular": n}.get(mode)
        if widest is not None and max(low, high) > widest:
            return None
    return tuple(sizes)


def oracle(problem: Problem, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The definition: the input continued beyond its border as a copy, then torch's convolution without padding."""
    rank, beyond = problem.rank, _beyond(problem)
    extended = input
    for i, ((low, high), mode) in enumerate(zip(beyond, problem.padding_mode, strict=True)):
        extended = _continued(extended, i - rank, low, high, mode, problem.padding_value)
    if problem.transposed:
        function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[rank - 1]
        output = function(extended, weight, None, problem.stride, 0, 0, problem.groups, problem.dilation)
        for i, (size, (low, _), (below, _)) in enumerate(zip(_sizes(problem), amounts(problem), beyond, strict=True)):
            first = low + below * problem.stride[i]
            output = _continued(output, i - rank, -first, first + size - output.shape[i - rank], "zeros", 0.0)
        output = output if bias is None else output + bias.view(-1, *[1] * rank)
    else:
        function = (F.conv1d, F.conv2d, F.conv3d)[rank - 1]
        output = function(extended, weight, bias, problem.stride, 0, problem.dilation, problem.groups)
    return _APPLIED.get(problem.activation, problem.activation)(output)


def _continued(tensor: Tensor, dim: int, low: int, high: int, mode: str, value: float) -> Tensor:
    """One axis, counted from the last, with ``low`` and ``high`` elements more (or, if negative, fewer)."""
    n = tensor.shape[dim]
    at = torch.arange(-low, n + high)
    outside = (at < 0) | (at >= n)
    if mode == "reflect":
        at = torch.where(at < 0, -at, torch.where(at >= n, 2 * (n - 1) - at, at))
    elif mode == "circular":
        at = at % n
    taken = tensor.index_select(dim, at.clamp(0, n - 1))
    if mode in ("zeros", "constant"):
        beside = outside.view(-1, *[1] * (-dim - 1))
        taken = taken.masked_fill(beside, value if mode == "constant" else 0.0)
    return taken
