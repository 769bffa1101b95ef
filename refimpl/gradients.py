"""Gradients written by hand: how they are named, and what they have in common.

`<op>_vjp` is the vector-Jacobian product of `<op>`. It takes those arguments of the operation that
its formula needs, then `grad`, the gradient with respect to the output, and returns an output
`<argument>_grad` for each argument that is differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from refimpl.axes.shapes import bind, shape_of
from refimpl.op import Law, Op

PRODUCT, GRADIENT = "_vjp", "_grad"


def among(ops: Iterable[Op]) -> list[Op]:
    """Those operations that are the gradient of another."""
    return [op for op in ops if op.name.endswith(PRODUCT)]


def base(op: Op) -> str:
    """The name of the operation that is differentiated."""
    return op.name.removesuffix(PRODUCT)


def differentiated(op: Op) -> list[str]:
    """The arguments of that operation that have a gradient, in the order of the outputs."""
    return [output.removesuffix(GRADIENT) for output in op.outputs]


def base_inputs(
    op: Op,
    differentiable: Op,
    inputs: dict[str, Any],
    zeros: Callable[[tuple[int, ...]], Any] = np.zeros,
) -> dict[str, Any]:
    """Arguments for the operation that is differentiated, from those of its gradient.

    An array that the gradient does not depend on, such as a bias, is filled with `zeros`, and a
    size that it is not told is that of its axis. What is differentiated is there with all its axes,
    also where it may be left out or be broadcast.
    """
    sizes = bind(op.name, op.specs, inputs)
    rest = tuple(sizes[f"...{i}"] for i in range(sizes.get("...", 0)))
    filled = dict.fromkeys(differentiable.specs)
    for name, spec in differentiable.specs.items():
        if name in inputs:
            filled[name] = inputs[name]
        elif spec.kind.measures and spec.axes in sizes:
            filled[name] = sizes[spec.axes]
        elif not (spec.scalar or spec.broadcastable):
            filled[name] = zeros(shape_of(spec, sizes, rest))
        elif not spec.optional:
            raise TypeError(f"{op.name}: nothing says what {name} of {differentiable.name} is")
        if name in differentiated(op) and (spec.optional or spec.broadcastable):
            whole = zeros(shape_of(spec, sizes, rest))
            filled[name] = whole if filled[name] is None else filled[name] + whole
    return filled


def _linear_in_grad(f: Callable, **inputs: Any) -> Iterator[tuple[Any, Any]]:
    grad = inputs.pop("grad")
    other = grad * grad
    results = (f(**inputs, grad=x) for x in (grad - 3 * other, grad, other))
    both, first, second = (x if isinstance(x, tuple) else (x,) for x in results)
    for sum_, one, two in zip(both, first, second, strict=True):
        yield sum_, one - 3 * two


LINEAR_IN_GRAD = Law("is linear in grad", _linear_in_grad)
