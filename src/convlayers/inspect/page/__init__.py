"""The page that ``convlayers explain`` writes: one file that needs no other, put together from the parts in ``web``."""

from __future__ import annotations

import html
import json
import re
from importlib.resources import files
from typing import Any

from convlayers.inspect.page.block import Block

#: The scripts, each after those that it imports from.
_SCRIPTS = (
    "arithmetic", "numbers", "colour", "elements", "picture", "kernels", "products", "prediction", "strip", "pixel",
    "layer", "settings", "player", "playground", "training", "main",
)  # fmt: skip


def _part(name: str) -> str:
    return (files(__package__) / "web" / name).read_text(encoding="utf-8")


def script() -> str:
    """The page's modules as one: without their imports and exports, which a page of one file cannot follow.

    Example:
        >>> "import" in script() or "export" in script()
        False
    """
    text = "\n".join(_part(f"{name}.js") for name in _SCRIPTS)
    text = re.sub(r"^import .*?;\n", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"^export ", "", text, flags=re.MULTILINE)


def render(description: dict[str, Any], block: Block) -> str:
    """The page.

    Args:
        description: what the scripts read; ``title``, ``lead`` and ``playground.text`` of it stand in the page itself.
        block: the numbers that it points into.
    """
    words = {
        "title": html.escape(description["title"]),
        "lead": html.escape(description["lead"]),
        "playground": html.escape(description["playground"]["text"]),
        "style": _part("style.css"),
        "script": script(),
        # "</script>" in a name would end the element.
        "description": json.dumps(description, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        "block": block.text(),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: words[match[1]], _part("template.html"))
