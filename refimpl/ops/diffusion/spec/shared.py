"""What the specifications of diffusion share."""

from decimal import Decimal

import numpy as np

from refimpl.op import Edit, Law, Probe
from refimpl.ops.common import cosines, samples, sines
from refimpl.ops.diffusion import reference as text

STABLE_DIFFUSION = (0.00085, 0.012)


def draw_betas(source, sizes):
    """A schedule that leaves a float32 some signal to the end."""
    steps = sizes["T"]
    match source.choice(["linear", "scaled", "cosine", "random"]):
        case "linear":
            return text.linear_schedule(steps, 1e-4, 0.02)
        case "scaled":
            return text.scaled_linear_schedule(steps, *STABLE_DIFFUSION)
        case "cosine":
            return text.cosine_schedule(steps, 0.008, 0.999)
    return source.uniform((steps,), 1e-4, min(0.5, 10 / steps))


def draw_shares(source, sizes):
    return text.alpha_bar(draw_betas(source, sizes))


def linear_betas(zero=0.0, steps=1000):
    """The customary schedule; `zero` carries the arithmetic of a law."""
    return text.linear_schedule(steps, zero + 1e-4, zero + 0.02)


def waves(zero=0.0):
    """Three samples of four numbers made from sines and cosines."""
    return zero + 0.8 * sines(1, 4), zero + cosines(1, 4), zero + 0.9 * sines(1, 4)


HALFWAY = np.array([500])  # a time of the long chain


def printed(value, numbers):
    """How far values lie outside the last digit of printed numbers, which must be nowhere."""
    target = np.array([float(number) for number in numbers.split()])
    half = [0.5 * 10.0 ** Decimal(number).as_tuple().exponent for number in numbers.split()]
    return np.maximum(np.abs(np.ravel(value) - target) - np.array(half), 0), 0 * target


def none_below(x):
    """The inequality x ≥ 0 as a pair."""
    return np.minimum(x, 0), np.zeros(x.shape)


def pick(table, t, like):
    """A table's value at each sample's time, as a column that meets a batch."""
    return np.reshape(table[t], (len(t),) + (1,) * (like.ndim - 1))


def everything(result):
    return result if isinstance(result, tuple) else (result,)


def sample_by_sample(f, **inputs):
    whole = everything(f(**inputs))
    shared = ("betas", "alpha_bar", "eta", "clip")
    if "log_variance" in inputs:
        shape = inputs["x_t"].shape
        inputs = {**inputs, "log_variance": np.broadcast_to(inputs["log_variance"], shape)}
    for i in range(len(inputs["t"])):
        one = {name: x if name in shared else x[i : i + 1] for name, x in inputs.items()}
        for part, full in zip(everything(f(**one)), whole, strict=True):
            yield part, full[i : i + 1]


def superposition(f, **inputs):
    x, t, y, table = inputs.values()
    yield f(x, t, y, table), f(x, t, 0 * y, table) + f(0 * x, t, y, table)
    yield f(-2 * x, t, -2 * y, table), -2 * f(x, t, y, table)


def norm_with(partner):
    """Of two operations on the same arguments: each is one coordinate of a rotated pair."""

    def law(f, **inputs):
        x, t, y, table = inputs.values()
        yield f(x, t, y, table) ** 2 + partner(x, t, y, table) ** 2, x * x + y * y

    return law


SAMPLE_BY_SAMPLE = Law("each sample is treated by itself, at its own t", sample_by_sample)
SUPERPOSITION = Law("is linear in both samples", superposition)


def wrong_times(op, lookup, shifted):
    """Mistakes of every operation that looks a table up: which entry, and whose."""
    return (
        Edit(
            f"{op}/time-counted-from-one",
            "uses index t - 1, though t counts from zero already",
            lookup,
            shifted,
            effect="t = 0 reads the last entry of the table: almost pure noise",
            invisible_when="no t is 0, and neighbouring entries hardly differ",
        ),
        Edit(
            f"{op}/time-of-the-first-sample",
            "uses the first sample's t for the whole batch",
            "table[t]",
            "table[np.repeat(t[:1], len(t))]",
            where="at",
            effect="samples with another t are scaled wrongly",
            invisible_when="all samples have the same t, or B = 1",
        ),
    )


def pair_probe(first, second):
    """Two samples at the ends, in the middle and twice at one time of the linear schedule."""
    return Probe(
        "both ends, the middle and a repeated time of the linear schedule",
        lambda: {
            first: samples(1),
            "t": np.array([0, 999, 500, 500]),
            second: samples(2),
            "alpha_bar": text.alpha_bar(linear_betas()),
        },
    )


def ends_probe(first, second):
    return Probe(
        "nothing but signal, and nothing but noise",
        lambda: {
            first: samples(3, (3, 2)),
            "t": np.array([0, 1, 2]),
            second: samples(4, (3, 2)),
            "alpha_bar": np.array([1.0, 0.5, 0.0]),
        },
    )


def gradient_probe(shares):
    return Probe(
        "both ends, the middle and a repeated time",
        lambda: {"t": np.array([0, 999, 500, 500]), "alpha_bar": shares(), "grad": samples(5)},
    )


def golden_x_t(zero=0.0):
    x0, eps, _ = waves(zero)
    return text.q_sample(x0, HALFWAY, eps, text.alpha_bar(linear_betas(zero)))
