"""Functions of each number, or of each row: fifteen."""

import numpy as np

from refimpl.axes import Array, Float

Numbers = Float[Array, "N D"]


def relu(x: Numbers):
    return np.maximum(x, 0)


def leaky_relu(x: Numbers):
    return np.where(x > 0, x, 0.01 * x)


def logistic(x: Numbers):
    return 1 / (1 + np.exp(-x))


def hyperbolic(x: Numbers):
    return np.tanh(x)


def shares(x: Numbers):
    weights = np.exp(x - np.max(x, axis=1, keepdims=True))
    return weights / np.sum(weights, axis=1, keepdims=True)


def log_shares(x: Numbers):
    apart = x - np.max(x, axis=1, keepdims=True)
    return apart - np.log(np.sum(np.exp(apart), axis=1, keepdims=True))


def swish(x: Numbers):
    return x / (1 + np.exp(-x))


def gaussian_unit(x: Numbers):
    from scipy.special import erf

    return x * (1 + erf(x / np.sqrt(2))) / 2


def scaled_exponential(x: Numbers):
    return 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x))


def hard_logistic(x: Numbers):
    return np.clip(x / 6 + 0.5, 0, 1)


def softplus(x: Numbers):
    return np.logaddexp(x, 0)


def softsign(x: Numbers):
    return x / (1 + np.abs(x))


def exponential_unit(x: Numbers):
    return np.where(x > 0, x, np.expm1(x))


def hard_tanh(x: Numbers):
    return np.clip(x, -1, 1)


def gaussian_by_tanh(x: Numbers):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
