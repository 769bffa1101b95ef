"""What is known about log variances: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.common import FLOATS
from refimpl.ops.diffusion import reference as text
from refimpl.ops.diffusion.spec.shared import (
    HALFWAY,
    SAMPLE_BY_SAMPLE,
    draw_betas,
    linear_betas,
    none_below,
    pick,
    printed,
    wrong_times,
)


def small_equation(f, betas):
    share = text.alpha_bar(betas)
    yield f(betas)[1:], np.log(betas[1:]) + np.log(1 - share[:-1]) - np.log(1 - share[1:])


def small_precisions_add(f, betas):
    noised = 1 - text.alpha_bar(betas)[:-1]
    precision = 1 / noised + (1 - betas[1:]) / betas[1:]
    yield np.exp(f(betas))[1:] * precision, np.ones(len(betas) - 1)


def first_repeats_second(f, betas):
    logs = f(betas)
    yield logs[0], logs[1]


def small_below_both_neighbours(f, betas):
    variance = np.exp(f(betas)[1:])
    yield none_below(betas[1:] - variance)
    yield none_below(1 - text.alpha_bar(betas)[:-1] - variance)


def small_is_the_posterior(f, betas):
    t = np.arange(len(betas))
    nothing = np.zeros((len(betas), 1))
    yield f(betas), text.q_posterior(nothing, nothing, t, betas)[2][:, 0]


def small_published(f, betas):
    zero = 0 * betas[0]
    logs = f(linear_betas(zero))
    yield printed(np.exp(logs)[[0, 1, 999]], "0.00005453187661 0.00005453187661 0.01999998353")
    yield printed(logs[HALFWAY], "-4.60004973998")
    stable = np.exp(f(text.scaled_linear_schedule(1000, zero + 0.00085, zero + 0.012)))
    yield printed(stable[[1, 999]], "0.0004263531256 0.01199931762")


TABLE_PROBES = (
    Probe("the linear schedule of 1000 steps", lambda: {"betas": linear_betas()}),
    Probe("a few large steps", lambda: {"betas": np.array([0.3, 0.4, 0.6, 0.2])}),
    Probe("two steps", lambda: {"betas": np.array([0.3, 0.6])}),
)

FIXED_SMALL_LOG_VARIANCE = Op(
    text.fixed_small_log_variance,
    laws=(
        Law("equals a sum of logarithms after the first entry", small_equation),
        Law(
            "the posterior's precision is the sum of both neighbours' precisions",
            small_precisions_add,
        ),
        Law("the first entry repeats the second", first_repeats_second),
        Law("is below β and below 1 - ᾱ of t - 1", small_below_both_neighbours),
        Law("is q_posterior's log variance at every t", small_is_the_posterior),
        Law("has the published entries at 1000 steps", small_published),
    ),
    probes=TABLE_PROBES,
    mistakes=(
        Edit(
            "fixed_small_log_variance/log-of-zero",
            "takes the logarithm of the zero at t = 0",
            "np.concatenate((variance[1:2], variance[1:]))",
            "variance",
            effect="-inf at t = 0, and NaN in the likelihood bound",
            invisible_when="t > 0",
        ),
        Edit(
            "fixed_small_log_variance/shares-before-padded-at-the-end",
            "shifts ᾱ in the wrong direction to get ᾱ of t - 1",
            "np.concatenate((np.ones(1), alpha_bar[:-1]))",
            "np.concatenate((alpha_bar[:-1], np.ones(1)))",
            where="before",
            effect="the variance is that of the forward step, and 0 at the last time",
            source="https://github.com/lucidrains/denoising-diffusion-pytorch/issues/18",
        ),
        Edit(
            "fixed_small_log_variance/divided-by-beta",
            "divides by β instead of 1 - ᾱ",
            "(1 - before(share)) / (1 - share)",
            "(1 - before(share)) / betas",
            where="posterior_variance",
            effect="far too much noise at late times",
            source="https://github.com/varun-ml/diffusion-models-tutorial/pull/1",
            invisible_when="t = 0",
        ),
        Edit(
            "fixed_small_log_variance/forward-variance",
            "takes the variance of the forward step",
            "variance = posterior_variance(betas)",
            "variance = betas",
            effect="too much noise in the first steps",
            invisible_when="t is large, where both agree to a part in a million",
        ),
        Edit(
            "fixed_small_log_variance/standard-deviation",
            "returns the logarithm of the standard deviation",
            "np.log(np.concatenate((variance[1:2], variance[1:])))",
            "np.log(np.concatenate((variance[1:2], variance[1:]))) / 2",
            effect="the noise has the square root of the right size",
            invisible_when="the variance is 1",
        ),
        Edit(
            "fixed_small_log_variance/shifted",
            "shifts the table by one step",
            "np.concatenate((variance[1:2], variance[1:]))",
            "np.concatenate((variance[1:], variance[-1:]))",
            effect="each t has the variance of t + 1",
            invisible_when="late in a long chain, where neighbours hardly differ",
        ),
    ),
    dialects=(
        Edit(
            "fixed_small_log_variance/clamped",
            "clamps the variance at 1e-20: diffusers, latent diffusion, lucidrains",
            "np.concatenate((variance[1:2], variance[1:]))",
            "np.maximum(variance, 1e-20)",
            source="https://github.com/huggingface/diffusers/pull/3006",
            invisible_when="t > 0",
        ),
    ),
    precisions=FLOATS,
    values={"betas": draw_betas},
)


def large_equation(f, betas):
    yield np.exp(f(betas)[1:]), betas[1:]


def large_first(f, betas):
    precision = 1 / betas[0] + (1 - betas[1]) / betas[1]
    yield np.exp(f(betas)[0]) * precision, 1


def large_above_small(f, betas):
    logs = f(betas)
    small = text.fixed_small_log_variance(betas)
    yield none_below(logs - small)
    yield logs[0], small[0]


def large_is_the_step(f, betas):
    t = np.arange(1, len(betas))
    spread = text.q_step(np.zeros((len(t), 1)), t, np.ones((len(t), 1)), betas)[:, 0]
    yield f(betas)[1:], 2 * np.log(spread)


def large_published(f, betas):
    logs = f(linear_betas(0 * betas[0]))
    yield printed(logs[HALFWAY], "-4.59919209444")
    yield printed(np.exp(logs)[[0, 1, 999]], "0.00005453187661 0.00011991991992 0.02")


FIXED_LARGE_LOG_VARIANCE = Op(
    text.fixed_large_log_variance,
    laws=(
        Law("its exponential is the schedule after the first entry", large_equation),
        Law("the first entry is the posterior of the first two steps", large_first),
        Law("is at least the posterior's, and equal at t = 0", large_above_small),
        Law("is twice the logarithm of the step's deviation", large_is_the_step),
        Law("has the published entries at 1000 steps", large_published),
    ),
    probes=TABLE_PROBES,
    mistakes=(
        Edit(
            "fixed_large_log_variance/log-of-zero",
            "takes the posterior variance at t = 0, which is zero",
            "[1:2]",
            "[0:1]",
            effect="-inf at t = 0",
            invisible_when="t > 0",
        ),
        Edit(
            "fixed_large_log_variance/second-variance-in-front",
            "takes β of t = 1 at t = 0",
            "posterior_variance(betas)[1:2]",
            "betas[1:2]",
            effect="the decoder's likelihood at t = 0 is too low",
            invisible_when="t > 0",
        ),
        Edit(
            "fixed_large_log_variance/shifted",
            "shifts the schedule by one step",
            "betas[1:]))",
            "betas[:-1]))",
            effect="each t has the variance of t - 1",
            invisible_when="t = 0",
        ),
        Edit(
            "fixed_large_log_variance/standard-deviation",
            "returns the logarithm of the standard deviation",
            "np.log(np.concatenate((posterior_variance(betas)[1:2], betas[1:])))",
            "np.log(np.concatenate((posterior_variance(betas)[1:2], betas[1:]))) / 2",
            effect="the noise has the square root of the right size",
            invisible_when="the variance is 1",
        ),
        Edit(
            "fixed_large_log_variance/posterior-variance",
            "takes the posterior variance at every t",
            "betas[1:]))",
            "posterior_variance(betas)[1:]))",
            effect="too little noise in the first steps",
            invisible_when="t is large, where both agree to a part in a million",
        ),
        Edit(
            "fixed_large_log_variance/cumulative",
            "takes 1 - ᾱ",
            "betas[1:]))",
            "1 - alpha_bar(betas)[1:]))",
            effect="the variance of x_t, close to 1 at late t",
            invisible_when="t = 0",
        ),
    ),
    dialects=(
        Edit(
            "fixed_large_log_variance/first-kept",
            "keeps β at t = 0: diffusers",
            "posterior_variance(betas)[1:2]",
            "betas[:1]",
            source="https://github.com/openai/guided-diffusion/issues/69",
            invisible_when="t > 0",
        ),
    ),
    precisions=FLOATS,
    values={"betas": draw_betas},
)


def range_equation(f, v, t, betas):
    if np.all(np.abs(values(v)) <= 2):
        middle = f(0 * v, t, betas)
        large = np.log(pick(betas, t, v))
        yield np.exp(f(v, t, betas)), np.exp(middle) * np.exp(v * (large - middle))


def range_ends(f, v, t, betas):
    yield f(0 * v + 1, t, betas), np.log(pick(betas, t, v)) + 0 * v
    yield f(0 * v - 1, t, betas), pick(text.fixed_small_log_variance(betas), t, v) + 0 * v


def range_middle(f, v, t, betas):
    product = pick(betas, t, v) * np.exp(pick(text.fixed_small_log_variance(betas), t, v))
    yield f(0 * v, t, betas), np.log(np.sqrt(product)) + 0 * v


def range_mirrored(f, v, t, betas):
    yield f(v, t, betas) + f(-v, t, betas), 2 * f(0 * v, t, betas)


def range_published(f, v, t, betas):
    zero = 0 * betas[0]
    logs = f(np.array([[0.3]]) + zero, HALFWAY, linear_betas(zero))
    yield printed(np.exp(logs), "0.0100569406552")
    # digits that survive the float32 tables of diffusers, where the numbers come from
    cosine = text.cosine_schedule(1000, zero + 0.008, zero + 0.999)
    logs = f(np.full((3, 1), 0.5) + zero, np.array([1, 487, 999]), cosine)
    yield printed(logs, "-10.171 -5.79981 -0.0010011")


LEARNED_RANGE_LOG_VARIANCE = Op(
    text.learned_range_log_variance,
    laws=(
        Law("equals a power of the ratio of the two variances", range_equation),
        Law("1 and -1 give the two fixed choices", range_ends),
        Law("0 gives their geometric mean", range_middle),
        Law("v and -v lie symmetric about the geometric mean", range_mirrored),
        SAMPLE_BY_SAMPLE,
        Law("has the recorded numbers on the linear and the cosine schedule", range_published),
    ),
    probes=(
        Probe(
            "both ends and the start of the linear schedule",
            lambda: {
                "v": np.array([[-1.0, 0.5, 1.0], [-1, 0.3, 1], [-1, 0, 1], [-3, 0.3, 3]]),
                "t": np.array([0, 1, 999, 2]),
                "betas": linear_betas(),
            },
        ),
        Probe(
            "numbers far outside the range at the start",
            lambda: {
                "v": np.array([[-4.0, 5.0, 1.5], [-1, 0.3, 1]]),
                "t": np.array([1, 0]),
                "betas": np.array([0.001, 0.4, 0.6]),
            },
        ),
    ),
    mistakes=(
        Edit(
            "learned_range_log_variance/not-rescaled",
            "uses the output v itself instead of (v + 1)/2",
            "share = (v + 1) / 2",
            "share = v",
            effect="variances below the posterior's for negative outputs",
            invisible_when="v = 1",
        ),
        Edit(
            "learned_range_log_variance/ends-exchanged",
            "exchanges the two ends: v = 1 means the posterior variance",
            "share * large + (1 - share) * small",
            "share * small + (1 - share) * large",
            effect="the learned variance is reversed",
            invisible_when="v = 0, or late times",
        ),
        Edit(
            "learned_range_log_variance/log-of-zero",
            "takes the logarithm of the posterior variance at t = 0 too",
            "at(fixed_small_log_variance(betas), t, v)",
            "np.log(at(posterior_variance(betas), t, v))",
            effect="-inf at t = 0, and NaN in the likelihood bound",
            invisible_when="t > 0",
        ),
        Edit(
            "learned_range_log_variance/variances-mixed",
            "interpolates the variances instead of their logarithms",
            "share * large + (1 - share) * small",
            "np.log(np.abs(share * np.exp(large) + (1 - share) * np.exp(small)))",
            effect="a larger variance between the ends",
            invisible_when="v = 1 or v = -1",
        ),
        Edit(
            "learned_range_log_variance/standard-deviation",
            "returns the logarithm of the standard deviation",
            "return share * large + (1 - share) * small",
            "return (share * large + (1 - share) * small) / 2",
            effect="the noise has the square root of the right size",
            invisible_when="the variance is 1",
        ),
        Edit(
            "learned_range_log_variance/output-taken-as-log",
            "takes the output v for the log variance",
            "return share * large + (1 - share) * small",
            "return v + 0 * large",
            effect="the noise has size one at every t",
        ),
        *wrong_times(
            "learned_range_log_variance", "at(np.log(betas), t, v)", "at(np.log(betas), t - 1, v)"
        ),
    ),
    dialects=(
        Edit(
            "learned_range_log_variance/clamped",
            "clamps the output v to [-1, 1]",
            "share = (v + 1) / 2",
            "share = np.clip((v + 1) / 2, 0, 1)",
            source="https://github.com/openai/improved-diffusion/issues/7",
            invisible_when="the output lies in [-1, 1]",
        ),
        Edit(
            "learned_range_log_variance/bounded-by-tanh",
            "passes the output v through tanh",
            "share = (v + 1) / 2",
            "share = (np.tanh(v) + 1) / 2",
            source="https://github.com/openai/improved-diffusion/issues/7",
            invisible_when="v = 0",
        ),
    ),
    values={"betas": draw_betas},
)
