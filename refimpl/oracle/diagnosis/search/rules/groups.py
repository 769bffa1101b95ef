"""Groups of entries that are not those meant: neighbours in a block, pieces of another order."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator

from refimpl.oracle.diagnosis.search.nodes import make, number, numpy_name, span
from refimpl.oracle.diagnosis.search.registry import Edits, rule
from refimpl.oracle.diagnosis.search.rules.padding import BLOCKS
from refimpl.oracle.diagnosis.search.writer import Writer

NEIGHBOURS = "neighbours take part"
FILLED = "padding takes part"
MOST = 2  # reductions in one function
GROUPED = {  # the mean of each group, where groups are along axis 1 and their members along axis 2
    "groups along the samples": "np.mean_of_samples(A)",
    **{
        f"groups cut in the order {order} of memory": f"np.mean_of_pieces(A, {order})"
        for order in ((0, *rest) for rest in itertools.permutations((1, 2, 3, 4)))
        if order[1] != 1  # within a group the order does not matter
    },
}


def _axes(node: ast.Call) -> tuple[int, ...]:
    """The axes of a reduction that keeps them, by number; none of another call."""
    axis = next((k.value for k in node.keywords if k.arg == "axis"), None)
    kept = any(k.arg == "keepdims" for k in node.keywords)
    if not kept or axis is None or numpy_name(node.func) not in ("sum", "mean"):
        return ()
    numbers = [number(e) for e in (axis.elts if isinstance(axis, ast.Tuple) else [axis])]
    return tuple(n for n in numbers if isinstance(n, int))


@rule(ast.Call)
def grouped_otherwise(at: Writer, node: ast.Call) -> Edits:
    """The mean over other groups than those meant.

    >>> grouped_otherwise.tried("np.mean(x, axis=(2, 3, 4), keepdims=True)", "x")
    ['np.mean_of_samples(x)', 'np.mean_of_pieces(x, (0, 2, 1, 3, 4))']
    """
    if numpy_name(node.func) == "mean" and _axes(node) == (2, 3, 4):
        for what, template in GROUPED.items():
            yield node, make(template, A=node.args[0]), what


class _Longer(ast.NodeTransformer):
    """Reductions that see, some of them, the longer array in the place of the right one."""

    def __init__(self, ways: tuple[str, ...], known: dict[str, ast.expr], base: str) -> None:
        self.ways, self.known, self.base = iter(ways), known, base

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Replace one reduction."""
        axes = _axes(node)
        if not axes:
            return self.generic_visit(node)
        way = next(self.ways)
        if way == "right":
            return node
        entries = make("there * A", A=self._longer(node.args[0]))
        total = ast.Call(make("np.sum"), [entries], node.keywords)
        if numpy_name(node.func) == "sum":
            return total
        over = "there" if way == "counted" else self.base
        sizes = " * ".join(f"{over}.shape[{axis}]" for axis in axes)
        return make("A / (B)", A=total, B=make(sizes))

    def _longer(self, node: ast.expr) -> ast.expr:
        """An expression of the right array, as one of the longer one."""
        whole = _in_place(ast.parse(ast.unparse(node), mode="eval").body, self.known)
        return _in_place(whole, {self.base: ast.Name("longer")})


def _in_place(node: ast.expr, known: dict[str, ast.expr]) -> ast.expr:
    """An expression with what names stand for in their places."""

    class Fill(ast.NodeTransformer):
        def visit_Name(self, name: ast.Name) -> ast.expr:
            return known.get(name.id, name)

    return Fill().visit(node)


def _elementwise(steps: list[ast.stmt], base: str) -> dict[str, ast.expr]:
    """What names stand for that are made of an array entry by entry."""
    known: dict[str, ast.expr] = {}
    for step in steps:
        if isinstance(step, ast.Assign) and isinstance(step.targets[0], ast.Name):
            names = {n.id for n in ast.walk(step.value) if isinstance(n, ast.Name)}
            reduces = any(isinstance(n, ast.keyword) and n.arg == "axis" for n in ast.walk(step))
            if names & {base, *known} and not reduces:
                value = ast.parse(ast.unparse(step.value), mode="eval").body
                known[step.targets[0].id] = _in_place(value, known)
    return known


def _base(at: Writer, steps: list[ast.stmt], axes: tuple[int, ...]) -> tuple[str, int]:
    """The array that is reduced, and the step after which it is there."""
    if axes == (-1,):
        arrays = [n for n, p in at.annotated.items() if p.annotation.axes.startswith("...")]
        return (arrays[0] if arrays else ""), 0
    for place, step in enumerate(steps):
        call = step.value if isinstance(step, ast.Assign) else None
        if isinstance(call, ast.Call) and numpy_name(call.func) == "reshape":
            return ast.unparse(step.targets[0]), place + 1  # type: ignore[attr-defined]
    return "", 0


def _arrangements(base: str, axes: tuple[int, ...]) -> Iterator[tuple[str, str, str]]:
    """How the array becomes longer, where that is no padding, and in words."""
    axis = axes[0]
    first = -2 if axis == -1 else 1
    for since in dict.fromkeys((first, 0)):
        longer = f"np.running_on({{0}}, {axis}, length, {since})"
        yield longer.format(base), longer.format(f"0 * {base} + 1"), NEIGHBOURS
    if axis != -1:
        yield f"np.filled_up({base}, {axis}, length)", "0 * longer + 1", FILLED


@rule(ast.Return)
def neighbours_take_part(at: Writer, node: ast.Return) -> Edits:
    """Blocks longer than a group: what follows it in memory takes part, or zeros do.

    >>> print(*neighbours_take_part.tried("x - np.mean(x, axis=-1, keepdims=True)",
    ...     "x: Float[Array, '... D']", most=1))
    length = (1 << max(x.shape[-1] - 1, 0).bit_length())
    longer = np.running_on(x, -1, length, -2)
    there = np.running_on(0 * x + 1, -1, length, -2)
    return x - np.sum(there * longer, axis=-1, keepdims=True) / x.shape[-1]
    """
    steps = [s for s in at.tree.body if s in at.parents]
    calls = [n for s in steps for n in ast.walk(s) if isinstance(n, ast.Call) and _axes(n)]
    if node not in steps or not 1 <= len(calls) <= MOST or len({_axes(n) for n in calls}) > 1:
        return
    axes = _axes(calls[0])
    base, place = _base(at, steps, axes)
    if not base or axes[0] not in (-1, 2):
        return
    known = _elementwise(steps[place:], base)
    each = [("right", "over", "counted")[: 2 + (numpy_name(n.func) == "mean")] for n in calls]
    ways = [w for w in itertools.product(*each) if set(w) != {"right"}]
    for (longer, there, what), block, way in itertools.product(
        list(_arrangements(base, axes)), BLOCKS, ways
    ):
        change = _Longer(way, known, base)
        length = block.replace("A", f"{base}.shape[{axes[0]}]")
        lines = [f"length = {length}", f"longer = {longer}", f"there = {there}"]
        changed = [change.visit(ast.parse(ast.unparse(step)).body[0]) for step in steps]
        as_it_was = [ast.unparse(old) == ast.unparse(new) for old, new in zip(steps, changed)]
        texts = [
            at.as_written(old) if same else ast.unparse(new)
            for old, new, same in zip(steps, changed, as_it_was)
        ]
        lines = [*texts[:place], *lines, *texts[place:]]
        yield span(steps[0], node), "\n".join(lines).replace("\n", "\n    "), what
