"""Inputs that are drawn."""

from refimpl.oracle.cases.drawn import (
    FAMILIES,
    Case,
    RandomSource,
    draw_floats,
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
