"""Images and videos in a language model, one number at a time."""

from fractions import Fraction

import numpy as np


def smart_resize(height, width, factor, low, high):
    def nearest(side):
        whole, rest = divmod(side, factor)
        return whole + (2 * rest > factor or (2 * rest == factor and whole % 2))

    def squared(units, one, other):
        return Fraction((units * factor) ** 2 * other, one)

    sides, units = (height, width), [nearest(height), nearest(width)]
    area = units[0] * units[1] * factor * factor
    for i, (one, other) in enumerate((sides, sides[::-1])):
        if area > high:
            units[i] = 1
            while squared(units[i] + 1, one, other) <= high:
                units[i] += 1
        elif area < low:
            units[i] = 0
            while squared(units[i], one, other) < low:
                units[i] += 1
    return np.array(units[0] * factor), np.array(units[1] * factor)


def patchify_video(frames, patch, together, merge):
    T, channels, height, width = frames.shape
    patches = []
    for t in range(0, T, together):
        for top in range(0, height, merge * patch):
            for left in range(0, width, merge * patch):
                for a, b in np.ndindex(merge, merge):
                    patches.append(
                        [
                            frames[min(t + s, T - 1), k, top + a * patch + i, left + b * patch + j]
                            for k, s, i, j in np.ndindex(channels, together, patch, patch)
                        ]
                    )
    return np.array(patches)


def patchify_video_vjp(frames, patch, together, merge, grad):
    """Each pixel's number is read in the patches, and what stands at its places is added."""
    named = np.arange(frames.size, dtype=float).reshape(frames.shape)
    places = patchify_video(named, patch, together, merge)
    frames_grad = np.zeros(frames.size)
    for place in np.ndindex(grad.shape):
        frames_grad[int(places[place])] += grad[place]
    return frames_grad.reshape(frames.shape)


def merge_order(rows, cols, merge):
    places = sorted(
        (row // merge, col // merge, row, col) for row in range(rows) for col in range(cols)
    )
    return np.array([row * cols + col for _, _, row, col in places])


def grid_angles(places, quarter, base):
    angles = np.zeros((len(places), 2 * quarter))
    for n, side, i in np.ndindex(len(places), 2, quarter):
        angles[n, side * quarter + i] = places[n, side] / base ** (i / quarter)
    return angles


def window_order(frames, rows, cols, window):
    names, order = [], []
    for t, r, c in np.ndindex(frames, rows, cols):
        names.append((t, r // window, c // window))
        order.append((names[-1], t * rows * cols + r * cols + c))
    lengths = [names.count(name) for name in sorted(set(names))]
    return np.array([place for _, place in sorted(order)]), np.array(lengths)


def inverse_order(order):
    order = [int(o) for o in order]
    return np.array([order.index(n) for n in range(len(order))], dtype=int)


def multimodal_positions(texts, grids, ticks, timescale):
    tokens, start = [], 0
    for i, words in enumerate(texts):
        for _ in range(int(words)):
            tokens.append((start,) * 3)
            start += 1
        if i < len(grids):
            frames, rows, cols = (int(side) for side in grids[i])
            block = [
                (start + int(Fraction(t * int(ticks[i]), timescale)), start + r, start + c)
                for t, r, c in np.ndindex(frames, rows, cols)
            ]
            start = max(max(token) for token in block) + 1
            tokens += block
    table = np.array(tokens, dtype=int).reshape(-1, 3).T
    return table, np.array(start - len(tokens))


def _turned(positions, names, base):
    angles = np.zeros((positions.shape[1], len(names)))
    for n, i in np.ndindex(angles.shape):
        angles[n, i] = positions[names[i], n] / base ** (i / len(names))
    return angles


def mrope_angles(positions, sections, base):
    time, row, col = (int(s) for s in sections)
    return _turned(positions, [0] * time + [1] * row + [2] * col, base)


def mrope_angles_interleaved(positions, sections, base):
    left = [int(s) for s in sections]
    names = [0] * sum(left)
    for i in range(len(names)):
        k = i % 3
        if k and left[k]:
            names[i], left[k] = k, left[k] - 1
    return _turned(positions, names, base)
