"""Right and wrong implementations as people write them in plain Python and NumPy.

The first line of each docstring says what is wrong; `tests.planted.corpus` reads it.
"""

from __future__ import annotations

import itertools
import math

import numpy as np


def rows(x):
    """The rows of an array as lists of float64."""
    return np.asarray(x, np.float64).reshape(-1, np.shape(x)[-1])


def back(result, like):
    return np.asarray(result, np.float64).reshape(like.shape).astype(np.float32)


def column(table, t, like):
    return np.asarray(table)[t].reshape((-1,) + (1,) * (like.ndim - 1))


def shares(betas):
    return np.cumprod(1 - betas.astype(np.float64))


def softened(row, guard=0.0):
    """The weights of one row of scores; none where everything is masked."""
    top = max(row)
    if top == -math.inf:
        return [0.0] * len(row)
    weights = [math.exp(z - top) for z in row]
    total = sum(weights) + guard
    return [w / total for w in weights]


def tables(betas):
    """Coefficients of the posterior's mean."""
    b, bar = betas.astype(np.float64), shares(betas)
    before = np.concatenate([[1.0], bar[:-1]])
    return b * np.sqrt(before) / (1 - bar), (1 - before) * np.sqrt(1 - b) / (1 - bar)


def linear__bias_of_both_shards(x, weight, bias):
    """listed: linear/bias-twice"""
    y = sum(
        np.matmul(x[..., half].astype(float), weight[:, half].T.astype(float))
        + (0 if bias is None else bias)
        for half in (slice(0, x.shape[-1] // 2), slice(x.shape[-1] // 2, None))
    )
    return y.astype(np.float32)


def layer_norm__eps_of_the_framework(x, gain, bias, eps):
    """listed: layer_norm/fixed-eps"""
    result = []
    for row in rows(x):
        mean = sum(row) / len(row)
        variance = sum((v - mean) ** 2 for v in row) / len(row)
        result.append((row - mean) / math.sqrt(variance + 1e-5) * gain + bias)
    return back(result, x)


def group_norm__every_nth_channel(x, gain, bias, groups, eps):
    """listed: group_norm/strided-groups"""
    y = np.zeros(x.shape)
    for b in range(x.shape[0]):
        for g in range(groups):
            part = x[b, g::groups].astype(float)
            y[b, g::groups] = (part - part.mean()) / np.sqrt(part.var() + eps)
    y = y * gain[:, None, None] + bias[:, None, None]
    return y.astype(np.float32)


def softmax__plain_exponentials(z):
    """listed: softmax/no-max-subtraction"""
    weights = np.exp(z)
    return weights / weights.sum(axis=-1, keepdims=True)


def softmax__sum_plus_a_little(z):
    """listed: softmax/guarded-sum"""
    return back([softened(row, 1e-6) for row in rows(z)], z)


def l2_normalize__added_epsilon(x):
    """listed: l2_normalize/coarse-guard"""
    return back([row / (math.sqrt(sum(v * v for v in row)) + 1e-6) for row in rows(x)], x)


def log_softmax__log_of_p_plus(z):
    """listed: log_softmax/guarded-log"""
    return back([[math.log(p + 1e-9) for p in softened(row)] for row in rows(z)], z)


def sigmoid__quotient(z):
    """listed: sigmoid/overflowing-quotient"""
    return np.exp(z) / (1 + np.exp(z))


def gelu_tanh__four_digits(x):
    """listed: gelu_tanh/short-constant"""
    k = math.sqrt(2 / math.pi)
    return back([v / 2 * (1 + math.tanh(k * (v + 0.0447 * v**3))) for v in x.ravel().tolist()], x)


def patchify__down_then_right(images, patch):
    """listed: patchify/column-major-grid"""
    B, C, height, width = images.shape
    patches = [
        images[:, :, top : top + patch, left : left + patch].reshape(B, C * patch * patch)
        for left in range(0, width, patch)
        for top in range(0, height, patch)
    ]
    return np.stack(patches, axis=1)


def vit_tokens__positions_late(patches, class_token, positions):
    """listed: vit_tokens/positions-shifted-by-one"""
    B, N, D = patches.shape
    out = np.zeros((B, N + 1, D), np.float32)
    for b in range(B):
        out[b, 0] = class_token + positions[0]
        for n in range(N):
            out[b, n + 1] = patches[b, n] + positions[n]
    return out


def causal_bias_lower_right__from_the_top(queries, keys):
    """listed: causal_bias_lower_right/upper-left"""
    out = np.full((queries, keys), -np.inf)
    for i in range(queries):
        out[i, : i + 1] = 0
    return out


def prefix_bias__one_more(prefix, tokens):
    """listed: prefix_bias/one-too-many"""
    out = np.full((tokens, tokens), -np.inf)
    for i in range(tokens):
        for j in range(tokens):
            if j <= prefix or j <= i:
                out[i, j] = 0
    return out


def block_diagonal_bias__padding_is_zero(segments):
    """listed: block_diagonal_bias/zero-is-padding"""
    n = len(segments)
    out = np.full((n, n), -np.inf)
    for i in range(n):
        for j in range(n):
            if segments[i] == segments[j] and segments[j] > 0:
                out[i, j] = 0
    return out


def linear_schedule__stops_before_the_end(steps, beta_start, beta_end):
    """listed: linear_schedule/last-end-left-out"""
    return np.array([beta_start + (beta_end - beta_start) * i / steps for i in range(steps)])


def zero_terminal_snr__not_stretched(betas):
    """listed: zero_terminal_snr/shift-only"""
    root = np.sqrt(shares(betas))
    bar = (root - root[-1]) ** 2
    alphas = np.append(bar[:1], bar[1:] / bar[:-1])
    return (1 - alphas).astype(np.float32)


def fixed_small_log_variance__zero_at_the_start(betas):
    """listed: fixed_small_log_variance/log-of-zero"""
    bar = shares(betas)
    before = np.append(1.0, bar[:-1])
    return np.log(betas * (1 - before) / (1 - bar)).astype(np.float32)


def learned_range_log_variance__network_taken_as_share(v, t, betas):
    """listed: learned_range_log_variance/not-rescaled"""
    bar = shares(betas)
    small = betas[1:] * (1 - bar[:-1]) / (1 - bar[1:])
    low, high = np.log(np.append(small[:1], small)), np.log(betas.astype(float))
    low, high = column(low, t, v), column(high, t, v)
    return (v * high + (1 - v) * low).astype(np.float32)


def sampled(x_t, t, eps, noise, betas, log_variance, clip):
    """One step of p_sample, noise at every time."""
    bar = column(shares(betas), t, x_t)
    x0 = np.clip((x_t - np.sqrt(1 - bar) * eps) / np.sqrt(bar), -clip, clip)
    one, two = (column(table, t, x_t) for table in tables(betas))
    return one * x0 + two * x_t, np.exp(log_variance.astype(float) / 2) * noise


def p_sample__noise_to_the_end(x_t, t, eps, noise, betas, log_variance, clip):
    """listed: p_sample/noise-at-the-end"""
    mean, spread = sampled(x_t, t, eps, noise, betas, log_variance, clip)
    return (mean + spread).astype(np.float32)


def ddim_step__table_from_one(x_t, t, t_prev, eps, noise, alpha_bar, eta):
    """listed: ddim_step/time-counted-from-one"""
    table = [*alpha_bar.astype(float), 1.0]
    result = np.zeros(x_t.shape)
    for b in range(len(x_t)):
        a, p = table[t[b] - 1], table[t_prev[b]]
        sigma = eta * np.sqrt((1 - p) / np.float64(1 - a)) * np.sqrt(1 - a / p)
        x0 = (x_t[b] - math.sqrt(1 - a) * eps[b]) / math.sqrt(a)
        rest = np.sqrt(np.maximum(1 - p - sigma**2, 0))
        result[b] = math.sqrt(p) * x0 + rest * eps[b] + sigma * noise[b]
    return result.astype(np.float32)


def respaced_timesteps__truncated(steps, counts):
    """listed: respaced_timesteps/cut-off"""
    kept, start = [], 0
    for i, count in enumerate(counts):
        size = steps // len(counts) + (i < steps % len(counts))
        stride = 1.0 if count <= 1 else (size - 1) / (count - 1)
        kept += [start + int(i * (size - 1) / max(count - 1, 1) + 0 * stride) for i in range(count)]
        start += size
    return np.array(kept, dtype=np.int64)


def respaced_betas__of_the_kept(betas, timesteps):
    """listed: respaced_betas/picked"""
    return np.array([betas[i] for i in timesteps])


def attended(query, key, value, bias, weigh):
    """Attention, query by query; `weigh` makes weights of a list of scores."""
    B, H, N, E = query.shape
    M, shared = key.shape[2], H // key.shape[1]
    seen = np.zeros((B, H, N, M)) if bias is None else np.broadcast_to(bias, (B, H, N, M))
    out = np.zeros((B, H, N, value.shape[3]))
    for b, h, n in np.ndindex(B, H, N):
        keys, values = key[b, h // shared].astype(float), value[b, h // shared].astype(float)
        scores = keys @ query[b, h, n] / math.sqrt(E) + seen[b, h, n]
        out[b, h, n] = np.array(weigh(scores)) @ values
    return out.astype(np.float32)


def attention__sum_plus_a_little(query, key, value, bias):
    """listed: attention/guarded-sum"""
    return attended(query, key, value, bias, lambda row: softened(row, 1e-6))


def attention__scores_clipped(query, key, value, bias):
    """listed: attention/clipped-scores"""
    bounded = lambda row: [s if s == -math.inf else min(max(s, -10), 10) for s in row]  # noqa: E731
    return attended(query, key, value, bias, lambda row: softened(bounded(row)))


def dynamic_threshold__below_one(x_start, quantile):
    """listed: dynamic_threshold/no-lower-limit"""
    out = np.zeros(x_start.shape)
    for b, image in enumerate(x_start.astype(float)):
        s = np.quantile(np.abs(image), quantile)
        out[b] = np.clip(image, -s, s) / s
    return out.astype(np.float32)


def timestep_embedding__ho_and_others(t, half):
    """listed: timestep_embedding/ho"""
    out = np.zeros((len(t), 2 * half))
    for b, time in enumerate(t.tolist()):
        for i in range(half):
            angle = time * math.exp(-math.log(10000) * i / max(half - 1, 1))
            out[b, i], out[b, half + i] = math.sin(angle), math.cos(angle)
    return out.astype(np.float32)


def q_step__variance_squared(x_prev, t, noise, betas):
    """unlisted: the signal's factor is the root of one minus beta squared"""
    b = column(betas.astype(float), t, x_prev)
    return (np.sqrt(1 - b * b) * x_prev + np.sqrt(b) * noise).astype(np.float32)


def timestep_embedding__sines_twice(t, half):
    """unlisted: sines where the cosines belong"""
    w = np.exp(-math.log(10000) * np.arange(half) / half)
    waves = np.sin(t[:, None].astype(float) * w)
    return np.concatenate([waves, waves], axis=1).astype(np.float32)


def score_from_eps__share_squared(eps, t, alpha_bar):
    """unlisted: the share is squared, as if the table held its roots"""
    a = column(alpha_bar.astype(float), t, eps)
    return (-eps / np.sqrt(1 - a**2)).astype(np.float32)


def dynamic_threshold__clipped_at_one(x_start, quantile):
    """unlisted: clipped at one, and divided by the threshold"""
    flat = np.abs(x_start).reshape(len(x_start), math.prod(x_start.shape[1:]))
    s = np.quantile(flat, quantile, 1)
    s = np.maximum(s, 1).reshape((-1,) + (1,) * (x_start.ndim - 1))
    return np.clip(x_start, -1, 1) / s.astype(np.float32)


def siglip_loss__signs_turned(image_features, text_features, log_scale, bias):
    """unlisted: minus one on the diagonal and one beside it"""
    images, texts = (
        np.array([r / (math.sqrt(sum(r * r)) or 1) for r in rows(x)]).reshape(x.shape)
        for x in (image_features, text_features)
    )
    total = 0.0
    for i, image in enumerate(images):
        for j, text in enumerate(texts):
            z = math.exp(log_scale) * float(image @ text) + bias
            total += np.logaddexp(0, z if i == j else -z)
    return np.float32(total / len(images))


def scaled_linear_schedule__from_the_end(steps, beta_start, beta_end):
    """unlisted: the ends are exchanged"""
    a, b = math.sqrt(beta_end), math.sqrt(beta_start)
    return np.array([(a + (b - a) * i / max(steps - 1, 1)) ** 2 for i in range(steps)])


def cosine_schedule__quarter_turn_forgotten(steps, offset, beta_max):
    """unlisted: the angle is not halved"""
    f = [math.cos(math.pi * (i / steps + offset) / (1 + offset)) ** 2 for i in range(steps + 1)]
    return np.array([min(1 - b / a, beta_max) for a, b in itertools.pairwise(f)], np.float32)


def rms_norm__stored_gain_and_late_eps(x, gain, eps):
    """two: rms_norm/eps-outside-root and rms_norm/gain-plus-one"""
    length = np.sqrt(np.mean(np.square(x, dtype=float), axis=-1, keepdims=True))
    return (x / (length + eps) * (1 + gain)).astype(np.float32)


def velocity__turned_and_not_rooted(x_start, t, noise, alpha_bar):
    """two: velocity/not-rooted and velocity/negated"""
    a = column(alpha_bar.astype(float), t, x_start)
    return ((1 - a) * x_start - a * noise).astype(np.float32)


def q_posterior__two_roots_forgotten(x_start, x_t, t, betas):
    """two: q_posterior/alpha-not-rooted and q_posterior/share-before-not-rooted"""
    b, bar = betas.astype(np.float64), shares(betas)
    before = np.concatenate([[1.0], bar[:-1]])
    variance = b * (1 - before) / (1 - bar)
    mean = column(b * before / (1 - bar), t, x_t) * x_start
    mean = mean + column((1 - before) * (1 - b) / (1 - bar), t, x_t) * x_t
    log_variance = np.log(np.append(variance[1], variance[1:]))
    spread = [np.broadcast_to(column(v, t, x_t), x_t.shape) for v in (variance, log_variance)]
    return tuple(np.asarray(a, np.float32) for a in (mean, *spread))


def sinusoidal_positions__half_scaled(positions, half):
    """two: sinusoidal_positions/rising-frequencies and sinusoidal_positions/counts-from-one"""
    out = np.zeros((len(positions), 2 * half))
    for n, position in enumerate(positions.tolist()):
        for i in range(half):
            angle = (position + 1) * 10000 ** (i / half)
            out[n, 2 * i], out[n, 2 * i + 1] = math.sin(angle), math.cos(angle)
    return out.astype(np.float32)


def layer_norm__honest_welford(x, gain, bias, eps):
    """honest: mean and variance in one pass, updated entry by entry"""
    result = []
    for row in rows(x):
        mean = squares = 0.0
        for n, v in enumerate(row, 1):
            step = v - mean
            mean += step / n
            squares += step * (v - mean)
        result.append((row - mean) / math.sqrt(squares / len(row) + eps) * gain + bias)
    return back(result, x)


def softmax__honest_online(z):
    """honest: maximum and sum in one pass"""
    result = []
    for row in rows(z):
        top, total = -math.inf, 0.0
        for v in row:
            higher = max(top, v)
            if higher > -math.inf:
                total = total * math.exp(top - higher) + math.exp(v - higher)
            top = higher
        shown = top > -math.inf
        result.append([math.exp(v - top) / total if shown else 0.0 for v in row])
    return back(result, z)


def sigmoid__honest_tanh(z):
    """honest: by way of the hyperbolic tangent, in float64"""
    return back([math.exp(min(v, 0)) / (1 + math.exp(-abs(v))) for v in z.ravel().tolist()], z)


def attention__honest_rows(query, key, value, bias):
    """honest: query by query in float64"""
    return attended(query, key, value, bias, softened)


def patchify__honest_slices(images, patch):
    """honest: patch by patch"""
    B, C, height, width = images.shape
    out = np.zeros((B, (height // patch) * (width // patch), C * patch * patch), images.dtype)
    for n, (row, col) in enumerate(np.ndindex(height // patch, width // patch)):
        tile = images[:, :, row * patch : (row + 1) * patch, col * patch : (col + 1) * patch]
        out[:, n] = tile.reshape(B, C * patch * patch)
    return out


def p_sample__honest_rows(x_t, t, eps, noise, betas, log_variance, clip):
    """honest: noise everywhere but at t = 0"""
    mean, spread = sampled(x_t, t, eps, noise, betas, log_variance, clip)
    later = column(np.arange(len(betas)), t, x_t) > 0
    return np.where(later, mean + spread, mean).astype(np.float32)


def respaced_betas__honest_products(betas, timesteps):
    """honest: one minus the product of the signal factors since the last time kept"""
    ends = [-1, *timesteps.tolist()]
    kept = [np.prod(1 - betas[a + 1 : b + 1].astype(float)) for a, b in itertools.pairwise(ends)]
    return (1 - np.array(kept, np.float64)).astype(np.float32)
