"""What is known about euler_ancestral_step: laws, probes and mistakes."""

from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.samplers import reference as text
from refimpl.ops.samplers.spec.shared import (
    EACH_ALONE,
    HOMOGENEOUS,
    SAME_UNIT,
    SHIFT,
    backwards,
    slope_edits,
    waves,
)


def still(f, x, denoised, noise, sigma, sigma_next, eta):
    moved = f(x, denoised, noise, sigma, sigma_next, 0 * eta)
    yield moved, text.euler_step(x, denoised, sigma, sigma_next)


def down_to_zero(f, x, denoised, noise, sigma, sigma_next, eta):
    yield f(x, denoised, noise, sigma, 0 * sigma, eta), denoised


def variances_add(f, x, denoised, noise, sigma, sigma_next, eta):
    kept = f(sigma * x, 0 * x, 0 * x, sigma, sigma_next, eta)
    fresh = f(0 * x, 0 * x, x, sigma, sigma_next, eta)
    yield kept * kept + fresh * fresh, (sigma_next * x) ** 2


def linear_in_noise(f, x, denoised, noise, sigma, sigma_next, eta):
    fresh = f(0 * x, 0 * x, noise, sigma, sigma_next, eta)
    without = f(x, denoised, 0 * noise, sigma, sigma_next, eta)
    yield f(x, denoised, noise, sigma, sigma_next, eta), without + fresh


def share_of_fresh_noise(f, x, denoised, noise, sigma, sigma_next, eta):
    whole = f(0 * x, 0 * x, noise, sigma, sigma_next, 0 * eta + 1)
    yield f(0 * x, 0 * x, noise, sigma, sigma_next, eta), eta * whole


def with_noise(sigma, sigma_next, eta):
    return {**waves(), "noise": backwards(), "sigma": sigma, "sigma_next": sigma_next, "eta": eta}


EULER_ANCESTRAL_STEP = Op(
    text.euler_ancestral_step,
    laws=(
        Law("with eta 0 it is Euler's step", still),
        Law("a step to level 0 gives the guess", down_to_zero),
        Law("kept and fresh noise have the variance of sigma_next", variances_add),
        Law("is linear in the fresh noise", linear_in_noise),
        Law("the fresh noise is proportional to eta", share_of_fresh_noise),
        HOMOGENEOUS,
        SAME_UNIT,
        SHIFT,
        EACH_ALONE,
    ),
    probes=(
        Probe("from 3 to 1, all noise", lambda: with_noise(3.0, 1.0, 1.0)),
        Probe("from 3 to 1, half of it", lambda: with_noise(3.0, 1.0, 0.5)),
        Probe("the last step", lambda: with_noise(0.03125, 0.0, 1.0)),
        Probe("a small step", lambda: with_noise(2.0, 1.75, 1.0)),
    ),
    mistakes=(
        *slope_edits("euler_ancestral_step"),
        Edit(
            "euler_ancestral_step/up-and-down-exchanged",
            "exchanges sigma_up and sigma_down",
            "slope * (down - sigma) + up * noise",
            "slope * (up - sigma) + down * noise",
            effect="little of the old noise is left, whatever eta",
            invisible_when="both are equal, as from √2 to 1",
        ),
        Edit(
            "euler_ancestral_step/all-the-way-down",
            "steps down to sigma_next and then adds noise on top",
            "(down - sigma)",
            "(sigma_next - sigma)",
            effect="more noise than sigma_next",
            invisible_when="eta or the next level is 0",
        ),
        Edit(
            "euler_ancestral_step/variance-for-deviation",
            "multiplies the fresh noise by its variance instead of the deviation",
            "up * noise",
            "up**2 * noise",
            effect="too little noise below level 1, too much above",
            invisible_when="eta or the next level is 0, or the fresh noise has level 1",
        ),
        Edit(
            "euler_ancestral_step/ratio-not-squared",
            "uses the ratio of the levels instead of its square for the fresh noise",
            "(sigma_next / sigma) ** 2",
            "(sigma_next / sigma)",
            effect="there is too little fresh noise",
            invisible_when="eta or the next level is 0",
        ),
        Edit(
            "euler_ancestral_step/down-linear",
            "subtracts deviations instead of variances",
            "np.sqrt(np.maximum(sigma_next**2 - up**2, 0))",
            "np.maximum(sigma_next - up, 0)",
            effect="less noise than sigma_next",
            invisible_when="eta or the next level is 0",
        ),
        Edit(
            "euler_ancestral_step/eta-on-fresh-noise-only",
            "scales the fresh noise by eta, but steps down as for eta 1",
            "sigma_next**2 - up**2",
            "sigma_next**2 - sigma_next**2 * (1 - (sigma_next / sigma) ** 2)",
            effect="too little noise between eta 0 and 1",
            invisible_when="eta is 1",
        ),
    ),
)
