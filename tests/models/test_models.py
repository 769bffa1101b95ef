"""Whole models: the sizes that were published, one text in every arithmetic, and what must hold."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import refimpl
from refimpl.axes import AxesError
from refimpl.models import TEXT, recorder
from refimpl.models.clip import clip, clip_image, clip_text
from refimpl.models.configs import MODELS, Vit, count
from refimpl.models.registry import family
from refimpl.models.resnet import attention_pool, avg_pool, conv2d
from refimpl.models.vit import block, vit
from refimpl.oracle.diagnosis.structure import judge_layers
from refimpl.oracle.judging.layers import bounded
from refimpl.oracle.targets.models import Recording, inputs_for
from tests.small import SMALL, WORDS, random_params

PUBLISHED = {  # by vision_transformer's own tests, CLIP's notebook, and open_clip in millions
    "vit-testing": 21_390,
    "vit-ti-16": 5_717_416,
    "vit-s-16": 22_050_664,
    "vit-s-32": 22_878_952,
    "vit-b-8": 86_576_872,
    "vit-b-16": 86_567_656,
    "vit-b-32": 88_224_232,
    "vit-l-16": 304_326_632,
    "vit-l-32": 306_535_400,
    "vit-h-14": 632_045_800,
    "clip-vit-b-32": 151_277_313,
    "clip-vit-b-16": 149_620_737,
    "clip-vit-l-14": 427_616_513,
    "clip-vit-l-14-336": 427_944_193,
    "clip-vit-h-14": 986_109_441,
}
IN_MILLIONS = {"clip-rn50": 102.01, "clip-rn101": 119.69}


def run(config, params, inputs, **how):
    return family(config).text(**inputs, params=params, config=config, **how)


def record(config, ops=TEXT, seed=0, dtype=np.float32, spoken=None):
    """What a target records that computes with these operations."""
    params, inputs, layers = random_params(config, seed, dtype), inputs_for(config, seed), {}
    inputs = {n: x.astype(dtype) if x.dtype.kind == "f" else x for n, x in inputs.items()}
    run(spoken or config, params, inputs, ops=ops, tap=recorder(layers))
    return Recording(config, params, inputs, {n: np.asarray(x) for n, x in layers.items()})


@pytest.mark.parametrize(("name", "parameters"), PUBLISHED.items())
def test_the_model_has_as_many_parameters_as_was_published(name, parameters):
    assert count(MODELS[name]) == parameters


@pytest.mark.parametrize(("name", "millions"), IN_MILLIONS.items())
def test_the_resnet_has_as_many_million_parameters_as_was_published(name, millions):
    assert round(count(MODELS[name]) / 1e6, 2) == millions


def test_the_mean_of_all_tokens_needs_no_class_token_and_no_position_for_it():
    gap = dataclasses.replace(MODELS["vit-b-16"], class_token=False)
    assert count(gap) == 86_566_120


def test_a_model_without_a_head_has_as_many_parameters_as_was_published():
    assert count(dataclasses.replace(MODELS["vit-h-14"], classes=0)) == 630_764_800


@pytest.mark.parametrize("name", SMALL)
def test_the_text_and_the_checked_operations_give_the_same_numbers(name):
    config = SMALL[name]
    params, inputs = random_params(config, dtype=np.float64), inputs_for(config, 0)
    text, checked = (run(config, params, inputs, ops=ops) for ops in (TEXT, refimpl))
    assert np.array_equal(text, checked)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_on_the_compiled_twins_every_layer_is_within_its_bound(name, dtype):
    recording = record(SMALL[name], ops=refimpl.fast, dtype=dtype)
    judgement = judge_layers(recording, np.dtype(dtype).name)
    assert judgement.status == "conforms", judgement.first
    assert recording.layers["pooled" if name.startswith("vit") else "logits"].dtype == dtype


@pytest.mark.parametrize("name", SMALL)
def test_the_bound_of_the_whole_model_holds_what_the_twins_give(name):
    config, params = SMALL[name], random_params(SMALL[name], dtype=np.float64)
    inputs = inputs_for(config, 0)
    whole = bounded(family(config).text, params, "float64", **inputs, config=config)
    found = run(config, params, inputs, ops=refimpl.fast)
    assert np.isfinite(whole.error).all()
    assert (np.abs(found - whole.value) <= 2 * whole.error).all()


@pytest.mark.parametrize("name", SMALL)
def test_every_parameter_is_used_and_none_but_these(name):
    config, asked = SMALL[name], set()

    class Watched(dict):
        def __getitem__(self, key):
            asked.add(key)
            return super().__getitem__(key)

        def get(self, key, default=None):
            asked.update({key} & set(self))
            return super().get(key, default)

    run(config, Watched(random_params(config)), inputs_for(config, 0))
    assert asked == set(config.shapes())


def test_a_block_whose_scales_are_zero_changes_nothing():
    config = SMALL["vit-scaled"]
    params = random_params(config)
    name = "transformer.resblocks.0"
    params |= {f"{name}.ls_{i}.gamma": np.zeros(config.width) for i in (1, 2)}
    x = np.random.default_rng(0).normal(size=(2, 5, config.width))
    assert np.array_equal(block(x, params, name, config), x)


def test_patches_may_come_in_any_order_if_their_positions_come_along():
    config = dataclasses.replace(SMALL["vit-mean"], patch=14)
    params = random_params(config, dtype=np.float64)
    images = inputs_for(config, 0)["images"].astype(np.float64)
    swapped = np.concatenate([images[:, :, 14:], images[:, :, :14]], axis=2)  # rows of patches
    other = dict(params, positional_embedding=params["positional_embedding"][[2, 3, 0, 1]])
    bound = bounded(vit, params, "float64", images=images, config=config)
    assert (np.abs(vit(swapped, other, config) - bound.value) <= 2 * bound.error).all()


def test_what_stands_behind_the_end_of_a_text_changes_nothing():
    config, params = SMALL["clip"], random_params(SMALL["clip"], dtype=np.float64)
    ids = np.array([[38, 5, 39, 0, 0, 0, 0], [38, 5, 39, 7, 39, 1, 2]])
    first, second = clip_text(ids, params, config)
    assert np.array_equal(first, second)


def test_a_shorter_row_of_ids_gives_the_same_features():
    config, params = SMALL["clip"], random_params(SMALL["clip"], dtype=np.float64)
    ids = np.array([[38, 5, 39, 0, 0, 0, 0]])
    bound = bounded(clip_text, params, "float64", ids=ids, config=config)
    short = clip_text(ids[:, :3], params, config)
    assert (np.abs(short - bound.value) <= 2 * bound.error).all()


def test_logits_are_cosines_times_the_scale():
    config, params = SMALL["clip"], random_params(SMALL["clip"], dtype=np.float64)
    inputs = inputs_for(config, 0)
    logits = clip(**inputs, params=params, config=config)
    images = clip_image(inputs["images"], params, config)
    texts = clip_text(inputs["ids"], params, config)
    assert np.array_equal(logits, refimpl.clip_logits(images, texts, params["logit_scale"]))


@pytest.mark.parametrize(("stride", "side"), [(1, 3), (2, 3), (1, 1), (3, 5)])
def test_the_convolution_is_the_sum_over_its_window(stride, side):
    rng = np.random.default_rng(0)
    x, weight = rng.integers(-9, 9, (2, 3, 7, 8)), rng.integers(-9, 9, (4, 3, side, side))
    found, margin = conv2d(x, weight, stride), side // 2
    assert found.shape == (2, 4, -(-7 // stride), -(-8 // stride))
    for b, o, row, col in np.ndindex(found.shape):
        total = 0
        for channel, i, j in np.ndindex(weight.shape[1:]):
            r, c = row * stride + i - margin, col * stride + j - margin
            if 0 <= r < 7 and 0 <= c < 8:
                total += weight[o, channel, i, j] * x[b, channel, r, c]
        assert found[b, o, row, col] == total


def test_the_mean_over_squares_keeps_the_mean_of_the_image():
    x = np.arange(2 * 3 * 4 * 8.0).reshape(2, 3, 4, 8)
    assert np.array_equal(avg_pool(x, 4).mean(axis=(2, 3)), x.mean(axis=(2, 3)))


def test_an_attention_pool_of_equal_pixels_gives_what_one_pixel_says():
    rng = np.random.default_rng(0)
    parts = ("q", "k", "v", "c")
    params = {f"{part}_proj.weight": rng.normal(size=(8, 8)) for part in parts}
    params |= {f"{part}_proj.bias": rng.normal(size=8) for part in parts}
    params["positional_embedding"] = np.zeros((5, 8))
    pixel = rng.integers(-5, 5, 8).astype(float)
    x = np.broadcast_to(pixel[None, :, None, None], (1, 8, 2, 2))
    bound = bounded(attention_pool, params, "float64", x=x, at="", heads=2)
    value = params["v_proj.weight"] @ pixel + params["v_proj.bias"]
    want = params["c_proj.weight"] @ value + params["c_proj.bias"]
    assert (np.abs(bound.value - want) <= 2 * bound.error).all()


WRONG = [
    (
        lambda p: clip_image(np.zeros((1, 1, 28, 28)), p, SMALL["clip"]),
        r"vit: images has shape \(1, 1, 28, 28\), expected \(B, 3, 28, 28\)",
    ),
    (
        lambda p: clip_image(np.zeros((3, 28, 28)), p, SMALL["clip"]),
        r"vit: images has shape \(3, 28, 28\), expected",
    ),
    (
        lambda p: clip_text(np.zeros((1, 8), int), p, SMALL["clip"]),
        r"text: ids has shape \(1, 8\), expected \(texts, at most 7\)",
    ),
    (lambda p: clip_text([[40]], p, SMALL["clip"]), "text: ids has 40, but the vocabulary has 40"),
    (lambda p: clip_text([[-1]], p, SMALL["clip"]), "text: ids has -1, but the vocabulary has 40"),
    (lambda p: clip_text([[0.5]], p, SMALL["clip"]), "text: ids has dtype float64, expected int"),
]


@pytest.mark.parametrize(("call", "says"), WRONG, ids=range(len(WRONG)))
def test_inputs_that_do_not_fit_are_named(call, says):
    with pytest.raises(AxesError, match=says):
        call(random_params(SMALL["clip"]))


def test_the_names_of_a_vision_transformer_alone_are_those_of_clip_without_visual():
    alone = Vit(14, 32, 2, 2, 96, image=28, embed=12, patch_bias=False, pre_norm=True)
    tower = [name for name in SMALL["clip"].shapes() if name.startswith("visual.")]
    assert [f"visual.{name}" for name in alone.shapes()] == tower
    assert WORDS.shapes().keys().isdisjoint(tower)
