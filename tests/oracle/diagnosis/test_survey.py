"""Targets that are wrong at some sizes alone: the sizes are found, and hold on other inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from refimpl.oracle.cases.drawn import Case
from refimpl.oracle.cases.sizes import profile_cases
from refimpl.oracle.diagnosis.cause import UNKNOWN
from refimpl.oracle.diagnosis.evidence import Evidence
from refimpl.oracle.diagnosis.patterns import pattern
from refimpl.oracle.diagnosis.shrink import numbers
from refimpl.oracle.diagnosis.survey import Survey, diagnosed
from refimpl.oracle.reports.text import cause_lines
from refimpl.registry import OPS

PLANTED: dict[str, tuple[Callable, str, int]] = {}  # what is said, and numbers of a short input


def says(sentence: str, shortest: int) -> Callable:
    def keep(function: Callable) -> Callable:
        PLANTED[function.__name__] = (function, sentence, shortest)
        return function

    return keep


def right(op: str, **inputs: Any) -> np.ndarray:
    wide = {n: x.astype(np.float64) if np.ndim(x) else x for n, x in inputs.items()}
    with np.errstate(all="ignore"):
        return np.asarray(OPS[op].text(**wide))


def evidence_of(op: str, target: Callable, count: int = 12) -> Evidence:
    def ask(case: Case) -> list[np.ndarray]:
        return [np.asarray(target(**case.typed(OPS[op]))).astype(np.float32)]

    drawn = profile_cases(OPS[op], "float32", "quick", count)
    return Evidence(OPS[op], "float32", [(case, ask(case)) for case in drawn], ask)


@says("wrong from K = 76, right up to 75", 76)
def softmax__one_tile(z):
    return np.where(np.arange(z.shape[-1]) >= 75, 2, 1) * right("softmax", z=z)


@says("right only where K is a power of two", 3)
def softmax__filled_up(z):
    length = 1 << max(z.shape[-1] - 1, 0).bit_length()
    padded = np.concatenate((z, np.zeros((*z.shape[:-1], length - z.shape[-1]))), -1)
    return right("softmax", z=padded)[..., : z.shape[-1]]


@says("wrong from the number of rows = 6, right up to 5", 7)
def rms_norm__the_first_rows_again(x, gain, eps):
    y = right("rms_norm", x=x, gain=gain, eps=eps)
    rows = y.reshape(-1, x.shape[-1])
    return np.where(np.arange(len(rows))[:, None] < 5, rows, rows[:1] + 1).reshape(x.shape)


@says("wrong only where the number of rows is 1", 2)
def rms_norm__one_row(x, gain, eps):
    y = right("rms_norm", x=x, gain=gain, eps=eps)
    return y + 1 if x.size == x.shape[-1] else y


@says("wrong only where O is 1 more than a multiple of 16, from 17 on", 35)
def linear__the_bias_beyond_a_tile(x, weight, bias):
    y = right("linear", x=x, weight=weight, bias=bias if bias is not None else 0 * weight[:, 0])
    if bias is not None and len(weight) % 16 == 1 and len(weight) > 16:
        y[..., -1] += 1
    return y


@says("wrong only where K is 1 more than a multiple of 128, from 129 on", 129)
def log_softmax__the_last_beyond_the_tiles(z):
    y = right("log_softmax", z=z)
    if z.shape[-1] > 128 and z.shape[-1] % 128 == 1:
        y[..., -1] += 1
    return y


@says("wrong from D × the number of rows = 41, right up to 40", 81)
def rms_norm__so_many_numbers(x, gain, eps):
    y = right("rms_norm", x=x, gain=gain, eps=eps)
    return y + 1 if x.size > 40 else y


@pytest.mark.parametrize("name", PLANTED)
def test_the_sizes_are_found_and_a_short_input(name):
    target, sentence, shortest = PLANTED[name]
    survey = Survey.of(evidence_of(name.partition("__")[0], target))
    assert survey.cause is not None, survey
    assert survey.cause.says == sentence
    assert survey.facts[0].startswith("of inputs asked for, ")
    assert survey.shortest is not None
    assert numbers(survey.shortest) <= shortest


def test_it_is_said_that_a_bias_has_to_be_given():
    survey = Survey.of(evidence_of("linear", PLANTED["linear__the_bias_beyond_a_tile"][0]))
    assert "right without bias" in survey.facts[0]


def test_what_is_wrong_at_any_size_has_no_condition():
    def target(x, gain, eps):
        y = right("rms_norm", x=x, gain=gain, eps=eps)
        return y + np.sin(3 * y)

    survey = Survey.of(evidence_of("rms_norm", target))
    assert survey.cause is None
    (fact,) = [f for f in survey.facts if f.startswith("wrong at each size of D")]
    assert fact.endswith("(22 of 22)")


def test_what_a_condition_does_not_foretell_refutes_it():
    """It is wrong from five rows on, and now and then on fewer: a limit there would be untrue."""

    def target(x, gain, eps):
        y = right("rms_norm", x=x, gain=gain, eps=eps)
        few = x.size < 5 * x.shape[-1] and x.ravel()[0] < 0.7
        return y if few else y + 1

    assert Survey.of(evidence_of("rms_norm", target)).cause is None


def test_the_condition_is_the_cause_where_no_edit_is(monkeypatch):
    monkeypatch.setattr("refimpl.oracle.diagnosis.survey.causes", lambda evidence: [UNKNOWN])
    target = PLANTED["rms_norm__the_first_rows_again"][0]
    (cause,), _ = diagnosed(evidence_of("rms_norm", target))
    assert cause_lines(cause) == ["cause: wrong from the number of rows = 6, right up to 5"]


def test_a_layout_is_the_cause_where_nothing_is_known_of_how_it_is_read(monkeypatch):
    monkeypatch.setattr("refimpl.oracle.diagnosis.survey.causes", lambda evidence: [UNKNOWN])

    def target(x, gain, eps):
        y = right("rms_norm", x=x, gain=gain, eps=eps)
        return y if x.strides[-1] == x.itemsize else np.sin(y) + 2

    (cause,), survey = diagnosed(evidence_of("rms_norm", target))
    assert cause.says.startswith("wrong only where an input is not row-major in memory (column-m")
    assert survey.facts[0].endswith("right when they are row-major")


def test_two_lengths_are_no_multiples_of_anything():
    lengths = {n: n % 128 != 0 for n in (2, 3, 5, 128)}
    told = pattern(lengths)
    assert told is not None
    assert "multiple" not in told.of("F")
