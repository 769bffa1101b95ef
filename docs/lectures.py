"""The map of the lectures, in two languages, from `lectures.toml`; every number is computed."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import lecture_numbers
import numpy as np
from operations import HERE, plain, title

import refimpl
from refimpl.registry import OPS

WORDS = {
    "en": {
        "title": "The lectures, row by row",
        "lead": "What five lecture decks say, and what becomes of it here. Where a slide prints a "
        "wrong number, that number is in bold and the right one follows it. Every computation "
        "is run when this page is made, and by the tests.",
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
    here += [
        f"[`refimpl.models.{name}`](models/{name}.md)" for name in row.get("models", "").split()
    ]
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


def counts() -> dict[str, tuple[int, int]]:
    """For each priority the rows, and those with an operation, a page or a computation."""
    found = {}
    for priority in "0123X":
        chosen = [row for row in lectures()["row"] if row["priority"] == priority]
        here = [row for row in chosen if {"ops", "models", "page", "compute"} & set(row)]
        found[priority] = len(chosen), len(here)
    return found


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
    for priority, (count, here) in counts().items():
        lines.append(f"| {priority} | {words[priority]} | {count} | {here} |")
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


if __name__ == "__main__":
    for priority, (count, here) in counts().items():
        print(f"priority {priority}: {here} of {count} rows ({WORDS['en'][priority]})")
