"""`python -m tests.audit.rules`: our bound beside the acceptance rules of others, on the same data.

Every listed mistake and every honest way of computing is judged in float32 by each rule. A good
rule finds all mistakes and rejects no honest way.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from refimpl.op import Op
from refimpl.oracle.cases.drawn import Case, generate
from refimpl.oracle.judging.judge import Expected, error_ratio, expect
from refimpl.registry import OPS
from tests.audit.audits import LARGEST_CASE, compute, size, ways
from tests.audit.simulated import STYLES, simulate

INPUTS = 40


def bound(want: Expected, found: np.ndarray, case: Case) -> bool:
    return bool(np.all(error_ratio(want, found) <= 1))


def tolerance(relative: float, absolute: float) -> Callable[[Expected, np.ndarray, Case], bool]:
    def rule(want: Expected, found: np.ndarray, case: Case) -> bool:
        with np.errstate(invalid="ignore"):
            near = np.abs(found - want.value) <= absolute + relative * np.abs(want.value)
        same = (found == want.value) | (np.isnan(found) & np.isnan(want.value))
        return bool(np.all(np.where(np.isfinite(want.value), near, same)))

    return rule


def normalised_square(limit: float) -> Callable[[Expected, np.ndarray, Case], bool]:
    def rule(want: Expected, found: np.ndarray, case: Case) -> bool:
        finite = np.isfinite(want.value)
        if not np.array_equal(np.isfinite(found), finite):
            return False
        error = np.sum((found[finite] - want.value[finite]) ** 2)
        return bool(error <= limit * np.sum(want.value[finite] ** 2))

    return rule


def ulps(factor: int) -> Callable[[Expected, np.ndarray, Case], bool]:
    """So many units in the last place of float32 for each term of the longest possible sum."""

    def rule(want: Expected, found: np.ndarray, case: Case) -> bool:
        n = max((max(np.shape(x), default=1) for x in case.inputs.values()), default=1)
        finite = np.isfinite(want.value)
        least = np.finfo(np.float32).tiny
        with np.errstate(over="ignore"):
            ulp = np.spacing(np.maximum(np.abs(want.value), least).astype(np.float32))
            near = np.abs(found - want.value) <= factor * n * ulp.astype(np.float64)
        same = (found == want.value) | (np.isnan(found) & np.isnan(want.value))
        return bool(np.all(np.where(finite, near & np.isfinite(found), same)))

    return rule


RULES = {
    "our bound": bound,
    "rtol 1e-3, atol 1e-7": tolerance(1e-3, 1e-7),
    "rtol 1.3e-6, atol 1e-5": tolerance(1.3e-6, 1e-5),
    "2 n ulp": ulps(2),
    "squared error 5e-4": normalised_square(5e-4),
}


@dataclass
class Tally:
    """How many mistakes each rule missed and how many honest results it rejected."""

    op: str
    mistakes: int = 0
    honest: int = 0
    missed: dict[str, int] = field(default_factory=lambda: dict.fromkeys(RULES, 0))
    rejected: dict[str, int] = field(default_factory=lambda: dict.fromkeys(RULES, 0))


def accepted(rule: Callable, wants: list[Expected], outputs: list[np.ndarray], case: Case) -> bool:
    return all(
        out.shape == want.value.shape and rule(want, np.asarray(out, dtype=np.float64), case)
        for want, out in zip(wants, outputs, strict=True)
    )


def tally(name: str) -> Tally:
    """Judge one operation's mistakes and honest ways by every rule."""
    op = OPS[name]
    count = Tally(name)
    cases = [case for case in generate(op, "float32", INPUTS) if size(case) <= LARGEST_CASE]
    wants = [expect(op, case.inputs, "float32") for case in cases]
    for edit in op.mistakes:
        wrong = op.edited(edit)
        results = [_mistaken(op, wrong, case) for case in cases]
        count.mistakes += 1
        for label, rule in RULES.items():
            seen = any(
                result is not None and not accepted(rule, want, result, case)
                for case, want, result in zip(cases, wants, results, strict=True)
            )
            count.missed[label] += not seen
    for case, want in zip(cases, wants, strict=True):
        for _, text, style in ways(op):
            with np.errstate(all="ignore"):
                outputs = compute(op, text, style, case)
            if outputs is None:
                continue
            count.honest += 1
            for label, rule in RULES.items():
                count.rejected[label] += not accepted(rule, want, outputs, case)
    return count


def _mistaken(op: Op, wrong: Callable, case: Case) -> list[np.ndarray] | None:
    try:
        with np.errstate(all="ignore"):
            return simulate(wrong, case.inputs, "float32", STYLES[0])
    except Exception:
        pass  # not every mistake is written in functions that the simulation knows
    try:
        with np.errstate(all="ignore"):
            result = wrong(**case.inputs)
    except (ValueError, IndexError, TypeError, ZeroDivisionError):
        return None
    outputs = result if isinstance(result, tuple) else (result,)
    return [np.asarray(out, dtype=np.float32).astype(np.float64) for out in outputs]


PAGE = """# Our bound beside the acceptance rules of others

Made by `make rules`: every listed mistake, and every honest way of computing in float32 (see
[bounds.md](bounds.md)), on the same {inputs} random inputs and the probes of each operation.
`missed` counts mistakes that a rule accepts on every input, `rejected` honest results that it
refuses. The rules are those of conformance suites and test helpers for float32. The data are ours,
so the numbers say nothing about the suites themselves.

| rule | mistakes missed of {mistakes} | honest results rejected of {honest} |
|---|---:|---:|
{summary}

Missed mistakes and rejected results by operation, in the order of the rules above:

| operation | mistakes | missed | honest results | rejected |
|---|---:|---|---:|---|
{rows}
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.audit.rules", description=__doc__)
    parser.add_argument("ops", nargs="*", help="default: all")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--page", type=Path, help="write the table to this file")
    options = parser.parse_args()
    names = options.ops or list(OPS)
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        tallies = list(pool.map(tally, names))
    summary = "\n".join(
        f"| {label} | {sum(t.missed[label] for t in tallies)} "
        f"| {sum(t.rejected[label] for t in tallies)} |"
        for label in RULES
    )
    rows = "\n".join(
        f"| {t.op} | {t.mistakes} | {' / '.join(str(t.missed[r]) for r in RULES)} "
        f"| {t.honest} | {' / '.join(str(t.rejected[r]) for r in RULES)} |"
        for t in tallies
    )
    page = PAGE.format(
        inputs=INPUTS,
        mistakes=sum(t.mistakes for t in tallies),
        honest=sum(t.honest for t in tallies),
        summary=summary,
        rows=rows,
    )
    print(page)
    if options.page:
        options.page.write_text(page)
    ours = "our bound"
    return int(any(t.missed[ours] or t.rejected[ours] for t in tallies))


if __name__ == "__main__":
    sys.exit(main())
