"""What language models are trained for and judged by, in JAX's primitives."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from refimpl.backends.parts.jax_arrays import on_tensors as _on_tensors

# Objectives


def _token_log_probs(logits, labels):
    log_probs = jax.nn.log_softmax(logits)
    return jnp.take_along_axis(log_probs, labels[..., None], axis=-1)[..., 0]


@_on_tensors
def token_log_probs(logits, labels):
    """jax.nn.log_softmax, jax.numpy.take_along_axis"""
    return _token_log_probs(logits, labels)


@_on_tensors
def masked_cross_entropy(logits, labels, keep):
    """jax.nn.log_softmax, jax.numpy.mean(where)"""
    return -jnp.mean(_token_log_probs(logits, labels), where=keep > 0)


@_on_tensors
def next_token_loss(logits, ids, keep):
    """jax.nn.log_softmax, jax.numpy.mean(where)"""
    return -jnp.mean(_token_log_probs(logits[:, :-1], ids[:, 1:]), where=keep[:, 1:] > 0)


@_on_tensors
def perplexity(nats, keep):
    """jax.numpy.exp, jax.numpy.mean(where)"""
    return jnp.exp(jnp.mean(nats, where=keep > 0))


# Preferences


@_on_tensors
def preference_loss(chosen, rejected):
    """jax.nn.softplus"""
    return jnp.mean(jax.nn.softplus(rejected - chosen))


@_on_tensors
def kl_positive(log_probs, reference):
    """jax.numpy.expm1"""
    return jnp.expm1(reference - log_probs) - (reference - log_probs)


@_on_tensors
def gae(rewards, values, bootstrap, done, discount, trace):
    """jax.lax.scan"""
    number = rewards.dtype.type
    going = (number(discount) * (1 - done)).astype(rewards.dtype)
    following = jnp.concatenate((values[:, 1:], bootstrap[:, None]), axis=1)
    surprise = rewards + going * following - values

    def step(carried, given):
        here, onwards = given
        carried = here + number(trace) * onwards * carried
        return carried, carried

    start = jnp.zeros_like(bootstrap)
    return jax.lax.scan(step, start, (surprise.T, going.T), reverse=True)[1].T


@_on_tensors
def dpo_loss(chosen, rejected, chosen_reference, rejected_reference, beta, smoothing):
    """jax.nn.softplus"""
    scaled = beta * ((chosen - rejected) - (chosen_reference - rejected_reference))
    right, wrong = jax.nn.softplus(-scaled), jax.nn.softplus(scaled)
    return jnp.mean((1 - smoothing) * right + smoothing * wrong)
