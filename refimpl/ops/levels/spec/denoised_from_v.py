"""What is known about denoised_from_v: laws, probes and mistakes."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.common import cosines, mistakes_of, one_per_sample, sines
from refimpl.ops.levels import reference as text


def velocity_again(f, x, v, sigma):
    """The velocity that belongs to a clean sample and noise leads back to the clean sample."""
    level = one_per_sample(sigma, x)
    noisy, velocity = x + level * v, (v - level * x) / np.sqrt(1 + level**2)
    yield f(noisy, velocity, sigma), x


def clean(f, x, v, sigma):
    yield f(x, v, 0 * sigma), x


def no_velocity(f, x, v, sigma):
    yield f(x, 0 * v, sigma) * (1 + one_per_sample(sigma, x) ** 2), x


def linear(f, x, v, sigma):
    yield f(4 * x + v, 4 * v - x, sigma), 4 * f(x, v, sigma) + f(v, -x, sigma)


def each_by_itself(f, x, v, sigma):
    yield f(x[::-1], v[::-1], sigma[::-1]), f(x, v, sigma)[::-1]


wrong = mistakes_of("denoised_from_v")
WHOLE = "x / total - level / np.sqrt(total) * v"

DENOISED_FROM_V = Op(
    text.denoised_from_v,
    laws=(
        Law("finds the clean sample that a velocity was made of", velocity_again),
        Law("without noise it is the sample", clean),
        Law("without velocity the sample is divided by 1 + σ²", no_velocity),
        Law("is linear in samples and velocities together", linear),
        Law("each sample is treated by itself", each_by_itself),
    ),
    probes=(
        Probe(
            "three levels",
            lambda: {
                "x": 3 * sines(3, 4),
                "v": cosines(3, 4),
                "sigma": np.array([0.25, 0.75, 14.5]),
            },
        ),
        Probe(
            "a map",
            lambda: {
                "x": cosines(2, 1, 2, 2),
                "v": sines(2, 1, 2, 2),
                "sigma": np.array([2.0, 0.5]),
            },
        ),
    ),
    mistakes=(
        wrong(
            "unscaled-sample",
            "takes the sample for one of variance one",
            WHOLE,
            "x / np.sqrt(total) - level / np.sqrt(total) * v",
            "clean samples are far too large at high noise",
            "the level is 0",
            source="https://github.com/huggingface/diffusers/issues/7046",
        ),
        wrong(
            "sign",
            "adds the velocity",
            WHOLE,
            "x / total + level / np.sqrt(total) * v",
            "noise is doubled instead of removed",
            "the level or the velocity is 0",
        ),
        wrong(
            "level-alone",
            "weighs the velocity by σ",
            WHOLE,
            "x / total - level * v",
            "too much is taken off at high noise",
            "the level is 0",
        ),
        wrong(
            "velocity-divided-twice",
            "weighs the velocity by σ/(1 + σ²)",
            WHOLE,
            "x / total - level / total * v",
            "too little is taken off",
            "the level is 0",
        ),
        wrong(
            "taken-for-noise",
            "takes the velocity for noise",
            WHOLE,
            "x - level * v + 0 * total",
            "v-prediction sampled as epsilon: washed-out noise",
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
