"""Indices and sections."""

from __future__ import annotations

import ast

from refimpl.oracle.diagnosis.search.nodes import off_by_one
from refimpl.oracle.diagnosis.search.registry import Edits, rule
from refimpl.oracle.diagnosis.search.writer import Writer


@rule(ast.Subscript)
def another_index(at: Writer, node: ast.Subscript) -> Edits:
    """An index one off, or counted from the end.

    >>> another_index.tried("x[t]", "x; t: Index[Array, 'B', 'T']")
    ['t - 1', 'np.maximum(t - 1, 0)']
    """
    if isinstance(node.ctx, ast.Load) and isinstance(node.slice, ast.Name):
        for new in off_by_one(node.slice.id, ast.unparse(node.value)):
            yield node.slice, new, "another index"


@rule(ast.Subscript)
def another_section(at: Writer, node: ast.Subscript) -> Edits:
    """All, all but one, or the other way round.

    >>> another_section.tried("x[1:]", "x")
    [':', '1:']
    """
    if not isinstance(node.ctx, ast.Load):
        return
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    for part in parts:
        if isinstance(part, ast.Slice) and (part is node.slice or part.lower or part.upper):
            for new in (":", "1:", ":-1", "::-1"):
                yield part, new, "another section"


@rule(ast.Subscript)
def an_index_fixed(at: Writer, node: ast.Subscript) -> Edits:
    """The first or the last in the place of one index among several.

    >>> an_index_fixed.tried("x[i, 0]", "x; i: Index[Array, 'B', 'T']")
    ['-1, 0', '0, 0']
    """
    index = node.slice
    if not isinstance(node.ctx, ast.Load) or not isinstance(index, ast.Tuple):
        return
    for i, part in enumerate(index.elts):
        if isinstance(part, ast.Name):
            for other in ("-1", "0"):
                parts = [ast.unparse(e) for e in index.elts]
                parts[i] = other
                yield index, ", ".join(parts), "another index"


@rule(ast.Subscript)
def not_indexed(at: Writer, node: ast.Subscript) -> Edits:
    """The whole table in the place of one entry.

    >>> not_indexed.tried("x[0]", "x")
    ['x']
    """
    if isinstance(node.ctx, ast.Load):
        yield node, node.value, "not indexed"
