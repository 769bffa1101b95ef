"""Deviations that no listed edit explains: a search over small edits of the text's syntax tree.

Every edit that a slip of the pen might make is tried: another constant, axis, operator, name,
argument order or function, a factor, sign, step or transpose too few or too many, parentheses
moved, an index one off, another kind of mask. An edit explains a deviation if the edited text gives
what the target returned on every case, within the bound of the edited text. Where no single edit
does, a number is solved for in every place that might hold one; then pairs are tried while time is
left, of listed edits with each other and with small ones first. Time is counted as computing, so
that what is found does not depend on what else the machine does.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import functools
import inspect
import itertools
import math
import re
import sys
import time
import types
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.op import Op
from refimpl.oracle.cases.drawn import Case
from refimpl.oracle.diagnosis.ask_back import predict, weigh
from refimpl.oracle.diagnosis.causes import Explanation, body
from refimpl.oracle.judging.judge import Expected, expect, judge
from refimpl.oracle.numbers.errors import bounded
from refimpl.oracle.numbers.precisions import PRECISIONS

SINGLES = 0.55  # of the time goes to the plain comparison of single edits, at most
PAIRED = 300  # small single edits that are tried in pairs with each other
NUMBERS_S = 1.5  # seconds for numbers that have to be solved for
LARGEST = 2**22  # elements that one call in an edited text may ask for
GENEROUS = 128  # times the allowed error that the first, plain comparison lets pass

AXES: tuple[int | None, ...] = (-1, -2, -3, 0, 1, 2, 3, None)
MISREAD: dict[float, tuple[float, ...]] = {
    0.044715: (0.0447, 0.04471, 0.044175, 0.04715, 0.44715, 0.0044715, 0.044),
    1.702: (1.7, 1.072, 1.72, 1.703, 1.602, 1.782),
    10000: (1000, 100000),
}
ACTIVATIONS = (
    "np.maximum(A, 0)",
    "np.tanh(A)",
    "np.log1p(np.exp(A))",
)
SHIFTED = (  # a table read one place early or late, with the ends held or wrapped around
    "np.concatenate((A[:1], A[:-1]))",
    "np.concatenate((A[1:], A[-1:]))",
    "np.roll(A, 1, axis=0)",
    "np.roll(A, -1, axis=0)",
)
MASKED = (  # a bias of zeros and -inf taken for another kind of mask
    "A * (B > -np.inf)",
    "A + (B > -np.inf)",
    "np.where(B > -np.inf, A + B, -1e-9)",
    "A + np.where(B > -np.inf, B, -1e-9)",
    "A + np.swapaxes(np.broadcast_to(B, A.shape), -1, -2)",
)
HIDDEN = "np.unknown"  # stands for a number that is yet to be found
NUMBERS = (
    f"A * {HIDDEN}",
    f"A + {HIDDEN}",
    f"np.minimum(A, {HIDDEN})",
    f"np.maximum(A, {HIDDEN})",
    f"np.clip(A, -{HIDDEN}, {HIDDEN})",
)
GRID = tuple(10.0**k for k in range(-7, 5))
FINITE = (-1e4, -1e9, float(np.finfo(np.float32).min))
GUARDS = (1e-3, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-12, 1e-20)
OPERATORS: dict[type, str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.MatMult: "@",
    ast.Pow: "**",
    ast.FloorDiv: "//",
    ast.BitOr: "|",
    ast.BitAnd: "&",
}
COMPARISONS: dict[type, str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}
SIBLINGS = {
    "mean": ("sum", "max"),
    "sum": ("mean", "max"),
    "max": ("sum", "mean"),
    "sin": ("cos",),
    "cos": ("sin",),
    "tanh": ("sin", "arctan"),
    "maximum": ("minimum", "add"),
    "minimum": ("maximum",),
    "exp": ("log", "sqrt"),
    "log": ("log1p", "exp", "sqrt"),
    "log1p": ("log",),
    "sqrt": ("exp", "log"),
    "concatenate": ("stack",),
    "stack": ("concatenate",),
    "round": ("floor", "ceil"),
    "ones": ("zeros",),
    "cumprod": ("cumsum",),
}
WRAPPINGS = {
    "the magnitude": "np.abs(A)",
    "squashed": "np.tanh(A)",
    "a root too many": "np.sqrt(A)",
    "squared": "A * A",
    "the complement": "1 - A",
    "one more": "1 + A",
    "transposed": "np.swapaxes(A, -1, -2)",
    "the sign turned": "-A",
    "doubled": "2 * A",
    "added twice": "A + A",
    "halved": "A / 2",
    "inverted": "1 / A",
    "an exponential too many": "np.exp(A)",
    "a logarithm too many": "np.log(A)",
    "negative values cut off": "np.maximum(A, 0)",
    "clipped": "np.minimum(np.maximum(A, -1), 1)",
    "capped at one": "np.minimum(A, 1)",
    "capped just below one": "np.minimum(A, 0.999)",
    "capped at a hundred": "np.minimum(A, 100)",
}
ANYWHERE = ("tiled, not repeated", "the sample variance", "another base")
PRECEDENCE = {"|": 1, "&": 2, "+": 3, "-": 3, "*": 4, "/": 4, "@": 4, "//": 4, "**": 6}
TOKEN = re.compile(r"^-[\d.e]+$|[\w.]+|\*\*|//|[<>=!]=|\S")


@dataclass(frozen=True)
class Page:
    """One function of a chapter without its docstring and annotations, as it is compiled anew."""

    module: str
    name: str
    function: types.FunctionType
    source: str

    @property
    def printed(self) -> str:
        """The function as the chapter prints it, without its docstring."""
        return body(inspect.getsource(self.function))


@dataclass(frozen=True)
class Change:
    """Some characters of a page replaced by others."""

    page: Page
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
        old, new = TOKEN.findall(self.old), TOKEN.findall(self.new)
        matching = difflib.SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
        same = sum(block.size for block in matching)
        return 2 * (len(new) - same) + min(len(old) - same, 3)

    def __str__(self) -> str:
        old, new = (" ".join(text.split()) for text in (self.old, self.new))
        became = f"`{old}` became `{new}`" if new else f"without `{old}`"
        return f"in {self.page.name}, {self.what}: {became}"


@dataclass(frozen=True)
class Candidate:
    """An edit of the text that nobody has listed: one change, one in several places, or two."""

    root: Callable[..., Any]
    changes: tuple[Change, ...]

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

    @property
    def rank(self) -> tuple[int, ...]:
        """Small edits first; then those of the operation itself, omissions, and less text."""
        elsewhere = sum(change.page.function is not self.root for change in self.changes)
        more = sum(not change.what.endswith("left out") for change in self.changes)
        longer = sum(abs(len(change.new) - len(change.old)) for change in self.changes)
        return self.size, elsewhere, more, longer

    @property
    def text(self) -> Callable[..., Any]:
        """The operation with the edit applied; SyntaxError where it is no text any more."""
        codes = {page.function: _compiled(page, source) for page, source in self.pages()}
        return _assemble(self.root, codes)

    @property
    def diff(self) -> str:
        """The edit as a diff of the printed text."""
        diffs = []
        for page, source in self.pages():
            before = page.printed
            steps = page.source.partition("\n")[2]
            after = before.removesuffix(steps) + source.partition("\n")[2]
            lines = difflib.unified_diff(
                before.splitlines(), after.splitlines(), page.name, "unlisted", lineterm="", n=1
            )
            diffs.append("\n".join(lines))
        return "\n".join(diffs)

    def pages(self) -> Iterator[tuple[Page, str]]:
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
        return Candidate(self.root, (dataclasses.replace(change, new=new),))

    def with_another(self, other: Candidate) -> Candidate | None:
        """Both edits at once, in different places or one within what the other leaves standing."""
        if all(_apart(a, b) for a in self.changes for b in other.changes):
            return Candidate(self.root, (*self.changes, *other.changes))
        if len(self.changes) + len(other.changes) > 2:
            return None
        outer, inner = sorted((*self.changes, *other.changes), key=lambda c: c.start - c.end)
        left = re.compile(rf"(?<![\w.]){re.escape(inner.old)}(?!\w)")
        if inner.start < outer.start or inner.end > outer.end or len(left.findall(outer.new)) != 1:
            return None
        new = left.sub(lambda _: inner.new, outer.new)
        what = f"{outer.what}, {inner.what}"
        return Candidate(self.root, (dataclasses.replace(outer, new=new, what=what),))


def _apart(one: Change, other: Change) -> bool:
    """Whether two changes are in different places."""
    together = one.page.function is other.page.function
    return not together or one.end <= other.start or other.end <= one.start


def single_edits(op: Op) -> list[Candidate]:
    """All edits of one place in the operation's text or a chapter's function that it calls."""
    return _single_edits(op.text)


def explain(
    op: Op,
    seen: list[tuple[Case, list[np.ndarray]]],
    storage: np.dtype,
    precision: str,
    budget_s: float = 8.0,
    most: int = 3,
) -> list[Explanation]:
    """The smallest edits that give every output seen, conforming ones included; often none."""
    return [
        Explanation(
            "mistake", "unlisted", found.id, found.text, functools.partial(getattr, found, "diff")
        )
        for found in matches(op, seen, storage, precision, budget_s, most)
    ]


def matches(
    op: Op,
    seen: list[tuple[Case, list[np.ndarray]]],
    storage: np.dtype,
    precision: str,
    budget_s: float = 8.0,
    most: int = 3,
) -> list[Candidate]:
    """The candidates behind `explain`, no two of them the same function on what was seen."""
    deadline = time.process_time() + budget_s  # of computing: the target's time is its own
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # a mean of nothing is a result like another
        evidence = _evidence(op, seen, storage, precision)
        if all(e.hopeless for e in evidence if e.fails):
            return []
        trial = _Trial(op, evidence, storage, precision, deadline)
        return trial.run(most)


@dataclass(frozen=True)
class _Evidence:
    """One case, what the target returned, and what the unedited text says of it."""

    case: Case
    outputs: list[np.ndarray]
    found: list[np.ndarray]  # the outputs in float64
    own: list[Expected]
    fails: bool

    @property
    def hopeless(self) -> bool:
        """Whether the outputs have a form, or so many gaps, that no edit would give them."""
        if len(self.found) != len(self.own):
            return True
        gaps = [
            np.isnan(found).all() and found.size > 0 and not np.isnan(own.value).any()
            for found, own in zip(self.found, self.own)
        ]
        return any(gaps)


def _evidence(op: Op, seen: list, storage: np.dtype, precision: str) -> list[_Evidence]:
    """The cases, small failing ones first."""
    evidence = []
    for case, outputs in seen:
        try:
            found = [np.asarray(output).astype(np.float64) for output in outputs]
        except (TypeError, ValueError):
            return []
        own = expect(op, case.inputs, precision)
        actual: Any = outputs[0] if len(outputs) == 1 else outputs
        fails = not judge(op, own, actual, storage).conforms
        evidence.append(_Evidence(case, outputs, found, own, fails))

    def order(e: _Evidence) -> tuple:
        numbers = sum(np.size(x) for x in e.case.inputs.values())
        results = sum(x.size for x in e.found)
        return not e.fails, e.hopeless, results < 4, numbers + results

    return sorted(evidence, key=order)


class _Trial:
    """The search for one finding."""

    def __init__(
        self, op: Op, evidence: list[_Evidence], storage: np.dtype, precision: str, deadline: float
    ) -> None:
        self.op = op
        self.evidence = evidence
        self.storage = storage
        self.precision = precision
        self.deadline = deadline
        self.kept: list[tuple[Candidate, list[list[Expected]]]] = []

    def run(self, most: int) -> list[Candidate]:
        """Single edits first, then a number in some place, then pairs."""
        viable: list[tuple[Candidate, float]] = []
        results = {_fingerprint([e.value for e in evidence.own] for evidence in self.evidence[:3])}
        survivors = []
        start = time.process_time()
        for candidate in single_edits(self.op):
            if time.process_time() - start > SINGLES * (self.deadline - start):
                break  # what was found is yet to be judged
            text = _text(candidate)
            values = _values(text, self.evidence[0].case)
            if values is None:
                continue
            if self._passes(text, values):
                survivors.append(candidate)
                continue
            prints = [values, *(_values(text, e.case) or [] for e in self.evidence[1:3])]
            fingerprint = _fingerprint(prints)
            if fingerprint not in results:
                viable.append((candidate, self._gain(prints)))
                results.add(fingerprint)
        self._keep(survivors, most)
        if not self.kept:
            self._keep(self._numbers(), 1)
        if not self.kept:
            self._pairs(viable)
        return [candidate for candidate, _ in self.kept]

    def _gain(self, results: list[list[np.ndarray]]) -> float:
        """The share of the deviating numbers that an edit alone puts right."""
        right = wrong = 0
        for values, evidence in zip(results, self.evidence):
            before, near = self._close(self._own(evidence), evidence), self._close(values, evidence)
            off = ~np.concatenate([n.ravel() for n in before or ()])
            wrong += int(off.sum())
            if near:
                right += int((np.concatenate([n.ravel() for n in near]) & off).sum())
        return right / max(wrong, 1)

    @staticmethod
    def _own(evidence: _Evidence) -> list[np.ndarray]:
        return [
            own.value if own.value.shape == found.shape else np.full(found.shape, np.inf)
            for own, found in zip(evidence.own, evidence.found)
        ]

    def _pairs(self, viable: list[tuple[Candidate, float]]) -> None:
        """Two edits at once: both listed, one right in places, one listed, any small ones."""
        listed = of_catalogue(self.op)
        small = [candidate for candidate, _ in viable]
        helpful = sorted((v for v in viable if v[1] > 0), key=lambda v: (-v[1], v[0].rank))
        mixed = itertools.product(listed, small[:600])
        partly = itertools.product((c for c, _ in helpful[:40]), (*listed, *small[:400]))
        any_two = sorted(
            itertools.combinations(small[:PAIRED], 2), key=lambda two: two[0].size + two[1].size
        )
        for one, other in itertools.chain(
            itertools.combinations(listed, 2), _in_turn(partly, mixed, any_two)
        ):
            if time.process_time() > self.deadline:
                return
            pair = one.with_another(other)
            if pair is None:
                continue
            text = _text(pair)
            values = _values(text, self.evidence[0].case)
            if values is not None and self._passes(text, values):
                self._keep([pair], 1)
                if self.kept:
                    return

    def _numbers(self) -> Iterator[Candidate]:
        """Numbers that nobody would guess: solved for on one case, rounded, tried on the others."""
        first = self.evidence[0]
        own, found = self._own(first)[0].ravel(), first.found[0].ravel()
        if not own.size:
            return
        off = np.where(np.isfinite(found) & np.isfinite(own), np.abs(found - own), -1)
        at, stop = int(np.argmax(off)), time.process_time() + NUMBERS_S
        for candidate in _hidden(self.op.text):
            if time.process_time() > min(stop, self.deadline):
                return
            text = _text(candidate)

            def residual(number: float, text: Callable = text) -> float:
                if time.process_time() > min(stop, self.deadline):
                    return math.nan
                vars(NUMPY)["unknown"] = number
                values = _values(text, first.case)
                if values is None or values[0].size != found.size:
                    return math.nan
                return float(values[0].ravel()[at] - found[at])

            for root in _roots(residual):
                for digits in range(1, 10):
                    filled = candidate.filled(float(f"{root:.{digits}g}"))
                    text = _text(filled)
                    values = _values(text, first.case)
                    if values is not None and self._passes(text, values):
                        yield filled  # more digits follow if the bound asks for them

    def _passes(self, text: Callable[..., Any], first: list[np.ndarray]) -> bool:
        """The plain comparison in float64, case by case, until one differs."""
        if not self._near(first, self.evidence[0]):
            return False
        changed = not _within(first, self.evidence[0].own)
        for evidence in self.evidence[1:]:
            values = _values(text, evidence.case)
            if values is None or not self._near(values, evidence):
                return False
            changed = changed or not _within(values, evidence.own)
        return changed

    def _near(self, values: list[np.ndarray], evidence: _Evidence) -> bool:
        """Whether every number is as near as `_close` asks."""
        close = self._close(values, evidence)
        return close is not None and all(bool(near.all()) for near in close)

    def _close(self, values: list[np.ndarray], evidence: _Evidence) -> list[np.ndarray] | None:
        """What is within many times the allowed error, or half of the digits of the largest result.

        Where the target has no finite number but the edited text does, it may have lost it on the
        way: the bound decides. None where the outputs have other shapes.
        """
        p = PRECISIONS[self.precision]
        half = math.sqrt(max(p.unit, p.sum_unit))
        if len(values) != len(evidence.found):
            return None
        close = []
        for value, found, own in zip(values, evidence.found, evidence.own, strict=True):
            if value.shape != found.shape:
                return None
            finite = np.where(np.isfinite(value), np.abs(value), 0)
            room = half * np.max(finite, initial=0)
            if value.shape == own.allowed.shape:
                room = room + GENEROUS * own.allowed
            same = (value == found) | (np.isnan(value) & np.isnan(found))
            lost = ~np.isfinite(found)
            if own.value.shape == found.shape:  # what the right text loses as well is no help
                lost &= ~np.isfinite(value) | (np.abs(own.value) < p.largest)
            close.append(same | lost | (np.abs(value - found) <= room))
        return close

    def _keep(self, survivors: Iterable[Candidate], most: int) -> None:
        """Add the survivors that fit within their own bound and say something new."""
        for candidate in survivors:
            if len(self.kept) == most or time.process_time() > self.deadline:
                return
            text = candidate.text
            if any(self._alike(text, results) for _, results in self.kept):
                continue
            results, says_something = [], False
            for e in self.evidence:
                case = e.case
                wanted = predict(self.op, text, case)
                right = weigh(wanted, e.own, self.op, e.outputs, self.storage)
                if right is False:
                    break
                says_something |= bool(right and e.fails)
                exact = bounded(text, case.inputs, "float64")
                results.append([Expected("", x.value, x.error) for x in exact])
            else:
                if says_something and not any(_agree(results, others) for _, others in self.kept):
                    self.kept.append((candidate, results))

    def _alike(self, text: Callable[..., Any], results: list[list[Expected]]) -> bool:
        """Whether an edited text gives what another gave on every case."""
        for e, want in zip(self.evidence, results, strict=True):
            values = _values(text, e.case)
            if values is None or not _within(values, want):
                return False
        return True


def _fingerprint(results: Iterable[list[np.ndarray]]) -> bytes:
    return b"".join(value.tobytes() for values in results for value in values)


def _agree(these: list[list[Expected]], those: list[list[Expected]]) -> bool:
    """Whether two edited texts gave the same on every case, rounding aside."""
    return all(
        _within([a.value], [Expected("", b.value, a.allowed + b.allowed)])
        for one, other in zip(these, those, strict=True)
        for a, b in zip(one, other, strict=True)
    )


def _within(values: list[np.ndarray], own: list[Expected]) -> bool:
    return all(
        value.shape == want.value.shape
        and bool(
            (
                (value == want.value)
                | (np.isnan(value) & np.isnan(want.value))
                | (np.abs(value - want.value) <= want.allowed)
            ).all()
        )
        for value, want in zip(values, own)
    )


def _text(candidate: Candidate) -> Callable[..., Any]:
    """The edited text, or a function that does nothing where the edit left none."""
    try:
        return candidate.text
    except SyntaxError:
        return lambda **_: None


def _values(text: Callable[..., Any], case: Case) -> list[np.ndarray] | None:
    """What an edited text gives in float64; None where it gives nothing."""
    try:
        result = text(**case.inputs)
        outputs = result if isinstance(result, tuple) else (result,)
        arrays = [np.asarray(output) for output in outputs]
        if any(array.dtype.kind not in "biuf" for array in arrays):
            return None
        return [array.astype(np.float64) for array in arrays]
    except Exception:  # an edited text may go wrong in any way
        return None


def _in_turn(*sources: Iterable) -> Iterator:
    """One of each in turn, until all are used up."""
    waiting = [iter(source) for source in sources]
    while waiting:
        for source in tuple(waiting):
            try:
                yield next(source)
            except StopIteration:
                waiting.remove(source)


def _roots(residual: Callable[[float], float]) -> Iterator[float]:
    """Numbers of either sign where a function of one number is nothing, found by bisection."""
    for sign in (1, -1):
        grid = [(sign * number, residual(sign * number)) for number in GRID]
        for (low, below), (high, above) in itertools.pairwise(grid):
            if not (math.isfinite(below) and math.isfinite(above)) or below * above > 0:
                continue
            if below == above:
                continue
            for _ in range(50):
                middle = (low + high) / 2
                here = residual(middle)
                if not math.isfinite(here):
                    break
                if here * below > 0:
                    low, below = middle, here
                else:
                    high = middle
            yield (low + high) / 2


# How an edited text is compiled.


class _TooLarge(ValueError):
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
    return module


NUMPY = _numpy()


@functools.lru_cache(maxsize=4096)
def _compiled(page: Page, source: str) -> types.CodeType:
    names: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a suspicious text is what is wanted here
        exec(compile(source, f"<edited {page.name}>", "exec"), names)
    return names[page.name].__code__


@functools.cache
def _pages(root: types.FunctionType) -> dict[types.FunctionType, Page]:
    """The operation's function, and every chapter function that it calls, also indirectly."""
    pages: dict[types.FunctionType, Page] = {}
    waiting = [root]
    while waiting:
        function = waiting.pop(0)
        if function in pages:
            continue
        pages[function] = _page(function)
        for name in _called(function.__code__):
            found = function.__globals__.get(name)
            if isinstance(found, types.FunctionType) and found.__module__.endswith(".reference"):
                waiting.append(found)
    return pages


def _called(code: types.CodeType) -> list[str]:
    nested = [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return [*code.co_names, *(name for inner in nested for name in _called(inner))]


def _page(function: types.FunctionType) -> Page:
    source = inspect.getsource(function)
    steps = ast.parse(source).body[0].body  # type: ignore[attr-defined]
    first = steps[1] if ast.get_docstring(ast.parse(source).body[0]) else steps[0]  # type: ignore
    lines = source.splitlines()
    while lines[first.lineno - 2].strip().startswith("#"):
        first.lineno -= 1
    arguments = ", ".join(inspect.signature(function).parameters)
    text = "\n".join((f"def {function.__name__}({arguments}):", *lines[first.lineno - 1 :])) + "\n"
    return Page(function.__module__, function.__name__, function, text)


def _assemble(root: Any, codes: dict[types.FunctionType, types.CodeType]) -> Callable[..., Any]:
    """The operation, some functions replaced, in a namespace of its own."""
    pages = _pages(root)
    spaces: dict[str, dict[str, Any]] = {}
    for page in pages.values():
        if page.module not in spaces:
            spaces[page.module] = {**vars(sys.modules[page.module]), "np": NUMPY}
    copies = {
        function: types.FunctionType(
            codes.get(function, function.__code__), spaces[page.module], page.name
        )
        for function, page in pages.items()
    }
    for space in spaces.values():
        for function, made in copies.items():
            if space.get(function.__name__) is function:
                space[function.__name__] = made
    return copies[root]


# Which edits there are.


def of_catalogue(op: Op) -> list[Candidate]:
    """The listed mistakes and dialects as changes that can stand beside others."""
    pages = {(page.module, page.name): page for page in _pages(op.text).values()}
    found = []
    for edit in (*op.mistakes, *op.dialects):
        changes = []
        for where, old, new in edit.places:
            home, name = op.home(where)
            page = pages.get((home.__name__, name))
            if page and page.source.count(old) == 1:
                start = page.source.index(old)
                changes.append(Change(page, start, start + len(old), new, edit.says))
        if len(changes) == len(edit.places):
            found.append(Candidate(op.text, tuple(changes)))
    return found


@functools.lru_cache(maxsize=8)
def _hidden(root: Any) -> list[Candidate]:
    """Every place where a number might stand, that number yet unknown; likelier ones first."""
    found: dict[tuple[Any, str], Candidate] = {}
    for page in _pages(root).values():
        for change in _Writer(page).places():
            candidate = Candidate(root, (change,))
            ((_, source),) = candidate.pages()
            found.setdefault((page.function, _squeezed(source)), candidate)
    return sorted(found.values(), key=lambda candidate: candidate.rank)


@functools.lru_cache(maxsize=8)
def _single_edits(root: Any) -> list[Candidate]:
    found: dict[tuple[Any, str], Candidate] = {}
    for page in _pages(root).values():
        same = (page.function, _squeezed(page.source))
        for change in _Writer(page).changes():
            candidate = Candidate(root, (change,))
            ((_, source),) = candidate.pages()
            key = (page.function, _squeezed(source))
            if key != same and (key not in found or candidate.rank < found[key].rank):
                found[key] = candidate
    alike: dict[tuple[str, ...], list[Change]] = {}
    for candidate in found.values():
        (change,) = candidate.changes
        names = () if change.what in ANYWHERE else (change.old, change.new)
        kind = (change.page.module, change.page.name, change.what, *names)
        alike.setdefault(kind, []).append(change)
    everywhere = [Candidate(root, tuple(group)) for group in alike.values() if _separate(group)]
    return sorted((*found.values(), *everywhere), key=lambda candidate: candidate.rank)


def _separate(changes: list[Change]) -> bool:
    """Whether there are several changes, which do not overlap."""
    ordered = sorted(changes, key=lambda change: change.start)
    return len(changes) > 1 and all(_apart(a, b) for a, b in itertools.pairwise(ordered))


def _squeezed(source: str) -> str:
    """The source without what the compiler does not read."""
    return re.sub(r"#.*|\s+", "", source)


def _make(template: str, **parts: ast.expr) -> ast.expr:
    """An expression with other expressions in the places of its capital letters.

    >>> ast.unparse(_make("A * B", A=_make("x + 1"), B=_make("y")))
    '(x + 1) * y'
    """

    class Fill(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            return parts.get(node.id, node)

    return Fill().visit(ast.parse(template, mode="eval").body)


def _number(node: ast.AST) -> int | float | None:
    """The number that a node spells, its sign included."""
    match node:
        case ast.Constant(value=bool()):
            return None
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
    return None


def _numpy_name(node: ast.AST) -> str:
    """The name of the NumPy function that a node is, or nothing."""
    match node:
        case ast.Attribute(value=ast.Name(id="np"), attr=name):
            return name
    return ""


Edits = Iterator[tuple[ast.AST, "ast.expr | str", str]]


class _Writer:
    """Writes the edits of one page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.scope = page.function.__globals__
        self.tree = ast.parse(page.source).body[0]
        assert isinstance(self.tree, ast.FunctionDef)
        self.parents: dict[ast.AST, ast.AST] = {}
        self.steps: list[ast.stmt] = []
        self._walk(self.tree)
        self.lines = [0]
        for line in page.source.splitlines(keepends=True):
            self.lines.append(self.lines[-1] + len(line.encode()))
        self.bytes = page.source.encode()
        self.parameters = inspect.signature(page.function).parameters

    def _walk(self, node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            refusal = isinstance(child, ast.If) and isinstance(child.body[0], ast.Raise)
            if not refusal and not isinstance(child, (ast.arguments, ast.Raise)):
                self.parents[child] = node
                self._walk(child)

    def changes(self) -> Iterator[Change]:
        """Every edit of the page as a change of its characters."""
        for node in list(self.parents):
            for place, new, what in self._edits(node):
                yield self._change(place, new, what)

    def places(self) -> Iterator[Change]:
        """Every number, and every quantity with a number beside it, that number yet unknown."""
        for node in list(self.parents):
            parent = self.parents[node]
            places = _number(node) is not None and _number(parent) is None
            counts = self._is_axis(node) or isinstance(
                parent, (ast.Subscript, ast.Slice, ast.Tuple)
            )
            if places and not counts:
                yield self._change(node, _make(HIDDEN), "another number")
            if self._is_quantity(node):
                for template in NUMBERS:
                    new = _make(template, A=node)  # type: ignore[arg-type]
                    yield self._change(node, new, "a number too many")

    def _change(self, node: Any, new: ast.expr | str, what: str) -> Change:
        start = self.lines[node.lineno - 1] + node.col_offset
        end = self.lines[node.end_lineno - 1] + node.end_col_offset
        if not isinstance(new, str):
            text = re.sub(r"([\w.]+) \*\* (\d)\b", r"\1**\2", ast.unparse(new))
            new = f"({text})" if self._needs_parentheses(node, new) else text
        elif isinstance(node, ast.stmt) and not new:
            start = self.lines[node.lineno - 1]
            end = self.lines[node.end_lineno or node.lineno]
        start, end = len(self.bytes[:start].decode()), len(self.bytes[:end].decode())
        return Change(self.page, start, end, new, what)

    def _needs_parentheses(self, node: ast.AST, new: ast.expr) -> bool:
        def binding(expression: ast.AST) -> int:
            match expression:
                case ast.BinOp(op=operator):
                    return PRECEDENCE[OPERATORS[type(operator)]]
                case ast.UnaryOp(op=ast.USub()):
                    return 5
                case ast.Compare() | ast.BoolOp() | ast.IfExp() | ast.Tuple() | ast.UnaryOp():
                    return 0
            return 8

        parent = self.parents[node]
        if isinstance(parent, (ast.Attribute, ast.Subscript)) and parent.value is node:
            outer = 7
        elif isinstance(parent, (ast.BinOp, ast.UnaryOp, ast.Compare, ast.BoolOp)):
            outer = binding(parent)
        else:
            return False
        last = isinstance(parent, ast.BinOp) and parent.right is node
        inside = binding(new) < outer or (binding(new) == outer and (last or outer == 0))
        start = self.lines[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]
        return inside and self.bytes[start - 1 : start] != b"("

    def _edits(self, node: ast.AST) -> Edits:
        if _number(node) is not None and _number(self.parents[node]) is None:
            yield from self._numbers(node)
        elif isinstance(node, ast.BinOp):
            yield from self._operations(node)
        elif isinstance(node, ast.UnaryOp) and isinstance(self.parents[node], ast.AST):
            yield node, node.operand, "a sign left out"
        elif isinstance(node, ast.Compare):
            yield from self._comparisons(node)
        elif isinstance(node, ast.Subscript):
            yield from self._subscripts(node)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield from self._names(node)
        elif isinstance(node, ast.Call):
            yield from self._calls(node)
        elif isinstance(node, ast.Attribute):
            if node.attr == "T":
                yield node, node.value, "not transposed"
                reshaped = _make("np.reshape(A, B.shape)", A=node.value, B=node)
                yield node, reshaped, "reshaped, not transposed"
            if _numpy_name(node) == "inf":
                for number in (*(-number for number in FINITE), 1e-9):
                    yield node, ast.Constant(number), "a finite number"
        elif isinstance(node, ast.IfExp):
            yield node, node.body, "one branch alone"
            yield node, node.orelse, "one branch alone"
        elif isinstance(node, ast.BoolOp):
            other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield node, ast.BoolOp(other, node.values), "another connective"
            for value in node.values:
                yield node, value, "one condition alone"
        elif isinstance(node, ast.Tuple):
            yield from self._tuples(node)
        elif isinstance(node, ast.stmt):
            yield from self._statements(node)
        if self._is_quantity(node):
            assert isinstance(node, ast.expr)
            for what, template in WRAPPINGS.items():
                yield node, _make(template, A=node), what
            if self._is_guarded(node):
                for guard in GUARDS:
                    yield node, _make(f"A + {guard}", A=node), "a guard too many"
                    yield node, _make(f"np.maximum(A, {guard})", A=node), "a guard too many"
            for factor in self._factors(node):
                for template in ("A * B", "A / B"):
                    new = _make(template, A=node, B=factor)
                    yield node, new, "a factor too many"

    def _is_guarded(self, node: ast.AST) -> bool:
        """Whether a node stands where zero does harm: below a bar, in a root or a logarithm."""
        parent = self.parents[node]
        if isinstance(parent, ast.BinOp):
            return isinstance(parent.op, ast.Div) and parent.right is node
        return isinstance(parent, ast.Call) and _numpy_name(parent.func) in ("log", "sqrt")

    def _factors(self, node: ast.expr) -> list[ast.expr]:
        """What is known where a node stands; roots and exponentials that the function takes."""
        names: list[ast.expr] = [ast.Name(name) for name in self._known_before(_at(node))]
        for name in self.parameters:
            if self._kind(ast.Name(name)) in ("LogScale", "LogVariance"):
                names.append(_make("np.exp(A)", A=ast.Name(name)))
            if self._kind(ast.Name(name)) == "Size":
                names.append(_make("(A / 1000)", A=ast.Name(name)))
        array = next((n for n, p in self.parameters.items() if _has_axes(p.annotation)), "")
        if array:
            names += [_make(f"{array}.shape[{axis}]") for axis in (-1, 0, 1)]
            names += [_make(f"np.sqrt({array}.shape[-1])")]
        roots = [
            n
            for n in self.parents
            if isinstance(n, ast.Call) and _numpy_name(n.func) in ("sqrt", "exp")
        ]
        return names + list({ast.unparse(root): root for root in roots}.values())

    def _is_axis(self, node: ast.AST) -> bool:
        """Whether a node stands where an axis is asked for."""
        parent = self.parents.get(node)
        if isinstance(parent, (ast.Tuple, ast.UnaryOp)):
            return self._is_axis(parent)
        if isinstance(parent, ast.keyword):
            return parent.arg == "axis"
        moves = ("swapaxes", "transpose")
        return (
            isinstance(parent, ast.Call)
            and _numpy_name(parent.func) in moves
            and node in parent.args[1:]
        )

    def _is_quantity(self, node: ast.AST) -> bool:
        """Whether a node is a value that is computed with, rather than a shape or an axis."""
        kinds = (ast.Name, ast.Call, ast.BinOp, ast.Subscript, ast.IfExp)
        if not isinstance(node, kinds) or not isinstance(
            getattr(node, "ctx", ast.Load()), ast.Load
        ):
            return False
        parent = self.parents[node]
        if isinstance(parent, ast.Call):
            return parent.func is not node and not self._is_axis(node)
        if isinstance(parent, ast.IfExp):
            return parent.test is not node
        return isinstance(parent, (ast.BinOp, ast.UnaryOp, ast.Return, ast.Assign))

    def _numbers(self, node: ast.AST) -> Edits:
        value = _number(node)
        assert value is not None
        if self._is_axis(node):
            for axis in AXES:
                yield node, _make(repr(axis)), "another axis"
            return
        parent = self.parents[node]
        picks = isinstance(parent, ast.Subscript) and parent.slice is node
        others: list[float] = [
            value + 1,
            value - 1,
            0,
            1,
            0 if picks else -value,
            2 * value,
            *MISREAD.get(value, ()),
        ]
        others += [value / 2] if value % 2 else [type(value)(value / 2)]
        if isinstance(value, float):
            others += [10 * value, value / 10]
        for other in others:
            yield node, _make(repr(other)), "another number"

    def _operations(self, node: ast.BinOp) -> Edits:
        left, right = node.left, node.right
        sign = OPERATORS[type(node.op)]
        logical = ("|", "&")
        for operator in PRECEDENCE:
            if (operator in logical) != (sign in logical):
                continue
            if operator == "**" and _number(right) not in (2, 3):
                continue
            if operator == "//" and sign != "/":
                continue
            yield node, _make(f"A {operator} B", A=left, B=right), "another operation"
        if sign in ("-", "/", "@", "**", "//"):
            yield node, _make(f"B {sign} A", A=left, B=right), "operands exchanged"
        for operand in (left, right):
            yield node, operand, "an operand left out"
            if isinstance(operand, ast.BinOp):
                yield node, operand.left, "two operands left out"
                yield node, operand.right, "two operands left out"
        if sign == "-":
            yield node, _make("-B", B=right), "an operand left out"
        if sign == "/":
            yield node, _make("1 / B", B=right), "an operand left out"
        if sign == "-" and _number(left) == 1:
            for template in ("(1 - B) / B", "B / (1 - B)", "1 - B * B"):
                yield node, _make(template, B=right), "another ratio"
        if sign == "+" and self._kind(right) == "Bias":
            for template in MASKED:
                yield node, _make(template, A=left, B=right), "another kind of mask"
        if sign in ("+", "-") and isinstance(left, ast.BinOp) and isinstance(left.op, ast.Add):
            rest = _make(f"B {sign} C", B=left.right, C=right)
            for template in ("A + np.maximum(R, 0)", "A + np.minimum(R, 0)", "A - (R)"):
                yield node, _make(template, A=left.left, R=rest), "the rest cut off or turned"
        if sign == "+" and isinstance(left, ast.Call) and _numpy_name(left.func) == "concatenate":
            yield from self._into_a_part(node, left, right)
        if isinstance(right, ast.BinOp):
            inner = OPERATORS[type(right.op)]
            moved = _make(f"(A {sign} B) {inner} C", A=left, B=right.left, C=right.right)
            yield node, moved, "parentheses moved"
        if isinstance(left, ast.BinOp):
            inner = OPERATORS[type(left.op)]
            moved = _make(f"A {inner} (B {sign} C)", A=left.left, B=left.right, C=right)
            yield node, moved, "parentheses moved"
        for operand, template in ((left, f"F(A {sign} B)"), (right, f"F(B {sign} A)")):
            other = right if operand is left else left
            if isinstance(operand, ast.Call) and len(operand.args) == 1 and not operand.keywords:
                moved = _make(template, F=operand.func, A=operand.args[0], B=other)
                yield node, moved, "parentheses moved"

    def _into_a_part(self, node: ast.BinOp, joined: ast.Call, added: ast.expr) -> Edits:
        """What is added to joined parts is added to one of them before."""
        if not joined.args or not isinstance(joined.args[0], ast.Tuple):
            return
        for i, part in enumerate(joined.args[0].elts):
            for template in ("A + B", "A + B[1:]", "A + B[:-1]", "A + B[:1]"):
                parts = list(joined.args[0].elts)
                parts[i] = _make(template, A=part, B=added)
                call = ast.Call(joined.func, [ast.Tuple(parts), *joined.args[1:]], joined.keywords)
                yield node, call, "added to one part"

    def _kind(self, node: ast.AST) -> str:
        """The kind of the parameter that a name stands for."""
        annotation = getattr(self.parameters.get(getattr(node, "id", "")), "annotation", None)
        return getattr(getattr(annotation, "kind", None), "name", "")

    def _comparisons(self, node: ast.Compare) -> Edits:
        if type(node.ops[0]) not in COMPARISONS:
            return
        parts = {"A": node.left, "B": node.comparators[0]}
        for side in ("A", "B"):
            same = _make(f"{side} {COMPARISONS[type(node.ops[0])]} {side}", **parts)
            yield node, same, "compared with itself"
        for template in ("np.tril(C)", "np.triu(C)"):
            yield node, _make(template, C=node), "a triangle alone"
        for operator in COMPARISONS.values():
            new = _make(f"A {operator} B", A=node.left, B=node.comparators[0])
            yield node, new, "another comparison"

    def _subscripts(self, node: ast.Subscript) -> Edits:
        if not isinstance(node.ctx, ast.Load):
            return
        table, index = ast.unparse(node.value), node.slice
        if isinstance(index, ast.Name):
            name = index.id
            for new in _off_by_one(name, table):
                yield index, new, "another index"
        if isinstance(index, ast.Slice):
            for new in (":", "1:", ":-1", "::-1"):
                yield index, new, "another section"
        if isinstance(index, ast.Tuple):
            for i, part in enumerate(index.elts):
                if isinstance(part, ast.Name):
                    for other in ("-1", "0"):
                        parts = [ast.unparse(e) for e in index.elts]
                        parts[i] = other
                        yield index, ", ".join(parts), "another index"
        yield node, node.value, "not indexed"

    def _names(self, node: ast.Name) -> Edits:
        parent = self.parents[node]
        if (isinstance(parent, ast.Call) and parent.func is node) or node.id == "np":
            return
        for name in self._known_before(node):
            yield node, ast.Name(name), "another name"
        annotation = getattr(self.parameters.get(node.id), "annotation", None)
        kind = getattr(annotation, "kind", None)
        if kind is None or kind.integer or getattr(annotation, "scalar", False):
            for template in ("A + 1", "A - 1", "np.maximum(A - 1, 1)"):
                yield node, _make(template, A=node), "one off"
        if getattr(annotation, "scalar", False):
            numbers = GUARDS if kind is not None and kind.name == "Epsilon" else (0, 1)
            for number in numbers:
                yield node, ast.Constant(number), "a fixed number"
        if kind is not None and kind.integer and isinstance(parent, ast.Call):
            tables = [
                a for a in parent.args if isinstance(a, (ast.Name, ast.Call)) and a is not node
            ]
            for table in tables[:1]:
                for new in _off_by_one(node.id, ast.unparse(table)):
                    yield node, new, "another index"
        if self._is_quantity(node):
            for function in self._functions(1):
                yield node, _make(f"{function}(A)", A=node), "a function too many"
                yield node, _make(f"1 - {function}(A)", A=node), "a function too many"
            if self._kind(node) == "Size":
                for template in ("1000 / A", "A / 1000"):
                    yield node, _make(template, A=node), "counted by the thousand"
        if _has_axes(annotation):
            for template in ("A[:, ::-1]", "A[..., ::-1]"):
                yield node, _make(template, A=node), "backwards"
            yield node, _make("A[:1]", A=node), "the first for all"
            yield from self._arrays(node, annotation)
        elif kind is not None and kind.integer and not getattr(annotation, "scalar", True):
            yield node, _make("np.max(A, initial=0) + 0 * A", A=node), "the largest for all"
        if kind is not None and kind.name == "Time":
            for template in ("A / 1000", "1000 * A"):
                yield node, _make(template, A=node), "another unit"
        if kind is not None and kind.name == "Bias":
            for number in FINITE:
                yield node, _make(f"np.maximum(A, {number})", A=node), "a finite number for -inf"
            yield node, _make("1.0 * (A > -np.inf)", A=node), "ones and zeros as a mask"

    def _arrays(self, node: ast.Name, annotation: Any) -> Edits:
        """An array read in another order, or one place late."""
        for template in SHIFTED:
            yield node, _make(template, A=node), "shifted by one"
        centred = _make("(A - np.mean(A, axis=-1, keepdims=True))", A=node)
        yield node, centred, "centred"
        for template in ("A[..., ::-1, :]", "A[..., ::-1, ::-1]"):
            yield node, _make(template, A=node), "backwards"
        yield node, _make("0 * A + A[:, :1]", A=node), "the first for all"
        axes = annotation.axes.split()
        if len(axes) == 1 and axes[0] != "...":
            yield node, _make("np.concatenate((np.ones(1), A[:-1]))", A=node), "shifted by one"
        if len(axes) == 4 and "..." not in axes:
            for order in itertools.permutations((1, 2, 3)):
                moved = _make(f"np.transpose(A, {(0, *order)})", A=node)
                yield node, moved, "axes in another order"

    def _known_before(self, node: ast.Name) -> list[str]:
        """The names that have a value where a node stands."""
        assigned = [
            other.id
            for other in self.parents
            if isinstance(other, ast.Name)
            and isinstance(other.ctx, ast.Store)
            and other.lineno < node.lineno
        ]
        return [n for n in dict.fromkeys((*self.parameters, *assigned)) if n not in (node.id, "_")]

    def _functions(self, arity: int) -> list[str]:
        """The functions of the chapter, or known to it, that take so many arguments."""
        return [
            name
            for name, found in self.scope.items()
            if isinstance(found, types.FunctionType)
            and found.__module__.endswith(".reference")
            and found is not self.page.function
            and name not in self.parameters
            and len(inspect.signature(found).parameters) == arity
        ]

    def _calls(self, node: ast.Call) -> Edits:
        name = _numpy_name(node.func)
        axis = next((k for k in node.keywords if k.arg == "axis"), None)
        for sibling in SIBLINGS.get(name, ()):
            yield node.func, f"np.{sibling}", "another function"
        if isinstance(node.func, ast.Name):
            for sibling in self._functions(len(node.args)):
                yield node.func, sibling, "another function"
            if len(node.args) == 1 and not node.keywords:
                for other in (-2, 0, 1):
                    turned = f"np.swapaxes(F(np.swapaxes(A, -1, {other})), -1, {other})"
                    yield node, _make(turned, F=node.func, A=node.args[0]), "along another axis"
        if name in ("linspace", "arange"):
            longer = _make("A + 1", A=node.args[-1])
            call = ast.Call(node.func, [*node.args[:-1], longer], node.keywords)
            for template in ("A[:-1]", "A[1:]"):
                yield node, _make(template, A=call), "an end left out"
        if name == "arange":
            yield node, _make("A[::-1]", A=node), "backwards"
        if name in ("cumprod", "cumsum", "sum"):
            for template in SHIFTED:
                yield node, _make(template, A=node), "shifted by one"
            one_late = _make("np.concatenate((np.ones(1), A[:-1]))", A=node)
            yield node, one_late, "shifted by one"
        if name == "swapaxes":
            for a, b in itertools.permutations(range(4), 2):
                moved = _make(f"np.moveaxis(A, {a}, {b})", A=node.args[0])
                yield node, moved, "axes moved, not exchanged"
        if name == "repeat" and axis is not None and _number(axis.value) == 1:
            parts = {"A": node.args[0], "B": node.args[1]}
            first = _make("np.repeat(A[:, :1], B * A.shape[1], axis=1)", **parts)
            yield node, first, "the first for all"
        if isinstance(node.func, ast.Name) and len(node.args) == 1:
            for function in self._functions(1):
                yield node, _make(f"{function}(A)", A=node), "a function too many"
        if name == "sqrt":
            yield node, _make("A * A", A=node.args[0]), "squared, not rooted"
        for argument in node.args:
            yield node, argument, "a function left out"
        for i, j in itertools.combinations(range(len(node.args)), 2):
            swapped = list(node.args)
            swapped[i], swapped[j] = swapped[j], swapped[i]
            yield node, ast.Call(node.func, swapped, node.keywords), "arguments exchanged"
        for i, argument in enumerate(node.args):
            if isinstance(argument, ast.BinOp) and len(node.args) == 1 and not node.keywords:
                sign = OPERATORS[type(argument.op)]
                for template in (f"F(A) {sign} B", f"A {sign} F(B)"):
                    parts = {"F": node.func, "A": argument.left, "B": argument.right}
                    yield node, _make(template, **parts), "parentheses moved"
                for sibling in SIBLINGS.get(name, ()):
                    parts = {"A": argument.left, "B": argument.right}
                    moved = _make(f"A {sign} np.{sibling}(B)", **parts)
                    yield node, moved, "another function, parentheses moved"
            if i and self._is_optional(node, i):
                yield argument, "None", "an argument left out"
        if name == "mean" and axis is not None:
            total = ast.Call(_make("np.sum"), node.args, node.keywords)
            last = _number(axis.value)
            count = f"A.shape[{last}]" if last is not None else "A[:1, 0].size"
            unbiased = _make(f"B / ({count} - 1)", A=node.args[0], B=total)
            yield node, unbiased, "the sample variance"
        if name == "repeat" and axis is not None:
            parts = {"A": node.args[0], "B": node.args[1], "C": axis.value}
            yield node, _make("np.concatenate((A,) * B, axis=C)", **parts), "tiled, not repeated"
        if name == "exp" and len(node.args) == 1:
            yield node.args[0], _make("np.log(2) * A", A=node.args[0]), "another base"
        if name in ("swapaxes", "transpose"):
            reshaped = _make("np.reshape(A, B.shape)", A=node.args[0], B=node)
            yield node, reshaped, "reshaped, not transposed"
        if name == "log":
            for base in (2, 10):
                yield node, _make(f"A / np.log({base})", A=node), "another base"
        if axis is not None and isinstance(axis.value, ast.Tuple):
            for value in AXES:
                yield axis.value, _make(repr(value)), "another axis"
            for i in range(len(axis.value.elts)):
                fewer = [e for j, e in enumerate(axis.value.elts) if j != i]
                yield axis.value, ast.Tuple(fewer), "an axis left out"
            for extra in (0, 1):
                more = [ast.Constant(extra), *axis.value.elts]
                yield axis.value, ast.Tuple(more), "an axis too many"

    def _is_optional(self, node: ast.Call, place: int) -> bool:
        """Whether the function called can do without an argument."""
        called = self.scope.get(getattr(node.func, "id", ""))
        if not isinstance(called, types.FunctionType):
            return False
        parameters = list(inspect.signature(called).parameters.values())
        return place < len(parameters) and getattr(parameters[place].annotation, "optional", False)

    def _tuples(self, node: ast.Tuple) -> Edits:
        start = self.lines[node.lineno - 1] + node.col_offset
        enclosed = self.bytes[start : start + 1] == b"("
        elements = [ast.unparse(element) for element in node.elts]
        for i, j in itertools.permutations(range(len(elements)), 2):
            swapped, moved = list(elements), list(elements)
            swapped[i], swapped[j] = swapped[j], swapped[i]
            moved.insert(j, moved.pop(i))
            for parts in (swapped, moved):
                text = ", ".join(parts)
                yield node, f"({text})" if enclosed else text, "another order"

    def _statements(self, node: ast.stmt) -> Edits:
        if isinstance(node, ast.If) and not node.orelse:
            yield node, "", "a step left out"
            inner = "\n    ".join(ast.unparse(step) for step in node.body)
            yield node, inner, "without the condition"
        if isinstance(node, (ast.Assign, ast.Return)) and node.value is not None:
            yield from self._exchanges(node.value)
        if isinstance(node, ast.Assign):
            yield from self._moves(node)
        if isinstance(node, ast.Return) and len(self.parameters) == 1 and node.value is not None:
            (name,) = self.parameters
            for template in ACTIVATIONS:
                for whole in (template, f"A * ({template})"):
                    yield node.value, _make(whole, A=ast.Name(name)), "another activation"
        if isinstance(node, ast.Return):
            for function in self._functions(len(self.parameters)):
                whole = f"{function}({', '.join(self.parameters)})"
                yield node.value, _make(whole), "another function"  # type: ignore[misc]
            for name, parameter in self.parameters.items():
                if _has_axes(parameter.annotation) and node.value is not None:
                    added = _make("A + B", A=node.value, B=ast.Name(name))
                    yield node.value, added, "an addend too many"
        if isinstance(node, ast.Assign) and isinstance(self.parents[node], ast.FunctionDef):
            targets = [n for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name)]
            if all(target.id in self._known_before(_at(target)) for target in targets):
                yield node, "", "a step left out"

    def _moves(self, node: ast.Assign) -> Edits:
        """A step that renews a value renews a later one instead."""
        target = node.targets[0]
        if not (isinstance(target, ast.Name) and isinstance(self.parents[node], ast.FunctionDef)):
            return
        if all(not isinstance(n, ast.Name) or n.id != target.id for n in ast.walk(node.value)):
            return
        steps = self.parents[node].body  # type: ignore[attr-defined]
        for later in steps[steps.index(node) + 1 :]:
            if not isinstance(later, ast.Assign):
                continue
            for name in (n for t in later.targets for n in ast.walk(t)):
                if isinstance(name, ast.Name) and name.id not in ("_", target.id):
                    value = _make(ast.unparse(node.value), **{target.id: ast.Name(name.id)})
                    between = steps[steps.index(node) + 1 : steps.index(later) + 1]
                    lines = [ast.unparse(step) for step in between]
                    lines.append(f"{name.id} = {ast.unparse(value)}")
                    yield _span(node, later), "\n    ".join(lines), "a step on another value"

    def _exchanges(self, value: ast.expr) -> Edits:
        """Two names exchanged wherever they stand in a step."""
        known = (*self.parameters, *self._known_before(_at(value)))
        here = {n.id for n in ast.walk(value) if isinstance(n, ast.Name)}
        names = [name for name in dict.fromkeys(known) if name in here]
        for one, other in itertools.combinations(names, 2):
            parts = {one: ast.Name(other), other: ast.Name(one)}
            yield value, _make(ast.unparse(value), **parts), "names exchanged"


def _span(first: ast.stmt, last: ast.stmt) -> ast.stmt:
    """A nameless step in the place of several."""
    place = ast.copy_location(ast.Pass(), first)
    place.end_lineno, place.end_col_offset = last.end_lineno, last.end_col_offset
    return place


def _has_axes(annotation: Any) -> bool:
    """Whether an argument is an array of numbers, by its annotation."""
    return not getattr(annotation, "scalar", True) and not annotation.kind.integer


def _at(target: ast.expr) -> ast.Name:
    """A nameless name in the place of an expression."""
    return ast.copy_location(ast.Name(""), target)


def _off_by_one(name: str, table: str) -> tuple[str, ...]:
    """An index one off, with or without care for the ends; from the end; the first for all."""
    return (
        f"{name} - 1",
        f"np.maximum({name} - 1, 0)",
        f"np.minimum({name} + 1, len({table}) - 1)",
        f"np.maximum({name} - 1, -1)",
        f"len({table}) - 1 - {name}",
        f"np.repeat({name}[:1], len({name}))",
    )
