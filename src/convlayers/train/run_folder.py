"""What a run leaves behind: weights (safetensors) and a description (JSON). Nothing in it is ever executed."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from convlayers import models
from convlayers.errors import ArgumentError
from convlayers.train.images import Preprocessing

WEIGHTS, DESCRIPTION = "model.safetensors", "config.json"


@dataclass(frozen=True)
class Description:
    """What the weights belong to.

    Attributes:
        network: a name of ``convlayers.models``.
        classes: their names, in the order of the logits.
        preprocessing: how a picture becomes an input.
        training: data, settings, split and results, for people to read.
    """

    network: str
    classes: list[str]
    preprocessing: Preprocessing
    training: dict[str, Any] = field(default_factory=dict)

    def build(self) -> nn.Module:
        """The network, untrained."""
        return models.build(self.network, self.preprocessing.channels, len(self.classes))


def save(folder: Path, network: nn.Module, description: Description) -> None:
    """Writes both files; what stood there before is replaced only once the new file is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().contiguous().clone() for name, tensor in network.state_dict().items()}
    temporary = folder / (WEIGHTS + ".part")
    save_file(weights, temporary)
    os.replace(temporary, folder / WEIGHTS)
    temporary = folder / (DESCRIPTION + ".part")
    temporary.write_text(json.dumps(asdict(description), indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, folder / DESCRIPTION)


def load(folder: Path) -> tuple[nn.Module, Description]:
    """The trained network, ready to predict, and its description.

    Raises:
        ValueError: for a folder that no run has written, or that was damaged.
    """
    if not (folder / DESCRIPTION).is_file() or not (folder / WEIGHTS).is_file():
        raise ArgumentError(
            f"RUN must be a folder that `convlayers train` wrote, with {DESCRIPTION} and {WEIGHTS}; received {folder}"
        )
    try:
        values = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        description = Description(**{**values, "preprocessing": Preprocessing(**values["preprocessing"])})
        network = description.build()
        network.load_state_dict(load_file(folder / WEIGHTS))
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise ArgumentError(f"RUN must hold a whole run; {folder} is damaged: {error}") from error
    return network.eval(), description
