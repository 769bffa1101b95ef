"""What explains a deviation: the known edits of the text that give what the target returned."""

from __future__ import annotations

import difflib
import inspect

import numpy as np

from refimpl.op import Edit, Op
from refimpl.oracle.arithmetic import bounded
from refimpl.oracle.cases import Case
from refimpl.oracle.judge import Expected, expect, judge


def causes(
    op: Op, seen: list[tuple[Case, list[np.ndarray]]], storage: np.dtype, precision: str
) -> list[dict[str, str]]:
    """The dialects, else the mistakes, that fit every case that was answered."""
    for kind, edits in (
        ("dialect", op.dialects),
        ("mistake", op.mistakes),
        ("precision", op.lossy),
    ):
        found = [
            edit
            for edit in edits
            if _fits(op, edit, seen, storage, precision, loses_all=kind == "precision")
        ]
        if found:
            return [
                {"kind": kind, "id": edit.id, "says": edit.says, "diff": diff(op, edit)}
                for edit in found
            ]
    return [{"kind": "unknown", "id": "", "says": "no known edit of the text fits", "diff": ""}]


def _fits(
    op: Op,
    edit: Edit,
    seen: list[tuple[Case, list[np.ndarray]]],
    storage: np.dtype,
    precision: str,
    loses_all: bool,
) -> bool:
    """Whether an edited text explains every case; one that may lose all digits, where allowed."""
    text = op.edited(edit)
    for case, outputs in seen:
        try:
            with np.errstate(all="ignore"):
                ours = bounded(text, case.inputs, "float64")
                theirs = bounded(text, case.inputs, precision)
        except Exception:
            return False  # the edited text does not run on what the target answered
        expected = [
            Expected(name, own.value, own.error + other.error)
            for name, own, other in zip(op.outputs, ours, theirs, strict=False)
        ]
        own = expect(op, case.inputs, precision)
        if not loses_all and any(
            np.isinf(e.allowed).any() and np.isfinite(o.allowed).all()
            for e, o in zip(expected, own)
        ):
            return False  # a bound that allows everything explains nothing
        actual = outputs[0] if len(outputs) == 1 else outputs
        if not judge(op, expected, actual, storage).conforms:
            return False
    return bool(seen)


def diff(op: Op, edit: Edit) -> str:
    """The edit as a diff of the text."""
    from importlib import import_module

    chapter, _, changed = (edit.where or op.name).rpartition(".")
    home = import_module(f"refimpl.ops.{chapter or op.chapter}.reference")
    before = _body(inspect.getsource(getattr(home, changed)))
    after = before.replace(edit.old, edit.new)
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), changed, edit.id, lineterm="", n=1
    )
    return "\n".join(lines)


def _body(source: str) -> str:
    """The source without its docstring."""
    head, quotes, rest = source.partition('r"""')
    return head.rstrip(" ") + rest.partition('"""')[2].lstrip("\n") if quotes else source
