"""The colours in which pictures are stored, and what becomes of them when a picture is resized.

OpenAI's preprocessing resizes a picture in the colours of its file and turns it to red, green and
blue afterwards. Pillow weights colours by their opacity on the way, and does not mix the colours of
a palette, nor those of one bit: it takes the nearest. `opaque_first` and `over_white` are what
others do before they resize.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

POINTWISE = ("1", "P")  # modes that Pillow resizes by taking the nearest pixel
SPREAD = (*POINTWISE, "L", "RGB", "RGBX")  # turned to three channels before or after: no difference
TRANSPARENT = ("LA", "RGBA")
CONVERTED = ("CMYK", "YCbCr", "LAB")  # not linear in red, green and blue
MODES = (*SPREAD, *TRANSPARENT, *CONVERTED)


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture in the colours of its file, 8 bits a channel; as an array it is `opaque_first`.

    pixels: rows columns channels, uint8: RGB where the mode is one of SPREAD, RGBA for those of
        TRANSPARENT, the mode's own channels for those of CONVERTED.
    alpha: rows columns, uint8, or None where no pixel is transparent by what the file says.
    """

    mode: str
    pixels: np.ndarray
    alpha: np.ndarray | None = None

    @property
    def rgb(self) -> np.ndarray:
        """Rows columns 3, uint8: opacity dropped without blending."""
        return to_rgb(self.pixels, self.mode)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.rgb, dtype)


def picture_of(image: Any) -> Picture:
    """A decoded picture of Pillow, in one of MODES."""
    alpha = None
    if "A" in image.getbands() or image.info.get("transparency") is not None:
        alpha = np.array(image.convert("RGBA"))[..., 3]
    if image.mode in CONVERTED:
        pixels = np.dstack([np.array(band) for band in image.split()])
    else:
        opacity = image.mode in TRANSPARENT
        both = image.convert("RGBA") if image.mode == "P" or opacity else image.convert("RGB")
        pixels = np.array(both if opacity else both.convert("RGB"))
    return Picture(image.mode, pixels, alpha)


def to_rgb(pixels: np.ndarray, mode: str) -> np.ndarray:
    """Pixels as `Picture` holds them -> rows columns 3, uint8."""
    if mode in CONVERTED:
        from PIL import Image

        bands = [Image.fromarray(np.ascontiguousarray(band)) for band in np.moveaxis(pixels, 2, 0)]
        return np.array(Image.merge(mode, bands).convert("RGB"))
    return pixels[..., :3]


def opaque_first(picture: Picture) -> np.ndarray:
    """What is resized where colours are converted first and opacity is dropped: rows columns 3."""
    return picture.rgb


def over_white(picture: Picture) -> np.ndarray:
    """What transformers resizes: the picture laid over white, in whole numbers as Pillow does it.

    >>> half = np.array([[[0, 0, 0, 128]]], np.uint8)
    >>> over_white(Picture("RGBA", half, half[..., 3]))
    array([[[127, 127, 127]]], dtype=uint8)
    """
    if picture.alpha is None:
        return picture.rgb
    opacity = picture.alpha[..., None].astype(np.int64)
    both = picture.rgb * opacity + 255 * (255 - opacity)
    return divided_by_255(both).astype(np.uint8)


def divided_by_255(x: np.ndarray) -> np.ndarray:
    """Whole numbers over 255, rounded, by shifts.

    >>> divided_by_255(np.array([127, 128, 255 * 255]))
    array([  0,   1, 255])
    """
    x = x + 128
    return ((x >> 8) + x) >> 8


def weighted(pixels: np.ndarray) -> np.ndarray:
    """RGBA with every colour multiplied by its opacity, rounded to 8 bits."""
    wide = pixels.astype(np.int64)
    return np.dstack([divided_by_255(wide[..., :3] * wide[..., 3:]), wide[..., 3]]).astype(np.uint8)


def unweighted(pixels: np.ndarray) -> np.ndarray:
    """The inverse of `weighted`: truncated and clipped; where nothing is opaque, left as it is."""
    wide = pixels.astype(np.int64)
    opacity = wide[..., 3:]
    colours = np.minimum(255 * wide[..., :3] // np.maximum(opacity, 1), 255)
    colours = np.where(opacity == 0, wide[..., :3], colours)
    return np.dstack([colours, opacity]).astype(np.uint8)


def nearest(size: int, target: int) -> np.ndarray:
    """Which pixel Pillow takes for each of the new ones.

    >>> nearest(5, 2), nearest(2, 5)
    (array([1, 3]), array([0, 0, 1, 1, 1]))
    """
    scale = size / target
    first = scale * 0.5
    places = np.add.accumulate(np.r_[first, np.full(target - 1, scale)])  # as a loop adds them up
    return places.astype(np.int64)
