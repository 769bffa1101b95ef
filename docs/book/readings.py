"""What a picture shows, in words that are read off its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from docs.book.plots import Line
from refimpl.op import Op

TURNS = 2  # a curve that turns more often goes up and down
SLACK = 0.01  # of a curve's height: what changes less stays


def digits(value: float) -> str:
    """A number in three digits, as text has it.

    >>> digits(-0.27846), digits(161.4), digits(2.5e-5), digits(0.0)
    ('−0.278', '161', '2.5e−5', '0')
    """
    text = f"{value + 0.0:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return text.replace("e-0", "e-").replace("-", "−")


def legs(x: np.ndarray, y: np.ndarray) -> list[tuple[int, float, float]]:
    """The parts of a curve that only rise, fall or stay: direction, and the place of each end."""
    turns = [
        k for k in range(1, len(y) - 1) if np.sign(y[k] - y[k - 1]) != np.sign(y[k + 1] - y[k])
    ]
    found: list[tuple[int, float, float]] = []
    for begin, end in zip([0, *turns], [*turns, len(y) - 1], strict=True):
        step = y[end] - y[begin]
        way = int(np.sign(step)) if abs(step) > SLACK * np.ptp(y) else 0
        if found and found[-1][0] == way:
            found.pop()
        found.append((way, x[end], y[end]))
    return found


def course(x: Any, y: Any) -> str:
    """What a curve does from left to right.

    >>> course(np.arange(4.0), np.array([3.0, 2.0, 2.5, 5.0]))
    'falls from 3 to 2 (at 1), then rises to 5'
    >>> course(np.arange(3.0), np.full(3, 0.5))
    'stays at 0.5'
    """
    x, y = (np.asarray(values, float) for values in (x, y))
    finite = np.isfinite(y)
    x, y = x[finite], y[finite]
    if len(y) < 2:
        return f"is {digits(y[0])}" if len(y) else "is not finite"
    parts = legs(x, y)
    if len(parts) == 1 and parts[0][0] == 0:
        return f"stays at {digits(y[0])}"
    if len(parts) > TURNS + 1:
        return f"goes up and down between {digits(y.min())} and {digits(y.max())}"
    verbs, said = {-1: "falls", 0: "stays near", 1: "rises"}, []
    for k, (way, end, height) in enumerate(parts):
        begin = f" from {digits(y[0])}" if k == 0 and way else ""
        reached = f" {digits(height)}" if way == 0 else f" to {digits(height)}"
        until = f" ({'at' if way else 'up to'} {digits(end)})" if k < len(parts) - 1 else ""
        said.append(verbs[way] + begin + reached + until)
    return ", then ".join(said)


def courses(lines: Sequence[Line], over: str) -> str:
    """What each of a few curves does over an argument, as a sentence."""
    if len(lines) == 1:
        return f"Over `{over}` it {course(lines[0].x, lines[0].y)}."
    told = "; ".join(f"`{line.label}` {course(line.x, line.y)}" for line in lines)
    return f"Over `{over}`: {told}."


def sides(op: Op, names: Sequence[str], ranks: dict[str, int]) -> str:
    """What the rows and the columns of the tables of a small case are."""
    specs = op.specs | dict(zip(op.outputs, op.returns, strict=True))
    told = []
    for name in names:
        axes = ["…" if dim == "..." else dim for dim in specs[name].dims[-min(ranks[name], 2) :]]
        if axes and ranks[name]:
            told.append(f"`{name}` {' × '.join(axes)}")
    return f"Rows × columns: {', '.join(told)}." if told else ""
