"""What is checked once a kind of call: functions of plain arguments, remembered."""

from __future__ import annotations

import functools
from typing import Any

import torch


def cached(function: Any) -> Any:
    """``function``, remembered for plain arguments: integers, names, None, tuples of integers and names, and floats
    outside tuples. Others are checked afresh (1.0 equals 1 but is no integer), and all are where torch compiles or
    traces: symbolic sizes are never kept."""
    remembered = functools.lru_cache(maxsize=4096, typed=True)(function)

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        if torch.compiler.is_compiling() or torch.jit.is_tracing():
            return function(*args)
        for a in args:  # without a call for the usual kinds: this is a good part of a small convolution's time
            if type(a) in _PLAIN or (isinstance(a, tuple) and (_INTS.issuperset(map(type, a)) or _is_plain(a))):
                continue
            return function(*args)
        return remembered(*args)

    return call


_PLAIN = frozenset((int, str, float, bool, type(None)))
_INTS = frozenset((int,))


def _is_plain(entries: tuple) -> bool:
    return all(
        type(e) is int or type(e) is str or (type(e) is tuple and _INTS.issuperset(map(type, e))) for e in entries
    )
