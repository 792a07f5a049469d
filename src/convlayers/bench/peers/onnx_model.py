"""A convolution as an ONNX model of one node, for the runtimes that read such models.

Weight and bias are constants in it, as where a trained network is deployed, so a runtime may pack them once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from convlayers.bench.data import Tensors
from convlayers.bench.peers.peer import UnsupportedError
from convlayers.bench.problem import Problem

#: The ONNX version that the node is written for; Conv and ConvTranspose have not changed since.
OPSET = 13


def model(problem: Problem, tensors: Tensors) -> bytes:
    """The model, serialised: input ``x``, output ``y``, both float32 of the problem's shapes.

    Raises:
        UnsupportedError: where ONNX's operators cannot say it.
    """
    import onnx
    from onnx import helper, numpy_helper

    if min(problem.low + problem.high) < 0:
        raise UnsupportedError("ONNX has no negative padding")
    attributes: dict[str, Any] = {
        "kernel_shape": problem.kernel,
        "strides": problem.stride,
        "dilations": problem.dilation,
        "group": problem.groups,
        "pads": problem.low + problem.high,
    }
    if problem.transposed:
        attributes["output_padding"] = problem.output_padding
    operator = "ConvTranspose" if problem.transposed else "Conv"
    node = helper.make_node(operator, ["x", "w", "b"], ["y"], **attributes)
    kind = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [node],
        "problem",
        [helper.make_tensor_value_info("x", kind, problem.input_shape)],
        [helper.make_tensor_value_info("y", kind, problem.output_shape)],
        [numpy_helper.from_array(array(tensors.weight), "w"), numpy_helper.from_array(array(tensors.bias), "b")],
    )
    # The format's version that came with this opset, which every runtime reads.
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    return whole.SerializeToString()


def array(tensor: Tensor) -> np.ndarray:
    """A contiguous tensor's memory, as numpy sees it."""
    return tensor.numpy()
