"""What is known about log_softmax and its gradient: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.common import sines
from refimpl.ops.layers import reference as text
from refimpl.ops.layers.spec.shared import SAFE, largest, rows_of_all_heights


def log_softmax_equation(f, z):
    if largest(z) < SAFE:
        yield f(z), z - np.log(np.sum(np.exp(z), axis=-1, keepdims=True))


def log_softmax_exponential(f, z):
    yield np.exp(f(z)), text.softmax(z)


def log_softmax_shift(f, z):
    yield unmasked(z, f(z + 3)), unmasked(z, f(z))


def unmasked(z, log_probs):
    """Log-probabilities, with 0 in place of those that are -inf."""
    return np.where(values(z) > -np.inf, log_probs, 0)


def log_softmax_idempotent(f, z):
    yield unmasked(z, f(f(z))), unmasked(z, f(z))


def log_softmax_log_odds(f, z):
    if np.all(np.isfinite(values(z))):
        log_probs = f(z)
        yield log_probs - log_probs[..., :1], z - z[..., :1]


def log_softmax_of_two(f, z):
    if largest(z) < SAFE:
        yield f(np.stack([z, 0 * z], axis=-1))[..., 0], -np.log1p(np.exp(-z))


def log_softmax_reversed(f, z):
    yield unmasked(z, f(z[..., ::-1])[..., ::-1]), unmasked(z, f(z))


LOG_SOFTMAX_END = """\
    top = np.where(top > -np.inf, top, 0)
    total = np.sum(np.exp(z - top), axis=-1, keepdims=True)  # ... 1
    return z - (top + np.log(np.maximum(total, 1)))
"""

LOG_SOFTMAX = Op(
    text.log_softmax,
    laws=(
        Law("equals z minus the logarithm of the sum of exponentials", log_softmax_equation),
        Law("its exponential is softmax", log_softmax_exponential),
        Law("a constant added to a row changes nothing", log_softmax_shift),
        Law("applying it twice is applying it once", log_softmax_idempotent),
        Law("differences of log-probabilities are differences of logits", log_softmax_log_odds),
        Law("for two entries it is -log(1 + exp(-difference))", log_softmax_of_two),
        Law("permuting the entries permutes the result", log_softmax_reversed),
    ),
    probes=(
        Probe("logits of 1000", lambda: {"z": np.array([[1000.0, 999.0, 0.0]])}),
        Probe("logits of -1000", lambda: {"z": np.array([[-1000.0, -999.0, -2000.0]])}),
        Probe(
            "a masked entry and a masked row",
            lambda: {"z": np.array([[0.0, -np.inf], [-np.inf, -np.inf]])},
        ),
        Probe(
            "rows of very different heights",
            lambda: {"z": rows_of_all_heights()[:, :3]},
        ),
    ),
    mistakes=(
        Edit(
            "log_softmax/log-of-softmax",
            "takes the logarithm of the computed softmax",
            "return z - (top + np.log(np.maximum(total, 1)))",
            "return np.log(np.exp(z - top) / np.maximum(total, 1))",
            effect="-inf once a weight underflows, 103 below the largest in float32",
            source="https://github.com/deeplearning4j/deeplearning4j/issues/785",
            invisible_when="all logits of a row are near each other",
        ),
        Edit(
            "log_softmax/guarded-log",
            "adds 1e-9 to the computed softmax and takes the logarithm",
            "return z - (top + np.log(np.maximum(total, 1)))",
            "return np.log(np.exp(z - top) / np.maximum(total, 1) + 1e-9)",
            effect="no log-probability falls below -20.7",
            invisible_when="all logits of a row are near each other",
        ),
        Edit(
            "log_softmax/no-max-subtraction",
            "does not subtract the largest entry before the exponential",
            LOG_SOFTMAX_END,
            "    return z - np.log(np.sum(np.exp(z), axis=-1, keepdims=True))\n",
            effect="-inf once an entry exceeds 88.7 in float32, inf where all are below -104",
            source="https://github.com/tracel-ai/burn/issues/315",
            invisible_when="all logits are moderate",
        ),
        Edit(
            "log_softmax/max-not-restored",
            "forgets to subtract the largest entry from z as well",
            "z - (top + np.log(np.maximum(total, 1)))",
            "z - np.log(np.maximum(total, 1))",
            effect="each row is off by its largest logit",
            invisible_when="the largest logit of every row is 0",
        ),
        Edit(
            "log_softmax/first-axis",
            "sums over the first axis instead of the last",
            "    top = np.max(z, axis=-1, keepdims=True)  # ... 1\n"
            "    top = np.where(top > -np.inf, top, 0)\n"
            "    total = np.sum(np.exp(z - top), axis=-1, keepdims=True)  # ... 1\n",
            "    top = np.max(z, axis=0, keepdims=True)\n"
            "    top = np.where(top > -np.inf, top, 0)\n"
            "    total = np.sum(np.exp(z - top), axis=0, keepdims=True)\n",
            effect="each sample depends on the others of the batch",
        ),
        Edit(
            "log_softmax/bits",
            "takes the logarithm to base 2 of the sum",
            "top + np.log(",
            "top + np.log2(",
            effect="the exponentials of a row no longer sum to one",
            invisible_when="one entry outweighs all others",
        ),
    ),
    dialects=(
        Edit(
            "log_softmax/masked-row-nan",
            "a row of -inf alone is NaN, as in torch, JAX and ONNX Runtime",
            "top = np.where(top > -np.inf, top, 0)",
            "top = 1 * top",
            effect="NaN in every row without a visible entry",
        ),
    ),
)


def log_softmax_vjp_equation(f, z, grad):
    K = z.shape[-1]
    jacobian = np.eye(K) - text.softmax(z)[..., None]  # ... K K
    yield f(z, grad), np.sum(jacobian * grad[..., None, :], axis=-1)


def log_softmax_vjp_rows_sum_to_zero(f, z, grad):
    visible = np.max(values(z), axis=-1) > -np.inf
    yield np.where(visible, np.sum(f(z, grad), axis=-1), 0), 0


def log_softmax_vjp_shift(f, z, grad):
    yield f(z + 3, grad), f(z, grad)


def log_softmax_vjp_expected_score(f, z, grad):
    yield f(z, text.softmax(z)), np.zeros(z.shape)


def log_softmax_vjp_equal_logits(f, z, grad):
    yield f(np.zeros(z.shape), grad), grad - np.mean(grad, axis=-1, keepdims=True)


def log_softmax_vjp_to_probabilities(f, z, grad):
    if np.all(np.isfinite(values(z))):
        yield f(z, text.softmax(z) * grad), text.softmax_vjp(z, grad)


LOG_SOFTMAX_VJP = Op(
    text.log_softmax_vjp,
    laws=(
        Law("equals the product with the Jacobian", log_softmax_vjp_equation),
        Law("rows sum to zero", log_softmax_vjp_rows_sum_to_zero),
        Law("a constant added to a row of z changes nothing", log_softmax_vjp_shift),
        Law("the probabilities themselves have gradient zero", log_softmax_vjp_expected_score),
        Law("equal logits centre grad", log_softmax_vjp_equal_logits),
        Law(
            "for grad times the probabilities it is the gradient of softmax",
            log_softmax_vjp_to_probabilities,
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
            "rows of very different heights",
            lambda: {"z": rows_of_all_heights()[:, :3], "grad": sines(4, 3)},
        ),
    ),
    mistakes=(
        Edit(
            "log_softmax_vjp/diagonal-alone",
            "keeps only the diagonal 1 - p of the Jacobian",
            "weights * np.sum(grad, axis=-1, keepdims=True)",
            "weights * grad",
            effect="a logit has no effect on the other entries",
            invisible_when="grad is zero but for one entry, at that entry",
        ),
        Edit(
            "log_softmax_vjp/of-softmax",
            "takes the gradient of softmax",
            "return grad - weights * np.sum(grad, axis=-1, keepdims=True)",
            "return softmax_vjp(z, grad)",
            effect="gradients too small by the weight",
        ),
        Edit(
            "log_softmax_vjp/mean-for-sum",
            "averages grad instead of summing it",
            "np.sum(grad,",
            "np.mean(grad,",
            effect="rows do not sum to zero",
            invisible_when="grad sums to zero",
        ),
        Edit(
            "log_softmax_vjp/weights-forgotten",
            "subtracts the sum of grad itself",
            "grad - weights * np",
            "grad - np",
            effect="far too large",
            invisible_when="grad sums to zero",
        ),
        Edit(
            "log_softmax_vjp/uniform-weights",
            "spreads the sum of grad evenly",
            "np.exp(log_softmax(z))",
            "np.ones(z.shape) / z.shape[-1]",
            effect="right before the first step of training alone",
            invisible_when="all logits are equal",
        ),
        Edit(
            "log_softmax_vjp/log-for-weight",
            "multiplies by the log-probabilities instead of the probabilities",
            "np.exp(log_softmax(z))",
            "log_softmax(z)",
            effect="rows do not sum to zero",
            invisible_when="grad sums to zero",
        ),
        Edit(
            "log_softmax_vjp/first-axis",
            "sums over the first axis instead of the last",
            "np.sum(grad, axis=-1",
            "np.sum(grad, axis=0",
            effect="each sample depends on the others of the batch",
        ),
    ),
    dialects=(
        Edit(
            "log_softmax_vjp/masked-row-nan",
            "a row of -inf alone is NaN, as in torch and JAX",
            "top = np.where(top > -np.inf, top, 0)",
            "top = 1 * top",
            where="log_softmax",
            effect="NaN in every row without a visible entry",
        ),
    ),
    outputs=("z_grad",),
)
