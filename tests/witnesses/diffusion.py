"""Diffusion, one number at a time.

Three facts replace the formulas of the text. Noising is a rotation of the complex number
x₀ - iε, whose image is xₜ - iv. The share of noise 1 - ᾱ comes from a sum of logarithms, without a
cancelling subtraction. The posterior is a product of two Gaussians, whose precisions add.
"""

import math
from fractions import Fraction

import numpy as np


def linear_schedule(steps, beta_start, beta_end):
    betas = np.zeros(steps)
    for t in range(steps):
        betas[t] = interpolate(beta_start, beta_end, t, steps)
    return betas


def scaled_linear_schedule(steps, beta_start, beta_end):
    betas = np.zeros(steps)
    for t in range(steps):
        later = t / max(steps - 1, 1)
        mixed = 2 * later * (1 - later) * math.sqrt(beta_start * beta_end)
        betas[t] = math.fsum(((1 - later) ** 2 * beta_start, mixed, later**2 * beta_end))
    return betas


def interpolate(start, stop, t, steps):
    if steps == 1:
        return start
    return math.fsum(((steps - 1 - t) * start, t * stop)) / (steps - 1)


def cosine_schedule(steps, offset, beta_max):
    betas = np.zeros(steps)
    width = math.pi / 2 / (steps * (1 + offset))
    for t in range(steps):
        # from the end, cos becomes sin, and sin²a - sin²b = sin(a - b) sin(a + b)
        a, b = width * (steps - t), width * (steps - t - 1)
        betas[t] = min(math.sin(width) * math.sin(a + b) / math.sin(a) ** 2, beta_max)
    return betas


def alpha_bar(betas):
    share = np.zeros(len(betas))
    product = Fraction(1)
    for t, beta in enumerate(betas):
        product = shortened(product * (1 - Fraction(float(beta))))
        share[t] = float(product)
    return share


def shortened(product):
    """A number to 200 bits: far beyond float64, and no longer with every factor."""
    bits = product.denominator.bit_length() - product.numerator.bit_length() + 200
    return Fraction(round(product * 2**bits), 2**bits)


def zero_terminal_snr(betas):
    root = [math.sqrt(share) for share in alpha_bar(betas)]
    result = np.zeros(len(betas))
    result[0] = betas[0]
    for t in range(1, len(betas)):
        ratio = (root[t] - root[-1]) / (root[t - 1] - root[-1])
        result[t] = (1 - ratio) * (1 + ratio)
    return result


def signal(betas):
    """The share of signal that a few steps leave."""
    return math.prod(1 - float(beta) for beta in betas)


def noise_added(betas):
    """The share of noise that a few steps bring, to full precision for many steps and for one."""
    if any(beta == 1 for beta in betas):
        return 1.0
    return -math.expm1(math.fsum(math.log1p(-beta) for beta in betas))


def rotation(signal_share, noise_share):
    return complex(math.sqrt(signal_share), math.sqrt(noise_share))


def at_time(alpha_bar, t):
    return rotation(float(alpha_bar[t]), 1 - float(alpha_bar[t]))


def q_sample(x_start, t, noise, alpha_bar):
    x_t = np.zeros(x_start.shape)
    for i in np.ndindex(x_start.shape):
        turned = complex(x_start[i], -noise[i]) * at_time(alpha_bar, t[i[0]])
        x_t[i] = turned.real
    return x_t


def q_sample_vjp(t, alpha_bar, grad):
    """The rotation backwards, of a gradient whose other coordinate is nothing."""
    x_start_grad, noise_grad = np.zeros(grad.shape), np.zeros(grad.shape)
    for i in np.ndindex(grad.shape):
        turned = grad[i] * at_time(alpha_bar, t[i[0]])
        x_start_grad[i], noise_grad[i] = turned.real, turned.imag
    return x_start_grad, noise_grad


def q_step(x_prev, t, noise, betas):
    x_t = np.zeros(x_prev.shape)
    for i in np.ndindex(x_prev.shape):
        beta = float(betas[t[i[0]]])
        x_t[i] = (complex(x_prev[i], -noise[i]) * rotation(1 - beta, beta)).real
    return x_t


def velocity(x_start, t, noise, alpha_bar):
    v = np.zeros(x_start.shape)
    for i in np.ndindex(x_start.shape):
        turned = complex(x_start[i], -noise[i]) * at_time(alpha_bar, t[i[0]])
        v[i] = -turned.imag
    return v


def x0_from_v(x_t, t, v, alpha_bar):
    x_start = np.zeros(x_t.shape)
    for i in np.ndindex(x_t.shape):
        back = at_time(alpha_bar, t[i[0]]).conjugate()
        x_start[i] = (complex(x_t[i], -v[i]) * back).real
    return x_start


def eps_from_v(x_t, t, v, alpha_bar):
    eps = np.zeros(x_t.shape)
    for i in np.ndindex(x_t.shape):
        back = at_time(alpha_bar, t[i[0]]).conjugate()
        eps[i] = -(complex(x_t[i], -v[i]) * back).imag
    return eps


def x0_from_eps(x_t, t, eps, alpha_bar):
    x_start = np.zeros(x_t.shape)
    for i in np.ndindex(x_t.shape):
        x_start[i] = clean(x_t[i], eps[i], float(alpha_bar[t[i[0]]]))
    return x_start


def x0_from_eps_vjp(t, alpha_bar, grad):
    x_t_grad, eps_grad = np.zeros(grad.shape), np.zeros(grad.shape)
    for i in np.ndindex(grad.shape):
        share = float(alpha_bar[t[i[0]]])
        x_t_grad[i] = grad[i] / math.sqrt(share)
        eps_grad[i] = -grad[i] * math.sqrt((1 - share) / share)
    return x_t_grad, eps_grad


def clean(x_t, eps, share):
    return math.fsum((x_t / math.sqrt(share), -eps * math.sqrt((1 - share) / share)))


def eps_from_x0(x_t, t, x_start, alpha_bar):
    eps = np.zeros(x_t.shape)
    for i in np.ndindex(x_t.shape):
        share = float(alpha_bar[t[i[0]]])
        known = x_start[i] * math.sqrt(share / (1 - share))
        eps[i] = math.fsum((x_t[i] / math.sqrt(1 - share), -known))
    return eps


def score_from_eps(eps, t, alpha_bar):
    score = np.zeros(eps.shape)
    for i in np.ndindex(eps.shape):
        # the slope of log N(x; 0, σ²) at x = σε is -x / σ²
        variance = 1 - float(alpha_bar[t[i[0]]])
        score[i] = -math.sqrt(variance) * eps[i] / variance
    return score


def eps_from_score(score, t, alpha_bar):
    eps = np.zeros(score.shape)
    for i in np.ndindex(score.shape):
        variance = 1 - float(alpha_bar[t[i[0]]])
        eps[i] = -math.copysign(math.sqrt(variance * score[i] ** 2), score[i])
    return eps


def posterior_precision(betas, t):
    """What is known of xₜ₋₁ from x₀ and from xₜ: precisions of two Gaussians."""
    from_start = 1 / noise_added(betas[:t])
    from_x_t = (1 - float(betas[t])) / float(betas[t])
    return from_start + from_x_t


def posterior_mean(x_start, x_t, t, betas):
    if t == 0:
        return x_start
    beta = float(betas[t])
    by_start = math.sqrt(signal(betas[:t])) / noise_added(betas[:t]) * x_start
    by_x_t = math.sqrt(1 - beta) / beta * x_t
    return math.fsum((by_start, by_x_t)) / posterior_precision(betas, t)


def q_posterior(x_start, x_t, t, betas):
    mean, variance, log_variance = (np.zeros(x_t.shape) for _ in range(3))
    for i in np.ndindex(x_t.shape):
        time = int(t[i[0]])
        mean[i] = posterior_mean(x_start[i], x_t[i], time, betas)
        variance[i] = 0 if time == 0 else 1 / posterior_precision(betas, time)
        log_variance[i] = -math.log(posterior_precision(betas, max(time, 1)))
    return mean, variance, log_variance


def fixed_small_log_variance(betas):
    log_variance = np.zeros(len(betas))
    for t in range(len(betas)):
        log_variance[t] = -math.log(posterior_precision(betas, max(t, 1)))
    return log_variance


def fixed_large_log_variance(betas):
    log_variance = np.zeros(len(betas))
    log_variance[0] = -math.log(posterior_precision(betas, 1))
    for t in range(1, len(betas)):
        log_variance[t] = math.log(betas[t])
    return log_variance


def learned_range_log_variance(v, t, betas):
    log_variance = np.zeros(v.shape)
    for i in np.ndindex(v.shape):
        time = int(t[i[0]])
        large = math.log(betas[time])
        small = -math.log(posterior_precision(betas, max(time, 1)))
        middle, half = (large + small) / 2, (large - small) / 2
        log_variance[i] = middle + v[i] * half
    return log_variance


def p_sample(x_t, t, eps, noise, betas, log_variance, clip):
    x_prev = np.zeros(x_t.shape)
    spread = np.broadcast_to(log_variance, x_t.shape)
    for i in np.ndindex(x_t.shape):
        time = int(t[i[0]])
        beta, added = float(betas[time]), noise_added(betas[: time + 1])
        x_start = math.fsum((x_t[i], -math.sqrt(added) * eps[i]))
        x_start /= math.sqrt(signal(betas[: time + 1]))
        if abs(x_start) <= clip:
            mean = math.fsum((x_t[i], -beta / math.sqrt(added) * eps[i])) / math.sqrt(1 - beta)
        else:
            mean = posterior_mean(math.copysign(clip, x_start), x_t[i], time, betas)
        x_prev[i] = mean
        if time > 0:
            x_prev[i] = mean + math.sqrt(math.exp(spread[i])) * noise[i]
    return x_prev


def ddim_step(x_t, t, t_prev, eps, noise, alpha_bar, eta):
    x_prev = np.zeros(x_t.shape)
    for i in np.ndindex(x_t.shape):
        share = float(alpha_bar[t[i[0]]])
        earlier = int(t_prev[i[0]])
        before = 1.0 if earlier < 0 else float(alpha_bar[earlier])
        variance = eta**2 * (1 - before) / (1 - share) * (before - share) / before
        # 1 - ᾱₚ - σ² without subtracting what is nearly equal
        kept = (1 - eta) * (1 + eta) * (1 - share) + eta**2 * share * (1 - before) / before
        direction = math.sqrt((1 - before) * kept / (1 - share))
        x_start = clean(x_t[i], eps[i], share)
        x_prev[i] = math.fsum(
            (math.sqrt(before) * x_start, direction * eps[i], math.sqrt(variance) * noise[i])
        )
    return x_prev


def respaced_timesteps(steps, counts):
    kept = []
    first = 0
    for section, count in enumerate(counts):
        size = steps // len(counts) + (section < steps % len(counts))
        for k in range(count):
            kept.append(first + round(Fraction(int(k) * (size - 1), max(int(count) - 1, 1))))
        first += size
    times = np.zeros(len(kept))
    for k, time in enumerate(kept):
        times[k] = time
    return times


def respaced_betas(betas, timesteps):
    result = np.zeros(len(timesteps))
    first = 0
    for k, last in enumerate(timesteps):
        result[k] = noise_added(betas[first : last + 1])
        first = last + 1
    return result
