"""The small reader: what was trained in PyTorch is what the texts compute, and what it says."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from PIL import Image

from refimpl.axes import AxesError
from refimpl.commands.describe import shaded
from refimpl.commands.main import main
from refimpl.models import TEXT, described, reader, recorder
from refimpl.models.configs import count
from refimpl.models.reader_words import COLON, IMAGE, WORDS, text_of, words_of
from refimpl.models.shipped import DIGITS, folder, small_reader
from refimpl.models.tokenizer import TextError
from refimpl.op import DomainError
from refimpl.oracle.judging.layers import Lifted, exact
from tests.models.walks import FLOAT32, deviations


def in_torch(monkeypatch):
    """Both modules that the weights were trained as, in float32."""
    torch = pytest.importorskip("torch")
    monkeypatch.syspath_prepend(folder())
    spec = importlib.util.spec_from_file_location("torch_reader", folder() / "torch_reader.py")
    modules = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(modules)
    config, params = small_reader()
    queries, decoder = config.queries, config.decoder
    made = {
        "qformer": modules.QFormer(queries.queries, queries.width, queries.layers),
        "decoder": modules.Decoder(
            decoder.vocabulary, decoder.context, decoder.width, decoder.layers
        ),
    }
    for name, module in made.items():
        own = {k: torch.tensor(v) for k, v in params.items() if k.startswith(f"{name}.")}
        module.load_state_dict({k.partition(".")[2]: v for k, v in own.items()})
        module.eval()
    return made, torch


def image_like(pictures=2):
    """Vectors such as the tower gives: B 17 D."""
    return np.random.default_rng(6).normal(size=(pictures, 17, 128)).astype(np.float32)


def hooked(module, at, names):
    """What parts of a module give, under the names of the taps."""
    layers = {}
    for part, name in names.items():

        def keep(_, __, output, name=name):
            layers[f"{at}.{name}"] = output.detach().numpy().copy()

        module.get_submodule(part).register_forward_hook(keep)
    return layers


def wrong_layers(text, layers, config, *inputs):
    params = Lifted(small_reader()[1], FLOAT32)
    return deviations(layers, text, lambda tap: text(*inputs, params, config, TEXT, tap))


def torch_queries(monkeypatch):
    made, torch = in_torch(monkeypatch)
    config, module = small_reader()[0].queries, made["qformer"]
    steps = [("ln_1", "ln_1"), ("mlp", "mlp.c_proj"), ("ln_2", "ln_2"), ("attn", "attn")]
    names = {f"layers.{i}.{a}": f"layers.{i}.{b}" for i in range(config.layers) for a, b in steps}
    for i in filter(config.asks, range(config.layers)):
        names |= {f"layers.{i}.{part}": f"layers.{i}.{part}" for part in ("cross", "ln_cross")}
    layers = hooked(module, "qformer", names | {"projector": "projector", "ln_image": "ln_image"})
    with torch.no_grad():
        module(torch.tensor(image_like()))
    return layers, config


def test_every_layer_of_the_queries_in_torch_is_within_the_bound(monkeypatch):
    layers, config = torch_queries(monkeypatch)
    assert len(layers) > 15
    assert wrong_layers(reader.soft_prompt, layers, config, exact(image_like(), FLOAT32)) == []


def test_a_layer_that_asks_nothing_is_found(monkeypatch):
    layers, config = torch_queries(monkeypatch)
    layers["qformer.layers.2.cross"] = 0 * layers["qformer.layers.2.cross"]
    wrong = wrong_layers(reader.soft_prompt, layers, config, exact(image_like(), FLOAT32))
    assert "qformer.layers.2.cross" in wrong


def test_every_layer_of_the_decoder_in_torch_is_within_the_bound(monkeypatch):
    made, torch = in_torch(monkeypatch)
    config, module = small_reader()[0], made["decoder"]
    prompt = np.random.default_rng(7).normal(size=(1, config.queries.queries, 128))
    prompt = prompt.astype(np.float32)
    ids = np.array([[IMAGE] * config.queries.queries + [COLON, *words_of("which digit?")]])
    blocks = {f"transformer.resblocks.{i}" for i in range(config.decoder.layers)}
    layers = hooked(module, "decoder", {name: name for name in (*blocks, "ln_f")})
    with torch.no_grad():
        words = module.wte(torch.tensor(ids[:, config.queries.queries :]))
        logits = module(torch.cat((torch.tensor(prompt), words), dim=1))
    layers["logits"] = logits.numpy()

    def text(prompt, params, config, ops, tap):
        return reader.read(ids, prompt, params, config, ops, tap)

    assert wrong_layers(text, layers, config.decoder, exact(prompt, FLOAT32)) == []


def test_the_reader_has_the_arrays_of_its_configuration():
    config, params = small_reader()
    assert {name: array.shape for name, array in params.items()} == config.shapes()
    assert count(config) == sum(array.size for array in params.values())
    assert config.decoder.vocabulary == len(WORDS) == len(set(WORDS))


def test_a_text_without_room_for_all_queries_is_refused():
    config, params = small_reader()
    prompt = np.zeros((1, config.queries.queries, config.queries.width))
    with pytest.raises(AxesError, match="keep room for"):
        reader.read(np.array([[IMAGE, COLON]]), prompt, params, config.decoder)


def test_the_order_of_the_tokens_of_a_picture_changes_nothing():
    config, params = small_reader()
    image = np.float64(image_like(1))
    prompts = [
        reader.soft_prompt(x, params, config.queries) for x in (image, image[:, ::-1].copy())
    ]
    scale = np.max(np.abs(prompts[0]))
    assert np.max(np.abs(prompts[0] - prompts[1])) < scale * 2**-40


def test_what_the_queries_look_at_is_what_mixed_the_values():
    config, params = small_reader()
    told: dict = {}
    reader.soft_prompt(np.float64(image_like(1)), params, config.queries, TEXT, recorder(told))
    looked = reader.looked_at(told, config.queries)
    assert looked.shape == (2, config.queries.heads, config.queries.queries, 17)
    for weights, layer in zip(looked, (0, 2), strict=True):
        values = told[f"qformer.layers.{layer}.cross.value"].reshape(17, -1, reader.HEAD)
        mixed = np.einsum("hqm,mhe->qhe", weights, values).reshape(len(weights[0]), -1)
        expected = told[f"qformer.layers.{layer}.cross.mixed"][0]
        assert np.max(np.abs(mixed - expected)) < np.max(np.abs(values)) * 2**-45


def test_words_are_cut_and_put_together_again():
    for text in ("is it larger than four?", "an eight", "the digit 7"):
        assert text_of(words_of(text)) == text
    with pytest.raises(TextError, match="does not know the word 'giraffe'; it knows 0, 1"):
        words_of("a giraffe")


@pytest.fixture
def seven(tmp_path):
    """A seven, drawn by a program."""
    pixels = np.zeros((28, 28), np.uint8)
    pixels[6:9, 8:20] = 255
    for row in range(9, 23):
        column = 18 - (row - 9) // 2
        pixels[row, column - 1 : column + 2] = 255
    Image.fromarray(pixels).save(tmp_path / "seven.png")
    return tmp_path / "seven.png"


def run(capsys, *words):
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    told = capsys.readouterr()
    return end.value.code, told.out, told.err


def test_a_seven_is_described(seven, capsys):
    assert run(capsys, "describe", seven) == (0, "a handwritten seven\n", "")


ASKED = {
    "which digit?": "seven",
    "what digit is this": "seven",
    "is it even?": "no",
    "is it odd?": "yes",
    "is it larger than four?": "yes",
    "is it smaller than four?": "no",
    "is it a seven?": "yes",
    "Is it an eight?": "no",
    "which number comes next?": "eight",
}


@pytest.mark.parametrize("question", ASKED)
def test_questions_about_a_seven_are_answered(question, seven, capsys):
    assert run(capsys, "ask", seven, question) == (0, f"{ASKED[question]}\n", "")


def test_an_answer_is_scored_by_what_people_said(seven, capsys):
    people = ["7", "a seven", "Seven.", *["one"] * 7]
    code, said, _ = run(capsys, "ask", seven, "which digit?", "--people", *people)
    assert (code, said) == (0, "seven\nscore 0.9: 3 of 10 people gave this answer\n")
    assert described.score("seven", ["one"] * 10) == 0
    assert described.score("seven", ["7"] * 4 + ["one"] * 6) == 1
    with pytest.raises(DomainError, match="expected at least 2"):
        described.score("seven", ["7"])


def test_the_page_of_a_description_shows_the_picture_and_each_round(seven, capsys, tmp_path):
    code, said, _ = run(capsys, "describe", seven, "--explain", tmp_path / "seen.png")
    assert code == 0
    assert said.splitlines()[1].endswith("seen.png: what 8 queries look at")
    with Image.open(tmp_path / "seen.png") as page:
        assert page.info["Sheet"] == "17 images"


def test_a_patch_that_no_query_looks_at_is_black():
    looked = np.zeros((2, 17))
    looked[:, 0], looked[:, 6] = 0.5, 0.5
    shown = shaded(np.ones((28, 28)), looked)[0]
    assert np.all(shown[:, 7:14, 7:14] == 1)
    assert np.sum(shown > -1) == 2 * 49


MISTAKEN = {
    "No such file": ("describe", "nowhere.png"),
    "is no image that Pillow reads": ("describe", "{text}"),
    "expected a name that ends in .png": ("describe", "{seven}", "--explain", "x.gif"),
    "the question is empty": ("ask", "{seven}", " ? "),
    "the question has 21 words and signs, expected 14": ("ask", "{seven}", "is it " * 10),
    "does not know the word 'green'": ("ask", "{seven}", "is it green?"),
    "1 people were asked": ("ask", "{seven}", "which digit?", "--people", "7"),
}


@pytest.mark.parametrize("says", MISTAKEN)
def test_what_is_wrong_is_said_in_a_line(says, seven, tmp_path, capsys):
    (tmp_path / "text.png").write_text("a text")
    given = {"seven": seven, "text": tmp_path / "text.png"}
    code, _, error = run(capsys, *(part.format(**given) for part in MISTAKEN[says]))
    assert code == 4
    assert says in error
    assert error.count("\n") == 1


def test_all_digits_have_a_word():
    assert set(DIGITS) < set(WORDS)
