"""Right formulas that lose digits are told from wrong formulas, and the loss is named."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.axes.names import axis
from refimpl.oracle.cases.drawn import Case, generate, long_case
from refimpl.oracle.cases.sizes import profile_cases
from refimpl.oracle.diagnosis.causes import causes
from refimpl.oracle.diagnosis.evidence import Evidence
from refimpl.oracle.diagnosis.roundings import LOSSY, finest, roundings
from refimpl.oracle.diagnosis.search.formats import held
from refimpl.oracle.diagnosis.statistics import Statistics, statistics
from refimpl.oracle.judging.judge import expect, judge
from refimpl.oracle.numbers.errors import ErrorArray
from refimpl.oracle.numbers.precisions import PRECISIONS
from refimpl.registry import OPS
from tests.harness import outputs, twin

SINGLE = np.dtype(np.float32)
HALF, BRAIN = PRECISIONS["float16"], PRECISIONS["bfloat16"]


def short(x, bits, cut=np.rint):
    """The leading bits of float32 numbers."""
    x = np.asarray(x, dtype=np.float64)
    step = np.ldexp(1.0, np.frexp(x)[1] - bits)
    return (cut(x / step) * step).astype(np.float32)


def linear_of(product):
    def linear(x, weight, bias):
        y = product(x, weight.T)
        return y if bias is None else y + bias

    return linear


def in_format(p, x):
    return p.round(x).astype(np.float32)


def added_up(x, into):
    """The sum along the last axis, each partial sum passed through `into`."""
    total = np.zeros(x.shape[:-1])
    for i in range(x.shape[-1]):
        total = into(total + x[..., i].astype(np.float64))
    return np.asarray(total, dtype=np.float32)


def rms_norm_of(into):
    def rms_norm(x, gain, eps):
        mean = added_up(x * x, into)[..., None] / np.float32(x.shape[-1])
        return gain * (x / np.sqrt(mean + np.float32(eps)))

    return rms_norm


def guidance_in(p):
    def guidance(eps_uncond, eps_cond, scale):
        u, c, s = (in_format(p, x) for x in (eps_uncond, eps_cond, scale))
        return in_format(p, u + in_format(p, s * in_format(p, c - u)))

    return guidance


def q_sample_with_float32_tables(x_start, t, noise, alpha_bar):
    table = alpha_bar.astype(np.float32)
    shape = (-1,) + (1,) * (x_start.ndim - 1)
    signal, rest = np.sqrt(table)[t].reshape(shape), np.sqrt(1 - table)[t].reshape(shape)
    return signal * x_start + rest * noise


def answering(op, target):
    return lambda case: [np.asarray(y) for y in outputs(target(**case.typed(op)))]


def explained(name, target, precision="float32"):
    """The roundings named for a target that runs here; there must be something to explain."""
    op, ask = OPS[name], answering(OPS[name], target)
    storage = PRECISIONS[precision].dtype()
    with np.errstate(all="ignore"):
        seen = [(case, ask(case)) for case in generate(op, precision, 60)]
        judged = [
            judge(op, expect(op, c.inputs, precision), y if len(y) > 1 else y[0], storage)
            for c, y in seen
        ]
        assert not all(verdict.conforms for verdict in judged)
        return [cause.id for cause in roundings(Evidence(op, precision, seen, ask))]


@pytest.mark.parametrize(
    ("product", "way"),
    [
        (lambda a, b: short(a, 11) @ short(b, 11), "tf32-products"),
        (lambda a, b: short(a, 11, np.trunc) @ short(b, 11, np.trunc), "truncated-tf32-products"),
        (lambda a, b: short(a, 8) @ short(b, 8), "bfloat16-products"),
    ],
)
def test_products_of_shortened_operands_are_named(product, way):
    assert explained("linear", linear_of(product)) == [f"precision/{way}"]


@pytest.mark.parametrize(("p", "way"), [(HALF, "float16-inputs"), (BRAIN, "bfloat16-inputs")])
def test_inputs_cast_to_a_half_format_are_named(p, way):
    gelu = twin(OPS["gelu"])
    assert explained("gelu", lambda x: gelu(in_format(p, x))) == [f"precision/{way}"]


@pytest.mark.parametrize(("p", "way"), [(HALF, "float16"), (BRAIN, "bfloat16")])
def test_computing_in_a_half_format_is_named(p, way):
    assert explained("classifier_free_guidance", guidance_in(p)) == [f"precision/{way}"]


def test_tables_in_float32_are_named_where_float64_is_asked_for():
    found = explained("q_sample", q_sample_with_float32_tables, "float64")
    assert found == ["precision/float32-tables"]


def test_an_accumulator_in_a_half_format_is_named():
    found = explained("rms_norm", rms_norm_of(lambda total: BRAIN.round(total)))
    assert found == ["as-large-as/bfloat16-accumulation"]


def lengths_from_squares_in_float16(x):
    squares = (x * x).astype(np.float32)
    norm = np.sqrt(squares.sum(-1, keepdims=True))
    return x / np.where(norm > 0, norm, 1)


def gradient_with_eps_in_float16(x, gain, eps, grad):
    x, inner = x.astype(np.float64), gain.astype(np.float64) * grad
    root = np.sqrt((x * x).mean(-1, keepdims=True) + np.float16(eps))
    along = (inner * x / root).mean(-1, keepdims=True)
    return (inner - x / root * along) / root, (grad * x / root).sum(tuple(range(x.ndim - 1)))


@pytest.mark.parametrize(
    ("name", "target", "changed"),
    [
        ("l2_normalize", lengths_from_squares_in_float16, "`np.float16(x * x)`"),
        ("rms_norm_vjp", gradient_with_eps_in_float16, "`np.float16(eps)`"),
    ],
)
def test_what_ends_where_float16_ends_is_named(name, target, changed):
    op = OPS[name]

    def ask(case):
        with np.errstate(all="ignore"):
            return [np.asarray(y, np.float16) for y in outputs(target(**case.typed(op)))]

    seen = [(case, ask(case)) for case in profile_cases(op, "float16", "quick", 60)]
    cause = causes(Evidence(op, "float16", seen, ask))[0]
    assert (cause.kind, changed in cause.says) == ("precision", True), cause
    assert cause.confirmed


def test_a_format_in_which_the_text_refuses_its_arguments_explains_nothing():
    op = OPS["level_time"]
    given = {"sigma": np.array([1.5]), "table": np.array([1, 1 + 2**-20, 2])}
    assert 1 < op.checked(**given) < 2
    case = Case("level_time", "float32", "own", "levels that meet in TF32", given)
    seen = [(case, [np.float32([0.5])])]
    assert roundings(Evidence(op, "float32", seen)) == []


def test_a_number_past_the_end_of_a_format_is_infinite_for_certain():
    x = held(HALF.round, ErrorArray([300.0**2, 65504.0], [1.0, 32.0], HALF))
    assert x.value.tolist() == [np.inf, 65504]
    assert x.error.tolist() == [0, np.inf]


@pytest.mark.parametrize("factor", [1 + 1e-5, 1 + 1e-4, 1.001, 1.01])
def test_a_wrong_factor_is_no_loss_of_digits_however_small(factor):
    silu = twin(OPS["silu"])
    assert explained("silu", lambda x: np.float32(factor) * silu(x)) == []


@pytest.mark.parametrize("guard", [2e-5, 1e-4])
def test_a_wrong_guard_is_no_loss_of_digits(guard):
    norm = twin(OPS["rms_norm"])
    assert explained("rms_norm", lambda x, gain, eps: norm(x, gain, guard)) == []


@pytest.mark.parametrize(
    "mistake",
    ["multi_head_attention/scale-twice", "multi_head_attention_vjp/weights-not-transposed"],
)
def test_a_wrong_formula_whose_error_is_often_allowed_is_no_loss_of_digits(mistake):
    op = OPS[mistake.partition("/")[0]]
    wrong = op.edited(next(edit for edit in op.mistakes if edit.id == mistake))
    assert explained(op.name, wrong) == []


def test_of_several_ways_those_that_lose_least_are_kept():
    ways = {way.id: way for way in LOSSY["float32"]}
    both = [ways["tf32-products"], ways["bfloat16-products"]]
    assert finest(both) == [ways["tf32-products"]]
    apart = [ways["float16-accumulation"], ways["tf32-products"]]
    assert finest(apart) == apart


LONG_SUMS = [
    pytest.param(op, id=op.name)
    for op in OPS.values()
    if any(axis(n).long > axis(n).high for spec in op.specs.values() for n in spec.names())
]


@pytest.mark.parametrize("op", LONG_SUMS)
def test_the_twin_looks_like_independent_roundings_over_long_sums(op):
    found, causes = statistics(op, "float32", answering(op, twin(op)))
    assert found is None or found.conforms, str(found)
    assert causes == []


def test_tf32_products_stay_within_the_bound_of_a_long_sum_and_are_found_by_their_spread():
    op = OPS["linear"]
    target = linear_of(lambda a, b: short(a, 11) @ short(b, 11))
    case = long_case(op, "float32", 0, 1)
    assert judge(op, expect(op, case.inputs, "float32"), target(**case.inputs), SINGLE).conforms
    found, causes = statistics(op, "float32", answering(op, target))
    assert found.variance > 1
    assert causes[0].id == "precision/tf32-products"


def test_an_accumulator_that_truncates_is_found_by_its_bias():
    op = OPS["rms_norm"]
    target = rms_norm_of(lambda total: short(total, 24, np.trunc).astype(np.float64))
    case = long_case(op, "float32", 0, 0)
    assert judge(op, expect(op, case.inputs, "float32"), target(**case.inputs), SINGLE).conforms
    found, causes = statistics(op, "float32", answering(op, target))
    assert found.bias > 1
    assert [cause.id for cause in causes] == ["precision/one-sided-sums"]


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_sums_one_after_another_are_honest_in_either_direction(order):
    op = OPS["rms_norm"]
    plain = rms_norm_of(lambda total: total.astype(np.float32).astype(np.float64))

    def target(x, gain, eps):
        return plain(x[..., order], gain[order], eps)[..., order]

    found, _ = statistics(op, "float32", answering(op, target))
    assert found.conforms, str(found)


def test_nothing_answered_is_no_verdict():
    assert statistics(OPS["linear"], "float32", lambda case: None) == (None, [])


def test_a_wrong_shape_is_not_within_any_statistics():
    found, _ = statistics(OPS["linear"], "float32", lambda case: [np.zeros(3, np.float32)])
    assert not found.conforms
    assert not Statistics(0.5, float("inf")).conforms
