"""What the kernels of several chapters have in common."""

import math

import numpy as np
from numba import njit


@njit(cache=True, forceinline=True, fastmath={"contract"})
def exponential(x):
    """The exponential without a call, so that a loop of it runs wide.

    What would be subnormal is 0, and what lies within a factor of √2 of the largest number may be
    infinity.
    """
    if isinstance(x, np.float32):
        return decay(np.float32(89) if x > np.float32(89) else x)
    else:
        return decay(710.0 if x > 710.0 else x)


@njit(cache=True, forceinline=True, fastmath={"contract"})
def decay(x):
    """The exponential of what is known to stay below the logarithm of the largest number."""
    if isinstance(x, np.float32):
        x = np.float32(-88) if x < np.float32(-88) else x
        p, n = mantissa_and_exponent(x)
        return p * np.int32(np.int32(n + 127) << 23).view(np.float32)
    else:
        x = -709.2 if x < -709.2 else x
        p, n = mantissa_and_exponent(x)
        return p * np.int64((n + 1023) << 52).view(np.float64)


@njit(cache=True, forceinline=True, fastmath={"contract"})
def mantissa_and_exponent(x):
    """The p and the integer n of e^x = 2^n p, for an x that was clipped: p = e^r, |r| ≤ ln 2 / 2.

    Adding 1.5·2^23 (or ^52) rounds x / ln 2 to the integer n, which then stands in the low bits.
    ln 2 is subtracted in two parts.
    """
    if isinstance(x, np.float32):
        number = np.float32
        shifted = x * number(1.4426950408889634) + number(12582912)
        n = shifted - number(12582912)
        r = x - n * number(0.693145751953125) - n * number(1.4286068203094172e-06)
        p = number(0.001381443214) * r + number(0.008368783612)
        p = (p * r + number(0.04166839494)) * r + number(0.1666652007)
        p = ((p * r + number(0.4999999341)) * r + number(1)) * r + number(1)
        return p, np.int32(number(shifted).view(np.int32) - np.int32(0x4B400000))
    else:
        shifted = x * 1.4426950408889634 + 6755399441055744.0
        n = shifted - 6755399441055744.0
        r = x - n * 0.6931471803691238 - n * 1.9082149292705877e-10
        p = 2.082651476458843893e-9 * r + 2.511214729101388474e-8
        p = (p * r + 2.755758288436365965e-7) * r + 2.755723454965092949e-6
        p = (p * r + 2.480158692446705386e-5) * r + 0.0001984126989669158898
        p = (p * r + 0.001388888888911736259) * r + 0.008333333333316911899
        p = (p * r + 0.0416666666666660888) * r + 0.1666666666666668358
        p = (p * r + 0.5) * r * r + r + 1.0
        return p, np.int64(np.float64(shifted).view(np.int64) - np.int64(0x4338000000000000))


@njit(cache=True)
def largest(bits):
    """The largest number of a row from its bits: integers compare in wide registers, NaN or not.

    The bits of floats rise with their size, as integers: upwards from 0, downwards below.
    """
    most, least = bits[0], bits[0]
    for k in range(1, bits.size):
        most = bits[k] if bits[k] > most else most
        least = bits[k] if bits[k] < least else least
    top = most if most >= 0 else least
    if isinstance(top, np.int32):
        return np.int32(top).view(np.float32)
    else:
        return np.int64(top).view(np.float64)


@njit(cache=True, forceinline=True)
def power_of(x):
    """The bits of a number's exponent, as an integer: largest where it is not finite.

    A loop that writes numbers keeps the largest, and tells at its end whether all are finite.
    """
    if isinstance(x, np.float32):
        return np.int32(np.float32(x).view(np.int32) & np.int32(0x7F800000))
    else:
        return np.int64(np.float64(x).view(np.int64) & np.int64(0x7FF0000000000000))


@njit(cache=True, forceinline=True)
def is_finite(power):
    """Whether the numbers are finite whose largest power this is."""
    if isinstance(power, np.int32):
        return power < np.int32(0x7F800000)
    else:
        return power < np.int64(0x7FF0000000000000)


def as_bits(x):
    """The same memory, read as integers."""
    return x.view(np.int32 if x.dtype == np.float32 else np.int64)


@njit(cache=True, fastmath={"reassoc", "contract"})
def sum_of(x):
    """All numbers of a row together, in several lanes."""
    total = x.dtype.type(0)
    for k in range(x.size):
        total += x[k]
    return total


@njit(cache=True, fastmath={"reassoc", "contract"})
def sum_of_squares(x, mean):
    """Of the distances of a row's numbers from their mean, in several lanes."""
    total = x.dtype.type(0)
    for k in range(x.size):
        total += (x[k] - mean) * (x[k] - mean)
    return total


@njit(cache=True, fastmath={"reassoc", "contract"})
def dot(x, y):
    """The inner product of two rows, in several lanes."""
    total = x.dtype.type(0)
    for k in range(x.size):
        total += x[k] * y[k]
    return total


@njit(cache=True)
def some_products(first, last, weight, x, y):
    """Of y = x @ weight.T the columns `first` to `last`, for few rows x.

    Four rows of the weights at a time: memory gives several streams faster than one.
    """
    for o in range(first, last, 4):
        p, q, r = min(o + 1, last - 1), min(o + 2, last - 1), min(o + 3, last - 1)
        for b in range(len(x)):
            four = four_dots(weight[o], weight[p], weight[q], weight[r], x[b])
            y[b, o], y[b, p], y[b, q], y[b, r] = four


@njit(cache=True, fastmath={"reassoc", "contract"})
def four_dots(a, b, c, d, x):
    """The inner products of four rows with another."""
    of_a = of_b = of_c = of_d = x.dtype.type(0)
    for k in range(x.size):
        of_a += a[k] * x[k]
        of_b += b[k] * x[k]
        of_c += c[k] * x[k]
        of_d += d[k] * x[k]
    return of_a, of_b, of_c, of_d


@njit(cache=True)
def add(total, added):
    """Add one matrix to another."""
    for n in range(len(total)):
        for d in range(total.shape[1]):
            total[n, d] += added[n, d]


def read_only(x):
    """The array as all arguments are, so that a kernel is compiled once."""
    x.flags.writeable = False
    return x


def by_row(x):
    """One row per sample, however many axes a sample has."""
    return x.reshape(x.shape[0], math.prod(x.shape[1:]))
