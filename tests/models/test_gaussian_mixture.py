"""Gaussian mixtures against integrals and derivatives that know nothing of their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest

from refimpl.axes import AxesError
from refimpl.models import gaussian_mixture as gm
from refimpl.op import DomainError

# what double precision leaves of numbers near one after a few hundred roundings and one inverse
# of a well-conditioned matrix
NEAR = {"rtol": 1e-11, "atol": 1e-11}

WEIGHTS = np.array([0.2, 0.5, 0.3])
MEANS = np.array([[1.0, -0.5, 0.3], [-1.2, 0.8, 0.0], [0.4, 1.5, -1.0]])
ROOTS = np.array(
    [
        [[0.9, 0.0, 0.0], [0.3, 0.5, 0.0], [-0.2, 0.1, 0.7]],
        [[0.4, 0.0, 0.0], [-0.6, 1.1, 0.0], [0.5, 0.2, 0.3]],
        [[0.6, 0.0, 0.0], [0.0, 0.6, 0.0], [0.0, 0.0, 0.6]],
    ]
)
COVARIANCES = ROOTS @ ROOTS.swapaxes(1, 2)
MIXTURE = gm.mixture(WEIGHTS, MEANS, COVARIANCES)
POINTS = np.random.default_rng(0).normal(size=(7, 3)) * 1.5
SHARES = np.array([1.0, 0.9, 0.5, 0.2, 0.05, 1e-3, 0.0])


def joint(x, share, chosen=(0, 1, 2)):
    """The log density as the textbook has it, for PyTorch to differentiate."""
    import torch

    terms = []
    for k in chosen:
        covariance = share * torch.tensor(COVARIANCES[k]) + (1 - share) * torch.eye(3).double()
        law = torch.distributions.MultivariateNormal(
            math.sqrt(share) * torch.tensor(MEANS[k]), covariance
        )
        terms.append(math.log(WEIGHTS[k]) + law.log_prob(x))
    return torch.logsumexp(torch.stack(terms), 0)


def differentiated(function, x):
    import torch

    point = torch.tensor(x, requires_grad=True)
    function(point).backward()
    return point.grad.numpy()


def test_the_density_is_that_of_scipy():
    from scipy.stats import multivariate_normal

    found = gm.log_density(MIXTURE, POINTS, SHARES)
    for x, share, log_density in zip(POINTS, SHARES, found, strict=True):
        parts = [
            w
            * multivariate_normal(math.sqrt(share) * m, share * C + (1 - share) * np.eye(3)).pdf(x)
            for w, m, C in zip(WEIGHTS, MEANS, COVARIANCES, strict=True)
        ]
        np.testing.assert_allclose(log_density, math.log(math.fsum(parts)), **NEAR)
        probabilities = gm.component_probabilities(MIXTURE, x[None], share)[0]
        np.testing.assert_allclose(probabilities, np.array(parts) / math.fsum(parts), **NEAR)


def test_the_score_is_the_derivative_of_the_density():
    pytest.importorskip("torch")
    found = gm.score(MIXTURE, POINTS, SHARES)
    for i, share in enumerate(SHARES):
        want = differentiated(lambda x, a=share: joint(x, a), POINTS[i])
        np.testing.assert_allclose(found[i], want, **NEAR)


@pytest.mark.parametrize("label", [[0], [2], [0, 2]])
def test_the_gradient_of_a_label_is_the_derivative_of_its_log_probability(label):
    pytest.importorskip("torch")
    found = gm.label_gradient(MIXTURE, POINTS, SHARES, label)
    for i, share in enumerate(SHARES):
        want = differentiated(lambda x, a=share: joint(x, a, label) - joint(x, a), POINTS[i])
        np.testing.assert_allclose(found[i], want, **NEAR)


LINE = gm.mixture([2, 1], [[-1.0], [1.5]], [[[0.3]], [[0.8]]])


def integrated(x, share, function):
    """The mean of a function of the clean sample, given the noised one, by quadrature."""
    from scipy.integrate import quad

    def density(x0):
        clean = 0.0
        for w, m, v in ((2 / 3, -1.0, 0.3), (1 / 3, 1.5, 0.8)):
            clean += w * math.exp(-((x0 - m) ** 2) / (2 * v)) / math.sqrt(2 * math.pi * v)
        away = x - math.sqrt(share) * x0
        return (
            clean * math.exp(-(away**2) / (2 * (1 - share))) / math.sqrt(2 * math.pi * (1 - share))
        )

    places = {"points": (-1.0, 0.0, 1.5), "limit": 200, "epsabs": 0, "epsrel": 1e-12}
    whole, _ = quad(density, -9, 9, **places)
    return quad(lambda x0: density(x0) * function(x0), -9, 9, **places)[0] / whole, whole


@pytest.mark.parametrize("share", [0.9, 0.5, 0.1])
@pytest.mark.parametrize("x", [-2.0, 0.1, 1.7])
def test_denoiser_and_density_are_integrals_over_the_clean_samples(x, share):
    mean, density = integrated(x, share, lambda x0: x0)
    noise, _ = integrated(x, share, lambda x0: (x - math.sqrt(share) * x0) / math.sqrt(1 - share))
    at = (LINE, np.array([[x]]), share)
    np.testing.assert_allclose(gm.log_density(*at), math.log(density), **NEAR)
    np.testing.assert_allclose(gm.posterior_mean(*at), [[mean]], **NEAR)
    np.testing.assert_allclose(gm.predicted_noise(*at), [[noise]], **NEAR)


@pytest.mark.parametrize("share", [0.9, 0.5, 0.1])
def test_the_classifier_of_noised_samples_averages_that_of_clean_ones(share):
    def second(x0):
        parts = [
            w / math.sqrt(v) * math.exp(-((x0 - m) ** 2) / (2 * v))
            for w, m, v in ((2, -1.0, 0.3), (1, 1.5, 0.8))
        ]
        return parts[1] / sum(parts)

    want, _ = integrated(0.4, share, second)
    found = gm.label_log_probability(LINE, np.array([[0.4]]), share, [1])
    np.testing.assert_allclose(np.exp(found), [want], **NEAR)


def test_the_noise_and_the_clean_sample_make_up_the_noised_one():
    clean = gm.posterior_mean(MIXTURE, POINTS, SHARES)
    noise = gm.predicted_noise(MIXTURE, POINTS, SHARES)
    root, rest = np.sqrt(SHARES)[:, None], np.sqrt(1 - SHARES)[:, None]
    np.testing.assert_allclose(root * clean + rest * noise, POINTS, **NEAR)


def test_a_tilt_multiplies_the_density_by_an_exponential():
    slope = np.array([0.5, -1.0, 0.3])
    ratio = gm.log_density(gm.tilted(MIXTURE, slope), POINTS, 1.0)
    ratio = ratio - gm.log_density(MIXTURE, POINTS, 1.0) - POINTS @ slope
    np.testing.assert_allclose(ratio, np.full(7, ratio[0]), **NEAR)


def test_the_moments_are_those_of_the_definition():
    mean, covariance = gm.moments(MIXTURE, 0.3)
    want = sum(w * m for w, m in zip(WEIGHTS, MEANS, strict=True))
    second = sum(
        w * (C + np.outer(m, m)) for w, m, C in zip(WEIGHTS, MEANS, COVARIANCES, strict=True)
    )
    np.testing.assert_allclose(mean, math.sqrt(0.3) * want, **NEAR)
    clean = second - np.outer(want, want)
    np.testing.assert_allclose(covariance, 0.3 * clean + 0.7 * np.eye(3), **NEAR)


def test_far_away_nothing_overflows_and_the_nearest_component_decides():
    x = np.array([[-1e6], [1e6]])
    pair = gm.mixture([1, 1], [[-1.0], [1.0]], [[[1.0]], [[1.0]]])
    np.testing.assert_array_equal(gm.component_probabilities(pair, x, 1.0), np.eye(2))
    np.testing.assert_array_equal(gm.score(pair, x, 1.0), [[1e6 - 1], [1 - 1e6]])
    log_probability = gm.label_log_probability(pair, x, 1.0, [1])
    np.testing.assert_array_equal(log_probability, [-2e6, 0])


def test_the_gradient_of_a_nearly_certain_label_keeps_its_digits():
    pair = gm.mixture([1, 1], [[-1.0], [1.0]], [[[1.0]], [[1.0]]])
    found = gm.label_gradient(pair, np.array([[30.0]]), 1.0, [1])
    np.testing.assert_allclose(found, [[2 / (1 + math.exp(60))]], rtol=1e-11)


def test_a_point_mass_is_found_from_any_noised_sample():
    point = gm.mixture([1], [[0.5, -2.0]], np.zeros((1, 2, 2)))
    x = np.array([[3.0, 1.0]])
    np.testing.assert_array_equal(gm.posterior_mean(point, x, 0.4), [[0.5, -2.0]])
    with pytest.raises(DomainError, match="singular"):
        gm.log_density(point, x, 1.0)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (([1], [0.0], [[[1.0]]]), AxesError, "means has shape"),
        (([1, 1], [[0.0]], [[[1.0]]]), AxesError, "weights has shape"),
        (([1], [[0.0]], [[1.0]]), AxesError, "covariances has shape"),
        (([0], [[0.0]], [[[1.0]]]), DomainError, "positive"),
        (([1], [[np.nan]], [[[1.0]]]), DomainError, "finite"),
        (([1], [[0.0]], [[[-1.0]]]), DomainError, "eigenvalue"),
        (([1], [[0.0, 0.0]], [[[1.0, 0.5], [0.0, 1.0]]]), DomainError, "symmetric"),
    ],
)
def test_what_is_no_mixture_is_refused(arguments, error, says):
    with pytest.raises(error, match=says):
        gm.mixture(*arguments)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: gm.score(LINE, np.zeros((1, 2)), 0.5), "x has shape"),
        (lambda: gm.score(LINE, np.zeros((1, 1)), 1.5), "share has 1.5"),
        (lambda: gm.score(LINE, np.zeros((2, 1)), np.zeros(3)), "share has shape"),
        (lambda: gm.label_gradient(LINE, np.zeros((1, 1)), 0.5, [2]), "K=2"),
        (lambda: gm.label_gradient(LINE, np.zeros((1, 1)), 0.5, []), "a list of components"),
        (lambda: gm.tilted(LINE, np.zeros(2)), "slope has shape"),
    ],
)
def test_arguments_that_do_not_fit_are_named(call, says):
    with pytest.raises(AxesError, match=says):
        call()


def test_a_sample_that_is_not_finite_is_refused():
    with pytest.raises(DomainError, match="not finite"):
        gm.score(LINE, np.array([[np.inf]]), 0.5)
