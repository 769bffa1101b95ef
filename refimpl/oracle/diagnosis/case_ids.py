"""Cases found again by the identifier that a report has for them."""

from __future__ import annotations

from collections.abc import Sequence

from refimpl.op import Op
from refimpl.oracle.cases.domains import within
from refimpl.oracle.cases.drawn import Case
from refimpl.oracle.cases.sizes import of_key
from refimpl.oracle.diagnosis.statistics import long_cases
from refimpl.oracle.targets.sessions import TargetError
from refimpl.registry import OPS


def find_case(case_id: str, only: Sequence[str] = ()) -> tuple[Op, Case]:
    """The case of an identifier such as attention/float32/0-17, in the domain of its target."""
    try:
        name, precision, key = case_id.split("/")
        op = within(OPS[name], only)
        if precision not in op.precisions:
            raise KeyError(precision)
        if key.startswith("long"):
            return op, next(c for c in long_cases(name, precision) if c.key == key)
        return op, of_key(op, precision, key)
    except (ValueError, KeyError, StopIteration):
        raise TargetError(
            f"{case_id}: no such case; expected OPERATION/PRECISION/KEY as in a report"
        ) from None
