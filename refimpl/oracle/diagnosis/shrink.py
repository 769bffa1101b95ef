"""The smallest input on which a target still deviates, and for the same reason.

Hypothesis draws inputs from small spaces, few numbers on short axes, the smallest space first, and
shrinks what deviates.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.axes import Spec
from refimpl.axes.names import axis
from refimpl.axes.shapes import shape_of
from refimpl.op import Op
from refimpl.oracle.cases.drawn import Case, HypothesisSource, draw_all, rounded
from refimpl.oracle.diagnosis.causes import fits
from refimpl.oracle.diagnosis.evidence import Evidence
from refimpl.oracle.numbers.precisions import PRECISIONS

LIMIT = 4.0  # seconds of computing, the target's included
CPU_CLOCK = 2  # of a process, by its number: what Linux calls CPUCLOCK_SCHED
MOST_ELEMENTS = (12, 48, 1 << 20)  # numbers in all arrays, at most: one space after the other
EXAMPLES = 250  # inputs looked at in one space before it counts as empty
LONG_AXES = 4  # that are longer than one at once
NUMBERS = (0.0, 1.0, -1.0, 2.0, 0.5, -2.0, 3.0, -0.5, 10.0, 0.25, -10.0, 100.0, -100.0)
SHARES = (0.0, 1.0, 0.5, 0.25, 0.75, 0.125)  # of the way from one limit to the other


class OutOfTime(BaseException):
    """The time is over, or the target is: no exception that Hypothesis takes for a finding."""


class SimpleSource(HypothesisSource):
    """Numbers drawn by Hypothesis from a few that are easily read."""

    def normal(self, shape: tuple[int, ...]) -> np.ndarray:
        return self._filled(shape, NUMBERS)

    def uniform(self, shape: tuple[int, ...], low: float, high: float) -> np.ndarray:
        return low + (high - low) * self._filled(shape, SHARES)

    def _filled(self, shape: tuple[int, ...], options: tuple[float, ...]) -> np.ndarray:
        numbers = [self.choice(options) for _ in range(math.prod(shape))]
        return np.array(numbers, dtype=np.float64).reshape(shape)


@dataclass(frozen=True)
class SameCause:
    """Whether an input shows a deviation, and the cause that it had before.

    `evidence` says how to ask the target; `text` is the edited text that explains the deviation,
    None where nothing does.
    """

    evidence: Evidence
    text: Callable | None = None

    def __call__(self, case: Case) -> bool:
        op, outputs = self.evidence.op, self.evidence.outputs(case)
        unit = PRECISIONS[case.precision].unit
        if outputs is None or near(op.text, case, outputs, 2 * unit):
            return False
        if self.text and not near(self.text, case, outputs, math.sqrt(unit)):
            return False
        answer = self.evidence.judged(case, outputs)
        return answer.fails and (not self.text or fits(op, self.text, answer))


def near(text: Callable, case: Case, outputs: list[np.ndarray], share: float) -> bool:
    """Whether a text in float64 gives the outputs, up to a share of the largest number.

    No verdict, but it spares the bounds of most inputs.
    """
    try:
        with np.errstate(all="ignore"):
            result = text(**case.inputs)
            wanted = result if isinstance(result, tuple) else (result,)
            return len(wanted) == len(outputs) and all(
                np.shape(want) == found.shape and _close(want, found, share)
                for want, found in zip(wanted, outputs)
            )
    except Exception:
        return False  # an edited text, or what a target returns, may go wrong in any way


def _close(want: np.ndarray, found: np.ndarray, share: float) -> bool:
    want, found = np.asarray(want, np.float64), found.astype(np.float64)
    largest = np.max(np.abs(want), where=np.isfinite(want), initial=0)
    same = (found == want) | (np.isnan(found) & np.isnan(want))
    return bool((same | (np.abs(found - want) <= share * largest)).all())


def numbers(case: Case) -> int:
    """How many numbers the arrays of an input hold."""
    return sum(x.size for x in case.inputs.values() if isinstance(x, np.ndarray))


def weight(case: Case) -> tuple[int, int]:
    """What is small: few numbers in arrays, then numbers that are short to write."""
    return numbers(case), sum(len(repr(np.asarray(x).tolist())) for x in case.inputs.values())


Sizes = tuple[dict[str, int], tuple[int, ...]]  # of the axes by name, and of the dots


@functools.cache
def small_sizes(specs: tuple[Spec, ...], elements: int) -> list[Sizes]:
    """All ways to make up to four axes longer than one, with so many numbers at most.

    Those with the fewest numbers come first.
    """
    names = list(dict.fromkeys(n for spec in specs for n in spec.names()))
    dots = any("..." in spec.dims for spec in specs)
    counted: list[tuple[int, Sizes]] = []
    for longer in range(min(len(names), LONG_AXES) + 1):
        for chosen in itertools.combinations(names, longer):
            most = 4 if longer <= 2 else 3
            for lengths in itertools.product(range(2, most + 1), repeat=longer):
                sizes = dict.fromkeys(names, 1) | dict(zip(chosen, lengths))
                if any(sizes[n] > sizes.get(axis(n).within, sizes[n]) for n in names):
                    continue
                for rest in ((1,), (2,), (3,), (2, 2)) if dots else ((),):
                    shapes = [shape_of(spec, sizes, rest) for spec in specs if not spec.scalar]
                    count = sum(map(math.prod, shapes))
                    if count <= elements:
                        counted.append((count, (sizes, rest)))
    return [sizes for _, sizes in sorted(counted, key=lambda pair: pair[0])]


@contextlib.contextmanager
def _nothing_left_behind() -> Iterator[None]:
    """Let Hypothesis keep its notes in a folder that goes away."""
    name = "HYPOTHESIS_STORAGE_DIRECTORY"
    before = os.environ.get(name)
    with tempfile.TemporaryDirectory() as place:
        os.environ[name] = place
        try:
            yield
        finally:
            os.environ.pop(name)
            if before is not None:
                os.environ[name] = before


def computing(target: Any) -> Callable[[], float]:
    """A clock that counts what this process and a target's compute, and not what others do."""

    def clock() -> float:
        process = getattr(target, "process", None)
        if process is None or not hasattr(time, "pthread_getcpuclockid"):
            return time.process_time()
        with contextlib.suppress(OSError):  # no such clock on this system, or no such process
            return time.process_time() + time.clock_gettime(~process.pid << 3 | CPU_CLOCK)
        return time.process_time()

    return clock


def smallest(
    op: Op,
    precision: str,
    wrong: Callable[[Case], bool],
    limit: float = LIMIT,
    clock: Callable[[], float] = time.process_time,
    layout: str = "C",
) -> Case | None:
    """The smallest input found, in the seconds of computing given, of which `wrong` holds.

    `layout` is how its arrays lie in memory.
    """
    import hypothesis
    from hypothesis import strategies as st

    deadline, specs = clock() + limit, tuple(op.specs.values())
    found: list[Case] = []

    @st.composite
    def small(draw: Callable, elements: int) -> Case:
        source = SimpleSource(draw)
        try:
            inputs = op.drawn(source)
            if inputs is None:
                inputs = draw_all(op, source, *source.choice(small_sizes(specs, elements)))
            op.evaluate(inputs)
        except ValueError:  # the operation is not defined there
            hypothesis.reject()
        held = rounded(op, inputs, precision)
        return Case(op.name, precision, "smallest", "shrunk", held, layout)

    def condition(case: Case) -> bool:
        if clock() > deadline:
            raise OutOfTime
        if wrong(case):
            found.append(case)
            return True
        return False

    settings = hypothesis.settings(
        database=None,
        derandomize=True,
        max_examples=EXAMPLES,
        deadline=None,
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    with contextlib.suppress(OutOfTime), _nothing_left_behind():
        for elements in MOST_ELEMENTS:
            if not small_sizes(specs, elements):
                continue
            with contextlib.suppress(hypothesis.errors.HypothesisException):  # none, or flaky
                hypothesis.find(small(elements), condition, settings=settings)
            if found:
                break
    return min(found, key=weight, default=None)
