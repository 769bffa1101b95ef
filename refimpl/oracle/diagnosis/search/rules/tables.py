"""Tables one entry longer or shorter, and results cut off at a limit or scaled by a size."""

from __future__ import annotations

import ast

from refimpl.oracle.diagnosis.search.nodes import make
from refimpl.oracle.diagnosis.search.registry import Edits, rule
from refimpl.oracle.diagnosis.search.writer import Writer

LENGTHS = {
    "one entry longer": (
        "np.concatenate((np.ones(1), A))",
        "np.concatenate((np.zeros(1), A))",
        "np.concatenate((A, np.ones(1)))",
        "np.concatenate((A, np.zeros(1)))",
        "np.concatenate((A[:1], A))",
        "np.concatenate((A, A[-1:]))",
    ),
    "one entry shorter": ("(A)[1:]", "(A)[:-1]"),
}


@rule(ast.Return, ast.Assign)
def another_length(at: Writer, node: ast.Return | ast.Assign) -> Edits:
    """A table with an entry too many at one of its ends, or one too few.

    >>> another_length.tried("2 * x", "x")
    ['np.concatenate((np.ones(1), 2 * x))', 'np.concatenate((np.zeros(1), 2 * x))']
    """
    value = node.value
    if value is None or isinstance(value, (ast.Tuple, ast.Constant)):
        return
    for what, templates in LENGTHS.items():
        for template in templates:
            yield value, make(template, A=value), what


@rule(ast.expr)
def cut_off_at_a_limit(at: Writer, node: ast.expr) -> Edits:
    """A value cut off at a limit that is an argument.

    >>> cut_off_at_a_limit.tried("1 + x", "x; limit: Limit[float, '']")
    ['np.minimum(np.maximum(1 + x, -limit), limit)', 'np.minimum(np.maximum(x, -limit), limit)']
    """
    if not at.is_quantity(node):
        return
    for name in at.parameters:
        if at.kind(ast.Name(name)) == "Limit":
            new = make("np.minimum(np.maximum(A, -B), B)", A=node, B=ast.Name(name))
            yield node, new, "cut off at a limit"


@rule(ast.expr)
def scaled_by_a_size(at: Writer, node: ast.expr) -> Edits:
    """A factor of a root of a size.

    >>> scaled_by_a_size.tried("1 + x", "x; n: Size[int, 'D']")
    ['(1 + x) * np.sqrt(n)', '(1 + x) / np.sqrt(n)']
    """
    if not at.is_quantity(node):
        return
    for name in at.parameters:
        if at.kind(ast.Name(name)) == "Size":
            for template in ("A * np.sqrt(B)", "A / np.sqrt(B)", "A * np.sqrt(2 * B)"):
                yield node, make(template, A=node, B=ast.Name(name)), "scaled by a size"
