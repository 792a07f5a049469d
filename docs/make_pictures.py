"""Draws the pictures of the pages in docs/ into docs/pictures, with convlayers.inspect and what scikit-image ships.

convlayers train digits --out runs/digits    # once: the trained network that the guide looks into
python docs/make_pictures.py runs/digits
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image, ImageDraw
from ten_filters import ten_filters
from torch import Tensor, nn
from torch.nn import functional as F
from wavenet import wavenet

import convlayers
from convlayers import models
from convlayers.functional import conv2d
from convlayers.inspect import activations, feature_maps, filters, picture, receptive_field
from convlayers.train import data, run_folder

PICTURES = Path(__file__).parent / "pictures"
EDGE = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
ORANGE = (255, 140, 0)
BORDERS = ("zeros", "constant", "reflect", "replicate", "circular")


def cat(size: int) -> Tensor:
    """A photograph, cut square around the face: (3, size, size), between 0 and 1."""
    from skimage.data import chelsea

    face = Image.fromarray(chelsea()[:240, 105:345]).resize((size, size), Image.Resampling.BOX)
    return torch.from_numpy(np.array(face)).permute(2, 0, 1).float() / 255


def save(name: str, image: Image.Image | Figure) -> None:
    """Pictures of few colours shrink well; figures are drawn at 90 dots an inch."""
    path = PICTURES / f"{name}.png"
    if isinstance(image, Figure):
        image.savefig(path, dpi=90)
    else:
        image.quantize(128).save(path, optimize=True)
    print(f"{path.name}: {path.stat().st_size / 1e3:.0f} KB")


def in_a_row(titled: list[tuple[str, Image.Image]]) -> Image.Image:
    """Pictures side by side, each under its title."""
    columns = [picture.strips([one]) for one in titled]
    height = max(column.height for column in columns)
    sheet = Image.new("RGB", (sum(c.width + 8 for c in columns), height), picture.PAPER)
    left = 0
    for column in columns:
        sheet.paste(column, (left, 0))
        left += column.width + 8
    return sheet


def pixels(image: Tensor, size: int) -> Image.Image:
    """(3, height, width) between 0 and 1."""
    return picture.tile((255 * image.clamp(0, 1)).permute(1, 2, 0).round().byte().numpy(), size)


def much(plane: Tensor, size: int) -> Image.Image:
    """(height, width), dark is little and bright is much."""
    return picture.tile(picture.colours(picture.scaled(plane).numpy(), picture.SEQUENTIAL), size)


def window() -> Figure:
    """One window of a digit: its values, the filter, the products and their sum."""
    digit = data.digits().pixels[0].float() / 255
    kernel = EDGE.view(1, 1, 3, 3)
    row, column = 3, 4  # of the window's first element
    patch = digit[0, row : row + 3, column : column + 3]
    output = conv2d(digit, kernel)[0]
    figure = Figure(figsize=(10.5, 2.5), layout="constrained")
    panels = [("input 8x8 and the window", digit[0], True), ("window", patch, True), ("x  filter", EDGE, False)]
    total = f"sum = {output[row, column]:.2f}, in the map 6x6"
    panels += [("=  products", patch * EDGE + 0.0, False), (total, output, False)]
    for axis, (title, values, grey) in zip(figure.subplots(1, 5), panels, strict=True):
        bound = 1.0 if grey else float(values.abs().max())
        axis.imshow(values, cmap="gray" if grey else "RdBu_r", vmin=0 if grey else -bound, vmax=bound)
        axis.set_title(title, fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])
        if values.shape[0] == 3:
            for (i, j), value in np.ndenumerate(values.numpy()):
                dark = value < 0.5 if grey else abs(value) > 0.6 * bound
                axis.text(j, i, f"{value:.2f}", ha="center", va="center", color="white" if dark else "black")
    outlined(figure.axes[0], column, row, 3)
    outlined(figure.axes[4], column, row, 1)
    return figure


def outlined(axis: object, left: int, top: int, size: int) -> None:
    """A square around elements of an axis that shows a plane."""
    from matplotlib.patches import Rectangle

    axis.add_patch(Rectangle((left - 0.5, top - 0.5), size, size, fill=False, edgecolor="#e08a00", linewidth=2.5))


def four_steps() -> Image.Image:
    """Input, convolution, bias and activation, pooling."""
    grey = cat(96).mean(0, keepdim=True)
    layers = {
        "convolution": convlayers.Conv2d(1, 1, 3, padding="same", padding_mode="replicate", bias=False),
        "activation": nn.ReLU(),
        "pooling": convlayers.MaxPool2d(2),
    }
    network = nn.Sequential()
    for name, layer in layers.items():
        network.add_module(name, layer)
    with torch.no_grad():
        network.convolution.weight.copy_(EDGE)
    found = {name: map[0, 0] for name, map in activations(network, grey[None], list(layers)).items()}
    bound = float(found["convolution"].abs().max())
    return in_a_row(
        [
            ("input 96x96", pixels(grey.expand(3, -1, -1), 192)),
            ("1. convolution: 96x96", picture.tile(picture.signed(found["convolution"], bound), 192)),
            ("2., 3. bias 0, ReLU: 96x96", much(found["activation"], 192)),
            ("4. max pooling 2x2: 48x48", much(found["pooling"], 192)),
        ]
    )


def sees() -> Image.Image:
    """What the centre unit of each step of a network sees, exactly and by weight."""
    torch.manual_seed(0)
    network, image = models.build("pictures", 3, 10), cat(64)
    fields = receptive_field(network, (3, 64, 64), effective=True)
    shown = []
    for number in range(4):
        field = fields[f"{number}.conv"]
        (top, bottom), (left, right) = field.box()
        face = pixels(image, 192)
        box = 3 * left, 3 * top, 3 * right - 1, 3 * bottom - 1
        ImageDraw.Draw(face).rectangle(box, outline=ORANGE, width=3)
        energy = field.effective
        heat = picture.tile(picture.overlaid(image, energy.sqrt(), 0, float(energy.sqrt().max())), 192)
        shown.append((f"{number}.conv: {bottom - top}x{right - left}", picture.grid([face, heat], 1)))
    return in_a_row(shown)


def borders(blurred: bool) -> Image.Image:
    """A small picture, six elements of each border around it; or blurred with 'same' under each border."""
    image = cat(24)
    shown = []
    for mode in BORDERS:
        how = {"padding_mode": mode, "padding_value": 0.5 if mode == "constant" else 0.0}
        if blurred:
            kernel = torch.full((3, 1, 9, 9), 1 / 81)
            shown.append((mode, pixels(conv2d(image, kernel, padding="same", groups=3, **how), 168)))
        else:
            padded = pixels(conv2d(image, torch.eye(3).view(3, 3, 1, 1), padding=6, **how), 180)
            side = padded.width // 36
            box = 6 * side - 1, 6 * side - 1, 30 * side, 30 * side
            ImageDraw.Draw(padded).rectangle(box, outline=ORANGE, width=1)
            shown.append((mode, padded))
    return in_a_row(shown)


def dilations() -> Image.Image:
    """What one unit sees after 3x3 convolutions of dilation 1, 1+2, 1+2+4; and after three of dilation 2."""
    shown = []
    for dilation in ([1], [1, 2], [1, 2, 4], [2, 2, 2]):
        layers = [convlayers.Conv2d(1, 1, 3, padding="same", dilation=d) for d in dilation]
        last = list(receptive_field(nn.Sequential(*layers), (1, 19, 19)).values())[-1]
        title = f"dilation {', '.join(map(str, dilation))}: {last.size[0]}x{last.size[1]}"
        shown.append((title, much(last.mask().float(), 180)))
    return in_a_row(shown)


def wavenet_field() -> Figure:
    """How much of the gradient's energy the nearest samples hold, in the stack of docs/dilated.md."""
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    axis = figure.subplots()
    for past, title in ((True, "with a way past each step"), (False, "without")):
        torch.manual_seed(0)
        field = receptive_field(wavenet(past=past), (1, 600), effective=True)["last"]
        ((start, stop),) = field.box()
        axis.plot(range(1, stop - start + 1), 100 * field.effective[start:stop].flip(0).cumsum(0), label=title)
    axis.axvline(stop - start, color="black", linestyle="--", label=f"theoretical: {stop - start} samples")
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_formatter("{x:.0f}")
    axis.set_xlabel("the nearest samples")
    axis.set_ylabel("hold % of the energy")
    axis.legend(fontsize=8)
    return figure


def shifted() -> Image.Image:
    """A digit on 12x12 as it is trained on, and moved by one and by two pixels."""
    digit = F.pad(data.digits().pixels[5].float() / 255, (2, 2, 2, 2))
    moved = [
        ("as trained on", digit),
        ("1 pixel right", digit.roll(1, 2)),
        ("2 right, 2 down", digit.roll((2, 2), (1, 2))),
    ]
    return in_a_row([(title, pixels(one.expand(3, -1, -1), 120)) for title, one in moved])


def main(run: Path) -> None:
    trained, _ = run_folder.load(run)
    digit = data.digits()
    held_out, _ = digit.part(digit.test)
    layer = ten_filters()
    PICTURES.mkdir(exist_ok=True)
    save("window", window())
    save("four-steps", four_steps())
    save("ten-filters", filters(nn.Sequential(layer)))
    save("ten-maps-32", feature_maps(nn.Sequential(layer), cat(32), tile=96))
    save("ten-maps-128", feature_maps(nn.Sequential(layer), cat(128), tile=128, channels=6))
    save("digits-filters", filters(trained))
    save("digits-maps", feature_maps(trained, held_out[0], tile=56))
    save("sees", sees())
    save("borders", borders(blurred=False))
    save("borders-blurred", borders(blurred=True))
    save("dilations", dilations())
    save("wavenet-field", wavenet_field())
    save("shifted", shifted())


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/digits"))
