"""What is known about continuous times and the steps between them: laws, probes, mistakes."""

import numpy as np

from refimpl.op import Law, Op, Probe, values
from refimpl.ops.cascade import reference as text
from refimpl.ops.common import FLOATS, cosines, mistakes_of, one_per_sample, sines
from refimpl.ops.layers.reference import sigmoid


def never_rises(f, t, **how):
    order = np.argsort(values(t), kind="stable")
    yield np.maximum(np.diff(f(t[order], **how)), 0), 0 * t[1:]


def samples_apart(f, t, **how):
    yield f(t[:1], **how), f(t, **how)[:1]


def in_order(f, t, **how):
    yield f(t[::-1], **how), f(t, **how)[::-1]


def opposite_ends(f, t, offset):
    """Without an offset the two halves of the way mirror each other, down to the bound."""
    inner = (values(t) > 0.0625) & (values(t) < 0.9375)
    yield f(t[inner], 0.0), -f(1 - t[inner], 0.0)


def bounded_above(f, t, offset):
    yield np.maximum(f(0 * t, 0.0) - np.log(0 * t + 100000), 0), 0 * t


def middle(f, t, offset):
    yield f(0 * t + 0.5, 0.0), 0 * t


wrong = mistakes_of("log_snr_cosine")
SQUARE = "tangent * tangent"

LOG_SNR_COSINE = Op(
    text.log_snr_cosine,
    laws=(
        Law("never increases with time", never_rises),
        Law("without an offset it is 0 at t = 1/2", middle),
        Law("without an offset f(1 - t) = -f(t)", opposite_ends),
        Law("is bounded at t = 0", bounded_above),
        Law("each time is treated by itself", samples_apart),
        Law("permuting the times permutes the result", in_order),
    ),
    probes=(
        Probe("five times", lambda: {"t": np.array([0.0, 0.2, 0.5, 0.75, 0.999]), "offset": 0.008}),
        Probe("without an offset", lambda: {"t": np.array([0.0, 0.001, 0.25]), "offset": 0.0}),
    ),
    mistakes=(
        wrong(
            "not-squared",
            "uses the tangent instead of its square",
            SQUARE,
            "tangent",
            "the log SNR is half of what it should be",
            "signal and noise are equal",
        ),
        wrong(
            "sign",
            "returns the negative: noise to signal",
            "return -np.log",
            "return np.log",
            "clean samples are taken for noise",
            "signal and noise are equal",
        ),
        wrong(
            "offset-not-divided",
            "does not divide the time by 1 + offset",
            " / (1 + offset)",
            "",
            "pure noise is reached before t = 1",
            "the offset is 0",
        ),
        wrong(
            "no-offset",
            "leaves out the offset",
            "(t + offset) / (1 + offset)",
            "t",
            "too little noise in the first steps",
            "the offset is 0",
        ),
        wrong(
            "whole-turn",
            "uses π instead of π/2",
            "* pi(t) / 2",
            "* pi(t)",
            "the signal returns at late times",
            "never",
        ),
        wrong(
            "of-the-cosine",
            "returns log ᾱ instead of the log SNR",
            SQUARE,
            "1 / (np.cos(angle) * np.cos(angle))",
            "the result is never above 0",
            "hardly any signal is left",
        ),
    ),
    lossy=(
        wrong(
            "minus-one",
            "computes cos⁻² - 1, as imagen-pytorch does",
            SQUARE,
            "1 / (np.cos(angle) * np.cos(angle)) - 1",
            "digits are lost at early times",
            "never",
            source="https://github.com/lucidrains/imagen-pytorch/issues/160",
        ),
    ),
    precisions=FLOATS,
    values={"offset": lambda source, sizes: source.choice([0.008, 0.0, 0.03125])},
)


def share_at(f, t):
    """The share of signal falls as the exponential of what the betas add up to."""
    yield sigmoid(f(t)), np.exp(-(1 / (0 * t + 10000) + 10 * t * t))


def rest_at_once(f, t):
    yield f(0 * t), -np.log(np.expm1(1 / (0 * t + 10000)))


wrong_linear = mistakes_of("log_snr_linear")
EXPONENT = "10 * t * t"

LOG_SNR_LINEAR = Op(
    text.log_snr_linear,
    laws=(
        Law("never increases with time", never_rises),
        Law("ᾱ is exp(-(1e-4 + 10 t²))", share_at),
        Law("at t = 0 some noise is added already", rest_at_once),
        Law("each time is treated by itself", samples_apart),
        Law("permuting the times permutes the result", in_order),
    ),
    probes=(Probe("five times", lambda: {"t": np.array([0.0, 0.01, 0.2, 0.5, 1.0])}),),
    mistakes=(
        wrong_linear(
            "not-squared",
            "uses 10 t instead of 10 t²",
            EXPONENT,
            "10 * t",
            "too much noise at early times",
            "the time is 0 or 1",
        ),
        wrong_linear(
            "sign",
            "returns the negative: noise to signal",
            "-np.log(",
            "np.log(",
            "clean samples are taken for noise",
            "signal and noise are equal",
        ),
        wrong_linear(
            "twice-the-end",
            "uses 20 t² instead of 10 t²",
            EXPONENT,
            "20 * t * t",
            "too much noise",
            "the time is 0",
        ),
        wrong_linear(
            "nothing-at-once",
            "uses 1e-5 instead of 1e-4",
            "constant(1, t) / 10000",
            "constant(1, t) / 100000",
            "too little noise at t = 0",
            "the time is late",
        ),
        wrong_linear(
            "one-forgotten",
            "forgets the -1 of expm1",
            "np.expm1(",
            "np.exp(",
            "the log SNR is never above 0",
            "hardly any signal is left",
        ),
    ),
    lossy=(
        wrong_linear(
            "minus-one",
            "subtracts one from the exponential",
            "np.expm1(constant(1, t) / 10000 + 10 * t * t)",
            "(np.exp(constant(1, t) / 10000 + 10 * t * t) - 1)",
            "digits are lost at early times",
            "never",
        ),
    ),
    precisions=FLOATS,
)


def signal(f, x_t, x_start, log_snr, previous):
    """A sample without noise goes on without noise."""
    now, then = (one_per_sample(np.sqrt(sigmoid(x)), x_t) for x in (log_snr, previous))
    yield f(now * x_start, x_start, log_snr, previous)[0], then * x_start


def noise(f, x_t, x_start, log_snr, previous):
    """What is kept of the noise and what is drawn anew are the noise of the earlier time."""
    kept, variance = f(0 * x_t + 1, 0 * x_start, log_snr, previous)
    first = np.reshape(kept, (len(x_t), -1))[:, :1][:, 0] if kept.size else variance
    yield first * first * sigmoid(-log_snr) + variance, sigmoid(-previous)


def no_step(f, x_t, x_start, log_snr, previous):
    mean, variance = f(x_t, x_start, log_snr, log_snr)
    yield mean, x_t
    yield variance, 0 * log_snr


def linear(f, x_t, x_start, log_snr, previous):
    yield (
        f(3 * x_t, 3 * x_start, log_snr, previous)[0],
        3 * f(x_t, x_start, log_snr, previous)[0],
    )


wrong_step = mistakes_of("continuous_posterior")


def between(now, then):
    return lambda: {
        "x_t": sines(2, 3),
        "x_start": cosines(2, 3),
        "log_snr": np.array(now),
        "previous": np.array(then),
    }


CONTINUOUS_POSTERIOR = Op(
    text.continuous_posterior,
    outputs=("mean", "variance"),
    laws=(
        Law("a sample without noise stays without noise", signal),
        Law("kept and fresh noise have the variance of the earlier time", noise),
        Law("a step of length 0 changes nothing", no_step),
        Law("is linear in the samples", linear),
    ),
    probes=(
        Probe("a quarter of the way", between([-0.025, -3.0], [1.742, 0.5])),
        Probe("a small step", between([1.0, -2.0], [1.0009765625, -1.9990234375])),
    ),
    mistakes=(
        wrong_step(
            "times-exchanged",
            "exchanges the two times",
            "share = np.sqrt(sigmoid(previous))",
            "log_snr, previous = previous, log_snr; share = np.sqrt(sigmoid(previous))",
            "the noise grows",
            "both are equal",
        ),
        wrong_step(
            "share-not-rooted",
            "uses ᾱ instead of √ᾱ",
            "share = np.sqrt(sigmoid(previous))",
            "share = sigmoid(previous)",
            "images fade",
            "hardly any noise is left",
        ),
        wrong_step(
            "variance-of-now",
            "uses the noise level of this time as variance",
            "sigmoid(-previous) * removed",
            "sigmoid(-log_snr) * removed",
            "samples stay noisy",
            "both are equal",
        ),
        wrong_step(
            "all-of-x-start",
            "does not multiply the clean sample by its coefficient",
            "np.reshape(share * removed, wide)",
            "np.reshape(share, wide)",
            "samples grow",
            "previous has no noise",
        ),
        wrong_step(
            "not-unscaled",
            "does not divide by √ᾱ of this time",
            "share * kept / np.sqrt(sigmoid(log_snr))",
            "share * kept",
            "images fade",
            "there is hardly any noise",
        ),
        wrong_step(
            "deviation-returned",
            "returns the deviation instead of the variance",
            "sigmoid(-previous) * removed",
            "np.sqrt(sigmoid(-previous) * removed)",
            "too much noise",
            "the variance is 0 or 1",
        ),
    ),
    values={
        "log_snr": lambda source, sizes: source.uniform((sizes["B"],), -8, 1),
        "previous": lambda source, sizes: source.uniform((sizes["B"],), 1, 8),
    },
)
