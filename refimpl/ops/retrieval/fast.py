"""Compiled twins of retrieval: same names, same arguments, same steps."""

import numpy as np
from numba import njit

from refimpl.compiled import threads
from refimpl.compiled.threads import PIECES, share
from refimpl.compiled.tiles import dots

NEAR = 6144  # numbers of documents that stay in the first cache while all queries meet them
LEAST = 64  # documents in a part, or more


def mean_pool(x, keep):
    y = np.empty((len(x), x.shape[2]), x.dtype)
    _mean_pool(x, keep, y)
    return y


@njit(cache=True)
def _mean_pool(x, keep, y):
    number = x.dtype.type
    for b in range(x.shape[0]):
        count = number(0)
        y[b] = number(0)
        for n in range(x.shape[1]):
            if keep[b, n]:
                count += number(1)
                for d in range(x.shape[2]):
                    y[b, d] += x[b, n, d]
        y[b] /= count


def mean_pool_vjp(keep, grad):
    shares = grad / keep.sum(axis=1)[:, None].astype(grad.dtype)
    return np.where(keep[..., None] > 0, shares[:, None], grad.dtype.type(0))


def max_similarity(queries, queries_keep, documents, documents_keep):
    (B, N, D), (Q, M, _) = queries.shape, documents.shape
    products = queries.reshape(B * N, D) @ documents.reshape(Q * M, D).T
    scores = np.zeros((B, Q), queries.dtype)
    _max_similarity(products.reshape(B, N, Q, M), queries_keep, documents_keep, scores)
    return scores


@njit(cache=True)
def _max_similarity(products, queries_keep, documents_keep, scores):
    B, N, Q, M = products.shape
    for b in range(B):
        for q in range(Q):
            for n in range(N):
                if queries_keep[b, n]:
                    best = products.dtype.type(-np.inf)
                    for m in range(M):
                        if documents_keep[q, m]:
                            best = max(best, products[b, n, q, m])
                    scores[b, q] += best


def ranks(scores, positive):
    found = np.ones(len(scores), np.int64)
    _ranks(scores, positive, found)
    return found


@njit(cache=True)
def _ranks(scores, positive, found):
    for n in range(scores.shape[0]):
        own = scores[n, positive[n]]
        for m in range(scores.shape[1]):
            if scores[n, m] > own or (scores[n, m] == own and m < positive[n]):
                found[n] += 1


def recall_at_k(relevance, relevant, k):
    return relevance[:, :k].sum(axis=1) / np.maximum(relevant, 1).astype(relevance.dtype)


def average_precision(relevance, relevant):
    places = np.arange(1, relevance.shape[1] + 1).astype(relevance.dtype)
    gained = (relevance * (np.cumsum(relevance, axis=1) / places)).sum(axis=1)
    return gained / np.maximum(relevant, 1).astype(relevance.dtype)


def reciprocal_rank(relevance):
    return (relevance / np.arange(1, relevance.shape[1] + 1).astype(relevance.dtype)).max(axis=1)


def ndcg(gains, judged, k):
    reached, possible = _gained(gains, k), _gained(-np.sort(-judged, axis=1), k)
    return np.where(possible > 0, reached, 0) / np.where(possible > 0, possible, 1)


def _gained(gains, k):
    gains = gains[:, :k]
    return (gains / np.log2(np.arange(2, gains.shape[1] + 2).astype(gains.dtype))).sum(axis=1)


def ranking(scores):
    return np.argsort(-scores, axis=-1, kind="stable")


def precision_at_k(relevance, k):
    if k < 1:
        raise ValueError("k is 0, expected at least 1")
    return relevance[:, :k].sum(axis=1) / relevance.dtype.type(k)


def best(queries, documents, count):
    """The best documents of each query and their inner products; of equals the first one first.

    Each part of the documents is read once and keeps its own best, of which the best are kept.
    """
    (B, _), M = queries.shape, len(documents)
    count = min(count, M)
    parts = min(PIECES * threads.count(), max(M // LEAST, 1))
    tops = np.full((parts, B, count), -np.inf, queries.dtype)
    found = np.full(tops.shape, M)  # behind all there are, where a part has too few
    if tops.size:
        each = -(-M // parts)
        given = np.ascontiguousarray(queries), np.ascontiguousarray(documents)
        share(_search, parts, each * queries.size, each, *given, tops, found)
    tops = np.moveaxis(tops, 0, 1).reshape(B, parts * count)
    found = np.moveaxis(found, 0, 1).reshape(B, parts * count)
    order = np.lexsort((found, -tops), axis=-1)[:, :count]
    return np.take_along_axis(found, order, 1), np.take_along_axis(tops, order, 1)


@njit(cache=True, nogil=True)
def _search(first, last, each, queries, documents, tops, found):
    B, M = len(queries), len(documents)
    rows = max(NEAR // max(documents.shape[1], 1) // 4 * 4, 4)
    scores = np.empty((min(rows, each), B), queries.dtype)
    for part in range(first, last):
        limits = tops[part, :, -1].copy()  # what a document must exceed
        for start in range(part * each, min((part + 1) * each, M), rows):
            end = min(start + rows, (part + 1) * each, M)
            dots(start, end, documents, queries, scores)
            seen = start - part * each
            _keep_best(scores[: end - start], start, seen, limits, tops[part], found[part])


@njit(cache=True)
def _keep_best(scores, start, seen, limits, tops, found):
    """Insert what is larger than the last of those kept; what is no number counts as -inf."""
    count = tops.shape[1]
    for m in range(scores.shape[0]):
        if seen + m >= count and not _any_above(scores[m], limits):
            continue
        for b in range(scores.shape[1]):
            score = scores[m, b]
            if seen + m >= count and not score > limits[b]:
                continue
            score = score if score == score else scores.dtype.type(-np.inf)
            place = min(seen + m, count - 1)
            while place > 0 and score > tops[b, place - 1]:
                tops[b, place], found[b, place] = tops[b, place - 1], found[b, place - 1]
                place -= 1
            tops[b, place], found[b, place] = score, start + m
            limits[b] = tops[b, count - 1]


@njit(cache=True)
def _any_above(scores, limits):
    """Is any score above its limit? Counted without a branch, so that it runs wide."""
    above = 0
    for b in range(scores.size):
        above += scores[b] > limits[b]
    return above > 0
