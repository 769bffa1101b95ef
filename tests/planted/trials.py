"""One trial: an implementation goes through `verify`, is diagnosed, and the diagnosis is judged."""

from __future__ import annotations

import dataclasses
import functools
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.op import Edit, Op
from refimpl.oracle.cases.drawn import Case, random_case
from refimpl.oracle.cases.sizes import profile_cases
from refimpl.oracle.diagnosis.ask_back import differ, fit, predict
from refimpl.oracle.diagnosis.cause import Cause
from refimpl.oracle.diagnosis.causes import explanations
from refimpl.oracle.diagnosis.evidence import Evidence
from refimpl.oracle.judging.judge import expect
from refimpl.oracle.runs.calls import Target
from refimpl.oracle.runs.op_run import OpRun
from refimpl.oracle.runs.verify import PROFILES
from refimpl.oracle.targets.sessions import Outcome
from refimpl.registry import OPS
from tests.planted.corpus import Planted

PRECISION = "float32"
FRESH = 60  # inputs that the diagnosis has not seen; an explanation must be right on each
SEED = 424242  # and on a seed that it does not ask with


@dataclass(frozen=True)
class Judged:
    """What the diagnosis made of one implementation.

    `first`: the recorded cause alone or first; `among`: it is one of those that cannot be told
    apart; `explained`: another text that gives the same on fresh inputs; `unknown`; `wrong`;
    `conforms`: nothing deviates; `crashes`.
    """

    name: str
    op: str
    language: str
    kind: str
    cause: str
    outcome: str
    causes: tuple[str, ...]
    seconds: float

    @staticmethod
    def read(line: str) -> Judged:
        """The trial that a line of a log describes."""
        entry = json.loads(line)
        return Judged(**{**entry, "causes": tuple(entry["causes"])})


@dataclass(frozen=True)
class Edited:
    """The operation's text with one edit, computed in float32, as a target."""

    text: Callable[..., Any]

    def call(
        self, op: Op, case: Case, answer_bytes: int, limit: float = np.inf, steps: bool = False
    ) -> Outcome:
        """Make one call in this process."""
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = self.text(**case.typed(op))
                outputs = result if isinstance(result, tuple) else (result,)
                return Outcome("returned", [np.asarray(x).astype(np.float32) for x in outputs])
        except Exception as error:  # some mistakes do not run on every shape
            return Outcome("refused", says=str(error))

    def replay(self, case: Case) -> str:
        """No command: the target lives in this process alone."""
        return ""


@functools.lru_cache(maxsize=4)
def _cases(name: str, profile: str) -> list[tuple[Case, list]]:
    op = OPS[name]
    return [
        (case, expect(op, case.inputs, PRECISION))
        for case in profile_cases(op, PRECISION, profile, PROFILES[profile], 0, PRECISION)
    ]


def diagnosed(op: Op, target: Target, profile: str) -> tuple[str, list[Cause], float]:
    """The status that `verify` finds, the explanations, and the seconds of computing they took."""
    op_run = OpRun(op, target, PRECISION)
    for case, expected in _cases(op.name, profile):
        op_run.add(case, expected)
    if op_run.finding.status != "deviates":
        return op_run.finding.status, [], 0.0
    start = time.process_time()
    found = explanations(op_run.evidence)
    return "deviates", found, time.process_time() - start


def agrees(op: Op, explanation: Cause, target: Target) -> bool:
    """Whether an explanation gives what the target returns on inputs that nobody has seen."""
    evidence, answered = Evidence(op, PRECISION), 0
    for i in range(10 * FRESH):  # a target that takes few shapes answers fewer
        if answered == FRESH:
            break
        case = random_case(op, PRECISION, SEED, i)
        outcome = target.call(op, case, 1 << 24)
        if outcome.status != "returned":
            continue
        answered += 1
        expected = predict(op, explanation.text, case)
        if fit(op, expected, evidence.judged(case, outcome.outputs)) is False:
            return False
    return answered > 0


def same(op: Op, one: Callable | None, other: Callable | None) -> bool:
    """Whether two texts agree on every fresh input."""
    cases = (random_case(op, PRECISION, SEED, i) for i in range(FRESH))
    return not any(differ(predict(op, one, case), predict(op, other, case)) for case in cases)


def try_planted(planted: Planted, target: Target, profile: str) -> Judged:
    """The trial of one planted implementation."""
    op = planted.op
    status, found, seconds = diagnosed(op, target, profile)
    outcome = status if status != "deviates" else _judge(planted, found, target)
    about = (planted.name, op, planted.language, planted.kind, planted.cause)
    return _judged(*about, outcome, found, seconds)


def _judge(planted: Planted, found: list[Cause], target: Target) -> str:
    if not found:
        return "unknown"
    op, truth = planted.op, {edit.id: edit for edit in (*planted.op.mistakes, *planted.op.dialects)}
    if planted.kind == "listed":
        edit = truth[planted.cause]
        for place, explanation in enumerate(found):
            alike = explanation.id in truth and same(op, explanation.text, op.edited(edit))
            if explanation.id == planted.cause or alike:
                return "first" if place == 0 else "among"
    good = [agrees(op, explanation, target) for explanation in found]
    return "explained" if good[0] else "among" if any(good) else "wrong"


def entries() -> list[tuple[Op, Edit]]:
    """Every mistake and dialect of the catalogue."""
    return [(op, edit) for op in OPS.values() for edit in (*op.mistakes, *op.dialects)]


def try_withheld(op: Op, edit: Edit, profile: str) -> Judged:
    """The trial of a listed edit that the catalogue does not have."""
    blind = dataclasses.replace(
        op,
        mistakes=tuple(e for e in op.mistakes if e is not edit),
        dialects=tuple(e for e in op.dialects if e is not edit),
    )
    target = Edited(op.edited(edit))
    status, found, seconds = diagnosed(blind, target, profile)
    outcome = status
    if status == "deviates":
        good = [agrees(op, explanation, target) for explanation in found]
        outcome = "unknown" if not found else "explained" if good[0] else "wrong"
    return _judged(edit.id, op, "numpy", "withheld", edit.id, outcome, found, seconds)


def _judged(
    name: str,
    op: Op,
    language: str,
    kind: str,
    cause: str,
    outcome: str,
    found: list[Cause],
    seconds: float,
) -> Judged:
    says = tuple(e.says if e.id == "unlisted" else e.id for e in found)
    return Judged(name, op.name, language, kind, cause, outcome, says, seconds)
