"""What wrong outputs have to do with the right ones: sentences that hold in every case.

A factor, another order, a transposition, a part that is missing; one number throughout; and where
the wrong entries are, and how many.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from refimpl.op import Op
from refimpl.oracle.diagnosis.evidence import Observation
from refimpl.oracle.diagnosis.factors import KNOWN_FACTORS
from refimpl.oracle.numbers.precisions import PRECISIONS

MOST_ENTRIES = 256  # along an axis, each of which is looked for among all
HALF = math.sqrt(PRECISIONS["float32"].unit)  # numbers agree in half of float32's digits


def of_outputs(op: Op, bad: list[Observation]) -> Iterator[str]:
    """What the wrong outputs have to do with the right ones, case by case the same."""
    for place, name in enumerate(op.outputs):
        pairs = [
            (a.found[place], a.right[place])
            for a in bad
            if len(a.found) == len(op.outputs) and not (a.wrong and not a.wrong[place].any())
        ]
        if not pairs:
            if len(op.outputs) > 1:
                yield f"{name} is right in every case"
            continue
        whole = name if len(op.outputs) > 1 else "the output"
        for question in QUESTIONS:
            sentence = question(pairs)
            if sentence:
                yield f"{whole} {sentence}: in {len(pairs)} case{'s' * (len(pairs) > 1)}"
                break
        yield from _share(whole, [a.wrong[place] for a in bad if a.wrong])
        yield from (f"{whole} {x}" for x in _places([a for a in bad if a.wrong], place))


Pairs = list[tuple[np.ndarray, np.ndarray]]


def _shape(pairs: Pairs) -> str:
    """Another shape: one entry more or fewer, and what the rest is."""
    if any(found.shape == right.shape or found.ndim != right.ndim for found, right in pairs):
        return ""
    steps = {tuple(np.subtract(found.shape, right.shape)) for found, right in pairs}
    if len(steps) != 1:
        return "has another shape"
    step = steps.pop()
    axes = [axis for axis, change in enumerate(step) if change]
    if len(axes) != 1 or abs(step[axes[0]]) != 1:
        return "has another shape"
    axis, longer = axes[0], step[axes[0]] > 0
    says = "has one entry too many" if longer else "has one entry too few"
    for drop, where in ((0, "the first"), (-1, "the last")):
        if all(_near(*_cut(found, right, axis, drop, longer)) for found, right in pairs):
            extra = {
                float(np.take(f, drop, axis=axis).flat[0]) for f, _ in pairs if longer and f.size
            }
            value = f", {extra.pop():.6g}" if len(extra) == 1 else ""
            return f"{says}: {where}{value} is {'added' if longer else 'missing'}"
    return says


def _cut(
    found: np.ndarray, right: np.ndarray, axis: int, drop: int, longer: bool
) -> tuple[np.ndarray, np.ndarray]:
    section = slice(1, None) if drop == 0 else slice(None, -1)
    index = (slice(None),) * axis + (section,)
    return (found[index], right) if longer else (found, right[index])


def _near(found: np.ndarray, right: np.ndarray) -> bool:
    """Whether numbers agree to half of float32's digits of the largest; no verdict."""
    if found.shape != right.shape or not right.size:
        return found.shape == right.shape
    same = (found == right) | (np.isnan(found) & np.isnan(right))
    margin = HALF * np.max(np.abs(right), where=np.isfinite(right), initial=0)
    return bool(np.all(same | (np.abs(found - right) <= margin)))


def _infinite(pairs: Pairs) -> str:
    """NaN or infinity where a number is due, and nothing else wrong."""
    if any(found.shape != right.shape for found, right in pairs):
        return ""
    lost = [~np.isfinite(f) & np.isfinite(r) for f, r in pairs]
    if not all(x.any() for x in lost):
        return ""
    if not all(_near(np.where(x, 0, f), np.where(x, 0, r)) for x, (f, r) in zip(lost, pairs)):
        return ""
    kinds = {"NaN" if np.isnan(f[x]).all() else "infinite" for x, (f, _) in zip(lost, pairs)}
    return f"is {' or '.join(sorted(kinds))} where a number is due, and right elsewhere"


def _digits(pairs: Pairs) -> str:
    """Nearly right: how many digits of the largest number there are."""
    if not all(right.size and _near(found, right) for found, right in pairs):
        return ""
    off = max(
        np.max(np.abs(found - right), where=np.isfinite(right) & (found != right), initial=0)
        / np.max(np.abs(right), where=np.isfinite(right), initial=0)
        for found, right in pairs
    )
    digits = int(-np.log10(off)) if off else 0
    return f"is right in {digits} digits, counted from its largest number" if digits else ""


def _factor(pairs: Pairs) -> str:
    """A factor that is the same in every case."""
    found_factors = []
    for found, right in pairs:
        if found.shape != right.shape or not np.isfinite(found).all() or not right.any():
            return ""
        factor = float(np.sum(found * right) / np.sum(right * right))
        if not _near(found, factor * right) or not factor:
            return ""
        found_factors.append(factor)
    if len(found_factors) < 2 or np.ptp(found_factors) > HALF * abs(found_factors[0]):
        return "is a multiple of the right one, by a factor that differs from case to case" * (
            len(found_factors) > 1 and all(r.size > 1 for _, r in pairs)
        )
    mean = sum(found_factors) / len(found_factors)
    return f"is {factor_in_words(mean)} times the right one"


def factor_in_words(factor: float) -> str:
    """A factor by its name, where it has one.

    >>> factor_in_words(1.3862943), factor_in_words(1.23)
    ('2 ln 2 = 1.38629', '1.23')
    """
    for name, value in KNOWN_FACTORS.items():
        if abs(factor - value) <= HALF * abs(value):
            return name if name.lstrip("-").isdigit() else f"{name} = {value:.6g}"
    return f"{factor:.6g}"


def _offset(pairs: Pairs) -> str:
    """A constant that is added in every case."""
    offsets = []
    for found, right in pairs:
        if found.shape != right.shape or not found.size or not np.isfinite(found).all():
            return ""
        offsets.append(float(np.mean(found - right)))
        if not _near(found, right + offsets[-1]) or found.size < 2:
            return ""
    steady = np.ptp(offsets) <= HALF * np.max(np.abs(offsets))
    return f"is the right one plus {offsets[0]:.6g}" if len(offsets) > 1 and steady else ""


def _axes(pairs: Pairs) -> list[int]:
    """The axes that all outputs have, counted from the front, then from the end."""
    ranks = {right.ndim for _, right in pairs}
    fewest = min(ranks)
    backwards = range(-1, -fewest - 1, -1) if len(ranks) > 1 else ()
    return [*range(fewest), *backwards]


def _order(pairs: Pairs) -> str:
    """The same entries along an axis in another order, some twice, or some missing."""
    if any(found.shape != right.shape or not right.ndim for found, right in pairs):
        return ""
    for axis in _axes(pairs):
        says = {_order_along(np.moveaxis(f, axis, 0), np.moveaxis(r, axis, 0)) for f, r in pairs}
        says.discard("alike")
        if len(says) == 1 and "" not in says:
            return f"{says.pop()} along axis {axis}"
    return ""


def _order_along(found: np.ndarray, right: np.ndarray) -> str:
    """What became of the entries along the first axis; empty where they are no longer there."""
    n = len(right)
    if n < 2 or n > MOST_ENTRIES:
        return "alike" if _near(found, right) else ""
    picked: list[int] = []
    for entry in found:
        place = next((i for i, other in enumerate(right) if _near(entry, other)), None)
        if place is None:
            return ""
        picked.append(place)
    names = {
        tuple(range(n)): "alike",
        tuple(reversed(range(n))): "has its entries backwards",
        (0, *range(n - 1)): "is one late, the first twice,",
        (*range(1, n), n - 1): "is one early, the last twice,",
        (n - 1, *range(n - 1)): "is one late, the last in front,",
        (*range(1, n), 0): "is one early, the first at the end,",
        (0,) * n: "has the first entry for all",
        (n - 1,) * n: "has the last entry for all",
    }
    plain = names.get(tuple(picked))
    if plain:
        return plain
    return "has its entries in another order" if len(set(picked)) == n else "has entries twice"


def one_number(pairs: Pairs) -> float | None:
    """The number that every output is throughout, where the right ones are not."""
    numbers = {float(x) for found, _ in pairs for x in np.unique(found)}
    if len(numbers) != 1 or not all(np.isfinite(found).all() for found, _ in pairs):
        return None
    varied = [np.unique(right[np.isfinite(right)]) for _, right in pairs]
    apart = len(np.unique(np.concatenate(varied))) > 1
    return numbers.pop() if apart and any(found.size > 1 for found, _ in pairs) else None


def _same_throughout(pairs: Pairs) -> str:
    """One number in every place of every case."""
    number = one_number(pairs)
    return "" if number is None else f"is {number:.6g} throughout"


def _averaged(pairs: Pairs) -> str:
    """Halves, neighbours or all entries along an axis averaged."""
    if any(found.shape != right.shape for found, right in pairs):
        return ""
    for axis in _axes(pairs):
        for says, average in AVERAGES.items():
            means = [average(np.moveaxis(right, axis, 0)) for _, right in pairs]
            moved = [np.moveaxis(found, axis, 0) for found, _ in pairs]
            if any(len(mean) > 1 for mean in means) and all(map(_near, moved, means)):
                return f"has {says} along axis {axis}"
    return ""


def _halves(x: np.ndarray) -> np.ndarray:
    """The mean of both halves in the place of each; an odd one stays as it is."""
    if len(x) % 2:
        return x
    mean = (x[: len(x) // 2] + x[len(x) // 2 :]) / 2
    return np.concatenate((mean, mean))


def _neighbours(x: np.ndarray) -> np.ndarray:
    """The mean of each pair of neighbours in the place of both."""
    if len(x) % 2:
        return x
    return np.repeat((x[0::2] + x[1::2]) / 2, 2, axis=0)


AVERAGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "both halves averaged": _halves,
    "neighbours averaged": _neighbours,
    "the mean of all entries in the place of each": lambda x: np.broadcast_to(x.mean(0), x.shape),
}


def _turned(pairs: Pairs) -> str:
    """Transposed, or read in another order of its axes."""
    ndims = {right.ndim for _, right in pairs}
    if len(ndims) != 1 or not 2 <= max(ndims) <= 5:
        return ""
    for order in itertools.permutations(range(max(ndims))):
        if order == tuple(range(len(order))):
            continue
        moved = [(f, np.transpose(r, order)) for f, r in pairs]
        if all(_near(f, r) for f, r in moved):
            return "is transposed" if len(order) == 2 else f"has its axes in the order {order}"
        if all(f.size == r.size and _near(f.reshape(r.shape), r) for f, r in moved):
            return f"holds the numbers in the order of the axes {order}, without being reshaped so"
    return ""


QUESTIONS = (
    *(_shape, _infinite, _same_throughout, _digits, _factor, _offset, _order, _averaged),
    _turned,
)


def _share(whole: str, wrong: list[np.ndarray]) -> Iterator[str]:
    """How many of the entries are wrong, where that is not each of them."""
    count = sum(int(np.count_nonzero(mask)) for mask in wrong)
    total = sum(mask.size for mask in wrong)
    if 0 < count < total:
        yield f"{whole} is wrong in {count} of {total} numbers ({100 * count / total:.2g} %)"


def _places(bad: list[Observation], place: int) -> Iterator[str]:
    """Along which axis only some entries are wrong: the first, the last, all but the first."""
    masks = [a.wrong[place] for a in bad if a.wrong[place].any()]
    ndims = {mask.ndim for mask in masks}
    if len(masks) < 2 or len(ndims) != 1:
        return
    tests: dict[str, Callable[[np.ndarray], Any]] = {
        "the last entry": lambda rows: rows[-1] and not rows[:-1].any(),
        "the first entry": lambda rows: rows[0] and not rows[1:].any(),
        "entries after the first": lambda rows: not rows[0] and rows[1:].any(),
        "entries before the last": lambda rows: not rows[-1] and rows[:-1].any(),
    }
    for axis in range(ndims.pop()):
        others = [tuple(a for a in range(mask.ndim) if a != axis) for mask in masks]
        lines: list[Any] = [mask.any(axis=rest) for mask, rest in zip(masks, others)]
        long = [line for line in lines if len(line) > 1]
        if len(long) < 2:
            continue
        for says, test in tests.items():
            if all(test(line) for line in long):
                yield f"is wrong in {says} along axis {axis} alone"
                break
