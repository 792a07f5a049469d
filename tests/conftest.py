"""Loaded before the tests, and so before torch."""

import conformance  # noqa: F401  (threads wait asleep, see there)
