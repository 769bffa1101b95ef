"""What is known about the layers: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.layers import reference as text
from refimpl.special import constant, erf, pi

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

OPS = (
    LINEAR,
    LAYER_NORM,
    RMS_NORM,
    GROUP_NORM,
    SOFTMAX,
    LOG_SOFTMAX,
    CROSS_ENTROPY,
    SIGMOID,
    GELU,
    GELU_TANH,
    QUICK_GELU,
    SILU,
    L2_NORMALIZE,
)
