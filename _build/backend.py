"""The build backend: scikit-build-core, which is also told where torch comes from.

The C++ code needs torch's headers. A torch that is already installed in the target environment serves (CMake finds it
there, also from an isolated build); only where there is none does the build environment need its own, and that can be
a download of gigabytes.
"""

from __future__ import annotations

import os
import sysconfig

from scikit_build_core.build import *  # noqa: F403  (the hooks that PEP 517 and PEP 660 name)
from scikit_build_core.build import get_requires_for_build_editable as _editable
from scikit_build_core.build import get_requires_for_build_wheel as _wheel


def _torch() -> list[str]:
    installed = os.path.isdir(os.path.join(sysconfig.get_paths()["platlib"], "torch", "include"))
    return [] if installed else ["torch>=2.10"]


def get_requires_for_build_wheel(config_settings=None):
    return [*_wheel(config_settings), *_torch()]


def get_requires_for_build_editable(config_settings=None):
    return [*_editable(config_settings), *_torch()]
