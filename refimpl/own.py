"""Any function is an operation: readings, bounds and verdicts for texts that are not ours.

>>> import numpy as np
>>> def swish(x):
...     return x / (1 + np.exp(-x))
>>> operation(swish, example={"x": np.float32([[0.5, -1.0]])}).outputs
('result',)
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import inspect
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.axes import Given, Spec
from refimpl.exceptions import RefimplError
from refimpl.models.model import Model
from refimpl.op import Op

GROUP = "refimpl.chapters"  # the entry points that name modules with OPS


class OperationError(RefimplError, TypeError):
    """A function cannot become an operation as it stands; the message says what is missing."""


def operation(
    text: Callable[..., Any],
    *,
    example: dict[str, Any] | None = None,
    draw: Any = None,
    outputs: Sequence[str] = (),
    **known: Any,
) -> Op:
    """An operation whose text is any NumPy function.

    Arguments annotated with axes (`x: Float[Array, "N D"]`) are drawn from the annotations. Others
    take shapes, dtypes and ranges from `example`, a dict of arguments, or are drawn by `draw`: a
    Hypothesis strategy of such dicts, or a function of a source of numbers that returns one.
    `known` may hold `laws`, `probes`, `mistakes`, `dialects` and `lossy` of `Op`.
    """
    if isinstance(text, Op):
        return text
    if not inspect.isfunction(text):
        raise OperationError(f"{text!r} is not a function written in Python")
    parameters = inspect.signature(text, eval_str=True).parameters
    for name, p in parameters.items():
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            raise OperationError(f"{text.__name__}: *{name} has no name; write out the arguments")
    if example is not None:
        defaults = {n: p.default for n, p in parameters.items() if p.default is not p.empty}
        example = defaults | dict(example)
        if example.keys() != parameters.keys():
            raise OperationError(
                f"{text.__name__}: the example has {', '.join(example) or 'nothing'}, "
                f"expected {', '.join(parameters)}"
            )
    annotated = all(isinstance(p.annotation, Spec) for p in parameters.values())
    if not annotated and example is None and draw is None:
        plain = [n for n, p in parameters.items() if not isinstance(p.annotation, Spec)]
        raise OperationError(
            f'{text.__name__}: {plain[0]} has no axes; annotate it, as in Float[Array, "N D"], '
            "or give an example or a strategy"
        )
    return OwnOp(
        text,
        outputs=tuple(outputs) or _named_outputs(text),
        precisions=("float64", "float32", "bfloat16", "float16"),
        example=example,
        draw=draw,
        **known,
    )


def as_operation(op: Any, inputs: dict[str, Any] | None = None) -> Op:
    """The operation that a name, an `Op` or a function means; `inputs` stand for an example."""
    if isinstance(op, Op):
        return op
    if isinstance(op, str):
        from refimpl.registry import find

        return find(op)
    of = getattr(op, "refimpl_op", None)
    if of is not None:
        return of
    annotated = all(
        isinstance(p.annotation, Spec)
        for p in inspect.signature(op, eval_str=True).parameters.values()
    )
    return operation(op, example=None if annotated else inputs)


def _named_outputs(text: Callable) -> tuple[str, ...]:
    """The names of what a function returns: `return mean, variance` has two."""
    returned = _last_return(text)
    if not isinstance(returned, ast.Tuple):
        return ("result",)
    names = [e.id if isinstance(e, ast.Name) else "" for e in returned.elts]
    if all(names) and len(set(names)) == len(names):
        return tuple(names)
    return tuple(f"result{i}" for i in range(len(names)))


def _last_return(text: Callable) -> ast.expr | None:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(text)))
    except (OSError, SyntaxError, TypeError):  # a lambda within an expression, or typed in
        return None
    returns = [node for node in ast.walk(tree) if isinstance(node, ast.Return)]
    return returns[-1].value if returns else None


@dataclass(frozen=True)
class OwnOp(Op):
    """An operation of somebody's own: its text stands anywhere, its arguments may lack axes."""

    example: dict[str, Any] | None = None
    draw: Any = None

    @functools.cached_property
    def specs(self) -> dict[str, Spec]:
        """The annotation of each argument; where there is none, whatever is given."""
        return {
            name: p.annotation if isinstance(p.annotation, Spec) else Given
            for name, p in self.signature.parameters.items()
        }

    @functools.cached_property
    def returns(self) -> tuple[Spec, ...]:
        """The annotation of each output."""
        annotation = self.signature.return_annotation
        found = getattr(annotation, "__args__", None) or (annotation,)
        specs = [a for a in found if isinstance(a, Spec)]
        return tuple(specs) if len(specs) == len(self.outputs) else (Given,) * len(self.outputs)

    @property
    def sized(self) -> bool:
        """Whether arguments are drawn from annotations alone, not from an example or a strategy."""
        return self.draw is None and Given not in self.specs.values()

    def drawn(self, source: Any) -> dict[str, Any] | None:
        """All arguments from the example or the strategy; None where the annotations say it."""
        strategy, example = self.draw, self.example
        if hasattr(strategy, "example"):
            return self.read(**_from_strategy(strategy, source))
        if strategy is not None:
            return self.read(**strategy(source))
        if example is None or Given not in self.specs.values():
            return None
        return self.read(**{name: _similar(x, source) for name, x in example.items()})


def _similar(x: Any, source: Any) -> Any:
    """Another argument of an example's shape and dtype, as far from zero, with its signs."""
    from refimpl.axes.drawing import FAMILIES, draw_floats, draw_indices

    if not isinstance(x, (np.ndarray, list)) or np.asarray(x).dtype.kind not in "fiub":
        return x
    x = np.asarray(x)
    if not x.size:
        return x
    if x.dtype.kind == "b":
        return source.uniform(x.shape, 0, 1) < 0.5
    if x.dtype.kind in "iu":
        low, high = int(x.min()), int(x.max())
        return low + draw_indices(source, x.shape, np.full(x.shape, high - low + 1))
    finite = x[np.isfinite(x)]
    least, most = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if least >= 0:  # a probability, a variance, a count: nothing beyond what was shown
        return source.uniform(x.shape, least, most)
    family = source.choice(FAMILIES) if source.integer(0, 1) else "normal"
    return draw_floats(source, x.shape, family)


def _from_strategy(strategy: Any, source: Any) -> dict[str, Any]:
    """One draw of a Hypothesis strategy, the same for the same numbers of the source."""
    if hasattr(source, "draw"):
        return source.draw(strategy)
    import hypothesis

    found: list[dict[str, Any]] = []

    @hypothesis.seed(source.integer(0, 2**31))
    @hypothesis.settings(
        max_examples=8,
        database=None,
        deadline=None,
        phases=(hypothesis.Phase.generate,),
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy)
    def collect(drawn: dict[str, Any]) -> None:
        found.append(drawn)

    collect()
    return found[source.integer(0, len(found) - 1)]


def page(path: str | Path) -> list[Op]:
    """The operations of a file: every public function that has axes, or an example in EXAMPLES.

    `OPS` in the file, if there is one, is taken as it stands.
    """
    path = Path(path)
    if not path.is_file():
        raise OperationError(f"{path}: no such page")
    name = f"refimpl_page_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise OperationError(f"{path}: a page is a file ending in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise OperationError(f"{path}: cannot be read: {type(error).__name__}: {error}") from None
    return _ops_of(module, str(path))


def chapter(name: str) -> list[Op]:
    """The operations of a module with OPS, or with functions as on a page."""
    return _ops_of(_imported(name), name)


def chapter_models(name: str) -> list[Model]:
    """The families of whole models of a module, its MODELS."""
    models = list(getattr(_imported(name), "MODELS", ()))
    for model in models:
        if not isinstance(model, Model):
            raise OperationError(f"{name}: MODELS has {type(model).__name__}, expected Model")
    return models


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise OperationError(f"{name}: cannot be imported: {error}") from None


def _ops_of(module: Any, where: str) -> list[Op]:
    if hasattr(module, "OPS"):
        ops = list(module.OPS.values() if isinstance(module.OPS, dict) else module.OPS)
    else:
        examples = getattr(module, "EXAMPLES", {})
        ops = []
        for name, value in vars(module).items():
            mine = inspect.isfunction(value) and value.__module__ == module.__name__
            if not mine or name.startswith("_"):
                continue
            specs = inspect.signature(value, eval_str=True).parameters.values()
            if name in examples or (specs and all(isinstance(p.annotation, Spec) for p in specs)):
                given = examples.get(name)
                of = {"draw": given} if given is not None and not isinstance(given, dict) else {}
                ops.append(operation(value, example=None if of else given, **of))
    wrong = [op for op in ops if not isinstance(op, Op)]
    if wrong or not (ops or hasattr(module, "MODELS")):
        raise OperationError(
            f"{where}: offers no operation; annotate the arguments of a function with axes, as in "
            'Float[Array, "N D"], give it an example in EXAMPLES = {"name": {...}}, or list OPS'
        )
    return ops


def installed_chapters() -> list[str]:
    """The modules that installed packages name under the entry point."""
    from importlib.metadata import entry_points

    return [entry.module for entry in entry_points(group=GROUP)]
