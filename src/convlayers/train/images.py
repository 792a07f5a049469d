"""Pictures as tensors: how a file is read, for training and for prediction alike."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp"})


class UnreadableImageError(ValueError):
    """A file that is not a picture, or a broken one; the message names it."""


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes an input.

    Attributes:
        channels: 1 (grey) or 3 (red, green, blue).
        height, width: in pixels; pictures are resized to it.
        mean, std: of the training pictures' values between 0 and 1; inputs are (value - mean) / std.
    """

    channels: int
    height: int
    width: int
    mean: float = 0.0
    std: float = 1.0

    def normalise(self, pixels: Tensor) -> Tensor:
        """Bytes (batch, channels, height, width) -> the network's input, same shape, float32."""
        return (pixels.float() / 255 - self.mean) / self.std


def read(path: Path, how: Preprocessing) -> Tensor:
    """A picture file as bytes (channels, height, width): turned upright, converted, resized.

    Raises:
        UnreadableImageError: for a file that is missing, no picture, or broken.
    """
    try:
        with Image.open(path) as picture:
            upright = ImageOps.exif_transpose(picture)
            converted = upright.convert("L" if how.channels == 1 else "RGB")
            resized = converted.resize((how.width, how.height), Image.Resampling.BILINEAR)
            values = np.array(resized, dtype=np.uint8)
    except FileNotFoundError as error:
        raise UnreadableImageError(f"{path}: no such file") from error
    except UnidentifiedImageError as error:
        raise UnreadableImageError(f"{path}: not a picture that Pillow can read") from error
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise UnreadableImageError(f"{path}: {error}") from error
    return torch.from_numpy(values.reshape(how.height, how.width, how.channels)).permute(2, 0, 1)
