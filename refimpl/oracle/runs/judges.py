"""Who judges: the sessions of some targets, and operation by operation what each comes to."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from refimpl.op import Op
from refimpl.oracle.cases.domains import within
from refimpl.oracle.cases.regimes import UnknownRegime
from refimpl.oracle.cases.sizes import leading
from refimpl.oracle.findings import Finding
from refimpl.oracle.runs.op_run import OpRun, judge_op
from refimpl.oracle.targets.sessions import Session, TargetError

Keep = Callable[[int, Finding], None]  # the place of a target, and what was found about it


@dataclass(frozen=True)
class Plan:
    """What is judged, and how thoroughly."""

    targets: tuple[str, ...]
    precisions: tuple[str, ...]
    profile: str
    seed: int
    limit: float


class Judges:
    """The targets of a plan, each in a session; they end with the block."""

    def __init__(self, plan: Plan, progress: Callable[[str], None] = lambda _: None) -> None:
        self.plan = plan
        self.progress = progress
        self.sessions: list[Session] = []
        self._ends = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as ends:
            for target in self.plan.targets:
                self.progress(f"loading {target}")
                session = ends.enter_context(Session(target, self.plan.limit))
                if not session.ops:
                    raise TargetError(f"{target}: defines no function named like an operation")
                self.sessions.append(session)
            self._ends = ends.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    @property
    def versions(self) -> list[str]:
        """What each target says that it is."""
        return [session.about["version"] for session in self.sessions]

    def judge(self, op: Op, keep: Keep) -> None:
        """Judge all targets on one operation; what was found is kept also where this is ended."""
        op_runs = {precision: self._op_runs(op, precision) for precision in op.precisions}
        lead = leading([precision for precision, some in op_runs.items() if some])
        for precision, some in op_runs.items():
            if not some:
                continue
            self.progress(f"{op.name} in {precision}")
            try:
                for like, places in alike(some):
                    named = [(some[place], self.plan.targets[place]) for place in places]
                    judge_op(like, precision, named, self.plan.profile, self.plan.seed, lead)
            finally:
                for place, op_run in some.items():
                    for finding in op_run.findings:
                        keep(place, finding)

    def _op_runs(self, op: Op, precision: str) -> dict[int, OpRun]:
        return {
            place: op_run_of(op, session, precision)
            for place, session in enumerate(self.sessions)
            if op.name in session.ops
            and precision in session.precisions(op.name, self.plan.precisions)
        }


def alike(op_runs: dict[int, OpRun]) -> list[tuple[Op, Sequence[int]]]:
    """The places of the targets of each domain, which share their cases."""
    groups: dict[tuple, tuple[Op, list[int]]] = {}
    for place, op_run in op_runs.items():
        names = op_run.op.domain.names if op_run.op.domain else ()
        groups.setdefault(names, (op_run.op, []))[1].append(place)
    return list(groups.values())


def op_run_of(op: Op, session: Session, precision: str) -> OpRun:
    """A op_run of a target that says what it does; TargetError if nothing is called so."""
    try:
        return OpRun(
            within(op, session.only(op.name)), session, precision, session.about["without"]
        )
    except UnknownRegime as error:
        raise TargetError(f"{session.target}: {error}") from None
