"""What was found about a target: a finding for each operation and precision, and the report."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import refimpl
from refimpl.oracle.cases.drawn import Case
from refimpl.oracle.diagnosis.cause import Cause
from refimpl.oracle.judging.judge import Expected, beyond_kernels, unjudged
from refimpl.oracle.targets.processes import unguarded

SEVERITY = (  # from good to bad
    "conforms",
    "dialect",
    "unsupported",  # nothing was judged
    "too few",  # what was judged is right, but it is hardly anything
    "raises",  # some inputs, where the others have a finding of their own
    "deviates",
    "crashes",
)
RIGHT = ("conforms", "dialect")
UNJUDGED = ("unsupported", "too few")
WRONG = ("raises", "deviates", "crashes")
NUMBERS = ("worst", "variance", "bias")  # of a finding, which may be infinite or missing
LEAST = 10  # cases that must have been judged before a target can be said to conform


def enough(judged: int, drawn: int) -> bool:
    """Whether so many judged cases carry a verdict: ten, or half of what was drawn.

    >>> enough(4, 128), enough(15, 68), enough(1, 1), enough(0, 5)
    (False, True, True, False)
    """
    return judged >= min(LEAST, max((drawn + 1) // 2, 1))


@dataclass
class Smallest:
    """The smallest input on which a target was seen to deviate, for the cause that is reported."""

    numbers: int  # in its arrays
    call: str
    says: str
    file: str = ""
    replay: str = ""
    case: Case | None = field(default=None, compare=False)  # no report holds it

    def as_json(self) -> dict[str, Any]:
        """What a report holds of it."""
        return {name: x for name, x in vars(self).items() if name != "case"}


@dataclass
class Finding:
    """What was found about one operation of one target in one precision."""

    op: str
    precision: str
    cases: int = 0  # that were called and came to an end, refusals included
    refused: int = 0
    worst: float = 0.0
    status: str = "conforms"
    says: str = ""
    case: str = ""
    replay: str = ""
    causes: list[Cause] = field(default_factory=list)
    variance: float | None = None  # of the errors over long sums, ÷ allowed
    bias: float | None = None  # the same
    ratios: np.ndarray | None = field(default=None, repr=False, compare=False)  # error ÷ allowed
    smallest: Smallest | None = None
    step: str = ""  # the first wrong one, and what is wrong about it
    facts: list[str] = field(default_factory=list)  # what is known where no cause is
    elements: int = 0  # of all answers
    unbounded: int = 0  # elements that were not judged: an honest error may be as large as they are
    inside: int = 0  # elements further off than a kernel's that computes in float32 inside
    likely: int = 0  # elements judged by what independent roundings come to
    deviating: int = 0  # cases with an element outside its bound
    left_out: dict[str, int] = field(default_factory=dict)  # cases by what the target declared
    only: tuple[str, ...] = ()  # the domain that the target declared
    complete: bool = True  # False while cases are missing

    @property
    def judged(self) -> int:
        """How many cases gave an answer that was compared with the reference."""
        return self.cases - self.refused

    def count(self, expected: list[Expected], right: list[np.ndarray]) -> None:
        """Count the elements of an answer by what judges them; `right` is it, if it conforms."""
        for want in expected:
            self.elements += want.value.size
            self.unbounded += unjudged(want)
            self.likely += 0 if want.likely is None else int(np.count_nonzero(want.likely))
        for want, found in zip(expected, right, strict=False):
            self.inside += beyond_kernels(want, found)

    def as_json(self) -> dict[str, Any]:
        """The finding with numbers that JSON can hold."""
        entry = dict(vars(self))
        del entry["ratios"]
        entry["causes"] = [cause.as_json() for cause in self.causes]
        entry["smallest"] = self.smallest and self.smallest.as_json()
        for name in NUMBERS:
            entry[name] = finite(entry[name])
        return entry

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> Finding:
        """The finding that a JSON report holds."""
        told: dict[str, Any] = dict(entry)
        told |= {name: None if told[name] is None else float(told[name]) for name in NUMBERS}
        told["causes"] = [Cause.read(cause) for cause in told["causes"]]
        told["smallest"] = told["smallest"] and Smallest(**told["smallest"])
        return cls(**{**told, "only": tuple(told["only"])})


def finite(x: float | None) -> float | str | None:
    """A number as JSON can hold it.

    >>> finite(0.5), finite(float("inf")), finite(float("nan")), finite(None)
    (0.5, 'Infinity', 'NaN', None)
    """
    if x is None or np.isfinite(x):
        return x
    return "NaN" if np.isnan(x) else "Infinity"


@dataclass
class Report:
    """Everything found about one target."""

    target: str
    version: str = ""
    findings: list[Finding] = field(default_factory=list)
    allowed: frozenset[str] = frozenset()
    known: set[tuple[str, str, str]] = field(default_factory=set)  # what a baseline covers
    seed: int | None = None  # of the drawn cases, where any were drawn
    complete: bool = True  # False where the run ended before its last operation

    @property
    def conforms(self) -> bool:
        """Whether all that was judged is right or allowed, and nothing was left unjudged."""
        return not self.wrong and not self.unjudged

    @property
    def wrong(self) -> list[Finding]:
        """What deviates, raises or crashes, and is not allowed."""
        return [f for f in self.findings if f.status in WRONG and not self.allows(f)]

    @property
    def unjudged(self) -> list[Finding]:
        """What was refused or hardly judged, so that nothing can be said of it."""
        return [f for f in self.findings if f.status in UNJUDGED and f.complete]

    def allows(self, finding: Finding) -> bool:
        """Whether a deviation was allowed beforehand: itself, or the one cause that it has."""
        if (finding.op, finding.precision, finding.status) in self.known:
            return finding.status in WRONG
        named = [cause.known and cause.id in self.allowed for cause in finding.causes]
        return finding.status == "deviates" and bool(named) and all(named)

    def as_json(self) -> dict[str, Any]:
        """The JSON report."""
        return {
            "refimpl": refimpl.__version__,
            "target": self.target,
            "version": self.version,
            "seed": self.seed,
            "complete": self.complete and all(finding.complete for finding in self.findings),
            "environment": environment(),
            "unguarded": list(unguarded()),
            "ops": [finding.as_json() for finding in self.findings],
        }


def environment() -> dict[str, str]:
    """What the numbers may depend on."""
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
    }
