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
        Law("never rises with time", never_rises),
        Law("without an offset half the way has as much signal as noise", middle),
        Law("without an offset both halves mirror each other", opposite_ends),
        Law("is bounded where nothing was added", bounded_above),
        Law("times are apart", samples_apart),
        Law("knows no order", in_order),
    ),
    probes=(
        Probe("five times", lambda: {"t": np.array([0.0, 0.2, 0.5, 0.75, 0.999]), "offset": 0.008}),
        Probe("without an offset", lambda: {"t": np.array([0.0, 0.001, 0.25]), "offset": 0.0}),
    ),
    mistakes=(
        wrong(
            "not-squared",
            "takes the tangent for its square",
            SQUARE,
            "tangent",
            "half of what it should be",
            "signal and noise are equal",
        ),
        wrong(
            "sign",
            "gives noise to signal",
            "return -np.log",
            "return np.log",
            "clean samples are taken for noise",
            "signal and noise are equal",
        ),
        wrong(
            "offset-not-divided",
            "does not divide by one plus the offset",
            " / (1 + offset)",
            "",
            "the way ends before its end",
            "the offset is 0",
        ),
        wrong(
            "no-offset",
            "forgets the offset",
            "(t + offset) / (1 + offset)",
            "t",
            "the first steps are too small",
            "the offset is 0",
        ),
        wrong(
            "whole-turn",
            "takes pi for its half",
            "* pi(t) / 2",
            "* pi(t)",
            "noise turns into signal again",
            "never",
        ),
        wrong(
            "of-the-cosine",
            "takes the share of signal for signal to noise",
            SQUARE,
            "1 / (np.cos(angle) * np.cos(angle))",
            "never above 0",
            "hardly any signal is left",
        ),
    ),
    lossy=(
        wrong(
            "minus-one",
            "subtracts one from the inverse square of the cosine, as imagen-pytorch does",
            SQUARE,
            "1 / (np.cos(angle) * np.cos(angle)) - 1",
            "digits are lost at the first times",
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
        Law("never rises with time", never_rises),
        Law("the share of signal is an exponential", share_at),
        Law("something is added at once", rest_at_once),
        Law("times are apart", samples_apart),
        Law("knows no order", in_order),
    ),
    probes=(Probe("five times", lambda: {"t": np.array([0.0, 0.01, 0.2, 0.5, 1.0])}),),
    mistakes=(
        wrong_linear(
            "not-squared",
            "lets betas stay as they begin",
            EXPONENT,
            "10 * t",
            "too much noise at first",
            "the time is 0 or 1",
        ),
        wrong_linear(
            "sign",
            "gives noise to signal",
            "-np.log(",
            "np.log(",
            "clean samples are taken for noise",
            "signal and noise are equal",
        ),
        wrong_linear(
            "twice-the-end",
            "takes the last beta for the mean of all",
            EXPONENT,
            "20 * t * t",
            "too much noise",
            "the time is 0",
        ),
        wrong_linear(
            "nothing-at-once",
            "begins a tenth as noisy",
            "constant(1, t) / 10000",
            "constant(1, t) / 100000",
            "the first step is too small",
            "the time is late",
        ),
        wrong_linear(
            "one-forgotten",
            "forgets to subtract one",
            "np.expm1(",
            "np.exp(",
            "signal never exceeds noise",
            "hardly any signal is left",
        ),
    ),
    lossy=(
        wrong_linear(
            "minus-one",
            "subtracts one from the exponential",
            "np.expm1(constant(1, t) / 10000 + 10 * t * t)",
            "(np.exp(constant(1, t) / 10000 + 10 * t * t) - 1)",
            "digits are lost at the first times",
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
        Law("signal stays signal", signal),
        Law("noise adds up to that of the earlier time", noise),
        Law("no step changes nothing", no_step),
        Law("is linear in the samples", linear),
    ),
    probes=(
        Probe("a quarter of the way", between([-0.025, -3.0], [1.742, 0.5])),
        Probe("a small step", between([1.0, -2.0], [1.0009765625, -1.9990234375])),
    ),
    mistakes=(
        wrong_step(
            "times-exchanged",
            "takes the earlier time for the later",
            "share = np.sqrt(sigmoid(previous))",
            "log_snr, previous = previous, log_snr; share = np.sqrt(sigmoid(previous))",
            "noise grows",
            "both are equal",
        ),
        wrong_step(
            "share-not-rooted",
            "takes the share of signal for its root",
            "share = np.sqrt(sigmoid(previous))",
            "share = sigmoid(previous)",
            "pictures fade",
            "hardly any noise is left",
        ),
        wrong_step(
            "variance-of-now",
            "draws the noise of this time",
            "sigmoid(-previous) * removed",
            "sigmoid(-log_snr) * removed",
            "samples stay noisy",
            "both are equal",
        ),
        wrong_step(
            "all-of-x-start",
            "does not weigh the clean sample",
            "np.reshape(share * removed, wide)",
            "np.reshape(share, wide)",
            "samples grow",
            "everything is removed",
        ),
        wrong_step(
            "not-unscaled",
            "does not divide by the signal of this time",
            "share * kept / np.sqrt(sigmoid(log_snr))",
            "share * kept",
            "pictures fade",
            "hardly any noise is there",
        ),
        wrong_step(
            "deviation-returned",
            "returns the deviation",
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
