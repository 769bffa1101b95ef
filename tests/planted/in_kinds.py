"""Faults of kernels and ports, by kind, as they are written in NumPy: blocks, groups, guards.

Padding and neighbours in a reduction, groups along another axis, memory cut in another order, one
value in a shorter format, a mistake beside a dialect, what goes wrong on some inputs only. The
first line of each docstring says what is wrong; `tests.planted.corpus` reads it.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np


def narrow(x, dtype):
    """The numbers of a shorter format, in float32."""
    return np.asarray(x, np.float32).astype(dtype).astype(np.float32)


def tf32(x):
    """Eleven bits of each number, rounded."""
    mantissa, exponent = np.frexp(np.asarray(x, np.float64))
    return np.ldexp(np.round(mantissa * 2048) / 2048, exponent).astype(np.float32)


def per_sample(table, t, like):
    return np.asarray(table)[t].reshape((len(t),) + (1,) * (like.ndim - 1))


def share_heads(query, key, value):
    times = query.shape[1] // key.shape[1]
    return np.repeat(key, times, axis=1), np.repeat(value, times, axis=1)


def weigh(scores):
    top = scores.max(axis=-1, keepdims=True)
    e = np.exp(scores - np.where(np.isneginf(top), 0, top))
    return e / np.maximum(e.sum(axis=-1, keepdims=True), 1)


def score(query, key, bias, root=None):
    root = np.float32(query.shape[-1] ** 0.5) if root is None else root
    scores = np.einsum("bhne,bhme->bhnm", query, key) / root
    return scores if bias is None else scores + bias


def power_of_two(n):
    block = 1
    while block < n:
        block *= 2
    return block


def rows_in_blocks(x, block):
    """Each row with what follows it in memory, up to the length of a block; then nothing."""
    flat, width = x.reshape(-1).astype(np.float64), x.shape[-1]
    starts = range(0, flat.size, width)
    return [flat[start : start + block] for start in starts]


def layer_norm__next_row_in_the_block(x, gain, bias, eps):
    """unlisted: a block of the next power of two reads on into the next row"""
    width = x.shape[-1]
    out = []
    for row in rows_in_blocks(x, power_of_two(width)):
        mean = row.sum() / width
        variance = ((row - mean) ** 2).sum() / width
        out.append((row[:width] - mean) / np.sqrt(variance + eps))
    return (np.reshape(out, x.shape) * gain + bias).astype(x.dtype)


def rms_norm__neighbours_of_the_row(x, gain, eps):
    """unlisted: a block of eight reads on into the next row"""
    width = x.shape[-1]
    out = []
    for row in rows_in_blocks(x, -(-width // 8) * 8):
        out.append(row[:width] / np.sqrt((row * row).sum() / width + eps))
    return (np.reshape(out, x.shape) * gain).astype(x.dtype)


def l2_normalize__neighbours_of_the_row(x):
    """unlisted: a block of the next power of two reads on into the next row"""
    width = x.shape[-1]
    out = []
    for row in rows_in_blocks(x, power_of_two(width)):
        length = np.sqrt((row * row).sum())
        out.append(row[:width] / (length if length > 0 else 1))
    return np.reshape(out, x.shape).astype(x.dtype)


def rms_norm__counts_whole_blocks(x, gain, eps):
    """unlisted: the mean divides by the width rounded up to sixteen"""
    count = -(-x.shape[-1] // 16) * 16
    mean = (x.astype(np.float64) ** 2).sum(axis=-1, keepdims=True) / count
    return (x / np.sqrt(mean + eps) * gain).astype(x.dtype)


def softmax__zeros_in_the_block(z):
    """unlisted: logits of zero fill the block of a power of two and count in the sum"""
    spare = power_of_two(z.shape[-1]) - z.shape[-1]
    padded = np.concatenate([z, np.zeros((*z.shape[:-1], spare), z.dtype)], axis=-1)
    return weigh(padded)[..., : z.shape[-1]]


def group_norm__zeros_are_centred(x, gain, bias, groups, eps):
    """unlisted: lanes of zeros up to a power of two are centred and count in the variance"""
    n, c, h, w = x.shape
    members = c // groups
    wide = np.zeros((n, groups, power_of_two(members), h, w))
    wide[:, :, :members] = x.reshape(n, groups, members, h, w)
    size = members * h * w
    mean = wide.sum(axis=(2, 3, 4), keepdims=True) / size
    variance = ((wide - mean) ** 2).sum(axis=(2, 3, 4), keepdims=True) / size
    y = ((wide - mean) / np.sqrt(variance + eps))[:, :, :members].reshape(x.shape)
    return (y * gain[:, None, None] + bias[:, None, None]).astype(x.dtype)


def group_norm__next_group_in_the_sum(x, gain, bias, groups, eps):
    """unlisted: the mean alone sees the channels behind the group, up to whole blocks of eight"""
    n, c, h, w = x.shape
    members = c // groups
    out = np.empty(x.shape)
    for i in range(n):
        for g in range(groups):
            own = x[i, g * members : (g + 1) * members].astype(np.float64)
            seen = x[i, g * members : g * members + -(-members // 8) * 8].astype(np.float64)
            mean = seen.sum() / (members * h * w)
            variance = ((own - mean) ** 2).mean()
            out[i, g * members : (g + 1) * members] = (own - mean) / np.sqrt(variance + eps)
    return (out * gain[:, None, None] + bias[:, None, None]).astype(x.dtype)


def group_norm__channels_dealt_out(x, gain, bias, groups, eps):
    """unlisted: channel k belongs to group k modulo their number"""
    out = np.empty(x.shape)
    for g in range(groups):
        part = x[:, g::groups].astype(np.float64)
        mean = part.mean(axis=(1, 2, 3), keepdims=True)
        variance = part.var(axis=(1, 2, 3), keepdims=True)
        out[:, g::groups] = (part - mean) / np.sqrt(variance + eps)
    return (out * gain[:, None, None] + bias[:, None, None]).astype(x.dtype)


def group_norm__pieces_of_columns(x, gain, bias, groups, eps):
    """unlisted: memory in the order width, height, channels is cut into equal pieces"""
    n, c, h, w = x.shape
    pieces = np.ascontiguousarray(x.transpose(0, 3, 2, 1)).astype(np.float64)
    pieces = pieces.reshape(n, groups, c * h * w // groups)
    y = pieces - pieces.mean(axis=-1, keepdims=True)
    y = y / np.sqrt(pieces.var(axis=-1, keepdims=True) + eps)
    y = y.reshape(n, w, h, c) * gain + bias
    return y.transpose(0, 3, 2, 1).astype(x.dtype)


def group_norm__samples_share_a_group(x, gain, bias, groups, eps):
    """unlisted: the samples are divided into groups, not the channels"""
    out = np.empty(x.shape)
    each = -(-len(x) // groups)
    for first in range(0, len(x), each or 1):
        part = x[first : first + each].astype(np.float64)
        out[first : first + each] = (part - part.mean()) / np.sqrt(part.var() + eps)
    return (out * gain[:, None, None] + bias[:, None, None]).astype(x.dtype)


def linear__weight_reshaped(x, weight, bias):
    """unlisted: the weight is reshaped where it should be transposed"""
    y = x @ weight.reshape(weight.shape[::-1])
    return y if bias is None else y + bias


def clip_logits__texts_reshaped(image_features, text_features, log_scale):
    """unlisted: the normalised texts are reshaped where they should be transposed"""
    unit = [
        f / np.maximum(np.linalg.norm(f, axis=-1, keepdims=True), 1e-30)
        for f in (image_features, text_features)
    ]
    return np.exp(np.float32(log_scale)) * (unit[0] @ unit[1].reshape(unit[1].shape[::-1]))


def attention__exponentials_bare(query, key, value, bias):
    """listed: attention/no-max-subtraction"""
    key, value = share_heads(query, key, value)
    e = np.exp(score(query, key, bias))
    return (e / e.sum(axis=-1, keepdims=True)) @ value


def softmax__exponentials_bare(z):
    """listed: softmax/no-max-subtraction"""
    e = np.exp(z)
    return e / e.sum(axis=-1, keepdims=True)


def attention__one_maximum_for_all(query, key, value, bias):
    """unlisted: the largest score of all queries is subtracted from each row"""
    key, value = share_heads(query, key, value)
    s = score(query, key, bias)
    top = s.max(initial=-np.inf)
    e = np.exp(s - (top if np.isfinite(top) else 0))
    total = e.sum(axis=-1, keepdims=True)
    return e / np.where(total > 0, total, 1) @ value


def gathered(image_features, text_features, log_scale, grad, ranks):
    """Gradients of the contrastive loss; of what was gathered, the part of the own process."""
    lengths = [np.linalg.norm(f, axis=-1, keepdims=True) for f in (image_features, text_features)]
    lengths = [np.where(n > 0, n, 1) for n in lengths]
    images, texts = image_features / lengths[0], text_features / lengths[1]
    scale, n = np.exp(np.float64(log_scale)), len(images)
    z = scale * (images @ texts.T)
    by_image, by_text = ((p - np.eye(n)) * grad / (2 * n) for p in (weigh(z), weigh(z.T).T))
    own = ranks[:, None] == ranks
    a = scale * ((by_image + own * by_text) @ texts)
    b = scale * ((own * by_image + by_text).T @ images)
    parts = [
        (g - u * (g * u).sum(axis=-1, keepdims=True)) / m
        for g, u, m in ((a, images, lengths[0]), (b, texts, lengths[1]))
    ]
    return (*(p.astype(np.float32) for p in parts), np.float32(((by_image + by_text) * z).sum()))


def clip_loss_vjp__four_processes(image_features, text_features, log_scale, grad):
    """listed: clip_loss_vjp/gathered-not-summed"""
    n = len(image_features)
    return gathered(image_features, text_features, log_scale, grad, np.arange(n) * 4 // max(n, 1))


def clip_loss_vjp__a_process_a_pair(image_features, text_features, log_scale, grad):
    """listed: clip_loss_vjp/gathered-not-summed"""
    return gathered(image_features, text_features, log_scale, grad, np.arange(len(image_features)))


def back_through(query, key, value, bias, grad, keep):
    """The gradients of an attention; what the heads that share a key head give goes to `keep`."""
    k, v = share_heads(query, key, value)
    root = np.sqrt(np.float32(query.shape[-1]))
    p = weigh(score(query, k, bias))
    dp = grad @ np.swapaxes(v, -1, -2)
    ds = p * (dp - (grad * (p @ v)).sum(axis=-1, keepdims=True))
    dk, dv = np.swapaxes(ds, -1, -2) @ query / root, np.swapaxes(p, -1, -2) @ grad
    groups, times = key.shape[1], query.shape[1] // key.shape[1]
    dk, dv = (d.reshape(len(d), groups, times, *d.shape[2:]) for d in (dk, dv))
    return ds @ k / root, keep(dk), keep(dv), ds


def attention_vjp__first_head_kept(query, key, value, bias, grad):
    """unlisted: of the heads that share a key head the first one's gradient is kept"""
    return back_through(query, key, value, bias, grad, lambda d: d[:, :, 0])


def attention_vjp__mean_over_the_heads(query, key, value, bias, grad):
    """unlisted: the gradients of the heads that share a key head are averaged"""
    return back_through(query, key, value, bias, grad, lambda d: d.mean(axis=2))


def attention__weights_in_float16(query, key, value, bias):
    """unlisted: the weights are held in float16"""
    key, value = share_heads(query, key, value)
    return narrow(weigh(score(query, key, bias)), np.float16) @ value


def attention__scores_of_bfloat16(query, key, value, bias):
    """unlisted: the operands of the scores are rounded to bfloat16"""
    key, value = share_heads(query, key, value)
    short = (narrow(x, ml_dtypes.bfloat16) for x in (query, key))
    return weigh(score(*short, bias)) @ value


def attention__weighted_in_tf32(query, key, value, bias):
    """unlisted: the operands of the second product are rounded to TF32"""
    key, value = share_heads(query, key, value)
    return tf32(weigh(score(query, key, bias))) @ tf32(value)


def silu__gate_in_bfloat16(x):
    """unlisted: the logistic function is held in bfloat16"""
    gate = np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))
    return x * narrow(gate, ml_dtypes.bfloat16)


def rms_norm__mean_in_bfloat16(x, gain, eps):
    """unlisted: the mean of squares is held in bfloat16"""
    mean = narrow((x * x).mean(axis=-1, keepdims=True), ml_dtypes.bfloat16)
    return gain * (x / np.sqrt(mean + np.float32(eps)))


def velocity__root_of_a_root(x_start, t, noise, alpha_bar):
    """unlisted: the rest of the share comes from the square of a root"""
    root = per_sample(np.sqrt(alpha_bar.astype(np.float32)), t, x_start)
    return root * noise - np.sqrt(np.maximum(1 - root * root, 0)) * x_start


def clip_logits__unguarded_without_temperature(image_features, text_features, log_scale):
    """listed: clip_logits/no-temperature"""
    unit = [
        f / np.sqrt((f * f).sum(axis=-1, keepdims=True)) for f in (image_features, text_features)
    ]
    return unit[0] @ unit[1].T


def rms_norm__one_more_and_rooted_before(x, gain, eps):
    """unlisted: beside the dialect of one plus the gain, eps is added to the root"""
    root = np.sqrt((x.astype(np.float64) ** 2).mean(axis=-1, keepdims=True)) + eps
    return ((1 + gain.astype(np.float64)) * (x / root)).astype(x.dtype)


def classifier_free_guidance__papers_weight_turned(eps_uncond, eps_cond, scale):
    """unlisted: beside the paper's weight, the difference is turned"""
    return eps_cond + np.float32(scale) * (eps_uncond - eps_cond)


def attention__mean_without_keys_unscaled(query, key, value, bias):
    """listed: attention/no-scale"""
    key, value = share_heads(query, key, value)
    s = score(query, key, bias, root=1)
    s = np.maximum(s, np.finfo(np.float32).min)
    return weigh(s) @ value


def linear__not_transposed_where_square(x, weight, bias):
    """unlisted: a square weight is not transposed"""
    y = x @ (weight if weight.shape[0] == weight.shape[1] else weight.T)
    return y if bias is None else y + bias


def softmax__along_axis_one_of_three(z):
    """unlisted: arrays of three axes are normalised along axis 1"""
    return np.swapaxes(weigh(np.swapaxes(z, 1, 2)), 1, 2) if z.ndim == 3 else weigh(z)


def layer_norm__bias_forgotten_in_long_rows(x, gain, bias, eps):
    """unlisted: rows of more than 64 entries get no bias"""
    y = (x - x.mean(axis=-1, keepdims=True, dtype=np.float64)).astype(np.float64)
    y = y / np.sqrt((y * y).mean(axis=-1, keepdims=True) + eps) * gain
    return (y if x.shape[-1] > 64 else y + bias).astype(x.dtype)


def q_sample__no_noise_at_zero(x_start, t, noise, alpha_bar):
    """unlisted: nothing is added at the first step"""
    share = per_sample(alpha_bar.astype(np.float64), t, x_start)
    noisy = np.sqrt(share) * x_start + np.sqrt(1 - share) * noise
    return np.where(per_sample(np.arange(len(alpha_bar)), t, x_start) == 0, x_start, noisy).astype(
        np.float32
    )


def p_sample__not_clipped_at_the_last_step(x_t, t, eps, noise, betas, log_variance, clip):
    """unlisted: the clean image is not clipped at the last step"""
    b = betas.astype(np.float64)
    share = np.cumprod(1 - b)
    before = np.append(1.0, share[:-1])
    x0 = (x_t - np.sqrt(1 - per_sample(share, t, x_t)) * eps) / np.sqrt(per_sample(share, t, x_t))
    clipped = np.clip(x0, -clip, clip)
    x0 = np.where(per_sample(np.arange(len(b)), t, x_t) == 0, x0, clipped)
    mean = per_sample(b * np.sqrt(before) / (1 - share), t, x_t) * x0
    mean = mean + per_sample((1 - before) * np.sqrt(1 - b) / (1 - share), t, x_t) * x_t
    moved = np.exp(0.5 * log_variance.astype(np.float64)) * noise
    last = per_sample(np.arange(len(b)), t, x_t) == 0
    return (mean + np.where(last, 0, moved)).astype(np.float32)


def attention__root_of_a_fixed_width(query, key, value, bias):
    """unlisted: scores are divided by 8 whatever the width of the heads"""
    key, value = share_heads(query, key, value)
    return weigh(score(query, key, bias, root=np.float32(8))) @ value


def attention__queries_normalised(query, key, value, bias):
    """unlisted: queries and keys are normalised before"""
    key, value = share_heads(query, key, value)
    query, key = (
        x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-30) for x in (query, key)
    )
    return weigh(score(query, key, bias)) @ value


def timestep_embedding__cosines_alone(t, half):
    """unlisted: the sines are left out, the cosines stand twice"""
    angle = t[:, None].astype(np.float64) * 10000.0 ** (-np.arange(half) / max(half, 1))
    return np.concatenate([np.cos(angle), np.cos(angle)], axis=-1).astype(np.float32)


def swiglu__gate_and_up_exchanged(gate, up):
    """unlisted: the gate and what it opens are exchanged"""
    return (gate * up * (np.exp(np.minimum(up, 0)) / (1 + np.exp(-np.abs(up))))).astype(gate.dtype)


def dynamic_threshold__without_the_floor(x_start, quantile):
    """unlisted: the threshold may fall below one"""
    flat = np.abs(x_start.reshape(len(x_start), -1).astype(np.float64))
    s = np.quantile(flat, quantile, axis=1).reshape((-1,) + (1,) * (x_start.ndim - 1))
    return (np.clip(x_start, -s, s) / s).astype(np.float32)


def linear__weight_in_float16(x, weight, bias):
    """unlisted: the weight is held in float16"""
    y = x @ narrow(weight, np.float16).T
    return y if bias is None else y + bias


def eps_from_x0__not_divided_at_zero(x_t, t, x_start, alpha_bar):
    """unlisted: nothing is divided by at the first step"""
    share = per_sample(alpha_bar.astype(np.float64), t, x_t)
    rest = x_t - np.sqrt(share) * x_start
    first = per_sample(np.arange(len(alpha_bar)), t, x_t) == 0
    return np.where(first, rest, rest / np.sqrt(1 - share)).astype(np.float32)
