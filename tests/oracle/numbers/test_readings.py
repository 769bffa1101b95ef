"""What decides or rounds means the same in every reading of a text, and as NumPy means it."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.oracle.numbers.balls import Balls, Undecided, certified, each, input_ball
from refimpl.oracle.numbers.errors import bounded
from tests.audit.simulated import STYLES, simulate

X = np.array([[-2.5, -1.5, -0.25, 0.0], [0.5, 1.5, 2.5, 7.0]])
Y = np.array([2.0, -0.75, 3.0, 0.5])
TEXTS = {
    "rint": lambda x, y: np.rint(x),
    "trunc": lambda x, y: np.trunc(x),
    "remainder": lambda x, y: np.remainder(x, y),
    "floor_divide": lambda x, y: np.floor_divide(x, y),
    "float_power": lambda x, y: np.float_power(np.abs(y), 3),
    "logical_and": lambda x, y: np.where(np.logical_and(x, y), x, y),
    "logical_or": lambda x, y: np.where(np.logical_or(x, y), x, y),
    "logical_xor": lambda x, y: np.where(np.logical_xor(x, y), x, y),
    "logical_not": lambda x, y: np.where(np.logical_not(x), y, x),
    "all": lambda x, y: np.where(np.all(x, axis=1, keepdims=True), x, y),
    "any": lambda x, y: np.where(np.any(x, axis=0), x, y),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_function_that_decides_or_rounds_is_numpys_in_every_reading(name):
    text, given = TEXTS[name], {"x": X, "y": Y}
    want = text(X, Y)
    (carried,) = bounded(text, given, "float64")
    ((certain, radius),) = certified(text, given)
    assert np.array_equal(certain, want)
    assert not radius.any()
    assert (np.abs(carried.value - want) <= carried.error).all()
    for style in STYLES:
        (found,) = simulate(text, given, "float64", style)
        assert np.array_equal(found, want)


def test_a_ball_about_zero_is_neither_true_nor_false():
    wide = Balls(each(input_ball, np.array([1.0]))) - 1 + Balls([input_ball(0.0)])
    wide.value = np.array([wide.value[0].union(input_ball(1e-9))], dtype=object)
    with pytest.raises(Undecided):
        bool(np.logical_not(wide))
    with pytest.raises(Undecided):
        np.any(wide)
