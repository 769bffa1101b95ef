"""What the catalogues of the newer chapters list is met in code that was written without them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from refimpl.oracle.diagnosis.causes import causes
from refimpl.oracle.diagnosis.evidence import Evidence
from refimpl.registry import OPS
from tests.harness import cases, outputs

FLOAT64 = np.float64
WRITTEN: dict[str, tuple[Callable, str]] = {}  # by whom does not matter: what the catalogue says


def listed(edit: str) -> Callable:
    def keep(function: Callable) -> Callable:
        WRITTEN[function.__name__] = (function, edit)
        return function

    return keep


def log_probs(z):
    z = z.astype(FLOAT64)
    top = z.max(-1, keepdims=True)
    return z - top - np.log(np.exp(z - top).sum(-1, keepdims=True))


def told(z, labels):
    return np.take_along_axis(log_probs(z), labels[..., None], -1)[..., 0]


@listed("masked_cross_entropy/padding-counted")
def masked_cross_entropy(logits, labels, keep):
    return -(told(logits, labels) * keep).mean()


@listed("next_token_loss/keep-not-shifted")
def next_token_loss(logits, ids, keep):
    return -(told(logits[:, :-1], ids[:, 1:]) * keep[:, :-1]).sum() / keep[:, :-1].sum()


@listed("smoothed_cross_entropy/over-the-others")
def smoothed_cross_entropy(logits, labels, keep, smoothing):
    every, own = log_probs(logits), told(logits, labels)
    others = (every.sum(-1) - own) / max(logits.shape[-1] - 1, 1)
    return -(((1 - smoothing) * own + smoothing * others) * keep).sum() / keep.sum()


@listed("perplexity/mean-of-texts")
def perplexity(nats, keep):
    each = (nats.astype(FLOAT64) * keep).sum(1) / np.maximum(keep.sum(1), 1)
    return np.exp(each.mean())


@listed("mean_pool/padding-counted")
def mean_pool(x, keep):
    return np.einsum("bnd,bn->bd", x.astype(FLOAT64), keep) / x.shape[1]


@listed("max_similarity/padding-wins")
def max_similarity(queries, queries_keep, documents, documents_keep):
    scores = np.einsum("bnd,qmd->bqnm", queries.astype(FLOAT64), documents)
    best = (scores * documents_keep[None, :, None]).max(-1)
    return (best * queries_keep[:, None]).sum(-1)


@listed("average_precision/of-the-found")
def average_precision(relevance, relevant):
    hits = relevance.astype(FLOAT64)
    shares = hits.cumsum(1) / np.arange(1, hits.shape[1] + 1)
    return (shares * hits).sum(1) / np.maximum(hits.sum(1), 1)


@listed("recall_at_k/precision")
def recall_at_k(relevance, relevant, k):
    return relevance[:, :k].sum(1).astype(FLOAT64) / k


@listed("rotary_embedding/pairs-in-halves-out")
def rotary_embedding(x, angles):
    turned = (x[..., ::2] + 1j * x[..., 1::2]) * np.exp(1j * angles.astype(FLOAT64))
    return np.concatenate((turned.real, turned.imag), -1)


@listed("rotary_angles/base-ignored")
def rotary_angles(positions, half, base):
    return positions[:, None].astype(FLOAT64) / 10000.0 ** (np.arange(half) / half)


@listed("alibi_bias/one-sequence")
def alibi_bias(query_positions, key_positions, heads):
    slopes = [2.0 ** (-8 * (h + 1) / heads) for h in range(heads)]
    apart = np.abs(query_positions[:, None].astype(FLOAT64) - key_positions)
    return np.stack([-slope * apart for slope in slopes])


@listed("relative_bias/first-head")
def relative_bias(table, buckets):
    return np.stack([table[:, 0][buckets]] * table.shape[1])


@listed("embed_tokens_vjp/last-one-counts")
def embed_tokens_vjp(ids, table, grad):
    rows = np.zeros_like(table)
    for b, n in np.ndindex(ids.shape):
        rows[ids[b, n]] = grad[b, n]
    return rows


@listed("penalize_repetition/always-divided")
def penalize_repetition(logits, seen, penalty):
    return np.where(seen > 0, logits.astype(FLOAT64) / penalty, logits)


@listed("gae/carried-over-ends")
def gae(rewards, values, bootstrap, done, discount, trace):
    last, rows = 0.0, []
    following = np.append(values[:, 1:], bootstrap[:, None], 1).astype(FLOAT64)
    surprise = rewards + discount * (1 - done) * following - values
    for column in surprise.T[::-1]:
        last = column + discount * trace * last
        rows.insert(0, last)
    return np.array(rows).T


@listed("dpo_loss/not-smoothed")
def dpo_loss(chosen, rejected, chosen_reference, rejected_reference, beta, smoothing):
    one, other = chosen.astype(FLOAT64) - chosen_reference, rejected - rejected_reference
    return np.logaddexp(0, -beta * (one - other)).mean()


@listed("value_loss/minimum")
def value_loss(values, old, returns, keep, clip):
    near = np.clip(values.astype(FLOAT64), old - clip, old + clip)
    losses = np.minimum((values - returns) ** 2, (near - returns) ** 2)
    return (losses * keep).sum() / keep.sum() / 2


@listed("kl_positive/one-forgotten")
def kl_positive(log_probs, reference):
    ratio = reference.astype(FLOAT64) - log_probs
    return np.exp(ratio) - ratio


@listed("heun_step/second-slope-at-the-first-level")
def heun_step(x, denoised, denoised_next, sigma, sigma_next):
    step = sigma_next - sigma
    slope = (x.astype(FLOAT64) - denoised) / sigma
    ahead = x + step * slope
    return x + step * (slope + (ahead - denoised_next) / sigma) / 2


@listed("dpm_solver_step/ratio-inverted")
def dpm_solver_step(x, denoised, denoised_before, sigma_before, sigma, sigma_next):
    before, h = np.log(FLOAT64(sigma_before) / sigma), np.log(FLOAT64(sigma) / sigma_next)
    slope = (denoised.astype(FLOAT64) - denoised_before) / (2 * h / before)
    return sigma_next / sigma * x + (1 - sigma_next / sigma) * (denoised + slope)


@listed("churn/level-difference")
def churn(x, noise, sigma, amount, low, high):
    more = min(amount, 2**0.5 - 1) if low <= sigma <= high else 0
    risen = sigma + sigma * more
    return x + (risen - sigma) * noise.astype(FLOAT64), risen


@listed("swiglu/activation-on-up")
def swiglu(gate, up):
    return gate * up.astype(FLOAT64) / (1 + np.exp(-up.astype(FLOAT64)))


@listed("unpatchify/channels-last")
def unpatchify(patches, patch, rows, channels):
    count, columns = len(patches), patches.shape[1] // max(rows, 1)
    grid = patches.reshape(count, rows, columns, patch, patch, channels)
    return np.einsum("brcyxk->bkrycx", grid).reshape(count, channels, rows * patch, columns * patch)


@pytest.mark.parametrize("name", WRITTEN)
def test_the_entry_is_recognised(name):
    target, edit = WRITTEN[name]
    seen = []
    for case in cases(OPS[name], "float32", 14):
        with np.errstate(all="ignore"):
            said = outputs(target(**case.typed(OPS[name])))
        seen.append((case, [np.asarray(x).astype(np.float32) for x in said]))
    found = causes(Evidence(OPS[name], "float32", seen))
    assert edit in [cause.id for cause in found], found
    assert {cause.id.partition("/")[0] for cause in found} == {name}
