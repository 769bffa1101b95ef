"""The table of contents: every operation by name, those that ship and those that a user brings."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from types import FunctionType, MappingProxyType

from refimpl.op import Edit, Op

CHAPTERS = (
    "layers",
    "gates",
    "images",
    "convolution",
    "autoencoder",
    "patch_embedding",
    "positions",
    "attention",
    "unet",
    "objectives",
    "generation",
    "preferences",
    "retrieval",
    "scaling",
    "clip",
    "diffusion",
    "levels",
    "samplers",
    "flow",
    "loops",
    "guidance",
    "editing",
    "cascade",
    "flamingo",
    "qformer",
    "qwen",
)


def _collect() -> dict[str, Op]:
    ops = {}
    for chapter in CHAPTERS:
        spec = importlib.import_module(f"refimpl.ops.{chapter}.spec")
        ops.update({op.name: op for op in spec.OPS})
    return ops


SHIPPED = MappingProxyType(_collect())
_TABLE = dict(SHIPPED)
OPS = MappingProxyType(_TABLE)  # a view: what `bring` adds is seen wherever it was imported


_WHENCE: dict[str, tuple[str, ...]] = {}


def bring(ops: Iterable[Op], *whence: str) -> list[str]:
    """Add operations to the table; one that is called like another takes its place.

    `whence` are the words of a command line that bring them again.
    """
    added = {op.name: op for op in ops}
    _TABLE.update(added)
    _WHENCE.update(dict.fromkeys(added, whence))
    return list(added)


def whence(name: str) -> tuple[str, ...]:
    """The words of a command line that bring an operation, none for those that ship."""
    return _WHENCE.get(name, ())


def offered() -> dict[str, list[str]]:
    """The names of all operations and of their outputs: what a target's process is told."""
    return {name: list(op.outputs) for name, op in OPS.items()}


def find(name: str) -> Op:
    """The operation of this name, or a KeyError that lists near misses."""
    if name in OPS:
        return OPS[name]
    import difflib

    near = difflib.get_close_matches(name, OPS, n=3)
    hint = f"; did you mean {', '.join(near)}?" if near else ""
    raise KeyError(f"no operation is called {name!r}{hint}")


def generations(op: Op) -> list[Op]:
    """The operation as its text sees it, then with what it inherits from those that it calls.

    The first has its own mistakes, dialects and lossy forms; the next those of the operations that
    its text calls, as edits of their texts; then those that these call. What an operation lists
    itself it does not inherit.
    """
    found, seen = [op], {_places(op, edit) for edit in _edits(op)}

    def inherited(callees: tuple[Op, ...], kind: str) -> tuple[Edit, ...]:
        edits = (_adopted(op, callee, edit) for callee in callees for edit in getattr(callee, kind))
        new = {_places(op, edit): edit for edit in edits if _places(op, edit) not in seen}
        seen.update(new)
        return tuple(new.values())

    for callees in _called(op.text):
        found.append(
            replace(
                op,
                dialects=inherited(callees, "dialects"),
                mistakes=inherited(callees, "mistakes"),
                lossy=inherited(callees, "lossy"),
            )
        )
    return found


def _edits(op: Op) -> Iterator[Edit]:
    yield from (*op.mistakes, *op.dialects, *op.lossy)


def _places(op: Op, edit: Edit) -> frozenset:
    """What an edit replaces, wherever it is listed."""
    return frozenset(op.placed(edit))


def _adopted(op: Op, callee: Op, edit: Edit) -> Edit:
    """The edit of a callee's text, to be applied where the caller calls it."""

    def place(where: str) -> str:
        if "." in where or callee.text.__module__ == op.text.__module__:
            return where or callee.name
        return f"{callee.chapter}.{where or callee.name}"

    (where, _, _), *also = edit.places
    return replace(
        edit, where=place(where), also=tuple((place(at), old, new) for at, old, new in also)
    )


@functools.cache
def _called(text: Callable) -> tuple[tuple[Op, ...], ...]:
    """The operations that a text calls, then those that these call, and so on, each once."""
    known = {op.text: op for op in OPS.values()}
    found, seen, last = [], {text}, [text]
    while last:
        names = ((caller, name) for caller in last for name in caller.__code__.co_names)
        called = dict.fromkeys(caller.__globals__.get(name) for caller, name in names)
        last = [f for f in called if isinstance(f, FunctionType) and f not in seen]
        seen.update(last)
        found.append(tuple(known[f] for f in last if f in known))
    return tuple(generation for generation in found if generation)
