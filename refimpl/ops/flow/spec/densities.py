"""What is known about the densities of a flow's training times: laws, probes and mistakes."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.common import mistakes_of
from refimpl.ops.flow import reference as text

TENTHS = np.array([0.0, 0.1, 0.5, 0.9, 1.0])


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
        Law("-mean gives the density of 1 - t", symmetric),
        Law("is 0 at both ends", nothing_at_the_ends),
        Law("at t = 1/2 it falls as one over the deviation", in_the_middle),
        Law("at t = 1/2 a mean multiplies it by exp(-mean²/(2 std²))", spread),
    ),
    probes=(
        Probe(
            "tenths",
            lambda: {"t": TENTHS, "mean": 0.0, "std": 1.0},
        ),
        Probe("moved", lambda: {"t": np.array([0.25, 0.75]), "mean": 1.0, "std": 0.5}),
    ),
    mistakes=(
        wrong_density(
            "slope-forgotten",
            "forgets the factor 1/(t (1 - t))",
            "(scale * inside * (1 - inside))",
            "scale",
            "the density of the logit, not of the time",
            "never",
        ),
        wrong_density(
            "normal-of-time",
            "uses t itself instead of its logit",
            "(np.log(inside) - np.log(1 - inside) - mean) / std",
            "(inside - mean) / std",
            "another density",
            "never",
        ),
        wrong_density(
            "variance-for-deviation",
            "divides by the variance instead of the deviation",
            "- mean) / std",
            "- mean) / (std * std)",
            "the density is too wide or too narrow",
            "the deviation is 1",
        ),
        wrong_density(
            "mean-of-the-other-side",
            "adds the mean instead of subtracting it",
            "- mean) / std",
            "+ mean) / std",
            "times near the data are drawn instead of times near the noise",
            "the mean is 0",
        ),
        wrong_density(
            "two-forgotten",
            "forgets the factor 1/2 in the exponent",
            "constant(2, t))",
            "constant(1, t))",
            "the density is too narrow",
            "the logit is the mean",
        ),
        wrong_density(
            "deviation-forgotten",
            "does not divide by the deviation",
            "np.sqrt(2 * pi(t)) * std",
            "np.sqrt(2 * pi(t)) + 0 * std",
            "the density does not integrate to 1",
            "the deviation is 1",
        ),
    ),
    values={
        "mean": lambda source, known: source.choice([0.0, 0.5, -1.0]),
        "std": lambda source, known: source.choice([1.0, 0.5, 2.0]),
    },
)


def same_from_both_ends(f, t):
    yield f(t), f(1 - t)


def twice_in_the_middle(f, t):
    yield f((0 * t + 1) / 2), 2 * f(0 * t)


def two_over_pi(f, t):
    yield f(0 * t) * np.arctan(0 * t + 1), (0 * t + 1) / 2


def falls_with_the_squares(f, t):
    yield f(t) * ((1 - t) * (1 - t) + t * t), f(0 * t)


wrong_cosmap = mistakes_of("cosmap_density")
SQUARES = "((1 - t) * (1 - t) + t * t)"

COSMAP_DENSITY = Op(
    text.cosmap_density,
    laws=(
        Law("is the same for 1 - t", same_from_both_ends),
        Law("is twice as large in the middle as at the ends", twice_in_the_middle),
        Law("is 2/π at the ends", two_over_pi),
        Law("times the squares of both shares it is constant", falls_with_the_squares),
    ),
    probes=(
        Probe("tenths", lambda: {"t": TENTHS}),
        Probe("beside the middle", lambda: {"t": np.array([0.25, 0.375, 0.75])}),
    ),
    mistakes=(
        wrong_cosmap(
            "pi-forgotten",
            "does not divide by π",
            "pi(t) * ((",
            "((",
            "the density does not integrate to 1",
            "never",
        ),
        wrong_cosmap(
            "half",
            "has 1 for the 2 above",
            "2 / (pi(t)",
            "1 / (pi(t)",
            "the density does not integrate to 1",
            "never",
        ),
        wrong_cosmap(
            "one-square",
            "has t² for 2 t²",
            SQUARES,
            "(1 - 2 * t + t * t)",
            "the density grows without limit towards noise",
            "the time is 0",
        ),
        wrong_cosmap(
            "line-for-square",
            "has 2 t for 2 t²",
            SQUARES,
            "(1 - 2 * t + 2 * t)",
            "the density is even",
            "the time is 0 or 1",
        ),
        wrong_cosmap(
            "turned-over",
            "multiplies by the squares instead of dividing",
            "2 / (pi(t) * ((1 - t) * (1 - t) + t * t))",
            "2 / pi(t) * ((1 - t) * (1 - t) + t * t)",
            "the ends are drawn most often instead of the middle",
            "the time is 0 or 1",
        ),
    ),
)


def ends(f, u, scale):
    yield f(0 * u, scale), 0 * u + 1
    yield f(0 * u + 1, scale), 0 * u


def turned_about_the_middle(f, u, scale):
    yield f(1 - u, scale), 1 - f(u, scale)


def even(f, u, scale):
    yield f(u, 0 * scale), 1 - u


def bends_with_the_scale(f, u, scale):
    one = 0 * scale + 1
    yield f(u, scale) - (1 - u), scale * (f(u, one) - (1 - u))


wrong_mode = mistakes_of("mode_time")
BEND = "(cosine * cosine - (1 - u))"

MODE_TIME = Op(
    text.mode_time,
    laws=(
        Law("0 gives time 1, and 1 time 0", ends),
        Law("1 - u gives 1 - t", turned_about_the_middle),
        Law("a scale of 0 gives 1 - u", even),
        Law("the distance from 1 - u grows with the scale", bends_with_the_scale),
    ),
    probes=(
        Probe("quarters", lambda: {"u": np.array([0.0, 0.25, 0.5, 0.75, 1.0]), "scale": 1.29}),
        Probe("most at the ends", lambda: {"u": np.array([0.1, 0.6]), "scale": -1.0}),
    ),
    mistakes=(
        wrong_mode(
            "other-way-round",
            "returns 1 - t",
            "return 1 - u - scale * (cosine * cosine - (1 - u))",
            "return u + scale * (cosine * cosine - (1 - u))",
            "times are counted from the data instead of the noise",
            "the number is 1/2",
        ),
        wrong_mode(
            "not-squared",
            "does not square the cosine",
            BEND,
            "(cosine - (1 - u))",
            "times leave [0, 1] or miss its middle",
            "the number is 0 or 1, or the scale 0",
        ),
        wrong_mode(
            "whole-angle",
            "takes the cosine of π u",
            "pi(u) * u / 2",
            "pi(u) * u",
            "u = 1 does not give time 0",
            "the number is 0 or 1, or the scale 0",
        ),
        wrong_mode(
            "added",
            "adds the bend instead of subtracting it",
            "1 - u - scale",
            "1 - u + scale",
            "the ends are drawn instead of the middle",
            "the number is 0, 1/2 or 1, or the scale 0",
        ),
        wrong_mode(
            "bend-without-line",
            "bends by cos² - 1 alone",
            BEND,
            "(cosine * cosine - 1)",
            "times above 1",
            "the number is 0, or the scale 0",
        ),
    ),
    values={"scale": lambda source, known: source.choice([1.29, 0.5, -1.0, 0.0])},
)
