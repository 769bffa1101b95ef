"""Forms that are equal on paper and overflow: their result is no number where the text's is one."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from refimpl.oracle.diagnosis.search.nodes import make, number, numpy_name, span
from refimpl.oracle.diagnosis.search.registry import Edits, rule
from refimpl.oracle.diagnosis.search.writer import Writer

TILES = (128, 64, 32, 16, 8)
STARTS = (0, -1e4, -5e4, -1e9, -100, -1)  # of a running maximum


@rule(ast.BinOp)
def exponentials_apart(at: Writer, node: ast.BinOp) -> Edits:
    r"""Exponentials of a difference, divided by their sum, as a product of two exponentials.

    >>> exponentials_apart.tried("w = np.exp(x - y)\nreturn w / np.sum(w)")
    ['np.exp(x) * np.exp(-(y + np.log(np.sum(w))))', 'np.exp(x) / np.exp(y + np.log(np.sum(w)))']
    """
    if not (isinstance(node.op, ast.Div) and isinstance(node.left, ast.Name)):
        return
    for step in at.tree.body:
        if not isinstance(step, ast.Assign) or not isinstance(step.value, ast.Call):
            continue
        target, call = step.targets[0], step.value
        named = isinstance(target, ast.Name) and target.id == node.left.id
        if not named or numpy_name(call.func) != "exp" or not isinstance(call.args[0], ast.BinOp):
            continue
        inner = call.args[0]
        parts = {"A": inner.left, "B": inner.right, "D": node.right}
        for template in (
            "np.exp(A) * np.exp(-(B + np.log(D)))",
            "np.exp(A) / np.exp(B + np.log(D))",
            "np.exp(A - (B + np.log(D)))",
        ):
            yield node, make(template, **parts), "exponentials taken apart"


@rule(ast.Call)
def exponential_apart(at: Writer, node: ast.Call) -> Edits:
    """An exponential of a difference as a product or quotient of two.

    >>> exponential_apart.tried("np.exp(x - y)")
    ['np.exp(x) * np.exp(-y)', 'np.exp(x) / np.exp(y)']
    """
    if numpy_name(node.func) == "exp" and isinstance(node.args[0], ast.BinOp):
        inner = node.args[0]
        if isinstance(inner.op, ast.Sub):
            for template in ("np.exp(A) * np.exp(-B)", "np.exp(A) / np.exp(B)"):
                new = make(template, A=inner.left, B=inner.right)
                yield node, new, "exponentials taken apart"


@rule(ast.BinOp)
def logistic_unguarded(at: Writer, node: ast.BinOp) -> Edits:
    """The logistic function, or its slope, from one exponential that overflows.

    >>> logistic_unguarded.tried("np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))", "x")
    ['1 / (1 + np.exp(-x))', 'np.exp(x) / (1 + np.exp(x))']
    """
    arrays = [n for n, p in at.parameters.items() if not getattr(p.annotation, "scalar", True)]
    if not arrays:
        return
    z = ast.Name(arrays[0])
    text = ast.unparse(node)
    if isinstance(node.op, ast.Div) and text.count("np.exp") == 2 and "np.minimum" in text:
        for template in ("1 / (1 + np.exp(-Z))", "np.exp(Z) / (1 + np.exp(Z))"):
            yield node, make(template, Z=z), "an exponential that overflows"
    if isinstance(node.op, ast.Mult) and isinstance(node.right, ast.BinOp):
        complement = ast.unparse(node.right) == f"1 - {ast.unparse(node.left)}"
        if complement:
            for template in (
                "np.exp(-Z) / (1 + np.exp(-Z))**2",
                "np.exp(Z) / (1 + np.exp(Z))**2",
            ):
                yield node, make(template, Z=z), "an exponential that overflows"


@rule(ast.Return)
def one_maximum_for_several(at: Writer, node: ast.Return) -> Edits:
    r"""The largest of all, or of several rows, subtracted; the sum may then be less than one.

    >>> steps = "top = np.max(x, axis=-1, keepdims=True)\nw = np.exp(x - top)\n"
    >>> steps += "return w / np.maximum(np.sum(w, axis=-1, keepdims=True), 1)"
    >>> print(*one_maximum_for_several.tried(steps, "x", most=1))
    top = np.max(x, axis=None, keepdims=True)
    w = np.exp(x - top)
    return w / np.where(np.sum(w, axis=-1, keepdims=True) > 0, np.sum(w, axis=-1, keepdims=True), 1)
    """
    total = _guarded_sum(node.value)
    if total is None:
        return
    for step in at.tree.body:
        call = step.value if isinstance(step, ast.Assign) else None
        if not (isinstance(call, ast.Call) and numpy_name(call.func) == "max"):
            continue
        steps = at.tree.body[at.tree.body.index(step) : at.tree.body.index(node) + 1]
        lines = [at.as_written(one).strip() for one in steps]
        assert isinstance(node.value, ast.BinOp)
        for first, what in _other_maxima(step, lines[0]):
            for template in ("np.where(S > 0, S, 1)", "S"):
                new = make(f"A / {template}", A=node.value.left, S=total)
                text = "\n    ".join([first, *lines[1:-1], f"return {ast.unparse(new)}"])
                yield span(step, node), text, what


@rule(ast.Return)
def divided_after_the_product(at: Writer, node: ast.Return) -> Edits:
    """Softmax weights divided by their sum after a product, with what goes wrong in one pass.

    >>> print(*divided_after_the_product.tried("softmax(x) @ y", most=1))  # doctest: +ELLIPSIS
    top = np.max(x, axis=None, keepdims=True)
    top = np.where(top > -np.inf, top, 0)
    weights = np.exp(x - top)
    total = np.sum(weights, axis=-1, keepdims=True)
    return weights @ y / np.where(total > 0, total, 1)
    """
    value = node.value
    if not isinstance(value, ast.BinOp) or not isinstance(value.op, ast.MatMult):
        return
    call = value.left
    if not isinstance(call, ast.Call) or ast.unparse(call.func) != "softmax":
        return
    z, other = call.args[0], value.right
    line = ast.unparse(make("np.max(Z, axis=-1, keepdims=True)", Z=z))
    step = ast.parse(f"top = {line}").body[0]
    assert isinstance(step, ast.Assign)
    maxima = [*_other_maxima(step, f"top = {line}"), *_before_the_scale(at, line)]
    ways = [(first, "weights", what) for first, what in maxima]
    ways += [(f"top = {line}", part, what) for part, what in _other_sums()]
    for first, summed, what in ways:
        parts = {"Z": z, "W": ast.Name("weights"), "V": other}
        steps = (
            *(first, "top = np.where(top > -np.inf, top, 0)", "weights = np.exp(Z - top)"),
            f"total = np.sum({summed}, axis=-1, keepdims=True)",
            "return weights @ V / np.where(total > 0, total, 1)",
        )
        yield node, "\n    ".join(_filled(step, parts) for step in steps), what


@rule(ast.Call)
def summed_with_other_maxima(at: Writer, node: ast.Call) -> Edits:
    r"""A sum of exponentials of which some tiles know another maximum, or none.

    >>> steps = "w = np.exp(x - y)\nreturn w / np.sum(w, axis=-1)"
    >>> print(*summed_with_other_maxima.tried(steps, most=1))  # doctest: +ELLIPSIS
    np.sum(np.where(np.arange(x.shape[-1]) // 128 == ..., np.exp(x), w), axis=-1)
    """
    guarded = numpy_name(node.func) == "maximum" and number(node.args[1]) is not None
    total = node.args[0] if guarded else node
    exponent = _exponent(at, total)
    if exponent is None:
        return
    assert isinstance(total, ast.Call)
    parts = {"Z": exponent.left, "W": total.args[0]}
    for template, what in _other_sums():
        other = ast.Call(total.func, [make(template, **parts)], total.keywords)
        for guard in ("np.where(S > 0, S, 1)", "S", "np.maximum(S, 1)") if guarded else ("S",):
            yield node, make(guard, S=other), what


def _exponent(at: Writer, total: ast.expr) -> ast.BinOp | None:
    """The difference whose exponentials a sum along the last axis is of."""
    if not isinstance(total, ast.Call) or numpy_name(total.func) != "sum":
        return None
    summed = total.args[0]
    if isinstance(summed, ast.Name):
        steps = (s for s in at.tree.body if isinstance(s, ast.Assign))
        given = [s.value for s in steps if ast.unparse(s.targets[0]) == summed.id]
        summed = given[0] if len(given) == 1 else summed
    if isinstance(summed, ast.Call) and numpy_name(summed.func) == "exp":
        inner = summed.args[0]
        if isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Sub):
            return inner
    return None


def _filled(step: str, parts: dict[str, ast.expr]) -> str:
    """A step with expressions in the places of capital letters; its comment is gone."""
    before, sign, after = step.partition(" = " if " = " in step else "return ")
    return f"{before}{sign}{ast.unparse(make(after, **parts))}"


def _other_sums() -> Iterator[tuple[str, str]]:
    """What is summed in the place of weights W of logits Z, and in words."""
    for tile in TILES:
        place = f"np.arange(Z.shape[-1]) // {tile}"
        last = f"{place} == (Z.shape[-1] - 1) // {tile}"
        for which, where in (("last", last), ("first", f"{place} == 0")):
            part = f"np.where({where}, np.exp(Z), W)"
            yield part, f"the {which} tile of {tile} without the maximum"
        running = f"np.exp(Z - np.running_max(Z, {tile}))"
        yield running, f"a sum over tiles of {tile} not rescaled when the maximum grows"


def _other_maxima(step: ast.stmt, line: str) -> Iterator[tuple[str, str]]:
    """The step that takes the largest entry, with the largest of more entries, and in words.

    A running maximum begins at a number where it should begin at -inf, which then is one of them.
    """
    for axis in ("None", "(-2, -1)"):
        yield line.replace("axis=-1", f"axis={axis}"), "one maximum for several rows"
    assert isinstance(step, ast.Assign)
    for start in STARTS:
        new = make(f"np.maximum(A, {start})", A=step.value)
        first = f"{ast.unparse(step.targets[0])} = {ast.unparse(new)}"
        yield first, "a maximum that begins at a number"


def _before_the_scale(at: Writer, largest: str) -> Iterator[tuple[str, str]]:
    """A maximum of products that are not divided by a root yet, which begins at a number."""
    divided = (n.right for n in ast.walk(at.tree) if isinstance(n, ast.BinOp) and _is_rooted(n))
    for root in dict.fromkeys(map(ast.unparse, divided)):
        for start in filter(None, STARTS):
            first = f"top = np.maximum({largest}, {start} / {root})"
            yield first, "a maximum before the scale that begins at a number"


def _is_rooted(node: ast.BinOp) -> bool:
    root = node.right if isinstance(node.op, ast.Div) else None
    return isinstance(root, ast.Call) and numpy_name(root.func) == "sqrt"


def _guarded_sum(value: ast.expr | None) -> ast.expr | None:
    """The sum below a bar that is held at one or above."""
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Div):
        below = value.right
        if isinstance(below, ast.Call) and numpy_name(below.func) == "maximum":
            return below.args[0]
    return None
