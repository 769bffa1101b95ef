"""The domain of a target: the inputs it is made for, which are drawn and no others.

A target file says `ONLY = ("N = M", "E in 16, 32, 64", "no bias")`, or names the operations that
it means: `ONLY = {"attention": ("N a multiple of 64",)}`. Sizes that were drawn move to the nearest
ones inside, so that a kernel for square masks is judged on as many cases as any other; probes and
shapes that cannot be moved are left out and counted. The names of axes are those of the operation.

    N = M                       one size
    E in 16, 32, 64    D = 512  these sizes
    N a power of two            N a multiple of 64
    M up to 512                 M from 16
    no bias    a bias           an optional argument
    no grouped heads            any kind of input that WITHOUT may name
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from refimpl.op import Op
from refimpl.oracle.cases import regimes
from refimpl.oracle.cases.drawn import Anywhere, Case, Source
from refimpl.oracle.cases.regimes import Holds, Regime, UnknownRegime

Sizes = dict[str, int]
Fit = Callable[[Sizes], Sizes]
PASSES = 4  # until sizes that depend on each other have settled
NEAREST = {"grouped heads": {"R": 1}, "empty batches": {}}


def _round_up(n: int, unit: int) -> int:
    return -(-n // unit) * unit


def _power(n: int) -> int:
    return 1 << max(n - 1, 0).bit_length()


def _equal(a: str, b: str) -> Fit:
    if b.isdigit():
        return lambda sizes: {a: int(b)}
    return lambda sizes: {b: sizes[a]} if a in sizes and b in sizes else {}


def _one_of(axis: str, options: str) -> Fit:
    known = sorted(int(word) for word in re.findall(r"\d+", options))
    return lambda sizes: {axis: min(known, key=lambda n: (n < sizes[axis], abs(n - sizes[axis])))}


FORMS: tuple[tuple[str, Callable[..., Fit]], ...] = (
    (r"(\w+) = (\w+)", _equal),
    (r"(\w+) in ([\d, ]+)", _one_of),
    (r"(\w+) a power of two", lambda axis: lambda sizes: {axis: _power(sizes[axis])}),
    (
        r"(\w+) a multiple of (\d+)",
        lambda axis, unit: lambda sizes: {axis: _round_up(sizes[axis], int(unit))},
    ),
    (r"(\w+) up to (\d+)", lambda axis, most: lambda sizes: {axis: min(sizes[axis], int(most))}),
    (r"(\w+) from (\d+)", lambda axis, least: lambda sizes: {axis: max(sizes[axis], int(least))}),
)


@dataclass(frozen=True)
class Rule:
    """One line of a domain: the axes it moves, and what it leaves out where it cannot."""

    name: str
    fit: Fit
    outside: Regime


@dataclass(frozen=True)
class Domain(Anywhere):
    """What a target is made for, as its file says it."""

    names: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()

    def fit(self, sizes: Sizes) -> Sizes:
        """The nearest sizes inside."""
        for _ in range(PASSES):
            before = sizes
            for rule in self.rules:
                sizes = sizes | rule.fit(sizes)
            if sizes == before:
                break
        return sizes

    def absent(self, name: str, source: Source) -> bool:
        """Whether an optional argument is left out."""
        if f"no {name}" in self.names:
            return True
        return f"a {name}" not in self.names and source.absent()

    def narrowed(self, shape: tuple[int, ...], source: Source) -> tuple[int, ...]:
        """The shape of an argument that may broadcast."""
        return shape if "no broadcast arguments" in self.names else source.narrowed(shape)

    def layout(self, drawn: str) -> str:
        """How arrays lie in memory."""
        return "C" if "no other layouts" in self.names else drawn

    @property
    def outside(self) -> list[Regime]:
        """The kinds of input that are not in the domain."""
        return [rule.outside for rule in self.rules]


def domain(op: Op, names: Sequence[str]) -> Domain | None:
    """What a file says under ONLY, as far as an operation has the axes and arguments."""
    rules = [_rule(op, name) for name in names]
    held = [(name, rule) for name, rule in zip(names, rules) if rule is not None]
    if not held:
        return None
    return Domain(tuple(name for name, _ in held), tuple(rule for _, rule in held))


def within(op: Op, names: Sequence[str]) -> Op:
    """An operation within what a file says under ONLY."""
    found = domain(op, names)
    return replace(op, domain=found) if found else op


def _rule(op: Op, name: str) -> Rule | None:
    """One line; None where the operation has nothing that it speaks of."""
    axes = {n for spec in op.specs.values() for n in spec.names()}
    optional = {n for n, spec in op.specs.items() if spec.optional}
    for pattern, make in FORMS:
        if found := re.fullmatch(pattern, name):
            spoken = [word for word in found.groups() if word.isalpha() and len(word)]
            return _sized(name, make(*found.groups())) if set(spoken) <= axes else None
    word, _, rest = name.partition(" ")
    if word in ("no", "a") and rest in optional:
        opposite = regimes.find(f"{'a' if word == 'no' else 'no'} {rest}")
        return Rule(name, dict, _outside(opposite.holds))
    if word == "no" and rest in {regime.name for regime in regimes.REGIMES}:
        nearest = {axis: n for axis, n in NEAREST.get(rest, {}).items() if axis in axes}
        fit = _not_empty if rest == "empty batches" else lambda sizes: nearest
        return Rule(name, fit, _outside(regimes.find(rest).holds))
    if word in ("no", "a") and re.fullmatch(r"[a-z_]+", rest):
        return None  # an argument of another operation
    forms = "'N = M', 'E in 16, 32', 'N a power of two', 'N a multiple of 64', 'M up to 512'"
    raise UnknownRegime(f"ONLY names {name!r}; known are {forms}, 'M from 16' and 'no bias'")


def _not_empty(sizes: Sizes) -> Sizes:
    return {axis: max(size, 1) for axis, size in sizes.items()}


def _sized(name: str, fit: Fit) -> Rule:
    def moves(sizes: Sizes) -> Sizes:
        try:
            return fit(sizes)
        except KeyError:  # an axis that this input does not have
            return {}

    def outside(op: Op, case: Case) -> bool:
        sizes = op._sizes(case.inputs)
        return sizes | moves(sizes) != sizes

    return Rule(name, moves, _outside(outside))


def _outside(holds: Holds) -> Regime:
    return Regime("outside that domain", "outside that domain", holds)
