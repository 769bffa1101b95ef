"""What is known about karras_sigmas: laws, probes and mistakes."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.common import FLOATS, mistakes_of
from refimpl.ops.levels import reference as text
from refimpl.ops.levels.spec.shared import ANY_UNIT, ENDS, REFINED, TURNED


def equal_steps(f, levels, low, high, rho):
    ramp = np.arange(levels) / max(levels - 1, 1)
    yield f(levels, low, high, 0 * rho + 1), high + ramp * (low - high)


def power(f, levels, low, high, rho):
    sigmas = f(levels, low, high, rho)
    yield sigmas * sigmas, f(levels, low * low, high * high, 2 * rho)


wrong = mistakes_of("karras_sigmas")


KARRAS_SIGMAS = Op(
    text.karras_sigmas,
    laws=(
        ENDS,
        Law("with rho 1 the steps are equal", equal_steps),
        TURNED,
        ANY_UNIT,
        Law("squared levels are those of squared ends and twice rho", power),
        REFINED,
    ),
    probes=(
        Probe("the paper's", lambda: {"levels": 5, "low": 0.002, "high": 80.0, "rho": 7.0}),
        Probe("Stable Diffusion's", lambda: {"levels": 10, "low": 0.03, "high": 14.5, "rho": 7.0}),
    ),
    mistakes=(
        wrong(
            "ends-exchanged",
            "exchanges the ends",
            "(1 - ramp) * top + ramp * bottom",
            "(1 - ramp) * bottom + ramp * top",
            "the sampler adds noise instead of removing it",
            "the ends are equal",
            source="https://github.com/huggingface/diffusers/issues/5077",
        ),
        wrong(
            "equal-steps",
            "spaces the levels evenly",
            "np.exp(rho * np.log((1 - ramp) * top + ramp * bottom))",
            "(1 - ramp) * high + ramp * low + 0 * top * bottom",
            "hardly any steps at low noise",
            "rho is 1",
        ),
        wrong(
            "equal-ratios",
            "spaces the logarithms evenly, as exponential_sigmas does",
            "np.exp(rho * np.log((1 - ramp) * top + ramp * bottom))",
            "np.exp((1 - ramp) * np.log(high) + ramp * np.log(low)) + 0 * top * bottom",
            "too many steps at low noise",
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
            "rho-always-seven",
            "ignores rho",
            "    top, bottom =",
            "    rho = 0 * rho + 7\n    top, bottom =",
            "rho has no effect",
            "rho is 7",
        ),
        wrong(
            "not-raised",
            "forgets to raise to the power rho at the end",
            "np.exp(rho * np.log((1 - ramp) * top + ramp * bottom))",
            "((1 - ramp) * top + ramp * bottom)",
            "the levels are near 1",
            "rho is 1",
        ),
    ),
    precisions=FLOATS,
    values={
        "low": lambda source, sizes: source.choice([0.002, 0.03, 0.5]),
        "rho": lambda source, sizes: source.choice([7.0, 1.0, 3.0, 5.5]),
    },
)
