"""What is known about p_sample: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import samples
from refimpl.ops.diffusion import reference as text
from refimpl.ops.diffusion.spec.shared import (
    HALFWAY,
    SAMPLE_BY_SAMPLE,
    draw_betas,
    golden_x_t,
    linear_betas,
    pick,
    printed,
    waves,
)


def reverse_equation(f, x_t, t, eps, noise, betas, log_variance, clip):
    share = pick(text.alpha_bar(betas), t, x_t)
    x_start = np.sqrt(1 / share) * x_t - np.sqrt(1 / share - 1) * eps
    x_start = np.minimum(np.maximum(x_start, -clip), clip)
    mean, _, _ = text.q_posterior(x_start, x_t, t, betas)
    spread = pick(np.arange(len(betas)) > 0, t, x_t) * np.exp(log_variance / 2)
    yield f(x_t, t, eps, noise, betas, log_variance, clip), mean + spread * noise


def reverse_in_the_noise(f, x_t, t, eps, noise, betas, log_variance, clip):
    beta, share = pick(betas, t, x_t), pick(text.alpha_bar(betas), t, x_t)
    direct = (x_t - beta / np.sqrt(1 - share) * eps) / np.sqrt(1 - beta)
    yield f(x_t, t, eps, 0 * noise, betas, log_variance, np.inf), direct


def reverse_noise(f, x_t, t, eps, noise, betas, log_variance, clip):
    moved = [f(x_t, t, eps, z, betas, log_variance, clip) for z in (noise, -noise)]
    spread = np.where(pick(np.arange(len(betas)) > 0, t, x_t), np.exp(log_variance / 2), 0)
    yield moved[0] - moved[1], 2 * spread * noise


def reverse_last(f, x_t, t, eps, noise, betas, log_variance, clip):
    last = f(x_t, 0 * t, eps, noise, betas, log_variance, clip)
    x_start = text.x0_from_eps(x_t, 0 * t, eps, text.alpha_bar(betas))
    yield last, np.minimum(np.maximum(x_start, -clip), clip)


def reverse_scaled(f, x_t, t, eps, noise, betas, log_variance, clip):
    doubled = f(2 * x_t, t, 2 * eps, 2 * noise, betas, log_variance, 2 * clip)
    yield doubled, 2 * f(x_t, t, eps, noise, betas, log_variance, clip)


def reverse_is_implicit(f, x_t, t, eps, noise, betas, log_variance, clip):
    logs = pick(text.fixed_small_log_variance(betas), t, x_t)
    share = text.alpha_bar(betas)
    implicit = text.ddim_step(x_t, t, t - 1, eps, noise, share, 1.0)
    yield f(x_t, t, eps, noise, betas, logs, np.inf), implicit


def reverse_published(f, x_t, t, eps, noise, betas, log_variance, clip):
    zero = 0 * betas[0]
    _, _, predicted = waves(zero)
    same = (golden_x_t(zero), HALFWAY, predicted, 0 * predicted, linear_betas(zero), 0 * predicted)
    yield (
        printed(f(*same, 1.0), "0.441498258327 0.00000529082586246 -0.444304104609 -0.477996983098")
    )
    yield (
        printed(f(*same, np.inf), "0.441485589068 -0.00551928810728 -0.44744975725 -0.477996983098")
    )


def golden_reverse(**changes):
    return {
        "x_t": golden_x_t(),
        "t": HALFWAY,
        "eps": waves()[2],
        "noise": np.array([[0.5, -1.0, 1.5, -2.0]]),
        "betas": linear_betas(),
        "log_variance": np.full((1, 1), -4.6),
        "clip": 1.0,
        **changes,
    }


def mixed_reverse(clip):
    return {
        "x_t": samples(1),
        "t": np.array([0, 5, 999, 1]),
        "eps": samples(2),
        "noise": samples(3),
        "betas": linear_betas(),
        "log_variance": np.array([[-9.0], [-8.0], [-4.0], [-9.0]]),
        "clip": clip,
    }


POSTERIOR_MEAN = "mean, _, _ = q_posterior(x_start, x_t, t, betas)"

P_SAMPLE = Op(
    text.p_sample,
    laws=(
        Law("equals the clipped prediction's posterior plus noise", reverse_equation),
        Law("without a limit the mean is the paper's form in the noise", reverse_in_the_noise),
        Law("the result is the mean plus a multiple of the noise", reverse_noise),
        Law("the last step returns the clipped prediction without noise", reverse_last),
        Law("doubling samples, noise and limit doubles the result", reverse_scaled),
        Law("with the posterior variance it is DDIM's step at eta 1", reverse_is_implicit),
        SAMPLE_BY_SAMPLE,
        Law("has the recorded means halfway", reverse_published),
    ),
    probes=(
        Probe("the recorded step, where the limit acts on three of four", golden_reverse),
        Probe(
            "the recorded step without a limit",
            lambda: golden_reverse(clip=np.inf),
        ),
        Probe("first, early and last times in one batch", lambda: mixed_reverse(1.0)),
        Probe("the same without a limit", lambda: mixed_reverse(np.inf)),
        Probe(
            "a few large steps",
            lambda: {
                "x_t": samples(4, (3, 2)),
                "t": np.array([2, 0, 1]),
                "eps": samples(5, (3, 2)),
                "noise": samples(6, (3, 2)),
                "betas": np.array([0.3, 0.4, 0.6]),
                "log_variance": np.log(np.array([[0.6], [0.3], [0.4]])),
                "clip": 0.5,
            },
        ),
    ),
    mistakes=(
        Edit(
            "p_sample/log-variance-not-halved",
            "multiplies the noise by the variance instead of the deviation",
            "np.exp(log_variance / 2)",
            "np.exp(log_variance)",
            effect="blurred samples",
            source="https://github.com/Y-debug-sys/Diffusion-TS/issues/135",
            invisible_when="the noise is 0 or the variance is 1",
        ),
        Edit(
            "p_sample/root-of-the-log",
            "takes the square root of the log variance",
            "np.exp(log_variance / 2)",
            "np.sqrt(log_variance)",
            effect="NaN, as logarithms of small variances are negative",
            source="https://github.com/huggingface/diffusers/issues/14569",
            invisible_when="t = 0 is the only time",
        ),
        Edit(
            "p_sample/noise-at-the-end",
            "adds noise at t = 0 too",
            "noisy * np.exp",
            "np.exp",
            effect="the final sample is noisy",
            invisible_when="t > 0",
        ),
        Edit(
            "p_sample/noise-asked-of-the-first-sample",
            "decides by the first sample's t whether to add noise",
            "at(np.arange(len(betas)) > 0, t, x_t)",
            "at(np.arange(len(betas)) > 0, np.repeat(t[:1], len(t)), x_t)",
            effect="samples with another t are treated wrongly",
            invisible_when="all samples have the same time",
        ),
        Edit(
            "p_sample/mean-clipped",
            "clips the mean instead of the predicted clean sample",
            """    x_start = np.minimum(np.maximum(x_start, -clip), clip)
    mean, _, _ = q_posterior(x_start, x_t, t, betas)
""",
            """    mean, _, _ = q_posterior(x_start, x_t, t, betas)
    mean = np.minimum(np.maximum(mean, -clip), clip)
""",
            effect="noise is cut off at late t",
            invisible_when="no limit, or t = 0",
        ),
        Edit(
            "p_sample/clipped-above-only",
            "clips only at the upper limit",
            "np.minimum(np.maximum(x_start, -clip), clip)",
            "np.minimum(x_start, clip)",
            effect="dark outliers remain",
            invisible_when="no prediction lies below the limit",
        ),
        Edit(
            "p_sample/step-noise-in-the-mean",
            "divides by √β instead of √(1 - ᾱ)",
            POSTERIOR_MEAN,
            "mean = (x_t - at(np.sqrt(betas), t, x_t) * eps) / at(np.sqrt(1 - betas), t, x_t)",
            effect="removes too much noise; samples blow up",
            invisible_when="t = 0",
        ),
        Edit(
            "p_sample/mean-divided-by-the-cumulative-root",
            "divides the mean by √ᾱ instead of √α",
            POSTERIOR_MEAN,
            "share = alpha_bar(betas)\n"
            "    noise_share = at(betas / np.sqrt(1 - share), t, x_t)\n"
            "    mean = (x_t - noise_share * eps) / at(np.sqrt(share), t, x_t)",
            effect="explodes at late t, 157-fold at the last",
            invisible_when="t = 0",
        ),
        Edit(
            "p_sample/posterior-variance-in-the-mean",
            "uses the posterior variance instead of β in the mean",
            POSTERIOR_MEAN,
            "share = alpha_bar(betas)\n"
            "    noise_share = at(posterior_variance(betas) / np.sqrt(1 - share), t, x_t)\n"
            "    mean = (x_t - noise_share * eps) / at(np.sqrt(1 - betas), t, x_t)",
            effect="removes too little noise in the last steps",
            source="https://github.com/coleygroup/shepherd/pull/14",
            invisible_when="t > 200 without a limit",
        ),
        Edit(
            "p_sample/coefficients-exchanged",
            "exchanges the coefficients of the clean and the noised sample",
            "at(from_start, t, x_t) * x_start + at(from_x_t, t, x_t) * x_t",
            "at(from_start, t, x_t) * x_t + at(from_x_t, t, x_t) * x_start",
            where="q_posterior",
            effect="denoises far too fast",
            invisible_when="both samples are equal",
        ),
    ),
    dialects=(
        Edit(
            "p_sample/paper-without-clipping",
            "computes the mean from the noise and never clips: algorithm 2 as printed",
            POSTERIOR_MEAN,
            "noise_share = at(betas / np.sqrt(1 - alpha_bar(betas)), t, x_t)\n"
            "    mean = (x_t - noise_share * eps) / at(np.sqrt(1 - betas), t, x_t)",
            source="https://github.com/w86763777/pytorch-ddpm/issues/20",
            invisible_when="the limit does not act",
        ),
    ),
    values={"betas": draw_betas},
)
