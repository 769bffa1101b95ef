"""What is known about euler_loop: laws, probes, mistakes and a dialect."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.common import FLOATS, cosines, mistakes_of, sines
from refimpl.ops.loops import reference as text
from refimpl.ops.loops.spec.shared import falling, network


def right_guess(f, noise, sigmas, slope, offset):
    yield f(noise, sigmas, 0 * slope, 0 * offset + 3), 0 * noise + 3


def one_level(f, noise, sigmas, slope, offset):
    found = f(noise, sigmas[:1], slope[:1], offset[:1])
    yield found, slope[0] * sigmas[0] * noise + offset[0]


def last_guess(f, noise, sigmas, slope, offset):
    end = np.arange(len(sigmas)) == len(sigmas) - 1
    found = f(noise, sigmas, np.where(end, 0 * slope, slope), offset)
    yield found, 0 * noise + offset[-1]


def unit(f, noise, sigmas, slope, offset):
    yield f(noise, 4 * sigmas, slope, 4 * offset), 4 * f(noise, sigmas, slope, offset)


def linear_in_noise(f, noise, sigmas, slope, offset):
    without = f(0 * noise, sigmas, slope, offset)
    found = f(-2 * noise, sigmas, slope, offset) - without
    yield found, -2 * (f(noise, sigmas, slope, offset) - without)


def levels(count):
    return {
        "noise": sines(2, 3),
        "sigmas": falling(count, 8.0, 0.5),
        "slope": cosines(1, count)[0],
        "offset": sines(count)[::-1].copy(),
    }


wrong = mistakes_of("euler_loop")


ORDER = "for i in range(len(sigmas)):"
ASKED = "slope[i] * x + offset[i]"

EULER_LOOP = Op(
    text.euler_loop,
    costly=("levels",),
    laws=(
        Law("a constant guess is reached", right_guess),
        Law("with one level it is the guess", one_level),
        Law("the last guess is the result", last_guess),
        Law("scaling levels and guesses together scales the result", unit),
        Law("is linear in the noise", linear_in_noise),
    ),
    probes=(
        Probe("four levels", lambda: levels(4)),
        Probe("two levels", lambda: levels(2)),
    ),
    mistakes=(
        wrong(
            "start-not-scaled",
            "does not multiply the initial noise by the first level",
            "x = sigmas[0] * noise",
            "x = noise",
            "blank or blurred pictures",
            "the first level is 1",
            source="https://github.com/huggingface/diffusers/pull/891",
        ),
        wrong(
            "last-step-missing",
            "leaves out the last step, to level 0",
            ORDER,
            "for i in range(len(sigmas) - 1):",
            "the noise of the lowest level remains",
            "never",
        ),
        wrong(
            "lowest-first",
            "visits the levels in ascending order",
            ORDER,
            "for i in range(len(sigmas) - 1, -1, -1):",
            "noise instead of an image",
            "there is one level",
            source="https://github.com/huggingface/diffusers/issues/5077",
        ),
        wrong(
            "two-levels-at-once",
            "advances the index twice per step",
            "sigmas[i + 1] if i + 1 < len(sigmas)",
            "sigmas[i + 2] if i + 2 < len(sigmas)",
            "more noise is removed than the network expects",
            "there are two levels at most",
        ),
        wrong(
            "asked-at-the-next-level",
            "gives the network the level after the step instead of before",
            ASKED,
            "slope[min(i + 1, len(sigmas) - 1)] * x + offset[min(i + 1, len(sigmas) - 1)]",
            "too little noise is removed",
            "there is one level",
        ),
        wrong(
            "asked-of-the-start",
            "gives the network the initial noise at every step",
            ASKED,
            "slope[i] * sigmas[0] * noise + offset[i]",
            "no image emerges",
            "there is one level",
        ),
        wrong(
            "input-scaled-again",
            "scales the input to variance one, though the network does so itself",
            ASKED,
            "slope[i] * x / np.sqrt(1 + sigmas[i] ** 2) + offset[i]",
            "flat images",
            "the guess does not depend on the sample",
        ),
    ),
    dialects=(
        wrong(
            "start-with-signal",
            "starts with √(1 + σ²) times the noise",
            "x = sigmas[0] * noise",
            "x = np.sqrt(sigmas[0] ** 2 + 1) * noise",
            "a little more noise than the level: diffusers with leading spacing",
            "the first level is high",
        ),
    ),
    precisions=FLOATS,
    values={
        "sigmas": lambda source, known: falling(
            known["levels"], source.choice([8.0, 14.5]), source.choice([0.5, 0.125])
        ),
        **network("levels"),
    },
)
