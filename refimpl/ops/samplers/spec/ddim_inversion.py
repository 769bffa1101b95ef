"""What is known about ddim_inversion: laws, probes and mistakes."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import samples
from refimpl.ops.diffusion import reference as diffusion
from refimpl.ops.diffusion.spec.shared import draw_shares, linear_betas
from refimpl.ops.samplers import reference as text


def there_and_back(f, x, t_next, t, eps, alpha_bar):
    later = f(x, t_next, t, eps, alpha_bar)
    back = diffusion.ddim_step(later, t_next, t, eps, 0 * eps, alpha_bar, 0.0 * alpha_bar[0])
    yield back, x


def exact_noise(f, x, t_next, t, eps, alpha_bar):
    now = np.maximum(t, 0)
    noised = diffusion.q_sample(x, now, eps, alpha_bar)
    there = diffusion.q_sample(x, t_next, eps, alpha_bar)
    yield f(noised, t_next, now, eps, alpha_bar), there


def from_clean(f, x, t_next, t, eps, alpha_bar):
    yield f(x, t_next, 0 * t - 1, eps, alpha_bar), diffusion.q_sample(x, t_next, eps, alpha_bar)


def stays(f, x, t_next, t, eps, alpha_bar):
    yield f(x, t_next, t_next, eps, alpha_bar), x


def two_steps(f, x, t_next, t, eps, alpha_bar):
    half = f(x, t + 1, t, eps, alpha_bar)
    yield f(half, t_next, t + 1, eps, alpha_bar), f(x, t_next, t, eps, alpha_bar)


def homogeneous(f, x, t_next, t, eps, alpha_bar):
    yield f(-2 * x, t_next, t, -2 * eps, alpha_bar), -2 * f(x, t_next, t, eps, alpha_bar)


def strides():
    return {
        "x": samples(1),
        "t_next": np.array([999, 500, 40, 0]),
        "t": np.array([700, 250, -1, -1]),
        "eps": samples(2),
        "alpha_bar": diffusion.alpha_bar(linear_betas()),
    }


def coarse():
    return {
        "x": samples(3, (2, 3)),
        "t_next": np.array([1, 2]),
        "t": np.array([0, 0]),
        "eps": samples(4, (2, 3)),
        "alpha_bar": np.array([0.75, 0.5, 0.0625]),
    }


DDIM_INVERSION = Op(
    text.ddim_inversion,
    laws=(
        Law("ddim_step with the same noise undoes it", there_and_back),
        Law("with the exact noise it gives q_sample at t_next", exact_noise),
        Law("from the clean sample it is q_sample", from_clean),
        Law("a step to the same time changes nothing", stays),
        Law("two steps with one noise are one", two_steps),
        Law("is odd and homogeneous", homogeneous),
    ),
    probes=(
        Probe("long strides of the long chain", strides),
        Probe("three values of ᾱ", coarse),
    ),
    mistakes=(
        Edit(
            "ddim_inversion/times-exchanged",
            "exchanges the two times, as in sampling",
            "at(shares, t, x), at(shares, t_next, x)",
            "at(shares, t_next, x), at(shares, t, x)",
            effect="noise is removed instead of added",
            invisible_when="both times are equal",
        ),
        Edit(
            "ddim_inversion/clean-sample-not-divided",
            "does not divide the clean sample by √ᾱ",
            "* eps) / np.sqrt(share)",
            "* eps)",
            effect="the signal fades",
            invisible_when="it starts from the clean sample",
        ),
        Edit(
            "ddim_inversion/not-rooted",
            "multiplies the noise by 1 - ᾱ instead of √(1 - ᾱ)",
            "np.sqrt(1 - share_next) * eps",
            "(1 - share_next) * eps",
            effect="less noise than t_next has",
            invisible_when="the later share is 0",
        ),
        Edit(
            "ddim_inversion/noise-of-the-earlier-time",
            "uses √(1 - ᾱ) of t instead of t_next",
            "np.sqrt(1 - share_next) * eps",
            "np.sqrt(1 - share) * eps + 0 * share_next",
            effect="the signal fades, and no noise is added",
            invisible_when="neighbouring times",
        ),
        Edit(
            "ddim_inversion/one-time-late",
            "uses ᾱ of t + 1 for t",
            "at(shares, t, x)",
            "at(shares, t + 1, x)",
            effect="the first step adds no noise",
            source="https://github.com/CompVis/stable-diffusion/pull/533",
            invisible_when="neighbouring entries hardly differ",
        ),
        Edit(
            "ddim_inversion/noise-kept-in-the-guess",
            "does not subtract the noise from the clean sample",
            "(x - np.sqrt(1 - share) * eps)",
            "(x + 0 * share)",
            effect="noise is added twice",
            invisible_when="it starts from the clean sample",
        ),
    ),
    dialects=(
        Edit(
            "ddim_inversion/begins-with-the-first-share",
            "uses ᾱ₀ instead of 1 for the clean sample: Stable Diffusion",
            "np.concatenate((alpha_bar, np.ones(1)))",
            "np.concatenate((alpha_bar, alpha_bar[:1]))",
            invisible_when="all but the first step",
        ),
    ),
    values={"alpha_bar": draw_shares},
)
