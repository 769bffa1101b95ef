"""What is known about sigmas_from_alpha_bar: laws, probes and mistakes."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.common import FLOATS, mistakes_of
from refimpl.ops.diffusion import reference as diffusion
from refimpl.ops.diffusion.spec.shared import STABLE_DIFFUSION, draw_shares
from refimpl.ops.levels import reference as text

LINE = "np.sqrt((1 - alpha_bar) / alpha_bar)"


def share_again(f, alpha_bar):
    sigma = f(alpha_bar)
    yield 1 / (1 + sigma * sigma), alpha_bar


def shares_exchanged(f, alpha_bar):
    sigma = f(alpha_bar)
    yield sigma * f(1 - alpha_bar), 0 * sigma + 1


def each_alone(f, alpha_bar):
    yield f(alpha_bar[::-1]), f(alpha_bar)[::-1]


def clean(f, alpha_bar):
    yield f(0 * alpha_bar + 1), 0 * alpha_bar


def half(f, alpha_bar):
    yield f((0 * alpha_bar + 1) / 2), 0 * alpha_bar + 1


def long_chain():
    return {
        "alpha_bar": diffusion.alpha_bar(diffusion.scaled_linear_schedule(1000, *STABLE_DIFFUSION))
    }


wrong = mistakes_of("sigmas_from_alpha_bar")


SIGMAS_FROM_ALPHA_BAR = Op(
    text.sigmas_from_alpha_bar,
    laws=(
        Law("the share of signal follows from the level", share_again),
        Law("exchanging signal and noise inverts the level", shares_exchanged),
        Law("treats each time by itself", each_alone),
        Law("a clean sample has level 0", clean),
        Law("half and half has level 1", half),
    ),
    probes=(
        Probe("Stable Diffusion's thousand times", long_chain),
        Probe("three shares", lambda: {"alpha_bar": np.array([0.75, 0.5, 0.0625])}),
    ),
    mistakes=(
        wrong(
            "not-rooted",
            "takes the ratio of the variances",
            LINE,
            "(1 - alpha_bar) / alpha_bar",
            "levels far too high at the start",
            "the share is one half",
        ),
        wrong(
            "not-divided",
            "takes the deviation of the noise in the scaled sample",
            LINE,
            "np.sqrt(1 - alpha_bar)",
            "no level is above 1",
            "the share is near 1",
        ),
        wrong(
            "inverted",
            "turns the ratio upside down",
            LINE,
            "np.sqrt(alpha_bar / np.maximum(1 - alpha_bar, 1e-12))",
            "the levels fall with time",
            "the share is one half",
        ),
        wrong(
            "divided-by-the-share",
            "divides the deviation of the noise by the share instead of its root",
            LINE,
            "np.sqrt(1 - alpha_bar) / alpha_bar",
            "levels too high",
            "the share is near 1",
        ),
        wrong(
            "reversed",
            "returns the list as samplers walk it",
            LINE,
            "np.sqrt((1 - alpha_bar) / alpha_bar)[::-1]",
            "a table that is looked up from the wrong end",
            "there is one time",
        ),
    ),
    precisions=FLOATS,
    values={"alpha_bar": draw_shares},
)
