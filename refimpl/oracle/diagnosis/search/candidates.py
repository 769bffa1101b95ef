"""All edits of an operation's text: listed ones, small ones, and those with a number unknown."""

from __future__ import annotations

import functools
import itertools
from typing import Any

from refimpl.op import Op
from refimpl.oracle.diagnosis.search.pages import Candidate, Change, apart, pages_of, squeezed
from refimpl.oracle.diagnosis.search.rules import RULES
from refimpl.oracle.diagnosis.search.writer import Writer

ANYWHERE = ("tiled, not repeated", "the sample variance", "another base")


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
        names = () if change.what in ANYWHERE else (change.old, change.new)
        kind = (change.page.module, change.page.name, change.what, *names)
        alike.setdefault(kind, []).append(change)
    everywhere = [Candidate(root, tuple(group)) for group in alike.values() if _separate(group)]
    return sorted((*found.values(), *everywhere), key=lambda candidate: candidate.rank)


def _separate(changes: list[Change]) -> bool:
    """Whether there are several changes, which do not overlap."""
    ordered = sorted(changes, key=lambda change: change.start)
    return len(changes) > 1 and all(apart(a, b) for a, b in itertools.pairwise(ordered))
