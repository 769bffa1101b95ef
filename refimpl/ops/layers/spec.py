"""What is known about the layers: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.constants import constant, erf, pi
from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.layers import reference as text

SAFE = 80  # e to this power is still finite in float32


def largest(x):
    """The largest magnitude of an array, 0 if it is empty."""
    return np.max(np.abs(values(x)), initial=0)


def no_less(high, low):
    """The inequality high ≥ low as a pair of equal sides."""
    return np.minimum(high - low, 0), 0


def sines(*shape):
    """The sines of 1, 2, 3 ... as an array."""
    return np.sin(np.arange(1, np.prod(shape) + 1)).reshape(shape)


def cosines(*shape):
    """Half the cosines of 1, 2, 3 ... as an array."""
    return np.cos(np.arange(1, np.prod(shape) + 1)).reshape(shape) / 2


# linear


def linear_equation(f, x, weight, bias):
    products = x[..., None, :] * weight
    total = np.sum(products, axis=-1)
    yield f(x, weight, bias), total if bias is None else total + bias


def linear_additive(f, x, weight, bias):
    other = x[..., ::-1]
    together = f(x + other, weight, bias) + f(0 * x, weight, bias)
    yield together, f(x, weight, bias) + f(other, weight, bias)


def linear_identity(f, x, weight, bias):
    yield f(x, np.eye(x.shape[-1]), None), x


def linear_twice(f, x, weight, bias):
    second = weight.T[::-1]
    yield f(f(x, weight, bias), second, None), f(x, second @ weight, _image(f, second, bias))


def _image(f, second, bias):
    return None if bias is None else f(bias, second, None)


def linear_split_input(f, x, weight, bias):
    if x.shape[-1] > 1:
        first = f(x[..., :1], weight[:, :1], bias)
        yield f(x, weight, bias), first + f(x[..., 1:], weight[:, 1:], None)


def linear_reversed_outputs(f, x, weight, bias):
    turned = None if bias is None else bias[::-1]
    yield f(x, weight[::-1], turned), f(x, weight, bias)[..., ::-1]


LINEAR = Op(
    text.linear,
    laws=(
        Law("every output is the sum over inputs of weight times input", linear_equation),
        Law("images add like their inputs, each with one bias", linear_additive),
        Law("the identity matrix changes nothing", linear_identity),
        Law("two layers are one layer whose weight is the product", linear_twice),
        Law("the inputs may be split among layers whose outputs are added", linear_split_input),
        Law("reversing the rows of weight and bias reverses the outputs", linear_reversed_outputs),
    ),
    probes=(
        Probe(
            "a square weight that is not symmetric",
            lambda: {"x": sines(2, 3), "weight": cosines(3, 3), "bias": sines(3)},
        ),
        Probe(
            "outputs that are the bias alone",
            lambda: {"x": np.zeros((2, 3)), "weight": cosines(4, 3), "bias": sines(4)},
        ),
    ),
    mistakes=(
        Edit(
            "linear/not-transposed",
            "multiplies by the weight as stored, outputs first",
            "weight.T",
            "weight",
            effect="wrong features; raises unless the layer is square",
            source="https://github.com/mindspore-lab/mindone/pull/399",
            invisible_when="the weight is symmetric",
        ),
        Edit(
            "linear/reshaped",
            "reshapes the weight to inputs first instead of transposing it",
            "weight.T",
            "weight.reshape(x.shape[-1], -1)",
            effect="the right shape with the weights in the wrong places",
            invisible_when="there is one input or one output, or the weight is symmetric",
        ),
        Edit(
            "linear/bias-dropped",
            "leaves the bias out",
            "return y if bias is None else y + bias",
            "return y",
            effect="every output is off by a constant",
            invisible_when="the bias is zero, as after initialisation",
        ),
        Edit(
            "linear/bias-twice",
            "adds the bias twice, as when two shards of the weight both add it",
            "y + bias",
            "y + bias + bias",
            effect="every output is off by a constant",
            source="https://github.com/awslabs/slapo/issues/10",
            invisible_when="the bias is zero, as after initialisation",
        ),
        Edit(
            "linear/scaled-by-width",
            "divides by the root of the number of inputs, as an initialisation would",
            "x @ weight.T",
            "x @ weight.T / np.sqrt(x.shape[-1])",
            effect="outputs shrink with the width",
            invisible_when="there is one input",
        ),
        Edit(
            "linear/rectified",
            "applies a rectifier to the outputs",
            "y + bias",
            "np.maximum(y + bias, 0)",
            effect="negative outputs become zero",
            invisible_when="all outputs are positive",
        ),
    ),
)


# linear_vjp


def linear_vjp_equation(f, x, weight, grad):
    rows = tuple(range(x.ndim - 1))
    x_grad, weight_grad, bias_grad = f(x, weight, grad)
    yield x_grad, np.sum(grad[..., None] * weight, axis=-2)
    yield weight_grad, np.sum(grad[..., None] * x[..., None, :], axis=rows)
    yield bias_grad, np.sum(grad, axis=rows)


def linear_vjp_adjoint(f, x, weight, grad):
    turned, other = x[..., ::-1], weight[::-1]
    x_grad, weight_grad, _ = f(x, weight, grad)
    yield np.sum(x_grad * turned), np.sum(grad * text.linear(turned, weight, None))
    yield np.sum(weight_grad * other), np.sum(grad * text.linear(x, other, None))


def linear_vjp_bias_as_input(f, x, weight, grad):
    ones = 0 * x[..., :1] + 1
    yield f(ones, weight[:, :1], grad)[1][:, 0], f(x, weight, grad)[2]


def linear_vjp_rows_add_up(f, x, weight, grad):
    first, rest = f(x[:1], weight, grad[:1]), f(x[1:], weight, grad[1:])
    whole = f(x, weight, grad)
    for i in (1, 2):
        yield first[i] + rest[i], whole[i]


def linear_vjp_rows_apart(f, x, weight, grad):
    yield f(x[:1], weight, grad[:1])[0], f(x, weight, grad)[0][:1]


LINEAR_VJP = Op(
    text.linear_vjp,
    laws=(
        Law("every gradient is a sum of products with grad", linear_vjp_equation),
        Law("is adjoint to the layer in x and in the weight", linear_vjp_adjoint),
        Law("the bias is the weight of an input that is always one", linear_vjp_bias_as_input),
        Law("weight and bias collect what each vector gives", linear_vjp_rows_add_up),
        Law("each vector gets its own gradient", linear_vjp_rows_apart),
        LINEAR_IN_GRAD,
    ),
    probes=(
        Probe(
            "a square weight that is not symmetric",
            lambda: {"x": sines(2, 3), "weight": cosines(3, 3), "grad": cosines(2, 3)},
        ),
        Probe(
            "batches of two axes",
            lambda: {"x": sines(2, 3, 4), "weight": cosines(5, 4), "grad": cosines(2, 3, 5)},
        ),
    ),
    mistakes=(
        Edit(
            "linear_vjp/weight-as-forward",
            "multiplies by the transposed weight, as the forward pass does",
            "grad @ weight,",
            "grad @ weight.T,",
            effect="wrong gradients; raises unless the layer is square",
            invisible_when="the weight is symmetric",
        ),
        Edit(
            "linear_vjp/weight-gradient-transposed",
            "returns the gradient of the weight inputs first",
            "outputs_grad.T @ inputs",
            "inputs.T @ outputs_grad",
            effect="wrong updates; raises unless the layer is square",
            invisible_when="the gradient of the weight is symmetric",
        ),
        Edit(
            "linear_vjp/weight-averaged",
            "divides the gradient of the weight by the number of vectors",
            "outputs_grad.T @ inputs",
            "outputs_grad.T @ inputs / len(inputs)",
            effect="divided twice where the loss is a mean already",
            invisible_when="there is one vector",
        ),
        Edit(
            "linear_vjp/weight-overwritten",
            "keeps the last vector's share of the weight in place of adding all",
            "outputs_grad.T @ inputs",
            "outputs_grad[-1:].T @ inputs[-1:]",
            effect="most of the batch teaches nothing",
            invisible_when="there is one vector",
        ),
        Edit(
            "linear_vjp/bias-averaged",
            "averages the gradient of the bias over the batch",
            "np.sum(outputs_grad, axis=0)",
            "np.mean(outputs_grad, axis=0)",
            effect="the bias learns too slowly",
            invisible_when="there is one vector",
        ),
        Edit(
            "linear_vjp/bias-summed-over-one-axis",
            "sums the bias over the first axis of the batch alone",
            "np.sum(outputs_grad, axis=0)",
            "np.sum(grad, axis=0)",
            effect="the gradient keeps an axis of tokens",
            invisible_when="the batch has one axis",
        ),
        Edit(
            "linear_vjp/weight-reshaped",
            "reshapes the transposed weight instead of using it as stored",
            "grad @ weight,",
            "grad @ np.reshape(weight.T, weight.shape),",
            effect="the right shape with the weights in the wrong places",
            invisible_when="there is one input or one output",
        ),
    ),
    outputs=("x_grad", "weight_grad", "bias_grad"),
)


# layer_norm


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
            "adds the bias before multiplying the gain",
            "gain * (centred / np.sqrt(variance + eps)) + bias",
            "gain * (centred / np.sqrt(variance + eps) + bias)",
            effect="the bias is scaled by the gain",
            invisible_when="gain is 1 or bias 0",
        ),
        Edit(
            "layer_norm/gain-plus-one",
            "multiplies 1 + gain",
            "gain * (centred",
            "(1 + gain) * (centred",
            effect="the normalised vector is added once too often",
            invisible_when="gain is stored minus one",
        ),
        Edit(
            "layer_norm/fixed-eps",
            "uses 1e-5 whatever eps the checkpoint declares",
            "variance + eps",
            "variance + 1e-5",
            effect="first digits change where the variance is small",
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


# layer_norm_vjp


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


def norm_gradient(scale, shift, eps):
    """Vectors of different sizes, and a gradient that is no symmetric function of them."""
    return {
        "x": scale * sines(2, 3, 5) * np.array([[1.0], [10.0], [0.1]]) + shift,
        "gain": 1 + cosines(5),
        "eps": eps,
        "grad": cosines(2, 3, 5),
    }


LAYER_NORM_VJP = Op(
    text.layer_norm_vjp,
    laws=(
        Law("equals the form written with differences of pairs", layer_norm_vjp_equation),
        Law("without gain the Jacobian is symmetric", layer_norm_vjp_symmetric),
        Law("the gradient of each vector sums to zero", layer_norm_vjp_sums),
        Law("along x only the share of eps is left", layer_norm_vjp_radial),
        Law(
            "shifts change nothing, doubling x halves the gradient", layer_norm_vjp_shift_and_scale
        ),
        Law("gain and bias collect what arrives at the normalised vectors", layer_norm_vjp_affine),
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
            "multiplies x itself, not the normalised x, into the gradient of the gain",
            "np.sum(grad * normal, axis=batch)",
            "np.sum(grad * x, axis=batch)",
            effect="the gain learns from means and scales",
        ),
        Edit(
            "layer_norm_vjp/gain-not-summed",
            "keeps the first vector's gradient of the gain in place of the sum",
            "np.sum(grad * normal, axis=batch)",
            "np.reshape(grad * normal, (-1, x.shape[-1]))[0]",
            effect="most of the batch teaches nothing",
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


# rms_norm


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
        Law("of a centred vector it is layer normalisation", rms_norm_of_centred),
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
            "divides by the reciprocal root, which should multiply",
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
            effect="first digits change where the entries are small",
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
            "multiplies 1 + gain, for checkpoints that store the gain minus one, as Gemma's do",
            "gain * (x",
            "(1 + gain) * (x",
            effect="the same layer once the gain is stored that way",
            source="https://github.com/linkedin/Liger-Kernel/issues/74",
        ),
    ),
)


# rms_norm_vjp


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
        Law("along x only the share of eps is left", rms_norm_vjp_radial),
        Law("doubling x halves the gradient", rms_norm_vjp_scale),
        Law("centred before and after it is that of a layer norm", rms_norm_vjp_of_centred),
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
            "multiplies x itself where the normalised x belongs",
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
            "multiplies 1 + gain, for checkpoints that store the gain minus one, as Gemma's do",
            "inner = gain * grad",
            "inner = (1 + gain) * grad",
            effect="the same layer once the gain is stored that way",
        ),
    ),
    outputs=("x_grad", "gain_grad"),
)


# group_norm


def group_norm_as_layer_norm(f, x, gain, bias, groups, eps):
    B, channels, height, width = x.shape
    n = channels // groups * height * width
    flat = np.reshape(x, (B, groups, n))
    normal = np.reshape(text.layer_norm(flat, np.ones(n), np.zeros(n), eps), x.shape)
    result = gain[:, None, None] * normal + bias[:, None, None]
    yield f(x, gain, bias, groups, eps), result


def group_norm_shift(f, x, gain, bias, groups, eps):
    steps = np.repeat(np.arange(groups), x.shape[1] // groups)
    yield f(x + steps[:, None, None], gain, bias, groups, eps), f(x, gain, bias, groups, eps)


def group_norm_scale(f, x, gain, bias, groups, eps):
    yield f(2 * x, gain, bias, groups, 4 * eps), f(x, gain, bias, groups, eps)


def group_norm_first_group(f, x, gain, bias, groups, eps):
    C = x.shape[1] // groups
    alone = f(x[:, :C], gain[:C], bias[:C], 1, eps)
    yield alone, f(x, gain, bias, groups, eps)[:, :C]


def group_norm_pixels(f, x, gain, bias, groups, eps):
    turned = f(x[:, :, ::-1, ::-1], gain, bias, groups, eps)
    yield turned, f(x, gain, bias, groups, eps)[:, :, ::-1, ::-1]


def group_norm_instance(f, x, gain, bias, groups, eps):
    centred = x - np.mean(x, axis=(2, 3), keepdims=True)
    root = np.sqrt(np.mean(centred**2, axis=(2, 3), keepdims=True) + eps)
    result = gain[:, None, None] * centred / root + bias[:, None, None]
    yield f(x, gain, bias, x.shape[1], eps), result


def group_norm_samples_apart(f, x, gain, bias, groups, eps):
    yield f(x[:1], gain, bias, groups, eps), f(x, gain, bias, groups, eps)[:1]


GROUP_NORM_BODY = """\
    grouped = np.reshape(x, (B, groups, channels // groups, height, width))  # B G C height width
    mean = np.mean(grouped, axis=(2, 3, 4), keepdims=True)  # B G 1 1 1
    centred = grouped - mean
    variance = np.mean(centred * centred, axis=(2, 3, 4), keepdims=True)  # B G 1 1 1
"""
GROUP_NORM_STRIDED = """\
    order = np.arange(channels).reshape(channels // groups, groups).T.ravel()
    x = group_norm_of_neighbours(x[:, order], gain[order], bias[order], groups, eps)
    return x[:, np.argsort(order)]


def group_norm_of_neighbours(x, gain, bias, groups, eps):
    B, channels, height, width = x.shape
"""


def feature_maps(groups, C, scale, eps):
    """Feature maps whose channels differ in mean and size, with a trained affine."""
    channels = groups * C
    spread = (1 + np.arange(channels))[:, None, None]
    return {
        "x": scale * (sines(2, channels, 2, 3) * spread + spread),
        "gain": 1 + cosines(channels),
        "bias": sines(channels),
        "groups": groups,
        "eps": eps,
    }


def far_maps():
    """Feature maps of one sample around 16 and one around 300, that vary by one."""
    around = np.array([16.0, 300.0])[:, None, None, None]
    return {
        "x": around + sines(2, 6, 2, 3),
        "gain": 1 + cosines(6),
        "groups": 3,
        "eps": 1e-5,
    }


GROUP_NORM = Op(
    text.group_norm,
    laws=(
        Law("is layer normalisation of each flattened group", group_norm_as_layer_norm),
        Law("a constant added to a group changes nothing", group_norm_shift),
        Law("doubling x and quadrupling eps changes nothing", group_norm_scale),
        Law("the first group alone gives the first group", group_norm_first_group),
        Law("turning the image by half a turn turns the result", group_norm_pixels),
        Law("with one channel a group it is instance normalisation", group_norm_instance),
        Law("each sample is normalised by itself", group_norm_samples_apart),
    ),
    probes=(
        Probe("activations scaled by 1e-3", lambda: feature_maps(3, 2, 1e-3, 1e-6)),
        Probe("channels of different means and scales", lambda: feature_maps(2, 3, 1.0, 1e-5)),
        Probe("eight groups", lambda: feature_maps(8, 2, 1.0, 1e-6)),
        Probe(
            "sines in two groups of two channels",
            lambda: {
                "x": sines(1, 4, 1, 2),
                "gain": np.ones(4),
                "bias": np.zeros(4),
                "groups": 2,
                "eps": 1e-5,
            },
        ),
        Probe(
            "groups far from zero: the mean of squares minus the squared mean has no digits left",
            lambda: far_maps() | {"bias": sines(6)},
        ),
        Probe(
            "a constant group beside one that varies",
            lambda: {
                "x": np.where(np.arange(4)[:, None, None] < 2, 7.3, 1 + sines(1, 4, 2, 3)),
                "gain": 1 + cosines(4),
                "bias": sines(4),
                "groups": 2,
                "eps": 1e-6,
            },
        ),
    ),
    mistakes=(
        Edit(
            "group_norm/strided-groups",
            "forms a group of every G-th channel instead of neighbours",
            "    B, channels, height, width = x.shape\n",
            "    B, channels, height, width = x.shape\n" + GROUP_NORM_STRIDED,
            effect="the right shape with the wrong statistics",
            invisible_when="there is one group, or one channel a group",
        ),
        Edit(
            "group_norm/fewer-groups",
            "picks the largest divisor below 8 as number of groups",
            "B, channels, height, width = x.shape",
            "B, channels, height, width = x.shape\n"
            "    groups = max(n for n in range(1, min(groups, 7) + 1) if channels % n == 0)",
            effect="other statistics, the right shape",
            source="https://github.com/alan-turing-institute/icenet-mp/pull/277",
            invisible_when="there are fewer than 8 groups, or the input is constant",
        ),
        Edit(
            "group_norm/one-group",
            "normalises over all channels at once",
            "B, channels, height, width = x.shape",
            "B, channels, height, width = x.shape\n    groups = 1",
            effect="groups of different means are no longer centred",
            invisible_when="there is one group",
        ),
        Edit(
            "group_norm/instance",
            "normalises every channel by itself",
            "B, channels, height, width = x.shape",
            "B, channels, height, width = x.shape\n    groups = channels",
            effect="differences between the channels of a group are lost",
            invisible_when="there is one channel a group",
        ),
        Edit(
            "group_norm/pixels-apart",
            "takes mean and variance over the channels of a group only, at each pixel",
            GROUP_NORM_BODY,
            GROUP_NORM_BODY.replace("axis=(2, 3, 4)", "axis=2"),
            effect="the contrast between pixels is lost",
            invisible_when="the image is one pixel",
        ),
        Edit(
            "group_norm/fixed-eps",
            "uses the framework's default 1e-5 where the layer was trained with another eps",
            "variance + eps",
            "variance + 1e-5",
            effect="5.6e-4 in an assembled U-Net; more where activations are small",
            source="https://github.com/ml-explore/mlx-examples/issues/1434",
            invisible_when="the variance is far above eps",
        ),
        Edit(
            "group_norm/eps-outside-root",
            "adds eps to the standard deviation instead of to the variance",
            "np.sqrt(variance + eps)",
            "(np.sqrt(variance) + eps)",
            effect="small at unit variance, large where the variance is near eps",
            invisible_when="the variance is near one and the tolerance 1e-4",
        ),
        Edit(
            "group_norm/sample-variance",
            "divides the squares by one less than their number",
            "variance = np.mean(centred * centred, axis=(2, 3, 4), keepdims=True)",
            "n = channels // groups * height * width\n"
            "    variance = np.sum(centred * centred, axis=(2, 3, 4), keepdims=True) / (n - 1)",
            effect="outputs are a little too small",
            invisible_when="groups are large and the tolerance loose",
        ),
    ),
    lossy=(
        Edit(
            "group_norm/one-pass-variance",
            "computes the variance as E[x²] - E[x]²",
            "variance = np.mean(centred * centred, axis=(2, 3, 4), keepdims=True)",
            "squares = np.mean(grouped * grouped, axis=(2, 3, 4), keepdims=True)\n"
            "    variance = np.maximum(squares - mean * mean, 0)",
            effect="loses digits where the mean is large against the deviation",
        ),
    ),
)


# group_norm_vjp


def group_norm_vjp_as_layer_norm(f, x, gain, groups, eps, grad):
    B, channels, height, width = x.shape
    n = channels // groups * height * width
    flat, inner = np.reshape(x, (B, groups, n)), gain[:, None, None] * grad
    layer = text.layer_norm_vjp(flat, np.ones(n), eps, np.reshape(inner, (B, groups, n)))
    yield f(x, gain, groups, eps, grad)[0], np.reshape(layer[0], x.shape)


def group_norm_vjp_affine(f, x, gain, groups, eps, grad):
    ones = np.ones(x.shape[1])
    normal = text.group_norm(x, ones, 0 * ones, groups, eps)
    x_grad, gain_grad, bias_grad = f(x, gain, groups, eps, grad)
    yield gain_grad, np.sum(normal * grad, axis=(0, 2, 3))
    yield bias_grad, np.sum(grad, axis=(0, 2, 3))
    yield f(x, ones, groups, eps, gain[:, None, None] * grad)[0], x_grad


def group_norm_vjp_symmetric(f, x, gain, groups, eps, grad):
    ones, other = np.ones(x.shape[1]), x[:, ::-1]
    there, back = f(x, ones, groups, eps, grad)[0], f(x, ones, groups, eps, other)[0]
    yield np.sum(there * other, axis=(1, 2, 3)), np.sum(grad * back, axis=(1, 2, 3))


def group_norm_vjp_shift_and_scale(f, x, gain, groups, eps, grad):
    steps = np.repeat(np.arange(groups), x.shape[1] // groups)
    x_grad, gain_grad, _ = f(x, gain, groups, eps, grad)
    yield f(x + steps[:, None, None], gain, groups, eps, grad)[0], x_grad
    scaled = f(2 * x, gain, groups, 4 * eps, grad)
    yield scaled[0], x_grad / 2
    yield scaled[1], gain_grad


def group_norm_vjp_samples(f, x, gain, groups, eps, grad):
    whole = f(x, gain, groups, eps, grad)
    first = f(x[:1], gain, groups, eps, grad[:1])
    rest = f(x[1:], gain, groups, eps, grad[1:])
    yield first[0], whole[0][:1]
    for i in (1, 2):
        yield first[i] + rest[i], whole[i]


def maps_gradient(groups, C, scale, eps):
    """The gradient of a loss behind feature maps whose channels differ in mean and size."""
    maps = feature_maps(groups, C, scale, eps)
    maps.pop("bias")
    return {**maps, "grad": cosines(2, groups * C, 2, 3)}


GROUP_NORM_VJP = Op(
    text.group_norm_vjp,
    laws=(
        Law(
            "is that of a layer normalisation of each flattened group", group_norm_vjp_as_layer_norm
        ),
        Law("gain and bias collect what arrives at the normalised maps", group_norm_vjp_affine),
        Law("without gain the Jacobian is symmetric", group_norm_vjp_symmetric),
        Law(
            "shifts change nothing, doubling x halves the gradient", group_norm_vjp_shift_and_scale
        ),
        Law("samples are apart in x and add up in gain and bias", group_norm_vjp_samples),
        LINEAR_IN_GRAD,
    ),
    probes=(
        Probe("activations scaled by 1e-3", lambda: maps_gradient(3, 2, 1e-3, 1e-6)),
        Probe("channels of different means and scales", lambda: maps_gradient(2, 3, 1.0, 1e-5)),
        Probe("eight groups", lambda: maps_gradient(8, 2, 1.0, 1e-6)),
        Probe(
            "groups far from zero",
            lambda: far_maps() | {"grad": cosines(2, 6, 2, 3)},
        ),
    ),
    mistakes=(
        Edit(
            "group_norm_vjp/mean-term-forgotten",
            "forgets that the mean moves with every entry",
            "(inner - np.mean(inner, axis=-1, keepdims=True) - normal",
            "(inner - normal",
            effect="the gradient has a constant part",
            invisible_when="grad times gain has mean zero in each group",
        ),
        Edit(
            "group_norm_vjp/variance-term-forgotten",
            "forgets that the variance moves with every entry",
            " - normal * along) / root",
            ") / root",
            effect="the gradient has a part along x",
            invisible_when="grad is orthogonal to x",
        ),
        Edit(
            "group_norm_vjp/statistics-held-fixed",
            "treats mean and variance as constants",
            "(inner - np.mean(inner, axis=-1, keepdims=True) - normal * along) / root",
            "inner / root",
            effect="training drifts; right for a batch norm at inference alone",
        ),
        Edit(
            "group_norm_vjp/gain-after-the-means",
            "multiplies the gain last, as though it were one factor for the group",
            "    return np.reshape(x_grad, x.shape)",
            "    gains = gain[:, None, None]\n"
            "    x_grad = np.reshape(x_grad, x.shape) * gains / np.mean(gain)\n"
            "    return np.reshape(x_grad, x.shape)",
            effect="the parts along mean and x have the wrong weights",
            invisible_when="all gains are equal",
        ),
        Edit(
            "group_norm_vjp/gain-forgotten",
            "does not multiply grad by the gain",
            "np.reshape(gain[:, None, None] * grad, shape)",
            "np.reshape(grad, shape)",
            effect="right at initialisation, wrong with trained weights",
            invisible_when="gain is 1",
        ),
        Edit(
            "group_norm_vjp/one-group",
            "takes the means over all channels",
            "B, channels, height, width = x.shape",
            "B, channels, height, width = x.shape\n    groups = 1",
            effect="groups pull at each other",
            invisible_when="there is one group",
        ),
        Edit(
            "group_norm_vjp/gain-summed-over-pixels-alone",
            "keeps the first sample's gradient of the gain",
            "np.sum(grad * np.reshape(normal, x.shape), axis=(0, 2, 3))",
            "np.sum(grad * np.reshape(normal, x.shape), axis=(2, 3))[0]",
            effect="most of the batch teaches nothing",
            invisible_when="there is one sample",
        ),
        Edit(
            "group_norm_vjp/bias-per-group",
            "averages the gradient of the bias over the pixels",
            "np.sum(grad, axis=(0, 2, 3))",
            "np.sum(grad, axis=(0, 2, 3)) / (height * width)",
            effect="the bias learns too slowly",
            invisible_when="the image is one pixel",
        ),
        Edit(
            "group_norm_vjp/eps-outside-root",
            "adds eps to the standard deviation instead of to the variance",
            "np.sqrt(variance + eps)",
            "(np.sqrt(variance) + eps)",
            effect="large where the variance is near eps",
            invisible_when="the variance is near one",
        ),
    ),
    outputs=("x_grad", "gain_grad", "bias_grad"),
)


# softmax


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


def rows_of_all_heights():
    """Logits near 0, -200, -20000 and -60000, each row beside an entry that is hidden."""
    near = np.array([[0.0, -1.0, -2.0], [-200.0, -201.0, -203.0], [-20000.0, -20016.0, -20000.0]])
    rows = np.concatenate((near, [[-60000.0, -60032.0, -60000.0]]))
    return np.concatenate((rows, np.full((4, 1), -np.inf)), axis=1)


SOFTMAX = Op(
    text.softmax,
    laws=(
        Law("equals the quotient of exponentials", softmax_equation),
        Law("rows sum to one", softmax_rows_sum_to_one),
        Law("a constant added to a row changes nothing", softmax_shift),
        Law("permuting the entries permutes the weights", softmax_reversed),
        Law("repeating all entries halves the weights", softmax_repeated),
        Law("of two entries it is the sigmoid of their difference", softmax_of_two),
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


# softmax_vjp


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
        Law("of two entries it is that of the sigmoid", softmax_vjp_of_two),
        Law("is that of the logarithm for weights times grad", softmax_vjp_from_logs),
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
            "takes the derivative p (1 - p) of each weight by its own logit alone",
            "weights * (grad - average)",
            "weights * (1 - weights) * grad",
            effect="the logits do not feel that weights are shared",
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
            effect="training goes uphill",
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
            "returns what each weight gains over the average",
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


# log_softmax


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
        Law("of two entries it is -log(1 + exp(-difference))", log_softmax_of_two),
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


# log_softmax_vjp


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
        Law("grad times the probabilities gives that of softmax", log_softmax_vjp_to_probabilities),
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
            "takes the derivative 1 - p of each entry by its own logit alone",
            "weights * np.sum(grad, axis=-1, keepdims=True)",
            "weights * grad",
            effect="logits do not feel each other",
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
            "averages grad instead of adding it up",
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
            "multiplies the log-probabilities, which should be exponentiated first",
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


# cross_entropy


def cross_entropy_equation(f, logits, labels):
    if largest(logits) < SAFE:
        picked = logits[np.arange(len(labels)), labels]
        yield f(logits, labels), np.mean(np.log(np.sum(np.exp(logits), axis=-1)) - picked)


def cross_entropy_one_hot(f, logits, labels):
    if np.all(np.isfinite(values(logits))):
        target = np.eye(logits.shape[-1])[labels]
        total = np.sum(target * text.log_softmax(logits))
        yield f(logits, labels), -total / len(labels)


def cross_entropy_non_negative(f, logits, labels):
    yield no_less(f(logits, labels), 0)


def cross_entropy_equal_logits(f, logits, labels):
    K = logits.shape[-1]
    yield f(np.zeros(logits.shape), labels), np.log(constant(K, logits))


def cross_entropy_shift(f, logits, labels):
    steps = np.arange(len(labels))[:, None]
    yield f(logits + steps, labels), f(logits, labels)


def cross_entropy_split(f, logits, labels):
    n = len(labels)
    if n > 1 and np.all(np.isfinite(values(logits))):
        rest = f(logits[1:], labels[1:])
        yield n * f(logits, labels), f(logits[:1], labels[:1]) + (n - 1) * rest


def cross_entropy_renamed(f, logits, labels):
    yield f(logits[:, ::-1], logits.shape[-1] - 1 - labels), f(logits, labels)


CROSS_ENTROPY = Op(
    text.cross_entropy,
    laws=(
        Law("equals the mean of log-sum-exp minus the label's logit", cross_entropy_equation),
        Law("equals the product with one-hot targets", cross_entropy_one_hot),
        Law("is at least zero", cross_entropy_non_negative),
        Law("equal logits give log K", cross_entropy_equal_logits),
        Law("a constant added to a row changes nothing", cross_entropy_shift),
        Law("is the weighted mean of the losses of two parts", cross_entropy_split),
        Law("renaming the classes changes nothing", cross_entropy_renamed),
    ),
    probes=(
        Probe(
            "logits of 1000 on the wrong class",
            lambda: {"logits": np.array([[1000.0, 0.0, 1.0]]), "labels": np.array([2])},
        ),
        Probe(
            "as many samples as classes, all right",
            lambda: {"logits": 8 * np.eye(4) + sines(4, 4), "labels": np.arange(4)},
        ),
        Probe(
            "sines, three classes",
            lambda: {"logits": 4 * sines(5, 3), "labels": np.array([0, 2, 1, 1, 0])},
        ),
    ),
    mistakes=(
        Edit(
            "cross_entropy/softmax-first",
            "passes probabilities where logits are expected, so that softmax is taken twice",
            "log_softmax(logits)",
            "log_softmax(softmax(logits))",
            effect="the loss of a perfect classifier stays above zero; training is slow",
            source="https://github.com/Lightning-Universe/lightning-bolts/issues/654",
            invisible_when="there is one class",
        ),
        Edit(
            "cross_entropy/all-pairs",
            "picks every sample's label for every sample",
            "log_probs[np.arange(N), labels]",
            "log_probs[:, labels]",
            effect="N × N terms: every sample is also asked for the labels of the others",
            invisible_when="all labels are equal",
        ),
        Edit(
            "cross_entropy/sum",
            "sums over the samples instead of averaging",
            "-np.mean(",
            "-np.sum(",
            effect="N times the loss, so that the step size depends on the batch",
            invisible_when="there is one sample",
        ),
        Edit(
            "cross_entropy/divided-by-classes",
            "averages the product with one-hot targets over samples and classes",
            "labels])",
            "labels]) / logits.shape[1]",
            effect="1/K of the loss",
            invisible_when="there is one class",
        ),
        Edit(
            "cross_entropy/one-based",
            "reads the labels as one-based",
            "N), labels]",
            "N), labels - 1]",
            effect="each sample is scored against the class before its own",
            invisible_when="there is one class",
        ),
        Edit(
            "cross_entropy/sample-axis",
            "normalises over the samples instead of the classes",
            "log_softmax(logits)",
            "log_softmax(logits.T).T",
            effect="classes compete across samples",
            source="https://github.com/PetrochukM/PyTorch-NLP/issues/2",
        ),
        Edit(
            "cross_entropy/sign",
            "forgets the minus sign",
            "return -np.mean",
            "return np.mean",
            effect="training drives the right class away",
        ),
        Edit(
            "cross_entropy/clipped",
            "clips the label's probability from below at 1e-7 before the logarithm",
            "-np.mean(log_probs[np.arange(N), labels])",
            "-np.mean(np.maximum(log_probs[np.arange(N), labels], np.log(1e-7)))",
            effect="no sample costs more than 16.1, and hard ones have no gradient",
            invisible_when="no sample is far off",
        ),
    ),
)


# cross_entropy_vjp


def cross_entropy_vjp_from_logs(f, logits, labels, grad):
    picked = -np.eye(logits.shape[-1])[labels] * (grad / len(labels))
    yield f(logits, labels, grad), text.log_softmax_vjp(logits, picked)


def cross_entropy_vjp_rows_sum_to_zero(f, logits, labels, grad):
    yield np.sum(f(logits, labels, grad), axis=-1), 0


def cross_entropy_vjp_signs(f, logits, labels, grad):
    one_hot = np.eye(logits.shape[-1])[labels]
    slope = f(logits, labels, np.abs(grad))
    yield no_less(slope * (1 - 2 * one_hot), 0)


def cross_entropy_vjp_equal_logits(f, logits, labels, grad):
    N, K = logits.shape
    one_hot = np.eye(K)[labels]
    yield f(np.zeros(logits.shape), labels, grad), grad * (1 - K * one_hot) / (N * K)


def cross_entropy_vjp_shift(f, logits, labels, grad):
    steps = np.arange(len(labels))[:, None]
    yield f(logits + steps, labels, grad), f(logits, labels, grad)


def cross_entropy_vjp_split(f, logits, labels, grad):
    n = len(labels)
    if n > 1:
        rest = f(logits[1:], labels[1:], grad)
        yield n * f(logits, labels, grad)[1:], (n - 1) * rest


def draw_loss_gradient(source, sizes):
    return source.choice([np.array(1.0), source.normal(())])


CROSS_ENTROPY_VJP = Op(
    text.cross_entropy_vjp,
    laws=(
        Law("is that of log softmax at the labels", cross_entropy_vjp_from_logs),
        Law("rows sum to zero", cross_entropy_vjp_rows_sum_to_zero),
        Law("pulls the label's logit up and all others down", cross_entropy_vjp_signs),
        Law(
            "equal logits give 1/K minus the one-hot label, over N", cross_entropy_vjp_equal_logits
        ),
        Law("a constant added to a row changes nothing", cross_entropy_vjp_shift),
        Law("each sample counts one Nth", cross_entropy_vjp_split),
        LINEAR_IN_GRAD,
    ),
    probes=(
        Probe(
            "logits of 1000 on the wrong class",
            lambda: {
                "logits": np.array([[1000.0, 0.0, 1.0]]),
                "labels": np.array([2]),
                "grad": np.array(1.0),
            },
        ),
        Probe(
            "sines, three classes",
            lambda: {
                "logits": 4 * sines(5, 3),
                "labels": np.array([0, 2, 1, 1, 0]),
                "grad": np.array(1.0),
            },
        ),
        Probe(
            "a loss that counts twice and a half",
            lambda: {
                "logits": sines(4, 5),
                "labels": np.array([4, 0, 1, 1]),
                "grad": np.array(2.5),
            },
        ),
    ),
    mistakes=(
        Edit(
            "cross_entropy_vjp/not-averaged",
            "forgets that the loss is a mean over the samples",
            "grad / N *",
            "grad *",
            effect="N times the gradient, so that the step size depends on the batch",
            invisible_when="there is one sample",
        ),
        Edit(
            "cross_entropy_vjp/divided-by-classes",
            "divides by samples and classes",
            "grad / N *",
            "grad / (N * K) *",
            effect="1/K of the gradient",
            invisible_when="there is one class",
        ),
        Edit(
            "cross_entropy_vjp/sign",
            "subtracts the probabilities from the labels",
            "(probs - np.eye(K)[labels])",
            "(np.eye(K)[labels] - probs)",
            effect="training drives the right class away",
        ),
        Edit(
            "cross_entropy_vjp/grad-ignored",
            "returns the gradient of the loss itself, whatever arrives",
            "grad / N *",
            "1 / N *",
            effect="loss weights have no effect",
            invisible_when="grad is 1",
        ),
        Edit(
            "cross_entropy_vjp/activation-derivative",
            "multiplies the derivative p (1 - p), as for a squared error behind a logistic output",
            "- np.eye(K)[labels])",
            "- np.eye(K)[labels]) * probs * (1 - probs)",
            effect="hard samples have almost no gradient",
        ),
        Edit(
            "cross_entropy_vjp/label-forgotten",
            "returns the probabilities without subtracting the labels",
            "(probs - np.eye(K)[labels])",
            "probs",
            effect="the labels have no effect",
        ),
        Edit(
            "cross_entropy_vjp/one-based",
            "reads the labels as one-based",
            "np.eye(K)[labels]",
            "np.eye(K)[labels - 1]",
            effect="each sample is pulled to the class before its own",
            invisible_when="there is one class",
        ),
        Edit(
            "cross_entropy_vjp/softmax-twice",
            "takes softmax of the probabilities once more",
            "np.exp(log_softmax(logits))",
            "softmax(np.exp(log_softmax(logits)))",
            effect="a perfect classifier still has a gradient",
            invisible_when="there is one class",
        ),
    ),
    outputs=("logits_grad",),
    values={"grad": draw_loss_gradient},
)


# sigmoid


def sigmoid_equation(f, z):
    if largest(z) < SAFE:
        yield f(z), 1 / (1 + np.exp(-z))


def sigmoid_complement(f, z):
    yield f(z) + f(-z), 1


def sigmoid_tanh(f, z):
    yield 2 * f(z) - 1, np.tanh(z / 2)


def sigmoid_odds(f, z):
    if largest(z) < SAFE:
        yield f(z), np.exp(z) * f(-z)


def sigmoid_double(f, z):
    yes, no = f(z) ** 2, f(-z) ** 2
    yield f(2 * z), yes / (yes + no)


def sigmoid_increasing(f, z):
    yield no_less(f(z + 1), f(z))


def sigmoid_range(f, z):
    yield no_less(f(z), 0)
    yield no_less(1, f(z))


def activations():
    """Numbers where the known activations differ, both tails included."""
    return np.array(
        [-1000.0, -30, -10, -6, -3, -2.7, -2.27, -1, -0.75, -0.1, 0, 0.5, 1, 2.7, 4, 20]
    )


SIGMOID = Op(
    text.sigmoid,
    laws=(
        Law("equals 1/(1 + exp(-z))", sigmoid_equation),
        Law("z and -z share one", sigmoid_complement),
        Law("is a shifted hyperbolic tangent of half of z", sigmoid_tanh),
        Law("exp(z) is the odds", sigmoid_odds),
        Law("doubling z squares the odds", sigmoid_double),
        Law("increases", sigmoid_increasing),
        Law("lies between 0 and 1", sigmoid_range),
    ),
    probes=(
        Probe("both tails", lambda: {"z": np.array([-1000.0, -100, -20, -6, 0, 3, 12, 1000])}),
    ),
    mistakes=(
        Edit(
            "sigmoid/overflowing-quotient",
            "computes exp(z)/(1 + exp(z)) for large z, too",
            "np.exp(np.minimum(z, 0)) / (1 + np.exp(-np.abs(z)))",
            "np.exp(z) / (1 + np.exp(z))",
            effect="inf / inf = NaN once z exceeds 88.7 in float32",
            source="https://github.com/NervanaSystems/ngraph/pull/3118",
            invisible_when="z is moderate",
        ),
        Edit(
            "sigmoid/hard",
            "uses the piecewise linear stand-in (z + 3)/6",
            "np.exp(np.minimum(z, 0)) / (1 + np.exp(-np.abs(z)))",
            "np.clip((z + 3) / 6, 0, 1)",
            effect="off by up to 0.07",
            invisible_when="z is 0 or far from it",
        ),
        Edit(
            "sigmoid/sign",
            "takes the sign of z the other way",
            "np.minimum(z, 0)",
            "np.minimum(-z, 0)",
            effect="probabilities of the opposite event",
            invisible_when="z is 0",
        ),
        Edit(
            "sigmoid/tanh-unhalved",
            "forgets to halve z in the form with the hyperbolic tangent",
            "np.exp(np.minimum(z, 0)) / (1 + np.exp(-np.abs(z)))",
            "(1 + np.tanh(z)) / 2",
            effect="twice too steep",
            invisible_when="z is 0 or far from it",
        ),
        Edit(
            "sigmoid/clipped-logits",
            "clips z to ±10",
            "np.exp(np.minimum(z, 0)) / (1 + np.exp(-np.abs(z)))",
            "1 / (1 + np.exp(-np.clip(z, -10, 10)))",
            effect="no probability is below 4.5e-5",
            source="https://github.com/harvard-edge/cs249r_book/pull/1140",
            invisible_when="z lies within ±10",
        ),
        Edit(
            "sigmoid/softsign",
            "squashes with z / (1 + |z|) in place of the exponential",
            "np.exp(np.minimum(z, 0)) / (1 + np.exp(-np.abs(z)))",
            "(1 + z / (1 + np.abs(z))) / 2",
            effect="tails fall off as 1 / z",
        ),
    ),
)


# sigmoid_vjp


def sigmoid_vjp_equation(f, z, grad):
    yield f(z, grad), grad * text.sigmoid(z) * text.sigmoid(-z)


def sigmoid_vjp_even(f, z, grad):
    yield f(-z, grad), f(z, grad)


def sigmoid_vjp_tanh(f, z, grad):
    yield f(z, grad), grad / 4 * (1 - np.tanh(z / 2) ** 2)


def sigmoid_vjp_at_most_a_quarter(f, z, grad):
    yield no_less(np.abs(grad) / 4, np.abs(f(z, grad)))
    yield f(0 * z, grad), grad / 4


SIGMOID_VJP = Op(
    text.sigmoid_vjp,
    laws=(
        Law("is grad times the probabilities of both events", sigmoid_vjp_equation),
        Law("is the same for z and -z", sigmoid_vjp_even),
        Law("is a quarter of that of the hyperbolic tangent at half of z", sigmoid_vjp_tanh),
        Law("is at most a quarter of grad, which it is at 0", sigmoid_vjp_at_most_a_quarter),
        LINEAR_IN_GRAD,
    ),
    probes=(Probe("both tails", lambda: {"z": activations(), "grad": 1 + sines(16)}),),
    mistakes=(
        Edit(
            "sigmoid_vjp/of-a-probability",
            "takes z for the probability that it should be squashed to",
            "probs = sigmoid(z)",
            "probs = z",
            effect="negative or growing with z",
            invisible_when="the forward result is passed in, as libraries do",
        ),
        Edit(
            "sigmoid_vjp/squashed-twice",
            "squashes z twice",
            "probs = sigmoid(z)",
            "probs = sigmoid(sigmoid(z))",
            effect="nearly constant",
        ),
        Edit(
            "sigmoid_vjp/complement-forgotten",
            "forgets the factor 1 - p",
            "(probs * (1 - probs))",
            "probs",
            effect="large z keep their gradient",
            invisible_when="z is far below zero",
        ),
        Edit(
            "sigmoid_vjp/of-tanh",
            "takes the derivative 1 - p² of the hyperbolic tangent",
            "(probs * (1 - probs))",
            "(1 - probs * probs)",
            effect="three quarters at 0",
        ),
        Edit(
            "sigmoid_vjp/of-log",
            "takes the derivative 1 - p of the logarithm",
            "(probs * (1 - probs))",
            "(1 - probs)",
            effect="very negative z keep their gradient",
            invisible_when="z is far above zero",
        ),
        Edit(
            "sigmoid_vjp/at-most-one",
            "scales the derivative to one at 0",
            "(probs * (1 - probs))",
            "(4 * probs * (1 - probs))",
            effect="four times the gradient",
        ),
    ),
    outputs=("z_grad",),
)


# the activations x times a gate


def gate_symmetry(f, x):
    yield f(x) - f(-x), x


def gate_below_rectifier(f, x):
    yield no_less(np.maximum(x, 0), f(x))


def gate_of_zero(f, x):
    yield f(0 * x), 0


def gate_saturates(f, x):
    far = np.abs(x) + 1000
    yield f(far), far
    yield f(-far), 0


# their gradients


def gate_gradients_add_up(f, x, grad):
    yield f(x, grad) + f(-x, grad), grad


def gate_gradient_at_zero(f, x, grad):
    yield f(0 * x, grad), grad / 2


def gate_gradient_saturates(f, x, grad):
    far = np.abs(x) + 1000
    yield f(far, grad), grad
    yield f(-far, grad), 0 * grad


GATE_GRADIENT_LAWS = (
    Law("at x and -x they add up to grad", gate_gradients_add_up),
    Law("is half of grad at 0", gate_gradient_at_zero),
    Law("is grad far above zero and nothing far below", gate_gradient_saturates),
    LINEAR_IN_GRAD,
)


# gelu


def gelu_equation(f, x):
    tail = (1 - erf(x * np.sqrt(1 / constant(2, x)))) / 2
    yield f(x), x * (1 - tail)


def gelu_series(f, x):
    near = np.where(np.abs(values(x)) < 1, x, 0)
    term, total = near, near
    for n in range(1, 16):
        term = term * (near * near) / (-2 * n)
        total = total + term / (2 * n + 1)
    yield f(near), near / 2 + near * total / np.sqrt(2 * pi(near))


def gelu_bounded(f, x):
    yield no_less(f(x), np.minimum(x, 0) / 2)
    yield no_less(f(x), -0.16997120747990369)


GELU = Op(
    text.gelu,
    laws=(
        Law("equals x minus x times the tail probability above x", gelu_equation),
        Law("equals its power series for small x", gelu_series),
        Law("f(x) - f(-x) = x", gate_symmetry),
        Law("lies below the rectifier", gate_below_rectifier),
        Law("lies above x/2 and above its minimum -0.16997", gelu_bounded),
        Law("is the identity far above zero and zero far below", gate_saturates),
    ),
    probes=(
        Probe("where the known activations differ", lambda: {"x": activations()}),
        Probe("around the largest distance from the tanh form", lambda: {"x": np.array([2.699])}),
    ),
    mistakes=(
        Edit(
            "gelu/tanh-form",
            "uses the approximation by a hyperbolic tangent",
            "return x / 2 * (1 + erf(x / np.sqrt(constant(2, x))))",
            "return gelu_tanh(x)",
            effect="off by up to 4.7e-4 near ±2.7; more than 1e-2 after a whole ViT-B/32",
            source="https://github.com/tinygrad/tinygrad/pull/16162",
            invisible_when="the tolerance is 1e-3 on one layer",
        ),
        Edit(
            "gelu/quick",
            "uses x σ(1.702 x)",
            "return x / 2 * (1 + erf(x / np.sqrt(constant(2, x))))",
            "return quick_gelu(x)",
            effect="off by up to 0.020 at ±2.27; published benchmark numbers changed",
            source="https://github.com/mlfoundations/open_clip/issues/771",
            invisible_when="x is 0; rankings hardly change",
        ),
        Edit(
            "gelu/silu",
            "uses x σ(x)",
            "return x / 2 * (1 + erf(x / np.sqrt(constant(2, x))))",
            "return silu(x)",
            effect="off by up to 0.2",
            invisible_when="x is 0",
        ),
        Edit(
            "gelu/no-root-two",
            "leaves out the division by the root of 2",
            "erf(x / np.sqrt(constant(2, x)))",
            "erf(x)",
            effect="too steep around zero",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "gelu/no-half",
            "forgets to halve",
            "x / 2 *",
            "x *",
            effect="twice the activation",
            invisible_when="x is 0 or far below it",
        ),
        Edit(
            "gelu/gate-alone",
            "returns the probability without the factor x",
            "x / 2 * (1 + erf",
            "1 / 2 * (1 + erf",
            effect="activations between 0 and 1",
            invisible_when="x is 1 or far below zero",
        ),
    ),
)


# gelu_vjp


def gelu_vjp_from_gelu(f, x, grad):
    bell = np.exp(-(x**2) / 2) / np.sqrt(2 * pi(x))
    yield x * f(x, grad), grad * (text.gelu(x) + x * x * bell)


def gelu_vjp_near_tanh(f, x, grad):
    yield no_less(2e-3 * np.abs(grad), np.abs(f(x, grad) - text.gelu_tanh_vjp(x, grad)))


GELU_VJP = Op(
    text.gelu_vjp,
    laws=(
        Law("times x it is gelu plus x² times the density", gelu_vjp_from_gelu),
        Law("is within 2e-3 of that of the tanh form", gelu_vjp_near_tanh),
        *GATE_GRADIENT_LAWS,
    ),
    probes=(
        Probe(
            "where the known activations differ",
            lambda: {"x": activations(), "grad": 1 + sines(16)},
        ),
    ),
    mistakes=(
        Edit(
            "gelu_vjp/density-forgotten",
            "returns the probability alone, as though it did not depend on x",
            "(probability + x * density)",
            "probability",
            effect="off by up to 0.24 at ±1",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "gelu_vjp/x-forgotten",
            "adds the density without the factor x",
            "probability + x * density",
            "probability + density",
            effect="off by 0.4 at 0",
            invisible_when="x is 1 or far from it",
        ),
        Edit(
            "gelu_vjp/density-not-normalised",
            "leaves out the division by the root of 2π",
            " / np.sqrt(2 * pi(x))",
            "",
            effect="the second term is 2.5 times too large",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "gelu_vjp/exponent-not-halved",
            "forgets to halve the square in the exponent",
            "np.exp(-(x * x) / 2)",
            "np.exp(-(x * x))",
            effect="the bell is too narrow",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "gelu_vjp/of-the-tanh-form",
            "takes the gradient of the approximation by a hyperbolic tangent",
            "grad * (probability + x * density)",
            "gelu_tanh_vjp(x, grad)",
            effect="off by up to 1e-3",
            invisible_when="the tolerance is 1e-2",
        ),
        Edit(
            "gelu_vjp/of-quick-gelu",
            "takes the gradient of x σ(1.702 x)",
            "grad * (probability + x * density)",
            "quick_gelu_vjp(x, grad)",
            effect="off by up to 0.03",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "gelu_vjp/grad-ignored",
            "returns the derivative without grad",
            "return grad * (",
            "return 1 * (",
            effect="layers above have no effect",
            invisible_when="grad is 1",
        ),
    ),
    outputs=("x_grad",),
)


# gelu_tanh


def _inner(x):
    """The argument of the hyperbolic tangent, factored."""
    return np.sqrt(2 / pi(x)) * x * (1 + 0.044715 * (x * x))


def gelu_tanh_equation(f, x):
    if largest(x) < 8:
        yield f(x), x / (1 + np.exp(-2 * _inner(x)))


def gelu_tanh_even_part(f, x):
    yield f(x) + f(-x), x * np.tanh(_inner(x))


def gelu_tanh_near_gelu(f, x):
    yield no_less(4.74e-4, np.abs(f(x) - text.gelu(x)))


GELU_TANH = Op(
    text.gelu_tanh,
    laws=(
        Law("equals x times the sigmoid of twice the tangent's argument", gelu_tanh_equation),
        Law("f(x) + f(-x) is x times the hyperbolic tangent", gelu_tanh_even_part),
        Law("f(x) - f(-x) = x", gate_symmetry),
        Law("is within 4.74e-4 of gelu", gelu_tanh_near_gelu),
        Law("lies below the rectifier", gate_below_rectifier),
        Law("is the identity far above zero and zero far below", gate_saturates),
    ),
    probes=(
        Probe("where the known activations differ", lambda: {"x": activations()}),
        Probe("around the largest distance from gelu", lambda: {"x": np.array([2.699])}),
    ),
    mistakes=(
        Edit(
            "gelu_tanh/erf-form",
            "uses the exact form with the error function",
            "return x / 2 * (1 + np.tanh(np.sqrt(2 / pi(x)) * (x + 0.044715 * x**3)))",
            "return gelu(x)",
            effect="off by up to 4.7e-4 near ±2.7; more than 1e-2 after a whole ViT-B/32",
            source="https://github.com/tinygrad/tinygrad/pull/16162",
            invisible_when="the tolerance is 1e-3 on one layer",
        ),
        Edit(
            "gelu_tanh/quick",
            "uses x σ(1.702 x)",
            "return x / 2 * (1 + np.tanh(np.sqrt(2 / pi(x)) * (x + 0.044715 * x**3)))",
            "return quick_gelu(x)",
            effect="off by up to 0.021",
            source="https://github.com/mlfoundations/open_clip/issues/771",
            invisible_when="x is 0; rankings hardly change",
        ),
        Edit(
            "gelu_tanh/no-root",
            "multiplies by 2/π instead of its root",
            "np.sqrt(2 / pi(x))",
            "2 / pi(x)",
            effect="too flat around zero",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "gelu_tanh/no-cubic-term",
            "leaves the cubic term out",
            "(x + 0.044715 * x**3)",
            "x",
            effect="off by up to 0.034",
            invisible_when="x is near 0",
        ),
        Edit(
            "gelu_tanh/short-constant",
            "writes 0.0447 for 0.044715",
            "0.044715 * x**3",
            "0.0447 * x**3",
            effect="off by up to 9e-6",
            invisible_when="the tolerance is 1e-4",
        ),
        Edit(
            "gelu_tanh/brace-misplaced",
            "multiplies the linear term alone by the root of 2/π",
            "np.sqrt(2 / pi(x)) * (x + 0.044715 * x**3)",
            "np.sqrt(2 / pi(x)) * x + 0.044715 * x**3",
            effect="the cubic term is a quarter too large",
            invisible_when="x is near 0",
        ),
        Edit(
            "gelu_tanh/square",
            "squares x where it should be cubed",
            "0.044715 * x**3",
            "0.044715 * x**2",
            effect="the symmetry of positive and negative x is lost",
            invisible_when="x is 0 or 1",
        ),
    ),
)


# gelu_tanh_vjp


def gelu_tanh_vjp_equation(f, x, grad):
    if largest(x) < 8:
        k = np.sqrt(8 / pi(x))
        gate = text.sigmoid(k * (x + 0.044715 * x**3))
        steep = k * (x + 0.134145 * x**3)
        yield f(x, grad), grad * gate * (1 + steep * (1 - gate))


def gelu_tanh_vjp_near_gelu(f, x, grad):
    yield no_less(2e-3 * np.abs(grad), np.abs(f(x, grad) - text.gelu_vjp(x, grad)))


GELU_TANH_VJP = Op(
    text.gelu_tanh_vjp,
    laws=(
        Law("equals the form written with a logistic function", gelu_tanh_vjp_equation),
        Law("is within 2e-3 of that of gelu", gelu_tanh_vjp_near_gelu),
        *GATE_GRADIENT_LAWS,
    ),
    probes=(
        Probe(
            "where the known activations differ",
            lambda: {"x": activations(), "grad": 1 + sines(16)},
        ),
    ),
    mistakes=(
        Edit(
            "gelu_tanh_vjp/tanh-factor-dropped",
            "drops the derivative 1 - h² of the hyperbolic tangent",
            "x * (1 - h * h) * inner",
            "x * inner",
            effect="gradients grow with the cube of x",
            invisible_when="x is 0",
        ),
        Edit(
            "gelu_tanh_vjp/inner-derivative-dropped",
            "drops the derivative of the tangent's argument",
            "(1 - h * h) * inner",
            "(1 - h * h)",
            effect="off by up to 0.1",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "gelu_tanh_vjp/product-rule-forgotten",
            "differentiates the first factor alone",
            "(1 + h + x * (1 - h * h) * inner)",
            "(1 + h)",
            effect="off by up to 0.24 at ±1",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "gelu_tanh_vjp/cubic-term-not-tripled",
            "forgets the factor 3 of the derivative of the cube",
            "3 * (0.044715",
            "(0.044715",
            effect="off by up to 0.04",
            invisible_when="x is near 0",
        ),
        Edit(
            "gelu_tanh_vjp/tangent-not-squared",
            "writes 1 - h for 1 - h²",
            "(1 - h * h)",
            "(1 - h)",
            effect="wrong for both signs of x",
            invisible_when="x is 0 or far above it",
        ),
        Edit(
            "gelu_tanh_vjp/of-the-erf-form",
            "takes the gradient of the exact form",
            "grad / 2 * (1 + h + x * (1 - h * h) * inner)",
            "gelu_vjp(x, grad)",
            effect="off by up to 1e-3",
            invisible_when="the tolerance is 1e-2",
        ),
        Edit(
            "gelu_tanh_vjp/not-halved",
            "forgets to halve",
            "grad / 2 *",
            "grad *",
            effect="twice the gradient",
            invisible_when="x is far below 0",
        ),
    ),
    outputs=("x_grad",),
)


# quick_gelu


def quick_gelu_equation(f, x):
    if largest(x) < SAFE / 2:
        yield f(x), x / (1 + np.exp(-1.702 * x))


def quick_gelu_tanh(f, x):
    yield f(x), x / 2 * (1 + np.tanh(0.851 * x))


def quick_gelu_from_silu(f, x):
    yield 1.702 * f(x), text.silu(1.702 * x)


def quick_gelu_near_gelu(f, x):
    yield no_less(0.020336, np.abs(f(x) - text.gelu(x)))


QUICK_GELU = Op(
    text.quick_gelu,
    laws=(
        Law("equals x/(1 + exp(-1.702 x))", quick_gelu_equation),
        Law("equals half of x times 1 + tanh(0.851 x)", quick_gelu_tanh),
        Law("is silu in other units", quick_gelu_from_silu),
        Law("f(x) - f(-x) = x", gate_symmetry),
        Law("is within 0.0204 of gelu", quick_gelu_near_gelu),
        Law("lies below the rectifier", gate_below_rectifier),
        Law("is the identity far above zero and zero far below", gate_saturates),
    ),
    probes=(Probe("where the known activations differ", lambda: {"x": activations()}),),
    mistakes=(
        Edit(
            "quick_gelu/factor-one",
            "leaves the factor 1.702 at the default 1 of swish",
            "1.702 * x",
            "x",
            effect="off by up to 0.175 at -1.86",
            source="https://github.com/robertknight/rten/pull/1421",
            invisible_when="x is 0",
        ),
        Edit(
            "quick_gelu/erf-form",
            "uses the exact GELU with weights trained for the quick one",
            "return x * sigmoid(1.702 * x)",
            "return gelu(x)",
            effect="off by up to 0.020 at ±2.27; published benchmark numbers changed",
            source="https://github.com/mlfoundations/open_clip/issues/771",
            invisible_when="x is 0; rankings hardly change",
        ),
        Edit(
            "quick_gelu/tanh-form",
            "uses the approximation by a hyperbolic tangent",
            "return x * sigmoid(1.702 * x)",
            "return gelu_tanh(x)",
            effect="off by up to 0.021",
            invisible_when="x is 0; rankings hardly change",
        ),
        Edit(
            "quick_gelu/other-factor",
            "uses 1.5958, the factor that matches the slope at zero",
            "sigmoid(1.702 * x)",
            "sigmoid(1.5958 * x)",
            effect="off by up to 0.017",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "quick_gelu/scaled-outside",
            "multiplies the factor into both places",
            "return x * sigmoid",
            "return 1.702 * x * sigmoid",
            effect="1.702 times the activation",
            invisible_when="x is 0",
        ),
        Edit(
            "quick_gelu/gate-alone",
            "returns the gate without the factor x",
            "x * sigmoid(1.702",
            "sigmoid(1.702",
            effect="activations between 0 and 1",
            invisible_when="x is far below zero",
        ),
    ),
)


# quick_gelu_vjp


def quick_gelu_vjp_equation(f, x, grad):
    gate = text.sigmoid(1.702 * x)
    yield f(x, grad), grad * gate * (1 + 1.702 * x * text.sigmoid(-1.702 * x))


def quick_gelu_vjp_from_silu(f, x, grad):
    yield f(x, grad), text.silu_vjp(1.702 * x, grad)


QUICK_GELU_VJP = Op(
    text.quick_gelu_vjp,
    laws=(
        Law("equals the form written with both gates", quick_gelu_vjp_equation),
        Law("is that of silu in other units", quick_gelu_vjp_from_silu),
        *GATE_GRADIENT_LAWS,
    ),
    probes=(
        Probe(
            "where the known activations differ",
            lambda: {"x": activations(), "grad": 1 + sines(16)},
        ),
    ),
    mistakes=(
        Edit(
            "quick_gelu_vjp/chain-factor-dropped",
            "drops the factor 1.702 of the gate's derivative",
            "gate + 1.702 * x *",
            "gate + x *",
            effect="off by up to 0.1",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "quick_gelu_vjp/chain-factor-everywhere",
            "multiplies the whole derivative by 1.702",
            "grad * (gate",
            "grad * 1.702 * (gate",
            effect="1.7 times the gradient",
            invisible_when="x is far below 0",
        ),
        Edit(
            "quick_gelu_vjp/product-rule-forgotten",
            "returns the gate alone",
            "(gate + 1.702 * x * (gate * (1 - gate)))",
            "gate",
            effect="off by up to 0.22",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "quick_gelu_vjp/gate-derivative-halved",
            "writes 1 - s for s (1 - s)",
            "(gate * (1 - gate))",
            "(1 - gate)",
            effect="off by a multiple of x below 0",
            invisible_when="x is 0 or far above it",
        ),
        Edit(
            "quick_gelu_vjp/of-silu",
            "leaves the factor 1.702 at the default 1 of swish",
            "sigmoid(1.702 * x)",
            "sigmoid(x)",
            effect="off by up to 0.3",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "quick_gelu_vjp/of-gelu",
            "takes the gradient of the exact GELU",
            "grad * (gate + 1.702 * x * (gate * (1 - gate)))",
            "gelu_vjp(x, grad)",
            effect="off by up to 0.03",
            invisible_when="x is 0 or far from it",
        ),
    ),
    outputs=("x_grad",),
)


# silu


def silu_equation(f, x):
    if largest(x) < SAFE:
        yield f(x), x / (1 + np.exp(-x))


def silu_even_part(f, x):
    yield f(x) + f(-x), x * np.tanh(x / 2)


def silu_as_softmax(f, x):
    weights = text.softmax(np.stack([x, 0 * x], axis=-1))
    yield f(x), x * weights[..., 0]


def silu_bounded(f, x):
    yield no_less(f(x), -0.27846454276107385)


SILU = Op(
    text.silu,
    laws=(
        Law("equals x/(1 + exp(-x))", silu_equation),
        Law("f(x) + f(-x) is x times tanh(x/2)", silu_even_part),
        Law("f(x) - f(-x) = x", gate_symmetry),
        Law("is x times its weight in a softmax against zero", silu_as_softmax),
        Law("lies below the rectifier", gate_below_rectifier),
        Law("lies above its minimum -0.27846", silu_bounded),
        Law("is the identity far above zero and zero far below", gate_saturates),
    ),
    probes=(Probe("where the known activations differ", lambda: {"x": activations()}),),
    mistakes=(
        Edit(
            "silu/quick-gelu",
            "uses x σ(1.702 x)",
            "sigmoid(x)",
            "sigmoid(1.702 * x)",
            effect="off by up to 0.175",
            invisible_when="x is 0",
        ),
        Edit(
            "silu/gelu",
            "uses GELU",
            "return x * sigmoid(x)",
            "return gelu(x)",
            effect="off by up to 0.2",
            invisible_when="x is 0",
        ),
        Edit(
            "silu/rectifier",
            "uses the rectifier",
            "return x * sigmoid(x)",
            "return np.maximum(x, 0)",
            effect="off by up to 0.28",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "silu/hard-swish",
            "uses the piecewise stand-in x (x + 3)/6",
            "sigmoid(x)",
            "np.clip((x + 3) / 6, 0, 1)",
            effect="off by up to 0.14",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "silu/sign",
            "gates with σ(-x)",
            "sigmoid(x)",
            "sigmoid(-x)",
            effect="large activations vanish",
            invisible_when="x is 0",
        ),
        Edit(
            "silu/gate-alone",
            "returns the gate without the factor x",
            "x * sigmoid(x)",
            "sigmoid(x)",
            effect="activations between 0 and 1",
            invisible_when="x is far below zero",
        ),
    ),
)


# silu_vjp


def silu_vjp_equation(f, x, grad):
    gate = text.sigmoid(x)
    yield f(x, grad), grad * (text.silu(x) + gate * (1 - text.silu(x)))


def silu_vjp_tanh(f, x, grad):
    h = np.tanh(x / 2)
    yield f(x, grad), grad / 2 * (1 + h + x / 2 * (1 - h * h))


SILU_VJP = Op(
    text.silu_vjp,
    laws=(
        Law("equals f + σ(x) (1 - f)", silu_vjp_equation),
        Law("equals the form written with a hyperbolic tangent", silu_vjp_tanh),
        *GATE_GRADIENT_LAWS,
    ),
    probes=(
        Probe(
            "where the known activations differ",
            lambda: {"x": activations(), "grad": 1 + sines(16)},
        ),
    ),
    mistakes=(
        Edit(
            "silu_vjp/product-rule-forgotten",
            "returns the gate alone",
            "(gate + x * (gate * (1 - gate)))",
            "gate",
            effect="off by up to 0.22",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "silu_vjp/of-the-gate",
            "returns the derivative of the gate alone",
            "(gate + x * (gate * (1 - gate)))",
            "(gate * (1 - gate))",
            effect="large activations get no gradient",
        ),
        Edit(
            "silu_vjp/gate-derivative-halved",
            "writes 1 - s for s (1 - s)",
            "x * (gate * (1 - gate))",
            "x * (1 - gate)",
            effect="off by a multiple of x below 0",
            invisible_when="x is 0 or far above it",
        ),
        Edit(
            "silu_vjp/sign",
            "subtracts the second term",
            "gate + x *",
            "gate - x *",
            effect="wrong for every x but 0",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "silu_vjp/of-quick-gelu",
            "takes the gate of 1.702 x",
            "sigmoid(x)",
            "sigmoid(1.702 * x)",
            effect="off by up to 0.3",
            invisible_when="x is 0 or far from it",
        ),
        Edit(
            "silu_vjp/x-forgotten",
            "adds the derivative of the gate without the factor x",
            "gate + x * (",
            "gate + (",
            effect="three quarters at 0",
            invisible_when="x is 1 or far from it",
        ),
    ),
    outputs=("x_grad",),
)


# l2_normalize


def l2_normalize_length(f, x):
    visible = np.max(np.abs(values(x)), axis=-1) > 1e-100  # the squares of less underflow
    yield np.where(visible, np.sum(f(x) ** 2, axis=-1), 1), 1


def l2_normalize_direction(f, x):
    yield f(x) * np.sqrt(np.sum(x * x, axis=-1, keepdims=True)), x


def l2_normalize_scale(f, x):
    yield f(3 * x), f(x)


def l2_normalize_odd(f, x):
    yield f(-x), -f(x)


def l2_normalize_idempotent(f, x):
    yield f(f(x)), f(x)


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
        Law("changing the sign of x changes the sign of the result", l2_normalize_odd),
        Law("applying it twice is applying it once", l2_normalize_idempotent),
        Law("the zero vector stays zero", l2_normalize_zero),
        Law("repeating all entries divides them by √2", l2_normalize_repeated),
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
            "x / np.where(norm > 0, norm, 1)",
            "x / (norm + 1e-6)",
            effect="short vectors become shorter",
            invisible_when="vectors are long",
        ),
    ),
    dialects=(
        Edit(
            "l2_normalize/unguarded",
            "the zero vector is NaN, as in the original CLIP",
            "np.where(norm > 0, norm, 1)",
            "norm",
            effect="NaN spreads from one empty feature",
        ),
        Edit(
            "l2_normalize/torch-guard",
            "divides by the larger of length and 1e-12, as torch's normalize",
            "np.where(norm > 0, norm, 1)",
            "np.maximum(norm, 1e-12)",
            effect="vectors shorter than 1e-12 stay short",
        ),
        Edit(
            "l2_normalize/added-guard",
            "divides by the length plus 1e-12, as GLIDE's CLIP",
            "np.where(norm > 0, norm, 1)",
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


# l2_normalize_vjp


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
        Law("is orthogonal to x, and nothing for a grad along x", l2_normalize_vjp_orthogonal),
        Law("the Jacobian is symmetric", l2_normalize_vjp_symmetric),
        Law("tripling x divides it by three, turning x changes nothing", l2_normalize_vjp_scale),
        Law("at the unit vector it is as many times larger as x is long", l2_normalize_vjp_of_unit),
        Law("the zero vector passes grad on", l2_normalize_vjp_zero),
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
            "projects, but does not divide by the length",
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
            "adds the part along x in place of removing it",
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
            effect="vectors pull at each other",
        ),
    ),
    dialects=(
        Edit(
            "l2_normalize_vjp/unguarded",
            "the zero vector is NaN, as in JAX and in the original CLIP",
            "np.where(norm > 0, norm, 1)",
            "1 * norm",
            effect="NaN spreads from one empty feature",
        ),
        Edit(
            "l2_normalize_vjp/torch-guard",
            "below a length of 1e-12 it is 1e12 times grad, as torch's normalize",
            "norm = np.where(norm > 0, norm, 1)  # the zero vector passes grad on\n"
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

OPS = (
    LINEAR,
    LINEAR_VJP,
    LAYER_NORM,
    LAYER_NORM_VJP,
    RMS_NORM,
    RMS_NORM_VJP,
    GROUP_NORM,
    GROUP_NORM_VJP,
    SOFTMAX,
    SOFTMAX_VJP,
    LOG_SOFTMAX,
    LOG_SOFTMAX_VJP,
    CROSS_ENTROPY,
    CROSS_ENTROPY_VJP,
    SIGMOID,
    SIGMOID_VJP,
    GELU,
    GELU_VJP,
    GELU_TANH,
    GELU_TANH_VJP,
    QUICK_GELU,
    QUICK_GELU_VJP,
    SILU,
    SILU_VJP,
    L2_NORMALIZE,
    L2_NORMALIZE_VJP,
)
