"""Compiled twins of convolution: a product for each tap, or one of windows laid out."""

import numpy as np
from numba import njit

from refimpl.axes import AxesError
from refimpl.compiled.blas import adding
from refimpl.compiled.memory import empty, zeros
from refimpl.compiled.threads import multiply, share
from refimpl.ops.convolution import fast_few
from refimpl.ops.convolution.fast_bands import activated, by_taps, plain  # noqa: F401  by name
from refimpl.ops.convolution.fast_few import inside
from refimpl.ops.images.fast import check_pixels

BAND = 1 << 25  # bytes of the windows that are laid out at once, about what the last cache holds


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


def _columns(image, side, stride, before, dilation, tall, wide, top=0):
    """The numbers that each tap meets at the places from row `top`, a row for each tap."""
    C, _height, width = image.shape
    if side == stride == 1 and not before and wide == width:
        return image[:, top : top + tall].reshape(C, tall * width)
    columns = empty((C * side * side, tall, wide), image.dtype)
    share(_gather, len(columns), tall * wide, image, side, stride, before, dilation, top, columns)
    return columns.reshape(len(columns), tall * wide)


def _band(C, side, tall, wide, itemsize):
    """Rows of places whose columns come to no more than BAND bytes."""
    return min(tall, max(BAND // (C * side * side * wide * itemsize), 1))


@njit(cache=True, nogil=True)
def _gather(first, last, image, side, stride, before, dilation, top, columns):
    _, height, width = image.shape
    _, tall, wide = columns.shape
    for k in range(first, last):
        channel, i, j = k // (side * side), k // side % side, k % side
        row, column = i * dilation - before + top * stride, j * dilation - before
        u0, u1 = inside(row, stride, height, tall)
        v0, v1 = inside(column, stride, width, wide)
        for u in range(tall):
            into = columns[k, u]
            if u < u0 or u >= u1:
                into[:] = 0
                continue
            line = image[channel, u * stride + row]
            into[:v0] = 0
            if stride == 1:
                for v in range(v0, v1):
                    into[v] = line[v + column]
            else:
                for v in range(v0, v1):
                    into[v] = line[v * stride + column]
            into[v1:] = 0


def _put_back(columns, side, stride, before, dilation, image, tall, wide):
    """Add the numbers of every tap to the pixels that it met."""
    rows = columns.reshape(len(columns), tall, wide)
    each = rows.size // max(len(image), 1)
    share(_scatter, len(image), each, rows, side, stride, before, dilation, image)


@njit(cache=True, nogil=True)
def _scatter(first, last, columns, side, stride, before, dilation, image):
    _, height, width = image.shape
    _, tall, wide = columns.shape
    for channel in range(first, last):
        for i in range(side):
            row = i * dilation - before
            u0, u1 = inside(row, stride, height, tall)
            for j in range(side):
                column = j * dilation - before
                v0, v1 = inside(column, stride, width, wide)
                taps = columns[(channel * side + i) * side + j]
                for u in range(u0, u1):
                    into, line = image[channel, u * stride + row], taps[u]
                    for v in range(v0, v1):
                        into[v * stride + column] += line[v]


@njit(cache=True, nogil=True)
def _add_bias(sums, bias):
    B, channels, pixels = sums.shape
    for b in range(B):
        for channel in range(channels):
            for pixel in range(pixels):
                sums[b, channel, pixel] += bias[channel]


@njit(cache=True, nogil=True)
def _sum_of_channels(grad):
    """Pixels, then images: few additions stand one behind the other."""
    B, channels, _ = grad.shape
    total = np.zeros(channels, grad.dtype)
    for b in range(B):
        for channel in range(channels):
            total[channel] += np.sum(grad[b, channel])
    return total


def _convolved(images, weight, bias, stride, before, dilation, groups, tall, wide):
    side = weight.shape[2]
    if stride == 1 < side and groups == 1 and (add := adding(images.dtype)):
        return by_taps(add, plain(images), weight, bias, before, dilation, tall, wide)
    outputs, C, side, _ = weight.shape
    if fast_few.few(weight.shape, groups, tall, wide):
        sums = fast_few.convolved(images, weight, stride, before, dilation, groups, tall, wide)
        if bias is not None:
            _add_bias(sums.reshape(len(images), outputs, tall * wide), bias)
        return sums
    each, kernels = outputs // groups, weight.reshape(outputs, C * side * side)
    sums = empty((len(images), outputs, tall * wide), images.dtype)
    band = _band(C, side, tall, wide, images.itemsize)
    for image, into in zip(images, sums):
        for g in range(groups):
            channels, rows = slice(g * C, (g + 1) * C), slice(g * each, (g + 1) * each)
            for top in range(0, tall, band):
                lines = min(band, tall - top)
                how = side, stride, before, dilation, lines, wide, top
                places = slice(top * wide, (top + lines) * wide)
                multiply(kernels[rows], _columns(image[channels], *how), out=into[rows, places])
    if bias is not None:
        _add_bias(sums, bias)
    return sums.reshape(len(images), outputs, tall, wide)


def _spread(x, weight, stride, before, dilation, groups, height, width):
    """The transposed convolution, cropped by `before` to a height and a width."""
    B, outputs, tall, wide = x.shape
    _, C, side, _ = weight.shape
    after = dilation * (side - 1) - before
    if stride == 1 < side and groups == 1 and after >= 0 and (add := adding(x.dtype)):
        turned = weight[:, :, ::-1, ::-1].swapaxes(0, 1)
        return by_taps(add, plain(x), turned, None, after, dilation, height, width)
    if fast_few.few(weight.shape, groups, tall, wide):
        return fast_few.spread(x, weight, stride, before, dilation, groups, height, width)
    each, kernels = outputs // groups, weight.reshape(outputs, C * side * side)
    images = zeros((B, groups * C, height, width), x.dtype)
    for numbers, image in zip(x.reshape(B, outputs, tall * wide), images):
        for g in range(groups):
            rows = slice(g * each, (g + 1) * each)
            columns = multiply(kernels[rows].T, numbers[rows])
            part = image[g * C : (g + 1) * C]
            _put_back(columns, side, stride, before, dilation, part, tall, wide)
    return images


def _weight_gradient(images, grad, shape, stride, before, dilation, groups):
    outputs, C, side, _ = shape
    B, _, tall, wide = grad.shape
    if fast_few.few(shape, groups, tall, wide):
        return fast_few.weight_gradient(images, grad, shape, stride, before, dilation, groups)
    each, total = outputs // groups, np.zeros((outputs, C * side * side), grad.dtype)
    for image, above in zip(images, grad.reshape(B, outputs, tall * wide)):
        for g in range(groups):
            channels, rows = slice(g * C, (g + 1) * C), slice(g * each, (g + 1) * each)
            columns = _columns(image[channels], side, stride, before, dilation, tall, wide)
            total[rows] += multiply(above[rows], columns.T)
    return total.reshape(shape)


def conv2d(images, weight, bias, stride, before, after, dilation, groups):
    side = weight.shape[2]
    tall, wide = _places("conv2d", images, side, stride, before + after, dilation)
    return _convolved(images, weight, bias, stride, before, dilation, groups, tall, wide)


def conv2d_of(reading, weight, bias, before, after, dilation, past=None, skip=None, into=None):
    """The convolution of stride one of maps that are made while they are read.

    bias: O, or B O. past, skip, into: what is added behind it, and where, as `by_taps` says.
    """
    side, add = weight.shape[2], adding(weight.dtype)
    tall, wide = _places("conv2d", reading, side, 1, before + after, dilation)
    if add and side > 1:
        how = before, dilation, tall, wide
        return by_taps(add, reading, weight, bias, *how, past=past, skip=skip, into=into)
    sums = _convolved(reading.whole(), weight, None, 1, before, dilation, 1, tall, wide)
    sums += 0 if bias is None else bias[..., None, None]
    if past is not None:
        sums += past if skip is None else conv2d(past, skip, None, 1, 0, 0, 1, 1)
    return sums


def conv2d_vjp(images, weight, stride, before, after, dilation, groups, grad):
    side = weight.shape[2]
    sizes = _places("conv2d_vjp", images, side, stride, before + after, dilation)
    if grad.shape[2:] != sizes:
        raise AxesError(f"conv2d_vjp: grad is {grad.shape[2:]}, expected {sizes}")
    how = stride, before, dilation, groups
    images_grad = _spread(grad, weight, *how, *images.shape[2:])
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
    images = _spread(x, weight, stride, crop, dilation, groups, *sides)
    if bias is not None:
        _add_bias(images.reshape(*images.shape[:2], -1), bias)
    return images


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
