"""How a run went: loss and accuracy of both parts after each epoch, and what was said of each held-out example."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from convlayers.errors import ArgumentError
from convlayers.train.data import Examples

HISTORY, EVALUATION = "history.json", "evaluation.safetensors"
#: Mistakes whose pictures are kept.
MISTAKES = 12


def save(folder: Path, epochs: list[dict[str, Any]], chances: Tensor, examples: Examples) -> None:
    """Writes the epochs, and the held-out part's labels, probabilities and worst mistakes with their pictures.

    Args:
        chances: class probabilities (held out, classes).
    """
    labels = examples.labels[examples.test]
    wrong = (chances.argmax(1) != labels).nonzero().flatten()
    worst = wrong[chances[wrong].amax(1).argsort(descending=True)][:MISTAKES]
    tensors = {
        "labels": labels,
        "probabilities": chances,
        "mistakes": worst,
        "mistake_pixels": examples.pixels[examples.test[worst]],
    }
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / (EVALUATION + ".part"))
    os.replace(folder / (EVALUATION + ".part"), folder / EVALUATION)
    (folder / (HISTORY + ".part")).write_text(json.dumps({"epochs": epochs}, indent=2) + "\n", encoding="utf-8")
    os.replace(folder / (HISTORY + ".part"), folder / HISTORY)


def read(folder: Path) -> tuple[list[dict[str, Any]], dict[str, Tensor] | None]:
    """The epochs, and the tensors of the held-out part; none where a run did not come so far.

    Raises:
        ValueError: for files that were damaged.
    """
    try:
        history, evaluation = folder / HISTORY, folder / EVALUATION
        epochs = json.loads(history.read_text(encoding="utf-8"))["epochs"] if history.is_file() else []
        return epochs, load_file(evaluation) if evaluation.is_file() else None
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise ArgumentError(f"RUN must hold a whole run; {folder} is damaged: {error}") from error
