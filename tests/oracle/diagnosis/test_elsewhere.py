"""Mistakes and conventions of the catalogue, met in programs as people write them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from refimpl.oracle.diagnosis.causes import causes
from refimpl.oracle.diagnosis.evidence import Evidence
from refimpl.registry import OPS
from tests.harness import cases, outputs

DOUBLE = np.float64
WRITTEN: list[tuple[str, Callable]] = []  # the entry, and a program written without it


def listed(edit: str) -> Callable:
    def keep(function: Callable) -> Callable:
        WRITTEN.append((edit, function))
        return function

    return keep


@listed("relu/leaky")
def leaky_relu(x):
    return x.astype(DOUBLE) * np.where(x < 0, 0.01, 1)


@listed("relu/stops-at-six")
def relu6(x):
    return np.clip(x, 0, 6)


@listed("relu/absolute")
def magnitude(x):
    return abs(x)


@listed("relu_vjp/guided")
def guided_backpropagation(x, grad):
    return grad * ((x > 0) & (grad > 0))


@listed("relu_vjp/open-at-zero")
def heaviside_with_one(x, grad):
    return grad * np.heaviside(x, 1)


@listed("geglu/activation-on-up")
def geglu_of_the_second_half(gate, up):
    import math

    error = np.vectorize(math.erf, otypes=[DOUBLE])
    return gate * (up.astype(DOUBLE) / 2 * (1 + error(up.astype(DOUBLE) / math.sqrt(2))))


@listed("swiglu/rectifier")
def reglu(gate, up):
    return (gate > 0) * gate * up.astype(DOUBLE)


@listed("swiglu/sum")
def gate_added(gate, up):
    return gate / (1 + np.exp(-gate.astype(DOUBLE))) + up


@listed("swiglu_vjp/exchanged")
def packed_in_the_other_order(gate, up, grad):
    share = 1 / (1 + np.exp(-gate.astype(DOUBLE)))
    return grad * gate * share, grad * up * share * (1 + gate * (1 - share))


@listed("embed_tokens/padding-row")
def padding_index_zero(ids, table):
    return table[ids] * (ids != 0)[..., None]


@listed("embed_tokens/scaled")
def scaled_as_transformers_are(ids, table):
    return table.astype(DOUBLE)[ids] * table.shape[1] ** 0.5


@listed("rotary_embedding/pairs")
def complex_rotation(x, angles):
    turned = (x[..., ::2] + 1j * x[..., 1::2]) * np.exp(1j * angles.astype(DOUBLE))
    return np.stack((turned.real, turned.imag), -1).reshape(x.shape)


@listed("rotary_embedding/other-way")
def conjugated(x, angles):
    one, two = np.split(x.astype(DOUBLE), 2, -1)
    turned = (one + 1j * two) * np.exp(-1j * angles.astype(DOUBLE))
    return np.concatenate((turned.real, turned.imag), -1)


@listed("halves_from_pairs/the-way-back")
def interleaved(x):
    result = np.empty_like(x)
    result[..., ::2], result[..., 1::2] = np.split(x, 2, -1)
    return result


@listed("alibi_bias/key-positions")
def bloom(query_positions, key_positions, heads):
    near = 1 << (heads.bit_length() - 1)
    slopes = [2.0 ** (-8 * (h + 1) / near) for h in range(near)]
    slopes += [2.0 ** (-4 * (h + 1) / near) for h in range(0, 2 * (heads - near), 2)]
    rows = np.ones((len(query_positions), 1)) * key_positions
    return np.array([slope * rows for slope in slopes])


@listed("relative_bias/keys-for-queries")
def axes_reversed(table, buckets):
    return table[buckets].T


@listed("relative_bias_vjp/last-one-counts")
def assigned(table, buckets, grad):
    rows = np.zeros_like(table)
    rows[buckets] = np.moveaxis(grad, 0, -1)
    return rows


@listed("resize_positions/class-token-lost")
def class_token_without_position(positions, rows, cols, tall, wide):
    resized = OPS["resize_positions"].text(positions.astype(DOUBLE), rows, cols, tall, wide)
    return np.vstack((0 * resized[:1], resized[1:]))


@listed("preference_loss/hinge")
def margin(chosen, rejected):
    return np.maximum(0, rejected.astype(DOUBLE) - chosen).mean()


@listed("preference_loss/summed")
def reduction_sum(chosen, rejected):
    return np.logaddexp(0, rejected.astype(DOUBLE) - chosen).sum()


@listed("kl_positive/k2")
def half_of_the_square(log_probs, reference):
    return (log_probs.astype(DOUBLE) - reference) ** 2 / 2


@listed("kl_positive/k1")
def plain_difference(log_probs, reference):
    return log_probs.astype(DOUBLE) - reference


@listed("whiten/unbiased")
def bessel(x, keep, eps):
    chosen = x[keep > 0].astype(DOUBLE)
    return np.where(keep > 0, (x - chosen.mean()) / np.sqrt(chosen.var(ddof=1) + eps), 0)


@listed("group_advantage/biased")
def standardised(rewards, eps):
    centred = rewards - rewards.astype(DOUBLE).mean(1, keepdims=True)
    return centred / (rewards.astype(DOUBLE).std(1, keepdims=True) + eps)


@listed("group_advantage/leave-one-out")
def rloo(rewards, eps):
    count = rewards.shape[1]
    others = (rewards.astype(DOUBLE).sum(1, keepdims=True) - rewards) / (count - 1)
    return rewards - others


@listed("ppo_loss/not-clipped")
def importance_weighted(log_probs, old, advantages, keep, clip):
    ratio = np.exp(log_probs.astype(DOUBLE) - old)
    return -(ratio * advantages * keep).sum() / keep.sum()


@listed("standardize_embedding/variance-for-deviation")
def divided_by_the_variance(embedding, mean, std):
    return (embedding.astype(DOUBLE) - mean) / std.astype(DOUBLE) ** 2


@listed("prior_bias/padding-seen")
def triangle_alone(keep):
    count = keep.shape[1] + 4
    return np.tile(np.triu(np.full((count, count), -np.inf), 1), (len(keep), 1, 1, 1))


@listed("context_tokens/token-after-token")
def viewed(projection, tokens):
    return projection.reshape(len(projection), tokens, projection.shape[1] // max(tokens, 1))


@listed("null_condition/zeros")
def dropped_to_zero(x, null, keep):
    return x * keep[:, None, None]


@listed("pad_text/added")
def padding_added(embedding, padding, keep):
    return embedding + padding.astype(DOUBLE) * (1 - keep)[..., None]


@listed("log_snr_cosine/no-offset")
def without_offset(t, offset):
    return -np.log(np.maximum(np.tan(t.astype(DOUBLE) * np.pi / 2) ** 2, 1e-5))


@listed("log_snr_linear/not-squared")
def linear_in_time(t):
    return -np.log(np.expm1(1e-4 + 10 * t.astype(DOUBLE)))


@listed("text_times/own-token-left-out")
def exclusive_cumulative_sum(media):
    return np.cumsum(media, 1) - media


@listed("gated_residual/not-bounded")
def learned_scale(x, branch, gate):
    return x + branch.astype(DOUBLE) * gate


@listed("gated_residual/logistic")
def sigmoid_gate(x, branch, gate):
    return x + branch / (1 + np.exp(-gate.astype(DOUBLE)))


@listed("qformer_embed/words-first")
def queries_behind(queries, words, positions, gain, shift, eps):
    behind = np.broadcast_to(queries, (len(words), *queries.shape))
    tokens = np.append(words.astype(DOUBLE) + positions, behind, axis=1)
    centred = tokens - tokens.mean(-1, keepdims=True)
    return centred / np.sqrt(tokens.var(-1, keepdims=True) + eps) * gain + shift


@listed("itc_similarity/mean-over-queries")
def averaged_over_queries(images, texts):
    def unit(x):
        length = np.linalg.norm(x.astype(DOUBLE), axis=-1, keepdims=True)
        return x / np.where(length == 0, 1, length)

    return np.einsum("qld,td->qt", unit(images), unit(texts)) / images.shape[1]


@listed("itc_loss/images-alone")
def one_direction(similarity, temperature, smoothing):
    logits = similarity.astype(DOUBLE) / temperature
    shifted = logits - logits.max(1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    own, every = np.diag(log_probs), log_probs.mean(1)
    return -((1 - smoothing) * own + smoothing * every).mean()


@listed("hard_negative_weights/own-removed-afterwards")
def fill_diagonal(similarity, temperature):
    logits = similarity.astype(DOUBLE) / temperature
    weights = np.exp(logits - logits.max(1, keepdims=True))
    weights /= weights.sum(1, keepdims=True)
    np.fill_diagonal(weights, 0)
    return weights


@listed("vqa_score/nobody-left-out")
def min_of_thirds(answers, matches):
    del answers
    return np.minimum(matches.astype(DOUBLE) / 3, 1)


@listed("merge_order/reading-order")
def row_by_row(rows, cols, merge):
    return np.arange(rows * cols)


@listed("inverse_order/order-again")
def gathered_instead_of_scattered(order):
    return order.copy()


@listed("mrope_angles/time-alone")
def text_only(positions, sections, base):
    count = sum(int(s) for s in sections)
    return positions[0].astype(DOUBLE)[..., None] * DOUBLE(base) ** (-np.arange(count) / count)


@listed("mean_pool/maximum")
def max_pooling(x, keep):
    return np.where(keep[..., None] > 0, x, -np.inf).max(1)


@listed("mean_pool_vjp/padding-counted")
def mean_of_all(keep, grad):
    return (keep / keep.shape[1])[..., None] * grad[:, None].astype(DOUBLE)


@listed("reciprocal_rank/summed")
def every_hit_counts(relevance):
    return (relevance / np.arange(1.0, relevance.shape[1] + 1)).sum(1)


@listed("ndcg/exponential")
def letor(gains, judged, k):
    def cumulated(row):
        return sum((2.0**g - 1) / np.log2(i + 2) for i, g in enumerate(row[:k]))

    ideal = [cumulated(sorted(row, reverse=True)) for row in judged.tolist()]
    pairs = zip(gains.tolist(), ideal)
    return np.array([cumulated(row) / best if best else 0 for row, best in pairs])


@listed("ndcg/not-discounted")
def cumulative_gain(gains, judged, k):
    best = np.sort(judged.astype(DOUBLE))[:, ::-1][:, :k].sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(best > 0, gains.astype(DOUBLE)[:, :k].sum(1) / best, 0)


@listed("ranking/higher-index-first")
def reversed_sort(scores):
    return np.argsort(scores, axis=-1, kind="stable")[:, ::-1]


@listed("precision_at_k/hit-rate")
def any_hit(relevance, k):
    return (relevance[:, :k] > 0).any(1).astype(DOUBLE)


@listed("recall_at_k/capped")
def metric_learning(relevance, relevant, k):
    hits = relevance[:, :k].astype(DOUBLE).sum(1)
    return hits / np.maximum(np.minimum(relevant, k), 1)


@listed("sigmas_from_alpha_bar/not-divided")
def of_the_scaled_sample(alpha_bar):
    return (1 - alpha_bar.astype(DOUBLE)) ** 0.5


@listed("karras_sigmas/rho-always-seven")
def seventh_roots(levels, low, high, rho):
    ramp = np.linspace(0, 1, levels)
    return (high ** (1 / 7) + ramp * (low ** (1 / 7) - high ** (1 / 7))) ** 7.0


@listed("exponential_sigmas/equal-steps")
def linspace(levels, low, high):
    return np.linspace(DOUBLE(high), DOUBLE(low), levels)


@listed("edm_weights/data-of-a-half")
def sigma_data_of_the_paper(sigma, sigma_data):
    wide = sigma.astype(DOUBLE)
    return (wide**2 + 0.25) / (wide * 0.5) ** 2


@listed("euler_step/guess-taken-for-noise")
def epsilon_expected(x, denoised, sigma, sigma_next):
    return x + denoised.astype(DOUBLE) * (sigma_next - sigma)


@listed("euler_ancestral_step/all-the-way-down")
def noise_on_top(x, denoised, noise, sigma, sigma_next, eta):
    x, ratio = x.astype(DOUBLE), sigma_next / sigma
    up = eta * sigma_next * (1 - ratio**2) ** 0.5
    return denoised + ratio * (x - denoised) + up * noise


@listed("plms_eps/no-warm-up-of-third-order")
def second_order_until_four(history):
    weights = {1: [1.0], 2: [1.5, -0.5], 3: [1.5, -0.5, 0.0]}
    four = [55 / 24, -59 / 24, 37 / 24, -9 / 24]
    return np.tensordot(weights.get(len(history), four), history.astype(DOUBLE), 1)


@listed("ddim_inversion/begins-with-the-first-share")
def first_share_at_the_clean_sample(x, t_next, t, eps, alpha_bar):
    def share(time):
        at = alpha_bar.astype(DOUBLE)[np.maximum(time, 0)]
        return at.reshape(-1, *[1] * (x.ndim - 1))

    now, later = share(t), share(t_next)
    clean = (x - np.sqrt(1 - now) * eps) / np.sqrt(now)
    return np.sqrt(later) * clean + np.sqrt(1 - later) * eps


@pytest.mark.parametrize(("edit", "program"), WRITTEN, ids=[edit for edit, _ in WRITTEN])
def test_the_entry_is_recognised_in_a_program_of_others(edit, program):
    op, seen = OPS[edit.partition("/")[0]], []
    for case in cases(op, "float32", 14):
        with np.errstate(all="ignore"):
            said = outputs(program(**case.typed(op)))
        seen.append((case, [np.asarray(x).astype(np.float32) for x in said]))
    found = causes(Evidence(op, "float32", seen))
    assert edit in [cause.id for cause in found], found
