"""Patch embedding, one number at a time."""

import math

import numpy as np


def patchify(images, patch):
    B, channels, height, width = images.shape
    cols = width // patch
    N = (height // patch) * cols
    patches = np.zeros((B, N, channels * patch * patch))
    for b, channel, y, x in np.ndindex(images.shape):
        row, i = divmod(y, patch)
        col, j = divmod(x, patch)
        feature = channel * patch * patch + i * patch + j
        patches[b, row * cols + col, feature] = images[b, channel, y, x]
    return patches


def unpatchify(patches, patch, rows, channels):
    B, N, _ = patches.shape
    cols = N // rows
    images = np.zeros((B, channels, rows * patch, cols * patch))
    for b, n, feature in np.ndindex(patches.shape):
        row, col = divmod(n, cols)
        channel, pixel = divmod(feature, patch * patch)
        i, j = divmod(pixel, patch)
        images[b, channel, row * patch + i, col * patch + j] = patches[b, n, feature]
    return images


def patch_embed(images, weight, bias):
    """The convolution itself: a kernel that moves P pixels at a time, and never off the edge."""
    B, channels, height, width = images.shape
    D, _, patch, _ = weight.shape
    pixels, kernels = images.tolist(), weight.tolist()
    tokens = np.zeros((B, (height // patch) * (width // patch), D))
    for b in range(B):
        n = 0
        for top in range(0, height, patch):
            for left in range(0, width, patch):
                for d in range(D):
                    total = 0.0 if bias is None else float(bias[d])
                    for channel in range(channels):
                        for i in range(patch):
                            line = pixels[b][channel][top + i]
                            taps = kernels[d][channel][i]
                            for j in range(patch):
                                total += taps[j] * line[left + j]
                    tokens[b, n, d] = total
                n += 1
    return tokens


def patch_embed_vjp(images, weight, grad):
    """Every product of the convolution sends its share of the gradient back, tap by tap."""
    D, _, patch, _ = weight.shape
    cols = images.shape[3] // patch
    images_grad = np.zeros(images.shape)
    taps = [[] for _ in range(weight.size)]
    for b, channel, y, x in np.ndindex(images.shape):
        (row, i), (col, j) = divmod(y, patch), divmod(x, patch)
        token = grad[b, row * cols + col]
        pixel = images[b, channel, y, x]
        images_grad[b, channel, y, x] = math.fsum(
            token[d] * weight[d, channel, i, j] for d in range(D)
        )
        for d in range(D):
            taps[np.ravel_multi_index((d, channel, i, j), weight.shape)].append(token[d] * pixel)
    weight_grad = np.array([math.fsum(products) for products in taps]).reshape(weight.shape)
    return images_grad, weight_grad, np.array([math.fsum(grad[:, :, d].ravel()) for d in range(D)])


def vit_tokens(patches, class_token, positions):
    B, N, D = patches.shape
    tokens = np.zeros((B, N + 1, D))
    for b, n, d in np.ndindex(tokens.shape):
        token = class_token[d] if n == 0 else patches[b, n - 1, d]
        tokens[b, n, d] = math.fsum((token, positions[n, d]))
    return tokens


def vit_tokens_vjp(grad):
    B, tokens, D = grad.shape
    patches_grad, positions_grad = np.zeros((B, tokens - 1, D)), np.zeros((tokens, D))
    for n, d in np.ndindex(tokens, D):
        positions_grad[n, d] = math.fsum(grad[:, n, d])
        for b in range(B if n else 0):
            patches_grad[b, n - 1, d] = grad[b, n, d]
    return patches_grad, positions_grad[0].copy(), positions_grad


def sinusoidal_positions(positions, half):
    table = np.zeros((len(positions), 2 * half))
    for n, column in np.ndindex(table.shape):
        angle = positions[n] / math.pow(10000.0, (column // 2) / half)
        table[n, column] = math.cos(angle) if column % 2 else math.sin(angle)
    return table


def timestep_embedding(t, half):
    table = np.zeros((len(t), 2 * half))
    for b, column in np.ndindex(table.shape):
        angle = t[b] / math.pow(10000.0, (column % half) / half)
        table[b, column] = math.cos(angle) if column < half else math.sin(angle)
    return table
