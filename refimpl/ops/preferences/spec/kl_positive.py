"""What is known about kl_positive and its gradient: laws, probes, mistakes, dialects."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.layers import reference as layers
from refimpl.ops.preferences import reference as text

WHOLE = "np.expm1(-delta) + delta"


def no_distance(f, log_probs, reference):
    yield f(log_probs, log_probs), 0 * values(log_probs)


def never_negative(f, log_probs, reference):
    found = f(log_probs, reference)
    yield np.minimum(found, 0), 0 * values(found)


def both_ways(f, log_probs, reference):
    delta = log_probs - reference
    there, back = f(log_probs, reference), f(reference, log_probs)
    yield there + back, np.expm1(-delta) + np.expm1(delta)


def only_differences(f, log_probs, reference):
    yield f(log_probs - 2, reference - 2), f(log_probs, reference)


def mean_is_the_divergence(f, log_probs, reference):
    p, q = layers.log_softmax(log_probs), layers.log_softmax(reference)
    mean = np.sum(np.exp(p) * f(p, q), axis=-1)
    yield mean, np.sum(np.exp(p) * (p - q), axis=-1)


def draw_log_probs(source, sizes):
    return -np.abs(source.normal((sizes["B"], sizes["N"]))) * source.choice([1.0, 3.0, 0.1])


def three_words(**others):
    logs = np.log(np.array([[[0.5, 0.3, 0.2]], [[0.4, 0.4, 0.2]]]))
    return {"log_probs": logs[0], "reference": logs[1], **others}


def unlike_words(**others):
    given = np.array([[-0.1, -4.0, -2.0], [-3.0, -0.5, -1.0]])
    return {"log_probs": given[:1], "reference": given[1:], **others}


VALUES = {"log_probs": draw_log_probs, "reference": draw_log_probs}

KL_POSITIVE = Op(
    text.kl_positive,
    laws=(
        Law("is zero where both are equal", no_distance),
        Law("is never negative", never_negative),
        Law("f(p, q) + f(q, p) is 2 cosh(difference) - 2", both_ways),
        Law("depends on differences alone", only_differences),
        Law("its mean over all words is the KL divergence", mean_is_the_divergence),
    ),
    probes=(
        Probe("three words of .5 .3 .2 against .4 .4 .2", three_words),
        Probe("words that one model likes and the other does not", unlike_words),
        Probe(
            "policies that are nearly one",
            lambda: {
                "log_probs": np.array([[-1.0, -2.0]]),
                "reference": np.array([[-1.0001220703125, -1.9990234375]]),
            },
        ),
    ),
    mistakes=(
        Edit(
            "kl_positive/ratio-inverted",
            "uses the ratio policy/reference instead of reference/policy",
            "log_probs - reference",
            "reference - log_probs",
            effect="the mean is not the KL divergence, and explodes where the policy is confident",
            source="https://github.com/hpcaitech/ColossalAI/issues/3696",
            invisible_when="both are equal",
        ),
        Edit(
            "kl_positive/sign",
            "subtracts the difference instead of adding it",
            WHOLE,
            "np.expm1(-delta) - delta",
            effect="negative where the policy is more confident",
            invisible_when="both are equal",
        ),
        Edit(
            "kl_positive/one-forgotten",
            "forgets to subtract one",
            WHOLE,
            "np.exp(-delta) + delta",
            effect="each word costs one nat too much",
        ),
        Edit(
            "kl_positive/ratio-alone",
            "forgets the logarithm",
            WHOLE,
            "np.expm1(-delta)",
            effect="the mean is zero for any two policies",
            invisible_when="both are equal",
        ),
        Edit(
            "kl_positive/halved",
            "returns half of it",
            WHOLE,
            f"({WHOLE}) / 2",
            effect="half of the penalty",
            invisible_when="both are equal",
        ),
        Edit(
            "kl_positive/clamped",
            "clamps differences at one",
            "log_probs - reference",
            "np.minimum(np.maximum(log_probs - reference, -1), 1)",
            effect="words that moved far have no larger penalty",
            invisible_when="no word moved farther",
        ),
    ),
    dialects=(
        Edit(
            "kl_positive/k1",
            "returns the difference of log probabilities: InstructGPT, OpenRLHF's default",
            WHOLE,
            "delta",
            effect="the same mean, but a word's estimate may be negative",
            invisible_when="both are equal",
        ),
        Edit(
            "kl_positive/k2",
            "returns half the squared difference: verl's mse",
            WHOLE,
            "delta * delta / 2",
            effect="the mean is not the KL divergence, but has its gradient",
            source="https://github.com/verl-project/verl/pull/2953",
            invisible_when="both are equal",
        ),
        Edit(
            "kl_positive/absolute",
            "returns the absolute difference: verl's abs",
            WHOLE,
            "np.abs(delta)",
            effect="the mean is not the KL divergence",
            invisible_when="both are equal",
        ),
    ),
    lossy=(
        Edit(
            "kl_positive/subtracted-last",
            "subtracts one from an exponential",
            WHOLE,
            "(np.exp(-delta) - 1) + delta",
            effect="no digit is left where the policies are nearly one",
        ),
    ),
    values=VALUES,
)


def gradient_no_distance(f, log_probs, reference, grad):
    yield f(log_probs, log_probs, grad), 0 * values(grad)


def gradient_ratio(f, log_probs, reference, grad):
    ratio = np.exp(reference - log_probs)
    yield grad - f(log_probs, reference, grad), grad * ratio


def gradient_only_differences(f, log_probs, reference, grad):
    yield f(log_probs - 2, reference - 2, grad), f(log_probs, reference, grad)


def gradient_both_ways(f, log_probs, reference, grad):
    there = f(log_probs, reference, grad)
    back = f(reference, log_probs, grad)
    yield there, -back * np.exp(reference - log_probs)


SLOPE = "grad * (1 - np.exp(reference - log_probs))"
KL_POSITIVE_VJP = Op(
    text.kl_positive_vjp,
    laws=(
        LINEAR_IN_GRAD,
        Law("is zero where both are equal", gradient_no_distance),
        Law("is 1 minus the ratio of reference to policy", gradient_ratio),
        Law("depends on differences alone", gradient_only_differences),
        Law("exchanging the policies multiplies it by minus a ratio", gradient_both_ways),
    ),
    probes=(
        Probe(
            "three words of .5 .3 .2 against .4 .4 .2",
            lambda: three_words(grad=np.array([[1.0, -0.5, 2.0]])),
        ),
        Probe(
            "words that one model likes and the other does not",
            lambda: unlike_words(grad=np.array([[1.0, -0.5, 2.0]])),
        ),
    ),
    mistakes=(
        Edit(
            "kl_positive_vjp/ratio-inverted",
            "uses the ratio policy/reference instead of reference/policy",
            "reference - log_probs",
            "log_probs - reference",
            effect="the gradient explodes where the policy is confident",
            invisible_when="both are equal",
        ),
        Edit(
            "kl_positive_vjp/sign",
            "forgets the minus sign",
            SLOPE,
            "grad * (np.exp(reference - log_probs) - 1)",
            effect="the policy moves away from its reference",
            invisible_when="both are equal",
        ),
        Edit(
            "kl_positive_vjp/one-forgotten",
            "forgets the one",
            SLOPE,
            "grad * -np.exp(reference - log_probs)",
            effect="every sampled word becomes more likely",
        ),
        Edit(
            "kl_positive_vjp/of-k1",
            "returns the gradient of the difference k1",
            SLOPE,
            "grad * (1 + 0 * log_probs)",
            effect="its mean is zero: pure noise",
        ),
        Edit(
            "kl_positive_vjp/of-k2",
            "returns the gradient of k2, half the squared difference",
            SLOPE,
            "grad * (log_probs - reference)",
            effect="another penalty than the one that is reported",
            invisible_when="both are equal",
        ),
    ),
    outputs=("log_probs_grad",),
    values=VALUES,
)
