"""A pytest plugin: `pytest --refimpl-target mine.py` makes every case of every operation a test.

Without the option nothing is loaded but this file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import numpy as np

    from refimpl.op import Edit, Op
    from refimpl.oracle.cases.drawn import Case
    from refimpl.oracle.judging.judge import Expected
    from refimpl.oracle.targets.sessions import Session

OPEN = pytest.StashKey[contextlib.ExitStack]()  # the processes of the targets


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
    group = parser.getgroup("refimpl", "judge an implementation by the reference")
    group.addoption(
        "--refimpl-target",
        action="append",
        default=[],
        metavar="TARGET",
        help="fast, onnxruntime, torch, jax, or a file ending in .py; may be repeated",
    )
    group.addoption(
        "--refimpl-profile",
        choices=("quick", "ci", "deep"),
        default="ci",
        help="how many random cases: 12, 60 or 1000 an operation and precision",
    )


def pytest_configure(config: pytest.Config) -> None:
    """The marker, by which -m selects these tests."""
    config.addinivalue_line("markers", "refimpl: a case of an operation, from --refimpl-target")
    config.stash[OPEN] = contextlib.ExitStack()
    config.add_cleanup(config.stash[OPEN].close)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Put the targets beside whatever else the session collects."""
    report = yield
    if isinstance(collector, pytest.Session):
        for target in dict.fromkeys(collector.config.getoption("--refimpl-target")):
            path = Path(target).resolve() if target.endswith(".py") else collector.path
            node = Target.from_parent(collector, name=target, nodeid=target, path=path)
            report.result.append(node)
    return report


class Deviation(Exception):
    """The target is wrong on a case."""


class Target(pytest.Collector):
    """One target, which answers from a process of its own until pytest ends."""

    def collect(self) -> Iterator[CaseItem]:
        """An item for each case; the cases themselves are drawn when they run."""
        from refimpl.oracle.cases.sizes import leading, numbers
        from refimpl.oracle.runs.verify import PROFILES
        from refimpl.oracle.targets.sessions import Session, TargetError
        from refimpl.registry import OPS

        try:
            session = self.config.stash[OPEN].enter_context(Session(self.name))
        except TargetError as error:
            raise self.CollectError(str(error)) from None
        if not session.ops:
            raise self.CollectError(f"{self.name}: defines no function named like an operation")
        profile = self.config.getoption("--refimpl-profile")
        for op in (OPS[name] for name in session.ops):
            for precision in op.precisions:
                if precision not in session.precisions(op.name, ()):
                    continue
                trial = Trial(op, session, precision)
                lead = leading([p for p in op.precisions if p in session.precisions(op.name, ())])
                named = numbers(op, precision, profile, PROFILES[profile], lead=lead)
                for place, number in enumerate(named):
                    name = f"{op.name}/{precision}/{number}"
                    item = {"trial": trial, "place": place, "number": number}
                    yield CaseItem.from_parent(self, name=name, **item)


class Trial:
    """One operation of one target in one precision, and what its cases have shown so far."""

    def __init__(self, op: Op, session: Session, precision: str) -> None:
        self.op = op
        self.session = session
        self.precision = precision
        self.seen: list[tuple[Case, list[np.ndarray], list[Expected]]] = []
        self.deviates = False
        self.suspects: list[tuple[str, Edit, Callable[..., Any]]] = []  # what fits every case
        self.ended = ""

    @property
    def dialect(self) -> str:
        """The dialect that every case so far fits, if they deviate at all."""
        return next((edit.id for kind, edit, _ in self.suspects if kind == "dialects"), "")

    def learn(
        self, case: Case, outputs: list[np.ndarray], expected: list[Expected], conforms: bool
    ) -> None:
        """From the first deviation on, keep the known edits that fit every case."""
        from refimpl.oracle.diagnosis.causes import fits
        from refimpl.oracle.numbers.precisions import PRECISIONS

        self.seen.append((case, outputs, expected))
        if not self.deviates and not conforms:
            self.deviates = True
            for kind in ("dialects", "mistakes", "lossy"):
                for edit in getattr(self.op, kind):
                    self.suspects.append((kind, edit, self.op.edited(edit)))
        if self.deviates:
            storage = PRECISIONS[self.precision].dtype()
            for case, outputs, expected in self.seen:
                self.suspects = [
                    (kind, edit, text)
                    for kind, edit, text in self.suspects
                    if fits(
                        self.op,
                        text,
                        case,
                        outputs,
                        [] if kind == "lossy" else expected,
                        storage,
                    )
                ]
            self.seen.clear()

    def explain(self) -> Iterator[str]:
        """The known mistakes that fit, as a failing test shows them."""
        from refimpl.oracle.diagnosis.causes import diff

        for kind, edit, _ in self.suspects:
            if kind == self.suspects[0][0]:
                yield f"looks like {edit.id}: {edit.says}"
                yield from (f"  {line}" for line in diff(self.op, edit).splitlines()[2:])
        if not self.suspects:
            yield "cause: no listed mistake fits every case so far"


class CaseItem(pytest.Item):
    """One case of an operation."""

    def __init__(self, *, trial: Trial, place: int, number: str, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.trial = trial
        self.place = place
        self.number = number
        self.add_marker("refimpl")

    def runtest(self) -> None:
        """Call the target and judge it; a refusal skips, a dialect is an expected failure."""
        from refimpl.oracle.cases.sizes import numbered
        from refimpl.oracle.judging.judge import expect
        from refimpl.oracle.numbers.precisions import PRECISIONS
        from refimpl.oracle.runs.verify import CALLED_TWICE, try_once

        trial = self.trial
        if trial.ended:
            pytest.skip(f"not run after an earlier case: {trial.ended}")
        case = numbered(trial.op, trial.precision, self.number)
        expected = expect(trial.op, case.inputs, trial.precision)
        storage = PRECISIONS[trial.precision].dtype()
        again = f"again: {trial.session.replay(case)}"
        for number in range(2 if self.place < CALLED_TWICE else 1):
            outcome, verdict = try_once(trial.op, trial.session, case, expected, storage)
            if outcome.status == "refused":
                pytest.skip(f"refused {outcome.says}".strip())
            if outcome.status in ("died", "hung"):
                trial.ended = outcome.says
            if outcome.status != "returned":
                raise Deviation(f"{verdict}\n{again}")
            if number == 0:
                before = trial.dialect
                trial.learn(case, outcome.outputs, expected, verdict.conforms)
                if trial.dialect and not verdict.conforms:
                    pytest.xfail(f"conforms to dialect {trial.dialect}")
                if before and not trial.dialect and verdict.conforms:
                    raise Deviation(f"conforms, but earlier cases only to {before}\n{again}")
            if not verdict.conforms:
                when = "on a second call: " if number else ""
                raise Deviation("\n".join([f"{when}{verdict}", *trial.explain(), again]))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The verdict without a traceback through the oracle."""
        if isinstance(excinfo.value, Deviation):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where the report places it."""
        return self.path, None, self.name
