"""Inputs that are drawn."""

from refimpl.axes.drawing import FAMILIES, draw_floats
from refimpl.oracle.cases.drawn import (
    Case,
    RandomSource,
    generate,
    long_case,
    random_case,
    rounded,
)

__all__ = [
    "FAMILIES",
    "Case",
    "RandomSource",
    "draw_floats",
    "generate",
    "long_case",
    "random_case",
    "rounded",
]
