"""The rules by which sights pass through operators: a table that the files ``rules_*`` fill, one a family."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from convlayers.inspect.place import Place

#: (place of a tensor or None, the operator's arguments by name, its first output) -> the output's place.
Rule = Callable[[Callable[[Any], "Place | None"], dict[str, Any], Any], "Place | None"]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Gives operators, by ``namespace.name``, a rule."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register
