"""The figures of the textbook, drawn by the operations they explain; the same on every machine.

Each figure is a function that draws on an empty figure; its docstring is the caption, and the text
for those who cannot see it is given where it is registered. Each is drawn twice, for light and for
dark pages. Colours differ in lightness and lines in dashes, so that a grey print can be read.
"""

from __future__ import annotations

import functools
import inspect
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from docs.book import (
    drawing,
    drawn_diffusion,
    drawn_models,
    drawn_operations,
    drawn_painters,
    drawn_readers,
)
from docs.book.drawing import FIGURES, THEMES
from refimpl.models import gaussian_mixture as gm
from refimpl.models import sampling
from refimpl.registry import OPS

DRAWN = (drawn_operations, drawn_diffusion, drawn_models, drawn_painters, drawn_readers)
HOMES = (gm, sampling, drawing, *DRAWN)


def named(function: Any, depth: int = 0) -> dict[str, int]:
    """The operations that a function names, and how many calls away: 0 for those in its own text.

    It looks into the functions of this module and of the samplers, not into whole networks.
    """
    known = {name: x for home in HOMES for name, x in vars(home).items()}
    found: dict[str, int] = {}
    waiting = [inspect.unwrap(function).__code__]
    while waiting:
        code = waiting.pop()
        waiting += [const for const in code.co_consts if inspect.iscode(const)]
        for name in code.co_names:
            other = inspect.unwrap(known.get(name))
            if name in OPS:
                found[name] = depth
            elif (
                depth < 3
                and inspect.isfunction(other)
                and sys.modules.get(other.__module__) in HOMES
            ):
                for op, steps in named(other, depth + 1).items():
                    found[op] = min(steps, found.get(op, steps))
    return found


@functools.cache
def picture_of(op: str) -> str | None:
    """The figure that says most about an operation: it names it nearest, and few others."""
    shown = {}
    for name, drawn in FIGURES.items():
        steps = named(drawn.draw) | dict.fromkeys(drawn.shows, 0)
        if op in steps:
            shown[name] = (steps[op], sum(depth <= steps[op] for depth in steps.values()))
    return min(shown, key=lambda name: shown[name], default=None)


def draw(name: str, theme: str, path: Path) -> None:
    """Write one figure for one theme."""
    drawn, (ink, paper) = FIGURES[name], THEMES[theme]
    style = {
        "text.color": ink,
        "axes.labelcolor": ink,
        "xtick.color": ink,
        "ytick.color": ink,
        "axes.edgecolor": ink,
        "axes.facecolor": paper,
        "figure.facecolor": paper,
        "legend.facecolor": paper,
        "legend.edgecolor": ink,
        "legend.framealpha": 0.8,
        "axes.titlesize": 10,
        "font.size": 10,
        "svg.hashsalt": name,
        "svg.fonttype": "path",
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with plt.rc_context(style):
        fig = plt.figure(figsize=drawn.size, layout="constrained")
        drawn.draw(fig)
        fig.savefig(path, metadata={"Date": None}, bbox_inches="tight", pad_inches=0.05)
        plt.close(fig)


def write(folder: Path) -> None:
    """Write all figures for all themes."""
    folder.mkdir(exist_ok=True)
    for name in FIGURES:
        for theme in THEMES:
            draw(name, theme, folder / f"{name}-{theme}.svg")
