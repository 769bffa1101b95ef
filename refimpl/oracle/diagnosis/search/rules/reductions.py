"""Every reduction of a function along another axis than the last, and what it counts as well."""

from __future__ import annotations

import ast
import re

from refimpl.oracle.diagnosis.search.nodes import make, number, numpy_name, span
from refimpl.oracle.diagnosis.search.registry import Edits, rule
from refimpl.oracle.diagnosis.search.writer import Writer

ONE_LESS = re.compile(r"(([\w.]+\.shape\[-?\d\]) - 1)")  # than there are, held or not
THROUGHOUT = "reduced along another axis throughout"


class _Along(ast.NodeTransformer):
    """One axis of every reduction, and its length, in favour of another axis."""

    def __init__(self, old: int, axis: int | None) -> None:
        self.old, self.axis = old, axis

    def visit_keyword(self, node: ast.keyword) -> ast.keyword:
        """The axis of a reduction."""
        self.generic_visit(node)
        if node.arg == "axis" and number(node.value) == self.old:
            return ast.keyword("axis", make(repr(self.axis)))
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        """The length of the axis."""
        self.generic_visit(node)
        shape = node.value
        if not isinstance(shape, ast.Attribute) or shape.attr != "shape":
            return node
        if number(node.slice) != self.old:
            return node
        if self.axis is None:
            return make("A.size", A=shape.value)
        return make(f"A.shape[{self.axis}]", A=shape.value)

    def changed(self, step: ast.stmt) -> ast.stmt:
        """A copy of a step along the other axis."""
        return self.visit(ast.parse(ast.unparse(step)).body[0])


def _counted(step: ast.stmt) -> list[int]:
    """The axes along which a step reduces, and whose length it asks for."""
    text = ast.unparse(step)
    return [n for n in (-1, 0, 1) if f"axis={n}" in text and f".shape[{n}]" in text]


@rule(ast.Return)
def another_axis_throughout(at: Writer, node: ast.Return) -> Edits:
    """Reductions along the last axis, and its length, along another one or over all.

    >>> another_axis_throughout.tried("np.sum(x, axis=-1) / x.shape[-1]", "x")
    ['return np.sum(x, axis=None) / x.size', 'return np.sum(x, axis=0) / x.shape[0]']
    """
    steps = [step for step in at.tree.body if step in at.parents]
    if node not in steps or not any(".shape[-1]" in ast.unparse(step) for step in steps):
        return
    for axis in (None, 0, -2):
        changed = [_Along(-1, axis).changed(step) for step in steps]
        lines = [
            at.as_written(old) if ast.unparse(old) == ast.unparse(new) else ast.unparse(new)
            for old, new in zip(steps, changed)
        ]
        yield span(steps[0], node), "\n".join(lines).replace("\n", "\n    "), THROUGHOUT


@rule(ast.Assign, ast.Return)
def another_axis_in_a_step(at: Writer, node: ast.Assign | ast.Return) -> Edits:
    """A reduction, and the number of what is reduced, along another axis in one step.

    >>> another_axis_in_a_step.tried("np.sum(x, axis=-1) / x.shape[-1]", "x", most=1)
    ['return np.sum(x, axis=None) / x.size']
    """
    for old in _counted(node):
        for axis in (None, 0, 1, -2):
            if axis != old:
                step = ast.unparse(_Along(old, axis).changed(node))
                for less in (r"\1", r"max(\1, 1)", r"\2"):
                    counted = ONE_LESS.sub(less, step)
                    yield node, counted, "reduced along another axis"


@rule(ast.Call)
def one_fewer_counted(at: Writer, node: ast.Call) -> Edits:
    """One entry fewer of a mask counted in each row, as where words foretell the next one.

    >>> one_fewer_counted.tried("np.sum(keep)", "keep: Mask[Array, 'B N']")
    ['np.sum(keep) - len(keep)', 'np.sum(np.maximum(np.sum(keep, axis=-1) - 1, 1))']
    """
    masked = numpy_name(node.func) == "sum" and at.kind(node.args[0]) == "Mask"
    if masked and not node.keywords:
        for template in (
            "np.sum(M) - len(M)",
            "np.sum(np.maximum(np.sum(M, axis=-1) - 1, 1))",
            "np.sum(np.maximum(np.sum(M, axis=-1) - 1, 0))",
            "np.maximum(np.sum(M) - len(M), 1)",
        ):
            yield node, make(template, M=node.args[0]), "one entry fewer counted in each row"
