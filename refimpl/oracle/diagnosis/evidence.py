"""What was seen of a target: each case, what it returned, and what the right text says of it.

The right text is bounded once for each input, whoever asks: a bound costs a hundred times a call.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.op import Op
from refimpl.oracle.cases.drawn import Case
from refimpl.oracle.judging.judge import Expected, Wanted, error_ratio, judge, wanted
from refimpl.oracle.numbers.precisions import PRECISIONS

REMEMBERED = 2**26  # bytes of right answers of a run that are kept for a diagnosis

Outputs = list[np.ndarray]
Ask = Callable[[Case], Outputs | None]


@dataclass(frozen=True, eq=False)
class Observation:
    """One case, what the target returned, and what the unedited text says of it."""

    case: Case
    outputs: Outputs
    own: list[Expected]
    fails: bool

    @property
    def actual(self) -> Any:
        """What the call returned: several outputs as a list, one alone."""
        return self.outputs[0] if len(self.outputs) == 1 else self.outputs

    @functools.cached_property
    def found(self) -> list[np.ndarray]:
        """The outputs in float64."""
        return [np.asarray(output).astype(np.float64) for output in self.outputs]

    @property
    def right(self) -> list[np.ndarray]:
        """What should have been returned."""
        return [want.value for want in self.own]

    @functools.cached_property
    def wrong(self) -> list[np.ndarray]:
        """Where each output is beyond its bound; nothing where they have other shapes."""
        if [x.shape for x in self.found] != [x.shape for x in self.right]:
            return []
        return [error_ratio(want, x) > 1 for want, x in zip(self.own, self.found)]

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


class Evidence:
    """All that was seen of one operation of a target in one precision, and how to ask for more.

    `ask` says what the target makes of another case; None where it cannot be asked.
    """

    def __init__(
        self,
        op: Op,
        precision: str,
        seen: Iterable[tuple[Case, Outputs]] = (),
        ask: Ask | None = None,
    ) -> None:
        self.op = op
        self.precision = precision
        self.storage = PRECISIONS[precision].dtype()
        self.ask = ask
        self.seen: list[tuple[Case, Outputs]] = list(seen)
        self._judged: list[Observation] = []  # of the first of them
        self._right: dict[bytes, Wanted] = {}
        self._told: list[tuple[Case, Wanted]] = []  # for the above, if anybody asks
        self._bytes = 0  # of what came with a run

    def __len__(self) -> int:
        return len(self.seen)

    def __iter__(self) -> Iterator[Observation]:
        for place, (case, outputs) in enumerate(self.seen):
            if place == len(self._judged):
                self._judged.append(self.judged(case, outputs))
            yield self._judged[place]

    def add(self, case: Case, outputs: Outputs, own: Wanted | None = None) -> None:
        """Take in a case and what was returned; `own` is what the right text says, if known."""
        self.seen.append((case, outputs))
        size = sum(2 * want.value.nbytes for want in own.first) if own else 0
        if own is not None and self._bytes + size <= REMEMBERED:
            self._told.append((case, own))
            self._bytes += size

    def expect(self, case: Case) -> list[Expected]:
        """What the right text says of a case, computed once for each input."""
        while self._told:
            told, own = self._told.pop()
            self._right.setdefault(_print_of(told), own)
        key = _print_of(case)
        if key not in self._right:
            self._right[key] = wanted(self.op, case.inputs, self.precision)
        return self._right[key].whole

    def judged(self, case: Case, outputs: Outputs) -> Observation:
        """Outputs beside what is right."""
        own = self.expect(case)
        return Observation(case, outputs, own, not self.within(own, outputs))

    def within(self, expected: list[Expected], outputs: Outputs) -> bool:
        """Whether outputs are within the bound of what some text expects."""
        actual: Any = outputs[0] if len(outputs) == 1 else outputs
        return judge(self.op, expected, actual, self.storage).conforms

    def also(self, more: Sequence[tuple[Case, Outputs]] = (), ask: Ask | None = None) -> Evidence:
        """The same and more that was seen, as a list of its own; what is right is shared.

        `ask` is another way to ask the same target.
        """
        other = Evidence(self.op, self.precision, [*self.seen, *more], ask or self.ask)
        other._judged, other._right, other._told = list(self._judged), self._right, self._told
        return other

    def forget(self) -> None:
        """Keep what was returned alone: the diagnosis is over."""
        self._judged.clear()
        self._right.clear()
        self._told.clear()

    def put(self, case: Case) -> Observation | None:
        """What the target makes of one more case, if anything; it is not added."""
        outputs = self.outputs(case)
        return None if outputs is None else self.judged(case, outputs)

    def outputs(self, case: Case) -> Outputs | None:
        """What the target makes of one more case, unjudged."""
        return self.ask(case) if self.ask else None


def _print_of(case: Case) -> bytes:
    """A digest of the numbers of an input, whatever they are called and however they lie."""
    digest = hashlib.blake2b(digest_size=16)
    for name, x in case.inputs.items():
        array = np.asarray(x) if x is not None else np.empty(0)
        about = f"{name} {array.dtype} {array.shape} {type(x).__name__};"
        digest.update(about.encode() + array.tobytes())
    return digest.digest()
