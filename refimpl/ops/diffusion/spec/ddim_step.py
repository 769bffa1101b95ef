"""What is known about ddim_step: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import samples
from refimpl.ops.diffusion import reference as text
from refimpl.ops.diffusion.spec.shared import (
    HALFWAY,
    SAMPLE_BY_SAMPLE,
    draw_shares,
    golden_x_t,
    linear_betas,
    pick,
    printed,
    waves,
    wrong_times,
)


def shares_at(alpha_bar, t, t_prev, like):
    shares = np.concatenate((alpha_bar, np.ones(1)))
    return pick(shares, t, like), pick(shares, t_prev, like)


def implicit_equation(f, x_t, t, t_prev, eps, noise, alpha_bar, eta):
    share, earlier = shares_at(alpha_bar, t, t_prev, x_t)
    kept = (earlier - share) / (earlier * (1 - share))
    spread = eta * np.sqrt((1 - earlier) * kept)
    rest = np.maximum((1 - earlier) * (1 - eta * eta * kept), 0)
    factor = np.sqrt(rest) - np.sqrt(earlier * (1 - share) / share)
    direct = np.sqrt(earlier / share) * x_t + factor * eps + spread * noise
    yield f(x_t, t, t_prev, eps, noise, alpha_bar, eta), direct


def implicit_exact_noise(f, x_t, t, t_prev, eps, noise, alpha_bar, eta):
    x_start, (_, earlier) = x_t, shares_at(alpha_bar, t, t_prev, x_t)  # any sample will do
    noised = text.q_sample(x_start, t, eps, alpha_bar)
    there = np.sqrt(earlier) * x_start + np.sqrt(1 - earlier) * eps
    yield f(noised, t, t_prev, eps, noise, alpha_bar, 0 * eta), there


def implicit_two_steps(f, x_t, t, t_prev, eps, noise, alpha_bar, eta):
    between = t_prev + 1
    half = f(x_t, t, between, eps, noise, alpha_bar, 0 * eta)
    whole = f(x_t, t, t_prev, eps, noise, alpha_bar, 0 * eta)
    yield f(half, between, t_prev, eps, noise, alpha_bar, 0 * eta), whole


def implicit_variances_add(f, x_t, t, t_prev, eps, noise, alpha_bar, eta):
    share, earlier = shares_at(alpha_bar, t, t_prev, x_t)
    kept = f(np.sqrt(1 - share) * eps, t, t_prev, eps, 0 * noise, alpha_bar, eta)
    fresh = f(0 * x_t, t, t_prev, 0 * eps, eps, alpha_bar, eta)
    yield kept * kept + fresh * fresh, (1 - earlier) * eps * eps


def implicit_last(f, x_t, t, t_prev, eps, noise, alpha_bar, eta):
    x_start = text.x0_from_eps(x_t, t, eps, alpha_bar)
    yield f(x_t, t, 0 * t - 1, eps, noise, alpha_bar, eta), x_start


def implicit_is_reverse(f, x_t, t, t_prev, eps, noise, alpha_bar, eta):
    betas = text.betas_from_alpha_bar(alpha_bar)
    logs = pick(text.fixed_small_log_variance(betas), t, x_t)
    reverse = text.p_sample(x_t, t, eps, noise, betas, logs, np.inf)
    yield f(x_t, t, t - 1, eps, noise, alpha_bar, 0 * eta + 1), reverse


def implicit_scaled(f, x_t, t, t_prev, eps, noise, alpha_bar, eta):
    scaled = f(-2 * x_t, t, t_prev, -2 * eps, -2 * noise, alpha_bar, eta)
    yield scaled, -2 * f(x_t, t, t_prev, eps, noise, alpha_bar, eta)


def clipped_golden(zero=0.0):
    """The recorded sample with the noise that its clipped prediction implies."""
    share = text.alpha_bar(linear_betas(zero))
    x_t, predicted = golden_x_t(zero), waves(zero)[2]
    x_start = text.x0_from_eps(x_t, HALFWAY, predicted, share)
    x_start = np.minimum(np.maximum(x_start, -1), 1)
    return x_t, text.eps_from_x0(x_t, HALFWAY, x_start, share), share


def implicit_published(f, x_t, t, t_prev, eps, noise, alpha_bar, eta):
    zero = 0 * alpha_bar[0]
    golden, derived, share = clipped_golden(zero)
    still = f(golden, HALFWAY, HALFWAY - 1, derived, 0 * derived, share, zero)
    yield printed(still, "0.445467860658 0.00154697296158 -0.445205831164 -0.481572847175")
    mean = f(golden, HALFWAY, HALFWAY - 1, derived, 0 * derived, share, zero + 1)
    yield printed(mean, "0.441498258327 0.00000529082586246 -0.444304104609 -0.477996983098")
    unit = f(0 * golden, HALFWAY, HALFWAY - 1, 0 * derived, 0 * derived + 1, share, zero + 1)
    yield printed(unit[0, 0], "0.100256350317")


def golden_implicit(eta):
    x_t, derived, share = clipped_golden()
    return {
        "x_t": x_t,
        "t": HALFWAY,
        "t_prev": HALFWAY - 1,
        "eps": derived,
        "noise": np.array([[0.5, -1.0, 1.5, -2.0]]),
        "alpha_bar": share,
        "eta": eta,
    }


def strides(eta):
    return {
        "x_t": samples(1),
        "t": np.array([999, 500, 40, 0]),
        "t_prev": np.array([700, 250, -1, -1]),
        "eps": samples(2),
        "noise": samples(3),
        "alpha_bar": text.alpha_bar(linear_betas()),
        "eta": eta,
    }


DDIM_STEP = Op(
    text.ddim_step,
    laws=(
        Law("is a linear combination of sample, predicted and fresh noise", implicit_equation),
        Law("with the exact noise it gives q_sample at t_prev", implicit_exact_noise),
        Law("two steps at eta 0 with the same noise are one step", implicit_two_steps),
        Law("kept and fresh noise have the variance 1 - ᾱ of t_prev", implicit_variances_add),
        Law("t_prev = -1 returns the predicted clean sample", implicit_last),
        Law("at eta 1 and t_prev = t - 1 it is p_sample", implicit_is_reverse),
        Law("is odd and homogeneous", implicit_scaled),
        SAMPLE_BY_SAMPLE,
        Law("has the recorded numbers halfway", implicit_published),
    ),
    probes=(
        Probe("the recorded still step", lambda: golden_implicit(0.0)),
        Probe("the recorded step with eta 1", lambda: golden_implicit(1.0)),
        Probe("long strides, still", lambda: strides(0.0)),
        Probe("long strides, half the noise", lambda: strides(0.5)),
        Probe("long strides, eta 1", lambda: strides(1.0)),
        Probe(
            "a stride from almost nothing to almost everything",
            lambda: {
                "x_t": samples(4, (1, 3)),
                "t": np.array([1]),
                "t_prev": np.array([0]),
                "eps": samples(5, (1, 3)),
                "noise": samples(6, (1, 3)),
                "alpha_bar": np.array([0.9999, 1e-7]),
                "eta": 1.0,
            },
        ),
        Probe(
            "fresh noise that rounds to more than all there is",
            lambda: {
                "x_t": np.zeros((1, 2)),
                "t": np.array([1]),
                "t_prev": np.array([0]),
                "eps": np.zeros((1, 2)),
                "noise": np.array([[1.0, -2.0]]),
                "alpha_bar": np.array([0.36, 1e-12]),
                "eta": 1.0,
            },
        ),
    ),
    mistakes=(
        Edit(
            "ddim_step/direction-is-sigma",
            "multiplies the predicted noise by sigma",
            "np.sqrt(rest) * eps",
            "sigma * eps",
            effect="at eta 0 the sample has no noise",
            source="https://github.com/jsboige/CoursIA/pull/16158",
            invisible_when="ᾱ of t_prev is 1",
        ),
        Edit(
            "ddim_step/direction-without-sigma",
            "does not subtract sigma² under the direction's root",
            "1 - share_prev - sigma**2",
            "1 - share_prev",
            effect="more variance than the schedule has",
            invisible_when="eta = 0",
        ),
        Edit(
            "ddim_step/direction-of-the-current-share",
            "uses ᾱ of t instead of ᾱ of t_prev for the direction",
            "1 - share_prev - sigma**2",
            "1 - share - sigma**2",
            effect="the sample never becomes clean",
            invisible_when="both ᾱ are equal",
        ),
        Edit(
            "ddim_step/eta-on-fresh-noise-only",
            "subtracts sigma² of eta 1 in the direction, whatever eta is",
            "1 - share_prev - sigma**2",
            "1 - share_prev - (1 - share_prev) / (1 - share) * (1 - share / share_prev)",
            effect="too little variance between eta 0 and 1",
            invisible_when="eta = 1",
        ),
        Edit(
            "ddim_step/previous-of-the-previous",
            "uses ᾱ of t_prev - 1",
            "at(shares, t_prev, x_t)",
            "at(shares, np.maximum(t_prev - 1, -1), x_t)",
            effect="one step's noise too little",
            invisible_when="neighbouring entries hardly differ, or the last step",
        ),
        Edit(
            "ddim_step/sigma-of-one-step",
            "computes sigma from β of a single step",
            "np.sqrt(1 - share / share_prev)",
            "np.sqrt(at(betas_from_alpha_bar(alpha_bar), t, x_t))",
            effect="the fresh noise is too small by the root of the stride",
            invisible_when="eta = 0 or neighbouring times",
        ),
        Edit(
            "ddim_step/sigma-inverted",
            "exchanges ᾱ of t and of t_prev in sigma",
            "(1 - share_prev) / (1 - share)",
            "(1 - share) / np.maximum(1 - share_prev, 1e-12)",
            effect="more fresh noise than t_prev has",
            invisible_when="eta = 0",
        ),
        Edit(
            "ddim_step/fresh-noise-scaled-by-variance",
            "multiplies the fresh noise by sigma²",
            "+ sigma * noise",
            "+ sigma * sigma * noise",
            effect="less variance than the schedule has",
            invisible_when="eta = 0",
        ),
        Edit(
            "ddim_step/signal-factor-not-rooted",
            "multiplies the predicted clean sample by ᾱ instead of √ᾱ",
            "np.sqrt(share_prev) * x_start",
            "share_prev * x_start",
            effect="the signal fades with every step",
            invisible_when="the last step",
        ),
        Edit(
            "ddim_step/clean-sample-not-divided",
            "does not divide the predicted clean sample by √ᾱ",
            "* eps) / np.sqrt(share)",
            "* eps)",
            effect="the signal fades with every step",
            invisible_when="t is early",
        ),
        *wrong_times("ddim_step", "at(shares, t, x_t)", "at(shares, t - 1, x_t)"),
    ),
    dialects=(
        Edit(
            "ddim_step/ends-with-the-first-share",
            "uses ᾱ₀ instead of 1 for the last step: Stable Diffusion",
            "np.concatenate((alpha_bar, np.ones(1)))",
            "np.concatenate((alpha_bar, alpha_bar[:1]))",
            source="https://github.com/lllyasviel/ControlNet/pull/587",
            invisible_when="all but the last step",
        ),
    ),
    values={"alpha_bar": draw_shares},
)
