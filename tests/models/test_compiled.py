"""Whole Transformers on several threads: what the text gives, forward and back."""

from __future__ import annotations

import dataclasses
import importlib

import numpy as np
import pytest

import refimpl
from refimpl.axes import AxesError
from refimpl.compiled import threads
from refimpl.models import compiled, recorder
from refimpl.models.autoencoder import decode
from refimpl.models.clip import clip_image
from refimpl.models.configs import Text, Vit
from refimpl.models.gradients import clip_image_vjp, vit_vjp
from refimpl.models.registry import family
from refimpl.models.spec.vae import TESTING as VAE
from refimpl.models.vit import transformer, vit
from refimpl.oracle.judging.layers import bounded
from refimpl.oracle.targets.models import inputs_for
from refimpl.testing import bound
from tests.small import SMALL, random_params

TRUNK = Vit(14, 24, 2, 3, 60, image=28)
ACTIVATIONS = ("gelu", "gelu_tanh", "quick_gelu", "silu")


@pytest.fixture(autouse=True)
def two_threads():
    before = threads.count()
    threads.use(2)
    yield
    threads.use(before)


def tokens(images=4, count=7, width=24, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).normal(size=(images, count, width)).astype(dtype)


def on_the_text(x, params, config, bias=None):
    """What the text gives, with its bound."""

    def run(x, params, config, ops):
        return transformer(x, params, "", config, bias, ops)

    return bounded(run, params, "float64", x=x, config=config)


def assert_within(found, whole):
    assert whole.error.max() < np.abs(whole.value).max() / 100  # a bound that can be missed
    assert (np.abs(found - whole.value) <= 2 * whole.error).all()


def test_a_group_norm_waits_for_the_gate_behind_it():
    x, gain, bias = tokens(2, 6, 20).reshape(2, 6, 4, 5), tokens(1, 1, 6)[0, 0], np.ones(6)
    normal = compiled.group_norm(x, gain, bias, 3, 1e-5)
    expected = refimpl.fast.group_norm(x, gain, bias, 3, 1e-5)
    assert np.array_equal(np.asarray(normal), expected)
    assert np.array_equal(normal * (1 + x), expected * (1 + x))
    gated, allowed = bound(lambda x: x / (1 + np.exp(-x)), x=expected)
    assert (np.abs(compiled.silu(normal) - gated) <= 2 * allowed).all()


def test_an_autoencoder_decodes_in_the_compiled_namespace():
    params, z = random_params(VAE, dtype=np.float64), tokens(1, 4, 9).reshape(1, 4, 3, 3)
    expected = decode(z, params, VAE, refimpl.fast)
    assert np.allclose(decode(z, params, VAE, compiled), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("layer_scale", [False, True])
def test_one_block_gives_what_its_text_gives(activation, layer_scale):
    config = dataclasses.replace(TRUNK, layers=1, activation=activation, layer_scale=layer_scale)
    params, x = random_params(config, dtype=np.float64), tokens()
    assert_within(
        compiled.transformer(x, params, "", config, None, None), on_the_text(x, params, config)
    )


@pytest.mark.parametrize("images", [1, 2, 3, 5, 8])
def test_any_number_of_images_gives_what_the_text_gives(images):
    params, x = random_params(TRUNK, dtype=np.float64), tokens(images)
    found = compiled.transformer(x, params, "", TRUNK, None, None)
    assert_within(found, on_the_text(x, params, TRUNK))


@pytest.mark.parametrize("wanted", [None, 3])
@pytest.mark.parametrize("count", [7, 61])
def test_threads_that_share_the_layers_of_one_image_give_what_the_text_gives(
    count, wanted, monkeypatch
):
    for limit in ("WORTHWHILE", "PIECE", "ROWS"):
        monkeypatch.setattr(threads, limit, 1)
    params, x = random_params(TRUNK, dtype=np.float64), tokens(1, count)
    whole = on_the_text(x, params, TRUNK)
    found = compiled.transformer(x, params, "", TRUNK, None, wanted)
    assert (np.abs(found - whole.value[:, :wanted]) <= 2 * whole.error[:, :wanted]).all()


@pytest.mark.parametrize("wanted", [1, 3, 7])
def test_the_first_tokens_are_the_same_where_the_others_are_left_out(wanted):
    params, x = random_params(TRUNK, dtype=np.float64), tokens()
    found = compiled.transformer(x, params, "", TRUNK, None, wanted)
    assert found.shape == (4, wanted, 24)
    whole = on_the_text(x, params, TRUNK)
    assert (np.abs(found - whole.value[:, :wanted]) <= 2 * whole.error[:, :wanted]).all()


@pytest.mark.parametrize(
    "bias",
    [
        refimpl.causal_bias(7, 7),
        refimpl.padding_bias([7, 4, 1, 6], 7),
        np.random.default_rng(3).normal(size=(4, 3, 7, 7)),
        np.random.default_rng(3).normal(size=(3, 1, 7)),
    ],
    ids=["causal", "lengths", "each", "heads"],
)
def test_a_bias_of_any_shape_is_added_to_the_scores(bias):
    config = dataclasses.replace(TRUNK, layers=1)
    params, x = random_params(config, dtype=np.float64), tokens()
    found = compiled.transformer(x, params, "", config, bias, None)
    assert_within(found, on_the_text(x, params, config, bias))


@pytest.mark.parametrize("name", SMALL)
def test_a_whole_model_gives_what_its_text_gives(name):
    config, params = SMALL[name], random_params(SMALL[name], dtype=np.float64)
    model, inputs = family(config), inputs_for(config, 0)
    ops = importlib.import_module(model.compiled)
    whole = bounded(model.text, params, "float64", **inputs, config=config)
    found = model.text(**inputs, params=params, config=config, ops=ops)
    assert (np.abs(found - whole.value) <= 2 * whole.error).all()


@pytest.mark.parametrize("class_token", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_gradient_is_led_back_as_the_text_leads_it(activation, class_token):
    config = dataclasses.replace(TRUNK, layers=1, activation=activation, class_token=class_token)
    params, images = random_params(config, dtype=np.float64), np.zeros((4, 3, 28, 28))
    images += np.random.default_rng(1).normal(size=images.shape)
    grad = np.random.default_rng(2).normal(size=(4, 24))
    whole = bounded(vit_vjp, params, "float64", images=images, grad=grad, config=config)
    ops, kept = compiled.Remembering(), {}
    vit(images, params, config, ops, recorder(kept))
    found = vit_vjp(images, params, config, grad, ops, kept=kept)
    assert_within(found, whole)


def test_several_blocks_lead_a_gradient_back_as_the_operations_do():
    config, params = SMALL["clip"], random_params(SMALL["clip"], dtype=np.float64)
    images = np.random.default_rng(1).normal(size=(5, 3, 28, 28))
    grad = np.random.default_rng(2).normal(size=(5, 12))
    whole = bounded(clip_image_vjp, params, "float64", images=images, grad=grad, config=config)
    ops, kept = compiled.Remembering(), {}
    clip_image(images, params, config, ops, recorder(kept))
    found = clip_image_vjp(images, params, config, grad, ops, kept=kept)
    assert (np.abs(found - whole.value) <= 2 * whole.error).all()


def test_the_result_has_the_precision_of_what_was_given():
    for dtype in (np.float32, np.float64):
        params, x = random_params(TRUNK, dtype=dtype), tokens(dtype=dtype)
        assert compiled.transformer(x, params, "", TRUNK, None, None).dtype == dtype


def test_a_bias_that_float32_does_not_have_is_added_in_float64():
    params, x = random_params(TRUNK), tokens(dtype=np.float32)
    for bias, dtype in (
        (refimpl.causal_bias(7, 7), np.float32),
        (np.full((7, 7), 0.1), np.float64),
        (np.full((7, 7), -1e300), np.float64),
    ):
        assert compiled.transformer(x, params, "", TRUNK, bias, None).dtype == dtype


def test_a_gradient_asks_the_namespace_to_remember():
    params, images = random_params(TRUNK, dtype=np.float64), np.zeros((4, 3, 28, 28))
    grad = np.random.default_rng(2).normal(size=(4, 24))
    whole = bounded(vit_vjp, params, "float64", images=images, grad=grad, config=TRUNK)
    found = vit_vjp(images, params, TRUNK, grad, compiled)
    assert (np.abs(found - whole.value) <= 2 * whole.error).all()


def test_a_transformer_without_blocks_passes_tokens_and_gradients_on():
    config, x = dataclasses.replace(TRUNK, layers=0), tokens()
    ops = compiled.Remembering()
    assert np.array_equal(ops.transformer(x, {}, "", config, None, 1), x[:, :1])
    back = ops.transformer_vjp(x[:, :1])
    assert np.array_equal(back[:, :1], x[:, :1])
    assert not back[:, 1:].any()


def test_no_images_give_no_tokens():
    params = random_params(TRUNK, dtype=np.float64)
    assert compiled.transformer(tokens(0), params, "", TRUNK, None, None).shape == (0, 7, 24)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"x": np.zeros((4, 7, 25))},
            r"transformer: x has shape \(4, 7, 25\), expected \(B, N, 24\)",
        ),
        ({"x": np.zeros((4, 24))}, r"x has shape \(4, 24\)"),
        ({"config": dataclasses.replace(TRUNK, heads=5)}, "5 heads in a width of 24"),
        (
            {"config": dataclasses.replace(TRUNK, activation="relu")},
            "the activation relu; expected",
        ),
        ({"bias": np.zeros((6, 7))}, r"bias has shape \(6, 7\), expected it to fit \(4, 3, 7, 7\)"),
        ({"ln_2.bias": np.zeros(23)}, r"resblocks.1.ln_2.bias has shape \(23,\)"),
        ({"mlp.c_fc.weight": np.zeros((24, 60))}, r"has shape \(24, 60\).*expected \(60, 24\)"),
        ({"mlp.c_fc.weight": np.zeros((60, 24), int)}, "dtype int64"),
        ({"attn.out_proj.bias": None}, "out_proj.bias"),
    ],
)
def test_what_does_not_fit_is_named(change, says):
    params = random_params(TRUNK, dtype=np.float64)
    given = {"x": tokens(), "config": TRUNK, "bias": None}
    for name, value in change.items():
        if name in given:
            given[name] = value
        else:
            params[f"transformer.resblocks.1.{name}"] = value
    with pytest.raises(AxesError, match=says):
        compiled.transformer(given["x"], params, "", given["config"], given["bias"], None)


def test_a_gradient_of_another_shape_is_named():
    ops = compiled.Remembering()
    ops.transformer(tokens(), random_params(TRUNK, dtype=np.float64), "", TRUNK, None, 1)
    with pytest.raises(AxesError, match=r"grad has shape \(4, 7, 24\), expected \(4, 1, 24\)"):
        ops.transformer_vjp(tokens())


def test_text_towers_go_through_whole_blocks_as_well():
    config = Text(24, 1, 2, 72, 12, context=7, vocabulary=40)
    params, x = random_params(SMALL["clip"], dtype=np.float64), tokens()
    bias = refimpl.causal_bias(7, 7)
    found = compiled.transformer(x, params, "", config, bias, None)
    assert_within(found, on_the_text(x, params, config, bias))
