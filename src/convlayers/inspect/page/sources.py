"""What ``convlayers explain`` is given on the command line: a network by its name, and inputs by their files."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from convlayers.errors import ArgumentError
from convlayers.inspect.find import find
from convlayers.train import images, run_folder

#: Longest side of a picture where nothing says another, and samples of a run that are shown.
SIDE, SAMPLES = 224, 10


@dataclass(frozen=True)
class Subject:
    """A network, and what is known about its inputs.

    Attributes:
        size: of one input, channels first; None where files decide.
        preprocessing: a run's own way from a picture to an input; None for others.
        mean, std: of each channel of a picture's values between 0 and 1.
        run: the run's folder, if it is one.
    """

    model: nn.Module
    title: str
    size: tuple[int, ...] | None
    classes: list[str] | None = None
    preprocessing: images.Preprocessing | None = None
    mean: Sequence[float] = (0.0,)
    std: Sequence[float] = (1.0,)
    run: Path | None = None


def subject(text: str, size: tuple[int, ...] | None = None) -> Subject:
    """The network that a text names.

    Args:
        text: as for :func:`convlayers.inspect.find`.
        size: of one input; what the network says itself unless given.

    Raises:
        ValueError: for a name that there is not, or a size that a run cannot have.
    """
    if Path(text).is_dir():
        network, description = run_folder.load(Path(text))
        how = description.preprocessing
        own = (how.channels, how.height, how.width)
        if size not in (None, own):
            raise ArgumentError(
                f"--input must be the run's own {_times(own)}, or left out; received {_times(size or ())}"
            )
        return Subject(network, Path(text).resolve().name, own, description.classes, how, run=Path(text))
    model = find(text, channels=size[0] if size else 3)
    known: dict[str, Any] = getattr(model, "pretrained_cfg", None) or {}
    made = ":" not in text or text.startswith(("timm:", "torchvision:"))
    return Subject(
        model,
        f"{text} (untrained)" if made else text,
        size or (tuple(known["input_size"]) if "input_size" in known else None),
        _imagenet(known),
        mean=known.get("mean", (0.0,)),
        std=known.get("std", (1.0,)),
    )


def _imagenet(known: dict[str, Any]) -> list[str] | None:
    """The classes' names of one of timm's networks for ImageNet."""
    if known.get("num_classes") != 1000:
        return None
    from timm.data import ImageNetInfo  # type: ignore[import-not-found]

    info = ImageNetInfo()
    return [info.index_to_description(i).split(",")[0] for i in range(1000)]


def inputs(subject: Subject, paths: Sequence[Path]) -> tuple[Tensor, Tensor | None, list[str]]:
    """The inputs of files, or those that stand in where none are given.

    Returns:
        Tensors (batch, channels, *spatial); bytes to show in their place, where they are pictures; names.

    Raises:
        ValueError: for a file that cannot be read or does not fit.
    """
    if not paths and subject.run:
        paths = sorted((subject.run / "samples").glob("*.png"))[:SAMPLES]
    if not paths:
        if subject.size is None:
            raise ArgumentError("INPUT or --input SIZE must say how large an input is; received neither")
        noise = torch.randn(1, *subject.size, generator=torch.Generator().manual_seed(0))
        return noise, None, ["random numbers"]
    read = [_read(path, subject) for path in paths]
    shapes = {tuple(values.shape) for values, _ in read}
    if len(shapes) > 1:
        found = ", ".join(_times(shape) for shape in sorted(shapes))
        raise ArgumentError(
            f"INPUT files must all give one size; received {found}. Give the size: --input {_times(min(shapes))}"
        )
    shown = [pixels for _, pixels in read]
    pixels = torch.stack([p for p in shown if p is not None]) if None not in shown else None
    return torch.stack([values for values, _ in read]), pixels, [path.name for path in paths]


def _times(size: Sequence[int]) -> str:
    return "x".join(map(str, size))


def _read(path: Path, subject: Subject) -> tuple[Tensor, Tensor | None]:
    if path.suffix == ".npy":
        return _array(path), None
    if path.suffix == ".wav":
        return _sound(path, subject.size), None
    return _picture(path, subject)


def _picture(path: Path, subject: Subject) -> tuple[Tensor, Tensor]:
    if subject.preprocessing:
        pixels = images.read(path, subject.preprocessing)
        return subject.preprocessing.normalise(pixels), pixels
    size = subject.size
    if size is None:
        first = next((m for m in subject.model.modules() if isinstance(m, _ConvNd)), None)
        size = (first.in_channels if first else 3, *_own_size(path))
    if len(size) != 3 or size[0] not in (1, 3):
        raise ArgumentError(f"INPUT must be an array (.npy) for a network that takes {_times(size)}; received {path}")
    pixels = images.read(path, images.Preprocessing(*size))
    mean, std = (torch.tensor(list(v))[:, None, None] for v in (subject.mean, subject.std))
    return (pixels.float() / 255 - mean) / std, pixels


def _own_size(path: Path) -> tuple[int, int]:
    """Height and width of a picture, no longer than SIDE."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            width, height = picture.size
    except OSError as error:
        raise images.UnreadableImageError(f"{path}: not a picture, .wav or .npy file that can be read") from error
    scale = min(1.0, SIDE / max(width, height))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _array(path: Path) -> Tensor:
    """An array (channels, *spatial)."""
    try:
        return torch.from_numpy(np.load(path, allow_pickle=False)).float()
    except (OSError, ValueError, EOFError, TypeError) as error:
        raise ArgumentError(f"{path}: not an array that NumPy can read: {error}") from error


def _sound(path: Path, size: tuple[int, ...] | None) -> Tensor:
    """A sound of 16 bits a sample as (channels, samples) between -1 and 1, cut to a size where there is one."""
    try:
        with wave.open(str(path)) as file:
            if file.getsampwidth() != 2:
                raise ArgumentError(f"{path}: must have 16 bits a sample; received {8 * file.getsampwidth()}")
            values = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").reshape(-1, file.getnchannels())
    except (OSError, EOFError, wave.Error) as error:
        raise ArgumentError(f"{path}: not a sound that can be read: {error}") from error
    sound = torch.from_numpy(values.T.astype(np.float32) / 32768)
    if size and size[0] == 1:
        sound = sound.mean(0, keepdim=True)
    return sound[:, : size[1]] if size else sound
