"""What explains a whole model that deviates: another choice on purpose, or a wrong structure."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from refimpl.axes import AxesError
from refimpl.models.model import spoken
from refimpl.models.registry import family
from refimpl.op import Edit, Op
from refimpl.oracle.diagnosis.causes import diff
from refimpl.oracle.judging.judge import Expected, compare
from refimpl.oracle.judging.layers import Layer, each_layer, room, walk
from refimpl.oracle.numbers.errors import ErrorArray
from refimpl.oracle.numbers.precisions import PRECISIONS
from refimpl.oracle.targets.models import Recording


@dataclass
class Judgement:
    """All layers in the order in which the model computes them, and what explains a deviation."""

    op: Op  # the text that they were judged by
    layers: list[Layer] = field(default_factory=list)
    dialect: str = ""
    mistakes: tuple[Edit, ...] = ()  # each alone explains every layer

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


def judge_layers(
    recording: Recording, precision: str = "float32", run: Callable | None = None
) -> Judgement:
    """Judge every recorded layer; where one deviates, look for what explains them all.

    `run` is the text to judge by, if not that of the whole model forwards: a gradient, a tower.

    Raises LayerError for recorded layers that the model does not have.
    """
    op = Op(run or family(recording.config).text)
    judgement = Judgement(op, each_layer(recording, precision, run))
    if judgement.first is not None:
        judgement.dialect = explain(recording, precision, run)
        if run is None and not judgement.dialect:
            judgement.mistakes = tuple(wrong_structure(recording, precision))
    return judgement


class Deviates(Exception):
    """A layer that deviates was reached."""


def explain(recording: Recording, precision: str, run: Callable | None = None) -> str:
    """The other activation or epsilon, or both, with which every layer is within its bound."""
    op = Op(run or family(recording.config).text)
    storage = PRECISIONS[precision].dtype()

    def stop(name: str, theirs: ErrorArray) -> None:
        want = Expected(name, theirs.value, theirs.error)
        if not compare(op, want, recording.layers[name], storage).conforms:
            raise Deviates

    def fits(config: Any) -> bool:
        try:
            walk(recording, config, precision, stop, run)
        except Deviates:
            return False
        return True

    for changes in (1, 2):
        spoken = dialects(recording.config, changes)
        found = [says for says, config in spoken if fits(config)]
        if found:
            return ", or ".join(found)
    return ""


def wrong_structure(recording: Recording, precision: str) -> Iterator[Edit]:
    """The known mistakes of a model's text, each of which puts every layer within its bound.

    A bound as wide as the values explains nothing, nor does a text without the recorded layers.
    """
    config = recording.config
    model, storage = family(config), PRECISIONS[precision].dtype()
    op = Op(model.text)
    for edit in model.mistakes:
        met: set[str] = set()

        def stop(name: str, theirs: ErrorArray, met: set[str] = met) -> None:
            met.add(name)
            want = Expected(name, theirs.value, theirs.error)
            fits = compare(op, want, recording.layers[name], storage).conforms
            if not fits or room(theirs) >= 1:
                raise Deviates

        try:
            walk(recording, config, precision, stop, op.edited(edit))
        except (Deviates, AxesError, ValueError):  # or its shapes are not those of the recording
            continue
        if met == set(recording.layers):
            yield edit


def dialects(config: Any, changes: int) -> Iterator[tuple[str, Any]]:
    """The model with so many other choices, and what to call it."""
    choices = family(config).choices
    for values in itertools.product(*(choice.values for choice in choices)):
        chosen = dict(zip(choices, values, strict=True))
        says = [
            choice.says(value, choice.usual(config))
            for choice, value in chosen.items()
            if value != choice.usual(config)
        ]
        if len(says) == changes:
            yield " and ".join(says), spoken(config, {c.field: x for c, x in chosen.items()})


def cause(judgement: Judgement, model: str) -> dict[str, str]:
    """What explains every layer: a dialect, the one mistake that does, or nothing."""
    if judgement.dialect:
        name = f"{model}/{'-'.join(judgement.dialect.split())}"
        return {"kind": "dialect", "id": name, "says": judgement.dialect, "diff": ""}
    if len(judgement.mistakes) == 1:
        (edit,) = judgement.mistakes
        return {
            "kind": "mistake",
            "id": edit.id,
            "says": edit.says,
            "diff": diff(judgement.op, edit),
        }
    says = "no other choice that libraries make and no known mistake of the structure fits"
    if judgement.mistakes:
        says = "cannot tell these apart: " + "; ".join(edit.says for edit in judgement.mistakes)
    return {"kind": "unknown", "id": "", "says": says, "diff": ""}
