"""Whole models of images and words: what sees what, gates, places of words."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from refimpl.models import TEXT, untouched
from refimpl.models.blip2 import blip2, qformer_block
from refimpl.models.flamingo import flamingo
from refimpl.models.llama import llama
from refimpl.models.prior import prior
from refimpl.models.qwen_vl import qwen_tower, words_around
from refimpl.models.registry import find_model
from refimpl.oracle.judging.layers import bounded
from refimpl.oracle.targets.models import inputs_for
from refimpl.testing import assert_conforms
from tests.small import random_params


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


OF_THE_LAYER = {
    "self": "attn.query attn.key attn.value",
    "self_out": "attn.out_proj",
    "self_norm": "ln_1",
    "query": "cross.query",
    "image": "cross.key cross.value",
    "image_out": "cross.out_proj",
    "image_norm": "ln_cross",
    **{f"{kind}_in": f"{kind}.mlp.c_fc" for kind in ("queries", "words")},
    **{f"{kind}_out": f"{kind}.mlp.c_proj" for kind in ("queries", "words")},
    **{f"{kind}_norm": f"{kind}.ln_2" for kind in ("queries", "words")},
}


@pytest.mark.parametrize("reads", [True, False])
def test_a_layer_of_blip2_is_the_operation_of_that_name(reads):
    config = find_model("blip2-testing")
    own, rng = config.qformer, np.random.default_rng(0)
    params = random_params(config, dtype=np.float64)
    layer = {
        f"{name}_{'gain' if 'norm' in name and part == 'weight' else part}": np.concatenate(
            [params[f"qformer.layers.0.{place}.{part}"] for place in places.split()]
        )
        for name, places in OF_THE_LAYER.items()
        for part in ("weight", "bias")
    }
    if not reads:
        params = {n: x for n, x in params.items() if ".cross." not in n}
    x = rng.normal(size=(2, 5, own.width))
    image = rng.normal(size=(2, 3, config.vision.width)) if reads else None
    how = {"queries": own.queries, "heads": own.heads, "eps": own.eps}
    bias = TEXT.padding_bias(np.array([5, 4]), 5)
    found = qformer_block(x, image, own.queries, bias, params, "qformer.layers.0", own)
    given = {"x": x, "image": image, "bias": bias} | layer | how
    assert_conforms(found, "qformer_layer", given, "float64")


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
