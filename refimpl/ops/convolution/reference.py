"""Convolution: kernels that move over an image, their transposes, and changes of size.

Kernels are square and correlated, never mirrored. Zeros lie beyond the edges: `before` the first
row and column, and `after` the last.
"""

import numpy as np

from refimpl.axes import Array, AxesError, Float, Size, Stride, Total
from refimpl.constants import constant
from refimpl.ops.images.reference import check_pixels, pooling_weights


def check_places(op, images, side, around, dilation):
    """Refuse a kernel without taps, and images too small for a single place of it."""
    reach = dilation * (side - 1) + 1
    if side < 1:
        raise AxesError(f"{op}: weight has taps={side}, expected at least one tap")
    for axis, length in (("rows", images.shape[2]), ("cols", images.shape[3])):
        if length + around < reach:
            raise AxesError(
                f"{op}: images have {axis}={length} and {around} zeros around, "
                f"expected at least the {reach} that the kernel spans"
            )


def windows(images, side, stride, before, after, dilation):
    """What each tap of a kernel meets at each of its places, zeros beyond the edges."""
    edges = (before, after)
    padded = np.pad(images, ((0, 0), (0, 0), edges, edges))
    last = dilation * (side - 1)
    rows, columns = (
        np.arange(0, length - last, stride)[:, None] + dilation * np.arange(side)
        for length in padded.shape[2:]
    )  # tall taps, wide taps
    return padded[
        :, :, rows[:, None, :, None], columns[:, None, :]
    ]  # B channels tall wide taps taps


def correlated(met, kernels):
    """What the kernels of each group give at each of their places."""
    groups, outputs, C, side, _ = kernels.shape
    B, _, tall, wide, _, _ = met.shape
    met = np.reshape(met, (B, groups, C, tall, wide, side, side))  # B G C tall wide taps taps
    sums = np.einsum("bgcyxij,gocij->bgoyx", met, kernels)  # B G O tall wide
    return np.reshape(sums, (B, groups * outputs, tall, wide))  # B G*O tall wide


def weight_gradient(met, grad, groups, shape):
    """The gradient of kernels from what they met and what arrives at each of their places."""
    B, _, tall, wide, side, _ = met.shape
    outputs, C = shape[0] // groups, shape[1]
    met = np.reshape(met, (B, groups, C, tall, wide, side, side))  # B G C tall wide taps taps
    grad = np.reshape(grad, (B, groups, outputs, tall, wide))  # B G O tall wide
    return np.reshape(np.einsum("bgcyxij,bgoyx->gocij", met, grad), shape)  # G*O C taps taps


def spread_out(x, weight, stride, dilation, groups):
    """Put the kernel, times the number, at every number's place; what overlaps adds up.

    The places are `stride` apart, so that is how far the numbers move apart.
    """
    B, channels, height, width = x.shape
    outputs, C, side, _ = weight.shape
    between = ((0, 0), (0, 0), (0, 0), (0, stride - 1), (0, 0), (0, stride - 1))
    apart = np.pad(x[:, :, :, None, :, None], between)  # B G*O height stride width stride
    apart = np.reshape(apart, (B, channels, height * stride, width * stride))
    reach = dilation * (side - 1)
    met = windows(apart, side, 1, reach, reach, dilation)
    kernels = np.reshape(weight, (groups, outputs // groups, C, side, side))
    kernels = np.swapaxes(kernels, 1, 2)  # G C O taps taps
    return correlated(met, kernels[:, :, :, ::-1, ::-1])


def conv2d(
    images: Float[Array, "B G*C rows cols"],
    weight: Float[Array, "G*O C taps taps"],
    bias: Float[Array, "G*O"] | None,
    stride: Stride[int, ""],
    before: Total[int, ""],
    after: Total[int, ""],
    dilation: Stride[int, ""],
    groups: Size[int, "G"],
) -> Float[Array, "B G*O tall wide"]:
    r"""Slide kernels over images: each output is the sum of kernel weights times the pixels below.

    $$y_{b,o,u,v} = \mathrm{bias}_o + \sum_{c,i,j} W_{ocij}\,
    x_{b,\; \gamma C + c,\; us + id - p,\; vs + jd - p}, \qquad
    \gamma = \lfloor o / O \rfloor$$

    with x = 0 beyond the edges, $u < \lfloor (\mathrm{rows} + p + q - d(k-1) - 1) / s \rfloor + 1$.

    images: B G*C rows cols, pixels or features in any range.
    weight: G*O C taps taps, a kernel of k by k taps for each output channel, not flipped.
    bias: G*O, added at every place; None for no bias.
    stride: s, by how many pixels the kernel moves, at least 1.
    before: p, rows of zeros above the image and columns to its left.
    after: q, rows of zeros below the image and columns to its right.
    dilation: d, how far the taps lie apart, at least 1.
    groups: G, blocks of channels that are convolved separately.

    Returns B G*O tall wide; pixels that no whole stride reaches are left out.

    Raises AxesError for a kernel that spans more than the padded image, or channels that are not
    as many as the groups say.

    Elsewhere: torch and JAX compute this; torch pads both sides alike. TensorFlow's SAME pads
    max(0, d(k-1) - (n-1) mod s) in all, the odd one after: 0 and 1 for a kernel of 3, a stride of
    2 and even sides, as the encoder of Stable Diffusion has it. Convolution in mathematics flips
    the kernel.

    Paper: LeCun et al. 1998, "Gradient-Based Learning Applied to Document Recognition", section
    II.A; strides and dilation as in Dumoulin and Visin 2016, "A guide to convolution arithmetic
    for deep learning".

    >>> image, kernel = np.arange(9.0).reshape(1, 1, 3, 3), np.array([[[[1.0, 0.0], [0.0, 10.0]]]])
    >>> conv2d(image, kernel, None, stride=2, before=0, after=1, dilation=1, groups=1)
    array([[[[40.,  2.],
             [ 6.,  8.]]]])
    """
    outputs, C, side, _ = weight.shape
    check_places("conv2d", images, side, before + after, dilation)
    met = windows(images, side, stride, before, after, dilation)  # B G*C tall wide taps taps
    kernels = np.reshape(weight, (groups, outputs // groups, C, side, side))  # G O C taps taps
    sums = correlated(met, kernels)  # B G*O tall wide
    return sums if bias is None else sums + bias[:, None, None]


def conv2d_vjp(
    images: Float[Array, "B G*C rows cols"],
    weight: Float[Array, "G*O C taps taps"],
    stride: Stride[int, ""],
    before: Total[int, ""],
    after: Total[int, ""],
    dilation: Stride[int, ""],
    groups: Size[int, "G"],
    grad: Float[Array, "B G*O tall wide"],
) -> tuple[Float[Array, "B G*C rows cols"], Float[Array, "G*O C taps taps"], Float[Array, "G*O"]]:
    r"""The gradients of a loss that follows a convolution, by images, weight and bias.

    $$\bar x_{b,\; \gamma C + c,\; r,\, t} = \sum_{o,i,j} W_{ocij} \sum_{u:\, us + id - p = r}\;
    \sum_{v:\, vs + jd - p = t} \bar y_{bouv}, \qquad
    \overline{W}_{ocij} = \sum_{b,u,v} \bar y_{bouv}\,
    x_{b,\; \gamma C + c,\; us + id - p,\; vs + jd - p}, \qquad
    \overline{\mathrm{bias}}_o = \sum_{b,u,v} \bar y_{bouv}$$

    images: B G*C rows cols, what was convolved.
    weight: G*O C taps taps, a kernel of k by k taps for each output channel, not flipped.
    stride: s, by how many pixels the kernel moved, at least 1.
    before: p, rows of zeros above the image and columns to its left.
    after: q, rows of zeros below the image and columns to its right.
    dilation: d, how far the taps lie apart, at least 1.
    groups: G, blocks of channels that are convolved separately.
    grad: B G*O tall wide, the gradient by the result.

    Returns B G*C rows cols, the gradient by the images; G*O C taps taps, by the kernels; and G*O,
    by the bias.

    Raises AxesError for a gradient of another shape than the result, or where `conv2d` does.

    Elsewhere: the first is the transposed convolution of grad, cropped by `before`; pixels
    that no stride reached have gradient zero.

    Paper: LeCun et al. 1998, "Gradient-Based Learning Applied to Document Recognition", section
    II.A, differentiated.

    >>> image, kernel = np.arange(9.0).reshape(1, 1, 3, 3), np.array([[[[1.0, 0.0], [0.0, 10.0]]]])
    >>> where = {"stride": 2, "before": 0, "after": 1, "dilation": 1, "groups": 1}
    >>> conv2d_vjp(image, kernel, **where, grad=np.ones((1, 1, 2, 2)))[0]
    array([[[[ 1.,  0.,  1.],
             [ 0., 10.,  0.],
             [ 1.,  0.,  1.]]]])
    """
    _, _, height, width = images.shape
    check_places("conv2d_vjp", images, weight.shape[2], before + after, dilation)
    met = windows(images, weight.shape[2], stride, before, after, dilation)
    if grad.shape[2:] != met.shape[2:4]:
        raise AxesError(f"conv2d_vjp: grad is {grad.shape[2:]}, expected {met.shape[2:4]}")
    padded_grad = spread_out(grad, weight, stride, dilation, groups)
    images_grad = padded_grad[:, :, before : before + height, before : before + width]
    weight_grad = weight_gradient(met, grad, groups, weight.shape)  # G*O C taps taps
    bias_grad = np.sum(grad, axis=(0, 2, 3))  # G*O
    return images_grad, weight_grad, bias_grad


def check_crop(op, x, side, stride, crop, extra, dilation):
    """Refuse rows beyond the reach of the next stride, and a crop that leaves nothing."""
    if side < 1:
        raise AxesError(f"{op}: weight has taps={side}, expected at least one tap")
    if extra >= stride:
        raise AxesError(f"{op}: extra is {extra}, expected less than the stride, {stride}")
    sides = [
        stride * (length - 1) + dilation * (side - 1) + 1 + extra - 2 * crop
        for length in x.shape[2:]
    ]
    if min(sides) < 1:
        raise AxesError(f"{op}: crop is {crop} on every side, which leaves {min(sides)} pixels")
    return sides


def conv_transpose2d(
    x: Float[Array, "B G*O rows cols"],
    weight: Float[Array, "G*O C taps taps"],
    bias: Float[Array, "G*C"] | None,
    stride: Stride[int, ""],
    crop: Total[int, ""],
    extra: Total[int, ""],
    dilation: Stride[int, ""],
    groups: Size[int, "G"],
) -> Float[Array, "B G*C tall wide"]:
    r"""Write a kernel, times the pixel, at the place of every pixel and add up where they overlap.

    $$y_{b,\; \gamma C + c,\; r,\, t} = \mathrm{bias}_{\gamma C + c} + \sum_{o,i,j} W_{ocij}
    \sum_{u:\, us + id - p = r}\; \sum_{v:\, vs + jd - p = t} x_{bouv}$$

    x: B G*O rows cols, numbers in any range.
    weight: G*O C taps taps, the kernels of the convolution whose transpose this is.
    bias: G*C, added everywhere; None for no bias.
    stride: s, how far the places of neighbours lie apart, at least 1.
    crop: p, rows and columns that are cut off on every side.
    extra: rows added below and columns to the right after cropping, fewer than the stride.
    dilation: d, how far the taps lie apart, at least 1.
    groups: G, blocks of channels that are convolved separately.

    Returns B G*C tall wide, tall = s(rows - 1) + d(k - 1) + 1 - 2p + extra.

    Raises AxesError for an `extra` that is not below the stride, or a crop that leaves nothing.

    Elsewhere: torch says padding for the crop and output_padding for `extra`. jax.lax's
    conv_transpose writes the flipped kernel, unless transpose_kernel
    says otherwise.

    Paper: Zeiler et al. 2010, "Deconvolutional Networks"; the arithmetic of sides is that of
    Dumoulin and Visin 2016, "A guide to convolution arithmetic for deep learning".

    >>> kernel = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    >>> sizes = {"stride": 2, "crop": 0, "extra": 1, "dilation": 1, "groups": 1}
    >>> conv_transpose2d(np.array([[[[1.0, 10.0]]]]), kernel, None, **sizes)[0, 0]
    array([[ 1.,  2., 10., 20.,  0.],
           [ 3.,  4., 30., 40.,  0.],
           [ 0.,  0.,  0.,  0.,  0.]])
    """
    side = weight.shape[2]
    tall, wide = check_crop("conv_transpose2d", x, side, stride, crop, extra, dilation)
    whole = spread_out(x, weight, stride, dilation, groups)
    sums = whole[:, :, crop : crop + tall, crop : crop + wide]  # B G*C tall wide
    return sums if bias is None else sums + bias[:, None, None]


def conv_transpose2d_vjp(
    x: Float[Array, "B G*O rows cols"],
    weight: Float[Array, "G*O C taps taps"],
    stride: Stride[int, ""],
    crop: Total[int, ""],
    extra: Total[int, ""],
    dilation: Stride[int, ""],
    groups: Size[int, "G"],
    grad: Float[Array, "B G*C tall wide"],
) -> tuple[Float[Array, "B G*O rows cols"], Float[Array, "G*O C taps taps"], Float[Array, "G*C"]]:
    r"""The gradients of a loss that follows a transposed convolution; that of x is a convolution.

    $$\bar x_{bouv} = \sum_{c,i,j} W_{ocij}\,
    \bar y_{b,\; \gamma C + c,\; us + id - p,\; vs + jd - p}, \qquad
    \overline{W}_{ocij} = \sum_{b,u,v} x_{bouv}\,
    \bar y_{b,\; \gamma C + c,\; us + id - p,\; vs + jd - p}, \qquad
    \overline{\mathrm{bias}}_k = \sum_{b,r,t} \bar y_{bkrt}$$

    x: B G*O rows cols, what was spread out.
    weight: G*O C taps taps, the kernels.
    stride: s, how far the places of neighbours lay apart, at least 1.
    crop: p, rows and columns that were cut off on every side.
    extra: rows added below and columns to the right after cropping, fewer than the stride.
    dilation: d, how far the taps lie apart, at least 1.
    groups: G, blocks of channels that are convolved separately.
    grad: B G*C tall wide, the gradient by the result.

    Returns B G*O rows cols, the gradient by x; G*O C taps taps, by the kernels; G*C, by the bias.

    Raises AxesError for a gradient of another shape than the result, or where `conv_transpose2d`
    does.

    Elsewhere: the gradient by x is `conv2d` of grad, with the same kernels and `before`
    equal to the crop.

    Paper: Zeiler et al. 2010, "Deconvolutional Networks", differentiated.

    >>> kernel, grad = np.array([[[[1.0, 2.0], [3.0, 4.0]]]]), np.ones((1, 1, 3, 5))
    >>> sizes = {"stride": 2, "crop": 0, "extra": 1, "dilation": 1, "groups": 1}
    >>> conv_transpose2d_vjp(np.array([[[[1.0, 10.0]]]]), kernel, **sizes, grad=grad)[0]
    array([[[[10., 10.]]]])
    """
    outputs, C, side, _ = weight.shape
    sides = check_crop("conv_transpose2d_vjp", x, side, stride, crop, extra, dilation)
    if list(grad.shape[2:]) != sides:
        raise AxesError(f"conv_transpose2d_vjp: grad is {grad.shape[2:]}, expected {tuple(sides)}")
    met = windows(grad, side, stride, crop, crop, dilation)  # B G*C rows cols taps taps
    kernels = np.reshape(weight, (groups, outputs // groups, C, side, side))  # G O C taps taps
    x_grad = correlated(met, kernels)  # B G*O rows cols
    weight_grad = weight_gradient(met, x, groups, weight.shape)  # G*O C taps taps
    bias_grad = np.sum(grad, axis=(0, 2, 3))  # G*C
    return x_grad, weight_grad, bias_grad


def nearest_rows(length, target):
    """Which of `length` pixels each of `target` new ones repeats: whole numbers throughout."""
    return np.arange(target) * length // max(target, 1)  # target


def resize_nearest(
    images: Float[Array, "B channels height width"],
    tall: Size[int, "tall"],
    wide: Size[int, "wide"],
) -> Float[Array, "B channels tall wide"]:
    r"""Resize images by repeating pixels, or leaving some out.

    $$y_{bcij} = x_{b,\,c,\; \lfloor i\,\mathrm{height} / \mathrm{tall} \rfloor,\;
    \lfloor j\,\mathrm{width} / \mathrm{wide} \rfloor}$$

    images: B channels height width, pixels in any range and unit.
    tall: rows of the result, in pixels.
    wide: columns of the result, in pixels.

    Returns B channels tall wide, numbers of the image; a whole factor repeats each pixel.

    Raises AxesError for images without pixels.

    Elsewhere: torch multiplies by height / tall in float32; for 594 of the pairs of sizes up
    to 128 and 256 it takes a neighbour of some pixel; whole factors agree. Pillow, and torch's
    nearest-exact, take the pixel under the centre, ⌊(i + 1/2) height / tall⌋.

    Paper: none; the U-Net of Ho et al. 2020, "Denoising Diffusion Probabilistic Models", goes up
    in this way, by factors of two.

    >>> resize_nearest(np.array([[[[1.0, 2.0, 3.0]]]]), tall=1, wide=5)
    array([[[[1., 1., 2., 2., 3.]]]])
    """
    check_pixels("resize_nearest", images)
    rows = nearest_rows(images.shape[2], tall)  # tall
    columns = nearest_rows(images.shape[3], wide)  # wide
    return images[:, :, rows[:, None], columns]  # B channels tall wide


def resize_nearest_vjp(
    images: Float[Array, "B channels height width"],
    tall: Size[int, "tall"],
    wide: Size[int, "wide"],
    grad: Float[Array, "B channels tall wide"],
) -> Float[Array, "B channels height width"]:
    r"""The gradient of a loss that follows `resize_nearest`: a pixel gets the sum over its copies.

    $$\bar x_{bcuv} = \sum_{i:\, \lfloor i\,\mathrm{height} / \mathrm{tall} \rfloor = u}\;
    \sum_{j:\, \lfloor j\,\mathrm{width} / \mathrm{wide} \rfloor = v} \bar y_{bcij}$$

    images: B channels height width, what was resized; only the shape matters.
    tall: rows of the result, in pixels.
    wide: columns of the result, in pixels.
    grad: B channels tall wide, the gradient by the result.

    Returns B channels height width, the gradient by the images; zero where a pixel was left out.

    Raises AxesError for a gradient of another shape than the result, or images without pixels.

    Elsewhere: the same as in `resize_nearest`.

    Paper: none; the U-Net of Ho et al. 2020, "Denoising Diffusion Probabilistic Models",
    differentiated.

    >>> pixels, grad = np.array([[[[1.0, 2.0, 3.0]]]]), np.array([[[[1.0, 2.0, 3.0, 4.0, 5.0]]]])
    >>> resize_nearest_vjp(pixels, tall=1, wide=5, grad=grad)
    array([[[[3., 7., 5.]]]])
    """
    _, _, height, width = images.shape
    check_pixels("resize_nearest_vjp", images)
    one = constant(1, grad)
    rows = one * (nearest_rows(height, tall)[:, None] == np.arange(height))  # tall height
    columns = one * (nearest_rows(width, wide)[:, None] == np.arange(width))  # wide width
    return rows.T @ grad @ columns  # B channels height width


def avg_pool2d(
    images: Float[Array, "B channels rows*P cols*P"],
    patch: Size[int, "P"],
) -> Float[Array, "B channels rows cols"]:
    r"""Average each square of P by P pixels.

    $$y_{bcrt} = \frac{1}{P^2} \sum_{i,j < P} x_{b,\,c,\; rP + i,\; tP + j}$$

    images: B channels rows*P cols*P, pixels in any range and unit.
    patch: P, the side of a square, in pixels, at least 1.

    Returns B channels rows cols.

    Raises AxesError for sides that are not multiples of P.

    Elsewhere: pixels that fill no square are an error here. torch drops them, or, with ceil_mode,
    averages those that are there; some libraries divide by the whole square.

    Paper: LeCun et al. 1998, "Gradient-Based Learning Applied to Document Recognition", section
    II.A; Dhariwal and Nichol 2021, "Diffusion Models Beat GANs on Image Synthesis", go down in
    this way.

    >>> avg_pool2d(np.array([[[[1.0, 2.0, 5.0, 6.0], [3.0, 4.0, 7.0, 8.0]]]]), patch=2)
    array([[[[2.5, 6.5]]]])
    """
    B, channels, height, width = images.shape
    squares = np.reshape(images, (B, channels, height // patch, patch, width // patch, patch))
    return np.mean(squares, axis=(3, 5))  # B channels rows cols


def avg_pool2d_vjp(
    patch: Size[int, "P"],
    grad: Float[Array, "B channels rows cols"],
) -> Float[Array, "B channels rows*P cols*P"]:
    r"""The gradient of a loss that follows `avg_pool2d`: each pixel of a square gets an equal part.

    $$\bar x_{b,\,c,\; rP + i,\; tP + j} = \frac{\bar y_{bcrt}}{P^2}$$

    patch: P, the side of a square, in pixels, at least 1.
    grad: B channels rows cols, the gradient by the averages.

    Returns B channels rows*P cols*P, the gradient by the images.

    Raises AxesError for a gradient that has not four axes.

    Elsewhere: the nearest resize by P, divided by P².

    Paper: LeCun et al. 1998, "Gradient-Based Learning Applied to Document Recognition", section
    II.A, differentiated.

    >>> avg_pool2d_vjp(patch=2, grad=np.array([[[[4.0, 8.0]]]]))
    array([[[[1., 1., 2., 2.],
             [1., 1., 2., 2.]]]])
    """
    part = grad / (patch * patch)  # B channels rows cols
    return np.repeat(np.repeat(part, patch, axis=2), patch, axis=3)  # B channels rows*P cols*P


def adaptive_avg_pool2d(
    images: Float[Array, "B channels height width"],
    tall: Size[int, "tall"],
    wide: Size[int, "wide"],
) -> Float[Array, "B channels tall wide"]:
    r"""Average pooling to any size, over bins as even as whole pixels allow.

    $$y_{bcij} = \operatorname*{mean}_{u \in U_i,\; v \in V_j} x_{bcuv}, \qquad
    U_i = \Bigl[\Bigl\lfloor \tfrac{i\,\mathrm{height}}{\mathrm{tall}} \Bigr\rfloor,\;
    \Bigl\lceil \tfrac{(i+1)\,\mathrm{height}}{\mathrm{tall}} \Bigr\rceil\Bigr)$$

    images: B channels height width, pixels in any range and unit.
    tall: rows of the result, in pixels.
    wide: columns of the result, in pixels.

    Returns B channels tall wide. Neighbouring bins share a row where `tall` does not divide the
    height; more rows than pixels repeat them. V is to the width what U is to the height.

    Raises AxesError for images without pixels.

    Elsewhere: torch computes this. Where the end of a bin is rounded down, no pixel counts twice.

    Paper: none; He et al. 2015, "Spatial Pyramid Pooling in Deep Convolutional Networks", section
    2.2, have the bins.

    >>> adaptive_avg_pool2d(np.array([[[[1.0, 2.0, 3.0, 4.0, 9.0]]]]), tall=1, wide=2)
    array([[[[2.        , 5.33333333]]]])
    """
    check_pixels("adaptive_avg_pool2d", images)
    rows = pooling_weights(0, images.shape[2], tall, images.shape[2], images)  # tall height
    columns = pooling_weights(0, images.shape[3], wide, images.shape[3], images)  # wide width
    return rows @ images @ columns.T  # B channels tall wide


def adaptive_avg_pool2d_vjp(
    images: Float[Array, "B channels height width"],
    tall: Size[int, "tall"],
    wide: Size[int, "wide"],
    grad: Float[Array, "B channels tall wide"],
) -> Float[Array, "B channels height width"]:
    r"""The gradient of a loss that follows `adaptive_avg_pool2d`: grad spreads evenly over bins.

    $$\bar x_{bcuv} = \sum_{i:\, u \in U_i}\; \sum_{j:\, v \in V_j}
    \frac{\bar y_{bcij}}{|U_i|\,|V_j|}$$

    images: B channels height width, what was averaged; only the shape matters.
    tall: rows of the result, in pixels.
    wide: columns of the result, in pixels.
    grad: B channels tall wide, the gradient by the result.

    Returns B channels height width, the gradient by the images.

    Raises AxesError for a gradient of another shape than the result, or images without pixels.

    Elsewhere: the same as in `adaptive_avg_pool2d`.

    Paper: none; He et al. 2015, "Spatial Pyramid Pooling in Deep Convolutional Networks", section
    2.2, differentiated.

    >>> pixels, grad = np.zeros((1, 1, 1, 5)), np.array([[[[3.0, 6.0]]]])
    >>> adaptive_avg_pool2d_vjp(pixels, tall=1, wide=2, grad=grad)
    array([[[[1., 1., 3., 2., 2.]]]])
    """
    check_pixels("adaptive_avg_pool2d_vjp", images)
    rows = pooling_weights(0, images.shape[2], tall, images.shape[2], grad)  # tall height
    columns = pooling_weights(0, images.shape[3], wide, images.shape[3], grad)  # wide width
    return rows.T @ grad @ columns  # B channels height width
