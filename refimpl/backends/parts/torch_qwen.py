"""Images and videos of any size, in PyTorch's primitives."""

from __future__ import annotations

import math

import torch

from refimpl.backends.tensors import on_tensors as _on_tensors


@_on_tensors
def smart_resize(height, width, factor, low, high):
    """torch.round, math.isqrt"""
    sides = torch.tensor([height, width], dtype=torch.float64)
    units = [int(u) for u in torch.round(sides / factor)]
    area, pairs = math.prod(units) * factor**2, ((height, width), (width, height))
    if area > high:
        units = [max(math.isqrt(high * a // (b * factor**2)), 1) for a, b in pairs]
    elif area < low:
        units = [math.isqrt((low * a - 1) // (b * factor**2)) + 1 for a, b in pairs]
    return tuple(torch.tensor(u * factor) for u in units)


@_on_tensors
def patchify_video(frames, patch, together, merge):
    """torch.Tensor.unfold"""
    missing = -len(frames) % together
    full = torch.cat((frames, frames[-1:].expand(missing, -1, -1, -1)))
    side = merge * patch
    squares = full.unfold(0, together, together).unfold(2, side, side).unfold(3, side, side)
    pixels = squares.unflatten(-1, (merge, patch)).unflatten(-3, (merge, patch))
    T, channels, rows, cols = squares.shape[:4]  # T channels rows cols p m P m P
    rows_of_squares = pixels.permute(0, 2, 3, 5, 7, 1, 4, 6, 8)
    width = channels * together * patch * patch
    return rows_of_squares.reshape(T * rows * cols * merge * merge, width)


@_on_tensors
def merge_order(rows, cols, merge):
    """torch.Tensor.unfold"""
    grid = torch.arange(rows * cols).view(rows, cols)
    return grid.unfold(0, merge, merge).unfold(1, merge, merge).flatten()


def _frequencies(like, half, base):
    return base ** (-torch.arange(half, dtype=like.dtype) / half)


@_on_tensors
def grid_angles(places, quarter, base):
    """torch.outer"""
    frequencies = _frequencies(places, quarter, base)
    return torch.cat([torch.outer(side, frequencies) for side in places.unbind(1)], dim=1)


@_on_tensors
def window_order(frames, rows, cols, window):
    """torch.unique(return_counts=True), a stable torch.sort"""
    time, row, col = torch.meshgrid(*map(torch.arange, (frames, rows, cols)), indexing="ij")
    name = (time * rows + row // window) * cols + col // window
    order = torch.sort(name.flatten(), stable=True).indices
    return order, torch.unique(name, return_counts=True)[1]


@_on_tensors
def inverse_order(order):
    """torch.Tensor.scatter_"""
    return torch.empty_like(order).scatter_(0, order, torch.arange(len(order)))


@_on_tensors
def multimodal_positions(texts, grids, ticks, timescale):
    """torch.cartesian_prod"""
    parts, start = [], 0
    nothing = texts.new_zeros((1, 3))
    for words, grid, step in zip(
        texts.tolist(), [*grids.tolist(), None], [*ticks.tolist(), 0], strict=True
    ):
        parts.append(start + torch.arange(words)[:, None].expand(-1, 3))
        start += words
        if grid:
            block = torch.cartesian_prod(*map(torch.arange, grid)).view(-1, 3)
            block[:, 0] = block[:, 0] * step // timescale
            parts.append(start + block)
            start = int(parts[-1].max()) + 1
    table = torch.cat([nothing[:0], *parts])
    return table.T, torch.tensor(start - len(table))


@_on_tensors
def mrope_angles(positions, sections, base):
    """torch.split of all angles, torch.cat of the parts"""
    frequencies = _frequencies(positions, int(sections.sum()), base)
    angles = positions[..., None] * frequencies  # 3 N E
    parts = angles.split(sections.tolist(), dim=-1)
    return torch.cat([part[row] for row, part in enumerate(parts)], dim=-1)


@_on_tensors
def mrope_angles_interleaved(positions, sections, base):
    """rows and columns written over the angles of time"""
    frequencies = _frequencies(positions, int(sections.sum()), base)
    angles = positions[..., None] * frequencies  # 3 N E
    result = angles[0].clone()
    for row in (1, 2):
        turns = slice(row, 3 * int(sections[row]), 3)
        result[:, turns] = angles[row, :, turns]
    return result
