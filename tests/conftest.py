"""Loaded before the tests, and so before torch."""

import os
from collections.abc import Iterator
from typing import Any

import conformance  # noqa: F401  (threads wait asleep, see there)
import pytest
from browser import browser

# What convlayers.tune measured for whoever runs the tests is not under test.
os.environ["CONVLAYERS_TUNED"] = "off"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Headless Chromium, where there is one."""
    with browser() as found:
        yield found
