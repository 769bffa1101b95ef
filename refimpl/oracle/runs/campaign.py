"""Campaigns: very many cases, spread over processes or machines, that survive interruptions.

A case is its operation, precision, seed and index, and is drawn anew wherever it is judged. A unit
is a run of neighbouring cases; its result is kept under a name made of all that it depends on, so
that a campaign that is started again repeats nothing, and the results of any number of workers in
any order come to the same report. A worker that is killed costs its unit, which another repeats; a
target that dies costs the case it died on.

What explains a deviation is looked for at the end, on the probes, some random cases and some of
those that deviate; it must explain all of these.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import refimpl
from refimpl.op import Op
from refimpl.oracle.cases.drawn import Case, generate, random_case
from refimpl.oracle.cases.sizes import of_key, profile_cases
from refimpl.oracle.findings import Finding, Report
from refimpl.oracle.judging.judge import Verdict, expect
from refimpl.oracle.numbers.precisions import PRECISIONS
from refimpl.oracle.runs.calls import Failure, failure_of, try_once
from refimpl.oracle.runs.judges import op_run_of
from refimpl.oracle.runs.op_run import PROFILES, OpRun
from refimpl.oracle.targets.sessions import Outcome, Session, TargetError, installed
from refimpl.registry import OPS

FORMAT = 2  # of stored results
UNIT = 2000  # cases: a target starts in the time of some hundred
KEPT = 4  # deviating cases that a unit remembers
ASKED = 32  # deviating cases on which a cause is looked for
AHEAD = 4  # units for each worker that are handed out at a time
DEATHS = 20  # of workers under one unit, before the unit is blamed


@dataclass(frozen=True)
class Unit:
    """Neighbouring cases of one operation of one target in one precision."""

    target: str
    identity: str  # of the target: its version, or a digest of its file
    op: str
    precision: str
    seed: int
    first: int
    count: int
    limit: float

    @property
    def key(self) -> str:
        """A digest of everything that the result depends on."""
        about = {**asdict(self), "target": Path(self.target).name}
        text = inspect.getsource(OPS[self.op].text)
        return digest([FORMAT, refimpl.__version__, np.__version__, text, about])

    def cases(self, op: Op | None = None) -> Iterator[Case]:
        """The probes and the chosen sizes, if it is the first unit, and the random cases.

        `op` is the operation within a target's domain, where that is not all of it.
        """
        op = op or OPS[self.op]
        if not self.first:
            yield from profile_cases(op, self.precision, "ci", 0, self.seed)
        for i in range(self.first, self.first + self.count):
            yield random_case(op, self.precision, self.seed, i)


@dataclass
class Result:
    """What some cases came to."""

    cases: int = 0
    refused: int = 0
    failed: int = 0  # without an answer
    deviating: int = 0
    worst: float = 0.0
    status: str = "conforms"
    case: str = ""
    says: str = ""
    kept: list[str] = field(default_factory=list)  # keys of deviating cases
    failures: list[tuple[str, str, str]] = field(default_factory=list)  # key, status, words
    left_out: dict[str, int] = field(default_factory=dict)

    def add(self, other: Result) -> None:
        """Take in the cases that come after these."""
        for name in ("cases", "refused", "failed", "deviating"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        rank = (self.status == "deviates", self.worst)
        if other.case and (not self.case or (other.status == "deviates", other.worst) > rank):
            for name in ("worst", "status", "case", "says"):
                setattr(self, name, getattr(other, name))
        self.kept = (self.kept + other.kept)[:ASKED]
        self.failures = (self.failures + other.failures)[:ASKED]
        for kind, count in other.left_out.items():
            self.left_out[kind] = self.left_out.get(kind, 0) + count


def digest(content: Any) -> str:
    """A name for what JSON can hold."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def identity(session: Session) -> str:
    """The digest of a file and all that it imports from beside it, or a library's version."""
    if session.target.endswith(".py"):
        return str(session.about["imported"])
    return session.about["version"]


@contextlib.contextmanager
def opened(target: str, known: str, limit: float) -> Iterator[Session]:
    """A target's process; TargetError if it is another target here than where it was planned."""
    with Session(target, limit) as session:
        if identity(session) != known:
            raise TargetError(f"{target}: is not the same on every machine of the campaign")
        yield session


def judge_unit(unit: Unit) -> dict[str, Any]:
    """Judge the cases of a unit; a target that dies is started again for the next case."""
    total = Result()
    storage = PRECISIONS[unit.precision].dtype()
    with opened(unit.target, unit.identity, unit.limit) as session:
        without = op_run_of(OPS[unit.op], session, unit.precision)
        op = without.op
        for case in unit.cases(without.op):
            if kind := without.leaves_out(case):
                total.add(Result(left_out={kind: 1}))
                continue
            expected = expect(op, case.inputs, unit.precision)
            outcome, verdict = try_once(op, session, case, expected, storage)
            total.add(_result(case, outcome, verdict, len(total.kept) < KEPT))
    return asdict(total)


def _result(case: Case, outcome: Outcome, verdict: Verdict, keep: bool) -> Result:
    """What one case came to."""
    if outcome.status == "refused":
        return Result(1, refused=1)
    if outcome.status != "returned":
        failure = failure_of(case, outcome)
        return Result(1, failed=1, failures=[(case.key, failure.status, failure.says)])
    one = Result(1, worst=verdict.worst, case=case.id)
    if not verdict.conforms:
        one.status, one.deviating, one.says = "deviates", 1, str(verdict)
        one.kept = [case.key] if keep else []
    return one


def conclude(unit: Unit, total: dict[str, Any]) -> dict[str, Any]:
    """What one operation came to in one precision; `unit` is any of its units."""
    result = Result(**total)
    with opened(unit.target, unit.identity, unit.limit) as session:
        op_run = op_run_of(OPS[unit.op], session, unit.precision)
        op = op_run.op
        op_run.shrinks = False
        finding = op_run.finding
        finding.cases, finding.refused = result.cases, result.refused
        finding.worst, finding.status, finding.case = result.worst, result.status, result.case
        finding.says, finding.deviating = result.says, result.deviating
        finding.left_out = result.left_out
        if result.status == "deviates":
            finding.replay = session.replay(_case(unit, op, result.case.split("/")[-1]))
        keys = [*result.kept, result.case.split("/")[-1]] if result.deviating else []
        _look_at(op_run, [_case(unit, op, key) for key in keys])
        for key, status, says in result.failures:
            case = _case(unit, op, key)
            op_run.failures[case.id] = Failure(case, status, says)
        op_run.judge_long()
        op_run.repeat()
        op_run.conclude(failed=result.failed + len(op_run.failures) - len(result.failures))
        op_run.take_statistics(unit.target)
    return {"findings": [each.as_json() for each in op_run.findings]}


def _case(unit: Unit, op: Op, key: str) -> Case:
    return of_key(op, unit.precision, key)


def _look_at(op_run: OpRun, deviating: Sequence[Case]) -> None:
    """Have the target answer what a cause must explain: some cases, and some that deviate."""
    drawn = generate(op_run.op, op_run.finding.precision, PROFILES["quick"])
    for case in {case.id: case for case in (*drawn, *deviating)}.values():
        answer = op_run.ask(case)
        if answer is not None:
            op_run.evidence.add(case, answer)


class Store:
    """Results in a folder, one file each, written whole or not at all."""

    def __init__(self, place: Path) -> None:
        place.mkdir(parents=True, exist_ok=True)
        self.place = place

    def read(self, key: str) -> dict[str, Any] | None:
        """A result that is known already."""
        try:
            content = json.loads((self.place / f"{key}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return content if isinstance(content, dict) else None

    def write(self, key: str, result: dict[str, Any]) -> None:
        """Keep a result."""
        whole = self.place / f"{key}.json"
        part = whole.with_suffix(f".{os.getpid()}.part")
        try:
            part.write_text(json.dumps(result) + "\n", encoding="utf-8")
            os.replace(part, whole)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise TargetError(f"{whole}: cannot be written: {error.strerror}") from None


def plan(
    session: Session,
    ops: Sequence[Op],
    precisions: Sequence[str],
    count: int,
    seed: int,
) -> Iterator[list[Unit]]:
    """The units of each operation of a target in each precision."""
    known = identity(session)
    for op in ops:
        for precision in op.precisions:
            if op.name in session.ops and precision in session.precisions(
                op.name, tuple(precisions)
            ):
                yield [
                    Unit(
                        session.target,
                        known,
                        op.name,
                        precision,
                        seed,
                        first,
                        min(UNIT, count - first),
                        session.limit,
                    )
                    for first in range(0, max(count, 1), UNIT)
                ]


def campaign(
    *targets: str,
    count: int,
    results: Path,
    ops: Sequence[str] = (),
    precisions: Sequence[str] = (),
    seed: int = 0,
    limit: float = 30.0,
    allow: Sequence[str] = (),
    scheduler: str = "",
    workers: int | None = None,
    reports: list[Report] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Report]:
    """Judge targets on `count` random cases of each operation in each precision.

    The work goes to the Dask scheduler at the address `scheduler`, by default to `workers`
    processes of this machine. What is known stands in the folder `results`.
    """
    reports = [] if reports is None else reports
    chosen = [OPS[name] for name in ops] if ops else list(OPS.values())
    planned: list[tuple[Report, list[Unit]]] = []
    for target in targets or installed():
        with Session(target, limit) as session:
            report = Report(target, session.about["version"], allowed=frozenset(allow), seed=seed)
            reports.append(report)
            parts = list(plan(session, chosen, precisions, count, seed))
            if not parts:
                raise TargetError(f"{target}: defines no function named like an operation")
            planned += [(report, units) for units in parts]
    store = Store(results)
    with connected(scheduler, workers) as client:
        units = [(unit.key, judge_unit, (unit,)) for _, units in planned for unit in units]
        known = run(client, store, units, "units", progress)
        ends = []
        for _, units_of_one in planned:
            total = Result()
            keys = [unit.key for unit in units_of_one]
            for key in keys:
                total.add(Result(**known[key]))
            ends.append((digest(keys), conclude, (units_of_one[0], asdict(total))))
        known = run(client, store, ends, "conclusions", progress)
    for (report, _), (key, _, _) in zip(planned, ends, strict=True):
        for entry in known[key]["findings"]:
            report.findings.append(Finding.read(entry))
    return reports


@contextlib.contextmanager
def connected(scheduler: str, workers: int | None) -> Iterator[Any]:
    """A client of the scheduler, or of a cluster of this machine that ends with it."""
    try:
        import dask
        import distributed
    except ImportError:
        raise TargetError('a campaign needs Dask: pip install "refimpl[dask]"') from None
    if scheduler:
        try:
            client = distributed.Client(scheduler, timeout=30)
        except (OSError, ValueError, TypeError) as error:
            raise TargetError(f"{scheduler}: no Dask scheduler answers: {error}") from None
        with client:
            yield client
        return
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": DEATHS}),
        distributed.LocalCluster(
            n_workers=workers or os.cpu_count(),
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def run(
    client: Any,
    store: Store,
    tasks: Sequence[tuple[str, Callable, tuple]],
    what: str,
    progress: Callable[[str], None],
) -> dict[str, dict[str, Any]]:
    """The results of all tasks, known ones first; each is kept as soon as it is there."""
    from distributed import as_completed

    known = {key: result for key, _, _ in tasks if (result := store.read(key)) is not None}
    missing = iter([task for task in tasks if task[0] not in known])
    total = len({key for key, _, _ in tasks})

    def submit() -> list[Any]:
        for key, function, arguments in missing:
            return [client.submit(function, *arguments, key=key, pure=True)]
        return []

    ahead = AHEAD * max(len(client.scheduler_info()["workers"]), 1)
    waiting = as_completed([future for _ in range(ahead) for future in submit()])
    progress(f"{len(known)} of {total} {what}")
    for future in waiting:
        known[future.key] = future.result()
        store.write(future.key, known[future.key])
        progress(f"{len(known)} of {total} {what}")
        for new in submit():
            waiting.add(new)
    return known
