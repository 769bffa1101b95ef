"""Mistakes and dialects, folded to a line each: the diff opens on demand and can be linked to.

A diff shows in bold what differs within a line. `book.js` opens the one that an address names.
"""

from __future__ import annotations

import re
from html import escape
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

from refimpl.op import Edit
from refimpl.registry import OPS

TOKEN = re.compile(r"\w+|\s+|[^\w\s]")


class fold(nodes.Element):  # noqa: N801  nodes of docutils are written so
    """A line that opens."""


class fold_line(nodes.TextElement):  # noqa: N801
    """The line itself."""


def open_fold(translator: Any, node: Any) -> None:
    """The element begins, with its name as a place."""
    (name,) = node["ids"]
    translator.body.append(f'<details class="{" ".join(node["classes"])}" id="{name}">')


def close_fold(translator: Any, node: Any) -> None:
    """The element ends."""
    translator.body.append("</details>\n")


def open_line(translator: Any, node: Any) -> None:
    """The line begins."""
    translator.body.append("<summary>")


def close_line(translator: Any, node: Any) -> None:
    """The line ends, with a link to itself."""
    name = node.parent["ids"][0]
    link = f' <a class="headerlink" href="#{name}" title="Link to this line">¶</a>'
    translator.body.append(f"{link}</summary>\n")


def marked(old: str, new: str) -> tuple[str, str]:
    """Two lines as HTML, with what differs in bold.

    >>> marked("x = a + b", "x = a - b")
    ('x = a <b>+</b> b', 'x = a <b>-</b> b')
    """
    one, two = TOKEN.findall(old), TOKEN.findall(new)
    least = min(len(one), len(two))
    head = next((i for i in range(least) if one[i] != two[i]), least)
    tail = next((i for i in range(least - head) if one[-1 - i] != two[-1 - i]), least - head)

    def bold(tokens: list[str]) -> str:
        end = len(tokens) - tail
        before, inside, after = tokens[:head], tokens[head:end], tokens[end:]
        middle = f"<b>{escape(''.join(inside))}</b>" if inside else ""
        return escape("".join(before)) + middle + escape("".join(after))

    return bold(one), bold(two)


def shown(lines: list[str]) -> str:
    """A diff as HTML, a line each; runs of lines that go and come are compared one by one."""
    found, gone = [], []
    for line in [*lines, ""]:
        if line.startswith("-"):
            gone.append(line[1:])
            continue
        if line.startswith("+") and gone:
            old, new = marked(gone.pop(0), line[1:])
            found += [f"<del>-{old}</del>", f"<ins>+{new}</ins>"]
            continue
        found += [f"<del>-{escape(rest)}</del>" for rest in gone]
        gone = []
        if line.startswith("+"):
            found.append(f"<ins>+{escape(line[1:])}</ins>")
        elif line:
            found.append(f"<span>{escape(line)}</span>")
    return f'<pre class="edit">{"".join(found)}</pre>'


def edit_named(name: str) -> tuple[Any, Edit]:
    """A known mistake, dialect or lossy form, with its operation."""
    op = OPS[name.partition("/")[0]]
    (edit,) = (x for x in (*op.mistakes, *op.dialects, *op.lossy) if x.id == name)
    return op, edit


class Fold(Directive):
    """A line that opens, by its id; the first line of the content is what stands when closed."""

    required_arguments = 1
    has_content = True

    def inside(self) -> list[nodes.Node]:
        """What stands above the rest of the content."""
        return []

    def run(self) -> list[nodes.Node]:
        """One element that opens, with the rest of the content in it."""
        box = fold(ids=[self.arguments[0].rpartition("/")[2]], classes=["edit"])
        title = nodes.container()
        self.state.nested_parse(self.content[:1], self.content_offset, title)
        box += fold_line("", "", *title.children[0].children)
        box += self.inside()
        self.state.nested_parse(StringList(list(self.content[1:])), self.content_offset, box)
        return [box]


class Folded(Fold):
    """A mistake by its id, with its diff."""

    def inside(self) -> list[nodes.Node]:
        """The diff."""
        op, edit = edit_named(self.arguments[0])
        lines = [x for x in op.diff(edit).splitlines() if not x.startswith(("---", "+++"))]
        return [nodes.raw("", shown(lines), format="html")]


def setup(app: Any) -> dict[str, bool]:
    """Register the elements and the directive."""
    app.add_node(fold, html=(open_fold, close_fold))
    app.add_node(fold_line, html=(open_line, close_line))
    app.add_directive("fold", Fold)
    app.add_directive("folded", Folded)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
