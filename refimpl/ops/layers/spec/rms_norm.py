"""What is known about rms_norm and its gradient: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.constants import constant
from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.common import cosines, sines
from refimpl.ops.layers import reference as text
from refimpl.ops.layers.spec.shared import norm_gradient


def rms_norm_equation(f, x, gain, eps):
    D = x.shape[-1]
    length = np.sqrt(np.sum(x**2, axis=-1, keepdims=True) + D * eps)
    yield f(x, gain, eps), gain * x * np.sqrt(constant(D, x)) / length


def rms_norm_scale(f, x, gain, eps):
    yield f(2 * x, gain, 4 * eps), f(x, gain, eps)


def rms_norm_rows_apart(f, x, gain, eps):
    if x.ndim > 1:
        yield f(x[:1], gain, eps), f(x, gain, eps)[:1]


def rms_norm_of_centred(f, x, gain, eps):
    centred = x - np.mean(x, axis=-1, keepdims=True)
    yield f(centred, gain, eps), text.layer_norm(x, gain, np.zeros(x.shape[-1]), eps)


def rms_norm_mean_square(f, x, gain, eps):
    normal = f(x, np.ones(x.shape[-1]), eps)
    square = np.mean(x**2, axis=-1)
    yield np.mean(normal**2, axis=-1), square / (square + eps)


def rms_norm_direction(f, x, gain, eps):
    D = x.shape[-1]
    if x.size and np.min(np.max(np.abs(values(x)), axis=-1)) > 0:
        yield f(x, np.ones(D), 0.0), np.sqrt(constant(D, x)) * text.l2_normalize(x)


RMS_NORM = Op(
    text.rms_norm,
    laws=(
        Law("equals the form written with the length of the vector", rms_norm_equation),
        Law("doubling x and quadrupling eps changes nothing", rms_norm_scale),
        Law("each vector is normalised by itself", rms_norm_rows_apart),
        Law("on a centred vector it is layer normalisation", rms_norm_of_centred),
        Law("without gain the mean square is m/(m+eps)", rms_norm_mean_square),
        Law("without gain and eps it is √D times the unit vector", rms_norm_direction),
    ),
    probes=(
        Probe(
            "entries near 1e-3",
            lambda: {"x": 1e-3 * sines(3, 8), "gain": 1 + cosines(8), "eps": 1e-5},
        ),
        Probe(
            "a mean square far below 1e-5 with an eps smaller still",
            lambda: {"x": 1e-4 * sines(2, 6), "gain": 1 + cosines(6), "eps": 1e-12},
        ),
        Probe(
            "a vector far from mean zero",
            lambda: {"x": 5 + sines(2, 6), "gain": 1 + cosines(6), "eps": 1e-6},
        ),
        Probe(
            "sines with a trained gain",
            lambda: {"x": sines(2, 4), "gain": 1 + cosines(4), "eps": 1e-6},
        ),
    ),
    mistakes=(
        Edit(
            "rms_norm/centred",
            "subtracts the mean first, as layer normalisation does",
            "mean_square = np.mean(x * x",
            "x = x - np.mean(x, axis=-1, keepdims=True)\n    mean_square = np.mean(x * x",
            effect="the direction of the all-ones vector is lost",
            invisible_when="vectors have mean zero",
        ),
        Edit(
            "rms_norm/sum-of-squares",
            "divides by the length instead of the root of the mean square",
            "np.mean(x * x",
            "np.sum(x * x",
            effect="outputs are smaller by the root of the width",
            invisible_when="the width is one",
        ),
        Edit(
            "rms_norm/eps-outside-root",
            "adds eps to the root instead of to the mean square",
            "np.sqrt(mean_square + eps)",
            "(np.sqrt(mean_square) + eps)",
            effect="small on vectors of unit size, large where the mean square is near eps",
            source="https://github.com/allenai/OLMo/issues/281",
            invisible_when="the mean square is near one and the tolerance 1e-4",
        ),
        Edit(
            "rms_norm/not-rooted",
            "divides by the mean square itself",
            "np.sqrt(mean_square + eps)",
            "(mean_square + eps)",
            effect="outputs scale with one over the size of the input",
            invisible_when="the mean square is one",
        ),
        Edit(
            "rms_norm/divided-by-reciprocal",
            "divides by the reciprocal root instead of multiplying by it",
            "(x / np.sqrt(mean_square + eps))",
            "(x * np.sqrt(mean_square + eps))",
            effect="large vectors become larger, and training diverges",
            source="https://github.com/mosaicml/llm-foundry/issues/371",
            invisible_when="the mean square is one",
        ),
        Edit(
            "rms_norm/gain-missing",
            "forgets the gain",
            "gain * (x",
            "(x",
            effect="right at initialisation, wrong with trained weights",
            invisible_when="gain is 1",
        ),
        Edit(
            "rms_norm/fixed-eps",
            "uses 1e-5 whatever eps the checkpoint declares",
            "mean_square + eps",
            "mean_square + 1e-5",
            effect="the first digits change where the entries are small",
            source="https://github.com/PaddlePaddle/FastDeploy/pull/2790",
            invisible_when="eps is 1e-5 or the mean square far above it",
        ),
        Edit(
            "rms_norm/joint-axes",
            "takes the mean square over the whole array",
            "np.mean(x * x, axis=-1, keepdims=True)",
            "np.mean(x * x)",
            effect="every vector depends on all others",
            invisible_when="there is one vector",
        ),
    ),
    dialects=(
        Edit(
            "rms_norm/gain-plus-one",
            "multiplies by 1 + gain, for checkpoints that store the gain minus one, as Gemma's do",
            "gain * (x",
            "(1 + gain) * (x",
            effect="the same layer once the gain is stored that way",
            source="https://github.com/linkedin/Liger-Kernel/issues/74",
        ),
    ),
)


def rms_norm_vjp_equation(f, x, gain, eps, grad):
    D, rows = x.shape[-1], tuple(range(x.ndim - 1))
    square = np.sum(x**2, axis=-1, keepdims=True) + D * eps
    inner, root = gain * grad, np.sqrt(square / D)
    x_grad, gain_grad = f(x, gain, eps, grad)
    yield x_grad, (inner - x * np.sum(inner * x, axis=-1, keepdims=True) / square) / root
    yield gain_grad, np.sum(grad * x / root, axis=rows)


def rms_norm_vjp_symmetric(f, x, gain, eps, grad):
    ones, other = np.ones(x.shape[-1]), x[..., ::-1] + 1
    there, back = f(x, ones, eps, grad)[0], f(x, ones, eps, other)[0]
    yield np.sum(there * other, axis=-1), np.sum(grad * back, axis=-1)


def rms_norm_vjp_radial(f, x, gain, eps, grad):
    along = np.sum(grad * text.rms_norm(x, gain, eps), axis=-1)
    share = eps / (np.mean(x * x, axis=-1) + eps)
    yield np.sum(f(x, gain, eps, grad)[0] * x, axis=-1), along * share


def rms_norm_vjp_scale(f, x, gain, eps, grad):
    x_grad, gain_grad = f(x, gain, eps, grad)
    scaled = f(2 * x, gain, 4 * eps, grad)
    yield scaled[0], x_grad / 2
    yield scaled[1], gain_grad


def rms_norm_vjp_of_centred(f, x, gain, eps, grad):
    x_grad, gain_grad = f(x - np.mean(x, axis=-1, keepdims=True), gain, eps, grad)
    layer = text.layer_norm_vjp(x, gain, eps, grad)
    yield x_grad - np.mean(x_grad, axis=-1, keepdims=True), layer[0]
    yield gain_grad, layer[1]


RMS_NORM_VJP = Op(
    text.rms_norm_vjp,
    laws=(
        Law("equals the form written with the length of the vector", rms_norm_vjp_equation),
        Law("without gain the Jacobian is symmetric", rms_norm_vjp_symmetric),
        Law("along x the gradient vanishes but for a part due to eps", rms_norm_vjp_radial),
        Law("doubling x halves the gradient", rms_norm_vjp_scale),
        Law(
            "with x and the result centred, it is the gradient of layer normalisation",
            rms_norm_vjp_of_centred,
        ),
        LINEAR_IN_GRAD,
    ),
    probes=(
        Probe("tokens of different sizes", lambda: norm_gradient(1.0, 0.0, 1e-5)),
        Probe("entries near 1e-3", lambda: norm_gradient(1e-3, 0.0, 1e-5)),
        Probe("tokens far from zero", lambda: norm_gradient(1.0, 7.0, 1e-6)),
    ),
    mistakes=(
        Edit(
            "rms_norm_vjp/size-held-fixed",
            "treats the root of the mean square as a constant",
            "(inner - normal * along) / root",
            "inner / root",
            effect="the gradient has a part along x",
            invisible_when="grad is orthogonal to x",
        ),
        Edit(
            "rms_norm_vjp/mean-term-added",
            "subtracts the mean of grad, as for a layer norm",
            "(inner - normal * along)",
            "(inner - np.mean(inner, axis=-1, keepdims=True) - normal * along)",
            effect="the part along the all-ones vector is lost",
            invisible_when="grad times gain has mean zero",
        ),
        Edit(
            "rms_norm_vjp/gain-forgotten",
            "does not multiply grad by the gain",
            "inner = gain * grad",
            "inner = grad",
            effect="right at initialisation, wrong with trained weights",
            invisible_when="gain is 1",
        ),
        Edit(
            "rms_norm_vjp/sum-for-mean",
            "sums the products of grad and the normalised vector instead of averaging",
            "along = np.mean(",
            "along = np.sum(",
            effect="the part along x is D times too large",
            invisible_when="the width is one",
        ),
        Edit(
            "rms_norm_vjp/not-divided-by-size",
            "forgets to divide by the root of the mean square",
            "normal * along) / root",
            "normal * along)",
            effect="gradients too large for large vectors",
            invisible_when="the mean square is one",
        ),
        Edit(
            "rms_norm_vjp/x-for-normal",
            "uses x itself where the normalised x belongs",
            "(inner - normal * along)",
            "(inner - x * along)",
            effect="the part along x has the wrong size",
            invisible_when="the mean square is one",
        ),
        Edit(
            "rms_norm_vjp/gain-averaged",
            "averages the gradient of the gain over the batch",
            "np.sum(grad * normal, axis",
            "np.mean(grad * normal, axis",
            effect="the gain learns too slowly",
            invisible_when="there is one vector",
        ),
        Edit(
            "rms_norm_vjp/eps-outside-root",
            "adds eps to the root instead of to the mean square",
            "np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)",
            "(np.sqrt(np.mean(x * x, axis=-1, keepdims=True)) + eps)",
            effect="large where the mean square is near eps",
            invisible_when="the mean square is near one",
        ),
    ),
    dialects=(
        Edit(
            "rms_norm_vjp/gain-plus-one",
            "multiplies by 1 + gain, for checkpoints that store the gain minus one, as Gemma's do",
            "inner = gain * grad",
            "inner = (1 + gain) * grad",
            effect="the same layer once the gain is stored that way",
        ),
    ),
    outputs=("x_grad", "gain_grad"),
)
