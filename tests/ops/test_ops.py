"""Every operation: its witness, its twin, its laws, its mistakes. A new operation edits no test."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from refimpl.axes import AXES
from refimpl.oracle.judging.judge import error_ratio, expect
from refimpl.registry import OPS
from tests.audit.audits import size
from tests.audit.simulated import STYLES, simulate
from tests.harness import (
    cases,
    disagreement,
    equal_on_paper,
    law_sides,
    twin,
    witness,
    worst_ratio,
)

ALL = [pytest.param(op, id=f"{op.chapter}-{op.name}") for op in OPS.values()]
LAWS = [
    pytest.param(op, law, id=f"{op.chapter}-{op.name}-L{i}-{law.says.replace(' ', '_')}")
    for op in OPS.values()
    for i, law in enumerate(op.laws, 1)
]
MISTAKES = [
    pytest.param(op, edit, id=f"{op.chapter}-{edit.id}")
    for op in OPS.values()
    for edit in op.mistakes
]
DIALECTS = [
    pytest.param(op, edit, id=f"{op.chapter}-{edit.id}")
    for op in OPS.values()
    for edit in op.dialects
]
LOSSY = [
    pytest.param(op, edit, id=f"{op.chapter}-{edit.id}") for op in OPS.values() for edit in op.lossy
]
TEN_TIMES = 10
MODEST = 2000  # numbers: equal on small inputs is equal


@pytest.mark.parametrize("op", ALL)
def test_the_text_agrees_with_loops_over_scalars(op):
    for case in cases(op):
        if max((np.size(x) for x in case.inputs.values()), default=0) > 20_000:
            continue
        assert worst_ratio(op, witness(op), case) <= 1, case.id


@pytest.mark.parametrize("op", ALL)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_twin_stays_within_the_bound(op, precision):
    for case in cases(op, precision):
        assert worst_ratio(op, twin(op), case, typed=True) <= 1, case.id


@pytest.mark.parametrize(("op", "law"), LAWS)
def test_the_text_obeys_the_law(op, law):
    pairs = [pair for case in cases(op, count=12) for pair in law_sides(op, law, case)]
    assert pairs, "the law never applied"
    assert max(disagreement(left, right) for left, right in pairs) <= 1


@pytest.mark.parametrize(("op", "law"), LAWS)
def test_the_twin_obeys_the_law(op, law):
    for case in cases(op, count=6):
        for left, right in law_sides(op, law, case, twin(op)):
            assert disagreement(left, right) <= 1, case.id


@pytest.mark.parametrize(("op", "edit"), MISTAKES)
def test_the_mistake_is_far_outside_the_bound(op, edit):
    wrong = op.edited(edit)
    worst = 0.0
    for case in cases(op, "float32", count=64):
        try:
            worst = max(worst, worst_ratio(op, wrong, case))
        except (ValueError, IndexError, TypeError, ZeroDivisionError):
            continue  # a mistake may also fail on shapes it never met
        if worst >= TEN_TIMES:
            return
    pytest.fail(f"{edit.id} reaches only {worst:.3g} times the allowed error")


@pytest.mark.parametrize(("op", "edit"), DIALECTS)
def test_the_dialect_differs_from_the_text(op, edit):
    other = op.edited(edit)
    assert any(worst_ratio(op, other, case) > 1 for case in cases(op, "float32", count=64))


@pytest.mark.parametrize(("op", "edit"), LOSSY)
def test_the_lossy_form_is_equal_and_loses_digits(op, edit):
    form, worst = op.edited(edit), 0.0
    for case in cases(op, "float32", count=64):
        if size(case) > MODEST:
            continue
        assert equal_on_paper(op.text, form, case.inputs), "not the same function"
        with np.errstate(all="ignore"):
            computed = simulate(form, case.inputs, "float32", STYLES[0])
        for want, found in zip(expect(op, case.inputs, "float32"), computed, strict=True):
            worst = max(worst, float(np.max(error_ratio(want, found), initial=0.0)))
    assert worst > 1


@pytest.mark.parametrize("op", ALL)
def test_at_least_four_laws_and_five_mistakes_are_known(op):
    assert len(op.laws) >= 4
    assert len(op.mistakes) >= 5
    ids = [edit.id for edit in (*op.mistakes, *op.dialects)]
    assert len(set(ids)) == len(ids)
    assert all(edit_id.startswith(f"{op.name}/") for edit_id in ids)


@pytest.mark.parametrize("op", ALL)
def test_every_axis_is_in_the_vocabulary(op):
    for spec in (*op.specs.values(), *op.returns):
        assert set(spec.names()) <= set(AXES), spec


@pytest.mark.parametrize("op", ALL)
def test_the_docstring_says_what_it_must(op):
    doc = inspect.getdoc(op.text)
    assert "$" in doc, "no equation"
    assert ">>> " in doc, "no example"
    for name in op.specs:
        assert f"\n{name}: " in doc, f"no line for {name}"
    for section in ("Returns ", "Raises ", "Elsewhere: ", "Paper: "):
        assert section in doc, f"no {section.strip()}"
