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
        Law("begins at the data and ends at the noise", ends),
        Law("is the same line from the other end", both_ways),
        Law("its parts are the data and the noise", ends_again),
        Law("is odd and homogeneous in both", homogeneous),
        Law("half-way lies the mean", half_way),
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
            "has the data at time 1, and the velocity towards the noise",
            LINE,
            "t * x_start + (1 - t) * noise",
            "a network that is asked at the other end",
            "the time is one half",
        ),
        wrong(
            "velocity-to-the-data",
            "turns the velocity round",
            "noise - x_start",
            "x_start - noise",
            "sampling goes away from the data",
            "data and noise are equal",
        ),
        wrong(
            "noise-for-velocity",
            "predicts the noise",
            ", noise - x_start",
            ", noise + 0 * x_start",
            "a network of another convention",
            "the data is 0",
        ),
        wrong(
            "variance-kept",
            "keeps the variance at one, as diffusion does",
            LINE,
            "np.sqrt(1 - t * t) * x_start + t * noise",
            "the line bends, and its velocity is another",
            "the time is 0 or 1",
        ),
        wrong(
            "velocity-to-here",
            "takes the way up to this time for the velocity",
            ", noise - x_start",
            ", t * (noise - x_start)",
            "no step is needed at time 0",
            "the time is 1",
        ),
    ),
    dialects=(
        wrong(
            "data-at-one",
            "has the data at time 1 and the velocity towards it",
            LINE,
            "t * x_start + (1 - t) * noise",
            "the convention of the first papers, and of torchcfm",
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
        Law("mixed again they are the sample", parts_mixed),
        Law("at either end one of them is the sample", parts_at_the_ends),
        Law("without velocity both are the sample", parts_still),
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
            "goes to the data as far as to the noise",
            "x_t - t * velocity",
            "x_t - (1 - t) * velocity",
            "a clean sample beyond the data early, short of it late",
            "the time is one half",
        ),
        wrong_parts(
            "wrong-way",
            "goes to the data along the velocity",
            "x_t - t * velocity",
            "x_t + t * velocity",
            "noise in the place of data",
            "the time or the velocity is 0",
        ),
        wrong_parts(
            "whole-way",
            "goes all the way from wherever it stands",
            "x_t - t * velocity",
            "x_t - velocity + 0 * t",
            "a clean sample beyond the data",
            "the time is 1",
        ),
        wrong_parts(
            "velocity-for-noise",
            "takes the velocity for the noise",
            "x_t + (1 - t) * velocity",
            "velocity + 0 * (x_t + t)",
            "noise that lacks the data",
            "the data is 0",
        ),
        wrong_parts(
            "noise-too-far",
            "goes to the noise as if from the data",
            "x_t + (1 - t) * velocity",
            "x_t + velocity + 0 * t",
            "noise beyond the noise",
            "the time is 0",
        ),
    ),
)
