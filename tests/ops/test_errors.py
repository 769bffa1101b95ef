"""Errors name the operation, the argument, what was found and what was expected."""

from __future__ import annotations

import numpy as np
import pytest

import refimpl
from refimpl.axes import AxesError
from refimpl.op import DomainError

Z = np.zeros
WRONG = [
    (
        lambda: refimpl.clip_loss(Z((3, 768)), Z((3, 512)), 0.0),
        "clip_loss: text_features has D=512, image_features has D=768",
    ),
    (
        lambda: refimpl.attention(Z((1, 2, 3, 4)), Z((1, 2, 5, 3)), Z((1, 2, 5, 4)), None),
        "attention: key has E=3, query has E=4",
    ),
    (
        lambda: refimpl.attention(Z((1, 3, 3, 4)), Z((1, 2, 5, 4)), Z((1, 2, 5, 4)), None),
        r"attention: query has G\*R=3, expected a multiple of G=2",
    ),
    (
        lambda: refimpl.attention(Z((1, 2, 3, 4)), Z((1, 2, 5, 4)), Z((1, 2, 5, 4)), Z((3, 6))),
        r"attention: bias has shape \(3, 6\), expected a shape that broadcasts to "
        r"\(B G\*R N M\)=\(1, 2, 3, 5\)",
    ),
    (
        lambda: refimpl.patch_embed(Z((1, 3, 30, 32)), Z((8, 3, 16, 16)), None),
        r"patch_embed: images has rows\*P=30, expected a multiple of P=16",
    ),
    (lambda: refimpl.softmax("text"), "softmax: z has dtype <U4, expected real numbers"),
    (lambda: refimpl.softmax([1j]), "softmax: z has dtype complex128, expected real numbers"),
    (lambda: refimpl.softmax(None), "softmax: z is None"),
    (lambda: refimpl.softmax([[1.0], [1.0, 2.0]]), "softmax: z cannot be read as an array"),
    (lambda: refimpl.layer_norm(Z((2, 3)), Z(3), Z(3), -1.0), "layer_norm: eps has -1.0"),
    (
        lambda: refimpl.q_sample(Z((2, 3)), [0, 9], Z((2, 3)), [0.9, 0.8]),
        "q_sample: t has 9, but T=2",
    ),
    (
        lambda: refimpl.q_sample(Z((2, 3)), [0.5, 1.0], Z((2, 3)), [0.9, 0.8]),
        "q_sample: t has dtype float64, expected integers",
    ),
    (
        lambda: refimpl.q_sample(Z((2, 3)), [-1, 1], Z((2, 3)), [0.9, 0.8]),
        "q_sample: t has -1, expected zero-based indices",
    ),
    (
        lambda: refimpl.q_sample(Z((2, 3)), [0, 1], Z((2, 4)), [0.9, 0.8]),
        r"q_sample: noise has shape \(2, 4\)|q_sample: noise has .*4",
    ),
    (lambda: refimpl.alpha_bar([0.1, 1.5]), "alpha_bar: betas has 1.5, expected noise variances"),
    (
        lambda: refimpl.respaced_betas([0.1, 0.2, 0.3], [2, 1]),
        "respaced_betas: timesteps is not strictly increasing",
    ),
    (
        lambda: refimpl.ddim_step(Z((2, 3)), [1, 0], [0, 1], Z((2, 3)), Z((2, 3)), [0.9, 0.8], 0.0),
        r"ddim_step: t_prev\[1\] is 1, later than t\[1\]=0; t_prev must be earlier",
    ),
    (lambda: refimpl.ddim_step(1, 2), "ddim_step: missing a required argument"),
]


@pytest.mark.parametrize(("call", "says"), WRONG, ids=range(len(WRONG)))
def test_the_error_says_what_was_found_and_what_was_expected(call, says):
    with pytest.raises((AxesError, TypeError), match=says):
        call()


def test_a_division_by_zero_is_an_error_and_not_an_infinity():
    with pytest.raises(DomainError, match="x0_from_eps: not defined"):
        refimpl.x0_from_eps([[1.0]], [0], [[1.0]], [0.0])


def test_what_looks_like_numbers_is_read():
    assert refimpl.softmax([0, 0]).tolist() == [0.5, 0.5]
    assert refimpl.softmax(np.float32([0, 0])).dtype == np.float64


def test_nan_goes_through_and_is_never_hidden():
    assert np.isnan(refimpl.softmax([np.nan, 0.0])).any()
