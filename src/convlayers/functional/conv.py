"""Convolution in one to three dimensions: torch.nn.functional's functions, with more borders and an activation."""

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
    dilation: IntOrInts,
    groups: int,
    padding_mode: PaddingMode,
    padding_value: float,
    unbatched: bool,
) -> Arguments:
    """What does not depend on the tensors' values, all of it checked."""
    groups = geometry.integer("groups", groups)
    check_shapes(input_shape, weight_shape, groups, rank, transposed=False, unbatched=unbatched)
    stride = geometry.integers("stride", stride, rank, least=1)
    dilation = geometry.integers("dilation", dilation, rank, least=1)
    modes = geometry.padding_modes(padding_mode, rank)
    value = geometry.padding_values(padding_value, modes)
    entries = geometry.padding_entries(padding, rank)
    size, kernel = tuple(input_shape[2:]), tuple(weight_shape[2:])
    windows = geometry.convolution_windows(size, kernel, stride, entries, dilation, modes, value)
    at = arguments(input_shape, weight_shape, groups=groups, transposed=False, **windows._asdict())
    geometry.check_elements(input_shape[0], at.out_channels, *windows.output_size)
    return at


def _conv(
    rank: int,
    function: Callable[..., Tensor],
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: IntOrInts,
    padding: Padding,
    dilation: IntOrInts,
    groups: int,
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
            function, (input, weight, bias), input, weight, bias, stride, padding, dilation, groups, **extras
        )
    x, unbatched = batched(input, rank)
    shapes = shapes_of(x, weight)
    at = _arguments(rank, *shapes, stride, padding, dilation, groups, padding_mode, padding_value, unbatched)
    check_operands(x, weight, bias, at.out_channels)
    act = resolve(activation)
    fused = act if isinstance(act, Activation) else IDENTITY
    output = convolution(x, weight, bias, at, fused)
    if unbatched:
        output = output.squeeze(0)
    return output if fused is act else act(output)


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrInts = 1,
    padding: Padding = 0,
    dilation: IntOrInts = 1,
    groups: int = 1,
    *,
    padding_mode: PaddingMode = "zeros",
    padding_value: float = 0.0,
    activation: ActivationLike = None,
) -> Tensor:
    """Convolution of signals; arguments as for :func:`conv2d`.

    Shape:
        input (batch, in_channels, length) or (in_channels, length); weight (out_channels, in_channels / groups, taps);
        bias (out_channels,); result (batch, out_channels, positions) or (out_channels, positions).

    Example:
        >>> import torch
        >>> signal = torch.tensor([[1.0, 2.0, 4.0, 7.0]])
        >>> conv1d(signal, torch.tensor([[[-1.0, 1.0]]]), padding="causal")
        tensor([[1., 1., 2., 3.]])
    """
    return _conv(
        1, conv1d, input, weight, bias, stride, padding, dilation, groups, padding_mode, padding_value, activation
    )


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrInts = 1,
    padding: Padding = 0,
    dilation: IntOrInts = 1,
    groups: int = 1,
    *,
    padding_mode: PaddingMode = "zeros",
    padding_value: float = 0.0,
    activation: ActivationLike = None,
) -> Tensor:
    """Convolution of images (cross-correlation, as in all of deep learning: the kernel is not flipped).

    Shape:
        input (batch, in_channels, height, width) or (in_channels, height, width), either layout; weight (out_channels,
        in_channels / groups, kernel height, kernel width); bias (out_channels,); result (batch, out_channels, rows,
        columns) or without the batch, in the input's layout.

    Args:
        stride: elements from one window to the next; one integer, or one an axis.
        padding: elements put around the input: an amount for both sides, an amount or a pair ``(low, high)`` an axis
            (negative amounts crop), or a name: ``'valid'`` (none), ``'same'`` (ceil(size / stride) outputs, an odd
            element above, ``'same_lower'``: below), ``'full'`` (every window that touches the input), ``'causal'``
            (below only: no output sees a later input). A tuple mixes them, one an axis.
        dilation: distance between the taps of a window.
        groups: channels are cut into this many groups that do not see each other.
        padding_mode: what the padding shows: ``'zeros'``, ``'constant'`` (``padding_value``), ``'reflect'``,
            ``'replicate'`` or ``'circular'``; a tuple gives one an axis.
        padding_value: the constant of ``'constant'``.
        activation: applied to the result: a name such as ``'relu'``, a module or a callable.

    Returns:
        The result, of the input's dtype.

    Raises:
        ValueError: for shapes that do not fit, amounts out of range, unknown names.
        TypeError: for arguments or dtypes of the wrong kind. (Both are RuntimeErrors as well, as torch raises them.)

    Example:
        >>> import torch
        >>> images, weight = torch.ones(1, 3, 32, 32), torch.ones(10, 3, 5, 5)
        >>> conv2d(images, weight, padding="same").shape
        torch.Size([1, 10, 32, 32])
        >>> conv2d(images, weight, stride=2, padding=((2, 1), "causal"), padding_mode="reflect").unique()
        tensor([75.])

    Source:
        LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document recognition, 1998, section II.
    """
    return _conv(
        2, conv2d, input, weight, bias, stride, padding, dilation, groups, padding_mode, padding_value, activation
    )


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrInts = 1,
    padding: Padding = 0,
    dilation: IntOrInts = 1,
    groups: int = 1,
    *,
    padding_mode: PaddingMode = "zeros",
    padding_value: float = 0.0,
    activation: ActivationLike = None,
) -> Tensor:
    """Convolution of volumes or videos; arguments as for :func:`conv2d`.

    Shape:
        input (batch, in_channels, depth, height, width) or without the batch; weight (out_channels, in_channels /
        groups, \\*kernel); bias (out_channels,); result (batch, out_channels, \\*positions) or without the batch.

    Example:
        >>> import torch
        >>> video, weight = torch.ones(2, 8, 16, 16), torch.ones(4, 2, 3, 3, 3)
        >>> conv3d(video, weight, padding=("causal", "same", "same")).shape
        torch.Size([4, 8, 16, 16])
    """
    return _conv(
        3, conv3d, input, weight, bias, stride, padding, dilation, groups, padding_mode, padding_value, activation
    )
