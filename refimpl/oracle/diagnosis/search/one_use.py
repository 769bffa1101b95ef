"""Edits of one use among several: of a value that has a name, or of a function that is called.

Who writes a page anew may write out at each use what the page computes once, and then slip in one;
or write out a whole line, with all that it is made of, and slip in what that line alone then holds.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from typing import Any

from refimpl.oracle.diagnosis.search.conditioned import InOneCall
from refimpl.oracle.diagnosis.search.nodes import make
from refimpl.oracle.diagnosis.search.pages import Candidate, Change, pages_on, squeezed
from refimpl.oracle.diagnosis.search.rules import RULES
from refimpl.oracle.diagnosis.search.writer import Writer, writer_of

MOST = 16  # words that an edit of one use adds and takes away
FEW = 4  # the same, where a whole line is written out


@functools.lru_cache(maxsize=8)
def in_one_use(root: Any, base: Candidate | None = None) -> list[Candidate]:
    """The small edits of a value or of a function, made where it is used once, likelier first."""
    pages = pages_on(root, base)
    writers = {page.name: writer_of(page) for page in pages.values()}
    edits = {name: [c for c in at.changes(RULES) if _is_small(c)] for name, at in writers.items()}
    found: list[Candidate] = []
    for name, at in writers.items():
        found += [Candidate(root, (c,), base) for c in _inlined(at, edits[name])]
        found += _of_calls(root, base, at, edits)
    return sorted(found, key=lambda candidate: candidate.rank)


def _is_small(change: Change) -> bool:
    """Whether a change is of one line, of a few words, and of more than parentheses."""
    differs = squeezed(change.old).strip("()") != squeezed(change.new).strip("()")
    return differs and "\n" not in change.old + change.new and change.size <= MOST


def _inlined(at: Writer, edits: list[Change]) -> Iterator[Change]:
    """Each edit of a value that several lines use, made in one of them."""
    for name, value in _named(at):
        uses = [
            node
            for node in at.parents
            if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load)
        ]
        there = at.change(value, "", "")
        inside = [c for c in edits if there.start <= c.start and c.end <= there.end]
        for use in uses if len(uses) > 1 else ():
            for edit in inside:
                before, after = edit.start - there.start, edit.end - there.start
                new = f"({there.old[:before]}{edit.new}{there.old[after:]})"
                yield at.change(use, new, f"{edit.what}, in one use alone")


def in_one_line(root: Any, base: Candidate | None = None) -> Iterator[Candidate]:
    """The small edits of a value, made in one line that is written out with all it is made of.

    The smallest edits first: the size of a line that is written out says nothing.
    """
    ways = [
        (edit.size, place, at, line, name, edit)
        for page in pages_on(root, base).values()
        for at in (writer_of(page),)
        for name, value, lines in _shared(at)
        for place, line in enumerate(lines)
        for edit in _inside(at, value)
    ]
    for _, _, at, line, name, edit in sorted(ways, key=lambda way: way[:2]):
        named = _named_once(at)
        there = at.change(named[name], "", "")
        before, after = edit.start - there.start, edit.end - there.start
        slip = f"({there.old[:before]}{edit.new}{there.old[after:]})"
        whole = _written_out(line.value, name, slip, named)
        change = at.change(line.value, whole, f"{edit.what}, in one line alone")
        yield Candidate(root, (change,), base)


def _shared(at: Writer) -> Iterator[tuple[str, ast.expr, list[ast.Assign | ast.Return]]]:
    """The values that several lines are made of, each with those lines."""
    named = _named_once(at)
    lines = [s for s in at.tree.body if isinstance(s, (ast.Assign, ast.Return)) and s.value]
    for name, value in named.items():
        uses = [line for line in lines if _uses(line.value, name, named)]
        if len(uses) > 1:
            yield name, value, uses


def _inside(at: Writer, value: ast.expr) -> Iterator[Change]:
    """The few words that may be other ones within a value."""
    inner = {id(node) for node in ast.walk(value)}
    for node in list(at.parents):
        if id(node) in inner:
            for change in at.changes_at(node, RULES):
                if _is_small(change) and change.size <= FEW:
                    yield change


def _uses(value: ast.expr | None, name: str, named: dict[str, ast.expr]) -> bool:
    """Whether an expression is made of a named value, perhaps through others."""
    names = {n.id for n in ast.walk(value) if isinstance(n, ast.Name)} if value else set()
    return name in names or any(_uses(named[other], name, named) for other in names & {*named})


def _written_out(
    value: ast.expr | None, name: str, slip: str, named: dict[str, ast.expr]
) -> ast.expr:
    """An expression with another value for a name, in the names between as well."""

    class WriteOut(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            if node.id == name:
                return make(slip)
            if node.id in named and _uses(named[node.id], name, named):
                return _written_out(named[node.id], name, slip, named)
            return node

    assert value is not None
    return WriteOut().visit(ast.parse(ast.unparse(value), mode="eval").body)


def _named_once(at: Writer) -> dict[str, ast.expr]:
    """The names that stand for the same value throughout, with it."""
    given = [n.id for n in at.parents if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    again = {*at.parameters, *(name for name in given if given.count(name) > 1)}
    return {name: value for name, value in _named(at) if name not in again}


def _named(at: Writer) -> Iterator[tuple[str, ast.expr]]:
    """The names that are given a value once, several at a time as well."""
    for step in at.tree.body:
        if not isinstance(step, ast.Assign):
            continue
        target, value = step.targets[0], step.value
        pairs = [(target, value)]
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            pairs = list(zip(target.elts, value.elts))
        for one, made in pairs:
            names = {n.id for n in ast.walk(made) if isinstance(n, ast.Name)}
            if isinstance(one, ast.Name) and one.id not in names:
                yield one.id, made


def _of_calls(
    root: Any, base: Candidate | None, at: Writer, edits: dict[str, list[Change]]
) -> Iterator[Candidate]:
    """Each edit of a function that is called several times, made for one of the calls."""
    calls: dict[str, list[ast.Call]] = {}
    for node in at.parents:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in edits:
            calls.setdefault(node.func.id, []).append(node)
    for name, several in calls.items():
        for call in several if len(several) > 1 else ():
            other = at.change(call.func, f"{name}_here", "in one call alone")
            for edit in edits[name]:
                yield InOneCall(root, (edit,), base, call=other, called=ast.unparse(call))
