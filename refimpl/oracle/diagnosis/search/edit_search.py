"""Which edits explain what a target returned: compared plainly first, then within their bounds."""

from __future__ import annotations

import itertools
import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from refimpl.op import Op
from refimpl.oracle.diagnosis.ask_back import (
    NEARLY,
    fit,
    plainly,
    predict,
    reproduces,
    stored_dtype,
)
from refimpl.oracle.diagnosis.cause import UNLISTED, Cause
from refimpl.oracle.diagnosis.conditions import of_samples, telling
from refimpl.oracle.diagnosis.evidence import Evidence, Observation
from refimpl.oracle.diagnosis.search import plain
from refimpl.oracle.diagnosis.search.candidates import (
    constants,
    detours,
    hidden,
    in_formats,
    of_catalogue,
    single_edits,
)
from refimpl.oracle.diagnosis.search.comparison import Comparison
from refimpl.oracle.diagnosis.search.conditioned import Conditioned, InSamples
from refimpl.oracle.diagnosis.search.formats import shorter
from refimpl.oracle.diagnosis.search.in_turns import in_turns
from refimpl.oracle.diagnosis.search.looked_at import is_small, order, ordered
from refimpl.oracle.diagnosis.search.one_use import in_one_line, in_one_use
from refimpl.oracle.diagnosis.search.pages import Candidate, joined
from refimpl.oracle.judging.judge import Expected, judge
from refimpl.oracle.numbers.errors import bounded
from refimpl.oracle.numbers.precisions import PRECISIONS

SINGLES = 0.55  # of the time goes to the plain comparison of single edits, at most
SORTING = 0.4  # of the time that is left then goes to what they do on other cases
ENOUGH = 24  # cases, to begin with, in which a dialect is taken for the right text
SPOKEN = 3  # dialects on whose texts the search begins again
OF_THE_REST = 0.5  # of the time that is left goes to one of them
MOSTLY = 0.5  # of the wrong numbers
SHORT_S = 3.0  # seconds for formats and detours
HELPFUL = 60  # edits that put something right, and may be made for some samples alone
GIVING = 8  # edits for one output of several
OVERFLOWING = (  # equal on paper
    *("one maximum for several rows", "a maximum that begins at a number"),
    *("exponentials taken apart", "an exponential that overflows", "without the maximum"),
)
SOLVABLE = 24  # bits of results from which a number can be solved for: many fit fewer
PAIRED = 300  # small single edits that are tried in pairs with each other
NUMBERS_S = 1.5  # seconds for numbers that have to be solved for


def explain(evidence: Evidence, budget_s: float = 8.0, most: int = 3) -> list[Cause]:
    """The smallest edits that give every output seen, conforming ones included; often none."""
    return [_explained(found) for found in matches(evidence, budget_s, most)]


def explain_short(evidence: Evidence) -> list[Cause]:
    """One value in a shorter format, or a detour that loses digits, where it gives every output."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        deadline = time.process_time() + SHORT_S
        search = EditSearch(evidence.op, evidence.precision, ordered(evidence), deadline)
        return [_explained(found) for found in search.run_short(3)]


def _explained(found: Candidate) -> Cause:
    says, name = found.id, found.listed or UNLISTED
    if found.base is not None:
        says += f"; besides, it speaks the dialect {found.base.listed}"
    return Cause(found.kind, name, says, found.diff, found.text)


def matches(evidence: Evidence, budget_s: float = 8.0, most: int = 3) -> list[Candidate]:
    """The candidates behind `explain`, no two of them the same function on what was seen."""
    single_edits(evidence.op)  # made once for each operation, whatever the budget
    deadline = time.process_time() + budget_s  # of computing: the target's time is its own
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # a mean of nothing is a result like another
        seen = ordered(evidence)
        if all(e.hopeless for e in seen if e.fails):
            return []
        return EditSearch(evidence.op, evidence.precision, seen, deadline).run(most)


class EditSearch(Comparison):
    """The search for one finding, on the right text or on what a dialect makes of it."""

    def __init__(
        self,
        op: Op,
        precision: str,
        seen: list[Observation],
        deadline: float,
        base: Candidate | None = None,
    ) -> None:
        super().__init__(op, precision, seen)
        self.deadline = deadline
        self.base = base
        self.kept: list[tuple[Candidate, list[list[Expected]]]] = []
        self.others: list[tuple[Candidate, Callable, list[np.ndarray]]] = []  # that do not fit
        self.viable: list[tuple[Candidate, float]] = []  # that change something, with their gain
        self.partly: list[Candidate] = []  # right where the first case is wrong
        self.giving: dict[int, list[Candidate]] = {}  # that put one output of several right
        self.results: dict[bytes, Callable] = {}  # the first text that gave them
        self.apart: dict[bytes, set[bytes]] = {}  # those that differ on small cases alone
        self.idle: list[Candidate] = []  # that change nothing alone

    def run(self, most: int) -> list[Candidate]:
        """Single edits first, then one in a format, a number, a dialect below; then pairs."""
        self.run_singles(most)
        if not self.kept and self.base is None:
            self._on_dialects(most, EditSearch.run_singles, 1)
        if not self.kept:
            self._sort_others()
        sources: tuple[Callable[[], Iterable[Candidate]], ...] = (
            *(self._constants, self._by_output, self._conditioned),
            *(() if self.base else (self._either,)),
            *(self._shortened, self._in_samples, self._in_one_use),
            *(() if self.base else (self._two_listed,)),
            *(self._in_one_line, self._numbers),
        )
        for source in sources:
            if not self.kept:
                self._keep(source(), 1)
        if not self.kept and self.base is None:
            self._on_dialects(most, EditSearch.run, SPOKEN)
        if not self.kept and self.base is None:
            self._pairs()
        return [candidate for candidate, _ in self.kept]

    def run_singles(self, most: int) -> list[Candidate]:
        """Single edits alone."""
        self._keep(self._singles(), most)
        return [candidate for candidate, _ in self.kept]

    def run_short(self, most: int) -> list[Candidate]:
        """Values in a shorter format alone, and detours that lose digits."""
        self._keep(self._shortened(), most)
        if not self.kept:
            return list(itertools.islice(self._detours(), 1))
        return [candidate for candidate, _ in self.kept]

    def _singles(self) -> list[Candidate]:
        """The single edits that give every output; the others wait to be sorted."""
        survivors = []
        start = time.process_time()
        listed = of_catalogue(self.op, ("mistakes",), self.base)
        for candidate in itertools.chain(listed, single_edits(self.op, self.base)):
            if time.process_time() - start > SINGLES * (self.deadline - start):
                break  # what was found is yet to be judged
            text = plain.text_of(candidate)
            values = plain.values(text, self.seen[0].case)
            if values is None:
                continue
            tried = candidate.listed and self.base is None  # alone, before the search began
            if not tried and self._passes(text, values, _overflows(candidate)):
                survivors.append(candidate)
            else:
                self.others.append((candidate, text, values))
        return survivors

    def _sort_others(self) -> None:
        """Sort the single edits that do not fit alone by what they do on some cases more."""
        start = time.process_time()
        for candidate, text, values in self.others:
            if time.process_time() - start > SORTING * (self.deadline - start):
                return
            self._sort(candidate, text, values)

    def _sort(self, candidate: Candidate, text: Callable, values: list) -> None:
        """Remember an edit that does not fit alone, if it does something that none other does."""
        first = self.seen[0]
        if self._near(values, first) and not plain.within(values, first.own):
            self.partly.append(candidate)
        if self.base is not None or candidate.listed:
            return  # no pairs are tried there, and those of the catalogue have their own
        prints = [values, *(plain.values(text, e.case) or [] for e in self.shown[1:])]
        fingerprint = plain.fingerprint(prints)
        if len(self.op.outputs) > 1:
            self._note_outputs(candidate, prints)
        if fingerprint == self._own_print(self.shown):
            others = plain.fingerprint(plain.values(text, e.case) or [] for e in self.rest)
            fingerprint += others  # what the first cases do not show, others may
            if others == self._own_print(self.rest):
                self.idle.append(candidate)
                return
        if self._is_new(fingerprint, text):
            self.viable.append((candidate, self._gain(prints)))

    def _is_new(self, fingerprint: bytes, text: Callable) -> bool:
        """Whether no edit before gave the same: on the cases shown, then on all small ones."""
        if fingerprint not in self.results:
            self.results[fingerprint] = text
            return True
        others = self.apart.setdefault(fingerprint, {self._on_small(self.results[fingerprint])})
        new = self._on_small(text)
        is_new = new not in others
        others.add(new)
        return is_new

    def _on_small(self, text: Callable) -> bytes:
        return plain.fingerprint(plain.values(text, e.case) or [] for e in self.small)

    def _fitting(self, candidates: Iterable[Candidate], seconds: float) -> Iterator[Candidate]:
        """Of some candidates, as many as there is time for, those that fit plainly."""
        end = min(time.process_time() + seconds, self.deadline)
        for candidate in candidates:
            if time.process_time() > end:
                return
            text = plain.text_of(candidate)
            values = plain.values(text, self.seen[0].case)
            if values is not None and self._passes(text, values, _overflows(candidate)):
                yield candidate

    def _constants(self) -> Iterator[Candidate]:
        """Scalar arguments that are not looked at, with customary numbers in their places."""
        return self._fitting(constants(self.op, self.base), NUMBERS_S)

    def _in_one_use(self) -> Iterator[Candidate]:
        """A value written out where it is used, or a function in one of its calls, edited there."""
        return self._fitting(in_one_use(self.op.text, self.base), NUMBERS_S)

    def _in_one_line(self) -> Iterator[Candidate]:
        """A line written out with all that it is made of, and one of that edited."""
        return self._fitting(in_one_line(self.op.text, self.base), NUMBERS_S)

    def _shortened(self) -> Iterator[Candidate]:
        """One value, function or product in a format that holds fewer digits.

        Where a number is about halfway between two of the format it may be rounded to either, so
        that only most numbers come near here; the bounds decide.
        """
        short = [f"np.{name}(" for name in shorter(PRECISIONS[self.precision])]
        end = min(time.process_time() + NUMBERS_S, self.deadline)
        for candidate in in_formats(self.op.text, self.base):
            if time.process_time() > end:
                return
            if any(mark in candidate.changes[0].new for mark in (*short, "np.floor(")):
                text = plain.text_of(candidate)
                results = [plain.values(text, e.case) or [] for e in self.shown]
                if self._nearer(results, self.shown) > MOSTLY:
                    yield candidate

    def _detours(self) -> Iterator[Candidate]:
        """Forms that are equal on paper, and lose the very digits that the target has lost."""
        for candidate in detours(self.op.text):
            if time.process_time() > self.deadline:
                return
            text = plain.text_of(candidate)
            if self._reproduces(text) and self._bounds(text):
                yield candidate

    def _reproduces(self, text: Callable) -> bool:
        """Whether a text on the target's own numbers gives nearly every number that is wrong."""
        counts = [
            reproduces(e.own, e.outputs, values)
            for e in self.seen
            if e.fails
            for values in plainly(self.op, text, e.case)[:1]
        ]
        right, wrong = (sum(count) for count in zip(*counts)) if counts else (0, 0)
        return wrong > 0 and right >= NEARLY * wrong

    def _bounds(self, text: Callable) -> bool:
        """Whether every output is within the bound of a text that loses digits."""
        for e in self.seen:
            wanted = predict(self.op, text, e.case)
            if wanted is None:
                return False
            if not judge(self.op, wanted, e.actual, stored_dtype(e.case)).conforms:
                return False
        return True

    def _conditioned(self) -> Iterator[Candidate]:
        """Edits that give every wrong output, where something holds that does not of the others."""
        failing = [e for e in self.seen if e.fails]
        for candidate in self.partly:
            if time.process_time() > self.deadline:
                return
            text = plain.text_of(candidate)
            if not all(self._fits(text, e) for e in failing):
                continue
            apart = [e for e in self.seen if not e.fails and not self._fits(text, e)]
            inside = [e.case.inputs for e in failing]
            for condition in telling(self.op, inside, [e.case.inputs for e in apart])[:1]:
                yield Conditioned(
                    candidate.root, candidate.changes, candidate.base, condition=condition
                )

    def _either(self) -> Iterator[Candidate]:
        """Two edits of the catalogue that explain everything between them, told by a condition."""
        end = time.process_time() + NUMBERS_S
        return self._fitting(in_turns(self.op, self.seen, self._fits, end), 2 * NUMBERS_S)

    def _by_output(self) -> Iterator[Candidate]:
        """One edit for each wrong output, where several are wrong; of the same kind first."""
        failing = [e for e in self.shown if e.fails]
        wrong = [
            place
            for place in range(len(self.op.outputs))
            if not all(self._gives(e, [w.value for w in e.own], place) for e in failing)
        ]
        each = [self.giving.get(place, [])[:GIVING] for place in wrong]
        if len(wrong) < 2 or not all(each):
            return iter(())
        ways = sorted(
            itertools.product(*each), key=lambda way: len({c.changes[0].what for c in way})
        )
        found = map(joined, ways)
        return self._fitting((c for c in found if c is not None), NUMBERS_S)

    def _note_outputs(self, candidate: Candidate, prints: list[list[np.ndarray]]) -> None:
        """Remember which outputs an edit puts right on the cases shown, without being right."""
        for place in range(len(self.op.outputs)):
            some = [(e, values) for e, values in zip(self.shown, prints) if e.fails]
            if all(self._gives(e, values, place) for e, values in some) and not all(
                self._gives(e, [w.value for w in e.own], place) for e, _ in some
            ):
                self.giving.setdefault(place, []).append(candidate)

    def _gives(self, e: Observation, values: list[np.ndarray], place: int) -> bool:
        """Whether one output is near what the target returned."""
        close = self._close(values, e)
        return close is not None and bool(close[place].all())

    def _in_samples(self) -> Iterator[Candidate]:
        """Edits that put some numbers right, where they are made for some samples alone."""
        some = sorted((v for v in self.viable if v[1] > 0), key=lambda v: (-v[1], v[0].rank))
        found = (
            InSamples(c.root, c.changes, c.base, condition=condition)
            for c, _ in some[:HELPFUL]
            for condition in of_samples(self.op)
        )
        return self._fitting(found, NUMBERS_S)

    def _on_dialects(self, most: int, search: Callable, spoken: int) -> None:
        """A search where a dialect is spoken that puts something right."""
        some = [e for place, e in enumerate(self.seen) if place < ENOUGH or is_small(e)]
        others = [e for e in self.seen if e not in some]
        for base in self._spoken()[:spoken]:
            share = time.process_time() + (self.deadline - time.process_time()) * OF_THE_REST
            text = base.text
            seen = sorted((self._seen_from(e, text) for e in some), key=order)
            if not any(e.fails for e in seen):
                continue
            inner = EditSearch(self.op, self.precision, seen, share, base)
            search(inner, most)
            self.kept = [kept for kept in inner.kept if self._holds(kept[0].text, others)]
            if self.kept:
                return

    def _holds(self, text: Callable, seen: list[Observation]) -> bool:
        """Whether an edited text explains what was returned in some more cases."""
        return all(fit(self.op, predict(self.op, text, e.case), e) is not False for e in seen)

    def _spoken(self) -> list[Candidate]:
        """The dialects that give some of the wrong numbers, those that give most first."""
        gains = []
        for candidate in of_catalogue(self.op, ("dialects",)):
            text = plain.text_of(candidate)
            results = [plain.values(text, e.case) or [] for e in self.seen]
            gains.append((self._gain(results, self.seen), self._lost_alike(results), candidate))
        helpful = [g for g in gains if g[0] > 0 or g[1]]
        return [g[2] for g in sorted(helpful, key=lambda g: (-g[1], -g[0]))]

    def _lost_alike(self, results: list[list[np.ndarray]]) -> int:
        """On how many cases as many numbers are missing as the target's, where some should be."""
        alike = 0
        for values, e in zip(results, self.seen):
            for value, found, own in zip(values, e.found, e.own):
                missing = np.count_nonzero(np.isnan(found))
                due = np.count_nonzero(np.isnan(own.value))
                alike += bool(missing != due and missing == np.count_nonzero(np.isnan(value)))
        return alike

    def _seen_from(self, e: Observation, text: Callable) -> Observation:
        """A case as one sees it who takes a dialect's text for the right one."""
        wanted = predict(self.op, text, e.case)
        own = wanted if wanted is not None else e.own
        fails = not judge(self.op, own, e.actual, stored_dtype(e.case)).conforms
        return replace(e, own=own, fails=fails)

    def _two_listed(self) -> Iterator[Candidate]:
        """Two edits of the catalogue at once."""
        pairs = itertools.combinations(of_catalogue(self.op), 2)
        both = (one.with_another(other) for one, other in pairs)
        return self._fitting((pair for pair in both if pair is not None), NUMBERS_S)

    def _pairs(self) -> None:
        """Two edits at once: one right in places, one listed, any small ones.

        What changes nothing alone may be a guard against what another edit does.
        """
        listed = of_catalogue(self.op)
        small = [candidate for candidate, _ in self.viable]
        helpful = sorted((v for v in self.viable if v[1] > 0), key=lambda v: (-v[1], v[0].rank))
        mixed = itertools.product(listed, small[:600])
        partly = itertools.product((c for c, _ in helpful[:40]), (*listed, *small[:400]))
        guarded = itertools.product((c for c, _ in helpful[:10]), self.idle[:200])
        any_two = sorted(
            itertools.combinations(small[:PAIRED], 2), key=lambda two: two[0].size + two[1].size
        )
        for one, other in plain.in_turn(partly, mixed, any_two, guarded):
            if time.process_time() > self.deadline:
                return
            pair = one.with_another(other)
            if pair is None:
                continue
            text = plain.text_of(pair)
            values = plain.values(text, self.seen[0].case)
            if values is not None and self._passes(text, values, False):
                self._keep([pair], 1)
                if self.kept:
                    return

    def _numbers(self) -> Iterator[Candidate]:
        """Numbers that nobody would guess: solved for on one case, rounded, tried on the others."""
        first = self.seen[0]
        own, found = self._own(first)[0].ravel(), first.found[0].ravel()
        if not own.size or PRECISIONS[self.precision].bits < SOLVABLE:
            return
        off = np.where(np.isfinite(found) & np.isfinite(own), np.abs(found - own), -1)
        at, stop = int(np.argmax(off)), time.process_time() + NUMBERS_S
        for candidate in hidden(self.op.text, self.base):
            if time.process_time() > min(stop, self.deadline):
                return
            an = SimpleNamespace(unknown=0.0)
            text = plain.text_of(candidate, an=an)

            def residual(number: float, text: Callable = text, an: Any = an) -> float:
                if time.process_time() > min(stop, self.deadline):
                    return math.nan
                an.unknown = number
                values = plain.values(text, first.case)
                if values is None or values[0].size != found.size:
                    return math.nan
                return float(values[0].ravel()[at] - found[at])

            for root in plain.roots(residual):
                for digits in range(1, 10):
                    filled = candidate.filled(float(f"{root:.{digits}g}"))
                    text = plain.text_of(filled)
                    values = plain.values(text, first.case)
                    if values is not None and self._passes(text, values, _overflows(candidate)):
                        yield filled  # more digits follow if the bound asks for them

    def _keep(self, survivors: Iterable[Candidate], most: int) -> None:
        """Add the survivors that fit within their own bound and say something new."""
        for candidate in survivors:
            if len(self.kept) == most or time.process_time() > self.deadline:
                return
            text = candidate.text
            if any(self._alike(text, results) for _, results in self.kept):
                continue
            failing = [e for e in self.seen if e.fails]
            given = [plain.values(text, e.case) or [] for e in failing]
            if self._nearer(given, failing) <= MOSTLY and not _overflows(candidate):
                continue  # it fits because the bound is wide, and explains nothing
            results, says_something = [], False
            for e in self.seen:
                case = e.case
                wanted = predict(self.op, text, case)
                right = fit(self.op, wanted, e, text)
                if right is False:
                    break
                says_something |= bool(right and e.fails)
                exact = bounded(text, case.inputs, "float64")
                results.append([Expected("", x.value, x.error) for x in exact])
            else:
                if says_something and not any(
                    plain.agree(results, others) for _, others in self.kept
                ):
                    self.kept.append((candidate, results))

    def _alike(self, text: Callable[..., Any], results: list[list[Expected]]) -> bool:
        """Whether an edited text gives what another gave on every case."""
        for e, want in zip(self.seen, results, strict=True):
            values = plain.values(text, e.case)
            if values is None or not plain.within(values, want):
                return False
        return True


def _overflows(candidate: Candidate) -> bool:
    """Whether an edit is one that shows where numbers of the target's format end."""
    return any(change.what.endswith(OVERFLOWING) for change in candidate.changes)
