"""Loaded before the tests, and so before torch."""

import os

import conformance  # noqa: F401  (threads wait asleep, see there)

# What convlayers.tune measured for whoever runs the tests is not under test.
os.environ["CONVLAYERS_TUNED"] = "off"
