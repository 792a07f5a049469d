"""Sizes, amounts and durations as people read them."""

from __future__ import annotations

from collections.abc import Iterable


def times(sizes: Iterable[object]) -> str:
    """Sizes with a multiplication sign between them.

    Example:
        >>> times((3, 8, 8)) == "3 \\u00d7 8 \\u00d7 8"
        True
    """
    return " \u00d7 ".join(str(size) for size in sizes)


def memory(count: float) -> str:
    """A number of bytes with a unit.

    Example:
        >>> memory(512), memory(20480)
        ('512 B', '20.0 KB')
    """
    for unit in ("B", "KB", "MB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GB"


def duration(seconds: float) -> str:
    """Seconds with a unit.

    Example:
        >>> duration(0.0025)
        '2.5 ms'
    """
    return f"{1e6 * seconds:.0f} µs" if seconds < 1e-3 else f"{1e3 * seconds:.1f} ms"
