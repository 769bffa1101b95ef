"""Edited texts run on plain numbers: what they give, and whether that is the same."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from refimpl.oracle.cases.drawn import Case
from refimpl.oracle.diagnosis.search.pages import Candidate
from refimpl.oracle.judging.judge import Expected

GRID = tuple(10.0**k for k in range(-7, 5))


def fingerprint(results: Iterable[list[np.ndarray]]) -> bytes:
    """The bits of some results, to tell whether others are the same."""
    return b"".join(value.tobytes() for values in results for value in values)


def agree(these: list[list[Expected]], those: list[list[Expected]]) -> bool:
    """Whether two edited texts gave the same on every case, rounding aside."""
    return all(
        within([a.value], [Expected("", b.value, a.allowed + b.allowed)])
        for one, other in zip(these, those, strict=True)
        for a, b in zip(one, other, strict=True)
    )


def within(values: list[np.ndarray], own: list[Expected]) -> bool:
    """Whether all values are as near to those expected as is allowed."""
    return all(
        value.shape == want.value.shape
        and bool(
            (
                (value == want.value)
                | (np.isnan(value) & np.isnan(want.value))
                | (np.abs(value - want.value) <= want.allowed)
            ).all()
        )
        for value, want in zip(values, own)
    )


def text_of(candidate: Candidate, **names: Any) -> Callable[..., Any]:
    """The edited text, or a function that does nothing where the edit left none.

    `names` are values for what the edit has brought in.
    """
    try:
        return candidate.knowing(**names) if names else candidate.text
    except SyntaxError:
        return lambda **_: None


def values(text: Callable[..., Any], case: Case) -> list[np.ndarray] | None:
    """What an edited text gives in float64; None where it gives nothing."""
    try:
        result = text(**case.inputs)
        outputs = result if isinstance(result, tuple) else (result,)
        arrays = [np.asarray(output) for output in outputs]
        if any(array.dtype.kind not in "biuf" for array in arrays):
            return None
        return [array.astype(np.float64) for array in arrays]
    except Exception:  # an edited text may go wrong in any way
        return None


def in_turn(*sources: Iterable) -> Iterator:
    """One of each in turn, until all are used up."""
    waiting = [iter(source) for source in sources]
    while waiting:
        for source in tuple(waiting):
            try:
                yield next(source)
            except StopIteration:
                waiting.remove(source)


def roots(residual: Callable[[float], float]) -> Iterator[float]:
    """Numbers of either sign where a function of one number is nothing, found by bisection."""
    for sign in (1, -1):
        grid = [(sign * number, residual(sign * number)) for number in GRID]
        for (low, below), (high, above) in itertools.pairwise(grid):
            if not (math.isfinite(below) and math.isfinite(above)) or below * above > 0:
                continue
            if below == above:
                continue
            for _ in range(50):
                middle = (low + high) / 2
                here = residual(middle)
                if not math.isfinite(here):
                    break
                if here * below > 0:
                    low, below = middle, here
                else:
                    high = middle
            yield (low + high) / 2
