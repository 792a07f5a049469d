"""Who is measured: a peer is a file here and its line in :data:`PEERS`."""

from __future__ import annotations

import importlib.util

from convlayers.bench.peers.onnx_runtime import OnnxRuntime
from convlayers.bench.peers.openvino import OpenVino
from convlayers.bench.peers.ours import Ours
from convlayers.bench.peers.peer import Calls, Peer, UnsupportedError
from convlayers.bench.peers.torch_compiled import TorchCompiled
from convlayers.bench.peers.torch_eager import TorchEager

#: Ours, which every ratio is about: the first of these.
OURS: tuple[Peer, ...] = (Ours("channels-last"), Ours("contiguous"))
#: Those that ours can be measured beside, by the name of their family; of a family, the fastest counts.
PEERS: dict[str, tuple[Peer, ...]] = {
    "torch": (TorchEager("contiguous"), TorchEager("channels-last")),
    "compiled": (TorchCompiled("contiguous"), TorchCompiled("channels-last")),
    "onnxruntime": (OnnxRuntime(),),
    "openvino": (OpenVino(),),
}
#: What a family needs beside torch; the extra ``[bench]`` has all of it.
NEEDS = {"onnxruntime": ("onnx", "onnxruntime"), "openvino": ("onnx", "openvino")}


def missing(family: str) -> list[str]:
    """The packages that a family needs and that are not installed.

    Example:
        >>> missing("torch")
        []
    """
    return [package for package in NEEDS.get(family, ()) if importlib.util.find_spec(package) is None]


__all__ = ["NEEDS", "OURS", "PEERS", "Calls", "Peer", "UnsupportedError", "missing"]
