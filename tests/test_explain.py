"""The page in a browser: its numbers beside torch's, what it shows of a run, how large and quick it is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import choose_layer, number, opened
from explain_cases import CASES, convlayers_command, inputs_of, picture_network
from torch import nn

from convlayers.inspect import explain
from convlayers.inspect.page.calls import trace

CHECKOUT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    for name, (network, _) in CASES.items():
        (folder / f"{name}.html").write_text(explain(network(), inputs_of(name)), encoding="utf-8")
    return {name: folder / f"{name}.html" for name in CASES}


# --- one pixel --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("case", "seed"), [(case, seed) for case in CASES for seed in range(2)])
def test_a_pixel_is_the_sum_that_torch_has(chromium: Any, pages: dict[str, Path], case: str, seed: int) -> None:
    """Every convolution, at random maps and places: the products add up to what the layer itself gave."""
    random = np.random.default_rng(seed)
    calls, _ = trace(CASES[case][0](), inputs_of(case))
    convolutions = [call for call in calls if isinstance(call.module, nn.Conv1d | nn.Conv2d | nn.Conv3d)]
    assert len(convolutions) >= 2
    with opened(chromium, pages[case]) as page:
        for call in convolutions:
            choose_layer(page, call.name)
            channel = int(random.integers(call.output.shape[1]))
            page.locator(f'#maps button[data-map="{channel}"]').click()
            place = [int(random.integers(n)) for n in call.output.shape[2:]]
            for axis, at in zip(("slice", "row", "column")[-len(place) :], place, strict=True):
                if axis == "slice":
                    page.locator("#pixel-controls input[type=range]").fill(str(at))
                else:
                    page.locator(f"#at-{axis}").fill(str(at))
                    page.locator(f"#at-{axis}").press("Tab")
            expected = call.output[0, channel][tuple(place)].item()
            assert number(page, "#pixel-value strong") == pytest.approx(expected, rel=1e-5, abs=1e-5)
            terms = {
                cell.get_attribute("data-term"): float(cell.get_attribute("data-value"))
                for cell in page.locator("#pixel-sum td").all()
            }
            parts = sum(value for name, value in terms.items() if name not in ("total", "after"))
            assert parts == pytest.approx(terms["total"], abs=1e-9)
            products = page.locator('#pixel-products [data-of="products"] td').all()
            total = sum(float(cell.get_attribute("data-value")) for cell in products)
            assert total == pytest.approx(terms["own"], abs=1e-6)


def test_hovering_shows_the_window_and_what_it_sees(chromium: Any, pages: dict[str, Path]) -> None:
    calls, _ = trace(picture_network(), inputs_of("picture"))
    first = calls[0]
    with opened(chromium, pages["picture"]) as page:
        choose_layer(page, "first")
        output = page.locator("#pixel-pictures .pointable")
        output.scroll_into_view_if_needed()
        box = output.bounding_box()
        rows, columns = first.output.shape[2:]
        row, column = 3, 4
        page.mouse.move(
            box["x"] + (column + 0.5) / columns * box["width"], box["y"] + (row + 0.5) / rows * box["height"]
        )
        assert f"row {row}, column {column}" in page.locator("#pixel-value").inner_text()
        assert number(page, "#pixel-value strong") == pytest.approx(first.output[0, 0, row, column].item(), abs=1e-5)
        # 'same', stride 2, 5 taps: two below, two above (15 rows) or one below (18 columns).
        seen = page.locator("#pixel-value").inner_text()
        assert "rows 4 to 8 and columns 7 to 11" in seen
        frame = page.locator("#pixel-pictures figure").first.locator("rect").last
        assert [frame.get_attribute(key) for key in ("y", "x", "height", "width")] == ["4", "7", "5", "5"]
        output.focus()
        page.keyboard.press("ArrowRight")
        assert f"row {row}, column {column + 1}" in page.locator("#pixel-value").inner_text()


def test_another_input_is_shown_everywhere(chromium: Any, pages: dict[str, Path]) -> None:
    network, inputs = picture_network(), inputs_of("picture")
    calls, output = trace(network, inputs)
    with opened(chromium, pages["picture"]) as page:
        for number_of_input in (1, 0):
            page.locator("#input .thumb").nth(number_of_input).click()
            choose_layer(page, "last")
            page.locator("#at-row").fill("0")
            page.locator("#at-row").press("Tab")
            page.locator("#at-column").fill("0")
            page.locator("#at-column").press("Tab")
            last = next(call for call in calls if call.name == "last")
            assert number(page, "#pixel-value strong") == pytest.approx(
                last.output[number_of_input, 0, 0, 0].item(), abs=1e-5
            )
            shares = [float(bar.get_attribute("data-share")) for bar in page.locator(".bar").all()]
            expected = output[number_of_input].softmax(0).sort(descending=True).values[:5]
            assert shares == pytest.approx(expected.tolist(), abs=1e-6)


# --- the page as a whole ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_page_is_small_quick_and_fits(
    chromium: Any, pages: dict[str, Path], case: str, width: int, scheme: str
) -> None:
    assert pages[case].stat().st_size < 5_000_000
    with opened(chromium, pages[case], width, color_scheme=scheme) as page:
        assert int(page.locator("body").get_attribute("data-drawn")) < 2000
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        unnamed = page.evaluate(
            """[...document.querySelectorAll("button, select, input")].filter((e) => !(e.textContent.trim()
            || e.getAttribute("aria-label") || e.title || e.closest("label"))).length"""
        )
        assert unnamed == 0


def test_the_pixel_follows_the_pointer_at_once(chromium: Any, pages: dict[str, Path]) -> None:
    with opened(chromium, pages["picture"]) as page:
        seconds = page.evaluate(
            """() => {
                const frame = document.querySelector("#pixel-pictures .pointable");
                const box = frame.getBoundingClientRect();
                const begin = performance.now();
                for (let i = 0; i < 20; i++) {
                    const at = { clientX: box.left + (box.width * (i + 0.5)) / 20, clientY: box.top + box.height / 2 };
                    frame.dispatchEvent(new PointerEvent("pointermove", at));
                }
                return (performance.now() - begin) / 20000;
            }"""
        )
        assert seconds < 0.1


def test_every_layer_can_be_chosen_by_keyboard(chromium: Any, pages: dict[str, Path]) -> None:
    with opened(chromium, pages["picture"]) as page:
        buttons = page.locator("#strip button")
        buttons.first.focus()
        for i in range(buttons.count()):
            page.keyboard.press("Enter")
            assert page.locator("#layer-name").inner_text() == buttons.nth(i).get_attribute("data-layer")
            page.keyboard.press("ArrowRight")


def test_the_digits_run(chromium: Any, tmp_path: Path) -> None:
    """Trained briefly, by command: predictions, curves, confusions and mistakes."""
    run = tmp_path / "digits"
    page_file = tmp_path / "report.html"
    convlayers_command("train", "digits", "--epochs", 2, "--out", run)
    done = convlayers_command("explain", run, "-o", page_file)
    assert re.search(r"wrote .*report.html: \d\.\d MB, 10 inputs", done.stdout)
    saved = json.loads((run / "config.json").read_text())["training"]["test_accuracy"]
    with opened(chromium, page_file) as page:
        assert page.locator(".bar").count() == 5
        cells = page.locator(".confusion tbody td").all_inner_texts()
        counts = np.array([0 if cell == "·" else int(cell) for cell in cells]).reshape(10, 10)
        assert counts.sum() == 450
        assert np.trace(counts) / 450 == pytest.approx(saved)
        assert page.locator("#epochs tbody tr").count() == 2
        assert page.locator("#mistakes figure").count() == min(12, 450 - np.trace(counts))
        assert re.search(r"fitting", page.locator("#gap").inner_text())
    # A run of before there were these files.
    (run / "history.json").unlink()
    (run / "evaluation.safetensors").unlink()
    convlayers_command("explain", run, run / "samples" / "3_3.png", "-o", page_file)
    with opened(chromium, page_file) as page:
        assert page.locator("#run-text").is_visible()
        assert not page.locator("#epochs-panel").is_visible()
        assert page.locator("#input .thumb").count() == 0


def test_timms_resnet_on_a_photograph(chromium: Any, timm_folder: Path, tmp_path: Path) -> None:
    """In a process of its own: torchvision without its operators is not for the others to import."""
    data = pytest.importorskip("skimage.data")
    from PIL import Image

    Image.fromarray(data.astronaut()).save(tmp_path / "astronaut.png")
    code = f"""
import sys
sys.path.insert(0, {str(CHECKOUT / "tests")!r})
from timm_networks import make_importable
make_importable({str(timm_folder)!r})
from convlayers.cli import main
sys.exit(main(["explain", "timm:resnet18", "astronaut.png", "-o", "resnet.html"]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "resnet.html").stat().st_size < 5_000_000
    with opened(chromium, tmp_path / "resnet.html") as page:
        assert int(page.locator("body").get_attribute("data-drawn")) < 2000
        assert page.locator("#strip button").count() > 30
        choose_layer(page, "conv1")
        assert page.locator("#pixel-sum .total td").count() == 1
        choose_layer(page, "layer4.1.conv2")
        assert "convolutions the page keeps some input channels" in page.locator("#notes").inner_text()
        terms = [float(cell.get_attribute("data-value")) for cell in page.locator("#pixel-sum td").all()]
        assert sum(terms[:-1]) == pytest.approx(terms[-1], abs=1e-5)
