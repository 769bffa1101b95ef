"""At which sizes a target is wrong: found by questions from one input that is, and put to the test.

The axes of an input that deviates are made as short as they can be. Then each is given other
lengths, the others staying as they are; what the wrong ones have in common is a condition. It must
foretell what the target makes of inputs of other sizes, on both sides, before anything is said.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from refimpl.axes import AxesError
from refimpl.axes.shapes import bind
from refimpl.oracle.cases.drawn import Case, draw_all, rounded
from refimpl.oracle.cases.sizes import DOTS, FORMS, ChosenSource, Form, axes, last_seen, shapes
from refimpl.oracle.diagnosis.cause import Cause
from refimpl.oracle.diagnosis.causes import causes
from refimpl.oracle.diagnosis.evidence import Evidence, Observation
from refimpl.oracle.diagnosis.memory import only_turned
from refimpl.oracle.diagnosis.patterns import Pattern, pattern
from refimpl.oracle.diagnosis.samples import wrong_samples
from refimpl.oracle.diagnosis.shrink import numbers, weight

BUDGET = 6.0  # seconds of computing
TESTING = 3.0  # more of them to put a condition to the test
SEED = 3001
LENGTHS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 160)
LONGER = (255, 256, 257, 511, 512, 513, 1023, 1024, 1025)  # where something was wrong there
MOST_NUMBERS = 1 << 16  # in the arrays of a question
DRAWN = 3  # inputs of given sizes that must be right
RARE, TILES = 2, (16, 64, 128, 256)  # of so few lengths that are wrong, others so much longer
SHORT = (1, 2, 3)
STARTS = 4  # inputs that deviate, from which to begin
TESTS = 12  # inputs on either side of a condition
SURE = 6  # of them that must have been answered
SPREAD = 5  # what the other axes are drawn up to

Sizes = dict[str, int]


@dataclass(frozen=True)
class Condition:
    """A pattern of the product of some axes; most often of one."""

    names: tuple[str, ...]
    pattern: Pattern

    def holds(self, sizes: Sizes) -> bool:
        """Whether a target is thought to be wrong at these sizes."""
        return self.pattern.holds(int(np.prod([sizes[name] for name in self.names])))

    @property
    def says(self) -> str:
        """The condition in words."""
        return self.pattern.of(" × ".join(_word(n) for n in self.names))


@dataclass
class Survey:
    """Questions to a target about sizes, and what they came to."""

    evidence: Evidence
    end: float = 0.0
    form: Form = FORMS[0]
    answers: dict[tuple, float | None] = field(default_factory=dict)
    shortest: Case | None = None  # that was asked and is wrong
    facts: list[str] = field(default_factory=list)
    cause: Cause | None = None

    @classmethod
    def of(cls, evidence: Evidence) -> Survey:
        """The survey of a target that can be asked; nothing is known of another."""
        survey = cls(evidence, time.process_time() + BUDGET)
        if evidence.ask and evidence.op.sized:
            with np.errstate(all="ignore"):
                survey.take()
        return survey

    @property
    def over(self) -> bool:
        """Whether the time for questions is used up."""
        return time.process_time() > self.end

    def take(self) -> None:
        """Ask, and say what was found."""
        base = self._base()
        if base is None:
            return
        base = self._shortened(base)
        found = []
        for name in sorted(base, key=lambda n: base[n] <= max(SHORT)):
            wrong = self._lengths(base, name)
            told = self._bisected(base, name, wrong)
            if told is not None:
                found.append(Condition((name,), told))
            elif len(wrong) > SURE and all(wrong.values()):
                words = f"wrong at each size of {_word(name)} that was tried"
                count = f"{len(wrong)} of {len(wrong)}"
                self.facts.append(f"{words}, from {min(wrong)} to {max(wrong)} ({count})")
        telling = [c for c in found if not c.pattern.plain]
        plain = [c for c in found if c.pattern.plain]
        self.end = time.process_time() + TESTING
        sure = [(c, self._foretold([c], telling, base)) for c in plain]
        plain = [c for c, counts in sure if counts]
        self.facts += [f"{c.says} ({counts})" for c, counts in sure if counts]
        for conditions in self._thought_of(telling, base):
            counts = self._foretold(conditions, plain, base)
            if counts:
                says = ", and ".join(c.says for c in conditions)
                self.cause = Cause("condition", says=says)
                self.facts.insert(0, counts)
                return

    def asked(self, sizes: Sizes, number: int, form: Form | None = None) -> Observation | None:
        """What the target makes of one case of given sizes; None where there is no such case."""
        op, precision = self.evidence.op, self.evidence.precision
        source = ChosenSource([SEED, number, *op.name.encode()], form or self.form)
        named = {name: size for name, size in sizes.items() if name != DOTS}
        rest = (sizes[DOTS],) if DOTS in sizes else ()
        if sum(map(math.prod, shapes(op, named, rest))) > MOST_NUMBERS:
            return None
        try:
            inputs = last_seen(op, draw_all(op, source, named, rest))
            case = Case(
                op.name, precision, "asked", "of given sizes", rounded(op, inputs, precision)
            )
            if _sizes(self.evidence, inputs) != sizes:
                return None
            op.evaluate(case.inputs)
        except (ValueError, IndexError, KeyError):
            return None
        answer = self.evidence.put(case)
        if answer is not None and answer.fails:
            self.shortest = min([case, *filter(None, [self.shortest])], key=weight)
        return answer

    def share(self, sizes: Sizes) -> float | None:
        """Of a few cases of given sizes the share that is wrong; None where none was asked for."""
        key = (self.form.says, *sizes.items())
        if key not in self.answers:
            if self.over:
                return None
            told = [a.fails for i in range(DRAWN) if (a := self.asked(sizes, i)) is not None]
            self.answers[key] = sum(told) / len(told) if told else None
        return self.answers[key]

    def wrong(self, sizes: Sizes) -> bool | None:
        """Whether one of them is wrong."""
        share = self.share(sizes)
        return None if share is None else share > 0

    def _base(self) -> Sizes | None:
        """The sizes of a case that deviates, at which all others do, or some."""
        bad = sorted((a for a in self.evidence if a.fails), key=lambda a: numbers(a.case))
        forms = [f for f in FORMS if f is FORMS[0] or f.absent]
        best: tuple[float, Sizes | None, Form] = (0.0, None, self.form)
        for answer, self.form in itertools.product(bad[:STARTS], forms):
            sizes = _sizes(self.evidence, answer.case.inputs)
            share = (self.share(sizes) if sizes else None) or 0.0
            best = max(best, (share, sizes, self.form), key=lambda x: x[0])
            if share == 1:
                break
        self.form = best[2]
        return best[1]

    def _shortened(self, base: Sizes) -> Sizes:
        """The same with each axis as short as it can be while as much is wrong."""
        enough = self.share(base) or 1.0
        for _ in range(2):
            for name in sorted(base, key=lambda n: -base[n]):
                tried = [base | {name: n} for n in SHORT if n < base[name]]
                base = next((s for s in tried if (self.share(s) or 0) >= enough), base)
        return base

    def _lengths(self, base: Sizes, name: str) -> dict[int, bool]:
        """At which lengths of one axis something is wrong."""
        there = base[name]
        around = {n for n in (there - 1, there, there + 1) if n > 0}
        longer = LONGER if there > max(LENGTHS) else ()
        told = {n: self.wrong(base | {name: n}) for n in sorted({*LENGTHS, *around, *longer})}
        rare = [n for n, is_wrong in told.items() if is_wrong]
        if len(rare) <= RARE:  # perhaps at each tile
            further = {n + tiles for n in rare for tiles in TILES} - {*told}
            told |= {n: self.wrong(base | {name: n}) for n in sorted(further)}
        return {n: is_wrong for n, is_wrong in told.items() if is_wrong is not None}

    def _bisected(self, base: Sizes, name: str, wrong: dict[int, bool]) -> Pattern | None:
        """The pattern of the lengths, a limit to one number exactly."""
        told = pattern(wrong)
        lengths = sorted(wrong)
        edges = [(a, b) for a, b in itertools.pairwise(lengths) if wrong[a] != wrong[b]]
        if told is None or len(edges) != 1:
            return told
        low, high = edges[0]
        while (
            high - low > 1
            and (is_wrong := self.wrong(base | {name: (low + high) // 2})) is not None
        ):
            middle = (low + high) // 2
            wrong[middle] = is_wrong
            low, high = (middle, high) if is_wrong == wrong[low] else (low, middle)
        return pattern(wrong) if high - low == 1 else None

    def _thought_of(self, telling: list[Condition], base: Sizes) -> Iterator[list[Condition]]:
        """All of them together, each alone, and the product of two axes from where one is 1."""
        if telling:
            yield telling
        if len(telling) > 1:
            yield from ([condition] for condition in telling)
        for (name,), other in itertools.product((c.names for c in telling), base):
            if name != other:
                there = base | {other: 1}
                told = self._bisected(there, name, self._lengths(there, name))
                if told is not None and told.limit:
                    yield [Condition((name, other), told)]

    def _foretold(self, telling: list[Condition], also: list[Condition], base: Sizes) -> str:
        """How a condition is borne out by other inputs on both sides; empty where it is not.

        All that was seen to deviate must lie inside; of what is asked for, `also` holds always.
        """
        seen = [_sizes(self.evidence, a.case.inputs) for a in self.evidence if a.fails]
        if any(sizes and not all(c.holds(sizes) for c in telling) for sizes in seen):
            return ""
        rng = np.random.default_rng(SEED)
        told: dict[bool, list[bool]] = {True: [], False: []}  # whether it was wrong inside, outside
        otherwise: list[bool] = []  # the same inside, without what is optional or with it
        for number in range(DRAWN, 100 * TESTS):
            inside = number % 2 == 0
            held = [*telling, *also] if inside else also
            sizes = self._drawn(rng, held, telling, base)
            if len(told[inside]) == TESTS or not all(c.holds(sizes) for c in also):
                continue
            if all(c.holds(sizes) for c in telling) != inside:
                continue
            answer = self.asked(sizes, number)
            if answer is None:
                continue
            told[inside].append(answer.fails)
            if answer.fails and not inside:
                return ""
            other = self.asked(sizes, number, self._other_form()) if inside else None
            otherwise += [other.fails] if other is not None and self._optional() else []
            if self.over or min(len(told[True]), len(told[False])) == TESTS:
                break
        if min(len(told[True]), len(told[False])) < SURE or 2 * sum(told[True]) < len(told[True]):
            return ""
        return self._counts(told, otherwise)

    def _counts(self, told: dict[bool, list[bool]], otherwise: list[bool]) -> str:
        """How many inputs bear a condition out."""
        says = f"of inputs asked for, {sum(told[True])} of {len(told[True])} wrong there"
        says += f", {len(told[False])} of {len(told[False])} right elsewhere"
        if len(otherwise) >= SURE and not any(otherwise):
            names = " and ".join(self._optional())
            where = f"with {names}" if self.form.absent else f"without {names}"
            says += f", {len(otherwise)} of {len(otherwise)} right {where}"
        return says

    def _other_form(self) -> Form:
        """Without what is optional where it was given, or with it."""
        return FORMS[0] if self.form.absent else next(f for f in FORMS if f.absent)

    def _optional(self) -> list[str]:
        return [name for name, spec in self.evidence.op.specs.items() if spec.optional]

    def _drawn(
        self,
        rng: np.random.Generator,
        inside: list[Condition],
        free: list[Condition],
        base: Sizes,
    ) -> Sizes:
        """Other sizes: short ones, those that conditions ask for, and any where they are free."""
        sizes = {name: int(rng.integers(1, SPREAD + 1)) for name in base}
        for name in {n for c in (*inside, *free) for n in c.names}:
            most = int(rng.choice((SPREAD, 2 * base[name], max(LENGTHS))))
            sizes[name] = int(rng.integers(1, most + 1))
        for condition in inside:
            name, *others = condition.names
            most = max(2 * base[name], max(LENGTHS))
            lengths = [n for n in range(1, 2 * most) if condition.pattern.holds(n)][:most]
            if lengths and not others:
                sizes[name] = int(rng.choice(lengths))
        return sizes


def diagnosed(evidence: Evidence) -> tuple[list[Cause], Survey]:
    """What explains everything seen, else where it is wrong; and what was asked about sizes."""
    found = causes(evidence)
    if found[0].kind != "unknown":
        return found, Survey(evidence)
    with np.errstate(all="ignore"):
        says, counts = only_turned(evidence)
        if not says:
            says, counts = wrong_samples(evidence)
    if says:
        return [Cause("condition", says=says)], Survey(evidence, facts=[counts])
    survey = Survey.of(evidence)
    return [survey.cause or found[0]], survey


def _word(name: str) -> str:
    return "the number of rows" if name == DOTS else name


def _sizes(evidence: Evidence, inputs: dict) -> Sizes:
    """The sizes that can be chosen, of an input; none where it does not fit the signature."""
    op = evidence.op
    try:
        bound = bind(op.name, op.specs, inputs)
    except (AxesError, ValueError):
        return {}
    rows = [size for name, size in bound.items() if name.startswith(DOTS) and name != DOTS]
    bound = {**bound, DOTS: int(np.prod(rows))}
    return {name: bound[name] for name in axes(op) if name in bound}
