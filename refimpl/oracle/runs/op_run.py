"""One operation of one target in one precision: its cases judged, then what explains them."""

from __future__ import annotations

import contextlib
import itertools
import shlex
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from refimpl.op import Op
from refimpl.oracle.cases import regimes
from refimpl.oracle.cases.drawn import Case, random_case
from refimpl.oracle.cases.exchanged import exchanged
from refimpl.oracle.cases.sizes import profile_cases
from refimpl.oracle.diagnosis import statistics
from refimpl.oracle.diagnosis.cut import cut
from refimpl.oracle.diagnosis.evidence import Evidence
from refimpl.oracle.diagnosis.facts import facts
from refimpl.oracle.diagnosis.shrink import OutOfTime, SameCause, computing, numbers, smallest
from refimpl.oracle.diagnosis.steps import first_wrong, first_wrong_call
from refimpl.oracle.diagnosis.survey import diagnosed
from refimpl.oracle.findings import Finding, Smallest, enough
from refimpl.oracle.judging.judge import Expected, Verdict, Wanted, error_ratio, wanted
from refimpl.oracle.judging.twice import apart, same
from refimpl.oracle.numbers.precisions import PRECISIONS
from refimpl.oracle.runs.calls import (
    DIFFERS,
    KEPT,
    Failure,
    Target,
    answer_of,
    answers_of,
    failure_of,
    judge_outputs,
    try_once,
)
from refimpl.oracle.targets.sessions import Outcome, Session, TargetError
from refimpl.oracle.vectors import failing_cases
from refimpl.registry import OPS

PROFILES = {"quick": 12, "ci": 60, "deep": 1000}
LARGEST_ANSWER = 1 << 24  # bytes of one answer to a question
PATIENCE = 30.0  # seconds by the clock for the smallest input, however busy the machine is
CALLED_TWICE = 3  # cases that are called a second time at once
EXCHANGED = 4  # cases that are called with two numbers exchanged
REPEATS = 120  # later calls with inputs that were answered before
REPEATING = 0.5  # seconds for them
DEATHS = 2  # after which a target that dies or hangs is not called any more
REPLACED = 5  # times the random cases that are drawn anew where a target leaves some out
KINDS = 3  # of failing calls that are told apart in one operation


@dataclass(frozen=True)
class Result:
    """What one case came to: `conforms`, `deviates`, `raises`, `crashes`, `refused`, `left out`."""

    status: str
    says: str = ""


class OpRun:
    """One operation of one target in one precision, case by case."""

    def __init__(
        self, op: Op, session: Target, precision: str, without: Sequence[str] = ()
    ) -> None:
        self.op = op
        self.session = session
        self.storage = PRECISIONS[precision].dtype()
        self.without = [regimes.find(name) for name in without]
        self.finding = Finding(op.name, precision, complete=False)
        if op.domain is not None:
            self.without += op.domain.outside
            self.finding.only = op.domain.names
        self.others: list[Finding] = []  # what raises or crashes, where the rest is judged
        self.evidence = Evidence(op, precision, ask=self.ask)
        self.long: dict[str, list[np.ndarray]] = {}  # answers on long sums
        self.deviating: list[tuple[Case, list[np.ndarray]]] = []
        self.results: dict[str, Result] = {}
        self.failures: dict[str, Failure] = {}
        self.found_in: dict[str, Finding] = {}  # the cases that failed
        self.asked_again, self.differing, self.kept = 0, 0, 0  # cases
        self.deaths = 0
        self.shrinks = True  # whether a smallest input is looked for

    @property
    def findings(self) -> list[Finding]:
        """What was found: about what was answered first of all."""
        return [self.finding, *self.others]

    @property
    def over(self) -> bool:
        """Whether the target has died too often to be called again."""
        return self.deaths >= DEATHS

    def leaves_out(self, case: Case) -> str:
        """The kind of input that the target does without, if this case is one."""
        return next((r.name for r in self.without if r.holds(self.op, case)), "")

    def add(self, case: Case, expected: list[Expected] | Wanted, long: bool = False) -> None:
        """Judge one case, unless it is left out or the target has died too often."""
        right = expected if isinstance(expected, Wanted) else Wanted(lambda: expected)
        if self.over:
            return
        if kind := self.leaves_out(case):
            self.finding.left_out[kind] = self.finding.left_out.get(kind, 0) + 1
            self.results[case.id] = Result("left out", f"does without {kind}")
            return
        outcome, verdict = try_once(self.op, self.session, case, right.first, self.storage)
        self.finding.cases += 1
        if outcome.status == "refused":
            self.finding.refused += 1
            self.results[case.id] = Result("refused", outcome.says)
        elif outcome.status != "returned":
            self._failed(case, outcome)
        else:
            self._answered(case, outcome, verdict, right, long)

    def _failed(self, case: Case, outcome: Outcome, when: str = "") -> None:
        self.deaths += outcome.status in ("died", "hung")
        failure = failure_of(case, outcome, when)
        self.failures[case.id] = failure
        self.results[case.id] = Result(failure.status, f"{self.op.name}: {failure.says}")

    def _answered(
        self, case: Case, outcome: Outcome, verdict: Verdict, wanted: Wanted, long: bool
    ) -> None:
        expected = wanted.first
        if wanted.least and not self._settles(verdict):
            expected = wanted.whole
            verdict = judge_outputs(self.op, expected, outcome.outputs, self.storage)
        self.results[case.id] = Result("conforms" if verdict.conforms else "deviates", str(verdict))
        if not verdict.conforms:
            self.finding.deviating += 1
            self.deviating.append((case, outcome.outputs))
        self._note(case, outcome, verdict, expected)
        self.finding.count(expected, outcome.outputs if verdict.conforms else [])
        if long:
            self.long[case.key] = outcome.outputs
            return
        self.evidence.add(case, outcome.outputs, wanted)
        if len(self.evidence) <= CALLED_TWICE and verdict.conforms:
            self._call_again(case, outcome.outputs, "on a second call: ")

    def _settles(self, verdict: Verdict) -> bool:
        """Whether a verdict by less than is allowed stands: right, and not the worst so far."""
        finding = self.finding
        worse = finding.status == "deviates" or verdict.worst <= finding.worst
        return verdict.conforms and bool(finding.case) and worse

    def _note(
        self,
        case: Case,
        outcome: Outcome,
        verdict: Verdict,
        expected: list[Expected],
        when: str = "",
    ) -> None:
        """Keep the worst answer."""
        finding = self.finding
        status = "conforms" if verdict.conforms else "deviates"
        so_far = (finding.status == "deviates", finding.worst)
        if not finding.case or (status == "deviates", verdict.worst) > so_far:
            finding.status, finding.worst, finding.case = status, verdict.worst, case.id
            if status != "conforms":
                finding.says = when + str(verdict)
                finding.replay = self.session.replay(case)
                finding.ratios = None
                if not verdict.reason:
                    which = self.op.outputs.index(verdict.output)
                    found = np.asarray(outcome.outputs[which]).astype(np.float64)
                    finding.ratios = error_ratio(expected[which], found)

    def repeat(self) -> None:
        """Call again with earlier inputs, in another order: late, and between other calls."""
        self._exchange()
        seen = self.evidence.seen
        rng, first = np.random.default_rng(len(seen)), self.deviating[:CALLED_TWICE]
        order = [*first, *(seen[i] for i in rng.permutation(len(seen)))]
        for (case, before), outcome in self._again(order, len(first)):
            self._compare(case, before, outcome, "on a later call: ")
            if self.over or self.differing:
                return

    def _again(
        self, order: list[tuple[Case, list[np.ndarray]]], first: int
    ) -> Iterator[tuple[tuple[Case, list[np.ndarray]], Outcome]]:
        """Earlier inputs in turn, with their answers then and now, as long as there is time."""
        end, taken = time.monotonic() + REPEATING, []

        def asked() -> Iterator[tuple[Case, int]]:
            for number in range(REPEATS if order else 0):
                if self.over or time.monotonic() > end:
                    return
                if self.deviating and number >= first:
                    return  # wrong, and the same each time
                case, before = order[number % len(order)]
                taken.append((case, before))
                yield case, sum(8 * x.size for x in before)

        answers = answers_of(self.op, self.session, asked())
        for number, outcome in enumerate(answers):
            yield taken[number], outcome

    def _exchange(self) -> None:
        """Call with two numbers of an earlier input exchanged: what is kept by a glance shows."""
        pairs = ((exchanged(self.op, case), before) for case, before in self.evidence.seen)
        for case, before in itertools.islice((p for p in pairs if p[0]), EXCHANGED):
            if self.over or self.deviating or case is None:
                return
            outcome = answer_of(self.op, self.session, case, sum(8 * x.size for x in before))
            if outcome.status != "returned":
                continue
            answer = wanted(self.op, case.inputs, case.precision)
            verdict = judge_outputs(self.op, answer.first, outcome.outputs, self.storage)
            if not verdict.conforms and answer.least:
                verdict = judge_outputs(self.op, answer.whole, outcome.outputs, self.storage)
            if not verdict.conforms:
                self.finding.cases += 1
                self.kept += same(before, outcome.outputs)
                self._answered(case, outcome, verdict, answer, long=False)

    def _call_again(self, case: Case, before: list[np.ndarray], when: str) -> None:
        """Make a call once more, and judge its answer if it is another."""
        outcome = answer_of(self.op, self.session, case, sum(8 * x.size for x in before))
        self._compare(case, before, outcome, when)

    def _compare(self, case: Case, before: list[np.ndarray], outcome: Outcome, when: str) -> None:
        """Judge what a call made again comes to, if it is another answer."""
        self.asked_again += 1
        if outcome.status != "returned":
            self._failed(case, outcome, when)
            return
        if same(before, outcome.outputs):
            return
        expected = self.evidence.expect(case)
        self.differing += apart(before, outcome.outputs, expected)
        verdict = judge_outputs(self.op, expected, outcome.outputs, self.storage)
        if not verdict.conforms:
            self._note(case, outcome, verdict, expected, when)
            before_this = self.results.get(case.id)
            if before_this is None or before_this.status == "conforms":
                self.results[case.id] = Result("deviates", when + str(verdict))

    def judge_long(self) -> None:
        """Judge the cases with long sums, whose answers the statistics are taken on."""
        name, precision = self.op.name, self.finding.precision
        for case in statistics.long_cases(name, precision):
            self.add(case, _expected_long(name, precision, case.key), long=True)

    def ask(self, case: Case) -> list[np.ndarray] | None:
        """What the target makes of one more input, if it makes anything of it."""
        op = self.op if case.op == self.op.name else OPS[case.op]
        if op is self.op and self.leaves_out(case):
            return None
        outcome = answer_of(op, self.session, case, LARGEST_ANSWER)
        return outcome.outputs if outcome.status == "returned" else None

    def settle(self, failed: int | None = None) -> None:
        """Set the calls without an answer apart, and say what the others come to.

        `failed` is how many there were, where only some are remembered.
        """
        finding, drawn = self.finding, self.finding.cases
        forgotten = (failed or 0) > len(self.failures)
        groups: dict[tuple[str, str], list[Failure]] = {}
        for failure in self.failures.values():
            apart = len(groups) < KINDS and not forgotten
            key = (failure.status, failure.kind) if apart else ("", "")
            groups.setdefault(key, []).append(failure)
        counts = [failed or 0] if forgotten else [len(group) for group in groups.values()]
        some = zip(groups.values(), counts, strict=True)
        made = [self._about(group, count, drawn) for group, count in some]
        self.failures = {}
        for group, other in zip(groups.values(), made, strict=True):
            self.found_in |= {failure.case.id: other for failure in group}
        finding.cases -= sum(other.cases for other in made)
        if made and not finding.judged:  # nothing is left but what failed
            first, *made = made
            self.found_in |= {k: finding for k, f in self.found_in.items() if f is first}
            finding.status, finding.says, finding.worst = "crashes", first.says, first.worst
            finding.case, finding.replay = first.case, first.replay
            finding.cases += first.cases
        self.others += made

    def _about(self, group: list[Failure], count: int, drawn: int) -> Finding:
        """The finding on calls that failed alike: on which inputs, and how."""
        first = max(group, key=lambda failure: failure.status == "crashes")
        finding = Finding(self.op.name, self.finding.precision, count)
        finding.status, finding.worst, finding.case = first.status, np.inf, first.case.id
        finding.replay = self.session.replay(first.case)
        inside = [failure.case for failure in group]
        outside = [case for case, _ in self.evidence.seen]
        regime = regimes.separating(self.op, inside, outside) if outside else None
        which = f"every case {regime.says}, " if regime else ""
        some = f"{count} of {drawn}" + ("" if regime else " cases")
        finding.says = f"{self.op.name}: {which}{some}: {first.says}"
        return finding

    def conclude(self, failed: int | None = None) -> None:
        """Decide the status, and look for what explains a deviation."""
        self.settle(failed)
        finding = self.finding
        finding.complete = True
        left_out = sum(finding.left_out.values())
        drawn = finding.cases + left_out + sum(other.cases for other in self.others)
        if finding.status == "deviates":
            self._diagnose()
            self.evidence.forget()
        elif finding.status == "conforms" and 0 < finding.elements == finding.unbounded:
            finding.status = "unsupported"
            finding.says = f"{self.op.name}: no element has a bound below its size"
        elif finding.status == "conforms" and not finding.judged:
            finding.status = "unsupported"
            finding.says = f"{self.op.name}: not one of {drawn} cases was judged"
        elif finding.status == "conforms" and not enough(finding.judged, drawn):
            finding.status = "too few"
            finding.says = f"{self.op.name}: only {finding.judged} of {drawn} cases were judged"

    def _diagnose(self) -> None:
        finding = self.finding
        if self.kept:
            finding.causes = [KEPT]
            return
        if self.differing:
            some = f"{self.differing} of {self.asked_again} calls made again"
            finding.causes = [replace(DIFFERS, says=f"{DIFFERS.says} ({some})")]
            return
        evidence = self.evidence
        if not any(case is one for case, _ in evidence.seen for one, _ in self.deviating):
            evidence = evidence.also(self.deviating[:1])  # only a long input shows it
        finding.causes, survey = diagnosed(evidence)
        first = finding.causes[0]
        if first.kind == "dialect":
            finding.status = "dialect"
        elif self.shrinks:
            self._shrink(first.text, PATIENCE, survey.shortest)
            self._locate()
        if first.kind in ("unknown", "condition"):
            finding.facts = facts(evidence, survey)

    def _shrink(self, text: Callable | None, limit: float, short: Case | None = None) -> None:
        """Look for the smallest input that shows the same; `text` is the cause, if it is known.

        `short` is one of short axes that deviates, if there is one.
        """
        op, precision = self.op, self.finding.precision
        end = time.monotonic() + limit

        def ask(case: Case) -> list[np.ndarray] | None:
            left = end - time.monotonic()
            if left <= 0:
                raise OutOfTime
            if self.leaves_out(case):
                return None
            outcome = answer_of(op, self.session, case, LARGEST_ANSWER, left)
            if outcome.status in ("died", "hung"):
                raise OutOfTime
            return outcome.outputs if outcome.status == "returned" else None

        evidence = self.evidence.also(ask=ask)
        shown = {case.layout for case, _ in self.deviating}  # perhaps in none that is row-major
        layout = "C" if "C" in shown or not shown else min(shown)
        wrong, clock = SameCause(evidence, text), computing(self.session)
        case = smallest(op, precision, wrong, clock=clock, layout=layout)
        seen = [case for case, _ in self.deviating]
        case = case or cut(op, [*seen, *filter(None, [short])], wrong, clock)
        if case is None:
            return
        case = replace(case, key=failing_cases.digest(case))
        outcome, verdict = try_once(op, self.session, case, evidence.expect(case), self.storage)
        if outcome.status == "returned" and not verdict.conforms:
            call = failing_cases.call(op, case)
            self.finding.smallest = Smallest(numbers(case), call, str(verdict), case=case)

    def _locate(self) -> None:
        """Look for the first wrong step, on the smallest input and on the failing one."""
        finding = self.finding
        failing = [case for case, _ in self.evidence.seen if case.id == finding.case]
        small = [finding.smallest.case] if finding.smallest and finding.smallest.case else []
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
        if finding.status not in ("conforms", "too few") or self.over:
            return
        found, explained = statistics.statistics(
            self.op, finding.precision, lambda case: self.long.get(case.key)
        )
        if found is None:
            return
        finding.variance, finding.bias = found.variance, found.bias
        if not found.conforms:
            finding.status, finding.says = "deviates", f"{self.op.name}: {found}"
            finding.worst = max(found.variance, found.bias)
            finding.causes = explained
            where = ["--op", self.op.name, "--precision", finding.precision]
            finding.replay = shlex.join(["refimpl", "verify", target, *where])


def judge_op(
    op: Op,
    precision: str,
    op_runs: Sequence[tuple[OpRun, str]],
    profile: str,
    seed: int = 0,
    lead: str = "float32",
) -> None:
    """Judge one operation in one precision for several targets; bounds are computed once.

    Each op_run comes with the name of its target; `lead` is the precision that takes all sizes.
    """
    count, long_sums = PROFILES[profile], profile != "quick"
    some = [op_run for op_run, _ in op_runs]
    try:
        with _side_by_side(some) as each:
            for case in profile_cases(op, precision, profile, count, seed, lead):
                expected = wanted(op, case.inputs, precision)
                each(lambda op_run: op_run.add(case, expected))  # noqa: B023
            if long_sums:
                each(OpRun.judge_long)
            each(lambda op_run: _draw_others(op_run, count, seed))
            each(OpRun.repeat)
    except BaseException:
        for op_run in some:
            op_run.settle()
        raise
    for op_run, target in op_runs:
        op_run.conclude()
        if long_sums:
            op_run.take_statistics(target)


@contextlib.contextmanager
def _side_by_side(some: Sequence[OpRun]) -> Iterator[Callable[[Callable], Any]]:
    """Something to do for each op_run, whose targets compute side by side; one needs no thread."""
    if len(some) == 1:
        yield lambda do: do(some[0])
        return
    with ThreadPoolExecutor(len(some)) as pool:
        try:
            yield lambda do: list(pool.map(do, some))
        except BaseException:  # the pool waits for calls under way: end them
            for op_run in some:
                if isinstance(op_run.session, Session):
                    op_run.session.interrupt()
            raise


_LOCK = threading.Lock()


def _expected_long(name: str, precision: str, key: str) -> list[Expected]:
    with _LOCK:  # several targets want it at once
        return statistics.expect_long(name, precision, key)


def _draw_others(op_run: OpRun, count: int, seed: int) -> None:
    """Replace random cases that the target leaves out, until half as many as asked are judged."""
    for i in range(count, REPLACED * count if op_run.finding.left_out else 0):
        if op_run.finding.judged >= (count + 1) // 2:
            return
        case = random_case(op_run.op, op_run.finding.precision, seed, i)
        if not op_run.leaves_out(case):
            op_run.add(case, wanted(op_run.op, case.inputs, case.precision))
