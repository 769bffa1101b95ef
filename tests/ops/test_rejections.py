"""The reference and its compiled twin reject the same inputs, with errors of their own."""

import warnings

import numpy as np
import pytest

import refimpl
from refimpl import fast
from refimpl.axes import AxesError
from refimpl.op import DomainError
from refimpl.oracle.cases.drawn import RandomSource, draw_all, draw_sizes
from refimpl.registry import OPS

BAD = (np.inf, -np.inf, np.nan)


def drawn(op, empty=""):
    """One small input, an axis of it empty if that is asked for."""
    source = RandomSource([8, *op.name.encode()])
    given = op.drawn(source)
    if given is not None:
        return given
    sizes, rest = draw_sizes(op, source, wide=False)
    sizes |= {empty: 0} if empty else {}
    return draw_all(op, source, sizes, rest)


def trials(op):
    """A usual input, and some that many operations are not defined for."""
    inputs = drawn(op)
    yield inputs
    for name, x in inputs.items():
        if isinstance(x, np.ndarray) and x.dtype.kind == "f" and x.size:
            for number in BAD:
                changed = x.copy()
                changed.flat[-1] = number
                yield {**inputs, name: changed}
            yield {**inputs, name: np.zeros_like(x)}
        elif isinstance(x, float):
            yield {**inputs, name: np.nan}
            yield {**inputs, name: 0.0}
    axes = {n: None for spec in op.specs.values() for n in spec.names() if n != "T"}
    for axis in axes:  # no schedule without steps can be drawn
        try:
            yield drawn(op, empty=axis)
        except (ValueError, IndexError, ZeroDivisionError):
            continue  # no such input can be drawn


def outcome(function, inputs):
    """What a call comes to: an error of ours, or an answer; anything else fails the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            function(**inputs)
        except (AxesError, DomainError) as error:
            return type(error)
    return None


@pytest.mark.parametrize("name", OPS)
def test_the_twin_rejects_what_the_text_rejects(name):
    op = OPS[name]
    for inputs in trials(op):
        text, twin = (outcome(getattr(of, name), inputs) for of in (refimpl, fast))
        assert twin is text, inputs


def test_nothing_along_an_axis_is_said_in_our_words():
    with pytest.raises(DomainError, match=r"softmax: not defined where there is nothing along K"):
        refimpl.softmax(np.zeros((2, 0)))
    with pytest.raises(DomainError, match=r"nothing along M"):
        fast.attention(np.ones((1, 1, 2, 3)), np.ones((1, 1, 0, 3)), np.ones((1, 1, 0, 3)), None)


def test_bytes_without_a_meaning_are_no_real_numbers():
    with pytest.raises(AxesError, match=r"softmax: z has dtype \|V3, expected real numbers"):
        refimpl.softmax(np.zeros(2, "V3"))


def test_a_row_with_a_missing_number_has_no_length():
    for of in (refimpl, fast):
        found = of.l2_normalize(np.array([[3.0, 4.0], [np.nan, 1.0]]))
        assert np.isnan(found[1]).all()
        assert np.array_equal(found[0], [0.6, 0.8])


def test_an_empty_batch_has_an_empty_answer_in_the_precision_asked():
    found = fast.softmax(np.zeros((0, 3), np.float32))
    assert found.shape == (0, 3)
    assert found.dtype == np.float32
