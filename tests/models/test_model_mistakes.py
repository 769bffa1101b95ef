"""A wrong structure of a whole model gets a cause: an edit of the model's text."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import refimpl
from refimpl.models import recorder
from refimpl.models.mistakes import CLIP, VIT
from refimpl.models.registry import family
from refimpl.op import Op
from refimpl.oracle.diagnosis.structure import Explanation, judge_layers
from refimpl.oracle.runs.models import findings
from refimpl.oracle.targets.models import Recording
from tests.models.test_models import record as recorded
from tests.small import SMALL


def recording_of(name, *edits, spoken=None) -> Recording:
    """What compiled twins put together in this wrong way compute in float32."""
    right = recorded(SMALL[name], ops=refimpl.fast)
    layers: dict[str, np.ndarray] = {}
    op = Op(family(right.config).text)
    wrong = Explanation(right.config, edits=edits).text(op)
    wrong(
        **right.inputs,
        params=right.params,
        config=spoken or right.config,
        ops=refimpl.fast,
        tap=recorder(layers),
    )
    return dataclasses.replace(right, layers={n: np.asarray(x) for n, x in layers.items()})


ADOPTED = ["class-token-last", "keys-from-queries", "post-norm", "no-residual-of-perceptron"]
OWN = [edit for edit in CLIP if not edit.where.startswith("refimpl.models.vit.")]
TAKEN = [edit for edit in CLIP if edit.id.partition("/")[2] in ADOPTED]
EVERY = [("vit", edit) for edit in VIT] + [("clip", edit) for edit in (*OWN, *TAKEN)]


@pytest.mark.parametrize(("name", "edit"), EVERY, ids=lambda x: getattr(x, "id", x))
def test_a_wrong_structure_is_named_and_nothing_else(name, edit):
    judgement = judge_layers(recording_of(name, edit))
    if edit.id.endswith("layer-scale-dropped"):
        assert judgement.status == "conforms"  # these models have no scales
        return
    assert judgement.status == "deviates"
    assert [found.edits for found in judgement.explanations] == [(edit,)]
    wrong = [x for x in findings(judgement, name, "again") if x.status == "deviates"]
    (cause,) = wrong[0].causes
    assert cause.kind == "mistake"
    assert f"+++ {edit.id}" in cause.diff
    assert edit.new.partition("\n")[0].strip() in cause.diff


PAIRS = [
    ("heads-merged-without-transposition", "mean-of-patches"),
    ("class-token-last", "post-norm"),
    ("no-residual-of-attention", "no-residual-of-perceptron"),
]


@pytest.mark.parametrize("pair", PAIRS, ids=" and ".join)
def test_two_mistakes_together_are_both_named(pair):
    edits = {edit.id.partition("/")[2]: edit for edit in VIT}
    judgement = judge_layers(recording_of("vit", *(edits[slug] for slug in pair)))
    wrong = next(x for x in findings(judgement, "vit", "again") if x.status == "deviates")
    assert {cause.id.partition("/")[2] for cause in wrong.causes} == set(pair)


def test_a_mistake_beside_another_choice_is_named_with_it():
    edits = {edit.id: edit for edit in VIT}
    spoken = dataclasses.replace(SMALL["vit"], eps=1e-5)
    recording = recording_of("vit", edits["vit/keys-from-queries"], spoken=spoken)
    judgement = judge_layers(recording)
    assert judgement.status == "deviates"
    wrong = next(x for x in findings(judgement, "vit", "again") if x.status == "deviates")
    assert [cause.kind for cause in wrong.causes] == ["dialect", "mistake"]
    assert wrong.causes[0].says == "an epsilon of 1e-05 in place of 1e-06"
    assert wrong.causes[1].id == "vit/keys-from-queries"


def test_what_no_known_mistake_explains_has_no_cause():
    recording = recorded(SMALL["vit"], ops=refimpl.fast)
    wrong = recording.layers["transformer.resblocks.1.middle"] * np.float32(1.5)
    layers = {**recording.layers, "transformer.resblocks.1.middle": wrong}
    judgement = judge_layers(dataclasses.replace(recording, layers=layers))
    (entry, *_) = [x for x in findings(judgement, "vit", "again") if x.status == "deviates"]
    assert [cause.kind for cause in entry.causes] == ["unknown"]
