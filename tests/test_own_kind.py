"""A kind of argument is one record: its range is checked, its storage kept, its numbers drawn."""

import numpy as np
import pytest

from refimpl.axes import Array, AxesError, Float, Kind
from refimpl.op import DomainError, Op
from refimpl.oracle.cases.drawn import generate
from refimpl.oracle.judging.judge import expect

Turns = Kind(
    "Turns",
    "whole turns in [0, 1)",
    low=0,
    high=1,
    open_high=True,
    table=True,
    draw=lambda source, shape: source.uniform(shape, 0, 0.99),
)


def turned(x: Float[Array, "N D"], turns: Turns[Array, "N"]) -> Float[Array, "N D"]:
    """Each row times the cosine of its angle."""
    return np.cos(2 * np.pi * turns)[:, None] * x  # N D


OP = Op(turned)


def test_a_new_kind_is_drawn_as_its_record_says():
    drawn = np.concatenate([case.inputs["turns"] for case in generate(OP, "float64", 20)])
    assert drawn.size > 20
    assert drawn.min() >= 0
    assert drawn.max() < 0.99
    assert len(set(drawn)) > 10


def test_a_new_kind_is_checked_against_its_range():
    with pytest.raises((DomainError, AxesError), match="turns"):
        OP.checked(np.ones((1, 2)), np.array([1.0]))


def test_a_new_kind_that_is_a_table_is_never_stored_in_a_half_format():
    for case in generate(OP, "float16", 8):
        typed = case.typed(OP)
        assert typed["x"].dtype == np.float16
        assert typed["turns"].dtype == np.float32


def test_an_operation_of_a_new_kind_is_bounded_and_certain():
    case = next(c for c in generate(OP, "float32", 4) if c.inputs["x"].size)
    (want,) = expect(OP, case.inputs, "float32")
    assert np.isfinite(want.allowed).all()
