"""The records of an operation: what it is, which laws it obeys, and how it goes wrong."""

from __future__ import annotations

import functools
import importlib
import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from refimpl.axes import AxesError, Given, Spec
from refimpl.axes.checks import check_limits, convert
from refimpl.axes.shapes import bind, shape_of
from refimpl.exceptions import RefimplError
from refimpl.text import Place, assembled, calling, function_text, replaced, tapped

REMEMBERED = 256  # combinations of shapes for each operation


class DomainError(RefimplError, ValueError):
    """The arguments have the right shapes, but the operation is not defined for their values."""


def values(x: Any) -> np.ndarray:
    """The plain numbers of an array of any arithmetic, for a law that asks whether it applies."""
    return np.asarray(getattr(x, "value", x))


def _shape(x: Any) -> Any:
    """What `bind` asks about an argument: the shape of an array, a number of things."""
    if type(x) is np.ndarray:
        return x.shape
    if type(x) is float:
        return ()
    return x if x is None or isinstance(x, int) else np.shape(x)


@dataclass(frozen=True)
class Law:
    """A property in closed form.

    `sides(f, **inputs)` calls the operation through `f` and yields pairs (left, right) that are
    equal; an inequality a ≥ 0 is written as the pair (min(a, 0), 0). It runs on error-carrying
    arrays, so that "equal" means: as near as the bounds of both sides allow.
    """

    says: str
    sides: Callable[..., Any]


@dataclass(frozen=True)
class Probe:
    """An input that lifts known mistakes far above the noise; `inputs()` makes its arguments.

    `printed` are the numbers of the result as `source` prints them, where some text has done so.
    """

    says: str
    inputs: Callable[[], dict[str, Any]]
    printed: str = ""
    source: str = ""


@dataclass(frozen=True)
class Edit:
    """A small edit of the text: a known mistake, or a dialect that others speak on purpose.

    `old` must occur exactly once in the source of the function `where` (by default the
    operation's own text) and is replaced by `new`; so do those of `also`, each a where, old, new.
    `otherwise` is what stands in the place of `new` where others make the same mistake.
    `precisions` are those in which the bound of a lossy form is no larger than the answer; all
    where none is named.
    """

    id: str
    says: str
    old: str
    new: str
    where: str = ""
    effect: str = ""
    source: str = ""
    invisible_when: str = ""
    also: tuple[tuple[str, str, str], ...] = ()
    otherwise: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()

    def tells_in(self, precision: str) -> bool:
        """Whether a lossy form may explain anything there: not by a bound that allows all."""
        return not self.precisions or precision in self.precisions

    @property
    def forms(self) -> tuple[Edit, ...]:
        """The same mistake in all ways in which it is written, the usual one first."""
        return self, *(replace(self, new=new, otherwise=()) for new in self.otherwise)

    @property
    def places(self) -> tuple[tuple[str, str, str], ...]:
        """Where, what and by what it is replaced, each time."""
        return (self.where, self.old, self.new), *self.also


@dataclass(frozen=True)
class Op:
    """One operation: its text, and everything that is known about it."""

    text: Callable[..., Any]
    laws: tuple[Law, ...] = ()
    probes: tuple[Probe, ...] = ()
    mistakes: tuple[Edit, ...] = ()
    dialects: tuple[Edit, ...] = ()
    lossy: tuple[Edit, ...] = ()  # equal in exact arithmetic, but digits are lost
    outputs: tuple[str, ...] = ("result",)
    precisions: tuple[str, ...] = ("float64", "float32", "tf32", "bfloat16", "float16")
    values: dict[str, Callable] = field(default_factory=dict)  # how to draw some arguments
    costly: tuple[str, ...] = ()  # axes whose entries all meet each other, or are a call each
    between: tuple[str, ...] = ()  # axes of an array, larger than any argument, on the text's way
    following: Mapping[str, str] = field(default_factory=dict)  # axes as long, about, as others
    domain: Any = None  # what a target is made for, where it is not made for everything

    @property
    def name(self) -> str:
        """The name of the text."""
        return self.text.__name__

    @property
    def chapter(self) -> str:
        """The folder it stands in."""
        place = self.text.__module__.split(".")
        return place[-2] if len(place) > 1 else place[0]

    @functools.cached_property
    def signature(self) -> inspect.Signature:
        """The arguments of the text."""
        return inspect.signature(self.text, eval_str=True)

    @functools.cached_property
    def specs(self) -> dict[str, Spec]:
        """The annotation of each argument."""
        return {name: p.annotation for name, p in self.signature.parameters.items()}

    @functools.cached_property
    def returns(self) -> tuple[Spec, ...]:
        """The annotation of each output."""
        annotation = self.signature.return_annotation
        return getattr(annotation, "__args__", None) or (annotation,)

    @property
    def sized(self) -> bool:
        """Whether the annotations say which sizes arguments may have, and nothing else does."""
        return True

    def drawn(self, source: Any) -> dict[str, Any] | None:
        """All arguments from `source`, where something else than the annotations says how."""
        return None

    @functools.cached_property
    def checked(self) -> Callable[..., Any]:
        """The public function: the text behind a check of shapes, dtypes and ranges."""

        @functools.wraps(self.text)
        def call(*args: Any, **kwargs: Any) -> Any:
            if any(hasattr(x, "lift_constant") for x in (*args, *kwargs.values())):
                return self.carried(*args, **kwargs)  # inside another text
            return self.evaluate(self.read(*args, **kwargs))

        call.refimpl_op = self  # type: ignore[attr-defined]
        return call

    def read(self, *args: Any, keep_dtype: bool = False, **kwargs: Any) -> dict[str, Any]:
        """Check the arguments against the annotations; arrays come back as float64 or int64."""
        return self.taken(args, kwargs, keep_dtype)[0]

    def taken(
        self, args: tuple, kwargs: dict[str, Any], keep_dtype: bool
    ) -> tuple[dict[str, Any], dict[str, int]]:
        """What `read` gives, and the sizes of the axes."""
        specs = self.specs
        if kwargs or len(args) != len(specs):
            args = self._ordered(args, kwargs)
        op = self.name
        read = {
            name: convert(op, name, spec, value, keep_dtype)
            for (name, spec), value in zip(specs.items(), args)
        }
        sizes = self._sizes(read)
        check_limits(op, specs, read, sizes)
        return read, sizes

    def _ordered(self, args: tuple, kwargs: dict[str, Any]) -> tuple:
        """The arguments of a call in the order of the signature."""
        given = dict(zip(self.specs, args)) | kwargs
        if given.keys() != self.specs.keys() or len(args) + len(kwargs) != len(given):
            try:
                bound = self.signature.bind(*args, **kwargs)
                bound.apply_defaults()
                given = bound.arguments
            except TypeError as error:
                call = f"{self.name}({', '.join(self.specs)})"
                raise TypeError(f"{self.name}: {error}; expected {call}") from None
        return tuple(given[name] for name in self.specs)

    def carried(self, *args: Any, **kwargs: Any) -> Any:
        """Run the text on arrays that another text's reading carries: what it means inside one."""
        given = self.signature.bind(*args, **kwargs).arguments
        like = next(x for x in given.values() if hasattr(x, "lift_constant"))
        for name, spec in self.specs.items():
            x = given[name]
            plain = not hasattr(x, "lift_constant") and x is not None
            if plain and not spec.kind.integer:
                given[name] = like.lift(np.asarray(x, dtype=np.float64))
        bind(self.name, self.specs, given)
        return self.text(**given)

    @functools.cached_property
    def _known(self) -> dict[tuple, dict[str, int]]:
        """The sizes of axes for shapes that were accepted before."""
        return {}

    def _sizes(self, read: dict[str, Any]) -> dict[str, int]:
        """What `bind` says, remembered: it depends on shapes and numbers of things alone."""
        key = tuple([_shape(x) for x in read.values()])
        sizes = self._known.get(key)
        if sizes is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            sizes = self._known[key] = bind(self.name, self.specs, read)
        return sizes

    def evaluate(self, inputs: dict[str, Any]) -> Any:
        """Run the text in float64 on arguments that `read` has checked."""
        try:
            with (
                np.errstate(divide="raise", invalid="raise", over="ignore", under="ignore"),
                warnings.catch_warnings(),
            ):
                warnings.simplefilter("error", RuntimeWarning)  # the mean of nothing
                result = self.text(**inputs)
        except AxesError:
            raise
        except (ArithmeticError, IndexError, ValueError, RuntimeWarning) as error:
            raise DomainError(f"{self.name}: not defined {self._where(inputs, error)}") from None
        sizes = bind(self.name, self.specs, inputs)
        rest = tuple(sizes[f"...{i}"] for i in range(sizes.get("...", 0)))
        outputs = result if isinstance(result, tuple) else (result,)
        for name, spec, output in zip(self.outputs, self.returns, outputs, strict=True):
            if (
                spec is not Given
                and set(spec.names()) <= set(sizes)
                and np.shape(output) != shape_of(spec, sizes, rest)
            ):
                raise AxesError(
                    f"{self.name}: {name} would have shape {np.shape(output)}, "
                    f"expected ({spec.axes})={shape_of(spec, sizes, rest)}"
                )
        return result

    def _where(self, inputs: dict[str, Any], error: Exception) -> str:
        """For which arguments a text has no answer: the axes that are empty, or what went wrong."""
        sizes = bind(self.name, self.specs, inputs)
        empty = [name for name, size in sizes.items() if size == 0 and name != "..."]
        if not empty:
            return f"for these arguments: {error}"
        named = ["a leading axis" if name.startswith("...") else name for name in empty]
        return f"where there is nothing along {' and '.join(dict.fromkeys(named))}"

    def edited(self, edit: Edit) -> Callable[..., Any]:
        """The text with one edit applied, compiled afresh with every function that uses it."""
        return assembled(self.text, replaced(self.placed(edit), edit.id))

    def diff(self, edit: Edit) -> str:
        """The edit as a diff of the text, a section for each of its places."""
        sections = []
        for place in self.placed(edit):
            ((function, source),) = replaced([place], edit.id).items()
            sections.append(function_text(function).diff(source, edit.id))
        return "\n".join(sections)

    def placed(self, edit: Edit) -> list[Place]:
        """The places of an edit, each with the function that it stands in."""
        return [(self.function(where), old, new) for where, old, new in edit.places]

    def function(self, where: str = "") -> Any:
        """The function that an edit speaks of.

        `name` is one that the text's own module knows, `chapter.name` one of another chapter, and
        what has more dots one of any module.
        """
        chapter, _, name = (where or self.name).rpartition(".")
        if chapter:
            module = chapter if "." in chapter else f"refimpl.ops.{chapter}.reference"
            return getattr(importlib.import_module(module), name)
        return self.text if name == self.name else self.text.__globals__[name]

    def tapped(self, tap: Callable[[str, Any], Any]) -> Callable[..., Any]:
        """The text, every value that it gives a name to replaced by `tap(name, value)`."""
        return tapped(self.text, tap)

    def calling(self, wrap: Callable[[str, Callable], Callable]) -> Callable[..., Any]:
        """The text, every function that it calls by name replaced by `wrap(name, function)`."""
        return calling(self.text, wrap)
