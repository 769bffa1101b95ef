"""Another number, another axis."""

from __future__ import annotations

import ast

from refimpl.oracle.diagnosis.search.nodes import make, number
from refimpl.oracle.diagnosis.search.registry import Edits, rule
from refimpl.oracle.diagnosis.search.writer import Writer

AXES: tuple[int | None, ...] = (-1, -2, -3, 0, 1, 2, 3, None)
MISREAD: dict[float, tuple[float, ...]] = {
    0.044715: (0.0447, 0.04471, 0.044175, 0.04715, 0.44715, 0.0044715, 0.044),
    1.702: (1.7, 1.072, 1.72, 1.703, 1.602, 1.782),
    10000: (1000, 100000),
}


def spelled(at: Writer, node: ast.AST) -> int | float | None:
    """The number that a node spells, unless it is only the part of it behind the sign."""
    return number(node) if number(at.parents[node]) is None else None


@rule(ast.Constant, ast.UnaryOp)
def another_axis(at: Writer, node: ast.expr) -> Edits:
    """Another axis in the place of an axis.

    >>> another_axis.tried("np.sum(x, axis=-1)", "x")
    ['-1', '-2']
    """
    if spelled(at, node) is not None and at.is_axis(node):
        for axis in (*AXES, (-2, -1)):
            if isinstance(axis, int | None) or isinstance(at.parents[node], ast.keyword):
                yield node, make(repr(axis)), "another axis"


@rule(ast.Constant, ast.UnaryOp)
def another_number(at: Writer, node: ast.expr) -> Edits:
    """A number one off, of the other sign, doubled, halved, misread or with its point moved.

    >>> another_number.tried("1.702 * x", "x")
    ['2.702', '0.702']
    """
    value = spelled(at, node)
    if value is None or at.is_axis(node):
        return
    parent = at.parents[node]
    picks = isinstance(parent, ast.Subscript) and parent.slice is node
    others: list[float] = [value + 1, value - 1, 0, 1, 0 if picks else -value, 2 * value]
    others += MISREAD.get(value, ())
    others += [value / 2] if value % 2 else [type(value)(value / 2)]
    if isinstance(value, float):
        others += [10 * value, value / 10]
    for other in others:
        yield node, make(repr(other)), "another number"
