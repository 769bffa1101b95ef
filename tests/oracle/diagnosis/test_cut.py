"""An input that deviates is cut until it is short, where nothing small is drawn that shows it."""

from __future__ import annotations

import numpy as np

from refimpl.oracle.cases.drawn import Case
from refimpl.oracle.diagnosis.cut import cut
from refimpl.oracle.vectors.failing_cases import call
from refimpl.registry import OPS


def case_of(op, **inputs):
    return Case(op, "float32", "0", "", inputs)


def test_what_no_small_draw_shows_is_cut_from_what_was_seen():
    z = np.arange(30.0).reshape(5, 6) / 7
    z[3, 4] = 123.456
    left = cut(OPS["softmax"], [case_of("softmax", z=z)], lambda c: (c.inputs["z"] > 120).any())
    assert left.inputs["z"].tolist() == [[123.0]]


def test_each_array_that_has_an_axis_is_cut_along_it():
    rng = np.random.default_rng(0)
    x, weight, bias = (rng.standard_normal(n) for n in ((9, 7), (5, 7), 5))
    seen = case_of("linear", x=x, weight=weight, bias=bias)
    left = cut(OPS["linear"], [seen], lambda c: c.inputs["weight"].shape[1] >= 4)
    assert [left.inputs[n].shape for n in ("x", "weight", "bias")] == [(1, 4), (1, 4), (1,)]


def test_without_time_the_input_is_shown_as_it_was_seen():
    seen = case_of("softmax", z=np.ones((2, 2)) / 3)
    assert cut(OPS["softmax"], [seen], lambda c: True, limit=0.0) is seen


def test_nobody_reads_a_million_numbers():
    seen = case_of("softmax", z=np.ones((1024, 1024)))
    assert cut(OPS["softmax"], [seen], lambda c: False) is None
    assert cut(OPS["softmax"], [], lambda c: True) is None


def test_arrays_whose_numbers_do_not_matter_are_of_one_number():
    rng = np.random.default_rng(0)
    x, weight, bias = (rng.standard_normal(n) for n in ((1, 40), (1, 40), 1))
    seen = case_of("linear", x=x, weight=weight, bias=bias)
    wrong = cut(
        OPS["linear"], [seen], lambda c: c.inputs["x"].shape[1] == 40 and c.inputs["x"].any()
    )
    assert (wrong.inputs["weight"] == 0).all()
    assert (wrong.inputs["x"] == 1).all()
    assert "weight=np.full((1, 40), np.float32(0.0))" in call(OPS["linear"], wrong)
