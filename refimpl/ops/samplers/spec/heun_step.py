"""What is known about heun_step: laws, probes and mistakes."""

from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.samplers import reference as text
from refimpl.ops.samplers.spec.shared import (
    CONSTANT_GUESS,
    EACH_ALONE,
    HOMOGENEOUS,
    SAME_UNIT,
    SHIFT,
    backwards,
    slope_edits,
    waves,
)

MEAN = "(slope + slope_next) / 2"


def beside_euler(f, x, denoised, denoised_next, sigma, sigma_next):
    bend = (denoised - denoised_next) * (sigma_next - sigma) / (2 * sigma_next)
    straight = text.euler_step(x, denoised, sigma, sigma_next)
    yield f(x, denoised, denoised_next, sigma, sigma_next), straight + bend


def same_slope(f, x, denoised, denoised_next, sigma, sigma_next):
    straight = text.euler_step(x, denoised, sigma, sigma_next)
    yield f(x, denoised, denoised, sigma, sigma_next), straight


def stays(f, x, denoised, denoised_next, sigma, sigma_next):
    yield f(x, denoised, denoised_next, sigma, sigma), x


def of_a_gaussian(f, x, denoised, denoised_next, sigma, sigma_next):
    """Data of deviation s = σ: at level σ' the ideal guess is x s² / (s² + σ'²)."""
    guess = x / 2
    ahead = text.euler_step(x, guess, sigma, sigma_next)
    shrink = sigma**2 / (sigma**2 + sigma_next**2)
    slope_next = ahead * sigma_next / (sigma**2 + sigma_next**2)
    mean = (x / (2 * sigma) + slope_next) / 2
    yield f(x, guess, ahead * shrink, sigma, sigma_next), x + (sigma_next - sigma) * mean


def ends(sigma, sigma_next):
    return {
        **waves(),
        "denoised_next": backwards(),
        "sigma": sigma,
        "sigma_next": sigma_next,
    }


def draw_next(source, sizes):
    return source.choice([0.03125, 0.5, 0.875, 0.25])


HEUN_STEP = Op(
    text.heun_step,
    laws=(
        CONSTANT_GUESS,
        Law("differs from Euler's step by a multiple of the change of the guess", beside_euler),
        Law("with the same guess at both ends it is Euler's step", same_slope),
        Law("a step to the same level changes nothing", stays),
        Law("for a Gaussian it uses the mean of the exact slopes", of_a_gaussian),
        HOMOGENEOUS,
        SAME_UNIT,
        SHIFT,
        EACH_ALONE,
    ),
    probes=(
        Probe("from 3 to 1", lambda: ends(3.0, 1.0)),
        Probe("a small step", lambda: ends(2.0, 1.75)),
        Probe("nearly down", lambda: ends(0.0625, 0.03125)),
    ),
    mistakes=(
        *slope_edits("heun_step"),
        Edit(
            "heun_step/sum-of-slopes",
            "adds the two slopes without halving",
            MEAN,
            "(slope + slope_next)",
            effect="the step is twice too long",
            invisible_when="both slopes are 0",
        ),
        Edit(
            "heun_step/second-slope-alone",
            "uses the second slope instead of the mean",
            MEAN,
            "slope_next",
            effect="first-order accuracy, like Euler's step",
            invisible_when="both slopes are equal",
        ),
        Edit(
            "heun_step/second-slope-at-the-first-level",
            "divides the second slope by the first level",
            "(ahead - denoised_next) / sigma_next",
            "(ahead - denoised_next) / sigma",
            effect="the second slope is too flat; noisy images",
            source="https://github.com/huggingface/diffusers/pull/1512",
            invisible_when="neighbouring levels",
        ),
        Edit(
            "heun_step/second-slope-from-the-first-sample",
            "computes the second slope from the first sample",
            "(ahead - denoised_next)",
            "(x - denoised_next)",
            effect="the second slope is too steep",
            invisible_when="neighbouring levels",
        ),
        Edit(
            "heun_step/from-the-euler-step",
            "adds the corrected step to the result of Euler's",
            "return x + (slope",
            "return ahead + (slope",
            effect="the step is twice too long",
            invisible_when="both slopes are 0",
        ),
        Edit(
            "heun_step/guess-of-the-first-level",
            "uses the first guess for the second slope",
            "(ahead - denoised_next)",
            "(ahead - denoised)",
            effect="Euler's step at twice the cost",
            invisible_when="the guess stays the same",
        ),
    ),
    values={"sigma_next": draw_next},
)
