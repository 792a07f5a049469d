"""What ``convlayers.tune`` measured: a JSON file for each processor, instruction set, number of threads and version.

Nothing but :func:`remember` writes. A file is read when a convolution of its number of threads is first ranked.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import math
import os
import platform
import re
import tempfile
import warnings
from pathlib import Path

import torch

from convlayers.ops import library
from convlayers.ops.cost import Call


def file(threads: int) -> Path:
    """Where the times measured with so many threads are: in ``$XDG_CACHE_HOME/convlayers``, ``~/.cache`` by default."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    try:
        version = importlib.metadata.version("convlayers")
    except importlib.metadata.PackageNotFoundError:  # run from a folder
        version = "unknown"
    name = f"{processor()} {library.isa()} {threads} threads convlayers {version} torch {torch.__version__}"
    return Path(cache) / "convlayers" / f"tuned-{re.sub('[^a-z0-9.+]+', '-', name.lower())}.json"


def processor() -> str:
    """The processor's name, as the system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def lookup(call: Call, threads: int) -> dict[str, float] | None:
    """Seconds of each implementation that was measured for a call, None where none was or CONVLAYERS_TUNED is off."""
    if os.environ.get("CONVLAYERS_TUNED") == "off":
        return None
    return read(file(threads)).get(str(call))


def remember(times: dict[Call, dict[str, float]], threads: int) -> Path:
    """Adds what was measured to the file, which is replaced as a whole."""
    path = file(threads)
    read.cache_clear()  # others may have written since
    calls = read(path) | {str(call): seconds for call, seconds in times.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".tuned-", suffix=".json")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump({"unit": "seconds", "calls": calls}, stream, indent=1)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path


@functools.cache
def read(path: Path) -> dict[str, dict[str, float]]:
    """The file's times; none, and a warning, where it is not what :func:`remember` writes."""
    try:
        calls = json.loads(path.read_text(encoding="utf-8"))["calls"]
        for seconds in calls.values():
            if not all(type(s) is float and 0 < s < math.inf for s in seconds.values()):
                raise ValueError("a time must be a positive number")
        return calls
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        warnings.warn(f"{path} is ignored: it is no file of convlayers.tune ({error}). Delete it", stacklevel=2)
        return {}
