"""Judge a whole model layer by layer, each on the input that the target really had.

The model's text runs on error-carrying arrays. At each of its taps the target's recorded value is
compared with ours, within the bound, and then takes its place as an exact input: an error is found
in the layer that makes it, and no bound has to cover more than one layer.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from refimpl.models import TEXT
from refimpl.models.clip import clip
from refimpl.models.configs import Clip, Config, Vit
from refimpl.models.vit import vit, vit_logits
from refimpl.op import Op
from refimpl.oracle.arithmetic import SLACK, ErrorArray
from refimpl.oracle.judge import Expected, Verdict, compare
from refimpl.oracle.models import Recording
from refimpl.oracle.precision import PRECISIONS, Precision

ACTIVATIONS = ("gelu", "gelu_tanh", "quick_gelu")
EPSILONS = (1e-5, 1e-6, 1e-12)


@dataclass(frozen=True)
class Layer:
    """What became of one layer."""

    name: str
    verdict: Verdict


@dataclass
class Judgement:
    """All layers in the order in which the model computes them, and what explains a deviation."""

    layers: list[Layer] = field(default_factory=list)
    dialect: str = ""

    @property
    def first(self) -> Layer | None:
        """The first layer that deviates."""
        return next((layer for layer in self.layers if not layer.verdict.conforms), None)

    @property
    def worst(self) -> float:
        """The largest error ÷ allowed."""
        return max((layer.verdict.worst for layer in self.layers), default=0.0)

    @property
    def status(self) -> str:
        """`conforms`, `dialect` or `deviates`."""
        if self.first is None:
            return "conforms"
        return "dialect" if self.dialect else "deviates"


class LayerError(ValueError):
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


def exact(x: np.ndarray, precision: Precision) -> ErrorArray:
    """An input of the model, or a target's own value."""
    value = np.asarray(x, dtype=np.float64)
    return ErrorArray(value, np.broadcast_to(0.0, value.shape), precision)


def forward(config: Config) -> Callable[..., Any]:
    """The text of the whole model, with its arguments by name."""
    if isinstance(config, Clip):
        return clip
    return vit_logits if config.classes else vit


def walk(
    recording: Recording,
    config: Config,
    precision: str,
    meet: Callable[[str, ErrorArray], None],
) -> None:
    """Run the text; at each recorded tap show what it gives, and go on from the target's value."""
    p = PRECISIONS[precision]

    def tap(name: str, x: Any) -> Any:
        if name not in recording.layers:
            return x
        meet(name, ErrorArray(x.value, x.error * SLACK, p))
        found = recording.layers[name]
        return exact(found, p) if found.shape == x.shape else x

    inputs = {
        name: exact(x, p) if x.dtype.kind == "f" else x for name, x in recording.inputs.items()
    }
    params = Lifted(recording.params, p)
    with np.errstate(all="ignore"):
        forward(config)(**inputs, params=params, config=config, ops=TEXT, tap=tap)


def judge_layers(recording: Recording, precision: str = "float32") -> Judgement:
    """Judge every recorded layer; where one deviates, look for the dialect that explains all.

    What our own float64 may be off is allowed as well, but computed only where it is needed.

    Raises LayerError for recorded layers that the model does not have.
    """
    op, storage = Op(forward(recording.config)), PRECISIONS[precision].dtype()
    verdicts: dict[str, Verdict] = {}
    outside: dict[str, ErrorArray] = {}

    def judge(name: str, theirs: ErrorArray) -> None:
        want = Expected(name, theirs.value, theirs.error)
        verdicts[name] = compare(op, want, recording.layers[name], storage)
        if not verdicts[name].conforms:
            outside[name] = theirs

    def judge_again(name: str, ours: ErrorArray) -> None:
        if name in outside:
            want = Expected(name, ours.value, ours.error + outside[name].error)
            verdicts[name] = compare(op, want, recording.layers[name], storage)

    walk(recording, recording.config, precision, judge)
    unknown = [name for name in recording.layers if name not in verdicts]
    if unknown or not verdicts:
        raise LayerError(f"{op.name}: no layer is called {', '.join(unknown[:5]) or '(nothing)'}")
    if outside and precision != "float64":
        walk(recording, recording.config, "float64", judge_again)
    judgement = Judgement([Layer(name, verdict) for name, verdict in verdicts.items()])
    if judgement.first is not None:
        judgement.dialect = explain(recording, precision)
    return judgement


class Deviates(Exception):
    """A layer that deviates was reached."""


def explain(recording: Recording, precision: str) -> str:
    """The other activation or epsilon, or both, with which every layer is within its bound."""
    op, storage = Op(forward(recording.config)), PRECISIONS[precision].dtype()

    def stop(name: str, theirs: ErrorArray) -> None:
        want = Expected(name, theirs.value, theirs.error)
        if not compare(op, want, recording.layers[name], storage).conforms:
            raise Deviates

    def fits(config: Config) -> bool:
        try:
            walk(recording, config, precision, stop)
        except Deviates:
            return False
        return True

    for changes in (1, 2):
        spoken = dialects(recording.config, changes)
        found = [says for says, config in spoken if fits(config)]
        if found:
            return ", or ".join(found)
    return ""


def dialects(config: Config, changes: int) -> Iterator[tuple[str, Config]]:
    """The model with another activation, another epsilon, or both, and what to call it."""
    tower = config if isinstance(config, Vit) else config.text
    for activation, eps in itertools.product(ACTIVATIONS, EPSILONS):
        says = []
        if activation != tower.activation:
            says.append(f"{activation} in place of {tower.activation}")
        if eps != tower.eps:
            says.append(f"an epsilon of {eps:g} in place of {tower.eps:g}")
        if len(says) == changes:
            yield " and ".join(says), _spoken(config, activation, eps)


def _spoken(config: Config, activation: str, eps: float) -> Config:
    if isinstance(config, Vit):
        return replace(config, activation=activation, eps=eps)
    vision = config.vision
    if isinstance(vision, Vit):
        vision = replace(vision, activation=activation, eps=eps)
    return Clip(vision, replace(config.text, activation=activation, eps=eps))
