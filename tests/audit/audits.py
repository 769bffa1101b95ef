"""Soundness and sharpness of one operation's bound.

Sound: no honest way of computing is rejected. Sharp: the worst honest error comes near the allowed
one, and every known mistake is far beyond it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from refimpl.axes import Kind
from refimpl.op import Op
from refimpl.oracle.cases.drawn import Case, generate, rounded
from refimpl.oracle.judging.judge import Expected, error_ratio, expect
from refimpl.oracle.numbers.precisions import PRECISIONS, kernel
from refimpl.registry import OPS
from tests.audit.judged import Judged, judged
from tests.audit.rewrites import FLOAT32_ONLY, REWRITES
from tests.audit.simulated import STYLES, Style, simulate

REWRITTEN_STYLES = tuple(s for s in STYLES if s.name in ("pairwise", "fused", "all at once"))
LARGEST_CASE = 20_000  # numbers; larger cases only repeat what smaller ones show
LARGEST_BRIEF = 600
CLIMBS = 150


@dataclass
class Audit:
    """What the audit of one operation found."""

    op: str
    inputs: int = 0
    ways: int = 0
    trials: int = 0
    rejections: int = 0
    worst: float = 0.0
    way: str = ""
    case: Case | None = None
    example: str = ""
    mistakes: int = 0
    least_mistake: float = np.inf
    exact: bool = False
    chosen: bool = False  # an index: right or wrong, and no honest way comes near being wrong
    seconds: float = 0.0
    counts: list[Judged] = field(default_factory=list)  # what was judged, a precision an entry


def ways(op: Op) -> list[tuple[str, object, Style | None]]:
    """The honest ways to compute an operation: styles, rewritten forms, and NumPy itself."""
    found: list[tuple[str, object, Style | None]] = [("float32 NumPy", op.text, None)]
    found += [(style.name, op.text, style) for style in STYLES]
    for form in REWRITES.get(op.name, ()):
        name = form.__name__.removeprefix(op.name + "_").replace("_", " ")
        found += [(f"{name}, {style.name}", form, style) for style in REWRITTEN_STYLES]
    return found


def compute(op: Op, text: object, style: Style | None, case: Case) -> list[np.ndarray] | None:
    """One honest result, or None where this way does not exist for the case."""
    if text is not op.text and case.precision not in ("float32", "float64"):
        return None  # a rewritten form spells out its sums, which half formats keep in float32
    if text in FLOAT32_ONLY and case.precision != "float32":
        return None
    if style is not None:
        return simulate(text, case.inputs, case.precision, style)
    if case.precision not in ("float32", "float64"):
        return None
    dtype = np.dtype(case.precision)
    inputs = {
        name: x.astype(dtype) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x
        for name, x in case.inputs.items()
    }
    result = text(**inputs)
    return [np.asarray(y) for y in (result if isinstance(result, tuple) else (result,))]


def ratios(
    op: Op, case: Case, loose: list[Expected], expected: list[Expected]
) -> Iterator[tuple[str, float]]:
    """Error ÷ allowed of every honest way on one case.

    What computes in a half format throughout is held to the bound for that, whatever that says.
    """
    p = PRECISIONS[case.precision]
    for name, text, style in ways(op):
        with np.errstate(all="ignore"):
            outputs = compute(op, text, style, case)
        if outputs is not None:
            yield name, furthest(loose if kernel(p) else expected, outputs)
    for style in REWRITTEN_STYLES if kernel(p) else ():
        with np.errstate(all="ignore"):
            outputs = simulate(op.text, case.inputs, "float32", style)
        yield f"{style.name}, stored in half", furthest(expected, [p.round(y) for y in outputs])


def furthest(expected: list[Expected], outputs: list[np.ndarray]) -> float:
    """The largest error ÷ allowed of all outputs."""
    return max(
        float(np.max(error_ratio(want, np.asarray(out, dtype=np.float64)), initial=0.0))
        for want, out in zip(expected, outputs, strict=True)
    )


def is_changed(kind: Kind) -> bool:
    """Whether the search for the worst case may change such numbers."""
    return kind.free or kind.hides


def climb(op: Op, audit: Audit, steps: int) -> None:
    """Change the worst case number by number to make its ratio larger."""
    rng = np.random.default_rng(0)
    case = audit.case
    arrays = [
        name
        for name, x in (case.inputs.items() if case else ())
        if isinstance(x, np.ndarray) and x.size and is_changed(op.specs[name].kind)
    ]
    text, style = next(((t, s) for n, t, s in ways(op) if n == audit.way), (None, None))
    for _ in range(steps if arrays and text else 0):
        name = arrays[rng.integers(len(arrays))]
        changed = case.inputs[name].copy()
        place = rng.integers(changed.size)
        old = changed.flat[place]
        choices = (old * (1 + rng.normal() * 2.0 ** -rng.integers(0, 24)), -old, rng.normal(), 0.0)
        changed.flat[place] = choices[rng.choice(4, p=(0.6, 0.1, 0.25, 0.05))]
        inputs = rounded(op, {**case.inputs, name: changed}, case.precision)
        climbed = replace(case, inputs=inputs, key="climbed")
        expected = expect(op, inputs, case.precision)
        with np.errstate(all="ignore"):
            outputs = compute(op, text, style, climbed)
        worst = furthest(expected, outputs)
        audit.trials += 1
        if worst > 1:
            audit.rejections += 1
            audit.example = f"climbed from {audit.case.id} with {audit.way}"
        if worst > audit.worst:
            audit.worst, case = worst, climbed


def mistakes(op: Op, audit: Audit, count: int) -> None:
    """The smallest factor by which a known mistake exceeds the bound."""
    cases = [c for c in generate(op, "float32", count) if size(c) <= LARGEST_CASE]
    expected = [expect(op, case.inputs, "float32") for case in cases]
    for edit in op.mistakes:
        wrong, reached = op.edited(edit), 0.0
        for case, wants in zip(cases, expected, strict=True):
            try:
                with np.errstate(all="ignore"):
                    result = wrong(**case.inputs)
            except (ValueError, IndexError, TypeError, ZeroDivisionError):
                continue
            outputs = result if isinstance(result, tuple) else (result,)
            for want, out in zip(wants, outputs, strict=True):
                out = np.asarray(out, dtype=np.float64)
                same = out.shape == want.value.shape
                ratio = np.max(error_ratio(want, out), initial=0.0) if same else np.inf
                reached = max(reached, float(ratio))
        audit.mistakes += 1
        audit.least_mistake = min(audit.least_mistake, reached)


def size(case: Case) -> int:
    return max((np.size(x) for x in case.inputs.values()), default=0)


def audit_op(name: str, inputs: int, others: int, seed: int, brief: bool = False) -> Audit:
    """Audit one operation: many inputs in float32, some in every other precision.

    A brief audit asks for soundness alone, on small inputs.
    """
    largest, climbs = (LARGEST_CASE, CLIMBS) if not brief else (LARGEST_BRIEF, 0)
    started = time.monotonic()
    op = OPS[name]
    audit = Audit(name, ways=len(ways(op)))
    audit.exact = True
    for precision in sorted(op.precisions, key=lambda p: p != "float32"):
        if precision not in PRECISIONS:
            continue
        count = inputs if precision == "float32" else others
        if not brief:  # of as many inputs in each: one large case decides among few
            drawn = (c for c in generate(op, precision, inputs, seed) if size(c) <= largest)
            audit.counts.append(judged(op, precision, drawn))
        for case in generate(op, precision, count, seed):
            if size(case) > largest:
                continue
            audit.inputs += 1
            loose = expect(op, case.inputs, precision, throughout=True)
            expected = expect(op, case.inputs, precision)
            audit.chosen = audit.chosen or all(want.choice is not None for want in expected)
            if audit.exact and precision == "float32":
                audit.exact = not any(want.allowed.any() for want in expected)
            for way, worst in ratios(op, case, loose, expected):
                audit.trials += 1
                if worst > 1:
                    audit.rejections += 1
                    audit.example = audit.example or f"{case.id} with {way}"
                elif precision == "float32" and worst > audit.worst:
                    audit.worst, audit.way, audit.case = worst, way, case
    climb(op, audit, climbs)
    if not brief:
        mistakes(op, audit, 64)
    audit.seconds = time.monotonic() - started
    audit.case = None
    return audit
