"""PyTorch on the CPU: its own operation wherever it has one, else a composition of its primitives.

Every function takes the arguments of the operation of the same name as NumPy arrays and returns
NumPy arrays. Operations without array arguments are computed in float64.
"""

from __future__ import annotations

import math

import torch

from refimpl.backends.parts import torch_cascade as _cascade
from refimpl.backends.parts import torch_flamingo as _flamingo
from refimpl.backends.parts import torch_flow as _flow
from refimpl.backends.parts import torch_qformer as _qformer
from refimpl.backends.parts import torch_qwen as _qwen
from refimpl.backends.parts import torch_words as _words
from refimpl.backends.parts.derived import gradients as _gradients
from refimpl.backends.parts.derived import operations as _operations
from refimpl.backends.parts.torch_autoencoder import (  # noqa: F401  found here by their names
    discretized_gaussian_nll,
    gaussian_kl,
    gaussian_moments,
    gumbel_softmax,
    inward_gradient,
    nearest_code,
    posterior_kl,
    posterior_sample,
    scale_latents,
    unscale_latents,
    vq_gradients,
    vq_loss,
)
from refimpl.backends.parts.torch_convolution import (  # noqa: F401  found here by their names
    adaptive_avg_pool2d,
    avg_pool2d,
    conv2d,
    conv_transpose2d,
    resize_nearest,
)
from refimpl.backends.parts.torch_diffusion import (  # noqa: F401  found here by their names
    alpha_bar,
    classifier_free_guidance,
    classifier_guidance,
    classifier_guidance_score,
    cosine_schedule,
    ddim_step,
    dynamic_threshold,
    eps_from_score,
    eps_from_v,
    eps_from_x0,
    fixed_large_log_variance,
    fixed_small_log_variance,
    learned_range_log_variance,
    linear_schedule,
    p_sample,
    q_posterior,
    q_sample,
    q_step,
    respaced_betas,
    respaced_timesteps,
    scaled_linear_schedule,
    score_from_eps,
    velocity,
    x0_from_eps,
    x0_from_v,
    zero_terminal_snr,
)
from refimpl.backends.parts.torch_language import (  # noqa: F401  found here by their names
    dpo_loss,
    group_advantage,
    ipo_loss,
    keep_top_k,
    kl_positive,
    masked_cross_entropy,
    max_similarity,
    mean_pool,
    next_token_loss,
    perplexity,
    ppo_loss,
    preference_loss,
    sample_index,
    shift_right,
    smoothed_cross_entropy,
    temperature_softmax,
    token_log_probs,
    value_loss,
    whiten,
)
from refimpl.backends.parts.torch_samplers import (  # noqa: F401  found here by their names
    churn,
    ddim_inversion,
    denoised_from_v,
    dpm_solver_step,
    edm_coefficients,
    edm_weights,
    euler_ancestral_step,
    euler_step,
    exponential_sigmas,
    heun_step,
    karras_sigmas,
    leading_timesteps,
    linspace_timesteps,
    plms_eps,
    scale_input,
    sigmas_from_alpha_bar,
    trailing_timesteps,
)
from refimpl.backends.parts.torch_unet import (  # noqa: F401  found here by their names
    cross_attention,
    micro_conditions,
    residual_block,
    residual_block_scale_shift,
    spatial_attention,
    spatial_transformer,
    time_mlp,
    timestep_embedding,
    transformer_block,
)
from refimpl.backends.parts.torch_whole import record  # noqa: F401  of whole models
from refimpl.backends.tensors import on_tensors as _on_tensors

F = torch.nn.functional
VERSION = torch.__version__
PRECISIONS = ("float64", "float32", "bfloat16", "float16")
SUPPORTS = {
    "dynamic_threshold": ("float64", "float32"),  # torch.quantile takes no half format
}
WIDE = torch.float64  # where no array says the precision


# Layers


@_on_tensors
def linear(x, weight, bias):
    """torch.nn.functional.linear"""
    return F.linear(x, weight, bias)


@_on_tensors
def layer_norm(x, gain, bias, eps):
    """torch.nn.functional.layer_norm"""
    return F.layer_norm(x, gain.shape, gain, bias, eps)


@_on_tensors
def rms_norm(x, gain, eps):
    """torch.nn.functional.rms_norm"""
    return F.rms_norm(x, gain.shape, gain, eps)


@_on_tensors
def group_norm(x, gain, bias, groups, eps):
    """torch.group_norm"""
    return torch.group_norm(x, groups, gain, bias, eps)  # F's refuses a single number


@_on_tensors
def softmax(z):
    """torch.nn.functional.softmax"""
    return F.softmax(z, dim=-1)


@_on_tensors
def log_softmax(z):
    """torch.nn.functional.log_softmax"""
    return F.log_softmax(z, dim=-1)


@_on_tensors
def cross_entropy(logits, labels):
    """torch.nn.functional.cross_entropy"""
    return F.cross_entropy(logits, labels)


@_on_tensors
def sigmoid(z):
    """torch.sigmoid"""
    return torch.sigmoid(z)


@_on_tensors
def gelu(x):
    """torch.nn.functional.gelu"""
    return F.gelu(x)


@_on_tensors
def gelu_tanh(x):
    """torch.nn.functional.gelu(approximate="tanh")"""
    return F.gelu(x, approximate="tanh")


@_on_tensors
def quick_gelu(x):
    """torch.sigmoid"""
    return x * torch.sigmoid(1.702 * x)


@_on_tensors
def silu(x):
    """torch.nn.functional.silu"""
    return F.silu(x)


@_on_tensors
def relu(x):
    """torch.nn.functional.relu"""
    return F.relu(x)


@_on_tensors
def swiglu(gate, up):
    """torch.nn.functional.silu"""
    return F.silu(gate) * up


@_on_tensors
def geglu(gate, up):
    """torch.nn.functional.gelu"""
    return F.gelu(gate) * up


@_on_tensors
def geglu_tanh(gate, up):
    """torch.nn.functional.gelu(approximate="tanh")"""
    return F.gelu(gate, approximate="tanh") * up


@_on_tensors
def l2_normalize(x):
    """torch.nn.functional.normalize"""
    return F.normalize(x, dim=-1)


# Patch embedding


@_on_tensors
def patchify(images, patch):
    """torch.nn.functional.unfold"""
    return F.unfold(images, patch, stride=patch).mT  # B N channels*P*P


@_on_tensors
def unpatchify(patches, patch, rows, channels):
    """torch.nn.functional.fold"""
    size = rows * patch, patches.shape[1] // rows * patch
    return F.fold(patches.mT, size, patch, stride=patch)  # B channels rows*P cols*P


@_on_tensors
def patch_embed(images, weight, bias):
    """torch.nn.functional.conv2d"""
    grid = F.conv2d(images, weight, bias, stride=weight.shape[-1])  # B D rows cols
    return grid.flatten(2).mT  # B N D


@_on_tensors
def vit_tokens(patches, class_token, positions):
    """torch.cat"""
    first = class_token.expand(len(patches), 1, -1)  # B 1 D
    return torch.cat((first, patches), dim=1) + positions  # B N+1 D


def _angles(t, half):
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, dtype=t.dtype) / half)  # E
    return torch.outer(t, frequencies)  # N E


@_on_tensors
def sinusoidal_positions(positions, half):
    """torch.exp, torch.outer, torch.sin, torch.cos"""
    angles = _angles(positions, half)
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)  # N 2*E


# Positions


@_on_tensors
def embed_tokens(ids, table):
    """torch.nn.functional.embedding"""
    return F.embedding(ids, table)


@_on_tensors
def rotary_angles(positions, half, base):
    """torch.pow, torch.outer"""
    return torch.outer(positions, base ** -(torch.arange(half, dtype=positions.dtype) / half))


@_on_tensors
def rotary_embedding(x, angles):
    """torch.cos, torch.sin, torch.cat"""
    first, second = x.chunk(2, dim=-1)  # B H N E
    twice = torch.cat((angles, angles), dim=-1)  # N 2*E
    return x * twice.cos() + torch.cat((-second, first), dim=-1) * twice.sin()


@_on_tensors
def halves_from_pairs(x):
    """torch.cat"""
    return torch.cat((x[..., 0::2], x[..., 1::2]), dim=-1)


@_on_tensors
def pairs_from_halves(x):
    """torch.stack"""
    return torch.stack(x.chunk(2, dim=-1), dim=-1).flatten(-2)


@_on_tensors
def alibi_bias(query_positions, key_positions, heads):
    """torch.pow"""
    power = 2 ** int(math.log2(heads))
    exponents = torch.arange(1, 2 * power + 1, dtype=key_positions.dtype)
    few, many = 2 ** (-8 * exponents[:power] / power), 2 ** (-4 * exponents[::2] / power)
    slopes = torch.cat((few, many))[:heads]  # H
    return -slopes[:, None, None] * (query_positions[:, None] - key_positions).abs()


@_on_tensors
def relative_bias(table, buckets):
    """torch.nn.functional.embedding"""
    return F.embedding(buckets, table).movedim(-1, 0)


# Attention


@_on_tensors
def attention(query, key, value, bias):
    """torch.nn.functional.scaled_dot_product_attention"""
    if bias is not None:
        bias = bias.expand(*query.shape[:3], key.shape[2])  # B H N M
    return F.scaled_dot_product_attention(query, key, value, bias, enable_gqa=True)


@_on_tensors
def multi_head_attention(x, memory, in_weight, in_bias, out_weight, out_bias, heads, bias):
    """torch.nn.functional.multi_head_attention_forward"""
    if bias is not None:
        bias = bias.expand(len(x), heads, x.shape[1], memory.shape[1]).flatten(0, 1)  # B*H N M
    x, memory = x.transpose(0, 1), memory.transpose(0, 1)  # tokens come first here
    result, _ = F.multi_head_attention_forward(
        x,
        memory,
        memory,
        embed_dim_to_check=x.shape[-1],
        num_heads=heads,
        in_proj_weight=in_weight,
        in_proj_bias=in_bias,
        bias_k=None,
        bias_v=None,
        add_zero_attn=False,
        dropout_p=0.0,
        out_proj_weight=out_weight,
        out_proj_bias=out_bias,
        training=False,
        need_weights=False,
        attn_mask=bias,
    )
    return result.transpose(0, 1)  # B N H*E


def _causal(size):
    return torch.nn.Transformer.generate_square_subsequent_mask(size, dtype=WIDE)


def _additive(keep):
    return torch.zeros(keep.shape, dtype=WIDE).masked_fill(~keep, -math.inf)


@_on_tensors
def causal_bias(queries, keys):
    """torch.nn.Transformer.generate_square_subsequent_mask, its upper left corner"""
    return _causal(max(queries, keys))[:queries, :keys]  # N M


@_on_tensors
def causal_bias_lower_right(queries, keys):
    """torch.nn.Transformer.generate_square_subsequent_mask, its lower right corner"""
    return _causal(max(queries, keys))[-queries:, -keys:]  # N M


@_on_tensors
def padding_bias(lengths, keys):
    """torch.lt, torch.masked_fill"""
    return _additive(torch.arange(keys) < lengths[:, None])[:, None, None]  # B 1 1 M


@_on_tensors
def prefix_bias(prefix, tokens):
    """torch.tril, torch.logical_or, torch.masked_fill"""
    causal = torch.ones(tokens, tokens, dtype=torch.bool).tril()
    return _additive(torch.logical_or(causal, torch.arange(tokens) < prefix))  # N N


@_on_tensors
def block_diagonal_bias(segments):
    """torch.eq, torch.masked_fill"""
    return _additive(torch.eq(segments[:, None], segments))  # N N


# CLIP


def _clip_logits(image_features, text_features, log_scale):
    cosines = F.cosine_similarity(image_features[:, None], text_features, dim=-1)  # N M
    return torch.as_tensor(log_scale, dtype=WIDE).exp() * cosines


@_on_tensors
def clip_logits(image_features, text_features, log_scale):
    """torch.nn.functional.cosine_similarity"""
    return _clip_logits(image_features, text_features, log_scale)


@_on_tensors
def clip_loss(image_features, text_features, log_scale):
    """torch.nn.functional.cosine_similarity, torch.nn.functional.cross_entropy"""
    logits = _clip_logits(image_features, text_features, log_scale)  # N N
    labels = torch.arange(len(logits))
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


@_on_tensors
def siglip_loss(image_features, text_features, log_scale, bias):
    """torch.nn.functional.cosine_similarity, torch.nn.functional.logsigmoid"""
    logits = _clip_logits(image_features, text_features, log_scale) + bias  # N N
    signs = 2 * torch.eye(len(logits), dtype=logits.dtype) - 1
    return -F.logsigmoid(signs * logits).sum() / len(logits)


# Images


@_on_tensors
def resize_bicubic(images, tall, wide):
    """torch.nn.functional.interpolate, antialiased"""
    return F.interpolate(images, (tall, wide), mode="bicubic", antialias=True)


@_on_tensors
def center_crop(images, tall, wide):
    """torch.narrow"""
    return _crop(images, tall, wide)


@_on_tensors
def normalize_image(images, mean, std):
    """torch.sub, torch.div"""
    return (images - mean[:, None, None]) / std[:, None, None]


@_on_tensors
def cutouts(images, top, left, size, side):
    """torch.nn.functional.adaptive_avg_pool2d"""
    return _pooled(images, top, left, size, side)


def _crop(images, tall, wide):
    _, _, height, width = images.shape
    rows = images.narrow(2, round((height - tall) / 2), tall)
    return rows.narrow(3, round((width - wide) / 2), wide)


def _pooled(images, top, left, size, side):
    cuts = [
        F.adaptive_avg_pool2d(images[:, :, y : y + n, x : x + n], side)
        for y, x, n in zip(top.tolist(), left.tolist(), size.tolist())
    ]
    return torch.cat(cuts)


# Gradients: automatic differentiation of the functions above


def _pull(function, arguments, wanted, grad):
    """torch.autograd.grad"""
    for name in wanted:
        if not isinstance(arguments[name], torch.Tensor):
            arguments[name] = torch.tensor(arguments[name], dtype=WIDE)
        arguments[name].requires_grad_()
    result = function(**arguments)
    return torch.autograd.grad(result, [arguments[n] for n in wanted], grad.to(result.dtype))


globals().update(_operations(_cascade, _flamingo, _flow, _qformer, _qwen, _words))
globals().update(_gradients(globals(), _on_tensors, torch.zeros, _pull))
