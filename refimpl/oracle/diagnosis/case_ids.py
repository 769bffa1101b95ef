"""Cases found again by the identifier that a report has for them."""

from __future__ import annotations

from collections.abc import Sequence

from refimpl.op import Op
from refimpl.oracle.cases.domains import within
from refimpl.oracle.cases.drawn import Case
from refimpl.oracle.cases.sizes import numbered
from refimpl.oracle.diagnosis.statistics import long_cases
from refimpl.oracle.targets.sessions import TargetError
from refimpl.registry import OPS


def find_case(case_id: str, only: Sequence[str] = ()) -> tuple[Op, Case]:
    """The case of an identifier such as attention/float32/0-17, in the domain of its target."""
    try:
        name, precision, number = case_id.split("/")
        op = within(OPS[name], only)
        if precision not in op.precisions:
            raise KeyError(precision)
        if number.startswith("long"):
            return op, next(c for c in long_cases(name, precision) if c.number == number)
        return op, numbered(op, precision, number)
    except (ValueError, KeyError, StopIteration):
        raise TargetError(
            f"{case_id}: no such case; expected OPERATION/PRECISION/NUMBER as in a report"
        ) from None
