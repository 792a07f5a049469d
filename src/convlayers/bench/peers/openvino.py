"""OpenVINO on the CPU, forward only: a model of one node, input and output in memory that stays in place."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convlayers.bench.data import Data
from convlayers.bench.peers.peer import Calls, UnsupportedError
from convlayers.bench.problem import Problem


@dataclass(frozen=True)
class OpenVino:
    """OpenVINO, with torch's number of threads; float32 throughout, where it would take bfloat16 by itself."""

    name: str = "openvino contiguous"
    family: str = "openvino"
    own_threads: bool = True

    def prepare(self, problem: Problem, data: Data) -> Calls:
        import openvino

        from convlayers.bench.peers.onnx_model import array, model

        tensors = data.laid_out("contiguous")
        core = openvino.Core()
        options = {
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,
        }
        network = core.read_model(model(problem, tensors))
        try:
            compiled = core.compile_model(network, "CPU", options)
        except RuntimeError as error:
            raise UnsupportedError(f"OpenVINO: {str(error).strip().splitlines()[-1]}") from error
        output = torch.empty(problem.output_shape)
        request = compiled.create_infer_request()
        request.set_input_tensor(openvino.Tensor(array(tensors.input), shared_memory=True))
        request.set_output_tensor(openvino.Tensor(array(output), shared_memory=True))

        def forward() -> Tensor:
            request.start_async()
            request.wait()
            return output

        return Calls(forward, None)
