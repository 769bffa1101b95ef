"""From a picture to the numbers that CLIP's image tower reads.

The published preprocessing works on 8-bit images with Pillow's resize, whose arithmetic is fixed
point: weights of 22 bits, and numbers rounded and clipped to 8 bits between the two passes. Here
the same integers are computed in plain NumPy. For images of real numbers see
`refimpl.resize_bicubic`.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import IO

import numpy as np

from refimpl.exceptions import RefimplError
from refimpl.models.colours import (
    MODES,
    POINTWISE,
    TRANSPARENT,
    Picture,
    nearest,
    picture_of,
    to_rgb,
    unweighted,
    weighted,
)
from refimpl.ops.images.reference import bicubic_kernel, center_crop, normalize_image

CLIP_MEAN = np.array([0.48145466, 0.4578275, 0.40821073])
CLIP_STD = np.array([0.26862954, 0.26130258, 0.27577711])
WEIGHT_BITS = 22
BLOCK = 1 << 22  # weights of new pixels that are at hand at a time
LONGEST = 1 << 29  # old pixels times new ones along one side, of a picture that is resized


class ImageError(RefimplError, ValueError):
    """A picture that cannot be read, or has the wrong shape or kind of numbers."""


def load_image(path: str | os.PathLike[str] | IO[bytes]) -> Picture:
    """Read a picture of 8 bits a channel.

    path: a file, or an open binary file, in any format that Pillow knows.

    Returns a `Picture`, which `preprocess` resizes in the colours of its file, as the published
    preprocessing does; `np.asarray` makes it height width channels=3, uint8, red first, with grey
    and palettes spread to three channels and alpha dropped without blending. Of an animation the
    first frame is taken. The pixels come as they are stored: an EXIF orientation is not applied,
    as in the published preprocessing.

    Raises ImageError for a broken file, a pipe or a device, for more pixels than Pillow's limit
    (`PIL.Image.MAX_IMAGE_PIXELS`), and for other modes than 1, P, L, LA, RGB, RGBX, RGBA, CMYK,
    YCbCr and LAB: more than 8 bits a channel Pillow would clip, and of the rest nobody says what
    they become; FileNotFoundError for a file that is not there.
    """
    from PIL import Image

    if isinstance(path, (str, os.PathLike)) and Path(path).exists() and not _ends(Path(path)):
        raise ImageError(f"load_image: {path} is no regular file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as file:
                if file.mode not in MODES:
                    raise ImageError(
                        f"load_image: {path} has mode {file.mode}, expected 8 bits a channel in "
                        f"one of the modes {', '.join(MODES)}"
                    )
                return picture_of(file)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"load_image: {path} is too large: {error}") from None
    except (FileNotFoundError, IsADirectoryError, PermissionError, ImageError):
        raise
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError) as error:
        raise ImageError(f"load_image: {path} is no image that Pillow reads: {error}") from None


def _ends(path: Path) -> bool:
    """Whether a file has an end, as pipes and devices have not; a folder has its own error."""
    return path.is_file() or path.is_dir()


def fixed_point_weights(
    size: int, target: int, first: int = 0, count: int | None = None
) -> np.ndarray:
    """Pillow's bicubic weights along one axis, as integers of 22 fractional bits.

    The new pixel i is centred at c = (i + 1/2) size/target; the kernel is widened by the scale when
    the image shrinks; weights are divided by their sum and rounded, halves away from zero. There is
    a row for each new pixel, or for `count` of them from the `first` on.

    >>> fixed_point_weights(2, 1) / 2**22
    array([[0.5, 0.5]])
    """
    scale = size / target
    widening = max(scale, 1.0)
    support = 2.0 * widening
    end = target if count is None else min(first + count, target)
    centers = (np.arange(first, end) + 0.5) * scale  # target
    start = np.maximum((centers - support + 0.5).astype(int), 0)
    stop = np.minimum((centers + support + 0.5).astype(int), size)
    pixels = np.arange(size)
    reached = (pixels >= start[:, None]) & (pixels < stop[:, None])  # target size
    offsets = (pixels - centers[:, None] + 0.5) * (1.0 / widening)
    weights = np.where(reached, bicubic_kernel(offsets, -0.5), 0.0)
    weights = weights / np.cumsum(weights, axis=1)[:, -1:]
    scaled = weights * (1 << WEIGHT_BITS)
    return (scaled + np.copysign(0.5, scaled)).astype(np.int64)


def resize_axis(image: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """One pass along the first axis: whole numbers, rounded and clipped to 8 bits.

    >>> resize_axis(np.array([[10], [21]], np.uint8), fixed_point_weights(2, 1))
    array([[16]], dtype=uint8)
    """
    size, *rest = image.shape
    sums = weights.astype(np.float64) @ image.reshape(size, -1)  # whole, below 2^53: exact
    rounded = (sums.astype(np.int64) + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS
    return np.clip(rounded, 0, 255).astype(np.uint8).reshape(len(weights), *rest)


def resize_rows(image: np.ndarray, target: int) -> np.ndarray:
    """The first axis made `target` long, some new pixels at a time."""
    size = image.shape[0]
    count = max(BLOCK // size, 1)
    blocks = []
    for first in range(0, target, count):
        weights = fixed_point_weights(size, target, first, count)
        near = np.flatnonzero(weights.any(axis=0))  # the old pixels that these are made of
        window = slice(near[0], near[-1] + 1)
        blocks.append(resize_axis(image[window], weights[:, window]))
    return np.concatenate(blocks)


def shrinks_rows_first(rows: int, columns: int, height: int, width: int) -> bool:
    """Whether Pillow resizes rows before columns, which since version 13 it does to save time.

    It does where more than twice as many rows as columns are dropped. Older versions always resize
    columns first.

    >>> shrinks_rows_first(450, 300, 336, 224), shrinks_rows_first(700, 300, 522, 224)
    (False, True)
    """
    return height < rows and rows - height > 2 * (columns - width)


def resize_uint8(
    image: np.ndarray, height: int, width: int, rows_first: bool | None = None
) -> np.ndarray:
    """Resize an 8-bit image as Pillow's bicubic filter does, every bit of it.

    image: rows columns channels, uint8.
    height, width: the new size, at least 1.
    rows_first: which pass comes first; None for the choice of Pillow 13, False for columns first,
        as every older version has it. The results differ in a few numbers, on noise by many levels.

    Returns height width channels, uint8; the numbers between the passes have 8 bits.

    Raises ImageError for anything but an 8-bit image of three axes, a size below 1, and a picture
    so long and thin that the work would not end.

    Elsewhere: torchvision resizes tensors in floating point, without the clipping between passes;
    OpenCV and plain `torch.nn.functional.interpolate` have another kernel and do not widen it.

    >>> resize_uint8(np.array([[[0], [0], [255], [255]]], np.uint8), 1, 2)[..., 0]
    array([[ 21, 234]], dtype=uint8)
    """
    _check(image, "resize_uint8")
    if min(height, width) < 1:
        raise ImageError(f"resize_uint8: new size is {height} by {width}, expected at least 1 by 1")
    rows, columns, _ = image.shape
    _affordable("resize_uint8", image, height, width)
    if rows_first is None:
        rows_first = shrinks_rows_first(rows, columns, height, width)
    if rows_first:
        image = resize_rows(image, height)  # height columns channels
    image = np.swapaxes(resize_rows(np.swapaxes(image, 0, 1), width), 0, 1)
    return image if rows_first else resize_rows(image, height)  # height width channels


def resized_to(rows: int, columns: int, side: int) -> tuple[int, int]:
    """The size after the shorter side became `side`; the longer one is truncated.

    >>> resized_to(300, 451, 224)
    (224, 336)
    """
    if rows <= columns:
        return side, int(side * columns / rows)
    return int(side * rows / columns), side


def resize_picture(
    picture: Picture, height: int, width: int, rows_first: bool | None = None
) -> np.ndarray:
    """Resize a picture in the colours of its file, as Pillow does, and then turn it to RGB.

    Returns height width 3, uint8. Palettes and single bits are not mixed: the nearest pixel is
    taken. Colours are weighted by their opacity, which is dropped afterwards.
    """
    pixels = picture.pixels
    rows, columns, _ = pixels.shape
    if (rows, columns) == (height, width):
        return picture.rgb
    _affordable("resize_picture", pixels, height, width)
    if picture.mode in POINTWISE:
        return pixels[nearest(rows, height)][:, nearest(columns, width)]
    if picture.mode in TRANSPARENT:
        return unweighted(resize_uint8(weighted(pixels), height, width, rows_first))[..., :3]
    return to_rgb(resize_uint8(pixels, height, width, rows_first), picture.mode)


def resize_and_crop(
    image: np.ndarray | Picture, side: int = 224, rows_first: bool | None = None
) -> np.ndarray:
    """The shorter side becomes `side`, the middle of the longer one is kept: still 8 bits.

    image: rows columns channels, uint8, or a picture as `load_image` returns it.
    side: the side of the square, in pixels.
    rows_first: as in `resize_uint8`; it matters for pictures more than twice as tall as wide.

    Returns side side channels, uint8. Half a pixel too many is rounded to the even offset.

    Raises ImageError for anything but an 8-bit image of three axes.

    >>> resize_and_crop(np.zeros((30, 40, 3), np.uint8), 8).shape
    (8, 8, 3)
    """
    pixels = image.pixels if isinstance(image, Picture) else image
    _check(pixels, "resize_and_crop")
    rows, columns, _ = pixels.shape
    size = resized_to(rows, columns, side)
    if isinstance(image, Picture):
        resized = resize_picture(image, *size, rows_first)
    else:
        resized = resize_uint8(image, *size, rows_first)
    planes = np.transpose(resized, (2, 0, 1))[None]  # 1 channels height width
    return np.transpose(center_crop(planes, side, side)[0], (1, 2, 0))


def preprocess(
    image: np.ndarray | Picture,
    side: int = 224,
    mean: np.ndarray = CLIP_MEAN,
    std: np.ndarray = CLIP_STD,
) -> np.ndarray:
    r"""CLIP's preprocessing of one picture.

    $$x_c = \frac{u_c / 255 - \mathrm{mean}_c}{\mathrm{std}_c}$$

    image: a picture as `load_image` returns it, resized in the colours of its file and then turned
        to red, green and blue; or an array, rows columns channels, uint8, red first.
    side: the side of the square that the image tower reads, in pixels. Pictures are resized as
        Pillow 13 does; `resize_and_crop` can do it as older versions did.
    mean: channels, subtracted from pixels in [0, 1].
    std: channels, divided by.

    Returns channels side side, float64.

    Raises ImageError for anything but an 8-bit image of three axes with as many channels as `mean`.

    Elsewhere: open_clip has this order. transformers lays transparent pictures over white and
    converts colours first: `preprocess(over_white(load_image(path)))` of `refimpl.models.colours`;
    those who convert to RGB when they read a file: `preprocess(opaque_first(load_image(path)))`.
    SigLIP and some checkpoints of open_clip have 1/2 for mean and std, ViTs of timm
    those of ImageNet; SigLIP resizes both sides without a crop.

    Paper: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language
    Supervision", section 2.5, and the code published with it.

    >>> preprocess(np.zeros((2, 3, 3), np.uint8), side=2)[:, 0, 0].round(4)
    array([-1.7923, -1.7521, -1.4802])
    """
    square = resize_and_crop(image, side)  # side side channels
    if square.shape[2] != len(mean):
        raise ImageError(
            f"preprocess: image has channels={square.shape[2]}, mean has channels={len(mean)}"
        )
    pixels = np.transpose(square, (2, 0, 1)) / 255  # channels side side
    return normalize_image(pixels[None], mean, std)[0]


def _check(image: np.ndarray, caller: str) -> None:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        found = getattr(image, "dtype", type(image).__name__)
        raise ImageError(f"{caller}: image has dtype {found}, expected uint8")
    if image.ndim != 3 or min(image.shape) < 1:
        raise ImageError(
            f"{caller}: image has shape {image.shape}, expected (height, width, channels)"
        )


def _affordable(caller: str, image: np.ndarray, height: int, width: int) -> None:
    rows, columns, _ = image.shape
    if max(rows * height, columns * width) > LONGEST:
        raise ImageError(
            f"{caller}: image of {rows} by {columns} becomes {height} by {width}, "
            "expected a picture that is less long and thin"
        )
