"""What the specifications of images share."""

import numpy as np


def ramp(*shape):
    """The numbers 0, 1, 2, … in reading order."""
    return np.arange(float(np.prod(shape))).reshape(shape)


def turned(images):
    """Rows and columns exchanged."""
    return np.swapaxes(images, 2, 3)


def product(left, right):
    """The inner product of two arrays of one shape."""
    return np.sum(left * right)


def same_size(f, images, tall, wide):
    _, _, height, width = images.shape
    yield f(images, height, width), images


def transposed(f, images, tall, wide):
    yield f(turned(images), wide, tall), turned(f(images, tall, wide))


def one_axis_at_a_time(f, images, tall, wide):
    _, _, height, _ = images.shape
    yield f(f(images, height, wide), tall, wide), f(images, tall, wide)


def gradient_of_same_size(f, images, tall, wide, grad):
    yield f(grad, tall, wide, grad), grad


def gradient_transposed(f, images, tall, wide, grad):
    yield f(turned(images), wide, tall, turned(grad)), turned(f(images, tall, wide, grad))


def mirrored(f, images, tall, wide):
    """A law: a mirrored image gives the mirrored result."""
    yield f(images[:, :, ::-1, ::-1], tall, wide), f(images, tall, wide)[:, :, ::-1, ::-1]


def gradient_total(f, images, tall, wide, grad):
    """A law: the gradients of an image keep their sum."""
    found = f(images, tall, wide, grad)
    yield np.sum(found, axis=(2, 3)), np.sum(np.sum(grad, axis=3), axis=2)
