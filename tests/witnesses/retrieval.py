"""Retrieval, one word or one document at a time."""

import math

import numpy as np


def mean_pool(x, keep):
    result = np.zeros((len(x), x.shape[2]))
    for b, d in np.ndindex(result.shape):
        kept = [float(x[b, n, d]) for n in range(x.shape[1]) if keep[b, n]]
        result[b, d] = math.fsum(kept) / len(kept)
    return result


def mean_pool_vjp(keep, grad):
    result = np.zeros((*keep.shape, grad.shape[1]))
    for b, n, d in np.ndindex(result.shape):
        if keep[b, n]:
            result[b, n, d] = grad[b, d] / sum(int(k) for k in keep[b])
    return result


def max_similarity(queries, queries_keep, documents, documents_keep):
    result = np.zeros((len(queries), len(documents)))
    for b, q in np.ndindex(result.shape):
        best = []
        for n in range(queries.shape[1]):
            if not queries_keep[b, n]:
                continue
            found = [
                math.fsum(queries[b, n, d] * documents[q, m, d] for d in range(queries.shape[2]))
                for m in range(documents.shape[1])
                if documents_keep[q, m]
            ]
            best.append(max(found, default=-math.inf))
        result[b, q] = -math.inf if -math.inf in best else math.fsum(best)
    return result


def ranks(scores, positive):
    found = []
    for row, right in zip(scores, positive, strict=True):
        order = sorted(range(len(row)), key=lambda m, row=row: (-row[m], m))
        found.append(order.index(int(right)) + 1)
    return np.array(found)


def recall_at_k(relevance, relevant, k):
    hits = [sum(1 for g in row[:k] if g) for row in relevance]
    return np.array([h / int(r) if r else 0.0 for h, r in zip(hits, relevant, strict=True)])


def average_precision(relevance, relevant):
    found = []
    for row, total in zip(relevance, relevant, strict=True):
        hits, precisions = 0, []
        for place, g in enumerate(row, 1):
            if g:
                hits += 1
                precisions.append(hits / place)
        found.append(math.fsum(precisions) / int(total) if total else 0.0)
    return np.array(found)


def reciprocal_rank(relevance):
    firsts = [next((place for place, g in enumerate(row, 1) if g), None) for row in relevance]
    return np.array([1 / place if place else 0.0 for place in firsts])


def _gained(row, k):
    return math.fsum(float(g) / math.log2(place + 1) for place, g in enumerate(row[:k], 1))


def ndcg(gains, judged, k):
    found = []
    for row, every in zip(gains, judged, strict=True):
        possible = _gained(sorted(every, reverse=True), k)
        found.append(_gained(row, k) / possible if possible else 0.0)
    return np.array(found)


def ranking(scores):
    return np.array(
        [sorted(range(len(row)), key=lambda m, row=row: (-row[m], m)) for row in scores], dtype=int
    ).reshape(scores.shape)


def precision_at_k(relevance, k):
    return np.array([sum(1 for g in row[:k] if g) / k for row in relevance])
