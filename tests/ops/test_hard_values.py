"""Values that random draws do not have: scores far below zero, numbers far from zero."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.registry import OPS
from tests.harness import cases, worst_ratio


def caught(name, implementation):
    """Whether the probes alone show that an implementation is wrong in float32."""
    op = OPS[name]
    drawn = cases(op, "float32", 0)
    return any(worst_ratio(op, implementation, case, typed=True) > 1 for case in drawn)


def attention_from(start):
    """Attention whose running maximum begins at a finite number."""

    def attention(query, key, value, bias):
        shared = query.shape[1] // key.shape[1]
        key, value = np.repeat(key, shared, axis=1), np.repeat(value, shared, axis=1)
        scores = query @ np.swapaxes(key, -1, -2) / np.float32(np.sqrt(query.shape[-1]))
        scores = scores if bias is None else scores + bias
        weights = np.exp(scores - np.max(scores, axis=-1, keepdims=True, initial=start))
        total = np.sum(weights, axis=-1, keepdims=True)
        return weights @ value / np.where(total > 0, total, 1)

    return attention


@pytest.mark.parametrize("start", [0.0, -1e4, -5e4])
def test_a_running_maximum_that_begins_at_a_finite_number_is_caught(start):
    assert caught("attention", attention_from(np.float32(start)))
    assert not caught("attention", attention_from(np.finfo(np.float32).min))


def test_one_maximum_for_all_rows_is_caught():
    def softmax(z):
        weights = np.exp(z - np.max(z, initial=np.finfo(z.dtype).min))
        total = np.sum(weights, axis=-1, keepdims=True)
        return weights / np.where(total > 0, total, 1)

    assert caught("softmax", softmax)


def test_a_group_norm_of_the_mean_of_squares_minus_the_squared_mean_is_caught():
    def group_norm(x, gain, bias, groups, eps):
        grouped = x.reshape(*x.shape[:1], groups, x[0].size // groups)
        mean = grouped.mean(-1, keepdims=True)
        variance = (grouped * grouped).mean(-1, keepdims=True) - mean * mean
        normal = ((grouped - mean) / np.sqrt(variance + x.dtype.type(eps))).reshape(x.shape)
        return normal * gain[:, None, None] + bias[:, None, None]

    assert caught("group_norm", group_norm)
