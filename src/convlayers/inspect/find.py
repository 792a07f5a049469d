"""A network by what a person types: a name, a run's folder, or a function of theirs."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from pathlib import Path
from typing import Any

from torch import nn

from convlayers import models
from convlayers.errors import ArgumentError

_LIBRARIES = ("timm", "torchvision")


def find(text: str, *, channels: int = 3, classes: int = 10) -> nn.Module:
    """The network that a text names, ready to look into; nothing is unpickled, and no weights are fetched.

    Args:
        text: a name of ``convlayers.models``, a folder that ``convlayers train`` wrote, ``timm:NAME`` or
            ``torchvision:NAME`` (untrained), or ``package.module:callable`` that returns a module when called without
            arguments, or is one.
        channels, classes: for the names of ``convlayers.models``.

    Raises:
        ValueError: for a text that names none, with what there is.

    Example:
        >>> type(find("digits", channels=1)).__name__
        'Sequential'
    """
    if text in models.names():
        return models.build(text, channels, classes).eval()
    place, colon, name = text.partition(":")
    if colon and place in _LIBRARIES:
        return _library(place, name).eval()
    if colon and place.replace(".", "").isidentifier():
        return _made(text, place, name).eval()
    if Path(text).is_dir():
        from convlayers.train import run_folder

        return run_folder.load(Path(text))[0]
    installed = [library for library in _LIBRARIES if importlib.util.find_spec(library)]
    raise ArgumentError(
        f"MODEL must be one of {', '.join(models.names())}, a folder that `convlayers train` wrote, "
        f"{''.join(f'{library}:NAME, ' for library in installed)}or package.module:callable; received {text!r}"
    )


def _library(library: str, name: str) -> nn.Module:
    if importlib.util.find_spec(library) is None:
        raise ArgumentError(f"MODEL {library}:{name} needs {library}, which is not installed: pip install {library}")
    package: Any = importlib.import_module("timm" if library == "timm" else "torchvision.models")
    known = package.list_models()
    if name not in known:
        import difflib

        close = ", ".join(difflib.get_close_matches(name, known, 6, 0.4) or known[:6])
        raise ArgumentError(
            f"MODEL {library}:NAME must name one of its {len(known)} models, such as {close}; received {name!r}"
        )
    if library == "timm":
        return package.create_model(name)
    takes = inspect.signature(package.get_model_builder(name)).parameters
    return package.get_model(name, **{key: None for key in ("weights", "weights_backbone") if key in takes})


def _made(text: str, place: str, name: str) -> nn.Module:
    if (here := os.getcwd()) not in sys.path:  # as for `python -m`: a file of theirs, where they are
        sys.path.append(here)
    try:
        found: Any = importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name and place.split(".")[0] != error.name.split(".")[0]:
            raise
        raise ArgumentError(f"MODEL package.module:callable must name a module; received {text!r}: {error}") from error
    if not hasattr(found, name):
        offered = ", ".join(n for n, v in vars(found).items() if callable(v) and not n.startswith("_"))
        raise ArgumentError(f"MODEL package.module:callable must name one of {offered}; received {text!r}")
    made = getattr(found, name)
    if not isinstance(made, nn.Module):
        try:
            made = made()
        except TypeError as error:
            raise ArgumentError(f"MODEL {text} must return a module when called without arguments: {error}") from error
    if not isinstance(made, nn.Module):
        raise ArgumentError(f"MODEL {text} must return a torch.nn.Module; it returned {type(made).__name__}")
    return made
