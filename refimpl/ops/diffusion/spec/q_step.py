"""What is known about q_step: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import samples
from refimpl.ops.diffusion import reference as text
from refimpl.ops.diffusion.spec.shared import (
    SAMPLE_BY_SAMPLE,
    SUPERPOSITION,
    linear_betas,
    pick,
    wrong_times,
)


def step_equation(f, x_prev, t, noise, betas):
    beta = pick(betas, t, x_prev)
    yield f(x_prev, t, noise, betas), np.sqrt(beta) * (np.sqrt((1 - beta) / beta) * x_prev + noise)


def step_chain(f, x_prev, t, noise, betas):
    if len(betas) < 50 and len(x_prev):
        x, start = x_prev, 0 * t
        for time in range(len(betas)):
            x = f(x, start + time, 0 * noise, betas)
        last = start + len(betas) - 1
        yield x, text.q_sample(x_prev, last, 0 * noise, text.alpha_bar(betas))


def step_variances_add(f, x_prev, t, noise, betas):
    share = text.alpha_bar(betas)
    kept = f(np.sqrt(1 - pick(text.before(share), t, noise)) * noise, t, 0 * noise, betas)
    fresh = f(0 * x_prev, t, noise, betas)
    yield kept * kept + fresh * fresh, (1 - pick(share, t, noise)) * noise * noise


def step_first(f, x_prev, t, noise, betas):
    share = text.alpha_bar(betas)
    yield f(x_prev, 0 * t, noise, betas), text.q_sample(x_prev, 0 * t, noise, share)


def step_destroys(f, x_prev, t, noise, betas):
    yield f(x_prev, t, noise, 0 * betas + 1), noise


Q_STEP = Op(
    text.q_step,
    laws=(
        Law("equals √(1 - β) (x + σ noise)", step_equation),
        Law("all steps together multiply the signal by √ᾱ", step_chain),
        Law("the squared factors sum to one", step_variances_add),
        Law("the first step is the noised sample of t = 0", step_first),
        Law("a variance of 1 leaves nothing but noise", step_destroys),
        SUPERPOSITION,
        SAMPLE_BY_SAMPLE,
    ),
    probes=(
        Probe(
            "both ends, the middle and a repeated time of the linear schedule",
            lambda: {
                "x_prev": samples(1),
                "t": np.array([0, 999, 500, 500]),
                "noise": samples(2),
                "betas": linear_betas(),
            },
        ),
        Probe(
            "a last variance of 1",
            lambda: {
                "x_prev": samples(3, (2, 2)),
                "t": np.array([1, 2]),
                "noise": samples(4, (2, 2)),
                "betas": np.array([0.1, 0.5, 1.0]),
            },
        ),
    ),
    mistakes=(
        Edit(
            "q_step/noise-scaled-by-variance",
            "multiplies the noise by the variance instead of the deviation",
            "np.sqrt(beta) * noise",
            "beta * noise",
            effect="the variance of the chain decays",
            source="https://github.com/acids-ircam/diffusion_models/issues/1",
            invisible_when="the noise is 0 or the variance is 1",
        ),
        Edit(
            "q_step/signal-not-scaled",
            "does not scale the sample before adding noise",
            "np.sqrt(1 - beta) * x_prev",
            "x_prev",
            effect="the variance of the chain grows",
            invisible_when="the variance is small",
        ),
        Edit(
            "q_step/signal-factor-not-rooted",
            "multiplies the sample by one minus the variance",
            "np.sqrt(1 - beta) * x_prev",
            "(1 - beta) * x_prev",
            effect="the signal fades twice as fast",
            invisible_when="the variance is small",
        ),
        Edit(
            "q_step/cumulative",
            "uses ᾱ of the whole chain instead of 1 - β",
            "beta = at(betas, t, x_prev)",
            "beta = 1 - at(alpha_bar(betas), t, x_prev)",
            effect="the chain reaches pure noise after a few steps",
            invisible_when="t = 0",
        ),
        Edit(
            "q_step/factors-exchanged",
            "exchanges the two factors",
            "np.sqrt(1 - beta) * x_prev + np.sqrt(beta) * noise",
            "np.sqrt(beta) * x_prev + np.sqrt(1 - beta) * noise",
            effect="one step leaves almost nothing but noise",
            invisible_when="the variance is one half",
        ),
        *wrong_times("q_step", "at(betas, t, x_prev)", "at(betas, t - 1, x_prev)"),
    ),
)
