"""Which edits explain what a target returned: compared plainly first, then within their bounds."""

from __future__ import annotations

import functools
import itertools
import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.op import Op
from refimpl.oracle.cases.drawn import Case
from refimpl.oracle.diagnosis.ask_back import plainly, predict, weigh
from refimpl.oracle.diagnosis.causes import Explanation
from refimpl.oracle.diagnosis.conditions import Condition, telling
from refimpl.oracle.diagnosis.search.candidates import (
    constants,
    hidden,
    of_catalogue,
    single_edits,
)
from refimpl.oracle.diagnosis.search.pages import NUMPY, Candidate
from refimpl.oracle.judging.judge import Expected, expect, judge
from refimpl.oracle.numbers.errors import bounded
from refimpl.oracle.numbers.precisions import PRECISIONS

SINGLES = 0.55  # of the time goes to the plain comparison of single edits, at most
SHOWN = 3  # cases whose results tell edits apart, the smallest failing ones
PAIRED = 300  # small single edits that are tried in pairs with each other
NUMBERS_S = 1.5  # seconds for numbers that have to be solved for
GENEROUS = 128  # times the allowed error that the first, plain comparison lets pass
GRID = tuple(10.0**k for k in range(-7, 5))


def explain(
    op: Op,
    seen: list[tuple[Case, list[np.ndarray]]],
    storage: np.dtype,
    precision: str,
    budget_s: float = 8.0,
    most: int = 3,
) -> list[Explanation]:
    """The smallest edits that give every output seen, conforming ones included; often none."""
    return [
        Explanation(
            "mistake", "unlisted", found.id, found.text, functools.partial(getattr, found, "diff")
        )
        for found in matches(op, seen, storage, precision, budget_s, most)
    ]


def matches(
    op: Op,
    seen: list[tuple[Case, list[np.ndarray]]],
    storage: np.dtype,
    precision: str,
    budget_s: float = 8.0,
    most: int = 3,
) -> list[Candidate]:
    """The candidates behind `explain`, no two of them the same function on what was seen."""
    deadline = time.process_time() + budget_s  # of computing: the target's time is its own
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # a mean of nothing is a result like another
        evidence = _evidence(op, seen, storage, precision)
        if all(e.hopeless for e in evidence if e.fails):
            return []
        trial = _Trial(op, evidence, storage, precision, deadline)
        return trial.run(most)


@dataclass(frozen=True)
class _Evidence:
    """One case, what the target returned, and what the unedited text says of it."""

    case: Case
    outputs: list[np.ndarray]
    found: list[np.ndarray]  # the outputs in float64
    own: list[Expected]
    fails: bool

    @property
    def hopeless(self) -> bool:
        """Whether the outputs have a form, or so many gaps, that no edit would give them."""
        if len(self.found) != len(self.own):
            return True
        gaps = [
            np.isnan(found).all() and found.size > 0 and not np.isnan(own.value).any()
            for found, own in zip(self.found, self.own)
        ]
        return any(gaps)


def _evidence(op: Op, seen: list, storage: np.dtype, precision: str) -> list[_Evidence]:
    """The cases, small failing ones first."""
    evidence = []
    for case, outputs in seen:
        try:
            found = [np.asarray(output).astype(np.float64) for output in outputs]
        except (TypeError, ValueError):
            return []
        own = expect(op, case.inputs, precision)
        actual: Any = outputs[0] if len(outputs) == 1 else outputs
        fails = not judge(op, own, actual, storage).conforms
        evidence.append(_Evidence(case, outputs, found, own, fails))

    def order(e: _Evidence) -> tuple:
        numbers = sum(np.size(x) for x in e.case.inputs.values())
        results = sum(x.size for x in e.found)
        return not e.fails, e.hopeless, results < 4, numbers + results

    return sorted(evidence, key=order)


@dataclass(frozen=True)
class Conditioned(Candidate):
    """An edit that is made only where a condition holds."""

    condition: Condition

    @property
    def id(self) -> str:
        """What is changed, and where."""
        return f"{super().id}, only where {self.condition.says}"

    @property
    def text(self) -> Callable[..., Any]:
        """The operation, edited where the condition holds."""
        edited, right, holds = super().text, self.root, self.condition.holds
        return lambda **inputs: (edited if holds(inputs) else right)(**inputs)


class _Trial:
    """The search for one finding."""

    def __init__(
        self, op: Op, evidence: list[_Evidence], storage: np.dtype, precision: str, deadline: float
    ) -> None:
        self.op = op
        self.evidence = evidence
        self.storage = storage
        self.precision = precision
        self.deadline = deadline
        self.kept: list[tuple[Candidate, list[list[Expected]]]] = []

    def run(self, most: int) -> list[Candidate]:
        """Single edits first, then a number in some place, then pairs."""
        viable: list[tuple[Candidate, float]] = []
        own = [[e.value for e in evidence.own] for evidence in self.evidence]
        results = {_fingerprint(own[:SHOWN])}
        survivors, partly, idle = [], [], []
        start = time.process_time()
        for candidate in single_edits(self.op):
            if time.process_time() - start > SINGLES * (self.deadline - start):
                break  # what was found is yet to be judged
            text = _text(candidate)
            values = _values(text, self.evidence[0].case)
            if values is None:
                continue
            if self._passes(text, values):
                survivors.append(candidate)
                continue
            if self._near(values, self.evidence[0]) and not _within(values, self.evidence[0].own):
                partly.append(candidate)
            prints = [values, *(_values(text, e.case) or [] for e in self.evidence[1:SHOWN])]
            fingerprint = _fingerprint(prints)
            if fingerprint == _fingerprint(own[:SHOWN]):
                rest = [_values(text, e.case) or [] for e in self.evidence[SHOWN:]]
                fingerprint += _fingerprint(rest)  # what the first cases do not show, others may
                if _fingerprint(rest) == _fingerprint(own[SHOWN:]):
                    idle.append(candidate)
                    continue
            if fingerprint not in results:
                viable.append((candidate, self._gain(prints)))
                results.add(fingerprint)
        self._keep(survivors, most)
        if not self.kept:
            self._keep(self._constants(), 1)
        if not self.kept:
            self._keep(self._conditioned(partly), 1)
        if not self.kept:
            self._keep(self._numbers(), 1)
        if not self.kept:
            self._pairs(viable, idle)
        return [candidate for candidate, _ in self.kept]

    def _constants(self) -> Iterator[Candidate]:
        """Scalar arguments that are not looked at, with customary numbers in their places."""
        end = time.process_time() + NUMBERS_S
        for candidate in constants(self.op):
            if time.process_time() > min(end, self.deadline):
                return
            text = _text(candidate)
            values = _values(text, self.evidence[0].case)
            if values is not None and self._passes(text, values):
                yield candidate

    def _conditioned(self, partly: list[Candidate]) -> Iterator[Candidate]:
        """Edits that give every wrong output, where something holds that does not of the others."""
        failing = [e for e in self.evidence if e.fails]
        for candidate in partly:
            if time.process_time() > self.deadline:
                return
            text = _text(candidate)
            fits = [self._fits(text, e) for e in failing]
            if not all(fits):
                continue
            apart = [e for e in self.evidence if not e.fails and not self._fits(text, e)]
            inside = [e.case.inputs for e in failing]
            for condition in telling(self.op, inside, [e.case.inputs for e in apart])[:1]:
                yield Conditioned(candidate.root, candidate.changes, condition)

    def _fits(self, text: Callable, evidence: _Evidence) -> bool:
        values = _values(text, evidence.case)
        return values is not None and self._near(values, evidence)

    def _gain(self, results: list[list[np.ndarray]]) -> float:
        """The share of the deviating numbers that an edit alone puts right."""
        right = wrong = 0
        for values, evidence in zip(results, self.evidence):
            before, near = self._close(self._own(evidence), evidence), self._close(values, evidence)
            off = ~np.concatenate([n.ravel() for n in before or ()])
            wrong += int(off.sum())
            if near:
                right += int((np.concatenate([n.ravel() for n in near]) & off).sum())
        return right / max(wrong, 1)

    @staticmethod
    def _own(evidence: _Evidence) -> list[np.ndarray]:
        return [
            own.value if own.value.shape == found.shape else np.full(found.shape, np.inf)
            for own, found in zip(evidence.own, evidence.found)
        ]

    def _pairs(self, viable: list[tuple[Candidate, float]], idle: list[Candidate]) -> None:
        """Two edits at once: both listed, one right in places, one listed, any small ones.

        What changes nothing alone may be a guard against what another edit does.
        """
        listed = of_catalogue(self.op)
        small = [candidate for candidate, _ in viable]
        helpful = sorted((v for v in viable if v[1] > 0), key=lambda v: (-v[1], v[0].rank))
        mixed = itertools.product(listed, small[:600])
        partly = itertools.product((c for c, _ in helpful[:40]), (*listed, *small[:400]))
        guarded = itertools.product((c for c, _ in helpful[:10]), idle[:200])
        any_two = sorted(
            itertools.combinations(small[:PAIRED], 2), key=lambda two: two[0].size + two[1].size
        )
        for one, other in itertools.chain(
            itertools.combinations(listed, 2), _in_turn(partly, mixed, any_two, guarded)
        ):
            if time.process_time() > self.deadline:
                return
            pair = one.with_another(other)
            if pair is None:
                continue
            text = _text(pair)
            values = _values(text, self.evidence[0].case)
            if values is not None and self._passes(text, values):
                self._keep([pair], 1)
                if self.kept:
                    return

    def _numbers(self) -> Iterator[Candidate]:
        """Numbers that nobody would guess: solved for on one case, rounded, tried on the others."""
        first = self.evidence[0]
        own, found = self._own(first)[0].ravel(), first.found[0].ravel()
        if not own.size:
            return
        off = np.where(np.isfinite(found) & np.isfinite(own), np.abs(found - own), -1)
        at, stop = int(np.argmax(off)), time.process_time() + NUMBERS_S
        for candidate in hidden(self.op.text):
            if time.process_time() > min(stop, self.deadline):
                return
            text = _text(candidate)

            def residual(number: float, text: Callable = text) -> float:
                if time.process_time() > min(stop, self.deadline):
                    return math.nan
                vars(NUMPY)["unknown"] = number
                values = _values(text, first.case)
                if values is None or values[0].size != found.size:
                    return math.nan
                return float(values[0].ravel()[at] - found[at])

            for root in _roots(residual):
                for digits in range(1, 10):
                    filled = candidate.filled(float(f"{root:.{digits}g}"))
                    text = _text(filled)
                    values = _values(text, first.case)
                    if values is not None and self._passes(text, values):
                        yield filled  # more digits follow if the bound asks for them

    def _passes(self, text: Callable[..., Any], first: list[np.ndarray]) -> bool:
        """The plain comparison in float64, case by case, until one differs."""
        if not self._near(first, self.evidence[0]):
            return False
        changed = self._differs(text, first, self.evidence[0])
        for evidence in self.evidence[1:]:
            values = _values(text, evidence.case)
            if values is None or not self._near(values, evidence):
                return False
            changed = changed or self._differs(text, values, evidence)
        return changed

    def _differs(self, text: Callable, values: list[np.ndarray], evidence: _Evidence) -> bool:
        """Whether an edited text gives something else than the right one, or overflows alone."""
        if not _within(values, evidence.own):
            return True
        lost = [
            ~np.isfinite(f) & np.isfinite(o.value) for f, o in zip(evidence.found, evidence.own)
        ]
        return any(x.any() for x in lost) and any(
            all(not np.isfinite(value[x]).any() for value, x in zip(plain, lost))
            for plain in plainly(self.op, text, evidence.case)
        )

    def _near(self, values: list[np.ndarray], evidence: _Evidence) -> bool:
        """Whether every number is as near as `_close` asks."""
        close = self._close(values, evidence)
        return close is not None and all(bool(near.all()) for near in close)

    def _close(self, values: list[np.ndarray], evidence: _Evidence) -> list[np.ndarray] | None:
        """What is within many times the allowed error, or half of the digits of the largest result.

        Where the target has no finite number but the edited text does, it may have lost it on the
        way: the bound decides. None where the outputs have other shapes.
        """
        p = PRECISIONS[self.precision]
        half = math.sqrt(max(p.unit, p.sum_unit))
        if len(values) != len(evidence.found):
            return None
        close = []
        for value, found, own in zip(values, evidence.found, evidence.own, strict=True):
            if value.shape != found.shape:
                return None
            finite = np.where(np.isfinite(value), np.abs(value), 0)
            room = half * np.max(finite, initial=0)
            if value.shape == own.allowed.shape:
                room = room + GENEROUS * own.allowed
            same = (value == found) | (np.isnan(value) & np.isnan(found))
            lost = ~np.isfinite(found)
            if own.value.shape == found.shape:  # what the right text loses as well is no help
                lost &= ~np.isfinite(value) | (np.abs(own.value) < p.largest)
            close.append(same | lost | (np.abs(value - found) <= room))
        return close

    def _keep(self, survivors: Iterable[Candidate], most: int) -> None:
        """Add the survivors that fit within their own bound and say something new."""
        for candidate in survivors:
            if len(self.kept) == most or time.process_time() > self.deadline:
                return
            text = candidate.text
            if any(self._alike(text, results) for _, results in self.kept):
                continue
            results, says_something = [], False
            for e in self.evidence:
                case = e.case
                wanted = predict(self.op, text, case)
                right = weigh(wanted, e.own, self.op, e.outputs, self.storage, text, case)
                if right is False:
                    break
                says_something |= bool(right and e.fails)
                exact = bounded(text, case.inputs, "float64")
                results.append([Expected("", x.value, x.error) for x in exact])
            else:
                if says_something and not any(_agree(results, others) for _, others in self.kept):
                    self.kept.append((candidate, results))

    def _alike(self, text: Callable[..., Any], results: list[list[Expected]]) -> bool:
        """Whether an edited text gives what another gave on every case."""
        for e, want in zip(self.evidence, results, strict=True):
            values = _values(text, e.case)
            if values is None or not _within(values, want):
                return False
        return True


def _fingerprint(results: Iterable[list[np.ndarray]]) -> bytes:
    return b"".join(value.tobytes() for values in results for value in values)


def _agree(these: list[list[Expected]], those: list[list[Expected]]) -> bool:
    """Whether two edited texts gave the same on every case, rounding aside."""
    return all(
        _within([a.value], [Expected("", b.value, a.allowed + b.allowed)])
        for one, other in zip(these, those, strict=True)
        for a, b in zip(one, other, strict=True)
    )


def _within(values: list[np.ndarray], own: list[Expected]) -> bool:
    return all(
        value.shape == want.value.shape
        and bool(
            (
                (value == want.value)
                | (np.isnan(value) & np.isnan(want.value))
                | (np.abs(value - want.value) <= want.allowed)
            ).all()
        )
        for value, want in zip(values, own)
    )


def _text(candidate: Candidate) -> Callable[..., Any]:
    """The edited text, or a function that does nothing where the edit left none."""
    try:
        return candidate.text
    except SyntaxError:
        return lambda **_: None


def _values(text: Callable[..., Any], case: Case) -> list[np.ndarray] | None:
    """What an edited text gives in float64; None where it gives nothing."""
    try:
        result = text(**case.inputs)
        outputs = result if isinstance(result, tuple) else (result,)
        arrays = [np.asarray(output) for output in outputs]
        if any(array.dtype.kind not in "biuf" for array in arrays):
            return None
        return [array.astype(np.float64) for array in arrays]
    except Exception:  # an edited text may go wrong in any way
        return None


def _in_turn(*sources: Iterable) -> Iterator:
    """One of each in turn, until all are used up."""
    waiting = [iter(source) for source in sources]
    while waiting:
        for source in tuple(waiting):
            try:
                yield next(source)
            except StopIteration:
                waiting.remove(source)


def _roots(residual: Callable[[float], float]) -> Iterator[float]:
    """Numbers of either sign where a function of one number is nothing, found by bisection."""
    for sign in (1, -1):
        grid = [(sign * number, residual(sign * number)) for number in GRID]
        for (low, below), (high, above) in itertools.pairwise(grid):
            if not (math.isfinite(below) and math.isfinite(above)) or below * above > 0:
                continue
            if below == above:
                continue
            for _ in range(50):
                middle = (low + high) / 2
                here = residual(middle)
                if not math.isfinite(here):
                    break
                if here * below > 0:
                    low, below = middle, here
                else:
                    high = middle
            yield (low + high) / 2
