"""Compiled twins of diffusion: same names, same arguments, same steps.

What depends on time alone is computed once per step or once per sample; a batch is then read and
written in one pass, one row per sample. The kernels of a pass take the range `first` to `last` of
all numbers of the batch, which several threads share; `contract` lets a product and a sum round
once.
"""

import math

import numpy as np
from numba import njit

from refimpl.axes import AxesError
from refimpl.compiled.arithmetic import by_row, is_finite, mantissa_and_exponent, power_of
from refimpl.compiled.memory import empty
from refimpl.compiled.threads import fill
from refimpl.compiled.threads import share as share_out


def linear_schedule(steps, beta_start, beta_end):
    betas = np.empty(steps)
    _linspace(beta_start, beta_end, betas)
    return betas


def scaled_linear_schedule(steps, beta_start, beta_end):
    betas = np.empty(steps)
    _linspace(np.sqrt(beta_start), np.sqrt(beta_end), betas)
    return betas * betas


@njit(cache=True)
def _linspace(start, stop, betas):
    T = betas.shape[0]
    for t in range(T):
        betas[t] = start
    for t in range(1, T):
        betas[t] += (stop - start) * (t / (T - 1))


def cosine_schedule(steps, offset, beta_max):
    betas = np.empty(steps)
    _cosine_schedule(offset, beta_max, betas)
    return betas


@njit(cache=True, error_model="numpy")
def _cosine_schedule(offset, beta_max, betas):
    T = betas.shape[0]
    f = np.cos(np.pi / 2 * (offset / (1 + offset))) ** 2
    for t in range(T):
        share = ((t + 1) / T + offset) / (1 + offset)
        f_next = np.cos(np.pi / 2 * share) ** 2
        betas[t] = min(1 - f_next / f, beta_max)
        f = f_next


def alpha_bar(betas):
    share = np.empty_like(betas)
    _alpha_bar(betas, share)
    return share


@njit(cache=True)
def _alpha_bar(betas, share):
    one = betas.dtype.type(1)
    product = one
    for t in range(betas.shape[0]):
        product *= one - betas[t]
        share[t] = product


def zero_terminal_snr(betas):
    root = np.sqrt(alpha_bar(betas))
    root = (root - root[-1]) * (root[0] / (root[0] - root[-1]))
    return _betas_from_alpha_bar(root * root)


def _betas_from_alpha_bar(alpha_bar):
    betas = np.empty_like(alpha_bar)
    _ratios(alpha_bar, betas)
    return betas


@njit(cache=True, error_model="numpy")
def _ratios(alpha_bar, betas):
    one = alpha_bar.dtype.type(1)
    before = one
    for t in range(alpha_bar.shape[0]):
        betas[t] = one - alpha_bar[t] / before
        before = alpha_bar[t]


def q_sample(x_start, t, noise, alpha_bar):
    share = alpha_bar[t]  # B
    return _blend(np.sqrt(share), x_start, np.sqrt(1 - share), noise)


def q_sample_vjp(t, alpha_bar, grad):
    share = alpha_bar[t]  # B
    return _scale(np.sqrt(share), grad), _scale(np.sqrt(1 - share), grad)


def q_step(x_prev, t, noise, betas):
    beta = betas[t]  # B
    return _blend(np.sqrt(1 - beta), x_prev, np.sqrt(beta), noise)


def _blend(a, x, b, y):
    """Add two batches, each with a factor per sample."""
    total = empty(x.shape, x.dtype)
    fill(_blend_rows, x.size, 1, a, by_row(x), b, by_row(y), by_row(total))
    return total


@njit(cache=True, nogil=True, fastmath={"contract"})
def _blend_rows(first, last, a, x, b, y, total):
    n, power = x.shape[1], power_of(x.dtype.type(0))
    for row in range(first // n, -(-last // n)):
        begin, end = max(first - row * n, 0), min(last - row * n, n)
        of_x, of_y, into = a[row], b[row], total[row, begin:end]
        one, other = x[row, begin:end], y[row, begin:end]
        for i in range(into.size):
            into[i] = of_x * one[i] + of_y * other[i]
            power = max(power, power_of(into[i]))
    return is_finite(power)


def q_posterior(x_start, x_t, t, betas):
    from_start, from_x_t = _posterior_mean(t, betas)  # B, B
    mean = _blend(from_start, x_start, from_x_t, x_t)
    variance = _per_sample(_posterior_variance(betas)[t], x_t)  # B 1 ...
    log_variance = _per_sample(fixed_small_log_variance(betas)[t], x_t)  # B 1 ...
    return mean, np.broadcast_to(variance, x_t.shape), np.broadcast_to(log_variance, x_t.shape)


def _posterior_mean(t, betas):
    """The shares of x_start and x_t in the posterior's mean, at each sample's time."""
    shares = alpha_bar(betas)  # T
    beta, share, before = betas[t], shares[t], _before(shares, t)  # B, B, B
    from_start = beta * np.sqrt(before) / (1 - share)  # B
    from_x_t = (1 - before) * np.sqrt(1 - beta) / (1 - share)  # B
    return from_start, from_x_t


def _before(alpha_bar, t):
    """The share of signal one step earlier, 1 before the first step."""
    return np.where(t > 0, alpha_bar[t - 1], alpha_bar.dtype.type(1))


def _per_sample(x, like):
    return x.reshape((-1,) + (1,) * (like.ndim - 1))


def _posterior_variance(betas):
    variance = np.empty_like(betas)
    _posterior_variances(betas, variance)
    return variance


@njit(cache=True, error_model="numpy")
def _posterior_variances(betas, variance):
    one = betas.dtype.type(1)
    before = one
    for t in range(betas.shape[0]):
        share = before * (one - betas[t])
        variance[t] = betas[t] * (one - before) / (one - share)
        before = share


def fixed_small_log_variance(betas):
    variance = _posterior_variance(betas)
    variance[0] = variance[1]  # a zero otherwise
    return np.log(variance)


def fixed_large_log_variance(betas):
    variance = betas.copy()
    variance[0] = _posterior_variance(betas[:2])[1]
    return np.log(variance)


def learned_range_log_variance(v, t, betas):
    log_variance = empty(v.shape, v.dtype)
    small = fixed_small_log_variance(betas)[t]  # B
    large = np.log(betas[t])  # B
    fill(_learned_range, v.size, 1, by_row(v), small, large, by_row(log_variance))
    return log_variance


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def _learned_range(first, last, v, small, large, log_variance):
    n, power = v.shape[1], power_of(v.dtype.type(0))
    one, two = v.dtype.type(1), v.dtype.type(2)
    for row in range(first // n, -(-last // n)):
        begin, end = max(first - row * n, 0), min(last - row * n, n)
        of_small, of_large = small[row], large[row]
        between, into = v[row, begin:end], log_variance[row, begin:end]
        for i in range(into.size):
            share = (between[i] + one) / two
            into[i] = share * of_large + (one - share) * of_small
            power = max(power, power_of(into[i]))
    return is_finite(power)


def x0_from_eps(x_t, t, eps, alpha_bar):
    share = alpha_bar[t]  # B
    return _remove(x_t, np.sqrt(1 - share), eps, np.sqrt(share))


def x0_from_eps_vjp(t, alpha_bar, grad):
    share = alpha_bar[t]  # B
    return _scale(1 / np.sqrt(share), grad), _scale(-np.sqrt(1 - share) / np.sqrt(share), grad)


def eps_from_x0(x_t, t, x_start, alpha_bar):
    share = alpha_bar[t]  # B
    return _remove(x_t, np.sqrt(share), x_start, np.sqrt(1 - share))


def _remove(x_t, a, known, b):
    """Solve x_t = a known + b unknown for the unknown, with factors per sample."""
    unknown = empty(x_t.shape, x_t.dtype)
    fill(_remove_rows, x_t.size, 1, by_row(x_t), a, by_row(known), b, by_row(unknown))
    return unknown


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _remove_rows(first, last, x_t, a, known, b, unknown):
    n, power = x_t.shape[1], power_of(x_t.dtype.type(0))
    for row in range(first // n, -(-last // n)):
        begin, end = max(first - row * n, 0), min(last - row * n, n)
        of_known, of_unknown, into = a[row], b[row], unknown[row, begin:end]
        both, one = x_t[row, begin:end], known[row, begin:end]
        for i in range(into.size):
            into[i] = (both[i] - of_known * one[i]) / of_unknown
            power = max(power, power_of(into[i]))
    return is_finite(power)


def velocity(x_start, t, noise, alpha_bar):
    share = alpha_bar[t]  # B
    return _blend(-np.sqrt(1 - share), x_start, np.sqrt(share), noise)


def x0_from_v(x_t, t, v, alpha_bar):
    share = alpha_bar[t]  # B
    return _blend(np.sqrt(share), x_t, -np.sqrt(1 - share), v)


def eps_from_v(x_t, t, v, alpha_bar):
    share = alpha_bar[t]  # B
    return _blend(np.sqrt(1 - share), x_t, np.sqrt(share), v)


def score_from_eps(eps, t, alpha_bar):
    return _scale(-1 / np.sqrt(1 - alpha_bar[t]), eps)


def eps_from_score(score, t, alpha_bar):
    return _scale(-np.sqrt(1 - alpha_bar[t]), score)


def _scale(factor, x):
    """Multiply a batch by a factor per sample."""
    product = empty(x.shape, x.dtype)
    fill(_scale_rows, x.size, 1, factor, by_row(x), by_row(product))
    return product


@njit(cache=True, nogil=True)
def _scale_rows(first, last, factor, x, product):
    n, power = x.shape[1], power_of(x.dtype.type(0))
    for row in range(first // n, -(-last // n)):
        begin, end = max(first - row * n, 0), min(last - row * n, n)
        of_x, one, into = factor[row], x[row, begin:end], product[row, begin:end]
        for i in range(into.size):
            into[i] = of_x * one[i]
            power = max(power, power_of(into[i]))
    return is_finite(power)


def p_sample(x_t, t, eps, noise, betas, log_variance, clip):
    x_prev = empty(x_t.shape, x_t.dtype)
    share = alpha_bar(betas)[t]  # B
    from_start, from_x_t = _posterior_mean(t, betas)  # B, B
    fill(
        _p_sample,
        x_t.size,
        1,
        by_row(x_t),
        by_row(eps),
        by_row(noise),
        np.sqrt(share),
        np.sqrt(1 - share),
        from_start,
        from_x_t,
        t > 0,
        by_row(_widened(log_variance, x_t.shape)),
        x_t.dtype.type(clip),
        by_row(x_prev),
    )
    return x_prev


def _widened(log_variance, shape):
    """One log variance per sample where it is the same all over a sample, else one per element."""
    missing = (1,) * (len(shape) - log_variance.ndim)
    wide = log_variance.reshape(missing + log_variance.shape)
    if math.prod(wide.shape[1:]) == 1:
        shape = shape[:1] + wide.shape[1:]
    wide = np.ascontiguousarray(np.broadcast_to(wide, shape))
    wide.flags.writeable = False  # the kernel meets one type
    return wide


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _p_sample(
    first,
    last,
    x_t,
    eps,
    noise,
    signal,
    sigma,
    from_start,
    from_x_t,
    noisy,
    log_variance,
    clip,
    x_prev,
):
    zero, two = x_t.dtype.type(0), x_t.dtype.type(2)
    n, power = x_t.shape[1], power_of(zero)
    for row in range(first // n, -(-last // n)):
        begin, end = max(first - row * n, 0), min(last - row * n, n)
        shares = sigma[row], signal[row], from_start[row], from_x_t[row]
        deviation = np.exp(log_variance[row, 0] / two) if noisy[row] else zero
        x, e, z = x_t[row, begin:end], eps[row, begin:end], noise[row, begin:end]
        into = x_prev[row, begin:end]
        if noisy[row] and log_variance.shape[1] > 1:  # one for each element
            own = log_variance[row, begin:end]
            for i in range(into.size):
                into[i] = _mean(x[i], e[i], shares, clip) + _exp(own[i] / two) * z[i]
                power = max(power, power_of(into[i]))
        else:
            for i in range(into.size):
                into[i] = _mean(x[i], e[i], shares, clip) + deviation * z[i]
                power = max(power, power_of(into[i]))
    return is_finite(power)


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _mean(x_t, eps, shares, clip):
    sigma, signal, from_start, from_x_t = shares
    x_start = (x_t - sigma * eps) / signal
    x_start = -clip if x_start < -clip else x_start
    x_start = clip if x_start > clip else x_start
    return from_start * x_start + from_x_t * x_t


@njit(cache=True, forceinline=True, fastmath={"contract"})
def _exp(x):
    """The exponential without a call; 2^n is multiplied in two parts, for subnormal results."""
    if isinstance(x, np.float32):
        number = np.float32
        x = number(-104) if x < number(-104) else x
        x = number(89) if x > number(89) else x
        p, n = mantissa_and_exponent(x)
        half = np.int32(n >> 1)
        low = np.int32((half + 127) << 23)
        high = np.int32((n - half + 127) << 23)
        return p * np.int32(low).view(np.float32) * np.int32(high).view(np.float32)
    else:
        x = -746.0 if x < -746.0 else x
        x = 710.0 if x > 710.0 else x
        p, n = mantissa_and_exponent(x)
        half = n >> 1
        low = np.int64((half + 1023) << 52)
        high = np.int64((n - half + 1023) << 52)
        return p * np.int64(low).view(np.float64) * np.int64(high).view(np.float64)


def ddim_step(x_t, t, t_prev, eps, noise, alpha_bar, eta):
    x_prev = empty(x_t.shape, x_t.dtype)
    factors = _ddim_factors(t, t_prev, alpha_bar, x_t.dtype.type(eta))  # 5 B
    given = by_row(x_t), by_row(eps), by_row(noise), factors, by_row(x_prev)
    fill(_ddim_step, x_t.size, 1, *given)
    return x_prev


def _ddim_factors(t, t_prev, alpha_bar, eta):
    """What a step multiplies with: noise and signal of x_t, then of x_prev, and new noise."""
    share, share_prev = alpha_bar[t], _before(alpha_bar, t_prev + 1)  # B, B
    sigma = eta * np.sqrt((1 - share_prev) / (1 - share)) * np.sqrt(1 - share / share_prev)
    rest = np.maximum(1 - share_prev - sigma * sigma, 0)  # B, rounding may leave less than nothing
    roots = np.sqrt(1 - share), np.sqrt(share), np.sqrt(share_prev)
    return np.stack((*roots, np.sqrt(rest), sigma))  # 5 B


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _ddim_step(first, last, x_t, eps, noise, factors, x_prev):
    n, power = x_t.shape[1], power_of(x_t.dtype.type(0))
    for row in range(first // n, -(-last // n)):
        of_eps, of_x, of_start = factors[0, row], factors[1, row], factors[2, row]
        towards, of_noise = factors[3, row], factors[4, row]
        begin, end = max(first - row * n, 0), min(last - row * n, n)
        x, e, z = x_t[row, begin:end], eps[row, begin:end], noise[row, begin:end]
        into = x_prev[row, begin:end]
        for i in range(into.size):
            x_start = (x[i] - of_eps * e[i]) / of_x
            into[i] = of_start * x_start + towards * e[i] + of_noise * z[i]
            power = max(power, power_of(into[i]))
    return is_finite(power)


def guided_ddim_step(x_t, t, t_prev, eps_uncond, eps_cond, scale, noise, alpha_bar, eta):
    """Classifier-free guidance, then a DDIM step, in one pass."""
    x_prev = empty(x_t.shape, x_t.dtype)
    factors = _ddim_factors(t, t_prev, alpha_bar, x_t.dtype.type(eta))  # 5 B
    batches = by_row(x_t), by_row(eps_uncond), by_row(eps_cond), by_row(noise)
    given = *batches, x_t.dtype.type(scale), factors, by_row(x_prev)
    share_out(_guided_ddim_step, x_t.size, 1, *given)
    return x_prev


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _guided_ddim_step(first, last, x_t, eps_uncond, eps_cond, noise, scale, factors, x_prev):
    n = x_t.shape[1]
    for row in range(first // n, -(-last // n)):
        of_eps, of_x, of_start = factors[0, row], factors[1, row], factors[2, row]
        towards, of_noise = factors[3, row], factors[4, row]
        begin, end = max(first - row * n, 0), min(last - row * n, n)
        uncond, cond = eps_uncond[row, begin:end], eps_cond[row, begin:end]
        x, z, into = x_t[row, begin:end], noise[row, begin:end], x_prev[row, begin:end]
        for i in range(into.size):
            eps = uncond[i] + scale * (cond[i] - uncond[i])
            x_start = (x[i] - of_eps * eps) / of_x
            into[i] = of_start * x_start + towards * eps + of_noise * z[i]


def respaced_timesteps(steps, counts):
    S = len(counts)
    sizes = steps // S + (np.arange(S) < steps % S)  # S
    for count, size in zip(counts, sizes, strict=True):
        if count > size:
            raise AxesError(
                f"respaced_timesteps: counts has {count}, expected at most {size}, "
                f"the size of its section ({S} sections of T={steps})"
            )
    kept = np.empty(np.sum(counts), np.int64)
    _respaced_timesteps(sizes, counts, kept)
    return kept


@njit(cache=True)
def _respaced_timesteps(sizes, counts, kept):
    k, first = 0, 0
    for s in range(counts.shape[0]):
        for i in range(counts[s]):
            place = i * (sizes[s] - 1) / max(counts[s] - 1, 1)
            kept[k] = first + np.int64(np.rint(place))  # half to even
            k += 1
        first += sizes[s]


def respaced_betas(betas, timesteps):
    return _betas_from_alpha_bar(alpha_bar(betas)[timesteps])
