"""The map of the lectures, in two languages, from `lectures.toml`; every number is computed."""

from __future__ import annotations

import tomllib
from typing import Any

import numpy as np

import refimpl
from docs.book import lecture_numbers
from docs.book.operations import HERE, plain, title
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
        "deck": "Deck",
        "in": "Decks",
        "no": "nothing here to recompute",
        "beside": "The rows of this deck in the order of its slides. Of each: what the slide says, "
        "what comes out here, and what is to be corrected. All decks together: ",
        "slide": "Printed",
        "computed": "Computed",
        "code": "By this code",
        "claim": "On the slide",
        "correction": "Correction",
        "note": "Note",
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
        "lead": "Qué dicen cinco presentaciones y qué se hace aquí con ello. Si una diapositiva "
        "imprime un número equivocado, ese número va en negrita y el correcto le sigue. Cada "
        "cálculo se ejecuta al construir esta página y en las pruebas.",
        "decks": "Presentaciones",
        "rows": "filas",
        "priority": "prioridad",
        "covered": "con una operación, una página o un cálculo",
        "deck": "Presentación",
        "in": "Presentaciones",
        "no": "aquí no hay nada que recalcular",
        "beside": "Las filas de esta presentación en el orden de sus diapositivas. De cada una: "
        "qué dice la diapositiva, qué sale aquí y qué hay que corregir. Todas: ",
        "slide": "Impreso",
        "computed": "Calculado",
        "code": "Con este código",
        "claim": "En la diapositiva",
        "correction": "Corrección",
        "note": "Nota",
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


def show(value: Any, language: str = "en") -> str:
    """A computed value for a page; in Spanish with a decimal comma."""
    if isinstance(value, (bool, np.bool_, int, np.integer)):
        return str(value)
    if np.isinf(value):
        return "−∞" if value < 0 else "∞"
    return local(f"{value:.10g}" if abs(value) > 1000 else f"{value:.6g}", language)


def local(number: str, language: str) -> str:
    """A number as it is written in a language."""
    return number.replace(".", ",") if language == "es" else number


def facts_of(row: dict[str, Any], language: str, up: str) -> str:
    """In which decks a row is, and where its subject is here; `up` leads to the first page."""
    words = WORDS[language]
    here = [f"[`{name}`]({up}ops/{name}.md)" for name in row.get("ops", "").split() if name in OPS]
    for name in row.get("models", "").split():
        here.append(f"[`refimpl.models.{name}`]({up}models/{name}.md)")
    if "page" in row:
        here.append(f"[{title(row['page'].rpartition('/')[2])}]({up}{row['page']}.md)")
    decks = row["decks"].split()
    facts = [
        f"{words['in' if len(decks) > 1 else 'deck']} {', '.join(decks)}",
        *([f"{words['here']}: {', '.join(here)}"] if here else []),
        *([] if here or "compute" in row else [words["no"]]),
    ]
    return " · ".join(facts)


def result_of(row: dict[str, Any], language: str) -> list[str]:
    """The numbers of a row, as printed and as computed, and the code that computes them."""
    words, values = WORDS[language], computed(row)
    if "slide" in row:
        told, printed = words["slide"], []
        for i, (number, value) in enumerate(zip(row["slide"], values, strict=True)):
            number, right = local(number, language), show(value, language)
            printed.append(f"**{number}** ({right})" if i in row.get("wrong", []) else number)
    else:
        told, printed = words["computed"], [show(value, language) for value in values]
    before = "".join(f"{part.strip()}\n" for part in row.get("with", "").split("; ") if part)
    apart = "; " if language == "es" else ", "
    what = f", *{plain(row[f'says_{language}'])}*" if f"says_{language}" in row else ""
    code = [f":::{{fold}} {row['id'].lower()}-code", words["code"], ""]
    code += ["```python", before + row["compute"], "```", ":::"]
    return [f"**{told}**{what}: {apart.join(printed)}", "", *code, ""]


def lecture_row(row: dict[str, Any], language: str, up: str = "") -> list[str]:
    """One row: what the slide says, where it is here, what comes out, what is to be corrected."""
    words = WORDS[language]
    lines = [f"### {row['id']}: {plain(row[language])}", "", facts_of(row, language, up), ""]
    if "tex" in row:
        lines += [f"**{words['claim']}**:", "", f"$${row['tex']}$$", ""]
    if "compute" in row:
        lines += result_of(row, language)
    if "drawing" in row:  # captions of figures are English
        plainly = [] if language == "en" else [":plain:"]
        lines += [f"```{{drawing}} {row['drawing']}", *plainly, "```", ""]
    kind = "correction" if "erratum" in row else "note"
    note = [f"**{words[kind]}**: {plain(row[f'note_{language}'])}", ""]
    right = [f"$${row['right']}$$", ""] if "right" in row else []
    return [*lines, f":::{{container}} remark {kind}", *note, *right, ":::", ""]


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
    for name, deck in data["decks"].items():
        lines.append(f"- **{name}** [{plain(deck)}](decks/{language}-{name}.md)")
    pages = [f"decks/{language}-{name}" for name in data["decks"]]
    lines += ["", "```{toctree}", ":hidden:", "", *pages, "```", ""]
    lines += [
        f"| {words['priority']} | | {words['rows']} | {words['covered']} |",
        "|---|---|---:|---:|",
    ]
    for priority, (count, here) in counts().items():
        lines.append(f"| {priority} | {words[priority]} | {count} | {here} |")
    lines += ["", f"## {words['errata']}", ""]
    known = sorted((r for r in rows if "erratum" in r), key=lambda row: row["erratum"])
    for row in known:
        told = f"{plain(row[language])} {plain(row['note_' + language])}"
        right = f" ${row['right']}$" if "right" in row else ""
        lines.append(f"- **{row['erratum']}** {told}{right} ({row['id']})")
    lines += ["", *by_subject(rows, language)]
    return "\n".join(lines)


def by_subject(rows: list[dict[str, Any]], language: str) -> list[str]:
    """Rows under the headings of their subjects; last, those that cannot be computed."""
    words, lines = WORDS[language], []
    for letter in "ABCDEFG":
        chosen = [r for r in rows if r["id"].startswith(letter) and r["priority"] != "X"]
        if chosen:
            lines += [f"## {words[letter]}", ""]
            lines += [line for row in chosen for line in lecture_row(row, language)]
    chosen = [row for row in rows if row["priority"] == "X"]
    if chosen:
        lines += [f"## {words['never']}", ""]
        lines += [line for row in chosen for line in lecture_row(row, language)]
    return lines


def deck_page(language: str, deck: str) -> str:
    """The rows of one deck in the order of its slides, to be read along with them."""
    words, data = WORDS[language], lectures()
    rows = {row["id"]: row for row in data["row"]}
    back = f"[{words['title']}](../{'lectures' if language == 'en' else 'clases'}.md)."
    lines = [f"# {words['deck']} {deck}: {data['decks'][deck]}", "", words["beside"] + back, ""]
    for name in data["order"][deck].split():
        lines += lecture_row(rows[name], language, "../")
    return "\n".join(lines).replace("\n### ", "\n## ")


if __name__ == "__main__":
    for priority, (count, here) in counts().items():
        print(f"priority {priority}: {here} of {count} rows ({WORDS['en'][priority]})")
