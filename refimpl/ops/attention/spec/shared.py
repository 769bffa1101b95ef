"""What the specifications of attention and its masks share."""

import numpy as np

from refimpl.op import Edit, values


def spread(bias, *shape):
    """A bias with all its axes, so that a law may cut it."""
    return np.zeros(shape) if bias is None else np.broadcast_to(bias, shape)


def full_bias(query, key, bias):
    return spread(bias, *query.shape[:3], key.shape[2])  # B H N M


def visible(bias):
    """1 for a query that sees a key, else 0."""
    return np.where(np.any(values(bias) > -np.inf, axis=-1), 1, 0)


ROOT = " / np.sqrt(constant(E, query))"

SOFTMAX_END = (
    "weights = np.exp(z - top)\n"
    "    return weights / np.maximum(np.sum(weights, axis=-1, keepdims=True), 1)"
)

UNSHIFTED_END = (  # the sum may be less than one now, so that only an empty row needs a guard
    "weights = np.exp(z)\n"
    "    total = np.sum(weights, axis=-1, keepdims=True)\n"
    "    return weights / np.where(total > 0, total, 1)"
)

UNSHIFTED_HIDDEN = UNSHIFTED_END.replace("total > 0", "np.max(z, axis=-1, keepdims=True) > -np.inf")
UNSHIFTED_BARE = "weights = np.exp(z)\n    return weights / np.sum(weights, axis=-1, keepdims=True)"

SOFTMAX_TOTAL = "np.maximum(np.sum(weights, axis=-1, keepdims=True), 1)"


SCORES_GRAD = "weights * (weights_grad - average)"
SPREAD_BIAS = "np.reshape(np.broadcast_to(bias, (B, heads, N, M)), scores.shape)"


def tokens_bias(x, memory, heads, bias):
    return spread(bias, x.shape[0], heads, x.shape[1], memory.shape[1])  # B H N M


MASK = "0.0, -np.inf)"


def finite_mask(name, elsewhere, row="a query without keys gets the mean"):
    """The dialect of a mask that hides by the most negative number there is, in place of -inf."""
    effect = "two such masks add up to -inf"
    return Edit(
        f"{name}/finite",
        f"hides by the most negative float32: {elsewhere}",
        MASK,
        "0.0, float(np.finfo(np.float32).min))",
        effect=f"{effect}; {row}" if row else effect,
        source="https://github.com/huggingface/transformers/issues/18797",
    )
