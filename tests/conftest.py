"""Loaded before the tests, and so before torch."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import conformance  # noqa: F401  (threads wait asleep, see there)
import pytest
from browser import browser

# What convlayers.tune measured for whoever runs the tests is not under test.
os.environ["CONVLAYERS_TUNED"] = "off"


@pytest.fixture(scope="session")
def timm_folder() -> Path:
    """Where timm and torchvision are: in the folder that CONVLAYERS_TIMM names, or in build/timm (`make timm`)."""
    folder = Path(os.environ.get("CONVLAYERS_TIMM") or Path(__file__).parent.parent / "build" / "timm")
    if not (folder / "timm").is_dir():
        pytest.skip(f"timm is not in {folder}, and CONVLAYERS_TIMM names no other folder; `make timm` brings it")
    return folder


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Headless Chromium, where there is one."""
    with browser() as found:
        yield found
