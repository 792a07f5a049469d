"""An input that a unit answers to most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from convlayers.errors import ArgumentError
from convlayers.inspect.watch import evaluating, layer_of, outputs_of

if TYPE_CHECKING:
    from PIL.Image import Image


def activation_maximisation(
    model: nn.Module, layer: str, channel: int, size: Sequence[int], *, steps: int = 128, seed: int = 0
) -> Image | Any:
    """The input that a channel of a layer answers to most, found by gradient ascent from noise (Erhan et al. 2009).

    The ascent is on Fourier coefficients of the input, low frequencies first, under small shifts, so that what comes
    out is a picture and not a texture of single pixels (Olah et al. 2017, "Feature Visualization").

    Args:
        layer: its name.
        channel: of its output.
        size: of the input, channels first and without a batch.
        steps: of the ascent.
        seed: of the noise and the shifts.

    Returns:
        A PIL image (of 3-D, three slices), or a matplotlib figure for 1-D.

    Raises:
        ValueError: for a layer or a channel that there is not.

    Example:
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 5))
        >>> activation_maximisation(model, "0", 2, (1, 16, 16), steps=4).size
        (232, 250)
    """
    from convlayers.inspect import picture

    title = f"{layer}, channel {channel}"
    found = maximised(model, layer, channel, size, steps=steps, seed=seed)
    if found.dim() == 2:
        return picture.lines([(title, found)], share=False)
    if found.dim() == 3:
        return picture.strips([(title, picture.grid([picture.tile(picture.as_image(found), 224)], 1))])
    depth = found.shape[1]
    slices = [found[:, at] for at in sorted({depth // 4, depth // 2, 3 * depth // 4})]
    tiles = [picture.tile(picture.as_image(part), 224) for part in slices]
    return picture.strips([(title, picture.grid(tiles, len(tiles)))])


def maximised(
    model: nn.Module, layer: str, channel: int, size: Sequence[int], *, steps: int = 128, seed: int = 0
) -> Tensor:
    """What :func:`activation_maximisation` shows: an input of this size, of mean 0 and standard deviation 1."""
    layer_of(model, layer)
    rank = len(size) - 1
    axes = tuple(range(-rank, 0))
    random = torch.Generator().manual_seed(seed)
    waves = torch.fft.rfftn(torch.randn((1, *size), generator=random), dim=axes)
    frequencies = [torch.fft.fftfreq(n) for n in size[1:-1]] + [torch.fft.rfftfreq(size[-1])]
    distance = torch.stack(torch.meshgrid(*frequencies, indexing="ij")).norm(dim=0)
    weight = 1 / distance.clamp(min=1 / max(size[1:]))
    coefficients = torch.view_as_real(waves).clone().requires_grad_()

    def picture_of(coefficients: Tensor) -> Tensor:
        values = torch.fft.irfftn(torch.view_as_complex(coefficients) * weight, s=size[1:], dim=axes)
        return (values - values.mean()) / (values.std() + 1e-6)

    like = next(model.parameters())
    reach = max(1, min(size[1:]) // 16)
    with evaluating(model), torch.enable_grad():
        optimiser = torch.optim.Adam([coefficients], lr=0.05 * float(coefficients.detach().std()))
        for _ in range(steps):
            shift = torch.randint(-reach, reach + 1, (rank,), generator=random).tolist()
            input = torch.roll(picture_of(coefficients), shift, axes).to(like)
            output = outputs_of(model, (input,), [layer])[layer]
            if not 0 <= channel < output.shape[1]:
                raise ArgumentError(
                    f"channel must be one of 0 to {output.shape[1] - 1} in {layer!r}; received {channel}"
                )
            optimiser.zero_grad()
            (-output[:, channel].mean()).backward()
            optimiser.step()
    return picture_of(coefficients).detach()[0]
