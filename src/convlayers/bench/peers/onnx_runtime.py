"""ONNX Runtime on the CPU, forward only: a model of one node, input and output bound to memory that stays in place."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convlayers.bench.data import Data
from convlayers.bench.peers.peer import Calls, UnsupportedError
from convlayers.bench.problem import Problem


@dataclass(frozen=True)
class OnnxRuntime:
    """ONNX Runtime, with torch's number of threads."""

    name: str = "onnxruntime contiguous"
    family: str = "onnxruntime"
    own_threads: bool = True

    def prepare(self, problem: Problem, data: Data) -> Calls:
        import onnxruntime
        from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NotImplementedHere

        from convlayers.bench.peers.onnx_model import array, model

        tensors = data.laid_out("contiguous")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        # After a call its threads must not wait for work in a loop: the next peer would share its cores with them.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        try:
            session = onnxruntime.InferenceSession(model(problem, tensors), options, ["CPUExecutionProvider"])
        except NotImplementedHere as error:
            raise UnsupportedError(f"ONNX Runtime: {str(error).strip().splitlines()[0]}") from error
        output = torch.empty(problem.output_shape)
        binding = session.io_binding()
        binding.bind_ortvalue_input("x", onnxruntime.OrtValue.ortvalue_from_numpy(array(tensors.input)))
        binding.bind_ortvalue_output("y", onnxruntime.OrtValue.ortvalue_from_numpy(array(output)))

        def forward() -> Tensor:
            session.run_with_iobinding(binding)
            return output

        return Calls(forward, None)
