"""The diagnosis names mistakes whose cause is known; `make planted` tries all of them."""

from __future__ import annotations

import pytest

from refimpl.oracle.cases.drawn import generate
from refimpl.oracle.diagnosis.ask_back import predict
from refimpl.oracle.diagnosis.causes import causes, explanations
from refimpl.oracle.diagnosis.evidence import Evidence
from refimpl.oracle.diagnosis.search import of_catalogue, single_edits
from refimpl.registry import OPS
from tests.planted.corpus import KINDS, LANGUAGES, corpus, session
from tests.planted.trials import Judged, try_planted, try_withheld

ALL = {planted.name: planted for planted in corpus()}
NAMED = (  # a cause of the catalogue; the later ones do not show on plain inputs
    "quick_gelu__factor_twice",
    "clip_loss__scale_exponentiated_again",  # as large as 1e29, where a bound is infinite
    "q_sample__weights_exchanged",
    "patchify__down_then_right",
    "causal_bias_lower_right__from_the_top",
    "linear_schedule__stops_before_the_end",
    "layer_norm__eps_of_the_framework",
    "l2_normalize__added_epsilon",
    "sigmoid__quotient",
    "prefix_bias__one_more",
    "softmax__exponentials_bare",
    "attention__exponentials_bare",
    "clip_logits__unguarded_without_temperature",
)
EXPLAINED = (
    "linear__bias_backwards",
    "score_from_eps__share_squared",
    "gelu__two_not_rooted",
    "l2_normalize__neighbours_of_the_row",
    "group_norm__next_group_in_the_sum",
    "group_norm__pieces_of_columns",
    "group_norm__samples_share_a_group",
    "rms_norm__mean_in_bfloat16",
    "velocity__root_of_a_root",
    "q_sample__no_noise_at_zero",
    "softmax__along_axis_one_of_three",
    "linear__not_transposed_where_square",
    "linear__weight_in_float16",
)
HONEST = (
    "layer_norm__honest_welford",
    "softmax__honest_exp2",
    "alpha_bar__honest_logarithms",
    "respaced_betas__honest_products",
    "patchify__honest_slices",
)


@pytest.fixture(scope="module")
def become():
    with session() as become:
        yield become


def tried(name: str, become) -> Judged:
    if ALL[name].language in ("torch", "jax"):
        pytest.importorskip(ALL[name].language)
    return try_planted(ALL[name], become(ALL[name]), "quick")


@pytest.mark.parametrize("name", NAMED)
def test_a_listed_mistake_is_named_first(name, become):
    trial = tried(name, become)
    assert (trial.outcome, trial.causes[0]) == ("first", ALL[name].cause)


@pytest.mark.parametrize("name", EXPLAINED)
def test_another_mistake_is_explained(name, become):
    assert tried(name, become).outcome == "explained"


@pytest.mark.parametrize(
    "name", ["x0_from_eps__neither_rooted_nor_divided", "ddim_step__root_and_sigma_forgotten"]
)
def test_two_mistakes_at_once_are_explained(name, become):
    trial = tried(name, become)
    assert trial.outcome == "explained"
    assert "; " in trial.causes[0]


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_implementation_has_no_cause(name, become):
    trial = tried(name, become)
    assert (trial.outcome, trial.causes) == ("conforms", ())


def test_an_entry_taken_out_of_the_catalogue_is_found_by_the_search():
    op = OPS["quick_gelu"]
    edit = next(edit for edit in op.mistakes if edit.id == "quick_gelu/other-factor")
    trial = try_withheld(op, edit, "quick")
    assert trial.outcome == "explained"
    assert "`1.5958`" in trial.causes[0]


def test_the_corpus_is_large_and_every_listed_cause_exists():
    assert set(LANGUAGES) == {planted.language for planted in ALL.values()}
    kinds = [planted.kind for planted in ALL.values()]
    assert set(kinds) == set(KINDS)
    assert kinds.count("honest") >= 20
    assert kinds.count("unlisted") >= 15
    assert kinds.count("two") >= 10
    for planted in ALL.values():
        known = {edit.id for edit in (*planted.op.mistakes, *planted.op.dialects)}
        assert planted.kind != "listed" or planted.cause in known
        assert planted.cause


def test_the_language_files_have_no_other_implementation_of_a_name():
    assert len(ALL) == len(corpus())


# Entries that no error can be carried through: a target that has them is explained otherwise.
WITHOUT_A_BOUND = {
    "timestep_embedding/time-in-bfloat16",
    "rotary_angles/frequencies-in-bfloat16",
    "rotary_angles/positions-in-bfloat16",
}


@pytest.mark.parametrize("name", OPS)
def test_every_listed_edit_can_be_recognised(name):
    op = OPS[name]
    cases = list(generate(op, "float32", 6))
    for edit in (*op.mistakes, *op.dialects):
        if edit.id not in WITHOUT_A_BOUND:
            text = op.edited(edit)
            assert any(predict(op, text, case) is not None for case in cases), edit.id


def test_nothing_answered_has_no_explanation():
    nothing = Evidence(OPS["attention"], "float32")
    assert explanations(nothing) == []
    assert [cause.kind for cause in causes(nothing)] == ["unknown"]


@pytest.mark.parametrize("name", ["attention", "ddim_step", "layer_norm"])
def test_listed_edits_can_stand_beside_small_ones(name):
    op = OPS[name]
    listed = of_catalogue(op)
    assert len(listed) >= 0.9 * len((*op.mistakes, *op.dialects))
    small = single_edits(op)[:50]
    pairs = [pair for one in listed for other in small if (pair := one.with_another(other))]
    assert len(pairs) > 100
    assert all(pair.diff.startswith("--- ") for pair in pairs[::50])
