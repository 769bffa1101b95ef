"""Right and wrong implementations as people write them in PyTorch.

The first line of each docstring says what is wrong; `tests.planted.corpus` reads it.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812


def tensors(function):
    """Hand arrays over as tensors of their own."""

    @functools.wraps(function)
    def call(**inputs):
        return function(
            **{
                name: torch.tensor(np.array(x)) if isinstance(x, np.ndarray) else x
                for name, x in inputs.items()
            }
        )

    return call


def safe_softmax(scores, dim=-1):
    return torch.nan_to_num(torch.softmax(scores, dim=dim), nan=0.0)


def extract(table, t, like):
    return table.gather(0, t).view(-1, *[1] * (like.dim() - 1))


def grouped(query, key, value):
    groups = query.size(1) // key.size(1)
    return key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)


def unit(x):
    length = x.norm(dim=-1, keepdim=True)
    return x / torch.where(length == 0, torch.ones_like(length), length)


@tensors
def layer_norm__std_plus_eps(x, gain, bias, eps):
    """listed: layer_norm/eps-outside-root"""
    mu = x.mean(-1, keepdim=True)
    std = x.var(-1, keepdim=True, correction=0).sqrt()
    return (x - mu) / (std + eps) * gain + bias


@tensors
def layer_norm__var_with_its_default(x, gain, bias, eps):
    """listed: layer_norm/sample-variance"""
    mu = x.mean(-1, keepdim=True)
    return (x - mu) * torch.rsqrt(x.var(-1, keepdim=True) + eps) * gain + bias


@tensors
def layer_norm__annotated(x, gain, bias, eps):
    """listed: layer_norm/annotated-transformer"""
    mu = x.mean(-1, keepdim=True)
    return gain * (x - mu) / (x.std(-1, keepdim=True) + eps) + bias


@tensors
def rms_norm__no_weight(x, gain, eps):
    """listed: rms_norm/gain-missing"""
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)


@tensors
def group_norm__all_channels(x, gain, bias, groups, eps):
    """listed: group_norm/one-group"""
    flat = x.flatten(1)
    centred = flat - flat.mean(1, keepdim=True)
    normal = centred / torch.sqrt(centred.square().mean(1, keepdim=True) + eps)
    return normal.view_as(x) * gain.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)


@tensors
def softmax__dim_zero(z):
    """listed: softmax/first-axis"""
    return safe_softmax(z, dim=0)


@tensors
def cross_entropy__probabilities_in(logits, labels):
    """listed: cross_entropy/softmax-first"""
    return F.cross_entropy(torch.softmax(logits, dim=1), labels)


@tensors
def gelu__approximate(x):
    """listed: gelu/tanh-form"""
    return F.gelu(x, approximate="tanh")


@tensors
def quick_gelu__swish(x):
    """listed: quick_gelu/factor-one"""
    return x * torch.sigmoid(x)


@tensors
def patchify__unfolded(images, patch):
    """listed: patchify/mixed-channels"""
    tiles = images.unfold(2, patch, patch).unfold(3, patch, patch)
    B, C, rows, cols = tiles.shape[:4]
    return tiles.reshape(B, rows * cols, C * patch * patch)


@tensors
def patch_embed__bgr(images, weight, bias):
    """listed: patch_embed/reversed-channels"""
    y = F.conv2d(images.flip(1), weight, bias, stride=weight.shape[-1])
    return y.flatten(2).transpose(1, 2)


@tensors
def vit_tokens__token_appended(patches, class_token, positions):
    """listed: vit_tokens/class-token-last"""
    token = class_token.expand(patches.size(0), 1, -1)
    return torch.cat([patches, token], dim=1) + positions


@tensors
def timestep_embedding__tensor2tensor_step(t, half):
    """listed: timestep_embedding/half-minus-one"""
    step = torch.arange(half, dtype=torch.float64) / max(half - 1, 1)
    args = t[:, None].double() * torch.exp(-math.log(10000) * step)
    return torch.cat([args.cos(), args.sin()], dim=-1).float()


@tensors
def attention__scaled_in_two_places(query, key, value, bias):
    """listed: attention/scale-twice"""
    key, value = grouped(query, key, value)
    scale = query.size(-1) ** -0.5
    scores = (query * scale) @ key.transpose(-2, -1) * scale
    if bias is not None:
        scores = scores + bias
    return safe_softmax(scores) @ value


@tensors
def attention__softmax_dim_two(query, key, value, bias):
    """listed: attention/softmax-over-queries"""
    key, value = grouped(query, key, value)
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if bias is not None:
        scores = scores + bias
    return safe_softmax(scores, dim=2) @ value


@tensors
def attention__heads_tiled(query, key, value, bias):
    """listed: attention/tiled-key-heads"""
    groups = query.size(1) // key.size(1)
    key, value = key.repeat(1, groups, 1, 1), value.repeat(1, groups, 1, 1)
    scores = torch.einsum("bhne,bhme->bhnm", query, key) / math.sqrt(query.size(-1))
    if bias is not None:
        scores = scores + bias
    return safe_softmax(scores) @ value


def projected(x, memory, in_weight, in_bias, heads, order="qkv"):
    """Queries, keys and values by head, the packed matrices read in some order."""
    weights = dict(zip(order, in_weight.chunk(3)))
    biases = dict(zip(order, (None,) * 3 if in_bias is None else in_bias.chunk(3)))

    def split(source, which):
        y = F.linear(source, weights[which], biases[which])
        return y.unflatten(-1, (heads, y.size(-1) // heads)).transpose(1, 2)

    return split(x, "q"), split(memory, "k"), split(memory, "v")


@tensors
def multi_head_attention__key_first(
    x, memory, in_weight, in_bias, out_weight, out_bias, heads, bias
):
    """listed: multi_head_attention/packed-kqv"""
    q, k, v = projected(x, memory, in_weight, in_bias, heads, "kqv")
    scores = q @ k.mT / math.sqrt(q.size(-1))
    scores = scores if bias is None else scores + bias
    mixed = (safe_softmax(scores) @ v).transpose(1, 2).flatten(2)
    return F.linear(mixed, out_weight, out_bias)


@tensors
def multi_head_attention__heads_not_moved_back(
    x, memory, in_weight, in_bias, out_weight, out_bias, heads, bias
):
    """listed: multi_head_attention/merged-without-transposing"""
    q, k, v = projected(x, memory, in_weight, in_bias, heads)
    scores = q @ k.mT / math.sqrt(q.size(-1))
    scores = scores if bias is None else scores + bias
    mixed = (safe_softmax(scores) @ v).reshape(x.shape)
    return F.linear(mixed, out_weight, out_bias)


@tensors
def clip_loss__scale_exponentiated_again(image_features, text_features, log_scale):
    """listed: clip_loss/double-exponential"""
    scale = math.exp(math.exp(log_scale))
    logits = scale * unit(image_features.double()) @ unit(text_features.double()).T
    labels = torch.arange(len(logits))
    return ((F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2).float()


@tensors
def q_sample__root_of_the_noise_missing(x_start, t, noise, alpha_bar):
    """listed: q_sample/noise-factor-not-rooted"""
    a = extract(alpha_bar, t, x_start)
    return a.sqrt() * x_start + (1 - a) * noise


def posterior_mean(x0, x_t, t, betas):
    """In float64, as guided-diffusion keeps its tables."""
    betas = betas.double()
    bar = torch.cumprod(1 - betas, 0)
    prev = torch.cat([torch.ones(1, dtype=torch.float64), bar[:-1]])
    one = betas * prev.sqrt() / (1 - bar)
    two = (1 - prev) * (1 - betas).sqrt() / (1 - bar)
    return extract(one, t, x_t) * x0 + extract(two, t, x_t) * x_t


def clean(x_t, t, eps, betas):
    bar = extract(torch.cumprod(1 - betas.double(), 0), t, x_t)
    return (x_t - (1 - bar).sqrt() * eps) / bar.sqrt()


@tensors
def p_sample__mean_clamped(x_t, t, eps, noise, betas, log_variance, clip):
    """listed: p_sample/mean-clipped"""
    mean = posterior_mean(clean(x_t, t, eps, betas), x_t, t, betas).clamp(-clip, clip)
    mask = (t != 0).double().view(-1, *[1] * (x_t.dim() - 1))
    return (mean + mask * torch.exp(0.5 * log_variance) * noise).float()


@tensors
def ddim_step__direction_ignores_sigma(x_t, t, t_prev, eps, noise, alpha_bar, eta):
    """listed: ddim_step/direction-without-sigma"""
    table = torch.cat([torch.ones(1), alpha_bar]).double()
    a, p = extract(table, t + 1, x_t), extract(table, t_prev + 1, x_t)
    sigma = eta * ((1 - p) / (1 - a) * (1 - a / p)).sqrt()
    x0 = (x_t - (1 - a).sqrt() * eps) / a.sqrt()
    return (p.sqrt() * x0 + (1 - p).sqrt() * eps + sigma * noise).float()


@tensors
def classifier_free_guidance__chunks_in_the_other_order(eps_uncond, eps_cond, scale):
    """listed: classifier_free_guidance/branches-swapped"""
    cond, uncond = torch.cat([eps_uncond, eps_cond]).chunk(2) if len(eps_cond) else (eps_cond,) * 2
    return uncond + scale * (cond - uncond)


@tensors
def dynamic_threshold__one_quantile(x_start, quantile):
    """listed: dynamic_threshold/quantile-over-batch"""
    if not x_start.numel():
        return x_start
    s = torch.quantile(x_start.abs().flatten(), quantile).clamp(min=1.0)
    return x_start.clamp(-s, s) / s


@tensors
def causal_bias__triu_from_the_diagonal(queries, keys):
    """listed: causal_bias/no-diagonal"""
    return torch.triu(torch.full((queries, keys), -math.inf), diagonal=0)


@tensors
def siglip_loss__bias_forgotten(image_features, text_features, log_scale, bias):
    """listed: siglip_loss/no-bias"""
    logits = math.exp(log_scale) * unit(image_features) @ unit(text_features).T
    signs = 2 * torch.eye(len(logits)) - 1
    return -F.logsigmoid(signs * logits).sum() / len(logits)


@tensors
def attention__scale_of_the_values(query, key, value, bias):
    """unlisted: the scores are divided by the root of the value's width"""
    key, value = grouped(query, key, value)
    scores = query @ key.transpose(-2, -1) / math.sqrt(value.size(-1))
    if bias is not None:
        scores = scores + bias
    return safe_softmax(scores) @ value


@tensors
def layer_norm__bias_forgotten(x, gain, bias, eps):
    """unlisted: the bias is left out"""
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + eps) * gain


@tensors
def siglip_loss__negative(image_features, text_features, log_scale, bias):
    """unlisted: the minus sign before the sum is missing"""
    logits = math.exp(log_scale) * unit(image_features) @ unit(text_features).T + bias
    signs = 2 * torch.eye(len(logits)) - 1
    return F.logsigmoid(signs * logits).sum() / len(logits)


@tensors
def p_sample__no_noise_in_the_last_two_steps(x_t, t, eps, noise, betas, log_variance, clip):
    """unlisted: noise is added from t = 2 on, not from t = 1"""
    x0 = clean(x_t, t, eps, betas).clamp(-clip, clip)
    mask = (t > 1).double().view(-1, *[1] * (x_t.dim() - 1))
    mean = posterior_mean(x0, x_t, t, betas)
    return (mean + mask * torch.exp(0.5 * log_variance) * noise).float()


@tensors
def velocity__one_root_missing(x_start, t, noise, alpha_bar):
    """unlisted: the share itself multiplies the noise"""
    a = extract(alpha_bar, t, x_start)
    return a * noise - (1 - a).sqrt() * x_start


@tensors
def multi_head_attention__values_without_bias(
    x, memory, in_weight, in_bias, out_weight, out_bias, heads, bias
):
    """unlisted: the values are projected without their bias"""
    q, k, _ = projected(x, memory, in_weight, in_bias, heads)
    _, _, v = projected(x, memory, in_weight, None, heads)
    scores = q @ k.mT / math.sqrt(q.size(-1))
    scores = scores if bias is None else scores + bias
    mixed = (safe_softmax(scores) @ v).transpose(1, 2).flatten(2)
    return F.linear(mixed, out_weight, out_bias)


@tensors
def attention__unscaled_and_transposed(query, key, value, bias):
    """two: attention/no-scale and attention/softmax-over-queries"""
    key, value = grouped(query, key, value)
    scores = query @ key.mT
    scores = scores if bias is None else scores + bias
    return safe_softmax(scores, dim=-2) @ value


@tensors
def ddim_step__root_and_sigma_forgotten(x_t, t, t_prev, eps, noise, alpha_bar, eta):
    """two: ddim_step/signal-factor-not-rooted and ddim_step/direction-without-sigma"""
    table = torch.cat([torch.ones(1), alpha_bar]).double()
    a, p = extract(table, t + 1, x_t), extract(table, t_prev + 1, x_t)
    sigma = eta * ((1 - p) / (1 - a) * (1 - a / p)).sqrt()
    x0 = (x_t - (1 - a).sqrt() * eps) / a.sqrt()
    return (p * x0 + (1 - p).sqrt() * eps + sigma * noise).float()


@tensors
def clip_loss__one_side_raw_scale(image_features, text_features, log_scale):
    """two: clip_loss/one-direction and, not listed here, the scale is not exponentiated"""
    logits = log_scale * unit(image_features) @ unit(text_features).T
    return F.cross_entropy(logits, torch.arange(len(logits)))


@tensors
def layer_norm__honest_float64(x, gain, bias, eps):
    """honest: in float64 throughout, rounded once"""
    wide = x.double()
    var, mean = torch.var_mean(wide, -1, correction=0, keepdim=True)
    return ((wide - mean) * torch.rsqrt(var + eps) * gain + bias).float()


@tensors
def gelu__honest_library(x):
    """honest: the library's function"""
    return F.gelu(x)


@tensors
def patch_embed__honest_convolution(images, weight, bias):
    """honest: a strided convolution"""
    y = F.conv2d(images, weight, bias, stride=weight.shape[-1])
    return y.flatten(2).transpose(1, 2)


@tensors
def attention__honest_blocks(query, key, value, bias):
    """honest: online softmax over blocks of two keys"""
    key, value = grouped(query, key, value)
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if bias is not None:
        scores = scores + bias
    top = torch.full((*scores.shape[:-1], 1), -math.inf)
    total = torch.zeros_like(top)
    mixed = torch.zeros(*scores.shape[:-1], value.size(-1))
    for start in range(0, key.size(2), 2):
        block, part = scores[..., start : start + 2], value[..., start : start + 2, :]
        higher = torch.maximum(top, block.amax(-1, keepdim=True))
        anchor = torch.where(higher == -math.inf, torch.zeros_like(higher), higher)
        shrink, weights = torch.exp(top - anchor), torch.exp(block - anchor)
        total = total * shrink + weights.sum(-1, keepdim=True)
        mixed = mixed * shrink + weights @ part
        top = higher
    return mixed / torch.where(total == 0, torch.ones_like(total), total)


@tensors
def multi_head_attention__honest_einsum(
    x, memory, in_weight, in_bias, out_weight, out_bias, heads, bias
):
    """honest: one einsum for each product"""
    D = x.size(-1)
    w = in_weight.view(3, heads, D // heads, D)
    b = torch.zeros(3, heads, D // heads) if in_bias is None else in_bias.view(3, heads, -1)
    q = torch.einsum("bnd,hed->bhne", x, w[0]) + b[0][:, None]
    k = torch.einsum("bmd,hed->bhme", memory, w[1]) + b[1][:, None]
    v = torch.einsum("bmd,hed->bhme", memory, w[2]) + b[2][:, None]
    scores = torch.einsum("bhne,bhme->bhnm", q, k) * (D // heads) ** -0.5
    weights = safe_softmax(scores if bias is None else scores + bias)
    mixed = torch.einsum("bhnm,bhme->bnhe", weights, v).flatten(2)
    return F.linear(mixed, out_weight, out_bias)


@tensors
def clip_loss__honest_logsumexp(image_features, text_features, log_scale):
    """honest: log-sum-exp of rows and columns"""
    logits = math.exp(log_scale) * unit(image_features) @ unit(text_features).T
    right = logits.diagonal()
    return ((logits.logsumexp(1) - right).mean() + (logits.logsumexp(0) - right).mean()) / 2


@tensors
def p_sample__honest_tables(x_t, t, eps, noise, betas, log_variance, clip):
    """honest: float64 tables, the noise masked by where"""
    x0 = clean(x_t, t, eps, betas).clamp(-clip, clip)
    z = torch.where((t > 0).view(-1, *[1] * (x_t.dim() - 1)), noise, torch.zeros_like(noise))
    return (posterior_mean(x0, x_t, t, betas) + torch.exp(log_variance / 2) * z).float()
