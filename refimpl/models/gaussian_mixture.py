r"""Gaussian mixtures under the forward process: a denoiser and a classifier with a known answer.

$$p(x_0) = \sum_k w_k\,N(x_0; \mu_k, \Sigma_k), \qquad
p(x_t) = \sum_k w_k\,N(x_t; \sqrt{\bar\alpha}\,\mu_k, \bar\alpha\Sigma_k + (1 - \bar\alpha) I)$$

Every function takes the mixture of clean samples, points x of shape B D, and `share`: the share of
signal left at the points, one number or one for each point. It is `alpha_bar[t]` at time t and 1
for clean samples. A covariance may be singular, or zero for a point mass, where the share is below
1. `denoiser` and `classifier` make the functions that `refimpl.models.sampling` asks for.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refimpl.axes import AxesError
from refimpl.models.sampling import Denoiser, Gradient
from refimpl.op import DomainError


class Mixture(NamedTuple):
    """Weights, means and covariances; the latter as variances along orthogonal axes."""

    weights: np.ndarray  # K, positive, sum 1
    means: np.ndarray  # K D
    variances: np.ndarray  # K D
    axes: np.ndarray  # K D D, a column for each variance


def mixture(weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> Mixture:
    r"""A mixture of Gaussians from weights, means and covariances.

    $$\Sigma_k = Q_k\,\mathrm{diag}(\lambda_k)\,Q_k^\top$$

    weights: K, positive; only their ratios matter.
    means: K D.
    covariances: K D D, symmetric and positive semidefinite.

    Returns the mixture. The axes Q_k are those of x_t at every noise level, because adding a
    multiple of the identity changes the variances alone.

    Raises AxesError for shapes that differ, and DomainError for a weight that is not positive, a
    number that is not finite, or a matrix that is no covariance.

    >>> mixture([1, 3], [[0.0], [1.0]], [[[1.0]], [[4.0]]]).weights
    array([0.25, 0.75])
    """
    w, mu, sigma = (np.asarray(x, dtype=np.float64) for x in (weights, means, covariances))
    if mu.ndim != 2 or 0 in mu.shape:
        raise AxesError(f"mixture: means has shape {mu.shape}, expected axes (K D), neither empty")
    K, D = mu.shape
    if w.shape != (K,):
        raise AxesError(f"mixture: weights has shape {w.shape}, expected (K)={(K,)}")
    if sigma.shape != (K, D, D):
        raise AxesError(
            f"mixture: covariances has shape {sigma.shape}, expected (K D D)={(K, D, D)}"
        )
    if not all(np.isfinite(array).all() for array in (w, mu, sigma)):
        raise DomainError("mixture: weights, means and covariances must be finite")
    if np.any(w <= 0):
        raise DomainError(f"mixture: weights has {w.min()}, expected positive numbers")
    variances, axes = np.linalg.eigh(sigma)  # K D, K D D
    rounding = D * np.finfo(float).eps * np.abs(sigma).max(axis=(1, 2))  # K
    if np.any(np.abs(sigma - np.swapaxes(sigma, 1, 2)) > rounding[:, None, None]):
        raise DomainError("mixture: covariances has a matrix that is not symmetric")
    if np.any(variances < -D * rounding[:, None]):
        raise DomainError(
            f"mixture: covariances has the eigenvalue {variances.min()}, expected ≥ 0"
        )
    return Mixture(w / w.sum(), mu, np.maximum(variances, 0), axes)


def log_density(mixture: Mixture, x: np.ndarray, share: float | np.ndarray) -> np.ndarray:
    r"""The log density of noised samples, in nats.

    $$\log p(x) = \log \sum_k e^{\ell_k}, \quad
    \ell_k = \log w_k - \frac12 \sum_d \left(\frac{y_{kd}^2}{v_{kd}} + \log 2 \pi v_{kd}\right),
    \quad y_k = Q_k^\top (x - \sqrt{\bar\alpha} \mu_k), \quad
    v_k = \bar\alpha \lambda_k + 1 - \bar\alpha$$

    Returns B.

    Raises AxesError for shapes that differ or a share outside [0, 1]; DomainError where there is
    no density, as a covariance is singular and the share is 1.

    >>> log_density(mixture([1], [[0.0]], [[[1.0]]]), np.zeros((1, 1)), 0.5).round(4)
    array([-0.9189])
    """
    joint, _, _ = _components(mixture, x, share)  # B K
    return _log_sum_exp(joint)  # B


def component_probabilities(
    mixture: Mixture, x: np.ndarray, share: float | np.ndarray
) -> np.ndarray:
    r"""How likely each component is, given a noised sample.

    $$p(k \mid x) = e^{\ell_k - \log p(x)}$$

    Returns B K, rows that sum to 1. Raises what `log_density` raises.

    >>> pair = mixture([1, 1], [[-1.0], [1.0]], [[[1.0]], [[1.0]]])
    >>> component_probabilities(pair, np.array([[0.0]]), 0.5)
    array([[0.5, 0.5]])
    """
    joint, _, _ = _components(mixture, x, share)  # B K
    return np.exp(joint - _log_sum_exp(joint)[:, None])  # B K


def score(mixture: Mixture, x: np.ndarray, share: float | np.ndarray) -> np.ndarray:
    r"""The gradient of the log density of noised samples.

    $$\nabla \log p(x) = -\sum_k p(k \mid x)\,Q_k \frac{y_k}{v_k}$$

    Returns B D, in nats per unit of x. Raises what `log_density` raises.

    >>> score(mixture([1], [[0.0]], [[[3.0]]]), np.array([[4.0]]), 0.5)
    array([[-2.]])
    """
    joint, y, v = _components(mixture, x, share)  # B K, B K D, B K D
    responsibility = np.exp(joint - _log_sum_exp(joint)[:, None])  # B K
    return _mix(responsibility, _turn_back(mixture, -y / v))  # B D


def predicted_noise(mixture: Mixture, x: np.ndarray, share: float | np.ndarray) -> np.ndarray:
    r"""The prediction of a perfect network: the mean of the noise, given the noised sample.

    $$E[\epsilon \mid x_t] = -\sqrt{1 - \bar\alpha}\,\nabla \log p(x_t)$$

    Returns B D. Raises what `log_density` raises.

    >>> predicted_noise(mixture([1], [[0.0]], [[[3.0]]]), np.array([[4.0]]), 0.5).round(4)
    array([[1.4142]])
    """
    return -_column(np.sqrt(1 - _shares("predicted_noise", x, share))) * score(mixture, x, share)


def posterior_mean(mixture: Mixture, x: np.ndarray, share: float | np.ndarray) -> np.ndarray:
    r"""The mean of the clean sample, given the noised one.

    $$E[x_0 \mid x_t] = \sum_k p(k \mid x_t)
    \left(\mu_k + Q_k \frac{\sqrt{\bar\alpha} \lambda_k}{v_k} y_k\right)$$

    Returns B D. Raises what `log_density` raises. A share of 0 is no difficulty: the mean is that
    of the data.

    >>> posterior_mean(mixture([1], [[0.0]], [[[3.0]]]), np.array([[4.0]]), 0.5).round(4)
    array([[4.2426]])
    """
    joint, y, v = _components(mixture, x, share)  # B K, B K D, B K D
    responsibility = np.exp(joint - _log_sum_exp(joint)[:, None])  # B K
    root = np.sqrt(_shares("posterior_mean", x, share))[:, None, None]  # B 1 1
    means = mixture.means + _turn_back(mixture, root * mixture.variances / v * y)  # B K D
    return _mix(responsibility, means)  # B D


def label_log_probability(
    mixture: Mixture, x: np.ndarray, share: float | np.ndarray, label: np.ndarray
) -> np.ndarray:
    r"""The output of a perfect classifier of noised samples: the log probability of a label.

    $$\log p(y \mid x) = \log \sum_{k \in y} p(k \mid x)$$

    label: the components that bear the label, indices below K.

    Returns B, in nats. Raises AxesError for a label without components or with an unknown one,
    and what `log_density` raises.

    >>> pair = mixture([1, 1], [[-1.0], [1.0]], [[[1.0]], [[1.0]]])
    >>> np.exp(label_log_probability(pair, np.array([[0.0]]), 0.5, [1]))
    array([0.5])
    """
    bears = _bears("label_log_probability", mixture, label)  # K
    joint, _, _ = _components(mixture, x, share)  # B K
    return _log_sum_exp(joint[:, bears]) - _log_sum_exp(joint)  # B


def label_gradient(
    mixture: Mixture, x: np.ndarray, share: float | np.ndarray, label: np.ndarray
) -> np.ndarray:
    r"""The gradient of the log probability of a label: what guidance by a perfect classifier adds.

    $$\nabla \log p(y \mid x) = p(\bar y \mid x)
    \left(\nabla \log p(x \mid y) - \nabla \log p(x \mid \bar y)\right)$$

    label: the components that bear the label, indices below K; the others bear ȳ, any other label.

    Returns B D, in nats per unit of x; 0 where every component bears the label. Written as a
    product, so that a small gradient keeps its digits where the label is nearly certain. Raises
    what `label_log_probability` raises.

    >>> pair = mixture([1, 1], [[-1.0], [1.0]], [[[1.0]], [[1.0]]])
    >>> label_gradient(pair, np.array([[0.0]]), 0.25, [1])
    array([[0.5]])
    """
    bears = _bears("label_gradient", mixture, label)  # K
    if bears.all():
        return np.zeros(np.shape(x))
    without = np.flatnonzero(~bears)
    other = np.exp(label_log_probability(mixture, x, share, without))  # B
    inside = score(given(mixture, label), x, share)  # B D
    outside = score(given(mixture, without), x, share)  # B D
    return _column(other) * (inside - outside)  # B D


def given(mixture: Mixture, label: np.ndarray) -> Mixture:
    r"""The mixture of the samples that bear a label.

    $$p(x_0 \mid y) \propto \sum_{k \in y} w_k\,N(x_0; \mu_k, \Sigma_k)$$

    >>> given(mixture([1, 1, 2], np.zeros((3, 1)), np.ones((3, 1, 1))), [1, 2]).weights.round(3)
    array([0.333, 0.667])
    """
    bears = _bears("given", mixture, label)  # K
    weights, means, variances, axes = (field[bears] for field in mixture)
    return Mixture(weights / weights.sum(), means, variances, axes)


def tilted(mixture: Mixture, slope: np.ndarray) -> Mixture:
    r"""The mixture weighted by an exponential: guidance by a classifier whose logarithm is linear.

    $$p'(x_0) \propto p(x_0)\,e^{b^\top x_0}: \quad \mu_k' = \mu_k + \Sigma_k b, \quad
    \Sigma_k' = \Sigma_k, \quad w_k' \propto w_k\,e^{b^\top \mu_k + \frac12 b^\top \Sigma_k b}$$

    slope: D, b.

    For a single Gaussian, the noised p and p' differ by a constant score at every noise level, and
    guidance of scale s then samples the tilt by s b, without bias.

    >>> tilted(mixture([1], [[1.0]], [[[4.0]]]), np.array([0.5])).means
    array([[3.]])
    """
    b = np.asarray(slope, dtype=np.float64)
    weights, means, variances, axes = mixture
    if b.shape != means.shape[1:]:
        raise AxesError(f"tilted: slope has shape {b.shape}, expected (D)={means.shape[1:]}")
    moved = _turn_back(mixture, (variances * (b @ axes))[None])[0]  # K D
    log_weights = np.log(weights) + means @ b + moved @ b / 2  # K
    weights = np.exp(log_weights - _log_sum_exp(log_weights[None]))  # K
    return Mixture(weights, means + moved, variances, axes)


def moments(mixture: Mixture, share: float) -> tuple[np.ndarray, np.ndarray]:
    r"""Mean and covariance of noised samples.

    $$\mu = \sqrt{\bar\alpha} \sum_k w_k \mu_k, \quad \Sigma = \sum_k w_k
    \left(\bar\alpha \Sigma_k + (1 - \bar\alpha) I
    + (\sqrt{\bar\alpha} \mu_k - \mu)(\sqrt{\bar\alpha} \mu_k - \mu)^\top\right)$$

    Returns D and D D.

    >>> moments(mixture([1, 1], [[-1.0], [1.0]], np.zeros((2, 1, 1))), 0.5)
    (array([0.]), array([[1.]]))
    """
    (level,) = _shares("moments", np.zeros((1, 1)), share)
    centres = np.sqrt(level) * mixture.means  # K D
    mean = mixture.weights @ centres  # D
    variances = level * mixture.variances + 1 - level  # K D
    inside = (mixture.axes * variances[:, None]) @ np.swapaxes(mixture.axes, 1, 2)  # K D D
    apart = (centres - mean)[:, :, None] * (centres - mean)[:, None]  # K D D
    return mean, np.tensordot(mixture.weights, inside + apart, 1)


def denoiser(mixture: Mixture, alpha_bar: np.ndarray) -> Denoiser:
    """A perfect network for samples of any shape with D numbers each; see `predicted_noise`.

    >>> perfect = denoiser(mixture([1], [[0.0]], [[[1.0]]]), np.array([0.75, 0.5]))
    >>> perfect(np.array([[2.0]]), np.array([0]))
    array([[1.]])
    """

    def predict(x_t, t):
        flat = np.reshape(x_t, (len(x_t), -1))  # B D
        return np.reshape(predicted_noise(mixture, flat, alpha_bar[t]), np.shape(x_t))

    return predict


def classifier(mixture: Mixture, alpha_bar: np.ndarray, label: np.ndarray) -> Gradient:
    """The gradient of a perfect classifier of noised samples; see `label_gradient`.

    >>> pair = mixture([1, 1], [[-1.0], [1.0]], [[[1.0]], [[1.0]]])
    >>> classifier(pair, np.array([0.25]), [1])(np.array([[0.0]]), np.array([0]))
    array([[0.5]])
    """

    def gradient(x_t, t):
        flat = np.reshape(x_t, (len(x_t), -1))  # B D
        return np.reshape(label_gradient(mixture, flat, alpha_bar[t], label), np.shape(x_t))

    return gradient


def _components(
    mixture: Mixture, x: np.ndarray, share: float | np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each point and component: log joint density, place along its axes, variances."""
    weights, means, variances, axes = mixture
    if np.ndim(x) != 2 or np.shape(x)[1] != means.shape[1]:
        raise AxesError(
            f"mixture: x has shape {np.shape(x)}, the means have D={means.shape[1]}: expected (B D)"
        )
    if not np.isfinite(x).all():
        raise DomainError("mixture: x has an entry that is not finite")
    level = _shares("mixture", x, share)[:, None, None]  # B 1 1
    v = level * variances + (1 - level)  # B K D
    if np.any(v == 0):
        raise DomainError("mixture: no density, as a covariance is singular where the share is 1")
    apart = np.asarray(x)[:, None] - np.sqrt(level) * means  # B K D
    y = np.einsum("bkd,kde->bke", apart, axes)  # B K D
    joint = np.log(weights) - np.sum(y * y / v + np.log(2 * np.pi * v), axis=-1) / 2  # B K
    return joint, y, v


def _turn_back(mixture: Mixture, y: np.ndarray) -> np.ndarray:
    """From the axes of each component to those of x."""
    return np.einsum("bke,kde->bkd", y, mixture.axes)  # B K D


def _mix(responsibility: np.ndarray, each: np.ndarray) -> np.ndarray:
    """The mean over components."""
    return np.sum(responsibility[:, :, None] * each, axis=1)  # B D


def _log_sum_exp(joint: np.ndarray) -> np.ndarray:
    """The logarithm of a sum of exponentials over the last axis; no exponential overflows."""
    largest = joint.max(axis=-1, keepdims=True)  # B 1
    return largest[..., 0] + np.log(np.sum(np.exp(joint - largest), axis=-1))  # B


def _shares(who: str, x: np.ndarray, share: float | np.ndarray) -> np.ndarray:
    """One share for each point."""
    shares = np.asarray(share, dtype=np.float64)
    if shares.shape not in ((), (len(x),)):
        raise AxesError(f"{who}: share has shape {shares.shape}, expected () or (B)={(len(x),)}")
    if not np.all((shares >= 0) & (shares <= 1)):
        raise AxesError(f"{who}: share has {shares.min()} to {shares.max()}, expected [0, 1]")
    return np.broadcast_to(shares, len(x))  # B


def _bears(who: str, mixture: Mixture, label: np.ndarray) -> np.ndarray:
    """Which components bear the label."""
    K, indices = len(mixture.weights), np.asarray(label)
    if indices.ndim != 1 or not len(indices) or indices.dtype.kind not in "iu":
        raise AxesError(f"{who}: label is {label}, expected a list of components")
    if indices.min() < 0 or indices.max() >= K:
        raise AxesError(f"{who}: label is {label}, expected components below K={K}")
    bears = np.zeros(K, dtype=bool)
    bears[indices] = True
    return bears  # K


def _column(x: np.ndarray) -> np.ndarray:
    return x[:, None]  # B 1
