"""The pages that an operation is written on, and changes of them."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
import re
import types
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.exceptions import RefimplError
from refimpl.oracle.diagnosis.cause import UNLISTED
from refimpl.oracle.diagnosis.search import formats, pieces
from refimpl.text import FunctionText, assembled, function_text, reached

LARGEST = 2**22  # elements that one call in an edited text may ask for
HIDDEN = "an.unknown"  # stands for a number that is yet to be found
LONG = 2  # lines of a change that is not printed whole
ONE_SLIP = {  # sizes of what is one slip although it takes many words to write
    "padding takes part": 5,
    "neighbours take part": 5,
    "padding counted": 4,
    "one entry fewer counted in each row": 4,
    "cut to whole steps": 4,
    "a quotient rounded otherwise": 3,
    "padding adds its share": 5,
    "rounded up to whole blocks": 4,
    "a mask reduced to a length": 4,
    "along two axes together": 4,
    "summed where heads share": 4,
    "the own process's part alone": 5,
    "another parametrisation": 4,
    "two arguments exchanged": 4,
    "another mean": 4,
    "exponentials taken apart": 4,
    "an exponential that overflows": 4,
    "the first head's bias for all": 3,
    "a bias for the first head alone": 4,
    "one entry longer": 4,
    "one maximum for several rows": 4,
    "a maximum that begins at a number": 4,
    "reduced along another axis throughout": 4,
    "reduced along another axis": 4,
    "cut off at a limit": 3,
    "scaled by a size": 3,
}
GROUPED = ("groups ", "normalised by its ")  # one slip, however it is written
ENDINGS = {
    "alone, not all": 4,
    "serves all": 4,
    "stands for all": 5,
    "not for others": 5,
    "assigned, not added up": 3,
    "in another order": 4,
    "without the maximum": 4,
    "when the maximum grows": 4,
}
AS_OTHERS = 4
TOKEN = re.compile(r"^-[\d.e]+$|[\w.]+|\*\*|//|[<>=!]=|\S")


@dataclass(frozen=True)
class Change:
    """Some characters of a page replaced by others."""

    page: FunctionText
    start: int
    end: int
    new: str
    what: str

    @property
    def old(self) -> str:
        """The characters that are replaced."""
        return self.page.source[self.start : self.end]

    @functools.cached_property
    def size(self) -> int:
        """How many words and signs are added, twice, or taken away: leaving out is easy."""
        if self.what.startswith(GROUPED):
            return AS_OTHERS
        for ending, size in ENDINGS.items():
            if self.what.endswith(ending):
                return size
        if self.what in ONE_SLIP:
            return ONE_SLIP[self.what]
        old, new = TOKEN.findall(self.old), TOKEN.findall(self.new)
        matching = difflib.SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
        same = sum(block.size for block in matching)
        return 2 * (len(new) - same) + min(len(old) - same, 3)

    def __str__(self) -> str:
        if "\n" in self.new and "\n" not in self.old.strip():
            before, _, rest = self.new.rpartition("\n")
            if rest.strip() == self.old.strip():  # more steps before the one that stays
                steps = "; ".join(line.strip() for line in before.splitlines())
                return f"in {self.page.name}, {self.what}: `{steps}` first"
        if self.new.count("\n") > LONG or "\n" in self.old.strip():
            known = {line.strip() for line in self.old.splitlines()}
            fresh = [x for line in self.new.splitlines() if (x := line.strip()) not in known]
            steps = "; ".join(fresh[:LONG])
            return f"in {self.page.name}, {self.what}: `{steps}` …"
        old, new = (" ".join(text.split()) for text in (self.old, self.new))
        became = f"`{old}` became `{new}`" if new else f"without `{old}`"
        return f"in {self.page.name}, {self.what}: {became}"


@dataclass(frozen=True)
class Candidate:
    """An edit of the text: one change, one in several places, or two; or what a catalogue lists.

    `base` is what the text was edited by before: a dialect that the target speaks.
    """

    root: Callable[..., Any]
    changes: tuple[Change, ...]
    base: Candidate | None = None
    listed: str = ""  # its name in the catalogue
    kind: str = "mistake"

    @property
    def id(self) -> str:
        """What is changed, in one line."""
        says = Counter(map(str, self.changes))
        return "; ".join(f"{one}, in {n} places" if n > 1 else one for one, n in says.items())

    @property
    def names(self) -> tuple[str, ...]:
        """The edited functions."""
        return tuple(dict.fromkeys(change.page.name for change in self.changes))

    @functools.cached_property
    def size(self) -> int:
        """The size of its changes; what is done everywhere alike counts once."""
        if len({change.what for change in self.changes}) == 1:
            return max(change.size for change in self.changes) + len(self.changes) - 1
        return sum(change.size for change in self.changes)

    @functools.cached_property
    def rank(self) -> tuple[int, ...]:
        """Small edits first; then those of the operation itself, omissions, and less text."""
        elsewhere = sum(change.page.function is not self.root for change in self.changes)
        more = sum(not change.what.endswith("left out") for change in self.changes)
        longer = sum(abs(len(change.new) - len(change.old)) for change in self.changes)
        return self.size, elsewhere, more, longer

    @property
    def text(self) -> Callable[..., Any]:
        """The operation with the edit applied; SyntaxError where it is no text any more."""
        return self.knowing()

    def knowing(self, **names: Any) -> Callable[..., Any]:
        """The same, with values for names that the edit has brought in."""
        return assembled(self.root, self.sources(), {"np": NUMPY, **names})

    def sources(self) -> dict[types.FunctionType, str]:
        """What stands on each page that is another than the right one."""
        before = self.base.sources() if self.base else {}
        return before | {page.function: source for page, source in self.pages()}

    @property
    def diff(self) -> str:
        """The edit as a diff of the printed text."""
        return "\n".join(page.diff(source, UNLISTED) for page, source in self.pages())

    def pages(self) -> Iterator[tuple[FunctionText, str]]:
        """Every edited page, and what stands on it now."""
        pages = {change.page.function: change.page for change in self.changes}
        for page in pages.values():
            source = page.source
            for change in sorted(self.changes, key=lambda c: -c.start):
                if change.page.function is page.function:
                    source = source[: change.start] + change.new + source[change.end :]
            yield page, source

    def filled(self, number: float) -> Candidate:
        """The candidate with a number in the place of the one that was looked for."""
        (change,) = self.changes
        new = change.new.replace(HIDDEN, repr(number))
        return dataclasses.replace(self, changes=(dataclasses.replace(change, new=new),))

    def with_another(self, other: Candidate) -> Candidate | None:
        """Both edits at once, in different places or one within what the other leaves standing."""
        if all(apart(a, b) for a in self.changes for b in other.changes):
            return Candidate(self.root, (*self.changes, *other.changes), self.base)
        if len(self.changes) + len(other.changes) > 2:
            return None
        outer, inner = sorted((*self.changes, *other.changes), key=lambda c: c.start - c.end)
        left = re.compile(rf"(?<![\w.]){re.escape(inner.old)}(?!\w)")
        if inner.start < outer.start or inner.end > outer.end or len(left.findall(outer.new)) != 1:
            return None
        new = left.sub(lambda _: inner.new, outer.new)
        what = f"{outer.what}, {inner.what}"
        change = dataclasses.replace(outer, new=new, what=what)
        return Candidate(self.root, (change,), self.base)


def apart(one: Change, other: Change) -> bool:
    """Whether two changes are in different places."""
    together = one.page.function is other.page.function
    return not together or one.end <= other.start or other.end <= one.start


def joined(edits: Sequence[Candidate]) -> Candidate | None:
    """Several edits as one, none where they are in each other's way."""
    one: Candidate | None = edits[0]
    for other in edits[1:]:
        one = one if one is None or one is other else one.with_another(other)
    return one


def squeezed(source: str) -> str:
    """The source without what the compiler does not read."""
    return re.sub(r"#.*|\s+", "", source)


class _TooLarge(RefimplError, ValueError):
    """An edited text asks for an array of unreasonable size."""


def _limited(function: Callable) -> Callable:
    """A NumPy function that makes arrays, with a limit on the sizes asked for."""

    def call(*args: Any, **kwargs: Any) -> Any:
        sizes = [arg for arg in (*args, *kwargs.values()) if isinstance(arg, (int, float, tuple))]
        numbers = [
            math.prod(size) if isinstance(size, tuple) else size
            for size in sizes
            if not isinstance(size, tuple) or all(isinstance(n, int) for n in size)
        ]
        limit = math.isqrt(LARGEST) if function is np.eye else LARGEST
        if any(number > limit for number in numbers):
            raise _TooLarge(f"np.{function.__name__} of more than {limit} elements")
        return function(*args, **kwargs)

    return call


def _numpy() -> types.ModuleType:
    """NumPy, except that nothing unreasonably large can be asked for."""
    module = types.ModuleType("numpy")
    vars(module).update(vars(np))
    for name in ("arange", "ones", "zeros", "eye", "linspace", "repeat", "array_split"):
        setattr(module, name, _limited(getattr(np, name)))
    vars(module).update({**formats.FUNCTIONS, **pieces.FUNCTIONS})
    return module


NUMPY = _numpy()


Pages = dict[types.FunctionType, FunctionText]


@functools.cache
def pages_of(root: types.FunctionType) -> Pages:
    """The operation's function, and every chapter function that it calls, also indirectly."""
    return {function: function_text(function) for function in reached(root).functions}


def pages_on(root: Any, base: Candidate | None) -> Pages:
    """The pages of an operation, as an edit has left them."""
    pages = dict(pages_of(root))
    for page, source in base.pages() if base else ():
        pages[page.function] = dataclasses.replace(page, source=source)
    return pages
