"""What is known about layer_norm and its gradient: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import cosines, sines
from refimpl.ops.layers import reference as text
from refimpl.ops.layers.spec.shared import norm_gradient


def layer_norm_equation(f, x, gain, bias, eps):
    if x.size * x.shape[-1] < 100_000:
        pairs = x[..., :, None] - x[..., None, :]
        centred = np.mean(pairs, axis=-1)
        variance = np.mean(pairs**2, axis=(-2, -1)) / 2
        yield f(x, gain, bias, eps), gain * centred / np.sqrt(variance + eps)[..., None] + bias


def layer_norm_shift(f, x, gain, bias, eps):
    yield f(x + 3, gain, bias, eps), f(x, gain, bias, eps)


def layer_norm_scale(f, x, gain, bias, eps):
    yield f(2 * x, gain, bias, 4 * eps), f(x, gain, bias, eps)


def layer_norm_moments(f, x, gain, bias, eps):
    D = x.shape[-1]
    normal = f(x, np.ones(D), np.zeros(D), eps)
    variance = np.mean((x - np.mean(x, axis=-1, keepdims=True)) ** 2, axis=-1)
    yield np.mean(normal, axis=-1), 0
    yield np.mean(normal * normal, axis=-1), variance / (variance + eps)


def layer_norm_affine(f, x, gain, bias, eps):
    D = x.shape[-1]
    yield f(x, gain, bias, eps), gain * f(x, np.ones(D), np.zeros(D), eps) + bias


def layer_norm_reversed(f, x, gain, bias, eps):
    turned = f(x[..., ::-1], gain[::-1], bias[::-1], eps)
    yield turned, f(x, gain, bias, eps)[..., ::-1]


def layer_norm_rows_apart(f, x, gain, bias, eps):
    if x.ndim > 1:
        yield f(x[:1], gain, bias, eps), f(x, gain, bias, eps)[:1]


LAYER_NORM_BODY = """\
    mean = np.mean(x, axis=-1, keepdims=True)  # ... 1
    centred = x - mean
    variance = np.mean(centred * centred, axis=-1, keepdims=True)  # ... 1
"""

LAYER_NORM = Op(
    text.layer_norm,
    laws=(
        Law("equals the form written with differences of pairs", layer_norm_equation),
        Law("a constant added to a vector changes nothing", layer_norm_shift),
        Law("doubling x and quadrupling eps changes nothing", layer_norm_scale),
        Law("without affine the mean is 0 and the variance v/(v+eps)", layer_norm_moments),
        Law("gain and bias act on the normalised vector", layer_norm_affine),
        Law("permuting the features permutes the result", layer_norm_reversed),
        Law("each vector is normalised by itself", layer_norm_rows_apart),
    ),
    probes=(
        Probe(
            "a vector of standard deviation near 1e-3",
            lambda: {"x": 1e-3 * sines(3, 8), "gain": np.ones(8), "bias": sines(8), "eps": 1e-5},
        ),
        Probe(
            "a variance far below 1e-5 with an eps smaller still",
            lambda: {
                "x": 1e-4 * sines(2, 6),
                "gain": 1 + cosines(6),
                "bias": cosines(6),
                "eps": 1e-12,
            },
        ),
        Probe(
            "one feature stands out",
            lambda: {
                "x": np.array([[1.0, 0.0, 0.0, 0.0]]),
                "gain": np.ones(4),
                "bias": np.zeros(4),
                "eps": 1e-6,
            },
        ),
        Probe(
            "sines with a trained affine",
            lambda: {"x": sines(2, 4), "gain": 1 + cosines(4), "bias": cosines(4), "eps": 1e-6},
        ),
        Probe(
            "tokens of very different means and scales",
            lambda: {
                "x": sines(2, 3, 5) * np.array([[1.0], [10.0], [0.1]]) + np.arange(3)[:, None],
                "gain": 1 + cosines(5),
                "bias": sines(5),
                "eps": 1e-5,
            },
        ),
        Probe(
            "a constant vector",
            lambda: {
                "x": np.full((1, 4), 7.0),
                "gain": np.ones(4),
                "bias": sines(4),
                "eps": 1e-5,
            },
        ),
        Probe(
            "tokens far from zero: the mean of squares minus the squared mean has no digits left",
            lambda: {
                "x": np.array([[16.0], [300.0]]) + sines(2, 8),
                "gain": 1 + cosines(8),
                "bias": sines(8),
                "eps": 1e-5,
            },
        ),
    ),
    mistakes=(
        Edit(
            "layer_norm/sample-variance",
            "divides the squares by D - 1 instead of D",
            "np.mean(centred * centred, axis=-1, keepdims=True)",
            "np.sum(centred * centred, axis=-1, keepdims=True) / (x.shape[-1] - 1)",
            effect="outputs are smaller by the root of (D - 1)/D: 13 % at D = 4, 0.07 % at 768",
            source="https://github.com/harvardnlp/annotated-transformer/pull/119",
            invisible_when="D is large and the tolerance loose",
        ),
        Edit(
            "layer_norm/eps-outside-root",
            "adds eps to the standard deviation instead of to the variance",
            "np.sqrt(variance + eps)",
            "(np.sqrt(variance) + eps)",
            effect="small on rows of unit variance, large where the variance is near eps",
            source="https://github.com/hkproj/pytorch-transformer/pull/31",
            invisible_when="the variance is near one and the tolerance 1e-4",
        ),
        Edit(
            "layer_norm/joint-axes",
            "normalises over all axes but the first",
            LAYER_NORM_BODY,
            LAYER_NORM_BODY.replace("axis=-1", "axis=tuple(range(min(x.ndim - 1, 1), x.ndim))"),
            effect="the tokens of a sample depend on each other",
            source="https://github.com/Qualcomm-AI-research/geometric-algebra-transformer/pull/8",
            invisible_when="a sample has one token",
        ),
        Edit(
            "layer_norm/squared-not-rooted",
            "divides by the square of the variance instead of its root",
            "np.sqrt(variance + eps)",
            "(variance + eps) ** 2",
            effect="outputs scale with the variance to the power -3/2",
            source="https://github.com/131250208/TPlinker-joint-extraction/issues/37",
            invisible_when="every row has variance one",
        ),
        Edit(
            "layer_norm/affine-missing",
            "forgets gain and bias",
            "gain * (centred / np.sqrt(variance + eps)) + bias",
            "centred / np.sqrt(variance + eps)",
            effect="right at initialisation, wrong with trained weights",
            invisible_when="gain is 1 and bias 0",
        ),
        Edit(
            "layer_norm/bias-before-gain",
            "adds the bias before multiplying by the gain",
            "gain * (centred / np.sqrt(variance + eps)) + bias",
            "gain * (centred / np.sqrt(variance + eps) + bias)",
            effect="the bias is scaled by the gain",
            invisible_when="gain is 1 or bias 0",
        ),
        Edit(
            "layer_norm/gain-plus-one",
            "multiplies by 1 + gain",
            "gain * (centred",
            "(1 + gain) * (centred",
            effect="the normalised vector is added to the right result",
            invisible_when="gain is stored minus one",
        ),
        Edit(
            "layer_norm/fixed-eps",
            "uses 1e-5 whatever eps the checkpoint declares",
            "variance + eps",
            "variance + 1e-5",
            effect="the first digits change where the variance is small",
            invisible_when="eps is 1e-5 or the variance far above it",
        ),
        Edit(
            "layer_norm/not-centred",
            "divides x itself by the standard deviation",
            "gain * (centred /",
            "gain * (x /",
            effect="the mean of the vector survives",
            invisible_when="vectors have mean zero",
        ),
    ),
    dialects=(
        Edit(
            "layer_norm/annotated-transformer",
            "the sample standard deviation plus eps, as in the Annotated Transformer",
            "np.sqrt(variance + eps)",
            "(np.sqrt(variance * x.shape[-1] / (x.shape[-1] - 1)) + eps)",
            effect="other numbers at every width; models trained with it need it",
            source="https://github.com/harvardnlp/annotated-transformer/pull/119",
        ),
    ),
    lossy=(
        Edit(
            "layer_norm/one-pass-variance",
            "computes the variance as E[x²] - E[x]²",
            "variance = np.mean(centred * centred, axis=-1, keepdims=True)",
            "variance = np.maximum(np.mean(x * x, axis=-1, keepdims=True) - mean * mean, 0)",
            effect="loses digits where the mean is large against the deviation",
        ),
    ),
)


def layer_norm_vjp_equation(f, x, gain, eps, grad):
    if x.size * x.shape[-1] < 100_000:
        normal = text.layer_norm(x, np.ones(x.shape[-1]), np.zeros(x.shape[-1]), eps)
        inner, root = gain * grad, _root(x - np.mean(x, axis=-1, keepdims=True), eps)
        pairs = inner[..., :, None] - inner[..., None, :]
        along = normal * np.mean(inner * normal, axis=-1, keepdims=True)
        yield f(x, gain, eps, grad)[0], (np.mean(pairs, axis=-1) - along) / root


def _root(x, eps):
    return np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + eps)


def layer_norm_vjp_symmetric(f, x, gain, eps, grad):
    ones, other = np.ones(x.shape[-1]), x[..., ::-1]
    there, back = f(x, ones, eps, grad)[0], f(x, ones, eps, other)[0]
    yield np.sum(there * other, axis=-1), np.sum(grad * back, axis=-1)


def layer_norm_vjp_sums(f, x, gain, eps, grad):
    yield np.sum(f(x, gain, eps, grad)[0], axis=-1), 0


def layer_norm_vjp_radial(f, x, gain, eps, grad):
    D = x.shape[-1]
    centred = x - np.mean(x, axis=-1, keepdims=True)
    variance = np.mean(centred**2, axis=-1)
    normal = text.layer_norm(x, np.ones(D), np.zeros(D), eps)
    along = np.sum(gain * grad * normal, axis=-1)
    x_grad = f(x, gain, eps, grad)[0]
    yield np.sum(x_grad * centred, axis=-1), along * (eps / (variance + eps))


def layer_norm_vjp_shift_and_scale(f, x, gain, eps, grad):
    x_grad, gain_grad, _ = f(x, gain, eps, grad)
    shifted = f(x + 3, gain, eps, grad)
    yield shifted[0], x_grad
    yield shifted[1], gain_grad
    scaled = f(2 * x, gain, 4 * eps, grad)
    yield scaled[0], x_grad / 2
    yield scaled[1], gain_grad


def layer_norm_vjp_affine(f, x, gain, eps, grad):
    D, rows = x.shape[-1], tuple(range(x.ndim - 1))
    x_grad, gain_grad, bias_grad = f(x, gain, eps, grad)
    normal = text.layer_norm(x, np.ones(D), np.zeros(D), eps)
    yield gain_grad, np.sum(normal * grad, axis=rows)
    yield bias_grad, np.sum(grad, axis=rows)
    yield f(x, np.ones(D), eps, gain * grad)[0], x_grad


LAYER_NORM_VJP = Op(
    text.layer_norm_vjp,
    laws=(
        Law("equals the form written with differences of pairs", layer_norm_vjp_equation),
        Law("without gain the Jacobian is symmetric", layer_norm_vjp_symmetric),
        Law("the gradient of each vector sums to zero", layer_norm_vjp_sums),
        Law("along x the gradient vanishes but for a part due to eps", layer_norm_vjp_radial),
        Law(
            "shifting x changes nothing, and doubling it halves the gradient",
            layer_norm_vjp_shift_and_scale,
        ),
        Law("the gradients of gain and bias are sums over the vectors", layer_norm_vjp_affine),
        LINEAR_IN_GRAD,
    ),
    probes=(
        Probe("tokens of different sizes", lambda: norm_gradient(1.0, 0.0, 1e-5)),
        Probe("a standard deviation near 1e-3", lambda: norm_gradient(1e-3, 0.0, 1e-5)),
        Probe("tokens far from zero", lambda: norm_gradient(1.0, 7.0, 1e-6)),
        Probe("tokens very far from zero", lambda: norm_gradient(1.0, 300.0, 1e-5)),
    ),
    mistakes=(
        Edit(
            "layer_norm_vjp/mean-term-forgotten",
            "forgets that the mean moves with every entry",
            "(inner - np.mean(inner, axis=-1, keepdims=True) - normal",
            "(inner - normal",
            effect="the gradient has a part along the all-ones vector",
            invisible_when="grad times gain has mean zero",
        ),
        Edit(
            "layer_norm_vjp/variance-term-forgotten",
            "forgets that the variance moves with every entry",
            " - normal * along) / root",
            ") / root",
            effect="the gradient has a part along x",
            invisible_when="grad is orthogonal to x",
        ),
        Edit(
            "layer_norm_vjp/statistics-held-fixed",
            "treats mean and variance as constants",
            "(inner - np.mean(inner, axis=-1, keepdims=True) - normal * along) / root",
            "inner / root",
            effect="training drifts; right for a batch norm at inference alone",
        ),
        Edit(
            "layer_norm_vjp/gain-forgotten",
            "does not multiply grad by the gain",
            "inner = gain * grad",
            "inner = grad",
            effect="right at initialisation, wrong with trained weights",
            invisible_when="gain is 1",
        ),
        Edit(
            "layer_norm_vjp/sum-for-mean",
            "sums the products of grad and the normalised vector instead of averaging",
            "along = np.mean(",
            "along = np.sum(",
            effect="the part along x is D times too large",
            invisible_when="the width is one",
        ),
        Edit(
            "layer_norm_vjp/not-divided-by-deviation",
            "forgets to divide by the standard deviation",
            "normal * along) / root",
            "normal * along)",
            effect="gradients too large for large vectors",
            invisible_when="the variance is one",
        ),
        Edit(
            "layer_norm_vjp/gain-from-raw-input",
            "multiplies grad by x itself, not by the normalised x, for the gradient of the gain",
            "np.sum(grad * normal, axis=batch)",
            "np.sum(grad * x, axis=batch)",
            effect="the gradient of the gain depends on each vector's mean and scale",
        ),
        Edit(
            "layer_norm_vjp/gain-not-summed",
            "keeps the first vector's gradient of the gain in place of the sum",
            "np.sum(grad * normal, axis=batch)",
            "np.reshape(grad * normal, (-1, x.shape[-1]))[0]",
            effect="the rest of the batch has no effect",
            invisible_when="there is one vector",
        ),
        Edit(
            "layer_norm_vjp/bias-averaged",
            "averages the gradient of the bias over the batch",
            "np.sum(grad, axis=batch)",
            "np.mean(grad, axis=batch)",
            effect="the bias learns too slowly",
            invisible_when="there is one vector",
        ),
        Edit(
            "layer_norm_vjp/eps-outside-root",
            "adds eps to the standard deviation instead of to the variance",
            "np.sqrt(variance + eps)",
            "(np.sqrt(variance) + eps)",
            effect="large where the variance is near eps",
            invisible_when="the variance is near one",
        ),
    ),
    lossy=(
        Edit(
            "layer_norm_vjp/one-pass-variance",
            "computes the variance as E[x²] - E[x]²",
            "variance = np.mean(centred * centred, axis=-1, keepdims=True)",
            "square = np.mean(x * x, axis=-1, keepdims=True)\n"
            "    variance = np.maximum(square - np.mean(x, axis=-1, keepdims=True) ** 2, 0)",
            effect="loses digits where the mean is large against the deviation",
        ),
    ),
    outputs=("x_grad", "gain_grad", "bias_grad"),
)
