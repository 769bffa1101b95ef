"""The pages of the operations, as Markdown: everything on them is read from the code.

Each keeps one order: what it is for, the equation and a picture beside the code, the arguments,
the constraints and laws, an example, the gradient, conventions elsewhere, the bound, what goes
wrong, dialects, golden cases, an exercise.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

import refimpl.models
from docs.book import figures
from refimpl.axes import AXES, Spec
from refimpl.axes.shapes import factors
from refimpl.models.registry import families
from refimpl.op import Edit, Op
from refimpl.oracle.cases.drawn import rounded
from refimpl.oracle.judging.judge import expect
from refimpl.registry import OPS

HERE = Path(__file__).parents[1]  # the pages
ROOT = HERE.parent
NAMES = {"torch", "diffusers", "transformers", "timm", "scipy", "sklearn", "onnx"}  # as written
PARTS = ("Returns", "Raises", "Elsewhere:", "Paper:", ">>>")


def plain(text: str) -> str:
    """Prose of the code as Markdown: what is no markup there is none here; code, formulas stay."""
    pieces = re.split(r"(`[^`]*`|\$[^$]+\$)", " ".join(text.split()))
    pieces[::2] = [re.sub(r"([*_<|\\])", r"\\\1", piece) for piece in pieces[::2]]
    return "".join(pieces)


def sentence(text: str) -> str:
    """Prose that begins a paragraph: a capital letter, unless it begins with a name."""
    word = text.partition(" ")[0]
    return plain(text[:1].upper() + text[1:] if word.isalpha() and word not in NAMES else text)


def sections(op: Op) -> dict[str, Any]:
    """The docstring of an operation in its parts."""
    return parts_of(op.text, op.specs)


def parts_of(function: Any, names: Iterable[str]) -> dict[str, Any]:
    """A docstring in its parts: sentence, equation, arguments, and what `PARTS` begin.

    What goes on in small letters after an equation, such as "with the means over …", is part of it.
    """
    found: dict[str, Any] = {"arguments": {}, "notes": []}
    paragraphs = (inspect.getdoc(function) or "").split("\n\n")
    found["sentence"] = paragraphs[0]
    for paragraph in paragraphs[1:]:
        start = next((part for part in PARTS if paragraph.startswith(part)), "")
        goes_on = "equation" in found and not found["notes"] and paragraph[0].islower()
        if paragraph.startswith("$$") or (goes_on and paragraph.partition(":")[0] not in names):
            shown = paragraph if paragraph.startswith("$$") else plain(paragraph)
            found["equation"] = "\n\n".join([*filter(None, [found.get("equation")]), shown])
        elif start.endswith(":"):
            found[start] = paragraph.removeprefix(start).strip()
        elif start:
            found[start] = paragraph
        elif paragraph.partition(":")[0] in names:
            for entry in re.split(rf"\n(?=(?:{'|'.join(names)}):)", paragraph):
                name, _, says = entry.partition(":")
                found["arguments"][name] = says.strip()
        else:
            found["notes"].append(paragraph)
    return found


def title(name: str) -> str:
    """What a chapter is called: the heading of its page, or else its name."""
    path = HERE / "chapters" / f"{name}.md"
    if path.exists():
        return path.read_text().partition("\n")[0].removeprefix("# ")
    return name.replace("_", " ").capitalize()


def numbers(spec: Spec) -> str:
    """What the numbers of an argument are."""
    says = spec.kind.says
    if spec.limit:
        says = says.replace("the named axis", f"`{spec.limit}`")
    if spec.kind.measures:
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
    legend = [f"`{name}` {AXES[name].says}" for name in names if name in AXES]
    if any("..." in spec.axes for spec in op.specs.values()):
        legend.append("`...` any number of axes, the same ones wherever the dots appear")
    return [*lines, "", "Axes: " + "; ".join(legend) + "." if legend else ""]


def constraints(op: Op) -> list[str]:
    """What the annotations demand, a sentence each."""
    where: dict[str, list[str]] = {}
    for name, spec in op.specs.items():
        for axis in dict.fromkeys(part for dim in spec.dims for part in factors(dim)[1]):
            if axis.isidentifier():  # not the dots, which several arguments share as well
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
            whole = ", a whole number" if kind.measures else ""
            says = numbers(spec)
            plainly = kind.open_low or kind.integer or "[" in says or not np.isfinite(kind.low)
            least = "" if plainly else f", at least {kind.low:g}"
            found.append(f"`{name}`: {says}{whole or least}.")
    return found


def without_docstring(function: Any) -> str:
    """The source of a function; its docstring is what the rest of the page is made of."""
    lines, _ = inspect.getsourcelines(function)
    (tree,) = ast.parse("".join(lines)).body
    if not (isinstance(tree, ast.FunctionDef) and ast.get_docstring(tree)):
        return "".join(lines)
    doc = tree.body[0]
    return "".join(lines[: doc.lineno - 1] + lines[doc.end_lineno :])


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
        "The error that an honest implementation may make is [derived from the code](../bound.md),"
        " element by element."
    ]
    if op.name in audit:
        row = audit[op.name]
        if row["worst honest"] == "exact":
            lines.append(
                "This operation rounds nothing, so the allowed error is zero: all "
                f"{row['trials']} honest results were exact."
            )
        else:
            lines.append(
                f"Measured: {row['trials']} honest computations, in up to {row['ways']} ways on "
                f"each of {row['inputs']} inputs. {row['rejected']} were rejected; the largest "
                f"error was {row['worst honest']} of what is allowed. Each known mistake "
                f"has an input on which its error is at least {row['least']} times what is allowed."
            )
    else:
        lines.append(
            "The bound of this operation has not been measured yet; `make audit` does that."
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


def edits(listed: tuple[Edit, ...]) -> list[str]:
    """Mistakes or dialects, a line each; the diff, the effect and where it was seen unfold."""
    lines = []
    for edit in listed:
        says = plain(edit.says[:1].upper() + edit.says[1:])
        facts = [
            ("Effect", plain(edit.effect)),
            ("Seen", source_link(edit.source)),
            ("Does not show when", plain(edit.invisible_when)),
        ]
        lines += [
            f":::{{folded}} {edit.id}",
            f"**{edit.id.partition('/')[2]}**: {says}.",
            "",
            *(f"- {label}: {text}" for label, text in facts if text),
            ":::",
            "",
        ]
    return lines


def exercise(op: Op) -> list[str]:
    """A file to fill in, and the command that judges it."""
    arguments = ", ".join(op.specs)
    return [
        "Write it from the equation, without looking at the code, and let the oracle judge it:",
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
        "exit code 0 means that you are right. How that looks is shown under "
        "[exercises](../exercises.md).",
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


def place(heading: str) -> str:
    """The name of a heading in an address, as Sphinx makes it.

    >>> place("Convolutions, and changes of size")
    'convolutions-and-changes-of-size'
    """
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def derivation(name: str) -> str:
    """Where the page of derivations treats a gradient."""
    for section in (HERE / "gradients.md").read_text().split("\n## ")[1:]:
        heading = section.partition("\n")[0]
        if f"`{name}`" in section:
            return f"[{heading}](../gradients.md#{place(heading)})"
    return "[the general rule](../gradients.md)"


def gradient(op: Op) -> list[str]:
    """The hand-written gradient, or the operation whose gradient this is."""
    if op.name.endswith("_vjp"):
        base = op.name.removesuffix("_vjp")
        return [
            f"This is the gradient of [`{base}`]({base}.md), derived under"
            f" {derivation(op.name)}. It has no gradient of its own here."
        ]
    if f"{op.name}_vjp" not in OPS:
        return ["None is written by hand."]
    other = OPS[f"{op.name}_vjp"]
    return [
        f"[`{other.name}`]({other.name}.md): {plain(sections(other)['sentence'])} Derived under "
        f"{derivation(other.name)}.",
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
    made = figures.picture_of(op.name)
    drawn = [f"```{{drawing}} {made}" if made else f"```{{picture}} {op.name}", "```"]
    parts: list[tuple[str, list[str]]] = [
        ("What it is for", [plain(doc["sentence"]), *map(plain, doc["notes"])]),
        (
            "Equation",
            [doc.get("equation", ""), "", plain(doc.get("Paper:", "")), "", *drawn],
        ),
        ("Code", text_of(op)),
        ("Arguments", axes_table(op, doc["arguments"])),
        (
            "Semantics",
            [
                plain(doc.get("Returns", "")),
                "",
                plain(doc.get("Raises", "")),
                "",
                "Constraints, checked on every call:" if rules else "",
                "",
                *(f"- {x}" for x in rules),
                "",
                "Laws, checked for every implementation:",
                "",
                *(f"- {x}" for x in laws),
            ],
        ),
        ("Example", ["```python", doc.get(">>>", ""), "```"]),
        ("Gradient", gradient(op)),
        ("Elsewhere", [sentence(doc.get("Elsewhere:", "No other convention is known."))]),
        ("Bound", bound(op, audit)),
        ("What goes wrong", edits(op.mistakes)),
        ("Dialects", edits(op.dialects) if op.dialects else ["None is known."]),
        ("Forms that lose digits", edits(op.lossy) if op.lossy else []),
        ("Golden cases", golden(op)),
        ("Exercise", exercise(op)),
    ]
    parts = [(heading, content) for heading, content in parts if content]
    links = [f"[{heading}](#{place(heading)})" for heading, _ in parts[1:]]
    lines = [
        *("---", "hide-toc: true", "---", ""),
        f"# `{op.name}`",
        "",
        f"Chapter [{title(op.chapter)}](../chapters/{op.chapter}.md)",
        "",
        " · ".join(links),
        "",
    ]
    for heading, content in parts:
        lines += [f"## {heading}", "", *content, ""]
    return "\n".join(lines)


def models() -> list[str]:
    """The modules of compositions: whole models first, then what is around them.

    Tables have no page: modules without a function, and mistakes, which the diagnosis shows.
    """
    found = [m.name for m in pkgutil.iter_modules(refimpl.models.__path__) if not m.ispkg]
    told = [name for name in found if public(name) and not name.startswith("mistakes")]
    return [*filter(is_whole, told), *(name for name in told if not is_whole(name))]


def is_whole(name: str) -> bool:
    """Whether a module of compositions is the text of a family of models."""
    return f"refimpl.models.{name}" in {family.text.__module__ for family in families()}


def public(name: str) -> list[Any]:
    """The functions of a module of compositions that a reader may call."""
    module = importlib.import_module(f"refimpl.models.{name}")
    return [
        function
        for function in vars(module).values()
        if inspect.isfunction(function)
        and function.__module__ == module.__name__
        and not function.__name__.startswith("_")
    ]


def model_page(name: str) -> str:
    """The page of one module of compositions: its functions, with their source."""
    module = importlib.import_module(f"refimpl.models.{name}")
    lines = [f"# `{name}`", "", f"Module `refimpl.models.{name}`", ""]
    for paragraph in (inspect.getdoc(module) or "").split("\n\n"):
        lines += [as_markdown(paragraph), ""]
    for function in public(name):
        lines += function_section(function)
    return "\n".join(lines)


def as_markdown(paragraph: str) -> str:
    """A paragraph of a docstring: an equation, an indented block, or prose."""
    if paragraph.startswith("$$"):
        return paragraph
    if paragraph.startswith("    "):
        return f"```text\n{inspect.cleandoc(paragraph)}\n```"
    return plain(paragraph)


def function_section(function: Any) -> list[str]:
    """One function of a model: what its docstring says, and its source."""
    doc = parts_of(function, list(inspect.signature(function).parameters))
    lines = [
        f"## `{function.__name__}`",
        "",
        plain(doc["sentence"]),
        "",
        doc.get("equation", ""),
        "",
    ]
    lines += [f"- `{name}`: {plain(says)}" for name, says in doc["arguments"].items()]
    for part in (
        *map(as_markdown, doc["notes"]),
        plain(doc.get("Returns", "")),
        plain(doc.get("Raises", "")),
    ):
        lines += ["", part]
    for part in ("Elsewhere:", "Paper:"):
        if part in doc:
            lines += ["", f"{part} {plain(doc[part])}"]
    if ">>>" in doc:
        lines += ["", "```python", doc[">>>"], "```"]
    source = without_docstring(function).rstrip()
    return [*lines, "", "```python", source, "```", ""]
