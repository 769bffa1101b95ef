"""What is known about scale_input: laws, probes and mistakes."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.common import cosines, mistakes_of, one_per_sample, sines
from refimpl.ops.levels import reference as text


def squares(f, x, sigma):
    scaled = f(x, sigma)
    yield scaled * scaled * (1 + one_per_sample(sigma, x) ** 2), x * x


def clean(f, x, sigma):
    yield f(x, 0 * sigma), x


def linear(f, x, sigma):
    yield (
        f(4 * x + x[::-1], sigma[:1] + 0 * sigma),
        (4 * f(x, sigma[:1] + 0 * sigma) + f(x[::-1], sigma[:1] + 0 * sigma)),
    )


def each_by_itself(f, x, sigma):
    yield f(x[::-1], sigma[::-1]), f(x, sigma)[::-1]


def unit_data(f, x, sigma):
    """What EDM's network gets for data of deviation one."""
    level = sigma + 1  # above 0
    _, _, into, _ = text.edm_coefficients(level, 1.0)
    yield f(x, level), x * one_per_sample(into, x)


wrong = mistakes_of("scale_input")
WHOLE = "x / np.sqrt(1 + level**2)"

SCALE_INPUT = Op(
    text.scale_input,
    laws=(
        Law("squares are divided by 1 + σ²", squares),
        Law("a clean sample is left as it is", clean),
        Law("is linear in the samples", linear),
        Law("each sample is treated by itself", each_by_itself),
        Law("is c_in for data of deviation one", unit_data),
    ),
    probes=(
        Probe(
            "three levels",
            lambda: {"x": 3 * sines(3, 4), "sigma": np.array([0.0, 0.75, 14.5])},
        ),
        Probe("a map", lambda: {"x": cosines(2, 1, 2, 2), "sigma": np.array([2.0, 0.5])}),
    ),
    mistakes=(
        wrong(
            "unscaled",
            "forgets to scale",
            WHOLE,
            "x + 0 * level",
            "the network sees samples far larger than any it was trained on",
            "the level is 0",
        ),
        wrong(
            "not-rooted",
            "divides by the variance",
            WHOLE,
            "x / (1 + level**2)",
            "samples vanish at high noise",
            "the level is 0",
        ),
        wrong(
            "multiplied",
            "multiplies instead of dividing",
            WHOLE,
            "x * np.sqrt(1 + level**2)",
            "scales twice as if undone",
            "the level is 0",
        ),
        wrong(
            "level-not-squared",
            "adds the level, not its square",
            "1 + level**2",
            "1 + level",
            "the variance is far above one at high noise",
            "the level is 0 or 1",
        ),
        wrong(
            "by-the-level",
            "divides by 1 + σ",
            WHOLE,
            "x / (1 + level)",
            "the variance is below one",
            "the level is 0",
        ),
        wrong(
            "first-level",
            "takes the level of the first sample for all",
            "like_samples(sigma, x)",
            "like_samples(sigma[:1], x)",
            "batches of several levels go wrong",
            "all samples have one level",
        ),
    ),
)
