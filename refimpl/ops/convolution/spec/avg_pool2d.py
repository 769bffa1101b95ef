"""What is known about avg_pool2d and its gradient: laws, probes and mistakes."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Law, Op, Probe
from refimpl.ops.common import mistakes_of, sines
from refimpl.ops.convolution import reference as text
from refimpl.ops.images.spec.shared import ramp, turned


def single_pixels(f, images, patch):
    yield f(images, 1), images


def mean_stays(f, images, patch):
    yield np.mean(f(images, patch), axis=(2, 3)), np.mean(images, axis=(2, 3))


def copies(f, images, patch):
    twice = np.repeat(np.repeat(images, 2, axis=2), 2, axis=3)
    yield f(twice, 2), images


def transposed(f, images, patch):
    yield f(turned(images), patch), turned(f(images, patch))


def in_two_steps(f, images, patch):
    twice = np.repeat(np.repeat(images, 2, axis=2), 2, axis=3)
    yield f(twice, 2 * patch), f(images, patch)


wrong = mistakes_of("avg_pool2d")


MEAN = "np.mean(squares, axis=(3, 5))"

AVG_POOL2D = Op(
    text.avg_pool2d,
    laws=(
        Law("squares of one pixel are the image", single_pixels),
        Law("keeps the mean", mean_stays),
        Law("undoes a nearest-neighbour resize", copies),
        Law("transposing exchanges rows and columns", transposed),
        Law("repeating every pixel and doubling the square changes nothing", in_two_steps),
    ),
    probes=(
        Probe("squares of two", lambda: {"images": sines(2, 3, 4, 6), "patch": 2}),
        Probe("squares of three", lambda: {"images": ramp(1, 2, 6, 3) / 8, "patch": 3}),
    ),
    mistakes=(
        wrong(
            "sum",
            "sums the square instead of averaging",
            MEAN,
            "np.sum(squares, axis=(3, 5))",
            "brightness grows with the size of the square",
            "squares are single pixels",
        ),
        wrong(
            "largest",
            "takes the maximum of the square",
            MEAN,
            "np.max(np.max(squares, axis=5), axis=3)",
            "max pooling",
            "squares are constant",
        ),
        wrong(
            "first-pixel",
            "takes the first pixel of each square",
            MEAN,
            "squares[:, :, :, 0, :, 0]",
            "fine patterns alias",
            "squares are constant",
        ),
        wrong(
            "divided-by-the-side",
            "divides by the side instead of the side squared",
            MEAN,
            "np.sum(squares, axis=(3, 5)) / patch",
            "brightness grows with the size of the square",
            "squares are single pixels",
            source="https://github.com/apple/coremltools/pull/2844",
        ),
        wrong(
            "bands",
            "averages pixels that are a stride apart instead of neighbours",
            "(B, channels, height // patch, patch, width // patch, patch)",
            "(B, channels, patch, height // patch, patch, width // patch)",
            "pixels far apart are mixed",
            "there is one square",
        ),
        wrong(
            "bands-kept-in-order",
            "reshapes without moving axes",
            MEAN,
            "np.mean(np.reshape(images, (B, channels, height // patch, width // patch, -1)), "
            "axis=4) + 0 * squares[:, :, :, 0, :, 0]",
            "a square holds pixels of one row",
            "squares are single pixels",
        ),
    ),
)


def vjp_total(f, patch, grad):
    yield np.sum(f(patch, grad), axis=(2, 3)), np.sum(np.sum(grad, axis=3), axis=2)


def vjp_averaged(f, patch, grad):
    yield text.avg_pool2d(f(patch, grad), patch), grad / (patch * patch)


def vjp_single_pixels(f, patch, grad):
    yield f(1, grad), grad


def vjp_transposed(f, patch, grad):
    yield f(patch, turned(grad)), turned(f(patch, grad))


wrong_vjp = mistakes_of("avg_pool2d_vjp")


SPREAD = "np.repeat(np.repeat(part, patch, axis=2), patch, axis=3)"

AVG_POOL2D_VJP = Op(
    text.avg_pool2d_vjp,
    outputs=("images_grad",),
    laws=(
        Law("keeps the sum", vjp_total),
        Law("every pixel of a square gets grad over the square's size", vjp_averaged),
        Law("squares of one pixel pass grad through", vjp_single_pixels),
        Law("transposing exchanges rows and columns", vjp_transposed),
        LINEAR_IN_GRAD,
    ),
    probes=(
        Probe("squares of two", lambda: {"patch": 2, "grad": sines(2, 3, 2, 3)}),
        Probe("squares of three", lambda: {"patch": 3, "grad": 1 + ramp(1, 2, 2, 1)}),
    ),
    mistakes=(
        wrong_vjp(
            "not-divided",
            "gives every pixel the whole gradient",
            "grad / (patch * patch)",
            "grad / 1",
            "gradients too large by the number of pixels",
            "squares are single pixels",
        ),
        wrong_vjp(
            "divided-by-the-side",
            "divides by the side instead of the side squared",
            "grad / (patch * patch)",
            "grad / patch",
            "gradients too large by the side",
            "squares are single pixels",
        ),
        wrong_vjp(
            "tiled",
            "tiles grad instead of repeating each entry",
            SPREAD,
            "np.tile(part, (1, 1, patch, patch))",
            "pixels get the gradient of other squares",
            "there is one square",
        ),
        wrong_vjp(
            "first-pixel",
            "gives the whole gradient to the first pixel of each square",
            SPREAD,
            SPREAD + " * patch * patch * (np.arange(grad.shape[3] * patch) % patch == 0)"
            " * (np.arange(grad.shape[2] * patch) % patch == 0)[:, None]",
            "most pixels get no gradient",
            "squares are single pixels",
        ),
        wrong_vjp(
            "rows-alone",
            "spreads over rows only, and tiles the columns",
            SPREAD,
            "np.repeat(np.tile(part, (1, 1, patch, 1)), patch, axis=3)",
            "pixels get the gradient of other squares",
            "there is one row of squares",
        ),
    ),
)
