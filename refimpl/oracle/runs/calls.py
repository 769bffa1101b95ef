"""What calls come to that give no answer, or not the one that they should, whatever is computed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from refimpl.oracle.cases.drawn import Case
from refimpl.oracle.diagnosis.cause import Cause
from refimpl.oracle.targets.sessions import Outcome

DIFFERS = Cause("calls", "answers-differ", "answers differ between calls with the same input")
KEPT = Cause(
    "calls",
    "answers-kept",
    "an input gets the answer to an earlier one, of which two numbers have changed places",
)


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
