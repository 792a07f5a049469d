"""What the suites test: our functions and layers, or, with ``CONVLAYERS_SUBJECT=torch``, torch's own.

A suite that torch itself does not pass would be a wrong suite, so the second run is the control of the first.
"""

from __future__ import annotations

import os

import torch

IS_TORCH = os.environ.get("CONVLAYERS_SUBJECT") == "torch"

if IS_TORCH:
    functional = torch.nn.functional
    layers = torch.nn
else:
    import convlayers as layers  # noqa: F401
    from convlayers import functional  # noqa: F401
