"""The bound: sound over honest ways of computing, as sharp as a derivation by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from refimpl.oracle.cases.drawn import rounded
from refimpl.oracle.judging.judge import error_ratio, expect, judge
from refimpl.oracle.numbers.errors import ErrorArray, bounded, lift
from refimpl.oracle.numbers.precisions import PRECISIONS
from refimpl.oracle.numbers.rules import gamma
from refimpl.registry import OPS
from tests.audit.audits import audit_op

U = PRECISIONS["float32"].unit


@pytest.mark.parametrize("name", OPS)
def test_no_honest_way_is_rejected(name):
    audit = audit_op(name, inputs=10, others=3, seed=7, brief=True)
    assert audit.trials > 100
    assert audit.rejections == 0, audit.example


def float32(rng, *shape, scale=1.0):
    return np.float64(np.float32(scale * rng.standard_normal(shape)))


@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0])
def test_the_softmax_bound_is_within_ten_times_the_derived_one(scale):
    z = float32(np.random.default_rng(0), 20, 7, scale=scale)
    (found,) = bounded(OPS["softmax"].text, {"z": z}, "float32")
    p, spread = found.value, np.abs(z - z.max(-1, keepdims=True))
    e, n, c = U * spread, z.shape[-1], 4
    derived = p * np.expm1(e + np.sum(p * e, -1, keepdims=True) + (n - 1 + 2 * c + 1) * U)
    assert np.max(found.error / derived) < 10


@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
def test_the_attention_bound_is_within_ten_times_the_derived_one(scale):
    rng = np.random.default_rng(1)
    q, k, v = (float32(rng, 2, 3, n, 8, scale=scale) for n in (5, 7, 7))
    inputs = {"query": q, "key": k, "value": v, "bias": None}
    (found,) = bounded(OPS["attention"].text, inputs, "float32")
    kt = np.swapaxes(k, -1, -2)
    s = q @ kt / np.sqrt(8)
    p = np.exp(s - s.max(-1, keepdims=True))
    p = p / p.sum(-1, keepdims=True)
    logits = gamma(10, U) * np.abs(q) @ np.abs(kt) / np.sqrt(8)
    e = logits + 2 * U * np.abs(s - s.max(-1, keepdims=True))
    eta = np.expm1(e + np.sum(p * e, -1, keepdims=True) + (2 * 4 + 7 + 2) * U)
    derived = (p * (eta + gamma(8, U) * (1 + eta))) @ np.abs(v) + U * np.abs(p @ v)
    assert np.max(found.error / derived) < 10


@pytest.mark.parametrize("shift", [0.0, 3.0, 100.0])
def test_the_layer_norm_bound_is_within_ten_times_the_derived_one(shift):
    x = np.float64(np.float32(np.random.default_rng(2).standard_normal((20, 16)) + shift))
    ones, eps, n = np.ones(16), 2.0**-17, 16
    inputs = {"x": x, "gain": ones, "bias": 0 * ones, "eps": eps}
    (found,) = bounded(OPS["layer_norm"].text, inputs, "float32")
    mean = x.mean(-1, keepdims=True)
    d = x - mean
    v = np.mean(d * d, -1, keepdims=True)
    dm = gamma(n, U) * np.mean(np.abs(x), -1, keepdims=True) + U * np.abs(mean)
    dv = dm**2 + 2 * U * np.mean(np.abs(d) * (np.abs(d) + dm), -1, keepdims=True)
    dv = dv + gamma(n + 4, U) * v
    root = (1 - dv / (v + eps)) ** -0.5 - 1 + 4 * U
    derived = ((dm + U * np.abs(d)) * (1 + root) + np.abs(d) * root) / np.sqrt(v + eps)
    assert np.max(found.error / derived) < 10


def test_the_clip_loss_bound_is_within_ten_times_the_derived_one():
    rng = np.random.default_rng(3)
    a, b = float32(rng, 6, 8), float32(rng, 6, 8)
    scale = float(np.float32(np.log(1 / 0.07)))
    inputs = {"image_features": a, "text_features": b, "log_scale": scale}
    (found,) = bounded(OPS["clip_loss"].text, inputs, "float32")
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    tau, s, n = np.exp(scale), np.exp(scale) * a @ b.T, 6
    logits = tau * (gamma(9, U) + 2 * (gamma(4, U) + 3 * U)) * np.abs(a) @ np.abs(b.T)
    logits = logits + 2 * U * np.abs(s)
    total = 0.0
    for z, e in ((s, logits), (s.T, logits.T)):
        top = z.max(1, keepdims=True)
        p = np.exp(z - top) / np.exp(z - top).sum(1, keepdims=True)
        rows = np.sum(p * (e + U * np.abs(z - top)), 1) + np.diag(e)
        total += np.mean(rows) + (n + 8) * U * np.mean(np.abs(top))
    assert found.error / (total / 2) < 10


def error_of(expression, *values):
    p = PRECISIONS["float32"]
    with np.errstate(all="ignore"):
        return expression(*(lift(np.float64(v), p) for v in values)).error


def test_exact_operations_cost_nothing():
    assert error_of(lambda x: x * 2, 0.1 * 0 + 1.5) == 0
    assert error_of(lambda x: x / 4, 1.5) == 0
    assert error_of(lambda x: x + 0, 1.5) == 0
    assert error_of(lambda x: -np.abs(x), 1.5) == 0
    assert error_of(lambda x: np.maximum(x, 0), 1.5) == 0


def test_one_addition_costs_one_rounding():
    assert error_of(lambda x, y: x + y, 1.0, 2.0) == pytest.approx(3 * U)


def test_a_constant_that_the_format_cannot_hold_is_rounded_once():
    assert error_of(lambda x: x, 0.1) == pytest.approx(0.1 * U)
    assert error_of(lambda x: x, 0.5) == 0


def test_an_overflow_makes_the_bound_infinite_and_never_nan():
    assert error_of(np.exp, 100.0) == np.inf
    assert error_of(lambda x: np.exp(x) * 0, 100.0) == np.inf


def test_a_text_that_needs_an_unknown_function_is_refused():
    with pytest.raises(TypeError, match=r"no rule for np\.arcsinh"):
        error_of(np.arcsinh, 1.0)
    with pytest.raises(TypeError, match="cannot decide"):
        error_of(lambda x: np.where(x, 1, 0), 1.0)


def test_all_readings_run_the_same_source():
    seen = []
    op = OPS["softmax"]

    def spy(z):
        seen.append(type(z).__name__)
        return op.text(z)

    z = np.array([[0.5, 1.0]])
    plain = spy(z)
    (carried,) = bounded(spy, {"z": z}, "float32")
    assert seen == ["ndarray", ErrorArray.__name__]
    assert np.array_equal(plain, carried.value)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_an_array_is_split_along_the_axis_named(axis):
    x = float32(np.random.default_rng(3), 4, 6)
    size = x.shape[axis]
    found = bounded(lambda x: tuple(np.split(x, [1, size], axis=axis)), {"x": x}, "float32")
    for part, expected in zip(found, np.split(x, [1, size], axis=axis), strict=True):
        np.testing.assert_array_equal(part.value, expected)


def test_a_difference_of_equal_numbers_may_be_kept_apart_by_what_is_added_to_it():
    """x s + (b - m s) for s (x - m) + b: b loses digits where m s is large, if x is m or not."""
    x, scale, bias = np.float64([-1.0]), np.float64([101500.908203125]), np.float64([-1.5820312])
    inputs = {"x": x, "mean": x, "scale": scale, "bias": np.float64(np.float32(bias))}
    text = lambda x, mean, scale, bias: scale * (x - mean) + bias  # noqa: E731
    (found,) = bounded(text, inputs, "float32")
    a, m, s, b = (np.float32(value) for value in inputs.values())
    folded = a * s + (b - m * s)
    assert folded != b, "the example shows nothing"
    assert np.abs(folded - found.value) <= found.error


def stored_in_half(op, inputs):
    """What a kernel gives that computes in float32 and stores in float16."""
    wide = {k: np.float32(x) if isinstance(x, np.ndarray) else x for k, x in inputs.items()}
    return op.text(**wide).astype(np.float16)


def in_half(op, inputs, actual):
    expected = expect(op, rounded(op, inputs, "float16"), "float16")
    return judge(op, expected, actual, np.dtype(np.float16))


@pytest.mark.parametrize("size", [300.0, 2e4])
def test_where_squares_overflow_a_half_format_kernels_are_judged_and_zeros_are_wrong(size):
    op = OPS["rms_norm"]
    x = size * np.array([[1.0, -0.5, 0.25, 2.0]])
    inputs = {"x": x, "gain": np.ones(4), "eps": 1e-5}
    assert in_half(op, inputs, stored_in_half(op, inputs)).conforms
    assert not in_half(op, inputs, np.zeros((1, 4), np.float16)).conforms


def test_an_epsilon_below_the_half_format_still_guards():
    op = OPS["layer_norm"]
    ones = np.ones(4)
    inputs = {"x": np.zeros((1, 4)), "gain": ones, "bias": 0.5 * ones, "eps": 1e-12}
    assert in_half(op, inputs, stored_in_half(op, inputs)).conforms
    assert not in_half(op, inputs, np.full((1, 4), np.nan, np.float16)).conforms
    small = {**inputs, "x": 0.02 * np.array([[1.0, -1.0, 1.0, -1.0]]), "eps": 1e-5}
    right = (small["x"] / np.sqrt(0.02**2 + 1e-5) + 0.5).astype(np.float16)
    assert in_half(op, small, right).conforms


def test_a_floor_that_is_rounded_bounds_the_logarithm_of_zero():
    (found,) = bounded(lambda x: np.log(np.maximum(x, 1e-20)), {"x": np.zeros(3)}, "float32")
    assert np.all(found.error < 1e-4)


def allowed(name, precision, **inputs):
    inputs = {key: np.asarray(x, dtype=np.float64) for key, x in inputs.items()}
    (want,) = expect(OPS[name], inputs, precision)
    return want


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("name", ["silu_vjp", "quick_gelu_vjp", "gelu_tanh_vjp"])
def test_a_gradient_of_zero_is_rejected_where_the_gate_is_open(name, precision):
    want = allowed(name, precision, x=[8.0, 10.0, 20.0], grad=[1.0, 1.0, 1.0])
    assert (want.value > 0.99).all()
    assert (10 * want.allowed < want.value).all()


def test_the_gradient_of_a_sigmoid_keeps_its_digits_in_the_tails():
    z = np.array([-80.0, -40.0, -17.0, 17.0, 40.0, 80.0])
    want = allowed("sigmoid_vjp", "float32", z=z, grad=np.ones(6))
    exact = [math.exp(-abs(x)) / (1 + math.exp(-abs(x))) ** 2 for x in z]
    np.testing.assert_allclose(want.value, exact, rtol=1e-14)
    assert (want.allowed < 1e-4 * want.value).all()


def test_the_sigmoid_gradient_from_rounded_probabilities_is_a_dialect():
    op = OPS["sigmoid_vjp"]
    z, grad = np.array([5.0, 20.0, 40.0]), np.ones(3)
    p = 1 / (1 + np.exp(-np.float32(z)))
    found = np.float32(grad) * (p * (1 - p))
    (own,) = expect(op, {"z": z, "grad": grad}, "float32")
    assert error_ratio(own, np.float64(found)).max() > 1
    text = op.edited(next(e for e in op.dialects if e.id == "sigmoid_vjp/from-probabilities"))
    (theirs,) = expect(op, {"z": z, "grad": grad}, "float32", text)
    assert error_ratio(theirs, np.float64(found)).max() <= 1


def test_half_formats_sum_products_in_float32_and_lose_nothing_to_underflow():
    x, weight = np.full((1, 4096), 2.0**-6), np.full((1, 4096), 2.0**-10)
    want = allowed("linear", "float16", x=x, weight=weight, bias=[0.0])
    assert (want.value == 2.0**-4).all()
    assert (want.allowed < 0.01 * want.value).all()


@pytest.mark.parametrize("form", ["as printed", "horner", "pillow"])
def test_every_way_to_write_the_bicubic_kernel_conforms(form):
    """One pixel at distances between one and two, where the terms of the cubic cancel."""
    f = np.float32
    for height, tall, pixel in ((4, 6, 3), (2, 7, 0), (2, 10, 0), (9, 1, 0)):
        scale = f(height) / f(tall)
        centers = (np.arange(tall, dtype=f) + f(0.5)) * scale - f(0.5)
        x = np.abs(centers[:, None] - np.arange(height, dtype=f)) / np.maximum(scale, f(1))
        near = f(1.5) * x * x * x - f(2.5) * x * x + f(1)
        far = {
            "as printed": f(-0.5) * x * x * x + f(2.5) * x * x - f(4) * x + f(2),
            "horner": ((f(-0.5) * x + f(2.5)) * x - f(4)) * x + f(2),
            "pillow": (((x - f(5)) * x + f(8)) * x - f(4)) * f(-0.5),
        }[form]
        weights = np.where(x <= 1, near, np.where(x < 2, far, f(0)))
        weights = weights / weights.sum(axis=1, keepdims=True)
        images = np.zeros((1, 1, height, 1))
        images[0, 0, pixel] = 1
        inputs = {"images": images, "tall": tall, "wide": 1}
        (want,) = expect(OPS["resize_bicubic"], inputs, "float32")
        found = np.float64(weights[:, pixel]).reshape(1, 1, tall, 1)
        assert error_ratio(want, found).max() <= 1
