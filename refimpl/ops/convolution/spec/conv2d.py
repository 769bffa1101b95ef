"""What is known about conv2d and its gradient: laws, probes and mistakes."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Law, Op, Probe
from refimpl.ops.common import cosines, mistakes_of, sines
from refimpl.ops.convolution import reference as text
from refimpl.ops.convolution.spec.shared import (
    CONVOLVED,
    FOLLOWING,
    adjoint_to,
    batch_apart,
    bias_collects,
    bright_pixel,
    down_by_two,
    drawn_grad,
    one_place,
    two_groups,
)
from refimpl.ops.convolution.spec.transforms import TRANSFORMS
from refimpl.ops.images.spec.shared import turned

PADDED = "edges = (before, after)"


def single_pixels(f, images, weight, bias, stride, before, after, dilation, groups):
    points, C = weight[:, :, :1, :1], weight.shape[1]
    found = f(images[:, :C], points[: len(weight) // groups], None, 1, 0, 0, 1, 1)
    yield found, np.einsum("ocij,bcyx->boyx", points[: len(weight) // groups], images[:, :C])


def every_stride(f, images, weight, bias, stride, before, after, dilation, groups):
    whole = f(images, weight, bias, 1, before, after, dilation, groups)
    part = f(images, weight, bias, stride, before, after, dilation, groups)
    yield part, whole[:, :, ::stride, ::stride]


def zeros_are_pixels(f, images, weight, bias, stride, before, after, dilation, groups):
    edges = (before, after)
    padded = np.pad(images, ((0, 0), (0, 0), edges, edges))
    found = f(padded, weight, bias, stride, 0, 0, dilation, groups)
    yield found, f(images, weight, bias, stride, before, after, dilation, groups)


def groups_alone(f, images, weight, bias, stride, before, after, dilation, groups):
    C, each = weight.shape[1], len(weight) // groups
    whole = f(images, weight, None, stride, before, after, dilation, groups)
    last = f(images[:, -C:], weight[-each:], None, stride, before, after, dilation, 1)
    yield last, whole[:, -each:]


def transposed(f, images, weight, bias, stride, before, after, dilation, groups):
    found = f(turned(images), turned(weight), bias, stride, before, after, dilation, groups)
    yield found, turned(f(images, weight, bias, stride, before, after, dilation, groups))


def black(f, images, weight, bias, stride, before, after, dilation, groups):
    found = f(0 * images, weight, bias, stride, before, after, dilation, groups)
    flat = 0 if bias is None else bias[:, None, None]
    yield found, 0 * found + flat


wrong = mistakes_of("conv2d")


CONV2D = Op(
    text.conv2d,
    following=FOLLOWING,
    laws=(
        Law("a 1 × 1 kernel is a dense layer over the channels", single_pixels),
        Law("stride s keeps every s-th row and column of stride 1", every_stride),
        Law("padding is the same as zero pixels around the image", zeros_are_pixels),
        Law("each group depends on its own channels alone", groups_alone),
        Law("image and kernels transposed give the result transposed", transposed),
        Law("a black image gives the bias", black),
    ),
    probes=(
        Probe("down by two, zeros behind", lambda: {**down_by_two(), "bias": cosines(2)}),
        Probe("two groups, taps two apart", lambda: {**two_groups(), "bias": 3 + sines(6)}),
        Probe("a single place", lambda: {**one_place(), "bias": None}),
        Probe("a bright pixel in a dim picture", bright_pixel),
    ),
    mistakes=(
        wrong(
            "kernel-mirrored",
            "flips the kernel, as convolution in mathematics does",
            "np.reshape(weight, (groups",
            "np.reshape(weight[:, :, ::-1, ::-1], (groups",
            "features of the flipped pattern",
            "the kernels are symmetric",
        ),
        wrong(
            "kernel-transposed",
            "reads the kernel as (column, row)",
            "np.reshape(weight, (groups",
            "np.reshape(np.swapaxes(weight, 2, 3), (groups",
            "features of the transposed pattern",
            "the kernels are symmetric",
        ),
        wrong(
            "padded-alike",
            "pads both sides by the larger of the two paddings",
            PADDED,
            "edges = (max(before, after), max(before, after))",
            "the outputs are shifted by a pixel or more",
            "both sides are padded alike",
            source="https://github.com/pytorch/pytorch/pull/45667",
            where="windows",
            also=(("windows", "padded.shape[2:]", "np.add(images.shape[2:], before + after)"),),
        ),
        wrong(
            "zeros-in-front",
            "exchanges the paddings before and after",
            PADDED,
            "edges = (after, before)",
            "the outputs are shifted down and to the right",
            "both sides are padded alike",
            where="windows",
        ),
        wrong(
            "edge-repeated",
            "pads with copies of the edge instead of zeros",
            "np.pad(images, ((0, 0), (0, 0), edges, edges))",
            'np.pad(images, ((0, 0), (0, 0), edges, edges), "edge")',
            "the borders are too bright",
            "nothing is padded",
            where="windows",
        ),
        wrong(
            "taps-adjacent",
            "ignores the dilation",
            "dilation * np.arange(side)",
            "np.arange(side)",
            "the kernel covers a smaller patch",
            "the dilation is 1",
            where="windows",
        ),
        wrong(
            "channels-dealt",
            "assigns channels to groups round robin instead of in blocks",
            "(B, groups, C, tall, wide, side, side))",
            "(B, C, groups, tall, wide, side, side)).swapaxes(1, 2)",
            "weights multiply channels of other groups",
            "there is one group, or one channel in each",
            where="correlated",
        ),
        wrong(
            "bias-in-front",
            "adds the bias to the image instead of the result",
            "return sums if bias is None else sums + bias[:, None, None]",
            "taps = np.sum(kernels, axis=(2, 3, 4)).reshape(outputs, 1, 1)\n"
            "    return sums if bias is None else sums + taps * bias[:, None, None]",
            "the bias is multiplied by the sum of the weights",
            "the bias is 0",
        ),
        wrong(
            "no-bias",
            "forgets the bias",
            "return sums if bias is None else sums + bias[:, None, None]",
            "return sums",
            "every channel is off by a constant",
            "the bias is 0",
        ),
    ),
    lossy=TRANSFORMS,
    values=CONVOLVED,
)


def vjp_groups_alone(f, images, weight, stride, before, after, dilation, groups, grad):
    C, each = weight.shape[1], len(weight) // groups
    whole = f(images, weight, stride, before, after, dilation, groups, grad)
    how = stride, before, after, dilation, 1
    last = f(images[:, -C:], weight[-each:], *how, grad[:, -each:])
    yield last[0], whole[0][:, -C:]
    yield last[1], whole[1][-each:]


def vjp_transposed(f, images, weight, stride, before, after, dilation, groups, grad):
    how = stride, before, after, dilation, groups
    found = f(turned(images), turned(weight), *how, turned(grad))
    images_grad, weight_grad, _ = f(images, weight, *how, grad)
    yield found[0], turned(images_grad)
    yield found[1], turned(weight_grad)


wrong_vjp = mistakes_of("conv2d_vjp")


CONV2D_VJP = Op(
    text.conv2d_vjp,
    following=FOLLOWING,
    outputs=("images_grad", "weight_grad", "bias_grad"),
    laws=(
        Law("is adjoint to the convolution in images and weight", adjoint_to(text.conv2d)),
        Law("the gradient of the bias is the sum of grad in its channel", bias_collects),
        Law("an image's gradient is its own, that of the weight is the sum", batch_apart),
        Law("each group depends on its own channels alone", vjp_groups_alone),
        Law("transposing the inputs transposes the result", vjp_transposed),
        LINEAR_IN_GRAD,
    ),
    probes=(
        Probe("down by two, zeros behind", lambda: {**down_by_two(), "grad": cosines(1, 2, 2, 2)}),
        Probe("two groups, taps two apart", lambda: {**two_groups(), "grad": sines(2, 6, 4, 5)}),
    ),
    mistakes=(
        wrong_vjp(
            "kernel-not-turned",
            "correlates with the kernel without flipping it",
            "kernels[:, :, :, ::-1, ::-1])",
            "kernels)",
            "pixels get the gradient of the mirrored place",
            "the kernels are symmetric",
            where="spread_out",
        ),
        wrong_vjp(
            "not-cropped",
            "crops the gradient at the wrong end of the padding",
            "padded_grad[:, :, before : before + height, before : before + width]",
            "padded_grad[:, :, :height, :width]",
            "gradients are shifted down and to the right",
            "there is no padding before",
        ),
        wrong_vjp(
            "numbers-together",
            "repeats grad over the stride instead of spacing it with zeros",
            "apart = np.pad(x[:, :, :, None, :, None], between)",
            "apart = np.tile(x[:, :, :, None, :, None], (1, 1, 1, stride, 1, stride))",
            "pixels get gradients of neighbouring outputs",
            "the stride is 1",
            where="spread_out",
        ),
        wrong_vjp(
            "weight-mirrored",
            "flips the gradient of the kernel",
            "return images_grad, weight_grad, bias_grad",
            "return images_grad, weight_grad[:, :, ::-1, ::-1], bias_grad",
            "kernels learn the flipped pattern",
            "the kernel has one tap",
        ),
        wrong_vjp(
            "weight-averaged",
            "averages the gradient of the weight over the batch",
            "return images_grad, weight_grad, bias_grad",
            "return images_grad, weight_grad / len(images), bias_grad",
            "divided twice where the loss is a mean already",
            "there is one image",
        ),
        wrong_vjp(
            "bias-averaged",
            "averages the gradient of the bias over the output pixels",
            "np.sum(grad, axis=(0, 2, 3))",
            "np.sum(np.mean(grad, axis=(2, 3)), axis=0)",
            "the bias learns too slowly",
            "there is one place",
        ),
        wrong_vjp(
            "groups-dealt",
            "assigns kernels to groups round robin instead of in blocks",
            "np.reshape(weight, (groups, outputs // groups, C, side, side))",
            "np.swapaxes(np.reshape(weight, (outputs // groups, groups, C, side, side)), 0, 1)",
            "gradients reach the channels of other groups",
            "there is one group, or one output in each",
            where="spread_out",
        ),
    ),
    values={**CONVOLVED, "grad": drawn_grad},
)
