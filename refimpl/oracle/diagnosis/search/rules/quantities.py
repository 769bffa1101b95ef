"""Something more is done to a value: a function, a guard, a factor too many."""

from __future__ import annotations

import ast

from refimpl.oracle.diagnosis.search.nodes import make
from refimpl.oracle.diagnosis.search.registry import Edits, rule
from refimpl.oracle.diagnosis.search.writer import GUARDS, Writer

WRAPPINGS = {
    "the magnitude": "np.abs(A)",
    "squashed": "np.tanh(A)",
    "a root too many": "np.sqrt(A)",
    "squared": "A * A",
    "the complement": "1 - A",
    "one more": "1 + A",
    "transposed": "np.swapaxes(A, -1, -2)",
    "the sign turned": "-A",
    "doubled": "2 * A",
    "added twice": "A + A",
    "halved": "A / 2",
    "inverted": "1 / A",
    "an exponential too many": "np.exp(A)",
    "a logarithm too many": "np.log(A)",
    "negative values cut off": "np.maximum(A, 0)",
    "clipped": "np.minimum(np.maximum(A, -1), 1)",
    "capped at one": "np.minimum(A, 1)",
    "capped just below one": "np.minimum(A, 0.999)",
    "capped at a hundred": "np.minimum(A, 100)",
}


@rule(ast.expr)
def wrapped(at: Writer, node: ast.expr) -> Edits:
    """A function or a factor that a value does not need.

    >>> wrapped.tried("1 + x", "x")
    ['np.abs(1 + x)', 'np.tanh(1 + x)']
    """
    if at.is_quantity(node):
        for what, template in WRAPPINGS.items():
            yield node, make(template, A=node), what


@rule(ast.expr)
def guarded(at: Writer, node: ast.expr) -> Edits:
    """A guard against zero that is not there, where zero does harm.

    >>> guarded.tried("x / y")
    ['(y + 0.001)', 'np.maximum(y, 0.001)']
    """
    if at.is_quantity(node) and at.is_guarded(node):
        for guard in GUARDS:
            yield node, make(f"A + {guard}", A=node), "a guard too many"
            yield node, make(f"np.maximum(A, {guard})", A=node), "a guard too many"


@rule(ast.expr)
def factor_too_many(at: Writer, node: ast.expr) -> Edits:
    """A product or quotient with something that is known here.

    >>> factor_too_many.tried("1 + x")
    ['(1 + x) * x', '(1 + x) / x']
    """
    if at.is_quantity(node):
        for factor in at.factors(node):
            for template in ("A * B", "A / B"):
                yield node, make(template, A=node, B=factor), "a factor too many"
