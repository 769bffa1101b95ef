"""What is known about softmax and its gradient: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.common import sines
from refimpl.ops.layers import reference as text
from refimpl.ops.layers.spec.shared import SAFE, largest, rows_of_all_heights


def softmax_equation(f, z):
    if largest(z) < SAFE:  # the quotient as it stands overflows beyond
        yield f(z), np.exp(z) / np.sum(np.exp(z), axis=-1, keepdims=True)


def softmax_rows_sum_to_one(f, z):
    visible = np.max(values(z), axis=-1) > -np.inf
    yield np.sum(f(z), axis=-1), np.where(visible, 1, 0)


def softmax_shift(f, z):
    yield f(z + 3), f(z)


def softmax_reversed(f, z):
    yield f(z[..., ::-1]), f(z)[..., ::-1]


def softmax_repeated(f, z):
    yield f(np.concatenate([z, z], axis=-1))[..., : z.shape[-1]], f(z) / 2


def softmax_of_two(f, z):
    two = np.stack([z, 0 * z], axis=-1)
    if np.all(np.isfinite(values(z))):
        yield f(two)[..., 0], text.sigmoid(z)


SOFTMAX_BODY = """\
    top = np.max(z, axis=-1, keepdims=True)  # ... 1
    top = np.where(top > -np.inf, top, 0)  # a row of -inf alone has weights 0
    weights = np.exp(z - top)
    return weights / np.maximum(np.sum(weights, axis=-1, keepdims=True), 1)
"""

SOFTMAX = Op(
    text.softmax,
    laws=(
        Law("equals the quotient of exponentials", softmax_equation),
        Law("rows sum to one", softmax_rows_sum_to_one),
        Law("a constant added to a row changes nothing", softmax_shift),
        Law("permuting the entries permutes the weights", softmax_reversed),
        Law("repeating all entries halves the weights", softmax_repeated),
        Law("for two entries it is the sigmoid of their difference", softmax_of_two),
    ),
    probes=(
        Probe(
            "three next words and their logits, at temperature 1",
            lambda: {"z": np.array([4.1, 3.9, 2.7]) / 1.0},
            printed="0.484 0.396 0.119",
            source="a lecture after Foster, Generative Deep Learning, second edition",
        ),
        Probe(
            "three next words and their logits, at temperature 1.5",
            lambda: {"z": np.array([4.1, 3.9, 2.7]) / 1.5},
            printed="0.441 0.386 0.173",
            source="a lecture after Foster, Generative Deep Learning, second edition",
        ),
        Probe("logits of 1000", lambda: {"z": np.array([[1000.0, 999.0, 0.0]])}),
        Probe("logits of -1000", lambda: {"z": np.array([[-1000.0, -999.0, -1001.0]])}),
        Probe(
            "a masked entry and a masked row",
            lambda: {"z": np.array([[0.0, -np.inf], [-np.inf, -np.inf]])},
        ),
        Probe(
            "rows of very different heights, each beside a hidden entry",
            lambda: {"z": rows_of_all_heights()},
        ),
    ),
    mistakes=(
        Edit(
            "softmax/no-max-subtraction",
            "does not subtract the largest entry before the exponential",
            SOFTMAX_BODY,
            "    weights = np.exp(z)\n"
            "    return weights / np.sum(weights, axis=-1, keepdims=True)\n",
            effect="inf / inf = NaN once an entry exceeds 88.7 in float32",
            source="https://github.com/pytorch/executorch/pull/18407",
            invisible_when="all logits are moderate",
        ),
        Edit(
            "softmax/max-not-below-zero",
            "subtracts the largest entry only where it is positive",
            SOFTMAX_BODY,
            "    weights = np.exp(z - np.maximum(np.max(z, axis=-1, keepdims=True), 0))\n"
            "    return weights / np.sum(weights, axis=-1, keepdims=True)\n",
            effect="0 / 0 = NaN in rows far below zero",
            source="https://github.com/FluxML/NNlib.jl/pull/43",
            invisible_when="some logit of each row is above -80",
        ),
        Edit(
            "softmax/first-axis",
            "normalises over the first axis instead of the last",
            "    top = np.max(z, axis=-1, keepdims=True)  # ... 1\n"
            "    top = np.where(top > -np.inf, top, 0)  # a row of -inf alone has weights 0\n"
            "    weights = np.exp(z - top)\n"
            "    return weights / np.maximum(np.sum(weights, axis=-1, keepdims=True), 1)\n",
            "    top = np.max(z, axis=0, keepdims=True)\n"
            "    top = np.where(top > -np.inf, top, 0)\n"
            "    weights = np.exp(z - top)\n"
            "    return weights / np.maximum(np.sum(weights, axis=0, keepdims=True), 1)\n",
            effect="each sample depends on the others of the batch",
            source="https://github.com/PetrochukM/PyTorch-NLP/issues/2",
        ),
        Edit(
            "softmax/guarded-sum",
            "adds 1e-6 to the sum",
            "keepdims=True), 1)",
            "keepdims=True) + 1e-6, 1)",
            effect="rows sum to less than one",
        ),
        Edit(
            "softmax/clipped-logits",
            "clips the logits to ±10 before the exponential",
            "weights = np.exp(z - top)",
            "weights = np.exp(np.clip(z, -10, 10) - np.clip(top, -10, 10))",
            effect="the order of large logits is lost, and masked entries get weight",
            invisible_when="all logits lie within ±10",
        ),
        Edit(
            "softmax/base-two",
            "raises 2 instead of e to the logits",
            "np.exp(z - top)",
            "np.exp2(z - top)",
            effect="the weights are too flat, as if the temperature were 1.44",
            invisible_when="all logits of a row are equal",
        ),
        Edit(
            "softmax/divided-by-classes",
            "divides by the number of entries as well",
            "return weights / np.maximum(",
            "return weights / z.shape[-1] / np.maximum(",
            effect="rows sum to 1/K",
            invisible_when="there is one entry",
        ),
        Edit(
            "softmax/not-normalised",
            "divides by the largest weight instead of the sum",
            "np.sum(weights",
            "np.max(weights",
            effect="the largest weight of each row is 1",
            invisible_when="one entry outweighs all others",
        ),
    ),
    dialects=(
        Edit(
            "softmax/masked-row-nan",
            "a row of -inf alone is NaN, as in torch and JAX",
            "top = np.where(top > -np.inf, top, 0)",
            "top = 1 * top",
            effect="NaN in every row without a visible entry",
        ),
        Edit(
            "softmax/masked-row-uniform",
            "masks with the lowest finite number: a row without a visible entry is uniform",
            "top = np.max(z, axis=-1, keepdims=True)",
            "z = np.where(np.max(z, axis=-1, keepdims=True) > -np.inf, z, 0)\n"
            "    top = np.max(z, axis=-1, keepdims=True)",
            effect="a row without a visible entry averages what it must not see",
        ),
    ),
)


def softmax_vjp_equation(f, z, grad):
    p = text.softmax(z)
    gains = p[..., None, :] * (grad[..., :, None] - grad[..., None, :])
    yield f(z, grad), p * np.sum(gains, axis=-1)


def softmax_vjp_rows_sum_to_zero(f, z, grad):
    yield np.sum(f(z, grad), axis=-1), 0


def softmax_vjp_shift(f, z, grad):
    yield f(z + 3, grad), f(z, grad)
    yield f(z, grad + 5), f(z, grad)


def softmax_vjp_symmetric(f, z, grad):
    other = grad[..., ::-1] + 1
    yield np.sum(f(z, grad) * other, axis=-1), np.sum(f(z, other) * grad, axis=-1)


def softmax_vjp_equal_logits(f, z, grad):
    K = z.shape[-1]
    centred = grad - np.mean(grad, axis=-1, keepdims=True)
    yield f(np.zeros(z.shape), grad), centred / K


def softmax_vjp_of_two(f, z, grad):
    if np.all(np.isfinite(values(z))):
        two = f(np.stack([z, 0 * z], axis=-1), np.stack([grad, 0 * grad], axis=-1))
        yield two[..., 0], text.sigmoid_vjp(z, grad)


def softmax_vjp_from_logs(f, z, grad):
    if np.all(np.isfinite(values(z))):
        yield f(z, grad), text.log_softmax_vjp(z, text.softmax(z) * grad)


SOFTMAX_VJP = Op(
    text.softmax_vjp,
    laws=(
        Law("equals the form written with differences of pairs", softmax_vjp_equation),
        Law("rows sum to zero", softmax_vjp_rows_sum_to_zero),
        Law("a constant added to a row of z or of grad changes nothing", softmax_vjp_shift),
        Law("the Jacobian is symmetric", softmax_vjp_symmetric),
        Law("equal logits give the centred grad over K", softmax_vjp_equal_logits),
        Law("for two entries it is the gradient of the sigmoid", softmax_vjp_of_two),
        Law(
            "for grad it is the gradient of log softmax for weights times grad",
            softmax_vjp_from_logs,
        ),
        LINEAR_IN_GRAD,
    ),
    probes=(
        Probe(
            "three logits near each other",
            lambda: {"z": np.array([[4.1, 3.9, 2.7]]), "grad": np.array([[1.0, -2.0, 4.0]])},
        ),
        Probe(
            "logits of 1000",
            lambda: {"z": np.array([[1000.0, 999.0, 0.0]]), "grad": np.array([[1.0, 2.0, 3.0]])},
        ),
        Probe(
            "a masked entry and a masked row",
            lambda: {"z": np.array([[0.0, 1.0, -np.inf], [-np.inf] * 3]), "grad": sines(2, 3)},
        ),
        Probe(
            "rows of very different heights, each beside a hidden entry",
            lambda: {"z": rows_of_all_heights(), "grad": sines(4, 4)},
        ),
    ),
    mistakes=(
        Edit(
            "softmax_vjp/diagonal-alone",
            "keeps only the diagonal p (1 - p) of the Jacobian",
            "weights * (grad - average)",
            "weights * (1 - weights) * grad",
            effect="a logit has no effect on the other weights",
            invisible_when="grad is zero but for one entry, at that entry",
        ),
        Edit(
            "softmax_vjp/average-forgotten",
            "does not subtract the average of grad",
            "weights * (grad - average)",
            "weights * grad",
            effect="rows do not sum to zero",
            invisible_when="grad times the weights sums to zero",
        ),
        Edit(
            "softmax_vjp/plain-mean",
            "subtracts the plain mean of grad in place of the weighted one",
            "np.sum(grad * weights,",
            "np.mean(grad,",
            effect="rows do not sum to zero",
            invisible_when="all weights are equal",
        ),
        Edit(
            "softmax_vjp/average-divided-by-classes",
            "averages the products of grad and weights instead of adding them",
            "np.sum(grad * weights,",
            "np.mean(grad * weights,",
            effect="the average is K times too small",
            invisible_when="there is one entry",
        ),
        Edit(
            "softmax_vjp/of-the-logarithm",
            "takes the gradient of log softmax",
            "weights * (grad - average)",
            "grad - weights * np.sum(grad, axis=-1, keepdims=True)",
            effect="gradients too large by one over the weight",
        ),
        Edit(
            "softmax_vjp/sign",
            "subtracts grad from its average",
            "(grad - average)",
            "(average - grad)",
            effect="gradient descent climbs",
        ),
        Edit(
            "softmax_vjp/first-axis",
            "averages over the first axis instead of the last",
            "np.sum(grad * weights, axis=-1",
            "np.sum(grad * weights, axis=0",
            effect="each sample depends on the others of the batch",
        ),
        Edit(
            "softmax_vjp/weights-forgotten",
            "forgets to multiply by the weights",
            "return weights * (grad",
            "return (grad",
            effect="entries without weight get a gradient",
        ),
    ),
    dialects=(
        Edit(
            "softmax_vjp/masked-row-nan",
            "a row of -inf alone is NaN, as in torch and JAX",
            "top = np.where(top > -np.inf, top, 0)",
            "top = 1 * top",
            where="softmax",
            effect="NaN in every row without a visible entry",
        ),
    ),
    outputs=("z_grad",),
)
