"""What explains a whole model that deviates: other choices on purpose, or a wrong structure.

Every explanation is another text of the model, or the same text of another configuration. One that
puts each layer within its bound explains the model. Where none does alone, those that lead further
than the text as it is are combined with a second one: two mistakes, or a mistake beside a choice.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from refimpl.axes import AxesError
from refimpl.exceptions import RefimplError
from refimpl.models.model import spoken
from refimpl.models.registry import family
from refimpl.op import Edit, Op
from refimpl.oracle.diagnosis.cause import Cause
from refimpl.oracle.judging.judge import Expected, compare
from refimpl.oracle.judging.layers import (
    Layer,
    each_layer,
    independent,
    relative_bound,
    spread,
    walk,
)
from refimpl.oracle.numbers.errors import ErrorArray
from refimpl.oracle.numbers.precisions import PRECISIONS
from refimpl.oracle.targets.models import Recording


@dataclass(frozen=True)
class Explanation:
    """Other choices in words and as a configuration, and mistakes in the text."""

    config: Any
    chosen: str = ""
    edits: tuple[Edit, ...] = ()

    @property
    def says(self) -> str:
        """All of it in words."""
        return " and ".join([self.chosen] * bool(self.chosen) + [e.says for e in self.edits])

    def text(self, op: Op) -> Callable[..., Any]:
        """The text with its mistakes; ValueError for those that cannot stand together."""
        if not self.edits:
            return op.text
        places = tuple(place for edit in self.edits for place in edit.places)
        (where, old, new), also = places[0], places[1:]
        return op.edited(Edit(self.edits[0].id, self.says, old, new, where, also=also))


@dataclass
class Judgement:
    """All layers in the order in which the model computes them, and what explains a deviation."""

    op: Op  # the text that they were judged by
    layers: list[Layer] = field(default_factory=list)
    explanations: Sequence[Explanation] = ()  # each explains every layer

    @property
    def first(self) -> Layer | None:
        """The first layer that deviates."""
        return next((layer for layer in self.layers if not layer.verdict.conforms), None)

    @property
    def worst(self) -> float:
        """The largest error ÷ allowed."""
        return max((layer.verdict.worst for layer in self.layers), default=0.0)

    @property
    def dialect(self) -> str:
        """The choices that explain everything without a mistake, in words."""
        return ", or ".join(found.says for found in self.explanations if not found.edits)

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

    `run` is the text to judge by, if not that of the whole model forwards: a gradient, a tower,
    of which no mistakes are known.

    Raises LayerError for recorded layers that the model does not have.
    """
    model = family(recording.config)
    judgement = Judgement(Op(run or model.text), each_layer(recording, precision, run))
    if judgement.first is not None:
        search = Search(recording, precision, judgement, model.mistakes if run is None else ())
        judgement.explanations = search.simplest()
    return judgement


class Deviates(RefimplError):
    """A layer that deviates was reached."""


class Search:
    """Explanations tried on one recording, each as far as the first layer that deviates."""

    def __init__(
        self, recording: Recording, precision: str, judged: Judgement, mistakes: tuple[Edit, ...]
    ) -> None:
        self.recording, self.precision, self.op = recording, precision, judged.op
        self.layers = {layer.name: layer for layer in judged.layers}
        within = all(layer.verdict.worst <= max(layer.spread, 1) for layer in judged.layers)
        self.by_spread = within  # no element is outside its bound
        config = recording.config
        self.mistakes = [Explanation(config, edits=(edit,)) for edit in mistakes]
        self.choices = [
            [Explanation(other, says) for says, other in dialects(config, changes)]
            for changes in range(1, len(family(config).choices) + 1)
        ]

    def simplest(self) -> list[Explanation]:
        """The explanations of the simplest kind that has any: choices, a mistake, two of them."""
        for kind in (*self.choices, self.mistakes):
            if found := [one for one in kind if self.reach(one) == len(self.layers)]:
                return found
        return [two for two in self.pairs() if self.reach(two) == len(self.layers)]

    def pairs(self) -> Iterator[Explanation]:
        """A mistake and a second one or a choice, where either leads further than nothing does."""
        config = self.recording.config
        start = self.reach(Explanation(config))
        chosen = self.choices[0] if self.choices else []
        further = {one.says for one in (*self.mistakes, *chosen) if self.reach(one) > start}
        for one, other in itertools.combinations(self.mistakes, 2):
            if {one.says, other.says} & further:
                yield Explanation(config, "", one.edits + other.edits)
        for one, choice in itertools.product(self.mistakes, chosen):
            if {one.says, choice.says} & further:
                yield Explanation(choice.config, choice.chosen, one.edits)

    def reach(self, explanation: Explanation) -> int:
        """How many layers are within their bounds before the first that is not.

        A bound as wide as the values explains nothing that was judged, nor does a text with other
        layers than were recorded.
        """
        within: set[str] = set()
        storage = PRECISIONS[self.precision].dtype()

        def meet(name: str, theirs: ErrorArray) -> None:
            recorded = self.recording.layers[name]
            if self.by_spread:
                fits = spread(theirs, recorded) <= 1
            else:
                want = Expected(name, theirs.value, theirs.error)
                fits = compare(self.op, want, recorded, storage).conforms
            if not fits or (self.layers[name].judged and relative_bound(theirs) >= 1):
                raise Deviates
            within.add(name)

        precision = independent(self.precision) if self.by_spread else self.precision
        try:
            run = explanation.text(self.op)
            walk(self.recording, explanation.config, precision, meet, run)
        except (Deviates, AxesError, ValueError, KeyError):  # its shapes or names are others
            return min(len(within), len(self.layers) - 1)
        return len(within)


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


def causes(judgement: Judgement, model: str) -> list[Cause]:
    """What explains every layer, all of it together: choices, mistakes, or nothing known."""
    if judgement.dialect:
        return [_choice(model, judgement.dialect)]
    if len(judgement.explanations) == 1:
        (found,) = judgement.explanations
        chosen = [_choice(model, found.chosen)] if found.chosen else []
        return chosen + [_mistake(judgement.op, edit) for edit in found.edits]
    says = "no other choice that libraries make and no known mistake of the structure fits"
    if judgement.explanations:
        says = "cannot tell these apart: " + "; ".join(x.says for x in judgement.explanations)
    return [Cause("unknown", says=says)]


def _choice(model: str, says: str) -> Cause:
    return Cause("dialect", f"{model}/{'-'.join(says.split())}", says)


def _mistake(op: Op, edit: Edit) -> Cause:
    return Cause("mistake", edit.id, edit.says, op.diff(edit))
