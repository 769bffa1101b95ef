"""The map of the lectures: what a slide prints is compared with what comes out."""

from __future__ import annotations

import doctest
import re

import numpy as np
import pytest

from refimpl.registry import OPS
from tests.textbook import DOCS, figures, lecture_numbers, lectures, operations

DATA = lectures.lectures()
ROWS = [pytest.param(row, id=row["id"]) for row in DATA["row"]]
PRINTED = [pytest.param(row, id=row["id"]) for row in DATA["row"] if "slide" in row]
COMPUTED = [pytest.param(row, id=row["id"]) for row in DATA["row"] if "compute" in row]


@pytest.mark.parametrize("row", PRINTED)
def test_exactly_the_numbers_marked_wrong_are_wrong(row):
    values = lectures.computed(row)
    wrong = [
        place
        for place, (value, printed) in enumerate(zip(values, row["slide"], strict=True))
        if not lectures.agrees(value, printed)
    ]
    assert wrong == row.get("wrong", [])


@pytest.mark.parametrize("row", COMPUTED)
def test_a_row_computes_numbers(row):
    values = lectures.computed(row)
    assert values.size
    assert not np.isnan(values.astype(float)).any()


@pytest.mark.parametrize("row", ROWS)
def test_a_row_says_who_what_and_where_in_both_languages(row):
    assert set(row["decks"].split()) <= set(DATA["decks"])
    assert row["priority"] in {"0", "1", "2", "3", "X"}
    assert all(row[key] for key in ("en", "es", "note_en", "note_es"))
    assert set(row.get("ops", "").split()) <= set(OPS)
    assert set(row.get("models", "").split()) <= set(operations.models())
    if "page" in row:
        assert (DOCS / f"{row['page']}.md").exists()
    if row["priority"] in {"0", "1"}:
        assert {"ops", "models", "compute", "page"} & set(row), "an important row without a place"


def test_every_row_has_a_place_but_for_what_has_nothing_to_compute():
    counts = lectures.counts()
    assert sum(count for count, _ in counts.values()) == len(DATA["row"])
    assert all(count == here > 0 for count, here in map(counts.get, "0123"))


def test_every_row_computes_but_for_what_has_nothing_to_compute():
    silent = [row for row in DATA["row"] if "compute" not in row]
    assert {row["priority"] for row in silent} == {"X"}


@pytest.mark.parametrize("row", COMPUTED)
def test_a_computed_number_is_printed_on_the_slide_or_says_what_it_is(row):
    for language in ("en", "es"):
        assert "slide" in row or row[f"says_{language}"]
        what = operations.plain(row.get(f"says_{language}", ""))
        assert what in "".join(lectures.result_of(row, language))


def test_a_row_shows_the_formula_of_the_slide_and_the_right_one_apart():
    (row,) = (row for row in DATA["row"] if row["id"] == "F2")
    claim, _, rest = "\n".join(lectures.lecture_row(row, "en")).partition("**Computed**")
    assert f"**On the slide**:\n\n$${row['tex']}$$" in claim
    correction = rest.partition("remark correction")[2]
    assert f"$${row['right']}$$" in correction


def test_a_row_shows_a_figure_with_words_in_one_language():
    (row,) = (row for row in DATA["row"] if row["id"] == "E5")
    shown = {name: "\n".join(lectures.lecture_row(row, name)) for name in ("en", "es")}
    assert "```{drawing} captions\n```" in shown["en"]
    assert "```{drawing} captions\n:plain:\n```" in shown["es"]
    assert {row["drawing"] for row in DATA["row"] if "drawing" in row} <= set(figures.FIGURES)


def test_formulas_within_a_note_stay_formulas():
    assert operations.plain("x_t, $x_t < 1$ and `x_t`") == r"x\_t, $x_t < 1$ and `x_t`"


def test_every_erratum_of_the_decks_is_carried():
    assert {row["erratum"] for row in DATA["row"] if "erratum" in row} == set(range(1, 21))


def test_rows_are_listed_once():
    names = [row["id"] for row in DATA["row"]]
    assert len(set(names)) == len(names)


def test_a_number_printed_with_one_digit_changed_is_noticed():
    assert lectures.agrees(0.4841846607, "0.484")
    assert not lectures.agrees(0.4841846607, "0.485")
    assert not lectures.agrees(28.5348, "28.54")


def test_both_pages_hold_every_row():
    for language in ("en", "es"):
        page = lectures.lecture_page(language)
        assert all(f"### {row['id']}: " in page for row in DATA["row"])
        assert page.count("```python") == len(COMPUTED)


def test_a_row_in_spanish_has_decimal_commas_and_separates_numbers_by_semicolons():
    (row,) = (row for row in DATA["row"] if row.get("slide") == ["86", "307", "632"])
    (line,) = (x for x in lectures.result_of(row, "es") if x.startswith("**"))
    assert line == "**Impreso**: **86** (86,5677); **307** (304,327); 632"


def test_no_number_of_the_spanish_page_has_a_decimal_point():
    prose = re.sub(
        r"```.*?```|`[^`]*`|\$+[^$]*\$+|\]\(.*?\)", "", lectures.lecture_page("es"), flags=re.S
    )
    found = re.findall(r"(?<![\w.])\d+\.\d+(?![\w.])", prose)
    assert found == []


@pytest.mark.parametrize("deck", DATA["decks"])
def test_each_deck_has_a_page_with_its_rows_and_no_others(deck):
    for language in ("en", "es"):
        page = lectures.deck_page(language, deck)
        shown = re.findall(r"(?m)^## (\w+): ", page)
        assert sorted(shown) == sorted(r["id"] for r in DATA["row"] if deck in r["decks"].split())
        assert shown == DATA["order"][deck].split()
        assert not re.findall(r"\]\((?:ops|models|chapters)/", page)  # a folder up


def test_decks_and_rows_have_names_of_different_kinds():
    assert all(deck.isdigit() for deck in DATA["decks"])
    assert all(row["id"][0].isalpha() for row in DATA["row"])


def test_parameters_are_counted_as_published():
    assert doctest.testmod(lecture_numbers).failed == 0
