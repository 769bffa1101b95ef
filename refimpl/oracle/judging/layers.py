"""Judge a whole model layer by layer, each on the input that the target really had.

The model's text runs on error-carrying arrays. At each of its taps the target's recorded value is
compared with ours, within the bound, and then takes its place as an exact input: an error is found
in the layer that makes it, and no bound has to cover more than one layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from refimpl.exceptions import RefimplError
from refimpl.models.registry import family
from refimpl.op import Op
from refimpl.oracle.judging.judge import Expected, Verdict, compare
from refimpl.oracle.numbers.errors import SLACK, ErrorArray
from refimpl.oracle.numbers.precisions import PRECISIONS, Precision
from refimpl.oracle.targets.models import Recording
from refimpl.registry import OPS

ENOUGH = 64  # values of a layer at least, before the spread of their errors says something


@dataclass(frozen=True)
class Layer:
    """What became of one layer."""

    name: str
    verdict: Verdict
    relative_bound: float  # what is allowed ÷ how large the values are, at the median
    spread: float = 0.0  # of the errors ÷ that of independent roundings; above 1 it deviates

    @property
    def judged(self) -> bool:
        """Whether the bound is narrow enough to tell right from wrong."""
        return self.relative_bound < 1 or not self.verdict.conforms


class LayerError(RefimplError, ValueError):
    """A recording does not belong to the model that it claims to be."""


class Lifted(Mapping):
    """Parameters read as exact error-carrying arrays, each when it is asked for."""

    def __init__(self, params: Mapping[str, np.ndarray], precision: Precision) -> None:
        self.params, self.precision = params, precision

    def __getitem__(self, name: str) -> ErrorArray:
        return exact(self.params[name], self.precision)

    def __iter__(self) -> Iterator[str]:
        return iter(self.params)

    def __len__(self) -> int:
        return len(self.params)


class Carrying:
    """The operations as texts, numbers beside arrays that carry errors carrying theirs as well."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in OPS:
            raise AttributeError(f"there is no operation {name}")
        op = OPS[name]

        def call(*args: Any, **kwargs: Any) -> Any:
            carried = any(isinstance(x, ErrorArray) for x in (*args, *kwargs.values()))
            return (op.carried if carried else op.text)(*args, **kwargs)

        return call


def exact(x: np.ndarray, precision: Precision) -> ErrorArray:
    """An input of the model, or a target's own value."""
    value = np.asarray(x, dtype=np.float64)
    return ErrorArray(value, np.broadcast_to(0.0, value.shape), precision)


def walk(
    recording: Recording,
    config: Any,
    precision: str | Precision,
    meet: Callable[[str, ErrorArray], None],
    run: Callable | None = None,
) -> None:
    """Run the text; at each recorded tap show what it gives, and go on from the target's value."""
    p = PRECISIONS[precision] if isinstance(precision, str) else precision

    def tap(name: str, x: Any) -> Any:
        if name not in recording.layers:
            return x
        meet(name, ErrorArray(x.value, x.error * SLACK, p))
        found = recording.layers[name]
        return exact(found, p) if found.shape == x.shape else x

    run = run or family(config).text
    bounded(run, recording.params, precision, **recording.inputs, config=config, tap=tap)


def bounded(
    run: Callable, params: Mapping[str, np.ndarray], precision: str | Precision, **inputs: Any
) -> Any:
    """Run a model on exact error-carrying arrays; what is no array of floats stays as it is.

    Over a whole model the bound grows by about four digits a block, so that it is of use for a few
    blocks in float64; `judge_layers` starts anew at every recorded value.
    """
    p = PRECISIONS[precision] if isinstance(precision, str) else precision
    floats = {n: x for n, x in inputs.items() if getattr(x, "dtype", None) and x.dtype.kind == "f"}
    lifted = {name: exact(x, p) for name, x in floats.items()}
    with np.errstate(all="ignore"):  # the rules know what to make of infinities
        return run(**{**inputs, **lifted}, params=Lifted(params, p), ops=Carrying())


def each_layer(
    recording: Recording, precision: str = "float32", run: Callable | None = None
) -> list[Layer]:
    """Judge every recorded layer, in the order in which the model computes them.

    `run` is the text to judge by, if not that of the whole model forwards: a gradient, a tower.
    What our own float64 may be off is allowed as well, but computed only where it is needed.

    Raises LayerError for recorded layers that the model does not have.
    """
    run = run or family(recording.config).text
    op, storage = Op(run), PRECISIONS[precision].dtype()
    verdicts: dict[str, Verdict] = {}
    relative: dict[str, float] = {}
    outside: dict[str, ErrorArray] = {}

    def judge(name: str, theirs: ErrorArray) -> None:
        want = Expected(name, theirs.value, theirs.error)
        verdicts[name] = compare(op, want, recording.layers[name], storage)
        relative[name] = relative_bound(theirs)
        if not verdicts[name].conforms:
            outside[name] = theirs

    def judge_again(name: str, ours: ErrorArray) -> None:
        if name in outside:
            want = Expected(name, ours.value, ours.error + outside[name].error)
            verdicts[name] = compare(op, want, recording.layers[name], storage)

    walk(recording, recording.config, precision, judge, run)
    unknown = [name for name in recording.layers if name not in verdicts]
    if unknown or not verdicts:
        raise LayerError(f"{op.name}: no layer is called {', '.join(unknown[:5]) or '(nothing)'}")
    if outside and precision != "float64":
        walk(recording, recording.config, "float64", judge_again, run)
    layers = [Layer(name, v, relative[name]) for name, v in verdicts.items()]
    right = precision != "float64" and all(layer.verdict.conforms for layer in layers)
    return weighed(layers, spreads(recording, precision, run)) if right else layers


def spreads(recording: Recording, precision: str, run: Callable) -> dict[str, float]:
    """The root mean square of each layer's errors ÷ the bound in which n roundings count as √n.

    Errors of independent roundings come to less than 1. A wrong activation may stay within every
    element's bound behind a product of thousands of terms, and comes to several.
    """
    found: dict[str, float] = {}

    def meet(name: str, ours: ErrorArray) -> None:
        found[name] = spread(ours, recording.layers[name])

    walk(recording, recording.config, independent(precision), meet, run)
    return found


def independent(precision: str) -> Precision:
    """The precision whose roundings are taken to be independent."""
    return replace(PRECISIONS[precision], spread=1.0, independent=True)


def spread(bound: ErrorArray, found: np.ndarray) -> float:
    """The root mean square of error ÷ bound over one layer, 0 where there is too little of it."""
    allowed = np.broadcast_to(bound.error, bound.shape)
    usable = np.isfinite(bound.value) & np.isfinite(allowed) & (allowed > 0)
    if found.shape != bound.shape or np.count_nonzero(usable) < ENOUGH:
        return 0.0
    error = (np.asarray(found, dtype=np.float64) - bound.value)[usable] / allowed[usable]
    return float(np.sqrt(np.mean(error * error)))


def weighed(layers: list[Layer], found: dict[str, float]) -> list[Layer]:
    """Layers with the spread of their errors; one above that of independent roundings deviates."""
    return [replace(x, spread=found[x.name], verdict=_weighed(x, found[x.name])) for x in layers]


def _weighed(layer: Layer, found: float) -> Verdict:
    if found <= 1 or not layer.judged:
        return layer.verdict
    says = (
        f"{layer.name}: every error is within its bound, but their spread is {found:.3g} × what "
        "independent roundings come to"
    )
    return replace(layer.verdict, reason=says, worst=max(found, layer.verdict.worst))


def relative_bound(bound: ErrorArray) -> float:
    """The median of what is allowed where anything is, in units of the root mean square value."""
    error = np.broadcast_to(bound.error, bound.shape)
    allowed = float(np.median(error[error > 0])) if error.any() else 0.0
    size = float(np.sqrt(np.mean(np.square(bound.value)))) if bound.size else 0.0
    return allowed / size if size else (np.inf if allowed else 0.0)
