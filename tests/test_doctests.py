"""Every example in the package's docstrings runs and gives what it says, and whatever users reach has one."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
from types import ModuleType

import pytest
import torch

import convlayers
from convlayers import activations, errors, functional, init, nn
from convlayers import inspect as looking

MODULES = [
    "convlayers",
    *(
        module.name
        for module in pkgutil.walk_packages(convlayers.__path__, "convlayers.")
        if not module.name.endswith((".libconvlayers", ".__main__"))  # the kernels, and what runs when imported
    ),
]


def names(module: ModuleType) -> list[str]:
    """What a module offers: its __all__, or the classes and functions that it defines under names of their own."""
    if hasattr(module, "__all__"):
        return [name for name in module.__all__ if not inspect.ismodule(getattr(module, name))]
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
    ]


PUBLIC = [
    (module, name)
    for module in (convlayers, functional, nn, errors, init, activations, looking)
    for name in names(module)
]


def test_the_modules_are_found():
    assert {"convlayers.nn.conv", "convlayers.functional.conv", "convlayers.geometry"} <= set(MODULES)
    assert len(PUBLIC) > 150


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    """An example may use torch and the names of its module."""
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF)
    report: list[str] = []
    for test in doctest.DocTestFinder().find(module, extraglobs={"torch": torch}):
        runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)


@pytest.mark.parametrize(("module", "name"), PUBLIC, ids=lambda v: v if isinstance(v, str) else v.__name__)
def test_there_is_an_example(module, name):
    documentation = inspect.getattr_static(module, name).__doc__ or ""
    examples = doctest.DocTestParser().get_examples(documentation)
    assert any(re.search(rf"\b{name}\b", example.source) for example in examples), documentation or "no docstring"
