"""Who is measured: a peer is a file here and its line in :data:`PEERS`."""

from __future__ import annotations

from convlayers.bench.peers.ours import Ours
from convlayers.bench.peers.peer import Calls, Peer
from convlayers.bench.peers.torch_eager import TorchEager

#: In the order of the columns; the first is the one that the ratio is about.
PEERS: tuple[Peer, ...] = (
    Ours("channels-last"),
    Ours("contiguous"),
    TorchEager("contiguous"),
    TorchEager("channels-last"),
)

__all__ = ["PEERS", "Calls", "Peer"]
