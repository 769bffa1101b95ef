"""Several explanations fit: the target is asked where they differ, until one is left."""

from __future__ import annotations

import numpy as np

from refimpl.oracle.diagnose import causes
from refimpl.oracle.distinguish import differ, narrow, predict
from refimpl.oracle.verify import find_case
from refimpl.registry import OPS

OP = OPS["attention"]
FLOAT32 = np.dtype(np.float32)


def answering(edit):
    """A target with one mistake, in float32."""
    text = OP.edited(edit)

    def ask(case):
        try:
            with np.errstate(all="ignore"):
                return [np.asarray(text(**case.inputs)).astype(np.float32)]
        except ValueError:
            return None  # some mistakes do not run on every shape

    return ask


def test_one_of_all_mistakes_is_left():
    for edit in OP.mistakes[:6]:
        left = narrow(OP, list(OP.mistakes), answering(edit), "float32", FLOAT32)
        assert edit in left
        assert len(left) <= 2


def test_nothing_is_left_for_a_target_that_none_explains():
    def ask(case):
        return [np.full_like(OP.text(**case.inputs), 7.0, dtype=np.float32)]

    assert narrow(OP, list(OP.mistakes[:4]), ask, "float32", FLOAT32) == []


def test_a_target_that_cannot_be_asked_keeps_all_explanations():
    edits = list(OP.mistakes[:3])
    assert narrow(OP, edits, lambda case: None, "float32", FLOAT32) == edits


def test_one_case_cannot_tell_mistakes_apart_but_asking_can():
    fewer = 0
    for edit in OP.mistakes:
        ask = answering(edit)
        _, case = find_case("attention/float32/0-7")
        answer = ask(case)
        if answer is None:
            continue
        seen = [(case, answer)]
        asked = {cause["id"] for cause in causes(OP, seen, FLOAT32, "float32", ask)}
        unasked = {cause["id"] for cause in causes(OP, seen, FLOAT32, "float32")}
        if edit.id in unasked and not asked & {d.id for d in OP.dialects}:
            assert edit.id in asked
        fewer += len(asked) < len(unasked)
    assert fewer > 0


def test_equal_expectations_do_not_differ():
    _, case = find_case("attention/float32/0-1")
    wants = predict(OP, OP.text, case)
    assert not differ(wants, wants)
    assert differ(wants, None)
