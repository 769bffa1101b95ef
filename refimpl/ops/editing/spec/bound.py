"""What is known about discretized_gaussian_nll and vlb_bits: laws, probes, mistakes, dialects."""

import numpy as np

from refimpl.constants import constant, erf
from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import FLOATS, cosines, mistakes_of, samples, sines
from refimpl.ops.diffusion import reference as diffusion
from refimpl.ops.diffusion.spec.shared import SAMPLE_BY_SAMPLE
from refimpl.ops.editing import reference as text

GRID = np.arange(256) / 127.5 - 1


def mirrored(f, x, mean, log_variance):
    yield f(-x, -mean, log_variance), f(x, mean, log_variance)


def a_probability(f, x, mean, log_variance):
    found = f(x, mean, log_variance)
    yield np.minimum(found, 0), 0 * found


def all_bins(f, x, mean, log_variance):
    for middle, log in list(zip(mean.reshape(-1), log_variance.reshape(-1), strict=True))[:3]:
        yield np.sum(np.exp(-f(GRID, 0 * GRID + middle, 0 * GRID + log))), 1


def in_the_middle(f, x, mean, log_variance):
    found = np.exp(-f(0 * x, 0 * mean, log_variance))
    rate = np.exp(-log_variance / 2) / 255
    yield found, erf(rate / np.sqrt(constant(2, rate)))


def certain(f, x, mean, log_variance):
    yield f(x, x, 0 * log_variance - 40), 0 * x


def half_of_all(f, x, mean, log_variance):
    """The bins that begin or end just at the mean, and lie outside, hold half of everything."""
    edge = constant(254, log_variance) / 255
    one = 0 * log_variance + 1
    for side in (1, -1):
        yield np.exp(-f(side * one, side * edge * one, log_variance)), one / 2


wrong = mistakes_of("discretized_gaussian_nll")

HALF = "1 / constant(255, x)"
RATE = "np.exp(-log_variance / 2)"
NEAR = "near = log_ndtr(np.minimum(above, -below))"
INSIDE = "near + np.log(-np.expm1(far - near))"
OUTSIDE = "np.where(x < 0, log_ndtr(above), log_ndtr(-below))"
CHOSEN = "np.where(np.abs(x) < 1, inside, outside)"
CDF = "(1 + np.tanh(np.sqrt(z * 0 + 0.5 / np.arctan(constant(1, z))) * (z + 0.044715 * z * z * z)))"

DISCRETIZED_GAUSSIAN_NLL = Op(
    text.discretized_gaussian_nll,
    laws=(
        Law("mirroring pixels and means changes nothing", mirrored),
        Law("is never negative", a_probability),
        Law("the probabilities of all 256 bins sum to one", all_bins),
        Law("a bin in the middle has the probability erf(1 / (255 √2 σ))", in_the_middle),
        Law("with almost no variance a pixel at the mean is certain", certain),
        Law("an outer bin that begins at the mean has probability one half", half_of_all),
    ),
    probes=(
        Probe(
            "inside, at both ends and far away",
            lambda: {
                "x": GRID[[0, 0, 1, 128, 200, 254, 255, 255]],
                "mean": np.array([-0.9, 0.5, -1.0, 0.02, -0.5, 0.75, 0.9, 2.0]),
                "log_variance": np.array([-4.0, -5.0, -9.0, -4.5, -8.0, 0.5, -4.0, -6.0]),
            },
        ),
        Probe(
            "near the means",
            lambda: {
                "x": GRID[100:106].reshape(2, 3),
                "mean": GRID[100:106].reshape(2, 3) + sines(2, 3) / 64,
                "log_variance": 4 * cosines(2, 3) - 8,
            },
        ),
    ),
    mistakes=(
        wrong(
            "ends-not-open",
            "gives the first and the last bin an outer end",
            CHOSEN,
            "inside",
            "black and white pixels cost too much",
            "no pixel is black or white",
        ),
        wrong(
            "whole-width-on-both-sides",
            "takes the width of a bin for half of it",
            HALF,
            "2 / constant(255, x)",
            "a bit too few: bins overlap",
            "the deviation is far below a bin",
        ),
        wrong(
            "one-of-256",
            "cuts [-1, 1] into 256 bins of equal width",
            HALF,
            "1 / constant(256, x)",
            "bins leave gaps",
            "the deviation is far below a bin",
        ),
        wrong(
            "pixels-from-0-to-1",
            "takes half of 1/255 for half of a bin, as of pixels in [0, 1]",
            HALF,
            "1 / constant(510, x)",
            "a bit too many",
            "the deviation is far below a bin",
        ),
        wrong(
            "of-deviations",
            "takes the logarithm of the variance for that of the deviation",
            RATE,
            "np.exp(-log_variance)",
            "the likelihood is far too low away from the mean",
            "the variance is 1",
        ),
        wrong(
            "density",
            "multiplies the density at the pixel by the width of its bin",
            INSIDE,
            "np.log(2 * half * rate) - (x - mean) * rate * ((x - mean) * rate) / 2"
            " - np.log(8 * np.arctan(constant(1, x))) / 2",
            "negative bits once the deviation is below a bin",
            "the deviation is far above a bin",
        ),
        wrong(
            "ends-exchanged",
            "opens the first and the last bin inward",
            OUTSIDE,
            "np.where(x < 0, log_ndtr(-below), log_ndtr(above))",
            "white pixels take all that is not white",
            "no pixel is black or white",
        ),
        wrong(
            "difference-near-one",
            "subtracts probabilities without mirroring them",
            INSIDE,
            "np.log(np.exp(log_ndtr(above)) - np.exp(log_ndtr(below)))",
            "infinite well above the mean",
            "the pixel is near the mean",
        ),
        wrong(
            "log-likelihood",
            "returns the log likelihood itself",
            "return -np.where",
            "return np.where",
            "training makes pictures unlikely",
            "the likelihood is 1",
        ),
    ),
    dialects=(
        wrong(
            "tanh-and-floor",
            "approximates Φ by a tanh and takes no probability below 1e-12",
            NEAR,
            f"cdf = lambda z: {CDF} / 2\n    near = cdf(np.minimum(above, -below))",
            "27.6 nats at most, as guided-diffusion has it",
            "the pixel is near the mean",
            also=(
                ("", "far = log_ndtr(", "far = cdf("),
                ("", INSIDE, "np.log(np.maximum(near - far, 1e-12))"),
                (
                    "",
                    OUTSIDE,
                    "np.log(np.maximum(np.where(x < 0, cdf(above), cdf(-below)), 1e-12))",
                ),
            ),
        ),
    ),
    lossy=(
        Edit(
            "discretized_gaussian_nll/from-probabilities",
            "subtracts probabilities of the tail, which underflow",
            INSIDE,
            "np.log(np.exp(near) - np.exp(far))",
            effect="infinite far away from the mean",
        ),
    ),
    precisions=FLOATS,
)


def first_is_the_decoder(f, x_start, x_t, t, mean, log_variance, betas):
    each = text.discretized_gaussian_nll(x_start, mean, log_variance)
    bits = np.mean(each, axis=tuple(range(1, each.ndim))) / np.log(constant(2, each))
    yield f(x_start, x_t, 0 * t, mean, log_variance, betas), bits


def later_a_divergence(f, x_start, x_t, t, mean, log_variance, betas):
    later = np.maximum(t, 1)
    true_mean, _, true_log = diffusion.q_posterior(x_start, x_t, later, betas)
    each = text.gaussian_kl(true_mean, true_log, mean, log_variance)
    bits = np.mean(each, axis=tuple(range(1, each.ndim))) / np.log(constant(2, each))
    yield f(x_start, x_t, later, mean, log_variance, betas), bits


def nothing_for_the_posterior(f, x_start, x_t, t, mean, log_variance, betas):
    later = np.maximum(t, 1)
    true_mean, _, true_log = diffusion.q_posterior(x_start, x_t, later, betas)
    found = f(x_start, x_t, later, true_mean, true_log, betas)
    yield found, 0 * found


def never_negative(f, x_start, x_t, t, mean, log_variance, betas):
    found = f(x_start, x_t, t, mean, log_variance, betas)
    yield np.minimum(found, 0), 0 * found


def a_mean(f, x_start, x_t, t, mean, log_variance, betas):
    twice = [np.concatenate((x, x), axis=-1) for x in (x_start, x_t, mean, log_variance)]
    found = f(twice[0], twice[1], t, twice[2], twice[3], betas)
    yield found, f(x_start, x_t, t, mean, log_variance, betas)


def chain(times, steps, shape):
    shape = (len(times), *shape)
    x_start = np.round(127.5 * sines(*shape)) / 127.5
    return {
        "x_start": x_start,
        "x_t": samples(3, shape),
        "t": np.array(times),
        "mean": 0.9 * x_start + cosines(*shape) / 16,
        "log_variance": sines(*shape)[::-1] - 4,
        "betas": diffusion.linear_schedule(steps, 0.01, 0.4),
    }


wrong_bits = mistakes_of("vlb_bits")

WHERE = "np.where(t == 0, *nats)"
BITS = " / np.log(constant(2, mean))"
LOG_BETA = "np.reshape(np.log(betas)[t], (-1,) + (1,) * (mean.ndim - 1))"
TRUE = "gaussian_kl(true_mean, true_log_variance, mean, log_variance)"

VLB_BITS = Op(
    text.vlb_bits,
    laws=(
        Law("at t = 0 it is discretized_gaussian_nll, averaged, in bits", first_is_the_decoder),
        Law("later it is gaussian_kl from the posterior, averaged, in bits", later_a_divergence),
        Law("a model that is the posterior costs nothing after t = 0", nothing_for_the_posterior),
        Law("is never negative", never_negative),
        Law("a sample beside itself takes as many bits for each number", a_mean),
        SAMPLE_BY_SAMPLE,
    ),
    probes=(
        Probe("the first, the second and the last time", lambda: chain([0, 1, 7], 8, (2, 3))),
        Probe("the first time twice", lambda: chain([0, 0], 4, (5,))),
    ),
    mistakes=(
        wrong_bits(
            "divergence-at-the-start",
            "takes the divergence at t = 0, too",
            WHERE,
            "nats[1] + 0 * t",
            "the decoder counts for nothing",
            "t is above 0",
            source="https://github.com/Weixy21/SafeDiffuser/issues/9",
        ),
        wrong_bits(
            "likelihood-throughout",
            "takes the likelihood of the clean sample at all times",
            WHERE,
            "nats[0] + 0 * t",
            "thousands of bits",
            "t is 0",
        ),
        wrong_bits(
            "start-left-out",
            "leaves out the term of t = 0",
            WHERE,
            "np.where(t == 0, 0 * nats[0], nats[1])",
            "the bound is no bound",
            "t is above 0",
        ),
        wrong_bits(
            "nats",
            "does not divide by log 2",
            BITS,
            "",
            "0.69 of the bits",
            "never",
        ),
        wrong_bits(
            "summed",
            "sums over the numbers of a sample instead of averaging",
            "np.mean(each, axis=rest)",
            "np.sum(each, axis=rest)",
            "bits of a picture instead of a number",
            "a sample is one number",
        ),
        wrong_bits(
            "over-the-batch",
            "averages over the batch, too",
            "np.mean(each, axis=rest)",
            "np.mean(each) + 0 * t",
            "samples depend on each other",
            "there is one sample",
        ),
        wrong_bits(
            "arguments-exchanged",
            "exchanges the posterior and the model",
            TRUE,
            "gaussian_kl(mean, log_variance, true_mean, true_log_variance)",
            "wide models cost too much",
            "t is 0, or the variances are equal",
        ),
        wrong_bits(
            "forward-variance",
            "takes β for the variance of the posterior",
            TRUE,
            f"gaussian_kl(true_mean, {LOG_BETA} + 0 * mean, mean, log_variance)",
            "the fixed large variance costs nothing",
            "t is 0",
        ),
        wrong_bits(
            "one-step-late",
            "takes the posterior of the time before",
            "q_posterior(x_start, x_t, t, betas)",
            "q_posterior(x_start, x_t, np.maximum(t - 1, 0), betas)",
            "a perfect model costs something",
            "t is 0",
        ),
    ),
    precisions=FLOATS,
)
