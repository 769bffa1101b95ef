"""What is known about adaptive_avg_pool2d and its gradient: laws, probes and mistakes."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Law, Op, Probe
from refimpl.ops.common import mistakes_of, sines
from refimpl.ops.convolution import reference as text
from refimpl.ops.images.spec.shared import (
    gradient_of_same_size,
    gradient_total,
    gradient_transposed,
    mirrored,
    product,
    ramp,
    same_size,
    transposed,
)

BINS = "images.pooling_weights"
STOP = "stop = first - (-edges[1:] // side)"
UP = 1 + ramp(1, 1, 5, 3)


def one_pixel(f, images, tall, wide):
    yield f(images, 1, 1)[:, :, 0, 0], np.mean(images, axis=(2, 3))


def whole_squares(f, images, tall, wide):
    twice = np.repeat(np.repeat(images, 2, axis=2), 2, axis=3)
    yield f(twice, *images.shape[2:]), text.avg_pool2d(twice, 2)


def constant(f, images, tall, wide):
    flat = np.broadcast_to(images[:, :, :1, :1], images.shape)
    shape = (*images.shape[:2], tall, wide)
    yield f(flat, tall, wide), np.broadcast_to(images[:, :, :1, :1], shape)


wrong = mistakes_of("adaptive_avg_pool2d")


ADAPTIVE_AVG_POOL2D = Op(
    text.adaptive_avg_pool2d,
    laws=(
        Law("the same size returns the image", same_size),
        Law("pooling to one pixel gives the mean", one_pixel),
        Law("for whole factors it is average pooling", whole_squares),
        Law("transposing exchanges rows and columns", transposed),
        Law("a mirrored image gives a mirrored result", mirrored),
        Law("a constant image stays constant", constant),
    ),
    probes=(
        Probe("seven to three", lambda: {"images": sines(1, 1, 7, 7), "tall": 3, "wide": 3}),
        Probe("more than there are", lambda: {"images": ramp(1, 2, 3, 4), "tall": 5, "wide": 3}),
    ),
    mistakes=(
        wrong(
            "bins-do-not-overlap",
            "rounds the end of a bin down",
            STOP,
            "stop = np.maximum(first + edges[1:] // side, start + 1)",
            "pixels on the border of two bins count once",
            "the factor is whole",
            where=BINS,
        ),
        wrong(
            "whole-squares",
            "gives every bin the same size, the factor rounded down",
            STOP,
            "stop = start + max(size // side, 1)",
            "pixels between the bins do not count",
            "the factor is whole",
            where=BINS,
        ),
        wrong(
            "sum",
            "sums the pixels of a bin instead of averaging",
            "return constant(1, like) * inside / (stop - start)[:, None]",
            "return constant(1, like) * inside",
            "brightness grows with the size of a bin",
            "bins are single pixels",
            where=BINS,
        ),
        wrong(
            "average-size",
            "divides by the factor, not by the pixels of the bin",
            "return constant(1, like) * inside / (stop - start)[:, None]",
            "return constant(1, like) * inside / max(size / side, 1)",
            "wide bins are too bright",
            "the factor is whole",
            where=BINS,
        ),
        wrong(
            "nearest",
            "takes the first pixel of each bin",
            STOP,
            "stop = start + 1",
            "fine patterns alias",
            "the image does not shrink",
            where=BINS,
        ),
        wrong(
            "rows-for-columns",
            "computes the bins of the columns from the height",
            "pooling_weights(0, images.shape[3], wide,",
            "pooling_weights(0, min(images.shape[2:]), wide,",
            "the right part of the image is ignored",
            "the image is no wider than tall",
        ),
    ),
)


def vjp_adjoint(f, images, tall, wide, grad):
    pooled = text.adaptive_avg_pool2d(images, tall, wide)
    yield product(grad, pooled), product(f(images, tall, wide, grad), images)


wrong_vjp = mistakes_of("adaptive_avg_pool2d_vjp")


ADAPTIVE_AVG_POOL2D_VJP = Op(
    text.adaptive_avg_pool2d_vjp,
    outputs=("images_grad",),
    laws=(
        Law("is adjoint to the pooling", vjp_adjoint),
        Law("keeps the sum", gradient_total),
        Law("transposing exchanges rows and columns", gradient_transposed),
        Law("the same size passes grad through", gradient_of_same_size),
        LINEAR_IN_GRAD,
    ),
    probes=(
        Probe(
            "seven to three",
            lambda: {
                "images": np.zeros((1, 2, 7, 5)),
                "tall": 3,
                "wide": 2,
                "grad": sines(1, 2, 3, 2),
            },
        ),
        Probe(
            "more than there are",
            lambda: {"images": np.zeros((1, 1, 3, 4)), "tall": 5, "wide": 3, "grad": UP},
        ),
    ),
    mistakes=(
        wrong_vjp(
            "not-divided",
            "gives every pixel of a bin the whole gradient",
            "return constant(1, like) * inside / (stop - start)[:, None]",
            "return constant(1, like) * inside",
            "large bins dominate",
            "bins are single pixels",
            where=BINS,
        ),
        wrong_vjp(
            "bins-do-not-overlap",
            "rounds the end of a bin down",
            STOP,
            "stop = np.maximum(first + edges[1:] // side, start + 1)",
            "pixels on the border of two bins get one gradient",
            "the factor is whole",
            where=BINS,
        ),
        wrong_vjp(
            "average-size",
            "divides by the factor, not by the pixels of the bin",
            "return constant(1, like) * inside / (stop - start)[:, None]",
            "return constant(1, like) * inside / max(size / side, 1)",
            "wide bins get too much",
            "the factor is whole",
            where=BINS,
        ),
        wrong_vjp(
            "resized-back",
            "pools grad to the image's size instead of spreading it",
            "return rows.T @ grad @ columns",
            "return adaptive_avg_pool2d(grad, *images.shape[2:]) + 0 * (rows.T @ grad @ columns)",
            "gradients too large where the image shrank",
            "the size is the same",
        ),
        wrong_vjp(
            "first-pixel",
            "gives the whole gradient to the first pixel of each bin",
            STOP,
            "stop = start + 1",
            "most pixels get no gradient",
            "the image does not shrink",
            where=BINS,
        ),
    ),
)
