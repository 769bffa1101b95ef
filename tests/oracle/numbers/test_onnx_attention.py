"""ONNX's own Attention cases: the stored outputs are judged, and so is the rule they come with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the cases come with the package onnx")
pytest.importorskip("ml_dtypes", reason="some of the cases are in bfloat16")
pytest.importorskip("flint", reason="off-cases are certified with python-flint")

from refimpl.oracle.numbers.errors import bounded
from tests.audit import onnx_attention as audit

REFUSED = {  # the right answer, rounded once, is not within rtol 1e-3 and atol 1e-7 of these
    "test_attention_3d_causal_bf16",
    "test_attention_4d_attn_mask_causal_bf16",
    "test_attention_4d_causal_bf16",
    "test_attention_4d_causal_padded_kv_bf16",
    "test_attention_4d_padded_kv_bf16",
}


@pytest.fixture(scope="module")
def results() -> tuple[list[audit.Finding], list[audit.OnnxCase]]:
    return audit.examine_all()


def test_every_case_is_judged(results):
    findings, left = results
    assert len(findings) >= 90
    assert [case.name for case in left] == []
    assert sum(f.unbounded for f in findings) == 0


def test_stored_outputs_are_within_the_bound_unless_explained(results):
    off = {f.case.name for f in results[0] if f.off}
    assert off == audit.EXPLAINED.keys()


def test_right_answers_that_onnx_refuses(results):
    assert {(f.case.rtol, f.case.atol) for f in results[0]} == {(1e-3, 1e-7)}
    assert {f.case.name for f in results[0] if f.rejected} == REFUSED
    assert not [f.case.name for f in results[0] if f.runner_rejects]


def hides_the_last_key(x: dict[str, Any]) -> dict[str, Any] | None:
    """As if each sample had one key fewer."""
    if x["nonpad_kv_seqlen"] is None:
        return None
    return {"nonpad_kv_seqlen": x["nonpad_kv_seqlen"] - 1}


def forgets_the_future(x: dict[str, Any]) -> dict[str, Any] | None:
    if not x["is_causal"] or x["right_window_size"] >= 0:
        return None
    return {"is_causal": 0}


def counts_the_window_from_one(x: dict[str, Any]) -> dict[str, Any] | None:
    left = x["left_window_size"]
    return {"left_window_size": left - 1} if left > 0 else None


def leaves_the_cap_out(x: dict[str, Any]) -> dict[str, Any] | None:
    return {"softcap": None} if x["softcap"] is not None else None


def scales_twice(x: dict[str, Any]) -> dict[str, Any] | None:
    width = x["Q"].shape[-1] // (x["q_num_heads"] or 1)
    return {"scale": 1 / width if x["scale"] is None else x["scale"] ** 2}


def takes_the_other_key_head(x: dict[str, Any]) -> dict[str, Any] | None:
    if x["K"].ndim == 3 or x["K"].shape[1] == 1 or x["past_key"] is not None:
        return None
    return {"K": x["K"][:, ::-1]}


def swaps_what_a_mask_means(x: dict[str, Any]) -> dict[str, Any] | None:
    mask = x["attn_mask"]
    return None if mask is None or mask.dtype.kind != "b" else {"attn_mask": ~mask}


def drops_the_mask(x: dict[str, Any]) -> dict[str, Any] | None:
    return None if x["attn_mask"] is None else {"attn_mask": None}


MISTAKES = (
    hides_the_last_key,
    forgets_the_future,
    counts_the_window_from_one,
    leaves_the_cap_out,
    scales_twice,
    takes_the_other_key_head,
    swaps_what_a_mask_means,
    drops_the_mask,
)


def changes(before: audit.OnnxCase, after: audit.OnnxCase) -> bool:
    """Whether some exact result differs, by more than float64 leaves open."""
    pairs = zip(
        bounded(audit.onnx_attention, before.inputs, "float64"),
        bounded(audit.onnx_attention, after.inputs, "float64"),
        audit.OUTPUTS,
        strict=True,
    )
    for one, other, name in pairs:
        finite = np.isfinite(one.value) & np.isfinite(other.value)
        apart = np.abs(one.value - other.value)[finite] > (one.error + other.error)[finite]
        hidden = np.isfinite(one.value) != np.isfinite(other.value)
        if name in before.stored and (apart.any() or hidden.any()):
            return True
    return False


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_the_bound_sees_every_mistake_that_changes_a_result(mistake: Callable, results):
    seen = []
    for finding in results[0]:
        edit = mistake(finding.case.inputs)
        if edit is None:
            continue
        case = replace(finding.case, inputs=finding.case.inputs | edit)
        off = audit.examine(case).off > 0
        assert off == changes(finding.case, case), case.name
        seen.append(off)
    assert any(seen)


def test_sums_in_bfloat16_stop_growing():
    """The mean of 400 ones is 1.5625 in ONNX's reference: its sum of weights stays at 256."""
    import ml_dtypes
    from onnx.reference.ops.op_attention import _compute_attention

    blank = dict.fromkeys(audit.ARGUMENTS) | audit.DEFAULTS | {"softcap": None}
    inputs = {"Q": np.zeros((1, 1, 1, 8)), "K": np.zeros((1, 1, 400, 8))}
    inputs["V"] = np.ones((1, 1, 400, 8))
    stored = _compute_attention(*(x.astype(ml_dtypes.bfloat16) for x in inputs.values()))[0]
    case = audit.OnnxCase("400 keys", "bfloat16", blank | inputs, {"Y": stored}, 1e-3, 1e-7)
    finding = audit.examine(case)
    assert finding.found == 1.5625
    assert finding.certified == 1
    assert finding.worst > 10
