"""Right and wrong implementations as people write them in C, called through ctypes.

The first line of each docstring says what is wrong; `tests.planted.corpus` reads it. The library
is compiled when this file is loaded.
"""

from __future__ import annotations

import ctypes
import math
import subprocess
import tempfile
from pathlib import Path

import numpy as np


def compiled() -> ctypes.CDLL:
    source = Path(__file__).with_suffix(".c")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "planted.so"
        flags = ["-O1", "-shared", "-fPIC", "-std=gnu11", "-Wall", "-Werror"]
        subprocess.run(["cc", *flags, str(source), "-o", str(library), "-lm"], check=True)
        return ctypes.CDLL(str(library))


LIBRARY = compiled()


def run(name, shape, *arguments):
    """Call a function of the library; the array that it fills stands where the dots are."""
    result = np.zeros(shape, np.float32)
    held, passed = [], []
    for x in (result if x is ... else x for x in arguments):
        if isinstance(x, np.ndarray):
            kind = np.int64 if x.dtype.kind == "i" else np.float32
            held.append(x if x is result else np.ascontiguousarray(x, kind))
            passed.append(held[-1].ctypes.data_as(ctypes.c_void_p))
        elif isinstance(x, float):
            passed.append(ctypes.c_double(x))
        else:
            passed.append(x)
    getattr(LIBRARY, name)(*passed)
    return result


def rows(x):
    return math.prod(x.shape[:-1])


def normalised(name, x, gain, bias, eps):
    return run(name, x.shape, x, gain, bias, float(eps), ..., rows(x), x.shape[-1])


def mixed(name, query, key, value, bias):
    B, H, N, E = query.shape
    G, M, F = key.shape[1], key.shape[2], value.shape[3]
    seen = np.broadcast_to(np.float32(0) if bias is None else bias, (B, H, N, M))
    return run(name, (B, H, N, F), query, key, value, seen, ..., B, H, G, N, M, E, F)


def noised(name, x, t, noise, table):
    return run(name, x.shape, x, t, noise, table, ..., len(x), math.prod(x.shape[1:]))


def layer_norm__raw_numerator(x, gain, bias, eps):
    """listed: layer_norm/not-centred"""
    return normalised("layer_norm__raw_numerator", x, gain, bias, eps)


def rms_norm__root_forgotten(x, gain, eps):
    """listed: rms_norm/not-rooted"""
    name = "rms_norm__root_forgotten"
    return run(name, x.shape, x, gain, float(eps), ..., rows(x), x.shape[-1])


def softmax__averaged(z):
    """listed: softmax/divided-by-classes"""
    return run("softmax__averaged", z.shape, z, ..., rows(z), z.shape[-1])


def quick_gelu__factor_twice(x):
    """listed: quick_gelu/scaled-outside"""
    return run("quick_gelu__factor_twice", x.shape, x, ..., x.size)


def silu__sign_lost(x):
    """listed: silu/sign"""
    return run("silu__sign_lost", x.shape, x, ..., x.size)


def l2_normalize__manhattan(x):
    """listed: l2_normalize/sum-of-magnitudes"""
    return run("l2_normalize__manhattan", x.shape, x, ..., rows(x), x.shape[-1])


def cross_entropy__not_averaged(logits, labels):
    """listed: cross_entropy/sum"""
    return run("cross_entropy__not_averaged", (), logits, labels, ..., *logits.shape)


def attention__root_of_the_heads(query, key, value, bias):
    """listed: attention/scale-by-number-of-heads"""
    return mixed("attention__root_of_the_heads", query, key, value, bias)


def alpha_bar__before_the_step(betas):
    """listed: alpha_bar/one-step-late"""
    return run("alpha_bar__before_the_step", betas.shape, betas, ..., len(betas))


def q_sample__weights_exchanged(x_start, t, noise, alpha_bar):
    """listed: q_sample/factors-exchanged"""
    return noised("q_sample__weights_exchanged", x_start, t, noise, alpha_bar)


def x0_from_eps__plus(x_t, t, eps, alpha_bar):
    """listed: x0_from_eps/noise-added"""
    return noised("x0_from_eps__plus", x_t, t, eps, alpha_bar)


def classifier_guidance__deviation(mean, variance, gradient, scale):
    """listed: classifier_guidance/standard-deviation"""
    name = "classifier_guidance__deviation"
    return run(name, mean.shape, mean, variance, gradient, float(scale), ..., mean.size)


def unpatchify__pixels_turned(patches, patch, rows, channels):
    """listed: unpatchify/transposed-pixels"""
    B, cols = len(patches), patches.shape[1] // rows
    shape = (B, channels, rows * patch, cols * patch)
    return run("unpatchify__pixels_turned", shape, patches, ..., B, rows, cols, channels, patch)


def linear__bias_backwards(x, weight, bias):
    """unlisted: the bias is read from its end"""
    shape = (*x.shape[:-1], len(weight))
    name = "linear__bias_backwards"
    return run(name, shape, x, weight, bias, ..., rows(x), x.shape[-1], len(weight))


def gelu__two_not_rooted(x):
    """unlisted: divided by two inside the error function, not by its root"""
    return run("gelu__two_not_rooted", x.shape, x, ..., x.size)


def patchify__from_the_bottom(images, patch):
    """unlisted: the image's rows are read from the bottom"""
    B, C, height, width = images.shape
    down, across = height // patch, width // patch
    shape = (B, down * across, C * patch * patch)
    return run("patchify__from_the_bottom", shape, images, ..., B, C, down, across, patch)


def ddim_step__eta_squared(x_t, t, t_prev, eps, noise, alpha_bar, eta):
    """unlisted: eta enters squared"""
    each = (x_t, t, t_prev, eps, noise, alpha_bar)
    name, n = "ddim_step__eta_squared", math.prod(x_t.shape[1:])
    return run(name, x_t.shape, *each, float(eta), ..., len(x_t), n)


def softmax__powers_of_two_averaged(z):
    """two: softmax/base-two and softmax/divided-by-classes"""
    return run("softmax__powers_of_two_averaged", z.shape, z, ..., rows(z), z.shape[-1])


def x0_from_eps__neither_rooted_nor_divided(x_t, t, eps, alpha_bar):
    """two: x0_from_eps/noise-factor-not-rooted and x0_from_eps/not-divided"""
    return noised("x0_from_eps__neither_rooted_nor_divided", x_t, t, eps, alpha_bar)


def layer_norm__squared_and_bias_inside(x, gain, bias, eps):
    """two: layer_norm/squared-not-rooted and layer_norm/bias-before-gain"""
    return normalised("layer_norm__squared_and_bias_inside", x, gain, bias, eps)


def layer_norm__honest_two_loops(x, gain, bias, eps):
    """honest: two loops in float, backwards sum, fused products"""
    return normalised("layer_norm__honest_two_loops", x, gain, bias, eps)


def softmax__honest_exp2(z):
    """honest: powers of two of scaled scores"""
    return run("softmax__honest_exp2", z.shape, z, ..., rows(z), z.shape[-1])


def silu__honest_double(x):
    """honest: in double"""
    return run("silu__honest_double", x.shape, x, ..., x.size)


def linear__honest_fma(x, weight, bias):
    """honest: the bias first, fused products"""
    shape = (*x.shape[:-1], len(weight))
    return run("linear__honest_fma", shape, x, weight, bias, ..., rows(x), x.shape[-1], len(weight))


def attention__honest_loops(query, key, value, bias):
    """honest: three loops in double"""
    return mixed("attention__honest_loops", query, key, value, bias)


def alpha_bar__honest_logarithms(betas):
    """honest: a sum of logarithms in double"""
    return run("alpha_bar__honest_logarithms", betas.shape, betas, ..., len(betas))
