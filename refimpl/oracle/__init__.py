"""The oracle: what is right, how far from it one may be, and what a deviation comes from.

Files that people wrote for an earlier version import from modules that stand elsewhere now; those
names still lead there, with a DeprecationWarning that says where.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MOVED = {
    "arithmetic": "numbers.errors",
    "balls": "numbers.balls",
    "precision": "numbers.precisions",
    "judge": "judging.judge",
    "layerwise": "diagnosis.structure",
    "models": "targets.models",
    "diagnose": "diagnosis.causes",
    "golden": "vectors.golden",
    "verify": "runs.verify",
}


class _Moved(MetaPathFinder, Loader):
    """Finds a module under its former name."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        parent, _, last = name.rpartition(".")
        known = parent == __name__ and last in MOVED
        return ModuleSpec(name, self) if known else None

    def exec_module(self, module: ModuleType) -> None:
        now = f"{__name__}.{MOVED[module.__name__.rpartition('.')[2]]}"
        warnings.warn(f"{module.__name__} is {now} now", DeprecationWarning, stacklevel=2)
        names = vars(importlib.import_module(now))
        vars(module).update({k: x for k, x in names.items() if not k.startswith("__")})


sys.meta_path.append(_Moved())
