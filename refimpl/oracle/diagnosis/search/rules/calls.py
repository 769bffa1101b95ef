"""Calls: another function, other arguments, another axis."""

from __future__ import annotations

import ast
import itertools

from refimpl.oracle.diagnosis.search.nodes import OPERATORS, make, number, numpy_name
from refimpl.oracle.diagnosis.search.registry import Edits, rule
from refimpl.oracle.diagnosis.search.rules.numbers import AXES
from refimpl.oracle.diagnosis.search.writer import SHIFTED, Writer

SIBLINGS = {
    "mean": ("sum", "max"),
    "sum": ("mean", "max"),
    "max": ("sum", "mean"),
    "sin": ("cos",),
    "cos": ("sin",),
    "tanh": ("sin", "arctan"),
    "maximum": ("minimum", "add"),
    "minimum": ("maximum",),
    "exp": ("log", "sqrt"),
    "log": ("log1p", "exp", "sqrt"),
    "log1p": ("log",),
    "sqrt": ("exp", "log"),
    "concatenate": ("stack",),
    "stack": ("concatenate",),
    "round": ("floor", "ceil"),
    "ones": ("zeros",),
    "cumprod": ("cumsum",),
}


def axis_of(node: ast.Call) -> ast.keyword | None:
    """The keyword that says along which axis."""
    return next((k for k in node.keywords if k.arg == "axis"), None)


@rule(ast.Call)
def another_function(at: Writer, node: ast.Call) -> Edits:
    """A function that is easily taken for this one.

    >>> another_function.tried("np.mean(x)", "x")
    ['np.sum', 'np.max']
    """
    for sibling in SIBLINGS.get(numpy_name(node.func), ()):
        yield node.func, f"np.{sibling}", "another function"
    if isinstance(node.func, ast.Name):
        for sibling in at.functions(len(node.args)):
            yield node.func, sibling, "another function"


@rule(ast.Call)
def along_another_axis(at: Writer, node: ast.Call) -> Edits:
    """A function of the chapter along another axis than the last.

    >>> along_another_axis.tried("softmax(x)", "x", most=1)
    ['np.swapaxes(softmax(np.swapaxes(x, -1, -2)), -1, -2)']
    """
    if isinstance(node.func, ast.Name) and len(node.args) == 1 and not node.keywords:
        for other in (-2, 0, 1):
            turned = f"np.swapaxes(F(np.swapaxes(A, -1, {other})), -1, {other})"
            yield node, make(turned, F=node.func, A=node.args[0]), "along another axis"


@rule(ast.Call)
def range_shifted(at: Writer, node: ast.Call) -> Edits:
    """One end of a range left out, or the range backwards.

    >>> range_shifted.tried("np.arange(len(x))", "x")
    ['np.arange(len(x) + 1)[:-1]', 'np.arange(len(x) + 1)[1:]']
    """
    name = numpy_name(node.func)
    if name in ("linspace", "arange"):
        longer = make("A + 1", A=node.args[-1])
        call = ast.Call(node.func, [*node.args[:-1], longer], node.keywords)
        for template in ("A[:-1]", "A[1:]"):
            yield node, make(template, A=call), "an end left out"
    if name == "arange":
        yield node, make("A[::-1]", A=node), "backwards"


@rule(ast.Call)
def running_shifted(at: Writer, node: ast.Call) -> Edits:
    """A running product or sum, one place early or late.

    >>> running_shifted.tried("np.cumprod(x)", "x", most=1)
    ['np.concatenate((np.cumprod(x)[:1], np.cumprod(x)[:-1]))']
    """
    if numpy_name(node.func) in ("cumprod", "cumsum", "sum"):
        for template in SHIFTED:
            yield node, make(template, A=node), "shifted by one"
        one_late = make("np.concatenate((np.ones(1), A[:-1]))", A=node)
        yield node, one_late, "shifted by one"


@rule(ast.Call)
def axes_moved(at: Writer, node: ast.Call) -> Edits:
    """Axes moved where two of them are exchanged.

    >>> axes_moved.tried("np.swapaxes(x, 0, 1)", "x")
    ['np.moveaxis(x, 0, 1)', 'np.moveaxis(x, 0, 2)']
    """
    if numpy_name(node.func) == "swapaxes":
        for a, b in itertools.permutations(range(4), 2):
            moved = make(f"np.moveaxis(A, {a}, {b})", A=node.args[0])
            yield node, moved, "axes moved, not exchanged"


@rule(ast.Call)
def first_repeated(at: Writer, node: ast.Call) -> Edits:
    """The first of several in the place of each of them, repeated.

    >>> first_repeated.tried("np.repeat(x, 2, axis=1)", "x")
    ['np.repeat(x[:, :1], 2 * x.shape[1], axis=1)']
    """
    axis = axis_of(node)
    if numpy_name(node.func) == "repeat" and axis is not None and number(axis.value) == 1:
        parts = {"A": node.args[0], "B": node.args[1]}
        first = make("np.repeat(A[:, :1], B * A.shape[1], axis=1)", **parts)
        yield node, first, "the first for all"


@rule(ast.Call)
def called_twice(at: Writer, node: ast.Call) -> Edits:
    """A function of the chapter applied to what another gives.

    >>> called_twice.tried("softmax(x)", "x")
    ['alpha_bar(softmax(x))', 'zero_terminal_snr(softmax(x))']
    """
    if isinstance(node.func, ast.Name) and len(node.args) == 1:
        for function in at.functions(1):
            yield node, make(f"{function}(A)", A=node), "a function too many"


@rule(ast.Call)
def squared_not_rooted(at: Writer, node: ast.Call) -> Edits:
    """A square in the place of a root.

    >>> squared_not_rooted.tried("np.sqrt(x)", "x")
    ['x * x']
    """
    if numpy_name(node.func) == "sqrt":
        yield node, make("A * A", A=node.args[0]), "squared, not rooted"


@rule(ast.Call)
def arguments_otherwise(at: Writer, node: ast.Call) -> Edits:
    """An argument alone, or two of them exchanged.

    >>> arguments_otherwise.tried("linear(x, y)")
    ['x', 'y']
    """
    for argument in node.args:
        yield node, argument, "a function left out"
    for i, j in itertools.combinations(range(len(node.args)), 2):
        swapped = list(node.args)
        swapped[i], swapped[j] = swapped[j], swapped[i]
        yield node, ast.Call(node.func, swapped, node.keywords), "arguments exchanged"


@rule(ast.Call)
def function_of_one_operand(at: Writer, node: ast.Call) -> Edits:
    """A function of one operand where it is one of the whole; an optional argument left out.

    >>> function_of_one_operand.tried("np.exp(x - y)")
    ['np.exp(x) - y', 'x - np.exp(y)']
    """
    name = numpy_name(node.func)
    for i, argument in enumerate(node.args):
        if isinstance(argument, ast.BinOp) and len(node.args) == 1 and not node.keywords:
            sign = OPERATORS[type(argument.op)]
            for template in (f"F(A) {sign} B", f"A {sign} F(B)"):
                parts = {"F": node.func, "A": argument.left, "B": argument.right}
                yield node, make(template, **parts), "parentheses moved"
            for sibling in SIBLINGS.get(name, ()):
                parts = {"A": argument.left, "B": argument.right}
                moved = make(f"A {sign} np.{sibling}(B)", **parts)
                yield node, moved, "another function, parentheses moved"
        if i and at.is_optional(node, i):
            yield argument, "None", "an argument left out"


@rule(ast.Call)
def sample_variance(at: Writer, node: ast.Call) -> Edits:
    """A mean over one less than there are.

    >>> sample_variance.tried("np.mean(x, axis=-1)", "x")
    ['np.sum(x, axis=-1) / (x.shape[-1] - 1)']
    """
    axis = axis_of(node)
    if numpy_name(node.func) == "mean" and not node.keywords:
        yield node, make("np.sum(A) / (A.size - 1)", A=node.args[0]), "the sample variance"
    if numpy_name(node.func) == "mean" and axis is not None:
        total = ast.Call(make("np.sum"), node.args, node.keywords)
        last = number(axis.value)
        count = f"A.shape[{last}]" if last is not None else "A[:1, 0].size"
        unbiased = make(f"B / ({count} - 1)", A=node.args[0], B=total)
        yield node, unbiased, "the sample variance"


@rule(ast.Call)
def tiled(at: Writer, node: ast.Call) -> Edits:
    """Tiled in the place of repeated.

    >>> tiled.tried("np.repeat(x, 2, axis=1)", "x")
    ['np.concatenate((x,) * 2, axis=1)']
    """
    axis = axis_of(node)
    if numpy_name(node.func) == "repeat" and axis is not None:
        parts = {"A": node.args[0], "B": node.args[1], "C": axis.value}
        yield node, make("np.concatenate((A,) * B, axis=C)", **parts), "tiled, not repeated"


@rule(ast.Call)
def another_base_below(at: Writer, node: ast.Call) -> Edits:
    """A power of two in the place of an exponential.

    >>> another_base_below.tried("np.exp(x)", "x")
    ['np.log(2) * x']
    """
    if numpy_name(node.func) == "exp" and len(node.args) == 1:
        yield node.args[0], make("np.log(2) * A", A=node.args[0]), "another base"


@rule(ast.Call)
def reshaped(at: Writer, node: ast.Call) -> Edits:
    """Reshaped where a transposition is due.

    >>> reshaped.tried("np.swapaxes(x, 0, 1)", "x")
    ['np.reshape(x, np.swapaxes(x, 0, 1).shape)']
    """
    if numpy_name(node.func) in ("swapaxes", "transpose"):
        new = make("np.reshape(A, B.shape)", A=node.args[0], B=node)
        yield node, new, "reshaped, not transposed"


@rule(ast.Call)
def another_base(at: Writer, node: ast.Call) -> Edits:
    """A logarithm to another base.

    >>> another_base.tried("np.log(x)", "x")
    ['np.log(x) / np.log(2)', 'np.log(x) / np.log(10)']
    """
    if numpy_name(node.func) == "log":
        for base in (2, 10):
            yield node, make(f"A / np.log({base})", A=node), "another base"


@rule(ast.Call)
def other_axes(at: Writer, node: ast.Call) -> Edits:
    """One axis for several, one of them left out, or one too many.

    >>> other_axes.tried("np.sum(x, axis=(0, 1))", "x")
    ['-1', '-2']
    """
    axis = axis_of(node)
    if axis is None or not isinstance(axis.value, ast.Tuple):
        return
    for value in AXES:
        yield axis.value, make(repr(value)), "another axis"
    for i in range(len(axis.value.elts)):
        fewer = [e for j, e in enumerate(axis.value.elts) if j != i]
        yield axis.value, ast.Tuple(fewer), "an axis left out"
    for extra in (0, 1):
        more = [ast.Constant(extra), *axis.value.elts]
        yield axis.value, ast.Tuple(more), "an axis too many"
