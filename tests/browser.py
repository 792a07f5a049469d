"""A page in headless Chromium: opened from its file, with its errors and its requests on record."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = os.environ.get("CONVLAYERS_CHROMIUM") or shutil.which("chromium")
_QUIET = "--no-sandbox --disable-gpu --disable-background-networking --no-first-run --disable-sync"


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium; skips the test where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no chromium, and CONVLAYERS_CHROMIUM names none")
    arguments = [*_QUIET.split(), "--disable-component-update"]
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield chromium
        chromium.close()


@contextmanager
def opened(chromium: Any, path: Path, width: int = 1280, **options: Any) -> Iterator[Any]:
    """The page once it is drawn; fails on an error in its console, and on any request but for the file itself."""
    page = chromium.new_page(viewport={"width": width, "height": 900}, **options)
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: problems.append(request.url) if request.url != path.as_uri() else None)
    page.goto(path.as_uri())
    page.wait_for_selector("body[data-drawn]", timeout=10_000)
    yield page
    page.close()
    assert problems == []


def number(page: Any, selector: str) -> float:
    """What the first element of a selector shows, in full."""
    return float(page.locator(selector).first.get_attribute("data-value"))


def choose_layer(page: Any, name: str) -> None:
    page.locator(f'#strip button[data-layer="{name}"]').click()
    assert page.locator("#layer-name").inner_text() == name
