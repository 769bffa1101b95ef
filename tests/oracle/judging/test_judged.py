"""Nothing is said to be right that a bound says nothing of: another bound, or not judged."""

from typing import ClassVar

import numpy as np
import pytest

import refimpl
from refimpl.oracle.cases.drawn import Case, generate, rounded
from refimpl.oracle.diagnosis.evidence import Evidence
from refimpl.oracle.diagnosis.roundings import inside
from refimpl.oracle.judging.judge import expect, judge, unjudged, wanted
from refimpl.oracle.numbers.precisions import PRECISIONS
from refimpl.oracle.runs.op_run import OpRun
from refimpl.oracle.targets.sessions import Outcome
from refimpl.registry import OPS
from refimpl.testing import check
from tests.audit.judged import Judged, judged
from tests.audit.simulated import STYLES, simulate

HALVES = ("bfloat16", "float16")
ATTENTION = OPS["attention"]


def heads(precision, keys, width=64, queries=3):
    rng = np.random.default_rng(keys)
    shapes = {"query": (1, 1, queries, width)}
    shapes |= dict.fromkeys(("key", "value"), (1, 1, keys, width))
    inputs = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    return rounded(ATTENTION, {**inputs, "bias": None}, precision)


def stored(op, inputs, precision):
    """What a kernel gives that computes in float32 and stores in half."""
    found = simulate(op.text, inputs, "float32", STYLES[0])
    return PRECISIONS[precision].round(found[0]).astype(PRECISIONS[precision].dtype())


@pytest.mark.parametrize("precision", HALVES)
@pytest.mark.parametrize("keys", [64, 512])
def test_attention_of_zeros_is_wrong_in_a_half_format_and_a_kernel_is_not(keys, precision):
    inputs = heads(precision, keys)
    right = stored(ATTENTION, inputs, precision)
    assert check(right, "attention", inputs, precision).conforms
    assert not check(np.zeros_like(right), "attention", inputs, precision).conforms


def test_attention_of_zeros_is_far_off_where_arithmetic_in_half_throughout_says_nothing():
    inputs = heads("bfloat16", 512)
    (loose,) = expect(ATTENTION, inputs, "bfloat16", throughout=True)
    assert unjudged(loose) > 0
    zeros = np.zeros_like(stored(ATTENTION, inputs, "bfloat16"))
    assert check(zeros, "attention", inputs, "bfloat16").worst > 2


def test_a_number_beyond_its_format_is_infinite_or_its_largest_and_nothing_else():
    op = OPS["gaussian_kl"]
    inputs = {"q_mean": np.array([100.0, 1.0]), "p_mean": np.array([0.0, 1.0])}
    inputs |= {"q_log_variance": np.array([1.0, 2.0]), "p_log_variance": np.array([-8.0, 2.0])}
    (want,) = expect(op, rounded(op, inputs, "float16"), "float16")
    assert want.value[0] > PRECISIONS["float16"].largest
    assert not unjudged(want)
    for overflow, right in ((np.inf, True), (65504, True), (-np.inf, False), (np.nan, False)):
        found = np.array([overflow, 0.0], np.float16)
        assert check(found, op, inputs, "float16").conforms is right
    told = check(np.zeros(2, np.float16), op, inputs, "float16")
    assert "is 0, expected inf" in str(told)
    (wide,) = expect(op, rounded(op, inputs, "bfloat16"), "bfloat16")
    assert wide.beyond is None


@pytest.mark.parametrize("precision", HALVES)
def test_what_only_the_wider_bound_holds_is_said_to_compute_in_half_inside(precision):
    op = OPS["softmax"]
    inputs = rounded(op, {"z": np.random.default_rng(0).standard_normal((4, 50)) * 3}, precision)
    (coarse,) = simulate(op.text, inputs, precision, STYLES[0])
    told = str(check(coarse.astype(PRECISIONS[precision].dtype()), op, inputs, precision))
    assert "conforms" in told
    assert "computes in half inside" in told
    assert "inside" not in str(check(stored(op, inputs, precision), op, inputs, precision))


def test_on_a_long_sum_independent_roundings_are_judged_where_the_worst_case_says_nothing():
    def product(x, y):
        return np.sum(x * y, axis=-1)

    rng = np.random.default_rng(4)
    x, y = (np.float32(rng.standard_normal((4, 200_000))) for _ in range(2))
    inputs = {"x": x.astype(float), "y": y.astype(float)}
    op = refimpl.operation(product, example={"x": x[:, :3], "y": y[:, :3]})
    (want,) = expect(op, inputs, "float32")
    (worst,) = expect(op, inputs, "float32", throughout=True)
    assert unjudged(worst) == 4
    assert unjudged(want) == 0
    assert want.likely.all()
    summed = check(np.sum(x * y, axis=-1, dtype=np.float32), op, inputs)
    assert summed.conforms
    assert "√n of n" in str(summed)
    cut = judge(op, [want], np.float32((x * y)[:, :1024].sum(axis=-1)), np.dtype("float32"))
    assert not cut.conforms
    assert "what independent roundings come to" in str(cut)


def test_a_row_after_row_sum_in_float32_is_within_what_independent_roundings_come_to():
    """Partial sums of one sign grow, and so do their roundings: the steepest honest case."""
    x = np.float32(np.random.default_rng(5).uniform(0, 1, (8, 100_000)))
    (want,) = expect(
        refimpl.operation(lambda x: np.sum(x, axis=-1), example={"x": x[:, :3]}),
        {"x": x.astype(float)},
        "float32",
    )
    in_order = np.cumsum(x, axis=-1, dtype=np.float32)[:, -1].astype(float)
    units = np.abs(in_order - want.value) / (PRECISIONS["float32"].unit * want.value)
    assert units.max() < np.sqrt(x.shape[1])


def test_an_answer_of_zero_is_judged_as_a_zero():
    inputs = {"x": np.float64([[3.0, -3.0]]), "weight": np.ones((1, 2)), "bias": None}
    (want,) = expect(OPS["linear"], inputs, "float32")
    assert want.value == 0
    assert unjudged(want) == 0
    assert not check(np.float32([[0.1]]), "linear", inputs).conforms


@pytest.mark.parametrize("name", ["attention", "layer_norm", "group_norm", "linear", "gelu"])
@pytest.mark.parametrize("precision", ["float32", *HALVES])
def test_every_element_of_common_operations_is_judged(name, precision):
    count = judged(OPS[name], precision, generate(OPS[name], precision, 6, seed=11))
    assert count.elements > 50
    assert count.enough


def test_the_audit_fails_where_too_much_is_left_unjudged():
    assert Judged("op", "float32", elements=100, left=1).enough
    assert not Judged("op", "float32", elements=100, left=30).enough


def as_steps_go(precision, inputs):
    """Attention step by step, each result stored in half: as eager code computes it."""
    p = PRECISIONS[precision]
    scores = p.round(inputs["query"] @ np.swapaxes(inputs["key"], -1, -2))
    scores = p.round(scores * p.round(1 / np.sqrt(inputs["query"].shape[-1])))
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = p.round(weights / weights.sum(axis=-1, keepdims=True))
    return p.round(weights @ inputs["value"])


def test_random_errors_of_what_computes_in_half_inside_are_a_dialect_and_zeros_are_not():
    precision = "bfloat16"

    def ask(case):
        plain = case.key.startswith("wide")  # others are not answered
        return [as_steps_go(precision, case.inputs)] if plain else None

    def nothing(case):
        answer = ask(case)
        return answer and [0 * answer[0]]

    cases = [wide_case(precision, i) for i in range(3)]
    storage = np.dtype(np.float64)
    assert any(
        not judge(ATTENTION, expect(ATTENTION, c.inputs, precision), ask(c)[0], storage).conforms
        for c in cases
    )
    found = inside(Evidence(ATTENTION, precision, [(c, ask(c)) for c in cases], ask))
    assert [cause.kind for cause in found] == ["dialect"]
    assert inside(Evidence(ATTENTION, precision, [(c, nothing(c)) for c in cases], nothing)) == []


def wide_case(precision, number):
    inputs = heads(precision, 512, width=64, queries=2 + number)
    inputs["query"] = PRECISIONS[precision].round(5 * inputs["query"])
    return Case("attention", precision, f"wide{number}", "wide heads", inputs)


def test_a_deviation_is_never_negative_so_that_the_guard_behind_it_bounds_the_quotient():
    rewards = np.full((3, 7), 0.55)
    (want,) = expect(OPS["group_advantage"], {"rewards": rewards, "eps": 1e-6}, "tf32")
    assert np.isfinite(want.allowed).all()
    assert unjudged(want) == 0


def test_over_one_key_attention_gives_its_value_however_large_the_score():
    inputs = heads("tf32", 1)
    inputs["query"] = 1000 * inputs["query"]
    (want,) = expect(ATTENTION, inputs, "tf32")
    assert unjudged(want) == 0
    right = np.float32(np.repeat(inputs["value"], 3, axis=2))
    assert check(right, "attention", inputs, "tf32").conforms
    assert not check(np.float32(1.01) * right, "attention", inputs, "tf32").conforms


def test_simulated_tf32_keeps_eleven_bits_of_what_it_multiplies_and_float32_all():
    weight = np.full((1, 4), 1 + 2.0**-15)
    inputs = {"x": np.ones((1, 4)), "weight": weight, "bias": None}
    (short,) = simulate(OPS["linear"].text, inputs, "tf32", STYLES[0])
    (full,) = simulate(OPS["linear"].text, inputs, "float32", STYLES[0])
    assert short[0, 0] == 4
    assert full[0, 0] == 4 * weight[0, 0]


@pytest.mark.parametrize("name", OPS)
def test_what_judges_at_first_is_less_than_is_allowed_and_leaves_nothing_unjudged(name):
    op = OPS[name]
    for case in generate(op, "float32", 6):
        right = wanted(op, case.inputs, "float32")
        for least, whole in zip(right.least or (), right.whole, strict=False):
            assert least.value.tobytes() == whole.value.tobytes()
            assert np.all(least.allowed <= whole.allowed)
            assert np.all(whole.allowed - least.allowed <= least.allowed)
            assert not unjudged(whole)


class Answering:
    """A target in this process: what a function makes of what is expected."""

    ops: ClassVar = ["softmax"]

    def __init__(self, answers):
        self.answers = answers

    def call(self, op, case, answer_bytes, limit=np.inf, steps=False):
        return Outcome("returned", self.answers[case.key])

    def replay(self, case):
        return ""


def judged_by(kind, moved):
    """What is found where each answer is off by `moved(least, whole)` of what is allowed."""
    op, answers = OPS["softmax"], {}
    cases = list(generate(op, "float32", 24))
    for place, case in enumerate(cases):
        right = wanted(op, case.inputs, "float32")
        (whole,) = right.whole
        (least,) = right.least or right.whole
        answers[case.key] = [whole.value + moved(place, least.allowed, whole.allowed)]
    op_run = OpRun(op, Answering(answers), "float32")
    for case in cases:
        op_run.add(case, kind(op, case.inputs, "float32"))
    return op_run.finding


def between(_, least, whole):
    return least + (whole - least) / 2


@pytest.mark.parametrize(
    ("moved", "status"),
    [
        (lambda place, least, whole: whole * ((7 * place) % 24) / 32, "conforms"),
        (between, "conforms"),
        (lambda place, least, whole: whole * (1.5 if place > 11 else 0.5), "deviates"),
    ],
)
def test_what_judges_at_first_finds_the_same_as_all_that_is_allowed(moved, status):
    found, thoroughly = judged_by(wanted, moved), judged_by(expect, moved)
    assert found.status == status
    assert found.as_json() == thoroughly.as_json()


def test_an_answer_that_only_the_whole_allows_is_right():
    op = OPS["softmax"]
    case = next(iter(generate(op, "float32", 1)))
    right = wanted(op, case.inputs, "float32")
    (found,) = (
        w.value + between(0, f.allowed, w.allowed) for f, w in zip(right.first, right.whole)
    )
    assert not judge(op, right.first, found, np.dtype(np.float32)).conforms
    assert judge(op, right.whole, found, np.dtype(np.float32)).conforms
