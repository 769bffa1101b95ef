"""Twins of images and videos in a language model: same names, same arguments, same steps."""

import math

import numpy as np

from refimpl.axes import AxesError


def smart_resize(height, width, factor, low, high):
    if max(height, width) > 200 * min(height, width) or high < low:
        raise AxesError(f"smart_resize: sides are {height} and {width}, limits {low} and {high}")
    units = [round(side / factor) for side in (height, width)]
    area, unit = units[0] * units[1] * factor**2, factor**2
    pairs = ((height, width), (width, height))
    if area > high:
        units = [max(math.isqrt(high * one // (other * unit)), 1) for one, other in pairs]
    elif area < low:
        units = [math.isqrt(-(-low * one // (other * unit)) - 1) + 1 for one, other in pairs]
    return np.array(units[0] * factor), np.array(units[1] * factor)


def patchify_video(frames, patch, together, merge):
    T, channels, height, width = frames.shape
    rows, cols = height // (merge * patch), width // (merge * patch)
    times = -(-T // together)
    shape = (times, rows, cols, merge, merge, channels, together, patch, patch)
    x = np.empty(shape, frames.dtype)
    for t in range(times * together):
        frame = frames[min(t, T - 1)].reshape(channels, rows, merge, patch, cols, merge, patch)
        x[t // together, :, :, :, :, :, t % together] = frame.transpose(1, 4, 2, 5, 0, 3, 6)
    return x.reshape(times * rows * cols * merge * merge, channels * together * patch * patch)


def patchify_video_vjp(frames, patch, together, merge, grad):
    T, channels, height, width = frames.shape
    rows, cols = height // (merge * patch), width // (merge * patch)
    shape = (-(-T // together), rows, cols, merge, merge, channels, together, patch, patch)
    wanted = math.prod(shape[:5]), math.prod(shape[5:])
    if not T or grad.shape != wanted:
        raise AxesError(
            f"patchify_video_vjp: grad is {grad.shape} of {T} frames, expected {wanted}"
        )
    x = grad.reshape(shape)
    frames_grad = np.zeros_like(frames)
    for t in range(len(x) * together):
        pixels = x[t // together, :, :, :, :, :, t % together]  # rows cols m m channels P P
        whole = pixels.transpose(4, 0, 2, 5, 1, 3, 6).reshape(channels, height, width)
        frames_grad[min(t, T - 1)] += whole
    return frames_grad


def merge_order(rows, cols, merge):
    if rows % merge or cols % merge:
        raise AxesError(f"merge_order: the grid is {rows} by {cols}, merge {merge}")
    squares = np.arange(merge)[:, None] * cols + np.arange(merge)
    corners = np.arange(0, rows, merge)[:, None] * cols + np.arange(0, cols, merge)
    return (corners[:, :, None, None] + squares).ravel()


def grid_angles(places, quarter, base):
    number = places.dtype.type
    steps = np.arange(quarter, dtype=number) / number(max(quarter, 1))
    frequencies = np.exp(-np.log(number(base)) * steps)
    return np.concatenate((places[:, :1] * frequencies, places[:, 1:] * frequencies), axis=1)


def window_order(frames, rows, cols, window):
    if not frames * rows * cols:
        raise AxesError(f"window_order: the grid is {frames} by {rows} by {cols}")
    time, row, col = np.indices((frames, rows, cols)).reshape(3, -1)
    order = np.lexsort((col, row, col // window, row // window, time))
    high, wide = (np.minimum(window, side - np.arange(0, side, window)) for side in (rows, cols))
    return order, np.tile(np.outer(high, wide).ravel(), frames)


def inverse_order(order):
    inverse = np.full(len(order), -1)
    inverse[order] = np.arange(len(order))
    if (inverse < 0).any():
        raise AxesError(f"inverse_order: order is {order}, expected each place once")
    return inverse


def multimodal_positions(texts, grids, ticks, timescale):
    counts = grids.prod(axis=1)
    total = int(texts.sum() + counts.sum())
    positions, n, start = np.empty((3, total), np.int64), 0, 0
    for i, words in enumerate(texts):
        positions[:, n : n + words] = start + np.arange(words)
        n, start = n + words, start + words
        if i < len(grids):
            _, rows, cols = grids[i]
            place = np.arange(counts[i])
            block = positions[:, n : n + counts[i]]
            block[0] = start + place // (rows * cols) * ticks[i] // timescale
            block[1] = start + place // cols % rows
            block[2] = start + place % cols
            n, start = n + counts[i], block[:, -1].max() + 1
    return positions, np.array(start - total)


def _frequencies(positions, half, base):
    number = positions.dtype.type
    steps = np.arange(half, dtype=number) / number(max(half, 1))
    return np.exp(-np.log(number(base)) * steps)


def mrope_angles(positions, sections, base):
    frequencies = _frequencies(positions, int(sections.sum()), base)
    parts = np.split(frequencies, np.cumsum(sections)[:-1])
    return np.concatenate([np.outer(p, f) for p, f in zip(positions, parts, strict=True)], axis=1)


def mrope_angles_interleaved(positions, sections, base):
    half = int(sections.sum())
    frequencies = _frequencies(positions, half, base)
    angles = np.outer(positions[0], frequencies)
    for row in (1, 2):
        pairs = slice(row, 3 * int(sections[row]), 3)
        if len(range(half)[pairs]) < sections[row]:
            raise AxesError(f"mrope_angles_interleaved: sections {sections} do not fit by turns")
        angles[:, pairs] = np.outer(positions[row], frequencies[pairs])
    return angles
