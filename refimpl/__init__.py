"""What "correct" means for the building blocks of vision-language and diffusion models.

>>> import refimpl
>>> refimpl.softmax([[0.0, 0.0]])
array([[0.5, 0.5]])
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from refimpl.exceptions import RefimplError
from refimpl.moved import Moved

__all__ = ["RefimplError", "__version__"]
__version__ = "0.1.0"

sys.meta_path.append(Moved())

_MODULES = ("fast", "testing")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"refimpl.{name}")
    if name == "verify":
        return importlib.import_module("refimpl.oracle.runs.verify").verify
    if name == "operation":
        return importlib.import_module("refimpl.own").operation
    if name.startswith("_"):
        raise AttributeError(f"module 'refimpl' has no attribute {name!r}")
    registry = importlib.import_module("refimpl.registry")
    if name == "OPS":
        return registry.OPS
    if name in registry.SHIPPED:
        return registry.SHIPPED[name].checked
    if name in registry.OPS:
        return registry.OPS[name].checked
    raise AttributeError(f"module 'refimpl' has no attribute {name!r}")


def __dir__() -> list[str]:
    registry = importlib.import_module("refimpl.registry")
    return sorted([*globals(), *_MODULES, "operation", "verify", "OPS", *registry.OPS])
