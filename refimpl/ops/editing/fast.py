"""Twins of editing: same names, same arguments, same steps."""

import math

import numpy as np
from numba import njit

from refimpl.compiled.memory import empty
from refimpl.compiled.threads import share as share_out
from refimpl.ops.diffusion.fast import q_posterior


def img2img_start(levels, strength):
    made = math.floor(levels * strength)
    if made == 0:
        raise IndexError(f"step {levels} of {levels}")
    return np.array(levels - made)


def img2img_start_flow(levels, strength):
    if strength == 0:
        raise IndexError(f"step {levels} of {levels}")
    return np.array(math.floor(levels - levels * strength))


def inpaint_blend(sample, known, mask):
    return known + mask * (sample - known)


def guidance_two(eps_none, eps_image, eps_both, image_scale, text_scale):
    number = eps_none.dtype.type
    of_image = number(image_scale) * (eps_image - eps_none)
    return eps_none + of_image + number(text_scale) * (eps_both - eps_image)


def min_snr_weights(alpha_bar, t, gamma):
    share = alpha_bar[t]  # B
    rest, gamma = 1 - share, share.dtype.type(gamma)
    most = gamma * rest
    return (
        most / np.maximum(share, most),
        np.minimum(share, most),
        share / np.maximum(rest, share / gamma),
    )


def guidance_rescale(guided, conditional, share):
    number = guided.dtype.type
    spread = [z - z.mean(axis=1, keepdims=True) for z in (conditional, guided)]
    squares = [(z * z).sum(axis=1, keepdims=True) for z in spread]  # B 1 each
    factor = np.sqrt(squares[0] / squares[1])  # B 1
    return number(share) * (guided * factor) + number(1 - share) * guided


def gaussian_kl(q_mean, q_log_variance, p_mean, p_log_variance):
    number = q_mean.dtype.type
    between = q_log_variance - p_log_variance
    apart = q_mean - p_mean
    each = apart * apart * np.exp(-p_log_variance) + (np.exp(between) - number(1) - between)
    return each / number(2)


def discretized_gaussian_nll(x, mean, log_variance):
    nll = empty(x.shape, x.dtype)
    flat = (array.reshape(-1) for array in (x, mean, log_variance, nll))
    share_out(_discretized_gaussian_nll, x.size, 32, *flat)
    return nll


@njit(cache=True, nogil=True)
def _discretized_gaussian_nll(first, last, x, mean, log_variance, nll):
    for i in range(first, last):
        apart = np.float64(x[i]) - np.float64(mean[i])
        rate = math.exp(-np.float64(log_variance[i]) / 2)
        above, below = (apart + 1 / 255) * rate, (apart - 1 / 255) * rate
        if x[i] <= -1:
            nll[i] = -_log_below(above)
        elif x[i] >= 1:
            nll[i] = -_log_below(-below)
        else:
            near, far = _log_below(min(above, -below)), _log_below(min(below, -above))
            nll[i] = -near - math.log(-math.expm1(far - near))


@njit(cache=True, nogil=True)
def _log_below(z):
    """That a standard normal number is below z, as a logarithm; far out by an asymptotic series."""
    if z > 0:
        return math.log1p(-math.erfc(z / math.sqrt(2)) / 2)
    if z > -20:
        return math.log(math.erfc(-z / math.sqrt(2)) / 2)
    s = 1 / (z * z)
    series = 1 - s * (1 - 3 * s * (1 - 5 * s * (1 - 7 * s * (1 - 9 * s * (1 - 11 * s)))))
    return -z * z / 2 - math.log(-z * math.sqrt(2 * math.pi)) + math.log(series)


def vlb_bits(x_start, x_t, t, mean, log_variance, betas):
    true_mean, _, true_log_variance = q_posterior(x_start, x_t, t, betas)
    bits = np.empty(len(t), x_t.dtype)
    for row in range(len(t)):
        if t[row] == 0:
            nats = discretized_gaussian_nll(x_start[row], mean[row], log_variance[row])
        else:
            true = true_mean[row], true_log_variance[row]
            nats = gaussian_kl(*true, mean[row], log_variance[row])
        bits[row] = nats.mean() / math.log(2)
    return bits
