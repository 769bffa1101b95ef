"""Cases of chosen sizes: what kernels get wrong at the edges of their tiles.

Random draws are small. A kernel works on tiles of 8 to 256 elements, and goes wrong in the last
one, or beyond the first. So every axis takes each size of a ladder, one below, at and above each
tile, while most others stay tiny; the rows of this table also take turns in the common forms, such
as self-attention under a causal mask. The rows of `quick` come first in `ci`, and those in `deep`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.axes import AXES, Spec
from refimpl.axes.names import axis
from refimpl.axes.shapes import shape_of
from refimpl.op import Op
from refimpl.oracle.cases.drawn import (
    ANYWHERE,
    LAYOUTS,
    Case,
    PlainSource,
    bounded_axes,
    draw_all,
    generate,
    random_case,
    rounded,
)
from refimpl.oracle.cases.exchanged import MARK, exchanged
from refimpl.oracle.numbers.precisions import PRECISIONS

TILES = (8, 16, 32, 64, 128, 256)
LONGEST = 4 * TILES[-1] + 1
# one element beyond each tile; one too few, and whole tiles, for those up to 64
EDGES = (*(tile + 1 for tile in TILES), 63, 64, LONGEST)
LADDER = tuple(sorted({1, 2, 7, *EDGES, *TILES, *(tile - 1 for tile in TILES)}))
DOTS = "..."
NEAREST = 4  # how much better the last key is seen than any other: most of the weight is its own
SHARE = 5  # in `quick` a precision that does not lead draws one row in so many


@dataclass(frozen=True)
class Form:
    """A relation between axes, or arguments, that is common in practice and rare at random."""

    says: str
    equal: tuple[tuple[str, str], ...] = ()  # the second axis takes the size of the first
    one: tuple[str, ...] = ()  # axes of a single entry
    same: bool = False  # memory is x, and key is query
    causal: bool = False  # the mask, if there is one
    absent: bool = False  # optional arguments

    def fits(self, op: Op) -> bool:
        """Whether an operation has what the form speaks of."""
        has = set(axes(op))
        ties = any({a, b} <= has for a, b in self.equal)
        optional = any(spec.optional for spec in op.specs.values())
        if self.absent:
            return optional
        return not (self.equal or self.one) or ties or bool(has & set(self.one))

    def shape(self, sizes: dict[str, int]) -> dict[str, int]:
        """The sizes that the form makes of others."""
        sizes = sizes | {name: 1 for name in self.one if name in sizes}
        for a, b in self.equal:
            if {a, b} <= sizes.keys():
                sizes = sizes | {b: sizes[a]}
        return sizes


SQUARE = tuple((record.like, name) for name, record in AXES.items() if record.like)
ROWS = (DOTS, *(name for name, record in AXES.items() if record.repeats))
FORMS = (
    Form("as they come"),
    Form("square", equal=SQUARE),
    Form("self-attention, causal", equal=(("N", "M"), ("E", "F")), same=True, causal=True),
    Form("one head", one=("H", "G", "R")),
    Form("one row", one=ROWS),
    Form("without what is optional", absent=True),
)


@dataclass(frozen=True)
class Level:
    """What a profile draws: sizes, and the numbers that an input and two long axes may come to."""

    sizes: tuple[int, ...]
    numbers: int
    pair: int
    costly: int  # what the sizes of costly axes may multiply to
    crossed: bool = False  # each size in each form, not in one of them


LEVELS = {
    "quick": Level(EDGES, 22_000, 4_400, 33),
    "ci": Level(LADDER, 100_000, 20_000, 129),
    "deep": Level(LADDER, 600_000, 140_000, 257, crossed=True),
}


@dataclass(frozen=True)
class Row:
    """One row of the table: a size for each axis, in one form."""

    form: Form
    sizes: dict[str, int]
    long: tuple[str, ...]  # the axes whose sizes were chosen, others are tiny

    @property
    def says(self) -> str:
        """The chosen sizes and the form."""
        chosen = ", ".join(f"{name}={self.sizes[name]}" for name in self.long)
        return f"{chosen}: {self.form.says}"


class ChosenSource(PlainSource):
    """Independent normal numbers; what is optional or may be broadcast is there in full."""

    def __init__(self, seed: Any, form: Form) -> None:
        super().__init__(seed, positive=False)
        self.form = form

    def absent(self) -> bool:
        return self.form.absent

    def narrowed(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape


def axes(op: Op) -> tuple[str, ...]:
    """The axes of an operation that can be chosen, in order of appearance, the dots as one."""
    specs = op.specs.values()
    names = dict.fromkeys(n for s in specs for n in s.names() if n not in op.following)
    return (*names, *([DOTS] if any(DOTS in spec.dims for spec in specs) else []))


def shapes(op: Op, sizes: dict[str, int], rest: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """The shapes of all arrays, those of the outputs included as far as they are known."""
    sizes = sizes | {name: sizes[other] for name, other in op.following.items()}
    for spec in (*op.specs.values(), *op.returns):
        known = isinstance(spec, Spec) and not spec.scalar and set(spec.names()) <= sizes.keys()
        if known:
            yield shape_of(spec, sizes, rest)


def ordered(op: Op, sizes: dict[str, int]) -> dict[str, int]:
    """The sizes with those raised that others may not exceed, such as that of a whole image."""
    for part, whole in bounded_axes(op, list(sizes)):
        if {part, whole} <= sizes.keys():
            sizes = sizes | {whole: max(sizes[part], sizes[whole])}
    return sizes


def affordable(op: Op, sizes: dict[str, int], level: Level) -> bool:
    """Whether an input, what is made on the way, and any two axes stay within a level's limits."""
    first, second = sorted((1, 1, *sizes.values()))[-1:-3:-1]
    costly = math.prod([sizes[name] for name in op.costly])
    if first * second > level.pair or costly > level.costly:
        return False
    rest = (sizes[DOTS],) if DOTS in sizes else ()
    between = math.prod([sizes[name] for name in op.between])
    return sum(map(math.prod, shapes(op, sizes, rest))) + between <= level.numbers


def tiny(op: Op, number: int) -> dict[str, int]:
    """Sizes from one to three for all axes, other ones in each row."""
    sizes = {name: 1 + (place + number) % 3 for place, name in enumerate(axes(op))}
    if number % 4 != 2:
        sizes |= {name: 1 for name in sizes if axis(name).usually_one}
    return _at_least(sizes)


def _at_least(sizes: dict[str, int]) -> dict[str, int]:
    return {name: max(size, axis(name).low) for name, size in sizes.items()}


Wanted = dict[tuple[str, str], list[int]]  # sizes, the longest first, of an axis in a form


def fill(op: Op, form: Form, number: int, wanted: Wanted, level: Level) -> Row | None:
    """A row that takes as many wanted sizes as are affordable together, None where it takes none.

    Where sizes need not meet each form, `wanted` has them under a form without a name.
    """
    least = dict.fromkeys(axes(op), 1)  # where three rows of three are too many beside a long axis
    return _fill(op, form, number, tiny(op, number), wanted, level) or _fill(
        op, form, number, least, wanted, level
    )


def _fill(
    op: Op, form: Form, number: int, start: dict[str, int], wanted: Wanted, level: Level
) -> Row | None:
    sizes = ordered(op, _at_least(form.shape(start)))
    names = axes(op)
    long: list[str] = []
    turn = number % max(len(names), 1)
    for name in names[turn:] + names[:turn]:
        left = wanted.get((name, form.says if level.crossed else ""), [])
        for size in left:
            trial = ordered(op, form.shape(sizes | {name: size}))
            kept = all(trial[other] == sizes[other] for other in long)
            if trial[name] == size and kept and affordable(op, trial, level):
                sizes = trial
                long.append(name)
                left.remove(size)
                break
    return Row(form, sizes, tuple(long)) if long else None


def wishes(op: Op, form: Form, level: Level) -> dict[str, list[int]]:
    """The sizes that each axis can take in a form with all others at their least."""
    least = _at_least(dict.fromkeys(axes(op), 1))

    def possible(name: str, size: int) -> bool:
        sizes = ordered(op, form.shape(least | {name: size}))
        fits = least[name] <= size <= (axis(name).most or size) and sizes[name] == size
        return fits and affordable(op, sizes, level)

    longest_first = sorted(level.sizes, reverse=True)
    return {name: [size for size in longest_first if possible(name, size)] for name in least}


KNOWN: dict[tuple[Any, str], tuple[Row, ...]] = {}  # the tables of texts made so far


def rows(op: Op, profile: str) -> tuple[Row, ...]:
    """The table of an operation: each size of each axis at least once, forms in turn."""
    if (op.text, profile) not in KNOWN:
        KNOWN[op.text, profile] = tuple(_rows(op, profile))
    return KNOWN[op.text, profile]


def _rows(op: Op, profile: str) -> list[Row]:
    if not op.sized:
        return []
    profiles = list(LEVELS)
    before = profiles[: profiles.index(profile)]
    table = list(rows(op, before[-1])) if before else []
    level = LEVELS[profile]
    forms = [form for form in FORMS if form.fits(op)]
    turns = forms if len(forms) != 2 else [FORMS[0], *forms]
    if level.crossed:
        wanted = {(n, f.says): left for f in forms for n, left in wishes(op, f, level).items()}
    else:
        wanted = {(name, ""): left for name, left in wishes(op, FORMS[0], level).items()}
    for row in table:
        for name in row.long:
            left = wanted[name, row.form.says if level.crossed else ""]
            if row.sizes[name] in left:
                left.remove(row.sizes[name])
    idle = 0
    while any(wanted.values()) and idle < len(turns):
        form = turns[(len(table) - idle) % len(turns)]
        found = fill(op, form, len(table), wanted, level)
        idle = 0 if found else idle + 1
        table += [found] if found else []
    return table


def sized_case(op: Op, precision: str, profile: str, seed: int, i: int) -> Case:
    """The case of the i-th row of the table: the same row for any seed, other numbers."""
    row = rows(op, profile)[i]
    source = ChosenSource([seed, i, *op.name.encode(), len(LADDER)], row.form)
    sizes = {name: size for name, size in row.sizes.items() if name != DOTS}
    inputs = last_seen(op, draw_all(op, source, sizes, _rest(op, row, i)))
    if row.form.same:
        inputs = _shared(inputs)
    if row.form.causal:
        inputs = _causal(op, inputs)
    layout = (op.domain or ANYWHERE).layout(LAYOUTS[(i // 2) % 4] if i % 2 else "C")
    key = f"size{seed}-{i}"
    return Case(op.name, precision, key, row.says, rounded(op, inputs, precision), layout)


def _rest(op: Op, row: Row, i: int) -> tuple[int, ...]:
    """What the dots mean: one axis; a single row of a matrix may be a vector as well."""
    size = row.sizes.get(DOTS, 1)
    vectors = all(spec.dims[-1] != DOTS for spec in op.specs.values() if DOTS in spec.dims)
    return () if size == 1 and vectors and i % 2 else (size,)


def _shared(inputs: dict[str, Any]) -> dict[str, Any]:
    for name, other in (("memory", "x"), ("key", "query")):
        if name in inputs and np.shape(inputs[name]) == np.shape(inputs[other]):
            inputs = inputs | {name: inputs[other]}
    return inputs


def last_seen(op: Op, inputs: dict[str, Any]) -> dict[str, Any]:
    """The last query sees the last key best of all, which is the one that lies beyond a tile."""
    for name, spec in op.specs.items():
        if spec.kind.hides and np.size(inputs[name]) and np.ndim(inputs[name]) > 1:
            mask = np.array(inputs[name])
            seen = np.where(np.isfinite(mask[..., -1, :]), mask[..., -1, :], 0.0)
            mask[..., -1, -1] = np.max(seen, axis=-1) + NEAREST
            inputs = inputs | {name: mask}
    return inputs


def _causal(op: Op, inputs: dict[str, Any]) -> dict[str, Any]:
    sizes = op._sizes(inputs)
    for name, spec in op.specs.items():
        if spec.kind.hides and inputs[name] is not None:
            later = np.triu(np.ones((sizes["N"], sizes["M"]), dtype=bool), 1)
            inputs = inputs | {name: np.where(later, -np.inf, 0.0)}
    return inputs


def taken(op: Op, precision: str, profile: str, lead: str) -> range:
    """Which rows of the table are drawn in a precision.

    All of them, but in `quick` only in the leading one; the others share them with an overlap.
    """
    count = len(rows(op, profile))
    if profile != "quick" or precision == lead:
        return range(count)
    others = [name for name in PRECISIONS if name != lead]
    return range(others.index(precision) % SHARE, count, SHARE)


def leading(precisions: Sequence[str]) -> str:
    """The precision that draws all rows: float32 if it is one of several."""
    return "float32" if "float32" in precisions or not precisions else precisions[0]


def profile_cases(
    op: Op, precision: str, profile: str, count: int, seed: int = 0, lead: str = "float32"
) -> Iterator[Case]:
    """All cases of a profile: the probes, `count` random ones, and those of chosen sizes."""
    yield from generate(op, precision, count, seed)
    for i in taken(op, precision, profile, lead):
        yield sized_case(op, precision, profile, seed, i)


def keys(
    op: Op, precision: str, profile: str, count: int, seed: int = 0, lead: str = "float32"
) -> Iterator[str]:
    """What the cases of a profile are called, none of which is drawn yet."""
    yield from (f"probe{i}" for i in range(len(op.probes)))
    yield from (f"{seed}-{i}" for i in range(count))
    yield from (f"size{seed}-{i}" for i in taken(op, precision, profile, lead))


def of_key(op: Op, precision: str, key: str) -> Case:
    """The case of a key such as probe2, 0-17 or size0-3; ValueError where there is none."""
    if key.endswith(MARK):
        case = exchanged(op, of_key(op, precision, key.removesuffix(MARK)))
        if case is None:
            raise ValueError(f"{op.name}: no two numbers of {key} can be exchanged")
        return case
    if key.startswith("probe"):
        every = {case.key: case for case in generate(op, precision, 0)}
        if key not in every:
            raise ValueError(f"{op.name} has {len(every)} probes, expected one of them: {key}")
        return every[key]
    seed, _, index = key.removeprefix("size").partition("-")
    if key.startswith("size"):
        if int(index) >= len(rows(op, "deep")):
            raise ValueError(f"{op.name} has {len(rows(op, 'deep'))} sized cases, found {key}")
        return sized_case(op, precision, "deep", int(seed), int(index))
    return random_case(op, precision, int(seed), int(index))
