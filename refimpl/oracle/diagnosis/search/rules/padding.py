"""Blocks that are longer than an axis: padding takes part in a reduction, or is counted.

Kernels cut an axis into blocks of a fixed length, or fill it to a power of two. Zeros that are not
masked then take part in sums and maxima, or the length of the block is taken for the number of
entries.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator

from refimpl.oracle.diagnosis.search.nodes import make, number, numpy_name, span
from refimpl.oracle.diagnosis.search.registry import Edits, rule
from refimpl.oracle.diagnosis.search.rules.names import loaded
from refimpl.oracle.diagnosis.search.writer import Writer

BLOCKS = (
    "(1 << max(A - 1, 0).bit_length())",
    *(f"(-(-A // {n}) * {n})" for n in (16, 8, 32, 64, 128, 4)),
)
REDUCTIONS = ("sum", "mean", "max")
MOST = 3  # reductions in one function
TAKES_PART = "padding takes part"
ROUNDED_UP = "rounded up to whole blocks"


def _reduction(node: ast.AST) -> ast.Call | None:
    """A reduction along the last axis, with the axis as a keyword."""
    if not isinstance(node, ast.Call) or numpy_name(node.func) not in REDUCTIONS:
        return None
    axis = next((k for k in node.keywords if k.arg == "axis"), None)
    return node if axis is not None and number(axis.value) == -1 else None


class _Padded(ast.NodeTransformer):
    """Reductions over the right entries, over the padding too, or with the padding counted."""

    def __init__(self, ways: tuple[str, ...]) -> None:
        self.ways = iter(ways)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Replace one reduction, inner ones first."""
        self.generic_visit(node)
        found = _reduction(node)
        if found is None:
            return node
        way, argument = next(self.ways), found.args[0]
        if way == "right":
            return ast.Call(found.func, [make("(A)[..., :n]", A=argument)], found.keywords)
        if way == "over" and numpy_name(found.func) == "mean":
            total = ast.Call(make("np.sum"), found.args, found.keywords)
            return make("A / n", A=total)
        return node


def _of_one_axis(at: Writer) -> list[str]:
    """The arrays that have the last axis of the first of them for their last axis."""
    arrays = [(n, p) for n, p in at.annotated.items() if not getattr(p.annotation, "scalar", True)]
    lasts = {name: p.annotation.axes.split()[-1:] for name, p in arrays}
    return [name for name, last in lasts.items() if last == next(iter(lasts.values()))]


@rule(ast.Return)
def padding_takes_part(at: Writer, node: ast.Return) -> Edits:
    """The arrays of one axis filled with zeros up to a block, in some of the reductions.

    >>> print(*padding_takes_part.tried("np.sum(x, axis=-1)", "x", most=1))  # doctest: +ELLIPSIS
    n = x.shape[-1]
    x = np.concatenate((x, np.zeros((*x.shape[:-1], (1 << ...) - n))), axis=-1)
    return np.sum(x, axis=-1)[..., :n]
    """
    if not isinstance(at.parents[node], ast.FunctionDef) or node.value is None:
        return
    steps = [s for s in at.tree.body if s in at.parents]
    reductions = [r for s in steps for n in ast.walk(s) if (r := _reduction(n)) is not None]
    padded = _of_one_axis(at)
    if not 1 <= len(reductions) <= MOST or not padded:
        return
    for block, ways in itertools.product(BLOCKS, _ways(reductions)):
        lines = [f"n = {padded[0]}.shape[-1]"]
        length = block.replace("A", "n")
        for name in padded:
            zeros = f"np.zeros((*{name}.shape[:-1], {length} - n))"
            lines.append(f"{name} = np.concatenate(({name}, {zeros}), axis=-1)")
        change = _Padded(ways)
        copies = [change.visit(ast.parse(ast.unparse(step)).body[0]) for step in steps]
        last = copies[-1]
        assert isinstance(last, ast.Return)
        assert last.value is not None
        last.value = make("(A)[..., :n]", A=last.value)
        lines += [ast.unparse(step) for step in copies]
        body = "\n".join(lines).replace("\n", "\n    ")
        yield span(steps[0], node), body, TAKES_PART


def _ways(reductions: list[ast.Call]) -> Iterator[tuple[str, ...]]:
    """Which reductions see the padding, and which count it; at least one of them."""
    each = [
        ("right", "over", "counted") if numpy_name(r.func) == "mean" else ("right", "over")
        for r in reductions
    ]
    for ways in itertools.product(*each):
        if set(ways) != {"right"}:
            yield ways


@rule(ast.Call)
def padding_counted(at: Writer, node: ast.Call) -> Edits:
    """A mean over all, or over several axes, one of them counted up to whole blocks.

    >>> padding_counted.tried("np.mean(x, axis=(0, 1))", "x", most=1)
    ['np.sum(x, axis=(0, 1)) / ((1 << max(x.shape[0] - 1, 0).bit_length()) * x.shape[1])']
    """
    axis = next((k for k in node.keywords if k.arg == "axis"), None)
    if numpy_name(node.func) != "mean":
        return
    total = ast.Call(make("np.sum"), node.args, node.keywords)
    if axis is None:
        for block in BLOCKS:
            counted = make(block, A=make("A.size", A=node.args[0]))
            yield node, make("B / C", B=total, C=counted), "padding counted"
    if axis is None:
        return
    several = axis.value.elts if isinstance(axis.value, ast.Tuple) else [axis.value]
    axes = [number(e) for e in several]
    for block in BLOCKS:
        for rounded_up in axes:
            sizes = [make(f"A.shape[{a}]", A=node.args[0]) for a in axes]
            counts = [
                f"({ast.unparse(make(block, A=size))})" if a == rounded_up else ast.unparse(size)
                for a, size in zip(axes, sizes)
            ]
            yield node, make(f"B / ({' * '.join(counts)})", B=total), "padding counted"
        product = " * ".join(ast.unparse(make(f"A.shape[{a}]", A=node.args[0])) for a in axes)
        counted = make(block, A=make(product))
        yield node, make("B / C", B=total, C=counted), "padding counted"


@rule(ast.Call)
def padding_adds_its_share(at: Writer, node: ast.Call) -> Edits:
    """A sum to which each entry of the padding adds one, or takes it away.

    >>> padding_adds_its_share.tried("np.sum(np.exp(x), axis=-1)", "x", most=1)
    ['np.sum(np.exp(x), axis=-1) + ((1 << max(x.shape[-1] - 1, 0).bit_length()) - x.shape[-1])']
    """
    axis = next((k for k in node.keywords if k.arg == "axis"), None)
    place = number(axis.value) if axis is not None else None
    names = [n for n in ast.walk(node) if isinstance(n, ast.Name) and n.id != "np"]
    if numpy_name(node.func) != "sum" or not isinstance(place, int) or not names:
        return
    length = make(f"A.shape[{place}]", A=names[0])
    for block in BLOCKS:
        more = make(f"{block} - A", A=length)
        for sign in ("+", "-"):
            yield node, make(f"B {sign} (C)", B=node, C=more), "padding adds its share"


@rule(ast.Call, ast.Subscript)
def length_rounded_up(at: Writer, node: ast.Call | ast.Subscript) -> Edits:
    """The length of an axis where it is asked for, rounded up to whole blocks.

    >>> length_rounded_up.tried("x / len(x)", "x", most=1)
    ['(1 << max(len(x) - 1, 0).bit_length())']
    """
    text = ast.unparse(node)
    is_length = text.startswith("len(") if isinstance(node, ast.Call) else ".shape[" in text
    if is_length and isinstance(at.parents[node], ast.BinOp):
        for block in BLOCKS:
            yield node, make(block, A=node), ROUNDED_UP


@loaded
def size_rounded_up(at: Writer, node: ast.Name) -> Edits:
    """The length of an axis, rounded up to whole blocks.

    >>> size_rounded_up.tried("x / n", "x; n: Size[int, 'D']")
    ['(1 << max(n - 1, 0).bit_length())', '(-(-n // 16) * 16)']
    """
    if at.is_quantity(node) and (at.kind(node) == "Size" or at.is_a_length(node)):
        for block in BLOCKS:
            yield node, make(block, A=node), ROUNDED_UP
