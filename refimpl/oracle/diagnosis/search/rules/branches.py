"""Attributes, branches, conditions and tuples."""

from __future__ import annotations

import ast
import itertools

from refimpl.oracle.diagnosis.search.nodes import make, numpy_name
from refimpl.oracle.diagnosis.search.registry import Edits, rule
from refimpl.oracle.diagnosis.search.rules.names import FINITE
from refimpl.oracle.diagnosis.search.writer import Writer


@rule(ast.Attribute)
def not_transposed(at: Writer, node: ast.Attribute) -> Edits:
    """A matrix as it is, or reshaped, in the place of its transpose.

    >>> not_transposed.tried("x @ y.T")
    ['y', 'np.reshape(y, y.T.shape)']
    """
    if node.attr == "T":
        yield node, node.value, "not transposed"
        reshaped = make("np.reshape(A, B.shape)", A=node.value, B=node)
        yield node, reshaped, "reshaped, not transposed"


@rule(ast.Attribute)
def finite_for_infinite(at: Writer, node: ast.Attribute) -> Edits:
    """A large number in the place of infinity.

    >>> finite_for_infinite.tried("np.where(x > 0, x, -np.inf)", "x")
    ['10000.0', '1000000000.0']
    """
    if numpy_name(node) == "inf":
        for number in (*(-number for number in FINITE), 1e-9):
            yield node, ast.Constant(number), "a finite number"


@rule(ast.IfExp)
def one_branch(at: Writer, node: ast.IfExp) -> Edits:
    """One branch alone.

    >>> one_branch.tried("x if len(x) > 1 else y")
    ['x', 'y']
    """
    yield node, node.body, "one branch alone"
    yield node, node.orelse, "one branch alone"


@rule(ast.BoolOp)
def another_connective(at: Writer, node: ast.BoolOp) -> Edits:
    """And for or; one condition alone.

    >>> another_connective.tried("x[len(x) > 1 and len(y) > 1]")
    ['len(x) > 1 or len(y) > 1', 'len(x) > 1']
    """
    other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    yield node, ast.BoolOp(other, node.values), "another connective"
    for value in node.values:
        yield node, value, "one condition alone"


@rule(ast.Tuple)
def another_order(at: Writer, node: ast.Tuple) -> Edits:
    """Two elements exchanged, or one moved.

    >>> another_order.tried("np.concatenate((x, y))")
    ['(y, x)', '(y, x)']
    """
    start = at.lines[node.lineno - 1] + node.col_offset
    enclosed = at.bytes[start : start + 1] == b"("
    elements = [ast.unparse(element) for element in node.elts]
    for i, j in itertools.permutations(range(len(elements)), 2):
        swapped, moved = list(elements), list(elements)
        swapped[i], swapped[j] = swapped[j], swapped[i]
        moved.insert(j, moved.pop(i))
        for parts in (swapped, moved):
            text = ", ".join(parts)
            yield node, f"({text})" if enclosed else text, "another order"
