"""The page of networks that are too large for it, or odd; what is refused, and how; inputs from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browser import choose_layer, number, opened
from explain_cases import convlayers_command, inputs_of, line_network, picture_network
from torch import nn

from convlayers.inspect import explain
from convlayers.inspect.page import sources
from convlayers.inspect.page.calls import trace
from convlayers.inspect.page.training import judge


def test_a_large_network_leaves_channels_out_and_its_sums_still_add_up(chromium: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(*[nn.Conv2d(3 if i == 0 else 96, 96, 3, padding=1) for i in range(10)])
    inputs = torch.randn(2, 3, 80, 80)
    path = tmp_path / "large.html"
    path.write_text(explain(network, inputs), encoding="utf-8")
    assert path.stat().st_size < 5_000_000
    calls, _ = trace(network, inputs)
    with opened(chromium, path) as page:
        assert "maps, those that vary most" in page.locator("#maps-text").inner_text()
        choose_layer(page, "5")
        channel = int(page.locator("#maps button").first.get_attribute("data-map"))
        assert page.locator("#pixel-sum [data-term=others]").count() == 1
        value = number(page, "#pixel-value strong")
        assert value == pytest.approx(calls[5].output[0, channel, 40, 40].item(), abs=1e-5)


class _Odd(nn.Module):
    """What networks also have: two answers, channels last, one pixel, a layer that spreads, infinite values."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(2, 4, 3, stride=2)
        self.norm = nn.LayerNorm(4)
        self.mix = nn.Linear(4, 4)
        self.up = nn.ConvTranspose2d(4, 2, 3, stride=2)
        self.squeeze = nn.Conv2d(2, 3, 1)
        with torch.no_grad():
            self.up.weight[0, 0, 0, 0] = torch.inf

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.mix(self.norm(self.down(x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        return self.squeeze(x.mean((2, 3), keepdim=True)[:, :2]), self.up(x)


def test_odd_networks_are_drawn(chromium: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "odd.html"
    network, inputs = _Odd(), torch.randn(1, 2, 9, 11)
    path.write_text(explain(network, inputs), encoding="utf-8")
    calls, _ = trace(network, inputs)
    with opened(chromium, path) as page:
        names = [button.get_attribute("data-layer") for button in page.locator("#strip button").all()]
        assert names == ["down", "norm", "mix", "squeeze", "up"]
        for name in names:
            choose_layer(page, name)
        assert "No sums for up" in page.locator("#notes").inner_text()
        choose_layer(page, "norm")
        assert page.locator("#maps button").count() == 4
        choose_layer(page, "squeeze")
        page.locator('#maps button[data-map="2"]').click()
        assert number(page, "#pixel-value strong") == pytest.approx(calls[-2].output[0, 2, 0, 0].item(), abs=1e-6)


def test_the_model_is_left_as_it_was() -> None:
    network = picture_network().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    explain(network, inputs_of("picture"))
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_refusals() -> None:
    with pytest.raises(ValueError, match="model must have a convolution; Sequential has Flatten, Linear alone"):
        explain(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), torch.zeros(1, 1, 2, 2))
    with pytest.raises(ValueError, match=r"its first convolution, '0', takes 3 channels of 2 spatial axes"):
        explain(nn.Sequential(nn.Conv2d(3, 4, 3)), torch.zeros(1, 1, 8, 8))
    with pytest.raises(ValueError, match=r"inputs must have shape \(batch, channels, \*spatial\)"):
        explain(nn.Sequential(nn.Conv2d(3, 4, 3)), torch.zeros(8, 8))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("no-such-network",), "MODEL must be one of digits, pictures, a folder that `convlayers train` wrote"),
        (("digits",), "INPUT or --input SIZE must say how large an input is"),
        (("digits", "--input", "8"), "must be channels and sizes, such as 3x224x224"),
        (
            ("digits", "--input", "1x8x8", "-o", "no/such/folder/report.html"),
            "--out must be a file in a folder that exists",
        ),
        (("digits", "missing.png", "--input", "1x8x8"), "missing.png: no such file"),
        (("digits", "missing.npy"), "missing.npy: not an array that NumPy can read"),
        (("digits", "missing.wav"), "missing.wav: not a sound that can be read"),
    ],
)
def test_mistakes_are_answered_in_a_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    done = convlayers_command("explain", *arguments)
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_sounds_and_arrays_are_read(tmp_path: Path) -> None:
    import wave

    samples = (np.sin(np.arange(400) / 5) * 20000).astype("<i2")
    with wave.open(str(tmp_path / "tone.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(samples.tobytes())
    np.save(tmp_path / "tone.npy", samples[None].astype(np.float32) / 32768)
    subject = sources.Subject(line_network(), "line", (1, 400))
    sound, _, _ = sources.inputs(subject, [tmp_path / "tone.wav"])
    array, _, names = sources.inputs(subject, [tmp_path / "tone.npy"])
    assert torch.equal(sound, array)
    assert sound.shape == (1, 1, 400)
    assert names == ["tone.npy"]


def test_overfitting_is_named() -> None:
    names = ("epoch", "train_loss", "test_loss", "train_accuracy", "test_accuracy")

    def said(*rows: tuple[float, ...]) -> str:
        return judge([dict(zip(names, row, strict=True)) for row in rows])[0]

    assert said((1, 0.5, 0.5, 0.8, 0.8), (2, 0.1, 0.9, 1.0, 0.8)) == "Overfitting."
    assert said((1, 0.1, 0.3, 0.99, 0.90)) == "Overfitting."
    assert said((1, 1.5, 1.6, 0.4, 0.4)) == "Underfitting."
    assert said((1, 0.1, 0.11, 0.97, 0.96)) == "No overfitting to speak of."
