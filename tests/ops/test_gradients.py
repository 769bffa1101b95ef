"""Every gradient is the slope of the operation it belongs to: shown in balls, without a tolerance.

The operation's own text is moved a tiny step along a random direction, forth and back, in
arithmetic of 500 bits. What the central difference still lacks is seen by halving the step: for a
smooth function it shrinks to a quarter, so the limit lies nearer to the second difference than the
first does. A gradient must lie there too; and the distance must be far too small to matter, below
the error that the gradient is allowed in float64.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import flint
import numpy as np
import pytest

from refimpl.gradients import among, base, base_inputs, differentiated
from refimpl.op import Op
from refimpl.oracle.cases.drawn import Case, random_case
from refimpl.oracle.numbers.balls import Balls, each, input_ball
from refimpl.oracle.numbers.errors import bounded
from refimpl.oracle.numbers.reading import run
from refimpl.registry import OPS
from tests.harness import outputs

BITS = 500
STEP = 100  # halvings of one
DRAWN = 2000  # inputs, of which the small ones are taken
LARGEST = 600  # numbers of all arguments together: balls are slow
GRADIENTS = among(OPS.values())
PRODUCTS = [pytest.param(op, id=f"{op.chapter}-{op.name}") for op in GRADIENTS]
MISTAKES = [
    pytest.param(op, edit, id=f"{op.chapter}-{edit.id}") for op in GRADIENTS for edit in op.mistakes
]


def balls(x: Any) -> Balls:
    return x if isinstance(x, Balls) else Balls(each(input_ball, np.asarray(x, dtype=float)))


def contracted(pairs: Any) -> flint.arb:
    """The sum of all products of several pairs of arrays."""
    total = flint.arb(0)
    for a, b in pairs:
        for x, y in zip(balls(a).value.ravel(), balls(b).value.ravel(), strict=True):
            total += x * y
    return total


def narrow(number: flint.arb) -> bool:
    """Whether a ball is known to more digits than a step has."""
    return number.is_finite() and float(number.rad()) < 2.0**-STEP


@dataclass(frozen=True)
class Difference:
    """The change of ⟨grad, op⟩ along a direction for each argument, and how sure it is."""

    slope: flint.arb
    lacks: flint.arb
    directions: list[np.ndarray]
    jump: flint.arb

    @property
    def at_a_kink(self) -> bool:
        """Whether the slopes on both sides differ by more than a step can make them differ."""
        return bool(self.jump > flint.arb(2) ** -(STEP // 2))

    def is_slope(self, text: Callable, case: Case) -> bool:
        """Whether the gradients that a text returns may be the limit of the difference."""
        gradients = outputs(run(text, balls, case.inputs))
        product = contracted(zip(gradients, self.directions, strict=True))
        return narrow(product) and not abs(product - self.slope) > self.lacks


def difference(op: Op, case: Case) -> Difference:
    """Central differences of the operation that belongs to a gradient."""
    text, names = OPS[base(op)].text, differentiated(op)
    inputs = base_inputs(op, OPS[base(op)], case.inputs)
    rng = np.random.default_rng(len(case.id))
    directions = {name: rng.standard_normal(np.shape(inputs[name])) for name in names}

    def moved(step: flint.arb) -> flint.arb:
        there = dict(inputs)
        for name, direction in directions.items():
            there[name] = balls(inputs[name]) + balls(direction) * Balls(step)
        return contracted([(case.inputs["grad"], run(text, balls, there))])

    steps = (flint.arb(2) ** -STEP, flint.arb(2) ** -(STEP + 1))
    (ahead, behind), (sooner, later) = ((moved(step), moved(-step)) for step in steps)
    near, nearer = (ahead - behind) / (2 * steps[0]), (sooner - later) / (2 * steps[1])
    jump = abs(ahead - 2 * moved(flint.arb(0)) + behind) / steps[0]
    return Difference(nearer, abs(near - nearer), list(directions.values()), jump)


def small_cases(op: Op) -> Iterator[Case]:
    """Small random inputs; the probes hold corners at which no derivative exists."""
    for i in range(DRAWN):
        case = random_case(op, "float64", 0, i)
        small = sum(np.size(x) for x in case.inputs.values()) <= LARGEST
        if small and np.size(case.inputs["grad"]) and directed(case.inputs):
            yield case


def smooth(op: Op) -> Iterator[tuple[Case, Difference]]:
    """Small random inputs that do not stand at a kink, with what the operation does beside them."""
    for case in small_cases(op):
        found = difference(op, case)
        if not found.at_a_kink:
            yield case, found


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
    cases = list(itertools.islice(smooth(op), 10))
    assert len(cases) == 10
    for case, found in cases:
        assert narrow(found.slope), case.id
        assert narrow(found.lacks), case.id
        assert found.is_slope(op.text, case), case.id
        found_in_floats = bounded(op.text, case.inputs, "float64")
        bounds = [np.maximum(b.error, np.spacing(np.abs(b.value))) for b in found_in_floats]
        sizes = [np.abs(direction) for direction in found.directions]
        allowed = contracted(zip(bounds, sizes, strict=True))
        assert not found.lacks > allowed, f"{case.id}: the step is too large to tell"


@pytest.mark.parametrize(("op", "edit"), MISTAKES)
def test_a_known_mistake_is_no_slope(op, edit):
    wrong = op.edited(edit)
    for case, found in smooth(op):
        try:
            if not found.is_slope(wrong, case):
                return
        except (ValueError, IndexError):
            return  # of another shape
    pytest.fail("no difference seen")


@pytest.mark.parametrize("op", PRODUCTS)
def test_every_array_of_real_numbers_has_a_gradient(op):
    differentiable = OPS[base(op)]
    assert set(differentiated(op)) <= set(differentiable.specs)
    for name, spec in differentiable.specs.items():
        if spec.kind.free and not spec.scalar:
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


def test_an_input_is_left_out_where_the_slope_jumps_and_nowhere_else():
    op, grad = OPS["relu_vjp"], np.ones(1)
    at = {
        x: difference(op, Case(op.name, "float64", "0-0", "", {"x": np.array([x]), "grad": grad}))
        for x in (-1.0, 0.0, 2.0**-40)
    }
    assert [found.at_a_kink for found in at.values()] == [False, True, False]
