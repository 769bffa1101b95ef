"""The pages that the code knows: one for each operation, tables for the chapters, the lectures.

They are written to `docs/ops` before Sphinx reads, so that a new operation has its page without
a line here. Each page keeps one order: what it is for, the equation, the axes, the constraints and
laws, the text, the gradient, conventions elsewhere, the bound, what goes wrong, dialects, golden
cases, an exercise.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import figures
import lecture_numbers
import numpy as np
from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

import refimpl
from refimpl.axes import AXES, Spec, factors
from refimpl.op import Edit, Op
from refimpl.oracle.cases import rounded
from refimpl.oracle.diagnose import diff
from refimpl.oracle.judge import expect
from refimpl.registry import CHAPTERS, OPS

HERE = Path(__file__).parent
ROOT = HERE.parent
PARTS = ("Returns", "Raises", "Elsewhere:", "Paper:", ">>>")


def plain(text: str) -> str:
    """Prose of the code as Markdown: what is no markup there is none here, code in quotes stays."""
    pieces = re.split(r"(`[^`]*`)", " ".join(text.split()))
    pieces[::2] = [re.sub(r"([*_<|\\])", r"\\\1", piece) for piece in pieces[::2]]
    return "".join(pieces)


def sections(op: Op) -> dict[str, Any]:
    """A docstring in its parts: sentence, equation, arguments, and what `PARTS` begin."""
    found: dict[str, Any] = {"arguments": {}, "notes": []}
    paragraphs = (inspect.getdoc(op.text) or "").split("\n\n")
    found["sentence"] = paragraphs[0]
    for paragraph in paragraphs[1:]:
        start = next((part for part in PARTS if paragraph.startswith(part)), "")
        if paragraph.startswith("$$"):
            found["equation"] = paragraph
        elif start:
            found[start] = (
                paragraph
                if start in (">>>", "Returns", "Raises")
                else (paragraph.removeprefix(start).strip())
            )
        elif paragraph.partition(":")[0] in op.specs:
            for entry in re.split(r"\n(?=\S)", paragraph):
                name, _, says = entry.partition(":")
                found["arguments"][name] = says.strip()
        else:
            found["notes"].append(paragraph)
    return found


def title(name: str) -> str:
    """The name of a chapter."""
    return name.replace("_", " ").capitalize() if name != "clip" else "CLIP"


def numbers(spec: Spec) -> str:
    """What the numbers of an argument are."""
    says = spec.kind.says
    if spec.limit:
        says = says.replace("the named axis", f"`{spec.limit}`")
    if spec.kind.name == "Size":
        says = f"the size of `{spec.axes}`"
    return says + (", or None" if spec.optional else "")


def axes_of(spec: Spec) -> str:
    """The axes of an argument as code."""
    if spec.scalar:
        return "one number"
    return f"`{spec.axes}`" if spec.axes else "one number"


def axes_table(op: Op, says: dict[str, str]) -> list[str]:
    """The arguments and outputs, and what their axes mean."""
    lines = ["| argument | axes | numbers | meaning |", "|---|---|---|---|"]
    for name, spec in op.specs.items():
        meaning = (
            says.get(name, "")
            .removeprefix("broadcastable to ")
            .removeprefix(spec.axes.removeprefix("broadcastable "))
        )
        cells = f"{axes_of(spec)} | {numbers(spec)} | {plain(meaning.lstrip(', '))}"
        lines.append(f"| `{name}` | {cells} |")
    for name, spec in zip(op.outputs, op.returns, strict=True):
        lines.append(f"| returns `{name}` | {axes_of(spec)} | {numbers(spec)} | |")
    names = dict.fromkeys(n for spec in (*op.specs.values(), *op.returns) for n in spec.names())
    legend = [f"`{name}` {AXES[name]}" for name in names if name in AXES]
    if any("..." in spec.axes for spec in op.specs.values()):
        legend.append("`...` any number of axes, the same ones wherever the dots appear")
    return [*lines, "", "Axes: " + "; ".join(legend) + "." if legend else ""]


def constraints(op: Op) -> list[str]:
    """What the annotations demand, a sentence each."""
    where: dict[str, list[str]] = {}
    for name, spec in op.specs.items():
        for axis in spec.names():
            where.setdefault(axis, []).append(f"`{name}`")
    found = [
        f"`{axis}` has one size in {', '.join(names[:-1])} and {names[-1]}."
        for axis, names in where.items()
        if len(names) > 1
    ]
    for name, spec in op.specs.items():
        for dim in spec.dims:
            number, parts = factors(dim) if dim != "..." else (1, [])
            rule = f"`{dim}` is a product: a size that is no multiple of its factors is refused."
            if (number > 1 or len(parts) > 1) and rule not in found:
                found.append(rule)
        if spec.broadcastable:
            found.append(f"`{name}` broadcasts to `{' '.join(spec.dims)}`; it never widens it.")
        kind = spec.kind
        if spec.limit:
            found.append(f"`{name}`: {numbers(spec)}.")
        elif np.isfinite(kind.low) or np.isfinite(kind.high) or kind.integer:
            whole = ", a whole number" if kind.name == "Size" else ""
            found.append(f"`{name}`: {numbers(spec)}{whole}.")
    return found


def without_docstring(function: Any) -> str:
    """The source of a function; its docstring is what the rest of the page is made of."""
    source = inspect.getsource(function)
    head, quotes, rest = source.partition('    r"""')
    return head + rest.partition('"""\n')[2] if quotes else source


def helpers(op: Op) -> list[Any]:
    """The functions of the same file that the text calls and that are no operations, in order."""
    module = sys.modules[op.text.__module__]
    found: dict[str, Any] = {}
    waiting = [op.text]
    while waiting:
        for node in ast.walk(ast.parse(inspect.getsource(waiting.pop()))):
            if isinstance(node, ast.Name) and node.id not in found and node.id not in OPS:
                function = getattr(module, node.id, None)
                if inspect.isfunction(function) and "refimpl.ops." in function.__module__:
                    found[node.id] = function
                    waiting.append(function)
    return [
        found[name] for name in sorted(found, key=lambda n: inspect.getsourcelines(found[n])[1])
    ]


def text_of(op: Op) -> list[str]:
    """The reference source, with the helpers it calls."""
    functions = [op.text, *helpers(op)]
    source = "\n\n".join(without_docstring(function).rstrip() + "\n" for function in functions)
    return ["```python", source.rstrip(), "```"]


def measured() -> dict[str, dict[str, str]]:
    """The rows of the audit's page, by operation."""
    rows = [
        [cell.strip() for cell in line.strip("|\n").split("|")]
        for line in (HERE / "bounds.md").read_text().splitlines()
        if line.startswith("| ") and line.count("|") == 10
    ]
    return {row[0]: dict(zip(rows[0], row, strict=True)) for row in rows[1:] if row[0] in OPS}


def short(number: float) -> str:
    """Two digits are enough to compare by eye."""
    return f"{number:.1e}" if number else "0"


def bound(op: Op, audit: dict[str, dict[str, str]]) -> list[str]:
    """What the audit measured, and the error allowed on the first probe."""
    lines = [
        "What an honest implementation may be off is [derived from the text](../bound.md), for"
        " each element."
    ]
    if op.name in audit:
        row = audit[op.name]
        if row["worst honest"] == "exact":
            lines.append(
                f"Here nothing is computed, so nothing is allowed: {row['trials']} honest "
                "results were all exact."
            )
        else:
            lines.append(
                f"In {row['trials']} honest computations ({row['ways']} ways, {row['inputs']} "
                f"inputs) the worst reached {row['worst honest']} of it ({row['way']}); "
                f"{row['rejected']} were rejected. The least visible of the known mistakes is "
                f"{row['least']} times over it, on the input that shows it best."
            )
    probe = next(iter(op.probes), None)
    if probe is None:
        return lines
    lines += [
        "",
        f"On the probe “{plain(probe.says)}”:",
        "",
        "| precision | largest value | largest error allowed |",
        "|---|---:|---:|",
    ]
    for precision in op.precisions:
        inputs = rounded(op, op.read(**probe.inputs()), precision)
        for want in expect(op, inputs, precision):
            finite = np.abs(want.value[np.isfinite(want.value)])
            label = precision if len(op.outputs) == 1 else f"{precision}, `{want.name}`"
            largest = short(np.max(finite, initial=0))
            lines.append(f"| {label} | {largest} | {short(np.max(want.allowed, initial=0))} |")
    return lines


def source_link(source: str) -> str:
    """Where a mistake was reported."""
    if re.fullmatch(r"https?://\S+", source):
        return f"[{source.removeprefix('https://').removeprefix('github.com/')}]({source})"
    return plain(source)


def edits(op: Op, listed: tuple[Edit, ...]) -> list[str]:
    """Mistakes or dialects: what, the diff, the effect, where it was seen."""
    lines = []
    for edit in listed:
        shown = [
            line for line in diff(op, edit).splitlines() if not line.startswith(("---", "+++"))
        ]
        slug = edit.id.partition("/")[2]
        lines += [
            "",
            f"### {slug}",
            "",
            f"{plain(edit.says[:1].upper() + edit.says[1:])}.",
            "",
            "```diff",
            *shown,
            "```",
            "",
        ]
        facts = [
            ("Effect", plain(edit.effect)),
            ("Seen", source_link(edit.source)),
            ("Does not show when", plain(edit.invisible_when)),
        ]
        lines += [f"- {label}: {text}" for label, text in facts if text]
    return lines


def exercise(op: Op) -> list[str]:
    """A file to fill in, and the command that judges it."""
    arguments = ", ".join(op.specs)
    return [
        "Write it from the equation, without looking at the text, and let the oracle judge it:",
        "",
        "```python",
        "# mine.py",
        "import numpy as np",
        "",
        "",
        f"def {op.name}({arguments}):",
        "    raise NotImplementedError",
        "```",
        "",
        "```sh",
        f"refimpl verify mine.py --op {op.name}",
        "```",
        "",
        "The report names the first wrong element and, where it can, the mistake as a diff; "
        "exit code 0 means that you are right.",
    ]


def golden(op: Op) -> list[str]:
    """The golden cases of an operation."""
    path = ROOT / "golden" / op.chapter / f"{op.name}.json"
    if not path.exists():
        return ["None yet; `make golden` writes them."]
    cases = json.loads(path.read_text())["cases"]
    flags = {flag for case in cases for flag in case["flags"]}
    return [
        f"{len(cases)} cases in [`golden/{op.chapter}/{op.name}.json`]"
        f"(../../golden/{op.chapter}/{op.name}.json), certain to catch {len(flags)} mistakes and "
        "dialects; the format is in [golden vectors](../golden.md)."
    ]


def gradient(op: Op) -> list[str]:
    """The hand-written gradient, or the operation whose gradient this is."""
    if op.name.endswith("_vjp"):
        base = op.name.removesuffix("_vjp")
        return [f"This is the gradient of [`{base}`]({base}.md), and it has none of its own here."]
    if f"{op.name}_vjp" not in OPS:
        return ["None is written by hand."]
    other = OPS[f"{op.name}_vjp"]
    return [
        f"[`{other.name}`]({other.name}.md): {plain(sections(other)['sentence'])}",
        "",
        sections(other).get("equation", ""),
        "",
        *text_of(other),
    ]


def page(op: Op, audit: dict[str, dict[str, str]]) -> str:
    """The page of one operation."""
    doc = sections(op)
    laws = [
        f"**L{i}.** {plain(law.says[:1].upper() + law.says[1:])}."
        for i, law in enumerate(op.laws, 1)
    ]
    rules = [f"**C{i}.** {rule}" for i, rule in enumerate(constraints(op), 1)]
    parts: list[tuple[str, list[str]]] = [
        ("What it is for", [plain(doc["sentence"]), *map(plain, doc["notes"])]),
        (
            "Equation",
            [doc.get("equation", ""), "", *([plain(doc["Paper:"])] if "Paper:" in doc else [])],
        ),
        ("Arguments", axes_table(op, doc["arguments"])),
        (
            "Semantics",
            [
                plain(doc.get("Returns", "")),
                "",
                plain(doc.get("Raises", "")),
                "",
                "Constraints, checked on every call:",
                "",
                *(f"- {x}" for x in rules),
                "",
                "Laws, checked for every implementation:",
                "",
                *(f"- {x}" for x in laws),
            ],
        ),
        ("Text", text_of(op)),
        ("Example", ["```python", doc.get(">>>", ""), "```"]),
        ("Gradient", gradient(op)),
        ("Elsewhere", [plain(doc.get("Elsewhere:", "No other convention is known."))]),
        ("Bound", bound(op, audit)),
        ("What goes wrong", edits(op, op.mistakes)),
        ("Dialects", edits(op, op.dialects) if op.dialects else ["None is known."]),
        ("Forms that lose digits", edits(op, op.lossy) if op.lossy else []),
        ("Golden cases", golden(op)),
        ("Exercise", exercise(op)),
    ]
    lines = [
        f"# `{op.name}`",
        "",
        f"Chapter [{title(op.chapter)}](../chapters/{op.chapter}.md)",
        "",
    ]
    for heading, content in parts:
        if content:
            lines += [f"## {heading}", "", *content, ""]
    return "\n".join(lines)


WORDS = {
    "en": {
        "title": "The lectures, row by row",
        "lead": "What five lecture decks say, and what becomes of it here. A number in bold is not "
        "what comes out; behind it stands what does. Every computation is run when this page is "
        "made, and by the tests.",
        "decks": "Decks",
        "rows": "rows",
        "priority": "priority",
        "covered": "with an operation, a page or a computation",
        "slide": "Slide",
        "computed": "Computed",
        "errata": "Errata",
        "never": "What cannot be recomputed",
        "here": "Here",
        "0": "the five chapters",
        "1": "a formula, a table, a worked example",
        "2": "a system that is named",
        "3": "mentioned",
        "X": "needs weights, data or a closed model, or has no number",
        "A": "Vision Transformer",
        "B": "CLIP",
        "C": "Diffusion and guidance",
        "D": "DALL·E 2, Imagen, Stable Diffusion",
        "E": "Adapters and large multimodal models",
        "F": "Text Transformers",
        "G": "Retrieval",
    },
    "es": {
        "title": "Las clases, fila a fila",
        "lead": "Qué dicen cinco presentaciones y qué se hace aquí con ello. Un número en negrita "
        "no es el que sale; detrás figura el que sale. Cada cálculo se ejecuta al construir esta "
        "página y en las pruebas.",
        "decks": "Presentaciones",
        "rows": "filas",
        "priority": "prioridad",
        "covered": "con una operación, una página o un cálculo",
        "slide": "Diapositiva",
        "computed": "Calculado",
        "errata": "Fe de erratas",
        "never": "Lo que no se puede recalcular",
        "here": "Aquí",
        "0": "los cinco capítulos",
        "1": "una fórmula, una tabla, un ejemplo resuelto",
        "2": "un sistema que se nombra",
        "3": "se menciona",
        "X": "requiere pesos, datos o un modelo cerrado, o no tiene números",
        "A": "Vision Transformer",
        "B": "CLIP",
        "C": "Difusión y guía",
        "D": "DALL·E 2, Imagen, Stable Diffusion",
        "E": "Adaptadores y grandes modelos multimodales",
        "F": "Transformers de texto",
        "G": "Recuperación",
    },
}


def lectures() -> dict[str, Any]:
    """The decks and their rows."""
    return tomllib.loads((HERE / "lectures.toml").read_text())


def computed(row: dict[str, Any]) -> np.ndarray:
    """What a row computes, as a flat array."""
    names: dict[str, Any] = {"np": np, "refimpl": refimpl, "n": lecture_numbers}
    exec(row.get("with", ""), names)
    return np.asarray(eval(row["compute"], names)).ravel()


def agrees(value: float, printed: str) -> bool:
    """Whether a number as printed is the value, rounded to as many digits."""
    digits = len(printed.partition(".")[2])
    rounding = 1e-15 * abs(value)  # the number on paper is a decimal, the value is not
    return bool(abs(value - float(printed)) <= 0.5 * 10.0**-digits + rounding)


def show(value: Any) -> str:
    """A computed value for a page."""
    if isinstance(value, (bool, np.bool_, int, np.integer)):
        return str(value)
    if np.isinf(value):
        return "−∞" if value < 0 else "∞"
    return f"{value:.10g}" if abs(value) > 1000 else f"{value:.6g}"


def lecture_row(row: dict[str, Any], language: str) -> list[str]:
    """One row: what the slide says, where it is here, what comes out."""
    words = WORDS[language]
    lines = [f"### {row['id']}: {plain(row[language])}", ""]
    facts = [
        f"{words['decks']} {', '.join(row['decks'].split())}",
        f"{words['priority']} {row['priority']}",
    ]
    here = [f"[`{name}`](ops/{name}.md)" for name in row.get("ops", "").split() if name in OPS]
    if "page" in row:
        here.append(f"[{title(row['page'].rpartition('/')[2])}]({row['page']}.md)")
    if here:
        facts.append(f"{words['here']}: {', '.join(here)}")
    lines += [" · ".join(facts), ""]
    if "compute" in row:
        values = computed(row)
        if "slide" in row:
            printed = [
                f"**{number}** ({show(value)})" if i in row.get("wrong", []) else number
                for i, (number, value) in enumerate(zip(row["slide"], values, strict=True))
            ]
            lines += [f"{words['slide']}: {', '.join(printed)}", ""]
        else:
            lines += [f"{words['computed']}: {', '.join(map(show, values))}", ""]
        before = "".join(f"{part.strip()}\n" for part in row.get("with", "").split("; ") if part)
        lines += ["```python", before + row["compute"], "```", ""]
    return [*lines, plain(row[f"note_{language}"]), ""]


def lecture_page(language: str) -> str:
    """The map of the lectures in one language."""
    words, data = WORDS[language], lectures()
    rows = data["row"]
    lines = [f"# {words['title']}", "", words["lead"], "", f"## {words['decks']}", ""]
    lines += [f"- **{name}** {plain(deck)}" for name, deck in data["decks"].items()]
    lines += [
        "",
        f"| {words['priority']} | | {words['rows']} | {words['covered']} |",
        "|---|---|---:|---:|",
    ]
    for priority in "0123X":
        chosen = [row for row in rows if row["priority"] == priority]
        here = [row for row in chosen if {"ops", "page", "compute"} & set(row)]
        lines.append(f"| {priority} | {words[priority]} | {len(chosen)} | {len(here)} |")
    lines += ["", f"## {words['errata']}", ""]
    known = sorted((r for r in rows if "erratum" in r), key=lambda row: row["erratum"])
    for row in known:
        note = re.sub(r" \((Shown|Se muestra)[^)]*\)", "", row["note_" + language])
        lines.append(f"- **{row['erratum']}** {plain(row[language])} {plain(note)} ({row['id']})")
    for letter in "ABCDEFG":
        lines += ["", f"## {words[letter]}", ""]
        for row in rows:
            if row["id"].startswith(letter) and row["priority"] != "X":
                lines += lecture_row(row, language)
    lines += [f"## {words['never']}", ""]
    for row in rows:
        if row["priority"] == "X":
            lines += lecture_row(row, language)
    return "\n".join(lines)


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
        return parse(self, lines)


class Drawing(Directive):
    """A figure of `figures.py`, for light and for dark pages, with its words."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Two images, one of which is shown, and a caption."""
        drawn = figures.FIGURES[self.arguments[0]]
        figure = nodes.figure(classes=["drawing"])
        for theme in figures.THEMES:
            uri = f"/drawn/{drawn.__name__}-{theme}.svg"
            image = nodes.image(uri=uri, alt=drawn.alt, classes=[f"only-{theme}"])
            image["candidates"] = {}
            figure += image
        (words,) = parse(self, [drawn.caption])
        figure += nodes.caption("", "", *words.children)
        return [figure]


class Contents(Directive):
    """The chapters, in the order of the registry."""

    def run(self) -> list[nodes.Node]:
        """A table of contents."""
        lines = [
            "```{toctree}",
            ":caption: Chapters",
            ":maxdepth: 1",
            "",
            *(f"chapters/{c}" for c in CHAPTERS),
            "```",
        ]
        return parse(self, lines)


class OtherPages(Directive):
    """The pages that the first page does not name, so that a new one has its place."""

    def run(self) -> list[nodes.Node]:
        """A table of contents."""
        named = (HERE / "index.md").read_text().split()
        pages = sorted(path.stem for path in HERE.glob("*.md"))
        others = [name for name in pages if name != "index" and name not in named]
        return parse(self, ["```{toctree}", ":caption: Measured", ":hidden:", "", *others, "```"])


class AxesTable(Directive):
    """The vocabulary of axes."""

    def run(self) -> list[nodes.Node]:
        """A table."""
        rows = [f"| `{name}` | {says} |" for name, says in AXES.items()]
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
    """What links to a file of the repository on a git host links to its page here."""
    content[0] = content[0].replace("](../golden/README.md)", "](golden.md)")


def generate(app: Any) -> None:
    """Write the pages and the figures."""
    audit = measured()
    for op in OPS.values():
        write(HERE / "ops" / f"{op.name}.md", page(op, audit))
    for path in (HERE / "ops").glob("*.md"):
        if path.stem not in OPS:
            path.unlink()
    write(HERE / "golden.md", golden_page())
    write(HERE / "lectures.md", lecture_page("en"))
    write(HERE / "clases.md", lecture_page("es"))
    figures.write(HERE / "drawn")


def setup(app: Any) -> dict[str, bool]:
    """Register the directives, and write before anything is read."""
    app.add_directive("operations", Operations)
    app.add_directive("drawing", Drawing)
    app.add_directive("contents-of-the-book", Contents)
    app.add_directive("other-pages", OtherPages)
    app.add_directive("axes-table", AxesTable)
    app.connect("builder-inited", generate)
    app.connect("source-read", point_inwards)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
