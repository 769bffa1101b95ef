"""What is known about resize_nearest and its gradient: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import mistakes_of, sines
from refimpl.ops.convolution import reference as text
from refimpl.ops.images.spec.shared import (
    gradient_of_same_size,
    gradient_total,
    gradient_transposed,
    product,
    ramp,
    same_size,
    transposed,
)

TO_FIVE = {"tall": 5, "wide": 3}
TO_NINE = {"tall": 6, "wide": 9}
INDEX = "np.arange(target) * length // max(target, 1)"


def whole_factors(f, images, tall, wide):
    height, width = images.shape[2:]
    twice = np.repeat(np.repeat(images, 2, axis=2), 3, axis=3)
    yield f(images, 2 * height, 3 * width), twice


def the_corner_stays(f, images, tall, wide):
    yield f(images, tall, wide)[:, :, 0, 0], images[:, :, 0, 0]


def by_way_of_more(f, images, tall, wide):
    yield f(f(images, 4 * tall, 4 * wide), tall, wide), f(images, tall, wide)


def wrong(name, says, new, effect, unseen, source="", old=INDEX, where="nearest_rows"):
    given = {"effect": effect, "invisible_when": unseen, "source": source, "where": where}
    return Edit(f"resize_nearest/{name}", says, old, new, **given)


CENTRES = "np.clip((2 * np.arange(target) + 1) * length // (2 * max(target, 1)), 0, length - 1)"

RESIZE_NEAREST = Op(
    text.resize_nearest,
    laws=(
        Law("a whole factor repeats each pixel", whole_factors),
        Law("the same size returns the image", same_size),
        Law("transposing exchanges rows and columns", transposed),
        Law("the first pixel stays the first", the_corner_stays),
        Law("enlarging by a whole factor first changes nothing", by_way_of_more),
    ),
    probes=(
        Probe("three to five, five to three", lambda: {"images": ramp(1, 2, 3, 5), **TO_FIVE}),
        Probe("two to 82", lambda: {"images": ramp(1, 1, 2, 2), "tall": 82, "wide": 3}),
        Probe("26 to 64", lambda: {"images": sines(1, 1, 26, 3), "tall": 64, "wide": 6}),
    ),
    mistakes=(
        wrong(
            "rounded",
            "rounds the index to the nearest pixel, halves up",
            "np.minimum((2 * np.arange(target) * length + max(target, 1))"
            " // (2 * max(target, 1)), length - 1)",
            "some pixels are copies of the wrong neighbour",
            "the factor is whole",
            "https://github.com/microsoft/onnxruntime/issues/28085",
        ),
        wrong(
            "last-on-last",
            "aligns the corners: the last pixel goes to the last",
            "np.arange(target) * (length - 1) // max(target - 1, 1)",
            "the picture is stretched",
            "the size is the same",
        ),
        wrong(
            "rounded-up",
            "rounds the index up instead of down",
            "np.minimum(-(-np.arange(target) * length // max(target, 1)), length - 1)",
            "pixels come from below and the right",
            "the size is the same",
            "https://github.com/sonos/tract/pull/2554",
        ),
        wrong(
            "repeated-whole",
            "repeats each pixel a whole number of times, and the last for the rest",
            "np.minimum(np.arange(target) // max(target // length, 1), length - 1)",
            "too many copies of the last pixel",
            "the factor is whole",
            "https://github.com/sonos/tract/pull/2554",
        ),
        wrong(
            "one-factor",
            "scales the columns by the factor of the rows",
            "nearest_rows(images.shape[2] * wide // max(tall, 1), wide) % images.shape[3]",
            "columns come from the wrong pixels",
            "both factors are equal",
            old="nearest_rows(images.shape[3], wide)",
            where="",
        ),
        wrong(
            "transposed",
            "exchanges rows and columns",
            "np.swapaxes(images, 2, 3)[:, :, rows[:, None] % images.shape[3],"
            " columns % images.shape[2]]",
            "the picture is transposed",
            "the image is symmetric",
            old="images[:, :, rows[:, None], columns]",
            where="",
        ),
    ),
    dialects=(
        wrong(
            "centres",
            "takes the pixel under the centre of the new one",
            CENTRES,
            "another pixel for some factors: Pillow's, and torch's nearest-exact",
            "the factor is whole and not below one",
        ),
        wrong(
            "float32-factor",
            "rounds the factor to float32 before multiplying",
            "np.minimum((np.arange(target, dtype=np.float32) * (np.float32(length)"
            " / np.float32(max(target, 1)))).astype(int), length - 1)",
            "at some sizes an index is one too small: torch's nearest",
            "the factor is whole",
        ),
    ),
)


def vjp_adjoint(f, images, tall, wide, grad):
    resized = text.resize_nearest(images, tall, wide)
    yield product(grad, resized), product(f(images, tall, wide, grad), images)


def vjp_of_copies(f, images, tall, wide, grad):
    copies = text.resize_nearest(images, 2 * images.shape[2], images.shape[3])
    yield f(images, 2 * images.shape[2], images.shape[3], copies), 2 * images


wrong_vjp = mistakes_of("resize_nearest_vjp")


LAST = "return rows.T @ grad @ columns"

RESIZE_NEAREST_VJP = Op(
    text.resize_nearest_vjp,
    outputs=("images_grad",),
    laws=(
        Law("is adjoint to the resize", vjp_adjoint),
        Law("keeps the sum", gradient_total),
        Law("transposing exchanges rows and columns", gradient_transposed),
        Law("the same size passes grad through", gradient_of_same_size),
        Law("the gradients of two copies add up", vjp_of_copies),
        LINEAR_IN_GRAD,
    ),
    probes=(
        Probe(
            "three to five, five to three",
            lambda: {"images": np.zeros((1, 2, 3, 5)), **TO_FIVE, "grad": sines(1, 2, 5, 3)},
        ),
        Probe(
            "two to six, three to nine",
            lambda: {"images": np.zeros((2, 1, 2, 3)), **TO_NINE, "grad": 1 + sines(2, 1, 6, 9)},
        ),
    ),
    mistakes=(
        wrong_vjp(
            "resized-back",
            "resizes grad back, so that one of the copies counts",
            LAST,
            "return resize_nearest(grad, height, width) + 0 * (rows.T @ grad @ columns)",
            "gradients too small by the factors",
            "the image does not grow",
        ),
        wrong_vjp(
            "averaged",
            "averages the copies instead of summing them",
            "columns = one * (nearest_rows(width, wide)[:, None] == np.arange(width))",
            "columns = one * (nearest_rows(width, wide)[:, None] == np.arange(width))"
            " * width / wide",
            "gradients too small by the factor",
            "the size is the same",
        ),
        wrong_vjp(
            "centres",
            "takes the pixel below the centre, as another resize does",
            INDEX,
            CENTRES,
            "gradients go to a neighbouring pixel",
            "the factor is whole and not below one",
            where="nearest_rows",
        ),
        wrong_vjp(
            "last-on-last",
            "aligns the corners: the last pixel goes to the last",
            INDEX,
            "np.arange(target) * (length - 1) // max(target - 1, 1)",
            "gradients go to a neighbouring pixel",
            "the size is the same",
            where="nearest_rows",
        ),
        wrong_vjp(
            "one-copy",
            "keeps the gradient of one copy instead of the sum",
            "rows = one * (nearest_rows(height, tall)[:, None] == np.arange(height))",
            "rows = one * (nearest_rows(height, tall)[:, None] == np.arange(height))"
            " * (np.diff(nearest_rows(height, tall), append=height) > 0)[:, None]",
            "the other copies have no effect",
            "the image does not grow",
        ),
    ),
)
