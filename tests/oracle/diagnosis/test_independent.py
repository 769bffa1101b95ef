"""Entries of the catalogue are recognised in code that was written without their diffs."""

from __future__ import annotations

import pytest

from refimpl.oracle.runs.verify import verify

BEGINNING = """
import numpy as np

def attention(query, key, value, bias):
    shared = query.shape[1] // key.shape[1]
    key, value = np.repeat(key, shared, 1), np.repeat(value, shared, 1)
    root = query.dtype.type(query.shape[-1] ** 0.5)
    scores = np.einsum("bhne,bhme->bhnm", query, key)
"""
NO_MAXIMUM = """
    scores = scores / root if bias is None else scores / root + bias
    with np.errstate(over="ignore", invalid="ignore"):
        weights = np.exp(scores)
        total = weights.sum(-1, keepdims=True)
        hidden = np.all(np.isneginf(scores), axis=-1, keepdims=True)
        return weights / np.where(hidden, 1, total) @ value
"""
SCALED_WEIGHTS = """
    scores = scores if bias is None else scores + bias
    top = scores.max(-1, keepdims=True)
    weights = np.exp(scores - np.where(np.isneginf(top), 0, top))
    total = weights.sum(-1, keepdims=True)
    return weights / np.where(total == 0, 1, total) / root @ value
"""


@pytest.mark.parametrize(
    ("body", "mistake"),
    [
        (NO_MAXIMUM, "attention/no-max-subtraction"),
        (SCALED_WEIGHTS, "attention/scale-weights"),
    ],
)
def test_a_mistake_in_code_of_its_own_is_recognised(body, mistake, tmp_path):
    target = tmp_path / "own.py"
    target.write_text(BEGINNING + body.removeprefix("\n"))
    (report,) = verify(str(target), profile="quick")
    (finding,) = report.findings
    assert [cause.id for cause in finding.causes] == [mistake]
