"""What the suites test: our functions and layers, or, with ``CONVLAYERS_SUBJECT=torch``, torch's own.

A suite that torch itself does not pass would be a wrong suite, so the second run is the control of the first.
"""

from __future__ import annotations

import collections
import os
from collections.abc import Callable
from typing import Any

import torch

IS_TORCH = os.environ.get("CONVLAYERS_SUBJECT") == "torch"

if IS_TORCH:
    functional = torch.nn.functional
    layers = torch.nn
    INSTRUCTIONS = "torch itself, the control"
else:
    import convlayers as layers
    from convlayers import functional

    INSTRUCTIONS = f"kernels for {layers.isa()}"

#: How many float32 operators on the CPU each kernel ran, of the calls through :func:`recorded`; stays empty for torch.
kernels: collections.Counter[str] = collections.Counter()


def recorded(name: str) -> Callable[..., Any]:
    """A function of the subject; ``kernels`` counts what ``convlayers.which`` says of its calls."""
    function = getattr(functional, name)

    def call(input: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        result = function(input, *args, **kwargs)
        if not IS_TORCH and input.dtype == torch.float32 and input.device.type == "cpu":
            kernels.update(choice.kernel for choice in layers.which(function, input, *args, **kwargs))
        return result

    return call
