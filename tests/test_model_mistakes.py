"""A wrong structure of a whole model gets a cause: an edit of the model's text."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import refimpl
from refimpl.models import recorder
from refimpl.models.mistakes import VIT
from refimpl.models.vit import vit_logits
from refimpl.op import Op
from refimpl.oracle.diagnosis.structure import judge_layers
from refimpl.oracle.runs.models import findings
from refimpl.oracle.targets.models import Recording

from .small import SMALL
from .test_models import record as recorded


def recording_of(edit) -> Recording:
    """What compiled twins put together in this wrong way compute in float32."""
    right = recorded(SMALL["vit"], ops=refimpl.fast)
    layers: dict[str, np.ndarray] = {}
    wrong = Op(vit_logits).edited(edit)
    images = right.inputs["images"]
    wrong(images, right.params, right.config, refimpl.fast, recorder(layers))
    return dataclasses.replace(right, layers={n: np.asarray(x) for n, x in layers.items()})


@pytest.mark.parametrize("edit", VIT, ids=lambda edit: edit.id)
def test_a_wrong_structure_is_named_and_nothing_else(edit):
    judgement = judge_layers(recording_of(edit))
    if edit.id == "vit/layer-scale-dropped":
        assert judgement.status == "conforms"  # this model has no scales
        return
    assert judgement.status == "deviates"
    assert [found.id for found in judgement.mistakes] == [edit.id]
    wrong = [x for x in findings(judgement, "vit", "again") if x.status == "deviates"]
    assert wrong[0].causes[0]["kind"] == "mistake"
    assert edit.new.splitlines()[0].strip() in wrong[0].causes[0]["diff"]
