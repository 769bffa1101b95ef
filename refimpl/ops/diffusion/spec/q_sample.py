"""What is known about q_sample and its gradient: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, values
from refimpl.ops.diffusion import reference as text
from refimpl.ops.diffusion.spec.shared import (
    HALFWAY,
    SAMPLE_BY_SAMPLE,
    SUPERPOSITION,
    ends_probe,
    gradient_probe,
    linear_betas,
    norm_with,
    pair_probe,
    pick,
    printed,
    waves,
    wrong_times,
)


def noised_equation(f, x_start, t, noise, alpha_bar):
    share = pick(alpha_bar, t, x_start)
    if np.all(values(share) > 0):
        sigma = np.sqrt((1 - share) / share)
        yield f(x_start, t, noise, alpha_bar), np.sqrt(share) * (x_start + sigma * noise)


def noised_round_trips(f, x_start, t, noise, alpha_bar):
    x_t = f(x_start, t, noise, alpha_bar)
    share = values(alpha_bar)[t]
    if np.all(share > 0):
        yield text.x0_from_eps(x_t, t, noise, alpha_bar), x_start
    if np.all(share < 1):
        yield text.eps_from_x0(x_t, t, x_start, alpha_bar), noise


def noised_ends(f, x_start, t, noise, alpha_bar):
    yield f(x_start, t, noise, 0 * alpha_bar + 1), x_start
    yield f(x_start, t, noise, 0 * alpha_bar), noise


def noised_published(f, x_start, t, noise, alpha_bar):
    zero = 0 * alpha_bar[0]
    x0, eps, _ = waves(zero)
    x_t = f(x0, HALFWAY, eps, text.alpha_bar(linear_betas(zero)))
    yield printed(x_t, "0.447192807339 0.00308151543564 -0.443862907548 -0.482721820311")


Q_SAMPLE = Op(
    text.q_sample,
    laws=(
        Law("equals √ᾱ (x_start + σ noise)", noised_equation),
        Law("the clean sample and the noise can be recovered", noised_round_trips),
        Law("x_t² + v² = x_start² + noise²", norm_with(text.velocity)),
        Law("ᾱ = 1 gives the sample, ᾱ = 0 the noise", noised_ends),
        SUPERPOSITION,
        SAMPLE_BY_SAMPLE,
        Law("has the recorded numbers halfway", noised_published),
    ),
    probes=(pair_probe("x_start", "noise"), ends_probe("x_start", "noise")),
    mistakes=(
        Edit(
            "q_sample/noise-factor-not-rooted",
            "multiplies the noise by 1 - ᾱ instead of √(1 - ᾱ)",
            "np.sqrt(1 - share) * noise",
            "(1 - share) * noise",
            effect="the variance falls below 1 in the middle of the chain",
            source="https://github.com/huggingface/diffusers/pull/10185",
            invisible_when="the noise is 0, or ᾱ is 0 or 1",
        ),
        Edit(
            "q_sample/signal-factor-not-rooted",
            "multiplies the sample by ᾱ instead of √ᾱ",
            "np.sqrt(share) * x_start",
            "share * x_start",
            effect="the image fades too fast",
            invisible_when="the sample is 0",
        ),
        Edit(
            "q_sample/share-of-one-step",
            "uses 1 - β of the step instead of ᾱ",
            "at(alpha_bar, t, x_start)",
            "at(1 - betas_from_alpha_bar(alpha_bar), t, x_start)",
            effect="almost clean at every t",
            invisible_when="t = 0",
        ),
        Edit(
            "q_sample/factors-exchanged",
            "exchanges the two factors",
            "np.sqrt(share) * x_start + np.sqrt(1 - share) * noise",
            "np.sqrt(1 - share) * x_start + np.sqrt(share) * noise",
            effect="pure noise first, the image last",
            invisible_when="ᾱ is one half",
        ),
        Edit(
            "q_sample/for-a-sampler-in-sigma",
            "adds σ times noise to the unscaled sample, as samplers in σ expect",
            "np.sqrt(share) * x_start + np.sqrt(1 - share) * noise",
            "x_start + np.sqrt((1 - share) / share) * noise",
            effect="samples are too large by 1/√ᾱ",
            source="https://github.com/huggingface/diffusers/pull/253",
            invisible_when="there is little noise",
        ),
        Edit(
            "q_sample/one-minus-root",
            "multiplies the noise by 1 - √ᾱ",
            "np.sqrt(1 - share) * noise",
            "(1 - np.sqrt(share)) * noise",
            effect="the variance falls below 1",
            invisible_when="the noise is 0, or ᾱ is 0 or 1",
        ),
        *wrong_times("q_sample", "at(alpha_bar, t, x_start)", "at(alpha_bar, t - 1, x_start)"),
    ),
)


def noised_gradient_equation(f, t, alpha_bar, grad):
    share = pick(alpha_bar, t, grad)
    x_start_grad, noise_grad = f(t, alpha_bar, grad)
    yield x_start_grad, np.sqrt(share) * grad
    yield noise_grad, np.sqrt(1 - share) * grad


def noised_gradient_adjoint(f, t, alpha_bar, grad):
    x_start, noise = grad[..., ::-1], grad * grad
    x_start_grad, noise_grad = f(t, alpha_bar, grad)
    sides = np.sum(x_start_grad * x_start) + np.sum(noise_grad * noise)
    yield np.sum(grad * text.q_sample(x_start, t, noise, alpha_bar)), sides


def noised_gradient_norm(f, t, alpha_bar, grad):
    x_start_grad, noise_grad = f(t, alpha_bar, grad)
    yield x_start_grad**2 + noise_grad**2, grad**2


def noised_gradient_ends(f, t, alpha_bar, grad):
    for end, (signal, noise) in enumerate(((0 * grad, grad), (grad, 0 * grad))):
        x_start_grad, noise_grad = f(t, 0 * alpha_bar + end, grad)
        yield x_start_grad, signal
        yield noise_grad, noise


Q_SAMPLE_VJP = Op(
    text.q_sample_vjp,
    laws=(
        Law("each gradient is grad times the factor of the forward pass", noised_gradient_equation),
        Law("is adjoint to the noising", noised_gradient_adjoint),
        Law("the squares of both gradients sum to that of grad", noised_gradient_norm),
        Law("ᾱ = 0 gives all of grad to the noise, ᾱ = 1 to the sample", noised_gradient_ends),
        SAMPLE_BY_SAMPLE,
        LINEAR_IN_GRAD,
    ),
    probes=(gradient_probe(lambda: text.alpha_bar(linear_betas())),),
    mistakes=(
        Edit(
            "q_sample_vjp/signal-factor-not-rooted",
            "multiplies the gradient of the sample by ᾱ instead of √ᾱ",
            "np.sqrt(share) * grad",
            "share * grad",
            effect="gradients are too small at late t",
            invisible_when="ᾱ is 0 or 1",
        ),
        Edit(
            "q_sample_vjp/noise-factor-not-rooted",
            "multiplies the gradient of the noise by 1 - ᾱ instead of √(1 - ᾱ)",
            "np.sqrt(1 - share) * grad",
            "(1 - share) * grad",
            effect="gradients are too small at early t",
            invisible_when="ᾱ is 0 or 1",
        ),
        Edit(
            "q_sample_vjp/inverse-for-transpose",
            "divides by √ᾱ instead of multiplying",
            "np.sqrt(share) * grad",
            "grad / np.sqrt(share)",
            effect="gradients grow without limit at late t",
            invisible_when="ᾱ is 1",
        ),
        Edit(
            "q_sample_vjp/factors-exchanged",
            "exchanges the two factors",
            "np.sqrt(share) * grad, np.sqrt(1 - share) * grad",
            "np.sqrt(1 - share) * grad, np.sqrt(share) * grad",
            effect="the sample has almost no gradient at early t",
            invisible_when="ᾱ is one half",
        ),
        Edit(
            "q_sample_vjp/noise-subtracted",
            "gives the noise the opposite sign",
            "np.sqrt(1 - share) * grad",
            "-np.sqrt(1 - share) * grad",
            effect="the gradient of the noise has the wrong sign",
            invisible_when="ᾱ is 1",
        ),
        *wrong_times("q_sample_vjp", "at(alpha_bar, t, grad)", "at(alpha_bar, t - 1, grad)"),
    ),
    outputs=("x_start_grad", "noise_grad"),
)
