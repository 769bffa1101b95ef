"""Choices: an index is right if its score may be the best, and another costs what it lacks."""

import numpy as np
import pytest

from refimpl import registry, testing
from refimpl.commands.main import main
from refimpl.oracle.judging.judge import expect, judge, unjudged
from refimpl.oracle.numbers.choices import Choice
from refimpl.oracle.numbers.errors import bounded
from refimpl.oracle.numbers.places import Doubt

EYE = np.eye(4, dtype=np.float32)
NEAR = np.float32([[1, 1 + 1e-7, 0.5, -2], [3, 1, 2, 0]])  # the first two of the first row are tied


def largest(x, w):
    return np.argmax(x @ w, axis=-1)


def least(x, w):
    return np.argmin(-(x @ w), axis=-1)


def best_two(x, w):
    return np.argsort(-(x @ w), axis=-1)[:, :2]


def best_two_from_the_end(x, w):
    return np.argsort(x @ w, axis=-1)[:, ::-1][:, :2]


def runner_up(x, w):
    return np.argsort(-(x @ w), axis=-1)[:, 1]


def conforms(found, text, **inputs):
    return testing.check(np.array(found), text, inputs).conforms


@pytest.mark.parametrize("text", [largest, least])
def test_any_index_is_right_whose_score_may_be_the_best_and_no_other(text):
    for found in ([0, 0], [1, 0]):
        assert conforms(found, text, x=NEAR, w=EYE)
    for found in ([2, 0], [3, 0], [0, 1], [0, 4], [0, -1], [0.5, 0], [np.nan, 0]):
        assert not conforms(found, text, x=NEAR, w=EYE)


@pytest.mark.parametrize("text", [best_two, best_two_from_the_end])
def test_the_best_two_may_change_places_but_nothing_worse_comes_in(text):
    for found in ([[0, 1], [0, 2]], [[1, 0], [0, 2]]):
        assert conforms(found, text, x=NEAR, w=EYE)
    for found in ([[1, 2], [0, 2]], [[0, 0], [0, 2]], [[0, 1], [2, 0]], [[3, 1], [0, 2]]):
        assert not conforms(found, text, x=NEAR, w=EYE)


APART = np.float32([[17, 0.1, 3, -2], [1, 5, 0.3, 0.7]])


def kept_along_the_first(z):
    return np.where(z >= np.sort(z, axis=0)[2], z, 0)


KEPT = {
    "by a sort": lambda z: np.where(z >= np.sort(z, axis=-1)[:, -2:-1], z, 0),
    "by a partition": lambda z: np.where(z < np.partition(z, -2)[:, [-2]], 0, z),
    "by a sort of negatives": lambda z: np.where(-np.sort(-z)[:, 1][:, None] <= z, z, 0),
    "what is larger than the third": lambda z: np.where(z > np.sort(z)[:, 1:2], z, 0),
    "by a product with the truth": lambda z: z * (z >= np.sort(z)[:, ::-1][:, 1:2]),
    "along the other axis": lambda z: kept_along_the_first(z.T).T,
}


@pytest.mark.parametrize("keep", KEPT.values(), ids=KEPT)
def test_what_is_no_smaller_than_the_kth_is_as_certain_as_its_rank(keep):
    def text(x, w):
        return keep(x @ w)

    right = np.float32([[17, 0, 3, 0], [1, 5, 0, 0]])
    assert conforms(right, text, x=APART, w=EYE)
    for place in ((0, 2), (1, 0)):  # the k-th itself may not be left out
        wrong = right.copy()
        wrong[place] = 0
        assert not conforms(wrong, text, x=APART, w=EYE)


def test_only_what_may_change_places_with_the_kth_is_in_doubt():
    def text(x, w):
        z = x @ w
        return np.where(z >= np.sort(z)[:, -1:], z, 0)

    for first in ([1, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0]):
        assert conforms(np.float32([first, [3, 0, 0, 0]]), text, x=NEAR, w=EYE)
    assert not conforms(np.float32([[1, 0, 0.5, 0], [3, 0, 0, 0]]), text, x=NEAR, w=EYE)
    assert not conforms(np.float32([[1, 0, 0, 0], [0, 0, 0, 0]]), text, x=NEAR, w=EYE)


def test_a_sort_decides_nothing_about_other_numbers_or_after_a_change():
    def other_row(x, w):
        z = x @ w
        return np.where(z >= np.sort(z)[::-1, -1:], 1.0, 0.0)

    def changed(x, w):
        z = x @ w
        largest = np.sort(z)[:, -1:]
        z[:, 0] = z[:, 0] * w[0, 0]
        return np.where(z >= largest, 1.0, 0.0)

    rows = np.float32([[3, 1, 0, 0], [3, 2, 0, 0]])
    for text in (other_row, changed):
        (bound,) = bounded(text, {"x": rows, "w": EYE}, "float32")
        assert np.array_equal(bound.error >= 1, [[1, 0, 0, 0], [1, 0, 0, 0]])


def test_one_rank_alone_is_held_against_all_scores():
    assert conforms([0, 2], runner_up, x=NEAR, w=EYE)
    assert conforms([1, 2], runner_up, x=NEAR, w=EYE)
    assert not conforms([2, 2], runner_up, x=NEAR, w=EYE)
    assert not conforms([0, 0], runner_up, x=NEAR, w=EYE)


def test_a_wrong_choice_costs_what_its_score_lacks():
    verdicts = [
        testing.check(np.array([i, 0]), largest, {"x": NEAR, "w": EYE}) for i in (0, 1, 2, 3)
    ]
    ratios = [verdict.worst for verdict in verdicts]
    assert ratios[1] == 0 < ratios[0] < 1 < ratios[2] < ratios[3]
    assert "expected 1 or another that may be as good" in str(verdicts[2])


def test_among_exact_scores_the_first_is_right_as_numpy_says():
    tied = np.float32([[2, 2, 1]])
    assert conforms([0], lambda x: np.argmax(x, -1), x=tied)
    assert not conforms([1], lambda x: np.argmax(x, -1), x=tied)
    assert conforms([[1, 0, 2]], lambda x: np.argsort(-x, -1), x=tied)
    assert not conforms([[1, 0, 2]], lambda x: np.argsort(-x, -1, kind="stable"), x=tied)


SHARES, UNIFORM = np.full((2, 10), 0.1, np.float32), np.float32([0.3, 0.95])
DRAWN = {
    "the first that reaches": lambda p, u: np.argmax(np.cumsum(p, -1) >= u[:, None], axis=-1),
    "how many lie below": lambda p, u: np.sum(np.cumsum(p, -1) < u[:, None], axis=-1),
}


@pytest.mark.parametrize("how", DRAWN)
def test_a_drawn_index_may_be_its_neighbour_only_where_the_sum_may_lie_on_either_side(how):
    given = {"p": SHARES, "u": UNIFORM}
    assert conforms([2, 9], DRAWN[how], **given)
    assert conforms([3, 9], DRAWN[how], **given)
    for found in ([1, 9], [4, 9], [3, 8]):
        assert not conforms(found, DRAWN[how], **given)


def test_what_is_taken_at_a_choice_may_be_any_entry_that_an_honest_one_takes():
    codes = np.float32([[0, 0], [1, 1], [1, 3]])
    nearest = lambda z, c: c[np.argmin(np.sum((z[:, None] - c) ** 2, -1), -1)]  # noqa: E731
    value, allowed = testing.bound(nearest, z=np.float32([[0.9, 2], [0.1, 0]]), c=codes)
    assert value[1].tolist() == [0, 0]
    assert allowed[1].tolist() == [0, 0]
    assert allowed[0, 0] == 0 < 2 <= allowed[0, 1] < 5  # the second code, or the third
    sort = lambda x: np.take_along_axis(x, np.argsort(x, -1), -1)  # noqa: E731
    assert not testing.bound(sort, x=np.float32([[1, 1, 2]])).allowed.any()


def test_a_choice_in_doubt_is_no_index_of_a_plain_table():
    with pytest.raises(Doubt, match=r"scores that may change places \(test_choices\.py"):
        testing.bound(lambda x, w: x[0, np.argmax(x @ w, -1)], x=NEAR, w=EYE)


def test_scores_without_a_bound_leave_the_choice_unjudged():
    text = lambda z: np.argmax(np.exp(z) / np.sum(np.exp(z)), -1)  # noqa: E731
    (found,) = bounded(text, {"z": np.array([100.0, 101.0])}, "float32")
    assert isinstance(found, Choice)
    assert np.isinf(found.error).all()


def test_no_honest_order_of_summation_is_rejected():
    rng = np.random.default_rng(3)
    for _ in range(60):
        x, w = (np.float32(rng.standard_normal(s)) for s in ((5, 64), (64, 7)))
        w[:, 1] = np.nextafter(w[:, 0], np.float32(9))  # scores that honest orders exchange
        forwards = np.zeros((5, 7), np.float32)
        for k in range(64):
            forwards = forwards + x[:, k, None] * w[k]
        for scores in (forwards, x @ w, np.float32(x.astype(float) @ w)):
            assert conforms(np.argmax(scores, -1), largest, x=x, w=w)
            assert conforms(np.argsort(-scores, -1)[:, :2], best_two, x=x, w=w)
            assert not conforms(np.argmin(scores, -1), largest, x=x, w=w)


PAGE = """
import numpy as np
from refimpl.axes import Array, Float

def nearest(z: Float[Array, "N D"], codes: Float[Array, "K D"]):
    apart = z[:, None] - codes
    return np.argmin(np.sum(apart * apart, axis=-1), axis=-1)
"""
RIGHT = """
import numpy as np
def nearest(z, codes):
    return np.argmin(np.square(z[:, None] - codes).sum(-1), axis=1)
"""


@pytest.mark.parametrize("verge", [-1.375, -np.inf])
def test_a_word_on_the_verge_may_be_kept_or_forbidden_and_is_not_judged(verge):
    op = registry.OPS["keep_min_p"]
    # the largest and log 0.05 add up to a number that bfloat16 may round to -1.375
    (want,) = expect(op, {"logits": np.array([[0.75, -1.375, 1.625]]), "share": 0.05}, "bfloat16")
    assert unjudged(want) == 1
    assert judge(op, [want], np.array([[0.75, verge, 1.625]]), np.dtype("float32")).conforms
    assert not judge(op, [want], np.array([[-np.inf, verge, 1.625]]), np.dtype("float32")).conforms


@pytest.fixture
def folder(tmp_path, monkeypatch):
    before = dict(registry._TABLE)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page.py").write_text(PAGE)
    (tmp_path / "right.py").write_text(RIGHT)
    (tmp_path / "wrong.py").write_text(RIGHT.replace("argmin", "argmax"))
    yield tmp_path
    registry._TABLE.clear()
    registry._TABLE.update(before)


def verify(file):
    with pytest.raises(SystemExit) as end:
        main(["verify", file, "--page", "page.py", "--profile", "quick", "--seed", "1"])
    return end.value.code


def test_a_page_of_choices_judges_a_file_and_finds_the_cause(folder, capsys):
    assert verify("right.py") == 0
    assert verify("wrong.py") == 1
    assert "np.argmin(-np.sum(apart * apart, axis=-1), axis=-1)" in capsys.readouterr().out
