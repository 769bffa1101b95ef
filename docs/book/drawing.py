"""What all figures have in common: how one is registered, colours, and data to draw."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")

import refimpl

HERE = Path(__file__).parents[1]  # the pages
THEMES = {"light": ("#1b1b1b", "#ffffff"), "dark": ("#d8d8d8", "#131416")}
LINES = (("#0072b2", "-"), ("#d55e00", "--"), ("#009e73", "-."), ("#aa6fae", ":"))
RGB = (("#d55e00", "-"), ("#009e73", "--"), ("#0072b2", ":"))
STEPS = 1000
PROMPT, KINDS = "a handwritten seven", ("none", "clip", "classifier", "cfg")


@dataclass(frozen=True)
class Figure:
    """A drawing with its size in inches and the words that stand for it."""

    draw: Callable[[Any], None]
    size: tuple[float, float]
    alt: str
    shows: tuple[str, ...] = ()  # operations that are drawn without their names in the code

    @property
    def __name__(self) -> str:
        return self.draw.__name__

    @property
    def caption(self) -> str:
        """The docstring of the drawing function, in one line."""
        return " ".join((inspect.getdoc(self.draw) or "").split())


FIGURES: dict[str, Figure] = {}


def figure(size: tuple[float, float], alt: str, *shows: str) -> Callable:
    """Register a drawing function under its name."""

    def register(draw: Callable[[Any], None]) -> Callable[[Any], None]:
        FIGURES[draw.__name__] = Figure(draw, size, alt, shows)
        return draw

    return register


@functools.cache
def photograph() -> np.ndarray:
    """A portrait of an astronaut, NASA, public domain: height width channels, in [0, 1]."""
    from skimage import data

    image = data.astronaut()[:448, :448] / 255
    return image.reshape(224, 2, 224, 2, 3).mean(axis=(1, 3))  # height width channels


def noise(*shape: int) -> np.ndarray:
    """The same normal numbers at each build."""
    return np.random.Generator(np.random.PCG64(7)).standard_normal(shape)


def tables() -> dict[str, np.ndarray]:
    """Noise variances by the name of their schedule, with the constants of the papers."""
    return {
        "linear": refimpl.linear_schedule(STEPS, 1e-4, 0.02),
        "scaled linear": refimpl.scaled_linear_schedule(STEPS, 8.5e-4, 0.012),
        "cosine": refimpl.cosine_schedule(STEPS, 0.008, 0.999),
    }


def bare(axes: Any, title: str = "") -> Any:
    """Axes without ticks."""
    axes.set(xticks=[], yticks=[])
    axes.set_title(title)
    return axes
