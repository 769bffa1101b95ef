"""The names of parameters and layers in other libraries, turned into ours by rules."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.exceptions import RefimplError

Rules = tuple[tuple[str, str], ...]
Params = Mapping[str, np.ndarray]
PERCEPTRON = ((r"\.mlp\.fc1\.", ".mlp.c_fc."), (r"\.mlp\.fc2\.", ".mlp.c_proj."))


class WeightsError(RefimplError, ValueError):
    """A file of weights is damaged, or does not hold what a model needs."""


def as_they_are(params: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """No change."""
    return params


@dataclass(frozen=True)
class Layout:
    """How a library names the parameters of a model.

    `telltale` matches the beginning of a name that gives the library away. Each of `rules` is a
    pattern and what takes its place. A mark at the end of a name says what happens to the array:
    |T transposed, |1 and |2 without the axes of size 1 before the last one or two, |q |k |v a third
    of in_proj, |drop left out. `finish` has the last word on all arrays together.
    """

    telltale: str
    rules: Rules
    finish: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]] = as_they_are

    def fits(self, names: Any) -> bool:
        """Whether one of the names gives the library away."""
        return any(re.match(self.telltale, name) for name in names)

    def translate(self, state: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Arrays under this library's names, under ours.

        Raises WeightsError where two names become one, or a third of an attention's input is
        missing.
        """
        params: dict[str, np.ndarray] = {}
        thirds: dict[str, dict[str, np.ndarray]] = {}
        for theirs, value in state.items():
            name, _, mark = rename(theirs, self.rules).partition("|")
            if mark == "drop":
                continue
            if mark in ("q", "k", "v"):
                thirds.setdefault(name, {})[mark] = np.asarray(value)
                continue
            if name in params:
                raise WeightsError(f"weights: {theirs} is {name}, which is there already")
            params[name] = _turned(np.asarray(value), mark)
        for name, parts in thirds.items():
            missing = {"q", "k", "v"} - set(parts)
            if missing or name in params or len({part.shape for part in parts.values()}) > 1:
                raise WeightsError(f"weights: {name} needs q, k and v of one shape")
            params[name] = np.concatenate([parts["q"], parts["k"], parts["v"]])
        return self.finish(params)


def _turned(array: np.ndarray, mark: str) -> np.ndarray:
    if mark == "T":
        return array.T
    if mark and math.prod(array.shape[: -int(mark)]) == 1:
        return np.reshape(array, array.shape[-int(mark) :])
    return array


def rename(name: str, rules: Rules) -> str:
    """One name after all rules, its mark included.

    >>> rename("blocks.3.norm1.weight", ((r"^blocks", "layers"), (r"norm1", "ln_1")))
    'layers.3.ln_1.weight'
    """
    for pattern, place in rules:
        name = re.sub(pattern, place, name)
    return name


def shape_of(params: Params, name: str, axes: int) -> tuple[int, ...]:
    """The shape of a parameter that must be there, with so many axes."""
    if name not in params:
        raise WeightsError(f"weights: {name} is missing")
    shape = params[name].shape
    if len(shape) != axes or 0 in shape:
        raise WeightsError(f"weights: {name} has shape {shape}, expected {axes} axes, none empty")
    return shape


def numbers(params: Params, before: str) -> int:
    """How many different numbers follow this beginning of a name.

    >>> numbers({"h.0.bias": 1, "h.1.bias": 2, "h.1.weight": 3}, "h.")
    2
    """
    found = (re.match(re.escape(before) + r"(\d{1,4})\.", name) for name in params)
    return len({match[1] for match in found if match})
