"""Pictures of samples: a grid, and what a sampler had in mind on the way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

ENLARGED, GAP, LINE = 3, 2, 18  # times; pixels between images; pixels for a line of words


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Grey images in [-1, 1] as 8 bits, rounded; what lies outside is clipped.

    >>> to_uint8(np.array([-1.0, 0.0, 1.0, 7.0]))
    array([  0, 128, 255, 255], dtype=uint8)
    """
    return np.clip(np.round((images + 1) * 127.5), 0, 255).astype(np.uint8)


def grid(images: np.ndarray) -> np.ndarray:
    """Images side by side, rows cols height width -> one image, enlarged, gaps between them."""
    rows, cols, height, width = images.shape
    pixels = to_uint8(images).repeat(ENLARGED, axis=2).repeat(ENLARGED, axis=3)
    padded = np.pad(pixels, ((0, 0), (0, 0), (GAP, 0), (GAP, 0)), constant_values=96)
    height, width = padded.shape[2:]
    return padded.transpose(0, 2, 1, 3).reshape(rows * height, cols * width)


def in_rows(images: np.ndarray) -> np.ndarray:
    """B height width -> rows cols height width, four times as wide as high, black at the end."""
    B, *size = images.shape
    cols = min(B, int(np.ceil(np.sqrt(4 * B))))
    rows = -(-B // cols)
    missing = np.full((rows * cols - B, *size), -1.0)
    return np.concatenate((images, missing)).reshape(rows, cols, *size)


def write(path: str | Path, panels: Sequence[tuple[str, np.ndarray]]) -> None:
    """Panels below each other, each a line of words over a grid: rows cols height width."""
    grids = [(words, grid(images)) for words, images in panels]
    width = max(pixels.shape[1] for _, pixels in grids)
    height = sum(LINE + pixels.shape[0] for _, pixels in grids)
    page = Image.new("L", (width, height))
    draw, font, top = ImageDraw.Draw(page), ImageFont.load_default(), 0
    for words, pixels in grids:
        draw.text((GAP, top + 2), words, fill=255, font=font)
        page.paste(Image.fromarray(pixels), (0, top + LINE))
        top += LINE + pixels.shape[0]
    page.save(path, format="PNG")
