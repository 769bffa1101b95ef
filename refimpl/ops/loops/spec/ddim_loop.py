"""What is known about ddim_loop: laws, probes, mistakes and a dialect."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.common import FLOATS, cosines, mistakes_of, sines
from refimpl.ops.diffusion import reference as diffusion
from refimpl.ops.loops import reference as text
from refimpl.ops.loops.spec.shared import network


def one_time(f, x, timesteps, alpha_bar, slope, offset):
    last = timesteps[-1:]
    t = np.full(len(x), last[0])
    eps = slope[last[0]] * x + offset[last[0]]
    yield f(x, last, alpha_bar, slope, offset), diffusion.x0_from_eps(x, t, eps, alpha_bar)


def nothing_predicted(f, x, timesteps, alpha_bar, slope, offset):
    found = f(x, timesteps, alpha_bar, 0 * slope, 0 * offset)
    yield found * np.sqrt(alpha_bar[timesteps[-1]]), x


def other_times_unasked(f, x, timesteps, alpha_bar, slope, offset):
    asked = np.isin(np.arange(len(alpha_bar)), timesteps)
    only = np.where(asked, slope, 0 * slope), np.where(asked, offset, 0 * offset)
    yield f(x, timesteps, alpha_bar, *only), f(x, timesteps, alpha_bar, slope, offset)


def step_and_rest(f, x, timesteps, alpha_bar, slope, offset):
    if len(timesteps) > 1:
        t, t_prev = (np.full(len(x), time) for time in timesteps[:-3:-1])
        eps = slope[timesteps[-1]] * x + offset[timesteps[-1]]
        moved = diffusion.ddim_step(x, t, t_prev, eps, 0 * x, alpha_bar, 0)
        rest = f(moved, timesteps[:-1], alpha_bar, slope, offset)
        yield rest, f(x, timesteps, alpha_bar, slope, offset)


def homogeneous(f, x, timesteps, alpha_bar, slope, offset):
    doubled = f(-2 * x, timesteps, alpha_bar, slope, -2 * offset)
    yield doubled, -2 * f(x, timesteps, alpha_bar, slope, offset)


def gentle_shares(source, known):
    """Shares of signal from nearly one down to a quarter or a tenth."""
    return np.linspace(0.96875, source.choice([0.25, 0.125]), known["T"])


def chain(steps, *kept):
    return {
        "x": sines(2, 3),
        "timesteps": np.array(kept),
        "alpha_bar": np.linspace(0.96875, 0.125, steps),
        "slope": cosines(1, steps)[0],
        "offset": sines(steps)[::-1].copy(),
    }


wrong = mistakes_of("ddim_loop")


ORDER = "range(len(timesteps) - 1, -1, -1)"
BEFORE = "timesteps[k - 1] if k else -1"
ASKED = "slope[t] * x + offset[t]"

DDIM_LOOP = Op(
    text.ddim_loop,
    costly=("K",),
    laws=(
        Law("with one time it is x0_from_eps", one_time),
        Law("with predictions of zero it is x / √ᾱ", nothing_predicted),
        Law("the network is called at the kept times alone", other_times_unasked),
        Law("one step and the rest of the loop are the whole loop", step_and_rest),
        Law("is homogeneous in samples and predictions", homogeneous),
    ),
    probes=(
        Probe("four of nine times", lambda: chain(9, 0, 3, 5, 8)),
        Probe("all of five", lambda: chain(5, 0, 1, 2, 3, 4)),
        Probe("leading times, one behind 0", lambda: chain(10, 1, 4, 7)),
    ),
    mistakes=(
        wrong(
            "earliest-first",
            "visits the times in ascending order",
            ORDER,
            "range(len(timesteps))",
            "the sample is cleaned at once and then noised again",
            "there is one time",
        ),
        wrong(
            "last-step-missing",
            "leaves out the last step",
            ORDER,
            "range(len(timesteps) - 1, 0, -1)",
            "the noise of the earliest time remains",
            "never",
        ),
        wrong(
            "first-step-missing",
            "leaves out the first step",
            ORDER,
            "range(len(timesteps) - 2, -1, -1)",
            "pure noise is taken for a less noisy sample",
            "never",
        ),
        wrong(
            "neighbouring-time",
            "steps to t - 1 instead of the next kept time",
            BEFORE,
            "t - 1",
            "each step is too short, and the network gets a wrong time",
            "all times are kept",
        ),
        wrong(
            "equal-steps",
            "steps by the average distance of the kept times",
            BEFORE,
            "max(t - len(alpha_bar) // len(timesteps), -1)",
            "the noise level is not that of the next time",
            "the times are evenly spaced",
        ),
        wrong(
            "index-for-time",
            "gives the network the number of the step instead of the time",
            ASKED,
            "slope[k] * x + offset[k]",
            "the network takes noise for an almost clean sample",
            "all times are kept",
            source="https://github.com/Stability-AI/stablediffusion/pull/226",
        ),
        wrong(
            "asked-at-the-next-time",
            "gives the network the time after the step instead of before",
            ASKED,
            "slope[max(t_prev, 0)] * x + offset[max(t_prev, 0)]",
            "too little noise is predicted",
            "the network does not care about time",
        ),
        wrong(
            "every-second-time",
            "advances the index twice per step",
            ORDER,
            "range(len(timesteps) - 1, -1, -2)",
            "every second step is missing",
            "there is one time",
        ),
    ),
    dialects=(
        wrong(
            "ends-at-the-first-share",
            "ends at ᾱ₀ instead of 1",
            BEFORE,
            "timesteps[k - 1] if k else 0",
            "a little noise remains: Stable Diffusion's set_alpha_to_one=False",
            "ᾱ₀ is 1",
        ),
    ),
    precisions=FLOATS,
    values={"alpha_bar": gentle_shares, **network("T")},
)
