"""Compiled twins of patch embedding: same names, same arguments, same steps."""

import numpy as np
from numba import njit

from refimpl.compiled.memory import empty
from refimpl.compiled.threads import multiply, one_blas_thread, parts, share


def patchify(images, patch):
    B, channels, height, width = images.shape
    rows, cols = height // patch, width // patch
    patches = empty((B * rows, cols, channels, patch, patch), images.dtype)
    share(_patchify, B * rows, channels * width * patch, images, patches)
    return patches.reshape(B, rows * cols, channels * patch * patch)


@njit(cache=True, nogil=True)
def _patchify(first, last, images, patches):
    """Rows of patches, counted through all images; line by line, as pixels lie."""
    _, cols, channels, patch, _ = patches.shape
    rows = images.shape[2] // patch
    for k in range(first, last):
        b, row = k // rows, k % rows
        for channel in range(channels):
            for i in range(patch):
                line = images[b, channel, row * patch + i]
                for col in range(cols):
                    into, start = patches[k, col, channel, i], col * patch
                    for j in range(patch):
                        into[j] = line[start + j]


def unpatchify(patches, patch, rows, channels):
    B, N, _ = patches.shape
    cols = N // max(rows, 1)
    images = empty((B, channels, rows * patch, cols * patch), patches.dtype)
    _unpatchify(patches.reshape(B, rows, cols, channels, patch, patch), images)
    return images


@njit(cache=True)
def _unpatchify(grid, images):
    B, rows, cols, channels, patch, _ = grid.shape
    for b in range(B):
        for channel in range(channels):
            for row in range(rows):
                for i in range(patch):
                    for col in range(cols):
                        for j in range(patch):
                            images[b, channel, row * patch + i, col * patch + j] = grid[
                                b, row, col, channel, i, j
                            ]


def patch_embed(images, weight, bias):
    D, channels, patch, _ = weight.shape
    width = channels * patch * patch
    patches = patchify(images, patch)  # B N channels*P*P
    B, N, _ = patches.shape
    tokens = empty((B * N, D), images.dtype)
    block = max(-(-B * N // parts(B * N)), 1)
    given = block, patches.reshape(B * N, width), weight.reshape(D, width), bias, tokens
    with one_blas_thread():
        share(_embed, -(-B * N // block), block * width * D // 16, *given)
    return tokens.reshape(B, N, D)


def _embed(first, last, block, patches, weight, bias, tokens):
    patches, tokens = patches[first * block : last * block], tokens[first * block : last * block]
    np.matmul(patches, weight.T, out=tokens)
    if bias is not None:
        _add_to_rows(tokens, bias)


@njit(cache=True, nogil=True)
def _add_to_rows(tokens, bias):
    for n in range(tokens.shape[0]):
        for d in range(tokens.shape[1]):
            tokens[n, d] += bias[d]


def patch_embed_vjp(images, weight, grad):
    D, channels, patch, _ = weight.shape
    width = channels * patch * patch
    B, N, _ = grad.shape
    patches = patchify(images, patch).reshape(B * N, width)
    tokens_grad = grad.reshape(B * N, D)
    patches_grad = multiply(tokens_grad, weight.reshape(D, width)).reshape(B, N, width)
    images_grad = unpatchify(patches_grad, patch, images.shape[2] // patch, channels)
    weight_grad = multiply(tokens_grad.T, patches).reshape(weight.shape)
    return images_grad, weight_grad, _sum_over_first(grad.reshape(B * N, 1, D))[0]


def _sum_over_first(tokens):
    total = np.zeros(tokens.shape[1:], tokens.dtype)
    _add_over_first(tokens, total)
    return total


@njit(cache=True)
def _add_over_first(tokens, total):
    B, N, D = tokens.shape
    for b in range(B):
        for n in range(N):
            for d in range(D):
                total[n, d] += tokens[b, n, d]


def vit_tokens(patches, class_token, positions):
    B, N, D = patches.shape
    tokens = empty((B, N + 1, D), patches.dtype)
    _vit_tokens(patches, class_token, positions, tokens)
    return tokens


@njit(cache=True)
def _vit_tokens(patches, class_token, positions, tokens):
    B, N, D = patches.shape
    for b in range(B):
        for d in range(D):
            tokens[b, 0, d] = class_token[d] + positions[0, d]
        for n in range(N):
            for d in range(D):
                tokens[b, n + 1, d] = patches[b, n, d] + positions[n + 1, d]


def vit_tokens_vjp(grad):
    positions_grad = _sum_over_first(grad)  # N+1 D
    return grad[:, 1:], positions_grad[0], positions_grad


def sinusoidal_positions(positions, half):
    N = len(positions)
    pairs = empty((N, half, 2), positions.dtype)
    _sinusoidal_positions(positions, pairs)
    return pairs.reshape(N, 2 * half)


@njit(cache=True)
def _sinusoidal_positions(positions, pairs):
    number = positions.dtype.type
    N, half, _ = pairs.shape
    log_base = number(np.log(10000.0))
    for i in range(half):
        frequency = np.exp(-log_base * number(i) / number(half))
        for n in range(N):
            angle = positions[n] * frequency
            pairs[n, i, 0] = np.sin(angle)
            pairs[n, i, 1] = np.cos(angle)


def timestep_embedding(t, half):
    embedding = empty((len(t), 2 * half), t.dtype)
    _timestep_embedding(t, half, embedding)
    return embedding


@njit(cache=True)
def _timestep_embedding(t, half, embedding):
    number = t.dtype.type
    log_base = number(np.log(10000.0))
    for i in range(half):
        frequency = np.exp(-log_base * number(i) / number(half))
        for b in range(len(t)):
            angle = t[b] * frequency
            embedding[b, i] = np.cos(angle)
            embedding[b, half + i] = np.sin(angle)
