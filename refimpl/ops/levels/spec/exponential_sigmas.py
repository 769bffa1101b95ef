"""What is known about exponential_sigmas: laws, probes and mistakes."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.common import FLOATS, mistakes_of
from refimpl.ops.levels import reference as text
from refimpl.ops.levels.spec.shared import ANY_UNIT, ENDS, REFINED, TURNED


def products(f, levels, low, high):
    """Levels as far from either end multiply to the same."""
    if levels > 1:
        sigmas = f(levels, low, high)
        yield sigmas * sigmas[::-1], np.full(levels, 1.0) * low * high


wrong = mistakes_of("exponential_sigmas")
WHOLE = "np.exp((1 - ramp) * np.log(high) + ramp * np.log(low))"

EXPONENTIAL_SIGMAS = Op(
    text.exponential_sigmas,
    laws=(
        ENDS,
        TURNED,
        Law("levels equally far from both ends have the same product", products),
        ANY_UNIT,
        REFINED,
    ),
    probes=(
        Probe("a power of two per step", lambda: {"levels": 7, "low": 0.125, "high": 8.0}),
        Probe("Stable Diffusion's", lambda: {"levels": 10, "low": 0.03, "high": 14.5}),
    ),
    mistakes=(
        wrong(
            "ends-exchanged",
            "exchanges the ends",
            WHOLE,
            "np.exp((1 - ramp) * np.log(low) + ramp * np.log(high))",
            "the sampler adds noise instead of removing it",
            "the ends are equal",
        ),
        wrong(
            "equal-steps",
            "spaces the levels evenly",
            WHOLE,
            "(1 - ramp) * high + ramp * low",
            "hardly any steps at low noise",
            "there are two levels at most",
        ),
        wrong(
            "equal-roots",
            "spaces the square roots evenly",
            WHOLE,
            "((1 - ramp) * np.sqrt(high) + ramp * np.sqrt(low)) ** 2",
            "too few steps at low noise",
            "there are two levels at most",
        ),
        wrong(
            "one-step-short",
            "divides by the number of levels instead of intervals",
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
