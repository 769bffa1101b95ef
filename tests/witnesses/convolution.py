"""Convolution, one number at a time: every product of the sums, wherever it belongs."""

import math
from collections import defaultdict

import numpy as np


def pairs(shape, where, outputs, inputs_of_a_group):
    """Every tap that meets a pixel: the indices of the result, of the kernel and of the image."""
    height, width, tall, wide, side, stride, first, dilation, groups = where
    each = outputs // groups
    for b in range(shape[0]):
        for o in range(outputs):
            for c in range(inputs_of_a_group):
                channel = (o // each) * inputs_of_a_group + c
                for i, j in np.ndindex(side, side):
                    for u in range(tall):
                        row = u * stride + i * dilation - first
                        if not 0 <= row < height:
                            continue
                        for v in range(wide):
                            column = v * stride + j * dilation - first
                            if 0 <= column < width:
                                yield (b, o, u, v), (o, c, i, j), (b, channel, row, column)


def collected(shape, terms):
    """An array of exactly added terms, which come with the index that they belong to."""
    lists = defaultdict(list)
    for index, term in terms:
        lists[index].append(term)
    result = np.zeros(shape)
    for index, products in lists.items():
        result[index] = math.fsum(products)
    return result


def places(length, around, side, stride, dilation):
    count = 0
    while count * stride + (side - 1) * dilation + 1 <= length + around:
        count += 1
    return count


def layout(images, weight, stride, first, around, dilation, groups):
    height, width = images.shape[2:]
    side = weight.shape[2]
    tall, wide = (places(n, around, side, stride, dilation) for n in (height, width))
    return height, width, tall, wide, side, stride, first, dilation, groups


def plus(array, bias):
    if bias is not None:
        for index in np.ndindex(array.shape):
            array[index] += bias[index[1]]
    return array


def conv2d(images, weight, bias, stride, before, after, dilation, groups):
    where = layout(images, weight, stride, before, before + after, dilation, groups)
    met = pairs(images.shape, where, *weight.shape[:2])
    shape = (len(images), len(weight), *where[2:4])
    terms = ((at, weight[tap] * images[pixel]) for at, tap, pixel in met)
    return plus(collected(shape, terms), bias)


def of_channels(grad):
    channels = range(grad.shape[1])
    return np.array([math.fsum(grad[:, c].ravel()) for c in channels])


def conv2d_vjp(images, weight, stride, before, after, dilation, groups, grad):
    where = layout(images, weight, stride, before, before + after, dilation, groups)
    met = list(pairs(images.shape, where, *weight.shape[:2]))
    to_images = ((pixel, weight[tap] * grad[at]) for at, tap, pixel in met)
    to_weight = ((tap, images[pixel] * grad[at]) for at, tap, pixel in met)
    both = collected(images.shape, to_images), collected(weight.shape, to_weight)
    return *both, of_channels(grad)


def transposed(x, weight, stride, crop, extra, dilation, groups):
    """Where the transpose reads: the places are those of x, the pixels those of the result."""
    tall, wide = x.shape[2:]
    side = weight.shape[2]
    height, width = (
        (n - 1) * stride + (side - 1) * dilation + 1 - 2 * crop + extra for n in (tall, wide)
    )
    where = height, width, tall, wide, side, stride, crop, dilation, groups
    return pairs(x.shape, where, *weight.shape[:2]), (height, width)


def conv_transpose2d(x, weight, bias, stride, crop, extra, dilation, groups):
    met, sides = transposed(x, weight, stride, crop, extra, dilation, groups)
    shape = (len(x), groups * weight.shape[1], *sides)
    terms = ((pixel, weight[tap] * x[at]) for at, tap, pixel in met)
    return plus(collected(shape, terms), bias)


def conv_transpose2d_vjp(x, weight, stride, crop, extra, dilation, groups, grad):
    met, _ = transposed(x, weight, stride, crop, extra, dilation, groups)
    met = list(met)
    to_x = ((at, weight[tap] * grad[pixel]) for at, tap, pixel in met)
    to_weight = ((tap, x[at] * grad[pixel]) for at, tap, pixel in met)
    return collected(x.shape, to_x), collected(weight.shape, to_weight), of_channels(grad)


def resize_nearest(images, tall, wide):
    B, channels, height, width = images.shape
    resized = np.zeros((B, channels, tall, wide))
    for b, channel, i, j in np.ndindex(resized.shape):
        row = max(y for y in range(height) if y * tall <= i * height)
        column = max(x for x in range(width) if x * wide <= j * width)
        resized[b, channel, i, j] = images[b, channel, row, column]
    return resized


def resize_nearest_vjp(images, tall, wide, grad):
    _, _, height, width = images.shape
    numbered = np.arange(float(height * width)).reshape(1, 1, height, width)
    sources = resize_nearest(numbered, tall, wide)[0, 0]
    result = np.zeros((*images.shape[:2], height * width))
    for b, channel, pixel in np.ndindex(result.shape):
        result[b, channel, pixel] = math.fsum(grad[b, channel][sources == pixel])
    return result.reshape(images.shape)


def bins(length, target):
    """First pixel of each bin and the one after its last: those whose pixels overlap its part."""
    for i in range(target):
        inside = [n for n in range(length) if n * target < (i + 1) * length]
        inside = [n for n in inside if (n + 1) * target > i * length]
        yield inside


def adaptive_avg_pool2d(images, tall, wide):
    B, channels, height, width = images.shape
    result = np.zeros((B, channels, tall, wide))
    rows, columns = list(bins(height, tall)), list(bins(width, wide))
    for b, channel, i, j in np.ndindex(result.shape):
        pixels = [images[b, channel, y, x] for y in rows[i] for x in columns[j]]
        result[b, channel, i, j] = math.fsum(pixels) / len(pixels)
    return result


def adaptive_avg_pool2d_vjp(images, tall, wide, grad):
    _, _, height, width = images.shape
    rows, columns = list(bins(height, tall)), list(bins(width, wide))
    terms = (
        ((b, channel, y, x), grad[b, channel, i, j] / (len(rows[i]) * len(columns[j])))
        for b, channel, i, j in np.ndindex(grad.shape)
        for y in rows[i]
        for x in columns[j]
    )
    return collected(images.shape, terms)


def avg_pool2d(images, patch):
    B, channels, height, width = images.shape
    result = np.zeros((B, channels, height // patch, width // patch))
    for b, channel, row, col in np.ndindex(result.shape):
        rows, columns = (slice(n * patch, (n + 1) * patch) for n in (row, col))
        square = images[b, channel, rows, columns]
        result[b, channel, row, col] = math.fsum(square.ravel()) / square.size
    return result


def avg_pool2d_vjp(patch, grad):
    B, channels, rows, cols = grad.shape
    result = np.zeros((B, channels, rows * patch, cols * patch))
    for b, channel, y, x in np.ndindex(result.shape):
        result[b, channel, y, x] = grad[b, channel, y // patch, x // patch] / patch**2
    return result
