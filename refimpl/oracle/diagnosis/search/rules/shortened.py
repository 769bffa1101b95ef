"""A value held in a shorter format, or made by a detour that is equal on paper and loses digits."""

from __future__ import annotations

import ast

from refimpl.oracle.diagnosis.search.formats import HELD
from refimpl.oracle.diagnosis.search.nodes import make, numpy_name, span
from refimpl.oracle.diagnosis.search.registry import Edits, rule
from refimpl.oracle.diagnosis.search.writer import Writer

ELEMENTARY = ("exp", "log", "sqrt", "tanh", "sin", "cos", "sum", "mean")
ROUND_ABOUT = {  # equal on paper
    "rooted and squared again": "np.sqrt(A)**2",
    "through its logarithm": "np.exp(np.log(A))",
    "as the complement of its complement": "(1 - (1 - A))",
}


@rule(ast.expr)
def held_shorter(at: Writer, node: ast.expr) -> Edits:
    """A value rounded to a shorter format.

    >>> held_shorter.tried("1 + x", "x")
    ['np.bfloat16(1 + x)', 'np.float16(1 + x)']
    """
    transposed = isinstance(node, ast.Attribute) and node.attr == "T"
    if at.is_quantity(node) or transposed:
        for name, (_, says) in HELD.items():
            yield node, make(f"np.{name}(A)", A=node), f"held in {says}"


@rule(ast.BinOp)
def operands_shorter(at: Writer, node: ast.BinOp) -> Edits:
    """Both operands of a matrix product rounded to a shorter format.

    >>> operands_shorter.tried("x @ y")
    ['np.bfloat16(x) @ np.bfloat16(y)', 'np.float16(x) @ np.float16(y)']
    """
    if isinstance(node.op, ast.MatMult):
        for name, (_, says) in HELD.items():
            short = make(f"np.{name}(A) @ np.{name}(B)", A=node.left, B=node.right)
            yield node, short, f"the operands of one product in {says}"


@rule(ast.Assign)
def squares_shorter(at: Writer, node: ast.Assign) -> Edits:
    r"""A value held in a shorter format, in which it is squared as well.

    >>> print(*squares_shorter.tried("c = x - 1\nv = c * c\nreturn c / v", "x", most=1))
    c = np.bfloat16(x - 1)
    v = np.bfloat16(c * c)
    """
    if node not in at.tree.body:
        return
    name = ast.unparse(node.targets[0])
    square, steps = f"{name} * {name}", at.tree.body[at.tree.body.index(node) :]
    last = next((s for s in steps[1:] if square in ast.unparse(s)), None)
    if last is None:
        return
    lines = [ast.unparse(step) for step in steps[1 : steps.index(last) + 1]]
    for short, (_, says) in HELD.items():
        first = f"{name} = {ast.unparse(make(f'np.{short}(A)', A=node.value))}"
        squared = lines[-1].replace(square, f"np.{short}({square})")
        text = "\n    ".join([first, *lines[:-1], squared])
        yield span(node, last), text, f"held and squared in {says}"


@rule(ast.Tuple)
def several_shorter(at: Writer, node: ast.Tuple) -> Edits:
    r"""Values that one step gives, such as cosine and sine, all held in a shorter format.

    >>> several_shorter.tried("c, s = np.cos(x), np.sin(x)\nreturn c + s", "x", most=1)
    ['(np.bfloat16(np.cos(x)), np.bfloat16(np.sin(x)))']
    """
    if isinstance(at.parents[node], ast.Assign) and isinstance(node.ctx, ast.Load):
        for name, (_, says) in HELD.items():
            each = (ast.unparse(make(f"np.{name}(A)", A=value)) for value in node.elts)
            yield node, f"({', '.join(each)})", f"held in {says}"


@rule(ast.Call)
def function_shorter(at: Writer, node: ast.Call) -> Edits:
    """A function of NumPy whose argument and result are rounded to a shorter format.

    >>> function_shorter.tried("np.exp(x)", "x")
    ['np.bfloat16(np.exp(np.bfloat16(x)))', 'np.float16(np.exp(np.float16(x)))']
    """
    if numpy_name(node.func) in ELEMENTARY and node.args:
        for name, (_, says) in HELD.items():
            argument = make(f"np.{name}(A)", A=node.args[0])
            inner = ast.Call(node.func, [argument, *node.args[1:]], node.keywords)
            yield node, make(f"np.{name}(A)", A=inner), f"computed in {says}"


@rule(ast.expr)
def by_a_detour(at: Writer, node: ast.expr) -> Edits:
    """A value as the square of its root, the exponential of its logarithm, a complement twice.

    >>> by_a_detour.tried("1 + x", "x")
    ['np.sqrt(1 + x) ** 2', 'np.exp(np.log(1 + x))']
    """
    if at.is_quantity(node):
        for says, template in ROUND_ABOUT.items():
            yield node, make(template, A=node), says


@rule(ast.Call)
def from_the_mean_square(at: Writer, node: ast.Call) -> Edits:
    r"""The mean of squares of what was centred, as a mean of squares less the square of a mean.

    >>> from_the_mean_square.tried("c = x - np.mean(x)\nreturn np.mean(c * c)", "x")
    ['np.mean(x * x) - np.mean(x) ** 2']
    """
    if numpy_name(node.func) != "mean" or not node.args or not isinstance(node.args[0], ast.BinOp):
        return
    square = node.args[0]
    if isinstance(square.op, ast.Mult) and ast.dump(square.left) == ast.dump(square.right):
        for step in at.tree.body:
            if isinstance(step, ast.Assign) and isinstance(step.value, ast.BinOp):
                named = ast.unparse(step.targets[0]) == ast.unparse(square.left)
                if named and isinstance(step.value.op, ast.Sub):
                    x = step.value.left
                    mean = ast.Call(node.func, [make("A * A", A=x)], node.keywords)
                    less = ast.Call(node.func, [x], node.keywords)
                    yield node, make("A - B**2", A=mean, B=less), "as E[x²] - E[x]²"
