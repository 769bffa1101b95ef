"""What is known about the times of a flow: laws, probes and mistakes."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.common import mistakes_of
from refimpl.ops.flow import reference as text

LINE = "shift * t / (1 + (shift - 1) * t)"
QUARTERS = np.array([0.0, 0.25, 0.5, 0.75, 1.0])


def ends_stay(f, t, shift):
    yield f(0 * t, shift), 0 * t
    yield f(0 * t + 1, shift), 0 * t + 1


def shifts_multiply(f, t, shift):
    yield f(f(t, shift), shift), f(t, shift * shift)


def odds(f, t, shift):
    shifted = f(t, shift)
    yield shifted * (1 - t), shift * t * (1 - shifted)


def other_end(f, t, shift):
    yield 1 - f(t, shift), f(1 - t, 1 / shift)


def no_shift(f, t, shift):
    yield f(t, 0 * shift + 1), t


wrong = mistakes_of("flow_shift")


FLOW_SHIFT = Op(
    text.flow_shift,
    laws=(
        Law("times 0 and 1 stay", ends_stay),
        Law("two shifts multiply", shifts_multiply),
        Law("the odds t/(1 - t) are multiplied by the shift", odds),
        Law("for 1 - t it is the inverse shift", other_end),
        Law("a shift of 1 changes nothing", no_shift),
    ),
    probes=(
        Probe("quarters shifted by 3", lambda: {"t": QUARTERS, "shift": 3.0}),
        Probe("the other way", lambda: {"t": QUARTERS, "shift": 0.5}),
    ),
    mistakes=(
        wrong(
            "twice",
            "applies the shift twice",
            LINE,
            "shift * shift * t / (1 + (shift * shift - 1) * t)",
            "nearly all steps are near the noise",
            "the shift is 1, or the time 0 or 1",
            source="https://github.com/huggingface/diffusers/pull/13246",
        ),
        wrong(
            "inverse",
            "divides by the shift instead of multiplying",
            LINE,
            "t / (shift + (1 - shift) * t)",
            "nearly all steps are near the data",
            "the shift is 1, or the time 0 or 1",
        ),
        wrong(
            "exponential",
            "uses exp(shift) as the shift",
            LINE,
            "np.exp(shift) * t / (1 + (np.exp(shift) - 1) * t)",
            "too many steps are near the noise",
            "the time is 0 or 1",
            source="https://github.com/mflux-community/mflux/pull/465",
        ),
        wrong(
            "logarithm",
            "uses log(shift) as the shift",
            LINE,
            "np.log(shift) * t / (1 + (np.log(shift) - 1) * t)",
            "the steps are those of small images",
            "the time is 0 or 1",
            source="https://github.com/mflux-community/mflux/pull/465",
        ),
        wrong(
            "multiplied",
            "returns min(shift t, 1)",
            LINE,
            "np.minimum(shift * t, 1)",
            "the first steps stay at pure noise",
            "the shift is 1 or the time 0",
        ),
        wrong(
            "one-too-many",
            "has 1 + shift t as denominator",
            LINE,
            "shift * t / (1 + shift * t)",
            "pure noise is never reached",
            "the time is 0",
        ),
    ),
)


def ends_stay_too(f, t, mu):
    yield f(0 * t, mu), 0 * t
    yield f(0 * t + 1, mu), 0 * t + 1


def logarithms_add(f, t, mu):
    yield f(f(t, mu), mu), f(t, mu + mu)


def logarithm_of_odds(f, t, mu):
    shifted = f(t, mu)
    yield shifted * (1 - t), np.exp(mu) * t * (1 - shifted)


def back_again(f, t, mu):
    yield 1 - f(t, mu), f(1 - t, -mu)


def nothing_added(f, t, mu):
    yield f(t, 0 * mu), t


wrong_exponential = mistakes_of("flow_shift_exponential")
MIDDLE = "the time is 0 or 1"

FLOW_SHIFT_EXPONENTIAL = Op(
    text.flow_shift_exponential,
    laws=(
        Law("times 0 and 1 stay", ends_stay_too),
        Law("two shifts add their logarithms", logarithms_add),
        Law("the odds t/(1 - t) are multiplied by exp(mu)", logarithm_of_odds),
        Law("for 1 - t it is the shift by -mu", back_again),
        Law("a mu of 0 changes nothing", nothing_added),
    ),
    probes=(
        Probe("quarters shifted by exp(1.15)", lambda: {"t": QUARTERS, "mu": 1.15}),
        Probe("the other way", lambda: {"t": QUARTERS, "mu": -0.5}),
    ),
    mistakes=(
        wrong_exponential(
            "factor",
            "takes mu itself for the shift",
            "np.exp(mu)",
            "mu",
            "the steps are those of a smaller picture",
            MIDDLE,
        ),
        wrong_exponential(
            "inverse",
            "shifts by -mu",
            "np.exp(mu)",
            "np.exp(-mu)",
            "nearly all steps are near the data",
            "mu is 0, or the time 0 or 1",
        ),
        wrong_exponential(
            "twice",
            "applies the shift twice",
            "np.exp(mu)",
            "np.exp(2 * mu)",
            "nearly all steps are near the noise",
            "mu is 0, or the time 0 or 1",
        ),
        wrong_exponential(
            "added",
            "adds mu in place of multiplying by its exponential",
            LINE,
            "t + mu",
            "times leave the range that the network knows",
            "mu is 0",
        ),
        wrong_exponential(
            "less-one",
            "takes exp(mu) - 1 for the shift",
            "np.exp(mu)",
            "np.expm1(mu)",
            "the steps are those of a smaller picture",
            MIDDLE,
        ),
        wrong_exponential(
            "one-too-many",
            "has 1 + exp(mu) t as denominator",
            LINE,
            "shift * t / (1 + shift * t)",
            "pure noise is never reached",
            "the time is 0",
        ),
    ),
)
