"""The table of contents of whole models: the families that ship, and those that a user brings."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from typing import Any

from refimpl.models import spec
from refimpl.models.model import Model
from refimpl.models.names import Layout


def _collect() -> dict[str, Model]:
    names = sorted(module.name for module in pkgutil.iter_modules(spec.__path__))
    modules = (importlib.import_module(f"{spec.__name__}.{name}") for name in names)
    return {module.MODEL.name: module.MODEL for module in modules}


_FAMILIES = _collect()
_BROUGHT: list[str] = []


def families() -> list[Model]:
    """Every family by its record, those that were brought at last."""
    return list(_FAMILIES.values())


def bring(models: Iterable[Model], whence: str) -> list[str]:
    """Add families that stand in the module `whence`; the names of their sizes."""
    added = list(models)
    _FAMILIES.update({model.name: model for model in added})
    if added:
        _BROUGHT.append(whence)
    return [name for model in added for name in model.sizes]


def brought() -> list[str]:
    """The modules that brought families, for a process that needs them as well."""
    return list(_BROUGHT)


def family(config: Any) -> Model:
    """The record that a configuration belongs to."""
    found = next((model for model in families() if type(config) is model.config), None)
    if found is None:
        known = ", ".join(model.config.__name__ for model in families())
        raise TypeError(f"{type(config).__name__} belongs to no family of models, expected {known}")
    return found


def find_model(name: str) -> Any:
    """The configuration of this name, or of NAME-testing; a KeyError that lists them for others."""
    sizes = {size: config for model in families() for size, config in model.sizes.items()}
    name = name if name in sizes else f"{name}-testing" if f"{name}-testing" in sizes else name
    if name not in sizes:
        raise KeyError(f"no model is called {name!r}; there are {', '.join(sizes)}")
    return sizes[name]


def layouts() -> list[Layout]:
    """How libraries name the parameters of all families."""
    return [layout for model in families() for layout in model.layouts]
