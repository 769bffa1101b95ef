"""One function spelled in two ways: what either gives is right by the bound of the other."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from refimpl import testing
from refimpl.axes.drawing import FAMILIES, draw_floats
from refimpl.oracle.cases.drawn import RandomSource
from tests.audit.simulated import STYLES, simulate

ORDERS = [s for s in STYLES if s.name in ("sequential", "reversed", "fused", "reciprocal")]


def _standard(x, variance):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(variance + 1e-5)


def _welford(x):
    mean, squares = x[:, 0], 0 * x[:, 0]
    for i in range(1, x.shape[1]):
        apart = x[:, i] - mean
        mean = mean + apart / (i + 1)
        squares = squares + apart * (x[:, i] - mean)
    return _standard(x, (squares / x.shape[1])[:, None])


def _online(x):
    most, total = x[:, 0], np.ones_like(x[:, 0])
    for i in range(1, x.shape[1]):
        larger = np.maximum(most, x[:, i])
        total = total * np.exp(most - larger) + np.exp(x[:, i] - larger)
        most = larger
    return np.exp(x - most[:, None]) / total[:, None]


def _one_after_another(x, w):
    total = 0 * (x[:, :1] @ w[:1])
    for k in range(x.shape[1]):
        total = total + x[:, k, None] * w[k]
    return total


def _horner(x):
    return x * (1 + x * (0.5 + x * (1 / 6)))


def _log1p_softplus(x):
    return np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0)


PAIRS = {
    "softmax divided or exponent of logs": (
        lambda x: special.softmax(x, axis=1),
        lambda x: np.exp(x - special.logsumexp(x, axis=1, keepdims=True)),
    ),
    "softmax whole or online": (lambda x: special.softmax(x, axis=1), _online),
    "log softmax": (
        lambda x: x - special.logsumexp(x, axis=1, keepdims=True),
        lambda x: (
            (x - x.max(1, keepdims=True))
            - np.log(np.exp(x - x.max(1, keepdims=True)).sum(1, keepdims=True))
        ),
    ),
    "softplus": (lambda x: np.logaddexp(0, x), _log1p_softplus),
    "logistic by tanh": (
        lambda x: 1 / (1 + np.exp(-x)),
        lambda x: 0.5 + 0.5 * np.tanh(x / 2),
    ),
    "silu as quotient or product": (
        lambda x: x / (1 + np.exp(-x)),
        lambda x: x * special.expit(x),
    ),
    "a product or einsum or one after another": (
        lambda x, w: x @ w + 1.5,
        lambda x, w: _one_after_another(x, w) + 1.5,
    ),
    "a sum of products before or after the bias": (
        lambda x, w: np.einsum("ij,jk->ik", x, w) + x[:, :1],
        lambda x, w: x[:, :1] + (x[:, None, :] * w.T).sum(-1),
    ),
    "mean as quotient or share": (
        lambda x: x.sum(1) / x.shape[1],
        lambda x: (x * (1 / x.shape[1])).sum(1),
    ),
    "mean or moving mean": (
        lambda x: x.mean(1),
        lambda x: np.add.reduce(x, axis=1) * (1 / x.shape[1]),
    ),
    "layer norm by var or Welford": (
        lambda x: _standard(x, x.var(-1, keepdims=True)),
        _welford,
    ),
    "rms norm": (
        lambda x: x / np.sqrt((x * x).mean(1, keepdims=True) + 1e-6),
        lambda x: x * (1 / np.sqrt(np.einsum("ij,ij->i", x, x)[:, None] / x.shape[1] + 1e-6)),
    ),
    "length": (
        lambda x: np.linalg.norm(x, axis=1),
        lambda x: np.sqrt(np.sum(x**2, axis=1)),
    ),
    "a mix of two": (lambda x: 0.3 * x + 0.7 * x[::-1], lambda x: x[::-1] + 0.3 * (x - x[::-1])),
    "a running sum or a triangle": (
        lambda x: np.cumsum(x, axis=1),
        lambda x: x @ np.triu(np.ones((x.shape[1], x.shape[1]))),
    ),
    "a sum in halves": (
        lambda x: x.sum(1),
        lambda x: x[:, ::2].sum(1) + x[:, 1::2].sum(1),
    ),
    "hard logistic": (
        lambda x: np.clip(x / 6 + 0.5, 0, 1),
        lambda x: np.minimum(np.maximum((x + 3) / 6, 0), 1),
    ),
    "hard logistic, divided after the limits or before": (
        lambda x: np.clip(x + 3, 0, 6) / 6,
        lambda x: np.minimum(np.maximum(0.5 + x * (1 / 6), 0), 1),
    ),
    "hard swish": (
        lambda x: x * np.clip(x + 3, 0, 6) / 6,
        lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    ),
    "half of a sum, or one term and half of the way to the other": (
        lambda x: (3 * x[:, 1:] - x[:, :-1]) / 2,
        lambda x: x[:, 1:] + (x[:, 1:] - x[:, :-1]) / 2,
    ),
    "a leaky rectifier": (
        lambda x: np.where(x > 0, x, 0.01 * x),
        lambda x: np.maximum(x, 0) + 0.01 * np.minimum(x, 0),
    ),
    "expm1 or what is left of exp": (
        lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
        lambda x: np.maximum(x, 0) + np.expm1(np.minimum(x, 0)),
    ),
    "a cube": (lambda x: x**3 / 7, lambda x: x * x * x / 7),
    "a mean of squared differences": (
        lambda x: np.mean((x - x[::-1]) ** 2),
        lambda x: np.sum(np.square(x - x[::-1])) / x.size,
    ),
    "attention scaled before or after": (
        lambda x, w: special.softmax(x @ w / np.sqrt(8), axis=1) @ w.T,
        lambda x, w: special.softmax((x * (1 / np.sqrt(8))) @ w, axis=1) @ w.T,
    ),
    "a gaussian": (
        lambda x: np.exp(-0.5 * x * x),
        lambda x: np.exp(-(x**2) / 2),
    ),
}


def _inputs(text, number):
    source = RandomSource([number, 3])
    family = FAMILIES[number % len(FAMILIES)]
    shapes = {"x": (4, 24), "w": (24, 24)}
    names = text.__code__.co_varnames[: text.__code__.co_argcount]
    return {n: np.float32(draw_floats(source, shapes[n], family)).astype(float) for n in names}


@pytest.mark.parametrize("name", PAIRS)
def test_what_one_spelling_gives_is_right_by_the_bound_of_the_other(name):
    for number in range(len(FAMILIES)):
        for text, other in (PAIRS[name], PAIRS[name][::-1]):
            given = _inputs(text, number)
            value, allowed = testing.bound(text, **given)
            for style in ORDERS:
                (found,) = simulate(other, given, "float32", style)
                off = np.abs(found - value)
                assert np.all((off <= allowed) | np.isinf(allowed)), (FAMILIES[number], style.name)
