"""Calls of a target: what they come to, and what those have in common that give no answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from refimpl.op import Op
from refimpl.oracle.cases.drawn import Case
from refimpl.oracle.diagnosis.cause import Cause
from refimpl.oracle.judging.judge import Expected, Verdict, judge
from refimpl.oracle.targets.sessions import Outcome, Session, TargetError

DIFFERS = Cause("calls", "answers-differ", "answers differ between calls with the same input")
KEPT = Cause(
    "calls",
    "answers-kept",
    "an input gets the answer to an earlier one, of which two numbers have changed places",
)


class Target(Protocol):
    """What answers calls: a target's process, or outputs recorded elsewhere."""

    @property
    def ops(self) -> list[str]:
        """The operations that can be asked for."""

    def call(
        self, op: Op, case: Case, answer_bytes: int, limit: float = np.inf, steps: bool = False
    ) -> Outcome:
        """What one call comes to, within a time limit; with its intermediate values if asked."""

    def replay(self, case: Case) -> str:
        """The command that makes this call again."""


@dataclass(frozen=True)
class Failure:
    """A call that gave no answer."""

    case: Case
    status: str  # raises or crashes
    says: str

    @property
    def kind(self) -> str:
        """What failures have in common, whatever the numbers in their messages."""
        return re.sub(r"[\d, ()\[\]]+", "#", self.says)


def failure_of(case: Case, outcome: Outcome, when: str = "") -> Failure:
    """A call without an answer: it raised, or worse."""
    raises = outcome.status == "raised" and outcome.says.startswith("raised ")
    return Failure(case, "raises" if raises else "crashes", when + outcome.says)


def answer_of(
    op: Op, session: Target, case: Case, answer_bytes: int, limit: float = np.inf
) -> Outcome:
    """What a call comes to, also where the target has died and cannot be loaded again."""
    try:
        return session.call(op, case, answer_bytes, limit)
    except TargetError as error:
        return Outcome("died", says=str(error))


def answers_of(op: Op, session: Target, asked: Iterable[tuple[Case, int]]) -> Iterator[Outcome]:
    """What many calls come to, several at once where a process answers."""
    if not isinstance(session, Session):
        yield from (answer_of(op, session, *each) for each in asked)
        return
    try:
        yield from session.in_a_row(op, asked)
    except TargetError as error:
        yield Outcome("died", says=str(error))


def try_once(
    op: Op, session: Target, case: Case, expected: list[Expected], storage: np.dtype
) -> tuple[Outcome, Verdict]:
    """Call a target on one case and judge what comes back."""
    outcome = answer_of(op, session, case, sum(8 * want.value.size for want in expected))
    if outcome.status != "returned":
        return outcome, Verdict(np.inf, op.outputs[0], reason=f"{op.name}: {outcome.says}")
    return outcome, judge_outputs(op, expected, outcome.outputs, storage)


def judge_outputs(
    op: Op, expected: list[Expected], outputs: list[np.ndarray], storage: np.dtype
) -> Verdict:
    """The verdict on all outputs of a call."""
    actual: Any = outputs[0] if len(outputs) == 1 else outputs
    return judge(op, expected, actual, storage)
