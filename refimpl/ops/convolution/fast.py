"""Compiled twins of convolution, and of what makes maps larger or smaller."""

import numpy as np
from numba import njit

from refimpl.axes import AxesError
from refimpl.compiled.arithmetic import sum_of
from refimpl.compiled.memory import empty
from refimpl.compiled.threads import share
from refimpl.ops.convolution import fast_few, fast_strips, fast_weights
from refimpl.ops.convolution.fast_bands import activated, plain  # noqa: F401  by name
from refimpl.ops.images.fast import check_pixels


def _check_taps(op, side):
    if side < 1:
        raise AxesError(f"{op}: weight has taps={side}, expected at least one tap")


def _places(op, images, side, stride, around, dilation):
    """How many places a kernel has along rows and along columns."""
    _check_taps(op, side)
    reach = dilation * (side - 1) + 1
    for axis, length in (("rows", images.shape[2]), ("cols", images.shape[3])):
        if length + around < reach:
            raise AxesError(
                f"{op}: images have {axis}={length} and {around} zeros around, "
                f"expected at least the {reach} that the kernel spans"
            )
    return tuple((length + around - reach) // stride + 1 for length in images.shape[2:])


def _sum_of_channels(grad):
    """Pixels, then images: few additions stand one behind the other."""
    B, channels, pixels = grad.shape
    total = np.zeros(channels, grad.dtype)
    share(_add_channels, channels, B * pixels, grad, total)
    return total


@njit(cache=True, nogil=True)
def _add_channels(first, last, grad, total):
    for channel in range(first, last):
        for b in range(len(grad)):
            total[channel] += sum_of(grad[b, channel])


def _convolved(images, weight, bias, stride, before, dilation, groups, tall, wide):
    how = stride, before, dilation, groups, tall, wide
    if fast_few.few(weight.shape, groups, tall, wide):
        sums = fast_few.convolved(images, weight, *how)
        return sums if bias is None else sums + bias[:, None, None]
    return fast_strips.convolution(plain(images), weight, *how, bias)


def _spread(x, weight, bias, stride, before, dilation, groups, height, width):
    """The transposed convolution, cropped by `before` to a height and a width."""
    how = stride, before, dilation, groups, height, width
    if fast_few.few(weight.shape, groups, *x.shape[2:]):
        images = fast_few.spread(x, weight, *how)
        return images if bias is None else images + bias[:, None, None]
    return fast_strips.transposed(plain(x), weight, *how, bias)


def _weight_gradient(images, grad, shape, stride, before, dilation, groups):
    make = fast_few if fast_few.few(shape, groups, *grad.shape[2:]) else fast_weights
    return make.weight_gradient(images, grad, shape, stride, before, dilation, groups)


def conv2d(images, weight, bias, stride, before, after, dilation, groups):
    side = weight.shape[2]
    tall, wide = _places("conv2d", images, side, stride, before + after, dilation)
    return _convolved(images, weight, bias, stride, before, dilation, groups, tall, wide)


def conv2d_of(reading, weight, bias, before, after, dilation, **more):
    """The convolution of stride one of maps that are made while they are read.

    bias: O, or B O. more: what is added behind it, and where, as `Strips.made` says.
    """
    sides = _places("conv2d", reading, weight.shape[2], 1, before + after, dilation)
    how = 1, before, dilation, 1, *sides
    return fast_strips.convolution(reading, weight, *how, bias, **more)


def conv2d_vjp(images, weight, stride, before, after, dilation, groups, grad):
    side = weight.shape[2]
    sizes = _places("conv2d_vjp", images, side, stride, before + after, dilation)
    if grad.shape[2:] != sizes:
        raise AxesError(f"conv2d_vjp: grad is {grad.shape[2:]}, expected {sizes}")
    how = stride, before, dilation, groups
    images_grad = _spread(grad, weight, None, *how, *images.shape[2:])
    weight_grad = _weight_gradient(images, grad, weight.shape, *how)
    return images_grad, weight_grad, _sum_of_channels(grad.reshape(*grad.shape[:2], -1))


def _sides(op, x, side, stride, crop, extra, dilation):
    _check_taps(op, side)
    if extra >= stride:
        raise AxesError(f"{op}: extra is {extra}, expected less than the stride, {stride}")
    reach = dilation * (side - 1) + 1
    sides = tuple(stride * (n - 1) + reach + extra - 2 * crop for n in x.shape[2:])
    if min(sides) < 1:
        raise AxesError(f"{op}: crop is {crop} on every side, which leaves {min(sides)} pixels")
    return sides


def conv_transpose2d(x, weight, bias, stride, crop, extra, dilation, groups):
    sides = _sides("conv_transpose2d", x, weight.shape[2], stride, crop, extra, dilation)
    return _spread(x, weight, bias, stride, crop, dilation, groups, *sides)


def conv_transpose2d_vjp(x, weight, stride, crop, extra, dilation, groups, grad):
    sides = _sides("conv_transpose2d_vjp", x, weight.shape[2], stride, crop, extra, dilation)
    if grad.shape[2:] != sides:
        raise AxesError(f"conv_transpose2d_vjp: grad is {grad.shape[2:]}, expected {sides}")
    how = stride, crop, dilation, groups
    x_grad = _convolved(grad, weight, None, *how, *x.shape[2:])
    weight_grad = _weight_gradient(grad, x, weight.shape, *how)
    return x_grad, weight_grad, _sum_of_channels(grad.reshape(*grad.shape[:2], -1))


def resize_nearest(images, tall, wide):
    check_pixels("resize_nearest", images)
    B, channels, height, width = images.shape
    resized = empty((B * channels, tall, wide), images.dtype)
    planes = images.reshape(B * channels, height, width)
    share(_nearest, B * channels, tall * wide, planes, resized)
    return resized.reshape(B, channels, tall, wide)


@njit(cache=True, nogil=True)
def _nearest(first, last, images, resized):
    _, height, width = images.shape
    _, tall, wide = resized.shape
    for k in range(first, last):
        for i in range(tall):
            line = images[k, i * height // tall]
            for j in range(wide):
                resized[k, i, j] = line[j * width // wide]


def resize_nearest_vjp(images, tall, wide, grad):
    check_pixels("resize_nearest_vjp", images)
    images_grad = np.zeros(images.shape, grad.dtype)
    _nearest_vjp(grad, images_grad)
    return images_grad


@njit(cache=True)
def _nearest_vjp(grad, images_grad):
    B, channels, height, width = images_grad.shape
    _, _, tall, wide = grad.shape
    for b in range(B):
        for channel in range(channels):
            for i in range(tall):
                into = images_grad[b, channel, i * height // tall]
                for j in range(wide):
                    into[j * width // wide] += grad[b, channel, i, j]


def avg_pool2d(images, patch):
    B, channels, height, width = images.shape
    pooled = empty((B, channels, height // patch, width // patch), images.dtype)
    _avg_pool2d(images, patch, pooled)
    return pooled


@njit(cache=True)
def _avg_pool2d(images, patch, pooled):
    number = images.dtype.type
    B, channels, rows, cols = pooled.shape
    for b in range(B):
        for channel in range(channels):
            for row in range(rows):
                for col in range(cols):
                    total = number(0)
                    for i in range(patch):
                        line, of_row = images[b, channel, row * patch + i], number(0)
                        for j in range(patch):
                            of_row += line[col * patch + j]
                        total += of_row
                    pooled[b, channel, row, col] = total / number(patch * patch)


def avg_pool2d_vjp(patch, grad):
    part = grad / grad.dtype.type(patch * patch)
    return np.repeat(np.repeat(part, patch, axis=2), patch, axis=3)


def adaptive_avg_pool2d(images, tall, wide):
    check_pixels("adaptive_avg_pool2d", images)
    pooled = empty((*images.shape[:2], tall, wide), images.dtype)
    _adaptive(images, pooled)
    return pooled


@njit(cache=True)
def _adaptive(images, pooled):
    number = images.dtype.type
    B, channels, height, width = images.shape
    _, _, tall, wide = pooled.shape
    for i in range(tall):
        y0, y1 = i * height // tall, ((i + 1) * height + tall - 1) // tall
        for j in range(wide):
            x0, x1 = j * width // wide, ((j + 1) * width + wide - 1) // wide
            pixels = number((y1 - y0) * (x1 - x0))
            for b in range(B):
                for channel in range(channels):
                    total = number(0)
                    for y in range(y0, y1):
                        of_row = number(0)
                        for x in range(x0, x1):
                            of_row += images[b, channel, y, x]
                        total += of_row
                    pooled[b, channel, i, j] = total / pixels


def adaptive_avg_pool2d_vjp(images, tall, wide, grad):
    check_pixels("adaptive_avg_pool2d_vjp", images)
    images_grad = np.zeros(images.shape, grad.dtype)
    _adaptive_vjp(grad, images_grad)
    return images_grad


@njit(cache=True)
def _adaptive_vjp(grad, images_grad):
    number = grad.dtype.type
    B, channels, height, width = images_grad.shape
    _, _, tall, wide = grad.shape
    for b in range(B):
        for channel in range(channels):
            into = images_grad[b, channel]
            for i in range(tall):
                y0, y1 = i * height // tall, ((i + 1) * height + tall - 1) // tall
                for j in range(wide):
                    x0, x1 = j * width // wide, ((j + 1) * width + wide - 1) // wide
                    part = grad[b, channel, i, j] / number((y1 - y0) * (x1 - x0))
                    for y in range(y0, y1):
                        for x in range(x0, x1):
                            into[y, x] += part
