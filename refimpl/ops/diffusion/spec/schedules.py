"""What is known about schedules: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import FLOATS
from refimpl.ops.diffusion import reference as text
from refimpl.ops.diffusion.spec.shared import none_below, printed


def draw_start(source, sizes):
    return source.choice([1e-4, 0.00085, 0.0, 0.1 * float(source.uniform((), 0, 1))])


def draw_end(source, sizes):
    return source.choice([0.02, 0.012, 1.0, 0.1 + 0.8 * float(source.uniform((), 0, 1))])


def linear_equation(f, steps, beta_start, beta_end):
    t = np.arange(steps)
    yield (
        f(steps, beta_start, beta_end),
        beta_start + (beta_end - beta_start) * t / (steps - 1),
    )


def schedule_ends(f, steps, beta_start, beta_end):
    betas = f(steps, beta_start, beta_end)
    yield betas[0], beta_start
    yield betas[-1], beta_end


def schedule_backwards(f, steps, beta_start, beta_end):
    yield f(steps, beta_end, beta_start), f(steps, beta_start, beta_end)[::-1]


def schedule_nested(f, steps, beta_start, beta_end):
    yield f(2 * steps - 1, beta_start, beta_end)[::2], f(steps, beta_start, beta_end)


def linear_equal_steps(f, steps, beta_start, beta_end):
    betas = f(steps, beta_start, beta_end)
    yield betas[:-2] + betas[2:], 2 * betas[1:-1]


def linear_published(f, steps, beta_start, beta_end):
    zero = 0 * beta_start
    betas = f(1000, zero + 1e-4, zero + 0.02)
    yield printed(betas[[0, 1, 999]], "0.0001 0.00011991991992 0.02")


BACKWARDS = Law("exchanging the ends reverses the schedule", schedule_backwards)
ENDS = Law("starts at beta_start and ends at beta_end", schedule_ends)
NESTED = Law(
    "every second entry of a schedule with twice the intervals is the schedule", schedule_nested
)
SCHEDULE_VALUES = {"beta_start": draw_start, "beta_end": draw_end}

LINEAR_SCHEDULE = Op(
    text.linear_schedule,
    laws=(
        Law("equals the straight line at each time", linear_equation),
        ENDS,
        BACKWARDS,
        NESTED,
        Law("each entry is the mean of its neighbours", linear_equal_steps),
        Law("has the published entries at 1000 steps", linear_published),
    ),
    probes=(
        Probe(
            "a thousand steps from 0.0001 to 0.02",
            lambda: {"steps": 1000, "beta_start": 1e-4, "beta_end": 0.02},
        ),
        Probe(
            "twenty steps from 0.0001 to 0.02",
            lambda: {"steps": 20, "beta_start": 1e-4, "beta_end": 0.02},
        ),
        Probe("two steps", lambda: {"steps": 2, "beta_start": 0.1, "beta_end": 0.2}),
    ),
    mistakes=(
        Edit(
            "linear_schedule/last-end-left-out",
            "divides by T instead of T - 1",
            "np.linspace(beta_start, beta_end, steps)",
            "np.linspace(beta_start, beta_end, steps + 1)[:-1]",
            effect="the last variance falls short of beta_end",
        ),
        Edit(
            "linear_schedule/first-end-left-out",
            "counts steps from one: (t + 1)/T",
            "np.linspace(beta_start, beta_end, steps)",
            "np.linspace(beta_start, beta_end, steps + 1)[1:]",
            effect="the first variance is above beta_start",
        ),
        Edit(
            "linear_schedule/roots-interpolated",
            "interpolates the square roots of the variances, as scaled_linear_schedule does",
            "np.linspace(beta_start, beta_end, steps)",
            "np.linspace(np.sqrt(beta_start), np.sqrt(beta_end), steps) ** 2",
            effect="too little noise at every time between the ends",
            source="https://github.com/CompVis/stable-diffusion/issues/314",
            invisible_when="only the first and the last entry are compared",
        ),
        Edit(
            "linear_schedule/scale-inverted",
            "multiplies the variances by T/1000 instead of 1000/T",
            "np.linspace(beta_start, beta_end, steps)",
            "steps / 1000 * np.linspace(beta_start, beta_end, steps)",
            effect="a schedule 16 times too weak at T = 250",
            invisible_when="T = 1000",
        ),
        Edit(
            "linear_schedule/one-end-scaled",
            "multiplies the last variance alone by 1000/T",
            "np.linspace(beta_start, beta_end, steps)",
            "np.linspace(beta_start, 1000 / steps * beta_end, steps)",
            effect="the slope is wrong",
            source="https://github.com/NVlabs/I2SB/issues/11",
            invisible_when="T = 1000",
        ),
        Edit(
            "linear_schedule/ends-exchanged",
            "runs from the last variance to the first",
            "np.linspace(beta_start, beta_end, steps)",
            "np.linspace(beta_end, beta_start, steps)",
            effect="the first steps destroy most of the image",
            invisible_when="both ends are equal",
        ),
    ),
    dialects=(
        Edit(
            "linear_schedule/scaled-to-the-number-of-steps",
            "multiplies both ends by 1000/T: guided-diffusion, GLIDE, lucidrains",
            "np.linspace(beta_start, beta_end, steps)",
            "1000 / steps * np.linspace(beta_start, beta_end, steps)",
            source="https://github.com/huggingface/diffusers/pull/12341",
            invisible_when="T = 1000",
        ),
    ),
    precisions=FLOATS,
    values=SCHEDULE_VALUES,
)


def scaled_equation(f, steps, beta_start, beta_end):
    t, a, b = np.arange(steps) / (steps - 1), np.sqrt(beta_start), np.sqrt(beta_end)
    yield (
        f(steps, beta_start, beta_end),
        (1 - t) ** 2 * a * a + 2 * t * (1 - t) * a * b + t * t * b * b,
    )


def scaled_below_straight(f, steps, beta_start, beta_end):
    straight = text.linear_schedule(steps, beta_start, beta_end)
    yield none_below(straight - f(steps, beta_start, beta_end))


def scaled_homogeneous(f, steps, beta_start, beta_end):
    yield f(steps, beta_start / 4, beta_end / 4), f(steps, beta_start, beta_end) / 4


def scaled_published(f, steps, beta_start, beta_end):
    zero = 0 * beta_start
    share = text.alpha_bar(f(1000, zero + 0.00085, zero + 0.012))
    yield printed(
        share[[0, 499, 500, 999]], "0.99915 0.277669650456 0.276332683823 0.00466009851308"
    )


SCALED_LINEAR_SCHEDULE = Op(
    text.scaled_linear_schedule,
    laws=(
        Law("equals the square of the interpolated roots, multiplied out", scaled_equation),
        ENDS,
        BACKWARDS,
        NESTED,
        Law("a quarter of both ends gives a quarter of every variance", scaled_homogeneous),
        Law("never exceeds the linear schedule of the same ends", scaled_below_straight),
        Law("gives the ᾱ published for Stable Diffusion", scaled_published),
    ),
    probes=(
        Probe(
            "Stable Diffusion",
            lambda: {"steps": 1000, "beta_start": 0.00085, "beta_end": 0.012},
        ),
        Probe("two steps", lambda: {"steps": 2, "beta_start": 0.1, "beta_end": 0.2}),
    ),
    mistakes=(
        Edit(
            "scaled_linear_schedule/variances-interpolated",
            "interpolates the variances themselves",
            "np.linspace(np.sqrt(beta_start), np.sqrt(beta_end), steps) ** 2",
            "np.linspace(beta_start, beta_end, steps)",
            effect="0.0064 instead of 0.0048 halfway; noisy backgrounds",
            source="https://github.com/antgroup/echomimic/pull/127",
            invisible_when="only the first and the last entry are compared",
        ),
        Edit(
            "scaled_linear_schedule/not-squared-again",
            "forgets to square the interpolated roots",
            ", steps) ** 2",
            ", steps)",
            effect="the signal is gone after 200 steps",
        ),
        Edit(
            "scaled_linear_schedule/one-root-missing",
            "takes the square root of beta_start only",
            "np.sqrt(beta_end)",
            "beta_end",
            effect="the last variance is the square of beta_end",
            invisible_when="beta_end = 1",
        ),
        Edit(
            "scaled_linear_schedule/squared-before-and-rooted-after",
            "interpolates the squares and takes the square root of the result",
            "np.linspace(np.sqrt(beta_start), np.sqrt(beta_end), steps) ** 2",
            "np.sqrt(np.linspace(beta_start**2, beta_end**2, steps))",
            effect="too much noise between the ends",
            invisible_when="only the first and the last entry are compared",
        ),
        Edit(
            "scaled_linear_schedule/last-end-left-out",
            "divides by T instead of T - 1",
            ", steps) ** 2",
            ", steps + 1)[:-1] ** 2",
            effect="the last variance falls short of beta_end",
        ),
        Edit(
            "scaled_linear_schedule/geometric",
            "interpolates the logarithms of the variances",
            "np.linspace(np.sqrt(beta_start), np.sqrt(beta_end), steps) ** 2",
            "beta_start * np.exp(np.log(beta_end / beta_start) * np.linspace(0, 1, steps))",
            effect="too little noise between the ends",
            invisible_when="only the first and the last entry are compared",
        ),
    ),
    precisions=FLOATS,
    values=SCHEDULE_VALUES,
)


def cosine_equation(f, steps, offset, beta_max):
    angle = np.pi / 2 * ((np.arange(steps + 1) / steps + offset) / (1 + offset))
    a, b = angle[:-1], angle[1:]
    yield (
        f(steps, offset, beta_max),
        np.minimum(np.sin(b + a) * np.sin(b - a) / np.cos(a) ** 2, beta_max),
    )


def cosine_cap(f, steps, offset, beta_max):
    uncapped = f(steps, offset, 0 * beta_max + 1)
    yield f(steps, offset, beta_max), np.minimum(uncapped, beta_max)


def cosine_share(f, steps, offset, beta_max):
    angle = np.pi / 2 * ((np.arange(steps + 1) / steps + offset) / (1 + offset))
    share = text.alpha_bar(f(steps, offset, 0 * beta_max + 1))
    yield share, (np.cos(angle) ** 2)[1:] / (np.cos(angle) ** 2)[0]


def cosine_grows(f, steps, offset, beta_max):
    betas = f(steps, offset, beta_max)
    yield none_below(betas[1:] - betas[:-1])
    yield none_below(betas)


def cosine_published(f, steps, offset, beta_max):
    zero = 0 * offset
    betas = f(1000, zero + 0.008, zero + 0.999)
    share = text.alpha_bar(betas)
    yield printed(betas[[0, 999]], "0.000041284224822 0.999")
    yield (
        printed(
            share[[0, 499, 500, 999]],
            "0.999958715775 0.493843590441 0.492285172449 2.42876690703e-9",
        )
    )


COSINE_SCHEDULE = Op(
    text.cosine_schedule,
    laws=(
        Law("equals the difference of squared sines as a product of sines", cosine_equation),
        Law("the cap acts on each entry alone", cosine_cap),
        Law("without a cap ᾱ is the squared cosine", cosine_share),
        Law("is positive and never falls", cosine_grows),
        Law("has the published β and ᾱ at 1000 steps", cosine_published),
    ),
    probes=(
        Probe(
            "a thousand steps",
            lambda: {"steps": 1000, "offset": 0.008, "beta_max": 0.999},
        ),
        Probe("ten steps", lambda: {"steps": 10, "offset": 0.008, "beta_max": 0.999}),
        Probe("one step", lambda: {"steps": 1, "offset": 0.008, "beta_max": 0.999}),
    ),
    mistakes=(
        Edit(
            "cosine_schedule/grid-half-fixed",
            "divides by T + 1 instead of T",
            "np.arange(steps + 1) / constant(steps, offset)",
            "np.arange(steps + 1) / (steps + 1)",
            effect="stops short of pure noise: ᾱ ends at 0.02 instead of 0.00002 for T = 10",
            source="https://github.com/jannerm/diffuser/issues/68",
            invisible_when="early entries are compared: they change by about 1/T",
        ),
        Edit(
            "cosine_schedule/not-squared",
            "takes the cosine instead of its square for ᾱ",
            "* share) ** 2",
            "* share)",
            effect="noise comes too late: ᾱ is 0.70 instead of 0.49 halfway",
        ),
        Edit(
            "cosine_schedule/no-cap",
            "does not cap the last variance below 1",
            "np.minimum(1 - f[1:] / f[:-1], beta_max)",
            "1 - f[1:] / f[:-1]",
            effect="no signal at the last time; predictions of the clean sample are infinite",
            invisible_when="the last entries are not compared",
        ),
        Edit(
            "cosine_schedule/offset-not-divided-out",
            "adds the offset s without dividing by 1 + s",
            " + offset) / (1 + offset)",
            " + offset)",
            effect="the cosine passes its zero and the last variances are negative",
            invisible_when="the offset is 0",
        ),
        Edit(
            "cosine_schedule/no-offset",
            "leaves out the offset s",
            " + offset) / (1 + offset)",
            ")",
            effect="the first variances are smaller than a pixel's step",
            invisible_when="the offset is 0",
        ),
        Edit(
            "cosine_schedule/against-the-start",
            "divides by the first ᾱ instead of the previous one",
            "f[1:] / f[:-1]",
            "f[1:] / f[0]",
            effect="each variance is 1 - ᾱ",
            invisible_when="T = 1",
        ),
        Edit(
            "cosine_schedule/table-starts-at-one",
            "starts the table one step early, at ᾱ = 1",
            "1 - f[1:] / f[:-1]",
            "np.concatenate((np.zeros(1), 1 - f[1:-1] / f[:-2]))",
            effect="the first variance is 0, and posterior coefficients divide by 0",
            source="https://github.com/Project-MONAI/GenerativeModels/issues/489",
            invisible_when="a shift by one step is not noticed at large T",
        ),
    ),
    dialects=(
        Edit(
            "cosine_schedule/time-ends-early",
            "ends at time 0.9946 instead of capping: solvers in continuous time",
            "np.arange(steps + 1) / constant(steps, offset)",
            "0.9946 * np.arange(steps + 1) / constant(steps, offset)",
            source="https://github.com/CleanDiffuserTeam/CleanDiffuser/issues/31",
            invisible_when="early entries are compared",
        ),
    ),
    precisions=FLOATS,
    values={
        "offset": lambda source, sizes: source.choice(
            [0.008, 0.008, 0.0, 0.1 * float(source.uniform((), 0, 1))]
        ),
        "beta_max": lambda source, sizes: source.choice([0.999, 0.999, 1.0, 0.5]),
    },
)
