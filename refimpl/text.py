"""The one place where a text is read, edited, compiled again, tapped and shown as a diff.

A text is a function together with the functions that it calls by name: those of its own module and
of the chapters' pages. An edited text is compiled function by function into namespaces of its own,
so that what calls an edited function calls the edited one, and nothing else changes.

>>> def half(x):
...     return x / 2  # not doctest's own source
>>> assembled(half, {half: "def half(x):\\n    return x / 3\\n"})(6.0), half(6.0)
(2.0, 3.0)
"""

from __future__ import annotations

import ast
import difflib
import functools
import inspect
import textwrap
import types
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.exceptions import RefimplError

PAGE = ".reference"  # what the modules end in that are pages of the book

Sources = Mapping[types.FunctionType, str]
Place = tuple[types.FunctionType, str, str]  # a function, what of it is replaced, and by what


class EditError(RefimplError, ValueError):
    """An edit does not fit the text that it is made for."""


@dataclass(frozen=True)
class FunctionText:
    """One function of a text without its docstring and annotations, as it is compiled anew."""

    module: str
    name: str
    function: types.FunctionType
    source: str

    @property
    def printed(self) -> str:
        """The function as the chapter prints it, without its docstring."""
        shown = body(textwrap.dedent(inspect.getsource(self.function)))
        return shown if shown.endswith(self.steps) else self.source  # in one line, or decorated

    @property
    def steps(self) -> str:
        """All but the line that says the name and the arguments."""
        return self.source.partition("\n")[2]

    def diff(self, source: str, label: str) -> str:
        """What another source of the function changes, as a diff of what is printed."""
        before = self.printed
        after = before.removesuffix(self.steps) + source.partition("\n")[2]
        two = before.splitlines(), after.splitlines()
        return "\n".join(difflib.unified_diff(*two, self.name, label, lineterm="", n=1))


def body(source: str) -> str:
    """The source without its docstring."""
    head, quotes, rest = source.partition('r"""')
    return head.rstrip(" ") + rest.partition('"""')[2].lstrip("\n") if quotes else source


@functools.lru_cache(maxsize=1024)
def function_text(function: types.FunctionType, source: str = "") -> FunctionText:
    """One function as it is compiled anew; its source is looked up where it is not given."""
    source = source or textwrap.dedent(inspect.getsource(function))
    (written,) = ast.parse(source).body
    if not isinstance(written, ast.FunctionDef):
        raise EditError(f"{function.__name__} is not written as a function of its own")
    if not source.startswith("def ") or written.body[0].lineno == written.lineno:
        written.decorator_list = []
        source = ast.unparse(written)
        (written,) = ast.parse(source).body
    assert isinstance(written, ast.FunctionDef)
    first = written.body[1 if ast.get_docstring(written) else 0].lineno
    lines = source.splitlines()
    while lines[first - 2].strip().startswith("#"):
        first -= 1
    arguments = ", ".join(inspect.signature(function).parameters)
    text = "\n".join((f"def {function.__name__}({arguments}):", *lines[first - 1 :])) + "\n"
    return FunctionText(function.__module__, function.__name__, function, text)


@dataclass(frozen=True)
class Reached:
    """The functions that a text is made of, and by which names they call each other."""

    functions: Mapping[types.FunctionType, None]  # in the order in which they are met
    calls: tuple[tuple[int, str, types.FunctionType], ...]  # the namespace's identity and the name


@functools.lru_cache(maxsize=1024)
def reached(root: types.FunctionType, packages: tuple[str, ...] = ()) -> Reached:
    """What a text is made of; functions of whole `packages` belong to it as well, if any are."""
    calls: dict[tuple[int, str], types.FunctionType] = {}
    functions: dict[types.FunctionType, None] = {root: None}
    waiting = [root]
    while waiting:
        function = waiting.pop(0)
        names = function.__globals__
        for name in _called(function.__code__):
            found = names.get(name)
            if not isinstance(found, types.FunctionType) or not _is_page(found, root, packages):
                continue
            calls[id(names), name] = found
            if found not in functions:
                functions[found] = None
                waiting.append(found)
    return Reached(functions, tuple((*where, found) for where, found in calls.items()))


def _is_page(function: types.FunctionType, root: types.FunctionType, more: tuple[str, ...]) -> bool:
    home = "" if hasattr(function, "__wrapped__") else function.__module__
    return home.endswith(PAGE) or home == root.__module__ or _package(home) in more


def _package(module: str) -> str:
    return module.partition(".")[0]


def _called(code: types.CodeType) -> list[str]:
    nested = [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return [*code.co_names, *(name for inner in nested for name in _called(inner))]


@functools.lru_cache(maxsize=4096)
def compiled(name: str, source: str) -> dict[str, types.CodeType]:
    """The code of a function, and of those that its source brings along; SyntaxError if it is none.

    >>> [*compiled("f", "def f(x):\\n    return g(x)\\ndef g(x):\\n    return x\\n")]
    ['f', 'g']
    """
    names: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a suspicious text is what is wanted here
        exec(compile(source, f"<edited {name}>", "exec"), names)
    return {n: f.__code__ for n, f in names.items() if isinstance(f, types.FunctionType)}


def defined(name: str, source: str, names: Mapping[str, Any]) -> types.FunctionType:
    """The function of a source whose annotations and calls are found among `names`."""
    space = dict(names)
    exec(compile(source, f"<{name}>", "exec", dont_inherit=True), space)
    return space[name]


def assembled(
    root: Any, sources: Sources, names: Mapping[str, Any] | None = None
) -> Callable[..., Any]:
    """The text, some of its functions compiled from other sources; `names` are known everywhere.

    Raises EditError for a function that the text does not call.
    """
    parts = reached(root)
    if not parts.functions.keys() >= sources.keys():  # it, and what stands between it and the text
        packages = {_package(function.__module__) for function in (root, *sources)}
        parts = reached(root, tuple(sorted(packages)))
    for function in sources:
        if function not in parts.functions:
            raise EditError(f"{root.__name__} does not call {function.__name__}")
    spaces: dict[int, dict[str, Any]] = {}
    for function in parts.functions:
        if id(function.__globals__) not in spaces:
            spaces[id(function.__globals__)] = {"np": np, **function.__globals__, **(names or {})}
    copies = {f: _copy(f, spaces[id(f.__globals__)], sources.get(f)) for f in parts.functions}
    for where, name, function in parts.calls:
        if spaces[where].get(name) is function:
            spaces[where][name] = copies[function]
    return copies[root]


def _copy(
    function: types.FunctionType, space: dict[str, Any], source: str | None
) -> types.FunctionType:
    """A function in another namespace; from another source, what it closes over is known there."""
    name, defaults = function.__name__, function.__defaults__
    if source is None:
        code, closure = function.__code__, function.__closure__
    else:
        codes = compiled(name, source)
        code, closure = codes[name], None
        space |= _closed_over(function)
        space |= {n: types.FunctionType(c, space, n) for n, c in codes.items() if n != name}
    made = types.FunctionType(code, space, name, defaults, closure)
    made.__kwdefaults__, made.__annotations__ = function.__kwdefaults__, function.__annotations__
    return made


def _closed_over(function: types.FunctionType) -> dict[str, Any]:
    return dict(inspect.getclosurevars(function).nonlocals) if function.__closure__ else {}


def replaced(places: Iterable[Place], label: str) -> dict[types.FunctionType, str]:
    """The sources after some replacements in turn, each of a piece that stands there once."""
    sources: dict[types.FunctionType, str] = {}
    for function, old, new in places:
        source = sources.get(function) or function_text(function).source
        if source.count(old) != 1:
            raise EditError(
                f"edit {label}: {old!r} occurs {source.count(old)} times in {function.__name__}, "
                "expected once"
            )
        sources[function] = source.replace(old, new)
    return sources


def tapped(root: Any, tap: Callable[[str, Any], Any]) -> Callable[..., Any]:
    """The text, every value that it gives a name to replaced by `tap(name, value)`."""
    source = ast.unparse(_Taps().visit(ast.parse(function_text(root).source)))
    return assembled(root, {root: source}, {"tap": tap})


class _Taps(ast.NodeTransformer):
    """Puts a tap behind every assignment."""

    def visit_Assign(self, node: ast.Assign) -> list[ast.stmt]:
        names = [
            n.id
            for target in node.targets
            for n in ast.walk(target)
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        ]
        taps = (ast.parse(f"{name} = tap({name!r}, {name})").body[0] for name in names)
        return [node, *taps]


def calling(root: Any, wrap: Callable[[str, Callable], Callable]) -> Callable[..., Any]:
    """The text, every function that it calls by name replaced by `wrap(name, function)`."""
    made = assembled(root, {root: function_text(root).source})
    names = made.__globals__
    for name, function in [*names.items()]:
        if inspect.isfunction(function) and name != root.__name__:
            names[name] = wrap(name, function)
    return made
