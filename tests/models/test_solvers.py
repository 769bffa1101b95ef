"""Solvers on networks whose answer is known: single pictures, and a Gaussian."""

from __future__ import annotations

import numpy as np
import pytest

import refimpl
from refimpl import fast
from refimpl.models.solvers import SOLVERS

BETAS = refimpl.scaled_linear_schedule(1000, 0.00085, 0.012)
SIGMAS = refimpl.sigmas_from_alpha_bar(refimpl.alpha_bar(BETAS))
SPREAD = 0.5  # standard deviation of the Gaussian
START = np.array([[1.0, -2.0], [0.3, 0.7]])


def level(t):
    """The noise level at a time, which may lie between two."""
    return np.exp(np.interp(t, np.arange(len(SIGMAS)), np.log(SIGMAS)))


def of_a_picture(x, t):
    """What a network predicts that knows one picture alone: all its pixels are 0.25."""
    sigma = level(t)
    return (x * np.sqrt(1 + sigma**2) - 0.25) / sigma


def of_a_gaussian(x, t):
    """What the best network predicts for pixels from a normal distribution around 0."""
    sigma = level(t)
    return sigma * x * np.sqrt(1 + sigma**2) / (sigma**2 + SPREAD**2)


def ends(sampler, eps, steps, ops=refimpl):
    *_, last = SOLVERS[sampler](eps, START, BETAS, steps, ops)
    return last.x


@pytest.mark.parametrize("sampler", SOLVERS)
def test_a_network_that_knows_one_picture_leads_to_it(sampler):
    off = np.abs(ends(sampler, of_a_picture, 7) - 0.25)
    assert np.max(off) < 1e4 * np.finfo(float).eps


@pytest.mark.parametrize("sampler", SOLVERS)
def test_every_step_is_seen_and_the_last_one_is_clean(sampler):
    walk = list(SOLVERS[sampler](of_a_gaussian, START, BETAS, 5))
    times = [step.t for step in walk]
    assert len(walk) == 5
    assert times[-1] == -1
    assert times == sorted(times, reverse=True)
    assert np.allclose(walk[-1].x, walk[-1].x_start)


def exact(sampler):
    """Where the Gaussian leads to; the steps of all but one sampler stop at the lowest level."""
    high, low = SIGMAS[-1], SIGMAS[0]
    x = START * np.sqrt(1 + high**2) / np.sqrt(high**2 + SPREAD**2)
    if sampler == "flow":
        return x * SPREAD
    return x * np.sqrt(low**2 + SPREAD**2) * SPREAD**2 / (low**2 + SPREAD**2)


ORDERS = {"ddim": 1, "euler": 1, "flow": 1, "heun": 2, "dpm++": 2}


@pytest.mark.parametrize("sampler", ORDERS)
def test_the_error_falls_with_the_order_of_the_solver(sampler):
    few, many = (112, 334) if sampler == "ddim" else (20, 40)  # its times are then evenly spaced
    errors = [np.max(np.abs(ends(sampler, of_a_gaussian, n) - exact(sampler))) for n in (few, many)]
    order = np.log(errors[0] / errors[1]) / np.log(many / few)
    assert order == pytest.approx(ORDERS[sampler], abs=0.15)


def test_more_predictions_than_one_err_less():
    plms, ddim = (
        np.max(np.abs(ends(sampler, of_a_gaussian, 28) - exact(sampler)))
        for sampler in ("plms", "ddim")
    )
    assert plms < ddim / 4


@pytest.mark.parametrize("sampler", SOLVERS)
def test_the_twins_walk_the_same_way(sampler):
    found, expected = (ends(sampler, of_a_gaussian, 6, ops) for ops in (fast, refimpl))
    assert np.max(np.abs(found - expected)) < 1e4 * np.finfo(float).eps
