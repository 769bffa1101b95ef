"""Kernels that walk over taps: where a product of each image and group costs less than a call."""

import math

import numpy as np
from numba import njit

from refimpl.compiled.memory import empty, zeros
from refimpl.compiled.threads import share

FEW = 1 << 12  # multiplications of one image and group that are done before BLAS would begin


def few(shape, groups, tall, wide):
    """Whether one image and group comes to few multiplications, with weights of a shape."""
    return math.prod(shape) // groups * tall * wide <= FEW


@njit(cache=True, nogil=True)
def inside(tap, stride, length, places):
    """The first place at which a tap meets a pixel, and the first behind the last such."""
    first = 0 if tap >= 0 else -(tap // stride)
    last = 0 if tap >= length else (length - 1 - tap) // stride + 1
    return min(first, places), max(min(last, places), min(first, places))


def convolved(images, weight, stride, before, dilation, groups, tall, wide):
    """B O tall wide: each output channel by itself."""
    sums = empty((len(images), len(weight), tall, wide), images.dtype)
    tasks, each = len(images) * len(weight), weight[0].size * tall * wide
    share(_convolve, tasks, each, images, weight, stride, before, dilation, groups, sums)
    return sums


@njit(cache=True, nogil=True)
def _convolve(first, last, images, weight, stride, before, dilation, groups, sums):
    height, width = images.shape[2:]
    outputs, C, side, _ = weight.shape
    tall, wide = sums.shape[2:]
    for k in range(first, last):
        b, o = k // outputs, k % outputs
        start, into = o // (outputs // groups) * C, sums[b, o]
        into[:] = 0
        for tap in range(C * side * side):
            c, i, j = tap // (side * side), tap // side % side, tap % side
            row, column, image = i * dilation - before, j * dilation - before, images[b, start + c]
            u0, u1 = inside(row, stride, height, tall)
            v0, v1 = inside(column, stride, width, wide)
            for u in range(u0, u1):
                for v in range(v0, v1):
                    into[u, v] += weight[o, c, i, j] * image[u * stride + row, v * stride + column]


def spread(x, weight, stride, before, dilation, groups, height, width):
    """B (groups C) height width: each image and group by itself."""
    C = weight.shape[1]
    images = zeros((len(x), groups * C, height, width), x.dtype)
    each = weight.size // groups * x.shape[2] * x.shape[3]
    share(_spread, len(x) * groups, each, x, weight, stride, before, dilation, groups, images)
    return images


@njit(cache=True, nogil=True)
def _spread(first, last, x, weight, stride, before, dilation, groups, images):
    height, width = images.shape[2:]
    outputs, C, side, _ = weight.shape
    tall, wide = x.shape[2:]
    each = outputs // groups
    for k in range(first, last):
        b, g = k // groups, k % groups
        for o in range(g * each, (g + 1) * each):
            for tap in range(C * side * side):
                c, i, j = tap // (side * side), tap // side % side, tap % side
                row, column, into = (
                    i * dilation - before,
                    j * dilation - before,
                    images[b, g * C + c],
                )
                u0, u1 = inside(row, stride, height, tall)
                v0, v1 = inside(column, stride, width, wide)
                for u in range(u0, u1):
                    for v in range(v0, v1):
                        into[u * stride + row, v * stride + column] += (
                            weight[o, c, i, j] * x[b, o, u, v]
                        )


def weight_gradient(images, grad, shape, stride, before, dilation, groups):
    """O C side side: each output channel by itself, the sum of an image before the next."""
    total = np.zeros(shape, grad.dtype)
    each = len(grad) * total[0].size * grad.shape[2] * grad.shape[3]
    share(_weigh, len(total), each, images, grad, stride, before, dilation, groups, total)
    return total


@njit(cache=True, nogil=True)
def _weigh(first, last, images, grad, stride, before, dilation, groups, total):
    number = grad.dtype.type
    height, width = images.shape[2:]
    outputs, C, side, _ = total.shape
    B, _, tall, wide = grad.shape
    for o in range(first, last):
        start = o // (outputs // groups) * C
        for tap in range(C * side * side):
            c, i, j = tap // (side * side), tap // side % side, tap % side
            row, column = i * dilation - before, j * dilation - before
            u0, u1 = inside(row, stride, height, tall)
            v0, v1 = inside(column, stride, width, wide)
            for b in range(B):
                image, above, part = images[b, start + c], grad[b, o], number(0)
                for u in range(u0, u1):
                    for v in range(v0, v1):
                        part += above[u, v] * image[u * stride + row, v * stride + column]
                total[o, c, i, j] += part
