"""What is known about alpha bar: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.common import FLOATS
from refimpl.ops.diffusion import reference as text
from refimpl.ops.diffusion.spec.shared import (
    STABLE_DIFFUSION,
    draw_betas,
    linear_betas,
    none_below,
    printed,
)


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
        Law("the ᾱ of joined chains is the product", share_of_two_chains),
        Law("the last ᾱ does not depend on the order of the steps", share_any_order),
        Law("1 - ᾱ is at most the sum of the variances", share_union_bound),
        Law("has the published ᾱ of the linear schedule", share_published),
    ),
    probes=(
        Probe("the linear schedule of 1000 steps", lambda: {"betas": linear_betas()}),
        Probe("a last variance of 1", lambda: {"betas": np.array([0.1, 0.5, 1.0])}),
        Probe("a single step", lambda: {"betas": np.array([0.3])}),
    ),
    mistakes=(
        Edit(
            "alpha_bar/not-cumulative",
            "returns 1 - β of the step alone instead of the product",
            "np.cumprod(1 - betas)",
            "1 - betas",
            effect="noised samples are almost clean at every t",
            invisible_when="t = 0",
        ),
        Edit(
            "alpha_bar/summed",
            "returns 1 minus the sum of the variances",
            "np.cumprod(1 - betas)",
            "1 - np.cumsum(betas)",
            effect="ᾱ becomes negative late in the chain",
            invisible_when="the variances are small and few",
        ),
        Edit(
            "alpha_bar/product-of-variances",
            "returns 1 minus the product of the β",
            "np.cumprod(1 - betas)",
            "1 - np.cumprod(betas)",
            effect="ᾱ rises to one instead of falling",
        ),
        Edit(
            "alpha_bar/one-step-late",
            "starts the table with ᾱ₋₁ = 1",
            "np.cumprod(1 - betas)",
            "np.concatenate((np.ones(1), np.cumprod(1 - betas)[:-1]))",
            effect="1 - ᾱ is 0 at t = 0, and posterior coefficients divide by 0",
            source="https://github.com/Project-MONAI/GenerativeModels/issues/489",
            invisible_when="a shift by one step is not noticed at large T",
        ),
        Edit(
            "alpha_bar/rooted",
            "returns √ᾱ instead of ᾱ",
            "np.cumprod(1 - betas)",
            "np.sqrt(np.cumprod(1 - betas))",
            effect="the root is taken twice: too much signal",
        ),
        Edit(
            "alpha_bar/continuous",
            "returns exp(-Σβ), as in continuous time",
            "np.cumprod(1 - betas)",
            "np.exp(-np.cumsum(betas))",
            effect="too much signal: 4.3e-5 instead of 4.0e-5 at the end of the linear schedule",
            invisible_when="the variances are small and few",
        ),
    ),
    precisions=FLOATS,
)


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
        Law("the new √ᾱ is an affine function of the old", terminal_equation),
        Law("keeps the first variance and ends with 1", terminal_ends),
        Law("a schedule that ends at ᾱ = 0 stays as it is", terminal_unchanged),
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
            "shifts and rescales ᾱ instead of √ᾱ",
            """    root = np.sqrt(alpha_bar(betas))  # T
    root = (root - root[-1]) * (root[0] / (root[0] - root[-1]))
    return betas_from_alpha_bar(root * root)""",
            """    root = alpha_bar(betas)  # T
    root = (root - root[-1]) * (root[0] / (root[0] - root[-1]))
    return betas_from_alpha_bar(root)""",
            effect="wrong noise at every t between the ends",
            invisible_when="only the first and the last ᾱ are compared",
        ),
        Edit(
            "zero_terminal_snr/shift-only",
            "subtracts the last √ᾱ without rescaling",
            "(root - root[-1]) * (root[0] / (root[0] - root[-1]))",
            "root - root[-1]",
            effect="signal is lost at t = 0: ᾱ is 0.87 for Stable Diffusion",
            invisible_when="only the last entry is compared",
        ),
        Edit(
            "zero_terminal_snr/stretched-to-one",
            "rescales so that ᾱ₋₁ = 1 is kept instead of ᾱ₀",
            "(root - root[-1]) * (root[0] / (root[0] - root[-1]))",
            "(root - root[-1]) / (1 - root[-1])",
            effect="the first variance changes",
        ),
        Edit(
            "zero_terminal_snr/not-squared-again",
            "takes the rescaled √ᾱ for ᾱ",
            "betas_from_alpha_bar(root * root)",
            "betas_from_alpha_bar(root)",
            effect="too little noise at every t but the last",
            invisible_when="only the last entry is compared",
        ),
        Edit(
            "zero_terminal_snr/stretch-inverted",
            "divides by the rescaling factor instead of multiplying",
            "(root[0] / (root[0] - root[-1]))",
            "((root[0] - root[-1]) / root[0])",
            effect="the first ᾱ shrinks twice",
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
            "ends at ᾱ = 4.9e-8, σ near 4519: some web interfaces",
            "betas_from_alpha_bar(root * root)",
            "betas_from_alpha_bar(np.maximum(root * root, 4.8973451890853435e-08))",
            source="https://github.com/AUTOMATIC1111/stable-diffusion-webui/issues/14071",
            invisible_when="the last entry is not compared",
        ),
    ),
    precisions=FLOATS,
    values={"betas": draw_betas},
)
