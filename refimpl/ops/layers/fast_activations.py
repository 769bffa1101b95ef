"""Compiled twins of the activations among the layers."""

import math

import numpy as np
from numba import njit

from refimpl.compiled.arithmetic import exponential, is_finite, power_of
from refimpl.compiled.memory import empty
from refimpl.compiled.threads import fill
from refimpl.compiled.tiles import run_wide

ROOT = math.sqrt(2 / math.pi)


def sigmoid(z):
    p = empty(z.shape, z.dtype)
    fill(_sigmoid, z.size, 1, z.reshape(-1), p.reshape(-1))
    return p


@njit(cache=True, nogil=True)
def _sigmoid(first, last, z, p):
    run_wide()
    z, p = z[first:last], p[first:last]
    power = power_of(p.dtype.type(0))
    for i in range(z.size):
        p[i] = _logistic(z[i], z.dtype.type(1))
        power = max(power, power_of(p[i]))
    return is_finite(power)


@njit(cache=True, error_model="numpy")
def _logistic(z, one):
    return one / (one + exponential(-z))


def sigmoid_vjp(z, grad):
    z_grad = empty(z.shape, z.dtype)
    fill(_sigmoid_vjp, z.size, 1, z.reshape(-1), grad.reshape(-1), z_grad.reshape(-1))
    return z_grad


@njit(cache=True, nogil=True, error_model="numpy")
def _sigmoid_vjp(first, last, z, grad, z_grad):
    run_wide()
    one = z.dtype.type(1)
    z, grad, z_grad = z[first:last], grad[first:last], z_grad[first:last]
    power = power_of(z_grad.dtype.type(0))
    for i in range(z.size):
        odds = exponential(-abs(z[i]))
        z_grad[i] = grad[i] * (odds / ((one + odds) * (one + odds)))
        power = max(power, power_of(z_grad[i]))
    return is_finite(power)


def gelu(x):
    y = empty(x.shape, x.dtype)
    fill(_gelu, x.size, 1, x.reshape(-1), y.reshape(-1))
    return y


@njit(cache=True, nogil=True)
def _gelu(first, last, x, y):
    run_wide()
    x, y = x[first:last], y[first:last]
    power = power_of(y.dtype.type(0))
    for i in range(x.size):
        y[i] = x[i] * _probability(x[i])
        power = max(power, power_of(y[i]))
    return is_finite(power)


@njit(cache=True, forceinline=True, fastmath={"contract"})
def _probability(x):
    """That a standard normal number is below x, (1 + erf(x / √2)) / 2.

    In float32 it is 2^P(|x|) for negative x, 1 - 2^P(|x|) for positive ones, where P falls for all
    larger |x|. As in the exponential, adding 1.5·2^23 rounds P to the integer n.
    """
    if isinstance(x, np.float32):
        number = np.float32
        t = abs(x)
        q = number(-2.772050038e-06) * t + number(3.862075391e-05)
        q = (q * t + number(-0.0001825476211)) * t + number(-0.0001458701154)
        q = (q * t + number(0.007075471804)) * t + number(-0.0525050275)
        q = ((q * t + number(-0.4592049122)) * t + number(-1.151105762)) * t - number(1)
        q = number(-127) if q < number(-127) else q
        shifted = q + number(12582912)
        r = q - (shifted - number(12582912))
        p = number(0.0001535336196) * r + number(0.001339887502)
        p = (p * r + number(0.009618436918)) * r + number(0.05550332367)
        p = ((p * r + number(0.2402264774)) * r + number(0.6931471825)) * r + number(1)
        power = np.int32(np.int32(number(shifted).view(np.int32) - 0x4B3FFF81) << 23)
        tail = p * np.int32(power).view(np.float32)
        return tail if x < 0 else number(1) - tail
    else:
        return (1.0 + _erf(x * 0.7071067811865476)) * 0.5


@njit(cache=True, forceinline=True, fastmath={"contract"})
def _erf(x):
    """The error function in float64: x + x P(x²) up to 1, then 1 - e^Q(|x|), both computed."""
    size = abs(x)
    s = x * x
    p = 5.960671135209801197e-11 * s + -1.137494649264754017e-9
    p = (p * s + 1.466032608866684423e-8) * s + -1.63503957911662416e-7
    p = (p * s + 1.646100843286986942e-6) * s + -1.492559576908633552e-5
    p = (p * s + 0.0001205533113281333536) * s + -0.0008548326981421212161
    p = (p * s + 0.005223977624828346994) * s + -0.02686617064507786557
    p = (p * s + 0.1128379167095488442) * s + -0.3761263890318374818
    near = (p * s + 0.1283791670955125738) * x + x
    t = 6.0 if size > 6.0 else size
    q = 1.723502987143301734e-11 * t + -6.356175746140496988e-10
    q = (q * t + 1.064494526162000819e-8) * t + -1.056921054655553867e-7
    q = (q * t + 6.707600173873661957e-7) * t + -2.589870080357540719e-6
    q = (q * t + 3.304869811144660146e-6) * t + 2.88635251562928969e-5
    q = (q * t + -0.0002325476154441310106) * t + 0.0009231932976797767988
    q = (q * t + -0.002103096524329642249) * t + 0.0005884838154734219753
    q = (q * t + 0.01886197561179773444) * t + -0.1026357334314065232
    q = (q * t + -0.6366683194353407478) * t + -1.128368536355812911
    far = 1.0 - exponential(q * t + -1.082915227132480273e-6)
    far = -far if x < 0 else far
    return far if size > 1 else near


def gelu_vjp(x, grad):
    x_grad = empty(x.shape, x.dtype)
    fill(_gelu_vjp, x.size, 1, x.reshape(-1), grad.reshape(-1), x_grad.reshape(-1))
    return x_grad


@njit(cache=True, nogil=True, error_model="numpy")
def _gelu_vjp(first, last, x, grad, x_grad):
    run_wide()
    two, peak = x.dtype.type(2), x.dtype.type(math.sqrt(2 * math.pi))
    x, grad, x_grad = x[first:last], grad[first:last], x_grad[first:last]
    power = power_of(x_grad.dtype.type(0))
    for i in range(x.size):
        density = exponential(-(x[i] * x[i]) / two) / peak
        x_grad[i] = grad[i] * (_probability(x[i]) + x[i] * density)
        power = max(power, power_of(x_grad[i]))
    return is_finite(power)


def gelu_tanh(x):
    y = empty(x.shape, x.dtype)
    fill(_gelu_tanh, x.size, 1, x.reshape(-1), y.reshape(-1))
    return y


@njit(cache=True, nogil=True)
def _gelu_tanh(first, last, x, y):
    run_wide()
    x, y = x[first:last], y[first:last]
    power = power_of(y.dtype.type(0))
    for i in range(x.size):
        y[i] = x[i] * _probability_by_tanh(x[i])
        power = max(power, power_of(y[i]))
    return is_finite(power)


@njit(cache=True, error_model="numpy")
def _probability_by_tanh(x):
    """The probability in the form of tanh: (1 + tanh h) / 2, a logistic function of 2h."""
    if isinstance(x, np.float32):
        twice, cubic = np.float32(2) * np.float32(ROOT), np.float32(0.044715)
        return _logistic(twice * (x + cubic * (x * x * x)), np.float32(1))
    else:
        return _logistic(2 * ROOT * (x + 0.044715 * (x * x * x)), 1.0)


def gelu_tanh_vjp(x, grad):
    x_grad = empty(x.shape, x.dtype)
    fill(_gelu_tanh_vjp, x.size, 1, x.reshape(-1), grad.reshape(-1), x_grad.reshape(-1))
    return x_grad


@njit(cache=True, nogil=True)
def _gelu_tanh_vjp(first, last, x, grad, x_grad):
    run_wide()
    one, two = x.dtype.type(1), x.dtype.type(2)
    slope, cubic = x.dtype.type(ROOT), x.dtype.type(0.044715)
    steeper = x.dtype.type(3 * 0.044715)
    x, grad, x_grad = x[first:last], grad[first:last], x_grad[first:last]
    power = power_of(x_grad.dtype.type(0))
    for i in range(x.size):
        square = x[i] * x[i]
        h = two * _logistic(two * slope * (x[i] + cubic * (square * x[i])), one) - one
        inner = slope * (one + steeper * square)
        x_grad[i] = grad[i] / two * (one + h + x[i] * (one - h * h) * inner)
        power = max(power, power_of(x_grad[i]))
    return is_finite(power)


def quick_gelu(x):
    return _gated_of(x, x.dtype.type(1.702))


def quick_gelu_vjp(x, grad):
    return _gated_vjp_of(x, x.dtype.type(1.702), grad)


def silu(x):
    return _gated_of(x, x.dtype.type(1))


def silu_vjp(x, grad):
    return _gated_vjp_of(x, x.dtype.type(1), grad)


def _gated_of(x, slope):
    y = empty(x.shape, x.dtype)
    fill(_gated, x.size, 1, x.reshape(-1), slope, y.reshape(-1))
    return y


@njit(cache=True, nogil=True)
def _gated(first, last, x, slope, y):
    run_wide()
    one = x.dtype.type(1)
    x, y = x[first:last], y[first:last]
    power = power_of(y.dtype.type(0))
    for i in range(x.size):
        y[i] = x[i] * _logistic(slope * x[i], one)
        power = max(power, power_of(y[i]))
    return is_finite(power)


def _gated_vjp_of(x, slope, grad):
    x_grad = empty(x.shape, x.dtype)
    flat = x.reshape(-1), slope, grad.reshape(-1), x_grad.reshape(-1)
    fill(_gated_vjp, x.size, 1, *flat)
    return x_grad


@njit(cache=True, nogil=True)
def _gated_vjp(first, last, x, slope, grad, x_grad):
    run_wide()
    one = x.dtype.type(1)
    x, grad, x_grad = x[first:last], grad[first:last], x_grad[first:last]
    power = power_of(x_grad.dtype.type(0))
    for i in range(x.size):
        gate = _logistic(slope * x[i], one)
        x_grad[i] = grad[i] * (gate + slope * x[i] * (gate * (one - gate)))
        power = max(power, power_of(x_grad[i]))
    return is_finite(power)
