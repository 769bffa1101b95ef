"""Pages of measurements: a picture above each table of errors, and long tables folded under a line.

The pages are written by other commands and stay as they are; this reads the tables that Sphinx has
parsed. A column counts as errors if it is named after a precision or says so.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np
from docutils import nodes

from docs.book.folded import fold, fold_line
from docs.book.kinds import Calm
from docs.book.plots import LETTER, Frame, box_of, panel, words

LONG = 20  # rows of a table that is folded
ENOUGH = 12  # errors that are worth a picture
ERRORS = re.compile(r"float\d\d|bfloat16|error\b")
LIMITS = (1e-4, 1e8)  # of the axis; what is larger, or zero, stands at the edge
LEAST = 1e-12  # what is smaller is as good as zero
TALL, WIDE = 44, 324  # pixels of a row


def header(table: nodes.table) -> list[str]:
    """The names of a table's columns."""
    (head,) = table.findall(nodes.thead)
    return [entry.astext() for entry in head.findall(nodes.entry)]


def body(table: nodes.table) -> list[list[nodes.entry]]:
    """The cells of a table, by row."""
    (inside,) = table.findall(nodes.tbody)
    return [list(row.findall(nodes.entry)) for row in inside.findall(nodes.row)]


def errors(table: nodes.table) -> dict[str, list[tuple[float, int, str]]]:
    """By column, each error ÷ allowed with its ink and row: 1 deviates, 2 is a known convention."""
    found: dict[str, list[tuple[float, int, str]]] = {}
    for place, name in enumerate(header(table)):
        if not ERRORS.search(name):
            continue
        for row in body(table):
            first = row[place].astext().partition(" ")[0]
            if re.fullmatch(r"∞|[\d.]+(e[-+]?\d+)?", first):
                value = np.inf if first == "∞" else float(first)
                bold = next(row[place].findall(nodes.strong), None) is not None
                ink = 1 if bold else 2 if value > 1 else 0
                found.setdefault(name, []).append((value, ink, row[0].astext()))
    return found


def limits(found: dict[str, list[tuple[float, int, str]]]) -> tuple[float, float]:
    """The ends of the axis: those that all tables have, or further left where all errors are small.

    >>> limits({"error": [(3e-6, 0, "a"), (0.0, 0, "b"), (5e-6, 0, "c")]})
    (1e-06, 100000000.0)
    """
    seen = [value for values in found.values() for value, *_ in values if value > LEAST]
    least = float(np.median(seen)) if seen else 1.0
    return min(LIMITS[0], float(10.0 ** np.floor(np.log10(least)))), LIMITS[1]


def short_names(names: list[str]) -> list[str]:
    """Names of columns as they fit beside a row: what stands before the comma, or after it.

    >>> short_names(["float32, ci"]), short_names(["error, tilt", "error, other covariance"])
    (['float32'], ['tilt', 'other covariance'])
    """
    first, last = ([name.split(", ")[i] for name in names] for i in (0, -1))
    return first if len(set(first)) == len(names) else last


def strips(found: dict[str, list[tuple[float, int, str]]]) -> str:
    """A row of dots for each column, on one logarithmic axis, with the limit at 1."""
    labels, ends = short_names(list(found)), limits(found)
    left, height = 12 + LETTER * max(map(len, labels)), 30 + TALL * len(found)
    frame = Frame(ends, (0.0, 1.0), (left, 26.0, left + WIDE, float(height)), log_x=True)
    drawn = box_of(frame, "error ÷ allowed", "", True, ())
    limit = float(frame.at(1.0, 0.0)[0])
    drawn.append(f'<path class="axis limit" d="M{limit:.1f} 26V{height}"/>')
    spread = Calm(5).uniform((4096,), -0.32, 0.32) * TALL
    for k, (label, values) in enumerate(zip(labels, found.values(), strict=True)):
        middle = 28 + TALL * (k + 0.5)
        drawn.append(words(left - 6, middle + 4, label, "end"))
        for i, (value, ink, row) in enumerate(values):
            x = float(frame.at(np.clip(value, *ends), 0.0)[0])
            dot = f'cx="{x:.1f}" cy="{middle + spread[i]:.1f}" r="3"'
            drawn.append(f'<circle class="dot ink{ink}" {dot}><title>{row}</title></circle>')
    about = f"Errors over what is allowed, for {', '.join(found)}"
    return panel(left + WIDE + 12, height + 36, "", drawn, about)


def pictured(table: nodes.table) -> nodes.figure | None:
    """The picture of a table's errors, if it has any."""
    found = errors(table)
    if sum(map(len, found.values())) < ENOUGH:
        return None
    beyond = {row: None for values in found.values() for _, ink, row in values if ink == 1}
    raw = nodes.raw("", f'<div class="panels">{strips(found)}</div>', format="html")
    figure = nodes.figure("", raw, classes=["drawing"])
    says = "Each number of the table is a dot. A dot right of the line exceeds the allowed error; "
    says += "green is a known convention. Zero and infinity are at the edges. "
    told = f"What deviates, in orange: {', '.join(beyond)}." if beyond else "Nothing deviates."
    figure += nodes.caption("", says + told)
    return figure


def tally(counts: dict[str, int]) -> str:
    """Whole numbers as rows of squares, each under its name."""
    drawn = []
    for row, (name, count) in enumerate(counts.items()):
        y = 12 + 24 * row
        drawn.append(words(150, y + 13, name, "end"))
        squares = "".join(f"M{160 + 16 * k} {y}h13v13h-13z" for k in range(count))
        drawn.append(f'<path class="square ink0" d="{squares}"/>')
        drawn.append(words(166 + 16 * count, y + 12, str(count), "start"))
    about = ", ".join(f"{name} {count}" for name, count in counts.items())
    return panel(400, 20 + 24 * len(counts), "", drawn, about)


def found_by_library(tree: nodes.document) -> nodes.figure:
    """How many findings each section of a page has, as a picture."""
    page, counts = next(tree.findall(nodes.section)), Counter()
    for section in (x for x in page.children if isinstance(x, nodes.section)):
        home = section[0].astext().removesuffix(" and its reference evaluator")
        for entry in (x for x in section.children if isinstance(x, nodes.section)):
            name, colon, _ = entry[0].astext().partition(": ")
            counts[name if colon and "," in home else home] += 1
    raw = nodes.raw("", f'<div class="panels">{tally(counts)}</div>', format="html")
    figure = nodes.figure("", raw, classes=["drawing"], ids=["picture-found"])
    figure += nodes.caption("", "The findings described below, by library: one square for each.")
    return figure


def fold_tables(app: Any, tree: nodes.document) -> None:
    """Put pictures above tables of errors, and long tables into a line that opens."""
    if app is not None and app.env.docname == "found":
        first = next(tree.findall(nodes.paragraph))
        first.parent.insert(first.parent.index(first) + 1, found_by_library(tree))
    for number, table in enumerate(list(tree.findall(nodes.table)), 1):
        rows, picture = len(body(table)), pictured(table)
        if rows < LONG and picture is None:
            continue
        box = fold(ids=[f"table-{number}"], classes=["edit"])
        box += fold_line("", f"The table, {rows} rows: {', '.join(header(table)[:3])}, …")
        if picture is not None:
            picture["ids"].append(f"picture-{number}")
        table.replace_self([*filter(None, [picture]), box])
        box += table


def setup(app: Any) -> dict[str, bool]:
    """Look at every page once it has been read."""
    app.connect("doctree-read", fold_tables)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
