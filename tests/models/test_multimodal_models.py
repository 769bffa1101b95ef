"""Whole models of images and words: published sizes, wrong structures, a library's layers."""

from __future__ import annotations

import dataclasses
import functools
import importlib

import numpy as np
import pytest

from refimpl.models import TEXT, untouched
from refimpl.models.blip2 import blip2
from refimpl.models.configs import count
from refimpl.models.flamingo import flamingo
from refimpl.models.llama import llama
from refimpl.models.prior import prior
from refimpl.models.qwen_vl import qwen_tower, words_around
from refimpl.models.registry import family, find_model
from refimpl.models.weights import check
from refimpl.oracle.diagnosis.structure import judge_layers
from refimpl.oracle.judging.layers import bounded
from refimpl.oracle.targets.models import inputs_for
from tests.models.walks import moved, recorded, walk
from tests.small import random_params

PUBLISHED = {
    "blip2-itm-vit-g": 1_172_032_258,
    "llava-1.5-7b": 7_063_427_072,
    "idefics-9b": 8_929_679_632,
    "karlo-prior": 1_022_030_080,
    "kandinsky-2.2-prior": 1_026_225_920,
    "if-i-xl": 4_304_695_110,
    "kandinsky-2.2-decoder": 1_253_057_288,
    "qwen2.5-vl-3b": 3_754_622_976,
    "qwen2.5-vl-7b": 8_292_166_656,
    "qwen2.5-vl-72b": 73_410_777_344,
}
TOWERS = {  # that are a part of these
    "blip2-itm-vit-g": 985_952_256,
    "llava-1.5-7b": 303_507_456,
    "qwen2.5-vl-3b": 668_684_288,
    "qwen2.5-vl-7b": 676_550_144,
    "qwen2.5-vl-72b": 704_573_696,
}
SMALL = (
    "qwen2.5-vl-testing",
    "blip2-testing",
    "llava-testing",
    "flamingo-testing",
    "open-flamingo-testing",
    "prior-testing",
    "imagen-testing",
    "imagen-enlarging-testing",
    "unclip-testing",
)
OF_DIFFUSERS = ("prior-testing", "imagen-testing", "imagen-enlarging-testing", "unclip-testing")
WRONG = ("qwen2.5-vl-testing qwen-vl/frames-not-separated",)
FAMILIES = {name: family(find_model(name)) for name in SMALL}
MISTAKES = {edit.id: (model, edit) for model in FAMILIES.values() for edit in model.mistakes}
right_walk = functools.cache(walk)


@pytest.mark.parametrize(("name", "parameters"), PUBLISHED.items())
def test_the_model_has_as_many_parameters_as_was_published(name, parameters):
    assert count(find_model(name)) == parameters


@pytest.mark.parametrize(("name", "parameters"), TOWERS.items())
def test_its_tower_has_as_many_parameters_as_was_published(name, parameters):
    shapes = find_model(name).shapes()
    assert sum(np.prod(x) for at, x in shapes.items() if at.startswith("visual.")) == parameters


@pytest.mark.parametrize("slug", MISTAKES)
def test_every_mistake_changes_what_a_model_of_the_family_computes(slug):
    model, edit = MISTAKES[slug]
    several = [name for name in SMALL if FAMILIES[name] is model]
    assert max(moved(right_walk(name), walk(name, edit)) for name in several) > 1e-3


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_structure_is_named_and_nothing_else(wrong):
    name, slug = wrong.split()
    _, edit = MISTAKES[slug]
    judgement = judge_layers(recorded(name, edit))
    assert [found.edits for found in judgement.explanations] == [(edit,)]


@pytest.mark.parametrize("name", SMALL)
def test_a_library_computes_every_layer_of_it(name):
    pytest.importorskip("torch")
    where = "diffusers" if name in OF_DIFFUSERS else "transformers"
    pytest.importorskip(where)
    library = importlib.import_module(f"refimpl.backends.{where}")
    recording = library.record(find_model(name), seed=1)
    check(recording.params, recording.config)
    judgement = judge_layers(recording)
    assert judgement.status == "conforms"
    assert {layer.name for layer in judgement.layers} == right_walk(name).keys()
    assert all(layer.judged for layer in judgement.layers)


def test_a_patch_is_seen_in_its_window_alone_until_a_layer_sees_whole_frames():
    config = find_model("qwen2.5-vl-testing")
    params, given = random_params(config, dtype=np.float64), inputs_for(config, 0)
    other = given["patches"].copy()
    other[0] += 1  # in the first window of the image, two tokens wide and tall
    for whole, changed in (((), {0, 1, 3, 4}), ((1,), set(range(9)))):
        tower = dataclasses.replace(config.tower, whole=whole)
        first, second = (
            qwen_tower(x, given["grids"], params, tower, TEXT, untouched)[0]
            for x in (given["patches"], other)
        )
        assert set(np.flatnonzero((first != second).any(axis=1))) == changed


def test_the_queries_of_a_qformer_have_no_order_among_them():
    config = find_model("blip2-testing")
    config = dataclasses.replace(config, qformer=dataclasses.replace(config.qformer, layers=1))
    params, given = random_params(config, dtype=np.float64), inputs_for(config, 0)
    whole = bounded(blip2, params, "float64", **given, config=config)
    other = params | {"queries": params["queries"][::-1]}
    found = blip2(**given, params=other, config=config)
    assert (np.abs(found - whole.value) <= 2 * whole.error).all()
    assert (whole.error < np.abs(whole.value) / 100).all()


def test_shut_gates_leave_the_language_model_bit_for_bit():
    config = find_model("flamingo-testing")
    params, given = random_params(config, dtype=np.float64), inputs_for(config, 0)
    shut = {n: 0 * x if ".alpha_" in n else x for n, x in params.items()}
    positions = np.arange(given["ids"].shape[1], dtype=np.float64)
    alone = llama(given["ids"], positions, params, config.text)
    assert np.array_equal(flamingo(**given, params=shut, config=config), alone)
    assert not np.array_equal(flamingo(**given, params=params, config=config), alone)


def test_a_word_sees_the_image_before_it_and_no_other():
    config = find_model("open-flamingo-testing")  # one layer: words tell each other nothing yet
    params, given = random_params(config, dtype=np.float64), inputs_for(config, 0)
    params = {n: 0 * x if n == "layers.0.attn.out_proj.weight" else x for n, x in params.items()}
    other = given | {"images": given["images"].copy()}
    other["images"][0, 1] += 1  # the second image of the first text, its seventh token
    first, second = (flamingo(**x, params=params, config=config) for x in (given, other))
    assert set(np.flatnonzero((first[0] != second[0]).any(axis=1))) == {6, 7}
    assert np.array_equal(first[1], second[1])


def test_the_padding_of_a_text_changes_no_prediction():
    config = find_model("prior-testing")
    params, given = random_params(config, dtype=np.float64), inputs_for(config, 0)
    other = given | {"words": given["words"].copy()}
    other["words"][1, -1] += 1  # behind the second text
    first, second = (prior(**x, params=params, config=config) for x in (given, other))
    assert np.array_equal(first, second)
    other["words"][1, 0] += 1
    assert not np.array_equal(first, prior(**other, params=params, config=config))


def test_words_are_counted_around_images_and_videos():
    ids = np.array([[7, 9, 9, 9, 9, 9, 9, 7, 7, 9, 9, 7]])
    around = words_around(ids, np.array([[1, 2, 3], [2, 1, 1]]), 9)
    assert around.tolist() == [1, 2, 1]
