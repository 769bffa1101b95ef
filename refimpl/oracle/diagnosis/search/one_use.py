"""Edits of one use among several: of a value that has a name, or of a function that is called.

Who writes a page anew may write out at each use what the page computes once, and then slip in one;
or write out a whole line, with all that it is made of, and slip in what that line alone then holds.
"""

from __future__ import annotations

import ast
import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
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
    """A small edit of a value, or an argument not looked at, in one line that is written out.

    The line is written out with all it is made of. The smallest edits first: the size of a line
    that is written out says nothing.
    """
    ways = [
        way
        for page in pages_on(root, base).values()
        for at in (writer_of(page),)
        for way in itertools.chain(_of_arguments(at), _of_values(at))
    ]
    for way in sorted(ways, key=lambda way: (way.size, way.place)):
        try:
            named = _named_once(way.at) if way.through else {}
            whole = _written_out(way.line, way.name, way.slip, named)
        except SyntaxError:
            continue  # the edit makes no expression where it would stand
        change = way.at.change(way.line, way.enclosed.format(ast.unparse(whole)), way.what)
        yield Candidate(root, (change,), base)


@dataclass(frozen=True)
class _Way:
    """What a name stands for in one line alone."""

    size: int
    place: int  # of the line among those that use the name
    at: Writer
    line: ast.expr
    name: str
    slip: str
    what: str
    enclosed: str = "{}"  # what stands around the line when it is written out
    through: bool = True  # whether values that the line uses are written out as well


def _of_values(at: Writer) -> Iterator[_Way]:
    """The small edits of a value that several lines are made of, made in one of them."""
    for name, value, lines in _shared(at):
        for edit in _inside(at, value):
            there = at.change(value, "", "")
            before, after = edit.start - there.start, edit.end - there.start
            slip = f"({there.old[:before]}{edit.new}{there.old[after:]})"
            for place, line in enumerate(lines):
                yield _Way(
                    edit.size, place, at, line, name, slip, f"{edit.what}, in one line alone"
                )


def _of_arguments(at: Writer) -> Iterator[_Way]:
    """An argument that one of several lines does not look at, or takes for another one."""
    named = _named_once(at)
    lines = _lines(at)
    for name in at.parameters:
        uses = [line for line in lines if _uses(line, name, named)]
        for slip in _instead(at, name):
            what = f"{slip.strip('()')} in the place of {name}, in one line alone"
            for place, line in enumerate(uses if len(uses) > 1 else ()):
                yield _Way(1, place, at, line, name, slip, what)
            for line in uses:
                for place, enclosed in enumerate(_elements(at, line)):
                    for through in (False, True):
                        yield _Way(2, place, at, line, name, slip, what, enclosed, through)


def _instead(at: Writer, name: str) -> Iterator[str]:
    """What may stand for an argument that is not looked at, and the arguments like it."""
    if name not in at.annotated:
        yield from ("0", "1")  # of a helper of a chapter
        return
    annotation = at.annotated[name].annotation
    for other, parameter in at.annotated.items():
        its = parameter.annotation
        if other != name and (its.kind, its.axes) == (annotation.kind, annotation.axes):
            yield other
        if annotation.scalar and annotation.kind.integer and not its.scalar:
            axes = its.axes.split()
            yield from (f"{other}.shape[{axis}]" for axis in range(len(axes) * ("..." not in axes)))
    if annotation.scalar:
        yield from ("0", "1", f"({name} + 1)", f"({name} - 1)")
    elif not annotation.optional:
        yield from (f"(0 * {name})", f"(0 * {name} + 1)")


def _elements(at: Writer, line: ast.expr) -> Iterator[str]:
    """Several values that one line gives in a loop: what makes each of them alone another one."""
    step = at.parents[line]
    if not (isinstance(line, ast.GeneratorExp) and isinstance(step, ast.Assign)):
        return
    target, right = step.targets[0], ast.unparse(line)
    for place in range(len(target.elts)) if isinstance(target, ast.Tuple) else ():
        yield f"(*[*{right}][:{place}], [*{{}}][{place}], *[*{right}][{place + 1}:])"


def _lines(at: Writer) -> list[ast.expr]:
    """What each step of a page gives."""
    steps = (s for s in at.tree.body if isinstance(s, (ast.Assign, ast.Return)))
    return [step.value for step in steps if step.value is not None]


def _shared(at: Writer) -> Iterator[tuple[str, ast.expr, list[ast.expr]]]:
    """The values that several lines are made of, each with those lines."""
    named = _named_once(at)
    for name, value in named.items():
        uses = [line for line in _lines(at) if _uses(line, name, named)]
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


def _uses(value: ast.expr, name: str, named: dict[str, ast.expr]) -> bool:
    """Whether an expression is made of a named value, perhaps through others."""
    names = {n.id for n in ast.walk(value) if isinstance(n, ast.Name)}
    return name in names or any(_uses(named[other], name, named) for other in names & {*named})


def _written_out(value: ast.expr, name: str, slip: str, named: dict[str, ast.expr]) -> ast.expr:
    """An expression with another value for a name, in the names between as well."""

    class WriteOut(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            if node.id == name:
                return make(slip)
            if node.id in named and _uses(named[node.id], name, named):
                return _written_out(named[node.id], name, slip, named)
            return node

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
