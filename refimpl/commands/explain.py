"""`refimpl explain`: an operation with all that is known of it, or a mistake as a diff."""

from __future__ import annotations

import argparse
from typing import Any

from refimpl.commands.chapters import add_chapters, bring_chapters
from refimpl.commands.endings import CONFORMS


def add(commands: Any) -> None:
    """The command and its options."""
    explain = commands.add_parser("explain", help="an operation, or a mistake as a diff")
    explain.add_argument("name", metavar="OP|MISTAKE")
    add_chapters(explain)
    explain.set_defaults(run=run_explain)


def run_explain(options: argparse.Namespace) -> int:
    """Print an operation with all that is known about it, or one mistake as a diff."""
    import inspect

    from refimpl.registry import find

    bring_chapters(options)
    name, _, slug = options.name.partition("/")
    op = find(name)
    known = {edit.id: edit for edit in (*op.dialects, *op.mistakes, *op.lossy)}
    if slug:
        if options.name not in known:
            raise KeyError(f"{name} has no mistake or dialect {slug!r}; see refimpl explain {name}")
        edit = known[options.name]
        print(f"{edit.id}: {edit.says}")
        for label, text in (("effect", edit.effect), ("seen", edit.source)):
            if text:
                print(f"  {label}: {text}")
        print(op.diff(edit))
        return CONFORMS
    print(inspect.getsource(op.text))
    print("laws:", *(law.says for law in op.laws), sep="\n  ")
    for title, edits in (
        ("dialects", op.dialects),
        ("mistakes", op.mistakes),
        ("lossy forms", op.lossy),
    ):
        if edits:
            print(f"{title}:", *(f"{edit.id}: {edit.says}" for edit in edits), sep="\n  ")
    return CONFORMS
