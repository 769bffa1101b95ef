"""Compiled twins of CLIP: same names, same arguments, same steps.

The loss of a large batch never holds all its logits: they are made in square blocks, twice for the
gradient. Where no exponential of a logit leaves the range of the float type, each is computed once
for its row and its column; otherwise the logits of some rows at a time are taken below the largest
of their row, and below that of their column. Several threads share the blocks, or their rows, in
kernels that take a range `first` to `last`; `contract` lets a product and a sum round once,
`reassoc` lets a sum run in several lanes.
"""

import math

import numpy as np
from numba import njit

from refimpl.compiled.arithmetic import (
    add,
    as_bits,
    dot,
    largest,
    mantissa_and_exponent,
    read_only,
    sum_of,
)
from refimpl.compiled.threads import multiply, one_blas_thread, share

BLOCK = 1 << 23  # logits that are held at a time
SIDE = 512  # of a square block


def clip_logits(image_features, text_features, log_scale):
    number = image_features.dtype.type
    cosines = multiply(_l2_normalize(image_features), _l2_normalize(text_features).T)  # N M
    return np.exp(number(log_scale)) * cosines


def _l2_normalize(x):
    u = np.empty(x.shape, x.dtype)
    share(_normalize_rows, *x.shape, x, u)
    return u


@njit(cache=True, nogil=True, error_model="numpy")
def _normalize_rows(first, last, x, u):
    D = x.shape[1]
    for n in range(first, last):
        norm = np.sqrt(dot(x[n], x[n]))
        if norm == 0:  # the zero vector stays zero
            norm = x.dtype.type(1)
        for d in range(D):
            u[n, d] = x[n, d] / norm


def clip_logits_vjp(image_features, text_features, log_scale, grad):
    scale = np.exp(image_features.dtype.type(log_scale))
    images, texts = _l2_normalize(image_features), _l2_normalize(text_features)
    images_grad, texts_grad = scale * multiply(grad, texts), scale * multiply(grad.T, images)
    _across(image_features, images, images_grad)
    _across(text_features, texts, texts_grad)
    log_scale_grad = np.sum(grad * (scale * multiply(images, texts.T)))
    return images_grad, texts_grad, log_scale_grad


def _across(x, u, grad):
    """The part of each gradient that is orthogonal to its feature, over the feature's length."""
    share(_across_rows, *x.shape, x, u, grad)


@njit(cache=True, nogil=True, error_model="numpy")
def _across_rows(first, last, x, u, grad):
    D = x.shape[1]
    for n in range(first, last):
        along, norm = dot(u[n], grad[n]), np.sqrt(dot(x[n], x[n]))
        if norm == 0:  # the zero vector passes grad on
            norm = x.dtype.type(1)
        for d in range(D):
            grad[n, d] = (grad[n, d] - u[n, d] * along) / norm


def clip_loss(image_features, text_features, log_scale):
    images, texts = _l2_normalize(image_features), _l2_normalize(text_features)
    scale = np.exp(image_features.dtype.type(log_scale))
    found = _plain_totals(images, texts, scale)
    return found[2] if found else _log_totals(images, texts, scale)[2]


def _plain_totals(images, texts, scale):
    """The sums of 2^-k exp(logit) of each row and each column, the loss, k, and the held blocks.

    k lets the largest logit that two unit vectors can have be as far below the largest number as
    the smallest is above the smallest; None where an exponential is not normal all the same.
    """
    number, (N, D) = images.dtype.type, images.shape
    widest = math.log(np.finfo(number).max) - math.log(max(N, 1)) - 1
    if not (N and 0 < scale < 2 * widest):
        return None
    power = max(math.ceil((float(scale) - widest) / math.log(2)), 0)
    side, scaled = _side(N), read_only(scale * texts)
    by_image, own, by_text = np.zeros(N), np.zeros(N), np.zeros(N)
    held = np.empty(N * N if N * N <= BLOCK else 0, number)

    def work(first, last):
        columns, tile = np.zeros(N), np.empty(side * side, number)
        given = images, scaled, power, by_image, own, columns, side
        good = _total_blocks(first, last, *given, held, as_bits(held), tile, as_bits(tile))
        partial.append((columns, good))

    partial: list = []
    with one_blas_thread():
        share(work, -(-N // side), side * N * D // 16)
    for columns, good in partial:
        if not good:
            return None
        by_text += columns
    loss = (np.mean(np.log(by_image)) + np.mean(np.log(by_text))) / 2 + power * math.log(2)
    return by_image, by_text, number(loss - np.mean(own)), power, held


def _side(N):
    """The side of a block: N in equal parts."""
    return -(-N // -(-N // SIDE))


@njit(cache=True, nogil=True)
def _total_blocks(
    first,
    last,
    images,
    scaled,
    power,
    by_image,
    own,
    by_text,
    side,
    held,
    held_bits,
    memory,
    memory_bits,
):
    """Blocks of rows, added to the sums; False where an exponential is not a normal number."""
    N = len(images)
    for block in range(first, last):
        start = block * side
        rows = min(side, N - start)
        for left in range(0, N, side):
            size = min(side, N - left)
            at = start * N + rows * left
            if held.size:
                tile, bits = held[at : at + rows * size], held_bits[at : at + rows * size]
            else:
                tile, bits = memory[: rows * size], memory_bits[: rows * size]
            tile = tile.reshape(rows, size)
            np.dot(images[start : start + rows], scaled[left : left + size].T, tile)  # rows size
            if left == start:
                for row in range(rows):
                    own[start + row] = tile[row, row]  # the label of row n is n
            columns = np.zeros(size, images.dtype)
            for row in range(rows):
                by_image[start + row] += _exp_of_row(tile[row], power, columns)
            if not _normal(bits):
                return False
            for column in range(size):
                by_text[left + column] += columns[column]
    return True


@njit(cache=True, fastmath={"reassoc", "contract"})
def _exp_of_row(row, power, columns):
    """Replace a row by its exponentials, which are added to the columns; returns their sum."""
    total = row.dtype.type(0)
    for k in range(row.size):
        row[k] = _exp_less(row[k], power)
        total += row[k]
        columns[k] += row[k]
    return total


@njit(cache=True)
def _normal(bits):
    """Are all these positive floats normal numbers? Their bits rise with their size."""
    least, most = bits[0], bits[0]
    for k in range(1, bits.size):
        least = bits[k] if bits[k] < least else least
        most = bits[k] if bits[k] > most else most
    fraction, infinity = (23, 255) if bits.itemsize == 4 else (52, 2047)
    return least >> fraction >= 1 and most >> fraction < infinity


def _log_totals(images, texts, scale):
    """The logarithms of the sums that both softmaxes divide by, of each row and each column."""
    number, N = images.dtype.type, len(images)
    by_image, own = np.empty(N, number), np.empty(N, number)  # N, N
    top, total = np.full(N, -np.inf, number), np.zeros(N, number)  # N, N, of the rows so far
    for first, logits in _blocks(images, texts, scale):
        share(_log_total_of_rows, *logits.shape, first, logits, as_bits(logits), by_image, own)
        share(_add_to_columns, N, len(logits), logits, top, total)
    by_text = top + np.log(total)  # N
    loss = (np.sum(by_image - own) / number(N) + np.sum(by_text - own) / number(N)) / number(2)
    return by_image, by_text, loss


def _blocks(images, texts, scale):
    """The logits, a block of rows at a time, each in the memory of the one before."""
    N = len(images)
    rows = max(min(BLOCK // max(N, 1), N), 1)
    scaled, memory = scale * texts.T, np.empty((rows, N), images.dtype)  # D N, rows N
    for first in range(0, N, rows):
        block = images[first : first + rows]
        yield first, multiply(block, scaled, memory[: len(block)])  # rows N


@njit(cache=True, nogil=True)
def _log_total_of_rows(first, last, start, logits, bits, log_totals, own):
    for row in range(first, last):
        top = largest(bits[row])
        log_totals[start + row] = top + np.log(_sum_of_exp(logits[row], top))
        own[start + row] = logits[row, start + row]  # the label of row n is n


@njit(cache=True)
def _sum_of_exp(z, top):
    """In pieces that stay in the first cache: exponentials, then their sum."""
    total = z.dtype.type(0)
    piece = np.empty(min(z.size, 256), z.dtype)
    for start in range(0, z.size, 256):
        part = z[start : start + 256]
        for k in range(part.size):
            piece[k] = _exp(part[k] - top)
        total += sum_of(piece[: part.size])
    return total


@njit(cache=True, forceinline=True)
def _exp(x):
    return _exp_less(x, 0)


@njit(cache=True, forceinline=True, fastmath={"contract"})
def _exp_less(x, power):
    """2^-power times the exponential, without a call, so that a loop of it runs wide.

    What would be subnormal is 0, and what lies within a factor of √2 of the largest number may be
    infinity.
    """
    if isinstance(x, np.float32):
        number = np.float32
        low = number(number(power) * number(0.6931472) - number(88))
        high = number(number(power) * number(0.6931472) + number(89))
        x = low if x < low else x
        x = high if x > high else x
        p, n = mantissa_and_exponent(x)
        return p * np.int32(np.int32(n + 127 - power) << 23).view(number)
    else:
        low, high = power * 0.6931471805599453 - 709.2, power * 0.6931471805599453 + 710.0
        x = low if x < low else x
        x = high if x > high else x
        p, n = mantissa_and_exponent(x)
        return p * np.int64((n + 1023 - power) << 52).view(np.float64)


@njit(cache=True, nogil=True)
def _add_to_columns(first, last, logits, top, total):
    """Add rows to the sum of exponentials of each column, below the largest logit so far."""
    top, total = top[first:last], total[first:last]
    before = top.copy()
    for row in range(len(logits)):
        own = logits[row, first:last]
        for k in range(top.size):
            top[k] = own[k] if not own[k] <= top[k] else top[k]
    for k in range(top.size):
        if before[k] > -np.inf:
            total[k] *= _exp(before[k] - top[k])
    for row in range(len(logits)):
        own = logits[row, first:last]
        for k in range(top.size):
            total[k] += _exp(own[k] - top[k])


def clip_loss_vjp(image_features, text_features, log_scale, grad):
    number = image_features.dtype.type
    scale = np.exp(number(log_scale))
    images, texts = _l2_normalize(image_features), _l2_normalize(text_features)
    found = _plain_totals(images, texts, scale)
    if found:
        images_grad, texts_grad = _plain_slopes(images, texts, scale, number(grad), *found)
    else:
        images_grad, texts_grad = _careful_slopes(images, texts, scale, number(grad))
    images_grad *= scale
    texts_grad *= scale
    log_scale_grad = _dot_of_rows(images, images_grad)  # of logits and their gradients
    _across(image_features, images, images_grad)
    _across(text_features, texts, texts_grad)
    return images_grad, texts_grad, number(log_scale_grad)


def _dot_of_rows(x, y):
    products = np.empty(len(x), x.dtype)
    share(_dots, *x.shape, x, y, products)
    return np.sum(products, dtype=np.float64)


@njit(cache=True, nogil=True)
def _dots(first, last, x, y, products):
    for n in range(first, last):
        products[n] = dot(x[n], y[n])


def _plain_slopes(images, texts, scale, grad, by_image, by_text, _, power, held):
    """What the gradients of logits make of texts and of images, from the sums."""
    number, (N, D) = images.dtype.type, images.shape
    factor, side = float(grad) / (2 * N), _side(N)
    shares = (factor / by_image).astype(number), (factor / by_text).astype(number)
    images_grad, scaled = np.zeros_like(images), read_only(scale * texts)
    spare: list = []  # sums over the blocks that a thread has done

    def work(first, last):
        try:
            texts_grad = spare.pop()
        except IndexError:
            texts_grad = np.zeros_like(texts)
        given = images, texts, scaled, power, *shares, number(factor)
        _slope_blocks(first, last, *given, held, side, images_grad, texts_grad)
        spare.append(texts_grad)

    with one_blas_thread():
        share(work, -(-N // side), side * N * D // 16)
    texts_grad = spare.pop()
    for other in spare:
        texts_grad += other
    return images_grad, texts_grad


@njit(cache=True, nogil=True)
def _slope_blocks(
    first,
    last,
    images,
    texts,
    scaled,
    power,
    by_image,
    by_text,
    factor,
    held,
    side,
    images_grad,
    texts_grad,
):
    N, D = images.shape
    memory, partial = np.empty(side * side, images.dtype), np.empty((side, D), images.dtype)
    for block in range(first, last):
        start = block * side
        rows = min(side, N - start)
        mine = images[start : start + rows]
        for left in range(0, N, side):
            size = min(side, N - left)
            tile = memory[: rows * size].reshape(rows, size)
            if held.size:
                at = start * N + rows * left
                tile = held[at : at + rows * size].reshape(rows, size)
            else:
                np.dot(mine, scaled[left : left + size].T, tile)  # rows size
                for row in range(rows):
                    for k in range(size):
                        tile[row, k] = _exp_less(tile[row, k], power)
            for row in range(rows):
                of_row, of_columns = by_image[start + row], by_text[left : left + size]
                for k in range(size):
                    tile[row, k] *= of_row + of_columns[k]
            if left == start:
                for row in range(rows):
                    tile[row, row] -= factor + factor
            np.dot(tile, texts[left : left + size], partial[:rows])
            add(images_grad[start : start + rows], partial[:rows])
            np.dot(tile.T, mine, partial[:size])
            add(texts_grad[left : left + size], partial[:size])


def _careful_slopes(images, texts, scale, grad):
    """The same from the logarithms of sums below the largest logit."""
    number = images.dtype.type
    by_image, by_text, _ = _log_totals(images, texts, scale)  # N, N
    images_grad, texts_grad = np.empty_like(images), np.zeros_like(texts)
    of_block = np.empty_like(texts)  # N D, what one block adds
    factor = grad / (number(2) * number(len(images)))
    for first, logits in _blocks(images, texts, scale):
        rows = slice(first, first + len(logits))
        share(_slopes, *logits.shape, first, logits, by_image, by_text, factor)
        multiply(logits, texts, images_grad[rows])
        texts_grad += multiply(logits.T, images[rows], of_block)
    return images_grad, texts_grad


@njit(cache=True, nogil=True)
def _slopes(first, last, start, logits, by_image, by_text, factor):
    """Turn logits into their gradients: both softmaxes, less two on the diagonal."""
    number = logits.dtype.type
    N = logits.shape[1]
    for row in range(first, last):
        z, own = logits[row], by_image[start + row]
        centre = z[start + row]
        for k in range(N):
            z[k] = factor * (_exp(z[k] - own) + _exp(z[k] - by_text[k]))
        from_diagonal = _exp(centre - own) + _exp(centre - by_text[start + row]) - number(2)
        z[start + row] = factor * from_diagonal


def siglip_loss(image_features, text_features, log_scale, bias):
    number = image_features.dtype.type
    logits = clip_logits(image_features, text_features, log_scale) + number(bias)  # N N
    return number(_sigmoid_loss(logits))


@njit(cache=True)
def _sigmoid_loss(logits):
    number = logits.dtype.type
    N = len(logits)
    loss = number(0)
    for i in range(N):
        for j in range(N):
            signed = logits[i, j] if i == j else -logits[i, j]
            log_sigmoid = min(signed, number(0)) - np.log1p(np.exp(-abs(signed)))
            loss -= log_sigmoid
    return loss / number(N)


def siglip_loss_vjp(image_features, text_features, log_scale, bias, grad):
    number = image_features.dtype.type
    logits = clip_logits(image_features, text_features, log_scale) + number(bias)  # N N
    _sigmoid_slopes(logits, number(grad) / number(len(logits)))
    features_and_scale = clip_logits_vjp(image_features, text_features, log_scale, logits)
    return *features_and_scale, np.sum(logits)


@njit(cache=True)
def _sigmoid_slopes(logits, factor):
    number = logits.dtype.type
    N = len(logits)
    for i in range(N):
        for j in range(N):
            sign = number(1) if i == j else number(-1)
            wrong = -sign * logits[i, j]
            share = np.exp(min(wrong, number(0))) / (number(1) + np.exp(-abs(wrong)))
            logits[i, j] = -factor * sign * share
