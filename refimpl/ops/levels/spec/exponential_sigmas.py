"""What is known about exponential_sigmas: laws, probes and mistakes."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.common import FLOATS, mistakes_of
from refimpl.ops.levels import reference as text


def ends(f, levels, low, high):
    sigmas = f(levels, low, high)
    yield sigmas[0], high
    if levels > 1:
        yield sigmas[-1], low


def turned(f, levels, low, high):
    if levels > 1:
        yield f(levels, high, low)[::-1], f(levels, low, high)


def products(f, levels, low, high):
    """Levels as far from either end multiply to the same."""
    if levels > 1:
        sigmas = f(levels, low, high)
        yield sigmas * sigmas[::-1], np.full(levels, 1.0) * low * high


def unit(f, levels, low, high):
    yield f(levels, 4 * low, 4 * high), 4 * f(levels, low, high)


def refined(f, levels, low, high):
    yield f(2 * levels - 1, low, high)[::2], f(levels, low, high)


wrong = mistakes_of("exponential_sigmas")
WHOLE = "np.exp((1 - ramp) * np.log(high) + ramp * np.log(low))"

EXPONENTIAL_SIGMAS = Op(
    text.exponential_sigmas,
    laws=(
        Law("begins high and ends low", ends),
        Law("exchanging the ends turns the list round", turned),
        Law("levels as far from either end have the same product", products),
        Law("levels may have any unit", unit),
        Law("twice as many steps contain these", refined),
    ),
    probes=(
        Probe("a power of two a step", lambda: {"levels": 7, "low": 0.125, "high": 8.0}),
        Probe("Stable Diffusion's", lambda: {"levels": 10, "low": 0.03, "high": 14.5}),
    ),
    mistakes=(
        wrong(
            "ends-exchanged",
            "exchanges the ends",
            WHOLE,
            "np.exp((1 - ramp) * np.log(low) + ramp * np.log(high))",
            "a sampler that walks up",
            "the ends are equal",
        ),
        wrong(
            "equal-steps",
            "steps in the levels themselves",
            WHOLE,
            "(1 - ramp) * high + ramp * low",
            "hardly a step at low noise",
            "there are two levels at most",
        ),
        wrong(
            "equal-roots",
            "steps in the square roots",
            WHOLE,
            "((1 - ramp) * np.sqrt(high) + ramp * np.sqrt(low)) ** 2",
            "too few steps at low noise",
            "there are two levels at most",
        ),
        wrong(
            "one-step-short",
            "divides by the number of levels",
            "max(levels - 1, 1)",
            "levels",
            "the last level is not reached",
            "there is one level",
        ),
        wrong(
            "logarithms-left",
            "returns the logarithms of the levels",
            WHOLE,
            "(1 - ramp) * np.log(high) + ramp * np.log(low)",
            "negative levels",
            "never",
        ),
    ),
    precisions=FLOATS,
    values={"low": lambda source, sizes: source.choice([0.002, 0.03, 0.5])},
)
