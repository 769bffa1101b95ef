"""What is known about q_posterior: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.common import samples
from refimpl.ops.diffusion import reference as text
from refimpl.ops.diffusion.spec.shared import (
    HALFWAY,
    SAMPLE_BY_SAMPLE,
    draw_betas,
    linear_betas,
    pick,
    printed,
    wrong_times,
)


def posterior_equation(f, x_start, x_t, t, betas):
    share, beta = text.alpha_bar(betas), pick(betas, t, x_t)
    if np.all(values(beta) < 1):
        eps = text.eps_from_x0(x_t, t, x_start, share)
        direct = (x_t - beta / np.sqrt(1 - pick(share, t, x_t)) * eps) / np.sqrt(1 - beta)
        yield f(x_start, x_t, t, betas)[0], direct


def posterior_precisions_add(f, x_start, x_t, t, betas):
    share, beta = text.alpha_bar(betas), pick(betas, t, x_t)
    noised = 1 - pick(text.before(share), t, x_t)
    precision = beta + (1 - beta) * noised  # times noised and beta
    yield f(x_start, x_t, t, betas)[1] * precision, noised * beta + 0 * x_t


def posterior_on_the_line(f, x_start, x_t, t, betas):
    share = text.alpha_bar(betas)
    mean, _, _ = f(x_start, np.sqrt(pick(share, t, x_t)) * x_start, t, betas)
    yield mean, np.sqrt(pick(text.before(share), t, x_t)) * x_start


def posterior_keeps_marginal(f, x_start, x_t, t, betas):
    share = text.alpha_bar(betas)
    noise = np.sqrt(1 - pick(share, t, x_t)) + 0 * x_t
    mean, variance, _ = f(0 * x_start, noise, t, betas)
    yield mean * mean + variance, 1 - pick(text.before(share), t, x_t) + 0 * x_t


def posterior_first(f, x_start, x_t, t, betas):
    mean, variance, _ = f(x_start, x_t, 0 * t, betas)
    yield mean, x_start
    yield variance, 0 * x_t


def posterior_log(f, x_start, x_t, t, betas):
    _, variance, log_variance = f(x_start, x_t, np.maximum(t, 1), betas)
    yield np.exp(log_variance), variance
    yield f(x_start, x_t, t, betas)[2], log_variance


def posterior_published(f, x_start, x_t, t, betas):
    betas = linear_betas(0 * betas[0])
    one = np.ones((1, 1)) + 0 * betas[0]
    yield printed(f(one, 0 * one, HALFWAY, betas)[0], "0.003058057076")
    mean, variance, log_variance = f(0 * one, one, HALFWAY, betas)
    yield printed(mean, "0.9941043508")
    yield printed(variance, "0.0100513357789")
    yield printed(log_variance, "-4.60004973998")


Q_POSTERIOR = Op(
    text.q_posterior,
    laws=(
        Law("the mean equals its form in the noise", posterior_equation),
        Law(
            "the posterior's precision is the sum of both neighbours' precisions",
            posterior_precisions_add,
        ),
        Law("without noise the mean is the noiseless sample", posterior_on_the_line),
        Law("mean and variance give the marginal variance of t - 1", posterior_keeps_marginal),
        Law("at t = 0 the mean is the clean sample and the variance 0", posterior_first),
        Law("at t = 0 the log variance is that of t = 1", posterior_log),
        SAMPLE_BY_SAMPLE,
        Law("has the published coefficients halfway", posterior_published),
    ),
    probes=(
        Probe(
            "both ends, the start and the middle of the linear schedule",
            lambda: {
                "x_start": samples(1),
                "x_t": samples(2),
                "t": np.array([0, 1, 500, 999]),
                "betas": linear_betas(),
            },
        ),
        Probe(
            "a few large steps",
            lambda: {
                "x_start": samples(3, (3, 2)),
                "x_t": samples(4, (3, 2)),
                "t": np.array([0, 1, 2]),
                "betas": np.array([0.3, 0.4, 0.6]),
            },
        ),
    ),
    mistakes=(
        Edit(
            "q_posterior/coefficients-exchanged",
            "exchanges the coefficients of the clean and the noised sample",
            "at(from_start, t, x_t) * x_start + at(from_x_t, t, x_t) * x_t",
            "at(from_start, t, x_t) * x_t + at(from_x_t, t, x_t) * x_start",
            effect="denoises far too fast",
            invisible_when="both samples are equal",
        ),
        Edit(
            "q_posterior/shares-before-padded-at-the-end",
            "shifts ᾱ in the wrong direction to get ᾱ of t - 1",
            "np.concatenate((np.ones(1), alpha_bar[:-1]))",
            "np.concatenate((alpha_bar[:-1], np.ones(1)))",
            where="before",
            effect="the variance is that of the forward step, and 0 at the last time",
            source="https://github.com/lucidrains/denoising-diffusion-pytorch/issues/18",
            invisible_when="in the middle of a long chain, where neighbours hardly differ",
        ),
        Edit(
            "q_posterior/variance-divided-by-beta",
            "divides by β instead of 1 - ᾱ",
            "(1 - before(share)) / (1 - share)",
            "(1 - before(share)) / betas",
            where="posterior_variance",
            effect="the β cancel, and far too much noise is added at late t",
            source="https://github.com/varun-ml/diffusion-models-tutorial/pull/1",
            invisible_when="t = 0",
        ),
        Edit(
            "q_posterior/forward-variance",
            "returns β instead of the posterior variance",
            "at(posterior_variance(betas), t, x_t)",
            "at(betas, t, x_t)",
            effect="too much noise in the first steps, also at t = 0",
            invisible_when="t is large, where both agree to a part in a million",
        ),
        Edit(
            "q_posterior/share-before-not-rooted",
            "uses ᾱ of t - 1 instead of its root in the clean sample's coefficient",
            "np.sqrt(before(share))",
            "before(share)",
            effect="the mean is too small",
            invisible_when="t = 0",
        ),
        Edit(
            "q_posterior/alpha-not-rooted",
            "uses α instead of √α in the noised sample's coefficient",
            "np.sqrt(1 - betas)",
            "(1 - betas)",
            effect="the mean is too small",
            invisible_when="small variances",
        ),
        Edit(
            "q_posterior/log-of-zero",
            "takes the logarithm of the variance at t = 0 too",
            "at(fixed_small_log_variance(betas), t, x_t)",
            "np.log(at(posterior_variance(betas), t, x_t))",
            effect="-inf at t = 0, and NaN in the likelihood bound",
            invisible_when="t > 0",
        ),
        *wrong_times("q_posterior", "at(from_start, t, x_t)", "at(from_start, t - 1, x_t)"),
    ),
    dialects=(
        Edit(
            "q_posterior/clamped-log",
            "clamps the variance at 1e-20: diffusers, latent diffusion, lucidrains",
            "at(fixed_small_log_variance(betas), t, x_t)",
            "np.log(np.maximum(at(posterior_variance(betas), t, x_t), 1e-20))",
            source="https://github.com/huggingface/diffusers/pull/3006",
            invisible_when="t > 0",
        ),
    ),
    outputs=("mean", "variance", "log_variance"),
    values={"betas": draw_betas},
)
