"""What is known of an operation is known of those that call it, as edits of its own text."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.oracle.runs.verify import verify
from refimpl.registry import OPS, generations

INHERITED = [  # the caller, where it stands, and what it inherits
    ("siglip_loss", 1, "clip_logits/unguarded-norm"),
    ("clip_loss", 1, "cross_entropy/sum"),
    ("clip_loss", 2, "l2_normalize/torch-guard"),
    ("cosine_distance", 1, "l2_normalize/unguarded"),
    ("multi_head_attention", 2, "softmax/first-axis"),
]


UNGUARDED = """
import numpy as np

def unit(x):
    with np.errstate(invalid="ignore", divide="ignore"):
        return x / np.sqrt((x * x).sum(-1, keepdims=True))

def cosine_distance(image_features, text_features):
    with np.errstate(invalid="ignore"):
        return 1 - unit(image_features) @ unit(text_features).T
"""


@pytest.mark.parametrize(("name", "distance", "edit"), INHERITED)
def test_an_operation_inherits_from_those_it_calls(name, distance, edit):
    op = OPS[name]
    of = generations(op)[distance]
    assert edit in {e.id for e in (*of.mistakes, *of.dialects)}


@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_everything_inherited_can_be_applied_and_is_listed_once(op):
    first, *rest = generations(op)
    assert first == op
    places = [
        frozenset(op.placed(edit))
        for of in (first, *rest)
        for edit in (*of.mistakes, *of.dialects, *of.lossy)
    ]
    assert len(places) == len(set(places))
    for of in rest:
        for edit in (*of.mistakes, *of.dialects, *of.lossy):
            assert op.edited(edit) is not op.text


def test_an_edit_of_another_chapter_changes_the_caller():
    op = OPS["cosine_distance"]
    (edit,) = (e for e in generations(op)[1].mistakes if e.id == "l2_normalize/not-rooted")
    inputs = {"image_features": np.array([[3.0, 4.0]]), "text_features": np.array([[1.0, 0.0]])}
    assert op.edited(edit)(**inputs) == 1 - 3 / 25


def test_a_dialect_of_a_called_operation_is_recognised(tmp_path):
    target = tmp_path / "unguarded.py"
    target.write_text(UNGUARDED)
    (report,) = verify(str(target), ops=["cosine_distance"], profile="ci")
    (finding,) = report.findings
    assert finding.status == "dialect"
    assert [cause.id for cause in finding.causes] == ["l2_normalize/unguarded"]
