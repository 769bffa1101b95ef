"""What is known about conv_transpose2d and its gradient: laws, probes, mistakes and a dialect."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import cosines, mistakes_of, sines
from refimpl.ops.convolution import reference as text
from refimpl.ops.convolution.spec.shared import (
    FOLLOWING,
    TRANSPOSED,
    adjoint_to,
    batch_apart,
    bias_collects,
    drawn_transposed_grad,
    impulse,
    up_by_two,
    up_in_groups,
)
from refimpl.ops.images.spec.shared import product, turned

TURNED = "kernels[:, :, :, ::-1, ::-1]"


def adjoint(f, x, weight, bias, stride, crop, extra, dilation, groups):
    found = f(x, weight, None, stride, crop, extra, dilation, groups)
    seen = text.conv2d(found, weight, None, stride, crop, crop, dilation, groups)
    yield product(found, found), product(seen, x)


def crop_of_the_whole(f, x, weight, bias, stride, crop, extra, dilation, groups):
    whole = f(x, weight, bias, stride, 0, extra, dilation, groups)
    found = f(x, weight, bias, stride, crop, extra, dilation, groups)
    last = [n - 2 * crop for n in whole.shape[2:]]
    yield found, whole[:, :, crop : crop + last[0], crop : crop + last[1]]


def one_number(f, x, weight, bias, stride, crop, extra, dilation, groups):
    single = x[:, :, :1, :1]
    found = f(single, weight, None, stride, 0, 0, dilation, groups)
    each, (_, C, side, _) = len(weight) // groups, weight.shape
    kernels = np.reshape(weight, (groups, each, C, side, side))
    numbers = np.reshape(single, (len(x), groups, each))
    taps = np.einsum("bgo,gocij->bgcij", numbers, kernels)
    yield (
        found[:, :, ::dilation, ::dilation],
        np.reshape(taps, (len(x), groups * C, side, side)),
    )


def groups_alone(f, x, weight, bias, stride, crop, extra, dilation, groups):
    C, each = weight.shape[1], len(weight) // groups
    whole = f(x, weight, None, stride, crop, extra, dilation, groups)
    last = f(x[:, -each:], weight[-each:], None, stride, crop, extra, dilation, 1)
    yield last, whole[:, -C:]


def transposed(f, x, weight, bias, stride, crop, extra, dilation, groups):
    how = stride, crop, extra, dilation, groups
    yield f(turned(x), turned(weight), bias, *how), turned(f(x, weight, bias, *how))


def black(f, x, weight, bias, stride, crop, extra, dilation, groups):
    found = f(0 * x, weight, bias, stride, crop, extra, dilation, groups)
    yield found, 0 * found + (0 if bias is None else bias[:, None, None])


wrong = mistakes_of("conv_transpose2d", where="spread_out")


CONV_TRANSPOSE2D = Op(
    text.conv_transpose2d,
    following=FOLLOWING,
    laws=(
        Law("is adjoint to the convolution with the same kernels", adjoint),
        Law("the crop removes rows and columns on every side", crop_of_the_whole),
        Law("a single pixel times the kernel gives the kernel, not flipped", one_number),
        Law("each group depends on its own channels alone", groups_alone),
        Law("transposing the inputs transposes the result", transposed),
        Law("an input of zeros gives the bias", black),
    ),
    probes=(
        Probe("up by two, cropped", lambda: {**up_by_two(), "bias": None}),
        Probe("two groups, taps two apart", lambda: {**up_in_groups(), "bias": 3 + sines(6)}),
        Probe("a single one", lambda: {**impulse(), "bias": cosines(2)}),
    ),
    mistakes=(
        wrong(
            "taps-adjacent",
            "ignores the dilation",
            "met = windows(apart, side, 1, reach, reach, dilation)",
            "met = windows(apart, side, 1, reach, reach, 1)"
            "[:, :, : height * stride + reach, : width * stride + reach]",
            "each input writes a smaller pattern",
            "the dilation is 1",
            source="https://github.com/apache/mxnet/issues/13876",
        ),
        wrong(
            "repeated",
            "repeats the inputs over the stride instead of spacing them with zeros",
            "apart = np.pad(x[:, :, :, None, :, None], between)",
            "apart = np.tile(x[:, :, :, None, :, None], (1, 1, 1, stride, 1, stride))",
            "a nearest-neighbour resize and then a convolution",
            "the stride is 1",
        ),
        wrong(
            "cropped-in-front",
            "crops twice at the top and left and not at the bottom and right",
            "whole[:, :, crop : crop + tall, crop : crop + wide]",
            "whole[:, :, 2 * crop : 2 * crop + tall, 2 * crop : 2 * crop + wide]",
            "the picture is shifted up and to the left",
            "nothing is cropped",
            where="",
        ),
        wrong(
            "extra-in-front",
            "puts the extra rows above and to the left",
            "whole[:, :, crop : crop + tall, crop : crop + wide]",
            "np.pad(whole, ((0, 0), (0, 0), (extra, 0), (extra, 0)))"
            "[:, :, crop : crop + tall, crop : crop + wide]",
            "the picture is shifted down and to the right",
            "there are no extra rows",
            where="",
        ),
        wrong(
            "zeros-after-cropping",
            "fills the extra rows with zeros",
            "sums = whole[:, :, crop : crop + tall, crop : crop + wide]",
            "sums = np.pad(\n        whole[:, :, crop : crop + tall - extra, crop : crop + wide"
            " - extra],\n        ((0, 0), (0, 0), (0, extra), (0, extra)),\n    )",
            "a dark border",
            "there are no extra rows, or they lie beyond every tap",
            where="",
        ),
        wrong(
            "kernels-dealt",
            "assigns kernels to groups round robin instead of in blocks",
            "np.reshape(weight, (groups, outputs // groups, C, side, side))",
            "np.swapaxes(np.reshape(weight, (outputs // groups, groups, C, side, side)), 0, 1)",
            "inputs multiply kernels of other groups",
            "there is one group, or one kernel in each",
        ),
        wrong(
            "no-bias",
            "forgets the bias",
            "return sums if bias is None else sums + bias[:, None, None]",
            "return sums",
            "every channel is off by a constant",
            "the bias is 0",
            where="",
        ),
    ),
    dialects=(
        Edit(
            "conv_transpose2d/kernel-as-it-is",
            "writes the flipped kernel",
            TURNED,
            "kernels",
            where="spread_out",
            effect="the pattern is turned by 180°",
            source="jax.lax.conv_transpose without transpose_kernel",
            invisible_when="the kernels are symmetric",
        ),
    ),
    values=TRANSPOSED,
)


def vjp_is_a_convolution(f, x, weight, stride, crop, extra, dilation, groups, grad):
    x_grad, _, _ = f(x, weight, stride, crop, extra, dilation, groups, grad)
    yield x_grad, text.conv2d(grad, weight, None, stride, crop, crop, dilation, groups)


wrong_vjp = mistakes_of("conv_transpose2d_vjp")


CONV_TRANSPOSE2D_VJP = Op(
    text.conv_transpose2d_vjp,
    following=FOLLOWING,
    outputs=("x_grad", "weight_grad", "bias_grad"),
    laws=(
        Law(
            "is adjoint to the transposed convolution in x and weight",
            adjoint_to(text.conv_transpose2d),
        ),
        Law("the gradient of x is the convolution of grad", vjp_is_a_convolution),
        Law("the gradient of the bias is the sum of grad in its channel", bias_collects),
        Law("a sample's gradient is its own, that of the weight is the sum", batch_apart),
        LINEAR_IN_GRAD,
    ),
    probes=(
        Probe("up by two, cropped", lambda: {**up_by_two(), "grad": cosines(1, 1, 4, 6)}),
        Probe("two groups, taps two apart", lambda: {**up_in_groups(), "grad": sines(2, 6, 8, 11)}),
    ),
    mistakes=(
        wrong_vjp(
            "kernel-turned",
            "flips the kernel in the backward pass as well",
            "x_grad = correlated(met, kernels)",
            "x_grad = correlated(met, kernels[:, :, :, ::-1, ::-1])",
            "gradients of the flipped pattern",
            "the kernels are symmetric",
        ),
        wrong_vjp(
            "crop-forgotten",
            "reads grad as if nothing had been cropped",
            "met = windows(grad, side, stride, crop, crop, dilation)",
            "met = windows(grad, side, stride, 0, 2 * crop, dilation)",
            "gradients are shifted",
            "nothing is cropped",
        ),
        wrong_vjp(
            "taps-adjacent",
            "ignores the dilation",
            "dilation * np.arange(side)",
            "np.arange(side)",
            "gradients come from a smaller patch",
            "the dilation is 1",
            where="windows",
        ),
        wrong_vjp(
            "weight-mirrored",
            "flips the gradient of the kernel",
            "return x_grad, weight_grad, bias_grad",
            "return x_grad, weight_grad[:, :, ::-1, ::-1], bias_grad",
            "kernels learn the flipped pattern",
            "the kernel has one tap",
        ),
        wrong_vjp(
            "weight-averaged",
            "averages the gradient of the weight over the batch",
            "return x_grad, weight_grad, bias_grad",
            "return x_grad, weight_grad / len(x), bias_grad",
            "divided twice where the loss is a mean already",
            "there is one image",
        ),
        wrong_vjp(
            "bias-of-x",
            "averages the gradient of the bias over the pixels",
            "np.sum(grad, axis=(0, 2, 3))",
            "np.sum(np.mean(grad, axis=(2, 3)), axis=0)",
            "the bias learns too slowly",
            "there is one pixel",
        ),
    ),
    values={**TRANSPOSED, "grad": drawn_transposed_grad},
)
