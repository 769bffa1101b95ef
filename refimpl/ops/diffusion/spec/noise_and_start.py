"""What is known about noise and start: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.common import samples
from refimpl.ops.diffusion import reference as text
from refimpl.ops.diffusion.spec.shared import (
    HALFWAY,
    SAMPLE_BY_SAMPLE,
    SUPERPOSITION,
    draw_shares,
    golden_x_t,
    gradient_probe,
    linear_betas,
    pair_probe,
    pick,
    printed,
    waves,
    wrong_times,
)


def start_equation(f, x_t, t, eps, alpha_bar):
    share = pick(alpha_bar, t, x_t)
    yield f(x_t, t, eps, alpha_bar), np.sqrt(1 / share) * x_t - np.sqrt(1 / share - 1) * eps


def start_recovered(f, x_t, t, eps, alpha_bar):
    x_start = x_t  # any sample will do
    yield f(text.q_sample(x_start, t, eps, alpha_bar), t, eps, alpha_bar), x_start


def start_through_velocity(f, x_t, t, eps, alpha_bar):
    x_start = f(x_t, t, eps, alpha_bar)
    v = text.velocity(x_start, t, eps, alpha_bar)
    yield text.x0_from_v(x_t, t, v, alpha_bar), x_start


def start_from_score(f, x_t, t, eps, alpha_bar):
    share = pick(alpha_bar, t, x_t)
    score = text.score_from_eps(eps, t, alpha_bar)
    yield np.sqrt(share) * f(x_t, t, eps, alpha_bar), x_t + (1 - share) * score


def start_published(f, x_t, t, eps, alpha_bar):
    zero = 0 * alpha_bar[0]
    _, _, predicted = waves(zero)
    share = text.alpha_bar(linear_betas(zero))
    x_start = f(golden_x_t(zero), HALFWAY, predicted, share)
    yield printed(x_start, "-1.00414291135 -2.8065650171 -2.02864418928 0.614402750601")


X0_FROM_EPS = Op(
    text.x0_from_eps,
    laws=(
        Law("equals the form with √(1/ᾱ) and √(1/ᾱ - 1)", start_equation),
        Law("recovers the clean sample of a noised one", start_recovered),
        Law("agrees with x0_from_v", start_through_velocity),
        Law("equals Tweedie's formula with the score", start_from_score),
        SUPERPOSITION,
        SAMPLE_BY_SAMPLE,
        Law("has the recorded numbers halfway", start_published),
    ),
    probes=(pair_probe("x_t", "eps"),),
    mistakes=(
        Edit(
            "x0_from_eps/multiplied-by-the-root",
            "multiplies by √ᾱ instead of dividing",
            "* eps) / np.sqrt(share)",
            "* eps) * np.sqrt(share)",
            effect="clean samples are too small at late t",
            invisible_when="t is early",
        ),
        Edit(
            "x0_from_eps/noise-factor-not-rooted",
            "multiplies the noise by 1 - ᾱ instead of √(1 - ᾱ)",
            "np.sqrt(1 - share) * eps",
            "(1 - share) * eps",
            effect="noise is left in the clean sample",
            source="https://github.com/jcwang-gh/classifier-free-diffusion-guidance-Pytorch/issues/12",
            invisible_when="the noise is 0, or ᾱ is near 0 or 1",
        ),
        Edit(
            "x0_from_eps/share-of-the-step-before",
            "uses ᾱ of t - 1",
            "at(alpha_bar, t, x_t)",
            "at(before(alpha_bar), t, x_t)",
            effect="noise is left; at t = 0 the noised sample is returned",
            invisible_when="the tolerance is above 4 %",
        ),
        Edit(
            "x0_from_eps/noise-added",
            "adds the noise instead of subtracting it",
            "(x_t - np.sqrt(1 - share) * eps)",
            "(x_t + np.sqrt(1 - share) * eps)",
            effect="the result has twice the noise instead of none",
            invisible_when="the noise is 0",
        ),
        Edit(
            "x0_from_eps/not-divided",
            "does not divide by √ᾱ",
            " / np.sqrt(share)",
            "",
            effect="the clean sample fades with √ᾱ",
            invisible_when="t is early",
        ),
        Edit(
            "x0_from_eps/divided-by-the-share",
            "divides by ᾱ instead of √ᾱ",
            " / np.sqrt(share)",
            " / share",
            effect="clean samples are too large at late t",
            invisible_when="t is early",
        ),
        *wrong_times("x0_from_eps", "at(alpha_bar, t, x_t)", "at(alpha_bar, t - 1, x_t)"),
    ),
    values={"alpha_bar": draw_shares},
)


def start_gradient_equation(f, t, alpha_bar, grad):
    share = pick(alpha_bar, t, grad)
    x_t_grad, eps_grad = f(t, alpha_bar, grad)
    yield x_t_grad, np.sqrt(1 / share) * grad
    yield eps_grad, -np.sqrt((1 - share) / share) * grad


def start_gradient_adjoint(f, t, alpha_bar, grad):
    x_t, eps = grad[..., ::-1], grad * grad
    x_t_grad, eps_grad = f(t, alpha_bar, grad)
    sides = np.sum(x_t_grad * x_t) + np.sum(eps_grad * eps)
    yield np.sum(grad * text.x0_from_eps(x_t, t, eps, alpha_bar)), sides


def start_gradient_after_noising(f, t, alpha_bar, grad):
    x_t_grad, eps_grad = f(t, alpha_bar, grad)
    x_start_grad, noise_grad = text.q_sample_vjp(t, alpha_bar, x_t_grad)
    yield x_start_grad, grad
    yield noise_grad + eps_grad, 0 * grad


def start_gradient_without_noise(f, t, alpha_bar, grad):
    x_t_grad, eps_grad = f(t, 0 * alpha_bar + 1, grad)
    yield x_t_grad, grad
    yield eps_grad, 0 * grad


X0_FROM_EPS_VJP = Op(
    text.x0_from_eps_vjp,
    laws=(
        Law("each gradient is grad times the factor of the forward pass", start_gradient_equation),
        Law("is adjoint to the prediction", start_gradient_adjoint),
        Law(
            "composed with noising, x_start gets grad and the noise nothing",
            start_gradient_after_noising,
        ),
        Law("at ᾱ = 1 the noised sample gets grad", start_gradient_without_noise),
        SAMPLE_BY_SAMPLE,
        LINEAR_IN_GRAD,
    ),
    probes=(gradient_probe(lambda: text.alpha_bar(linear_betas())),),
    mistakes=(
        Edit(
            "x0_from_eps_vjp/sign",
            "changes the sign of the noise's gradient",
            "-np.sqrt(1 - share)",
            "np.sqrt(1 - share)",
            effect="guidance changes the noise in the wrong direction",
            invisible_when="ᾱ is 1",
        ),
        Edit(
            "x0_from_eps_vjp/inverse-for-transpose",
            "multiplies by √ᾱ instead of dividing",
            "grad / np.sqrt(share)",
            "grad * np.sqrt(share)",
            effect="gradients vanish at late t",
            invisible_when="t is early",
        ),
        Edit(
            "x0_from_eps_vjp/divided-by-the-share",
            "divides by ᾱ instead of √ᾱ",
            "grad / np.sqrt(share)",
            "grad / share",
            effect="gradients are too large at late t",
            invisible_when="t is early",
        ),
        Edit(
            "x0_from_eps_vjp/noise-factor-not-rooted",
            "multiplies the gradient of the noise by 1 - ᾱ instead of √(1 - ᾱ)",
            "-np.sqrt(1 - share)",
            "-(1 - share)",
            effect="the part through the network is too small",
            invisible_when="ᾱ is near 0 or 1",
        ),
        Edit(
            "x0_from_eps_vjp/noise-not-divided",
            "does not divide the gradient of the noise by √ᾱ",
            "* x_t_grad",
            "* grad",
            effect="the part through the network is too small at late t",
            invisible_when="t is early",
        ),
        Edit(
            "x0_from_eps_vjp/detached",
            "gives the noise no gradient, as if the prediction were detached",
            "-np.sqrt(1 - share) * x_t_grad",
            "0 * x_t_grad",
            effect="the part through the network is lost",
            invisible_when="ᾱ is 1",
        ),
        *wrong_times("x0_from_eps_vjp", "at(alpha_bar, t, grad)", "at(alpha_bar, t - 1, grad)"),
    ),
    outputs=("x_t_grad", "eps_grad"),
    values={"alpha_bar": draw_shares},
)


def noise_equation(f, x_t, t, x_start, alpha_bar):
    share = pick(alpha_bar, t, x_t)
    if np.all(values(share) > 0):
        direct = np.sqrt(1 / share) * x_t - x_start
        yield np.sqrt(1 / share - 1) * f(x_t, t, x_start, alpha_bar), direct


def noise_recovered(f, x_t, t, x_start, alpha_bar):
    noise = x_t  # any noise will do
    yield f(text.q_sample(x_start, t, noise, alpha_bar), t, x_start, alpha_bar), noise


def noise_inverts_start(f, x_t, t, x_start, alpha_bar):
    if np.all(values(alpha_bar) > 0):
        eps = f(x_t, t, x_start, alpha_bar)
        yield text.x0_from_eps(x_t, t, eps, alpha_bar), x_start


def noise_through_velocity(f, x_t, t, x_start, alpha_bar):
    eps = f(x_t, t, x_start, alpha_bar)
    v = text.velocity(x_start, t, eps, alpha_bar)
    yield text.eps_from_v(x_t, t, v, alpha_bar), eps


def noise_without_signal(f, x_t, t, x_start, alpha_bar):
    yield f(x_t, t, x_start, 0 * alpha_bar), x_t


def noise_published(f, x_t, t, x_start, alpha_bar):
    zero = 0 * alpha_bar[0]
    x0, _, _ = waves(zero)
    share = text.alpha_bar(linear_betas(zero))
    yield printed(f(golden_x_t(zero), HALFWAY, x0, share)[0, 0], "0.270151152934")


EPS_FROM_X0 = Op(
    text.eps_from_x0,
    laws=(
        Law("equals the form with √(1/ᾱ) and √(1/ᾱ - 1)", noise_equation),
        Law("recovers the noise of a noised sample", noise_recovered),
        Law("is inverted by x0_from_eps", noise_inverts_start),
        Law("agrees with eps_from_v", noise_through_velocity),
        Law("at ᾱ = 0 it is the sample itself", noise_without_signal),
        SUPERPOSITION,
        SAMPLE_BY_SAMPLE,
        Law("recovers the recorded noise", noise_published),
    ),
    probes=(
        pair_probe("x_t", "x_start"),
        Probe(
            "a last share of 0",
            lambda: {
                "x_t": samples(3, (2, 3)),
                "t": np.array([0, 1]),
                "x_start": samples(4, (2, 3)),
                "alpha_bar": np.array([0.7, 0.0]),
            },
        ),
    ),
    mistakes=(
        Edit(
            "eps_from_x0/divided-by-the-variance",
            "divides by 1 - ᾱ instead of √(1 - ᾱ)",
            "/ np.sqrt(1 - share)",
            "/ (1 - share)",
            effect="minus the score; too large at early t",
            invisible_when="t is late",
        ),
        Edit(
            "eps_from_x0/not-divided",
            "does not divide by √(1 - ᾱ)",
            " / np.sqrt(1 - share)",
            "",
            effect="the noise is too small at early t",
            invisible_when="t is late",
        ),
        Edit(
            "eps_from_x0/signal-not-scaled",
            "does not scale the clean sample by √ᾱ",
            "np.sqrt(share) * x_start",
            "x_start",
            effect="signal is left in the noise at late t",
            invisible_when="early times, or a clean sample of 0",
        ),
        Edit(
            "eps_from_x0/signal-factor-not-rooted",
            "multiplies the clean sample by ᾱ instead of √ᾱ",
            "np.sqrt(share) * x_start",
            "share * x_start",
            effect="signal is left in the noise",
            invisible_when="a clean sample of 0",
        ),
        Edit(
            "eps_from_x0/share-of-the-step-before",
            "uses ᾱ of t - 1",
            "at(alpha_bar, t, x_t)",
            "at(np.minimum(before(alpha_bar), 0.9999), t, x_t)",
            effect="noise and clean sample belong to different t",
            invisible_when="neighbouring entries hardly differ",
        ),
        Edit(
            "eps_from_x0/sign",
            "changes the sign",
            "(x_t - np.sqrt(share) * x_start)",
            "(np.sqrt(share) * x_start - x_t)",
            effect="the sampler adds noise instead of removing it",
            invisible_when="there is no noise",
        ),
        *wrong_times("eps_from_x0", "at(alpha_bar, t, x_t)", "at(alpha_bar, t - 1, x_t)"),
    ),
    values={"alpha_bar": draw_shares},
)
