"""What is known about diffusion: laws, probes, mistakes and dialects.

Three tables of numbers recur: the linear schedule of 1000 steps, the cosine schedule, and the
scaled linear one of Stable Diffusion; published entries are compared as far as they are printed.
"""

from decimal import Decimal

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.diffusion import reference as text

TABLE_PRECISIONS = ("float64", "float32")
STABLE_DIFFUSION = (0.00085, 0.012)


# --- inputs ---------------------------------------------------------------------------------------


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


def draw_start(source, sizes):
    return source.choice([1e-4, 0.00085, 0.0, 0.1 * float(source.uniform((), 0, 1))])


def draw_end(source, sizes):
    return source.choice([0.02, 0.012, 1.0, 0.1 + 0.8 * float(source.uniform((), 0, 1))])


def linear_betas(zero=0.0, steps=1000):
    """The customary schedule; `zero` carries the arithmetic of a law."""
    return text.linear_schedule(steps, zero + 1e-4, zero + 0.02)


def waves(zero=0.0):
    """Three samples of four numbers made from sines and cosines."""
    n = np.arange(1, 5)
    return zero + 0.8 * np.sin(n)[None], zero + 0.5 * np.cos(n)[None], zero + 0.9 * np.sin(n)[None]


HALFWAY = np.array([500])  # a time of the long chain


def samples(seed, size=(4, 3)):
    return np.random.default_rng(seed).standard_normal(size)


# --- laws of several operations -------------------------------------------------------------------


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


SAMPLE_BY_SAMPLE = Law("each sample is treated alone, at its own time", sample_by_sample)
SUPERPOSITION = Law("is linear in both samples", superposition)


# --- mistakes of several operations ---------------------------------------------------------------


def wrong_times(op, lookup, shifted):
    """Mistakes of every operation that looks a table up: which entry, and whose."""
    return (
        Edit(
            f"{op}/time-counted-from-one",
            "subtracts one from a time that counts from zero already",
            lookup,
            shifted,
            effect="t = 0 finds the last entry of the table, almost pure noise",
            invisible_when="neighbouring entries hardly differ, and no time is 0",
        ),
        Edit(
            f"{op}/time-of-the-first-sample",
            "takes the first sample's time for the whole batch",
            "table[t]",
            "table[np.repeat(t[:1], len(t))]",
            where="at",
            effect="samples of a mixed batch are scaled for another time",
            invisible_when="all samples have the same time, or B = 1",
        ),
    )


# --- linear_schedule ------------------------------------------------------------------------------


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


BACKWARDS = Law("exchanged ends turn the schedule round", schedule_backwards)
ENDS = Law("starts and ends where it is told to", schedule_ends)
NESTED = Law("every second entry of twice as fine a schedule is the schedule", schedule_nested)
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
            "divides by the number of steps in place of the number of intervals",
            "np.linspace(beta_start, beta_end, steps)",
            "np.linspace(beta_start, beta_end, steps + 1)[:-1]",
            effect="the last variance falls short of beta_end",
        ),
        Edit(
            "linear_schedule/first-end-left-out",
            "counts the fraction from one",
            "np.linspace(beta_start, beta_end, steps)",
            "np.linspace(beta_start, beta_end, steps + 1)[1:]",
            effect="the first variance is above beta_start",
        ),
        Edit(
            "linear_schedule/roots-interpolated",
            "interpolates the roots of the variances, the schedule of another name",
            "np.linspace(beta_start, beta_end, steps)",
            "np.linspace(np.sqrt(beta_start), np.sqrt(beta_end), steps) ** 2",
            effect="too little noise at every time between the ends",
            source="https://github.com/CompVis/stable-diffusion/issues/314",
            invisible_when="only the first and the last entry are compared",
        ),
        Edit(
            "linear_schedule/scale-inverted",
            "multiplies the variances by T/1000 where 1000/T was meant",
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
            effect="the ramp has another slope",
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
            "guided-diffusion, GLIDE and lucidrains multiply both ends by 1000/T",
            "np.linspace(beta_start, beta_end, steps)",
            "1000 / steps * np.linspace(beta_start, beta_end, steps)",
            source="https://github.com/huggingface/diffusers/pull/12341",
            invisible_when="T = 1000",
        ),
    ),
    precisions=TABLE_PRECISIONS,
    values=SCHEDULE_VALUES,
)


# --- scaled_linear_schedule -----------------------------------------------------------------------


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
        Law("a quarter of the variances from a quarter of the ends", scaled_homogeneous),
        Law("never exceeds the linear schedule of the same ends", scaled_below_straight),
        Law("leaves Stable Diffusion's published shares of signal", scaled_published),
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
            effect="0.0064 in place of 0.0048 halfway; noisy backgrounds",
            source="https://github.com/antgroup/echomimic/pull/127",
            invisible_when="only the first and the last entry are compared",
        ),
        Edit(
            "scaled_linear_schedule/not-squared-again",
            "returns the interpolated roots",
            ", steps) ** 2",
            ", steps)",
            effect="the signal is gone after 200 steps",
        ),
        Edit(
            "scaled_linear_schedule/one-root-missing",
            "takes the root of the first variance alone",
            "np.sqrt(beta_end)",
            "beta_end",
            effect="the last variance is the square of beta_end",
            invisible_when="beta_end = 1",
        ),
        Edit(
            "scaled_linear_schedule/squared-before-and-rooted-after",
            "interpolates squares and takes the root, the inverse order",
            "np.linspace(np.sqrt(beta_start), np.sqrt(beta_end), steps) ** 2",
            "np.sqrt(np.linspace(beta_start**2, beta_end**2, steps))",
            effect="too much noise between the ends",
            invisible_when="only the first and the last entry are compared",
        ),
        Edit(
            "scaled_linear_schedule/last-end-left-out",
            "divides by the number of steps in place of the number of intervals",
            ", steps) ** 2",
            ", steps + 1)[:-1] ** 2",
            effect="the last variance falls short of beta_end",
        ),
        Edit(
            "scaled_linear_schedule/geometric",
            "interpolates the logarithms",
            "np.linspace(np.sqrt(beta_start), np.sqrt(beta_end), steps) ** 2",
            "beta_start * np.exp(np.log(beta_end / beta_start) * np.linspace(0, 1, steps))",
            effect="too little noise between the ends",
            invisible_when="only the first and the last entry are compared",
        ),
    ),
    precisions=TABLE_PRECISIONS,
    values=SCHEDULE_VALUES,
)


# --- cosine_schedule ------------------------------------------------------------------------------


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
        Law("without a cap the shares of signal are the squared cosine", cosine_share),
        Law("is positive and never falls", cosine_grows),
        Law("has the published entries and shares at 1000 steps", cosine_published),
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
            "divides by T + 1 on a grid that ends at T",
            "np.arange(steps + 1) / constant(steps, offset)",
            "np.arange(steps + 1) / (steps + 1)",
            effect="stops short of pure noise: a share of 0.02 in place of 0.00002 at T = 10",
            source="https://github.com/jannerm/diffuser/issues/68",
            invisible_when="early entries are compared: they change by about 1/T",
        ),
        Edit(
            "cosine_schedule/not-squared",
            "takes the cosine for the share of signal",
            "* share) ** 2",
            "* share)",
            effect="noise comes too late: a share of 0.70 in place of 0.49 halfway",
        ),
        Edit(
            "cosine_schedule/no-cap",
            "leaves the last variance at 1",
            "np.minimum(1 - f[1:] / f[:-1], beta_max)",
            "1 - f[1:] / f[:-1]",
            effect="no signal at the last time; predictions of the clean sample are infinite",
            invisible_when="the last entries are not compared",
        ),
        Edit(
            "cosine_schedule/offset-not-divided-out",
            "adds the offset without dividing by 1 + s",
            " + offset) / (1 + offset)",
            " + offset)",
            effect="the cosine passes its zero and the last variances are negative",
            invisible_when="the offset is 0",
        ),
        Edit(
            "cosine_schedule/no-offset",
            "leaves the offset away",
            " + offset) / (1 + offset)",
            ")",
            effect="the first variances are smaller than a pixel's step",
            invisible_when="the offset is 0",
        ),
        Edit(
            "cosine_schedule/against-the-start",
            "divides by the first share in place of the previous one",
            "f[1:] / f[:-1]",
            "f[1:] / f[0]",
            effect="variances are one minus the shares",
            invisible_when="T = 1",
        ),
        Edit(
            "cosine_schedule/table-starts-at-one",
            "leaves the table unshifted: its first entry belongs to no noise",
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
            "solvers in continuous time end at 0.9946 in place of a cap",
            "np.arange(steps + 1) / constant(steps, offset)",
            "0.9946 * np.arange(steps + 1) / constant(steps, offset)",
            source="https://github.com/CleanDiffuserTeam/CleanDiffuser/issues/31",
            invisible_when="early entries are compared",
        ),
    ),
    precisions=TABLE_PRECISIONS,
    values={
        "offset": lambda source, sizes: source.choice(
            [0.008, 0.008, 0.0, 0.1 * float(source.uniform((), 0, 1))]
        ),
        "beta_max": lambda source, sizes: source.choice([0.999, 0.999, 1.0, 0.5]),
    },
)


# --- alpha_bar ------------------------------------------------------------------------------------


def share_equation(f, betas):
    steps = len(betas)
    if steps < 50 and np.all(values(betas) < 1):
        yield f(betas), np.exp(np.tril(np.ones((steps, steps))) @ np.log(1 - betas))


def share_recurrence(f, betas):
    share = f(betas)
    yield share[0], 1 - betas[0]
    yield share[1:], share[:-1] * (1 - betas[1:])


def share_falls(f, betas):
    share = f(betas)
    yield none_below(share)
    yield none_below(share[:-1] - share[1:])


def share_of_two_chains(f, betas):
    half = len(betas) // 2
    if half:
        yield f(betas)[half:], f(betas[:half])[-1] * f(betas[half:])


def share_any_order(f, betas):
    yield f(betas[::-1])[-1], f(betas)[-1]


def share_union_bound(f, betas):
    yield none_below(f(betas)[-1:] - (1 - np.sum(betas, axis=0, keepdims=True)))


def share_published(f, betas):
    share = f(linear_betas(0 * betas[0]))
    yield (
        printed(
            share[[0, 1, 499, 500, 999]],
            "0.9999 0.999780092072 0.0785872428818 0.077796658365 0.0000403582976538",
        )
    )


ALPHA_BAR = Op(
    text.alpha_bar,
    laws=(
        Law("equals the exponential of summed logarithms", share_equation),
        Law("each entry is the previous one times one minus the variance", share_recurrence),
        Law("falls and stays at or above zero", share_falls),
        Law("chains one after the other multiply", share_of_two_chains),
        Law("the last share does not depend on the order of the steps", share_any_order),
        Law("loses no more than the sum of the variances", share_union_bound),
        Law("has the published shares of the linear schedule", share_published),
    ),
    probes=(
        Probe("the linear schedule of 1000 steps", lambda: {"betas": linear_betas()}),
        Probe("a last variance of 1", lambda: {"betas": np.array([0.1, 0.5, 1.0])}),
        Probe("a single step", lambda: {"betas": np.array([0.3])}),
    ),
    mistakes=(
        Edit(
            "alpha_bar/not-cumulative",
            "returns one minus the variance of the step alone",
            "np.cumprod(1 - betas)",
            "1 - betas",
            effect="noised samples are almost clean at every time",
            invisible_when="t = 0",
        ),
        Edit(
            "alpha_bar/summed",
            "subtracts the sum of the variances from one",
            "np.cumprod(1 - betas)",
            "1 - np.cumsum(betas)",
            effect="negative shares late in the chain",
            invisible_when="the variances are small and few",
        ),
        Edit(
            "alpha_bar/product-of-variances",
            "multiplies the variances",
            "np.cumprod(1 - betas)",
            "1 - np.cumprod(betas)",
            effect="shares rise to one",
        ),
        Edit(
            "alpha_bar/one-step-late",
            "starts with the 1 before the first step",
            "np.cumprod(1 - betas)",
            "np.concatenate((np.ones(1), np.cumprod(1 - betas)[:-1]))",
            effect="one minus the first share is 0, and posterior coefficients divide by 0",
            source="https://github.com/Project-MONAI/GenerativeModels/issues/489",
            invisible_when="a shift by one step is not noticed at large T",
        ),
        Edit(
            "alpha_bar/rooted",
            "returns the factor of the signal in place of its square",
            "np.cumprod(1 - betas)",
            "np.sqrt(np.cumprod(1 - betas))",
            effect="every use that takes the root sees too much signal",
        ),
        Edit(
            "alpha_bar/continuous",
            "takes the exponential of minus the summed variances",
            "np.cumprod(1 - betas)",
            "np.exp(-np.cumsum(betas))",
            effect="too much signal: 4.3e-5 in place of 4.0e-5 at the end of the linear schedule",
            invisible_when="the variances are small and few",
        ),
    ),
    precisions=TABLE_PRECISIONS,
)

# --- zero_terminal_snr ----------------------------------------------------------------------------


def terminal_equation(f, betas):
    root = np.sqrt(text.alpha_bar(betas))
    first, last = root[0], root[-1]
    affine = first / (first - last) * root - first * last / (first - last)
    yield text.alpha_bar(f(betas))[:-1], (affine * affine)[:-1]


def terminal_ends(f, betas):
    changed = f(betas)
    yield changed[0], betas[0]
    yield changed[-1], 1


def terminal_unchanged(f, betas):
    ended = np.concatenate((betas[:-1], np.ones(1)))
    if np.all(values(betas[:-1]) < 1):
        yield f(ended), ended


def terminal_less_signal(f, betas):
    yield none_below(text.alpha_bar(betas) - text.alpha_bar(f(betas)))


def terminal_published(f, betas):
    yield printed(f(linear_betas(0 * betas[0]))[-3:], "0.55958895 0.75226723 1")


ZERO_TERMINAL_SNR = Op(
    text.zero_terminal_snr,
    laws=(
        Law("the new roots of the shares are an affine map of the old", terminal_equation),
        Law("keeps the first variance and ends with 1", terminal_ends),
        Law("leaves a schedule alone that ends without signal", terminal_unchanged),
        Law("never leaves more signal than before", terminal_less_signal),
        Law("has the published last entries of the linear schedule", terminal_published),
    ),
    probes=(
        Probe("the linear schedule of 1000 steps", lambda: {"betas": linear_betas()}),
        Probe(
            "Stable Diffusion's schedule",
            lambda: {"betas": text.scaled_linear_schedule(1000, *STABLE_DIFFUSION)},
        ),
        Probe("five large steps", lambda: {"betas": np.array([0.1, 0.2, 0.3, 0.4, 0.5])}),
        Probe("two steps", lambda: {"betas": np.array([0.1, 0.2])}),
    ),
    mistakes=(
        Edit(
            "zero_terminal_snr/shares-rescaled",
            "shifts and stretches the shares in place of their roots",
            """    root = np.sqrt(alpha_bar(betas))  # T
    root = (root - root[-1]) * (root[0] / (root[0] - root[-1]))
    return betas_from_alpha_bar(root * root)""",
            """    root = alpha_bar(betas)  # T
    root = (root - root[-1]) * (root[0] / (root[0] - root[-1]))
    return betas_from_alpha_bar(root)""",
            effect="other noise at every time between the ends",
            invisible_when="only the first and the last share are compared",
        ),
        Edit(
            "zero_terminal_snr/shift-only",
            "subtracts the last root without stretching",
            "(root - root[-1]) * (root[0] / (root[0] - root[-1]))",
            "root - root[-1]",
            effect="signal is lost at t = 0: a share of 0.87 for Stable Diffusion",
            invisible_when="only the last entry is compared",
        ),
        Edit(
            "zero_terminal_snr/stretched-to-one",
            "stretches so that the share before the first step stays, in place of the first",
            "(root - root[-1]) * (root[0] / (root[0] - root[-1]))",
            "(root - root[-1]) / (1 - root[-1])",
            effect="the first variance changes",
        ),
        Edit(
            "zero_terminal_snr/not-squared-again",
            "takes the new roots for shares",
            "betas_from_alpha_bar(root * root)",
            "betas_from_alpha_bar(root)",
            effect="too little noise at every time but the last",
            invisible_when="only the last entry is compared",
        ),
        Edit(
            "zero_terminal_snr/stretch-inverted",
            "divides by the factor it should multiply with",
            "(root[0] / (root[0] - root[-1]))",
            "((root[0] - root[-1]) / root[0])",
            effect="the first share shrinks twice",
            invisible_when="only the last entry is compared",
        ),
        Edit(
            "zero_terminal_snr/capped",
            "caps the variances at 0.999, as the cosine schedule does",
            "betas_from_alpha_bar(root * root)",
            "np.minimum(betas_from_alpha_bar(root * root), 0.999)",
            effect="some signal is left at the last step",
            invisible_when="the last entry is not compared",
        ),
    ),
    dialects=(
        Edit(
            "zero_terminal_snr/some-signal-left",
            "web interfaces end with a share of 4.9e-8, a ratio of noise to signal near 4519",
            "betas_from_alpha_bar(root * root)",
            "betas_from_alpha_bar(np.maximum(root * root, 4.8973451890853435e-08))",
            source="https://github.com/AUTOMATIC1111/stable-diffusion-webui/issues/14071",
            invisible_when="the last entry is not compared",
        ),
    ),
    precisions=TABLE_PRECISIONS,
    values={"betas": draw_betas},
)


# --- q_sample -------------------------------------------------------------------------------------


def noised_equation(f, x_start, t, noise, alpha_bar):
    share = pick(alpha_bar, t, x_start)
    if np.all(values(share) > 0):
        sigma = np.sqrt((1 - share) / share)
        yield f(x_start, t, noise, alpha_bar), np.sqrt(share) * (x_start + sigma * noise)


def noised_round_trips(f, x_start, t, noise, alpha_bar):
    x_t = f(x_start, t, noise, alpha_bar)
    share = values(alpha_bar)[t]
    if np.all(share > 0):
        yield text.x0_from_eps(x_t, t, noise, alpha_bar), x_start
    if np.all(share < 1):
        yield text.eps_from_x0(x_t, t, x_start, alpha_bar), noise


def noised_ends(f, x_start, t, noise, alpha_bar):
    yield f(x_start, t, noise, 0 * alpha_bar + 1), x_start
    yield f(x_start, t, noise, 0 * alpha_bar), noise


def noised_published(f, x_start, t, noise, alpha_bar):
    zero = 0 * alpha_bar[0]
    x0, eps, _ = waves(zero)
    x_t = f(x0, HALFWAY, eps, text.alpha_bar(linear_betas(zero)))
    yield printed(x_t, "0.447192807339 0.00308151543564 -0.443862907548 -0.482721820311")


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


Q_SAMPLE = Op(
    text.q_sample,
    laws=(
        Law("equals signal plus sigma times noise, scaled", noised_equation),
        Law("the clean sample and the noise can be recovered", noised_round_trips),
        Law("keeps the norm together with the velocity", norm_with(text.velocity)),
        Law("shares of 1 and 0 give the sample and the noise", noised_ends),
        SUPERPOSITION,
        SAMPLE_BY_SAMPLE,
        Law("has the recorded numbers halfway", noised_published),
    ),
    probes=(pair_probe("x_start", "noise"), ends_probe("x_start", "noise")),
    mistakes=(
        Edit(
            "q_sample/noise-factor-not-rooted",
            "multiplies the noise by one minus the share",
            "np.sqrt(1 - share) * noise",
            "(1 - share) * noise",
            effect="the variance falls below 1 in the middle of the chain",
            source="https://github.com/huggingface/diffusers/pull/10185",
            invisible_when="the noise is 0, or the share is 0 or 1",
        ),
        Edit(
            "q_sample/signal-factor-not-rooted",
            "multiplies the sample by the share",
            "np.sqrt(share) * x_start",
            "share * x_start",
            effect="the image fades too fast",
            invisible_when="the sample is 0",
        ),
        Edit(
            "q_sample/share-of-one-step",
            "takes one minus the variance of the step in place of the cumulative product",
            "at(alpha_bar, t, x_start)",
            "at(1 - betas_from_alpha_bar(alpha_bar), t, x_start)",
            effect="almost clean at every time",
            invisible_when="t = 0",
        ),
        Edit(
            "q_sample/factors-exchanged",
            "gives the sample the factor of the noise",
            "np.sqrt(share) * x_start + np.sqrt(1 - share) * noise",
            "np.sqrt(1 - share) * x_start + np.sqrt(share) * noise",
            effect="pure noise first, the image last",
            invisible_when="the share is one half",
        ),
        Edit(
            "q_sample/for-a-sampler-in-sigma",
            "adds sigma times noise to the unscaled sample",
            "np.sqrt(share) * x_start + np.sqrt(1 - share) * noise",
            "x_start + np.sqrt((1 - share) / share) * noise",
            effect="samples too large by the root of the share",
            source="https://github.com/huggingface/diffusers/pull/253",
            invisible_when="little noise",
        ),
        Edit(
            "q_sample/one-minus-root",
            "takes one minus the signal's factor for the noise's",
            "np.sqrt(1 - share) * noise",
            "(1 - np.sqrt(share)) * noise",
            effect="the variance falls below 1",
            invisible_when="the noise is 0, or the share is 0 or 1",
        ),
        *wrong_times("q_sample", "at(alpha_bar, t, x_start)", "at(alpha_bar, t - 1, x_start)"),
    ),
)


# --- q_sample_vjp ---------------------------------------------------------------------------------


def noised_gradient_equation(f, t, alpha_bar, grad):
    share = pick(alpha_bar, t, grad)
    x_start_grad, noise_grad = f(t, alpha_bar, grad)
    yield x_start_grad, np.sqrt(share) * grad
    yield noise_grad, np.sqrt(1 - share) * grad


def noised_gradient_adjoint(f, t, alpha_bar, grad):
    x_start, noise = grad[..., ::-1], grad * grad
    x_start_grad, noise_grad = f(t, alpha_bar, grad)
    sides = np.sum(x_start_grad * x_start) + np.sum(noise_grad * noise)
    yield np.sum(grad * text.q_sample(x_start, t, noise, alpha_bar)), sides


def noised_gradient_norm(f, t, alpha_bar, grad):
    x_start_grad, noise_grad = f(t, alpha_bar, grad)
    yield x_start_grad**2 + noise_grad**2, grad**2


def noised_gradient_ends(f, t, alpha_bar, grad):
    for end, (signal, noise) in enumerate(((0 * grad, grad), (grad, 0 * grad))):
        x_start_grad, noise_grad = f(t, 0 * alpha_bar + end, grad)
        yield x_start_grad, signal
        yield noise_grad, noise


def gradient_probe(shares):
    return Probe(
        "both ends, the middle and a repeated time",
        lambda: {"t": np.array([0, 999, 500, 500]), "alpha_bar": shares(), "grad": samples(5)},
    )


Q_SAMPLE_VJP = Op(
    text.q_sample_vjp,
    laws=(
        Law("each gets grad times its factor", noised_gradient_equation),
        Law("is adjoint to the noising", noised_gradient_adjoint),
        Law("the squares of both add up to that of grad", noised_gradient_norm),
        Law("shares of 0 and 1 give all to the noise, or to the sample", noised_gradient_ends),
        SAMPLE_BY_SAMPLE,
        LINEAR_IN_GRAD,
    ),
    probes=(gradient_probe(lambda: text.alpha_bar(linear_betas())),),
    mistakes=(
        Edit(
            "q_sample_vjp/signal-factor-not-rooted",
            "multiplies the gradient of the sample by the share",
            "np.sqrt(share) * grad",
            "share * grad",
            effect="gradients too small at late times",
            invisible_when="the share is 0 or 1",
        ),
        Edit(
            "q_sample_vjp/noise-factor-not-rooted",
            "multiplies the gradient of the noise by one minus the share",
            "np.sqrt(1 - share) * grad",
            "(1 - share) * grad",
            effect="gradients too small at early times",
            invisible_when="the share is 0 or 1",
        ),
        Edit(
            "q_sample_vjp/inverse-for-transpose",
            "divides by the factor of the sample, as to undo the noising",
            "np.sqrt(share) * grad",
            "grad / np.sqrt(share)",
            effect="gradients grow without limit at late times",
            invisible_when="the share is 1",
        ),
        Edit(
            "q_sample_vjp/factors-exchanged",
            "gives the sample the factor of the noise",
            "np.sqrt(share) * grad, np.sqrt(1 - share) * grad",
            "np.sqrt(1 - share) * grad, np.sqrt(share) * grad",
            effect="no gradient early, all of it late",
            invisible_when="the share is one half",
        ),
        Edit(
            "q_sample_vjp/noise-subtracted",
            "gives the noise the opposite sign",
            "np.sqrt(1 - share) * grad",
            "-np.sqrt(1 - share) * grad",
            effect="the noise is driven the wrong way",
            invisible_when="the share is 1",
        ),
        *wrong_times("q_sample_vjp", "at(alpha_bar, t, grad)", "at(alpha_bar, t - 1, grad)"),
    ),
    outputs=("x_start_grad", "noise_grad"),
)


# --- q_step ---------------------------------------------------------------------------------------


def step_equation(f, x_prev, t, noise, betas):
    beta = pick(betas, t, x_prev)
    yield f(x_prev, t, noise, betas), np.sqrt(beta) * (np.sqrt((1 - beta) / beta) * x_prev + noise)


def step_chain(f, x_prev, t, noise, betas):
    if len(betas) < 50 and len(x_prev):
        x, start = x_prev, 0 * t
        for time in range(len(betas)):
            x = f(x, start + time, 0 * noise, betas)
        last = start + len(betas) - 1
        yield x, text.q_sample(x_prev, last, 0 * noise, text.alpha_bar(betas))


def step_variances_add(f, x_prev, t, noise, betas):
    share = text.alpha_bar(betas)
    kept = f(np.sqrt(1 - pick(text.before(share), t, noise)) * noise, t, 0 * noise, betas)
    fresh = f(0 * x_prev, t, noise, betas)
    yield kept * kept + fresh * fresh, (1 - pick(share, t, noise)) * noise * noise


def step_first(f, x_prev, t, noise, betas):
    share = text.alpha_bar(betas)
    yield f(x_prev, 0 * t, noise, betas), text.q_sample(x_prev, 0 * t, noise, share)


def step_destroys(f, x_prev, t, noise, betas):
    yield f(x_prev, t, noise, 0 * betas + 1), noise


Q_STEP = Op(
    text.q_step,
    laws=(
        Law("equals the step's sigma form", step_equation),
        Law("all steps after each other scale the signal as one", step_chain),
        Law("the variance kept and the variance added make the whole", step_variances_add),
        Law("the first step is the noised sample of t = 0", step_first),
        Law("a variance of 1 leaves nothing but noise", step_destroys),
        SUPERPOSITION,
        SAMPLE_BY_SAMPLE,
    ),
    probes=(
        Probe(
            "both ends, the middle and a repeated time of the linear schedule",
            lambda: {
                "x_prev": samples(1),
                "t": np.array([0, 999, 500, 500]),
                "noise": samples(2),
                "betas": linear_betas(),
            },
        ),
        Probe(
            "a last variance of 1",
            lambda: {
                "x_prev": samples(3, (2, 2)),
                "t": np.array([1, 2]),
                "noise": samples(4, (2, 2)),
                "betas": np.array([0.1, 0.5, 1.0]),
            },
        ),
    ),
    mistakes=(
        Edit(
            "q_step/noise-scaled-by-variance",
            "multiplies the noise by the variance",
            "np.sqrt(beta) * noise",
            "beta * noise",
            effect="the variance of the chain decays",
            source="https://github.com/acids-ircam/diffusion_models/issues/1",
            invisible_when="the noise is 0 or the variance is 1",
        ),
        Edit(
            "q_step/signal-not-scaled",
            "adds noise to the sample as it stands",
            "np.sqrt(1 - beta) * x_prev",
            "x_prev",
            effect="the variance of the chain grows",
            invisible_when="the variance is small",
        ),
        Edit(
            "q_step/signal-factor-not-rooted",
            "multiplies the sample by one minus the variance",
            "np.sqrt(1 - beta) * x_prev",
            "(1 - beta) * x_prev",
            effect="the signal fades twice as fast",
            invisible_when="the variance is small",
        ),
        Edit(
            "q_step/cumulative",
            "takes the cumulative share, the step from the clean sample",
            "beta = at(betas, t, x_prev)",
            "beta = 1 - at(alpha_bar(betas), t, x_prev)",
            effect="the chain reaches pure noise after a few steps",
            invisible_when="t = 0",
        ),
        Edit(
            "q_step/factors-exchanged",
            "gives the sample the factor of the noise",
            "np.sqrt(1 - beta) * x_prev + np.sqrt(beta) * noise",
            "np.sqrt(beta) * x_prev + np.sqrt(1 - beta) * noise",
            effect="one step leaves almost nothing but noise",
            invisible_when="the variance is one half",
        ),
        *wrong_times("q_step", "at(betas, t, x_prev)", "at(betas, t - 1, x_prev)"),
    ),
)


# --- q_posterior ----------------------------------------------------------------------------------


def posterior_equation(f, x_start, x_t, t, betas):
    share, beta = text.alpha_bar(betas), pick(betas, t, x_t)
    if np.all(values(beta) < 1):
        eps = text.eps_from_x0(x_t, t, x_start, share)
        direct = (x_t - beta / np.sqrt(1 - pick(share, t, x_t)) * eps) / np.sqrt(1 - beta)
        yield f(x_start, x_t, t, betas)[0], direct


def posterior_precisions_add(f, x_start, x_t, t, betas):
    share, beta = text.alpha_bar(betas), pick(betas, t, x_t)
    room = 1 - pick(text.before(share), t, x_t)
    precision = beta + (1 - beta) * room  # times room and beta
    yield f(x_start, x_t, t, betas)[1] * precision, room * beta + 0 * x_t


def posterior_on_the_line(f, x_start, x_t, t, betas):
    share = text.alpha_bar(betas)
    mean, _, _ = f(x_start, np.sqrt(pick(share, t, x_t)) * x_start, t, betas)
    yield mean, np.sqrt(pick(text.before(share), t, x_t)) * x_start


def posterior_keeps_marginal(f, x_start, x_t, t, betas):
    share = text.alpha_bar(betas)
    noise = np.sqrt(1 - pick(share, t, x_t)) + 0 * x_t
    mean, variance, _ = f(0 * x_start, noise, t, betas)
    yield mean * mean + variance, 1 - pick(text.before(share), t, x_t) + 0 * x_t


def posterior_first(f, x_start, x_t, t, betas):
    mean, variance, _ = f(x_start, x_t, 0 * t, betas)
    yield mean, x_start
    yield variance, 0 * x_t


def posterior_log(f, x_start, x_t, t, betas):
    _, variance, log_variance = f(x_start, x_t, np.maximum(t, 1), betas)
    yield np.exp(log_variance), variance
    yield f(x_start, x_t, t, betas)[2], log_variance


def posterior_published(f, x_start, x_t, t, betas):
    betas = linear_betas(0 * betas[0])
    one = np.ones((1, 1)) + 0 * betas[0]
    yield printed(f(one, 0 * one, HALFWAY, betas)[0], "0.003058057076")
    mean, variance, log_variance = f(0 * one, one, HALFWAY, betas)
    yield printed(mean, "0.9941043508")
    yield printed(variance, "0.0100513357789")
    yield printed(log_variance, "-4.60004973998")


Q_POSTERIOR = Op(
    text.q_posterior,
    laws=(
        Law("the mean equals its form in the noise", posterior_equation),
        Law("the precisions of both neighbours add up", posterior_precisions_add),
        Law("without noise the mean is the noiseless sample", posterior_on_the_line),
        Law("mean and variance together keep the marginal variance", posterior_keeps_marginal),
        Law("at t = 0 the clean sample is certain", posterior_first),
        Law("the log variance is that of t = 1 or later", posterior_log),
        SAMPLE_BY_SAMPLE,
        Law("has the published coefficients halfway", posterior_published),
    ),
    probes=(
        Probe(
            "both ends, the start and the middle of the linear schedule",
            lambda: {
                "x_start": samples(1),
                "x_t": samples(2),
                "t": np.array([0, 1, 500, 999]),
                "betas": linear_betas(),
            },
        ),
        Probe(
            "a few large steps",
            lambda: {
                "x_start": samples(3, (3, 2)),
                "x_t": samples(4, (3, 2)),
                "t": np.array([0, 1, 2]),
                "betas": np.array([0.3, 0.4, 0.6]),
            },
        ),
    ),
    mistakes=(
        Edit(
            "q_posterior/coefficients-exchanged",
            "weighs the noised sample with the clean one's coefficient",
            "at(from_start, t, x_t) * x_start + at(from_x_t, t, x_t) * x_t",
            "at(from_start, t, x_t) * x_t + at(from_x_t, t, x_t) * x_start",
            effect="denoises far too fast",
            invisible_when="both samples are equal",
        ),
        Edit(
            "q_posterior/shares-before-padded-at-the-end",
            "drops the first share and appends a 1, in place of the reverse",
            "np.concatenate((np.ones(1), alpha_bar[:-1]))",
            "np.concatenate((alpha_bar[:-1], np.ones(1)))",
            where="before",
            effect="the variance is that of the forward step, and 0 at the last time",
            source="https://github.com/lucidrains/denoising-diffusion-pytorch/issues/18",
            invisible_when="in the middle of a long chain, where neighbours hardly differ",
        ),
        Edit(
            "q_posterior/variance-divided-by-beta",
            "divides by one minus the step's alpha in place of the cumulative one",
            "(1 - before(share)) / (1 - share)",
            "(1 - before(share)) / betas",
            where="posterior_variance",
            effect="the terms cancel and far too much noise is left at late times",
            source="https://github.com/varun-ml/diffusion-models-tutorial/pull/1",
            invisible_when="t = 0",
        ),
        Edit(
            "q_posterior/forward-variance",
            "returns the variance of the forward step",
            "at(posterior_variance(betas), t, x_t)",
            "at(betas, t, x_t)",
            effect="too much noise in the first steps, also at t = 0",
            invisible_when="late times, where both agree to a part in a million",
        ),
        Edit(
            "q_posterior/share-before-not-rooted",
            "weighs the clean sample with the share itself",
            "np.sqrt(before(share))",
            "before(share)",
            effect="the mean is too small",
            invisible_when="t = 0",
        ),
        Edit(
            "q_posterior/alpha-not-rooted",
            "weighs the noised sample with alpha itself",
            "np.sqrt(1 - betas)",
            "(1 - betas)",
            effect="the mean is too small",
            invisible_when="small variances",
        ),
        Edit(
            "q_posterior/log-of-zero",
            "takes the logarithm of the variance at t = 0 too",
            "at(fixed_small_log_variance(betas), t, x_t)",
            "np.log(at(posterior_variance(betas), t, x_t))",
            effect="-inf at t = 0, and NaN in the likelihood bound",
            invisible_when="t > 0",
        ),
        *wrong_times("q_posterior", "at(from_start, t, x_t)", "at(from_start, t - 1, x_t)"),
    ),
    dialects=(
        Edit(
            "q_posterior/clamped-log",
            "diffusers, latent diffusion and lucidrains clamp the variance at 1e-20",
            "at(fixed_small_log_variance(betas), t, x_t)",
            "np.log(np.maximum(at(posterior_variance(betas), t, x_t), 1e-20))",
            source="https://github.com/huggingface/diffusers/pull/3006",
            invisible_when="t > 0",
        ),
    ),
    outputs=("mean", "variance", "log_variance"),
    values={"betas": draw_betas},
)


# --- fixed_small_log_variance ---------------------------------------------------------------------


def small_equation(f, betas):
    share = text.alpha_bar(betas)
    yield f(betas)[1:], np.log(betas[1:]) + np.log(1 - share[:-1]) - np.log(1 - share[1:])


def small_precisions_add(f, betas):
    room = 1 - text.alpha_bar(betas)[:-1]
    precision = 1 / room + (1 - betas[1:]) / betas[1:]
    yield np.exp(f(betas))[1:] * precision, np.ones(len(betas) - 1)


def first_repeats_second(f, betas):
    logs = f(betas)
    yield logs[0], logs[1]


def small_below_both_neighbours(f, betas):
    variance = np.exp(f(betas)[1:])
    yield none_below(betas[1:] - variance)
    yield none_below(1 - text.alpha_bar(betas)[:-1] - variance)


def small_is_the_posterior(f, betas):
    t = np.arange(len(betas))
    nothing = np.zeros((len(betas), 1))
    yield f(betas), text.q_posterior(nothing, nothing, t, betas)[2][:, 0]


def small_published(f, betas):
    zero = 0 * betas[0]
    logs = f(linear_betas(zero))
    yield printed(np.exp(logs)[[0, 1, 999]], "0.00005453187661 0.00005453187661 0.01999998353")
    yield printed(logs[HALFWAY], "-4.60004973998")
    stable = np.exp(f(text.scaled_linear_schedule(1000, zero + 0.00085, zero + 0.012)))
    yield printed(stable[[1, 999]], "0.0004263531256 0.01199931762")


TABLE_PROBES = (
    Probe("the linear schedule of 1000 steps", lambda: {"betas": linear_betas()}),
    Probe("a few large steps", lambda: {"betas": np.array([0.3, 0.4, 0.6, 0.2])}),
    Probe("two steps", lambda: {"betas": np.array([0.3, 0.6])}),
)

FIXED_SMALL_LOG_VARIANCE = Op(
    text.fixed_small_log_variance,
    laws=(
        Law("equals a sum of logarithms after the first entry", small_equation),
        Law("the precisions of both neighbours add up", small_precisions_add),
        Law("the first entry repeats the second", first_repeats_second),
        Law("lies below the variances of both neighbours", small_below_both_neighbours),
        Law("is the posterior's log variance at every time", small_is_the_posterior),
        Law("has the published entries at 1000 steps", small_published),
    ),
    probes=TABLE_PROBES,
    mistakes=(
        Edit(
            "fixed_small_log_variance/log-of-zero",
            "takes the logarithm of the zero at t = 0",
            "np.concatenate((variance[1:2], variance[1:]))",
            "variance",
            effect="-inf at t = 0, and NaN in the likelihood bound",
            invisible_when="t > 0",
        ),
        Edit(
            "fixed_small_log_variance/shares-before-padded-at-the-end",
            "drops the first share and appends a 1, in place of the reverse",
            "np.concatenate((np.ones(1), alpha_bar[:-1]))",
            "np.concatenate((alpha_bar[:-1], np.ones(1)))",
            where="before",
            effect="the variance is that of the forward step, and 0 at the last time",
            source="https://github.com/lucidrains/denoising-diffusion-pytorch/issues/18",
        ),
        Edit(
            "fixed_small_log_variance/divided-by-beta",
            "divides by one minus the step's alpha in place of the cumulative one",
            "(1 - before(share)) / (1 - share)",
            "(1 - before(share)) / betas",
            where="posterior_variance",
            effect="far too much noise at late times",
            source="https://github.com/varun-ml/diffusion-models-tutorial/pull/1",
            invisible_when="t = 0",
        ),
        Edit(
            "fixed_small_log_variance/forward-variance",
            "takes the variance of the forward step",
            "variance = posterior_variance(betas)",
            "variance = betas",
            effect="too much noise in the first steps",
            invisible_when="late times, where both agree to a part in a million",
        ),
        Edit(
            "fixed_small_log_variance/standard-deviation",
            "returns the logarithm of the standard deviation",
            "np.log(np.concatenate((variance[1:2], variance[1:])))",
            "np.log(np.concatenate((variance[1:2], variance[1:]))) / 2",
            effect="noise of the root of the right size",
            invisible_when="the variance is 1",
        ),
        Edit(
            "fixed_small_log_variance/shifted",
            "puts the second entry in front of the whole table's end",
            "np.concatenate((variance[1:2], variance[1:]))",
            "np.concatenate((variance[1:], variance[-1:]))",
            effect="each time has the variance of the next",
            invisible_when="late in a long chain, where neighbours hardly differ",
        ),
    ),
    dialects=(
        Edit(
            "fixed_small_log_variance/clamped",
            "diffusers, latent diffusion and lucidrains clamp the variance at 1e-20",
            "np.concatenate((variance[1:2], variance[1:]))",
            "np.maximum(variance, 1e-20)",
            source="https://github.com/huggingface/diffusers/pull/3006",
            invisible_when="t > 0",
        ),
    ),
    precisions=TABLE_PRECISIONS,
    values={"betas": draw_betas},
)


# --- fixed_large_log_variance ---------------------------------------------------------------------


def large_equation(f, betas):
    yield np.exp(f(betas)[1:]), betas[1:]


def large_first(f, betas):
    precision = 1 / betas[0] + (1 - betas[1]) / betas[1]
    yield np.exp(f(betas)[0]) * precision, 1


def large_above_small(f, betas):
    logs = f(betas)
    small = text.fixed_small_log_variance(betas)
    yield none_below(logs - small)
    yield logs[0], small[0]


def large_is_the_step(f, betas):
    t = np.arange(1, len(betas))
    spread = text.q_step(np.zeros((len(t), 1)), t, np.ones((len(t), 1)), betas)[:, 0]
    yield f(betas)[1:], 2 * np.log(spread)


def large_published(f, betas):
    logs = f(linear_betas(0 * betas[0]))
    yield printed(logs[HALFWAY], "-4.59919209444")
    yield printed(np.exp(logs)[[0, 1, 999]], "0.00005453187661 0.00011991991992 0.02")


FIXED_LARGE_LOG_VARIANCE = Op(
    text.fixed_large_log_variance,
    laws=(
        Law("its exponential is the schedule after the first entry", large_equation),
        Law("the first entry is the posterior of the first two steps", large_first),
        Law("lies above the posterior's and meets it in the first entry", large_above_small),
        Law("is twice the logarithm of a step's spread", large_is_the_step),
        Law("has the published entries at 1000 steps", large_published),
    ),
    probes=TABLE_PROBES,
    mistakes=(
        Edit(
            "fixed_large_log_variance/log-of-zero",
            "puts the posterior variance of t = 0, a zero, in front",
            "[1:2]",
            "[0:1]",
            effect="-inf at t = 0",
            invisible_when="t > 0",
        ),
        Edit(
            "fixed_large_log_variance/second-variance-in-front",
            "puts the forward variance of t = 1 in front",
            "posterior_variance(betas)[1:2]",
            "betas[1:2]",
            effect="the decoder's likelihood at t = 0 is too low",
            invisible_when="t > 0",
        ),
        Edit(
            "fixed_large_log_variance/shifted",
            "puts the posterior's entry in front of the whole schedule",
            "betas[1:]))",
            "betas[:-1]))",
            effect="each time has the variance of the one before",
            invisible_when="t = 0",
        ),
        Edit(
            "fixed_large_log_variance/standard-deviation",
            "returns the logarithm of the standard deviation",
            "np.log(np.concatenate((posterior_variance(betas)[1:2], betas[1:])))",
            "np.log(np.concatenate((posterior_variance(betas)[1:2], betas[1:]))) / 2",
            effect="noise of the root of the right size",
            invisible_when="the variance is 1",
        ),
        Edit(
            "fixed_large_log_variance/posterior-variance",
            "takes the posterior variance at every time",
            "betas[1:]))",
            "posterior_variance(betas)[1:]))",
            effect="too little noise in the first steps",
            invisible_when="late times, where both agree to a part in a million",
        ),
        Edit(
            "fixed_large_log_variance/cumulative",
            "takes one minus the cumulative share",
            "betas[1:]))",
            "1 - alpha_bar(betas)[1:]))",
            effect="the variance of x_t, close to 1 at late times",
            invisible_when="t = 0",
        ),
    ),
    dialects=(
        Edit(
            "fixed_large_log_variance/first-kept",
            "diffusers keeps the forward variance at t = 0",
            "posterior_variance(betas)[1:2]",
            "betas[:1]",
            source="https://github.com/openai/guided-diffusion/issues/69",
            invisible_when="t > 0",
        ),
    ),
    precisions=TABLE_PRECISIONS,
    values={"betas": draw_betas},
)


# --- learned_range_log_variance -------------------------------------------------------------------


def range_equation(f, v, t, betas):
    if np.all(np.abs(values(v)) <= 2):
        middle = f(0 * v, t, betas)
        large = np.log(pick(betas, t, v))
        yield np.exp(f(v, t, betas)), np.exp(middle) * np.exp(v * (large - middle))


def range_ends(f, v, t, betas):
    yield f(0 * v + 1, t, betas), np.log(pick(betas, t, v)) + 0 * v
    yield f(0 * v - 1, t, betas), pick(text.fixed_small_log_variance(betas), t, v) + 0 * v


def range_middle(f, v, t, betas):
    product = pick(betas, t, v) * np.exp(pick(text.fixed_small_log_variance(betas), t, v))
    yield f(0 * v, t, betas), np.log(np.sqrt(product)) + 0 * v


def range_mirrored(f, v, t, betas):
    yield f(v, t, betas) + f(-v, t, betas), 2 * f(0 * v, t, betas)


def range_published(f, v, t, betas):
    zero = 0 * betas[0]
    logs = f(np.array([[0.3]]) + zero, HALFWAY, linear_betas(zero))
    yield printed(np.exp(logs), "0.0100569406552")
    # digits that survive the float32 tables of diffusers, where the numbers come from
    cosine = text.cosine_schedule(1000, zero + 0.008, zero + 0.999)
    logs = f(np.full((3, 1), 0.5) + zero, np.array([1, 487, 999]), cosine)
    yield printed(logs, "-10.171 -5.79981 -0.0010011")


LEARNED_RANGE_LOG_VARIANCE = Op(
    text.learned_range_log_variance,
    laws=(
        Law("equals a power of the ratio of the two variances", range_equation),
        Law("1 and -1 give the two fixed choices", range_ends),
        Law("0 gives their geometric mean", range_middle),
        Law("opposite numbers lie opposite around the middle", range_mirrored),
        SAMPLE_BY_SAMPLE,
        Law("has the recorded numbers on the linear and the cosine schedule", range_published),
    ),
    probes=(
        Probe(
            "both ends and the start of the linear schedule",
            lambda: {
                "v": np.array([[-1.0, 0.5, 1.0], [-1, 0.3, 1], [-1, 0, 1], [-3, 0.3, 3]]),
                "t": np.array([0, 1, 999, 2]),
                "betas": linear_betas(),
            },
        ),
        Probe(
            "numbers far outside the range at the start",
            lambda: {
                "v": np.array([[-4.0, 5.0, 1.5], [-1, 0.3, 1]]),
                "t": np.array([1, 0]),
                "betas": np.array([0.001, 0.4, 0.6]),
            },
        ),
    ),
    mistakes=(
        Edit(
            "learned_range_log_variance/not-rescaled",
            "takes the network's output for the fraction",
            "share = (v + 1) / 2",
            "share = v",
            effect="variances below the posterior's for negative outputs",
            invisible_when="v = 1",
        ),
        Edit(
            "learned_range_log_variance/ends-exchanged",
            "lets 1 mean the posterior's variance",
            "share * large + (1 - share) * small",
            "share * small + (1 - share) * large",
            effect="the learned variance is mirrored",
            invisible_when="v = 0, or late times",
        ),
        Edit(
            "learned_range_log_variance/log-of-zero",
            "takes the logarithm of the posterior variance at t = 0 too",
            "at(fixed_small_log_variance(betas), t, v)",
            "np.log(at(posterior_variance(betas), t, v))",
            effect="-inf at t = 0, and NaN in the likelihood bound",
            invisible_when="t > 0",
        ),
        Edit(
            "learned_range_log_variance/variances-mixed",
            "interpolates the variances in place of their logarithms",
            "share * large + (1 - share) * small",
            "np.log(np.abs(share * np.exp(large) + (1 - share) * np.exp(small)))",
            effect="a larger variance between the ends",
            invisible_when="v = 1 or v = -1",
        ),
        Edit(
            "learned_range_log_variance/standard-deviation",
            "returns the logarithm of the standard deviation",
            "return share * large + (1 - share) * small",
            "return (share * large + (1 - share) * small) / 2",
            effect="noise of the root of the right size",
            invisible_when="the variance is 1",
        ),
        Edit(
            "learned_range_log_variance/output-taken-as-log",
            "returns the network's output as the log variance",
            "return share * large + (1 - share) * small",
            "return v + 0 * large",
            effect="noise of size one at every time",
        ),
        *wrong_times(
            "learned_range_log_variance", "at(np.log(betas), t, v)", "at(np.log(betas), t - 1, v)"
        ),
    ),
    dialects=(
        Edit(
            "learned_range_log_variance/clamped",
            "some clamp the network's output to [-1, 1]",
            "share = (v + 1) / 2",
            "share = np.clip((v + 1) / 2, 0, 1)",
            source="https://github.com/openai/improved-diffusion/issues/7",
            invisible_when="the output lies in [-1, 1]",
        ),
        Edit(
            "learned_range_log_variance/bounded-by-tanh",
            "some pass the network's output through a tanh",
            "share = (v + 1) / 2",
            "share = (np.tanh(v) + 1) / 2",
            source="https://github.com/openai/improved-diffusion/issues/7",
            invisible_when="v = 0",
        ),
    ),
    values={"betas": draw_betas},
)

# --- x0_from_eps ----------------------------------------------------------------------------------


def start_equation(f, x_t, t, eps, alpha_bar):
    share = pick(alpha_bar, t, x_t)
    yield f(x_t, t, eps, alpha_bar), np.sqrt(1 / share) * x_t - np.sqrt(1 / share - 1) * eps


def start_recovered(f, x_t, t, eps, alpha_bar):
    x_start = x_t  # any sample will do
    yield f(text.q_sample(x_start, t, eps, alpha_bar), t, eps, alpha_bar), x_start


def start_through_velocity(f, x_t, t, eps, alpha_bar):
    x_start = f(x_t, t, eps, alpha_bar)
    v = text.velocity(x_start, t, eps, alpha_bar)
    yield text.x0_from_v(x_t, t, v, alpha_bar), x_start


def start_from_score(f, x_t, t, eps, alpha_bar):
    share = pick(alpha_bar, t, x_t)
    score = text.score_from_eps(eps, t, alpha_bar)
    yield np.sqrt(share) * f(x_t, t, eps, alpha_bar), x_t + (1 - share) * score


def start_published(f, x_t, t, eps, alpha_bar):
    zero = 0 * alpha_bar[0]
    _, _, predicted = waves(zero)
    share = text.alpha_bar(linear_betas(zero))
    x_start = f(golden_x_t(zero), HALFWAY, predicted, share)
    yield printed(x_start, "-1.00414291135 -2.8065650171 -2.02864418928 0.614402750601")


def golden_x_t(zero=0.0):
    x0, eps, _ = waves(zero)
    return text.q_sample(x0, HALFWAY, eps, text.alpha_bar(linear_betas(zero)))


X0_FROM_EPS = Op(
    text.x0_from_eps,
    laws=(
        Law("equals the form in the inverse share", start_equation),
        Law("recovers the clean sample of a noised one", start_recovered),
        Law("agrees with the velocity's clean sample", start_through_velocity),
        Law("equals the posterior mean in terms of the score", start_from_score),
        SUPERPOSITION,
        SAMPLE_BY_SAMPLE,
        Law("has the recorded numbers halfway", start_published),
    ),
    probes=(pair_probe("x_t", "eps"),),
    mistakes=(
        Edit(
            "x0_from_eps/multiplied-by-the-root",
            "multiplies by the root of the share in place of dividing",
            "* eps) / np.sqrt(share)",
            "* eps) * np.sqrt(share)",
            effect="clean samples too small at late times",
            invisible_when="early times",
        ),
        Edit(
            "x0_from_eps/noise-factor-not-rooted",
            "multiplies the noise by one minus the share",
            "np.sqrt(1 - share) * eps",
            "(1 - share) * eps",
            effect="noise is left in the clean sample",
            source="https://github.com/jcwang-gh/classifier-free-diffusion-guidance-Pytorch/issues/12",
            invisible_when="the noise is 0, or the share is near 0 or 1",
        ),
        Edit(
            "x0_from_eps/share-of-the-step-before",
            "looks up the share of the time before",
            "at(alpha_bar, t, x_t)",
            "at(before(alpha_bar), t, x_t)",
            effect="noise is left; at t = 0 the noised sample comes back",
            invisible_when="the tolerance is above 4 %",
        ),
        Edit(
            "x0_from_eps/noise-added",
            "adds the noise",
            "(x_t - np.sqrt(1 - share) * eps)",
            "(x_t + np.sqrt(1 - share) * eps)",
            effect="twice the noise in place of none",
            invisible_when="the noise is 0",
        ),
        Edit(
            "x0_from_eps/not-divided",
            "subtracts the noise and stops",
            " / np.sqrt(share)",
            "",
            effect="the clean sample fades with the share",
            invisible_when="early times",
        ),
        Edit(
            "x0_from_eps/divided-by-the-share",
            "divides by the share itself",
            " / np.sqrt(share)",
            " / share",
            effect="clean samples too large at late times",
            invisible_when="early times",
        ),
        *wrong_times("x0_from_eps", "at(alpha_bar, t, x_t)", "at(alpha_bar, t - 1, x_t)"),
    ),
    values={"alpha_bar": draw_shares},
)


# --- x0_from_eps_vjp ------------------------------------------------------------------------------


def start_gradient_equation(f, t, alpha_bar, grad):
    share = pick(alpha_bar, t, grad)
    x_t_grad, eps_grad = f(t, alpha_bar, grad)
    yield x_t_grad, np.sqrt(1 / share) * grad
    yield eps_grad, -np.sqrt((1 - share) / share) * grad


def start_gradient_adjoint(f, t, alpha_bar, grad):
    x_t, eps = grad[..., ::-1], grad * grad
    x_t_grad, eps_grad = f(t, alpha_bar, grad)
    sides = np.sum(x_t_grad * x_t) + np.sum(eps_grad * eps)
    yield np.sum(grad * text.x0_from_eps(x_t, t, eps, alpha_bar)), sides


def start_gradient_after_noising(f, t, alpha_bar, grad):
    x_t_grad, eps_grad = f(t, alpha_bar, grad)
    x_start_grad, noise_grad = text.q_sample_vjp(t, alpha_bar, x_t_grad)
    yield x_start_grad, grad
    yield noise_grad + eps_grad, 0 * grad


def start_gradient_without_noise(f, t, alpha_bar, grad):
    x_t_grad, eps_grad = f(t, 0 * alpha_bar + 1, grad)
    yield x_t_grad, grad
    yield eps_grad, 0 * grad


X0_FROM_EPS_VJP = Op(
    text.x0_from_eps_vjp,
    laws=(
        Law("each gets grad times its factor", start_gradient_equation),
        Law("is adjoint to the prediction", start_gradient_adjoint),
        Law(
            "through noising and prediction the sample gets grad, the noise nothing",
            start_gradient_after_noising,
        ),
        Law("without noise the noised sample gets grad", start_gradient_without_noise),
        SAMPLE_BY_SAMPLE,
        LINEAR_IN_GRAD,
    ),
    probes=(gradient_probe(lambda: text.alpha_bar(linear_betas())),),
    mistakes=(
        Edit(
            "x0_from_eps_vjp/sign",
            "forgets that the noise was subtracted",
            "-np.sqrt(1 - share)",
            "np.sqrt(1 - share)",
            effect="guidance drives the noise the wrong way",
            invisible_when="the share is 1",
        ),
        Edit(
            "x0_from_eps_vjp/inverse-for-transpose",
            "multiplies by the root of the share, as to undo the prediction",
            "grad / np.sqrt(share)",
            "grad * np.sqrt(share)",
            effect="no gradient at late times",
            invisible_when="early times",
        ),
        Edit(
            "x0_from_eps_vjp/divided-by-the-share",
            "divides by the share itself",
            "grad / np.sqrt(share)",
            "grad / share",
            effect="gradients too large at late times",
            invisible_when="early times",
        ),
        Edit(
            "x0_from_eps_vjp/noise-factor-not-rooted",
            "multiplies the gradient of the noise by one minus the share",
            "-np.sqrt(1 - share)",
            "-(1 - share)",
            effect="the network's part is too small",
            invisible_when="the share is near 0 or 1",
        ),
        Edit(
            "x0_from_eps_vjp/noise-not-divided",
            "forgets to divide the gradient of the noise by the root of the share",
            "* x_t_grad",
            "* grad",
            effect="the network's part is too small at late times",
            invisible_when="early times",
        ),
        Edit(
            "x0_from_eps_vjp/detached",
            "gives the noise no gradient, as though the network did not look at the sample",
            "-np.sqrt(1 - share) * x_t_grad",
            "0 * x_t_grad",
            effect="the network's part of the gradient is lost",
            invisible_when="the share is 1",
        ),
        *wrong_times("x0_from_eps_vjp", "at(alpha_bar, t, grad)", "at(alpha_bar, t - 1, grad)"),
    ),
    outputs=("x_t_grad", "eps_grad"),
    values={"alpha_bar": draw_shares},
)


# --- eps_from_x0 ----------------------------------------------------------------------------------


def noise_equation(f, x_t, t, x_start, alpha_bar):
    share = pick(alpha_bar, t, x_t)
    if np.all(values(share) > 0):
        direct = np.sqrt(1 / share) * x_t - x_start
        yield np.sqrt(1 / share - 1) * f(x_t, t, x_start, alpha_bar), direct


def noise_recovered(f, x_t, t, x_start, alpha_bar):
    noise = x_t  # any noise will do
    yield f(text.q_sample(x_start, t, noise, alpha_bar), t, x_start, alpha_bar), noise


def noise_inverts_start(f, x_t, t, x_start, alpha_bar):
    if np.all(values(alpha_bar) > 0):
        eps = f(x_t, t, x_start, alpha_bar)
        yield text.x0_from_eps(x_t, t, eps, alpha_bar), x_start


def noise_through_velocity(f, x_t, t, x_start, alpha_bar):
    eps = f(x_t, t, x_start, alpha_bar)
    v = text.velocity(x_start, t, eps, alpha_bar)
    yield text.eps_from_v(x_t, t, v, alpha_bar), eps


def noise_without_signal(f, x_t, t, x_start, alpha_bar):
    yield f(x_t, t, x_start, 0 * alpha_bar), x_t


def noise_published(f, x_t, t, x_start, alpha_bar):
    zero = 0 * alpha_bar[0]
    x0, _, _ = waves(zero)
    share = text.alpha_bar(linear_betas(zero))
    yield printed(f(golden_x_t(zero), HALFWAY, x0, share)[0, 0], "0.270151152934")


EPS_FROM_X0 = Op(
    text.eps_from_x0,
    laws=(
        Law("equals the form in the inverse share", noise_equation),
        Law("recovers the noise of a noised sample", noise_recovered),
        Law("is inverted by x0_from_eps", noise_inverts_start),
        Law("agrees with the velocity's noise", noise_through_velocity),
        Law("without signal the sample is the noise", noise_without_signal),
        SUPERPOSITION,
        SAMPLE_BY_SAMPLE,
        Law("gives back half a cosine of one from the recorded sample", noise_published),
    ),
    probes=(
        pair_probe("x_t", "x_start"),
        Probe(
            "a last share of 0",
            lambda: {
                "x_t": samples(3, (2, 3)),
                "t": np.array([0, 1]),
                "x_start": samples(4, (2, 3)),
                "alpha_bar": np.array([0.7, 0.0]),
            },
        ),
    ),
    mistakes=(
        Edit(
            "eps_from_x0/divided-by-the-variance",
            "divides by one minus the share itself",
            "/ np.sqrt(1 - share)",
            "/ (1 - share)",
            effect="the score with the wrong sign, too large at early times",
            invisible_when="late times",
        ),
        Edit(
            "eps_from_x0/not-divided",
            "subtracts the signal and stops",
            " / np.sqrt(1 - share)",
            "",
            effect="noise too small at early times",
            invisible_when="late times",
        ),
        Edit(
            "eps_from_x0/signal-not-scaled",
            "subtracts the clean sample itself",
            "np.sqrt(share) * x_start",
            "x_start",
            effect="signal is left in the noise at late times",
            invisible_when="early times, or a clean sample of 0",
        ),
        Edit(
            "eps_from_x0/signal-factor-not-rooted",
            "multiplies the clean sample by the share",
            "np.sqrt(share) * x_start",
            "share * x_start",
            effect="signal is left in the noise",
            invisible_when="a clean sample of 0",
        ),
        Edit(
            "eps_from_x0/share-of-the-step-before",
            "looks up the share of the time before",
            "at(alpha_bar, t, x_t)",
            "at(np.minimum(before(alpha_bar), 0.9999), t, x_t)",
            effect="the noise and the clean sample disagree about the time",
            invisible_when="neighbouring entries hardly differ",
        ),
        Edit(
            "eps_from_x0/sign",
            "subtracts the sample from the signal",
            "(x_t - np.sqrt(share) * x_start)",
            "(np.sqrt(share) * x_start - x_t)",
            effect="the sampler adds noise in place of removing it",
            invisible_when="there is no noise",
        ),
        *wrong_times("eps_from_x0", "at(alpha_bar, t, x_t)", "at(alpha_bar, t - 1, x_t)"),
    ),
    values={"alpha_bar": draw_shares},
)


# --- velocity -------------------------------------------------------------------------------------


def velocity_equation(f, x_start, t, noise, alpha_bar):
    share = pick(alpha_bar, t, x_start)
    if np.all(values(share) < 1):
        x_t = text.q_sample(x_start, t, noise, alpha_bar)
        direct = np.sqrt(share) * x_t - x_start
        yield np.sqrt(1 - share) * f(x_start, t, noise, alpha_bar), direct


def velocity_quarter_turn(f, x_start, t, noise, alpha_bar):
    yield f(x_start, t, noise, alpha_bar), text.q_sample(noise, t, -x_start, alpha_bar)


def velocity_round_trips(f, x_start, t, noise, alpha_bar):
    x_t = text.q_sample(x_start, t, noise, alpha_bar)
    v = f(x_start, t, noise, alpha_bar)
    yield text.x0_from_v(x_t, t, v, alpha_bar), x_start
    yield text.eps_from_v(x_t, t, v, alpha_bar), noise


def velocity_ends(f, x_start, t, noise, alpha_bar):
    yield f(x_start, t, noise, 0 * alpha_bar + 1), noise
    yield f(x_start, t, noise, 0 * alpha_bar), -x_start


def velocity_published(f, x_start, t, noise, alpha_bar):
    zero = 0 * alpha_bar[0]
    x0, eps, _ = waves(zero)
    v = f(x0, HALFWAY, eps, text.alpha_bar(linear_betas(zero)))
    yield printed(v, "-0.571110520119 -0.756604923544 -0.246480249525 0.490257229205")


VELOCITY = Op(
    text.velocity,
    laws=(
        Law("equals the form in the noised sample", velocity_equation),
        Law("is the noised sample a quarter turn on", velocity_quarter_turn),
        Law("the clean sample and the noise can be recovered", velocity_round_trips),
        Law("keeps the norm together with the noised sample", norm_with(text.q_sample)),
        Law("shares of 1 and 0 give the noise and minus the sample", velocity_ends),
        SUPERPOSITION,
        SAMPLE_BY_SAMPLE,
        Law("has the recorded numbers halfway", velocity_published),
    ),
    probes=(pair_probe("x_start", "noise"), ends_probe("x_start", "noise")),
    mistakes=(
        Edit(
            "velocity/factors-exchanged",
            "gives the noise the factor of the sample",
            "np.sqrt(share) * noise - np.sqrt(1 - share) * x_start",
            "np.sqrt(1 - share) * noise - np.sqrt(share) * x_start",
            effect="a network trained on it works with its own sampler alone",
            invisible_when="the share is one half",
        ),
        Edit(
            "velocity/arguments-exchanged",
            "exchanges the sample and the noise",
            "np.sqrt(share) * noise - np.sqrt(1 - share) * x_start",
            "np.sqrt(share) * x_start - np.sqrt(1 - share) * noise",
            effect="a target that cannot be turned back with the noised sample",
        ),
        Edit(
            "velocity/sign-inside",
            "adds the two parts",
            "* noise - np.sqrt",
            "* noise + np.sqrt",
            effect="not orthogonal to the noised sample",
            invisible_when="the clean sample is 0",
        ),
        Edit(
            "velocity/not-rooted",
            "multiplies by the shares themselves",
            "np.sqrt(share) * noise - np.sqrt(1 - share) * x_start",
            "share * noise - (1 - share) * x_start",
            effect="the norm is not kept",
            invisible_when="the share is 0 or 1",
        ),
        Edit(
            "velocity/straight-line",
            "takes the difference of noise and sample, as flow matching does",
            "np.sqrt(share) * noise - np.sqrt(1 - share) * x_start",
            "noise - x_start + 0 * share",
            effect="a target for straight paths on a curved one",
        ),
        *wrong_times("velocity", "at(alpha_bar, t, x_start)", "at(alpha_bar, t - 1, x_start)"),
    ),
    dialects=(
        Edit(
            "velocity/negated",
            "some take the opposite sign, together with their way back",
            "return np.sqrt(share) * noise - np.sqrt(1 - share) * x_start",
            "return np.sqrt(1 - share) * x_start - np.sqrt(share) * noise",
        ),
    ),
)


# --- x0_from_v ------------------------------------------------------------------------------------


def start_v_equation(f, x_t, t, v, alpha_bar):
    share = pick(alpha_bar, t, x_t)
    if np.all((values(share) > 0) & (values(share) < 1)):
        sigma = np.sqrt((1 - share) / share)
        unscaled = x_t / np.sqrt(share)
        yield (
            f(x_t, t, v, alpha_bar),
            unscaled / (1 + sigma * sigma) - sigma / np.sqrt(1 + sigma * sigma) * v,
        )


def start_v_round_trip(f, x_t, t, v, alpha_bar):
    x_start, noise = x_t, v  # any pair will do
    noised = text.q_sample(x_start, t, noise, alpha_bar)
    target = text.velocity(x_start, t, noise, alpha_bar)
    yield f(noised, t, target, alpha_bar), x_start


def start_v_turns_back(f, x_t, t, v, alpha_bar):
    yield f(x_t, t, v, alpha_bar), text.q_sample(x_t, t, -v, alpha_bar)


def start_v_agrees_with_eps(f, x_t, t, v, alpha_bar):
    if np.all(values(alpha_bar) > 0):
        eps = text.eps_from_v(x_t, t, v, alpha_bar)
        yield f(x_t, t, v, alpha_bar), text.x0_from_eps(x_t, t, eps, alpha_bar)


def start_v_ends(f, x_t, t, v, alpha_bar):
    yield f(x_t, t, v, 0 * alpha_bar + 1), x_t
    yield f(x_t, t, v, 0 * alpha_bar), -v


X0_FROM_V = Op(
    text.x0_from_v,
    laws=(
        Law("equals the form of samplers that scale by sigma", start_v_equation),
        Law("recovers the clean sample", start_v_round_trip),
        Law("is the rotation of q_sample, backwards", start_v_turns_back),
        Law("agrees with the way through the noise", start_v_agrees_with_eps),
        Law("keeps the norm together with the noise", norm_with(text.eps_from_v)),
        Law("shares of 1 and 0 give the sample and minus the velocity", start_v_ends),
        SUPERPOSITION,
        SAMPLE_BY_SAMPLE,
    ),
    probes=(
        pair_probe("x_t", "v"),
        ends_probe("x_t", "v"),
        Probe(
            "the recorded sample and its velocity",
            lambda: {
                "x_t": golden_x_t(),
                "t": HALFWAY,
                "v": text.velocity(waves()[0], HALFWAY, waves()[1], text.alpha_bar(linear_betas())),
                "alpha_bar": text.alpha_bar(linear_betas()),
            },
        ),
    ),
    mistakes=(
        Edit(
            "x0_from_v/sign-of-the-velocity",
            "adds the velocity",
            "* x_t - np.sqrt",
            "* x_t + np.sqrt",
            effect="noise is doubled in place of removed",
            source="https://github.com/huggingface/diffusers/issues/1481",
            invisible_when="the velocity is 0",
        ),
        Edit(
            "x0_from_v/factors-exchanged",
            "gives the sample the factor of the velocity",
            "np.sqrt(share) * x_t - np.sqrt(1 - share) * v",
            "np.sqrt(1 - share) * x_t - np.sqrt(share) * v",
            effect="minus a derivative of the clean sample",
            invisible_when="the share is one half",
        ),
        Edit(
            "x0_from_v/not-rooted",
            "multiplies by the shares themselves",
            "np.sqrt(share) * x_t - np.sqrt(1 - share) * v",
            "share * x_t - (1 - share) * v",
            effect="the norm is not kept",
            invisible_when="the share is 0 or 1",
        ),
        Edit(
            "x0_from_v/velocity-taken-for-noise",
            "treats the network's output as noise",
            "return np.sqrt(share) * x_t - np.sqrt(1 - share) * v",
            "return (x_t - np.sqrt(1 - share) * v) / np.sqrt(share)",
            effect="garbage from networks trained on velocities",
            source="https://github.com/Stability-AI/stablediffusion/issues/45",
            invisible_when="early times",
        ),
        Edit(
            "x0_from_v/sample-in-sigma",
            "divides the sample by the root of the share first, as sigma samplers hold it",
            "np.sqrt(share) * x_t",
            "x_t + 0 * share",
            effect="too large by the root of 1 + sigma^2",
            source="https://github.com/huggingface/diffusers/issues/7046",
            invisible_when="early times",
        ),
        *wrong_times("x0_from_v", "at(alpha_bar, t, x_t)", "at(alpha_bar, t - 1, x_t)"),
    ),
)


# --- eps_from_v -----------------------------------------------------------------------------------


def noise_v_equation(f, x_t, t, v, alpha_bar):
    share = pick(alpha_bar, t, x_t)
    if np.all(values(share) < 1):
        x_start = text.x0_from_v(x_t, t, v, alpha_bar)
        direct = x_t - np.sqrt(share) * x_start
        yield np.sqrt(1 - share) * f(x_t, t, v, alpha_bar), direct


def noise_v_round_trip(f, x_t, t, v, alpha_bar):
    x_start, noise = x_t, v  # any pair will do
    noised = text.q_sample(x_start, t, noise, alpha_bar)
    target = text.velocity(x_start, t, noise, alpha_bar)
    yield f(noised, t, target, alpha_bar), noise


def noise_v_quarter_turn(f, x_t, t, v, alpha_bar):
    yield f(x_t, t, v, alpha_bar), text.q_sample(v, t, x_t, alpha_bar)


def noise_v_puts_together(f, x_t, t, v, alpha_bar):
    x_start = text.x0_from_v(x_t, t, v, alpha_bar)
    yield text.q_sample(x_start, t, f(x_t, t, v, alpha_bar), alpha_bar), x_t


def noise_v_ends(f, x_t, t, v, alpha_bar):
    yield f(x_t, t, v, 0 * alpha_bar + 1), v
    yield f(x_t, t, v, 0 * alpha_bar), x_t


EPS_FROM_V = Op(
    text.eps_from_v,
    laws=(
        Law("is what the clean sample leaves of the noised one", noise_v_equation),
        Law("recovers the noise", noise_v_round_trip),
        Law("is q_sample of the velocity with the sample as noise", noise_v_quarter_turn),
        Law("puts the noised sample together again", noise_v_puts_together),
        Law("keeps the norm together with the clean sample", norm_with(text.x0_from_v)),
        Law("shares of 1 and 0 give the velocity and the sample", noise_v_ends),
        SUPERPOSITION,
        SAMPLE_BY_SAMPLE,
    ),
    probes=(pair_probe("x_t", "v"), ends_probe("x_t", "v")),
    mistakes=(
        Edit(
            "eps_from_v/sign-of-the-sample",
            "subtracts the sample",
            "return np.sqrt(1 - share) * x_t + np.sqrt(share) * v",
            "return np.sqrt(share) * v - np.sqrt(1 - share) * x_t",
            effect="the sampler walks the wrong way",
            invisible_when="early times",
        ),
        Edit(
            "eps_from_v/sign-of-the-velocity",
            "subtracts the velocity",
            "* x_t + np.sqrt",
            "* x_t - np.sqrt",
            effect="the noise of the mirrored velocity",
            invisible_when="late times",
        ),
        Edit(
            "eps_from_v/factors-exchanged",
            "gives the sample the factor of the velocity",
            "np.sqrt(1 - share) * x_t + np.sqrt(share) * v",
            "np.sqrt(share) * x_t + np.sqrt(1 - share) * v",
            effect="the clean sample of minus the velocity",
            invisible_when="the share is one half",
        ),
        Edit(
            "eps_from_v/not-rooted",
            "multiplies by the shares themselves",
            "np.sqrt(1 - share) * x_t + np.sqrt(share) * v",
            "(1 - share) * x_t + share * v",
            effect="noise too small in the middle of the chain",
            invisible_when="the share is 0 or 1",
        ),
        Edit(
            "eps_from_v/not-converted",
            "passes the velocity on as noise",
            "return np.sqrt(1 - share) * x_t + np.sqrt(share) * v",
            "return v + 0 * share",
            effect="garbage from networks trained on velocities",
            source="https://github.com/Stability-AI/stablediffusion/issues/45",
            invisible_when="early times",
        ),
        *wrong_times("eps_from_v", "at(alpha_bar, t, x_t)", "at(alpha_bar, t - 1, x_t)"),
    ),
)


# --- score_from_eps -------------------------------------------------------------------------------


def score_equation(f, eps, t, alpha_bar):
    share = pick(alpha_bar, t, eps)
    yield f(eps, t, alpha_bar) * (1 - share), -np.sqrt(1 - share) * eps


def score_of_a_gaussian(f, eps, t, alpha_bar):
    share = pick(alpha_bar, t, eps)
    x_start = np.ones(eps.shape) / 4
    away = text.q_sample(x_start, t, eps, alpha_bar) - np.sqrt(share) * x_start
    yield f(eps, t, alpha_bar), -away / (1 - share)


def score_round_trip(f, eps, t, alpha_bar):
    yield text.eps_from_score(f(eps, t, alpha_bar), t, alpha_bar), eps


def score_odd_and_homogeneous(f, eps, t, alpha_bar):
    yield f(-3 * eps, t, alpha_bar), -3 * f(eps, t, alpha_bar)


def score_without_signal(f, eps, t, alpha_bar):
    yield f(eps, t, 0 * alpha_bar), -eps


def one_sample_probe(first):
    return Probe(
        "both ends, the middle and a repeated time of the linear schedule",
        lambda: {
            first: samples(1),
            "t": np.array([0, 999, 500, 500]),
            "alpha_bar": text.alpha_bar(linear_betas()),
        },
    )


SCORE_FROM_EPS = Op(
    text.score_from_eps,
    laws=(
        Law("times the variance is minus the scaled noise", score_equation),
        Law("is the gradient of a Gaussian's log density", score_of_a_gaussian),
        Law("eps_from_score turns it back", score_round_trip),
        Law("is odd and homogeneous", score_odd_and_homogeneous),
        Law("without signal the score is minus the noise", score_without_signal),
        SAMPLE_BY_SAMPLE,
    ),
    probes=(
        one_sample_probe("eps"),
        Probe(
            "a last share of 0",
            lambda: {
                "eps": samples(3, (2, 3)),
                "t": np.array([0, 1]),
                "alpha_bar": np.array([0.7, 0.0]),
            },
        ),
    ),
    mistakes=(
        Edit(
            "score_from_eps/sign",
            "forgets the sign",
            "-eps / np.sqrt",
            "eps / np.sqrt",
            effect="the sampler climbs away from the data",
            invisible_when="the noise is 0",
        ),
        Edit(
            "score_from_eps/divided-by-the-variance",
            "divides by one minus the share itself",
            "np.sqrt(1 - at(alpha_bar, t, eps))",
            "(1 - at(alpha_bar, t, eps))",
            effect="scores too large at early times",
            invisible_when="late times",
        ),
        Edit(
            "score_from_eps/multiplied",
            "multiplies by the noise's factor in place of dividing",
            "-eps / np.sqrt",
            "-eps * np.sqrt",
            effect="scores too small at early times",
            invisible_when="late times",
        ),
        Edit(
            "score_from_eps/factor-of-the-signal",
            "divides by the root of the share",
            "np.sqrt(1 - at(alpha_bar, t, eps))",
            "np.sqrt(at(alpha_bar, t, eps))",
            effect="scores too large at late times, too small at early ones",
            invisible_when="the share is one half",
        ),
        Edit(
            "score_from_eps/sigma",
            "divides by the ratio of noise to signal, as variance-exploding models do",
            "np.sqrt(1 - at(alpha_bar, t, eps))",
            "np.sqrt(1 / at(alpha_bar, t, eps) - 1)",
            effect="scores too small at late times",
            source="https://github.com/yang-song/score_sde_pytorch/issues/49",
            invisible_when="early times",
        ),
        *wrong_times("score_from_eps", "at(alpha_bar, t, eps)", "at(alpha_bar, t - 1, eps)"),
    ),
    values={"alpha_bar": draw_shares},
)


# --- eps_from_score -------------------------------------------------------------------------------


def score_noise_equation(f, score, t, alpha_bar):
    share = pick(alpha_bar, t, score)
    if np.all(values(share) < 1):
        yield f(score, t, alpha_bar), -(1 - share) * score / np.sqrt(1 - share)


def score_noise_round_trip(f, score, t, alpha_bar):
    if np.all(values(alpha_bar) < 1):
        yield text.score_from_eps(f(score, t, alpha_bar), t, alpha_bar), score


def score_noise_of_a_gaussian(f, score, t, alpha_bar):
    share = pick(alpha_bar, t, score)
    clean = f(score, t, alpha_bar)
    back = text.q_sample(0 * score, t, clean, alpha_bar)
    yield back, -(1 - share) * score


def score_noise_odd_and_homogeneous(f, score, t, alpha_bar):
    yield f(-3 * score, t, alpha_bar), -3 * f(score, t, alpha_bar)


def score_noise_ends(f, score, t, alpha_bar):
    yield f(score, t, 0 * alpha_bar), -score
    yield f(score, t, 0 * alpha_bar + 1), 0 * score


EPS_FROM_SCORE = Op(
    text.eps_from_score,
    laws=(
        Law("equals minus the variance times the score, over its root", score_noise_equation),
        Law("score_from_eps turns it back", score_noise_round_trip),
        Law("is the noise of a centred Gaussian sample", score_noise_of_a_gaussian),
        Law("is odd and homogeneous", score_noise_odd_and_homogeneous),
        Law("shares of 0 and 1 give minus the score and nothing", score_noise_ends),
        SAMPLE_BY_SAMPLE,
    ),
    probes=(
        one_sample_probe("score"),
        Probe(
            "nothing but signal, and nothing but noise",
            lambda: {
                "score": samples(3, (3, 2)),
                "t": np.array([0, 1, 2]),
                "alpha_bar": np.array([1.0, 0.5, 0.0]),
            },
        ),
    ),
    mistakes=(
        Edit(
            "eps_from_score/sign",
            "forgets the sign",
            "-np.sqrt(1 - at(",
            "np.sqrt(1 - at(",
            effect="guidance away from the class",
            source="https://github.com/Yukun66/Video_Director/issues/6",
            invisible_when="the score is 0",
        ),
        Edit(
            "eps_from_score/variance",
            "multiplies by one minus the share itself",
            "np.sqrt(1 - at(alpha_bar, t, score))",
            "(1 - at(alpha_bar, t, score))",
            effect="noise too small at early times",
            invisible_when="late times",
        ),
        Edit(
            "eps_from_score/not-scaled",
            "takes minus the score for the noise",
            "-np.sqrt(1 - at(alpha_bar, t, score)) * score",
            "-score",
            effect="noise too large at early times",
            invisible_when="late times",
        ),
        Edit(
            "eps_from_score/factor-of-the-signal",
            "multiplies by the root of the share",
            "np.sqrt(1 - at(alpha_bar, t, score))",
            "np.sqrt(at(alpha_bar, t, score))",
            effect="strong at early times, nothing at late ones",
            invisible_when="the share is one half",
        ),
        Edit(
            "eps_from_score/divided",
            "divides by the noise's factor in place of multiplying",
            "-np.sqrt(1 - at(alpha_bar, t, score)) * score",
            "-score / np.sqrt(1 - at(alpha_bar, t, score))",
            effect="noise too large at early times",
            invisible_when="late times",
        ),
        *wrong_times("eps_from_score", "at(alpha_bar, t, score)", "at(alpha_bar, t - 1, score)"),
    ),
)

# --- p_sample -------------------------------------------------------------------------------------


def reverse_equation(f, x_t, t, eps, noise, betas, log_variance, clip):
    share = pick(text.alpha_bar(betas), t, x_t)
    x_start = np.sqrt(1 / share) * x_t - np.sqrt(1 / share - 1) * eps
    x_start = np.minimum(np.maximum(x_start, -clip), clip)
    mean, _, _ = text.q_posterior(x_start, x_t, t, betas)
    spread = pick(np.arange(len(betas)) > 0, t, x_t) * np.exp(log_variance / 2)
    yield f(x_t, t, eps, noise, betas, log_variance, clip), mean + spread * noise


def reverse_in_the_noise(f, x_t, t, eps, noise, betas, log_variance, clip):
    beta, share = pick(betas, t, x_t), pick(text.alpha_bar(betas), t, x_t)
    direct = (x_t - beta / np.sqrt(1 - share) * eps) / np.sqrt(1 - beta)
    yield f(x_t, t, eps, 0 * noise, betas, log_variance, np.inf), direct


def reverse_noise(f, x_t, t, eps, noise, betas, log_variance, clip):
    moved = [f(x_t, t, eps, z, betas, log_variance, clip) for z in (noise, -noise)]
    spread = np.where(pick(np.arange(len(betas)) > 0, t, x_t), np.exp(log_variance / 2), 0)
    yield moved[0] - moved[1], 2 * spread * noise


def reverse_last(f, x_t, t, eps, noise, betas, log_variance, clip):
    last = f(x_t, 0 * t, eps, noise, betas, log_variance, clip)
    x_start = text.x0_from_eps(x_t, 0 * t, eps, text.alpha_bar(betas))
    yield last, np.minimum(np.maximum(x_start, -clip), clip)


def reverse_scaled(f, x_t, t, eps, noise, betas, log_variance, clip):
    doubled = f(2 * x_t, t, 2 * eps, 2 * noise, betas, log_variance, 2 * clip)
    yield doubled, 2 * f(x_t, t, eps, noise, betas, log_variance, clip)


def reverse_is_implicit(f, x_t, t, eps, noise, betas, log_variance, clip):
    logs = pick(text.fixed_small_log_variance(betas), t, x_t)
    share = text.alpha_bar(betas)
    implicit = text.ddim_step(x_t, t, t - 1, eps, noise, share, 1.0)
    yield f(x_t, t, eps, noise, betas, logs, np.inf), implicit


def reverse_published(f, x_t, t, eps, noise, betas, log_variance, clip):
    zero = 0 * betas[0]
    _, _, predicted = waves(zero)
    same = (golden_x_t(zero), HALFWAY, predicted, 0 * predicted, linear_betas(zero), 0 * predicted)
    yield (
        printed(f(*same, 1.0), "0.441498258327 0.00000529082586246 -0.444304104609 -0.477996983098")
    )
    yield (
        printed(f(*same, np.inf), "0.441485589068 -0.00551928810728 -0.44744975725 -0.477996983098")
    )


def golden_reverse(**changes):
    return {
        "x_t": golden_x_t(),
        "t": HALFWAY,
        "eps": waves()[2],
        "noise": np.array([[0.5, -1.0, 1.5, -2.0]]),
        "betas": linear_betas(),
        "log_variance": np.full((1, 1), -4.6),
        "clip": 1.0,
        **changes,
    }


def mixed_reverse(clip):
    return {
        "x_t": samples(1),
        "t": np.array([0, 5, 999, 1]),
        "eps": samples(2),
        "noise": samples(3),
        "betas": linear_betas(),
        "log_variance": np.array([[-9.0], [-8.0], [-4.0], [-9.0]]),
        "clip": clip,
    }


POSTERIOR_MEAN = "mean, _, _ = q_posterior(x_start, x_t, t, betas)"

P_SAMPLE = Op(
    text.p_sample,
    laws=(
        Law("equals the clipped prediction's posterior plus noise", reverse_equation),
        Law("without a limit the mean is the paper's form in the noise", reverse_in_the_noise),
        Law("opposite noise moves the sample the opposite way", reverse_noise),
        Law("the last step returns the clipped prediction without noise", reverse_last),
        Law("twice the samples and the limit give twice the result", reverse_scaled),
        Law("with the posterior's variance it is the implicit step", reverse_is_implicit),
        SAMPLE_BY_SAMPLE,
        Law("has the recorded means halfway", reverse_published),
    ),
    probes=(
        Probe("the recorded step, where the limit acts on three of four", golden_reverse),
        Probe(
            "the recorded step without a limit",
            lambda: golden_reverse(clip=np.inf),
        ),
        Probe("first, early and last times in one batch", lambda: mixed_reverse(1.0)),
        Probe("the same without a limit", lambda: mixed_reverse(np.inf)),
        Probe(
            "a few large steps",
            lambda: {
                "x_t": samples(4, (3, 2)),
                "t": np.array([2, 0, 1]),
                "eps": samples(5, (3, 2)),
                "noise": samples(6, (3, 2)),
                "betas": np.array([0.3, 0.4, 0.6]),
                "log_variance": np.log(np.array([[0.6], [0.3], [0.4]])),
                "clip": 0.5,
            },
        ),
    ),
    mistakes=(
        Edit(
            "p_sample/log-variance-not-halved",
            "multiplies the noise by the variance",
            "np.exp(log_variance / 2)",
            "np.exp(log_variance)",
            effect="blurred samples",
            source="https://github.com/Y-debug-sys/Diffusion-TS/issues/135",
            invisible_when="the noise is 0 or the variance is 1",
        ),
        Edit(
            "p_sample/root-of-the-log",
            "takes the root of the log variance, as if it were a variance",
            "np.exp(log_variance / 2)",
            "np.sqrt(log_variance)",
            effect="NaN, as logarithms of small variances are negative",
            source="https://github.com/huggingface/diffusers/issues/14569",
            invisible_when="t = 0 is the only time",
        ),
        Edit(
            "p_sample/noise-at-the-end",
            "adds noise at t = 0 too",
            "noisy * np.exp",
            "np.exp",
            effect="noise is left in the final sample",
            invisible_when="t > 0",
        ),
        Edit(
            "p_sample/noise-asked-of-the-first-sample",
            "asks the first sample of a batch whether to add noise",
            "at(np.arange(len(betas)) > 0, t, x_t)",
            "at(np.arange(len(betas)) > 0, np.repeat(t[:1], len(t)), x_t)",
            effect="a batch of mixed times is treated as one",
            invisible_when="all samples have the same time",
        ),
        Edit(
            "p_sample/mean-clipped",
            "clips the mean in place of the predicted clean sample",
            """    x_start = np.minimum(np.maximum(x_start, -clip), clip)
    mean, _, _ = q_posterior(x_start, x_t, t, betas)
""",
            """    mean, _, _ = q_posterior(x_start, x_t, t, betas)
    mean = np.minimum(np.maximum(mean, -clip), clip)
""",
            effect="noise is cut off at late times",
            invisible_when="no limit, or t = 0",
        ),
        Edit(
            "p_sample/clipped-above-only",
            "clips large values and keeps small ones",
            "np.minimum(np.maximum(x_start, -clip), clip)",
            "np.minimum(x_start, clip)",
            effect="dark outliers remain",
            invisible_when="no prediction lies below the limit",
        ),
        Edit(
            "p_sample/step-noise-in-the-mean",
            "divides by the step's spread in place of the cumulative one",
            POSTERIOR_MEAN,
            "mean = (x_t - at(np.sqrt(betas), t, x_t) * eps) / at(np.sqrt(1 - betas), t, x_t)",
            effect="removes too much noise; samples blow up",
            invisible_when="t = 0",
        ),
        Edit(
            "p_sample/mean-divided-by-the-cumulative-root",
            "divides the paper's mean by the root of the share",
            POSTERIOR_MEAN,
            "share = alpha_bar(betas)\n"
            "    noise_share = at(betas / np.sqrt(1 - share), t, x_t)\n"
            "    mean = (x_t - noise_share * eps) / at(np.sqrt(share), t, x_t)",
            effect="explodes at late times, 157-fold at the last",
            invisible_when="t = 0",
        ),
        Edit(
            "p_sample/posterior-variance-in-the-mean",
            "takes the posterior's variance for beta in the paper's mean",
            POSTERIOR_MEAN,
            "share = alpha_bar(betas)\n"
            "    noise_share = at(posterior_variance(betas) / np.sqrt(1 - share), t, x_t)\n"
            "    mean = (x_t - noise_share * eps) / at(np.sqrt(1 - betas), t, x_t)",
            effect="removes too little noise in the last steps",
            source="https://github.com/coleygroup/shepherd/pull/14",
            invisible_when="t > 200 without a limit",
        ),
        Edit(
            "p_sample/coefficients-exchanged",
            "weighs the noised sample with the clean one's coefficient",
            "at(from_start, t, x_t) * x_start + at(from_x_t, t, x_t) * x_t",
            "at(from_start, t, x_t) * x_t + at(from_x_t, t, x_t) * x_start",
            where="q_posterior",
            effect="denoises far too fast",
            invisible_when="both samples are equal",
        ),
    ),
    dialects=(
        Edit(
            "p_sample/paper-without-clipping",
            "algorithm 2 as printed never predicts the clean sample, and never clips",
            POSTERIOR_MEAN,
            "noise_share = at(betas / np.sqrt(1 - alpha_bar(betas)), t, x_t)\n"
            "    mean = (x_t - noise_share * eps) / at(np.sqrt(1 - betas), t, x_t)",
            source="https://github.com/w86763777/pytorch-ddpm/issues/20",
            invisible_when="the limit does not act",
        ),
    ),
    values={"betas": draw_betas},
)


# --- ddim_step ------------------------------------------------------------------------------------


def shares_at(alpha_bar, t, t_prev, like):
    shares = np.concatenate((alpha_bar, np.ones(1)))
    return pick(shares, t, like), pick(shares, t_prev, like)


def implicit_equation(f, x_t, t, t_prev, eps, noise, alpha_bar, eta):
    share, earlier = shares_at(alpha_bar, t, t_prev, x_t)
    kept = (earlier - share) / (earlier * (1 - share))
    spread = eta * np.sqrt((1 - earlier) * kept)
    rest = np.maximum((1 - earlier) * (1 - eta * eta * kept), 0)
    factor = np.sqrt(rest) - np.sqrt(earlier * (1 - share) / share)
    direct = np.sqrt(earlier / share) * x_t + factor * eps + spread * noise
    yield f(x_t, t, t_prev, eps, noise, alpha_bar, eta), direct


def implicit_exact_noise(f, x_t, t, t_prev, eps, noise, alpha_bar, eta):
    x_start, (_, earlier) = x_t, shares_at(alpha_bar, t, t_prev, x_t)  # any sample will do
    noised = text.q_sample(x_start, t, eps, alpha_bar)
    there = np.sqrt(earlier) * x_start + np.sqrt(1 - earlier) * eps
    yield f(noised, t, t_prev, eps, noise, alpha_bar, 0 * eta), there


def implicit_two_steps(f, x_t, t, t_prev, eps, noise, alpha_bar, eta):
    between = t_prev + 1
    half = f(x_t, t, between, eps, noise, alpha_bar, 0 * eta)
    whole = f(x_t, t, t_prev, eps, noise, alpha_bar, 0 * eta)
    yield f(half, between, t_prev, eps, noise, alpha_bar, 0 * eta), whole


def implicit_variances_add(f, x_t, t, t_prev, eps, noise, alpha_bar, eta):
    share, earlier = shares_at(alpha_bar, t, t_prev, x_t)
    kept = f(np.sqrt(1 - share) * eps, t, t_prev, eps, 0 * noise, alpha_bar, eta)
    fresh = f(0 * x_t, t, t_prev, 0 * eps, eps, alpha_bar, eta)
    yield kept * kept + fresh * fresh, (1 - earlier) * eps * eps


def implicit_last(f, x_t, t, t_prev, eps, noise, alpha_bar, eta):
    x_start = text.x0_from_eps(x_t, t, eps, alpha_bar)
    yield f(x_t, t, 0 * t - 1, eps, noise, alpha_bar, eta), x_start


def implicit_is_reverse(f, x_t, t, t_prev, eps, noise, alpha_bar, eta):
    betas = text.betas_from_alpha_bar(alpha_bar)
    logs = pick(text.fixed_small_log_variance(betas), t, x_t)
    reverse = text.p_sample(x_t, t, eps, noise, betas, logs, np.inf)
    yield f(x_t, t, t - 1, eps, noise, alpha_bar, 0 * eta + 1), reverse


def implicit_scaled(f, x_t, t, t_prev, eps, noise, alpha_bar, eta):
    scaled = f(-2 * x_t, t, t_prev, -2 * eps, -2 * noise, alpha_bar, eta)
    yield scaled, -2 * f(x_t, t, t_prev, eps, noise, alpha_bar, eta)


def clipped_golden(zero=0.0):
    """The recorded sample with the noise that its clipped prediction implies."""
    share = text.alpha_bar(linear_betas(zero))
    x_t, predicted = golden_x_t(zero), waves(zero)[2]
    x_start = text.x0_from_eps(x_t, HALFWAY, predicted, share)
    x_start = np.minimum(np.maximum(x_start, -1), 1)
    return x_t, text.eps_from_x0(x_t, HALFWAY, x_start, share), share


def implicit_published(f, x_t, t, t_prev, eps, noise, alpha_bar, eta):
    zero = 0 * alpha_bar[0]
    golden, derived, share = clipped_golden(zero)
    still = f(golden, HALFWAY, HALFWAY - 1, derived, 0 * derived, share, zero)
    yield printed(still, "0.445467860658 0.00154697296158 -0.445205831164 -0.481572847175")
    mean = f(golden, HALFWAY, HALFWAY - 1, derived, 0 * derived, share, zero + 1)
    yield printed(mean, "0.441498258327 0.00000529082586246 -0.444304104609 -0.477996983098")
    unit = f(0 * golden, HALFWAY, HALFWAY - 1, 0 * derived, 0 * derived + 1, share, zero + 1)
    yield printed(unit[0, 0], "0.100256350317")


def golden_implicit(eta):
    x_t, derived, share = clipped_golden()
    return {
        "x_t": x_t,
        "t": HALFWAY,
        "t_prev": HALFWAY - 1,
        "eps": derived,
        "noise": np.array([[0.5, -1.0, 1.5, -2.0]]),
        "alpha_bar": share,
        "eta": eta,
    }


def strides(eta):
    return {
        "x_t": samples(1),
        "t": np.array([999, 500, 40, 0]),
        "t_prev": np.array([700, 250, -1, -1]),
        "eps": samples(2),
        "noise": samples(3),
        "alpha_bar": text.alpha_bar(linear_betas()),
        "eta": eta,
    }


DDIM_STEP = Op(
    text.ddim_step,
    laws=(
        Law("equals one sum of sample, predicted and fresh noise", implicit_equation),
        Law("the exact noise leads to the noised sample of the earlier time", implicit_exact_noise),
        Law("two still steps with one noise are one", implicit_two_steps),
        Law("kept and fresh noise make the variance of the earlier time", implicit_variances_add),
        Law("the step before the first time returns the clean sample", implicit_last),
        Law("with eta 1 and neighbouring times it is the reverse step", implicit_is_reverse),
        Law("is odd and homogeneous", implicit_scaled),
        SAMPLE_BY_SAMPLE,
        Law("has the recorded numbers halfway", implicit_published),
    ),
    probes=(
        Probe("the recorded still step", lambda: golden_implicit(0.0)),
        Probe("the recorded step with eta 1", lambda: golden_implicit(1.0)),
        Probe("long strides, still", lambda: strides(0.0)),
        Probe("long strides, half the noise", lambda: strides(0.5)),
        Probe("long strides, eta 1", lambda: strides(1.0)),
        Probe(
            "a stride from almost nothing to almost everything",
            lambda: {
                "x_t": samples(4, (1, 3)),
                "t": np.array([1]),
                "t_prev": np.array([0]),
                "eps": samples(5, (1, 3)),
                "noise": samples(6, (1, 3)),
                "alpha_bar": np.array([0.9999, 1e-7]),
                "eta": 1.0,
            },
        ),
        Probe(
            "fresh noise that rounds to more than all there is",
            lambda: {
                "x_t": np.zeros((1, 2)),
                "t": np.array([1]),
                "t_prev": np.array([0]),
                "eps": np.zeros((1, 2)),
                "noise": np.array([[1.0, -2.0]]),
                "alpha_bar": np.array([0.36, 1e-12]),
                "eta": 1.0,
            },
        ),
    ),
    mistakes=(
        Edit(
            "ddim_step/direction-is-sigma",
            "scales the predicted noise by sigma",
            "np.sqrt(rest) * eps",
            "sigma * eps",
            effect="without fresh noise the sample carries none",
            source="https://github.com/jsboige/CoursIA/pull/16158",
            invisible_when="the earlier share is 1",
        ),
        Edit(
            "ddim_step/direction-without-sigma",
            "leaves the fresh noise's share in the direction",
            "1 - share_prev - sigma**2",
            "1 - share_prev",
            effect="more variance than the schedule has",
            invisible_when="eta = 0",
        ),
        Edit(
            "ddim_step/direction-of-the-current-share",
            "takes the noise level of the time it leaves",
            "1 - share_prev - sigma**2",
            "1 - share - sigma**2",
            effect="never gets clean",
            invisible_when="both shares are equal",
        ),
        Edit(
            "ddim_step/eta-on-fresh-noise-only",
            "takes sigma for eta = 1 out of the direction, whatever eta is",
            "1 - share_prev - sigma**2",
            "1 - share_prev - (1 - share_prev) / (1 - share) * (1 - share / share_prev)",
            effect="too little variance between eta 0 and 1",
            invisible_when="eta = 1",
        ),
        Edit(
            "ddim_step/previous-of-the-previous",
            "looks the earlier share up in a table that is shifted already",
            "at(shares, t_prev, x_t)",
            "at(shares, np.maximum(t_prev - 1, -1), x_t)",
            effect="one level of noise too little",
            invisible_when="neighbouring entries hardly differ, or the last step",
        ),
        Edit(
            "ddim_step/sigma-of-one-step",
            "takes the variance of a single step of the whole chain",
            "np.sqrt(1 - share / share_prev)",
            "np.sqrt(at(betas_from_alpha_bar(alpha_bar), t, x_t))",
            effect="fresh noise too small by the root of the stride",
            invisible_when="eta = 0 or neighbouring times",
        ),
        Edit(
            "ddim_step/sigma-inverted",
            "exchanges the two shares in sigma",
            "(1 - share_prev) / (1 - share)",
            "(1 - share) / np.maximum(1 - share_prev, 1e-12)",
            effect="more fresh noise than the earlier time has",
            invisible_when="eta = 0",
        ),
        Edit(
            "ddim_step/fresh-noise-scaled-by-variance",
            "multiplies the fresh noise by the variance",
            "+ sigma * noise",
            "+ sigma * sigma * noise",
            effect="less variance than the schedule has",
            invisible_when="eta = 0",
        ),
        Edit(
            "ddim_step/signal-factor-not-rooted",
            "multiplies the predicted clean sample by the share",
            "np.sqrt(share_prev) * x_start",
            "share_prev * x_start",
            effect="the signal fades with every step",
            invisible_when="the last step",
        ),
        Edit(
            "ddim_step/clean-sample-not-divided",
            "does not divide the predicted clean sample by the signal's factor",
            "* eps) / np.sqrt(share)",
            "* eps)",
            effect="the signal fades with every step",
            invisible_when="early times",
        ),
        *wrong_times("ddim_step", "at(shares, t, x_t)", "at(shares, t - 1, x_t)"),
    ),
    dialects=(
        Edit(
            "ddim_step/ends-with-the-first-share",
            "Stable Diffusion takes the first share of the table for the one before it",
            "np.concatenate((alpha_bar, np.ones(1)))",
            "np.concatenate((alpha_bar, alpha_bar[:1]))",
            source="https://github.com/lllyasviel/ControlNet/pull/587",
            invisible_when="all but the last step",
        ),
    ),
    values={"alpha_bar": draw_shares},
)


# --- respaced_timesteps ---------------------------------------------------------------------------


def sections_of(steps, counts):
    return np.array_split(np.arange(steps), len(counts))


def kept_of(f, steps, counts):
    """The kept times of each section."""
    return np.split(f(steps, counts), np.cumsum(counts)[:-1])


def kept_equation(f, steps, counts):
    for section, count, kept in zip(
        sections_of(steps, counts), counts, kept_of(f, steps, counts), strict=True
    ):
        if count > 1:
            twice = 2 * (count - 1) * (kept - section[0])
            away = np.abs(twice - 2 * np.arange(count) * (len(section) - 1))
            yield none_below(count - 1 - away)  # at most half a time away
            halves = values(away) == count - 1
            yield values(kept - section[0])[halves] % 2, np.zeros(np.sum(halves))


def kept_increase(f, steps, counts):
    kept = f(steps, counts)
    yield none_below(kept[1:] - kept[:-1] - 1)
    yield len(kept), np.sum(counts)


def kept_ends(f, steps, counts):
    for section, count, kept in zip(
        sections_of(steps, counts), counts, kept_of(f, steps, counts), strict=True
    ):
        if count > 0:
            yield kept[0], section[0]
        if count > 1:
            yield kept[-1], section[-1]


def kept_whole(f, steps, counts):
    sizes = np.array([len(section) for section in sections_of(steps, counts)])
    yield f(steps, sizes), np.arange(steps)


def kept_each_section(f, steps, counts):
    for section, count, kept in zip(
        sections_of(steps, counts), counts, kept_of(f, steps, counts), strict=True
    ):
        if len(section):
            yield kept, section[0] + f(len(section), np.array([count]))


def kept_published(f, steps, counts):
    yield f(1000, np.array([10])), np.array([0, 111, 222, 333, 444, 555, 666, 777, 888, 999])
    yield f(1000, np.array([250]))[:6], np.array([0, 4, 8, 12, 16, 20])
    yield f(1000, np.array([250]))[-4:], np.array([987, 991, 995, 999])
    fast = "0 22 44 66 88 111 133 155 177 199 200 222 244 266 288 311 333 355 377 399 400 500"
    expected = np.array([int(time) for time in fast.split()] + [599, 600, 799, 800])
    kept = f(1000, np.array([10, 10, 3, 2, 2]))
    yield kept[:-1], expected  # GLIDE replaces the last time, 999, by 997


RESPACED_TIMESTEPS = Op(
    text.respaced_timesteps,
    laws=(
        Law("no time is more than a half from its place, halves go to even", kept_equation),
        Law("keeps as many as it is told to, in increasing order", kept_increase),
        Law("both ends of a section are kept", kept_ends),
        Law("keeps the whole chain when told to", kept_whole),
        Law("sections do not see each other", kept_each_section),
        Law("gives the published lists", kept_published),
    ),
    probes=(
        Probe("250 of 1000", lambda: {"steps": 1000, "counts": np.array([250])}),
        Probe("three sections of 300", lambda: {"steps": 300, "counts": np.array([10, 15, 20])}),
        Probe("a half that goes to even", lambda: {"steps": 6, "counts": np.array([3])}),
        Probe(
            "a half that a running sum misses",
            lambda: {"steps": 16, "counts": np.array([15])},
        ),
        Probe(
            "sections of unequal size, one of them empty",
            lambda: {"steps": 11, "counts": np.array([2, 0, 3, 1])},
        ),
    ),
    mistakes=(
        Edit(
            "respaced_timesteps/cut-off",
            "cuts the places off in place of rounding them",
            "np.round(places)",
            "np.floor(places)",
            effect="times one too early, and the last may be missed",
            invisible_when="the stride is whole",
        ),
        Edit(
            "respaced_timesteps/halves-up",
            "rounds halves up",
            "np.round(places)",
            "np.floor(places + 0.5)",
            effect="some times one too late",
            invisible_when="no place is a half",
        ),
        Edit(
            "respaced_timesteps/end-left-out",
            "divides a section by the count in place of the number of intervals",
            "(len(section) - 1) / max(count - 1, 1)",
            "len(section) / max(count, 1)",
            effect="sampling starts below the last, noisiest time",
            invisible_when="one time is kept",
        ),
        Edit(
            "respaced_timesteps/counted-from-one",
            "counts times from one",
            "np.round(places).astype(int)]",
            "np.round(places).astype(int)] + 1",
            effect="the last time is outside the table",
        ),
        Edit(
            "respaced_timesteps/offset-forgotten",
            "gives places within the section",
            "section[np.round(places).astype(int)]",
            "np.round(places).astype(int)",
            effect="later sections repeat the first",
            invisible_when="one section",
        ),
        Edit(
            "respaced_timesteps/counts-backwards",
            "gives the last section the first count",
            "len(counts)), counts, strict",
            "len(counts)), counts[::-1], strict",
            effect="the fine steps are spent at the noisy end",
            invisible_when="the counts read the same both ways",
        ),
        Edit(
            "respaced_timesteps/longer-sections-last",
            "gives the last sections the remaining times",
            "np.array_split(np.arange(steps), len(counts))",
            "[steps - 1 - p[::-1] for p in np.array_split(np.arange(steps), len(counts))][::-1]",
            effect="section borders move",
            invisible_when="T is a multiple of the number of sections",
        ),
    ),
    dialects=(
        Edit(
            "respaced_timesteps/running-sum",
            "guided-diffusion adds the stride up, whose rounding errors turn some halves",
            "np.arange(count) * (len(section) - 1) / max(count - 1, 1)",
            "np.cumsum(np.full(count, (len(section) - 1) / max(count - 1, 1)) * "
            "(np.arange(count) > 0))",
            invisible_when="no place is a half",
        ),
        Edit(
            "respaced_timesteps/whole-stride",
            "ddimN and leading spacing take a whole stride and miss the last time",
            "(len(section) - 1) / max(count - 1, 1)",
            "(len(section) // max(count, 1))",
            source="https://github.com/huggingface/diffusers/issues/7401",
        ),
        Edit(
            "respaced_timesteps/trailing",
            "trailing spacing keeps the last time and misses the first",
            "np.arange(count) * (len(section) - 1) / max(count - 1, 1)",
            "np.round(np.arange(1, count + 1) * len(section) / max(count, 1)) - 1",
            source="https://github.com/huggingface/diffusers/issues/7401",
        ),
    ),
    precisions=TABLE_PRECISIONS,
    values={
        "counts": lambda source, sizes: np.array(
            [
                source.integer(0, len(section))
                for section in np.array_split(np.arange(sizes["T"]), sizes["S"])
            ]
        )
    },
)


# --- respaced_betas -------------------------------------------------------------------------------


def respaced_telescopes(f, betas, timesteps):
    share = text.alpha_bar(betas)
    kept = f(betas, timesteps)
    yield text.alpha_bar(kept), share[timesteps]
    yield kept[0], 1 - share[timesteps[0]]


def respaced_steps_multiply(f, betas, timesteps):
    kept = f(betas, timesteps)
    for k in range(1, min(len(timesteps), 12)):
        between = betas[timesteps[k - 1] + 1 : timesteps[k] + 1]
        yield 1 - kept[k], text.alpha_bar(between)[-1]


def respaced_whole(f, betas, timesteps):
    whole = np.arange(len(betas))
    yield f(betas, whole), betas
    yield f(betas, whole[: len(timesteps)]), betas[: len(timesteps)]


def respaced_twice(f, betas, timesteps):
    every = np.arange(len(timesteps))[::2]
    yield f(f(betas, timesteps), every), f(betas, timesteps[every])


def respaced_grows(f, betas, timesteps):
    yield none_below(f(betas, timesteps) - betas[timesteps])


def respaced_published(f, betas, timesteps):
    chain = linear_betas(0 * betas[0])
    spaced = text.respaced_timesteps(1000, np.array([250]))
    yield printed(text.alpha_bar(f(chain, spaced))[-1], "0.0000403582976538")
    coarse = text.alpha_bar(f(chain, np.arange(0, 1000, 40)))
    yield printed(coarse[-1], "0.000087413")


RESPACED_BETAS = Op(
    text.respaced_betas,
    laws=(
        Law("the shortened chain passes the kept shares of signal", respaced_telescopes),
        Law("one long step keeps what its short ones keep", respaced_steps_multiply),
        Law("keeping the first times keeps their variances", respaced_whole),
        Law("shortening twice is shortening once", respaced_twice),
        Law("no variance falls", respaced_grows),
        Law("has the published last shares", respaced_published),
    ),
    probes=(
        Probe(
            "250 of the linear schedule",
            lambda: {
                "betas": linear_betas(),
                "timesteps": text.respaced_timesteps(1000, np.array([250])),
            },
        ),
        Probe(
            "every 40th time of the linear schedule",
            lambda: {"betas": linear_betas(), "timesteps": np.arange(0, 1000, 40)},
        ),
        Probe(
            "three of five large steps, the last one whole",
            lambda: {
                "betas": np.array([0.1, 0.2, 0.3, 0.4, 1.0]),
                "timesteps": np.array([1, 2, 4]),
            },
        ),
    ),
    mistakes=(
        Edit(
            "respaced_betas/picked",
            "picks the variances of the kept times",
            "betas_from_alpha_bar(alpha_bar(betas)[timesteps])",
            "betas[timesteps]",
            effect="the shortened chain never reaches pure noise",
            invisible_when="all times are kept",
        ),
        Edit(
            "respaced_betas/shares-from-variances-picked",
            "multiplies the variances of the kept times only",
            "betas_from_alpha_bar(alpha_bar(betas)[timesteps])",
            "1 - alpha_bar(betas[timesteps])",
            effect="variances that follow no chain",
        ),
        Edit(
            "respaced_betas/scaled-by-the-stride",
            "multiplies the variances by the mean stride",
            "betas_from_alpha_bar(alpha_bar(betas)[timesteps])",
            "np.minimum(betas[timesteps] * (len(betas) / len(timesteps)), 1)",
            effect="near the right chain, and wrong everywhere",
            invisible_when="all times are kept",
        ),
        Edit(
            "respaced_betas/first-step-from-the-first-kept",
            "starts from the first kept share in place of 1",
            "np.concatenate((np.ones(1), alpha_bar[:-1]))",
            "np.concatenate((alpha_bar[:1], alpha_bar[:-1]))",
            where="before",
            effect="the first variance is 0",
            invisible_when="the first entry is not compared",
        ),
        Edit(
            "respaced_betas/difference",
            "subtracts neighbouring shares without dividing",
            "1 - alpha_bar / before(alpha_bar)",
            "before(alpha_bar) - alpha_bar",
            where="betas_from_alpha_bar",
            effect="late variances vanish",
            invisible_when="the first entry",
        ),
        Edit(
            "respaced_betas/rooted",
            "takes the ratio of the roots of the shares",
            "1 - alpha_bar / before(alpha_bar)",
            "1 - np.sqrt(alpha_bar / before(alpha_bar))",
            where="betas_from_alpha_bar",
            effect="half the noise in each step",
        ),
    ),
    precisions=TABLE_PRECISIONS,
    values={"betas": draw_betas},
)

OPS = (
    LINEAR_SCHEDULE,
    SCALED_LINEAR_SCHEDULE,
    COSINE_SCHEDULE,
    ALPHA_BAR,
    ZERO_TERMINAL_SNR,
    Q_SAMPLE,
    Q_SAMPLE_VJP,
    Q_STEP,
    Q_POSTERIOR,
    FIXED_SMALL_LOG_VARIANCE,
    FIXED_LARGE_LOG_VARIANCE,
    LEARNED_RANGE_LOG_VARIANCE,
    X0_FROM_EPS,
    X0_FROM_EPS_VJP,
    EPS_FROM_X0,
    VELOCITY,
    X0_FROM_V,
    EPS_FROM_V,
    SCORE_FROM_EPS,
    EPS_FROM_SCORE,
    P_SAMPLE,
    DDIM_STEP,
    RESPACED_TIMESTEPS,
    RESPACED_BETAS,
)
