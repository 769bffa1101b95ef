"""How much of the answers is judged: elements whose allowed error is smaller than the answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from refimpl.op import Op
from refimpl.oracle.cases.drawn import Case
from refimpl.oracle.judging.judge import Expected, expect, unjudged

MOST = 0.03  # of the elements of an operation in one precision: more left unjudged fail the audit
CEILINGS = {  # where scores in the hundreds leave a format no digits to decide by
    "multi_head_attention_vjp": 0.09,
}


@dataclass
class Judged:
    """The elements of one operation in one precision, and how many of them nothing is said of."""

    op: str
    precision: str
    elements: int = 0
    throughout: int = 0  # unjudged by the bound for arithmetic in the precision throughout
    left: int = 0  # unjudged by all bounds that a run has
    likely: int = 0  # judged by what independent roundings come to

    @property
    def share(self) -> float:
        """The part that is not judged."""
        return self.left / self.elements if self.elements else 0.0

    @property
    def enough(self) -> bool:
        """Whether so much is judged that the operation can be said to be."""
        return self.share <= CEILINGS.get(self.op, MOST)

    def add(self, loose: Iterable[Expected], expected: Iterable[Expected]) -> None:
        """Count the elements of one case, by the bound throughout and by all of them."""
        for before, after in zip(loose, expected, strict=True):
            self.elements += after.value.size
            self.throughout += unjudged(before)
            self.left += unjudged(after)
            self.likely += 0 if after.likely is None else int(np.count_nonzero(after.likely))


def judged(op: Op, precision: str, cases: Iterable[Case]) -> Judged:
    """Count over some cases."""
    count = Judged(op.name, precision)
    for case in cases:
        loose = expect(op, case.inputs, precision, throughout=True)
        count.add(loose, expect(op, case.inputs, precision))
    return count


HEAD = [
    "| operation | precision | elements | throughout | not judged | share | by √n |",
    "|---|---|---:|---:|---:|---:|---:|",
]


def rows(counts: Iterable[Judged]) -> list[str]:
    """The counts as lines of Markdown, one wherever something is not judged, before or after."""
    return [
        f"| {c.op} | {c.precision} | {c.elements} | {c.throughout} | {c.left} "
        f"| {100 * c.share:.2g} % | {c.likely} |"
        for c in counts
        if c.throughout or c.left
    ]
