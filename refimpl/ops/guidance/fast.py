"""Compiled twins of guidance: same names, same arguments, same steps, one pass over a batch."""

import numpy as np
from numba import njit

from refimpl.compiled.arithmetic import by_row, is_finite, power_of
from refimpl.compiled.memory import empty
from refimpl.compiled.threads import fill, multiply


def classifier_guidance(mean, variance, gradient, scale):
    guided = empty(mean.shape, mean.dtype)
    scale = mean.dtype.type(scale)
    flat = mean.ravel(), variance.ravel(), gradient.ravel()
    fill(_classifier_guidance, mean.size, 1, *flat, scale, guided.ravel())
    return guided


@njit(cache=True, nogil=True, fastmath={"contract"})
def _classifier_guidance(first, last, mean, variance, gradient, scale, guided):
    mean, variance, gradient = mean[first:last], variance[first:last], gradient[first:last]
    guided, power = guided[first:last], power_of(guided.dtype.type(0))
    for i in range(mean.size):
        guided[i] = mean[i] + scale * variance[i] * gradient[i]
        power = max(power, power_of(guided[i]))
    return is_finite(power)


def classifier_guidance_score(eps, gradient, t, alpha_bar, scale):
    guided = empty(eps.shape, eps.dtype)
    factor = np.sqrt(1 - alpha_bar[t]) * eps.dtype.type(scale)  # B
    _against(eps, gradient, factor, guided)
    return guided


def _against(eps, gradient, factor, guided):
    rows = by_row(eps), by_row(gradient), factor, by_row(guided)
    fill(_classifier_guidance_score, eps.size, 1, *rows)


@njit(cache=True, nogil=True, fastmath={"contract"})
def _classifier_guidance_score(first, last, eps, gradient, factor, guided):
    n, power = eps.shape[1], power_of(eps.dtype.type(0))
    for row in range(first // n, -(-last // n)):
        begin, end = max(first - row * n, 0), min(last - row * n, n)
        strength, into = factor[row], guided[row, begin:end]
        e, g = eps[row, begin:end], gradient[row, begin:end]
        for i in range(into.size):
            into[i] = e[i] - strength * g[i]
            power = max(power, power_of(into[i]))
    return is_finite(power)


def classifier_free_guidance(eps_uncond, eps_cond, scale):
    guided = empty(eps_cond.shape, eps_cond.dtype)
    scale = eps_cond.dtype.type(scale)
    flat = eps_uncond.ravel(), eps_cond.ravel(), scale, guided.ravel()
    fill(_classifier_free_guidance, eps_cond.size, 1, *flat)
    return guided


@njit(cache=True, nogil=True, fastmath={"contract"})
def _classifier_free_guidance(first, last, eps_uncond, eps_cond, scale, guided):
    eps_uncond, eps_cond = eps_uncond[first:last], eps_cond[first:last]
    guided, power = guided[first:last], power_of(guided.dtype.type(0))
    for i in range(eps_cond.size):
        guided[i] = eps_uncond[i] + scale * (eps_cond[i] - eps_uncond[i])
        power = max(power, power_of(guided[i]))
    return is_finite(power)


def dynamic_threshold(x_start, quantile):
    rows, limited = by_row(x_start), empty(x_start.shape, x_start.dtype)
    place = quantile * (rows.shape[1] - 1)
    below = int(place)
    ordered = np.partition(np.abs(rows), below, axis=1)  # B n, in place up to `below`
    largest, above = ordered[:, below], ordered[:, below + 1 :]
    if above.shape[1]:
        weight = x_start.dtype.type(place - below)
        largest = largest + weight * (np.min(above, axis=1) - largest)
    limits = np.maximum(largest, x_start.dtype.type(1))  # B
    fill(_dynamic_threshold, rows.size, 1, rows, limits, by_row(limited))
    return limited


@njit(cache=True, nogil=True, error_model="numpy")
def _dynamic_threshold(first, last, x_start, limits, limited):
    n, power = x_start.shape[1], power_of(x_start.dtype.type(0))
    for row in range(first // n, -(-last // n)):
        begin, end = max(first - row * n, 0), min(last - row * n, n)
        limit, x, into = limits[row], x_start[row, begin:end], limited[row, begin:end]
        for i in range(into.size):
            inside = -limit if x[i] < -limit else x[i]
            into[i] = (limit if inside > limit else inside) / limit
            power = max(power, power_of(into[i]))
    return is_finite(power)


def cosine_distance(image_features, text_features):
    one = image_features.dtype.type(1)
    return one - multiply(_l2_normalize(image_features), _l2_normalize(text_features).T)  # N M


@njit(cache=True, error_model="numpy")
def _l2_normalize(x):
    zero = x.dtype.type(0)
    u = np.empty(x.shape, x.dtype)
    N, D = x.shape
    for n in range(N):
        square = zero
        for d in range(D):
            square += x[n, d] * x[n, d]
        norm = np.sqrt(square)
        if norm == zero:  # the zero vector stays zero
            norm = x.dtype.type(1)
        for d in range(D):
            u[n, d] = x[n, d] / norm
    return u


def cosine_distance_vjp(image_features, text_features, grad):
    images, texts = _l2_normalize(image_features), _l2_normalize(text_features)
    images_grad, texts_grad = -multiply(grad, texts), -multiply(grad.T, images)  # N D, M D
    _across(image_features, images, images_grad)
    _across(text_features, texts, texts_grad)
    return images_grad, texts_grad


@njit(cache=True, error_model="numpy")
def _across(x, u, grad):
    """The part of each gradient that is orthogonal to its feature, over the feature's length."""
    zero = x.dtype.type(0)
    N, D = x.shape
    for n in range(N):
        square, along = zero, zero
        for d in range(D):
            square += x[n, d] * x[n, d]
            along += u[n, d] * grad[n, d]
        norm = np.sqrt(square)
        if norm == zero:  # the zero vector passes grad on
            norm = x.dtype.type(1)
        for d in range(D):
            grad[n, d] = (grad[n, d] - u[n, d] * along) / norm


def spherical_distance(image_features, text_features):
    distance = empty((len(image_features), len(text_features)), image_features.dtype)
    _spherical_distance(_l2_normalize(image_features), _l2_normalize(text_features), distance)
    return distance


@njit(cache=True)
def _spherical_distance(images, texts, distance):
    number = images.dtype.type
    N, D = images.shape
    for n in range(N):
        for m in range(len(texts)):
            square = number(0)
            for d in range(D):
                square += (images[n, d] - texts[m, d]) * (images[n, d] - texts[m, d])
            half_angle = np.arcsin(min(np.sqrt(square) / number(2), number(1)))
            distance[n, m] = number(2) * (half_angle * half_angle)


def spherical_distance_vjp(image_features, text_features, grad):
    images, texts = _l2_normalize(image_features), _l2_normalize(text_features)
    images_grad, texts_grad = np.zeros(images.shape, grad.dtype), np.zeros(texts.shape, grad.dtype)
    _spherical_distance_vjp(images, texts, grad, images_grad, texts_grad)
    _across(image_features, images, images_grad)
    _across(text_features, texts, texts_grad)
    return images_grad, texts_grad


@njit(cache=True)
def _spherical_distance_vjp(images, texts, grad, images_grad, texts_grad):
    number = images.dtype.type
    one = number(1)
    N, D = images.shape
    for n in range(N):
        for m in range(len(texts)):
            square = number(0)
            for d in range(D):
                square += (images[n, d] - texts[m, d]) * (images[n, d] - texts[m, d])
            sine = min(max(np.sqrt(square) / number(2), number(1e-30)), one)  # of half the angle
            cosine = np.sqrt(max(one - sine * sine, number(1e-16)))
            pull = grad[n, m] * (np.arcsin(sine) / sine / cosine)
            for d in range(D):
                images_grad[n, d] += pull * (images[n, d] - texts[m, d])
                texts_grad[m, d] -= pull * (images[n, d] - texts[m, d])


def clip_guidance_loss(distances, weights):
    B, N, M = distances.shape
    return np.sum(distances.reshape(B * N, M) @ weights) / distances.dtype.type(N)


def clip_guidance_loss_vjp(distances, weights, grad):
    B, N, M = distances.shape
    share = distances.dtype.type(grad) / distances.dtype.type(N)
    distances_grad = empty(distances.shape, distances.dtype)
    distances_grad[:] = share * weights
    return distances_grad, share * np.sum(distances.reshape(B * N, M), axis=0)


def classifier_guidance_velocity(v, gradient, t, alpha_bar, scale):
    guided = empty(v.shape, v.dtype)
    share = alpha_bar[t]  # B
    some = np.where(share > 0, share, share.dtype.type(1))
    ratio = np.where(share > 0, np.sqrt((1 - share) / some), share.dtype.type(0))
    factor = ratio * v.dtype.type(scale)  # B
    _against(v, gradient, factor, guided)
    return guided
