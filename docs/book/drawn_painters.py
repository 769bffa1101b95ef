"""Figures of the small systems that paint what a text says."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")

from docs.book.drawing import LINES, PROMPT, bare, figure
from refimpl.models import plane, systems
from refimpl.models.systems import dalle2, imagen


@figure(
    (9, 4.2),
    "Left, small digits in ten groups for pictures and ten large digits for texts; lines lead from "
    "the seven among the texts to four dots in the group of pictures of sevens. Right, four white "
    "sevens on black.",
)
def from_words(fig: Any) -> None:
    """The small DALL·E 2 on “a handwritten seven”, in the plane of two principal components: the
    prior leads from the text to four vectors among those of unseen pictures (grey), and the decoder
    paints them."""
    seen = plane.plane(PROMPT, dalle2.drawn(PROMPT, 0, 4).vectors)
    grid = fig.add_gridspec(2, 4)
    axes = fig.add_subplot(grid[:, :2])
    for place, label in zip(seen.pictures, seen.labels, strict=True):
        axes.text(*place, str(label), color="grey", fontsize=6, ha="center", va="center")
    for label, place in enumerate(seen.texts):
        axes.text(*place, str(label), color=LINES[0][0], fontsize=12, ha="center", va="center")
    for place in seen.made:
        axes.plot(*np.stack((seen.asked[0], place)).T, "-", color=LINES[1][0], linewidth=0.6)
    axes.plot(*seen.made.T, "o", color=LINES[1][0], markersize=5)
    low, high = seen.pictures.min(axis=0) - 1, seen.pictures.max(axis=0) + 1
    (left, bottom), (right, top) = low, high
    axes.set(xlabel="component 1", ylabel="component 2", xlim=(left, right), ylim=(bottom, top))
    *_, last = systems.sample("dalle2", systems.asked("dalle2", PROMPT, steps=25, count=4))
    for number, picture in enumerate(last.x):
        place = fig.add_subplot(grid[number // 2, 2 + number % 2])
        bare(place).imshow(picture[0], cmap="gray", vmin=-1, vmax=1)


@figure(
    (8, 4),
    "Two rows of four pictures of 14 by 14 pixels from the same noise, at scale 12: above with the "
    "dynamic threshold, below with the static one, whose strokes and background are flat white "
    "and black.",
)
def thresholds(fig: Any) -> None:
    """The base of the small Imagen at scale 12, from the same noise: the dynamic threshold above,
    the static one below. Digits lie on black, which is the limit itself: scaled back, black is
    grey, and here the static threshold is the better one."""
    start, *_ = imagen.noises(0, 4)
    rows = zip(fig.subplots(2, 4), imagen.THRESHOLDS, ("dynamic", "static"), strict=True)
    for line, kind, name in rows:
        *_, last = imagen.base(PROMPT, 12.0, 15, start, kind)
        for axes, picture in zip(line, last.x, strict=True):
            bare(axes).imshow(picture[0], cmap="gray", vmin=-1, vmax=1)
        line[0].set_ylabel(name)


LENGTHS = (2, 4, 8, 16)  # steps of the samplers on latents
ALONG = (0, 2, 5, 10, 19)  # steps of the codes that are shown


@figure(
    (7, 5.2),
    "A column for each of six samplers, a row for each number of steps. With two steps there are "
    "smears in most columns, with sixteen a white seven on black in all.",
)
def from_latents(fig: Any) -> None:
    """The small Stable Diffusion on “a handwritten seven”: all six samplers, from the same noise,
    with 2, 4, 8 and 16 steps."""
    samplers = systems.system("stable-diffusion").samplers
    places = fig.subplots(len(LENGTHS), len(samplers))
    for line, steps in zip(places, LENGTHS, strict=True):
        for axes, sampler in zip(line, samplers, strict=True):
            asked = systems.asked(
                "stable-diffusion", PROMPT, steps=steps, sampler=sampler, seed=2, count=1
            )
            *_, last = systems.sample("stable-diffusion", asked)
            bare(axes).imshow(last.x[0, 0], cmap="gray", vmin=-1, vmax=1)
        line[0].set_ylabel(f"{steps} steps")
    for axes, sampler in zip(places[0], samplers, strict=True):
        axes.set_title(sampler)


@figure(
    (7, 4.4),
    "Three rows of five pictures. Left, loops without sense; from column to column they "
    "become white sevens on black.",
)
def from_codes(fig: Any) -> None:
    """The small VQGAN+CLIP on “a handwritten seven”: three pictures, which begin as random codes,
    along the way."""
    asked = systems.asked("vqgan-clip", PROMPT, steps=ALONG[-1] + 1, count=3)
    walk = list(systems.sample("vqgan-clip", asked))
    places = fig.subplots(3, len(ALONG))
    for column, step in zip(places.T, ALONG, strict=True):
        for axes, picture in zip(column, walk[step].x, strict=True):
            bare(axes).imshow(picture[0], cmap="gray", vmin=-1, vmax=1)
        column[0].set_title(f"{step} steps" if step else "random codes")
