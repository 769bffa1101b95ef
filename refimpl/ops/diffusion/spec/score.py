"""What is known about score: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.common import samples
from refimpl.ops.diffusion import reference as text
from refimpl.ops.diffusion.spec.shared import (
    SAMPLE_BY_SAMPLE,
    draw_shares,
    linear_betas,
    pick,
    wrong_times,
)


def score_equation(f, eps, t, alpha_bar):
    share = pick(alpha_bar, t, eps)
    yield f(eps, t, alpha_bar) * (1 - share), -np.sqrt(1 - share) * eps


def score_of_a_gaussian(f, eps, t, alpha_bar):
    share = pick(alpha_bar, t, eps)
    x_start = np.ones(eps.shape) / 4
    away = text.q_sample(x_start, t, eps, alpha_bar) - np.sqrt(share) * x_start
    yield f(eps, t, alpha_bar), -away / (1 - share)


def score_round_trip(f, eps, t, alpha_bar):
    yield text.eps_from_score(f(eps, t, alpha_bar), t, alpha_bar), eps


def score_odd_and_homogeneous(f, eps, t, alpha_bar):
    yield f(-3 * eps, t, alpha_bar), -3 * f(eps, t, alpha_bar)


def score_without_signal(f, eps, t, alpha_bar):
    yield f(eps, t, 0 * alpha_bar), -eps


def one_sample_probe(first):
    return Probe(
        "both ends, the middle and a repeated time of the linear schedule",
        lambda: {
            first: samples(1),
            "t": np.array([0, 999, 500, 500]),
            "alpha_bar": text.alpha_bar(linear_betas()),
        },
    )


SCORE_FROM_EPS = Op(
    text.score_from_eps,
    laws=(
        Law("(1 - ᾱ) times the score is minus the scaled noise", score_equation),
        Law("is the gradient of a Gaussian's log density", score_of_a_gaussian),
        Law("is inverted by eps_from_score", score_round_trip),
        Law("is odd and homogeneous", score_odd_and_homogeneous),
        Law("at ᾱ = 0 the score is minus the noise", score_without_signal),
        SAMPLE_BY_SAMPLE,
    ),
    probes=(
        one_sample_probe("eps"),
        Probe(
            "a last share of 0",
            lambda: {
                "eps": samples(3, (2, 3)),
                "t": np.array([0, 1]),
                "alpha_bar": np.array([0.7, 0.0]),
            },
        ),
    ),
    mistakes=(
        Edit(
            "score_from_eps/sign",
            "forgets the minus sign",
            "-eps / np.sqrt",
            "eps / np.sqrt",
            effect="the sampler moves away from the data",
            invisible_when="the noise is 0",
        ),
        Edit(
            "score_from_eps/divided-by-the-variance",
            "divides by 1 - ᾱ instead of √(1 - ᾱ)",
            "np.sqrt(1 - at(alpha_bar, t, eps))",
            "(1 - at(alpha_bar, t, eps))",
            effect="scores are too large at early t",
            invisible_when="t is late",
        ),
        Edit(
            "score_from_eps/multiplied",
            "multiplies by √(1 - ᾱ) instead of dividing",
            "-eps / np.sqrt",
            "-eps * np.sqrt",
            effect="scores are too small at early t",
            invisible_when="t is late",
        ),
        Edit(
            "score_from_eps/factor-of-the-signal",
            "divides by √ᾱ instead of √(1 - ᾱ)",
            "np.sqrt(1 - at(alpha_bar, t, eps))",
            "np.sqrt(at(alpha_bar, t, eps))",
            effect="scores are too large at late t and too small at early t",
            invisible_when="ᾱ is one half",
        ),
        Edit(
            "score_from_eps/sigma",
            "divides by σ, as variance-exploding models do",
            "np.sqrt(1 - at(alpha_bar, t, eps))",
            "np.sqrt(1 / at(alpha_bar, t, eps) - 1)",
            effect="scores are too small at late t",
            source="https://github.com/yang-song/score_sde_pytorch/issues/49",
            invisible_when="t is early",
        ),
        *wrong_times("score_from_eps", "at(alpha_bar, t, eps)", "at(alpha_bar, t - 1, eps)"),
    ),
    values={"alpha_bar": draw_shares},
)


def score_noise_equation(f, score, t, alpha_bar):
    share = pick(alpha_bar, t, score)
    if np.all(values(share) < 1):
        yield f(score, t, alpha_bar), -(1 - share) * score / np.sqrt(1 - share)


def score_noise_round_trip(f, score, t, alpha_bar):
    if np.all(values(alpha_bar) < 1):
        yield text.score_from_eps(f(score, t, alpha_bar), t, alpha_bar), score


def score_noise_of_a_gaussian(f, score, t, alpha_bar):
    share = pick(alpha_bar, t, score)
    clean = f(score, t, alpha_bar)
    back = text.q_sample(0 * score, t, clean, alpha_bar)
    yield back, -(1 - share) * score


def score_noise_odd_and_homogeneous(f, score, t, alpha_bar):
    yield f(-3 * score, t, alpha_bar), -3 * f(score, t, alpha_bar)


def score_noise_ends(f, score, t, alpha_bar):
    yield f(score, t, 0 * alpha_bar), -score
    yield f(score, t, 0 * alpha_bar + 1), 0 * score


EPS_FROM_SCORE = Op(
    text.eps_from_score,
    laws=(
        Law("equals -(1 - ᾱ) score / √(1 - ᾱ)", score_noise_equation),
        Law("is inverted by score_from_eps", score_noise_round_trip),
        Law("is the noise of a centred Gaussian sample", score_noise_of_a_gaussian),
        Law("is odd and homogeneous", score_noise_odd_and_homogeneous),
        Law("ᾱ = 0 gives minus the score, ᾱ = 1 zero", score_noise_ends),
        SAMPLE_BY_SAMPLE,
    ),
    probes=(
        one_sample_probe("score"),
        Probe(
            "nothing but signal, and nothing but noise",
            lambda: {
                "score": samples(3, (3, 2)),
                "t": np.array([0, 1, 2]),
                "alpha_bar": np.array([1.0, 0.5, 0.0]),
            },
        ),
    ),
    mistakes=(
        Edit(
            "eps_from_score/sign",
            "forgets the minus sign",
            "-np.sqrt(1 - at(",
            "np.sqrt(1 - at(",
            effect="guidance leads away from the class",
            source="https://github.com/Yukun66/Video_Director/issues/6",
            invisible_when="the score is 0",
        ),
        Edit(
            "eps_from_score/variance",
            "multiplies by 1 - ᾱ instead of √(1 - ᾱ)",
            "np.sqrt(1 - at(alpha_bar, t, score))",
            "(1 - at(alpha_bar, t, score))",
            effect="the noise is too small at early t",
            invisible_when="t is late",
        ),
        Edit(
            "eps_from_score/not-scaled",
            "does not multiply by √(1 - ᾱ)",
            "-np.sqrt(1 - at(alpha_bar, t, score)) * score",
            "-score",
            effect="the noise is too large at early t",
            invisible_when="t is late",
        ),
        Edit(
            "eps_from_score/factor-of-the-signal",
            "multiplies by √ᾱ instead of √(1 - ᾱ)",
            "np.sqrt(1 - at(alpha_bar, t, score))",
            "np.sqrt(at(alpha_bar, t, score))",
            effect="too strong at early t, nothing at late t",
            invisible_when="ᾱ is one half",
        ),
        Edit(
            "eps_from_score/divided",
            "divides by √(1 - ᾱ) instead of multiplying",
            "-np.sqrt(1 - at(alpha_bar, t, score)) * score",
            "-score / np.sqrt(1 - at(alpha_bar, t, score))",
            effect="the noise is too large at early t",
            invisible_when="t is late",
        ),
        *wrong_times("eps_from_score", "at(alpha_bar, t, score)", "at(alpha_bar, t - 1, score)"),
    ),
)
