"""CLIP, one pair at a time."""

import math

import numpy as np


def clip_logits(image_features, text_features, log_scale):
    logits = np.zeros((len(image_features), len(text_features)))
    for i, image in enumerate(image_features):
        for j, caption in enumerate(text_features):
            lengths = math.hypot(*image) * math.hypot(*caption)
            if lengths:
                product = math.fsum(a * b for a, b in zip(image, caption, strict=True))
                logits[i, j] = math.exp(log_scale) * (product / lengths)
    return logits


def clip_loss(image_features, text_features, log_scale):
    """By the margins of every pair: log(sum over rivals of exp(rival - own))."""
    logits = clip_logits(image_features, text_features, log_scale)
    N = len(logits)
    nats = []
    for i in range(N):
        for rivals in ([logits[i, j] for j in range(N)], [logits[j, i] for j in range(N)]):
            margins = [rival - logits[i, i] for rival in rivals]
            worst = max(margins)
            nats.append(worst + math.log(math.fsum(math.exp(m - worst) for m in margins)))
    return math.fsum(nats) / (2 * N)


def siglip_loss(image_features, text_features, log_scale, bias):
    """Binary cross-entropy, the cases spelled out: -log p on the diagonal, -log(1 - p) off it."""
    logits = clip_logits(image_features, text_features, log_scale)
    N = len(logits)
    nats = []
    for i in range(N):
        for j in range(N):
            against = -(logits[i, j] + bias) if i == j else logits[i, j] + bias
            if against > 0:
                nats.append(against + math.log1p(math.exp(-against)))
            else:
                nats.append(math.log1p(math.exp(against)))
    return math.fsum(nats) / N
