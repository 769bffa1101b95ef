"""One part in the place of several: of a bias, of shared heads, of what is to be added up."""

from __future__ import annotations

import ast

from refimpl.oracle.diagnosis.search.nodes import make, number, numpy_name
from refimpl.oracle.diagnosis.search.registry import Edits, rule
from refimpl.oracle.diagnosis.search.writer import Writer

PARTS = {  # of a bias that is spread over B H N M
    "sample": ("[:1]", "[-1:]", "[:, None, None, None]", "A.shape[0]"),
    "head": ("[:, :1]", "[:, -1:]", "[:, None, None]", "A.shape[1]"),
    "query": ("[..., :1, :]", "[..., -1:, :]", "[:, None]", "A.shape[-2]"),
    "key": ("[..., :1]", "[..., -1:]", "", "A.shape[-1]"),
}
PREFIX = (  # a mask reduced to a length: so many keys from the first on
    "np.where(np.arange(A.shape[-1]) < np.sum(C > -np.inf, axis=-1, keepdims=True), "
    "A + np.where(C > -np.inf, C, 0), -np.inf)"
)
ALONE = (
    "np.reshape(F(np.reshape(A, (*A.shape[:-2], A.shape[-2] * A.shape[-1]))), A.shape)",
    "np.swapaxes(np.reshape(F(np.reshape(np.swapaxes(A, 1, 2), (A.shape[0], A.shape[2], "
    "A.shape[1] * A.shape[3]))), np.swapaxes(A, 1, 2).shape), 1, 2)",
    "np.reshape(F(np.reshape(A, (1, -1))), A.shape)",
)
SUMMED = (
    "np.repeat(np.{0}(np.reshape(A, (A.shape[0], {1}.shape[1], A.shape[1] // {1}.shape[1], "
    "*A.shape[2:])), axis=2), A.shape[1] // {1}.shape[1], axis=1)"
)


def _is_bias(at: Writer, node: ast.AST) -> bool:
    """Whether a bias is added here, also a reshaped one."""
    return any(at.kind(n) == "Bias" for n in ast.walk(node) if isinstance(n, ast.Name))


@rule(ast.BinOp)
def one_part_of_a_bias(at: Writer, node: ast.BinOp) -> Edits:
    """The bias of the first or last head, sample, query or key for all, or for it alone.

    >>> one_part_of_a_bias.tried("x + bias", "x; bias: Bias[Array, 'broadcastable B H N M']")
    ['x + np.broadcast_to(bias, x.shape)[:1]', 'x + np.broadcast_to(bias, x.shape)[-1:]']
    """
    if not isinstance(node.op, ast.Add) or not _is_bias(at, node.right):
        return
    spread = make("np.broadcast_to(B, A.shape)", A=node.left, B=node.right)
    for what, (first, last, index, length) in PARTS.items():
        for part, where in ((first, "first"), (last, "last")):
            new = make(f"A + C{part}", A=node.left, C=spread)
            yield node, new, f"the {where} {what}'s bias for all"
        for place, where in ((f"np.arange({length}){index} == 0", "first"),):
            new = make(f"A + np.where({place}, C, 0)", A=node.left, C=spread)
            yield node, new, f"a bias for the {where} {what} alone"


@rule(ast.BinOp)
def mask_as_a_length(at: Writer, node: ast.BinOp) -> Edits:
    """A mask read as the number of keys that are seen.

    >>> bias = "bias: Bias[Array, 'broadcastable B H N M']"
    >>> print(*mask_as_a_length.tried("x + bias", f"x; {bias}"))  # doctest: +ELLIPSIS
    np.where(np.arange(x.shape[-1]) < np.sum(np.broadcast_to(bias, x.shape) > -np.inf, ...
    """
    if isinstance(node.op, ast.Add) and _is_bias(at, node.right):
        spread = make("np.broadcast_to(B, A.shape)", A=node.left, B=node.right)
        yield node, make(PREFIX, A=node.left, C=spread), "a mask reduced to a length"


@rule(ast.Call)
def over_two_axes(at: Writer, node: ast.Call) -> Edits:
    """A function along the last axis, taken along two axes together, or along all.

    >>> over_two_axes.tried("softmax(x)", "x", most=1)
    ['np.reshape(softmax(np.reshape(x, (*x.shape[:-2], x.shape[-2] * x.shape[-1]))), x.shape)']
    """
    if isinstance(node.func, ast.Name) and len(node.args) == 1 and not node.keywords:
        for template in ALONE:
            yield node, make(template, F=node.func, A=node.args[0]), "along two axes together"


@rule(ast.Call)
def one_of_several(at: Writer, node: ast.Call) -> Edits:
    """The first or the last of what is to be added up.

    >>> one_of_several.tried("np.sum(x, axis=0)", "x")
    ['x[-1]', 'x[0]']
    """
    axis = next((k for k in node.keywords if k.arg == "axis"), None)
    place = number(axis.value) if axis is not None else None
    if numpy_name(node.func) not in ("sum", "mean", "max") or not isinstance(place, int):
        return
    kept = any(k.arg == "keepdims" for k in node.keywords)
    before, after = (":, " * place, "") if place >= 0 else ("..., ", ", :" * (-1 - place))
    for index, where in (("-1:" if kept else "-1", "last"), (":1" if kept else "0", "first")):
        new = make(f"(A)[{before}{index}{after}]", A=node.args[0])
        yield node, new, f"the {where} along axis {place} alone, not all"
    if numpy_name(node.func) == "sum" and not kept:
        overwritten = make(f"np.last_given(A, {place})", A=node.args[0])
        yield node, overwritten, "assigned, not added up"


@rule(ast.Compare)
def one_of_several_places(at: Writer, node: ast.Compare) -> Edits:
    """Of the places that a number belongs to by a table of ones and zeros, one for each column.

    >>> one_of_several_places.tried("x[:, None] == y", most=1)
    ['np.one_a_column(x[:, None] == y, -1)']
    """
    if isinstance(node.ops[0], ast.Eq) and "None]" in ast.unparse(node.left):
        for place, which in ((-1, "last"), (0, "first")):
            new = make(f"np.one_a_column(A, {place})", A=node)
            yield node, new, f"the {which} assigned, not added up"


@rule(ast.FunctionDef, ast.Assign, ast.Return)
def summed_where_shared(at: Writer, node: ast.stmt) -> Edits:
    """The query heads that share a key head added up, or averaged, before anything else.

    >>> heads = "query: Float[Array, 'B G*R N E']; key: Float[Array, 'B G M E']"
    >>> print(*summed_where_shared.tried("query @ key", heads, most=1))  # doctest: +ELLIPSIS
    query = np.repeat(np.sum(np.reshape(query, (query.shape[0], key.shape[1], ...
    return query @ key
    """
    if not at.is_first(node):
        return
    wide = [n for n, p in at.annotated.items() if "G*R" in p.annotation.axes.split()[1:2]]
    narrow = [n for n, p in at.annotated.items() if "G" in p.annotation.axes.split()[1:2]]
    for name in wide:
        for function in ("sum", "mean") if narrow else ():
            value = make(SUMMED.format(function, narrow[0]), A=ast.Name(name))
            line = f"{name} = {ast.unparse(value)}"
            yield node, at.with_prologue(node, line), "summed where heads share"


@rule(ast.BinOp)
def gathered_not_summed(at: Writer, node: ast.BinOp) -> Edits:
    """Of a product with what other processes hold, the part of the own process alone.

    >>> print(*gathered_not_summed.tried("x @ y", most=1))  # doctest: +ELLIPSIS
    np.where((np.arange(x.shape[0]) * 2 // max(x.shape[0], 1))[:, None] == ..., x, 0) @ y
    """
    if not isinstance(node.op, ast.MatMult):
        return
    for count in (2, 4):
        rank = f"np.arange(A.shape[0]) * {count} // max(A.shape[0], 1)"
        other = f"np.arange(A.shape[1]) * {count} // max(A.shape[1], 1)"
        same = f"np.where(({rank})[:, None] == {other}, A, 0) @ B"
        yield node, make(same, A=node.left, B=node.right), "the own process's part alone"


@rule(ast.Tuple)
def element_left_out(at: Writer, node: ast.Tuple) -> Edits:
    """One of what is joined, left out.

    >>> element_left_out.tried("np.concatenate((x, y))")
    ['(y,)', '(x,)']
    """
    parent = at.parents[node]
    if isinstance(parent, ast.Call) and numpy_name(parent.func) in ("concatenate", "stack"):
        for i in range(len(node.elts)):
            fewer = [e for j, e in enumerate(node.elts) if j != i]
            if fewer:
                text = ", ".join(ast.unparse(e) for e in fewer)
                yield node, f"({text},)", "one element left out"
