"""Norms of feature maps B C height width, or of rows: eight."""

import numpy as np

from refimpl.axes import Array, Float

Maps = Float[Array, "B C height width"]
EPS = 1e-5


def _standard(x, axes):
    apart = x - np.mean(x, axis=axes, keepdims=True)
    return apart / np.sqrt(np.mean(apart * apart, axis=axes, keepdims=True) + EPS)


def over_batch(x: Maps):
    return _standard(x, (0, 2, 3))


def over_instance(x: Maps):
    return _standard(x, (2, 3))


def over_groups(x: Float[Array, "B 2*C height width"]):
    split = np.reshape(x, (x.shape[0], 2, -1))
    return np.reshape(_standard(split, (2,)), x.shape)


def by_root_mean_square(x: Maps):
    return x / np.sqrt(np.mean(x * x, axis=1, keepdims=True) + EPS)


def by_frobenius(x: Maps):
    return x / np.sqrt(np.sum(x * x))


def by_mean_size(x: Float[Array, "N D"]):
    return x / np.mean(np.abs(x), axis=1, keepdims=True)


def by_length(x: Float[Array, "N D"]):
    return x / np.sqrt(np.sum(x * x, axis=1, keepdims=True))


def over_layer(x: Maps):
    return _standard(x, (1, 2, 3))
