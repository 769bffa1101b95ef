"""Twins of what stands between towers: same names, same arguments, same steps."""

import numpy as np

from refimpl.axes import AxesError
from refimpl.compiled.threads import contiguous
from refimpl.ops.attention.fast import attention, multi_head_attention
from refimpl.ops.layers.fast import (
    l2_normalize,
    l2_normalize_vjp,
    layer_norm,
    layer_norm_vjp,
    linear,
    log_softmax,
    softmax,
)
from refimpl.ops.layers.fast_activations import gelu


def qformer_embed(queries, words, positions, gain, shift, eps):
    B, N, D = words.shape
    latents = len(queries)
    tokens = np.empty((B, latents + N, D), words.dtype)
    tokens[:, :latents] = queries
    np.add(words, positions, out=tokens[:, latents:])
    return layer_norm(tokens, gain, shift, eps)


def qformer_embed_vjp(queries, words, positions, gain, eps, grad):
    B, N, D = words.shape
    L = len(queries)
    if grad.shape[1] != L + N:
        raise AxesError(f"qformer_embed_vjp: grad has {grad.shape[1]} tokens, expected {L + N}")
    tokens = np.empty((B, L + N, D), words.dtype)
    tokens[:, :L] = queries
    np.add(words, positions, out=tokens[:, L:])
    tokens_grad, gain_grad, shift_grad = layer_norm_vjp(tokens, gain, eps, grad)
    shared = tokens_grad.sum(axis=0)
    return shared[:L], tokens_grad[:, L:], shared[L:], gain_grad, shift_grad


def _split(x, heads):
    B, N, width = x.shape
    return contiguous(x.reshape(B, N, heads, width // heads).swapaxes(1, 2))


def _think(x, in_weight, in_bias, out_weight, out_bias, gain, shift, eps):
    hidden = gelu(linear(x, in_weight, in_bias))
    return layer_norm(x + linear(hidden, out_weight, out_bias), gain, shift, eps)


def qformer_layer(
    x,
    image,
    self_weight,
    self_bias,
    self_out_weight,
    self_out_bias,
    self_norm_gain,
    self_norm_bias,
    query_weight,
    query_bias,
    image_weight,
    image_bias,
    image_out_weight,
    image_out_bias,
    image_norm_gain,
    image_norm_bias,
    queries_in_weight,
    queries_in_bias,
    queries_out_weight,
    queries_out_bias,
    queries_norm_gain,
    queries_norm_bias,
    words_in_weight,
    words_in_bias,
    words_out_weight,
    words_out_bias,
    words_norm_gain,
    words_norm_bias,
    queries,
    heads,
    bias,
    eps,
):
    own = self_weight, self_bias, self_out_weight, self_out_bias
    x = x + multi_head_attention(x, x, *own, heads, bias)
    x = layer_norm(x, self_norm_gain, self_norm_bias, eps)
    asking = contiguous(x[:, :queries])  # B latents H*E
    words = contiguous(x[:, queries:])

    if image is not None:
        query = _split(linear(asking, query_weight, query_bias), heads)
        both = np.split(linear(image, image_weight, image_bias), 2, axis=-1)
        key, value = (_split(z, heads) for z in both)
        mixed = contiguous(attention(query, key, value, None).swapaxes(1, 2))
        seen = linear(mixed.reshape(asking.shape), image_out_weight, image_out_bias)
        asking = layer_norm(asking + seen, image_norm_gain, image_norm_bias, eps)

    of_queries = queries_in_weight, queries_in_bias, queries_out_weight, queries_out_bias
    asking = _think(asking, *of_queries, queries_norm_gain, queries_norm_bias, eps)
    of_words = words_in_weight, words_in_bias, words_out_weight, words_out_bias
    words = _think(words, *of_words, words_norm_gain, words_norm_bias, eps)
    return np.concatenate((asking, words), axis=1)


def itc_similarity(images, texts):
    if not images.shape[1]:
        raise AxesError(f"itc_similarity: images have shape {images.shape}, expected vectors")
    texts = contiguous(l2_normalize(texts).T)
    cosines = np.matmul(l2_normalize(images), texts)
    return cosines.max(axis=1)


def itc_similarity_vjp(images, texts, grad):
    if not images.shape[1]:
        raise AxesError(f"itc_similarity_vjp: images have shape {images.shape}, expected vectors")
    unit, asked = l2_normalize(images), l2_normalize(texts)
    best = np.matmul(unit, contiguous(asked.T)).argmax(axis=1)
    passed = np.zeros((*images.shape[:2], len(texts)), grad.dtype)
    np.put_along_axis(passed, best[:, None], grad[:, None], axis=1)
    rows = len(images) * images.shape[1]
    told = np.matmul(passed.reshape(rows, len(texts)).T, unit.reshape(rows, unit.shape[2]))
    images_grad = l2_normalize_vjp(images, np.matmul(passed, asked))
    return images_grad, l2_normalize_vjp(texts, told)


def _turned(x):
    return contiguous(x.T)


def itc_loss(similarity, temperature, smoothing):
    number, N = similarity.dtype.type, len(similarity)
    if not N:
        raise AxesError("itc_loss: similarity has N=0, expected pairs")
    logits = similarity / number(temperature)
    both = log_softmax(logits) + log_softmax(_turned(logits)).T
    pairs, all_of_them = np.trace(both), both.sum()
    mixed = number(1 - smoothing) * pairs + number(smoothing / N) * all_of_them
    return -mixed / number(2 * N)


def itc_loss_vjp(similarity, temperature, smoothing, grad):
    number, N = similarity.dtype.type, len(similarity)
    if not N:
        raise AxesError("itc_loss_vjp: similarity has N=0, expected pairs")
    logits = similarity / number(temperature)
    apart = softmax(logits) + softmax(_turned(logits)).T - number(2 * smoothing / N)
    apart[np.arange(N), np.arange(N)] -= number(2 * (1 - smoothing))
    return grad * apart / number(2 * N * temperature)


def hard_negative_weights(similarity, temperature):
    N = len(similarity)
    if N < 2:
        raise AxesError(f"hard_negative_weights: similarity has N={N}, expected another pair")
    logits = similarity / similarity.dtype.type(temperature)
    with np.errstate(invalid="ignore"):  # of an infinity nothing is known, and softmax says so
        logits[np.arange(N), np.arange(N)] += -np.inf
    return softmax(logits)


def _room(op, ids, image_id, count):
    room = ids == image_id
    if (room.sum(axis=1) != count).any():
        raise AxesError(f"{op}: ids keep room for {room.sum(axis=1)}, expected {count}")
    return room


def splice_tokens(words, ids, image_id, images):
    room = _room("splice_tokens", ids, image_id, images.shape[1])
    y = words.copy()
    y[room] = images.reshape(-1, images.shape[2])
    return y


def splice_tokens_vjp(ids, image_id, images, grad):
    room = _room("splice_tokens_vjp", ids, image_id, images.shape[1])
    words_grad = grad.copy()
    words_grad[room] = 0
    return words_grad, grad[room].reshape(images.shape)


def vqa_score(answers, matches):
    if (matches > answers).any():
        raise AxesError(f"vqa_score: matches has {matches}, expected at most {answers}")
    number = matches.dtype.type
    kept = (number(answers) - matches) * np.minimum(matches / number(3), number(1))
    left_out = matches * np.minimum((matches - number(1)) / number(3), number(1))
    return (kept + left_out) / number(answers)
