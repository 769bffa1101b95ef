"""The textbook's part of Sphinx: pages written before it reads, and a few directives.

The pages of the operations and of the lectures, and the figures, are made anew at each build, so
that a new operation has its page without a line here.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive, directives
from docutils.statemachine import StringList

from docs.book import exercises, figures, moving, pictures
from docs.book.lectures import deck_page, lecture_page, lectures
from docs.book.operations import (
    HERE,
    ROOT,
    is_whole,
    measured,
    model_page,
    models,
    page,
    plain,
    sections,
    title,
)
from docs.book.plots import Picture
from refimpl.axes import AXES
from refimpl.registry import CHAPTERS, OPS


class Operations(Directive):
    """The table of a chapter's operations, with their pages below it in the contents."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Markdown, parsed in place."""
        ops = [op for op in OPS.values() if op.chapter == self.arguments[0]]
        forward = [op for op in ops if not op.name.endswith("_vjp")]
        lines = [
            "| operation | what it is for | laws | mistakes | dialects |",
            "|---|---|---:|---:|---:|",
        ]
        for op in forward:
            counts = f"{len(op.laws)} | {len(op.mistakes)} | {len(op.dialects)}"
            sentence = plain(sections(op)["sentence"])
            lines.append(f"| [`{op.name}`](../ops/{op.name}.md) | {sentence} | {counts} |")
        lines += ["", "```{toctree}", ":hidden:", "", *(f"../ops/{op.name}" for op in ops), "```"]
        found = parse(self, lines)
        for table in found[0].findall(nodes.table):
            table["classes"].append("operations")
        return found


class Drawing(Directive):
    """A figure of `figures.py`, for light and for dark pages, with its words."""

    required_arguments = 1
    option_spec = {"plain": directives.flag}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        """Two images, one of which is shown, and a caption, unless it is plain."""
        drawn = figures.FIGURES[self.arguments[0]]
        figure = nodes.figure(classes=["drawing", "wide" if drawn.size[0] > 6 else "narrow"])
        for theme in figures.THEMES:
            uri = f"/drawn/{drawn.__name__}-{theme}.svg"
            image = nodes.image(uri=uri, alt=drawn.alt, classes=[f"only-{theme}"])
            image["candidates"] = {}
            figure += image
        if "plain" not in self.options:
            (words,) = parse(self, [drawn.caption])
            figure += nodes.caption("", "", *words.children)
        return [figure]


class PictureOf(Directive):
    """Pictures that operations' own texts draw, in the page itself."""

    required_arguments = 1
    optional_arguments = 3

    def run(self) -> list[nodes.Node]:
        """Panels that wrap, and the caption of the first, which then speaks of all."""
        drawn = [pictures.picture(OPS[name]) for name in self.arguments]
        panels = Picture(tuple(panel for one in drawn for panel in one.panels), drawn[0].caption)
        figure = nodes.figure("", nodes.raw("", panels.html, format="html"), classes=["drawing"])
        first, *others = [f"`{name}`" for name in self.arguments]
        names = " and ".join([", ".join([first, *others[:-1]]), *others[-1:]])
        (words,) = parse(self, [panels.caption.replace(first, names)])
        figure += nodes.caption("", "", *words.children)
        return [figure]


class MovingPicture(Directive):
    """A picture of `moving.py` with its slider."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The frames, the slider, and a caption."""
        drawn = moving.MOVING[self.arguments[0]]
        raw = nodes.raw("", drawn.html, format="html")
        figure = nodes.figure("", raw, classes=["drawing", "moving"])
        (words,) = parse(self, [drawn.caption])
        figure += nodes.caption("", "", *words.children)
        return [figure]


class Contents(Directive):
    """The chapters, in the order of the registry, each with its first sentences."""

    def run(self) -> list[nodes.Node]:
        """Cards, and a table of contents for the margin."""
        lines = ["::::{container} doors"]
        for chapter in CHAPTERS:
            path = HERE / "chapters" / f"{chapter}.md"
            first = re.sub(r"[^.]*\Z", "", path.read_text().split("\n\n")[1])  # whole sentences
            count = sum(op.chapter == chapter for op in OPS.values())
            link = f"**[{title(chapter)}](chapters/{chapter}.md)** · {count} operations"
            lines += [":::{container} door", link, "", *first.splitlines(), ":::"]
        pages = [f"chapters/{chapter}" for chapter in CHAPTERS]
        head = ["```{toctree}", ":caption: Chapters", ":hidden:", ""]
        return parse(self, [*lines, "::::", "", *head, *pages, "```"])


class Judged(Directive):
    """A file, and what `refimpl verify` says about it; it is asked while the page is made."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """The code and the console."""
        op, code = self.arguments[0], "\n".join(self.content)
        _, said = exercises.verdict(op, code)
        console = f"$ {exercises.COMMAND} {op}\n{said}"
        return [
            nodes.literal_block(code, code, language="python"),
            nodes.literal_block(console, console, language="text"),
        ]


class Exercises(Directive):
    """All operations that can be written, short ones first, by chapter."""

    def run(self) -> list[nodes.Node]:
        """Markdown, parsed in place."""
        lines = []
        for chapter in CHAPTERS:
            found = sorted(
                (len(exercises.body(op)), f"[`{op.name}`](ops/{op.name}.md#exercise)")
                for op in OPS.values()
                if op.chapter == chapter
            )
            shown = [f"{link} {count}" for count, link in found]
            lines += [f"- **{title(chapter)}**: {', '.join(shown)}"]
        return parse(self, lines)


class Models(Directive):
    """The compositions."""

    def run(self) -> list[nodes.Node]:
        """A table of contents: whole models, then what is around them."""
        lines: list[str] = []
        for caption, whole in (("Models", True), ("Around the models", False)):
            pages = [f"models/{name}" for name in models() if is_whole(name) == whole]
            lines += ["```{toctree}", f":caption: {caption}", ":hidden:", "", *pages, "```", ""]
        return parse(self, lines)


class OtherPages(Directive):
    """The pages that the first page does not name, so that a new one has its place."""

    def run(self) -> list[nodes.Node]:
        """A table of contents."""
        named = (HERE / "index.md").read_text().split()
        pages = sorted(path.stem for path in HERE.glob("*.md"))
        others = [name for name in pages if name != "index" and name not in named]
        head = ["```{toctree}", ":caption: Other pages", ":hidden:", ""]
        return parse(self, [*head, *others, "```"])


class AxesTable(Directive):
    """The vocabulary of axes."""

    def run(self) -> list[nodes.Node]:
        """A table."""
        rows = [f"| `{name}` | {axis.says} |" for name, axis in AXES.items()]
        return parse(self, ["| axis | is |", "|---|---|", *rows])


def parse(directive: Directive, lines: list[str]) -> list[nodes.Node]:
    """Markdown within a directive."""
    box = nodes.container()
    directive.state.nested_parse(StringList(lines), directive.content_offset, box)
    return box.children


def write(path: Path, text: str) -> None:
    """Write what has changed, so that Sphinx reads only that."""
    with contextlib.suppress(FileNotFoundError):
        if path.read_text() == text:
            return
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def golden_page() -> str:
    """The description of the golden vectors; a folder is nothing that a page can link to."""
    text = (ROOT / "golden" / "README.md").read_text()
    return re.sub(r"\[([^]]*)\]\(examples\)", r"\1", text)


def point_inwards(app: Any, name: str, content: list[str]) -> None:
    """What names or links to a file or an operation of the repository links to its page here."""
    content[0] = content[0].replace("](../golden/README.md)", "](golden.md)")
    if name == "gradients":
        head, *parts = re.split(r"(?m)^(?=## )", content[0])
        content[0] = head + "".join(map(with_slope, parts))


def with_slope(section: str) -> str:
    """A section on gradients, with the picture of the first, and each linked to its page."""
    names = re.findall(r"`(\w+_vjp)`", section)
    linked = re.sub(r"`(\w+_vjp)`", r"[`\1`](ops/\1.md)", section)
    return linked + (f"```{{picture}} {names[0]}\n```\n\n" if names else "")


def beside(app: Any, tree: nodes.document) -> None:
    """The page of an operation is known to the style sheet, which puts its parts side by side."""
    if app.env.docname.startswith("ops/"):
        next(tree.findall(nodes.section))["classes"].append("operation")


def generate(app: Any) -> None:
    """Write the pages and the figures."""
    audit = measured()
    for op in OPS.values():
        write(HERE / "ops" / f"{op.name}.md", page(op, audit))
    for path in (HERE / "ops").glob("*.md"):
        if path.stem not in OPS:
            path.unlink()
    told = models()
    for name in told:
        write(HERE / "models" / f"{name}.md", model_page(name))
    for path in (HERE / "models").glob("*.md"):
        if path.stem not in told:
            path.unlink()
    write(HERE / "golden.md", golden_page())
    write(HERE / "lectures.md", lecture_page("en"))
    write(HERE / "clases.md", lecture_page("es"))
    for language in ("en", "es"):
        for deck in lectures()["decks"]:
            write(HERE / "decks" / f"{language}-{deck}.md", deck_page(language, deck))
    figures.write(HERE / "drawn")


def setup(app: Any) -> dict[str, bool]:
    """Register the directives, and write before anything is read."""
    app.add_directive("operations", Operations)
    app.add_directive("drawing", Drawing)
    app.add_directive("picture", PictureOf)
    app.add_directive("moving", MovingPicture)
    app.add_directive("contents-of-the-book", Contents)
    app.add_directive("models", Models)
    app.add_directive("other-pages", OtherPages)
    app.add_directive("axes-table", AxesTable)
    app.add_directive("judged", Judged)
    app.add_directive("exercises", Exercises)
    app.connect("builder-inited", generate)
    app.connect("source-read", point_inwards)
    app.connect("doctree-read", beside)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
