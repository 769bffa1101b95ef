"""Images, one pixel at a time."""

import math

import numpy as np


def _keys(x):
    """The two cubics of Keys' equation 15."""
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def _shares(size, target):
    """For each new pixel the old ones it takes, with their shares, as a list of pairs."""
    taken = []
    for i in range(target):
        reach = max(size, target)
        shares = []
        for j in range(size):
            # centres (2i + 1) / 2·target and (2j + 1) / 2·size, in units of the kernel
            distance = abs((2 * j + 1) * target - (2 * i + 1) * size) / (2 * reach)
            shares.append((j, _keys(distance)))
        total = math.fsum(weight for _, weight in shares)
        taken.append([(j, weight / total) for j, weight in shares if weight])
    return taken


def resize_bicubic(images, tall, wide):
    B, channels, height, width = images.shape
    rows, columns = _shares(height, tall), _shares(width, wide)
    result = np.zeros((B, channels, tall, wide))
    for b, channel, i, j in np.ndindex(result.shape):
        terms = [v * w * images[b, channel, y, x] for y, v in rows[i] for x, w in columns[j]]
        result[b, channel, i, j] = math.fsum(terms)
    return result


def resize_bicubic_vjp(images, tall, wide, grad):
    B, channels, height, width = images.shape
    rows, columns = _shares(height, tall), _shares(width, wide)
    result = np.zeros((B, channels, height, width))
    for b, channel, i, j in np.ndindex(*grad.shape):
        for y, v in rows[i]:
            for x, w in columns[j]:
                result[b, channel, y, x] += v * w * grad[b, channel, i, j]
    return result


def _offset(size, kept):
    """Half of what is cut; a half that is left over goes where the offset is even."""
    cut = size - kept
    return (cut + 1) // 2 if cut % 4 == 3 else cut // 2


def center_crop(images, tall, wide):
    B, channels, height, width = images.shape
    top, left = _offset(height, tall), _offset(width, wide)
    result = np.zeros((B, channels, tall, wide))
    for b, channel, i, j in np.ndindex(result.shape):
        result[b, channel, i, j] = images[b, channel, i + top, j + left]
    return result


def center_crop_vjp(images, tall, wide, grad):
    B, channels, height, width = images.shape
    top, left = _offset(height, tall), _offset(width, wide)
    result = np.zeros((B, channels, height, width))
    for b, channel, y, x in np.ndindex(result.shape):
        if top <= y < top + tall and left <= x < left + wide:
            result[b, channel, y, x] = grad[b, channel, y - top, x - left]
    return result


def normalize_image(images, mean, std):
    result = np.zeros(images.shape)
    for b, channel, i, j in np.ndindex(images.shape):
        result[b, channel, i, j] = (images[b, channel, i, j] - mean[channel]) / std[channel]
    return result


def normalize_image_vjp(images, mean, std, grad):
    images_grad = np.zeros(images.shape)
    mean_grad, std_grad = np.zeros(mean.shape), np.zeros(std.shape)
    for b, channel, i, j in np.ndindex(images.shape):
        images_grad[b, channel, i, j] = grad[b, channel, i, j] / std[channel]
    for channel in range(len(mean)):
        pixels = np.ravel(images[:, channel]).tolist()
        slopes = np.ravel(grad[:, channel]).tolist()
        mean_grad[channel] = -math.fsum(slopes) / std[channel]
        products = [g * (x - mean[channel]) for g, x in zip(slopes, pixels, strict=True)]
        std_grad[channel] = -math.fsum(products) / (std[channel] * std[channel])
    return images_grad, mean_grad, std_grad


def _bin(first, size, side, i):
    """The pixels that share any part of [i, i + 1) · size / side with the bin."""
    return [
        first + u for u in range(size) if u * side < (i + 1) * size and (u + 1) * side > i * size
    ]


def cutouts(images, top, left, size, side):
    B, channels, _, _ = images.shape
    result = np.zeros((len(top) * B, channels, side, side))
    for row, channel, i, j in np.ndindex(result.shape):
        n, b = divmod(row, B)
        rows = _bin(int(top[n]), int(size[n]), side, i)
        columns = _bin(int(left[n]), int(size[n]), side, j)
        pixels = [images[b, channel, y, x] for y in rows for x in columns]
        result[row, channel, i, j] = math.fsum(pixels) / len(pixels)
    return result


def cutouts_vjp(images, top, left, size, side, grad):
    B, channels, height, width = images.shape
    result = np.zeros((B, channels, height, width))
    for row, channel, i, j in np.ndindex(*grad.shape):
        n, b = divmod(row, B)
        rows = _bin(int(top[n]), int(size[n]), side, i)
        columns = _bin(int(left[n]), int(size[n]), side, j)
        for y in rows:
            for x in columns:
                result[b, channel, y, x] += grad[row, channel, i, j] / (len(rows) * len(columns))
    return result
