"""The page's playground in a browser: every border and padding beside torch's; what it refuses; how it plays."""

from __future__ import annotations

import base64
import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from browser import opened
from explain_cases import inputs_of, picture_network

import convlayers
from convlayers.inspect import explain


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pages") / "picture.html"
    path.write_text(explain(picture_network(), inputs_of("picture")), encoding="utf-8")
    return path


def set_playground(page: Any, **settings: Any) -> None:
    for name, value in settings.items():
        control = page.locator(f"#{name.replace('_', '-')}")
        if name == "fill":
            control.fill(str(value))
        else:
            control.select_option(str(value))


def values_at(page: Any, position: int) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Window, weights, sum and activation at a position."""
    page.locator("#player input").fill(str(position))
    window, weights = (
        np.array([float(cell.get_attribute("data-value")) for cell in page.locator(f"{part} td").all()])
        for part in ('#playground-products [data-of="window"]', '#playground-products [data-of="weights"]')
    )
    terms = [float(cell.get_attribute("data-value")) for cell in page.locator("#playground-sum td").all()]
    return window, weights, terms[0], terms[1]


@pytest.mark.parametrize("border", ["zeros", "constant", "reflect", "replicate", "circular"])
def test_the_playground_convolves_as_torch_does(chromium: Any, path: Path, border: str) -> None:
    """Stride 2 with 'same' among others: output sizes, sums, activations at many places."""
    image = _playground_image(path)
    options: dict[str, Any] = {"padding_mode": border}
    if border == "constant":
        options["padding_value"] = 0.25
    with opened(chromium, path) as page:
        set_playground(page, kernel="Emboss", border=border, activation="leaky_relu")
        if border == "constant":
            set_playground(page, fill=0.25)
        for padding, stride, size, dilation in (
            ("same", 2, 3, 1),
            ("full", 1, 3, 2),
            ("valid", 3, 5, 1),
            ("same", 2, 5, 2),
        ):
            set_playground(page, padding=padding, stride=stride, kernel_size=size, dilation=dilation)
            _, weights, _, _ = values_at(page, 0)
            expected = convlayers.functional.conv2d(
                image[None, None],
                torch.from_numpy(weights).view(1, 1, size, size),
                stride=stride,
                padding=padding,
                dilation=dilation,
                **options,
            )[0, 0]
            sizes = [int(s.get_attribute("data-output")) for s in page.locator("#formula strong").all()]
            assert (sizes[0], sizes[-1]) == expected.shape
            active = F.leaky_relu(expected, 0.1)
            for position in {0, 1, expected.numel() // 2, expected.numel() - 1}:
                window, weights, total, after = values_at(page, position)
                place = divmod(position, expected.shape[1])
                assert total == pytest.approx(expected[place].item(), abs=1e-9)
                assert float(window @ weights) == pytest.approx(total, abs=1e-9)
                assert after == pytest.approx(active[place].item(), abs=1e-9)


def _playground_image(path: Path) -> torch.Tensor:
    """The first picture of a page's playground, read as its scripts read it."""
    text = path.read_text(encoding="utf-8")
    description, block = (
        re.search(f'id="{name}">(.*?)</script>', text, re.DOTALL)[1] for name in ("description", "block")
    )
    reference = json.loads(description)["playground"]["pictures"][0]
    data = np.frombuffer(zlib.decompress(base64.b64decode(block)), np.uint8)
    size = 4 * int(np.prod(reference["shape"]))
    values = data[reference["at"] : reference["at"] + size].view(np.float32).reshape(reference["shape"])
    return torch.from_numpy(values.copy()).double()


def test_the_playground_pools_and_names_what_cannot_be(chromium: Any, path: Path) -> None:
    with opened(chromium, path) as page:
        set_playground(page, pool="avg", pool_size=3, pool_stride=1)
        assert "Average pooling: 13 \u00d7 16" in page.locator("#steps").inner_text()
        set_playground(page, padding="full", border="reflect", kernel_size=9, dilation=4)
        assert "Reflection needs padding smaller than the input" in page.locator("#playground-problem").inner_text()
        set_playground(page, border="zeros")
        assert page.locator("#playground-problem").inner_text() == ""
        weight = page.locator(".kernel input").first
        weight.fill("7.5")
        assert page.locator("#kernel").input_value() == "typed"
        set_playground(page, padding="valid", dilation=1)
        assert 7.5 in values_at(page, 0)[1]


def test_the_playground_plays_and_keeps_still_on_request(chromium: Any, path: Path) -> None:
    with opened(chromium, path) as page:
        page.get_by_role("button", name="Play").click()
        page.wait_for_function("document.querySelector('#player input').value > 3")
        page.get_by_role("button", name="Pause").click()
        at = page.locator("#player input").input_value()
        page.get_by_role("button", name="Step", exact=True).click()
        assert int(page.locator("#player input").input_value()) == int(at) + 1
    with opened(chromium, path, reduced_motion="reduce") as page:
        assert not page.get_by_role("button", name="Play").is_visible()
