"""GPT-2: the sizes that were published, what must hold, and the library's layer by layer."""

from __future__ import annotations

import dataclasses
import importlib.util

import numpy as np
import pytest

import refimpl
from refimpl.axes import AxesError
from refimpl.compiled import loading, threads
from refimpl.models import compiled, recorder
from refimpl.models.cache import front, grown, kept
from refimpl.models.configs import count
from refimpl.models.gpt2 import Gpt2, gpt2
from refimpl.models.registry import find_model
from refimpl.models.spec.gpt2 import MODEL
from refimpl.models.vit import join, split
from refimpl.models.weights import check, infer
from refimpl.op import Op
from refimpl.oracle.diagnosis.structure import judge_layers
from refimpl.oracle.judging.layers import bounded
from refimpl.oracle.targets.models import Recording, inputs_for
from tests.small import random_params

SMALL = Gpt2(24, 2, 3, context=12, vocabulary=40)
PUBLISHED = {
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
}


@pytest.mark.parametrize(("name", "parameters"), PUBLISHED.items())
def test_the_model_has_as_many_parameters_as_was_published(name, parameters):
    assert count(find_model(name)) == parameters


def test_a_later_word_changes_no_earlier_logits():
    params, ids = random_params(SMALL, dtype=np.float64), inputs_for(SMALL, 0)["ids"]
    other = ids.copy()
    other[:, 7] = (other[:, 7] + 1) % SMALL.vocabulary
    first, second = gpt2(ids, params, SMALL), gpt2(other, params, SMALL)
    assert np.array_equal(first[:, :7], second[:, :7])
    assert not np.array_equal(first[:, 7:], second[:, 7:])


def test_ids_that_the_model_does_not_have_are_refused():
    params = random_params(SMALL)
    with pytest.raises(AxesError, match="ids has 40, but the vocabulary has 40"):
        gpt2(np.array([[40]]), params, SMALL)
    with pytest.raises(AxesError, match="at most 12"):
        gpt2(np.zeros((1, 13), int), params, SMALL)


def test_the_compiled_form_is_within_the_bound_of_the_whole():
    params, given = random_params(SMALL, dtype=np.float64), inputs_for(SMALL, 0)
    whole = bounded(gpt2, params, "float64", **given, config=SMALL)
    found = gpt2(**given, params=params, config=SMALL, ops=compiled)
    assert np.isfinite(whole.error).all()
    assert (np.abs(found - whole.value) <= 2 * whole.error).all()


def after_all_but_the_last(ids, params, config=SMALL):
    """The cache behind all words but the last, as the compiled twins leave it."""
    kept_values = {}
    gpt2(ids[:, :-1], params, config, refimpl.fast, recorder(kept_values))
    return kept(kept_values)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_compiled_step_behind_a_cache_is_within_the_bound_of_the_whole(dtype):
    params, given = random_params(SMALL, dtype=dtype), inputs_for(SMALL, 0)
    precision = np.dtype(dtype).name
    whole = bounded(gpt2, params, precision, **given, config=SMALL)
    past = after_all_but_the_last(given["ids"], params)
    found = gpt2(given["ids"][:, -1:], params, SMALL, compiled, past=past)
    assert found.dtype == dtype
    assert (np.abs(found - whole.value[:, -1:]) <= 2 * whole.error[:, -1:]).all()


@pytest.mark.parametrize("sizes", [(2, 1, 1, 1), (1, 8, 3, 7), (2, 21, 5, 33), (1, 40, 4, 16)])
def test_attention_over_a_cache_reads_what_is_there_alone(sizes):
    B, M, heads, E = sizes
    draw, D = np.random.default_rng(0).standard_normal, heads * E
    joint, key, value = draw((B, 3 * D)), *(draw((2, B, M + 3, D)))
    key[:, M:] = value[:, M:] = np.nan
    query, seen = split(joint[:, None, :D], heads), (split(x[:, :M], heads) for x in (key, value))
    expected = join(refimpl.attention(query, *seen, None))[:, 0]
    kernels, found = loading.compiled("refimpl.models.kernels_step"), np.empty((B, D))
    steps, room = D * np.arange(kernels.PLACES), np.empty((B * heads, M + -M % 4))
    kernels._attend(0, B * heads, joint, key, value, M, heads, steps, room, found)
    assert np.allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_threads_that_meet_within_a_block_give_what_one_gives():
    wide, found = Gpt2(192, 2, 3, context=12, vocabulary=40), []
    params, ids = random_params(wide, dtype=np.float32), inputs_for(wide, 0)["ids"]
    past, before = after_all_but_the_last(ids, params, wide), threads.count()
    for number in (1, *(3,) * 20):
        threads.use(number)
        found.append(gpt2(ids[:, -1:], params, wide, compiled, past=past))
    threads.use(before)
    assert all(np.array_equal(found[0], other) for other in found[1:])


def test_two_words_behind_the_same_cache_do_not_meet():
    params, ids = random_params(SMALL, dtype=np.float64), inputs_for(SMALL, 0)["ids"]
    start = {}
    past = after_all_but_the_last(ids, params)
    gpt2(ids[:, -1:], params, SMALL, compiled, recorder(start), past)
    words = np.array([[3], [4]]), np.array([[5], [6]])
    alone = [gpt2(word, params, SMALL, refimpl.fast, past=kept(start)) for word in words]
    first, second = {}, {}
    for word, into in zip(words, (first, second)):
        gpt2(word, params, SMALL, compiled, recorder(into), kept(start))
    for into, expected in zip((first, second), alone):
        assert np.allclose(into["logits"], expected, rtol=1e-9, atol=1e-12)
    name = "transformer.resblocks.1.attn.key"
    assert not np.array_equal(first[name][:, -1], second[name][:, -1])
    assert np.array_equal(first[name][:, :-1], second[name][:, :-1])


def test_a_cache_grows_in_its_own_memory():
    whole = front(np.zeros((1, 8, 2)), 3)
    longer = grown(whole, np.ones((1, 1, 2)))
    assert np.shares_memory(whole, longer)
    assert not np.shares_memory(longer, grown(whole, np.full((1, 1, 2), 2.0)))
    assert longer[0, 3, 0] == 1


def test_the_shapes_tell_the_sizes():
    params = random_params(SMALL)
    assert infer(params) == dataclasses.replace(SMALL, heads=1)
    check(params, SMALL)


WRONG = ("later-words-seen", "no-positions", "positions-one-later", "no-last-norm", "post-norm")


@pytest.mark.parametrize("slug", WRONG)
def test_a_wrong_structure_is_named(slug):
    edit = next(edit for edit in MODEL.mistakes if edit.id == f"gpt2/{slug}")
    params, given, layers = random_params(SMALL), inputs_for(SMALL, 0), {}
    wrong = Op(gpt2).edited(edit)
    wrong(**given, params=params, config=SMALL, ops=refimpl.fast, tap=recorder(layers))
    judgement = judge_layers(Recording(SMALL, params, given, layers))
    assert [found.edits for found in judgement.explanations] == [(edit,)]


@pytest.mark.skipif(not importlib.util.find_spec("transformers"), reason="is not installed")
def test_the_library_computes_every_layer_of_it():
    from refimpl.backends import transformers

    recording = transformers.record(SMALL, seed=1)
    check(recording.params, SMALL)
    judgement = judge_layers(recording)
    assert judgement.status == "conforms"
    assert len(judgement.layers) == 3 + 12 * SMALL.layers
    assert all(layer.judged for layer in judgement.layers)
