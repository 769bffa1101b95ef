"""What a dialect says, rounded to what a target stores, is recognised as that dialect."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from refimpl.op import Op
from refimpl.oracle.cases.drawn import Case
from refimpl.oracle.diagnosis.ask_back import fit, predict
from refimpl.oracle.diagnosis.causes import causes
from refimpl.oracle.diagnosis.evidence import Evidence
from refimpl.oracle.diagnosis.roundings import inside
from refimpl.oracle.numbers.precisions import PRECISIONS
from refimpl.registry import OPS
from tests.harness import cases, outputs

TRIED = 12  # inputs on which a dialect may differ
ENOUGH = 2  # on which it does
SPOKEN = [(name, e.id) for name, op in OPS.items() for e in op.dialects]


@functools.lru_cache(maxsize=8)
def evidence(name: str, precision: str) -> Evidence:
    """Where what is right is kept for all dialects of an operation."""
    return Evidence(OPS[name], precision)


def recognised(op: Op, dialect: str, precision: str) -> list[bool | None]:
    """Whether its own text explains each of its deviations; None where a bound allows all."""
    (edit,) = (e for e in op.dialects if e.id == dialect)
    text, known = op.edited(edit), evidence(op.name, precision)
    found: list[bool | None] = []
    for case in cases(op, precision, TRIED):
        with np.errstate(all="ignore"):
            said = [np.asarray(x).astype(known.storage) for x in outputs(text(**case.inputs))]
        answer = known.judged(case, said)
        if answer.fails:
            found.append(fit(op, predict(op, text, case), answer, text))
        if found.count(True) == ENOUGH:
            break
    return found


@pytest.mark.parametrize(("name", "dialect"), SPOKEN)
def test_every_dialect_is_recognised_in_every_precision(name, dialect):
    told = {p: recognised(OPS[name], dialect, p) for p in OPS[name].precisions}
    refused = [p for p, found in told.items() if False in found or (found and True not in found)]
    assert refused == []
    assert any(found for found in told.values()), "no input shows what is different"


def test_what_a_dialect_gives_exactly_is_no_noise():
    """The bound of what computes in a half format inside is wide enough for it as well."""
    op, precision = OPS["smoothed_cross_entropy"], "bfloat16"
    (edit,) = (e for e in op.dialects if e.id == "smoothed_cross_entropy/over-the-others")
    text = op.edited(edit)

    def ask(case: Case) -> list[np.ndarray]:
        with np.errstate(all="ignore"):
            return [np.asarray(text(**case.inputs)).astype(PRECISIONS[precision].dtype())]

    drawn = Evidence(op, precision, ((c, ask(c)) for c in cases(op, precision, 24)))
    some = [a for place, a in enumerate(drawn) if place < TRIED or a.fails]
    told = Evidence(op, precision, [(a.case, a.outputs) for a in some], ask)
    assert inside(told) != []
    (cause,) = causes(told)
    assert (cause.kind, cause.id) == ("dialect", edit.id)
