"""One entry of an argument or of a value serves all; only some entries are worked on."""

from __future__ import annotations

import ast
import inspect
import itertools
from collections.abc import Iterator
from typing import get_args

from refimpl.oracle.diagnosis.search.nodes import make
from refimpl.oracle.diagnosis.search.registry import Edits, rule
from refimpl.oracle.diagnosis.search.writer import Writer

PLACES = ((0, "first"), (-1, "last"))
MOST_AXES = 3  # of a value without annotation, counted from the front
COUNTED = {  # a mask read as the number of entries that are kept
    "first": "{0} = 1.0 * (np.arange({0}.shape[-1]) < np.sum({0} > 0, axis=-1, keepdims=True))",
    "last": "{0} = 1.0 * (np.arange({0}.shape[-1])[::-1] "
    "< np.sum({0} > 0, axis=-1, keepdims=True))",
}
ORDERS = (
    *("one late", "one early", "backwards", "halves exchanged"),
    *("even ones first", "halves dealt out", "neighbours exchanged"),
)
PARTS = ("first", "last", "all but the first", "all but the last", "first half", "last half")


def _axes(annotation: object) -> Iterator[tuple[int, str]]:
    """The axes of an argument by number and by name; of dots that lead, the first of them."""
    names = getattr(annotation, "axes", "").split()
    if not getattr(annotation, "scalar", True):
        dots = names.index("...") if "..." in names else len(names)
        for axis, name in enumerate(names[: max(dots, 1)]):
            yield axis, "the leading axes" if name == "..." else name
        for axis in range(dots + 1 - len(names), 0):
            yield axis, names[axis]


@rule(ast.Assign, ast.Return)
def one_entry_of_an_argument(at: Writer, node: ast.stmt) -> Edits:
    """The first or the last entry of an argument along one of its axes, in the place of each.

    >>> print(*one_entry_of_an_argument.tried("2 * keep", "keep: Mask[Array, 'B N']", most=1))
    keep = np.one_for_all(keep, 0, 0)
    return 2 * keep
    """
    if not at.is_first(node):
        return
    for name, parameter in at.annotated.items():
        for axis, called in _axes(parameter.annotation):
            for place, where in PLACES:
                line = f"{name} = np.one_for_all({name}, {axis}, {place})"
                yield node, at.with_prologue(node, line), f"the {where} of {called} serves all"


@rule(ast.Assign, ast.Return)
def argument_in_another_order(at: Writer, node: ast.stmt) -> Edits:
    """The entries of an argument along one of its axes in another order.

    >>> print(*argument_in_another_order.tried("2 * x", "x: Float[Array, 'H D']", most=1))
    x = np.reordered(x, 0, 'one late')
    return 2 * x
    """
    if not at.is_first(node):
        return
    for name, parameter in at.annotated.items():
        for axis, called in _axes(parameter.annotation):
            for how in ORDERS if not parameter.annotation.optional else ():
                line = f"{name} = np.reordered({name}, {axis}, {how!r})"
                yield node, at.with_prologue(node, line), f"{called} of {name} in another order"


@rule(ast.Return)
def result_in_another_order(at: Writer, node: ast.Return) -> Edits:
    """The entries of a result along one of its axes in another order.

    >>> result_in_another_order.tried("2 * x", "x", most=1)
    ["np.reordered(2 * x, 0, 'one late')"]
    """
    for value, annotation in _results(at, node):
        for axis, called in _axes(annotation):
            for how in ORDERS:
                new = make(f"np.reordered(A, {axis}, {how!r})", A=value)
                yield value, new, f"{called} of what is returned in another order"


@rule(ast.Assign)
def one_entry_of_a_value(at: Writer, node: ast.Assign) -> Edits:
    r"""The first entry of a value along one of its axes, in the place of each.

    >>> one_entry_of_a_value.tried("z = 2 * x\nreturn z + 1", "x", most=1)
    ['np.one_for_all(2 * x, 0, 0)']
    """
    if isinstance(node.targets[0], ast.Name) and not isinstance(node.value, ast.Attribute):
        for axis in range(MOST_AXES):
            new = make(f"np.one_for_all(A, {axis}, 0)", A=node.value)
            yield node.value, new, f"the first along axis {axis} stands for all"


@rule(ast.Assign, ast.Return)
def kept_as_a_length(at: Writer, node: ast.stmt) -> Edits:
    """A mask of ones read as a length: so many entries from the first on, or up to the last.

    >>> print(*kept_as_a_length.tried("2 * keep", "keep: Mask[Array, 'B N']", most=1))
    keep = 1.0 * (np.arange(keep.shape[-1]) < np.sum(keep > 0, axis=-1, keepdims=True))
    return 2 * keep
    """
    if not at.is_first(node):
        return
    for name in at.annotated:
        if at.kind(ast.Name(name)) == "Mask":
            for line in COUNTED.values():
                text = at.with_prologue(node, line.format(name))
                yield node, text, "a mask reduced to a length"


@rule(ast.Return)
def a_part_alone(at: Writer, node: ast.Return) -> Edits:
    """Only some entries of the result are made; the others are what was given, or zero.

    >>> a_part_alone.tried("x + 1", "x", most=1)
    ["np.part_alone(x + 1, 0, 0, 'first')"]
    """
    for value, annotation in _results(at, node):
        given = [n for n, p in at.annotated.items() if _alike(p.annotation, annotation)]
        for (axis, called), other, part in itertools.product(
            _axes(annotation), ("0", *given), PARTS
        ):
            new = make(f'np.part_alone(A, {other}, {axis}, "{part}")', A=value)
            yield value, new, f"done for the {part} along {called}, not for others"


def _results(at: Writer, node: ast.Return) -> Iterator[tuple[ast.expr, object]]:
    """What the last step returns, each with its annotation."""
    returned = inspect.signature(at.page.function).return_annotation
    if node.value is None or not at.is_last(node):
        return
    several = isinstance(node.value, ast.Tuple)
    results = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
    yield from zip(results, get_args(returned) if several else [returned])


def _alike(one: object, other: object) -> bool:
    """Whether two annotations are of the same axes, and of arrays."""
    axes = getattr(one, "axes", "")
    return bool(axes) and axes == getattr(other, "axes", None)
