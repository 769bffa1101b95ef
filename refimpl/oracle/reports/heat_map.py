"""Where in an output the errors are: an SVG of error ÷ allowed."""

from __future__ import annotations

import numpy as np

from refimpl.oracle.reports.escaped import esc

ROWS, COLUMNS = 32, 64  # of a heat map, at most
LEVELS = (0.1, 1.0, 10.0, 1000.0, np.finfo(np.float64).max)
LABELS = ("≤ 0.1", "≤ 1: allowed", "≤ 10", "≤ 1000", "> 1000", "∞ or no number")


def pooled(ratios: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """The last axis across, all others down, in blocks of which the largest element counts.

    >>> pooled(np.arange(130.0))
    (array([[  2.,   5.,   8.,  11.,  14.,  17.,  20.,  23.,  26.,  29.,  32.,
             35.,  38.,  41.,  44.,  47.,  50.,  53.,  56.,  59.,  62.,  65.,
             68.,  71.,  74.,  77.,  80.,  83.,  86.,  89.,  92.,  95.,  98.,
            101., 104., 107., 110., 113., 116., 119., 122., 125., 128., 129.]]), (1, 3))
    """
    flat = np.atleast_1d(ratios)
    flat = flat.reshape(-1, flat.shape[-1])
    high, wide = (-(-n // most) for n, most in zip(flat.shape, (ROWS, COLUMNS), strict=True))
    rows, columns = -(-flat.shape[0] // high), -(-flat.shape[1] // wide)
    blocks = np.zeros((rows * high, columns * wide))
    blocks[: flat.shape[0], : flat.shape[1]] = flat
    return blocks.reshape(rows, high, columns, wide).max(axis=(1, 3)), (high, wide)


def heat_map(ratios: np.ndarray) -> list[str]:
    """An SVG of error ÷ allowed: one square an element, or a block of elements."""
    blocks, (high, wide) = pooled(ratios)
    rows, columns = blocks.shape
    levels = np.searchsorted(LEVELS, blocks)
    paths = []
    for level in range(len(LABELS)):
        where = np.argwhere(levels == level)
        if len(where):
            squares = "".join(f"M{x + 0.04:.2f} {y + 0.04:.2f}h.92v.92h-.92z" for y, x in where)
            paths.append(f'<path class="l{level}" d="{squares}"/>')
    y, x = np.unravel_index(int(np.argmax(blocks)), blocks.shape)
    size = 14 if columns > 16 else 22
    over = int((ratios > 1).sum())
    says = f"{over} of {ratios.size} elements are outside; the worst is framed"
    legend = "".join(
        f'<span><i class="l{level}">■</i> {esc(label)}</span>'
        for level, label in enumerate(LABELS)
        if (levels == level).any()
    )
    block = f"; a square is the worst of up to {high} × {wide}" if high * wide > 1 else ""
    shape = " × ".join(map(str, ratios.shape)) or "a single number"
    return [
        f'<svg role="img" aria-label="{esc(says)}" width="{(columns + 0.2) * size:g}"'
        f' height="{(rows + 0.2) * size:g}" viewBox="-.1 -.1 {columns + 0.2:g} {rows + 0.2:g}">',
        *paths,
        f'<rect x="{x}" y="{y}" width="1" height="1"/></svg>',
        f'<p class="legend">{legend}</p>',
        f"<p><small>{esc(says)}. Shape: {esc(shape)}; the last axis runs across, the others down"
        f"{block}.</small></p>",
    ]
