"""An argument exchanged with another, taken for something else, or not looked at."""

from __future__ import annotations

import ast
import inspect
import itertools
import types
from collections.abc import Iterator

from refimpl.oracle.diagnosis.search.nodes import has_axes, make
from refimpl.oracle.diagnosis.search.registry import Edits, rule
from refimpl.oracle.diagnosis.search.writer import Writer

ALIASES = {"x0": "x_start"}  # where the name of a conversion is not that of the argument
NOISED, CLEAN, NOISE = ("x_t", "x"), ("x_start", "denoised"), ("eps",)
PATHS = {  # how much of a sample is signal and how much is noise, by the argument that says it
    "log_snr": ("np.sqrt(sigmoid({0}))", "np.sqrt(sigmoid(-{0}))"),
    "sigma": ("1", "{0}"),
    "t": ("(1 - {0})", "{0}"),
}
TAKEN = {  # N is the sample, A what is given with it, S and E its shares of signal and of noise
    "noise": ("(N - E * A) / S", CLEAN),
    "the sample without noise": ("(N - S * A) / E", NOISE),
    "a velocity": ("S * N - E * A", CLEAN),
    "noise less the sample": ("N - E * A", CLEAN),
}


@rule(ast.Assign, ast.Return)
def another_parametrisation(at: Writer, node: ast.stmt) -> Edits:
    """What is given is taken for another quantity, and converted.

    >>> given = "x_start; eps; t: Index[Array, 'B', 'T']; alpha_bar: AlphaBar[Array, 'T']"
    >>> print(*another_parametrisation.tried("x_start", given, most=1))
    x_start = x0_from_eps(x_start, t, eps, alpha_bar)
    return x_start
    """
    if not at.is_first(node):
        return
    for name, call in itertools.chain(_conversions(at), _along_a_path(at)):
        yield node, at.with_prologue(node, f"{name} = {call}"), "another parametrisation"


def _along_a_path(at: Writer) -> Iterator[tuple[str, str]]:
    """The sample without noise, or the noise, made of the other or of a velocity.

    Where no table says what the shares are, an argument does: a logarithm of their ratio, a level
    of noise, the time of a flow.
    """
    noised = next((name for name in NOISED if name in at.annotated), "")
    paths = [name for name in PATHS if name in at.annotated and _is_a_share(at, name)]
    for argument in paths[:1] if noised else ():
        said = argument
        if not at.annotated[argument].annotation.scalar:
            said = f"np.reshape({argument}, (-1,) + (1,) * ({noised}.ndim - 1))"
        signal, noise = (make(template.format(said)) for template in PATHS[argument])
        for template, names in TAKEN.values():
            for name in (n for n in names if n in at.annotated):
                parts: dict[str, ast.expr] = {"N": ast.Name(noised), "A": ast.Name(name)}
                yield name, ast.unparse(make(template, S=signal, E=noise, **parts))


def _is_a_share(at: Writer, name: str) -> bool:
    """Whether an argument is a number of a path, and not the index of a step."""
    known = "sigmoid" not in PATHS[name][0] or "sigmoid" in at.scope
    return known and not at.annotated[name].annotation.kind.integer


def _conversions(at: Writer) -> Iterator[tuple[str, str]]:
    """Each argument by the chapter's functions that would make it of something else."""
    for function, found in at.scope.items():
        to, sign, _ = function.partition("_from_")
        name = ALIASES.get(to, to)
        converts = sign and not function.endswith("_vjp")
        if not converts or name not in at.parameters or not isinstance(found, types.FunctionType):
            continue
        arguments, free = [], 0
        for parameter in inspect.signature(found).parameters:
            if parameter in at.parameters and parameter != name:
                arguments.append(parameter)
            elif parameter == "alpha_bar" and "betas" in at.parameters:
                arguments.append("alpha_bar(betas)")
            else:
                arguments.append(name)
                free += 1
        if free == 1 and found is not at.page.function:
            yield name, f"{function}({', '.join(arguments)})"


@rule(ast.Assign, ast.Return)
def arguments_exchanged_throughout(at: Writer, node: ast.stmt) -> Edits:
    """Two arguments of the same axes and kind, each in the place of the other.

    >>> print(*arguments_exchanged_throughout.tried("x / y", most=1))
    x, y = y, x
    return x / y
    """
    if not at.is_first(node):
        return
    for one, other in itertools.combinations(at.annotated, 2):
        a, b = at.annotated[one].annotation, at.annotated[other].annotation
        if (a.kind, a.axes, a.scalar) == (b.kind, b.axes, b.scalar):
            line = f"{one}, {other} = {other}, {one}"
            yield node, at.with_prologue(node, line), "two arguments exchanged"


@rule(ast.Assign, ast.Return)
def neutral_argument(at: Writer, node: ast.stmt) -> Edits:
    """An argument that is not looked at: ones, zeros or nothing in its place.

    >>> print(*neutral_argument.tried("scale * x", "x; scale: Scale[float, '']", most=1))
    x = 0 * x
    return scale * x
    """
    if not at.is_first(node):
        return
    for name, parameter in at.annotated.items():
        annotation = parameter.annotation
        values = ["None"] if getattr(annotation, "optional", False) else []
        if has_axes(annotation) and not values:
            values = [f"0 * {name}", f"0 * {name} + 1"]
        elif getattr(annotation, "scalar", False) and not annotation.kind.up_to:
            values = ["0.0", "1.0"]
        for value in values:
            yield node, at.with_prologue(node, f"{name} = {value}"), "an argument is not looked at"


NORMALISED = {  # along the last axis
    "length": "{0} / np.maximum(np.sqrt(np.sum({0} * {0}, axis=-1, keepdims=True)), 1e-12)",
    "mean square": "{0} / np.maximum(np.sqrt(np.mean({0} * {0}, axis=-1, keepdims=True)), 1e-12)",
    "mean": "{0} - np.mean({0}, axis=-1, keepdims=True)",
    "mean of all": "{0} - np.mean({0})",
    "mean and deviation of all": "({0} - np.mean({0})) / np.sqrt(np.mean(({0} - np.mean({0}))**2))",
}
KEPT = {  # over what a mask keeps
    "mean of all that is kept": "{0} - np.sum({0} * {1}) / np.sum({1})",
}
WHOLE = ("np.floor({0} * 1000) / 1000", "np.floor({0} * 1000 + 0.5) / 1000", "np.floor({0})")


@rule(ast.Assign, ast.Return)
def normalised_before(at: Writer, node: ast.stmt) -> Edits:
    """One argument, or two that are multiplied, normalised before anything else.

    >>> print(*normalised_before.tried("x @ x.T", "x", most=1))
    x = x / np.maximum(np.sqrt(np.sum(x * x, axis=-1, keepdims=True)), 1e-12)
    return x @ x.T
    """
    if not at.is_first(node):
        return
    arrays = [n for n, p in at.annotated.items() if getattr(at.kind_of(ast.Name(n)), "free", False)]
    groups = [(name,) for name in arrays] + list(itertools.combinations(arrays, 2))
    for names in groups:
        for what, template in NORMALISED.items():
            line = "\n    ".join(f"{name} = {template.format(name)}" for name in names)
            yield node, at.with_prologue(node, line), f"normalised by its {what} before"


@rule(ast.Assign, ast.Return)
def normalised_where_kept(at: Writer, node: ast.stmt) -> Edits:
    """An argument less its mean over what a mask of the same axes keeps, before anything else.

    >>> given = "x: Float[Array, 'B N']; keep: Mask[Array, 'B N']"
    >>> print(*normalised_where_kept.tried("x * keep", given, most=1))
    x = x - np.sum(x * keep) / np.sum(keep)
    return x * keep
    """
    masks = [n for n in at.annotated if at.kind(ast.Name(n)) == "Mask"] if at.is_first(node) else []
    for name, mask in itertools.product(at.annotated, masks):
        if (
            name != mask
            and at.annotated[name].annotation.axes == at.annotated[mask].annotation.axes
        ):
            for what, template in KEPT.items():
                line = f"{name} = {template.format(name, mask)}"
                yield node, at.with_prologue(node, line), f"normalised by its {what} before"


@rule(ast.Assign, ast.Return)
def in_whole_steps(at: Writer, node: ast.stmt) -> Edits:
    """An argument cut to whole numbers, or to whole thousandths, as tables of steps hold them.

    >>> print(*in_whole_steps.tried("2 * t", "t: Fraction[Array, 'B']", most=1))
    t = np.floor(t * 1000) / 1000
    return 2 * t
    """
    if not at.is_first(node):
        return
    for name, parameter in at.annotated.items():
        if not parameter.annotation.kind.integer and not parameter.annotation.optional:
            for template in WHOLE:
                line = f"{name} = {template.format(name)}"
                yield node, at.with_prologue(node, line), "cut to whole steps"
