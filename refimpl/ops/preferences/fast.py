"""Compiled twins of the preferences: same names, same arguments, same steps."""

import numpy as np
from numba import njit

from refimpl.ops.layers.fast import sigmoid


def preference_loss(chosen, rejected):
    return np.asarray(_softplus(rejected - chosen).mean(), chosen.dtype)


def _softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def preference_loss_vjp(chosen, rejected, grad):
    number = chosen.dtype.type
    chosen_grad = -(number(grad) / number(len(chosen))) * sigmoid(rejected - chosen)
    return chosen_grad, -chosen_grad


def kl_positive(log_probs, reference):
    delta = log_probs - reference
    return np.expm1(-delta) + delta


def kl_positive_vjp(log_probs, reference, grad):
    return grad * -np.expm1(reference - log_probs)


def gae(rewards, values, bootstrap, done, discount, trace):
    number = rewards.dtype.type
    advantages = np.empty(rewards.shape, rewards.dtype)
    _gae(rewards, values, bootstrap, done, number(discount), number(trace), advantages)
    return advantages


@njit(cache=True)
def _gae(rewards, values, bootstrap, done, discount, trace, advantages):
    zero = rewards.dtype.type(0)
    for b in range(rewards.shape[0]):
        following, carried = bootstrap[b], zero
        for n in range(rewards.shape[1] - 1, -1, -1):
            going = zero if done[b, n] else discount
            surprise = rewards[b, n] + going * following - values[b, n]
            carried = surprise + trace * going * carried
            following = values[b, n]
            advantages[b, n] = carried


def gae_vjp(done, discount, trace, grad):
    number = grad.dtype.type
    rewards_grad, values_grad = np.empty(grad.shape, grad.dtype), np.empty(grad.shape, grad.dtype)
    bootstrap_grad = np.empty(len(grad), grad.dtype)
    settings = number(discount), number(trace)
    _gae_vjp(done, *settings, grad, rewards_grad, values_grad, bootstrap_grad)
    return rewards_grad, values_grad, bootstrap_grad


@njit(cache=True)
def _gae_vjp(done, discount, trace, grad, rewards_grad, values_grad, bootstrap_grad):
    zero = grad.dtype.type(0)
    for b in range(grad.shape[0]):
        onwards = zero
        for n in range(grad.shape[1]):
            told = grad[b, n] + trace * onwards
            rewards_grad[b, n], values_grad[b, n] = told, onwards - told
            onwards = zero if done[b, n] else discount * told
        bootstrap_grad[b] = onwards


def whiten(x, keep, eps):
    number = x.dtype.type
    kept = x[keep > 0]
    apart = np.where(keep > 0, x - kept.mean(), number(0))
    variance = (apart * apart).sum() / number(kept.size)
    return apart / np.sqrt(variance + number(eps))


def group_advantage(rewards, eps):
    number = rewards.dtype.type
    apart = rewards - rewards.mean(axis=-1, keepdims=True)
    variance = (apart * apart).sum(axis=-1, keepdims=True) / number(rewards.shape[-1] - 1)
    return apart / (np.sqrt(variance) + number(eps))


def _mean(losses, keep):
    kept = losses[keep > 0]
    return np.asarray(kept.sum() / losses.dtype.type(kept.size), losses.dtype)


def ppo_loss(log_probs, old, advantages, keep, clip):
    number = log_probs.dtype.type
    ratio = np.exp(log_probs - old)
    near = np.clip(ratio, number(1) - number(clip), number(1) + number(clip))
    return _mean(np.maximum(-advantages * ratio, -advantages * near), keep)


def ppo_loss_vjp(log_probs, old, advantages, keep, clip, grad):
    number = log_probs.dtype.type
    log_probs_grad = np.empty(log_probs.shape, log_probs.dtype)
    flat = (x.reshape(-1) for x in (log_probs, old, advantages, keep, log_probs_grad))
    share = number(grad) / number(keep.sum())
    _ppo_vjp(*flat, number(1) - number(clip), number(1) + number(clip), share)
    return log_probs_grad


@njit(cache=True)
def _ppo_vjp(log_probs, old, advantages, keep, log_probs_grad, low, high, share):
    for i in range(log_probs.size):
        ratio, advantage = np.exp(log_probs[i] - old[i]), advantages[i]
        far = ratio > high if advantage > 0 else ratio < low
        slope = -advantage * ratio
        log_probs_grad[i] = share * slope if keep[i] and not far else log_probs.dtype.type(0)


def value_loss(values, old, returns, keep, clip):
    number = values.dtype.type
    near = old + np.clip(values - old, -number(clip), number(clip))
    errors = np.maximum((values - returns) ** 2, (near - returns) ** 2)
    return np.asarray(_mean(errors, keep) / number(2), values.dtype)


def _margin(chosen, rejected, chosen_reference, rejected_reference):
    return (chosen - chosen_reference) - (rejected - rejected_reference)


def dpo_loss(chosen, rejected, chosen_reference, rejected_reference, beta, smoothing):
    number = chosen.dtype.type
    scaled = number(beta) * _margin(chosen, rejected, chosen_reference, rejected_reference)
    wrong = number(smoothing)
    losses = (number(1) - wrong) * _softplus(-scaled) + wrong * _softplus(scaled)
    return np.asarray(losses.mean(), chosen.dtype)


def dpo_loss_vjp(chosen, rejected, chosen_reference, rejected_reference, beta, smoothing, grad):
    number = chosen.dtype.type
    scaled = number(beta) * _margin(chosen, rejected, chosen_reference, rejected_reference)
    wrong = number(smoothing)
    doubt = wrong * sigmoid(scaled) - (number(1) - wrong) * sigmoid(-scaled)
    chosen_grad = number(grad) * number(beta) / number(len(chosen)) * doubt
    return chosen_grad, -chosen_grad


def ipo_loss(chosen, rejected, chosen_reference, rejected_reference, beta):
    margin = _margin(chosen, rejected, chosen_reference, rejected_reference)
    missed = margin - chosen.dtype.type(1 / (2 * beta))
    return np.asarray((missed * missed).mean(), chosen.dtype)
