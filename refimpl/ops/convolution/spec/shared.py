"""What the specifications of convolution share: how whole numbers are drawn, probes and laws."""

import numpy as np

from refimpl.ops.common import by_name, cosines, sines
from refimpl.ops.images.spec.shared import product


def drawn_stride(source, known):
    """How far a kernel moves."""
    return source.integer(1, 3)


def drawn_before(source, known):
    """Zeros on the near side."""
    return source.integer(0, 2)


def drawn_after(source, known):
    """Zeros on the far side, as many at least as let the kernel have a place."""
    lacking = known["taps"] - min(known["rows"], known["cols"]) - known["before"]
    return max(lacking, 0) + source.integer(0, 2)


def drawn_dilation(source, known):
    """How far taps lie apart, such that the kernel still has a place."""
    length = min(known["rows"], known["cols"]) + known["before"] + known["after"]
    return source.integer(
        1, min(3, (length - 1) // (known["taps"] - 1)) if known["taps"] > 1 else 3
    )


def drawn_extra(source, known):
    """Rows that come back behind the crop."""
    return source.integer(0, known["stride"] - 1)


def drawn_crop(source, known):
    """A crop that leaves something of what close taps give."""
    least = known["stride"] * (min(known["rows"], known["cols"]) - 1) + known["taps"]
    return source.integer(0, min(2, (least - 1) // 2))


def drawn_few(source, known):
    """How far places or taps lie apart where that makes the result larger."""
    return source.integer(1, 2)


def convolved_size(known, length):
    """The places of a kernel along an axis."""
    reach = known["dilation"] * (known["taps"] - 1) + 1
    return (length + known["before"] + known["after"] - reach) // known["stride"] + 1


def drawn_grad(source, known):
    """A gradient in the shape of what the convolution gives."""
    sides = (convolved_size(known, known[axis]) for axis in ("rows", "cols"))
    return source.normal((known["B"], known["G"] * known["O"], *sides))


def transposed_size(known, length):
    """The pixels of a transposed convolution along an axis."""
    reach = known["dilation"] * (known["taps"] - 1) + 1
    return known["stride"] * (length - 1) + reach + known["extra"] - 2 * known["crop"]


def drawn_transposed_grad(source, known):
    """A gradient in the shape of what the transposed convolution gives."""
    sides = (transposed_size(known, known[axis]) for axis in ("rows", "cols"))
    return source.normal((known["B"], known["G"] * known["C"], *sides))


FOLLOWING = {"tall": "rows", "wide": "cols"}
STEPS = {"stride": drawn_stride, "dilation": drawn_dilation}
CONVOLVED = {**STEPS, "before": drawn_before, "after": drawn_after}
TRANSPOSED = {
    "stride": drawn_few,
    "crop": drawn_crop,
    "extra": drawn_extra,
    "dilation": drawn_few,
}

HOW = {"stride": 1, "before": 0, "after": 0, "dilation": 1, "groups": 1}
BACK = {"stride": 1, "crop": 0, "extra": 0, "dilation": 1, "groups": 1}


def down_by_two():
    """The step down of an autoencoder: stride 2, a row of zeros below and a column to the right."""
    image = {"images": sines(1, 2, 4, 4), "weight": cosines(2, 2, 3, 3)}
    return {**image, **HOW, "stride": 2, "after": 1}


def two_groups():
    """Two groups of two channels, taps two pixels apart, other sides."""
    image = {"images": sines(2, 4, 5, 6), "weight": cosines(6, 2, 2, 2)}
    return {**image, **HOW, "before": 1, "dilation": 2, "groups": 2}


def one_place():
    """A kernel as large as the image: one place."""
    return {"images": sines(1, 1, 3, 3), "weight": np.arange(9.0).reshape(1, 1, 3, 3) / 8, **HOW}


def bright_pixel():
    """One pixel outshines the others, where the kernels' last taps are zero and miss it."""
    images, weight = sines(1, 2, 7, 7) / 64, cosines(2, 2, 3, 3)
    images[:, 0, 1, 1] = 4096
    weight[:, :, 2], weight[:, :, :, 2] = 0, 0
    return {"images": images, "weight": weight, "bias": None, **HOW, "before": 1}


def up_by_two():
    """The way up again: stride 2, cropped, with the row that the stride had skipped."""
    numbers = {"x": sines(1, 2, 2, 3), "weight": cosines(2, 1, 3, 3)}
    return {**numbers, **BACK, "stride": 2, "crop": 1, "extra": 1}


def up_in_groups():
    """Two groups, taps two pixels apart."""
    numbers = {"x": sines(2, 4, 2, 3), "weight": cosines(4, 3, 2, 2)}
    return {**numbers, **BACK, "stride": 3, "extra": 2, "dilation": 2, "groups": 2}


def impulse():
    """A single one: the kernel itself comes out."""
    numbers = {"x": np.array([[[[0.0, 0, 0], [0, 1, 0]]]]), "weight": cosines(1, 2, 3, 3)}
    return {**numbers, **BACK, "stride": 2}


def adjoint_to(forward):
    """The law that a gradient is adjoint to what it is the gradient of, in both factors."""

    @by_name
    def law(f, x, weight, *rest):
        *how, grad = rest
        x_grad, weight_grad, _ = f(x, weight, *how, grad)
        yield product(x_grad, x), product(grad, forward(x, weight, None, *how))
        yield product(weight_grad, weight), product(x_grad, x)

    return law


@by_name
def bias_collects(f, *inputs):
    """The gradient of a bias is all that arrives in its channel."""
    _, _, bias_grad = f(*inputs)
    yield bias_grad, np.sum(np.sum(inputs[-1], axis=3), axis=(0, 2))


@by_name
def batch_apart(f, x, weight, *rest):
    """What stands in a batch gets a gradient of its own; the weight gets the sum."""
    *how, grad = rest
    whole = f(x, weight, *how, grad)
    first, others = f(x[:1], weight, *how, grad[:1]), f(x[1:], weight, *how, grad[1:])
    yield first[0], whole[0][:1]
    yield first[1] + others[1], whole[1]
