"""Operators, operands, signs and parentheses; comparisons and connectives."""

from __future__ import annotations

import ast

from refimpl.oracle.diagnosis.search.nodes import COMPARISONS, OPERATORS, make, number, numpy_name
from refimpl.oracle.diagnosis.search.registry import Edits, rule
from refimpl.oracle.diagnosis.search.rules.numbers import spelled
from refimpl.oracle.diagnosis.search.writer import PRECEDENCE, Writer

MASKED = (  # a bias of zeros and -inf taken for another kind of mask
    "A * (B > -np.inf)",
    "A + (B > -np.inf)",
    "np.where(B > -np.inf, A + B, -1e-9)",
    "np.where(B > -np.inf, A + B, -10000.0)",
    "np.where(B > -np.inf, A + B, -1e9)",
    "A + np.where(B > -np.inf, B, -1e-9)",
    "A + np.swapaxes(np.broadcast_to(B, A.shape), -1, -2)",
)

MEANS = (
    "np.log(S * np.exp(A) + T * np.exp(B))",
    "np.exp(S * np.log(A) + T * np.log(B))",
    "np.sqrt(S * A**2 + T * B**2)",
    "(S * np.sqrt(A) + T * np.sqrt(B))**2",
    "1 / (S / A + T / B)",
)


@rule(ast.BinOp)
def another_operation(at: Writer, node: ast.BinOp) -> Edits:
    """Another operator between the same operands.

    >>> another_operation.tried("x - y")
    ['x + y', 'x - y']
    """
    sign, logical = OPERATORS[type(node.op)], ("|", "&")
    for operator in PRECEDENCE:
        if (operator in logical) != (sign in logical):
            continue
        if operator == "**" and number(node.right) not in (2, 3):
            continue
        if (operator == "//" and sign not in ("/", "%")) or (operator == "%" and sign != "//"):
            continue
        yield node, make(f"A {operator} B", A=node.left, B=node.right), "another operation"


@rule(ast.BinOp)
def operands_exchanged(at: Writer, node: ast.BinOp) -> Edits:
    """The left operand on the right, where that makes a difference.

    >>> operands_exchanged.tried("x - y")
    ['y - x']
    """
    sign = OPERATORS[type(node.op)]
    if sign in ("-", "/", "@", "**", "//", "%", "<<", ">>"):
        yield node, make(f"B {sign} A", A=node.left, B=node.right), "operands exchanged"


@rule(ast.BinOp)
def operands_left_out(at: Writer, node: ast.BinOp) -> Edits:
    """One operand alone, or half of one.

    >>> operands_left_out.tried("x / y")
    ['x', 'y']
    """
    sign, right = OPERATORS[type(node.op)], node.right
    for operand in (node.left, right):
        yield node, operand, "an operand left out"
        if isinstance(operand, ast.BinOp):
            yield node, operand.left, "two operands left out"
            yield node, operand.right, "two operands left out"
    if sign == "-":
        yield node, make("-B", B=right), "an operand left out"
    if sign == "/":
        yield node, make("1 / B", B=right), "an operand left out"


@rule(ast.BinOp)
def another_ratio(at: Writer, node: ast.BinOp) -> Edits:
    """Odds, or their inverse, in the place of a share.

    >>> another_ratio.tried("1 - x", "x")
    ['(1 - x) / x', 'x / (1 - x)']
    """
    if isinstance(node.op, ast.Sub) and number(node.left) == 1:
        for template in ("(1 - B) / B", "B / (1 - B)", "1 - B * B"):
            yield node, make(template, B=node.right), "another ratio"


@rule(ast.BinOp)
def another_mean(at: Writer, node: ast.BinOp) -> Edits:
    """A weighted mean of other numbers: of what these are logarithms, roots or squares of.

    >>> another_mean.tried("(1 - x) * y + x * z", "x; y; z")
    ['np.log((1 - x) * np.exp(y) + x * np.exp(z))', 'np.exp((1 - x) * np.log(y) + x * np.log(z))']
    """
    shares = [n for n in (node.left, node.right) if isinstance(n, ast.BinOp)]
    if not isinstance(node.op, ast.Add) or len(shares) < 2:
        return
    if not all(isinstance(n.op, ast.Mult) for n in shares):
        return
    s, t = (ast.unparse(n.left) for n in shares)
    if f"1 - {s}" == t.strip("()") or f"1 - {t}" == s.strip("()"):
        weights = {"S": shares[0].left, "T": shares[1].left}
        for template in MEANS:
            new = make(template, A=shares[0].right, B=shares[1].right, **weights)
            yield node, new, "another mean"


@rule(ast.BinOp)
def another_kind_of_mask(at: Writer, node: ast.BinOp) -> Edits:
    """A bias of zeros and -inf read as a mask of ones, or transposed.

    >>> another_kind_of_mask.tried("x + bias", "x; bias: Bias[Array, 'broadcastable B D']")
    ['x * (bias > -np.inf)', 'x + (bias > -np.inf)']
    """
    if isinstance(node.op, ast.Add) and at.kind(node.right) == "Bias":
        for template in MASKED:
            yield node, make(template, A=node.left, B=node.right), "another kind of mask"


@rule(ast.BinOp)
def rest_cut_off(at: Writer, node: ast.BinOp) -> Edits:
    """What is added to the first addend, cut off at zero or turned.

    >>> rest_cut_off.tried("x + y - 1")
    ['x + np.maximum(y - 1, 0)', 'x + np.minimum(y - 1, 0)']
    """
    left, sign = node.left, OPERATORS[type(node.op)]
    if sign in ("+", "-") and isinstance(left, ast.BinOp) and isinstance(left.op, ast.Add):
        rest = make(f"B {sign} C", B=left.right, C=node.right)
        for template in ("A + np.maximum(R, 0)", "A + np.minimum(R, 0)", "A - (R)"):
            yield node, make(template, A=left.left, R=rest), "the rest cut off or turned"


@rule(ast.BinOp)
def added_to_one_part(at: Writer, node: ast.BinOp) -> Edits:
    """What is added to joined parts is added to one of them before.

    >>> added_to_one_part.tried("np.concatenate((x, x)) + y")
    ['np.concatenate((x + y, x))', 'np.concatenate((x + y[1:], x))']
    """
    joined = node.left
    if not (isinstance(node.op, ast.Add) and isinstance(joined, ast.Call)):
        return
    if numpy_name(joined.func) != "concatenate":
        return
    if not joined.args or not isinstance(joined.args[0], ast.Tuple):
        return
    for i, part in enumerate(joined.args[0].elts):
        for template in ("A + B", "A + B[1:]", "A + B[:-1]", "A + B[:1]"):
            parts = list(joined.args[0].elts)
            parts[i] = make(template, A=part, B=node.right)
            call = ast.Call(joined.func, [ast.Tuple(parts), *joined.args[1:]], joined.keywords)
            yield node, call, "added to one part"


@rule(ast.BinOp)
def parentheses_moved(at: Writer, node: ast.BinOp) -> Edits:
    """A product of sums for a sum of products; an operand drawn into a function.

    >>> parentheses_moved.tried("x * (y + 1)")
    ['x * y + 1']
    """
    left, right, sign = node.left, node.right, OPERATORS[type(node.op)]
    if isinstance(right, ast.BinOp):
        inner = OPERATORS[type(right.op)]
        moved = make(f"(A {sign} B) {inner} C", A=left, B=right.left, C=right.right)
        yield node, moved, "parentheses moved"
    if isinstance(left, ast.BinOp):
        inner = OPERATORS[type(left.op)]
        moved = make(f"A {inner} (B {sign} C)", A=left.left, B=left.right, C=right)
        yield node, moved, "parentheses moved"
    for operand, template in ((left, f"F(A {sign} B)"), (right, f"F(B {sign} A)")):
        other = right if operand is left else left
        if isinstance(operand, ast.Call) and len(operand.args) == 1 and not operand.keywords:
            moved = make(template, F=operand.func, A=operand.args[0], B=other)
            yield node, moved, "parentheses moved"


@rule(ast.UnaryOp)
def sign_left_out(at: Writer, node: ast.UnaryOp) -> Edits:
    """An expression without its sign.

    >>> sign_left_out.tried("-x", "x")
    ['x']
    """
    if spelled(at, node) is None:
        yield node, node.operand, "a sign left out"


@rule(ast.Compare)
def compared_otherwise(at: Writer, node: ast.Compare) -> Edits:
    """A side compared with itself, a triangle of the result, another comparison.

    >>> compared_otherwise.tried("x < y")
    ['x < x', 'y < y']
    """
    if type(node.ops[0]) not in COMPARISONS:
        return
    parts = {"A": node.left, "B": node.comparators[0]}
    for side in ("A", "B"):
        same = make(f"{side} {COMPARISONS[type(node.ops[0])]} {side}", **parts)
        yield node, same, "compared with itself"
    for template in ("np.tril(C)", "np.triu(C)"):
        yield node, make(template, C=node), "a triangle alone"
    for operator in COMPARISONS.values():
        yield node, make(f"A {operator} B", **parts), "another comparison"


@rule(ast.BinOp)
def quotient_rounded(at: Writer, node: ast.BinOp) -> Edits:
    """A quotient of whole numbers rounded to the nearest one, or up.

    >>> quotient_rounded.tried("n // k", "n: Size[int, 'N']; k: Size[int, 'K']")
    ['(n + k // 2) // k', '-(-n // k)']
    """
    if isinstance(node.op, ast.FloorDiv):
        for template in ("(A + B // 2) // B", "-(-A // B)"):
            yield node, make(template, A=node.left, B=node.right), "a quotient rounded otherwise"
