"""What a text imports, read in the arithmetic that it runs in.

A text's code is run again over other names: NumPy makes tables that carry (`numbers.tables`),
functions of `math` and the few of SciPy that do not ask their arguments take what is carried, and
functions and classes of its author's are run again in the same way, wherever they stand: in the
text's module, around it, in another module of theirs, or imported within.
"""

from __future__ import annotations

import builtins
import math
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from refimpl.oracle.numbers.composed import COMPOSED
from refimpl.oracle.numbers.tables import Carrying

OF_LIBRARIES = {*sys.stdlib_module_names, "numpy", "scipy", "refimpl"} - {"__main__"}
MATH = {
    **{f"a{name}": f"arc{name}" for name in ("sin", "cos", "tan", "tan2")},
    **{name: name for name in ("sqrt", "exp", "expm1", "exp2", "log2", "log10", "log1p", "cbrt")},
    **{name: name for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "floor", "ceil")},
    **{name: name for name in ("trunc", "hypot", "isnan", "isinf", "isfinite", "fabs", "prod")},
    **{"pow": "power", "fsum": "sum", "erf": "erf", "erfc": "erfc", "log": "log"},
}
SCIPY = ("softmax", "log_softmax", "logsumexp")  # the others are asked of their arguments


def carrying(text: Callable, lift: Callable) -> Callable:
    """The same code over names that carry; our own texts make no tables so."""
    if not isinstance(text, types.FunctionType) or text.__module__.startswith("refimpl."):
        return text
    return Names(lift).function(text)


class Names:
    """The functions, classes and modules that a text names, as one reading has them."""

    def __init__(self, lift: Callable) -> None:
        self.lift = lift
        self.numpy = Carrying(np, lift)
        self.known: dict[int, Any] = {}
        self.spaces: dict[int, dict[str, Any]] = {}

    def read(self, value: Any) -> Any:
        """What a name means here; most mean what they mean anywhere."""
        if isinstance(value, types.ModuleType):
            return self.module(value)
        if isinstance(value, types.FunctionType) and _of_its_author(value):
            return self.function(value)
        if type(value) is type and _of_its_author(value):
            return self.subclass(value)
        name = getattr(value, "__name__", None)
        if isinstance(name, str) and value is getattr(np, name, None):
            return value if isinstance(value, type) else getattr(self.numpy, name)
        return _taking(value)

    def module(self, module: types.ModuleType) -> Any:
        """A module whose functions take what is carried, or the module itself."""
        if module is np:
            return self.numpy
        root = module.__name__.partition(".")[0]
        return Imported(module, self) if root in ("math", "scipy") else module

    def function(self, function: types.FunctionType) -> types.FunctionType:
        """The same code, over names that are read here."""
        if id(function) in self.known:
            return self.known[id(function)]
        names = self._space(function.__globals__)
        cells = function.__closure__ and tuple(types.CellType() for _ in function.__closure__)
        again = types.FunctionType(
            function.__code__, names, function.__name__, function.__defaults__, cells
        )
        again.__kwdefaults__ = function.__kwdefaults__
        self.known[id(function)] = again
        for cell, old in zip(cells or (), function.__closure__ or ()):
            try:
                cell.cell_contents = self.read(old.cell_contents)
            except ValueError:  # not assigned yet
                continue
        for name in _mentioned(function.__code__):
            if name in function.__globals__:
                names[name] = self.read(function.__globals__[name])
        return again

    def subclass(self, kind: type) -> type:
        """A class whose own methods are read here."""
        if id(kind) not in self.known:
            self.known[id(kind)] = kind  # while its methods are read
            methods = {
                name: self.function(value)
                for name, value in vars(kind).items()
                if isinstance(value, types.FunctionType)
            }
            self.known[id(kind)] = type(kind.__name__, (kind,), methods)
        return self.known[id(kind)]

    def _space(self, names: dict[str, Any]) -> dict[str, Any]:
        """The names of a module, in a copy where those that are mentioned are read."""
        if id(names) not in self.spaces:
            inside = dict(vars(builtins), __import__=self._import)
            self.spaces[id(names)] = {**names, "__builtins__": inside}
        return self.spaces[id(names)]

    def _import(self, *arguments: Any, **named: Any) -> Any:
        return self.module(builtins.__import__(*arguments, **named))


class Imported:
    """A module of functions that ask nothing of their arguments."""

    def __init__(self, module: types.ModuleType, names: Names) -> None:
        self._module = module
        self._names = names

    def __getattr__(self, name: str) -> Any:
        return self._names.read(getattr(self._module, name))


def _mentioned(code: types.CodeType) -> Iterator[str]:
    """The names that a code speaks of, and those within."""
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _mentioned(inner)


def _of_its_author(value: Any) -> bool:
    return (value.__module__ or "").partition(".")[0] not in OF_LIBRARIES


def _taking(function: Any) -> Any:
    """A function of math or SciPy that takes what is carried as well."""
    name, where = (getattr(function, key, None) for key in ("__name__", "__module__"))
    if where == "math" and name in MATH and function is getattr(math, name):
        return _either(function, _of_numbers(MATH[name]))
    if str(where).startswith("scipy.special") and name in SCIPY:
        return _either(function, COMPOSED[name])
    return function


def _of_numbers(name: str) -> Callable:
    """NumPy's function, or SciPy's, of the same meaning."""
    if name == "log":
        return lambda x, base=None: np.log(x) if base is None else np.log(x) / np.log(base)
    from scipy import special

    return getattr(np, name, None) or getattr(special, name)


def _either(plain: Callable, carried: Callable) -> Callable:
    def call(*args: Any, **kwargs: Any) -> Any:
        inside = any(hasattr(x, "lift_constant") for x in (*args, *kwargs.values()))
        return (carried if inside else plain)(*args, **kwargs)

    return call
