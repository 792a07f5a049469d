"""Locally connected layers: windows as in a convolution, but every position has filters of its own."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from convlayers import geometry, init
from convlayers.activations import ActivationLike, resolve
from convlayers.errors import ArgumentError
from convlayers.functional.arguments import batched, check_alike
from convlayers.geometry import IntOrInts, Padding, PaddingMode
from convlayers.nn.extras import check_channels, named
from convlayers.ops.borders import extend
from convlayers.ops.layout import in_layout_of


class LocallyConnectedNd(nn.Module):
    """A locally connected layer of any rank, for inputs of one size."""

    rank: int

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        input_size: IntOrInts,
        kernel_size: IntOrInts,
        stride: IntOrInts = 1,
        padding: Padding = 0,
        dilation: IntOrInts = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        padding_value: float = 0.0,
        activation: ActivationLike = None,
        weight_init: init.Initialiser = None,
        bias_init: init.Initialiser = None,
    ) -> None:
        super().__init__()
        check_channels(1, in_channels=in_channels, out_channels=out_channels)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.input_size = geometry.integers("input_size", input_size, self.rank, least=1)
        self.kernel_size = geometry.integers("kernel_size", kernel_size, self.rank, least=1)
        self.stride = geometry.integers("stride", stride, self.rank, least=1)
        self.dilation = geometry.integers("dilation", dilation, self.rank, least=1)
        self.padding = padding
        self.padding_mode, self.padding_value = padding_mode, padding_value
        self.activation = activation
        resolve(activation)
        init.check("weight_init", weight_init)
        init.check("bias_init", bias_init)
        self.weight_init, self.bias_init = weight_init, bias_init
        self.output_size = self._windows().output_size
        self.weight = nn.Parameter(
            torch.empty((*self.output_size, out_channels, in_channels, *self.kernel_size), device=device, dtype=dtype)
        )
        if bias:
            self.bias = nn.Parameter(torch.empty((out_channels, *self.output_size), device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def _windows(self) -> geometry.Windows:
        modes = geometry.padding_modes(self.padding_mode, self.rank)
        value = geometry.padding_values(self.padding_value, modes)
        entries = geometry.padding_entries(self.padding, self.rank)
        return geometry.convolution_windows(
            self.input_size, self.kernel_size, self.stride, entries, self.dilation, modes, value
        )

    def reset_parameters(self) -> None:
        """Draws the parameters anew: as a convolution of torch does, then as the initialisers say."""
        bound = 1 / math.sqrt(self.in_channels * math.prod(self.kernel_size))
        nn.init.uniform_(self.weight, -bound, bound)
        if self.weight_init is not None:
            for filters in self.weight.detach().flatten(0, self.rank - 1):
                init.initialise(filters, self.weight_init)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)
            init.initialise(self.bias, self.bias_init)

    def forward(self, input: Tensor) -> Tensor:
        x, unbatched = batched(input, self.rank)
        if tuple(x.shape[1:]) != (self.in_channels, *self.input_size):
            raise ArgumentError(
                f"input must have {self.in_channels} channels and the spatial size {self.input_size} that the layer "
                f"was built for; received shape {tuple(input.shape)}"
            )
        check_alike(x, "weight", self.weight)
        at = self._windows()
        high = tuple(
            (o - 1) * s + geometry.reach(k, d) - n - lo
            for o, s, k, d, n, lo in zip(
                at.output_size, at.stride, self.kernel_size, at.dilation, self.input_size, at.low, strict=True
            )
        )
        windows = extend(x, at.low, high, at.border, at.value)
        for axis in range(self.rank):
            k, d = self.kernel_size[axis], self.dilation[axis]
            windows = windows.unfold(axis + 2, geometry.reach(k, d), self.stride[axis])[..., ::d]
        axes = "xyz"[: self.rank]
        taps = "uvw"[: self.rank]
        output = torch.einsum(f"bc{axes}{taps},{axes}oc{taps}->bo{axes}", windows, self.weight)
        if self.bias is not None:
            output = output + self.bias
        output = resolve(self.activation)(in_layout_of(x, output))
        return output.squeeze(0) if unbatched else output

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, input_size={self.input_size}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}, padding={self.padding}, dilation={self.dilation}"
        )
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        if activation := named(activation=self.activation):
            text += f", {activation}"
        return text


class LocallyConnected1d(LocallyConnectedNd):
    """A locally connected layer for signals; arguments as for :class:`LocallyConnected2d`.

    Shape:
        input (batch, in_channels, length) or (in_channels, length) -> (batch, out_channels, positions) or without the
        batch.

    Example:
        >>> LocallyConnected1d(2, 4, 10, 3, padding="same")(torch.zeros(1, 2, 10)).shape
        torch.Size([1, 4, 10])
    """

    rank = 1


class LocallyConnected2d(LocallyConnectedNd):
    """A locally connected layer for images: a convolution whose weights are not shared between positions.

    Shape:
        input (batch, in_channels, height, width) or (in_channels, height, width) -> (batch, out_channels, rows,
        columns) or without the batch; weight (rows, columns, out_channels, in_channels, \\*kernel); bias (out_channels,
        rows, columns).

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, bias, padding_mode, device, dtype,
            padding_value, activation, weight_init, bias_init: as for :class:`Conv2d`.
        input_size: the spatial size of the inputs, one integer for all axes or one each.

    Raises:
        ValueError: for amounts out of range, unknown names, an input of another size.
        TypeError: for arguments of the wrong kind.

    Example:
        >>> layer = LocallyConnected2d(1, 2, (8, 6), 3)
        >>> layer(torch.zeros(5, 1, 8, 6)).shape, layer.weight.shape
        (torch.Size([5, 2, 6, 4]), torch.Size([6, 4, 2, 1, 3, 3]))

    Source:
        Taigman, Yang, Ranzato, Wolf: DeepFace, 2014, section 3.
    """

    rank = 2
