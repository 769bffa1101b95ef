"""All edits of an operation's text: listed ones, small ones, and those with a number unknown."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

from refimpl.op import Op
from refimpl.oracle.diagnosis.search.pages import Candidate, Change, apart, pages_of, squeezed
from refimpl.oracle.diagnosis.search.rules import RULES
from refimpl.oracle.diagnosis.search.writer import Writer

ANYWHERE = (  # what is done to whatever stands there
    *("tiled, not repeated", "the sample variance", "another base", "alone, not all"),
)


def single_edits(op: Op) -> list[Candidate]:
    """All edits of one place in the operation's text or a chapter's function that it calls."""
    return _single_edits(op.text)


def of_catalogue(op: Op) -> list[Candidate]:
    """The listed mistakes and dialects as changes that can stand beside others."""
    pages = {(page.module, page.name): page for page in pages_of(op.text).values()}
    found = []
    for edit in (*op.mistakes, *op.dialects):
        changes = []
        for where, old, new in edit.places:
            home, name = op.home(where)
            page = pages.get((getattr(home, "__name__", op.text.__module__), name))
            if page and page.source.count(old) == 1:
                start = page.source.index(old)
                changes.append(Change(page, start, start + len(old), new, edit.says))
        if len(changes) == len(edit.places):
            found.append(Candidate(op.text, tuple(changes)))
    return found


@functools.lru_cache(maxsize=8)
def hidden(root: Any) -> list[Candidate]:
    """Every place where a number might stand, that number yet unknown; likelier ones first."""
    found: dict[tuple[Any, str], Candidate] = {}
    for page in pages_of(root).values():
        for change in Writer(page).places():
            candidate = Candidate(root, (change,))
            ((_, source),) = candidate.pages()
            found.setdefault((page.function, squeezed(source)), candidate)
    return sorted(found.values(), key=lambda candidate: candidate.rank)


@functools.lru_cache(maxsize=8)
def _single_edits(root: Any) -> list[Candidate]:
    found: dict[tuple[Any, str], Candidate] = {}
    for page in pages_of(root).values():
        same = (page.function, squeezed(page.source))
        for change in Writer(page).changes(RULES):
            candidate = Candidate(root, (change,))
            ((_, source),) = candidate.pages()
            key = (page.function, squeezed(source))
            if key != same and (key not in found or candidate.rank < found[key].rank):
                found[key] = candidate
    alike: dict[tuple[str, ...], list[Change]] = {}
    for candidate in found.values():
        (change,) = candidate.changes
        names = () if change.what.endswith(ANYWHERE) else (change.old, change.new)
        kind = (change.page.module, change.page.name, change.what, *names)
        alike.setdefault(kind, []).append(change)
    everywhere = [Candidate(root, tuple(group)) for group in alike.values() if _separate(group)]
    return sorted((*found.values(), *everywhere), key=lambda candidate: candidate.rank)


def _separate(changes: list[Change]) -> bool:
    """Whether there are several changes, which do not overlap."""
    ordered = sorted(changes, key=lambda change: change.start)
    return len(changes) > 1 and all(apart(a, b) for a, b in itertools.pairwise(ordered))


USUAL = {  # numbers that stand in many programs in the place of an argument
    "Fraction": (0.0, 1.0, 0.5, 1e-4, 0.02, 0.00085, 0.012, 0.008, 0.999, 0.995, 0.9, 0.95, 0.99),
    "Epsilon": (1e-5, 1e-6, 1e-8, 1e-12, 1e-3, 1e-7),
    "Scale": (1.0, 7.5, 0.0, 2.0, 3.0, 4.0, 5.0, 10.0),
    "LogScale": (0.0, math.log(100), math.log(1 / 0.07), math.log(10)),
    "Limit": (1.0, math.inf, 2.0, 3.0, 5.0),
}


@functools.lru_cache(maxsize=8)
def _constants(root: Any) -> list[Candidate]:
    page = pages_of(root)[root]
    at = Writer(page)
    first = next((s for s in at.tree.body if at.is_first(s)), None)
    kinds = {n: getattr(p.annotation.kind, "name", "") for n, p in at.annotated.items()}
    scalars = [n for n, p in at.annotated.items() if p.annotation.scalar and kinds[n] in USUAL]
    found = []
    for count in (1, 2):
        for names in itertools.combinations(scalars, count):
            for numbers in itertools.product(*(USUAL[kinds[n]] for n in names)):
                given = (f"{n} = {x!r}".replace("inf", "np.inf") for n, x in zip(names, numbers))
                if first is not None:
                    text = at.with_prologue(first, "\n    ".join(given))
                    change = at.change(first, text, "a usual number in the place of an argument")
                    found.append(Candidate(root, (change,)))
    return found


def constants(op: Op) -> list[Candidate]:
    """Scalar arguments not looked at, one or two, with customary numbers in their places."""
    return _constants(op.text)
