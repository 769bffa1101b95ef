"""What is known about churn: laws, probes and mistakes."""

from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.samplers import reference as text
from refimpl.ops.samplers.spec.shared import (
    EACH_ALONE,
    HOMOGENEOUS,
    SAME_UNIT,
    backwards,
    waves,
)


def nothing(f, x, noise, sigma, amount, low, high):
    calm, level = f(x, noise, sigma, 0 * amount, low, high)
    yield calm, x
    yield level, sigma


def outside(f, x, noise, sigma, amount, low, high):
    for limits in ((2 * sigma, 4 * sigma), (0 * sigma, sigma / 2)):
        calm, level = f(x, noise, sigma, amount, *limits)
        yield calm, x
        yield level, sigma


def variance_grows(f, x, noise, sigma, amount, low, high):
    _, level = f(x, noise, sigma, amount, low, high)
    fresh, _ = f(0 * x, noise, sigma, amount, low, high)
    yield fresh * fresh, (level * level - sigma * sigma) * noise * noise


def doubled_variance(f, x, noise, sigma, amount, low, high):
    _, level = f(x, noise, sigma, amount + 1, sigma / 2, 2 * sigma)
    yield level * level, 2 * sigma * sigma


def in_proportion(f, x, noise, sigma, amount, low, high):
    gamma = amount / 8  # below the cap for what is drawn
    _, level = f(x, noise, sigma, gamma, sigma / 2, 2 * sigma)
    yield level, sigma * (1 + gamma)


def churned(sigma, amount, low=0.05, high=50.0):
    x = waves()["x"]
    return {
        "x": x,
        "noise": backwards(),
        "sigma": sigma,
        "amount": amount,
        "low": low,
        "high": high,
    }


CHURN = Op(
    text.churn,
    laws=(
        Law("an amount of 0 changes nothing", nothing),
        Law("levels outside the limits do not change", outside),
        Law("the fresh noise has the difference of the variances", variance_grows),
        Law("the variance doubles at most", doubled_variance),
        Law("below the cap the level is multiplied by 1 + γ", in_proportion),
        HOMOGENEOUS,
        SAME_UNIT,
        EACH_ALONE,
    ),
    probes=(
        Probe("the paper's 40 over 18 steps", lambda: churned(2.0, 40 / 18)),
        Probe("1 over 18 steps", lambda: churned(2.0, 1 / 18)),
        Probe("no churn", lambda: churned(2.0, 0.0)),
        Probe("below the lower limit", lambda: churned(0.03125, 0.25)),
        Probe("above the upper limit", lambda: churned(80.0, 0.25)),
    ),
    outputs=("x_hat", "sigma_hat"),
    mistakes=(
        Edit(
            "churn/larger-of-both",
            "takes the maximum of amount and cap instead of the minimum",
            "np.minimum(amount, cap)",
            "np.maximum(amount, cap)",
            effect="noise is added at every step, even without churn",
            source="https://github.com/Comfy-Org/ComfyUI/pull/13820",
            invisible_when="the amount is √2 - 1, or the level is outside",
        ),
        Edit(
            "churn/no-cap",
            "does not cap the amount at √2 - 1",
            "np.minimum(amount, cap)",
            "amount",
            effect="with few steps the noise becomes too large",
            invisible_when="the amount is below √2 - 1",
        ),
        Edit(
            "churn/at-every-level",
            "ignores the limits low and high",
            "np.where(inside, np.minimum(amount, cap), 0.0)",
            "np.minimum(amount, cap) + 0 * inside",
            effect="the last levels lose detail",
            invisible_when="the level is inside the limits",
        ),
        Edit(
            "churn/level-difference",
            "multiplies the noise by the difference of the levels",
            "np.sqrt(sigma_hat**2 - sigma**2)",
            "(sigma_hat - sigma)",
            effect="less noise than the new level has",
            invisible_when="nothing is added",
        ),
        Edit(
            "churn/variance-for-deviation",
            "multiplies the noise by the difference of the variances without the root",
            "np.sqrt(sigma_hat**2 - sigma**2)",
            "(sigma_hat**2 - sigma**2)",
            effect="too much noise above level 1, too little below",
            invisible_when="nothing is added",
        ),
        Edit(
            "churn/level-not-raised",
            "returns the old level with the noisier sample",
            "* noise, sigma_hat",
            "* noise, sigma + 0 * sigma_hat",
            effect="the step that follows leaves noise behind",
            invisible_when="nothing is added",
        ),
        Edit(
            "churn/factor-for-growth",
            "multiplies the level by γ instead of 1 + γ",
            "(1 + gamma) * sigma",
            "np.where(gamma > 0, gamma, 1.0) * sigma + 0 * gamma",
            effect="the level falls where it should rise",
            invisible_when="nothing is added",
        ),
    ),
    values={
        "amount": lambda source, sizes: source.choice([0.0, 0.125, 0.25, 1.0]),
        "low": lambda source, sizes: source.choice([0.0, 0.05, 1.5]),
        "high": lambda source, sizes: source.choice([8.0, 50.0]),
    },
)
