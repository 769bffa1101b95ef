"""Whole models of language: published sizes, structures that are wrong, a library's layers."""

from __future__ import annotations

import dataclasses
import importlib.util

import numpy as np
import pytest

from refimpl.axes import AxesError
from refimpl.models import cache, recorder
from refimpl.models.configs import count
from refimpl.models.llama import llama
from refimpl.models.registry import family, find_model
from refimpl.models.weights import check, infer
from refimpl.op import Op
from refimpl.oracle.diagnosis.structure import judge_layers
from refimpl.oracle.judging.layers import bounded
from refimpl.oracle.targets.models import Recording, inputs_for

from .small import random_params

PUBLISHED = {  # numbers that are trained, a table that serves twice counted once
    "bert-base": 109_482_240,
    "bert-base-masked": 109_514_298,
    "bert-base-pretraining": 110_106_428,
    "bert-large": 335_141_888,
    "bert-large-masked": 335_174_458,
    "bert-large-pretraining": 336_226_108,
    "minilm-l6": 22_713_216,
    "llama-2-7b": 6_738_415_616,
    "llama-3-8b": 8_030_261_248,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-3b": 3_085_938_688,
    "qwen2.5-7b": 7_615_616_512,
    "glassllm": 852_608,
}
SMALL = ("bert-testing", "llama-testing", "qwen2-testing")
KINDS = ("bert-testing", "qwen2-testing")  # one of each family
HAS_LIBRARY = importlib.util.find_spec("transformers") is not None


@pytest.mark.parametrize(("name", "parameters"), PUBLISHED.items())
def test_the_model_has_as_many_parameters_as_was_published(name, parameters):
    assert count(find_model(name)) == parameters


def walk(name, edit=None):
    """All values of a small model in float64, by the text or by an edited one."""
    config, kept = find_model(name), {}
    op = Op(family(config).text)
    text = op.edited(edit) if edit else op.text
    params = random_params(config, dtype=np.float64)
    text(**inputs_for(config, 0), params=params, config=config, tap=recorder(kept))
    return kept


MISTAKES = [(name, edit) for name in KINDS for edit in family(find_model(name)).mistakes]


@pytest.mark.parametrize(("name", "edit"), MISTAKES, ids=lambda x: getattr(x, "id", x))
def test_every_mistake_changes_what_the_model_computes(name, edit):
    right, wrong = walk(name), walk(name, edit)
    changed = [k for k in right if k in wrong and np.shape(right[k]) == np.shape(wrong[k])]
    away = max(np.abs(right[k] - wrong[k]).max() / np.abs(right[k]).max() for k in changed)
    assert away > 1e-3


WRONG = (
    "bert-testing bert/pre-norm",
    "bert-testing bert/one-segment",
    "bert-testing bert/padding-seen",
    "bert-testing bert/guess-without-norm",
    "bert-testing bert/keys-from-queries",
    "qwen2-testing llama/groups-interleaved",
    "qwen2-testing llama/bias-dropped",
    "qwen2-testing llama/gate-and-up-exchanged",
    "qwen2-testing llama/keys-not-turned",
)


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_structure_is_named(wrong):
    name, slug = wrong.split()
    config, layers = find_model(name), {}
    model = family(config)
    edit = next(edit for edit in model.mistakes if edit.id == slug)
    params, given = random_params(config), inputs_for(config, 0)

    def tap(name, x):
        layers[name] = np.asarray(x, np.float32)
        return layers[name]

    Op(model.text).edited(edit)(**given, params=params, config=config, tap=tap)
    judgement = judge_layers(Recording(config, params, given, layers))
    assert [found.edits for found in judgement.explanations] == [(edit,)]


@pytest.mark.skipif(not HAS_LIBRARY, reason="is not installed")
@pytest.mark.parametrize("name", SMALL)
def test_the_library_computes_every_layer_of_it(name):
    from refimpl.backends import transformers

    recording = transformers.record(find_model(name), seed=1)
    check(recording.params, recording.config)
    judgement = judge_layers(recording)
    assert judgement.status == "conforms"
    assert {layer.name for layer in judgement.layers} == set(walk(name))
    assert all(layer.judged for layer in judgement.layers)


def test_the_shapes_tell_the_sizes_of_bert():
    config = find_model("bert-testing")
    assert infer(random_params(config)) == dataclasses.replace(config, heads=1)


def test_what_stands_behind_a_text_changes_no_word_of_it():
    config = find_model("bert-testing")
    params, given = random_params(config, dtype=np.float64), inputs_for(config, 0)
    text, length = family(config).text, given["lengths"][1]
    other = {**given, "ids": given["ids"].copy()}
    other["ids"][1, length:] = 0
    first, second = (text(**x, params=params, config=config) for x in (given, other))
    assert np.array_equal(first[1, :length], second[1, :length])
    assert not np.array_equal(first[1, length:], second[1, length:])


def test_a_step_with_kept_keys_and_values_gives_the_last_row_of_the_whole_text():
    config = find_model("qwen2-testing")
    params, given = random_params(config, dtype=np.float64), inputs_for(config, 0)
    whole = bounded(llama, params, "float64", **given, config=config)
    past: dict = {}
    for i in range(given["ids"].shape[1]):
        told: dict = {}
        word = {"ids": given["ids"][:, i : i + 1], "positions": given["positions"][i : i + 1]}
        row = llama(**word, params=params, config=config, tap=recorder(told), past=past)
        past = cache.kept(told)
        allowed = 2 * whole.error[:, i : i + 1]
        assert np.isfinite(allowed).all()
        assert (np.abs(row - whole.value[:, i : i + 1]) <= allowed).all()
    with pytest.raises(AxesError, match="at most 4"):
        llama(np.zeros((2, 5), int), np.zeros(5), params, config, past=past)


def test_scores_of_a_text_do_not_depend_on_where_it_begins():
    config = find_model("llama-testing")
    params, given = random_params(config, dtype=np.float64), inputs_for(config, 0)
    whole = bounded(llama, params, "float64", **given, config=config)
    later = llama(given["ids"], given["positions"] + 7, params, config)
    assert (np.abs(later - whole.value) <= 8 * whole.error).all()


def test_neighbours_as_pairs_are_halves_of_reordered_matrices():
    config = find_model("llama-testing")
    params, given = random_params(config, dtype=np.float64), inputs_for(config, 0)
    pairs = dataclasses.replace(config, pairs=True)
    order = np.concatenate([h * config.head + np.r_[0:8:2, 1:8:2] for h in range(config.heads)])
    moved = {
        n: x[order] if n.endswith(("q_proj.weight", "k_proj.weight")) else x
        for n, x in params.items()
    }
    found, expected = (
        llama(**given, params=params, config=pairs),
        llama(**given, params=moved, config=config),
    )
    whole = bounded(llama, moved, "float64", **given, config=config)
    assert (np.abs(found - expected) <= 2 * whole.error).all()
    assert not np.allclose(found, llama(**given, params=params, config=config))
