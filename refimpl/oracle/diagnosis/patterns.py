"""What the lengths have in common at which something is wrong: a limit, a tile, a power of two."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

UNITS = (128, 64, 32, 16, 8, 4, 2)
FEWEST = 2  # lengths on either side of what is more than a limit or a single length


@dataclass(frozen=True)
class Pattern:
    """Lengths at which something is wrong; `says` has a place for what the length is of."""

    says: str
    holds: Callable[[int], bool]
    limit: int = 0  # wrong from here on, and right before

    @property
    def plain(self) -> bool:
        """Whether one alone is right: much has nothing to do there, and a mistake does not show."""
        return self.limit == 2

    def of(self, name: str) -> str:
        """The sentence, of a length by its name."""
        return self.says.format(name)


def pattern(wrong: Mapping[int, bool]) -> Pattern | None:
    """The plainest pattern of the lengths that are wrong; None where there is none.

    >>> pattern({1: False, 9: False, 10: True, 12: True}).of("B")
    'wrong from B = 10, right up to 9'
    >>> pattern({n: n % 32 == 1 for n in range(2, 70)}).of("M")
    'wrong only where M is 1 more than a multiple of 32, from 33 on'
    """
    return next((p for p in _patterns(wrong) if _fits(p, wrong)), None)


def _fits(one: Pattern, wrong: Mapping[int, bool]) -> bool:
    return all(one.holds(n) == is_wrong for n, is_wrong in wrong.items())


def _patterns(wrong: Mapping[int, bool]) -> Iterator[Pattern]:
    """All that are thought of, plain ones first."""
    bad, good = ([n for n in sorted(wrong) if wrong[n] is kind] for kind in (True, False))
    if not bad or not good:
        return
    low, high = min(bad), max(bad)
    yield Pattern(f"wrong from {{}} = {low}, right up to {max(good)}", lambda n: n >= low, low)
    yield Pattern("wrong only where {} is " + str(low), lambda n: n == low)
    yield Pattern(f"wrong up to {{}} = {high}, right from {min(good)}", lambda n: n <= high)
    yield Pattern("right only where {} is " + str(good[0]), lambda n: n != good[0])
    if min(len(bad), len(good)) < FEWEST:
        return
    for unit in UNITS:
        yield from _of_tiles(unit)
    yield Pattern("right only where {} is a power of two", lambda n: n.bit_count() != 1)
    yield Pattern("wrong only where {} is a power of two", lambda n: n.bit_count() == 1)


def _of_tiles(unit: int) -> Iterator[Pattern]:
    yield Pattern(f"right only where {{}} is a multiple of {unit}", lambda n: n % unit != 0)
    yield Pattern(f"wrong only where {{}} is a multiple of {unit}", lambda n: n % unit == 0)
    for rest, words in ((1, "1 more"), (unit - 1, "1 less")):
        where = f"wrong only where {{}} is {words} than a multiple of {unit}"
        yield Pattern(f"{where}, from {unit + rest} on", partial(_is_left, rest, unit, unit))
        yield Pattern(where, partial(_is_left, rest, unit, -1))
    beyond = f"right only where {{}} is a multiple of {unit}, or less than {unit}"
    yield Pattern(beyond, lambda n: n > unit and n % unit != 0)


def _is_left(rest: int, unit: int, above: int, length: int) -> bool:
    return length > above and length % unit == rest
