"""Where in a text something cannot go on, and what to write instead."""

from __future__ import annotations

import linecache
import sys
from pathlib import Path

import numpy as np

from refimpl.exceptions import RefimplError

_OURS = Path(__file__).parent
_NUMPY = Path(np.__file__).parent

INSTEAD = {
    "fft": "a product with the matrices of cosines and sines",
    "ifft": "a product with the matrices of cosines and sines",
    "rfft": "a product with the matrices of cosines and sines",
    "inv": "the system's solution as sums and quotients; an inverse has no bound of its own",
    "solve": "the elimination as sums and quotients",
    "svd": "what the text needs of it, as sums and roots",
    "as_strided": "np.lib.stride_tricks.sliding_window_view or a reshape",
    "strides": "np.lib.stride_tricks.sliding_window_view or a reshape",
    "complex numbers": "real and imaginary parts as arrays of their own",
    "det": "the elimination as sums and quotients",
    "random": "the random numbers as an argument",
    "argpartition": "np.argsort, which says the order of what it takes",
    "nan_to_num": "np.where(condition, value, x)",
    "unique": "a plain integer array as an argument",
    "nonzero": "np.where(condition, a, b)",
    "tolist": "a loop over the array's elements",
    "item": "x[0], which keeps what it carries",
}


class NoRule(RefimplError, TypeError):
    """A text calls what no reading has a rule for; the message names it, its line, and a cure."""


class NoMethod(NoRule, AttributeError):
    """The same of an array's method."""


class Doubt(NoRule):
    """A text decides by numbers that an honest implementation may compute on the other side."""


def _way() -> tuple[str, list[str]]:
    """The line of the text that is running, and the functions that it has called."""
    called: list[str] = []
    frame = sys._getframe(1)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        inside = _OURS in path.parents or _NUMPY in path.parents or "scipy" in path.parts
        if not inside and path.name not in ("contextlib.py", "op.py", "axes.py"):
            words = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
            return f"{path.name}, line {frame.f_lineno}" + (f": {words}" if words else ""), called
        called.append(frame.f_code.co_name)
        frame = frame.f_back  # type: ignore[assignment]
    return "the text", called


def line() -> str:
    """The line of the text that is running: its file, number and words."""
    return _way()[0]


def no_rule(reading: str, name: str, kind: type[NoRule] = NoRule) -> NoRule:
    """The error for a function without a rule."""
    instead = INSTEAD.get(
        name.rpartition(".")[2], "it with sums, products and functions of numbers"
    )
    return kind(f"{reading} has no rule for {name} ({line()}); write {instead}")


def leaves(reading: str, how: str) -> NoRule:
    """The error where a text turns what is carried into plain numbers."""
    where, called = _way()
    for name in called:
        if name in INSTEAD and name != "item":
            return NoRule(f"{reading} has no rule for {name} ({where}); write {INSTEAD[name]}")
    return NoRule(
        f"{reading} cannot become plain numbers by {how} ({where}); use NumPy's own functions, "
        "and start arrays that are filled later with np.zeros_like(x)"
    )
