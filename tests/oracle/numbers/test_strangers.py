"""Texts as strangers write NumPy: what they import, call and assign means the same to a bound."""

from __future__ import annotations

import functools
import math
import sys
import types

import numpy as np
import pytest
from scipy import special
from scipy.special import logsumexp

from refimpl import testing
from refimpl.oracle.numbers.errors import bounded
from refimpl.oracle.numbers.places import Doubt, NoRule
from tests.audit.simulated import STYLES, simulate

RNG = np.random.default_rng(11)
X, Y = (np.float32(RNG.standard_normal((4, 6))) for _ in range(2))
GROUPS = np.array([2, 0, 2, 1])
SEEN = RNG.uniform(size=(4, 6)) < 0.6
SEEN[:, 0] = True


class Norm:
    """A class with a table of its own."""

    def __init__(self, size):
        self.gain = 1 / (3 + np.arange(size))

    def __call__(self, x):
        return x / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * self.gain


def norm_of_a_class(x):
    return Norm(x.shape[-1])(x)


def added_at(x):
    total = np.zeros((3, x.shape[1]), dtype=x.dtype)
    np.add.at(total, GROUPS, x)
    return total


def one_at_the_largest(x):
    y = np.zeros_like(x)
    np.put_along_axis(y, np.argmax(x, -1)[:, None], 1.0, axis=-1)
    return y


def imported_within(x):
    import math as m

    from scipy.special import softmax

    return softmax(x, axis=-1) * m.sqrt(2)


def moving_average(x, decay=0.9):
    state, out, t = np.zeros(len(x)), np.empty_like(x), 0
    while t < x.shape[1]:
        state = decay * state + (1 - decay) * x[:, t]
        out[:, t] = state / (1 - decay ** (t + 1))
        t += 1
    return out


def butterflies(x):
    x = np.pad(x, ((0, 0), (0, 2)))
    for half in (1, 2, 4):
        for i in range(0, 8, 2 * half):
            a, b = x[:, i : i + half].copy(), x[:, i + half : i + 2 * half].copy()
            x[:, i : i + half], x[:, i + half : i + 2 * half] = a + b, a - b
    return x / np.sqrt(8)


def smoothed(x, alpha=0.1):
    logs = x - logsumexp(x, axis=1, keepdims=True)
    wanted = np.zeros_like(x)
    wanted[np.arange(len(x)), GROUPS] = 1
    soft = (1 - alpha) * wanted + alpha / x.shape[1]
    return -(soft * logs).sum(1)


LENGTHS = lambda x: np.sqrt((x * x).sum(-1, keepdims=True))  # noqa: E731
TEXTS = {
    "softmax of SciPy": lambda x: special.softmax(x, axis=-1),
    "log_softmax of SciPy": lambda x: special.log_softmax(x, axis=1),
    "logsumexp of SciPy": lambda x: special.logsumexp(x, axis=-1),
    "logaddexp reduced": lambda x: np.logaddexp.reduce(x, axis=1),
    "an entropy": lambda x: special.xlogy(x * x, x * x).sum(-1),
    "math number by number": lambda x: np.array([[math.tanh(v) for v in row] for row in x]),
    "vectorized": lambda x: np.vectorize(lambda v: v if v > 0 else 0.2 * v)(x),
    "along an axis": lambda x: np.apply_along_axis(lambda r: r / np.sqrt(np.sum(r * r)), 1, x),
    "piecewise": lambda x: np.piecewise(x, [x < 0, x >= 0], [lambda v: 0.1 * v, np.sqrt]),
    "divided where": lambda x: np.divide(x, LENGTHS(x), out=np.zeros_like(x), where=x > -1),
    "summed where": lambda x: np.sum(x * 1.1, axis=1, where=SEEN),
    "mean where": lambda x: x.mean(axis=1, where=SEEN),
    "largest where": lambda x: np.max(x / 3, axis=1, where=SEEN, initial=-9.0),
    "a product of Kronecker": lambda x, y: np.kron(x[:2, :2], y[:2, :3]),
    "a vector product": lambda x, y: np.cross(x[:, :3], y[:, 3:]),
    "trapezoids": lambda x: np.trapezoid(x, dx=0.1, axis=-1),
    "lines between points": lambda x: np.interp(x, np.array([-3.0, 0.1, 3.0]), [0.0, 0.5, 2.0]),
    "percentile": lambda x: np.percentile(x, 90, axis=-1),
    "partition": lambda x: np.partition(x / 3, -2, axis=-1)[:, -2],
    "rounded to a tenth": lambda x: np.round(x * 3, 1),
    "appended": lambda x: np.append(1.0, x[0] / 3),
    "not a number": lambda x: np.nan_to_num(x / 3),
    "maxout": lambda x: functools.reduce(np.maximum, np.split(x / 3, 3, axis=1)),
    "einsum with dots": lambda x, y: np.einsum("...d,...d->...", x, y),
    "sums without NaN": lambda x: np.nansum(np.where(x > -1, x, np.nan), axis=1) / 3,
    "means without NaN": lambda x: np.nanmean(np.where(x > -1, x, np.nan), axis=1),
    "places among borders": lambda x: np.searchsorted(np.array([-1.0, 0.0, 1.0]), x),
    "bins": lambda x: np.digitize(x, np.array([-1.0, 0.5])) * x,
    "ones at the largest": one_at_the_largest,
    "all pairs": lambda x, y: np.abs(np.subtract(*np.broadcast_arrays(x[:, None], y))).sum(-1),
    "slopes": lambda x: np.gradient(x, 0.5, axis=-1),
    "covariances": lambda x: np.cov(x),
    "correlations": lambda x: np.corrcoef(x),
    "eight bits": lambda x: np.rint(x * 20).astype(np.int8) / 20,
    "a polynomial": lambda x: np.polyval([0.1, -0.5, 1.0, 0.0], x),
    "a power of a matrix": lambda x: np.linalg.matrix_power(x[:, :4], 3),
    "a mean of a list": lambda x: x[0] - np.mean(list(x), axis=0),
    "rounded by a method": lambda x: x.clip(-1, 1).round(1),
    "a class": norm_of_a_class,
    "added at": added_at,
    "imported within": imported_within,
    "moving average": moving_average,
    "butterflies": butterflies,
    "smoothed": smoothed,
}
JUMPS = (
    *("rounded to a tenth", "rounded by a method", "eight bits"),
    *("places among borders", "ones at the largest"),
)


def given(text):
    names = text.__code__.co_varnames[: text.__code__.co_argcount]
    return {name: {"x": X, "y": Y}[name] for name in names if name in "xy"}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_means_what_numpy_makes_of_it(name):
    text, inputs = TEXTS[name], given(TEXTS[name])
    plain = text(**{k: np.float64(x) for k, x in inputs.items()})
    value, allowed = testing.bound(text, **inputs)
    assert value.shape == np.shape(plain)
    assert np.all(np.abs(value - plain) <= allowed + 1e-12 * np.abs(value))


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("name", TEXTS)
def test_no_honest_way_to_compute_it_is_rejected(name, precision):
    text = TEXTS[name]
    stored = {k: x.astype(precision).astype(float) for k, x in given(text).items()}
    value, allowed = testing.bound(text, precision, **stored)
    assert np.isfinite(allowed).all()
    for style in STYLES:
        (found,) = simulate(text, stored, precision, style)
        assert np.all(np.abs(found - value) <= allowed), style.name


@pytest.mark.parametrize("name", [name for name in TEXTS if name not in JUMPS])
def test_float16_inside_it_is_rejected(name):
    text, inputs = TEXTS[name], given(TEXTS[name])
    rough = np.asarray(text(**{k: np.float64(np.float16(x)) for k, x in inputs.items()}))
    value, allowed = testing.bound(text, **inputs)
    assert np.max(np.abs(rough - value) - allowed) > 0


@pytest.mark.parametrize("name", ["softmax of SciPy", "an entropy", "added at", "divided where"])
def test_it_is_certified_in_balls(name):
    pytest.importorskip("flint")
    text = TEXTS[name]
    inputs = {k: np.float64(x[:, :3]) for k, x in given(text).items()}
    (plain,), sure = bounded(text, inputs, "float64"), testing.certify(text, **inputs)
    assert np.all(np.abs(plain.value - sure) <= plain.error + np.spacing(np.abs(sure)))


def test_a_table_of_a_function_from_another_module_is_rounded_as_well():
    other = types.ModuleType("somebody_elses")
    exec("import numpy as np\ndef table(n):\n    return np.arange(n) / 3\n", other.__dict__)
    sys.modules["somebody_elses"] = other
    try:
        helper = other.table
        _, inside = testing.bound(lambda x: x * helper(6), x=X)
        _, alone = testing.bound(lambda x: x * (np.arange(6) / 3), x=X)
    finally:
        del sys.modules["somebody_elses"]
    assert np.array_equal(inside, alone)
    assert np.any(inside > testing.bound(lambda x: x * np.arange(6), x=X).allowed)


def test_a_vectorized_decision_in_doubt_is_refused():
    def text(x):
        return np.vectorize(lambda v: v if v / 3 > 0.25 else 0.0)(x)

    with pytest.raises(Doubt, match="test_strangers"):
        testing.bound(text, x=np.float32([[0.75]]))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (lambda x: np.diff(x, prepend=0.0), "np.diff with prepend"),
        (lambda x: np.nan_to_num(np.where(x > 0, np.inf, x)), "infinities"),
        (lambda x: x + np.random.default_rng(0).normal(size=6), "as an argument"),
        (lambda x: np.linalg.det(x[:4, :4]), "elimination"),
        (lambda x: np.abs(x + 1j * x), "real and imaginary parts"),
        (lambda x: (200 * x).astype(np.int8), "astype(int8)"),
        (lambda x: np.std(x, where=SEEN), "np.std with where"),
    ],
)
def test_what_has_no_rule_says_so_with_its_line(text, says):
    with pytest.raises(NoRule, match=r"test_strangers\.py, line \d+") as caught:
        testing.bound(text, x=X)
    assert says in str(caught.value)
