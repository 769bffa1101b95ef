"""Whole models of language: published sizes, structures that are wrong, a library's layers."""

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
from tests.models.walks import moved, recorded, walk
from tests.small import random_params

PUBLISHED = {  # numbers that are trained, a table that serves twice counted once
    "bert-base": 109_482_240,
    "bert-base-masked": 109_514_298,
    "bert-base-pretraining": 110_106_428,
    "bert-large": 335_141_888,
    "bert-large-masked": 335_174_458,
    "bert-large-pretraining": 336_226_108,
    "minilm-l6": 22_713_216,
    "gpt1": 116_534_784,
    "gpt-notebook": 5_809_168,
    "bart-base": 139_420_416,
    "bart-large": 406_291_456,
    "t5-small": 60_506_624,
    "t5-base": 222_903_552,
    "t5-large": 737_668_096,
    "t5-3b": 2_851_598_336,
    "t5-11b": 11_307_321_344,
    "t5-v1.1-small": 76_961_152,
    "t5-v1.1-base": 247_577_856,
    "t5-v1.1-large": 783_150_080,
    "t5-v1.1-xl": 2_849_757_184,
    "t5-v1.1-xxl": 11_135_332_352,
    "llama-2-7b": 6_738_415_616,
    "llama-3-8b": 8_030_261_248,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-3b": 3_085_938_688,
    "qwen2.5-7b": 7_615_616_512,
    "glassllm": 852_608,
    "ruaccent": 7_488_736,
}
SMALL = (
    "transformer-testing",
    "bert-testing",
    "gpt1-testing",
    "gpt2-testing",
    "bart-testing",
    "t5-testing",
    "t5-v1.1-testing",
    "llama-testing",
    "qwen2-testing",
)
UNSEEN = {"gpt1": ("query", "key", "value", "mixed", "activation")}  # parts of no module
READERS = ("transformer-testing", "bart-testing", "t5-testing")
CAUSAL = ("gpt1-testing", "gpt2-testing", "qwen2-testing", *READERS)


@pytest.mark.parametrize(("name", "parameters"), PUBLISHED.items())
def test_the_model_has_as_many_parameters_as_was_published(name, parameters):
    assert count(find_model(name)) == parameters


def test_the_first_transformer_has_as_many_parameters_as_that_of_pytorch():
    torch = pytest.importorskip("torch")
    blocks = torch.nn.Transformer(512, 8, 6, 6, 2048, batch_first=True, device="meta")
    last_norms = 2 * 2 * 512  # which the paper has not
    found = sum(p.numel() for p in blocks.parameters()) - last_norms + 37000 * 512
    assert count(find_model("transformer-base")) == found
    assert found == 63_045_632 + 18 * 4 * 512  # and biases of 18 attentions


FAMILIES = {name: family(find_model(name)) for name in SMALL}
MISTAKES = {edit.id: (model, edit) for model in FAMILIES.values() for edit in model.mistakes}


@pytest.mark.parametrize("slug", MISTAKES)
def test_every_mistake_changes_what_a_model_of_the_family_computes(slug):
    model, edit = MISTAKES[slug]
    several = [name for name in SMALL if FAMILIES[name] is model]
    assert max(moved(walk(name), walk(name, edit)) for name in several) > 1e-3


WRONG = (
    "transformer-testing translator/sines-before-all-cosines",
    "transformer-testing translator/no-norm-behind-the-memory",
    "gpt1-testing gpt1/norm-before-adding",
    "bert-testing bert/pre-norm",
    "bert-testing bert/guess-without-norm",
    "bart-testing bart/values-from-keys-of-the-memory",
    "t5-testing t5/scores-of-words-not-scaled",
    "t5-v1.1-testing t5/gate-and-up-exchanged",
    "qwen2-testing llama/groups-interleaved",
    "qwen2-testing llama/bias-dropped",
)


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_structure_is_named(wrong):
    name, slug = wrong.split()
    _, edit = MISTAKES[slug]
    judgement = judge_layers(recorded(name, edit))
    assert [found.edits for found in judgement.explanations] == [(edit,)]


@pytest.mark.parametrize("name", SMALL)
def test_a_library_computes_every_layer_of_it(name):
    pytest.importorskip("torch")
    if name == "transformer-testing":
        library = importlib.import_module("refimpl.backends.parts.torch_whole")
    else:
        pytest.importorskip("transformers")
        library = importlib.import_module("refimpl.backends.transformers")
    recording = library.record(find_model(name), seed=1)
    check(recording.params, recording.config)
    judgement = judge_layers(recording)
    assert judgement.status == "conforms"
    unseen = UNSEEN.get(FAMILIES[name].name, ())
    named = {layer for layer in walk(name) if layer.rpartition(".")[2] not in unseen}
    assert {layer.name for layer in judgement.layers} == named
    assert all(layer.judged for layer in judgement.layers)


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
    config, text = find_model(name), FAMILIES[name].text
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
    config, text = find_model(name), FAMILIES[name].text
    params, given = random_params(config, dtype=np.float64), inputs_for(config, 0)
    other = given | {"ids": given["ids"].copy()}
    other["ids"][:, 7] = (other["ids"][:, 7] + 1) % config.vocabulary
    first, second = (text(**x, params=params, config=config) for x in (given, other))
    assert np.array_equal(first[:, :7], second[:, :7])
    assert not np.array_equal(first[:, 7:], second[:, 7:])


@pytest.mark.parametrize("name", READERS)
def test_the_padding_of_what_is_read_changes_nothing_that_is_written(name):
    config, text = find_model(name), FAMILIES[name].text
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
