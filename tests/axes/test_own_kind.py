"""A kind of argument, and an axis, are one record: its range is checked, its storage kept, its
numbers drawn, its lengths chosen."""

import numpy as np
import pytest

from refimpl import axes
from refimpl.axes import AXES, Array, AxesError, Axis, Float, Kind, Wanted
from refimpl.axes.checks import convert
from refimpl.op import DomainError, Op
from refimpl.oracle.cases.drawn import RandomSource, generate, long_case
from refimpl.oracle.cases.sizes import LEVELS, rows
from refimpl.oracle.judging.judge import expect

KINDS = [k for k in vars(axes).values() if isinstance(k, Kind) and not k.measures]
SCHEDULES = ("Betas", "AlphaBar", "Kept")  # never one number alone

Turns = Kind(
    "Turns",
    "whole turns in [0, 1)",
    low=0,
    high=1,
    open_high=True,
    table=True,
    draw=lambda source, wanted: source.uniform(wanted.shape, 0, 0.99),
    usual=lambda share, _: [0.0, 0.25, share],
)
Share = Kind("Share", "a number in (0, 2]", low=0, open_low=True, high=2)


def turned(
    x: Float[Array, "N lanes"], turns: Turns[Array, "N"], start: Turns[float, ""]
) -> Float[Array, "N lanes"]:
    """Each row times the cosine of its angle."""
    return np.cos(2 * np.pi * (start + turns))[:, None] * x  # N lanes


def shared(x: Float[Array, "N"], share: Share[Array, "N"]) -> Float[Array, "N"]:
    """A share of each number."""
    return share * x  # N


OP = Op(turned)


@pytest.fixture
def lanes(monkeypatch):
    monkeypatch.setitem(AXES, "lanes", Axis("lanes of a register", low=2, high=4, long=64))


def test_a_new_kind_is_drawn_as_its_record_says():
    cases = list(generate(OP, "float64", 20))
    drawn = np.concatenate([case.inputs["turns"] for case in cases])
    assert drawn.size > 20
    assert drawn.min() >= 0
    assert drawn.max() < 0.99
    assert len(set(drawn)) > 10
    starts = {case.inputs["start"] for case in cases}
    assert {0.0, 0.25} < starts


def test_a_new_kind_of_which_the_range_alone_is_known_is_drawn_from_it():
    cases = generate(Op(shared), "float64", 30)
    drawn = np.concatenate([case.inputs["share"] for case in cases])
    assert 0 < drawn.min() < 0.1
    assert 1.9 < drawn.max() <= 2


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_what_a_kind_draws_is_within_its_range(kind):
    for seed in range(20):
        source = RandomSource([seed], plain=seed % 2 == 0)
        before = {"t": np.array([3, 4, 5, 6])}
        convert("op", "x", kind[Array, "N"], kind.drawn(source, Wanted((4,), 9, before)))
        if kind.name not in SCHEDULES:
            one = kind.drawn(source, Wanted((), 9, {"t": np.array(4)}), scalar=True)
            convert("op", "x", kind[float, ""], one)


def test_a_new_kind_is_checked_against_its_range():
    with pytest.raises((DomainError, AxesError), match="turns"):
        OP.checked(np.ones((1, 2)), np.array([1.0]), 0.0)


def test_a_new_kind_that_is_a_table_is_never_stored_in_a_half_format():
    for case in generate(OP, "float16", 8):
        typed = case.typed(OP)
        assert typed["x"].dtype == np.float16
        assert typed["turns"].dtype == np.float32


def test_an_operation_of_a_new_kind_is_bounded_and_certain():
    case = next(c for c in generate(OP, "float32", 4) if c.inputs["x"].size)
    (want,) = expect(OP, case.inputs, "float32")
    assert np.isfinite(want.allowed).all()


@pytest.mark.usefixtures("lanes")
def test_a_new_axis_is_as_long_as_its_record_says():
    drawn = {case.inputs["x"].shape[1] for case in generate(OP, "float64", 30)}
    assert drawn == {2, 3, 4}
    assert long_case(OP, "float64", 0, 0).inputs["x"].shape[1] == 64


@pytest.mark.usefixtures("lanes")
def test_a_new_axis_takes_every_chosen_size_that_it_may_have():
    def text(x: Float[Array, "N lanes"]) -> Float[Array, "N lanes"]:
        return 2 * x

    op = Op(text)
    taken = {row.sizes["lanes"] for row in rows(op, "quick")}
    assert set(LEVELS["quick"].sizes) <= taken
    assert min(taken) == 2


def test_an_axis_without_a_record_has_a_plain_one():
    drawn = {case.inputs["x"].shape[1] for case in generate(OP, "float64", 30)}
    assert drawn == {1, 2, 3, 4, 5, 6, 7}
