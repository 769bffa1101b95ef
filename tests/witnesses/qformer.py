"""What stands between towers, one number at a time."""

import itertools
import math
from fractions import Fraction

import numpy as np


def qformer_embed(queries, words, positions, gain, shift, eps):
    B, N, D = words.shape
    result = np.zeros((B, len(queries) + N, D))
    for b, n in np.ndindex(result.shape[:2]):
        if n < len(queries):
            x = queries[n]
        else:
            place = n - len(queries)
            x = [words[b, place, d] + positions[place, d] for d in range(D)]
        mean = math.fsum(x) / D
        variance = math.fsum((v - mean) ** 2 for v in x) / D
        for d in range(D):
            result[b, n, d] = gain[d] * (x[d] - mean) / math.sqrt(variance + eps) + shift[d]
    return result


def _norm_back(x, gain, eps, grad):
    """The gradient by one vector before a layer norm, by the Jacobian, and the normed vector."""
    D = len(x)
    mean = math.fsum(x) / D
    root = math.sqrt(math.fsum((v - mean) ** 2 for v in x) / D + eps)
    y = [(v - mean) / root for v in x]
    back = [
        math.fsum(grad[j] * gain[j] * ((i == j) - 1 / D - y[i] * y[j] / D) / root for j in range(D))
        for i in range(D)
    ]
    return back, y


def qformer_embed_vjp(queries, words, positions, gain, eps, grad):
    queries_grad, words_grad = np.zeros(queries.shape), np.zeros(words.shape)
    positions_grad = np.zeros(positions.shape)
    gain_grad, shift_grad = np.zeros(gain.shape), np.zeros(gain.shape)
    for b, n in np.ndindex(grad.shape[:2]):
        place = n - len(queries)
        x = queries[n] if place < 0 else words[b, place] + positions[place]
        back, y = _norm_back(x, gain, eps, grad[b, n])
        for d in range(len(gain)):
            gain_grad[d] += grad[b, n, d] * y[d]
            shift_grad[d] += grad[b, n, d]
            if place < 0:
                queries_grad[n, d] += back[d]
            else:
                words_grad[b, place, d] = back[d]
                positions_grad[place, d] += back[d]
    return queries_grad, words_grad, positions_grad, gain_grad, shift_grad


def _dense(x, weight, bias):
    return [
        math.fsum([w * v for w, v in zip(row, x, strict=True)] + [b])
        for row, b in zip(weight, bias, strict=True)
    ]


def _attended(asked, told, values, scores_bias, heads):
    """What one vector takes from many, head by head."""
    E, result = len(asked) // heads, []
    for h in range(heads):
        own = range(h * E, (h + 1) * E)
        scores = [
            math.fsum(asked[e] * key[e] for e in own) / math.sqrt(E) + more
            for key, more in zip(told, scores_bias, strict=True)
        ]
        if not scores or max(scores) == -math.inf:
            result += [0.0] * E
            continue
        shares = _shares(scores)
        result += [math.fsum(s * v[e] for s, v in zip(shares, values, strict=True)) for e in own]
    return result


def _added(x, y, gain, shift, eps):
    """The layer norm of a sum."""
    z = [a + b for a, b in zip(x, y, strict=True)]
    mean = math.fsum(z) / len(z)
    root = math.sqrt(math.fsum((v - mean) ** 2 for v in z) / len(z) + eps)
    return [g * (v - mean) / root + s for v, g, s in zip(z, gain, shift, strict=True)]


def qformer_layer(x, image, queries, heads, bias, eps, **p):
    (B, N, D), result = x.shape, np.zeros(x.shape)
    seen = np.zeros((B, 1, N, N)) + (0 if bias is None else bias)
    for b, n in np.ndindex(B, N):
        query, key, value = (
            [_dense(z, p["self_weight"][i : i + D], p["self_bias"][i : i + D]) for z in x[b]]
            for i in (0, D, 2 * D)
        )
        mixed = _attended(query[n], key, value, seen[b, 0, n], heads)
        told = _dense(mixed, p["self_out_weight"], p["self_out_bias"])
        z = _added(x[b, n], told, p["self_norm_gain"], p["self_norm_bias"], eps)
        if n < queries and image is not None:
            key, value = (
                [_dense(m, p["image_weight"][part], p["image_bias"][part]) for m in image[b]]
                for part in (slice(D), slice(D, None))
            )
            asked = _dense(z, p["query_weight"], p["query_bias"])
            mixed = _attended(asked, key, value, [0.0] * len(key), heads)
            told = _dense(mixed, p["image_out_weight"], p["image_out_bias"])
            z = _added(z, told, p["image_norm_gain"], p["image_norm_bias"], eps)
        kind = "queries" if n < queries else "words"
        hidden = _dense(z, p[f"{kind}_in_weight"], p[f"{kind}_in_bias"])
        hidden = [v * math.erfc(-v / math.sqrt(2)) / 2 for v in hidden]
        told = _dense(hidden, p[f"{kind}_out_weight"], p[f"{kind}_out_bias"])
        result[b, n] = _added(z, told, p[f"{kind}_norm_gain"], p[f"{kind}_norm_bias"], eps)
    return result


def _cosine(one, other):
    lengths = math.sqrt(math.fsum(v * v for v in one)) * math.sqrt(math.fsum(v * v for v in other))
    product = math.fsum(a * b for a, b in zip(one, other, strict=True))
    return product / lengths if lengths else 0.0


def itc_similarity(images, texts):
    return np.array(
        [[max(_cosine(query, text) for query in image) for text in texts] for image in images]
    ).reshape(len(images), len(texts))


def _cosine_back(x, other, slope):
    """The gradient of a cosine by x, from its quotient: the product and both squared lengths."""
    own, its = (math.fsum(v * v for v in y) for y in (x, other))
    product = math.fsum(a * b for a, b in zip(x, other, strict=True))
    both = math.sqrt(own) * math.sqrt(its)
    return [slope * (o / both - product * v / (both * own)) for v, o in zip(x, other, strict=True)]


def itc_similarity_vjp(images, texts, grad):
    images_grad, texts_grad = np.zeros(images.shape), np.zeros(texts.shape)
    for n, m in np.ndindex(grad.shape):
        cosines = [_cosine(query, texts[m]) for query in images[n]]
        q = cosines.index(max(cosines))
        images_grad[n, q] += _cosine_back(images[n, q], texts[m], grad[n, m])
        texts_grad[m] += _cosine_back(texts[m], images[n, q], grad[n, m])
    return images_grad, texts_grad


def _shares(scores):
    weights = [math.exp(score - max(scores)) for score in scores]
    return [weight / math.fsum(weights) for weight in weights]


def _log_total(scores):
    return max(scores) + math.log(math.fsum(math.exp(s - max(scores)) for s in scores))


def itc_loss(similarity, temperature, smoothing):
    logits, N = similarity / temperature, len(similarity)
    costs = []
    for n in range(N):
        for line in (logits[n], logits[:, n]):
            costs.append((1 - smoothing) * (_log_total(line) - line[n]))
            costs += [smoothing / N * (_log_total(line) - score) for score in line]
    return np.array(math.fsum(costs) / (2 * N))


def itc_loss_vjp(similarity, temperature, smoothing, grad):
    logits, N = similarity / temperature, len(similarity)
    result = np.zeros((N, N))
    for n, m in np.ndindex(N, N):
        label = smoothing / N + (1 - smoothing if n == m else 0)
        asked = _shares(logits[n])[m] - label + _shares(logits[:, m])[n] - label
        result[n, m] = grad * asked / (2 * N * temperature)
    return result


def hard_negative_weights(similarity, temperature):
    N = len(similarity)
    result = np.zeros((N, N))
    for n in range(N):
        others = [m for m in range(N) if m != n]
        for m, share in zip(
            others, _shares([similarity[n, m] / temperature for m in others]), strict=True
        ):
            result[n, m] = share
    return result


def splice_tokens(words, ids, image_id, images):
    result = np.zeros(words.shape)
    for b in range(len(words)):
        rest = iter(images[b])
        for n, word in enumerate(words[b]):
            result[b, n] = next(rest) if ids[b, n] == image_id else word
    return result


def splice_tokens_vjp(ids, image_id, images, grad):
    words_grad, images_grad = np.zeros(grad.shape), np.zeros(images.shape)
    for b in range(len(grad)):
        count = 0
        for n in range(grad.shape[1]):
            if ids[b, n] == image_id:
                images_grad[b, count] = grad[b, n]
                count += 1
            else:
                words_grad[b, n] = grad[b, n]
    return words_grad, images_grad


def vqa_score(answers, matches):
    """By leaving each of the people out."""
    scores = []
    for number in matches:
        people = [1] * int(number) + [0] * (answers - int(number))
        rest = itertools.combinations(people, answers - 1)
        total = sum(min(Fraction(sum(others), 3), Fraction(1)) for others in rest)
        scores.append(float(total / answers))
    return np.array(scores)
