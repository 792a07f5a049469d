"""What the package exports: under torch's names with torch's parameters, all of it documented, and quick to import."""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional

import convlayers
from convlayers import functional, nn

EXPORTING = [convlayers, functional, nn]
SHARED = [
    *((torch.nn, nn, name) for name in nn.__all__ if hasattr(torch.nn, name)),
    *((torch.nn.functional, functional, name) for name in functional.__all__ if hasattr(torch.nn.functional, name)),
]
_NO_DEFAULT = inspect.Parameter.empty


def parameters(function: Callable[..., Any]) -> list[tuple[str, Any]]:
    """Names and defaults, in order."""
    return [(p.name, p.default) for p in inspect.signature(function).parameters.values()]


def torchs_parameters(module: Any, name: str) -> list[tuple[str, Any]]:
    """The same of torch's function: a built-in has them in its docstring only, one with ``return_indices`` twice."""
    function = getattr(module, name)
    if inspect.isclass(function):
        return parameters(function)
    if inspect.isbuiltin(function):
        text = inspect.getdoc(function).split(" -> ")[0]
        assert text.startswith(f"{name}(")
        (definition,) = ast.parse(f"def {text}: ...").body
        given = [argument.arg for argument in definition.args.args]
        defaults = [ast.literal_eval(default) for default in definition.args.defaults]
        return list(zip(given, [_NO_DEFAULT] * (len(given) - len(defaults)) + defaults, strict=True))
    found = parameters(function)
    return parameters(getattr(module, f"_{name}")) if [n for n, _ in found] == ["args", "kwargs"] else found


def test_torch_has_most_names():
    assert len(SHARED) > 60


@pytest.mark.parametrize(("theirs", "ours", "name"), SHARED, ids=lambda v: v if isinstance(v, str) else "")
def test_the_parameters_are_torchs_first(theirs, ours, name):
    expected, actual = torchs_parameters(theirs, name), parameters(getattr(ours, name))
    assert actual[: len(expected)] == expected
    # What we add goes by keyword alone, or in torch's place for a class of another rank.
    for parameter in list(inspect.signature(getattr(ours, name)).parameters.values())[len(expected) :]:
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY, parameter.name
        assert parameter.default is not _NO_DEFAULT, parameter.name


@pytest.mark.parametrize("module", EXPORTING, ids=lambda module: module.__name__)
def test_all_is_what_can_be_imported(module):
    assert module.__all__ == sorted(module.__all__)
    assert len(set(module.__all__)) == len(module.__all__)
    public = {
        name
        for name, value in vars(module).items()
        # A module is offered where __all__ says so; the others are there because they were imported.
        if not name.startswith("_") and (not inspect.ismodule(value) or name in module.__all__)
    }
    assert public == set(module.__all__)
    namespace: dict[str, Any] = {}
    exec(f"from {module.__name__} import *", namespace)
    assert set(module.__all__) == namespace.keys() - {"__builtins__"}


def test_every_layer_is_at_the_top():
    for name in nn.__all__:
        assert getattr(convlayers, name) is getattr(nn, name)
    others = {"functional", "isa", "isas", "keep_memory", "keep_weights", "precision", "tune", "which"}
    assert set(convlayers.__all__) - set(nn.__all__) == others


@pytest.mark.parametrize("module", EXPORTING, ids=lambda module: module.__name__)
def test_all_is_documented(module):
    for name in module.__all__:
        value = getattr(module, name)
        documentation = value.__doc__ or ""
        first = documentation.strip().split("\n\n")[0].rstrip()
        assert first.endswith("."), f"{name}: {first}"


def told(name: str, seen: frozenset[str] = frozenset()) -> str:
    """What the documentation says about a layer or function, and what those that it refers to say."""
    documentation = (getattr(nn, name, None) or getattr(functional, name)).__doc__
    text = documentation.partition("Example:")[0]
    known = {*nn.__all__, *functional.__all__}
    references = set(re.findall(r":(?:class|func):`(?:[a-z.]+\.)?(\w+)`", documentation)) & known
    return text + "".join(told(other, seen | {name}) for other in references - seen - {name})


@pytest.mark.parametrize("name", [*nn.__all__, *functional.__all__])
def test_every_parameter_is_documented(name):
    """Here, or where this refers to, or in torch if torch has it: then it need not be told again."""
    module = nn if name in nn.__all__ else functional
    theirs = torch.nn if module is nn else torch.nn.functional
    torchs = {p for p, _ in torchs_parameters(theirs, name)} if hasattr(theirs, name) else {"input", "return_indices"}
    documentation = told(name)
    untold = [
        p for p, _ in parameters(getattr(module, name)) if p not in torchs and not re.search(rf"\b{p}\b", documentation)
    ]
    assert untold == []


def test_importing_the_package_imports_torch_and_nothing_else():
    code = """
import json, sys, torch
before = {name.partition(".")[0] for name in sys.modules}
import convlayers
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules} - before)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["convlayers"]


def test_its_parts_import_by_themselves():
    """In any order, and without what only training needs: each first, in a process of its own that has torch alone."""
    code = """
import importlib, os, sys, torch
for module in sys.argv[1:]:
    if os.fork() == 0:
        importlib.import_module(f"convlayers.{module}")
        print(module, *{"lightning", "sklearn", "PIL", "onnx", "keras"} & set(sys.modules), flush=True)
        os._exit(0)
    assert os.wait()[1] == 0, module
"""
    parts = ["nn", "functional", "init", "errors", "geometry", "cli", "inspect"]
    done = subprocess.run([sys.executable, "-c", code, *parts], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == parts
