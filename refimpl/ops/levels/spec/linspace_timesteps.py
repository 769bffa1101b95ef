"""What is known about linspace_timesteps: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import FLOATS, mistakes_of
from refimpl.ops.levels import reference as text
from refimpl.ops.levels.spec.shared import SPACINGS


def both_ends(f, steps, levels):
    times = f(steps, levels)
    yield times[0], steps - 1
    if levels > 1:
        yield times[-1], 0


def equal_steps(f, steps, levels):
    times = f(steps, levels)
    yield (levels - 1) * (times[:-1] - times[1:]), np.full(levels - 1, 1.0) * (steps - 1)


def mirrored(f, steps, levels):
    if levels > 1:
        times = f(steps, levels)
        yield times + times[::-1], np.full(levels, 1.0) * (steps - 1)


def refined(f, steps, levels):
    if levels > 1:
        yield f(steps, 2 * levels - 1)[::2], f(steps, levels)


def longer_chain(f, steps, levels):
    yield f(3 * steps - 2, levels), 3 * f(steps, levels)


def all_times(f, steps, levels):
    yield f(0 * steps + levels, levels), np.arange(levels)[::-1]


def published(f, steps, levels):
    yield f(0 * steps + 1000, 5), np.array([999, 749.25, 499.5, 249.75, 0])


wrong = mistakes_of("linspace_timesteps")
WHOLE = "last - np.arange(levels) * last / max(levels - 1, 1)"

LINSPACE_TIMESTEPS = Op(
    text.linspace_timesteps,
    laws=(
        Law("starts at the last time and ends at 0", both_ends),
        Law("the steps are equal", equal_steps),
        Law("times equally far from both ends sum to T - 1", mirrored),
        Law("a list with twice the steps contains these", refined),
        Law("in a chain three times as long all are three times as late", longer_chain),
        Law("as many levels as times visit all of them", all_times),
        Law("gives the published list", published),
    ),
    probes=(
        Probe("quarters", lambda: {"steps": 1000.0, "levels": 5}),
        Probe("all of ten", lambda: {"steps": 10.0, "levels": 10}),
        Probe("a single one", lambda: {"steps": 1000.0, "levels": 1}),
    ),
    mistakes=(
        wrong(
            "no-interval",
            "divides by n - 1 where that is 0",
            "max(levels - 1, 1)",
            "np.float64(levels - 1)",
            "a single step is NaN",
            "there are two levels or more",
            source="https://github.com/mflux-community/mflux/pull/496",
        ),
        wrong(
            "one-step-short",
            "divides by the number of levels instead of intervals",
            "max(levels - 1, 1)",
            "max(levels, 1)",
            "the last time lies a step above 0",
            "there is one level",
        ),
        wrong(
            "from-beyond-the-end",
            "starts at T, the number of times",
            WHOLE,
            "steps - np.arange(levels) * steps / max(levels - 1, 1)",
            "the first time is outside the table",
            "never",
        ),
        wrong(
            "rising",
            "returns the times in rising order",
            WHOLE,
            "np.arange(levels) * last / max(levels - 1, 1)",
            "the sampler begins at the clean end",
            "never",
        ),
        wrong(
            "cut-off",
            "cuts times off to whole ones",
            WHOLE,
            "np.floor(last - np.arange(levels) * last / max(levels - 1, 1))",
            "the network is told times that are up to one too small for its levels",
            "n - 1 divides T - 1",
        ),
        wrong(
            "ends-above-zero",
            "leaves out the 0: the least time is one",
            WHOLE,
            "last - np.arange(levels) * (last - 1) / max(levels - 1, 1)",
            "the sample keeps the noise of the last step",
            "there is one level",
        ),
    ),
    dialects=(
        Edit(
            "linspace_timesteps/whole",
            "rounds times, halves to even: diffusers' DDIM, DDPM and PNDM",
            WHOLE,
            "np.round(last - np.arange(levels) * last / max(levels - 1, 1))",
            source=SPACINGS,
            invisible_when="n - 1 divides T - 1",
        ),
        Edit(
            "linspace_timesteps/single-zero",
            "of a single time makes 0, the clean end: diffusers",
            WHOLE,
            "np.arange(levels)[::-1] * last / max(levels - 1, 1)",
            invisible_when="there are two levels or more",
        ),
    ),
    precisions=FLOATS,
    values={"steps": lambda source, sizes: source.choice([1000.0, float(source.integer(2, 99))])},
)
