"""How a run went, for the page: what its folder keeps, and a word for the gap between its two parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from convlayers.inspect.page.block import Block
from convlayers.train import run_folder
from convlayers.train.history import read

#: Classes beyond which a confusion matrix is no longer read.
CLASSES = 40


def describe(run: Path, block: Block) -> dict[str, Any]:
    """Curves, gap, confusions and mistakes; what an older or interrupted run did not write is left out."""
    _, description = run_folder.load(run)
    epochs, evaluation = read(run)
    classes = description.classes
    accuracy = description.training.get("test_accuracy")
    text = f"Trained on {description.training.get('data', 'data')}"
    if accuracy is not None:
        text += f"; {100 * accuracy:.1f} % of the held-out examples are named right"
    found: dict[str, Any] = {
        "text": f"{text}.",
        "classes": classes,
        "epochs": epochs,
        "gap": dict(zip(("title", "text"), judge(epochs), strict=True)) if epochs else None,
        "confusion": None,
        "mistakes": None,
    }
    if evaluation is None:
        return found
    labels, chances = evaluation["labels"], evaluation["probabilities"]
    said = chances.argmax(1)
    if len(classes) <= CLASSES:
        counts = torch.bincount(labels * len(classes) + said, minlength=len(classes) ** 2)
        found["confusion"] = counts.view(len(classes), -1).tolist()
    found["mistakes"] = [
        {
            "pixels": block.add(pixels),
            "label": int(labels[i]),
            "said": int(said[i]),
            "share": float(chances[i, said[i]]),
        }
        for i, pixels in zip(evaluation["mistakes"].tolist(), evaluation["mistake_pixels"], strict=True)
    ]
    return found


def judge(epochs: list[dict[str, Any]]) -> tuple[str, str]:
    """What the curves say: overfitting, underfitting, or neither, and by which figures.

    Args:
        epochs: with ``epoch`` and the losses and accuracies of either part (``train_...``, ``test_...``).

    Example:
        >>> rows = [(1, 0.9, 0.9, 0.6, 0.6), (2, 0.1, 0.7, 0.98, 0.8), (3, 0.01, 1.2, 1.0, 0.75)]
        >>> names = ("epoch", "train_loss", "test_loss", "train_accuracy", "test_accuracy")
        >>> judge([dict(zip(names, row)) for row in rows])[0]
        'Overfitting.'
    """
    last, best = epochs[-1], min(epochs, key=lambda row: row["test_loss"])
    gap = last["train_accuracy"] - last["test_accuracy"]
    figures = (
        f"{100 * last['train_accuracy']:.1f} % of training examples are named right, "
        f"{100 * last['test_accuracy']:.1f} % of those held out: a gap of {100 * gap:.1f} points."
    )
    if last["test_loss"] > 1.1 * best["test_loss"] and last["train_loss"] < best["train_loss"]:
        rise = (
            f"Since epoch {best['epoch']} the held-out loss has risen from {best['test_loss']:.3f} to "
            f"{last['test_loss']:.3f} while the training loss fell: the network learns its examples by heart. "
        )
        return (
            "Overfitting.",
            f"{rise}{figures} Stop earlier, or use more examples, more augmentation or a smaller network.",
        )
    if gap > 0.05:
        return "Overfitting.", f"{figures} More examples, more augmentation or a smaller network would narrow it."
    if last["train_accuracy"] < 0.75:
        return (
            "Underfitting.",
            f"{figures} Not even the training examples are learned: train longer, or use a larger network.",
        )
    return "No overfitting to speak of.", figures
