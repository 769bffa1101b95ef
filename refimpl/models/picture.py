"""Pictures of samples: a grid, and what a sampler had in mind on the way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

ENLARGED, GAP, LINE = 3, 2, 18  # times; pixels between images; pixels for a line of words
PAPER, INK = 255, 0  # what a page shows beside its images, and of what its words are
SHEET = "Sheet"  # the entry of a PNG that says how many images it shows


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Grey images in [-1, 1] as 8 bits, rounded; what lies outside is clipped.

    >>> to_uint8(np.array([-1.0, 0.0, 1.0, 7.0]))
    array([  0, 128, 255, 255], dtype=uint8)
    """
    return np.clip(np.round((images + 1) * 127.5), 0, 255).astype(np.uint8)


def grid(images: np.ndarray) -> np.ndarray:
    """Images side by side, rows cols height width -> one image, enlarged, gaps between them.

    An image of NaN is none: its place stays paper.
    """
    rows, cols, height, width = images.shape
    there = ~np.isnan(images)
    pixels = np.where(there, to_uint8(np.where(there, images, 0.0)), PAPER).astype(np.uint8)
    pixels = pixels.repeat(ENLARGED, axis=2).repeat(ENLARGED, axis=3)
    padded = np.pad(pixels, ((0, 0), (0, 0), (GAP, 0), (GAP, 0)), constant_values=PAPER)
    height, width = padded.shape[2:]
    return padded.transpose(0, 2, 1, 3).reshape(rows * height, cols * width)


def in_rows(images: np.ndarray) -> np.ndarray:
    """B height width -> rows cols height width, four times as wide as high, NaN at the end."""
    B, *size = images.shape
    cols = min(B, int(np.ceil(np.sqrt(4 * B))))
    rows = -(-B // cols)
    missing = np.full((rows * cols - B, *size), np.nan)
    return np.concatenate((images, missing)).reshape(rows, cols, *size)


def write(path: str | Path, panels: Sequence[tuple[str, np.ndarray]]) -> None:
    """Panels below each other, each a line of words over a grid: rows cols height width.

    The words stand in the file's metadata as well, and so does how many images it shows.
    """
    grids = [(words, grid(images)) for words, images in panels]
    width = max(pixels.shape[1] for _, pixels in grids)
    height = sum(LINE + pixels.shape[0] for _, pixels in grids)
    page = Image.new("L", (width, height), PAPER)
    draw, font, top = ImageDraw.Draw(page), ImageFont.load_default(), 0
    for words, pixels in grids:
        draw.text((GAP, top + 2), words, fill=INK, font=font)
        page.paste(Image.fromarray(pixels), (0, top + LINE))
        top += LINE + pixels.shape[0]
    shown = sum(np.prod(images.shape[:2]) for _, images in panels)
    about = {"Description": "\n".join(words for words, _ in panels), SHEET: f"{shown} images"}
    page.save(path, format="PNG", pnginfo=_metadata(about))


def write_tiles(folder: Path, images: np.ndarray, words: str) -> None:
    """Each image, B height width, as a file of its own: 0.png, 1.png, …"""
    folder.mkdir(parents=True, exist_ok=True)
    about = _metadata({"Description": words})
    for number, pixels in enumerate(to_uint8(images)):
        Image.fromarray(pixels).save(folder / f"{number}.png", format="PNG", pnginfo=about)


def sheet(path: Path) -> str:
    """How many images a sheet shows, in words; empty for any other picture."""
    with Image.open(path) as page:
        return str(page.info.get(SHEET, ""))


def _metadata(entries: dict[str, str]) -> PngInfo:
    info = PngInfo()
    for name, words in entries.items():
        info.add_itxt(name, words)
    return info
