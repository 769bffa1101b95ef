"""Twins of editing: same names, same arguments, same steps."""

import math

import numpy as np


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
