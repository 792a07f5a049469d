"""What is checked once a kind of call: functions of plain arguments, remembered."""

from __future__ import annotations

import functools
from typing import Any

import torch


def cached(function: Any) -> Any:
    """``function``, remembered for plain arguments: integers, names, tuples of them, and floats outside tuples. Others
    are checked afresh (1.0 equals 1 but is no integer), and all are where torch compiles: symbolic sizes are never
    kept."""
    remembered = functools.lru_cache(maxsize=4096, typed=True)(function)

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        if torch.compiler.is_compiling() or not all(map(_is_plain, args)):
            return function(*args)
        return remembered(*args)

    return call


_PLAIN = frozenset((int, str, float, bool))


def _is_plain(argument: Any) -> bool:
    if type(argument) in _PLAIN:
        return True
    return isinstance(argument, tuple) and all(type(entry) is int or _is_plain_entry(entry) for entry in argument)


def _is_plain_entry(entry: Any) -> bool:
    return type(entry) is str or (type(entry) is tuple and all(type(e) is int for e in entry))
