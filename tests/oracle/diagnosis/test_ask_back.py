"""Several explanations fit: the target is asked where they differ, until one is left."""

from __future__ import annotations

import numpy as np

from refimpl.oracle.cases.drawn import Case
from refimpl.oracle.diagnosis.ask_back import differ, keep_fitting, predict
from refimpl.oracle.diagnosis.cause import Cause
from refimpl.oracle.diagnosis.causes import causes
from refimpl.oracle.diagnosis.evidence import Evidence
from refimpl.oracle.runs.verify import find_case
from refimpl.registry import OPS

OP = OPS["attention"]
FLOAT32 = np.dtype(np.float32)


SUSPECTS = [Cause("mistake", edit.id, edit.says, text=OP.edited(edit)) for edit in OP.mistakes]


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
        left = keep_fitting(Evidence(OP, "float32", ask=answering(edit)), SUSPECTS)
        assert edit.id in [suspect.id for suspect in left]
        assert len(left) <= 2


def test_nothing_is_left_for_a_target_that_none_explains():
    def ask(case):
        return [np.full_like(OP.text(**case.inputs), 7.0, dtype=np.float32)]

    assert keep_fitting(Evidence(OP, "float32", ask=ask), SUSPECTS[:4]) == []


def test_a_target_that_cannot_be_asked_keeps_all_explanations():
    few = SUSPECTS[:3]
    assert keep_fitting(Evidence(OP, "float32", ask=lambda case: None), few) == few


def test_one_explanation_alone_is_put_to_the_test_as_well():
    right, wrong = SUSPECTS[0], SUSPECTS[1]
    evidence = Evidence(OP, "float32", ask=answering(OP.mistakes[0]))
    assert keep_fitting(evidence, [right]) == [right]
    assert len(evidence) > 5
    assert keep_fitting(evidence, [wrong]) == []


def test_one_case_cannot_tell_mistakes_apart_but_asking_can():
    rng = np.random.default_rng(0)
    query, key, value = (np.round(8 * rng.standard_normal((1, 2, 3, 2))) / 4 for _ in range(3))
    inputs = {"query": query, "key": key, "value": value, "bias": None}
    case = Case("attention", "float32", "two-heads-of-two", "", OP.read(**inputs))
    ask = answering(next(edit for edit in OP.mistakes if edit.id == "attention/scale-twice"))
    seen = [(case, ask(case))]
    unasked = {cause.id for cause in causes(Evidence(OP, "float32", seen))}
    assert unasked == {"attention/scale-twice", "attention/scale-by-model-width"}
    asked = [cause.id for cause in causes(Evidence(OP, "float32", seen, ask))]
    assert asked == ["attention/scale-twice"]


def test_equal_expectations_do_not_differ():
    _, case = find_case("attention/float32/0-1")
    wants = predict(OP, OP.text, case)
    assert not differ(wants, wants)
    assert differ(wants, None)
