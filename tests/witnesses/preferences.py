"""The preferences, one answer or one word at a time."""

import math

import numpy as np


def _softplus(x):
    return x + math.log1p(math.exp(-x)) if x > 0 else math.log1p(math.exp(x))


def _sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _mean(values):
    values = [float(v) for v in values]
    return np.array(math.fsum(values) / len(values))


def preference_loss(chosen, rejected):
    return _mean(_softplus(r - c) for c, r in zip(chosen, rejected, strict=True))


def preference_loss_vjp(chosen, rejected, grad):
    slopes = [_sigmoid(r - c) / len(chosen) for c, r in zip(chosen, rejected, strict=True)]
    return -float(grad) * np.array(slopes), float(grad) * np.array(slopes)


def kl_positive(log_probs, reference):
    found = np.zeros(log_probs.shape)
    for place in np.ndindex(found.shape):
        delta = log_probs[place] - reference[place]
        found[place] = math.fsum((math.expm1(-delta), delta))
    return found


def kl_positive_vjp(log_probs, reference, grad):
    found = np.zeros(log_probs.shape)
    for place in np.ndindex(found.shape):
        found[place] = -grad[place] * math.expm1(reference[place] - log_probs[place])
    return found


def gae(rewards, values, bootstrap, done, discount, trace):
    """Each advantage as the sum over all later steps of its episode."""
    B, N = rewards.shape
    found = np.zeros((B, N))
    for b in range(B):
        expected = [*values[b], bootstrap[b]]
        for n in range(N):
            terms, weight = [], 1.0
            for m in range(n, N):
                going = 0.0 if done[b, m] else discount
                surprise = math.fsum((rewards[b, m], going * expected[m + 1], -expected[m]))
                terms.append(weight * surprise)
                weight *= going * trace
            found[b, n] = math.fsum(terms)
    return found


def gae_vjp(done, discount, trace, grad):
    """Each step's share in all advantages, one at a time."""
    B, N = grad.shape
    told, expected, after = np.zeros((B, N)), np.zeros((B, N + 1)), np.zeros(B)
    for b in range(B):
        for n in range(N):
            weight = 1.0
            for m in range(n, N):
                going = 0.0 if done[b, m] else discount
                told[b, m] += grad[b, n] * weight
                expected[b, m] -= grad[b, n] * weight
                expected[b, m + 1] += grad[b, n] * weight * going
                weight *= going * trace
        after[b] = expected[b, N]
    return told, expected[:, :N], after


def _kept(x, keep):
    return [float(x[place]) for place in np.ndindex(x.shape) if keep[place]]


def whiten(x, keep, eps):
    kept = _kept(x, keep)
    mean = math.fsum(kept) / len(kept)
    variance = math.fsum((v - mean) ** 2 for v in kept) / len(kept)
    result = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        if keep[place]:
            result[place] = (x[place] - mean) / math.sqrt(variance + eps)
    return result


def group_advantage(rewards, eps):
    result = np.zeros(rewards.shape)
    for b, row in enumerate(rewards):
        mean = math.fsum(row) / len(row)
        variance = math.fsum((r - mean) ** 2 for r in row) / (len(row) - 1)
        for n, r in enumerate(row):
            result[b, n] = (r - mean) / (math.sqrt(variance) + eps)
    return result


def _ppo_word(new, old, advantage, clip):
    ratio = math.exp(new - old)
    if advantage > 0:
        return -advantage * min(ratio, 1 + clip), ratio <= 1 + clip
    return -advantage * max(ratio, 1 - clip), ratio >= 1 - clip


def ppo_loss(log_probs, old, advantages, keep, clip):
    losses = np.zeros(log_probs.shape)
    for place in np.ndindex(losses.shape):
        losses[place] = _ppo_word(log_probs[place], old[place], advantages[place], clip)[0]
    return _mean(_kept(losses, keep))


def ppo_loss_vjp(log_probs, old, advantages, keep, clip, grad):
    found, count = np.zeros(log_probs.shape), int(np.count_nonzero(keep))
    for place in np.ndindex(found.shape):
        loss, moves = _ppo_word(log_probs[place], old[place], advantages[place], clip)
        if keep[place] and moves:
            found[place] = float(grad) * loss / count
    return found


def value_loss(values, old, returns, keep, clip):
    errors = np.zeros(values.shape)
    for place in np.ndindex(errors.shape):
        moved = values[place] - old[place]
        near = old[place] + math.copysign(min(abs(moved), clip), moved)
        errors[place] = max(abs(values[place] - returns[place]), abs(near - returns[place])) ** 2
    return _mean(_kept(errors, keep)) / 2


def _margins(chosen, rejected, chosen_reference, rejected_reference):
    given = zip(chosen, chosen_reference, rejected, rejected_reference, strict=True)
    return [math.fsum((c, -cr, -r, rr)) for c, cr, r, rr in given]


def dpo_loss(chosen, rejected, chosen_reference, rejected_reference, beta, smoothing):
    found = _margins(chosen, rejected, chosen_reference, rejected_reference)
    return _mean(
        (1 - smoothing) * _softplus(-beta * h) + smoothing * _softplus(beta * h) for h in found
    )


def dpo_loss_vjp(chosen, rejected, chosen_reference, rejected_reference, beta, smoothing, grad):
    found = _margins(chosen, rejected, chosen_reference, rejected_reference)
    slopes = [
        float(grad)
        * beta
        / len(found)
        * (smoothing * _sigmoid(beta * h) - (1 - smoothing) * _sigmoid(-beta * h))
        for h in found
    ]
    return np.array(slopes), -np.array(slopes)


def ipo_loss(chosen, rejected, chosen_reference, rejected_reference, beta):
    found = _margins(chosen, rejected, chosen_reference, rejected_reference)
    return _mean((h - 0.5 / beta) ** 2 for h in found)
