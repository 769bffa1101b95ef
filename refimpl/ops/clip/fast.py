"""Compiled twins of CLIP: same names, same arguments, same steps.

The loss of a large batch never holds all its logits: they are made in blocks of rows, twice for
the gradient. Several threads share the rows of a block, in kernels that take a range `first` to
`last`; `contract` lets a product and a sum round once, `reassoc` lets a sum run in several lanes.
"""

import numpy as np
from numba import njit

from refimpl.threads import multiply, share

BLOCK = 1 << 23  # logits that are held at a time


def clip_logits(image_features, text_features, log_scale):
    number = image_features.dtype.type
    cosines = _l2_normalize(image_features) @ _l2_normalize(text_features).T  # N M
    return np.exp(number(log_scale)) * cosines


def _l2_normalize(x):
    u = np.empty(x.shape, x.dtype)
    share(_normalize_rows, *x.shape, x, u)
    return u


@njit(cache=True, nogil=True)
def _normalize_rows(first, last, x, u):
    D = x.shape[1]
    for n in range(first, last):
        norm = np.sqrt(_dot(x[n], x[n]))
        if norm == 0:  # the zero vector stays zero
            norm = x.dtype.type(1)
        for d in range(D):
            u[n, d] = x[n, d] / norm


def clip_logits_vjp(image_features, text_features, log_scale, grad):
    scale = np.exp(image_features.dtype.type(log_scale))
    images, texts = _l2_normalize(image_features), _l2_normalize(text_features)
    images_grad, texts_grad = scale * (grad @ texts), scale * (grad.T @ images)  # N D, M D
    _across(image_features, images, images_grad)
    _across(text_features, texts, texts_grad)
    log_scale_grad = np.sum(grad * (scale * (images @ texts.T)))
    return images_grad, texts_grad, log_scale_grad


def _across(x, u, grad):
    """The part of each gradient that is orthogonal to its feature, over the feature's length."""
    share(_across_rows, *x.shape, x, u, grad)


@njit(cache=True, nogil=True)
def _across_rows(first, last, x, u, grad):
    D = x.shape[1]
    for n in range(first, last):
        along, norm = _dot(u[n], grad[n]), np.sqrt(_dot(x[n], x[n]))
        if norm == 0:  # the zero vector passes grad on
            norm = x.dtype.type(1)
        for d in range(D):
            grad[n, d] = (grad[n, d] - u[n, d] * along) / norm


def clip_loss(image_features, text_features, log_scale):
    images, texts = _l2_normalize(image_features), _l2_normalize(text_features)
    scale = np.exp(image_features.dtype.type(log_scale))
    _, _, loss = _log_totals(images, texts, scale)
    return loss


def _log_totals(images, texts, scale):
    """The logarithms of the sums that both softmaxes divide by, of each row and each column."""
    number, N = images.dtype.type, len(images)
    by_image, own = np.empty(N, number), np.empty(N, number)  # N, N
    top, total = np.full(N, -np.inf, number), np.zeros(N, number)  # N, N, of the rows so far
    for first, logits in _blocks(images, texts, scale):
        share(_log_total_of_rows, *logits.shape, first, logits, _bits(logits), by_image, own)
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


def _bits(x):
    """The same memory, read as integers."""
    return x.view(np.int32 if x.dtype == np.float32 else np.int64)


@njit(cache=True, nogil=True)
def _log_total_of_rows(first, last, start, logits, bits, log_totals, own):
    for row in range(first, last):
        top = _top(bits[row])
        log_totals[start + row] = top + np.log(_sum_of_exp(logits[row], top))
        own[start + row] = logits[row, start + row]  # the label of row n is n


@njit(cache=True)
def _top(bits):
    """The largest number of a row from its bits: integers compare in wide registers, NaN or not.

    The bits of floats rise with their size, as integers: upwards from 0, downwards below.
    """
    most, least = bits[0], bits[0]
    for k in range(1, bits.size):
        most = bits[k] if bits[k] > most else most
        least = bits[k] if bits[k] < least else least
    top = most if most >= 0 else least
    if isinstance(top, np.int32):
        return np.int32(top).view(np.float32)
    else:
        return np.int64(top).view(np.float64)


@njit(cache=True)
def _sum_of_exp(z, top):
    """In pieces that stay in the first cache: exponentials, then their sum."""
    total = z.dtype.type(0)
    piece = np.empty(min(z.size, 256), z.dtype)
    for start in range(0, z.size, 256):
        part = z[start : start + 256]
        for k in range(part.size):
            piece[k] = _exp(part[k] - top)
        total += _sum(piece[: part.size])
    return total


@njit(cache=True, fastmath={"reassoc", "contract"})
def _sum(x):
    total = x.dtype.type(0)
    for k in range(x.size):
        total += x[k]
    return total


@njit(cache=True, forceinline=True, fastmath={"contract"})
def _exp(x):
    """The exponential without a call: 2^n e^r with |r| ≤ ln 2 / 2, so that a loop of it runs wide.

    Adding 1.5·2^23 (or ^52) rounds x / ln 2 to the integer n, which then stands in the low bits;
    ln 2 is subtracted in two parts, and 2^n multiplied in two, for results that are subnormal.
    """
    if isinstance(x, np.float32):
        number = np.float32
        x = number(-104) if x < number(-104) else x
        x = number(89) if x > number(89) else x
        shifted = x * number(1.4426950408889634) + number(12582912)
        n = shifted - number(12582912)
        r = x - n * number(0.693145751953125) - n * number(1.4286068203094172e-06)
        p = number(0.001381443214) * r + number(0.008368783612)
        p = (p * r + number(0.04166839494)) * r + number(0.1666652007)
        p = (p * r + number(0.4999999341)) * r * r + r + number(1)
        whole = np.int32(number(shifted).view(np.int32) - 0x4B400000)
        half = np.int32(whole >> 1)
        low = np.int32((half + 127) << 23)
        high = np.int32((whole - half + 127) << 23)
        return p * np.int32(low).view(np.float32) * np.int32(high).view(np.float32)
    else:
        x = -746.0 if x < -746.0 else x
        x = 710.0 if x > 710.0 else x
        shifted = x * 1.4426950408889634 + 6755399441055744.0
        n = shifted - 6755399441055744.0
        r = x - n * 0.6931471803691238 - n * 1.9082149292705877e-10
        p = 2.082651476458843893e-9 * r + 2.511214729101388474e-8
        p = (p * r + 2.755758288436365965e-7) * r + 2.755723454965092949e-6
        p = (p * r + 2.480158692446705386e-5) * r + 0.0001984126989669158898
        p = (p * r + 0.001388888888911736259) * r + 0.008333333333316911899
        p = (p * r + 0.0416666666666660888) * r + 0.1666666666666668358
        p = (p * r + 0.5) * r * r + r + 1.0
        whole = np.float64(shifted).view(np.int64) - 0x4338000000000000
        half = whole >> 1
        low = np.int64((half + 1023) << 52)
        high = np.int64((whole - half + 1023) << 52)
        return p * np.int64(low).view(np.float64) * np.int64(high).view(np.float64)


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
    scale, N = np.exp(number(log_scale)), number(len(image_features))
    images, texts = _l2_normalize(image_features), _l2_normalize(text_features)
    by_image, by_text, _ = _log_totals(images, texts, scale)  # N, N
    images_grad, texts_grad = np.empty_like(images), np.zeros_like(texts)
    of_block = np.empty_like(texts)  # N D, what one block adds
    along = np.zeros(len(images), number)  # logits times their gradients, summed along each row
    factor = number(grad) / (number(2) * N)
    for first, logits in _blocks(images, texts, scale):
        rows = slice(first, first + len(logits))
        share(_slopes, *logits.shape, first, logits, by_image, by_text, factor, along)
        multiply(logits, texts, images_grad[rows])
        texts_grad += multiply(logits.T, images[rows], of_block)
    images_grad *= scale
    texts_grad *= scale
    _across(image_features, images, images_grad)
    _across(text_features, texts, texts_grad)
    return images_grad, texts_grad, np.sum(along)


@njit(cache=True, nogil=True)
def _slopes(first, last, start, logits, by_image, by_text, factor, along):
    """Turn logits into their gradients: both softmaxes, less two on the diagonal."""
    number = logits.dtype.type
    N = logits.shape[1]
    products = np.empty(N, logits.dtype)
    for row in range(first, last):
        z, own = logits[row], by_image[start + row]
        centre = z[start + row]
        for k in range(N):
            weights = _exp(z[k] - own) + _exp(z[k] - by_text[k])
            products[k] = z[k]
            z[k] = factor * weights
        from_diagonal = _exp(centre - own) + _exp(centre - by_text[start + row]) - number(2)
        z[start + row] = factor * from_diagonal
        along[start + row] = _dot(products, z)


@njit(cache=True, fastmath={"reassoc", "contract"})
def _dot(x, y):
    total = x.dtype.type(0)
    for k in range(x.size):
        total += x[k] * y[k]
    return total


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
