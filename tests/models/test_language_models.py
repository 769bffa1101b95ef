"""Whole models of language: real weights, steps with a cache, what they refuse."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from refimpl import fast
from refimpl.axes import AxesError
from refimpl.models import cache, recorder
from refimpl.models.configs import count
from refimpl.models.llama import llama
from refimpl.models.names import Layout
from refimpl.models.registry import family, find_model
from refimpl.models.spec.translator import TORCH
from refimpl.models.weights import check, infer
from refimpl.oracle.diagnosis.structure import judge_layers
from refimpl.oracle.judging.layers import bounded
from refimpl.oracle.targets.models import inputs_for
from tests.small import random_params

READERS = ("transformer-testing", "bart-testing", "t5-testing")
CAUSAL = ("gpt1-testing", "gpt2-testing", "qwen2-testing", *READERS)


def test_the_first_transformer_has_as_many_parameters_as_that_of_pytorch():
    torch = pytest.importorskip("torch")
    blocks = torch.nn.Transformer(512, 8, 6, 6, 2048, batch_first=True, device="meta")
    last_norms = 2 * 2 * 512  # which the paper has not
    found = sum(p.numel() for p in blocks.parameters()) - last_norms + 37000 * 512
    assert count(find_model("transformer-base")) == found
    assert found == 63_045_632 + 18 * 4 * 512  # and biases of 18 attentions


@pytest.fixture(scope="module")
def trained():
    """The weights of ruaccent-predictor under our names, and its table of signs."""
    pytest.importorskip("torch")
    spec = importlib.util.find_spec("ruaccent")
    if spec is None:
        pytest.skip("ruaccent-predictor is not installed")
    library = importlib.import_module("refimpl.backends.parts.torch_translator")
    state = {name: value.numpy() for name, value in library.trained().items()}
    params = Layout("", TORCH).translate(state)
    check(params, find_model("ruaccent"))
    table = Path(spec.submodule_search_locations[0]) / "model" / "vocab.json"
    return params, json.loads(table.read_text("utf-8"))


def test_a_trained_encoder_and_decoder_write_what_their_own_library_writes(trained):
    """Written down from ruaccent-predictor 1.2.0: greedy, padding seen, its odd end included."""
    params, signs = trained
    config = find_model("ruaccent")
    read = [1, *(signs[sign] for sign in "мама мыла раму"), 2]
    source = np.array([read + [0] * (config.context - len(read))])
    written = np.array([[1, *(signs[sign] for sign in "ма'ма мы'ла ра'му Гно'лG"), 2]])
    M, N = source.shape[1], written.shape[1] - 1
    places = np.arange(M, dtype=np.float32)
    given = (source, np.array([M]), places, written[:, :-1], places[:N])
    logits = family(config).text(*given, params, config, fast)
    assert np.array_equal(np.argmax(logits, axis=-1), written[:, 1:])


def test_a_trained_encoder_and_decoder_have_the_layers_of_pytorch(trained):
    library = importlib.import_module("refimpl.backends.parts.torch_whole")
    judgement = judge_layers(library.record(find_model("ruaccent"), seed=1))
    assert judgement.status == "conforms"
    assert len(judgement.layers) == 129
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


@pytest.mark.parametrize("name", CAUSAL)
def test_a_step_with_kept_keys_and_values_gives_the_last_row_of_the_whole_text(name):
    config, text = find_model(name), family(find_model(name)).text
    if "source" in inputs_for(config, 0):
        config = dataclasses.replace(config, layers=1)  # bounds over four blocks are too wide
    params, given = random_params(config, dtype=np.float64), inputs_for(config, 0)
    whole = bounded(text, params, "float64", **given, config=config)
    allowed = 2 * whole.error
    assert (allowed < np.abs(whole.value).max() / 100).all()
    past: dict = {}
    for i in range(given["ids"].shape[1]):
        told: dict = {}
        word = given | {"ids": given["ids"][:, i : i + 1]}
        if "positions" in given:
            word |= {"positions": given["positions"][i : i + 1]}
        row = text(**word, params=params, config=config, tap=recorder(told), past=past)
        past = cache.kept({n: x for n, x in told.items() if not n.startswith("encoder.")})
        away = np.abs(row - whole.value[:, i : i + 1])
        assert (away <= allowed[:, i : i + 1]).all()


def test_a_past_leaves_less_room_for_words():
    config = find_model("qwen2-testing")
    params, past = random_params(config), {"layers.0.attn.key": np.zeros((2, 16, 8))}
    with pytest.raises(AxesError, match="at most 4"):
        llama(np.zeros((2, 5), int), np.zeros(5), params, config, past=past)


@pytest.mark.parametrize("name", CAUSAL)
def test_a_later_word_changes_no_earlier_logits(name):
    config, text = find_model(name), family(find_model(name)).text
    params, given = random_params(config, dtype=np.float64), inputs_for(config, 0)
    other = given | {"ids": given["ids"].copy()}
    other["ids"][:, 7] = (other["ids"][:, 7] + 1) % config.vocabulary
    first, second = (text(**x, params=params, config=config) for x in (given, other))
    assert np.array_equal(first[:, :7], second[:, :7])
    assert not np.array_equal(first[:, 7:], second[:, 7:])


@pytest.mark.parametrize("name", READERS)
def test_the_padding_of_what_is_read_changes_nothing_that_is_written(name):
    config, text = find_model(name), family(find_model(name)).text
    params, given = random_params(config, dtype=np.float64), inputs_for(config, 0)
    other = given | {"source": given["source"].copy()}
    other["source"][1, given["lengths"][1] :] = 0
    first, second = (text(**x, params=params, config=config) for x in (given, other))
    assert np.array_equal(first, second)
    other["source"][1, 0] = (other["source"][1, 0] + 1) % config.vocabulary
    assert not np.array_equal(first, text(**other, params=params, config=config))


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
