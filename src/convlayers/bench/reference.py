"""What is right: a convolution and its gradients in float64, a tap at a time.

A convolution reads a larger, padded array (its input) into a smaller one (its output); a transposed convolution writes
from the smaller (its input) into the larger (its output). Each tap of the kernel pairs the smaller array with a strided
slice of the larger one, so forward pass and gradients are three matrix products a tap. torch's own convolution in
float64 would unfold its input first, which for a large volume takes more memory than most machines have. Where a filter
covers its input, its taps, millions of a volume, are as channels.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from convlayers.bench.data import Tensors
from convlayers.bench.problem import Ints, Problem


def forward(problem: Problem, tensors: Tensors) -> Tensor:
    """The output, float64, of the shape ``problem.output_shape``."""
    problem, tensors = _with_taps_as_channels(problem, tensors)
    input, weight, bias, _ = (tensor.double() for tensor in tensors)
    output = _write(problem, input, weight) if problem.transposed else _read(problem, input, weight)
    return output + bias.view(-1, *[1] * problem.rank)


def training(problem: Problem, tensors: Tensors) -> tuple[Tensor, ...]:
    """Output and gradients of input, weight and bias, float64."""
    shapes = problem.input_shape, problem.weight_shape
    problem, tensors = _with_taps_as_channels(problem, tensors)
    input, weight, _, upstream = (tensor.double() for tensor in tensors)
    if problem.transposed:
        input_gradient = _read(problem, upstream, weight)
        weight_gradient = _products(problem, input, upstream)
    else:
        input_gradient = _write(problem, upstream, weight)
        weight_gradient = _products(problem, upstream, input)
    bias_gradient = upstream.transpose(0, 1).flatten(1).sum(1)
    gradients = (g.view(shape) for g, shape in zip((input_gradient, weight_gradient), shapes, strict=True))
    return forward(problem, tensors), *gradients, bias_gradient


def _with_taps_as_channels(problem: Problem, tensors: Tensors) -> tuple[Problem, Tensors]:
    """The same computation without taps, where a filter covers its input."""
    if not problem.call(contiguous=True).covers:
        return problem, tensors
    ones, zeros = (1,) * problem.rank, (0,) * problem.rank
    channels = math.prod(problem.weight_shape[1:])
    flat = replace(problem, in_channels=channels, size=ones, kernel=ones, stride=ones, low=zeros, high=zeros)
    input, weight = tensors.input.reshape(flat.input_shape), tensors.weight.reshape(flat.weight_shape)
    return flat, tensors._replace(input=input, weight=weight)


def _read(problem: Problem, larger: Tensor, weight: Tensor) -> Tensor:
    padded = F.pad(larger, problem.pairs)
    size, _ = _sizes(problem)
    result = larger.new_zeros(larger.shape[0], problem.groups, weight.shape[0] // problem.groups, *size)
    for tap, inside in _taps(problem):
        result.flatten(3).add_(_matrix(problem, weight, tap) @ _columns(problem, padded[inside]))
    return result.flatten(1, 2)


def _write(problem: Problem, smaller: Tensor, weight: Tensor) -> Tensor:
    _, size = _sizes(problem)
    channels = weight.shape[1] * problem.groups
    padded = F.pad(smaller.new_zeros(smaller.shape[0], channels, *size), problem.pairs)
    columns = _columns(problem, smaller)
    for tap, inside in _taps(problem):
        part = padded[inside]
        part += (_matrix(problem, weight, tap).mT @ columns).view(part.shape)
    return F.pad(padded, [-amount for amount in problem.pairs])


def _products(problem: Problem, smaller: Tensor, larger: Tensor) -> Tensor:
    padded = F.pad(larger, problem.pairs)
    columns = _columns(problem, smaller)
    result = larger.new_empty(problem.weight_shape)
    for tap, inside in _taps(problem):
        product = columns @ _columns(problem, padded[inside]).mT
        result[tap] = product.sum(0).flatten(0, 1)
    return result


def _sizes(problem: Problem) -> tuple[Ints, Ints]:
    """Sizes of the smaller and of the larger array."""
    pair = (problem.output_size, problem.size)
    return pair[::-1] if problem.transposed else pair


def _taps(problem: Problem) -> list[tuple[Any, Any]]:
    """For each tap, the index of its weights and that of what it meets in the padded larger array."""
    smaller, _ = _sizes(problem)
    taps = []
    for tap in itertools.product(*(range(taps) for taps in problem.kernel)):
        first = [t * dilation for t, dilation in zip(tap, problem.dilation, strict=True)]
        axes = zip(first, smaller, problem.stride, strict=True)
        taps.append(((..., *tap), (..., *(slice(f, f + (n - 1) * s + 1, s) for f, n, s in axes))))
    return taps


def _matrix(problem: Problem, weight: Tensor, tap: Any) -> Tensor:
    """The weights of a tap: (groups, channels of the smaller array a group, of the larger array a group)."""
    return weight[tap].unflatten(0, (problem.groups, -1))


def _columns(problem: Problem, tensor: Tensor) -> Tensor:
    """(batch, groups, channels a group, positions)."""
    return tensor.unflatten(1, (problem.groups, -1)).flatten(3)
