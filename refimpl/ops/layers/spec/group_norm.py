"""What is known about group_norm and its gradient: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import cosines, sines
from refimpl.ops.layers import reference as text


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
        Law("turning the image by 180° turns the result", group_norm_pixels),
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
            "takes mean and variance at each pixel, over the channels of a group only",
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
            otherwise=(  # then a variance below zero has no root
                "squares = np.mean(grouped * grouped, axis=(2, 3, 4), keepdims=True)\n"
                "    variance = squares - mean * mean",
            ),
        ),
    ),
)


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
            "is the gradient of layer normalisation on each flattened group",
            group_norm_vjp_as_layer_norm,
        ),
        Law(
            "the gradients of gain and bias are sums over samples and pixels", group_norm_vjp_affine
        ),
        Law("without gain the Jacobian is symmetric", group_norm_vjp_symmetric),
        Law(
            "shifting x changes nothing, and doubling it halves the gradient",
            group_norm_vjp_shift_and_scale,
        ),
        Law(
            "a sample's gradient of x is its own, those of gain and bias are sums",
            group_norm_vjp_samples,
        ),
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
            "multiplies by the gain last, as though all channels of a group shared one",
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
            effect="groups affect each other's gradients",
            invisible_when="there is one group",
        ),
        Edit(
            "group_norm_vjp/gain-summed-over-pixels-alone",
            "keeps the first sample's gradient of the gain",
            "np.sum(grad * np.reshape(normal, x.shape), axis=(0, 2, 3))",
            "np.sum(grad * np.reshape(normal, x.shape), axis=(2, 3))[0]",
            effect="the rest of the batch has no effect",
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
