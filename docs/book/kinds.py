"""The kinds of pictures of operations: tables, curves, slices, slopes.

Each kind makes a function that draws an operation by calling its text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from docs.book.plots import BECOMES, INKS, Line, Picture, chart, heat, number
from docs.book.readings import courses, sides
from refimpl.gradients import GRADIENT, base, differentiated
from refimpl.op import Op
from refimpl.oracle.cases.drawn import FAMILIES, FAMILIES_WITHOUT_ZEROS, RandomSource, draw_all
from refimpl.registry import OPS

SIZES = {"B": 1, "texts": 2, "T": 20, "H": 2, "G": 2, "C": 2, "R": 1, "P": 2, "levels": 12}
SIZES |= {"rows": 2, "cols": 3, "channels": 1, "cuts": 2, "side": 4, "E": 2, "K": 4, "O": 3}
SIZES |= {"D": 5, "M": 4, "N": 4, "V": 6, "S": 2, "Q": 3, "height": 6, "width": 6}
SIZES |= {"tall": 4, "wide": 4}
POINTS = 81
MOST = 3  # panels of curves
MANY = 6  # tables that are shown; of more, those that are no weights
TRIED = 24  # numbers of an argument among which the one that matters is sought
Drawing = Callable[[Op], Picture]


class Calm(RandomSource):
    """Numbers with one digit behind the point, nothing left out, no extreme family."""

    def choice(self, options: Any) -> Any:
        families = options in (FAMILIES, FAMILIES_WITHOUT_ZEROS)
        return "normal" if families else list(options)[len(options) // 2]

    def normal(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.round(super().normal(shape), 1)

    def absent(self) -> bool:
        return False

    def narrowed(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape


def drawn_case(op: Op, sizes: dict[str, int] | None = None, /, **given: Any) -> dict[str, Any]:
    """Small arguments for an operation, the same at each build; `given` are not drawn."""
    names = {name for spec in op.specs.values() for name in spec.names()}
    chosen = {name: SIZES.get(name, 3) for name in names} | (sizes or {})
    dots = (1, 4) if any(spec.dims[-1:] == ["..."] for spec in op.specs.values()) else (3,)
    source = Calm([7, *base(op).encode()], plain=True)
    found = draw_all(op, source, chosen, dots) | given
    return op.read(**found)


def results(op: Op, inputs: dict[str, Any]) -> tuple[Any, ...]:
    """All outputs of the operation's own text."""
    with np.errstate(all="ignore"):
        found = op.text(**inputs)
    return found if isinstance(found, tuple) else (found,)


def reals(op: Op) -> list[str]:
    """The arguments that are arrays of real numbers."""
    return [n for n, spec in op.specs.items() if not (spec.scalar or spec.kind.integer)]


def slice_of(array: np.ndarray) -> tuple[np.ndarray, str]:
    """The first table of an array of more axes, and how it is indexed."""
    array = np.asarray(array)
    if array.ndim <= 2:
        return array, ""
    first = (0,) * (array.ndim - 2)
    return array[first], f"[{', '.join('0' for _ in first)}]"


def as_tables(sizes: dict[str, int] | None = None, says: str = "", **given: Any) -> Drawing:
    """Arguments and results of one small case as tables of colours."""

    def draw(op: Op) -> Picture:
        inputs = drawn_case(op, sizes, **given)
        shown = {
            name: value
            for name, value in inputs.items()
            if value is not None and not op.specs[name].scalar
        }
        left_out = set() if len(shown) <= MANY else set(shown) - set(streams(op, shown))
        shown = {name: value for name, value in shown.items() if name not in left_out}
        panels = [titled(name, value) for name, value in shown.items()]
        scalars = [f"{n} = {inputs[n]:g}" for n, spec in op.specs.items() if spec.scalar]
        found = dict(zip(op.outputs, results(op, inputs), strict=True))
        panels += [BECOMES, *(titled(name, value) for name, value in found.items())]
        ranks = {name: np.ndim(value) for name, value in (shown | found).items()}
        told = f", with {', '.join(scalars)}" if scalars else ""
        made = f"`{op.name}` on one small case{told}: the arguments, and after the arrow "
        made += f"the result. {sides(op, list(ranks), ranks)}"
        if left_out:
            made += f" Not shown: {len(left_out)} arguments that all samples share."
        return Picture(tuple(panels), says or made)

    return draw


def streams(op: Op, names: Iterable[str]) -> list[str]:
    """The arguments that have the first axis of the result, which weights do not have."""
    first = op.returns[0].dims[:1]
    return [name for name in names if op.specs[name].dims[:1] == first]


def titled(name: str, value: Any) -> str:
    """One array under its name."""
    table, where = slice_of(value)
    return heat(name + where, table)


def over(values: np.ndarray | None = None, log: str = "", says: str = "", **given: Any) -> Drawing:
    """The result of an operation on one array, entry by entry, as a curve."""

    def draw(op: Op) -> Picture:
        (name, *others) = reals(op)
        x = span(op, name) if values is None else values
        lines = []
        for level in (1.0, 2.0, -1.0) if others else (0.0,):
            inputs = drawn_case(op, **given, **{name: x}, **dict.fromkeys(others, x * 0 + level))
            for output, y in zip(op.outputs, results(op, inputs), strict=True):
                told = [f"{o} = {level:g}" for o in others] + [output] * (len(op.outputs) > 1)
                lines.append(Line(", ".join(told), x, y))
        panel = chart(op.name, lines, name, "result" if len(op.outputs) == 1 else "", log)
        return Picture((panel,), says or f"The result of `{op.name}`. {courses(lines, name)}")

    return draw


def span(op: Op, name: str) -> np.ndarray:
    """Where an argument is defined, from -5 to 5 at most; an end that is left out is kept off."""
    kind = op.specs[name].kind
    low, high = max(-5.0, kind.low), min(5.0, kind.high)
    edge = (high - low) / (2 * POINTS)
    return np.linspace(low + edge * kind.open_low, high - edge * kind.open_high, POINTS)


def along_index(says: str = "", log: str = "", **given: Any) -> Drawing:
    """Tables that are made of sizes, numbers or other tables, over their index."""

    def draw(op: Op) -> Picture:
        inputs, panels = drawn_case(op, **given), []
        tables = [name for name in reals(op) if np.ndim(inputs[name]) == 1]
        lines = [Line(name, np.arange(len(inputs[name])), inputs[name], "dots") for name in tables]
        for name, y in zip(op.outputs, results(op, inputs), strict=True):
            if np.ndim(y) == 1:
                lines.append(Line(name, np.arange(len(y)), y, "dots"))
            else:
                panels.append(titled(name, y))
        scalars = [f"{n} = {inputs[n]:g}" for n, spec in op.specs.items() if spec.scalar]
        if lines:
            panels.insert(0, chart(op.name, lines, "index", "", log))
        told = f" for {', '.join(scalars)}" if scalars else ""
        ranks = {n: np.ndim(y) for n, y in zip(op.outputs, results(op, inputs), strict=True)}
        grids = [name for name, rank in ranks.items() if rank > 1]
        made = f"What `{op.name}` returns{told}, entry by entry."
        made += f" {courses(lines, 'index')}" if lines else f" {sides(op, grids, ranks)}".rstrip()
        return Picture(tuple(panels), says or made)

    return draw


def reach(op: Op, name: str, middle: float) -> np.ndarray:
    """Places around a number at which its argument is defined."""
    kind = op.specs[name].kind
    if kind.integer:
        return np.arange(max(kind.low, middle - 4), middle + 5)
    low, high = middle - 2.5, middle + 2.5
    if np.isfinite(kind.low):
        low = max(low, kind.low + (0.05 if kind.open_low else 0))
    if np.isfinite(kind.high):
        high = min(high, kind.high)
    return np.linspace(low, high, POINTS)


def replaced(inputs: dict[str, Any], name: str, place: tuple[int, ...], value: Any) -> dict:
    """The arguments with one number of one of them exchanged."""
    if np.ndim(inputs[name]) == 0:
        return inputs | {name: value}
    changed = np.array(inputs[name])
    changed[place] = value
    return inputs | {name: changed}


def entry(name: str, place: tuple[int, ...]) -> str:
    """How one number of an argument is written."""
    return f"{name}[{', '.join(map(str, place))}]" if place else name


def slices(*names: str, at: Any = None, says: str = "", ylabel: str = "", **given: Any) -> Drawing:
    """The result over single numbers of the arguments, all others fixed."""

    def draw(op: Op) -> Picture:
        inputs, panels, told = drawn_case(op, **given), [], []
        for name in names or reals(op)[:MOST]:
            place = (0,) * np.ndim(inputs[name]) if names else loudest(op, inputs, name)
            x = reach(op, name, float(np.asarray(inputs[name])[place])) if at is None else at
            rows = [results(op, replaced(inputs, name, place, v)) for v in x]
            lines, where = curves(op, x, rows), entry(name, place)
            panels.append(chart(op.name, lines, where, ylabel))
            told.append(courses(lines, where))
        made = f"`{op.name}` as one number changes and all others stay. {' '.join(told)}"
        return Picture(tuple(panels), says or made)

    return draw


def loudest(op: Op, inputs: dict[str, Any], name: str) -> tuple[int, ...]:
    """The number of an argument that changes the result most, among the first of them."""
    value, before = np.asarray(inputs[name]), np.ravel(results(op, inputs)[0])

    def change(place: tuple[int, ...]) -> float:
        x = reach(op, name, float(value[place]))
        ends = (results(op, replaced(inputs, name, place, v))[0] for v in (x[0], x[-1]))
        moved = [np.abs(np.ravel(end) - before) for end in ends]
        return float(np.max(np.where(np.isfinite(moved), moved, 0), initial=0))

    return max(list(np.ndindex(value.shape))[:TRIED], key=change, default=())


def curves(op: Op, x: np.ndarray, rows: list[tuple[Any, ...]]) -> list[Line]:
    """The first entries of all outputs, a line each; between whole numbers there is none."""
    lines, kind = [], "dots" if np.asarray(x).dtype.kind == "i" else "line"
    for i, output in enumerate(op.outputs):
        values = np.stack([np.ravel(row[i])[:INKS] for row in rows])  # places entries
        whole = values.shape[1] == 1
        for k, y in enumerate(values.T):
            lines.append(Line(output if whole else f"{output}[{k}]", x, y, kind))
    return [Line("", x, lines[0].y, kind)] if len(lines) == 1 else lines[:INKS]


def slope(op: Op) -> Picture:
    """A gradient as what it is: the slope of its operation, touched at three places."""
    forward = OPS[base(op)]
    inputs = drawn_case(forward)
    shown = results(forward, inputs)[0]
    grad = Calm([8, *op.name.encode()]).normal(np.shape(shown)) if np.ndim(shown) else 1.0
    names = differentiated(op)[:MOST]
    drawn = [
        tangent_panel(op, forward, inputs, grad, output, name) for output, name in enumerate(names)
    ]
    what = "the result" if np.ndim(grad) == 0 else "the sum of `grad` times the result"
    told = "; ".join(f"`{name}{GRADIENT}` {slopes}" for name, (_, slopes) in zip(names, drawn))
    says = f"Curve: {what} of `{forward.name}` as one number of an argument changes. The "
    says += f"tangents have the slopes that `{op.name}` gives at three places, {told}."
    return Picture(tuple(panel for panel, _ in drawn), says)


def tangent_panel(
    op: Op, forward: Op, inputs: dict[str, Any], grad: Any, output: int, name: str
) -> tuple[str, str]:
    """The curve over the number that the gradient says matters most, and its three tangents."""
    inputs = op_whole(forward, inputs, name)

    def gradient(given: dict[str, Any]) -> np.ndarray:
        known = {n: v for n, v in given.items() if n in op.specs}
        return np.asarray(results(op, op.read(**known, grad=grad))[output])

    def height(given: dict[str, Any]) -> float:
        return float(np.sum(np.asarray(grad) * results(forward, given)[0]))

    first = np.abs(gradient(inputs))
    place = tuple(int(i) for i in np.unravel_index(int(np.argmax(first)), first.shape))
    x = reach(forward, name, float(np.asarray(inputs[name])[place]))
    y = [height(replaced(inputs, name, place, v)) for v in x]
    tangents = []
    for i in (POINTS // 6, POINTS // 2, POINTS - 1 - POINTS // 6):
        found = gradient(replaced(inputs, name, place, x[i]))[place]
        tangents.append((float(x[i]), float(y[i]), float(found)))
    ylabel = "result" if np.ndim(grad) == 0 else "sum of grad · result"
    drawn = chart(name + GRADIENT, [Line("", x, y)], entry(name, place), ylabel, tangents=tangents)
    return drawn, ", ".join(number(found) for *_, found in tangents)


def op_whole(op: Op, inputs: dict[str, Any], name: str) -> dict[str, Any]:
    """The arguments with the named one written out in all of its axes."""
    value = inputs[name]
    return inputs if value is None else inputs | {name: np.array(value, float)}
