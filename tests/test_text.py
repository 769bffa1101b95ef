"""Edited texts are compiled in one place, function by function, and nothing else changes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import refimpl
from refimpl.op import Edit, Op
from refimpl.oracle.diagnosis.search.candidates import hidden
from refimpl.oracle.diagnosis.search.plain import text_of
from refimpl.registry import OPS
from refimpl.text import EditError, assembled, function_text, tapped

ROOT = Path(refimpl.__file__).parent


def doubled(x):
    return 2 * x


def quadrupled(x):
    """Twice the double."""
    # the inner one first
    return doubled(doubled(x))


def test_nothing_but_one_module_runs_source_that_was_made():
    running = {
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("exec", "eval")
    }
    assert running == {"text.py"}


def test_a_function_that_is_called_is_edited_for_the_caller_alone():
    edited = Op(quadrupled).edited(Edit("q/thrice", "triples", "2 * x", "3 * x", "doubled"))
    assert (edited(1), quadrupled(1), doubled(1)) == (9, 4, 2)


def test_an_edit_may_bring_a_function_along():
    added = "    return tripled(x)\n\n\ndef tripled(x):\n    return 3 * x"
    edited = Op(doubled).edited(Edit("d/thrice", "triples", "    return 2 * x", added))
    assert edited(2) == 6
    assert "tripled" not in globals()


def test_a_function_keeps_what_it_closes_over():
    factor = 5

    def scaled(x):
        return factor * doubled(x)

    inside = Edit("s/thrice", "triples", "2 * x", "3 * x", "doubled")
    assert Op(scaled).edited(inside)(1) == 15
    assert Op(scaled).edited(Edit("s/less", "subtracts", "factor *", "factor -"))(1) == 3
    assert tapped(scaled, lambda name, value: value)(1) == 10


def test_what_an_edit_says_is_the_diff_of_the_printed_text():
    edit = Edit("q/once", "doubles once", "doubled(doubled(x))", "doubled(x)")
    assert Op(quadrupled).diff(edit).splitlines() == [
        "--- quadrupled",
        "+++ q/once",
        "@@ -3,2 +3,2 @@",
        "     # the inner one first",
        "-    return doubled(doubled(x))",
        "+    return doubled(x)",
    ]


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (Edit("q/x", "", "3 - x", "x"), "edit q/x: '3 - x' occurs 0 times in quadrupled"),
        (Edit("q/x", "", "doubled", "x"), "edit q/x: 'doubled' occurs 2 times in quadrupled"),
    ],
)
def test_an_edit_that_fits_nowhere_or_twice_is_refused(edit, says):
    with pytest.raises(EditError, match=says):
        Op(quadrupled).edited(edit)


def test_a_source_for_a_function_that_is_not_called_is_refused():
    with pytest.raises(EditError, match="doubled does not call quadrupled"):
        assembled(doubled, {quadrupled: function_text(quadrupled).source})


def test_a_text_without_a_def_of_its_own_is_refused():
    with pytest.raises(EditError, match="<lambda> is not written as a function of its own"):
        function_text(lambda x: x)


def test_each_text_has_its_own_number_where_one_is_looked_for():
    class Number:
        unknown = 0.0

    (candidate, *_) = hidden(OPS["quick_gelu"].text)
    one, other = Number(), Number()
    texts = [text_of(candidate, an=number) for number in (one, other)]
    one.unknown, other.unknown = 0.0, 1.0
    results = [text(x=OPS["quick_gelu"].probes[0].inputs()["x"]) for text in texts]
    assert (results[0] != results[1]).any()
