"""The task of naming what a picture shows: loss, accuracy, optimiser and the loop, which is Lightning's."""

from __future__ import annotations

import contextlib
import logging
import signal
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import lightning
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import RichProgressBar
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from convlayers.train.answers import probabilities
from convlayers.train.data import Examples


@dataclass(frozen=True)
class Settings:
    """What a training run may be told.

    Attributes:
        epochs: how often each training example is seen.
        batch_size: examples a step.
        learning_rate: its peak; it rises and falls in one cycle (Smith, Topin 2018, arXiv 1708.07120).
        weight_decay: of AdamW.
        seed: of weights, order and augmentation.
    """

    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 5e-3
    weight_decay: float = 1e-2
    seed: int = 0


def augment(pictures: Tensor, degrees: float = 10.0, shift: float = 0.1, scale: float = 0.1) -> Tensor:
    """Each picture turned, moved and scaled a little, at random.

    Shape:
        (batch, channels, height, width) -> the same.

    Args:
        degrees: largest turn either way.
        shift: largest move along each axis, as a share of its size.
        scale: largest change of size, as a share of it.
    """
    batch = len(pictures)
    angle, size, *moves = (torch.rand(batch, device=pictures.device) * 2 - 1 for _ in range(4))
    angle, size = torch.deg2rad(angle * degrees), 1 + size * scale
    sine, cosine = torch.sin(angle) * size, torch.cos(angle) * size
    rows = torch.stack([cosine, -sine, moves[0] * 2 * shift, sine, cosine, moves[1] * 2 * shift], 1)
    grid = F.affine_grid(rows.view(batch, 2, 3), list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def optimiser(network: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """AdamW over all weights."""
    return torch.optim.AdamW(network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)


class Classifier(lightning.LightningModule):
    """A network that gives logits, trained with cross-entropy.

    Shape:
        pictures (batch, channels, height, width) -> logits (batch, classes).
    """

    def __init__(self, network: nn.Module, settings: Settings) -> None:
        super().__init__()
        self.network = network
        self.settings = settings

    def forward(self, pictures: Tensor) -> Tensor:
        return self.network(pictures)

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        pictures, labels = batch
        pictures = augment(pictures).contiguous(memory_format=torch.channels_last)
        logits = self(pictures)
        loss = F.cross_entropy(logits, labels, label_smoothing=0.05)
        accuracy = (logits.argmax(1) == labels).float().mean()
        self.log("loss", loss, prog_bar=True, on_step=False, on_epoch=True)
        self.log("accuracy", accuracy, prog_bar=True, on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = optimiser(self.network, self.settings)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.settings.learning_rate, max(steps, 2))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's notes on hardware and its advice on workers: the data is in memory."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=".*GPU available but not used.*")
            warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated.*")  # Lightning's use of torch
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def loader(examples: Examples, settings: Settings) -> DataLoader:
    """The training part in random order; a last batch of one, which batch normalisation cannot take, is dropped."""
    inputs, labels = examples.part(examples.train)
    size = min(settings.batch_size, len(labels))
    return DataLoader(
        TensorDataset(inputs, labels),
        size,
        shuffle=True,
        drop_last=len(labels) % size == 1,
        generator=torch.Generator().manual_seed(settings.seed),
    )


def fit(
    network: nn.Module, examples: Examples, settings: Settings, callbacks: Sequence[lightning.Callback] = ()
) -> bool:
    """Trains the network in place.

    Args:
        callbacks: Lightning's, beside the progress bar.

    Returns:
        Whether it ran to its end; False where Ctrl-C ended it, with the weights as they were then.
    """
    network.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    handler = signal.getsignal(signal.SIGINT)
    with _quiet():
        trainer = lightning.Trainer(
            max_epochs=settings.epochs,
            accelerator="cpu",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            callbacks=[RichProgressBar(leave=True), *callbacks],
        )
        try:
            trainer.fit(Classifier(network, settings), loader(examples, settings))
        except (KeyboardInterrupt, SystemExit):  # Lightning ends the process once it has shut down
            return False
        finally:
            signal.signal(signal.SIGINT, handler)
    return not trainer.interrupted


class History(lightning.Callback):
    """Measures after each epoch, on like terms: as many training examples as are held out, neither augmented.

    Attributes:
        epochs: a row each: ``epoch``, ``train_loss``, ``train_accuracy``, ``test_loss``, ``test_accuracy``.
    """

    def __init__(self, examples: Examples) -> None:
        train = examples.train[:: max(1, len(examples.train) // len(examples.test))][: len(examples.test)]
        self._parts = {"train": examples.part(train), "test": examples.part(examples.test)}
        self.epochs: list[dict[str, Any]] = []

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        row: dict[str, Any] = {"epoch": trainer.current_epoch + 1}
        for name, part in self._parts.items():
            row[f"{name}_loss"], row[f"{name}_accuracy"] = _scores(module.network, *part)
        module.network.train()
        self.epochs.append(row)


def _scores(network: nn.Module, inputs: Tensor, labels: Tensor) -> tuple[float, float]:
    """Cross-entropy and the share that is named right."""
    chances = probabilities(network, inputs)
    loss = F.nll_loss(chances.clamp_min(1e-12).log(), labels)
    return loss.item(), (chances.argmax(1) == labels).double().mean().item()
