"""Images: resizing, cropping, normalising, cutting out, and the gradients of each.

The shape of an image is all that the gradient of a resize or a crop needs of it.
"""

import numpy as np

from refimpl.axes import Array, AxesError, Count, Deviation, Float, Index, Size
from refimpl.constants import constant


def check_pixels(op, images):
    """Refuse images without pixels: there is nothing to interpolate."""
    for axis, length in (("height", images.shape[2]), ("width", images.shape[3])):
        if not length:
            raise AxesError(f"{op}: images have {axis}=0, expected pixels")


def bicubic_kernel(x, a):
    """Keys' kernel of support 2, one cubic on either side of distance 1; a is its slope there."""
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def bicubic_weights(size, target, like):
    """How much of each of `size` pixels each of `target` new pixels takes, centres aligned."""
    scale = constant(size, like) / constant(target, like)
    centers = (np.arange(target) + 0.5) * scale - 0.5
    offsets = (centers[:, None] - np.arange(size)) / np.maximum(scale, 1)  # target size
    weights = bicubic_kernel(offsets, -0.5)
    return weights / np.sum(weights, axis=1, keepdims=True)


def resize_bicubic(
    images: Float[Array, "B channels height width"],
    tall: Size[int, "tall"],
    wide: Size[int, "wide"],
) -> Float[Array, "B channels tall wide"]:
    r"""Resize images with the antialiased bicubic filter: one linear map for rows, one for columns.

    $$y = W_{\mathrm{tall},\mathrm{height}}\; x\; W_{\mathrm{wide},\mathrm{width}}^\top, \qquad
    (W_{m,n})_{ij} = \frac{k\bigl((c_i - j) / \max(n/m, 1)\bigr)}
    {\sum_l k\bigl((c_i - l) / \max(n/m, 1)\bigr)}, \qquad
    c_i = \bigl(i + \tfrac12\bigr) \tfrac nm - \tfrac12$$

    $$k(x) = \begin{cases} \tfrac32 |x|^3 - \tfrac52 |x|^2 + 1 & |x| \le 1 \\
    -\tfrac12 |x|^3 + \tfrac52 |x|^2 - 4 |x| + 2 & 1 \le |x| \le 2 \end{cases}$$

    images: B channels height width, pixels in any range and unit.
    tall: rows of the result, in pixels.
    wide: columns of the result, in pixels.

    Returns B channels tall wide; values may overshoot the range of the pixels.

    Raises AxesError for images without pixels.

    Elsewhere: Pillow and torchvision compute this; Pillow rounds and clips to 8 bits after each
    pass. torch.nn.functional.interpolate by default, and OpenCV, take a slope of -3/4, do not widen
    the kernel when shrinking, and repeat the border; with align_corners the corner pixels keep
    their centres.

    Paper: Keys 1981, "Cubic Convolution Interpolation for Digital Image Processing", equation 15.

    >>> resize_bicubic(np.array([[[[0.0, 8.0]]]]), tall=1, wide=4)
    array([[[[-0.70588235,  1.65714286,  6.34285714,  8.70588235]]]])
    """
    check_pixels("resize_bicubic", images)
    rows = bicubic_weights(images.shape[2], tall, images)  # tall height
    columns = bicubic_weights(images.shape[3], wide, images)  # wide width
    return rows @ images @ columns.T  # B channels tall wide


def resize_bicubic_vjp(
    images: Float[Array, "B channels height width"],
    tall: Size[int, "tall"],
    wide: Size[int, "wide"],
    grad: Float[Array, "B channels tall wide"],
) -> Float[Array, "B channels height width"]:
    r"""The gradient of a loss that follows `resize_bicubic`: the transposed linear maps.

    $$\bar x = W_{\mathrm{tall},\mathrm{height}}^\top\; \bar y\; W_{\mathrm{wide},\mathrm{width}}$$

    images: B channels height width, what was resized; only the shape matters.
    tall: rows of the result, in pixels.
    wide: columns of the result, in pixels.
    grad: B channels tall wide, the gradient by the result.

    Returns B channels height width, the gradient by the images.

    Raises AxesError for a gradient of another shape than the result, or images without pixels.

    Elsewhere: the same as in `resize_bicubic`; resizing the gradient back is another map.

    Paper: Keys 1981, "Cubic Convolution Interpolation for Digital Image Processing", equation 15,
    transposed.

    >>> pair = np.array([[[[0.0, 8.0]]]])
    >>> resize_bicubic_vjp(pair, tall=1, wide=4, grad=np.ones((1, 1, 1, 4))).round(12)
    array([[[[2., 2.]]]])
    """
    check_pixels("resize_bicubic_vjp", images)
    rows = bicubic_weights(images.shape[2], tall, grad)  # tall height
    columns = bicubic_weights(images.shape[3], wide, grad)  # wide width
    return rows.T @ grad @ columns  # B channels height width


def middle(size, kept):
    """Where the middle part of an axis begins; half a pixel goes to the even side."""
    return round((size - kept) / 2)


def center_crop(
    images: Float[Array, "B channels height width"],
    tall: Size[int, "tall", "height"],
    wide: Size[int, "wide", "width"],
) -> Float[Array, "B channels tall wide"]:
    r"""Crop images to the middle.

    $$y_{bcij} = x_{b,\,c,\; i + \mathrm{round}((\mathrm{height} - \mathrm{tall}) / 2),\;
    j + \mathrm{round}((\mathrm{width} - \mathrm{wide}) / 2)}$$

    images: B channels height width, pixels in any range and unit.
    tall: rows that are kept, from 0 to height.
    wide: columns that are kept, from 0 to width.

    Returns B channels tall wide, the numbers unchanged. Halves are rounded to the even offset: one
    pixel too many is cut at the far end, three at both.

    Raises AxesError for a crop larger than the images.

    Elsewhere: transformers rounds halves down, older versions of torchvision up; torchvision pads
    images that are smaller than the crop with zeros.

    Paper: Krizhevsky et al. 2012, "ImageNet Classification with Deep Convolutional Neural
    Networks", section 2; the rounding is torchvision's.

    >>> center_crop(np.arange(5.0).reshape(1, 1, 1, 5), tall=1, wide=2)
    array([[[[2., 3.]]]])
    """
    _, _, height, width = images.shape
    top, left = middle(height, tall), middle(width, wide)
    return images[:, :, top : top + tall, left : left + wide]  # B channels tall wide


def center_crop_vjp(
    images: Float[Array, "B channels height width"],
    tall: Size[int, "tall", "height"],
    wide: Size[int, "wide", "width"],
    grad: Float[Array, "B channels tall wide"],
) -> Float[Array, "B channels height width"]:
    r"""The gradient of a loss that follows `center_crop`: grad, surrounded by zeros.

    $$\bar x_{bcij} = \bar y_{b,\,c,\; i - \mathrm{top},\; j - \mathrm{left}} \text{ inside the
    crop}, \qquad 0 \text{ outside}$$

    images: B channels height width, what was cropped; only the shape matters.
    tall: rows that were kept, from 0 to height.
    wide: columns that were kept, from 0 to width.
    grad: B channels tall wide, the gradient by the crop.

    Returns B channels height width, the gradient by the images.

    Raises AxesError for a crop larger than the images, or a gradient of another shape than it.

    Elsewhere: the offsets differ as in `center_crop`.

    Paper: Krizhevsky et al. 2012, "ImageNet Classification with Deep Convolutional Neural
    Networks", section 2; the rounding is torchvision's.

    >>> center_crop_vjp(np.zeros((1, 1, 1, 5)), tall=1, wide=2, grad=np.ones((1, 1, 1, 2)))
    array([[[[0., 0., 1., 1., 0.]]]])
    """
    B, channels, height, width = images.shape
    top, left = middle(height, tall), middle(width, wide)
    above = np.zeros((B, channels, top, wide))
    below = np.zeros((B, channels, height - tall - top, wide))
    column = np.concatenate((above, grad, below), axis=2)  # B channels height wide
    before = np.zeros((B, channels, height, left))
    after = np.zeros((B, channels, height, width - wide - left))
    return np.concatenate((before, column, after), axis=3)  # B channels height width


def normalize_image(
    images: Float[Array, "B channels height width"],
    mean: Float[Array, "channels"],
    std: Deviation[Array, "channels"],
) -> Float[Array, "B channels height width"]:
    r"""Subtract the mean of each channel and divide by its standard deviation.

    $$y_{bcij} = \frac{x_{bcij} - \mathrm{mean}_c}{\mathrm{std}_c}$$

    images: B channels height width, pixels in the unit of mean and std, usually in [0, 1].
    mean: channels, in the order of the image's, red first for CLIP.
    std: channels, positive.

    Returns B channels height width.

    Raises AxesError for a standard deviation that is not positive.

    Elsewhere: each checkpoint has its statistics: CLIP its own, those of
    ImageNet for many ViTs, 1/2 for SigLIP. GLIDE states CLIP's times 255. JAX and TensorFlow put
    the channels last.

    Paper: Krizhevsky et al. 2012, "ImageNet Classification with Deep Convolutional Neural
    Networks", section 2; CLIP's statistics stand in the code of Radford et al. 2021.

    >>> clip = {"mean": np.array([0.48145466]), "std": np.array([0.26862954])}
    >>> normalize_image(np.array([[[[0.0, 1.0]]]]), **clip).round(8)
    array([[[[-1.79226253,  1.93033625]]]])
    """
    return (images - mean[:, None, None]) / std[:, None, None]


def normalize_image_vjp(
    images: Float[Array, "B channels height width"],
    mean: Float[Array, "channels"],
    std: Deviation[Array, "channels"],
    grad: Float[Array, "B channels height width"],
) -> tuple[
    Float[Array, "B channels height width"],
    Float[Array, "channels"],
    Float[Array, "channels"],
]:
    r"""The gradients of a loss that follows `normalize_image`.

    $$\bar x_{bcij} = \frac{\bar y_{bcij}}{\mathrm{std}_c}, \qquad
    \overline{\mathrm{mean}}_c = -\sum_{b,i,j} \bar x_{bcij}, \qquad
    \overline{\mathrm{std}}_c = -\sum_{b,i,j} \bar x_{bcij}\,
    \frac{x_{bcij} - \mathrm{mean}_c}{\mathrm{std}_c}$$

    images: B channels height width, what was normalised.
    mean: channels, in the order of the image's.
    std: channels, positive.
    grad: B channels height width, the gradient by the result.

    Returns B channels height width, channels and channels: the gradients by images, mean and std.

    Raises AxesError for a standard deviation that is not positive.

    Elsewhere: frameworks hold the statistics constant and return the first gradient alone.

    Paper: Krizhevsky et al. 2012, "ImageNet Classification with Deep Convolutional Neural
    Networks", section 2, differentiated.

    >>> pixels, one = np.array([[[[0.5, 1.0]]]]), np.array([0.5])
    >>> normalize_image_vjp(pixels, mean=one, std=one, grad=np.ones((1, 1, 1, 2)))
    (array([[[[2., 2.]]]]), array([-4.]), array([-2.]))
    """
    images_grad = grad / std[:, None, None]  # B channels height width
    mean_grad = -np.sum(images_grad, axis=(0, 2, 3))  # channels
    centered = (images - mean[:, None, None]) / std[:, None, None]
    std_grad = -np.sum(images_grad * centered, axis=(0, 2, 3))  # channels
    return images_grad, mean_grad, std_grad


def check_inside(op, images, top, left, size):
    """Refuse a crop that is empty or reaches beyond the images, or no crop at all."""
    if not len(size):
        raise AxesError(f"{op}: top has cuts=0, expected at least one")
    for axis, first, length in (("height", top, images.shape[2]), ("width", left, images.shape[3])):
        for n, (start, pixels) in enumerate(zip(first, size, strict=True)):
            if pixels < 1 or start + pixels > length:
                raise AxesError(
                    f"{op}: crop {n} takes {pixels} pixels from {start}, {axis} has {length}"
                )


def pooling_weights(first, size, side, length, like):
    """Averages over `side` bins, as even as whole pixels allow, of `size` pixels from `first`."""
    edges = np.arange(side + 1) * size
    start = first + edges[:-1] // side  # side
    stop = first - (-edges[1:] // side)  # side
    pixels = np.arange(length)
    inside = (pixels >= start[:, None]) & (pixels < stop[:, None])  # side length
    return constant(1, like) * inside / (stop - start)[:, None]


def cutouts(
    images: Float[Array, "B channels height width"],
    top: Index[Array, "cuts", "height"],
    left: Index[Array, "cuts", "width"],
    size: Count[Array, "cuts", "height"],
    side: Size[int, "side"],
) -> Float[Array, "cuts*B channels side side"]:
    r"""Cut squares out of images and average each down to one side, as CLIP guidance does.

    $$y_{nB+b,\,c,\,i,\,j} = \operatorname*{mean}_{u \in U_{ni},\; v \in V_{nj}} x_{bcuv}, \qquad
    U_{ni} = \Bigl[\mathrm{top}_n + \Bigl\lfloor \tfrac{i\, \mathrm{size}_n}{\mathrm{side}}
    \Bigr\rfloor,\; \mathrm{top}_n + \Bigl\lceil \tfrac{(i+1)\, \mathrm{size}_n}{\mathrm{side}}
    \Bigr\rceil\Bigr)$$

    images: B channels height width, pixels in any range and unit.
    top: cuts, the zero-based row where each square begins.
    left: cuts, the zero-based column where it begins.
    size: cuts, its side in pixels, at least 1; the square must lie inside the image.
    side: the side of the results, in pixels; larger than a square repeats its pixels.

    Returns cuts*B channels side side: all images of the first cut, then all of the second. The
    bins of $V$ are those of $U$ from the left. Neighbouring bins share a pixel where `size` is not
    a multiple of `side`.

    Raises AxesError for a square that is empty or reaches beyond the image, or for no cuts.

    Elsewhere: offsets and sizes are drawn at random, sizes as min + u^power (max - min) with u
    uniform; here they are data. Later versions resize instead of averaging, and pad the image.

    Paper: Crowson 2021, "CLIP Guided Diffusion", the class MakeCutouts; the averages are those of
    torch.nn.AdaptiveAvgPool2d.

    >>> ramp = np.arange(16.0).reshape(1, 1, 4, 4)
    >>> cutouts(ramp, top=np.array([0]), left=np.array([1]), size=np.array([3]), side=1)
    array([[[[6.]]]])
    """
    _, _, height, width = images.shape
    check_inside("cutouts", images, top, left, size)
    cuts = []
    for n in range(len(top)):
        rows = pooling_weights(top[n], size[n], side, height, images)  # side height
        columns = pooling_weights(left[n], size[n], side, width, images)  # side width
        cuts.append(rows @ images @ columns.T)  # B channels side side
    return np.concatenate(cuts, axis=0)  # cuts*B channels side side


def cutouts_vjp(
    images: Float[Array, "B channels height width"],
    top: Index[Array, "cuts", "height"],
    left: Index[Array, "cuts", "width"],
    size: Count[Array, "cuts", "height"],
    side: Size[int, "side"],
    grad: Float[Array, "cuts*B channels side side"],
) -> Float[Array, "B channels height width"]:
    r"""The gradient of a loss that follows `cutouts`: grad spread over each bin, summed over cuts.

    $$\bar x_{bcuv} = \sum_{n} \sum_{i:\, u \in U_{ni}} \sum_{j:\, v \in V_{nj}}
    \frac{\bar y_{nB+b,\,c,\,i,\,j}}{|U_{ni}|\, |V_{nj}|}$$

    images: B channels height width, what was cut; only the shape matters.
    top: cuts, the zero-based row where each square begins.
    left: cuts, the zero-based column where it begins.
    size: cuts, its side in pixels, at least 1.
    side: the side of the results, in pixels.
    grad: cuts*B channels side side, the gradient by the results.

    Returns B channels height width, the gradient by the images; zero where no square lies.

    Raises AxesError for a square that is empty or reaches beyond the image, or for no cuts.

    Elsewhere: the same as in `cutouts`; a loss that is a mean over cuts brings its 1/cuts along in
    the gradient.

    Paper: Crowson 2021, "CLIP Guided Diffusion", the class MakeCutouts, differentiated.

    >>> places = {"top": np.array([0]), "left": np.array([1]), "size": np.array([2])}
    >>> cutouts_vjp(np.zeros((1, 1, 2, 3)), **places, side=1, grad=np.ones((1, 1, 1, 1)))
    array([[[[0.  , 0.25, 0.25],
             [0.  , 0.25, 0.25]]]])
    """
    B, _, height, width = images.shape
    check_inside("cutouts_vjp", images, top, left, size)
    spread = []
    for n in range(len(top)):
        rows = pooling_weights(top[n], size[n], side, height, grad)  # side height
        columns = pooling_weights(left[n], size[n], side, width, grad)  # side width
        spread.append(rows.T @ grad[n * B : (n + 1) * B] @ columns)  # B channels height width
    return np.sum(np.stack(spread), axis=0)  # B channels height width
