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
        Law("both ends stay", ends_stay),
        Law("shifts multiply", shifts_multiply),
        Law("the odds are multiplied by the shift", odds),
        Law("seen from the other end it is the inverse", other_end),
        Law("a shift of 1 leaves the times", no_shift),
    ),
    probes=(
        Probe("quarters shifted by 3", lambda: {"t": QUARTERS, "shift": 3.0}),
        Probe("the other way", lambda: {"t": QUARTERS, "shift": 0.5}),
    ),
    mistakes=(
        wrong(
            "twice",
            "shifts once more what was shifted already",
            LINE,
            "shift * shift * t / (1 + (shift * shift - 1) * t)",
            "nearly all steps near noise",
            "the shift is 1, or the time 0 or 1",
            source="https://github.com/huggingface/diffusers/pull/13246",
        ),
        wrong(
            "inverse",
            "shifts towards the data",
            LINE,
            "t / (shift + (1 - shift) * t)",
            "nearly all steps near the data",
            "the shift is 1, or the time 0 or 1",
        ),
        wrong(
            "exponential",
            "takes the shift for its logarithm",
            LINE,
            "np.exp(shift) * t / (1 + (np.exp(shift) - 1) * t)",
            "too many steps near noise",
            "the time is 0 or 1",
            source="https://github.com/mflux-community/mflux/pull/465",
        ),
        wrong(
            "logarithm",
            "takes the logarithm of the shift for it",
            LINE,
            "np.log(shift) * t / (1 + (np.log(shift) - 1) * t)",
            "steps as for small pictures",
            "the time is 0 or 1",
            source="https://github.com/mflux-community/mflux/pull/465",
        ),
        wrong(
            "multiplied",
            "multiplies and stops at 1",
            LINE,
            "np.minimum(shift * t, 1)",
            "steps that stand still at pure noise",
            "the shift is 1 or the time 0",
        ),
        wrong(
            "one-too-many",
            "adds the shift itself below",
            LINE,
            "shift * t / (1 + shift * t)",
            "pure noise is never asked for",
            "the time is 0",
        ),
    ),
)


def symmetric(f, t, mean, std):
    yield f(t, mean, std), f(1 - t, -mean, std)


def nothing_at_the_ends(f, t, mean, std):
    yield f(0 * t, mean, std), 0 * t
    yield f(0 * t + 1, mean, std), 0 * t


def in_the_middle(f, t, mean, std):
    half = (0 * t + 1) / 2
    yield f(half, 0 * mean, std) * std, f(half, 0 * mean, 0 * std + 1)


def spread(f, t, mean, std):
    half = (0 * t + 1) / 2
    bell = np.exp(-(mean * mean) / (2 * std * std))
    yield f(half, mean, std), bell * f(half, 0 * mean, std)


wrong_density = mistakes_of("logit_normal_density")


LOGIT_NORMAL_DENSITY = Op(
    text.logit_normal_density,
    laws=(
        Law("the opposite mean is the same from the other end", symmetric),
        Law("nothing is drawn at the ends", nothing_at_the_ends),
        Law("in the middle it falls as the deviation grows", in_the_middle),
        Law("a mean takes from the middle what a bell says", spread),
    ),
    probes=(
        Probe(
            "tenths",
            lambda: {"t": np.array([0.0, 0.1, 0.5, 0.9, 1.0]), "mean": 0.0, "std": 1.0},
        ),
        Probe("moved", lambda: {"t": np.array([0.25, 0.75]), "mean": 1.0, "std": 0.5}),
    ),
    mistakes=(
        wrong_density(
            "slope-forgotten",
            "gives the density of the logit, not of the time",
            "(scale * inside * (1 - inside))",
            "scale",
            "too much weight in the middle, and none lost at the ends",
            "never",
        ),
        wrong_density(
            "normal-of-time",
            "takes the time itself to be normal",
            "(np.log(inside) - np.log(1 - inside) - mean) / std",
            "(inside - mean) / std",
            "another density",
            "never",
        ),
        wrong_density(
            "variance-for-deviation",
            "divides by the variance",
            "- mean) / std",
            "- mean) / (std * std)",
            "too wide or too narrow",
            "the deviation is 1",
        ),
        wrong_density(
            "mean-of-the-other-side",
            "adds the mean",
            "- mean) / std",
            "+ mean) / std",
            "times near the data for times near noise",
            "the mean is 0",
        ),
        wrong_density(
            "two-forgotten",
            "forgets the two in the exponent",
            "constant(2, t))",
            "constant(1, t))",
            "too narrow",
            "the logit is the mean",
        ),
        wrong_density(
            "deviation-forgotten",
            "does not divide by the deviation",
            "np.sqrt(2 * pi(t)) * std",
            "np.sqrt(2 * pi(t)) + 0 * std",
            "the whole is not 1",
            "the deviation is 1",
        ),
    ),
    values={
        "mean": lambda source, known: source.choice([0.0, 0.5, -1.0]),
        "std": lambda source, known: source.choice([1.0, 0.5, 2.0]),
    },
)
