"""Every gradient is the slope of the operation it belongs to: shown in balls, without a tolerance.

The operation's own text is moved a tiny step along a random direction, forth and back, in
arithmetic of 500 bits. What the central difference still lacks is seen by halving the step: for a
smooth function it shrinks to a quarter, so the limit lies nearer to the second difference than the
first does. A gradient must lie there too; and the distance must be far too small to matter, below
the error that the gradient is allowed in float64.
"""

from __future__ import annotations

from typing import Any

import flint
import numpy as np
import pytest

from refimpl.gradients import among, base, base_inputs, differentiated
from refimpl.oracle.arithmetic import bounded
from refimpl.oracle.balls import Balls, each, input_ball
from refimpl.oracle.cases import random_case
from refimpl.oracle.reading import run
from refimpl.registry import OPS
from tests.harness import outputs

BITS = 500
STEP = 100  # halvings of one
LARGEST = 600  # numbers of all arguments together: balls are slow
PRODUCTS = [pytest.param(op, id=f"{op.chapter}-{op.name}") for op in among(OPS.values())]


def balls(x: Any) -> Balls:
    return Balls(each(input_ball, np.asarray(x, dtype=np.float64)))


def contracted(pairs: Any) -> flint.arb:
    """The sum of all products of several pairs of arrays."""
    total = flint.arb(0)
    for a, b in pairs:
        for x, y in zip(balls_of(a).ravel(), balls_of(b).ravel(), strict=True):
            total += x * y
    return total


def balls_of(x: Any) -> np.ndarray:
    return x.value if isinstance(x, Balls) else balls(x).value


def difference(op, inputs, directions, grad, halvings) -> flint.arb:
    """The central difference of ⟨grad, op⟩ along a direction for each differentiated argument."""
    step = flint.arb(1) / (flint.arb(2) ** halvings)

    def moved(sign: int) -> flint.arb:
        there = {
            name: balls(x) + Balls(each(lambda v: v * step * sign, balls(directions[name]).value))
            if name in directions
            else x
            for name, x in inputs.items()
        }
        result = run(op.text, lambda x: x if isinstance(x, Balls) else balls(x), there)
        return contracted([(grad, result)])

    return (moved(1) - moved(-1)) / (2 * step)


def narrow(number: flint.arb) -> bool:
    """Whether a ball is known to far more digits than a step has."""
    return number.is_finite() and float(number.rad()) < 2.0**-STEP


def small_cases(op, count=10):
    """Random inputs; the probes hold corners at which no derivative exists."""
    drawn = (random_case(op, "float64", 0, i) for i in range(200))
    small = [c for c in drawn if 0 < sum(np.size(x) for x in c.inputs.values()) <= LARGEST]
    return [c for c in small if np.size(c.inputs["grad"]) and directed(c.inputs)][:count]


def directed(inputs: dict[str, Any]) -> bool:
    """No vector is zero: where vectors are divided by their length, that has no derivative."""
    matrices = (x for x in inputs.values() if np.ndim(x) > 1)
    return all(np.any(x, axis=-1).all() for x in matrices)


@pytest.fixture(autouse=True)
def _many_bits():
    before, flint.ctx.prec = flint.ctx.prec, BITS
    yield
    flint.ctx.prec = before


@pytest.mark.parametrize("op", PRODUCTS)
def test_the_gradient_is_the_slope_of_the_operation_along_any_direction(op):
    differentiable, names = OPS[base(op)], differentiated(op)
    for number, case in enumerate(small_cases(op)):
        rng = np.random.default_rng(number)
        inputs, grad = base_inputs(op, differentiable, case.inputs), case.inputs["grad"]
        directions = {n: rng.standard_normal(np.shape(inputs[n])) for n in names}

        gradients = outputs(run(op.text, balls, case.inputs))
        slope = contracted(zip(gradients, directions.values(), strict=True))
        near = difference(differentiable, inputs, directions, grad, STEP)
        nearer = difference(differentiable, inputs, directions, grad, STEP + 1)
        left = abs(near - nearer)
        assert narrow(slope), case.id
        assert narrow(left), case.id
        assert not abs(slope - nearer) > left, case.id

        bounds = bounded(op.text, case.inputs, "float64")
        allowed = contracted(
            (np.abs(direction), bound.error)
            for direction, bound in zip(directions.values(), bounds, strict=True)
        )
        assert not left > allowed, f"{case.id}: the step is too large to tell"


@pytest.mark.parametrize("op", PRODUCTS)
def test_every_array_of_real_numbers_has_a_gradient(op):
    differentiable = OPS[base(op)]
    assert set(differentiated(op)) <= set(differentiable.specs)
    for name, spec in differentiable.specs.items():
        if spec.kind.name == "Float" and not spec.scalar:
            assert f"{name}_grad" in op.outputs


@pytest.mark.parametrize("op", PRODUCTS)
def test_a_gradient_has_the_axes_of_what_it_belongs_to(op):
    differentiable = OPS[base(op)]
    (result,) = differentiable.returns
    assert op.specs["grad"].axes == result.axes
    for name, spec in zip(differentiated(op), op.returns, strict=True):
        assert spec.dims == differentiable.specs[name].dims, name
    others = [name for name in op.specs if name != "grad"]
    assert [*others, "grad"] == list(op.specs)
    assert others == [name for name in differentiable.specs if name in others]


@pytest.mark.parametrize("op", PRODUCTS)
def test_a_gradient_that_is_off_in_its_last_digit_is_no_slope(op):
    case = small_cases(op, 1)[0]
    differentiable, names = OPS[base(op)], differentiated(op)
    inputs = base_inputs(op, differentiable, case.inputs)
    ones = {name: np.ones(np.shape(inputs[name])) for name in names}
    near, nearer = (
        difference(differentiable, inputs, ones, case.inputs["grad"], STEP + i) for i in (0, 1)
    )
    slope = contracted((y, np.ones(y.shape)) for y in outputs(run(op.text, balls, case.inputs)))
    wrong = slope + flint.arb(2) ** -STEP
    assert abs(wrong - nearer) > abs(near - nearer)
