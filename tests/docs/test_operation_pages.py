"""The pages that are written from the code: nothing that is known is left out."""

from __future__ import annotations

import doctest

import pytest

from refimpl.registry import CHAPTERS, OPS
from tests.textbook import DOCS, operations

ALL = [pytest.param(op, id=op.name) for op in OPS.values()]
ORDER = [
    "What it is for",
    "Equation",
    "Code",
    "Arguments",
    "Semantics",
    "Example",
    "Gradient",
    "Elsewhere",
    "Bound",
    "What goes wrong",
    "Dialects",
    "Golden cases",
    "Exercise",
]


@pytest.mark.parametrize("op", ALL)
def test_the_docstring_falls_into_its_parts(op):
    found = operations.sections(op)
    assert set(found["arguments"]) == set(op.specs)
    assert found["equation"].count("$$") == (op.text.__doc__ or "").count("$$")
    assert {"sentence", *operations.PARTS} <= set(found)


@pytest.mark.parametrize("op", [pytest.param(op, id=op.name) for op in list(OPS.values())[::9]])
def test_a_page_keeps_the_order(op):
    page = operations.page(op, operations.measured())
    headings = [line[3:] for line in page.splitlines() if line.startswith("## ")]
    assert [heading for heading in headings if heading in ORDER] == ORDER
    for edit in (*op.mistakes, *op.dialects, *op.lossy):
        assert f":::{{folded}} {edit.id}\n" in page
    assert page.count("\n- **L") == len(op.laws)


def test_a_heading_is_linked_to_by_its_words_alone():
    assert doctest.testmod(operations).failed == 0


def test_a_formula_wraps_at_its_wide_spaces_and_shrinks_only_where_it_is_wide():
    pytest.importorskip("latex2mathml")
    from docs.book import mathml

    assert doctest.testmod(mathml).failed == 0
    short, long = mathml.shown("a = b"), mathml.shown("a = " + "b" * 40)
    assert 'style="--fit: 1.00"' in short
    assert f'style="--fit: {mathml.COLUMN / 42.9:.2f}"' in long
    assert mathml.shown(r"a = b, \qquad c = d").count("<math") == 2


def test_every_gradient_is_derived_somewhere():
    for name in OPS:
        if name.endswith("_vjp"):
            assert "the general rule" not in operations.derivation(name), name


def test_the_text_of_a_page_is_complete():
    source = "\n".join(operations.text_of(OPS["q_posterior"]))
    assert "def q_posterior(" in source
    assert "def posterior_variance(" in source
    assert "def before(" in source
    assert '"""' not in source.replace('r"""', "")[: source.index("return")]


def test_every_chapter_has_an_introduction_that_lists_its_operations():
    for chapter in CHAPTERS:
        page = (DOCS / "chapters" / f"{chapter}.md").read_text()
        assert f"```{{operations}} {chapter}\n" in page


def test_prose_of_the_code_is_no_markup():
    assert operations.plain("h*E rows of x_t, `a*b` | c") == r"h\*E rows of x\_t, `a*b` \| c"


def test_whole_models_come_first_and_tables_have_no_page():
    told = operations.models()
    assert told.index("vit") < told.index("zero_shot")
    assert told.index("bert") < told.index("cache")
    assert not any(name.startswith("mistakes") for name in told)
    assert all(operations.public(name) for name in told)


def test_a_chapter_is_called_by_the_heading_of_its_page_everywhere():
    assert operations.title("clip") == "CLIP"
    assert operations.title("levels") == "Noise levels"
    assert "Chapter [Noise levels](../chapters/levels.md)" in operations.page(
        OPS["karras_sigmas"], {}
    )
    assert operations.title("of_my_own") == "Of my own"
