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


def clip_logits_vjp(image_features, text_features, log_scale, grad):
    """By Lagrange's identity: u (v.u) - v = -(what of v lies across u), pair by pair of entries."""
    scale = math.exp(log_scale)
    both = [(image_features, text_features, grad), (text_features, image_features, grad.T)]
    pulled = []
    for own, others, slopes in both:
        own_grad = np.zeros(own.shape)
        for i, x in enumerate(own):
            size = math.hypot(*x)
            for d in range(len(x)):
                terms = []
                for j, y in enumerate(others):
                    other = math.hypot(*y)
                    if not other:
                        continue
                    if size:
                        across = math.fsum(
                            float(x[e]) * (float(x[e]) * float(y[d]) - float(x[d]) * float(y[e]))
                            for e in range(len(x))
                        )
                        terms.append(float(slopes[i, j]) * (across / size**3 / other))
                    else:
                        terms.append(float(slopes[i, j]) * float(y[d]) / other)
                own_grad[i, d] = scale * math.fsum(terms)
        pulled.append(own_grad)
    logits = clip_logits(image_features, text_features, log_scale)
    return *pulled, math.fsum((grad * logits).ravel().tolist())


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


def clip_loss_vjp(image_features, text_features, log_scale, grad):
    """Slopes by the rivals alone: a pair's own slope is minus the sum of its rivals' shares."""
    logits = clip_logits(image_features, text_features, log_scale)
    N = len(logits)
    terms = {(i, j): [] for i in range(N) for j in range(N)}
    for i in range(N):
        for line in ([(i, j) for j in range(N)], [(j, i) for j in range(N)]):
            top = max(logits[place] for place in line)
            total = math.fsum(math.exp(logits[place] - top) for place in line)
            for place in line:
                if place != (i, i):
                    share = math.exp(logits[place] - top) / total
                    terms[place].append(share)
                    terms[i, i].append(-share)
    slopes = np.zeros((N, N))
    for place, shares in terms.items():
        slopes[place] = float(grad) * math.fsum(shares) / (2 * N)
    return clip_logits_vjp(image_features, text_features, log_scale, slopes)


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


def siglip_loss_vjp(image_features, text_features, log_scale, bias, grad):
    """By the hyperbolic tangent: a probability is half of one plus it."""
    logits = clip_logits(image_features, text_features, log_scale)
    N = len(logits)
    slopes = np.zeros((N, N))
    for i in range(N):
        for j in range(N):
            wrong = -(logits[i, j] + bias) if i == j else logits[i, j] + bias
            if wrong < 0:
                share = math.exp(wrong) / (1 + math.exp(wrong))
            else:
                share = (1 + math.tanh(wrong / 2)) / 2
            slopes[i, j] = (-1 if i == j else 1) * share * float(grad) / N
    gradients = clip_logits_vjp(image_features, text_features, log_scale, slopes)
    return *gradients, math.fsum(slopes.ravel().tolist())
