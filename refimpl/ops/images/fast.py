"""Compiled twins of the image operations: same names, same arguments, same steps."""

import numpy as np
from numba import njit

from refimpl.axes import AxesError
from refimpl.compiled.memory import empty


@njit(cache=True)
def _bicubic_weights(weights):
    number = weights.dtype.type
    target, size = weights.shape
    a = number(-0.5)
    scale = number(size) / number(target)
    widening = max(scale, number(1))
    for i in range(target):
        center = (number(i) + number(0.5)) * scale - number(0.5)
        total = number(0)
        for j in range(size):
            x = abs(center - number(j)) / widening
            weight = number(0)
            if x < number(1):
                weight = ((a + number(2)) * x - (a + number(3))) * x * x + number(1)
            elif x < number(2):
                weight = a * (x - number(1)) * (number(2) - x) * (number(2) - x)
            weights[i, j] = weight
            total += weight
        for j in range(size):
            weights[i, j] /= total


def _weights(size, target, dtype):
    weights = np.zeros((target, size), dtype)
    _bicubic_weights(weights)
    return weights


def check_pixels(op, images):
    for axis, length in (("height", images.shape[2]), ("width", images.shape[3])):
        if not length:
            raise AxesError(f"{op}: images have {axis}=0, expected pixels")


def resize_bicubic(images, tall, wide):
    check_pixels("resize_bicubic", images)
    _, _, height, width = images.shape
    rows = _weights(height, tall, images.dtype)
    columns = _weights(width, wide, images.dtype)
    return rows @ images @ columns.T


def resize_bicubic_vjp(images, tall, wide, grad):
    check_pixels("resize_bicubic_vjp", images)
    _, _, height, width = images.shape
    rows = _weights(height, tall, grad.dtype)
    columns = _weights(width, wide, grad.dtype)
    return rows.T @ grad @ columns


def _middle(size, kept):
    half, odd = divmod(size - kept, 2)
    return half + (odd and half % 2)


def center_crop(images, tall, wide):
    B, channels, height, width = images.shape
    crop = empty((B, channels, tall, wide), images.dtype)
    _copy(images, _middle(height, tall), _middle(width, wide), crop)
    return crop


@njit(cache=True)
def _copy(images, top, left, crop):
    B, channels, tall, wide = crop.shape
    for b in range(B):
        for channel in range(channels):
            for i in range(tall):
                for j in range(wide):
                    crop[b, channel, i, j] = images[b, channel, top + i, left + j]


def center_crop_vjp(images, tall, wide, grad):
    B, channels, height, width = images.shape
    images_grad = np.zeros((B, channels, height, width), grad.dtype)
    _paste(grad, _middle(height, tall), _middle(width, wide), images_grad)
    return images_grad


@njit(cache=True)
def _paste(grad, top, left, images_grad):
    B, channels, tall, wide = grad.shape
    for b in range(B):
        for channel in range(channels):
            for i in range(tall):
                for j in range(wide):
                    images_grad[b, channel, top + i, left + j] = grad[b, channel, i, j]


def normalize_image(images, mean, std):
    result = empty(images.shape, images.dtype)
    _normalize_image(images, mean, std, result)
    return result


@njit(cache=True, error_model="numpy")
def _normalize_image(images, mean, std, result):
    B, channels, height, width = images.shape
    for b in range(B):
        for channel in range(channels):
            for i in range(height):
                for j in range(width):
                    pixel = images[b, channel, i, j]
                    result[b, channel, i, j] = (pixel - mean[channel]) / std[channel]


def normalize_image_vjp(images, mean, std, grad):
    images_grad = empty(images.shape, images.dtype)
    mean_grad = np.zeros(mean.shape, images.dtype)
    std_grad = np.zeros(std.shape, images.dtype)
    _normalize_image_vjp(images, mean, std, grad, images_grad, mean_grad, std_grad)
    return images_grad, mean_grad, std_grad


@njit(cache=True, error_model="numpy")
def _normalize_image_vjp(images, mean, std, grad, images_grad, mean_grad, std_grad):
    B, channels, height, width = images.shape
    for b in range(B):
        for channel in range(channels):
            for i in range(height):
                for j in range(width):
                    share = grad[b, channel, i, j] / std[channel]
                    centered = (images[b, channel, i, j] - mean[channel]) / std[channel]
                    images_grad[b, channel, i, j] = share
                    mean_grad[channel] -= share
                    std_grad[channel] -= share * centered


def _check_inside(op, images, top, left, size):
    if not len(size):
        raise AxesError(f"{op}: top has cuts=0, expected at least one")
    for axis, first, length in (("height", top, images.shape[2]), ("width", left, images.shape[3])):
        outside = np.flatnonzero((size < 1) | (first + size > length))
        if outside.size:
            n = outside[0]
            raise AxesError(
                f"{op}: crop {n} takes {size[n]} pixels from {first[n]}, {axis} has {length}"
            )


def cutouts(images, top, left, size, side):
    _check_inside("cutouts", images, top, left, size)
    B, channels, _, _ = images.shape
    pooled = empty((len(top), B, channels, side, side), images.dtype)
    _cutouts(images, top, left, size, pooled)
    return pooled.reshape(len(top) * B, channels, side, side)


@njit(cache=True)
def _cutouts(images, top, left, size, pooled):
    number = images.dtype.type
    cuts, B, channels, side, _ = pooled.shape
    for n in range(cuts):
        for i in range(side):
            y0 = top[n] + i * size[n] // side
            y1 = top[n] + ((i + 1) * size[n] + side - 1) // side
            for j in range(side):
                x0 = left[n] + j * size[n] // side
                x1 = left[n] + ((j + 1) * size[n] + side - 1) // side
                pixels = number((y1 - y0) * (x1 - x0))
                for b in range(B):
                    for channel in range(channels):
                        total = number(0)
                        for y in range(y0, y1):
                            of_row = number(0)
                            for x in range(x0, x1):
                                of_row += images[b, channel, y, x]
                            total += of_row
                        pooled[n, b, channel, i, j] = total / pixels


def cutouts_vjp(images, top, left, size, side, grad):
    _check_inside("cutouts_vjp", images, top, left, size)
    B, channels, height, width = images.shape
    images_grad = np.zeros((B, channels, height, width), grad.dtype)
    _cutouts_vjp(grad.reshape(len(top), B, channels, side, side), top, left, size, images_grad)
    return images_grad


@njit(cache=True)
def _cutouts_vjp(grad, top, left, size, images_grad):
    """Each cut on its own, first along its rows: few additions stand one behind the other."""
    number = grad.dtype.type
    cuts, B, channels, side, _ = grad.shape
    for n in range(cuts):
        y0, x0, edge = top[n], left[n], size[n]
        for b in range(B):
            for channel in range(channels):
                of_cut = np.zeros((edge, edge), grad.dtype)
                for i in range(side):
                    of_row = np.zeros(edge, grad.dtype)
                    for j in range(side):
                        first, last = j * edge // side, ((j + 1) * edge + side - 1) // side
                        share = grad[n, b, channel, i, j] / number(last - first)
                        for x in range(first, last):
                            of_row[x] += share
                    first, last = i * edge // side, ((i + 1) * edge + side - 1) // side
                    for y in range(first, last):
                        for x in range(edge):
                            of_cut[y, x] += of_row[x] / number(last - first)
                for y in range(edge):
                    for x in range(edge):
                        images_grad[b, channel, y0 + y, x0 + x] += of_cut[y, x]
