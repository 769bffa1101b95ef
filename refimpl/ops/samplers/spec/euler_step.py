"""What is known about euler_step: laws, probes and mistakes."""

from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.samplers import reference as text
from refimpl.ops.samplers.spec.shared import (
    CONSTANT_GUESS,
    EACH_ALONE,
    HOMOGENEOUS,
    SAME_UNIT,
    SHIFT,
    slope_edits,
    waves,
)


def down_to_zero(f, x, denoised, sigma, sigma_next):
    yield f(x, denoised, sigma, 0 * sigma), denoised


def stays(f, x, denoised, sigma, sigma_next):
    yield f(x, denoised, sigma, sigma), x


def two_steps(f, x, denoised, sigma, sigma_next):
    between = (sigma + sigma_next) / 2
    half = f(x, denoised, sigma, between)
    yield f(half, denoised, between, sigma_next), f(x, denoised, sigma, sigma_next)


def noise_follows_its_level(f, x, denoised, sigma, sigma_next):
    noised = denoised + sigma * x
    yield f(noised, denoised, sigma, sigma_next), denoised + sigma_next * x


EULER_STEP = Op(
    text.euler_step,
    laws=(
        CONSTANT_GUESS,
        Law("a step to level 0 gives the guess", down_to_zero),
        Law("a step to the same level changes nothing", stays),
        Law("two steps with one guess are one step", two_steps),
        Law(
            "with the right guess, noise of level σ becomes noise of level σ_next",
            noise_follows_its_level,
        ),
        HOMOGENEOUS,
        SAME_UNIT,
        SHIFT,
        EACH_ALONE,
    ),
    probes=(
        Probe("from 3 to 1", lambda: {**waves(), "sigma": 3.0, "sigma_next": 1.0}),
        Probe("the last step", lambda: {**waves(), "sigma": 0.03125, "sigma_next": 0.0}),
        Probe("a small step", lambda: {**waves(), "sigma": 14.625, "sigma_next": 14.5}),
    ),
    mistakes=(
        *slope_edits("euler_step"),
        Edit(
            "euler_step/steps-up",
            "changes the sign of the step",
            "(sigma_next - sigma)",
            "(sigma - sigma_next)",
            effect="noise grows instead of shrinking",
            invisible_when="both levels are equal",
        ),
        Edit(
            "euler_step/divided-by-the-next-level",
            "divides the slope by sigma_next",
            "/ sigma\n",
            "/ max(sigma_next, 1e-8)\n",
            effect="steps are too long, and infinite at the last",
            invisible_when="neighbouring levels",
        ),
        Edit(
            "euler_step/from-the-guess",
            "starts the step at the guess instead of x",
            "return x + slope",
            "return denoised + slope",
            effect="the noise changes its sign",
            invisible_when="the guess is the sample",
        ),
        Edit(
            "euler_step/scaled-as-the-network-input",
            "uses the sample divided by √(1 + σ²), which only the network should see",
            "return x + slope",
            "return x / (1 + sigma**2) ** 0.5 + slope",
            effect="the sample shrinks with every step",
            invisible_when="the level is near 0",
        ),
    ),
)
