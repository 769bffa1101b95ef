"""What is known about velocity: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.diffusion import reference as text
from refimpl.ops.diffusion.spec.shared import (
    HALFWAY,
    SAMPLE_BY_SAMPLE,
    SUPERPOSITION,
    ends_probe,
    golden_x_t,
    linear_betas,
    norm_with,
    pair_probe,
    pick,
    printed,
    waves,
    wrong_times,
)


def velocity_equation(f, x_start, t, noise, alpha_bar):
    share = pick(alpha_bar, t, x_start)
    if np.all(values(share) < 1):
        x_t = text.q_sample(x_start, t, noise, alpha_bar)
        direct = np.sqrt(share) * x_t - x_start
        yield np.sqrt(1 - share) * f(x_start, t, noise, alpha_bar), direct


def velocity_quarter_turn(f, x_start, t, noise, alpha_bar):
    yield f(x_start, t, noise, alpha_bar), text.q_sample(noise, t, -x_start, alpha_bar)


def velocity_round_trips(f, x_start, t, noise, alpha_bar):
    x_t = text.q_sample(x_start, t, noise, alpha_bar)
    v = f(x_start, t, noise, alpha_bar)
    yield text.x0_from_v(x_t, t, v, alpha_bar), x_start
    yield text.eps_from_v(x_t, t, v, alpha_bar), noise


def velocity_ends(f, x_start, t, noise, alpha_bar):
    yield f(x_start, t, noise, 0 * alpha_bar + 1), noise
    yield f(x_start, t, noise, 0 * alpha_bar), -x_start


def velocity_published(f, x_start, t, noise, alpha_bar):
    zero = 0 * alpha_bar[0]
    x0, eps, _ = waves(zero)
    v = f(x0, HALFWAY, eps, text.alpha_bar(linear_betas(zero)))
    yield printed(v, "-0.571110520119 -0.756604923544 -0.246480249525 0.490257229205")


VELOCITY = Op(
    text.velocity,
    laws=(
        Law("equals the form in the noised sample", velocity_equation),
        Law("is q_sample of the noise, with -x_start as its noise", velocity_quarter_turn),
        Law("the clean sample and the noise can be recovered", velocity_round_trips),
        Law("x_t² + v² = x_start² + noise²", norm_with(text.q_sample)),
        Law("ᾱ = 1 gives the noise, ᾱ = 0 minus the sample", velocity_ends),
        SUPERPOSITION,
        SAMPLE_BY_SAMPLE,
        Law("has the recorded numbers halfway", velocity_published),
    ),
    probes=(pair_probe("x_start", "noise"), ends_probe("x_start", "noise")),
    mistakes=(
        Edit(
            "velocity/factors-exchanged",
            "gives the noise the factor of the sample",
            "np.sqrt(share) * noise - np.sqrt(1 - share) * x_start",
            "np.sqrt(1 - share) * noise - np.sqrt(share) * x_start",
            effect="a network trained on it works only with the same mistake in the sampler",
            invisible_when="ᾱ is one half",
        ),
        Edit(
            "velocity/arguments-exchanged",
            "exchanges the sample and the noise",
            "np.sqrt(share) * noise - np.sqrt(1 - share) * x_start",
            "np.sqrt(share) * x_start - np.sqrt(1 - share) * noise",
            effect="x_start can no longer be recovered from v and x_t",
        ),
        Edit(
            "velocity/sign-inside",
            "adds the two terms instead of subtracting",
            "* noise - np.sqrt",
            "* noise + np.sqrt",
            effect="the velocity is not orthogonal to x_t for orthogonal inputs",
            invisible_when="the clean sample is 0",
        ),
        Edit(
            "velocity/not-rooted",
            "uses ᾱ and 1 - ᾱ without their roots",
            "np.sqrt(share) * noise - np.sqrt(1 - share) * x_start",
            "share * noise - (1 - share) * x_start",
            effect="the norm is not preserved",
            invisible_when="ᾱ is 0 or 1",
        ),
        Edit(
            "velocity/straight-line",
            "takes the difference of noise and sample, as flow matching does",
            "np.sqrt(share) * noise - np.sqrt(1 - share) * x_start",
            "noise - x_start + 0 * share",
            effect="the target of a straight path on a curved one",
        ),
        *wrong_times("velocity", "at(alpha_bar, t, x_start)", "at(alpha_bar, t - 1, x_start)"),
    ),
    dialects=(
        Edit(
            "velocity/negated",
            "the opposite sign, with inverse operations to match",
            "return np.sqrt(share) * noise - np.sqrt(1 - share) * x_start",
            "return np.sqrt(1 - share) * x_start - np.sqrt(share) * noise",
        ),
    ),
)


def start_v_equation(f, x_t, t, v, alpha_bar):
    share = pick(alpha_bar, t, x_t)
    if np.all((values(share) > 0) & (values(share) < 1)):
        sigma = np.sqrt((1 - share) / share)
        unscaled = x_t / np.sqrt(share)
        yield (
            f(x_t, t, v, alpha_bar),
            unscaled / (1 + sigma * sigma) - sigma / np.sqrt(1 + sigma * sigma) * v,
        )


def start_v_round_trip(f, x_t, t, v, alpha_bar):
    x_start, noise = x_t, v  # any pair will do
    noised = text.q_sample(x_start, t, noise, alpha_bar)
    target = text.velocity(x_start, t, noise, alpha_bar)
    yield f(noised, t, target, alpha_bar), x_start


def start_v_turns_back(f, x_t, t, v, alpha_bar):
    yield f(x_t, t, v, alpha_bar), text.q_sample(x_t, t, -v, alpha_bar)


def start_v_agrees_with_eps(f, x_t, t, v, alpha_bar):
    if np.all(values(alpha_bar) > 0):
        eps = text.eps_from_v(x_t, t, v, alpha_bar)
        yield f(x_t, t, v, alpha_bar), text.x0_from_eps(x_t, t, eps, alpha_bar)


def start_v_ends(f, x_t, t, v, alpha_bar):
    yield f(x_t, t, v, 0 * alpha_bar + 1), x_t
    yield f(x_t, t, v, 0 * alpha_bar), -v


X0_FROM_V = Op(
    text.x0_from_v,
    laws=(
        Law("equals the form with σ", start_v_equation),
        Law("recovers the clean sample", start_v_round_trip),
        Law("is q_sample's rotation backwards", start_v_turns_back),
        Law("agrees with x0_from_eps of eps_from_v", start_v_agrees_with_eps),
        Law("x_start² + noise² = x_t² + v²", norm_with(text.eps_from_v)),
        Law("ᾱ = 1 gives the sample, ᾱ = 0 minus the velocity", start_v_ends),
        SUPERPOSITION,
        SAMPLE_BY_SAMPLE,
    ),
    probes=(
        pair_probe("x_t", "v"),
        ends_probe("x_t", "v"),
        Probe(
            "the recorded sample and its velocity",
            lambda: {
                "x_t": golden_x_t(),
                "t": HALFWAY,
                "v": text.velocity(waves()[0], HALFWAY, waves()[1], text.alpha_bar(linear_betas())),
                "alpha_bar": text.alpha_bar(linear_betas()),
            },
        ),
    ),
    mistakes=(
        Edit(
            "x0_from_v/sign-of-the-velocity",
            "adds the velocity instead of subtracting it",
            "* x_t - np.sqrt",
            "* x_t + np.sqrt",
            effect="noise is doubled instead of removed",
            source="https://github.com/huggingface/diffusers/issues/1481",
            invisible_when="the velocity is 0",
        ),
        Edit(
            "x0_from_v/factors-exchanged",
            "exchanges the two factors",
            "np.sqrt(share) * x_t - np.sqrt(1 - share) * v",
            "np.sqrt(1 - share) * x_t - np.sqrt(share) * v",
            effect="the result is not the clean sample",
            invisible_when="ᾱ is one half",
        ),
        Edit(
            "x0_from_v/not-rooted",
            "uses ᾱ and 1 - ᾱ without their roots",
            "np.sqrt(share) * x_t - np.sqrt(1 - share) * v",
            "share * x_t - (1 - share) * v",
            effect="the norm is not preserved",
            invisible_when="ᾱ is 0 or 1",
        ),
        Edit(
            "x0_from_v/velocity-taken-for-noise",
            "treats the predicted v as noise",
            "return np.sqrt(share) * x_t - np.sqrt(1 - share) * v",
            "return (x_t - np.sqrt(1 - share) * v) / np.sqrt(share)",
            effect="garbage from networks that predict v",
            source="https://github.com/Stability-AI/stablediffusion/issues/45",
            invisible_when="t is early",
        ),
        Edit(
            "x0_from_v/sample-in-sigma",
            "divides the sample by √ᾱ first, as samplers in σ do",
            "np.sqrt(share) * x_t",
            "x_t + 0 * share",
            effect="too large by √(1 + σ²)",
            source="https://github.com/huggingface/diffusers/issues/7046",
            invisible_when="t is early",
        ),
        *wrong_times("x0_from_v", "at(alpha_bar, t, x_t)", "at(alpha_bar, t - 1, x_t)"),
    ),
)


def noise_v_equation(f, x_t, t, v, alpha_bar):
    share = pick(alpha_bar, t, x_t)
    if np.all(values(share) < 1):
        x_start = text.x0_from_v(x_t, t, v, alpha_bar)
        direct = x_t - np.sqrt(share) * x_start
        yield np.sqrt(1 - share) * f(x_t, t, v, alpha_bar), direct


def noise_v_round_trip(f, x_t, t, v, alpha_bar):
    x_start, noise = x_t, v  # any pair will do
    noised = text.q_sample(x_start, t, noise, alpha_bar)
    target = text.velocity(x_start, t, noise, alpha_bar)
    yield f(noised, t, target, alpha_bar), noise


def noise_v_quarter_turn(f, x_t, t, v, alpha_bar):
    yield f(x_t, t, v, alpha_bar), text.q_sample(v, t, x_t, alpha_bar)


def noise_v_puts_together(f, x_t, t, v, alpha_bar):
    x_start = text.x0_from_v(x_t, t, v, alpha_bar)
    yield text.q_sample(x_start, t, f(x_t, t, v, alpha_bar), alpha_bar), x_t


def noise_v_ends(f, x_t, t, v, alpha_bar):
    yield f(x_t, t, v, 0 * alpha_bar + 1), v
    yield f(x_t, t, v, 0 * alpha_bar), x_t


EPS_FROM_V = Op(
    text.eps_from_v,
    laws=(
        Law("equals eps_from_x0 of the predicted clean sample", noise_v_equation),
        Law("recovers the noise", noise_v_round_trip),
        Law("is q_sample of the velocity with the sample as noise", noise_v_quarter_turn),
        Law("with x0_from_v it gives x_t back", noise_v_puts_together),
        Law("x_start² + noise² = x_t² + v²", norm_with(text.x0_from_v)),
        Law("ᾱ = 1 gives the velocity, ᾱ = 0 the sample", noise_v_ends),
        SUPERPOSITION,
        SAMPLE_BY_SAMPLE,
    ),
    probes=(pair_probe("x_t", "v"), ends_probe("x_t", "v")),
    mistakes=(
        Edit(
            "eps_from_v/sign-of-the-sample",
            "subtracts the sample's term instead of adding it",
            "return np.sqrt(1 - share) * x_t + np.sqrt(share) * v",
            "return np.sqrt(share) * v - np.sqrt(1 - share) * x_t",
            effect="the sampler moves in the wrong direction",
            invisible_when="t is early",
        ),
        Edit(
            "eps_from_v/sign-of-the-velocity",
            "subtracts the velocity's term instead of adding it",
            "* x_t + np.sqrt",
            "* x_t - np.sqrt",
            effect="the noise of -v",
            invisible_when="t is late",
        ),
        Edit(
            "eps_from_v/factors-exchanged",
            "exchanges the two factors",
            "np.sqrt(1 - share) * x_t + np.sqrt(share) * v",
            "np.sqrt(share) * x_t + np.sqrt(1 - share) * v",
            effect="the clean sample of -v",
            invisible_when="ᾱ is one half",
        ),
        Edit(
            "eps_from_v/not-rooted",
            "uses ᾱ and 1 - ᾱ without their roots",
            "np.sqrt(1 - share) * x_t + np.sqrt(share) * v",
            "(1 - share) * x_t + share * v",
            effect="the noise is too small in the middle of the chain",
            invisible_when="ᾱ is 0 or 1",
        ),
        Edit(
            "eps_from_v/not-converted",
            "returns the velocity as noise",
            "return np.sqrt(1 - share) * x_t + np.sqrt(share) * v",
            "return v + 0 * share",
            effect="garbage from networks that predict v",
            source="https://github.com/Stability-AI/stablediffusion/issues/45",
            invisible_when="t is early",
        ),
        *wrong_times("eps_from_v", "at(alpha_bar, t, x_t)", "at(alpha_bar, t - 1, x_t)"),
    ),
)
