"""Are the bounds of texts that are not ours sound? A hundred texts, honest orders, drawn inputs.

`python -m tests.audit.hundred --inputs 1000` draws inputs for every text of examples/kernels and
computes each in several honest ways: NumPy in float32, float64 rounded once, and simulated orders
of summation, fused or not. Whatever lies outside the bound is a false rejection, and printed.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from refimpl import own
from refimpl.op import Op
from refimpl.oracle.cases.drawn import Case, random_case
from refimpl.oracle.judging.judge import error_ratio, expect
from refimpl.oracle.numbers.places import NoRule
from tests.audit.simulated import STYLES, simulate

PLACE = Path(__file__).resolve().parents[2] / "examples" / "kernels"


def texts() -> Iterator[Op]:
    """The operations of all pages."""
    for path in sorted(PLACE.glob("[a-z]*.py")):
        yield from own.page(path)


def honest(op: Op, case: Case) -> Iterator[tuple[str, Any]]:
    """What honest implementations give for a case, each with a name."""
    stored = case.typed(op)
    yield "NumPy in float32", op.text(**stored)
    yield "float64, rounded once", np.asarray(op.text(**case.inputs))
    for style in STYLES:
        try:
            (found,) = simulate(op.text, case.inputs, case.precision, style)
        except NoRule:
            continue
        yield style.name, found


def judged(op: Op, case: Case) -> Iterator[tuple[str, float]]:
    """The error ÷ allowed of each honest result; exact choices and infinities count as well."""
    (want,) = expect(op, case.inputs, case.precision)
    for name, found in honest(op, case):
        found = np.asarray(found)
        if want.allowed.any() and want.choice is None:
            found = found.astype(np.float32)
        yield name, float(np.max(error_ratio(want, found.astype(np.float64)), initial=0.0))


def audit(op: Op, count: int, seed: int) -> tuple[int, float, list[str]]:
    """How many results were judged, the worst ratio, and what was rejected."""
    results, worst, rejected = 0, 0.0, []
    for i in range(count):
        case = random_case(op, "float32", seed, i)
        for name, ratio in judged(op, case):
            results, worst = results + 1, max(worst, ratio)
            if ratio > 1:
                rejected.append(f"{case.id} by {name}: {ratio:.3g} × the allowed error")
    return results, worst, rejected


def main() -> None:
    """Print a line a text, and every false rejection."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--inputs", type=int, default=20)
    options.add_argument("--seconds", type=float, default=np.inf, help="for all texts together")
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    end, total, wrong = time.monotonic() + chosen.seconds, 0, 0
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for op in texts():
            if time.monotonic() > end:
                print("the time is over")
                break
            results, worst, rejected = audit(op, chosen.inputs, chosen.seed)
            total, wrong = total + results, wrong + len(rejected)
            print(f"{op.name:<32} {results:>7} {worst:8.3f}")
            print(*(f"  {line}\n" for line in rejected[:3]), sep="", end="")
    print(f"{wrong} of {total} honest results rejected")


if __name__ == "__main__":
    main()
