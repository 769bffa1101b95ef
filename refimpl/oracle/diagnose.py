"""What explains a deviation: the known edits of the text that give what the target returned."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from refimpl.op import Edit, Op
from refimpl.oracle.cases import Case
from refimpl.oracle.distinguish import Ask, narrow, predict
from refimpl.oracle.judge import Expected, error_ratio, expect, judge


def causes(
    op: Op,
    seen: list[tuple[Case, list[np.ndarray]]],
    storage: np.dtype,
    precision: str,
    ask: Ask | None = None,
) -> list[dict[str, Any]]:
    """The dialects, else the mistakes, else the losses of digits, that fit every answered case.

    Where several fit, `ask` calls the target again on inputs that tell them apart; those that are
    left agree on everything tried. `text` of a cause is the edited text, where there is one.
    """
    kinds = {edit.id: "dialect" for edit in op.dialects}
    kinds |= {edit.id: "mistake" for edit in op.mistakes}
    listed = (*op.dialects, *op.mistakes)
    found = [edit for edit in listed if _fits(op, edit, seen, storage, precision)]
    if len(found) > 1 and ask:
        found = narrow(op, found, ask, precision, storage)
    if any(kinds[edit.id] == "dialect" for edit in found):
        found = [edit for edit in found if kinds[edit.id] == "dialect"]
    if not found:
        kinds = {edit.id: "precision" for edit in op.lossy}
        found = [e for e in op.lossy if _fits(op, e, seen, storage, precision, loses_all=True)]
    if found:
        return [
            {
                "kind": kinds[edit.id],
                "id": edit.id,
                "says": edit.says,
                "diff": diff(op, edit),
                "text": op.edited(edit),
            }
            for edit in found
        ]
    from refimpl.oracle.rounding import roundings
    from refimpl.oracle.search import explain

    others = roundings(op, seen, storage, precision, ask)
    others = others or explain(op, seen, storage, precision)
    return others or [
        {"kind": "unknown", "id": "", "says": "no known edit of the text fits", "diff": ""}
    ]


def _fits(
    op: Op,
    edit: Edit,
    seen: list[tuple[Case, list[np.ndarray]]],
    storage: np.dtype,
    precision: str,
    loses_all: bool = False,
) -> bool:
    """Whether an edited text explains every case; one that may lose all digits, where allowed."""
    text = op.edited(edit)
    for case, outputs in seen:
        own = [] if loses_all else expect(op, case.inputs, precision)
        if not fits(op, text, case, outputs, own, storage):
            return False
    return bool(seen)


def fits(
    op: Op,
    text: Callable,
    case: Case,
    outputs: list[np.ndarray],
    own: list[Expected],
    storage: np.dtype,
) -> bool:
    """Whether an edited text explains one case; `own` is what the unedited one expects."""
    expected = predict(op, text, case)
    if expected is None:
        return False  # the edited text does not run on what the target answered
    if not all(_tells(e, o, found) for e, o, found in zip(expected, own, outputs)):
        return False  # a bound that allows everything explains nothing
    actual = outputs[0] if len(outputs) == 1 else outputs
    return judge(op, expected, actual, storage).conforms


def _tells(edited: Expected, own: Expected, found: np.ndarray) -> bool:
    """Whether an infinite bound of an edited text is borne out: what it allows has overflowed."""
    free = np.isinf(edited.allowed)
    if not free.any() or not np.isfinite(own.allowed).all() or free.shape != np.shape(found):
        return True
    found = np.asarray(found, dtype=np.float64)
    return bool(np.all((error_ratio(own, found) <= 1) | ~np.isfinite(found), where=free))


def diff(op: Op, edit: Edit) -> str:
    """The edit as a diff of the text."""
    from importlib import import_module

    chapter, _, changed = (edit.where or op.name).rpartition(".")
    home = import_module(f"refimpl.ops.{chapter or op.chapter}.reference")
    before = body(inspect.getsource(getattr(home, changed)))
    after = before.replace(edit.old, edit.new)
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), changed, edit.id, lineterm="", n=1
    )
    return "\n".join(lines)


def body(source: str) -> str:
    """The source without its docstring."""
    head, quotes, rest = source.partition('r"""')
    return head.rstrip(" ") + rest.partition('"""')[2].lstrip("\n") if quotes else source
