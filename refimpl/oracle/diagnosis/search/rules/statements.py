"""Steps left out, moved, exchanged or replaced."""

from __future__ import annotations

import ast
import itertools

from refimpl.oracle.diagnosis.search.nodes import at_place, has_axes, make, span
from refimpl.oracle.diagnosis.search.registry import Edits, rule
from refimpl.oracle.diagnosis.search.writer import Writer

ACTIVATIONS = (
    "np.maximum(A, 0)",
    "np.tanh(A)",
    "np.log1p(np.exp(A))",
)


@rule(ast.If)
def without_the_condition(at: Writer, node: ast.If) -> Edits:
    r"""A step with a condition left out, or done always.

    >>> without_the_condition.tried("if bias is not None:\n    x = x + bias\nreturn x",
    ...     "x; bias: Bias[Array, 'broadcastable B D']")
    ['', 'x = x + bias']
    """
    if not node.orelse:
        yield node, "", "a step left out"
        inner = "\n    ".join(ast.unparse(step) for step in node.body)
        yield node, inner, "without the condition"


@rule(ast.Assign, ast.Return)
def names_exchanged(at: Writer, node: ast.Assign | ast.Return) -> Edits:
    """Two names exchanged wherever they stand in a step.

    >>> names_exchanged.tried("x / y")
    ['y / x']
    """
    value = node.value
    if value is None:
        return
    known = (*at.parameters, *at.known_before(at_place(value)))
    here = {n.id for n in ast.walk(value) if isinstance(n, ast.Name)}
    names = [name for name in dict.fromkeys(known) if name in here]
    for one, other in itertools.combinations(names, 2):
        parts: dict[str, ast.expr] = {one: ast.Name(other), other: ast.Name(one)}
        yield value, make(ast.unparse(value), **parts), "names exchanged"


@rule(ast.Assign)
def step_on_another_value(at: Writer, node: ast.Assign) -> Edits:
    r"""A step that renews a value renews a later one instead.

    >>> print(*step_on_another_value.tried("x = 2 * x\ny = x + 1\nreturn x * y", "x", most=1))
    y = x + 1
    y = 2 * y
    """
    target = node.targets[0]
    if not (isinstance(target, ast.Name) and isinstance(at.parents[node], ast.FunctionDef)):
        return
    if all(not isinstance(n, ast.Name) or n.id != target.id for n in ast.walk(node.value)):
        return
    steps = at.parents[node].body  # type: ignore[attr-defined]
    for later in steps[steps.index(node) + 1 :]:
        if not isinstance(later, ast.Assign):
            continue
        for name in (n for t in later.targets for n in ast.walk(t)):
            if isinstance(name, ast.Name) and name.id not in ("_", target.id):
                value = make(ast.unparse(node.value), **{target.id: ast.Name(name.id)})
                between = steps[steps.index(node) + 1 : steps.index(later) + 1]
                lines = [ast.unparse(step) for step in between]
                lines.append(f"{name.id} = {ast.unparse(value)}")
                yield span(node, later), "\n    ".join(lines), "a step on another value"


@rule(ast.Return)
def another_activation(at: Writer, node: ast.Return) -> Edits:
    """Another activation in the place of a function of one argument.

    >>> another_activation.tried("np.exp(x)", "x")
    ['np.maximum(x, 0)', 'x * np.maximum(x, 0)']
    """
    if len(at.parameters) == 1 and node.value is not None:
        (name,) = at.parameters
        for template in ACTIVATIONS:
            for whole in (template, f"A * ({template})"):
                yield node.value, make(whole, A=ast.Name(name)), "another activation"


@rule(ast.Return)
def another_result(at: Writer, node: ast.Return) -> Edits:
    """What another function of the chapter returns, or an argument added.

    >>> another_result.tried("2 * x", "x")
    ['alpha_bar(x)', 'zero_terminal_snr(x)']
    """
    if node.value is None:
        return
    for function in at.functions(len(at.parameters)):
        whole = f"{function}({', '.join(at.parameters)})"
        yield node.value, make(whole), "another function"
    for name, parameter in at.parameters.items():
        if has_axes(parameter.annotation):
            added = make("A + B", A=node.value, B=ast.Name(name))
            yield node.value, added, "an addend too many"


@rule(ast.Return)
def result_backwards(at: Writer, node: ast.Return) -> Edits:
    """A result whose entries are backwards along one of its axes.

    >>> result_backwards.tried("2 * x", "x")
    ['(2 * x)[..., ::-1]', '(2 * x)[..., ::-1, :]']
    """
    if node.value is not None and not isinstance(node.value, ast.Tuple):
        for section in ("..., ::-1", "..., ::-1, :", "::-1"):
            yield node.value, make(f"(A)[{section}]", A=node.value), "the result backwards"


@rule(ast.Assign)
def step_left_out(at: Writer, node: ast.Assign) -> Edits:
    r"""A step that renews a value, left out.

    >>> step_left_out.tried("x = 2 * x\nreturn x + 1", "x")
    ['']
    """
    if isinstance(at.parents[node], ast.FunctionDef):
        targets = [n for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name)]
        if all(target.id in at.known_before(at_place(target)) for target in targets):
            yield node, "", "a step left out"
