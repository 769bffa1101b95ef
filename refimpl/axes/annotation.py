"""What an annotation says: a kind of numbers, scalar or array, and axes."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from refimpl.axes.drawing import Source, Wanted, draw_between, draw_integers
from refimpl.exceptions import RefimplError

Usual = Callable[[float, int], Sequence]
INTEGERS = np.iinfo(np.int64)


class AxesError(RefimplError, ValueError):
    """An argument's shape, dtype or range is not what the operation's signature says."""


@dataclass(frozen=True)
class Kind:
    """What the numbers of an argument mean: how they are checked, stored and drawn.

    `draw(source, wanted)` gives an array; without it the range is drawn from. A scalar is one of
    `usual(share, limit)`, where `share` is a random number in [0, 1) and `limit` the size of the
    axis that limits it; without `usual` it is drawn as an array is.
    """

    name: str
    says: str
    low: float = -math.inf
    high: float = math.inf
    integer: bool = False
    open_low: bool = False
    open_high: bool = False
    table: bool = False  # never stored in a half format
    hides: bool = False  # minus infinity stands where nothing may be seen
    truths: bool = False  # truth values will do for 1 and 0
    measures: bool = False  # it is the size of the axis that it names
    up_to: bool = False  # the size of the limiting axis is allowed, too
    increasing: bool = False
    free: bool = False  # any real numbers: what is differentiated, scaled and exchanged
    not_after: str = ""  # the kind of an argument with the same limit that is never smaller
    draw: Callable[[Source, Wanted], np.ndarray] | None = None
    usual: Usual | None = None

    def __getitem__(self, params: tuple) -> Spec:
        of, axes, *limit = params
        return Spec(self, of is not Array, axes, limit[0] if limit else None)

    def drawn(self, source: Source, wanted: Wanted, scalar: bool = False) -> Any:
        """One argument of this kind."""
        if scalar and self.usual:
            share = float(source.uniform((), 0, 1))
            return source.choice(self.usual(share, wanted.limit))
        if self.draw:
            value = self.draw(source, wanted)
        else:
            draw = draw_integers if self.integer else draw_between
            value = draw(source, wanted, self.low, self.high)
        return np.asarray(value).item() if scalar else value


@dataclass(frozen=True)
class Spec:
    """One annotation: a kind of number, scalar or array, and its axes."""

    kind: Kind
    scalar: bool
    axes: str
    limit: str | None = None
    optional: bool = False

    def __or__(self, other: None) -> Spec:
        return replace(self, optional=True)

    @property
    def broadcastable(self) -> bool:
        """Whether any shape that broadcasts to these axes will do."""
        return self.axes.startswith("broadcastable ")

    @functools.cached_property
    def single(self) -> Any:
        """The type of a single number that is taken as it is, from `lowest` to `highest`."""
        return (int if self.kind.integer else float) if self.scalar else None

    @functools.cached_property
    def lowest(self) -> float:
        """The smallest single number."""
        low = math.nextafter(self.kind.low, math.inf) if self.kind.open_low else self.kind.low
        return max(low, INTEGERS.min) if self.kind.integer else low

    @functools.cached_property
    def highest(self) -> float:
        """The largest single number."""
        high = math.nextafter(self.kind.high, -math.inf) if self.kind.open_high else self.kind.high
        return min(high, INTEGERS.max) if self.kind.integer else high

    @functools.cached_property
    def unlimited(self) -> bool:
        """Whether it is an array of any real numbers."""
        kind = self.kind
        ranged = kind.integer or kind.low > -math.inf or kind.high < math.inf
        return not (self.scalar or ranged)

    @functools.cached_property
    def dims(self) -> list[str]:
        """The dimensions, a token each."""
        return self.axes.removeprefix("broadcastable ").split()

    def names(self) -> list[str]:
        """The axis names in order of appearance, the limiting axis included."""
        return list(self._names)

    @functools.cached_property
    def _names(self) -> dict[str, None]:
        text = f"{self.axes.removeprefix('broadcastable ')} {self.limit or ''}"
        return dict.fromkeys(re.findall(r"[A-Za-z]+", text))


if TYPE_CHECKING:
    Array = Any
else:

    class Array:
        """Anything NumPy reads as an array."""


Given = Spec(Kind("Given", "anything, as it is"), False, "...")  # an argument without axes
