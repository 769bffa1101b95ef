"""What is known about Gaussian posteriors: laws, probes, mistakes and a dialect."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Law, Op, Probe
from refimpl.ops.autoencoder import reference as text
from refimpl.ops.common import cosines, mistakes_of, sines

CUT = "np.split(h, 2, axis=1)"
CLAMPED = "np.minimum(np.maximum(log_variance, -30), 20)"


def within_bounds(f, h):
    _, log_variance = f(h)
    yield np.maximum(log_variance - 20, 0), 0 * log_variance
    yield np.minimum(log_variance + 30, 0), 0 * log_variance


def means_first(f, h):
    mean, _ = f(h)
    yield mean, h[:, : h.shape[1] // 2]


def twice(f, h):
    mean, log_variance = f(h)
    again = f(np.concatenate((mean, log_variance), axis=1))
    yield again[0], mean
    yield again[1], log_variance


def small_ones_stay(f, h):
    small = np.minimum(np.maximum(h, -20), 20)
    yield np.concatenate(f(small), axis=1), small


wrong = mistakes_of("gaussian_moments")


GAUSSIAN_MOMENTS = Op(
    text.gaussian_moments,
    outputs=("mean", "log_variance"),
    laws=(
        Law("the log variance lies between -30 and 20", within_bounds),
        Law("the means are the first half of the channels", means_first),
        Law("applying it twice is applying it once", twice),
        Law("within the bounds nothing is clamped", small_ones_stay),
    ),
    probes=(
        Probe("both bounds", lambda: {"h": 64 * sines(2, 4, 1, 2)}),
        Probe("within bounds", lambda: {"h": cosines(1, 6, 2, 1)}),
    ),
    mistakes=(
        wrong(
            "halves-exchanged",
            "exchanges means and log variances",
            CUT,
            CUT + "[::-1]",
            "the latents are meaningless",
            "both halves are equal",
        ),
        wrong(
            "dealt",
            "takes every other channel instead of the first half",
            CUT,
            "(h[:, 0::2], h[:, 1::2])",
            "means and variances are mixed",
            "there is one latent channel",
        ),
        wrong(
            "not-clamped",
            "does not clamp the log variance",
            CLAMPED,
            "log_variance",
            "variances overflow",
            "all are within bounds",
        ),
        wrong(
            "clamped-alike",
            "clamps to [-20, 20] instead of [-30, 20]",
            CLAMPED,
            "np.minimum(np.maximum(log_variance, -20), 20)",
            "no variance is below 2e-9",
            "all are above -20",
        ),
        wrong(
            "of-deviations",
            "reads the channels as logarithms of the deviation",
            CLAMPED,
            "np.minimum(np.maximum(2 * log_variance, -30), 20)",
            "the variance is squared",
            "the variance is 1",
        ),
    ),
)


def nothing_at_the_prior(f, mean, log_variance):
    nothing = f(0 * mean, 0 * log_variance)
    yield nothing, 0 * nothing


def never_negative(f, mean, log_variance):
    yield np.minimum(f(mean, log_variance), 0), 0 * f(mean, log_variance)


def adds_up(f, mean, log_variance):
    both = (np.concatenate((x, x), axis=1) for x in (mean, log_variance))
    yield f(*both), 2 * f(mean, log_variance)


def of_means(f, mean, log_variance):
    yield f(mean, 0 * log_variance), np.sum(mean * mean, axis=1) / 2


def sign(f, mean, log_variance):
    yield f(-mean, log_variance), f(mean, log_variance)


wrong_kl = mistakes_of("posterior_kl")


LOGS = np.array([[0.25, -0.5, -3.0], [1.0, 0.0, 0.125]])

POSTERIOR_KL = Op(
    text.posterior_kl,
    laws=(
        Law("is zero at the standard normal distribution", nothing_at_the_prior),
        Law("is never negative", never_negative),
        Law("is a sum over the latent numbers", adds_up),
        Law("at unit variance it is half the squared mean", of_means),
        Law("does not depend on the sign of the mean", sign),
    ),
    probes=(Probe("two samples", lambda: {"mean": sines(2, 3), "log_variance": LOGS}),),
    mistakes=(
        wrong_kl(
            "mean-over-latents",
            "averages over the latent numbers instead of summing",
            "np.sum(",
            "np.mean(",
            "too small by their number",
            "there is one latent number",
            source="https://github.com/podgorskiy/VAE/issues/1",
        ),
        wrong_kl(
            "logarithm-squared",
            "squares the log variance instead of taking its exponential",
            "- 1 - log_variance,",
            "- 1 - log_variance * log_variance,",
            "the minimum is elsewhere",
            "the variance is 1",
            source="https://github.com/FluxML/model-zoo/pull/147",
        ),
        wrong_kl(
            "not-halved",
            "forgets the factor 1/2",
            "axis=1) / 2",
            "axis=1)",
            "twice the weight",
            "never",
        ),
        wrong_kl(
            "logarithm-added",
            "adds the log variance instead of subtracting it",
            "- 1 - log_variance",
            "- 1 + log_variance",
            "variances collapse to 0",
            "the variance is 1",
        ),
        wrong_kl(
            "of-deviations",
            "doubles the log variance, as if it were that of the deviation",
            "np.exp(log_variance) - 1 - log_variance",
            "np.exp(2 * log_variance) - 1 - 2 * log_variance",
            "the divergence is too large",
            "the variance is 1",
        ),
        wrong_kl(
            "one-forgotten",
            "leaves out the constant 1",
            "np.exp(log_variance) - 1 -",
            "np.exp(log_variance) -",
            "never 0",
            "never",
        ),
    ),
)


def vjp_of_unit_variance(f, mean, log_variance, grad):
    mean_grad, log_grad = f(mean, 0 * log_variance, grad)
    yield mean_grad, grad[:, None] * mean
    yield log_grad, 0 * log_variance


def vjp_sign(f, mean, log_variance, grad):
    found, want = f(-mean, log_variance, grad), f(mean, log_variance, grad)
    yield found[0], -want[0]
    yield found[1], want[1]


def vjp_inverse_variance(f, mean, log_variance, grad):
    found, other = f(mean, log_variance, grad)[1], f(mean, -log_variance, grad)[1]
    yield found, -other * np.exp(log_variance)


def vjp_apart(f, mean, log_variance, grad):
    first = f(mean[:1], log_variance[:1], grad[:1])
    for one, whole in zip(first, f(mean, log_variance, grad), strict=True):
        yield one, whole[:1]


wrong_vjp = mistakes_of("posterior_kl_vjp")


OF_LOGS = "each * (np.exp(log_variance) - 1) / 2"

POSTERIOR_KL_VJP = Op(
    text.posterior_kl_vjp,
    outputs=("mean_grad", "log_variance_grad"),
    laws=(
        Law("at unit variance the gradients are the mean and zero", vjp_of_unit_variance),
        Law("changing the sign of the mean changes that of its gradient", vjp_sign),
        Law("an inverse variance has a gradient of the other sign", vjp_inverse_variance),
        Law("each sample is treated by itself", vjp_apart),
        LINEAR_IN_GRAD,
    ),
    probes=(
        Probe(
            "two samples",
            lambda: {"mean": sines(2, 3), "log_variance": LOGS, "grad": np.array([1.0, -3.0])},
        ),
    ),
    mistakes=(
        wrong_vjp(
            "mean-twice",
            "forgets that 1/2 and the square's 2 cancel",
            "return each * mean",
            "return 2 * each * mean",
            "means shrink too fast",
            "the mean is 0",
        ),
        wrong_vjp(
            "not-halved",
            "forgets the factor 1/2",
            OF_LOGS,
            "each * (np.exp(log_variance) - 1)",
            "variances change too fast",
            "the variance is 1",
        ),
        wrong_vjp(
            "one-forgotten",
            "forgets the term -1/2, which enlarges small variances",
            OF_LOGS,
            "each * np.exp(log_variance) / 2",
            "variances collapse to 0",
            "never",
        ),
        wrong_vjp(
            "sign",
            "changes the sign of the log variance's gradient",
            OF_LOGS,
            "each * (1 - np.exp(log_variance)) / 2",
            "variances move away from 1",
            "the variance is 1",
        ),
        wrong_vjp(
            "averaged",
            "averages over the latent numbers instead of summing",
            "each = grad[:, None]",
            "each = grad[:, None] / mean.shape[1]",
            "too weak by their number",
            "there is one latent number",
        ),
    ),
)
