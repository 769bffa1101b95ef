"""What a page calls a constraint, under its number, is refused when it is not kept."""

from __future__ import annotations

import functools
import re

import numpy as np
import pytest

from refimpl.axes import AxesError
from refimpl.axes.shapes import factors
from refimpl.op import DomainError
from refimpl.registry import OPS
from tests.harness import cases
from tests.textbook import operations


@functools.cache
def drawn(name):
    """A few cases of an operation."""
    return cases(OPS[name], count=8)


def longer(op, name, value, dim):
    """An array with its last entry along a dimension repeated, or None where that is none."""
    dims = op.specs[name].dims
    if not isinstance(value, np.ndarray) or not value.size or dim not in dims:
        return None
    axis = dims.index(dim) if "..." not in dims[: dims.index(dim)] else dims.index(dim) - len(dims)
    if op.specs[name].broadcastable:
        axis -= len(dims) if axis >= 0 else 0
        if value.ndim < -axis or value.shape[axis] == 1:
            return None
    return np.concatenate([value, np.take(value, [-1], axis)], axis)


def outside(op, name, value):
    """A number of an argument moved out of its range, or None where it has none."""
    spec = op.specs[name]
    if value is None or (isinstance(value, np.ndarray) and not value.size):
        return None
    wrong = spec.kind.low - 1 if np.isfinite(spec.kind.low) else 0.5  # a label is a whole number
    if not isinstance(value, np.ndarray):
        return wrong
    found = value.astype(np.result_type(value, type(wrong)))
    found.flat[-1] = wrong
    return found


def violations(op, rule, inputs):
    """The inputs with one argument changed so that a constraint is not kept."""
    first, *others = re.findall(r"`([^`]+)`", rule)
    if " has one size in " in rule:
        if any(inputs[name] is None for name in others):
            return []
        changed = {name: longer(op, name, inputs[name], first) for name in others}
        for name in others:  # where the axis is a factor, one more is no multiple of the others
            for dim in op.specs[name].dims:
                if first in factors(dim)[1] and changed[name] is None:
                    changed[name] = longer(op, name, inputs[name], dim)
    elif " is a product" in rule:
        changed = {name: longer(op, name, inputs[name], first) for name in op.specs}
    elif " broadcasts to " in rule:
        dim = op.specs[first].dims[-1]
        changed = {first: longer(op, first, inputs[first], dim)}
    else:
        changed = {first: outside(op, first, inputs[first])}
    return [inputs | {name: value} for name, value in changed.items() if value is not None]


def is_refused(op, bad):
    """Whether the operation raises one of its own errors."""
    try:
        op.checked(**bad)
    except (AxesError, DomainError):
        return True
    return False


RULES = [
    pytest.param(op, rule, id=f"{op.chapter}-{op.name}-C{i}")
    for op in OPS.values()
    for i, rule in enumerate(operations.constraints(op), 1)
]


@pytest.mark.parametrize(("op", "rule"), RULES)
def test_a_constraint_that_is_not_kept_is_refused(op, rule):
    tried = [bad for case in drawn(op.name) for bad in violations(op, rule, case.inputs)]
    assert tried, "no input breaks it"
    refused = [is_refused(op, bad) for bad in tried]
    product = any("*" in dim for spec in op.specs.values() for dim in spec.dims)
    assert any(refused) if product else all(refused)  # every size is a multiple of 1
