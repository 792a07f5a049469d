"""The page's numbers: one block of bytes that its description points into."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Reference = dict[str, Any]

#: What a byte can tell apart.
LEVELS = 256
_TYPES = {torch.uint8: "u8", torch.int32: "i32", torch.float32: "f32"}


class Block:
    """Collects tensors; what it gives back for each is what the page's ``numbers`` reads.

    Example:
        >>> block = Block()
        >>> block.add(torch.zeros(2, 3)), block.add(torch.zeros(5, dtype=torch.uint8))
        ({'at': 0, 'shape': [2, 3], 'type': 'f32'}, {'at': 24, 'shape': [5], 'type': 'u8'})
        >>> block.size
        32
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.size = 0

    def add(self, values: Tensor) -> Reference:
        """Bytes, 32-bit integers or single floats, as they are."""
        reference = {"at": self.size, "shape": list(values.shape), "type": _TYPES[values.dtype]}
        data = values.detach().contiguous().cpu().numpy().tobytes()
        data += bytes(-len(data) % 4)
        self._parts.append(data)
        self.size += len(data)
        return reference

    def add_exact(self, values: Tensor) -> Reference:
        """Floats (maps, ...), exactly; where few of a map differ, as bytes and a table: so pictures take a quarter."""
        found = [each.unique(return_inverse=True) for each in values]
        if any(len(levels) > LEVELS for levels, _ in found):
            return self.add(values)
        places = torch.stack([places for _, places in found]).to(torch.uint8)
        table = torch.stack([F.pad(levels, (0, LEVELS - len(levels))) for levels, _ in found])
        return {**self.add(places), "table": self.add(table)}

    def add_maps(self, maps: Tensor) -> Reference:
        """Floats (maps, ...) as bytes between each map's least and most, for the eye; infinity is the largest float."""
        flat = maps.flatten(1).nan_to_num()
        low, high = flat.amin(1), flat.amax(1)
        scale = 255 / (high - low).clamp_min(torch.finfo(flat.dtype).tiny)
        levels = ((flat - low[:, None]) * scale[:, None]).round().clamp(0, 255).to(torch.uint8)
        return {**self.add(levels.view(maps.shape)), "low": low.tolist(), "high": high.tolist()}

    def text(self) -> str:
        """All of it, deflated, in base64."""
        return base64.b64encode(zlib.compress(b"".join(self._parts), 6)).decode("ascii")


def shares(needs: list[int], total: int) -> list[int]:
    """What each gets of a total: as much as it needs, or else an equal part of what those that need little leave.

    Example:
        >>> shares([10, 100, 100], 90)
        [10, 40, 40]
    """
    granted = [0] * len(needs)
    order = sorted(range(len(needs)), key=needs.__getitem__)
    for position, index in enumerate(order):
        granted[index] = min(needs[index], total // (len(order) - position))
        total -= granted[index]
    return granted
