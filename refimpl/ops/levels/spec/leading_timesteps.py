"""What is known about leading_timesteps: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import FLOATS, mistakes_of
from refimpl.ops.diffusion.spec.shared import none_below
from refimpl.ops.levels import reference as text


def whole_strides(f, steps, levels, offset):
    times = f(steps, levels, offset)
    yield times[:-1] - times[1:], np.full(levels - 1, np.floor(steps / levels))
    yield times[-1], offset


def times_of_the_chain(f, steps, levels, offset):
    times = f(steps, levels, offset)
    yield none_below(times)
    yield none_below(steps - 1 - times)


def moved_by_the_offset(f, steps, levels, offset):
    yield f(steps, levels, offset), f(steps, levels, 0) + offset


def longer_chain(f, steps, levels, offset):
    whole = levels * (steps // levels)
    yield f(3 * whole, levels, 0), 3 * f(whole, levels, 0)


def all_times(f, steps, levels, offset):
    yield f(steps, steps, 0), np.arange(steps)[::-1]


def published(f, steps, levels, offset):
    yield f(1000, 5, 1), np.array([801, 601, 401, 201, 1])


wrong = mistakes_of("leading_timesteps")
STRIDE = "steps // max(levels, 1)"
TIMES = "np.arange(levels)[::-1] * stride + offset"

LEADING_TIMESTEPS = Op(
    text.leading_timesteps,
    laws=(
        Law("times fall by whole strides, as long as fit, to the offset", whole_strides),
        Law("all are times of the chain", times_of_the_chain),
        Law("an offset moves every time", moved_by_the_offset),
        Law("in a chain three times as long all are three times as late", longer_chain),
        Law("as many levels as times visit all of them", all_times),
        Law("gives the published list", published),
    ),
    probes=(
        Probe("Stable Diffusion's", lambda: {"steps": 1000, "levels": 5, "offset": 1}),
        Probe("a stride cut off", lambda: {"steps": 1000, "levels": 30, "offset": 0}),
        Probe("a stride cut off by much", lambda: {"steps": 11, "levels": 4, "offset": 2}),
    ),
    mistakes=(
        wrong(
            "offset-forgotten",
            "starts at 0 whatever the offset",
            TIMES,
            "np.arange(levels)[::-1] * stride + 0 * offset",
            "every step is told a time that is one too small for Stable Diffusion",
            "the offset is 0",
        ),
        wrong(
            "stride-not-whole",
            "cuts the products with T/n off, not T/n",
            TIMES,
            "np.arange(levels)[::-1] * steps // max(levels, 1) + offset",
            "later times are too large",
            "n divides T",
        ),
        wrong(
            "stride-rounded",
            "rounds the stride",
            STRIDE,
            "round(steps / max(levels, 1))",
            "the first times are too large, or outside the table",
            "T/n is less than a half above a whole number",
        ),
        wrong(
            "one-stride-late",
            "counts strides from one",
            TIMES,
            "(np.arange(levels)[::-1] + 1) * stride + offset",
            "the first time may be outside the table, and the last step is left out",
            "never",
        ),
        wrong(
            "rising",
            "returns the times in rising order",
            "np.arange(levels)[::-1] * stride",
            "np.arange(levels) * stride",
            "the sampler begins at the clean end",
            "there is one level",
        ),
        wrong(
            "counted-from-the-last",
            "counts whole strides down from the last time",
            TIMES,
            "steps - 1 - np.arange(levels) * stride + 0 * offset",
            "times of another spacing than the checkpoint was tuned to",
            "the offset leads to T - 1",
        ),
        wrong(
            "intervals",
            "fits n - 1 strides in the chain",
            STRIDE,
            "(steps - 1) // max(levels - 1, 1)",
            "later times are too large",
            "both quotients are equal",
        ),
    ),
    dialects=(
        Edit(
            "leading_timesteps/always-one",
            "adds 1 whatever is asked for: latent-diffusion",
            TIMES,
            "np.arange(levels)[::-1] * stride + 1 + 0 * offset",
            invisible_when="the offset is 1",
        ),
        Edit(
            "leading_timesteps/one-more",
            "lays out a level more and leaves out the least: diffusers' DPM-Solver",
            f"{STRIDE}\n    times = {TIMES}",
            "steps // (levels + 1)\n    times = (np.arange(levels)[::-1] + 1) * stride + offset",
        ),
    ),
    precisions=FLOATS,
    values={
        "offset": lambda source, sizes: source.integer(
            0, sizes["T"] - 1 - (sizes["levels"] - 1) * (sizes["T"] // max(sizes["levels"], 1))
        )
    },
)
