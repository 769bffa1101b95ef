"""What is known about dpm_solver_step: laws, probes and mistakes."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.samplers import reference as text
from refimpl.ops.samplers.spec.shared import (
    CONSTANT_GUESS,
    EACH_ALONE,
    HOMOGENEOUS,
    SAME_UNIT,
    SHIFT,
    backwards,
    waves,
)

AHEAD = "(1 + 1 / (2 * r)) * denoised - 1 / (2 * r) * denoised_before"


def same_guess(f, x, denoised, denoised_before, sigma_before, sigma, sigma_next):
    moved = f(x, denoised, denoised, sigma_before, sigma, sigma_next)
    yield moved, text.euler_step(x, denoised, sigma, sigma_next)


def halfway_ahead(f, x, denoised, denoised_before, sigma_before, sigma, sigma_next):
    half = np.log(sigma / sigma_next) / 2
    slope = (denoised - denoised_before) / np.log(sigma_before / sigma)
    moved = f(x, denoised, denoised_before, sigma_before, sigma, sigma_next)
    yield moved, text.euler_step(x, denoised + half * slope, sigma, sigma_next)


def even_steps(f, x, denoised, denoised_before, sigma_before, sigma, sigma_next):
    before = sigma * sigma / sigma_next
    ahead = (3 * denoised - denoised_before) / 2
    moved = f(x, denoised, denoised_before, before, sigma, sigma_next)
    yield moved, text.euler_step(x, ahead, sigma, sigma_next)


def memory_is_linear(f, x, denoised, denoised_before, sigma_before, sigma, sigma_next):
    levels = sigma_before, sigma, sigma_next
    whole = f(x, denoised, denoised_before, *levels)
    yield whole, f(x, denoised, 0 * x, *levels) + f(0 * x, 0 * x, denoised_before, *levels)


def remembered(before, sigma, sigma_next):
    return {
        **waves(),
        "denoised_before": backwards(),
        "sigma_before": before,
        "sigma": sigma,
        "sigma_next": sigma_next,
    }


DPM_SOLVER_STEP = Op(
    text.dpm_solver_step,
    laws=(
        CONSTANT_GUESS,
        Law("with two equal guesses it is Euler's step", same_guess),
        Law("is Euler's step with the guess extrapolated by half a step", halfway_ahead),
        Law("even steps weight the guesses 3/2 and -1/2", even_steps),
        Law("is linear in the previous guess", memory_is_linear),
        HOMOGENEOUS,
        SAME_UNIT,
        SHIFT,
        EACH_ALONE,
    ),
    probes=(
        Probe("levels 5, 3, 1", lambda: remembered(5.0, 3.0, 1.0)),
        Probe("a long step before a short one", lambda: remembered(80.0, 2.0, 1.5)),
        Probe("a short step before a long one", lambda: remembered(2.25, 2.0, 0.0625)),
    ),
    mistakes=(
        Edit(
            "dpm_solver_step/ratio-inverted",
            "inverts the ratio of the steps",
            "np.log(sigma_before / sigma) / h",
            "h / np.log(sigma_before / sigma)",
            effect="second order is lost for uneven steps",
            invisible_when="steps are even in the logarithm",
        ),
        Edit(
            "dpm_solver_step/half-forgotten",
            "extrapolates by a whole step instead of half",
            AHEAD,
            "(1 + 1 / r) * denoised - 1 / r * denoised_before",
            effect="second order is lost",
            invisible_when="both guesses are equal",
        ),
        Edit(
            "dpm_solver_step/memory-added",
            "adds the older guess instead of subtracting it",
            "denoised - 1 / (2 * r)",
            "denoised + 1 / (2 * r)",
            effect="the weights do not sum to one",
            invisible_when="the older guess is 0",
        ),
        Edit(
            "dpm_solver_step/guesses-exchanged",
            "exchanges the two guesses",
            AHEAD,
            "(1 + 1 / (2 * r)) * denoised_before - 1 / (2 * r) * denoised",
            effect="the step lags behind",
            invisible_when="both guesses are equal",
        ),
        Edit(
            "dpm_solver_step/exponent-sign",
            "forgets the minus sign in the exponent",
            "np.expm1(-h)",
            "np.expm1(h)",
            effect="the guess is subtracted",
            invisible_when="the guess is 0",
        ),
        Edit(
            "dpm_solver_step/first-order",
            "ignores the previous guess",
            "* ahead",
            "* (denoised + 0 * ahead)",
            effect="Euler's step",
            invisible_when="both guesses are equal",
        ),
        Edit(
            "dpm_solver_step/levels-in-place-of-logarithms",
            "measures steps in σ instead of log σ",
            "np.log(sigma_before / sigma) / h",
            "(sigma_before - sigma) / (sigma - sigma_next)",
            effect="second order is lost",
            invisible_when="both guesses are equal",
        ),
        Edit(
            "dpm_solver_step/sample-not-scaled",
            "does not multiply the sample by σ_next/σ",
            "np.exp(-h) * x",
            "x",
            effect="the noise is not removed",
            invisible_when="neighbouring levels",
        ),
    ),
    values={
        "sigma_before": lambda source, sizes: source.choice([5.0, 14.5, 80.0]),
        "sigma": lambda source, sizes: source.choice([1.0, 2.0, 4.5]),
        "sigma_next": lambda source, sizes: source.choice([0.03125, 0.5, 0.875]),
    },
)
