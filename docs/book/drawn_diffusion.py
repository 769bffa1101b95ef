"""Figures of diffusion and its guidance."""

from __future__ import annotations

import functools
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.colors import LinearSegmentedColormap

import refimpl
from docs.book.drawing import LINES, STEPS, bare, figure, noise, photograph, tables
from refimpl.models import gaussian_mixture as gm
from refimpl.models import sampling


@functools.cache
def album() -> np.ndarray:
    """Four photographs in grey, 32 × 32, in [-1, 1]: an astronaut (NASA), a cat, a cup, a man with
    a camera, all in the public domain or CC0."""
    from skimage import data

    squares = (
        data.astronaut()[:256, 100:356],
        data.chelsea()[:300, 60:360],
        data.coffee()[:, 100:500],
        data.camera()[:300, 100:400],
    )
    grey = [x.mean(axis=2) if x.ndim == 3 else x for x in map(np.float64, squares)]
    small = [refimpl.resize_bicubic(x[None, None], 32, 32)[0, 0] for x in grey]
    return np.clip(np.stack(small) / 127.5 - 1, -1, 1)  # 4 32 32


@figure(
    (9, 3.2),
    "Two rows of eight small pictures. Above, the sample goes from noise to a photograph of a "
    "cup; below, the predicted clean sample is a blend of four photographs first, and becomes "
    "that cup well before the noise is gone.",
)
def strip(fig: Any) -> None:
    """One walk of the reverse chain. The data are four photographs, so the best prediction is known
    in closed form, and nothing is learned. Above x_t, below the clean sample predicted from it."""
    flat = album().reshape(4, -1)
    size = flat.shape[1]
    photographs = gm.mixture(np.ones(4), flat, np.zeros((4, size, size)) + 1e-3 * np.eye(size))
    betas, kept = tables()["linear"], np.arange(0, STEPS, 25)
    network = gm.denoiser(photographs, refimpl.alpha_bar(betas))
    draws = noise(len(kept) + 1, 1, size)
    steps = list(
        sampling.ddpm(
            network, draws[0], draws[1:], betas, kept, refimpl.fixed_small_log_variance, np.inf
        )
    )
    shown = [0, 5, 10, 15, 20, 25, 30, 39]
    for column, axes in zip(shown, fig.subplots(2, len(shown)).T, strict=True):
        step = steps[column]
        for place, picture in zip(axes, (step.x, step.x_start), strict=True):
            bare(place).imshow(picture.reshape(32, 32), cmap="gray", vmin=-1.5, vmax=1.5)
        axes[0].set_title(f"t = {step.t}" if step.t >= 0 else "clean")
        if column == shown[0]:
            axes[0].set_ylabel("x_t")
            axes[1].set_ylabel("predicted")


@figure(
    (9, 4.4),
    "Two rows of six portraits, from clean to noise. In the upper row, the linear schedule, "
    "little is left of the face at step 500; in the lower row, the cosine schedule, it is there "
    "still.",
)
def noising(fig: Any) -> None:
    """One photograph and one noise, mixed by `q_sample`: ᾱ is the share of signal, SNR the
    signal-to-noise ratio ᾱ / (1 − ᾱ)."""
    image = 2 * photograph()[::2, ::2] - 1
    eps = noise(*image.shape)
    times = (0, 100, 300, 500, 700, 999)
    grid = fig.subplots(2, len(times))
    chosen = [(name, tables()[name]) for name in ("linear", "cosine")]
    for line, (name, betas) in zip(grid, chosen, strict=True):
        share = refimpl.alpha_bar(betas)
        for axes, t in zip(line, times, strict=True):
            x_t = refimpl.q_sample(image[None], np.array([t]), eps[None], share)[0]
            bare(axes, f"t = {t}\nᾱ {share[t]:.2g}\nSNR {share[t] / (1 - share[t]):.2g}").imshow(
                np.clip((x_t + 1) / 2, 0, 1)
            )
        line[0].set_ylabel(name)


@figure(
    (9, 3.4),
    "Left, the share of signal over the time for three schedules, all falling from one to zero, "
    "the cosine latest; right, the logarithm of the signal-to-noise ratio, which falls for the "
    "cosine in nearly a straight line until the end.",
)
def schedules(fig: Any) -> None:
    """Share of signal and signal-to-noise ratio, in decibels, of three schedules."""
    left, right = fig.subplots(1, 2)
    for (name, betas), (color, dash) in zip(tables().items(), LINES, strict=False):
        share = refimpl.alpha_bar(betas)
        left.plot(share, dash, color=color, label=name)
        right.plot(10 * np.log10(share / (1 - share)), dash, color=color, label=name)
    left.set(xlabel="time t", ylabel="share of signal ᾱ", ylim=(0, 1))
    right.set(xlabel="time t", ylabel="signal ÷ noise, dB", ylim=(-60, 50))
    left.legend()


def pair() -> gm.Mixture:
    """Two narrow bumps on a line."""
    return gm.mixture([1, 2], [[-1.0], [0.8]], [[[0.01]], [[0.04]]])


@figure(
    (9, 2.9),
    "Five histograms with a curve over each. At time 0 two separate bumps, then they widen and "
    "move together, and at the last time they are one normal distribution.",
)
def histograms(fig: Any) -> None:
    """4000 samples of two bumps, noised one `q_step` after the other (bars), and the density that
    they have in closed form (line)."""
    betas = tables()["cosine"]
    share, count, places = refimpl.alpha_bar(betas), 4000, np.linspace(-3.5, 3.5, 300)
    draws, mix = noise(STEPS + 2, count), pair()
    side = np.where(draws[0] < -0.430727, 0, 1)  # a third lies below
    x = (mix.means[side, 0] + np.sqrt(mix.variances[side, 0]) * draws[1])[:, None]
    panels = dict(zip((0, 200, 400, 600, 999), fig.subplots(1, 5, sharey=True), strict=True))
    for t, z in enumerate(draws[2:]):
        x = refimpl.q_step(x, np.full(count, t), z[:, None], betas)
        if t in panels:
            axes, density = panels[t], np.exp(gm.log_density(mix, places[:, None], share[t]))
            axes.hist(x[:, 0], bins=50, range=(-3.5, 3.5), density=True, color="#7aa6c2")
            axes.plot(places, density, color=LINES[1][0])
            axes.set(title=f"t = {t}", yticks=[], xticks=(-3, 0, 3))


def bell(places: np.ndarray, mean: Any, variance: Any) -> np.ndarray:
    """The density of a normal distribution."""
    return np.exp(-((places - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)


@figure(
    (8, 3.2),
    "Three bell curves over the sample one step cleaner: on the right what the clean sample says, "
    "on the left what the noised one says, and between them, higher and narrower, their product.",
)
def posterior(fig: Any) -> None:
    """One step back, when both ends are known: what the clean sample says, what the noised one
    says, and their product, which is what `q_posterior` returns. Ten steps, the cosine schedule."""
    betas, axes = refimpl.cosine_schedule(10, 0.008, 0.999), fig.subplots()
    share, t, clean, noised = refimpl.alpha_bar(betas), 5, 1.0, -0.6
    x, at, beta, before = np.linspace(-2.2, 2.6, 400), np.array([t]), betas[t], share[t - 1]
    mean, variance, _ = refimpl.q_posterior(np.array([[clean]]), np.array([[noised]]), at, betas)
    keep = np.sqrt(1 - beta)
    curves = {
        "from the clean sample": bell(x, np.sqrt(before) * clean, 1 - before),
        "from the noised sample": bell(noised, keep * x, beta),
        "both: q_posterior": bell(x, mean[0, 0], variance[0, 0]),
    }
    for (name, y), (color, dash) in zip(curves.items(), LINES, strict=False):
        axes.plot(x, y, dash, color=color, label=name)
    axes.set(xlabel="sample one step cleaner", yticks=[], ylim=(0, None))
    axes.legend()


@figure(
    (4.4, 4.2),
    "A quarter circle between the axes “clean sample” and “noise”; at five times an arrow from the "
    "centre to the noised sample on the circle, and at its tip a shorter arrow along the circle, "
    "the velocity, always at a right angle.",
)
def rotation(fig: Any) -> None:
    """In the plane of clean sample and noise, `q_sample` turns one into the other along a circle;
    `velocity` is the direction in which it moves."""
    axes, share = fig.subplots(), np.cos(np.linspace(0.1, 0.97, 5) * np.pi / 2) ** 2
    t, clean, eps = np.arange(5), np.tile([[1.0, 0.0]], (5, 1)), np.tile([[0.0, 1.0]], (5, 1))
    x_t, v = refimpl.q_sample(clean, t, eps, share), refimpl.velocity(clean, t, eps, share)
    angle = np.linspace(0, np.pi / 2, 100)
    axes.plot(np.cos(angle), np.sin(angle), color="grey", linewidth=0.8)
    zero, exact = np.zeros(5), {"angles": "xy", "scale_units": "xy", "scale": 1}
    axes.quiver(zero, zero, *x_t.T, color=LINES[0][0], width=0.008, label="q_sample", **exact)
    axes.quiver(*x_t.T, *(v / 3).T, color=LINES[1][0], width=0.008, label="velocity ÷ 3", **exact)
    axes.set(xlabel="clean sample", ylabel="noise", aspect="equal", xlim=(-0.4, 1.2))
    axes.set_ylim(-0.05, 1.45)
    axes.legend(loc="upper right")


def five() -> gm.Mixture:
    """Five bumps in the plane; the second label belongs to two of them."""
    angles = 2 * np.pi * np.arange(5) / 5 + np.pi / 2
    means = 1.6 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return gm.mixture(np.ones(5), means, np.tile(0.04 * np.eye(2), (5, 1, 1)))


LABEL = [3, 4]


@functools.cache
def paths(scale: float, count: int) -> np.ndarray:
    """What DDIM passes through on the way from noise to the mixture, guided with a scale."""
    betas, mix = tables()["linear"], five()
    share = refimpl.alpha_bar(betas)
    network = sampling.guided_by_classifier(
        gm.denoiser(mix, share), gm.classifier(mix, share, LABEL), betas, scale
    )
    start, kept = noise(count, 2), np.arange(0, STEPS, 25)
    steps = sampling.ddim(network, start, np.zeros((len(kept), count, 2)), betas, kept, 0.0)
    return np.stack([start, *(step.x for step in steps)])  # K+1 B 2


def plane(axes: Any, mix: gm.Mixture, walked: np.ndarray, title: str) -> None:
    """Paths over the density of the clean samples."""
    line = np.linspace(-3, 4.2, 150)
    points = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    density = np.exp(gm.log_density(mix, points, 1.0)).reshape(150, 150)
    ink, paper = plt.rcParams["text.color"], plt.rcParams["axes.facecolor"]
    shades = LinearSegmentedColormap.from_list("shades", [paper, ink])
    axes.contourf(line, line, density, levels=8, cmap=shades, alpha=0.75)
    for b in range(walked.shape[1]):
        axes.plot(*walked[:, b].T, color=LINES[0][0], linewidth=0.8)
    axes.plot(*walked[0].T, "o", color=LINES[2][0], markersize=3, label="noise")
    axes.plot(*walked[-1].T, "s", color=LINES[1][0], markersize=4, label="sample")
    axes.set(title=title, aspect="equal", xlim=(-3, 4.2), ylim=(-3, 3), xticks=[], yticks=[])


@figure(
    (5.2, 5),
    "Forty curved paths from scattered points to five grey spots arranged in a pentagon, each path "
    "ending in a spot.",
)
def trajectories(fig: Any) -> None:
    """Forty samples walk from noise to five bumps by `ddim_step`; the noise is predicted in closed
    form, so that nothing here is learned."""
    axes = fig.subplots()
    plane(axes, five(), paths(0.0, 40), "")
    axes.legend(loc="upper right")


@figure(
    (9, 3.4),
    "Three panels with the same five spots. Without guidance the paths end in all five; with scale "
    "1 in the two spots on the right; with scale 6 they swing out and end at the right "
    "edges of these.",
)
def guidance(fig: Any) -> None:
    """The same noise, guided towards the two bumps of one label by the gradient of a perfect
    classifier."""
    for axes, scale in zip(fig.subplots(1, 3), (0.0, 1.0, 6.0), strict=True):
        plane(axes, five(), paths(scale, 40), f"scale {scale:g}")


@figure(
    (8, 3.2),
    "Bell curves over the next sample: the unguided step; the exact product with the classifier, "
    "further right and narrower; and the guided step, as wide as the unguided one and a little "
    "too far to the right. A dotted line rises to the right: what the classifier says.",
)
def shifted(fig: Any) -> None:
    """One reverse step, N(0.3, 0.5), and a classifier that likes 1. `classifier_guidance` moves the
    mean by variance × slope: too far by 0.08 here, and it keeps the width."""
    axes, x = fig.subplots(), np.linspace(-2, 3, 400)
    mean, variance, slope = np.array([0.3]), np.array([0.5]), np.array([-0.8 * (0.3 - 1)])
    moved = refimpl.classifier_guidance(mean, variance, slope, 1.0)
    curves = {
        "unguided": bell(x, mean, variance),
        "exact product": bell(x, 0.5, 1 / 2.8),
        "classifier_guidance": bell(x, moved, variance),
        "classifier ÷ 2": np.exp(-0.4 * (x - 1) ** 2) / 2,
    }
    for (name, y), (color, dash) in zip(curves.items(), LINES, strict=True):
        axes.plot(x, y, dash, color=color, label=name)
    axes.set(xlabel="next sample", yticks=[], ylim=(0, None))
    axes.legend()


@functools.cache
def steps_without(scale: float, count: int) -> np.ndarray:
    """The same walks, guided by the difference of two denoisers: with the label and without."""
    betas, mix = tables()["linear"], five()
    share = refimpl.alpha_bar(betas)
    labelled = gm.mixture(np.ones(2), mix.means[LABEL], np.tile(0.04 * np.eye(2), (2, 1, 1)))
    unconditional, conditional = gm.denoiser(mix, share), gm.denoiser(labelled, share)
    x, kept = noise(count, 2), np.arange(0, STEPS, 25)
    walked = [x]
    for t, t_prev in zip(kept[::-1], [*kept[-2::-1], -1], strict=True):
        at, at_prev = np.full(count, t), np.full(count, t_prev)
        eps = refimpl.classifier_free_guidance(unconditional(x, at), conditional(x, at), scale)
        x = refimpl.ddim_step(x, at, at_prev, eps, np.zeros_like(x), share, 0.0)
        walked.append(x)
    return np.stack(walked)  # K+1 B 2


@figure(
    (9, 3.4),
    "Three panels with five spots. With scale 0 the paths end in all five; with scale 1 inside the "
    "two spots on the right; with scale 4 on the far sides of these, away from the others.",
)
def without(fig: Any) -> None:
    """The same noise without a classifier: `classifier_free_guidance` goes from the denoiser that
    knows no label towards, and past, the one that does."""
    for axes, scale in zip(fig.subplots(1, 3), (0.0, 1.0, 4.0), strict=True):
        plane(axes, five(), steps_without(scale, 40), f"scale {scale:g}")


@figure(
    (8, 3.4),
    "Over the guidance scale from 0 to 8, the share of samples with the label rises from 0.4 to 1 "
    "and stays; the spread of the samples around their bump rises a little and then falls.",
)
def sweep(fig: Any) -> None:
    """400 samples at each scale: the share that lands on the label, and how widely they scatter."""
    scales = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
    mix, hits, spread = five(), [], []
    for scale in scales:
        last = paths(scale, 400)[-1]
        nearest = np.argmin(np.sum((last[:, None] - mix.means) ** 2, axis=-1), axis=1)
        hits.append(np.mean(np.isin(nearest, LABEL)))
        spread.append(np.mean([last[nearest == k].std(axis=0).mean() for k in LABEL]))
    left, right = fig.subplots(1, 2)
    left.plot(scales, hits, "o-", color=LINES[0][0])
    left.set(xlabel="scale", ylabel="share with the label", ylim=(0, 1.05))
    right.plot(scales, spread, "s--", color=LINES[1][0])
    right.set(xlabel="scale", ylabel="spread within a bump", ylim=(0, None))
