"""What a backend is made of: its parts, and gradients by its own automatic differentiation."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from refimpl.gradients import among, base, base_inputs, differentiated
from refimpl.op import Op
from refimpl.registry import OPS

Pull = Callable[[Callable, dict[str, Any], list[str], Any], Sequence[Any]]


def operations(*parts: ModuleType) -> dict[str, Callable]:
    """What the parts of a backend have to offer: their functions that are named like operations."""
    return {name: each for part in parts for name, each in vars(part).items() if name in OPS}


def gradients(
    functions: Mapping[str, Any], on_tensors: Callable, zeros: Callable, pull: Pull
) -> dict[str, Callable]:
    """The vector-Jacobian product of each of the functions that has one, by its name.

    `zeros(shape, dtype=...)` makes a tensor. `pull(function, arguments, wanted, grad)` gives the
    gradient of each wanted argument, `grad` being that of the result; its first line says how.
    """
    return {
        op.name: on_tensors(_gradient(op, functions[base(op)].__wrapped__, zeros, pull))
        for op in among(OPS.values())
        if base(op) in functions
    }


def _gradient(op: Op, function: Callable, zeros: Callable, pull: Pull) -> Callable:
    def call(**inputs: Any) -> Any:
        grad = inputs["grad"]
        like = functools.partial(zeros, dtype=grad.dtype)
        arguments = base_inputs(op, OPS[base(op)], inputs, like)
        found = tuple(pull(function, arguments, differentiated(op), grad))
        return found if len(found) > 1 else found[0]

    vars(call).update(__signature__=op.signature)
    call.__name__ = op.name
    call.__doc__ = f"{pull.__doc__} of {function.__doc__}"
    return call
