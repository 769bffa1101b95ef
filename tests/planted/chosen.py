"""The target that `verify` judges: one planted implementation at a time, chosen by a file.

The file that the variable PLANTED names holds the module and the function.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path

from refimpl.registry import OPS


def __getattr__(name: str):
    if name not in OPS:
        raise AttributeError(name)
    module, _, function = Path(os.environ["PLANTED"]).read_text().partition(" ")
    return getattr(importlib.import_module(module), function)
