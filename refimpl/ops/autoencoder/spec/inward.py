"""What is known about the gradient of a clamp that passes inwards: laws, probes and mistakes."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.autoencoder import reference as text
from refimpl.ops.common import mistakes_of

X = np.array([-0.5, -0.5, 0.0, 0.3, 0.3, 1.0, 1.4, 1.4])
GRAD = np.array([1.0, -1.0, 2.0, 1.0, -1.0, -2.0, 1.0, -1.0])


def limits(low, high):
    return {"x": X, "grad": GRAD, "low": low, "high": high}


def passes_at_the_limits(f, x, grad, low, high):
    low, high = min(low, high), max(low, high)
    yield f(0 * x + low, grad, low, high), grad
    yield f(0 * x + high, grad, low, high), grad


def only_upwards_from_below(f, x, grad, low, high):
    below, size = 0 * x + min(low, high) - 1, grad * grad
    yield f(below, size, min(low, high), max(low, high)), 0 * grad
    yield f(below, -size, min(low, high), max(low, high)), -size


def mirrored(f, x, grad, low, high):
    yield f(-x, -grad, -high, -low), -f(x, grad, low, high)


def twice(f, x, grad, low, high):
    yield f(x, 2 * grad, low, high), 2 * f(x, grad, low, high)


wrong = mistakes_of("inward_gradient")
OUTWARD = "((x < low) & (grad > 0)) | ((x > high) & (grad < 0))"
INSIDE = "all numbers lie within the limits"

INWARD_GRADIENT = Op(
    text.inward_gradient,
    values={
        "low": lambda source, known: source.choice([0.0, -1.0, -0.25]),
        "high": lambda source, known: source.choice([1.0, 0.25, 2.0]),
    },
    laws=(
        Law("at both limits everything passes", passes_at_the_limits),
        Law("from below the limits only what leads upwards passes", only_upwards_from_below),
        Law("turning all signs around mirrors the gradient", mirrored),
        Law("a gradient twice as large gives one twice as large", twice),
    ),
    probes=(
        Probe("on both sides, both ways, and at the limits", lambda: limits(0.0, 1.0)),
        Probe("limits of opposite signs", lambda: limits(-0.25, 1.25)),
    ),
    mistakes=(
        wrong(
            "clamp",
            "hands on nothing from outside, as a clamp does",
            OUTWARD,
            "(x < low) | (x > high)",
            "what left the limits never returns",
            INSIDE,
        ),
        wrong(
            "straight-through",
            "hands everything on",
            OUTWARD,
            "(x < low) & (x > high)",
            "numbers drift away beyond the limits",
            INSIDE,
        ),
        wrong(
            "outward",
            "passes what leads outwards",
            OUTWARD,
            "((x < low) & (grad < 0)) | ((x > high) & (grad > 0))",
            "what left the limits goes further away",
            INSIDE,
        ),
        wrong(
            "upper-alone",
            "looks at the upper limit only",
            OUTWARD,
            "(x > high) & (grad < 0)",
            "numbers drift away below the lower limit",
            "no number lies below",
        ),
        wrong(
            "lower-alone",
            "looks at the lower limit only",
            OUTWARD,
            "(x < low) & (grad > 0)",
            "numbers drift away above the upper limit",
            "no number lies above",
        ),
        wrong(
            "limits-blocked",
            "blocks what leads outwards from a limit itself",
            OUTWARD,
            "((x <= low) & (grad > 0)) | ((x >= high) & (grad < 0))",
            "numbers that start at a limit get no gradient",
            "no number is a limit",
        ),
    ),
)
