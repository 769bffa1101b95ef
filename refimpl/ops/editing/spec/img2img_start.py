"""What is known about img2img_start and img2img_start_flow: laws, probes, mistakes, dialects."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.common import FLOATS, mistakes_of
from refimpl.ops.editing import reference as text

ONE_LATE = "https://github.com/CompVis/stable-diffusion/pull/533"


def everything(f, levels, strength):
    yield f(levels, 0 * strength + 1), 0


def on_the_list(f, levels, strength):
    found = f(levels, strength)
    yield np.minimum(found, 0), 0
    yield np.maximum(found - (levels - 1), 0), 0


def eighths(f, levels, strength):
    for k in range(1, 9):
        yield f(8, 0 * strength + k / 8), 8 - k


def stronger(f, levels, strength):
    yield np.maximum(f(levels, (1 + strength) / 2) - f(levels, strength), 0), 0


def twice_as_many(f, levels, strength):
    yield f(2 * levels, 0 * strength + 0.5), levels


def only_whole_steps(f, levels, strength):
    yield f(50, 0 * strength + 0.75), 13
    yield f(5, 0 * strength + 0.5), 3


def steps_that_are_begun(f, levels, strength):
    yield f(50, 0 * strength + 0.75), 12
    yield f(3, 0 * strength + 0.3), 2


COMMON = (
    Law("a strength of 1 starts at the first level", everything),
    Law("starts at one of the levels", on_the_list),
    Law("of eight steps an eighth is one", eighths),
    Law("a greater strength starts no later", stronger),
    Law("half of an even number of steps is that half", twice_as_many),
)


def draw_strength(source, known):
    """Hundredths, as people give them, that leave more than one step."""
    return source.integer(-(-150 // known["levels"]), 100) / 100


DRAWN = {"levels": lambda source, known: source.integer(2, 60), "strength": draw_strength}


def asked(levels, strength):
    return lambda: {"levels": levels, "strength": strength}


PROBES = (
    Probe("three quarters of fifty", asked(50, 0.75)),
    Probe("a strength of 1", asked(20, 1.0)),
    Probe("one step of eight", asked(8, 0.125)),
    Probe("two thirds and a little", asked(7, 0.68)),
)


wrong = mistakes_of("img2img_start")

MADE = "made = levels * strength"
START = "np.sum(np.arange(1, levels + 1) > made)"

IMG2IMG_START = Op(
    text.img2img_start,
    laws=(*COMMON, Law("a part of a step is not made", only_whole_steps)),
    probes=PROBES,
    mistakes=(
        wrong(
            "strength-is-skipped",
            "skips the share instead of making it",
            START,
            "np.sum(np.arange(1, levels + 1) <= made)",
            "a strong change hardly changes anything",
            "the strength is one half",
        ),
        wrong(
            "one-late",
            "starts one step later",
            START,
            "np.sum(np.arange(1, levels + 1) > made - 1)",
            "the picture has more noise than the network is told",
            "never",
            source=ONE_LATE,
        ),
        wrong(
            "one-early",
            "starts one step earlier, but for the first",
            START,
            "np.sum(np.arange(1, levels + 1) > made + 1)",
            "the network removes noise that is not there",
            "the strength is 1",
        ),
        wrong(
            "rounded-to-the-nearest",
            "rounds the steps to the nearest whole number",
            START,
            "np.sum(np.arange(1, levels + 1) - 0.5 > made)",
            "one step too many",
            "the part of a step is below one half",
        ),
        wrong(
            "over-intervals",
            "takes the share of the intervals between the levels",
            MADE,
            "made = (levels - 1) * strength",
            "a strength of 1 keeps something of the picture",
            "the share of one step more is no step more",
        ),
        wrong(
            "of-a-thousand",
            "takes the share of the 1000 steps of training",
            MADE,
            "made = 1000 * strength",
            "the whole list, whatever the strength",
            "the strength is 1",
        ),
    ),
    dialects=(
        wrong(
            "begun-steps-count",
            "makes the step that is begun, as Stable Diffusion 3 and Flux do",
            START,
            "np.sum(np.arange(1, levels + 1) <= levels - made)",
            "one step more: `img2img_start_flow`",
            "the share is a whole number of steps",
        ),
    ),
    precisions=FLOATS,
    values=DRAWN,
)

wrong_flow = mistakes_of("img2img_start_flow")

SKIPPED = "skipped = levels - levels * strength"
START_FLOW = "np.sum(np.arange(1, levels + 1) <= skipped)"

IMG2IMG_START_FLOW = Op(
    text.img2img_start_flow,
    laws=(*COMMON, Law("a part of a step is made as a whole one", steps_that_are_begun)),
    probes=(*PROBES, Probe("a part of a step alone", asked(3, 0.3))),
    mistakes=(
        wrong_flow(
            "strength-is-skipped",
            "skips the share instead of making it",
            SKIPPED,
            "skipped = levels * strength",
            "a strong change hardly changes anything",
            "the strength is one half",
        ),
        wrong_flow(
            "one-late",
            "starts one step later",
            START_FLOW,
            "np.sum(np.arange(1, levels + 1) <= skipped + 1)",
            "the picture has more noise than the network is told",
            "never",
            source=ONE_LATE,
        ),
        wrong_flow(
            "one-early",
            "starts one step earlier, but for the first",
            START_FLOW,
            "np.sum(np.arange(1, levels + 1) <= skipped - 1)",
            "the network removes noise that is not there",
            "the strength is 1",
        ),
        wrong_flow(
            "rounded-to-the-nearest",
            "rounds the skipped steps to the nearest whole number",
            START_FLOW,
            "np.sum(np.arange(1, levels + 1) - 0.5 <= skipped)",
            "one step is missing",
            "the part of a step is above one half",
        ),
        wrong_flow(
            "over-intervals",
            "takes the share of the intervals between the levels",
            SKIPPED,
            "skipped = (levels - 1) * (1 - strength)",
            "starts one step early",
            "the strength is 1",
        ),
        wrong_flow(
            "of-a-thousand",
            "takes the share of the 1000 steps of training",
            SKIPPED,
            "skipped = levels - 1000 * strength",
            "the whole list, whatever the strength",
            "the strength is 1",
        ),
    ),
    dialects=(
        wrong_flow(
            "whole-steps-alone",
            "leaves out the step that is only begun, as Stable Diffusion and SDXL do",
            START_FLOW,
            "np.sum(np.arange(1, levels + 1) > levels - skipped)",
            "one step less: `img2img_start`",
            "the share is a whole number of steps",
        ),
    ),
    precisions=FLOATS,
    values={**DRAWN, "strength": lambda source, known: source.integer(1, 100) / 100},
)
