"""Modules that stand elsewhere now.

Files that people wrote for an earlier version import them under their former names; those still
lead there, with a DeprecationWarning that says where.
"""

from __future__ import annotations

import importlib
import warnings
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

NOW = {
    "refimpl.special": "refimpl.constants",
    "refimpl.oracle.arithmetic": "refimpl.oracle.numbers.errors",
    "refimpl.oracle.balls": "refimpl.oracle.numbers.balls",
    "refimpl.oracle.precision": "refimpl.oracle.numbers.precisions",
    "refimpl.oracle.judge": "refimpl.oracle.judging.judge",
    "refimpl.oracle.layerwise": "refimpl.oracle.diagnosis.structure",
    "refimpl.oracle.models": "refimpl.oracle.targets.models",
    "refimpl.oracle.diagnose": "refimpl.oracle.diagnosis.causes",
    "refimpl.oracle.golden": "refimpl.oracle.vectors.golden",
    "refimpl.oracle.verify": "refimpl.oracle.runs.verify",
}


class Moved:
    """Finds and loads a module under its former name."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in NOW else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        """A module as usual."""

    def exec_module(self, module: ModuleType) -> None:
        now = NOW[module.__name__]
        warnings.warn(f"{module.__name__} is {now} now", DeprecationWarning, stacklevel=2)
        names = vars(importlib.import_module(now))
        vars(module).update({k: x for k, x in names.items() if not k.startswith("__")})
