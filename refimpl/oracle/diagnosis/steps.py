"""The first wrong step: what a target computes on the way, judged line by line of the text.

A target that returns a dict gives its intermediate values under the names of the text's own
variables. Each is judged on those that the target computed before it, so that neither their
rounding nor their errors count twice. Of a target that offers the operations which a text calls,
each call is judged on the arguments that the text hands it.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from refimpl.axes import AxesError
from refimpl.exceptions import RefimplError
from refimpl.op import Op
from refimpl.oracle.cases.drawn import Case, rounded
from refimpl.oracle.diagnosis.evidence import Ask
from refimpl.oracle.judging.judge import Expected, Verdict, compare, expect, judge
from refimpl.oracle.numbers.errors import ErrorArray, exact
from refimpl.oracle.numbers.precisions import PRECISIONS
from refimpl.registry import OPS


class _Reached(RefimplError):
    """The text has come to the step that is asked for."""

    def __init__(self, value: Any) -> None:
        self.value = value


@dataclass
class Taps:
    """What passes through the taps of one text: `given` replaces values, by number of the tap."""

    op: Op
    given: dict[int, np.ndarray] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)  # in the order of one run
    stop: int = -1

    def __post_init__(self) -> None:
        self.text = self.op.tapped(self)

    def __call__(self, name: str, value: Any) -> Any:
        place = len(self.names)
        self.names.append(name)
        if place == self.stop:
            raise _Reached(value)
        if place not in self.given:
            return value
        if isinstance(value, ErrorArray):
            return exact(self.given[place], value.precision)
        return self.given[place]

    def run(self, **inputs: Any) -> Any:
        """The text, up to the step that is asked for."""
        self.names.clear()
        try:
            return self.text(**inputs)
        except _Reached as reached:
            return reached.value

    def expected(self, case: Case, place: int) -> Expected | None:
        """What one step should give, after those that are given; None if it holds no numbers."""
        self.stop = place
        name = self.names[place]
        value = self.run(**case.inputs)
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
            return None
        one = replace(self.op, outputs=(name,))
        return expect(one, case.inputs, case.precision, self.run)[0]

    def outputs(self, case: Case) -> list[Expected]:
        """What the text should return, after the steps that are given."""
        self.stop = -1
        return expect(self.op, case.inputs, case.precision, self.run)


def first_wrong(op: Op, case: Case, outputs: list[np.ndarray], found: dict[str, np.ndarray]) -> str:
    """The first step whose value is wrong, given the target's own values before it.

    Of a name that the text assigns more than once, the target's value may be any of them. Empty
    where every step is right.
    """
    taps = Taps(op)
    with np.errstate(all="ignore"):
        taps.run(**case.inputs)
        names = list(taps.names)
        left = {name: x for name, x in found.items() if name in names}
        for place, name in enumerate(names):
            if name not in left:
                continue
            taps.names[:] = names
            want = taps.expected(case, place)
            if want is None:
                del left[name]
                continue
            verdict = _compared(op, want, left[name])
            if verdict.conforms:
                taps.given[place] = left.pop(name).astype(np.float64)
            elif name not in names[place + 1 :]:
                return f"{line_of(op, name, names[:place].count(name))}\n{verdict}"
        actual: Any = outputs[0] if len(outputs) == 1 else outputs
        verdict = judge(op, taps.outputs(case), actual, PRECISIONS[case.precision].dtype())
    if verdict.conforms or not taps.given:
        return ""
    return f"{line_of(op)}\n{verdict}"


def _compared(op: Op, want: Expected, found: np.ndarray) -> Verdict:
    return compare(op, want, found.astype(np.float64), np.dtype(np.float64))


def line_of(op: Op, name: str = "", place: int = 0) -> str:
    """The step of a text that assigns to a name for the nth time, or the one that returns.

    >>> line_of(OPS["attention"], "scores", 1)
    'scores = scores + bias'
    """
    tree = ast.parse(inspect.getsource(op.text))
    steps = [node for node in ast.walk(tree) if isinstance(node, ast.Assign)]
    assigning = [step for step in steps if name in assigned(step)]
    if assigning:
        return ast.unparse(assigning[min(place, len(assigning) - 1)])
    return ast.unparse([node for node in ast.walk(tree) if isinstance(node, ast.Return)][-1])


def assigned(step: ast.stmt) -> list[str]:
    """The names that a step gives values to."""
    return [
        node.id
        for node in ast.walk(step)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]


def first_wrong_call(op: Op, case: Case, offered: Sequence[str], ask: Ask) -> str:
    """The first operation called by a text that a target gets wrong on the arguments given there.

    `offered` are the operations of the target. Empty where each that it offers is right, and where
    the target's result is not what comes of the wrong one: then it does not call it.
    """
    whole = ask(case)
    calls: list[tuple[Op, dict[str, Any]]] = []

    def recorded(name: str, function: Callable) -> Callable:
        called = OPS.get(name)
        if called is None or name == op.name or name not in offered:
            return function

        def call(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            calls.append((called, dict(called.signature.bind(*args, **kwargs).arguments)))
            return result

        return call

    with np.errstate(all="ignore"):
        op.calling(recorded)(**case.inputs)
    for place, (called, arguments) in enumerate(calls):
        if case.precision not in called.precisions:
            continue
        try:
            inputs = rounded(called, called.read(**arguments), case.precision)
        except AxesError:
            continue  # the text hands over what the public function would refuse
        inner = Case(called.name, case.precision, case.key, f"called by {op.name}", inputs)
        outputs = ask(inner)
        if outputs is None:
            continue
        expected = expect(called, inputs, case.precision)
        actual: Any = outputs[0] if len(outputs) == 1 else outputs
        verdict = judge(called, expected, actual, PRECISIONS[case.precision].dtype())
        if not verdict.conforms and whole is not None:
            text = _with_result(op, [one.name for one, _ in calls], place, outputs)
            if _comes_of(op, case, text, whole):
                return f"{called.name}, called by {op.name}\n{verdict}"
    return ""


def _with_result(
    op: Op, called: Sequence[str], place: int, outputs: list[np.ndarray]
) -> Callable[..., Any]:
    """The text, one of its calls of an operation replaced by what a target gave for it."""

    def text(**inputs: Any) -> Any:
        made: list[str] = []

        def replaced(name: str, function: Callable) -> Callable:
            def call(*args: Any, **kwargs: Any) -> Any:
                result = function(*args, **kwargs)  # what it calls itself comes before it
                made.append(name)
                if len(made) - 1 != place:
                    return result
                held = [x for x in (*args, *kwargs.values()) if isinstance(x, ErrorArray)]
                given: list[Any] = [np.asarray(x).astype(np.float64) for x in outputs]
                if held:
                    p = held[0].precision
                    given = [ErrorArray(x, p.unit * np.abs(x), p) for x in given]
                return given[0] if len(given) == 1 else tuple(given)

            return call if name in called else function

        return op.calling(replaced)(**inputs)

    return text


def _comes_of(op: Op, case: Case, text: Callable, outputs: list[np.ndarray]) -> bool:
    """Whether a target's result is what a text gives."""
    try:
        expected = expect(op, case.inputs, case.precision, text)
    except Exception:
        return False  # what a target gave may not fit into the text
    actual: Any = outputs[0] if len(outputs) == 1 else outputs
    return judge(op, expected, actual, PRECISIONS[case.precision].dtype()).conforms
