"""Names: another one, and the same one read otherwise."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from refimpl.oracle.diagnosis.search.nodes import has_axes, make, off_by_one
from refimpl.oracle.diagnosis.search.registry import Edits, Rule
from refimpl.oracle.diagnosis.search.writer import GUARDS, SHIFTED, Writer

FINITE = (-1e4, -1e9, float(np.finfo(np.float32).min))


def loaded(function: Callable[[Writer, Any], Edits]) -> Rule:
    """A rule for names that are read, those of called functions and of NumPy aside."""

    def for_names(at: Writer, node: ast.Name) -> Edits:
        parent = at.parents[node]
        called = isinstance(parent, ast.Call) and parent.func is node
        if isinstance(node.ctx, ast.Load) and not called and node.id != "np":
            yield from function(at, node)

    return Rule((ast.Name,), for_names, of=function)


@loaded
def another_name(at: Writer, node: ast.Name) -> Edits:
    """Any other name that has a value here; a list is not put into itself, which has no end.

    >>> another_name.tried("x")
    ['y']
    """
    parent = at.parents[node]
    called = parent.func if isinstance(parent, ast.Call) else None
    filled = called.value if isinstance(called, ast.Attribute) else None
    for name in at.known_before(node):
        if not (isinstance(filled, ast.Name) and filled.id == name):
            yield node, ast.Name(name), "another name"


@loaded
def one_off(at: Writer, node: ast.Name) -> Edits:
    """A count, an index or a scalar, one off.

    >>> one_off.tried("x / n", "x; n: Size[int, 'D']")
    ['(n + 1)', '(n - 1)']
    """
    annotation, kind = at.annotation(node), at.kind_of(node)
    if kind is None or kind.integer or getattr(annotation, "scalar", False):
        for template in ("A + 1", "A - 1", "np.maximum(A - 1, 1)"):
            yield node, make(template, A=node), "one off"


@loaded
def a_fixed_number(at: Writer, node: ast.Name) -> Edits:
    """A number in the place of a scalar argument.

    >>> a_fixed_number.tried("x + eps", "x; eps: Epsilon[float, '']")
    ['0.001', '1e-05']
    """
    kind = at.kind_of(node)
    if getattr(at.annotation(node), "scalar", False):
        numbers = GUARDS if kind is not None and kind.name == "Epsilon" else (0, 1)
        for number in numbers:
            yield node, ast.Constant(number), "a fixed number"


@loaded
def index_one_off(at: Writer, node: ast.Name) -> Edits:
    """An index that is handed over with a table, one off.

    >>> index_one_off.tried("at(table, t)", "table: Betas[Array, 'T']; t: Index[Array, 'B', 'T']")
    ['t - 1', 'np.maximum(t - 1, 0)']
    """
    parent, kind, annotation = at.parents[node], at.kind_of(node), at.annotation(node)
    if kind is not None and kind.integer and isinstance(parent, ast.Call):
        tables = [a for a in parent.args if isinstance(a, (ast.Name, ast.Call)) and a is not node]
        given = {name: p.annotation for name, p in at.annotated.items() if name != node.id}
        others = [
            name
            for name, a in given.items()
            if a.kind.integer and (a.axes, a.scalar) == (annotation.axes, annotation.scalar)
        ]
        for table, name in itertools.product(tables[:1], (node.id, *others)):
            for new in off_by_one(name, ast.unparse(table)):
                yield node, new, "another index"


@loaded
def function_too_many(at: Writer, node: ast.Name) -> Edits:
    """A function of the chapter, or its complement, of a value that is used as it is.

    >>> function_too_many.tried("1 + x", "x")
    ['alpha_bar(x)', '(1 - alpha_bar(x))']
    """
    if not at.is_quantity(node):
        return
    for function in at.functions(1):
        yield node, make(f"{function}(A)", A=node), "a function too many"
        yield node, make(f"1 - {function}(A)", A=node), "a function too many"
    if at.kind(node) == "Size":
        for template in ("1000 / A", "A / 1000"):
            yield node, make(template, A=node), "counted by the thousand"


@loaded
def array_otherwise(at: Writer, node: ast.Name) -> Edits:
    """An array read in another order, one place late, centred, or its first part for all.

    >>> array_otherwise.tried("x", "x")
    ['x[:, ::-1]', 'x[..., ::-1]']
    """
    annotation = at.annotation(node)
    if not has_axes(annotation):
        return
    for template in ("A[:, ::-1]", "A[..., ::-1]"):
        yield node, make(template, A=node), "backwards"
    yield node, make("A[:1]", A=node), "the first for all"
    for template in SHIFTED:
        yield node, make(template, A=node), "shifted by one"
    centred = make("(A - np.mean(A, axis=-1, keepdims=True))", A=node)
    yield node, centred, "centred"
    for template in ("A[..., ::-1, :]", "A[..., ::-1, ::-1]"):
        yield node, make(template, A=node), "backwards"
    axes = annotation.axes.split()
    if len(axes) == 1 and axes[0] != "...":
        yield node, make("np.concatenate((np.ones(1), A[:-1]))", A=node), "shifted by one"
    if len(axes) == 4 and "..." not in axes:
        for order in itertools.permutations((1, 2, 3)):
            moved = make(f"np.transpose(A, {(0, *order)})", A=node)
            yield node, moved, "axes in another order"


@loaded
def largest_for_all(at: Writer, node: ast.Name) -> Edits:
    """The largest of several indices in the place of each.

    >>> largest_for_all.tried("1 + t", "t: Index[Array, 'B', 'T']")
    ['(np.max(t, initial=0) + 0 * t)']
    """
    annotation, kind = at.annotation(node), at.kind_of(node)
    if has_axes(annotation) or kind is None or not kind.integer:
        return
    if not getattr(annotation, "scalar", True):
        yield node, make("np.max(A, initial=0) + 0 * A", A=node), "the largest for all"


@loaded
def first_for_all(at: Writer, node: ast.Name) -> Edits:
    """The first row or column of an array in the place of each.

    >>> first_for_all.tried("labels", "labels: Label[Array, 'B N']")
    ['0 * labels + labels[:1]', '0 * labels + labels[:, :1]']
    """
    axes = getattr(at.annotation(node), "axes", "").split()
    if getattr(at.annotation(node), "scalar", True) or not axes:
        return
    for template in ("0 * A + A[:1]", "0 * A + A[:, :1]")[: len(axes)]:
        yield node, make(template, A=node), "the first for all"


@loaded
def another_unit(at: Writer, node: ast.Name) -> Edits:
    """Times counted by the thousand.

    >>> another_unit.tried("t", "t: Time[Array, 'B']")
    ['t / 1000', '1000 * t']
    """
    if at.kind(node) == "Time":
        for template in ("A / 1000", "1000 * A"):
            yield node, make(template, A=node), "another unit"


@loaded
def finite_bias(at: Writer, node: ast.Name) -> Edits:
    """A bias with a finite number for -inf, or ones and zeros in its place.

    >>> finite_bias.tried("x + bias", "x; bias: Bias[Array, 'broadcastable B D']")
    ['np.maximum(bias, -10000.0)', 'np.maximum(bias, -1000000000.0)']
    """
    if at.kind(node) == "Bias":
        for number in FINITE:
            yield node, make(f"np.maximum(A, {number})", A=node), "a finite number for -inf"
        yield node, make("1.0 * (A > -np.inf)", A=node), "ones and zeros as a mask"
