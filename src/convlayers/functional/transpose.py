"""Transposed convolution in one to three dimensions: torch.nn.functional's functions, with more borders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_variadic

from convlayers import geometry
from convlayers.activations import IDENTITY, Activation, ActivationLike, resolve
from convlayers.functional.arguments import batched, check_operands, check_shapes, shapes_of
from convlayers.functional.cached import cached
from convlayers.geometry import IntOrInts, Padding, PaddingMode
from convlayers.ops.arguments import Arguments, arguments
from convlayers.ops.convolution import convolution


@cached
def _arguments(
    rank: int,
    input_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    stride: IntOrInts,
    padding: Padding,
    output_padding: IntOrInts,
    dilation: IntOrInts,
    groups: int,
    padding_mode: PaddingMode,
    padding_value: float,
    unbatched: bool,
) -> Arguments:
    """What does not depend on the tensors' values, all of it checked."""
    groups = geometry.integer("groups", groups)
    check_shapes(input_shape, weight_shape, groups, rank, transposed=True, unbatched=unbatched)
    stride = geometry.integers("stride", stride, rank, least=1)
    dilation = geometry.integers("dilation", dilation, rank, least=1)
    output_padding = geometry.integers("output_padding", output_padding, rank, least=0)
    modes = geometry.padding_modes(padding_mode, rank)
    value = geometry.padding_values(padding_value, modes)
    entries = geometry.padding_entries(padding, rank)
    size, kernel = tuple(input_shape[2:]), tuple(weight_shape[2:])
    windows = geometry.transposed_windows(size, kernel, stride, entries, output_padding, dilation, modes, value)
    at = arguments(input_shape, weight_shape, groups=groups, transposed=True, **windows._asdict())
    geometry.check_elements(input_shape[0], at.out_channels, *windows.output_size)
    return at


def _conv_transpose(
    rank: int,
    function: Callable[..., Tensor],
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: IntOrInts,
    padding: Padding,
    output_padding: IntOrInts,
    groups: int,
    dilation: IntOrInts,
    padding_mode: PaddingMode,
    padding_value: float,
    activation: ActivationLike,
) -> Tensor:
    if has_torch_function_variadic(input, weight, bias):
        extras: dict[str, Any] = {
            "padding_mode": padding_mode,
            "padding_value": padding_value,
            "activation": activation,
        }
        return handle_torch_function(
            function, (input, weight, bias), input, weight, bias, stride, padding, output_padding, groups, dilation,
            **extras,
        )  # fmt: skip
    x, unbatched = batched(input, rank)
    shapes = shapes_of(x, weight)
    at = _arguments(
        rank, *shapes, stride, padding, output_padding, dilation, groups, padding_mode, padding_value, unbatched
    )
    check_operands(x, weight, bias, at.out_channels)
    act = resolve(activation)
    fused = act if isinstance(act, Activation) else IDENTITY
    output = convolution(x, weight, bias, at, fused)
    if unbatched:
        output = output.squeeze(0)
    return output if fused is act else act(output)


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrInts = 1,
    padding: Padding = 0,
    output_padding: IntOrInts = 0,
    groups: int = 1,
    dilation: IntOrInts = 1,
    *,
    padding_mode: PaddingMode = "zeros",
    padding_value: float = 0.0,
    activation: ActivationLike = None,
) -> Tensor:
    """Transposed convolution of signals; arguments as for :func:`conv_transpose2d`.

    Shape:
        input (batch, in_channels, length) or (in_channels, length); weight (in_channels, out_channels / groups, taps);
        bias (out_channels,); result (batch, out_channels, positions) or (out_channels, positions).

    Example:
        >>> import torch
        >>> conv_transpose1d(torch.tensor([[1.0, 2.0]]), torch.tensor([[[1.0, 10.0, 100.0]]]), stride=2)
        tensor([[  1.,  10., 102.,  20., 200.]])
    """
    return _conv_transpose(
        1, conv_transpose1d, input, weight, bias, stride, padding, output_padding, groups, dilation,
        padding_mode, padding_value, activation,
    )  # fmt: skip


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrInts = 1,
    padding: Padding = 0,
    output_padding: IntOrInts = 0,
    groups: int = 1,
    dilation: IntOrInts = 1,
    *,
    padding_mode: PaddingMode = "zeros",
    padding_value: float = 0.0,
    activation: ActivationLike = None,
) -> Tensor:
    """Transposed convolution of images: every input element adds a copy of the kernel, ``stride`` apart.

    Shape:
        input (batch, in_channels, height, width) or (in_channels, height, width), either layout; weight (in_channels,
        out_channels / groups, kernel height, kernel width); bias (out_channels,); result (batch, out_channels, rows,
        columns) or without the batch, in the input's layout, with rows = (height - 1) * stride - low - high +
        dilation * (kernel height - 1) + 1 + output_padding.

    Args:
        stride: output elements from one input element's copy of the kernel to the next.
        padding: output elements cut off: an amount for both sides, an amount or a pair ``(low, high)`` an axis
            (negative amounts go on beyond what the input reaches), or a name: ``'valid'`` or ``'full'`` (nothing is
            cut), ``'same'`` (size * stride outputs, ``'same_lower'``: an odd element is cut below), ``'causal'`` (as
            many, and no output sees a later input). A tuple mixes them, one an axis.
        output_padding: output elements added above; smaller than stride or dilation.
        groups: channels are cut into this many groups that do not see each other.
        dilation: distance between the taps of the kernel.
        padding_mode: how the input goes on beyond its edge before it is spread out: ``'zeros'``, ``'constant'``,
            ``'reflect'``, ``'replicate'`` or ``'circular'``; a tuple gives one an axis.
        padding_value: the constant of ``'constant'``.
        activation: applied to the result: a name such as ``'relu'``, a module or a callable.

    Returns:
        The result, of the input's dtype. With zeros beyond the edge it is the adjoint (the gradient with respect to the
        input) of the convolution with the same arguments.

    Raises:
        ValueError: for shapes that do not fit, amounts out of range, unknown names.
        TypeError: for arguments or dtypes of the wrong kind. (Both are RuntimeErrors as well, as torch raises them.)

    Example:
        >>> import torch
        >>> maps, weight = torch.ones(1, 8, 7, 7), torch.ones(8, 4, 3, 3)
        >>> conv_transpose2d(maps, weight, stride=2, padding="same").shape
        torch.Size([1, 4, 14, 14])

    Source:
        Dumoulin, Visin: A guide to convolution arithmetic for deep learning, 2016, arXiv 1603.07285, chapter 4.
    """
    return _conv_transpose(
        2, conv_transpose2d, input, weight, bias, stride, padding, output_padding, groups, dilation,
        padding_mode, padding_value, activation,
    )  # fmt: skip


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrInts = 1,
    padding: Padding = 0,
    output_padding: IntOrInts = 0,
    groups: int = 1,
    dilation: IntOrInts = 1,
    *,
    padding_mode: PaddingMode = "zeros",
    padding_value: float = 0.0,
    activation: ActivationLike = None,
) -> Tensor:
    """Transposed convolution of volumes; arguments as for :func:`conv_transpose2d`.

    Shape:
        input (batch, in_channels, depth, height, width) or without the batch; weight (in_channels, out_channels /
        groups, \\*kernel); bias (out_channels,); result (batch, out_channels, \\*positions) or without the batch.

    Example:
        >>> import torch
        >>> conv_transpose3d(torch.ones(2, 4, 4, 4), torch.ones(2, 1, 2, 2, 2), stride=2).shape
        torch.Size([1, 8, 8, 8])
    """
    return _conv_transpose(
        3, conv_transpose3d, input, weight, bias, stride, padding, output_padding, groups, dilation,
        padding_mode, padding_value, activation,
    )  # fmt: skip
