"""What is known about flow_sample and flow_parts: laws, probes, mistakes and a dialect."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.common import cosines, mistakes_of, sines
from refimpl.ops.flow import reference as text

TIMES = np.array([0.0, 0.3, 1.0])


def ends(f, x_start, t, noise):
    yield f(x_start, 0 * t, noise)[0], x_start
    yield f(x_start, 0 * t + 1, noise)[0], noise


def both_ways(f, x_start, t, noise):
    there, velocity = f(x_start, t, noise)
    back, reverse = f(noise, 1 - t, x_start)
    yield there, back
    yield velocity, -reverse


def ends_again(f, x_start, t, noise):
    parts = text.flow_parts(*_with_time(f(x_start, t, noise), t))
    yield parts[0], x_start
    yield parts[1], noise


def _with_time(pair, t):
    return pair[0], t, pair[1]


def homogeneous(f, x_start, t, noise):
    for found, want in zip(f(-2 * x_start, t, -2 * noise), f(x_start, t, noise), strict=True):
        yield found, -2 * want


def half_way(f, x_start, t, noise):
    yield 2 * f(x_start, (0 * t + 1) / 2, noise)[0], x_start + noise


wrong = mistakes_of("flow_sample")


LINE = "(1 - t) * x_start + t * noise"

FLOW_SAMPLE = Op(
    text.flow_sample,
    outputs=("x_t", "velocity"),
    laws=(
        Law("is the data at time 0 and the noise at time 1", ends),
        Law("exchanging data and noise reverses time and velocity", both_ways),
        Law("flow_parts recovers data and noise", ends_again),
        Law("is linear in data and noise", homogeneous),
        Law("at time 1/2 it is the mean", half_way),
    ),
    probes=(
        Probe(
            "three times",
            lambda: {"x_start": sines(3, 4), "t": TIMES, "noise": 3 + cosines(3, 4)},
        ),
        Probe(
            "the published example",
            lambda: {"x_start": sines(1, 4), "t": np.array([0.3]), "noise": cosines(1, 4)},
        ),
    ),
    mistakes=(
        wrong(
            "time-reversed",
            "puts the data at time 1, but keeps the velocity",
            LINE,
            "t * x_start + (1 - t) * noise",
            "data and noise are exchanged",
            "the time is one half",
        ),
        wrong(
            "velocity-to-the-data",
            "changes the sign of the velocity",
            "noise - x_start",
            "x_start - noise",
            "sampling moves away from the data",
            "data and noise are equal",
        ),
        wrong(
            "noise-for-velocity",
            "returns the noise instead of the velocity",
            ", noise - x_start",
            ", noise + 0 * x_start",
            "a target of another convention",
            "the data is 0",
        ),
        wrong(
            "variance-kept",
            "uses coefficients of constant variance, as diffusion does",
            LINE,
            "np.sqrt(1 - t * t) * x_start + t * noise",
            "the path is curved, and its velocity differs",
            "the time is 0 or 1",
        ),
        wrong(
            "velocity-to-here",
            "multiplies the velocity by t",
            ", noise - x_start",
            ", t * (noise - x_start)",
            "the velocity vanishes at time 0",
            "the time is 1",
        ),
    ),
    dialects=(
        wrong(
            "data-at-one",
            "puts the data at time 1, with the velocity towards it",
            LINE,
            "t * x_start + (1 - t) * noise",
            "the convention of the first papers and of torchcfm",
            "never",
            also=(("", "noise - x_start", "x_start - noise"),),
        ),
    ),
)


def parts_of_a_line(f, x_t, t, velocity):
    x_start, noise = f(x_t, t, velocity)
    yield noise - x_start, velocity


def parts_mixed(f, x_t, t, velocity):
    x_start, noise = f(x_t, t, velocity)
    yield text.flow_sample(x_start, t, noise)[0], x_t


def parts_at_the_ends(f, x_t, t, velocity):
    yield f(x_t, 0 * t, velocity)[0], x_t
    yield f(x_t, 0 * t + 1, velocity)[1], x_t


def parts_still(f, x_t, t, velocity):
    x_start, noise = f(x_t, t, 0 * velocity)
    yield x_start, x_t
    yield noise, x_t


wrong_parts = mistakes_of("flow_parts")


FLOW_PARTS = Op(
    text.flow_parts,
    outputs=("x_start", "noise"),
    laws=(
        Law("their difference is the velocity", parts_of_a_line),
        Law("flow_sample of them gives x_t", parts_mixed),
        Law("at time 0 the data is x_t, at time 1 the noise", parts_at_the_ends),
        Law("with velocity zero both are x_t", parts_still),
    ),
    probes=(
        Probe(
            "three times",
            lambda: {"x_t": sines(3, 4), "t": TIMES, "velocity": 3 + cosines(3, 4)},
        ),
        Probe(
            "two times",
            lambda: {
                "x_t": sines(2, 3),
                "t": np.array([0.125, 0.75]),
                "velocity": cosines(2, 3) - 1,
            },
        ),
    ),
    mistakes=(
        wrong_parts(
            "times-exchanged",
            "exchanges t and 1 - t",
            "x_t - t * velocity",
            "x_t - (1 - t) * velocity",
            "the clean sample overshoots early and falls short late",
            "the time is one half",
        ),
        wrong_parts(
            "wrong-way",
            "adds the velocity instead of subtracting it",
            "x_t - t * velocity",
            "x_t + t * velocity",
            "the result moves towards the noise",
            "the time or the velocity is 0",
        ),
        wrong_parts(
            "whole-way",
            "subtracts the whole velocity, not t times it",
            "x_t - t * velocity",
            "x_t - velocity + 0 * t",
            "the clean sample overshoots the data",
            "the time is 1",
        ),
        wrong_parts(
            "velocity-for-noise",
            "returns the velocity as noise",
            "x_t + (1 - t) * velocity",
            "velocity + 0 * (x_t + t)",
            "the noise lacks the data's part",
            "the data is 0",
        ),
        wrong_parts(
            "noise-too-far",
            "adds the whole velocity, not 1 - t times it",
            "x_t + (1 - t) * velocity",
            "x_t + velocity + 0 * t",
            "the noise is overshot",
            "the time is 0",
        ),
    ),
)
