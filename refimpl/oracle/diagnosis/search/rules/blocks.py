"""Sums that do not reach the end: the first entries alone, whole blocks alone, all but one.

A loop that is unrolled loses what is left over; an array of a fixed size holds so many entries; a
block that is assigned, not added, leaves the last one.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from refimpl.oracle.diagnosis.search.nodes import make, number, numpy_name
from refimpl.oracle.diagnosis.search.registry import Edits, rule
from refimpl.oracle.diagnosis.search.writer import Writer

LENGTHS = (32, 64, 16, 128, 8, 256)
BLOCKS = (8, 4, 16, 32, 64, 128)
CUTS = {  # which entries of an axis remain, and in words
    "np.first_of({0}, {1}, 1)": "the first",
    "np.last_of({0}, {1}, 1)": "the last",
    **{f"np.first_of({{0}}, {{1}}, {n})": f"the first {n}" for n in LENGTHS},
    **{f"np.whole_blocks({{0}}, {{1}}, {n}, 0)": f"whole blocks of {n}" for n in BLOCKS},
    **{f"np.whole_blocks({{0}}, {{1}}, {n}, {n})": f"whole blocks of {n}" for n in BLOCKS},
    **{f"np.last_block({{0}}, {{1}}, {n})": f"the last block of {n}" for n in BLOCKS},
    "np.first_of({0}, {1}, -1)": "all but the last",
    "np.last_of({0}, {1}, -1)": "all but the first",
}


def _axis(node: ast.Call) -> Iterator[int]:
    """The axis of a reduction; the first and the last one where it is over all."""
    axis = next((k.value for k in node.keywords if k.arg == "axis"), None)
    several = axis.elts if isinstance(axis, ast.Tuple) else [axis]
    for one in several if axis is not None else ():
        place = number(one) if one is not None else None
        if isinstance(place, int):
            yield place
    if axis is None and len(node.args) == 1:
        yield from (-1, 0)


@rule(ast.Call)
def not_to_the_end(at: Writer, node: ast.Call) -> Edits:
    """A reduction over some of the entries; a mean may still be divided by the number of all.

    >>> not_to_the_end.tried("np.sum(x, axis=-1)", "x", most=1)
    ['np.sum(np.first_of(x, -1, 1), axis=-1)']
    >>> not_to_the_end.tried("np.mean(x, axis=-1)", "x", most=1)
    ['np.mean(np.zeros_after(np.first_of(x, -1, 1), x, -1), axis=-1)']
    """
    name = numpy_name(node.func)
    if name not in ("sum", "mean", "max", "min") or not node.args:
        return
    whole = ast.unparse(node.args[0])
    for axis in _axis(node):
        for cut, says in CUTS.items():
            some = cut.format("A", axis)
            ways = [f"np.zeros_after({some}, {whole}, {axis})"] if name == "mean" else []
            for way in (*ways, some):
                part = make(way, A=node.args[0])
                new = ast.Call(node.func, [part, *node.args[1:]], node.keywords)
                yield node, new, f"{says} along axis {axis} alone, not all"


@rule(ast.BinOp)
def product_not_to_the_end(at: Writer, node: ast.BinOp) -> Edits:
    """A matrix product that adds up some of the terms.

    >>> product_not_to_the_end.tried("x @ y", most=1)
    ['np.first_of(x, -1, 1) @ np.first_of(y, -2, 1)']
    """
    if isinstance(node.op, ast.MatMult):
        for cut, says in CUTS.items():
            new = make(f"{cut.format('A', -1)} @ {cut.format('B', -2)}", A=node.left, B=node.right)
            yield node, new, f"{says} of the terms alone, not all"
