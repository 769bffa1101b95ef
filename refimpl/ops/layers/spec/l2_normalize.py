"""What is known about l2_normalize and its gradient: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.constants import constant
from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.common import cosines, sines, twice_is_once
from refimpl.ops.layers import reference as text


def l2_normalize_length(f, x):
    visible = np.max(np.abs(values(x)), axis=-1) > 1e-100  # the squares of less underflow
    yield np.where(visible, np.sum(f(x) ** 2, axis=-1), 1), 1


def l2_normalize_direction(f, x):
    yield f(x) * np.sqrt(np.sum(x * x, axis=-1, keepdims=True)), x


def l2_normalize_scale(f, x):
    yield f(3 * x), f(x)


def l2_normalize_odd(f, x):
    yield f(-x), -f(x)


def l2_normalize_zero(f, x):
    yield f(np.zeros(x.shape)), np.zeros(x.shape)


def l2_normalize_repeated(f, x):
    D = x.shape[-1]
    half = f(np.concatenate([x, x], axis=-1))[..., :D]
    yield half * np.sqrt(constant(2, x)), f(x)


L2_NORMALIZE = Op(
    text.l2_normalize,
    laws=(
        Law("the length of the result is one", l2_normalize_length),
        Law("the result times the length of x is x", l2_normalize_direction),
        Law("tripling x changes nothing", l2_normalize_scale),
        Law("f(-x) = -f(x)", l2_normalize_odd),
        Law("applying it twice is applying it once", twice_is_once),
        Law("the zero vector stays zero", l2_normalize_zero),
        Law("repeating all entries divides the result by √2", l2_normalize_repeated),
    ),
    probes=(
        Probe(
            "a zero vector beside others",
            lambda: {"x": np.array([[3.0, 4.0], [0.0, 0.0], [-5.0, 12.0]])},
        ),
        Probe("a vector of length 5e-13", lambda: {"x": np.array([[3e-13, 4e-13]])}),
        Probe("vectors of length near 1e-6", lambda: {"x": 1e-6 * sines(3, 4)}),
        Probe(
            "tokens of very different lengths",
            lambda: {"x": sines(2, 3, 5) * np.array([[1.0], [10.0], [0.1]])},
        ),
    ),
    mistakes=(
        Edit(
            "l2_normalize/first-axis",
            "normalises over the first axis instead of the last",
            "np.sum(x * x, axis=-1, keepdims=True)",
            "np.sum(x * x, axis=0, keepdims=True)",
            effect="columns have length one, rows have not",
            source="https://github.com/xmed-lab/CLIP_Surgery/issues/35",
        ),
        Edit(
            "l2_normalize/whole-array",
            "divides by the length of the whole array",
            "np.sum(x * x, axis=-1, keepdims=True)",
            "np.sum(x * x)",
            effect="tiny logits; a contrastive loss stays near the logarithm of the batch",
            source="https://github.com/tensorflow/similarity/issues/237",
            invisible_when="there is one vector",
        ),
        Edit(
            "l2_normalize/not-rooted",
            "divides by the sum of squares",
            "np.sqrt(np.sum(x * x, axis=-1, keepdims=True))",
            "np.sum(x * x, axis=-1, keepdims=True)",
            effect="the length of the result is one over the length of x",
            invisible_when="x has length one",
        ),
        Edit(
            "l2_normalize/sum-of-magnitudes",
            "divides by the sum of magnitudes",
            "np.sqrt(np.sum(x * x, axis=-1, keepdims=True))",
            "np.sum(np.abs(x), axis=-1, keepdims=True)",
            effect="vectors are too short",
            invisible_when="one entry of each vector is not zero",
        ),
        Edit(
            "l2_normalize/root-mean-square",
            "divides by the root of the mean square",
            "np.sum(x * x",
            "np.mean(x * x",
            effect="vectors are too long by the root of the width",
            invisible_when="the width is one",
        ),
        Edit(
            "l2_normalize/coarse-guard",
            "adds 1e-6 to the length",
            "x / np.where(norm <= 0, 1, norm)",
            "x / (norm + 1e-6)",
            effect="short vectors become shorter",
            invisible_when="vectors are long",
        ),
    ),
    dialects=(
        Edit(
            "l2_normalize/unguarded",
            "the zero vector is NaN, as in the original CLIP",
            "np.where(norm <= 0, 1, norm)",
            "norm",
            effect="NaN spreads from one empty feature",
        ),
        Edit(
            "l2_normalize/torch-guard",
            "divides by the larger of length and 1e-12, as torch's normalize",
            "np.where(norm <= 0, 1, norm)",
            "np.maximum(norm, 1e-12)",
            effect="vectors shorter than 1e-12 stay short",
        ),
        Edit(
            "l2_normalize/added-guard",
            "divides by the length plus 1e-12, as GLIDE's CLIP",
            "np.where(norm <= 0, 1, norm)",
            "(norm + 1e-12)",
            effect="vectors near 1e-12 become shorter",
        ),
        Edit(
            "l2_normalize/squared-guard",
            "adds 1e-12 to the squared length under the root",
            "np.sum(x * x, axis=-1, keepdims=True)",
            "np.sum(x * x, axis=-1, keepdims=True) + 1e-12",
            effect="vectors near 1e-6 become shorter",
        ),
    ),
)


def l2_normalize_vjp_equation(f, x, grad):
    square = np.sum(x * x, axis=-1, keepdims=True)
    if np.all(values(square) > 0):
        across = grad * square - x * np.sum(x * grad, axis=-1, keepdims=True)
        yield f(x, grad), across / square / np.sqrt(square)


def l2_normalize_vjp_orthogonal(f, x, grad):
    if np.all(np.any(values(x) != 0, axis=-1)):
        yield np.sum(f(x, grad) * x, axis=-1), 0
        yield f(x, x), np.zeros(x.shape)


def l2_normalize_vjp_symmetric(f, x, grad):
    other = grad[..., ::-1] + 1
    yield np.sum(f(x, grad) * other, axis=-1), np.sum(f(x, other) * grad, axis=-1)


def l2_normalize_vjp_scale(f, x, grad):
    if np.all(np.any(values(x) != 0, axis=-1)):
        yield 3 * f(3 * x, grad), f(x, grad)
        yield f(-x, grad), f(x, grad)


def l2_normalize_vjp_of_unit(f, x, grad):
    if np.all(np.any(values(x) != 0, axis=-1)):
        across = f(text.l2_normalize(x), grad)
        yield across, np.sqrt(np.sum(x * x, axis=-1, keepdims=True)) * f(x, grad)


def l2_normalize_vjp_zero(f, x, grad):
    yield f(np.zeros(x.shape), grad), grad


def draw_directions(source, sizes):
    """Three vectors that are not zero: there the operation has no derivative."""
    shape = (3, sizes["D"])
    x = source.choice([0.01, 1.0, 30.0]) * source.normal(shape)
    return x + 0.01 * np.all(x == 0, axis=-1, keepdims=True)


L2_NORMALIZE_VJP = Op(
    text.l2_normalize_vjp,
    laws=(
        Law("equals the form written with the squared length", l2_normalize_vjp_equation),
        Law("is orthogonal to x, and zero for a grad along x", l2_normalize_vjp_orthogonal),
        Law("the Jacobian is symmetric", l2_normalize_vjp_symmetric),
        Law(
            "tripling x divides the gradient by three, and -x has that of x", l2_normalize_vjp_scale
        ),
        Law("at the unit vector it is larger by the length of x", l2_normalize_vjp_of_unit),
        Law("at the zero vector it is grad", l2_normalize_vjp_zero),
        LINEAR_IN_GRAD,
    ),
    probes=(
        Probe(
            "a zero vector beside others",
            lambda: {"x": np.array([[3.0, 4.0], [0.0, 0.0], [-5.0, 12.0]]), "grad": sines(3, 2)},
        ),
        Probe(
            "a vector of length 5e-13",
            lambda: {"x": np.array([[3e-13, 4e-13]]), "grad": np.array([[1.0, 2.0]])},
        ),
        Probe(
            "vectors of length near 1e-6", lambda: {"x": 1e-6 * sines(3, 4), "grad": cosines(3, 4)}
        ),
        Probe(
            "tokens of very different lengths",
            lambda: {
                "x": sines(2, 3, 5) * np.array([[1.0], [10.0], [0.1]]),
                "grad": cosines(2, 3, 5),
            },
        ),
    ),
    mistakes=(
        Edit(
            "l2_normalize_vjp/length-held-fixed",
            "treats the length as a constant",
            "(grad - unit * along) / norm",
            "grad / norm",
            effect="the gradient has a part along x",
            invisible_when="grad is orthogonal to x",
        ),
        Edit(
            "l2_normalize_vjp/not-divided",
            "does not divide by the length",
            "(grad - unit * along) / norm",
            "grad - unit * along",
            effect="gradients too large for long vectors",
            invisible_when="x has length one",
        ),
        Edit(
            "l2_normalize_vjp/x-for-unit",
            "subtracts a multiple of x itself, not of the unit vector",
            "(grad - unit * along)",
            "(grad - x * along)",
            effect="the gradient keeps a part along x",
            invisible_when="x has length one",
        ),
        Edit(
            "l2_normalize_vjp/divided-by-square",
            "divides by the squared length",
            "unit * along) / norm",
            "unit * along) / norm**2",
            effect="gradients too small for long vectors",
            invisible_when="x has length one",
        ),
        Edit(
            "l2_normalize_vjp/sign",
            "adds the part along x instead of removing it",
            "(grad - unit * along)",
            "(grad + unit * along)",
            effect="the part along x doubles",
            invisible_when="grad is orthogonal to x",
        ),
        Edit(
            "l2_normalize_vjp/mean-for-sum",
            "averages the products of unit vector and grad",
            "np.sum(unit * grad,",
            "np.mean(unit * grad,",
            effect="most of the part along x is left",
            invisible_when="the width is one",
        ),
        Edit(
            "l2_normalize_vjp/first-axis",
            "sums the products over the first axis instead of the last",
            "np.sum(unit * grad, axis=-1",
            "np.sum(unit * grad, axis=0",
            effect="vectors affect each other's gradients",
        ),
    ),
    dialects=(
        Edit(
            "l2_normalize_vjp/unguarded",
            "the zero vector is NaN, as in JAX and in the original CLIP",
            "np.where(norm <= 0, 1, norm)",
            "1 * norm",
            effect="NaN spreads from one empty feature",
        ),
        Edit(
            "l2_normalize_vjp/torch-guard",
            "below a length of 1e-12 it is 1e12 times grad, as torch's normalize",
            "norm = np.where(norm <= 0, 1, norm)  # the zero vector passes grad on\n"
            "    unit = x / norm",
            "short = norm < 1e-12\n"
            "    norm = np.where(short, 1e-12, norm)\n"
            "    unit = np.where(short, 0, x / norm)",
            effect="an empty feature gets an enormous gradient",
        ),
        Edit(
            "l2_normalize_vjp/squared-guard",
            "adds 1e-12 to the squared length under the root",
            "np.sum(x * x, axis=-1, keepdims=True)",
            "np.sum(x * x, axis=-1, keepdims=True) + 1e-12",
            effect="vectors near 1e-6 get smaller gradients",
        ),
    ),
    values={"x": draw_directions, "grad": draw_directions},
    outputs=("x_grad",),
)
