"""Samplers: published numbers, and loops whose end is known in closed form."""

from itertools import pairwise

import numpy as np
import pytest

import refimpl
from refimpl.axes import AxesError
from refimpl.ops.common import cosines, sines

X, D = 3 * sines(1, 4), cosines(1, 4)
NOISE = D[:, ::-1]
S = 0.5  # the deviation of the data


def near(printed):
    """Numbers as printed with eleven digits after the point."""
    return {"rtol": 0, "atol": 6e-12, "desired": np.array([printed.split()], dtype=float)}


def test_the_steps_have_the_certified_numbers():
    before = 0.4 * sines(1, 4)
    found = {
        "1.02157175343 .77058181464 -.18887749081 -.97468370226": refimpl.euler_step(X, D, 3, 1),
        ".21249412857 -.34854194575 -.58913016253 -.2880748248": refimpl.euler_ancestral_step(
            X, D, NOISE, 3, 1, 1
        ),
        ".97394377891 .36067145522 -.58420054108 -.99196125409": refimpl.dpm_solver_step(
            X, D, before, 5, 3, 1
        ),
    }
    for printed, result in found.items():
        np.testing.assert_allclose(result, **near(printed))


@pytest.mark.parametrize(
    ("steps", "raised", "level"), [(18 / 40, 2.82842712475, 2), (18, 19 / 9, None)]
)
def test_churn_raises_the_level_as_far_as_the_cap(steps, raised, level):
    x_hat, sigma_hat = refimpl.churn(0 * X, NOISE, 2, 1 / steps, 0.05, 50)
    np.testing.assert_allclose(sigma_hat, raised, atol=6e-12)
    np.testing.assert_allclose(x_hat, (level or 0.67586250337) * NOISE, atol=6e-12)


def guess(x, sigma):
    """The best guess where the data is a Gaussian."""
    return x * S**2 / (sigma**2 + S**2)


def euler(x, levels):
    for a, b in pairwise(levels):
        x = refimpl.euler_step(x, guess(x, a), a, b)
    return x


def heun(x, levels):
    for a, b in pairwise(levels):
        ahead = refimpl.euler_step(x, guess(x, a), a, b)
        x = refimpl.heun_step(x, guess(x, a), guess(ahead, b), a, b)
    return x


def dpm_solver(x, levels):
    now, before = guess(x, levels[0]), None
    x = refimpl.euler_step(x, now, *levels[:2])
    for last, a, b in zip(levels, levels[1:], levels[2:], strict=False):
        now, before = guess(x, a), now
        x = refimpl.dpm_solver_step(x, now, before, last, a, b)
    return x


@pytest.mark.parametrize(("loop", "order"), [(euler, 1), (heun, 2), (dpm_solver, 2)])
def test_with_twice_the_steps_the_error_on_a_gaussian_falls_by_the_order(loop, order):
    start = np.array([10.0])
    exact = start * np.sqrt((0.01**2 + S**2) / (10**2 + S**2))
    lacks = [loop(start, np.geomspace(10, 0.01, n + 1)) - exact for n in (80, 160)]
    assert abs(float(lacks[0][0] / lacks[1][0]) / 2**order - 1) < 0.06


def test_euler_is_ddim_without_noise_in_another_space():
    sigma, sigma_next = 3.0, 1.25
    share = 1 / (1 + np.array([sigma_next, sigma]) ** 2)
    there = refimpl.ddim_step(
        X * np.sqrt(share[1]),
        np.array([1]),
        np.array([0]),
        (X - D) / sigma,
        0 * X,
        share,
        0.0,
    )
    here = refimpl.euler_step(X, D, sigma, sigma_next)
    np.testing.assert_allclose(there / np.sqrt(share[0]), here, atol=1e-14)


def test_a_fifth_prediction_is_refused():
    with pytest.raises(AxesError, match="K=5, expected one to four"):
        refimpl.plms_eps(np.zeros((5, 1, 2)))
