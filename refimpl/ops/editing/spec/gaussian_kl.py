"""What is known about gaussian_kl: laws, probes and mistakes."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.autoencoder import reference as autoencoder
from refimpl.ops.common import cosines, mistakes_of, sines
from refimpl.ops.editing import reference as text


def nothing_to_itself(f, q_mean, q_log_variance, p_mean, p_log_variance):
    yield f(q_mean, q_log_variance, q_mean, q_log_variance), 0 * q_mean


def never_negative(f, q_mean, q_log_variance, p_mean, p_log_variance):
    found = f(q_mean, q_log_variance, p_mean, p_log_variance)
    yield np.minimum(found, 0), 0 * found


def from_the_standard(f, q_mean, q_log_variance, p_mean, p_log_variance):
    found = f(q_mean, q_log_variance, 0 * p_mean, 0 * p_log_variance)
    alone = (x.reshape(-1, 1) for x in (q_mean, q_log_variance))
    yield found.reshape(-1), autoencoder.posterior_kl(*alone)


def equal_variances(f, q_mean, q_log_variance, p_mean, p_log_variance):
    apart = q_mean - p_mean
    found = f(q_mean, p_log_variance, p_mean, p_log_variance)
    yield found, apart * apart * np.exp(-p_log_variance) / 2


def both_ways(f, q_mean, q_log_variance, p_mean, p_log_variance):
    there = f(q_mean, q_log_variance, p_mean, p_log_variance)
    back = f(p_mean, p_log_variance, q_mean, q_log_variance)
    apart, between = q_mean - p_mean, q_log_variance - p_log_variance
    means = apart * apart * (np.exp(-q_log_variance) + np.exp(-p_log_variance))
    yield 2 * (there + back), means + np.exp(between) + np.exp(-between) - 2


def mirrored(f, q_mean, q_log_variance, p_mean, p_log_variance):
    found = f(-q_mean, q_log_variance, -p_mean, p_log_variance)
    yield found, f(q_mean, q_log_variance, p_mean, p_log_variance)


def narrow_to_wide():
    return {
        "q_mean": sines(2, 3),
        "q_log_variance": np.array([[-2.0, -0.5, 0.25], [-6.0, 0.0, 1.0]]),
        "p_mean": cosines(2, 3),
        "p_log_variance": np.array([[-1.0, 0.5, 0.25], [-4.0, -3.0, 0.5]]),
    }


def one_of_each():
    one = {"q_mean": 0.1, "q_log_variance": -0.5, "p_mean": 0.3, "p_log_variance": 0.2}
    return {name: np.array([value]) for name, value in one.items()}


wrong = mistakes_of("gaussian_kl")

MEANS = "apart * apart * np.exp(-p_log_variance)"
BETWEEN = "between = q_log_variance - p_log_variance"

GAUSSIAN_KL = Op(
    text.gaussian_kl,
    laws=(
        Law("is zero to itself", nothing_to_itself),
        Law("is never negative", never_negative),
        Law("to the standard normal distribution it is posterior_kl", from_the_standard),
        Law("for equal variances it is half a squared distance", equal_variances),
        Law("both ways together it is Jeffreys' divergence", both_ways),
        Law("does not depend on the sign of the means", mirrored),
    ),
    probes=(
        Probe("variances that differ", narrow_to_wide),
        Probe("one number", one_of_each),
    ),
    mistakes=(
        wrong(
            "arguments-exchanged",
            "exchanges q and p",
            BETWEEN,
            BETWEEN + "\n    between, p_log_variance = -between, q_log_variance",
            "a wide model costs too much, a narrow one too little",
            "the variances are equal",
        ),
        wrong(
            "of-deviations",
            "doubles the log variances, as if they were those of deviations",
            BETWEEN,
            "p_log_variance = 2 * p_log_variance\n"
            "    between = 2 * q_log_variance - p_log_variance",
            "the divergence is too large",
            "both variances are 1",
            source="https://github.com/KarenUllrich/Tutorial_BayesianCompressionForDL/issues/1",
        ),
        wrong(
            "wrong-variance",
            "divides the squared distance by the variance of q instead of p",
            MEANS,
            "apart * apart * np.exp(-q_log_variance)",
            "the distance counts too much while q is narrow",
            "the variances are equal",
        ),
        wrong(
            "distance-not-squared",
            "takes the distance of the means instead of its square",
            MEANS,
            "np.abs(apart) * np.exp(-p_log_variance)",
            "small errors of the mean count too much",
            "the distance is 1",
        ),
        wrong(
            "not-halved",
            "forgets the factor 1/2",
            "- 1 - between) / 2",
            "- 1 - between)",
            "twice the bits",
            "never",
        ),
        wrong(
            "one-forgotten",
            "leaves out the constant 1",
            "- 1 - between",
            "- between",
            "half a nat too much",
            "never",
        ),
        wrong(
            "logarithm-added",
            "adds the difference of the log variances instead of subtracting it",
            "- 1 - between",
            "- 1 + between",
            "the best variance is another",
            "the variances are equal",
        ),
        wrong(
            "product-of-variances",
            "adds the log variances in the exponent",
            "np.exp(between)",
            "np.exp(q_log_variance + p_log_variance)",
            "the best variance is another",
            "the variance of p is 1",
        ),
    ),
)
