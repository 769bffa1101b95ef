"""Ask back: new inputs that refute explanations, or tell several apart, until the rest agree."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Protocol, TypeVar

import numpy as np

from refimpl.op import Op
from refimpl.oracle.cases.drawn import Case, random_case, rounded
from refimpl.oracle.cases.exchanged import exchanged
from refimpl.oracle.diagnosis.evidence import Evidence, Observation
from refimpl.oracle.judging.judge import Expected, error_ratio, expect, judge
from refimpl.oracle.numbers.precisions import PRECISIONS

QUESTIONS = 100  # inputs looked at; the target is asked where it may tell something
CONFIRMED = 24  # inputs that change under an explanation, on each of which it must be right
PATIENCE = 2.0  # seconds of computing for them, where nothing else is to be told apart
LONGEST = 20.0  # seconds by the clock for the same
STRETCHED = 5  # one question of so many has larger numbers
LARGE = 128.0  # by this factor: products of two go past the ten thousand that stands for infinity
NEARER = 2  # times that a wrong number must come nearer by what is to explain it
NEARLY = 0.9  # of the wrong numbers, which a run in fewer digits must give as the target does
SEED = 1009  # none that a run of verify uses by default


class Suspect(Protocol):
    """Anything that says what the target computes."""

    @property
    def text(self) -> Callable | None:
        """What the target is thought to compute; None for the right text."""


S = TypeVar("S", bound=Suspect)


def predict(op: Op, text: Callable | None, case: Case) -> list[Expected] | None:
    """What an edited text expects of a case, or None where it does not run."""
    try:
        return expect(op, case.inputs, case.precision, text)
    except Exception:
        return None  # an edited text may meet any error on inputs it was not made for


def fit(
    op: Op, expected: list[Expected] | None, answer: Observation, text: Callable | None = None
) -> bool | None:
    """Whether an edited text explains what was returned; None where its bound allows anything.

    `expected` is what it expects of the case. With `text`, a NaN or an infinity counts as explained
    only where the text itself, run in what the target computes in, comes to one.
    """
    case, own, outputs = answer.case, answer.own, answer.outputs
    if expected is None:  # the edited text does not run on what the target answered
        return None if all(output.size == 0 for output in outputs) else False
    storage = stored_dtype(case)
    if not judge(op, expected, answer.actual, storage).conforms:
        # numbers that the edit brought in arrive rounded to what the target stores
        with np.errstate(all="ignore"):
            expected = [
                Expected(e.name, e.value.astype(storage).astype(np.float64), e.allowed)
                for e in expected
            ]
        if not judge(op, expected, answer.actual, storage).conforms:
            return False
    if text is not None:
        judged = [_judged(e, o) for e, o in zip(expected, own)]
        if not foretold(op, text, case, judged, outputs):
            return False
    tells = all(borne_out(e, o, found) for e, o, found in zip(expected, own, outputs))
    if not tells and text is not None:
        runs = [reproduces(own, outputs, plain) for plain in plainly(op, text, case)]
        nothing = bool(runs) and all(wrong and not right for right, wrong in runs)
        if nothing and not brought_nearer(op, text, answer)[0]:
            return False  # it could give anything, and comes near nothing of what was returned
        tells = any(right == wrong for right, wrong in runs)
    return True if tells else None


def _judged(edited: Expected, own: Expected) -> np.ndarray:
    """Where an edit expects a number, and the right text has a bound."""
    there = np.isfinite(edited.value)
    return there & np.isfinite(own.allowed) if there.shape == own.allowed.shape else there


def foretelling(suspect: Suspect) -> Callable | None:
    """The text that must come to every NaN that it explains.

    None where digits are lost: whether the root of a negative rounding is taken depends on the
    order of a sum.
    """
    return None if getattr(suspect, "kind", "") == "precision" else suspect.text


def foretold(
    op: Op, text: Callable, case: Case, judged: list[np.ndarray], outputs: list[np.ndarray]
) -> bool:
    """Whether an edited text comes to no number where a target does, and it should have one.

    A bound that overflows allows anything there; the text on plain numbers says what happens.
    Where nothing bounds the right text either, a NaN may be honest and is not the edit's.
    """
    missing = [
        ~np.isfinite(np.asarray(found, dtype=np.float64)) & there
        if np.shape(found) == there.shape
        else np.zeros(there.shape, bool)
        for there, found in zip(judged, outputs)
    ]
    if not any(lost.any() for lost in missing):
        return True
    for plain in plainly(op, text, case):
        if len(plain) == len(missing) and all(
            value.shape == lost.shape and not np.isfinite(value[lost]).any()
            for value, lost in zip(plain, missing)
        ):
            return True
    return False


def plainly(op: Op, text: Callable, case: Case) -> list[list[np.ndarray]]:
    """What a text gives on plain arrays: of the storage format, and of float32 where that is half.

    Nothing where it does not run.
    """
    typed, kept_as = case.typed(op), stored_dtype(case).type
    stored = {name: kept_as(x) if isinstance(x, float) else x for name, x in typed.items()}
    wide = {
        name: x.astype(np.float32) if isinstance(x, np.ndarray) and x.dtype.itemsize == 2 else x
        for name, x in typed.items()
    }
    results = []
    for inputs in (stored, wide):
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = text(**inputs)
                outputs = result if isinstance(result, tuple) else (result,)
                kept = [x.astype(stored_dtype(case)) for x in map(np.asarray, outputs)]
            results.append([x.astype(np.float64) for x in kept])
        except Exception:  # an edited text may meet any error
            continue
    return results


def reproduces(
    own: list[Expected], outputs: list[np.ndarray], plain: list[np.ndarray]
) -> tuple[int, int]:
    """How many of the wrong numbers another run gives as well as the right text would have.

    And how many are wrong: those outside the bound of the right text, `own`.
    """
    right = wrong = 0
    for want, found, value in zip(own, outputs, plain):
        found = np.asarray(found, dtype=np.float64)
        if not want.value.shape == found.shape == value.shape:
            return 0, found.size
        off = error_ratio(want, found) > 1
        wrong += int(off.sum())
        right += int((off & (np.abs(value - found) <= want.allowed)).sum())
    return right, wrong


def brought_nearer(op: Op, text: Callable, answer: Observation) -> tuple[int, int]:
    """How many of the wrong numbers a text gives, or comes a good deal nearer to, of how many.

    Both in float64, rounded to what the target stores, and in the target's own format: what lies
    within a wide bound is not yet what was returned.
    """
    if [x.shape for x in answer.found] != [x.shape for x in answer.right]:
        return 1, 1  # the shape alone tells
    if not any(mask.any() for mask in answer.wrong):
        return 0, 0
    wanted, kept = predict(op, text, answer.case), stored_dtype(answer.case)
    near = 0
    with np.errstate(all="ignore"):
        exact = [w.value.astype(kept).astype(np.float64) for w in wanted or ()]
        for place, (right, x) in enumerate(zip(answer.right, answer.found)):
            reached = ~np.isfinite(x)
            for run in (exact, *plainly(op, text, answer.case)):
                if place < len(run) and run[place].shape == x.shape:
                    reached |= np.abs(run[place] - x) <= np.abs(right - x) / NEARER
            near += int((answer.wrong[place] & reached).sum())
    return near, sum(int(mask.sum()) for mask in answer.wrong)


def stored_dtype(case: Case) -> np.dtype:
    """What the outputs of a case are stored in."""
    return PRECISIONS[case.precision].dtype()


def borne_out(edited: Expected, own: Expected, found: np.ndarray) -> bool:
    """Whether an infinite bound of an edited text is borne out: what it allows has overflowed."""
    if edited.value.shape != own.value.shape or own.value.shape != np.shape(found):
        return True
    free = np.isinf(edited.allowed) & np.isfinite(own.allowed)
    found = np.asarray(found, dtype=np.float64)
    return bool(np.all((error_ratio(own, found) <= 1) | ~np.isfinite(found), where=free))


def differ(one: list[Expected] | None, other: list[Expected] | None) -> bool:
    """Whether no output can be within the bounds of both."""
    if one is None or other is None:
        return (one is None) != (other is None)
    for a, b in zip(one, other, strict=True):
        if a.value.shape != b.value.shape:
            return True
        with np.errstate(all="ignore"):
            apart = np.abs(a.value - b.value) > a.allowed + b.allowed
        if np.any(apart | (np.isnan(a.value) != np.isnan(b.value))):
            return True
    return False


def stretched(op: Op, case: Case) -> Case:
    """A case with larger numbers in its arrays, or the same where the operation does not take them.

    What hides a value behind a finite number is told from what hides it by infinity.
    """
    larger = {
        name: LARGE * x if op.specs[name].kind.free and np.ndim(x) > 1 else x
        for name, x in case.inputs.items()
    }
    try:
        inputs = rounded(op, op.read(**larger), case.precision)
        op.evaluate(inputs)
    except ValueError:
        return case
    return replace(case, key=f"{case.key}-large", inputs=inputs)


def keep_fitting(
    evidence: Evidence, suspects: Sequence[S], deadline: float = float("inf")
) -> list[S]:
    """The explanations that still fit after the target was asked where they are put to a test.

    What is left agrees on every input looked at: nothing here tells it apart. If nothing is left,
    none of them was right. What the target answered is added to the evidence.
    """
    op, precision = evidence.op, evidence.precision
    left, put = list(suspects), 0
    patient, latest = time.process_time() + PATIENCE, time.monotonic() + LONGEST
    for i in range(QUESTIONS):
        sure = put >= CONFIRMED or time.process_time() > patient or time.monotonic() > latest
        if not left or time.process_time() > deadline or (len(left) == 1 and sure):
            break
        case = random_case(op, precision, SEED, i)
        large = i % STRETCHED == 0 and precision in ("float32", "float64")
        if large:
            case = stretched(op, case)
        expected = [predict(op, suspect.text, case) for suspect in left]
        apart = any(differ(a, b) for a, b in combinations(expected, 2))
        if not apart and not large:
            own = evidence.expect(case)
            if sure or not any(differ(own, e) for e in expected):
                continue
        answer = evidence.put(case)
        if answer is None:
            continue
        put += not large
        evidence.add(case, answer.outputs)
        left = [
            suspect
            for suspect, want in zip(left, expected, strict=True)
            if fit(op, want, answer, foretelling(suspect)) is not False
        ]
    return left


def fitting_relatives(evidence: Evidence, suspects: Sequence[S], deadline: float) -> list[S]:
    """The explanations that fit as well where two numbers of an input that deviates change places.

    For what shows on rare inputs alone, of which none is drawn.
    """
    op, left = evidence.op, list(suspects)
    for case in [exchanged(op, answer.case) for answer in list(evidence) if answer.fails]:
        if not left or time.process_time() > deadline:
            break
        answer = evidence.put(case) if case is not None else None
        if answer is not None:
            evidence.add(answer.case, answer.outputs)
            left = [
                suspect
                for suspect in left
                if fit(op, predict(op, suspect.text, answer.case), answer, foretelling(suspect))
                is not False
            ]
    return left
