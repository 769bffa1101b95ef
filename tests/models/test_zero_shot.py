"""Zero-shot classes, retrieval and principal components: printed examples, loops, laws."""

from __future__ import annotations

import importlib
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refimpl.axes import AxesError
from refimpl.models.zero_shot import (
    average_precision,
    mean_average_precision,
    median_rank,
    principal_components,
    ranks,
    recall_at_k,
    zero_shot_table,
    zero_shot_weights,
)
from refimpl.op import DomainError

SCORES = np.array(
    [[0.9, 0.1, 0.4, 0.4], [0.2, 0.3, 0.8, 0.1], [0.5, 0.6, 0.55, 0.2], [0.3, 0.3, 0.3, 0.3]]
)
DIAGONAL = np.arange(4)
ONE_EACH = np.eye(4, dtype=bool)


@st.composite
def tables(draw):
    """Scores with many ties, and which documents are right."""
    N, M = draw(st.integers(1, 6)), draw(st.integers(1, 7))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    return rng.integers(-2, 3, (N, M)) / 2, rng.random((N, M)) < 0.4


def ranking(scores):
    """Documents of one query, best first: a bubble sort, which never exchanges equals."""
    order = list(range(len(scores)))
    for end in range(len(order), 0, -1):
        for i in range(end - 1):
            if scores[order[i]] < scores[order[i + 1]]:
                order[i], order[i + 1] = order[i + 1], order[i]
    return order


# Zero-shot


def test_the_printed_example_of_an_ensemble():
    templates = np.sin(np.arange(1, 13)).reshape(1, 3, 4)
    image = np.cos(np.arange(4))
    image /= math.sqrt(math.fsum(x * x for x in image))
    (weights,) = zero_shot_weights(templates)
    assert round(float(image @ weights), 10) == 0.9308296474
    unit = templates[0] / np.sqrt(np.sum(templates[0] ** 2, axis=1, keepdims=True))
    assert round(float(np.mean(unit @ image)), 10) == 0.1426389972
    unnormalised = np.mean(templates[0], axis=0)
    cosine = image @ unnormalised / np.sqrt(unnormalised @ unnormalised)
    assert round(float(cosine), 10) == 0.9737052796  # what leaving out the first division gives


def test_weights_agree_with_loops_over_numbers():
    features = np.random.default_rng(0).standard_normal((3, 4, 5))
    for k, weights in enumerate(zero_shot_weights(features)):
        total = [0.0] * 5
        for prompt in features[k]:
            length = math.sqrt(math.fsum(x * x for x in prompt))
            total = [t + x / length for t, x in zip(total, prompt, strict=True)]
        length = math.hypot(*total)
        assert np.all(np.abs(weights - [t / length for t in total]) < 1e-15)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_lengths_order_and_repetition_of_prompts_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((2, 3, 4))
    weights = zero_shot_weights(features)
    longer = features * np.exp2(rng.integers(-3, 4, (2, 3, 1)))
    assert np.array_equal(zero_shot_weights(longer), weights)  # powers of two: exactly
    for same in (features[:, ::-1], np.concatenate([features, features], axis=1)):
        assert np.all(np.abs(zero_shot_weights(same) - weights) < 1e-12)
    assert np.all(np.abs(np.sum(weights * weights, axis=1) - 1) < 1e-14)


def test_one_prompt_is_its_own_direction():
    assert zero_shot_weights([[[3.0, 4.0]]]).tolist() == [[0.6, 0.8]]


def test_the_table_gives_the_cosine_gap_of_printed_probabilities():
    image, classes = np.array([[2.0, 1.0]]), np.array([[1.0, 0.0], [0.6, 0.8]])
    (p,) = zero_shot_table(image, classes)
    gap = (image @ (classes[0] - classes[1]) / math.sqrt(5)).item()
    assert abs(math.log(p[0] / p[1]) / 100 - gap) < 1e-13
    assert abs(p.sum() - 1) < 1e-15


def test_the_table_ignores_the_length_of_images_but_not_of_weights():
    image, classes = np.array([[2.0, 1.0]]), np.eye(2)
    same = zero_shot_table(4 * image, classes)
    assert np.array_equal(same, zero_shot_table(image, classes))
    assert np.any(zero_shot_table(image, 2 * classes) != same)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: zero_shot_weights(np.ones((2, 3))), AxesError, r"expected axes \(K N D\)"),
        (lambda: zero_shot_weights(np.ones((2, 0, 3))), AxesError, "N=0, expected at least one"),
        (lambda: zero_shot_weights(np.zeros((1, 1, 3))), DomainError, "length 0"),
        (lambda: zero_shot_weights([[[1.0], [-1.0]]]), DomainError, "mean of the prompts"),
        (lambda: zero_shot_weights([[[np.nan]]]), DomainError, "not finite"),
        (lambda: zero_shot_weights([[["a"]]]), AxesError, "expected real numbers"),
        (
            lambda: zero_shot_table(np.ones((1, 2)), np.ones((1, 3))),
            AxesError,
            "weights has D=3, image_features has D=2",
        ),
    ],
)
def test_zero_shot_refuses_what_has_no_answer(call, error, message):
    with pytest.raises(error, match=message):
        call()


# Retrieval


def test_the_printed_example_of_retrieval():
    assert ranks(SCORES, DIAGONAL).tolist() == [0, 1, 1, 3]
    assert [recall_at_k(SCORES, ONE_EACH, k) for k in (1, 2, 3, 4)] == [0.25, 0.75, 0.75, 1.0]
    assert mean_average_precision(SCORES, ONE_EACH) == 0.5625
    assert median_rank(SCORES, DIAGONAL) == 2


@settings(max_examples=150, deadline=None)
@given(tables())
def test_ranks_and_averages_agree_with_a_sort_and_fractions(table):
    scores, relevant = table
    for i, row in enumerate(scores):
        order = ranking(list(row))
        for target in range(len(row)):
            assert ranks(row[None], [target]) == [order.index(target)]
        hits, total = 0, Fraction(0)
        for place, document in enumerate(order, start=1):
            if relevant[i, document]:
                hits += 1
                total += Fraction(hits, place)
        expected = float(total / hits) if hits else 0.0
        found = average_precision(row[None], relevant[i][None])[0]
        assert abs(found - expected) < 1e-15
        for k in range(1, len(row) + 2):
            hit = any(relevant[i, document] for document in order[:k])
            assert recall_at_k(row[None], relevant[i][None], k) == hit


@settings(max_examples=60, deadline=None)
@given(tables())
def test_only_the_order_of_scores_matters(table):
    scores, relevant = table
    for other in (3 * scores + 1, np.exp(scores), scores**3):
        assert np.array_equal(
            average_precision(other, relevant), average_precision(scores, relevant)
        )
        for k in (1, 2):
            assert recall_at_k(other, relevant, k) == recall_at_k(scores, relevant, k)


@settings(max_examples=60, deadline=None)
@given(tables())
def test_a_longer_list_finds_no_less_and_a_collapsed_model_gets_no_credit(table):
    scores, relevant = table
    found = [recall_at_k(scores, relevant, k) for k in range(1, scores.shape[1] + 1)]
    assert found == sorted(found)
    assert found[-1] == np.mean(np.any(relevant, axis=1))
    M = scores.shape[1]
    assert ranks(np.zeros((M, M)), np.arange(M)).tolist() == list(range(M))
    assert recall_at_k(np.zeros((M, M)), np.eye(M), 1) == 1 / M


@settings(max_examples=60, deadline=None)
@given(tables())
def test_documents_may_change_places_where_no_scores_are_equal(table):
    scores, relevant = table
    N, M = scores.shape
    distinct = scores + np.arange(M) * 1e-3
    order = np.random.default_rng(N * M).permutation(M)
    moved = average_precision(distinct[:, order], relevant[:, order])
    assert np.array_equal(moved, average_precision(distinct, relevant))


def test_average_precision_with_one_right_document_is_one_over_its_place():
    found = average_precision(SCORES, ONE_EACH)
    assert np.array_equal(found, 1 / (ranks(SCORES, DIAGONAL) + 1))


def test_average_precision_divides_by_all_right_documents():
    assert average_precision([[3.0, 2.0, 1.0]], [[1, 0, 1]])[0] == (1 + 2 / 3) / 2
    assert average_precision([[3.0, 2.0]], [[0, 0]])[0] == 0


def test_average_precision_is_that_of_scikit_learn_where_scores_differ():
    pytest.importorskip("sklearn")
    metrics = importlib.import_module("sklearn.metrics")
    rng = np.random.default_rng(2)
    for _ in range(20):
        scores, relevant = rng.standard_normal(9), rng.random(9) < 0.5
        relevant[0] = True
        theirs = metrics.average_precision_score(relevant, scores)
        assert abs(average_precision(scores[None], relevant[None])[0] - theirs) < 1e-14


def test_the_median_rank_is_rounded_down_and_counted_from_one():
    scores = np.array([[2.0, 1.0, 0.0]] * 2)
    assert median_rank(scores, [0, 1]) == 1  # ranks 0 and 1: half is dropped
    assert median_rank(scores, [1, 2]) == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ranks(SCORES, [0, 1, 2, 4]), "index outside 0 to 3"),
        (lambda: ranks(SCORES, [0, 1]), r"expected integers \(N\)=\(4,\)"),
        (lambda: ranks(SCORES, [0.0] * 4), "expected integers"),
        (lambda: median_rank(np.ones((0, 3)), []), "N=0, expected at least one query"),
        (lambda: recall_at_k(SCORES, ONE_EACH, 0), "k is 0, expected an integer from 1"),
        (lambda: recall_at_k(SCORES, np.eye(3), 1), r"expected truth values \(N M\)=\(4, 4\)"),
        (lambda: recall_at_k(SCORES, 2 * ONE_EACH, 1), "expected truth values"),
        (lambda: mean_average_precision(np.ones((0, 3)), np.ones((0, 3))), "N=0"),
    ],
)
def test_retrieval_refuses_what_has_no_answer(call, message):
    with pytest.raises(AxesError, match=message):
        call()


# Principal components


def test_the_printed_example_of_principal_components():
    parts = principal_components(np.sin(np.arange(1, 13)).reshape(4, 3), 3)
    assert parts.variances[:2].round(9).tolist() == [2.049531023, 0.037598839]
    assert parts.variances[2] < 1e-30
    share = parts.variances / parts.variances.sum()
    assert share[:2].round(9).tolist() == [0.981985386, 0.018014614]


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 8), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_components_are_orthonormal_and_diagonalise_the_covariance(N, D, seed):
    rows = np.random.default_rng(seed).standard_normal((N, D))
    parts = principal_components(rows, min(N, D))
    K = min(N, D)
    assert np.all(np.abs(parts.directions @ parts.directions.T - np.eye(K)) < 1e-12)
    covariance = np.cov(rows, rowvar=False).reshape(D, D)
    found = parts.directions @ covariance @ parts.directions.T
    assert np.all(np.abs(found - np.diag(parts.variances)) < 1e-12 * (1 + np.trace(covariance)))
    assert np.all(np.diff(parts.variances) <= 0)
    assert np.all(np.abs(parts.scores @ parts.directions + parts.mean - rows) < 1e-12)
    assert abs(parts.variances.sum() - np.trace(covariance)) < 1e-12 * (1 + np.trace(covariance))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_shift_changes_the_mean_alone_and_the_largest_entry_is_positive(seed):
    rows = np.random.default_rng(seed).standard_normal((6, 3)) * [4, 2, 1]
    parts, shifted = principal_components(rows, 2), principal_components(rows + 8, 2)
    for name in ("directions", "variances", "scores"):
        assert np.all(np.abs(getattr(parts, name) - getattr(shifted, name)) < 1e-9), name
    largest = np.argmax(np.abs(parts.directions), axis=1)
    assert np.all(parts.directions[np.arange(2), largest] > 0)


def test_components_are_those_of_scikit_learn_sign_included():
    pytest.importorskip("sklearn")
    decomposition = importlib.import_module("sklearn.decomposition")
    rows = np.random.default_rng(4).standard_normal((9, 5)) * [5, 4, 3, 2, 1]
    theirs = decomposition.PCA(4, svd_solver="full").fit(rows)
    ours = principal_components(rows, 4)
    assert np.all(np.abs(ours.directions - theirs.components_) < 1e-12)
    assert np.all(np.abs(ours.variances - theirs.explained_variance_) < 1e-12)
    assert np.all(np.abs(ours.scores - theirs.transform(rows)) < 1e-12)


@pytest.mark.parametrize(("shape", "count"), [((1, 3), 1), ((4, 3), 4), ((4, 3), 0), ((4,), 1)])
def test_components_that_do_not_exist_are_refused(shape, count):
    with pytest.raises(AxesError, match="principal_components"):
        principal_components(np.ones(shape), count)
