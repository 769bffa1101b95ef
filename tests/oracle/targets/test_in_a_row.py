"""Calls that are sent together come to what the same calls come to one by one."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.oracle.cases.drawn import Case
from refimpl.oracle.targets.sessions import Session
from refimpl.registry import OPS

OP = OPS["sigmoid"]
COUNTS = """
import os, numpy as np
calls = 0

def sigmoid(z):
    global calls
    calls += 1
    if calls == 5 and z[0] < 0:
        os._exit(3)
    if z[0] == 7:
        raise ValueError("a seven")
    return z + np.float32(calls)
"""


@pytest.fixture
def session(tmp_path):
    path = tmp_path / "target.py"
    path.write_text(COUNTS)
    with Session(str(path)) as opened:
        yield opened


def asked(numbers, size=1):
    for number in numbers:
        inputs = {"z": np.full(size, float(number))}
        yield Case("sigmoid", "float32", "0", "", inputs), 8 * size


@pytest.mark.parametrize("size", [1, 30_000])
def test_each_answer_is_that_of_its_own_call(session, size):
    answers = [outcome.outputs[0][-1] for outcome in session.in_a_row(OP, asked(range(6), size))]
    assert answers == [number + 1 + number for number in range(6)]


def test_a_call_that_raises_leaves_the_others_alone(session):
    said = [outcome.status for outcome in session.in_a_row(OP, asked([0, 1, 7, 3, 7, 5]))]
    assert said == ["returned", "returned", "raised", "returned", "raised", "returned"]


def test_a_target_that_dies_at_a_call_is_asked_the_later_ones_anew(session):
    outcomes = list(session.in_a_row(OP, asked([-1] * 8)))
    assert [o.status for o in outcomes] == ["returned"] * 4 + ["died"] + ["returned"] * 3
    assert outcomes[4].code == 3
    assert [float(o.outputs[0][0]) for o in outcomes[5:]] == [0.0, 1.0, 2.0]


def test_whoever_stops_early_leaves_no_answer_behind(session):
    for number, _ in enumerate(session.in_a_row(OP, asked(range(12)))):
        if number == 4:
            break
    (case, most), *_ = asked([100])
    assert session.call(OP, case, most).outputs[0][0] > 100
