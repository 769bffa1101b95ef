"""Judge targets: cases in, verdicts out. Whatever a target does, the run goes on."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from refimpl import registry
from refimpl.op import Op
from refimpl.oracle.cases.drawn import Case, generate
from refimpl.oracle.diagnosis.case_ids import find_case
from refimpl.oracle.diagnosis.survey import diagnosed
from refimpl.oracle.findings import Finding, Report
from refimpl.oracle.judging.judge import Expected, Verdict, expect
from refimpl.oracle.numbers.precisions import PRECISIONS
from refimpl.oracle.runs.calls import try_once
from refimpl.oracle.runs.judges import Judges, Plan
from refimpl.oracle.runs.op_run import PROFILES, OpRun
from refimpl.oracle.runs.workers import side_by_side
from refimpl.oracle.targets.sessions import Outcome, Session, TargetError, installed
from refimpl.oracle.vectors import failing_cases, golden
from refimpl.registry import OPS


def verify(
    *targets: str,
    ops: Sequence[str] = (),
    precisions: Sequence[str] = (),
    profile: str = "ci",
    seed: int = 0,
    limit: float = 30.0,
    allow: Sequence[str] = (),
    reports: list[Report] | None = None,
    cases: Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
    workers: int = 1,
) -> list[Report]:
    """Judge targets against the reference, operation by operation.

    A target is `fast`, `torch`, `jax`, `onnxruntime` or a file ending in .py that defines functions
    named like operations; without one, every implementation found on the machine is judged.
    A deviation whose causes are all in `allow` (identifiers of mistakes or lossy forms) is reported
    and does not count. `reports`, if given, is filled while the run goes on, so that an
    interruption loses nothing. The smallest failing inputs are stored in the folder `cases`, if
    one is given. `workers` processes take the operations side by side, each with sessions of its
    own; the findings are the same and in the same order, whatever their number.
    """
    reports = [] if reports is None else reports
    chosen = [OPS[name] for name in ops] if ops else list(OPS.values())
    if "bfloat16" in precisions and not find_spec("ml_dtypes"):
        raise TargetError("bfloat16 needs the package ml_dtypes")
    plan = Plan(targets or tuple(installed()), tuple(precisions), profile, seed, limit)
    begun: list[Report] = []

    def opened(versions: Sequence[str]) -> None:
        for target, version in zip(plan.targets, versions, strict=True):
            begun.append(Report(target, version, allowed=frozenset(allow), seed=seed))
            begun[-1].complete = False
        reports.extend(begun)

    def keep(place: int, finding: Finding) -> None:
        begun[place].findings.append(finding)
        if cases and not begun[place].allows(finding):
            store(finding, plan.targets[place], cases)

    try:
        if workers > 1:
            side_by_side(plan, chosen, workers, opened, keep, progress)
        else:
            with Judges(plan, progress) as judges:
                opened(judges.versions)
                for op in chosen:
                    judges.judge(op, keep)
    finally:
        order = {op.name: place for place, op in enumerate(chosen)}
        for report in begun:
            report.findings.sort(key=lambda finding: order[finding.op])
    for report in begun:
        report.complete = True
    return reports


def store(finding: Finding, target: str, place: Path) -> None:
    """Keep the smallest failing input of a finding, if there is one, as a file."""
    if finding.smallest and finding.smallest.case:
        names = [cause.name for cause in finding.causes]
        comment = f"the smallest input found on which {Path(target).name} deviates"
        try:
            path = failing_cases.write(
                place, OPS[finding.op], finding.smallest.case, comment, names
            )
        except OSError:  # the call stands in the report, to be pasted
            return
        finding.smallest.file = str(path)
        again = ["refimpl", "replay", str(path), target, *registry.whence(finding.op)]
        finding.smallest.replay = shlex.join(again)


@dataclass(frozen=True)
class RecalledCase:
    """A case to run again: what is expected of it, and the causes that were noted with it."""

    op: Op
    case: Case
    expected: list[Expected]
    noted: tuple[str, ...] = ()


def recall(name: str, precision: str = "", session: Session | None = None) -> RecalledCase:
    """A case by its name in a report, the path of its file, or the name of a golden case.

    A target with a domain draws its own cases.

    A golden case has many precisions: `precision` picks one, float32 where it has that.
    """
    if name.endswith(".json"):
        op, case, noted = failing_cases.read(Path(name))
        return RecalledCase(op, case, expect(op, case.inputs, case.precision), noted)
    if name.count("/") != 1:
        op, case = find_case(name, session.only(name.split("/")[0]) if session else ())
        return RecalledCase(op, case, expect(op, case.inputs, case.precision))
    for vector in golden.vectors(ops=(name.partition("/")[0],)):
        if vector.id == name:
            chosen = precision or ("float32" if "float32" in vector.allowed else "float64")
            if chosen not in vector.allowed:
                raise TargetError(f"{name}: {chosen} is none of {', '.join(vector.allowed)}")
            op, key = OPS[vector.op], name.partition("/")[2]
            case = Case(op.name, chosen, key, vector.comment, vector.inputs)
            return RecalledCase(op, case, vector.expectations(chosen))
    raise TargetError(f"{name}: no golden case is called so")


@dataclass(frozen=True)
class Replayed:
    """What became of a case: FIXED, STILL FAILING or FLAKY, the worst verdict, and the cause."""

    says: str
    verdict: Verdict
    cause: str = ""


def replay(name: str, target: str, times: int = 3, precision: str = "") -> Replayed:
    """Run one case again, several times, and look for the cause if it still fails."""
    with Session(target) as session:
        again = recall(name, precision, session)
        op, case = again.op, again.case
        storage = PRECISIONS[case.precision].dtype()
        if op.name not in session.ops:
            raise TargetError(f"{target}: does not define {op.name}")
        tries = [try_once(op, session, case, again.expected, storage) for _ in range(times)]
        worst = max((verdict for _, verdict in tries), key=lambda v: (not v.conforms, v.worst))
        if worst.conforms:
            return Replayed("FIXED", worst)
        answers = {_fingerprint(outcome) for outcome, _ in tries}
        if len(answers) > 1 or any(verdict.conforms for _, verdict in tries):
            return Replayed("FLAKY", worst, f"{len(answers)} different answers in {times} calls")
        if tries[0][0].status != "returned":
            return Replayed("STILL FAILING", worst)
        return Replayed("STILL FAILING", worst, _cause_again(again, session, tries[0][0].outputs))


def _fingerprint(outcome: Outcome) -> tuple:
    outputs = [(x.dtype.name, x.shape, x.tobytes()) for x in outcome.outputs]
    return outcome.status, outcome.says, tuple(outputs)


def _cause_again(again: RecalledCase, session: Session, outputs: list[np.ndarray]) -> str:
    """What explains a case that still fails, compared with what was noted when it was stored."""
    op, precision = again.op, again.case.precision
    op_run = OpRun(op, session, precision)
    op_run.evidence.add(again.case, outputs)
    for case in generate(op, precision, PROFILES["quick"]):
        answer = op_run.ask(case)
        if answer is not None:
            op_run.evidence.add(case, answer)
    found, _ = diagnosed(op_run.evidence)
    names = {cause.name: cause for cause in found}
    same = [name for name in names if name in again.noted]
    if same:
        return f"the cause is the same: {same[0]}"
    name, cause = next(iter(names.items()))
    says = "unknown" if cause.kind == "unknown" else name
    if again.noted:
        return f"the cause has changed: {says}, was {again.noted[0]}"
    return f"the cause: {says}"
