"""What is known about dynamic_threshold: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.common import one_per_sample, samples
from refimpl.ops.guidance import reference as text


def draw_quantile(source, sizes):
    return source.choice([0.995, 0.95, 0.5, 1.0, 0.0, float(source.uniform((), 0, 1))])


def threshold_equation(f, x_start, quantile):
    B, size = len(x_start), int(np.prod(x_start.shape[1:]))
    flat = np.reshape(np.abs(x_start), (B, size))
    ordered = flat[np.arange(B)[:, None], np.argsort(values(flat), axis=1)]  # B size
    place = quantile * (size - 1)
    below = int(values(place))
    above = min(below + 1, size - 1)
    rise = (place - below) * (ordered[:, above] - ordered[:, below])
    limit = one_per_sample(np.maximum(ordered[:, below] + rise, 1), x_start)
    yield f(x_start, quantile), np.minimum(np.maximum(x_start / limit, -1), 1)


def threshold_bounded(f, x_start, quantile):
    yield np.minimum(1 - np.abs(f(x_start, quantile)), 0), 0


def threshold_within_range_nothing(f, x_start, quantile):
    inside = x_start / (1 + np.max(np.abs(values(x_start)), initial=0))
    yield f(inside, quantile), inside


def threshold_twice_is_once(f, x_start, quantile):
    once = f(x_start, quantile)
    yield f(once, quantile), once


def threshold_odd(f, x_start, quantile):
    yield f(-x_start, quantile), -f(x_start, quantile)


def threshold_larger_sample(f, x_start, quantile):
    sizes = np.abs(values(x_start))
    lowest = np.min(sizes, axis=tuple(range(1, sizes.ndim)), initial=np.inf)
    if np.all(lowest > 0):
        large = x_start / one_per_sample(lowest, x_start)  # every quantile is 1 or more
        yield f(4 * large, quantile), f(large, quantile)


def threshold_largest(f, x_start, quantile):
    size = np.max(np.abs(x_start), axis=tuple(range(1, x_start.ndim)), keepdims=True)
    yield f(x_start, 1.0), x_start / np.maximum(size, 1)


def threshold_pixels_reversed(f, x_start, quantile):
    yield f(x_start[..., ::-1], quantile), f(x_start, quantile)[..., ::-1]


def threshold_samples_are_independent(f, x_start, quantile):
    yield f(x_start[1:], quantile), f(x_start, quantile)[1:]


DYNAMIC_THRESHOLD = Op(
    text.dynamic_threshold,
    laws=(
        Law(
            "equals clipping to [-1, 1] after division by the sorted neighbours", threshold_equation
        ),
        Law("nothing leaves the range of the data", threshold_bounded),
        Law("a sample within the range stays", threshold_within_range_nothing),
        Law("applying it twice is applying it once", threshold_twice_is_once),
        Law("f(-x) = -f(x)", threshold_odd),
        Law("scaling a sample beyond the range changes nothing", threshold_larger_sample),
        Law("a quantile of 1 divides by the largest and clips nothing", threshold_largest),
        Law("the order of the pixels does not matter", threshold_pixels_reversed),
        Law("samples are independent", threshold_samples_are_independent),
    ),
    probes=(
        Probe(
            "the median of four",
            lambda: {"x_start": np.array([[-3.0, -1.0, 0.5, 2.5]]), "quantile": 0.5},
        ),
        Probe(
            "nearly the largest of four",
            lambda: {"x_start": np.array([[-3.0, -1.0, 0.5, 2.5]]), "quantile": 0.95},
        ),
        Probe(
            "a calm and a wild sample, mostly negative",
            lambda: {
                "x_start": (samples(9, (2, 3, 5, 4)) - 1)
                * np.array([0.5, 8.0])[:, None, None, None],
                "quantile": 0.9,
            },
        ),
        Probe(
            "a sample of small values",
            lambda: {"x_start": 0.1 * samples(10, (2, 12)), "quantile": 0.995},
        ),
    ),
    mistakes=(
        Edit(
            "dynamic_threshold/quantile-over-batch",
            "takes one quantile for the whole batch",
            "np.reshape(np.abs(x_start), (B, size))",
            "np.reshape(np.abs(x_start), (1, B * size)) + np.zeros((B, 1))",
            effect="the result depends on the other samples of the batch",
            invisible_when="the batch has one sample",
        ),
        Edit(
            "dynamic_threshold/quantile-without-absolute",
            "takes the quantile of the values instead of their absolute values",
            "np.abs(x_start)",
            "x_start",
            effect="mostly negative samples saturate",
            invisible_when="no value is negative",
        ),
        Edit(
            "dynamic_threshold/descending",
            "sorts in descending order, which gives the quantile 1 - p",
            ", quantile, axis",
            ", 1 - quantile, axis",
            effect="the threshold comes from the smallest values and the picture saturates",
            invisible_when="p is one half",
        ),
        Edit(
            "dynamic_threshold/no-clipping",
            "divides by the threshold without clipping first",
            "np.minimum(np.maximum(x_start, -limit), limit) / limit",
            "x_start / limit",
            effect="the largest values stay outside the range",
            invisible_when="no value exceeds the quantile",
        ),
        Edit(
            "dynamic_threshold/no-division",
            "clips at the threshold without dividing by it",
            ", limit) / limit",
            ", limit)",
            effect="the sample stays outside the range",
            invisible_when="the threshold is 1",
        ),
        Edit(
            "dynamic_threshold/no-lower-limit",
            "lets the threshold fall below 1",
            "np.maximum(largest, 1)",
            "largest",
            effect="samples within the range are stretched, black ones are divided by 0",
            invisible_when="the quantile exceeds 1",
        ),
        Edit(
            "dynamic_threshold/floor-at-the-cap",
            "raises the threshold to 1.5 at least instead of 1",
            "np.maximum(largest, 1)",
            "np.maximum(largest, 1.5)",
            effect="samples within the range fade",
            source="https://github.com/huggingface/diffusers/pull/3003",
            invisible_when="the quantile exceeds the largest threshold allowed",
        ),
    ),
    dialects=(
        Edit(
            "dynamic_threshold/capped-at-one",
            "caps the threshold, by default at 1, so that it only clips: diffusers",
            "np.maximum(largest, 1)",
            "np.ones(B)",
            source="https://github.com/huggingface/diffusers/pull/3003",
        ),
        Edit(
            "dynamic_threshold/nearest-rank",
            "takes the next lower value as quantile, without interpolation",
            "quantile, axis=-1)",
            "quantile, axis=-1, method='lower')",
        ),
    ),
    values={"quantile": draw_quantile},
)
