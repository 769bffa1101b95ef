"""Judge targets: cases in, verdicts out. Whatever a target does, the run goes on."""

from __future__ import annotations

import contextlib
import platform
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

import refimpl
from refimpl import registry
from refimpl.op import Op
from refimpl.oracle.cases import failing_cases
from refimpl.oracle.cases.drawn import Case, generate
from refimpl.oracle.cases.sizes import leading, numbered, profile_cases
from refimpl.oracle.diagnosis.causes import causes
from refimpl.oracle.diagnosis.facts import facts
from refimpl.oracle.diagnosis.shrink import Enough, SameCause, computing, numbers, smallest
from refimpl.oracle.diagnosis.statistics import statistics
from refimpl.oracle.diagnosis.steps import first_wrong, first_wrong_call
from refimpl.oracle.judging.judge import Expected, Verdict, error_ratio, expect, judge
from refimpl.oracle.numbers.precisions import PRECISIONS
from refimpl.oracle.targets.sessions import Outcome, Session, TargetError, installed
from refimpl.oracle.vectors import golden
from refimpl.registry import OPS

PROFILES = {"quick": 12, "ci": 60, "deep": 1000}
SEVERITY = ("conforms", "deviates", "crashes")
LARGEST_ANSWER = 1 << 24  # bytes of one answer to a question
PATIENCE = 30.0  # seconds by the clock for the smallest input, however busy the machine is
CALLED_TWICE = 3  # cases on which a second call must be right as well


@dataclass
class Smallest:
    """The smallest input on which a target was seen to deviate, for the cause that is reported."""

    case: Case
    call: str
    says: str
    file: str = ""
    replay: str = ""

    def as_json(self) -> dict[str, Any]:
        """What a report holds of it."""
        entry = {"numbers": numbers(self.case), "call": self.call, "says": self.says}
        return {**entry, "file": self.file, "replay": self.replay}


@dataclass
class Finding:
    """What was found about one operation of one target in one precision."""

    op: str
    precision: str
    cases: int = 0
    refused: int = 0
    worst: float = 0.0
    status: str = "conforms"
    says: str = ""
    case: str = ""
    replay: str = ""
    causes: list[dict[str, str]] = field(default_factory=list)
    variance: float | None = None  # of the errors over long sums, ÷ allowed
    bias: float | None = None  # the same
    ratios: np.ndarray | None = field(default=None, repr=False, compare=False)  # error ÷ allowed
    smallest: Smallest | None = None
    step: str = ""  # the first wrong one, and what is wrong about it
    facts: list[str] = field(default_factory=list)  # what is known where no cause is

    def as_json(self) -> dict[str, Any]:
        """The finding with numbers that JSON can hold."""
        entry = dict(vars(self))
        del entry["ratios"]
        entry["smallest"] = self.smallest and self.smallest.as_json()
        entry["worst"] = self.worst if np.isfinite(self.worst) else "Infinity"
        return entry


@dataclass
class Report:
    """Everything found about one target."""

    target: str
    version: str = ""
    findings: list[Finding] = field(default_factory=list)
    allowed: frozenset[str] = frozenset()
    known: set[tuple[str, str]] = field(default_factory=set)  # operation and precision: a baseline
    seed: int | None = None  # of the drawn cases, where any were drawn

    @property
    def conforms(self) -> bool:
        """Whether nothing deviates but as allowed; dialects and refusals are no deviations."""
        return all(
            f.status in ("conforms", "dialect", "unsupported") or self.allows(f)
            for f in self.findings
        )

    def allows(self, finding: Finding) -> bool:
        """Whether a deviation was allowed beforehand: itself, or the one cause that it has."""
        if (finding.op, finding.precision) in self.known:
            return finding.status in ("deviates", "crashes")
        causes = {cause["id"] for cause in finding.causes}
        known = self.allowed - {"", "unlisted"}  # only what has a name can be allowed
        return finding.status == "deviates" and bool(causes) and causes <= known

    def as_json(self) -> dict[str, Any]:
        """The JSON report."""
        return {
            "refimpl": refimpl.__version__,
            "target": self.target,
            "version": self.version,
            "seed": self.seed,
            "environment": environment(),
            "ops": [finding.as_json() for finding in self.findings],
        }


def environment() -> dict[str, str]:
    """What the numbers may depend on."""
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
    }


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
) -> list[Report]:
    """Judge targets against the reference, operation by operation.

    A target is `fast`, `torch`, `jax`, `onnxruntime` or a file ending in .py that defines functions
    named like operations; without one, every implementation found on the machine is judged.
    A deviation whose causes are all in `allow` (identifiers of mistakes or lossy forms) is reported
    and does not count. `reports`, if given, is filled while the run goes on, so that an
    interruption loses nothing. The smallest failing inputs are stored in the folder `cases`, if
    one is given.
    """
    reports = [] if reports is None else reports
    chosen = [OPS[name] for name in ops] if ops else list(OPS.values())
    if "bfloat16" in precisions and not find_spec("ml_dtypes"):
        raise TargetError("bfloat16 needs the package ml_dtypes")
    with contextlib.ExitStack() as stack:
        judged: list[tuple[Session, Report]] = []
        for target in targets or installed():
            progress(f"loading {target}")
            session = stack.enter_context(Session(target, limit))
            if not session.ops:
                raise TargetError(f"{target}: defines no function named like an operation")
            version = session.about["version"]
            reports.append(Report(target, version, allowed=frozenset(allow), seed=seed))
            judged.append((session, reports[-1]))
        for op in chosen:
            pairs = {
                precision: [
                    (session, report)
                    for session, report in judged
                    if op.name in session.ops
                    and precision in session.precisions(op.name, tuple(precisions))
                ]
                for precision in op.precisions
            }
            lead = leading([precision for precision, asked in pairs.items() if asked])
            for precision, asked in pairs.items():
                if asked:
                    progress(f"{op.name} in {precision}")
                    count = PROFILES[profile]
                    drawn = profile_cases(op, precision, profile, count, seed, lead)
                    _judge_op(op, precision, asked, drawn, profile != "quick")
                    for _, report in asked:
                        if cases and not report.allows(report.findings[-1]):
                            store(report.findings[-1], report.target, cases)
    return reports


def store(finding: Finding, target: str, place: Path) -> None:
    """Keep the smallest failing input of a finding, if there is one, as a file."""
    if finding.smallest:
        names = [cause["id"] if listed(cause) else cause["says"] for cause in finding.causes]
        comment = f"the smallest input found on which {Path(target).name} deviates"
        path = failing_cases.write(place, OPS[finding.op], finding.smallest.case, comment, names)
        finding.smallest.file = str(path)
        again = ["refimpl", "replay", str(path), target, *registry.whence(finding.op)]
        finding.smallest.replay = shlex.join(again)


def listed(cause: dict[str, Any]) -> bool:
    """Whether a cause is one of the known edits."""
    return cause["id"] not in ("", "unlisted")


def _judge_op(
    op: Op,
    precision: str,
    asked: list[tuple[Session, Report]],
    cases: Iterator[Case],
    long_sums: bool,
) -> None:
    """Judge one operation in one precision for several targets; bounds are computed once."""
    trials = [Trial(op, session, precision) for session, _ in asked]
    for trial, (_, report) in zip(trials, asked, strict=True):
        report.findings.append(trial.finding)
    with ThreadPoolExecutor(len(trials)) as pool:  # the targets compute side by side
        for case in cases:
            expected = expect(op, case.inputs, precision)
            try:
                list(pool.map(lambda trial: trial.add(case, expected), trials))  # noqa: B023
            except BaseException:  # the pool waits for calls under way: end them
                for session, _ in asked:
                    session.interrupt()
                raise
    for trial, (session, _) in zip(trials, asked, strict=True):
        trial.conclude()
        if long_sums:
            trial.take_statistics(session.target)


class Answering(Protocol):
    """What answers calls: a target's process, or outputs recorded elsewhere."""

    @property
    def ops(self) -> list[str]:
        """The operations that can be asked for."""

    def call(
        self, op: Op, case: Case, room: int, limit: float = np.inf, steps: bool = False
    ) -> Outcome:
        """What one call comes to, within a time limit; with its intermediate values if asked."""

    def replay(self, case: Case) -> str:
        """The command that makes this call again."""


class Trial:
    """One operation of one target in one precision, case by case."""

    def __init__(self, op: Op, session: Answering, precision: str) -> None:
        self.op = op
        self.session = session
        self.storage = PRECISIONS[precision].dtype()
        self.finding = Finding(op.name, precision)
        self.seen: list[tuple[Case, list[np.ndarray]]] = []
        self.over = False

    def add(self, case: Case, expected: list[Expected]) -> None:
        """Judge one case, unless the target has already died on an earlier one."""
        if self.over:
            return
        calls = 2 if self.finding.cases < CALLED_TWICE else 1
        self.finding.cases += 1
        for number in range(calls):
            outcome, verdict = try_once(self.op, self.session, case, expected, self.storage)
            if outcome.status == "refused":
                self.finding.refused += 1
                return
            if outcome.status in ("died", "hung"):
                self.over = True
            if outcome.status == "returned" and number == 0:
                self.seen.append((case, outcome.outputs))
            self._note(case, outcome, verdict, expected, "on a second call: " if number else "")
            if not verdict.conforms:
                return

    def _note(
        self, case: Case, outcome: Outcome, verdict: Verdict, expected: list[Expected], when: str
    ) -> None:
        if outcome.status != "returned":
            status = "crashes"
        else:
            status = "conforms" if verdict.conforms else "deviates"
        finding = self.finding
        so_far = (SEVERITY.index(finding.status), finding.worst)
        if not finding.case or (SEVERITY.index(status), verdict.worst) > so_far:
            finding.status, finding.worst, finding.case = status, verdict.worst, case.id
            if status != "conforms":
                finding.says = when + str(verdict)
                finding.replay = self.session.replay(case)
                finding.ratios = None
                if not verdict.reason:
                    which = self.op.outputs.index(verdict.output)
                    found = np.asarray(outcome.outputs[which]).astype(np.float64)
                    finding.ratios = error_ratio(expected[which], found)

    def ask(self, case: Case) -> list[np.ndarray] | None:
        """What the target makes of one more input, if it makes anything of it."""
        try:
            op = self.op if case.op == self.op.name else OPS[case.op]
            outcome = self.session.call(op, case, LARGEST_ANSWER)
        except TargetError:
            return None
        return outcome.outputs if outcome.status == "returned" else None

    def conclude(self) -> None:
        """Decide the status, and look for what explains a deviation."""
        finding = self.finding
        if finding.refused == finding.cases:
            finding.status = "unsupported"
        if finding.status == "deviates":
            found = causes(self.op, self.seen, self.storage, finding.precision, self.ask)
            text = found[0].get("text")
            finding.causes = [{k: x for k, x in cause.items() if k != "text"} for cause in found]
            if finding.causes[0]["kind"] == "dialect":
                finding.status = "dialect"
            else:
                self._shrink(text, PATIENCE)
                self._locate()
            if finding.causes[0]["kind"] == "unknown":
                finding.facts = facts(self.op, self.seen, self.storage, finding.precision, self.ask)
        self.seen.clear()

    def _shrink(self, text: Callable | None, limit: float) -> None:
        """Look for the smallest input that shows the same; `text` is the cause, if it is known."""
        op, precision = self.op, self.finding.precision
        end = time.monotonic() + limit

        def ask(case: Case) -> list[np.ndarray] | None:
            left = end - time.monotonic()
            if left <= 0:
                raise Enough
            try:
                outcome = self.session.call(op, case, LARGEST_ANSWER, left)
            except TargetError:
                raise Enough from None
            if outcome.status in ("died", "hung"):
                raise Enough
            return outcome.outputs if outcome.status == "returned" else None

        same = SameCause(op, ask, self.storage, text)
        case = smallest(op, precision, same, clock=computing(self.session))
        if case is None:
            return
        case = replace(case, number=failing_cases.digest(case))
        expected = expect(op, case.inputs, precision)
        outcome, verdict = try_once(op, self.session, case, expected, self.storage)
        if outcome.status == "returned" and not verdict.conforms:
            self.finding.smallest = Smallest(case, failing_cases.call(op, case), str(verdict))

    def _locate(self) -> None:
        """Look for the first wrong step, on the smallest input and on the failing one."""
        finding = self.finding
        failing = [case for case, _ in self.seen if case.id == finding.case]
        small = [finding.smallest.case] if finding.smallest else []
        for case in (*small, *failing):
            try:
                outcome = self.session.call(self.op, case, LARGEST_ANSWER, steps=True)
            except TargetError:
                return
            if outcome.status != "returned":
                return
            if outcome.steps:
                finding.step = first_wrong(self.op, case, outcome.outputs, outcome.steps)
            else:
                finding.step = first_wrong_call(self.op, case, self.session.ops, self.ask)
            if finding.step:
                return

    def take_statistics(self, target: str) -> None:
        """Judge the errors over long sums, which stay within the bound of each element."""
        finding = self.finding
        if finding.status != "conforms" or self.over:
            return
        found, explained = statistics(self.op, finding.precision, self.ask)
        if found is None:
            return
        finding.variance, finding.bias = found.variance, found.bias
        if not found.conforms:
            finding.status, finding.says = "deviates", f"{self.op.name}: {found}"
            finding.worst = max(found.variance, found.bias)
            finding.causes = explained
            where = ["--op", self.op.name, "--precision", finding.precision]
            finding.replay = shlex.join(["refimpl", "verify", target, *where])


def try_once(
    op: Op, session: Answering, case: Case, expected: list[Expected], storage: np.dtype
) -> tuple[Outcome, Verdict]:
    """Call a target on one case and judge what comes back."""
    room = sum(8 * want.value.size for want in expected)
    try:
        outcome = session.call(op, case, room)
    except TargetError as error:  # it died, and cannot be loaded again
        outcome = Outcome("died", says=str(error))
    if outcome.status != "returned":
        return outcome, Verdict(np.inf, op.outputs[0], reason=f"{op.name}: {outcome.says}")
    actual: Any = outcome.outputs[0] if len(outcome.outputs) == 1 else outcome.outputs
    return outcome, judge(op, expected, actual, storage)


def find_case(case_id: str) -> tuple[Op, Case]:
    """The case of an identifier such as attention/float32/0-17."""
    try:
        name, precision, number = case_id.split("/")
        op = OPS[name]
        if precision not in op.precisions:
            raise KeyError(precision)
        return op, numbered(op, precision, number)
    except (ValueError, KeyError):
        raise TargetError(
            f"{case_id}: no such case; expected OPERATION/PRECISION/NUMBER as in a report"
        ) from None


@dataclass(frozen=True)
class Again:
    """A case to run again: what is expected of it, and the causes that were noted with it."""

    op: Op
    case: Case
    expected: list[Expected]
    noted: tuple[str, ...] = ()


def recall(name: str, precision: str = "") -> Again:
    """A case by its name in a report, the path of its file, or the name of a golden case.

    A golden case has many precisions: `precision` picks one, float32 where it has that.
    """
    if name.endswith(".json"):
        op, case, noted = failing_cases.read(Path(name))
        return Again(op, case, expect(op, case.inputs, case.precision), noted)
    if name.count("/") != 1:
        op, case = find_case(name)
        return Again(op, case, expect(op, case.inputs, case.precision))
    for vector in golden.vectors(ops=(name.partition("/")[0],)):
        if vector.id == name:
            chosen = precision or ("float32" if "float32" in vector.allowed else "float64")
            if chosen not in vector.allowed:
                raise TargetError(f"{name}: {chosen} is none of {', '.join(vector.allowed)}")
            op, number = OPS[vector.op], name.partition("/")[2]
            case = Case(op.name, chosen, number, vector.comment, vector.inputs)
            return Again(op, case, vector.expectations(chosen))
    raise TargetError(f"{name}: no golden case is called so")


@dataclass(frozen=True)
class Replayed:
    """What became of a case: FIXED, STILL FAILING or FLAKY, the worst verdict, and the cause."""

    says: str
    verdict: Verdict
    cause: str = ""


def replay(name: str, target: str, times: int = 3, precision: str = "") -> Replayed:
    """Run one case again, several times, and look for the cause if it still fails."""
    again = recall(name, precision)
    op, case = again.op, again.case
    storage = PRECISIONS[case.precision].dtype()
    with Session(target) as session:
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


def _cause_again(again: Again, session: Session, outputs: list[np.ndarray]) -> str:
    """What explains a case that still fails, compared with what was noted when it was stored."""
    op, precision = again.op, again.case.precision
    trial = Trial(op, session, precision)
    trial.seen.append((again.case, outputs))
    for case in generate(op, precision, PROFILES["quick"]):
        answer = trial.ask(case)
        if answer is not None:
            trial.seen.append((case, answer))
    found = causes(op, trial.seen, trial.storage, precision, trial.ask)
    names = {cause["id"] if listed(cause) else cause["says"]: cause for cause in found}
    same = [name for name in names if name in again.noted]
    if same:
        return f"the cause is the same: {same[0]}"
    name, cause = next(iter(names.items()))
    says = "unknown" if cause["kind"] == "unknown" else name
    if again.noted:
        return f"the cause has changed: {says}, was {again.noted[0]}"
    return f"the cause: {says}"
