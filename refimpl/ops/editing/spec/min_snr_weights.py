"""What is known about min_snr_weights: laws, probes and mistakes."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.common import FLOATS, mistakes_of
from refimpl.ops.diffusion import reference as diffusion
from refimpl.ops.editing import reference as text

OF_EPS = "gamma * rest / np.maximum(share, gamma * rest)"
OF_V = "np.minimum(share, gamma * rest)"
OF_START = "share / np.maximum(rest, share / gamma)"


def one_error(f, alpha_bar, t, gamma):
    eps, v, start = f(alpha_bar, t, gamma)
    share = alpha_bar[t]
    yield start * (1 - share), eps * share
    yield start * (1 - share), v


def never_more(f, alpha_bar, t, gamma):
    eps, v, start = f(alpha_bar, t, gamma)
    for weight, most in ((eps, 1), (v, 1), (start, gamma)):
        yield np.maximum(weight - most, 0), 0 * weight


def noise_alone(f, alpha_bar, t, gamma):
    eps, v, start = f(0 * alpha_bar, t, gamma)
    yield eps, 0 * eps + 1
    yield v, 0 * v
    yield start, 0 * start


def clean(f, alpha_bar, t, gamma):
    eps, v, start = f(0 * alpha_bar + 1, t, gamma)
    yield eps, 0 * eps
    yield v, 0 * v
    yield start, 0 * start + gamma


def half_and_half(f, alpha_bar, t, gamma):
    eps, v, start = f((0 * alpha_bar + 1) / 2, t, 0 * gamma + 1)
    yield eps, 0 * eps + 1
    yield 2 * v, 0 * v + 1
    yield start, 0 * start + 1


wrong = mistakes_of("min_snr_weights")


def linear():
    table = diffusion.alpha_bar(diffusion.linear_schedule(1000, 1e-4, 0.02))
    return {"alpha_bar": table, "t": np.array([0, 100, 500, 999]), "gamma": 5.0}


MIN_SNR_WEIGHTS = Op(
    text.min_snr_weights,
    outputs=("eps", "v", "x_start"),
    laws=(
        Law("the three weights give one and the same loss", one_error),
        Law("no weight exceeds its limit", never_more),
        Law("pure noise has the weights 1, 0, 0", noise_alone),
        Law("a clean sample has the weights 0, 0, gamma", clean),
        Law("at ᾱ = 1/2 and gamma 1 the weights are 1, 1/2, 1", half_and_half),
    ),
    probes=(
        Probe("four times of the linear schedule", linear),
        Probe(
            "both ends, and gamma in between",
            lambda: {
                "alpha_bar": np.array([1.0, 0.9375, 0.75, 0.5, 0.0]),
                "t": np.array([4, 3, 2, 1, 0]),
                "gamma": 2.0,
            },
        ),
    ),
    mistakes=(
        wrong(
            "maximum",
            "takes the maximum of SNR and gamma instead of the minimum",
            OF_EPS,
            "gamma * rest / np.minimum(np.maximum(share, rest / 1e6), gamma * rest + (rest == 0))",
            "noisy samples have weights in the thousands",
            "the ratio is gamma",
            source="https://github.com/lucidrains/denoising-diffusion-pytorch/pull/363",
        ),
        wrong(
            "eps-not-divided",
            "does not divide by the SNR for eps",
            "return of_eps, of_v",
            "return of_start, of_v",
            "noisy samples have too little weight",
            "the ratio is 1",
        ),
        wrong(
            "one-in-both",
            "adds one to the SNR before taking the minimum",
            OF_V,
            "np.minimum(1 + 0 * share, gamma * rest)",
            "pure noise has full weight for v",
            "the ratio is above gamma",
            source="https://github.com/huggingface/diffusers/issues/5654",
        ),
        wrong(
            "one-added-behind",
            "adds one to the weight of eps",
            OF_V,
            OF_EPS + " + 1",
            "weights between 1 and 2",
            "never",
            source="https://github.com/huggingface/diffusers/pull/8466",
        ),
        wrong(
            "v-as-eps",
            "uses the weight of eps for v",
            "of_eps, of_v, of_start",
            "of_eps, of_eps + 0 * of_v, of_start",
            "noisy samples have too much weight",
            "the sample is clean",
            source="https://github.com/kohya-ss/sd-scripts/issues/673",
        ),
        wrong(
            "ratio-inverted",
            "inverts the SNR",
            OF_START,
            "rest / np.maximum(share, rest / gamma)",
            "weights reversed in time",
            "ᾱ is one half",
        ),
        wrong(
            "ratio-not-squared",
            "uses the ratio of deviations instead of variances",
            OF_START,
            "np.sqrt(share) / np.maximum(np.sqrt(rest), np.sqrt(share) / gamma)",
            "weights too even",
            "ᾱ is one half",
        ),
    ),
    precisions=FLOATS,
    values={"gamma": lambda source, known: source.choice([5.0, 1.0, 2.5])},
)
