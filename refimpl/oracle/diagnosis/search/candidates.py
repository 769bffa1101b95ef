"""All edits of an operation's text: listed ones, small ones, and those with a number unknown."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

from refimpl.op import Edit, Op
from refimpl.oracle.diagnosis.search.pages import (
    Candidate,
    Change,
    Pages,
    apart,
    pages_of,
    pages_on,
    squeezed,
)
from refimpl.oracle.diagnosis.search.rules import DETOURS, FORMATS, RULES
from refimpl.oracle.diagnosis.search.writer import writer_of
from refimpl.registry import generations

ANYWHERE = (  # what is done to whatever stands there
    *("tiled, not repeated", "the sample variance", "another base", "alone, not all"),
    *("along the samples", "of memory", "assigned, not added up"),
)


def single_edits(op: Op, base: Candidate | None = None) -> list[Candidate]:
    """All edits of one place in the operation's text or a chapter's function that it calls."""
    return _single_edits(op.text, base)


def of_catalogue(
    op: Op, kinds: tuple[str, ...] = ("mistakes", "dialects"), base: Candidate | None = None
) -> list[Candidate]:
    """The listed mistakes and dialects as changes that can stand beside others."""
    pages = pages_on(op.text, base)
    found = []
    for edit in (edit for kind in kinds for of in generations(op) for edit in getattr(of, kind)):
        for form in edit.forms:
            changes = list(_as_changes(op, form, pages))
            if len(changes) == len(form.places):
                found.append(Candidate(op.text, tuple(changes), base, edit.id))
    return found


def _as_changes(op: Op, edit: Edit, pages: Pages) -> Iterator[Change]:
    for function, old, new in op.placed(edit):
        page = pages.get(function)
        if page and page.source.count(old) == 1:
            start = page.source.index(old)
            yield Change(page, start, start + len(old), new, edit.says)


@functools.lru_cache(maxsize=8)
def hidden(root: Any, base: Candidate | None = None) -> list[Candidate]:
    """Every place where a number might stand, that number yet unknown; likelier ones first."""
    found: dict[tuple[Any, str], Candidate] = {}
    for page in pages_on(root, base).values():
        for change in writer_of(page).places():
            candidate = Candidate(root, (change,), base)
            ((_, source),) = candidate.pages()
            found.setdefault((page.function, squeezed(source)), candidate)
    return sorted(found.values(), key=lambda candidate: candidate.rank)


@functools.lru_cache(maxsize=8)
def _single_edits(root: Any, base: Candidate | None = None) -> list[Candidate]:
    pages = pages_on(root, base)
    kept = {f for f, page in pages.items() if base and page.source == pages_of(root)[f].source}
    found: dict[tuple[Any, str], Candidate] = {}
    for page in (page for function, page in pages.items() if function not in kept):
        same = (page.function, squeezed(page.source))
        for change in writer_of(page).changes(RULES):
            candidate = Candidate(root, (change,), base)
            ((_, source),) = candidate.pages()
            key = (page.function, squeezed(source))
            if key != same and (key not in found or candidate.rank < found[key].rank):
                found[key] = candidate
    alike: dict[tuple[str, ...], dict[tuple[int, int], Change]] = {}
    for candidate in found.values():
        (change,) = candidate.changes
        names = () if change.what.endswith(ANYWHERE) else (change.old, change.new)
        kind = (change.page.module, change.page.name, change.what, *names)
        alike.setdefault(kind, {}).setdefault((change.start, change.end), change)
    groups = [tuple(group.values()) for group in alike.values()]  # of each place the first form
    together = [Candidate(root, group, base) for group in groups if _separate(group)]
    before = [
        dataclasses.replace(candidate, base=base)  # on pages that the dialect leaves as they are
        for candidate in (_single_edits(root) if kept else ())
        if all(change.page.function in kept for change in candidate.changes)
    ]
    return sorted((*found.values(), *together, *before), key=lambda candidate: candidate.rank)


@functools.lru_cache(maxsize=8)
def in_formats(root: Any, base: Candidate | None = None) -> list[Candidate]:
    """Every value, every product's operands and every function, held in each shorter format."""
    changes = (
        c for page in pages_on(root, base).values() for c in writer_of(page).changes(FORMATS)
    )
    found = [Candidate(root, (change,), base, kind="precision") for change in changes]
    return sorted(found, key=lambda candidate: candidate.rank)


@functools.lru_cache(maxsize=8)
def detours(root: Any) -> list[Candidate]:
    """Forms of each value that are equal on paper and lose digits."""
    changes = (c for page in pages_of(root).values() for c in writer_of(page).changes(DETOURS))
    return [Candidate(root, (change,), kind="precision") for change in changes]


def _separate(changes: Sequence[Change]) -> bool:
    """Whether there are several changes, which do not overlap."""
    ordered = sorted(changes, key=lambda change: change.start)
    return len(changes) > 1 and all(apart(a, b) for a, b in itertools.pairwise(ordered))


USUAL = {  # numbers that stand in many programs in the place of an argument
    "Fraction": (
        *(0.0, 1.0, 0.5, 1e-4, 0.02, 0.00085, 0.012, 0.008, 0.999, 0.995, 0.9, 0.95, 0.99),
        *(0.2, 0.1, 0.7),
    ),
    "Epsilon": (1e-5, 1e-6, 1e-8, 1e-12, 1e-3, 1e-7),
    "Scale": (1.0, 7.5, 0.0, 2.0, 3.0, 4.0, 5.0, 10.0),
    "LogScale": (0.0, math.log(100), math.log(1 / 0.07), math.log(10)),
    "Positive": (1.0, 0.5, 7.0, 0.002, 80.0),
    "Deviation": (1.0, 0.5, 0.1, 0.2, 0.7, 1.2),
    "Level": (0.0, 1.0, 0.05, 50.0),
    "Base": (10000.0, 100000.0, 500000.0),
    "Limit": (1.0, math.inf, 2.0, 3.0, 5.0),
}


@functools.lru_cache(maxsize=8)
def _constants(root: Any, base: Candidate | None = None) -> list[Candidate]:
    page = pages_on(root, base)[root]
    at = writer_of(page)
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
                    found.append(Candidate(root, (change,), base))
    return found


def constants(op: Op, base: Candidate | None = None) -> list[Candidate]:
    """Scalar arguments not looked at, one or two, with customary numbers in their places."""
    return _constants(op.text, base)
