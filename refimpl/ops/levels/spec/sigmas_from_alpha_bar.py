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
        Law("ᾱ is 1/(1 + σ²)", share_again),
        Law("exchanging ᾱ and 1 - ᾱ inverts the level", shares_exchanged),
        Law("each time is treated by itself", each_alone),
        Law("a clean sample has level 0", clean),
        Law("ᾱ = 1/2 has level 1", half),
    ),
    probes=(
        Probe("Stable Diffusion's thousand times", long_chain),
        Probe("three shares", lambda: {"alpha_bar": np.array([0.75, 0.5, 0.0625])}),
    ),
    mistakes=(
        wrong(
            "not-rooted",
            "returns σ² instead of σ",
            LINE,
            "(1 - alpha_bar) / alpha_bar",
            "levels are far too high where ᾱ is small",
            "ᾱ is one half",
        ),
        wrong(
            "not-divided",
            "returns √(1 - ᾱ), the noise in the scaled sample",
            LINE,
            "np.sqrt(1 - alpha_bar)",
            "no level is above 1",
            "ᾱ is near 1",
        ),
        wrong(
            "inverted",
            "inverts the ratio",
            LINE,
            "np.sqrt(alpha_bar / np.maximum(1 - alpha_bar, 1e-12))",
            "the levels fall with time",
            "ᾱ is one half",
        ),
        wrong(
            "divided-by-the-share",
            "divides by ᾱ instead of √ᾱ",
            LINE,
            "np.sqrt(1 - alpha_bar) / alpha_bar",
            "levels are too high",
            "ᾱ is near 1",
        ),
        wrong(
            "reversed",
            "returns the list in reverse, as samplers use it",
            LINE,
            "np.sqrt((1 - alpha_bar) / alpha_bar)[::-1]",
            "indices count from the wrong end",
            "there is one time",
        ),
    ),
    precisions=FLOATS,
    values={"alpha_bar": draw_shares},
)
