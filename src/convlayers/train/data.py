"""Where examples come from: scikit-learn's digits, or a folder of class folders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from convlayers.errors import ArgumentError
from convlayers.train.images import SUFFIXES, Preprocessing, UnreadableImageError, read

#: Every fourth example of each class is held out, after one shuffle with this seed.
SPLIT_SEED = 0
HELD_OUT = 0.25


@dataclass(frozen=True)
class Examples:
    """Pictures and their classes, split once and for all.

    Attributes:
        pixels: bytes (examples, channels, height, width).
        labels: class numbers (examples,).
        train, test: numbers of the examples of either part.
        classes: the classes' names.
        preprocessing: how pixels become inputs, with the training part's mean and standard deviation.
        skipped: files that could not be read, one sentence each.
    """

    pixels: Tensor
    labels: Tensor
    train: Tensor
    test: Tensor
    classes: list[str]
    preprocessing: Preprocessing
    skipped: list[str]

    def part(self, which: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs (part, channels, height, width), float32, and labels (part,) of one part."""
        return self.preprocessing.normalise(self.pixels[which]), self.labels[which]


def split(labels: Tensor) -> tuple[Tensor, Tensor]:
    """A quarter of every class for the test, the rest for training; always the same.

    Shape:
        labels (examples,) -> numbers of examples (training,), (test,), ascending.

    Example:
        >>> [len(part) for part in split(torch.tensor([0] * 8 + [1] * 4))]
        [9, 3]
    """
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(SPLIT_SEED))
    test = []
    for label in labels.unique():
        mine = order[labels[order] == label]
        test.append(mine[: max(1, round(HELD_OUT * len(mine)))])
    held_out = torch.cat(test)
    kept = torch.ones(len(labels), dtype=torch.bool)
    kept[held_out] = False
    return kept.nonzero().flatten(), held_out.sort().values


def _examples(pixels: Tensor, labels: Tensor, classes: list[str], how: Preprocessing, skipped: list[str]) -> Examples:
    train, test = split(labels)
    values = pixels[train].float() / 255
    how = replace(how, mean=values.mean().item(), std=max(values.std().item(), 1e-3))
    return Examples(pixels, labels, train, test, classes, how, skipped)


def digits() -> Examples:
    """The 1,797 handwritten digits of 8x8 pixels that scikit-learn ships.

    Source:
        Alpaydin, Kaynak: Optical recognition of handwritten digits, UCI repository, 1998 (its test part).
    """
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]

    bunch = load_digits()
    pixels = torch.from_numpy(bunch.images * (255 / 16)).round().to(torch.uint8).unsqueeze(1)
    labels = torch.from_numpy(bunch.target).long()
    return _examples(pixels, labels, [str(d) for d in range(10)], Preprocessing(1, 8, 8), [])


def folder(root: Path, size: int = 64, progress: Callable[[int, int], None] | None = None) -> Examples:
    """Pictures in a folder of class folders, as ``root/class/picture.png``, read into memory at the training size.

    Args:
        root: the folder.
        size: height and width in pixels that pictures are resized to; a picture takes 3 * size * size bytes.
        progress: called with (files read, files) now and then.

    Raises:
        ValueError: for a folder that is missing, or holds fewer than two classes of two readable pictures each.
    """
    if not root.is_dir():
        raise ArgumentError(f"DATA must be 'digits' or a folder of class folders; there is no folder {str(root)!r}")
    files = [
        (path, place.name)
        for place in sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
        for path in sorted(place.rglob("*"))
        if path.suffix.lower() in SUFFIXES and path.is_file()
    ]
    how = Preprocessing(3, size, size)
    pixels, names, skipped = [], [], []
    for number, (path, name) in enumerate(files):
        try:
            pixels.append(read(path, how))
            names.append(name)
        except UnreadableImageError as error:
            skipped.append(str(error))
        if progress:
            progress(number + 1, len(files))
    classes = sorted({name for name in names if names.count(name) >= 2})
    if len(classes) < 2:
        found = f"{len(pixels)} readable pictures in {len(set(names))} folders"
        raise ArgumentError(
            f"DATA must hold at least two class folders with two readable pictures each; received {root} with {found}"
        )
    chosen = [i for i, name in enumerate(names) if name in classes]
    labels = torch.tensor([classes.index(names[i]) for i in chosen])
    skipped += [f"{root / name}: a class of one picture cannot be split" for name in set(names) - set(classes)]
    return _examples(torch.stack([pixels[i] for i in chosen]), labels, classes, how, skipped)
