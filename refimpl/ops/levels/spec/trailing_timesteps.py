"""What is known about trailing_timesteps: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.common import FLOATS, mistakes_of
from refimpl.ops.diffusion.spec.shared import none_below
from refimpl.ops.levels import reference as text
from refimpl.ops.levels.spec.shared import SPACINGS


def nearest(f, steps, levels):
    twice = 2 * levels * (f(steps, levels) + 1)
    away = np.abs(twice - 2 * steps * np.arange(levels, 0, -1))
    yield none_below(levels - away)  # at most half a time away
    halves = values(away) == levels
    yield (values(f(steps, levels))[halves] + 1) % 2, np.zeros(np.sum(halves))


def first_is_the_last(f, steps, levels):
    yield f(steps, levels)[0], steps - 1


def times_of_the_chain(f, steps, levels):
    times = f(steps, levels)
    yield none_below(times)
    yield none_below(times[:-1] - times[1:] - 1)


def whole_strides(f, steps, levels):
    stride = steps // levels
    last = text.leading_timesteps(stride * levels, levels, stride - 1)
    yield f(stride * levels, levels), last


def all_times(f, steps, levels):
    yield f(steps, steps), np.arange(steps)[::-1]


def published(f, steps, levels):
    yield f(1000, 5), np.array([999, 799, 599, 399, 199])
    found = f(1000, 61)
    yield len(found), 61
    yield found[-1], 15


wrong = mistakes_of("trailing_timesteps")
ENDS = "(levels - np.arange(levels)) * steps / max(levels, 1)"
ROUNDED = "np.round(ends).astype(int) - 1"

TRAILING_TIMESTEPS = Op(
    text.trailing_timesteps,
    laws=(
        Law("each time and 1 are a multiple of T/n rounded, halves to even", nearest),
        Law("the first time is the last of the chain", first_is_the_last),
        Law("all are times of the chain, and fall", times_of_the_chain),
        Law("where n divides T it is leading with the largest offset", whole_strides),
        Law("as many levels as times visit all of them", all_times),
        Law("gives the published list, and 61 times where 61 are asked for", published),
    ),
    probes=(
        Probe("of a thousand", lambda: {"steps": 1000, "levels": 5}),
        Probe("61, of which others make 62", lambda: {"steps": 1000, "levels": 61}),
        Probe("halves that go to even", lambda: {"steps": 1000, "levels": 16}),
        Probe("halves that differences miss", lambda: {"steps": 1000, "levels": 48}),
    ),
    mistakes=(
        wrong(
            "one-too-many",
            "forgets to take off the 1",
            ROUNDED,
            "np.round(ends).astype(int)",
            "the first time is T, outside the table",
            "a look-up that is cut off hides the first; the others shift by one",
        ),
        wrong(
            "cut-off",
            "cuts off instead of rounding",
            "np.round(ends)",
            "np.floor(ends)",
            "some times are one too small, the last may be -1",
            "n divides T",
        ),
        wrong(
            "halves-up",
            "rounds halves up",
            "np.round(ends)",
            "np.floor(ends + 0.5)",
            "some times are one too large",
            "no multiple of T/n is a half",
        ),
        wrong(
            "one-taken-first",
            "takes off the 1 before it rounds",
            ROUNDED,
            "np.round(ends - 1).astype(int)",
            "halves go to the other side",
            "no multiple of T/n is a half",
        ),
        wrong(
            "whole-stride",
            "takes whole strides",
            ENDS,
            "steps - np.arange(levels) * (steps // max(levels, 1))",
            "the last time lies far above 0",
            "n divides T",
            source=SPACINGS,
        ),
        wrong(
            "last-missed",
            "counts from 0 up, and misses the last time",
            ENDS,
            "1 + (levels - 1 - np.arange(levels)) * steps / max(levels, 1)",
            "the sampler never starts from pure noise",
            "as many levels as times",
            source=SPACINGS,
        ),
        wrong(
            "rising",
            "returns the times in rising order",
            "(levels - np.arange(levels)) * steps",
            "(1 + np.arange(levels)) * steps",
            "the sampler begins at the clean end",
            "there is one level",
        ),
    ),
    dialects=(
        Edit(
            "trailing_timesteps/differences",
            "takes T/n off again and again in floating point: diffusers",
            ENDS,
            "np.arange(steps, 0, -steps / max(levels, 1))",
            invisible_when="the differences are exact",
        ),
    ),
    precisions=FLOATS,
)
