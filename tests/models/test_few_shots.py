"""Pictures within a text: new layers with gates show them to the small reader's frozen decoder."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from PIL import Image

from refimpl.commands.main import main
from refimpl.models import TEXT, described, few_shots, reader
from refimpl.models.reader_words import COLON, DOT, IMAGE, words_of
from refimpl.models.shipped import folder, small_gates, small_reader
from refimpl.oracle.judging.layers import Lifted, exact
from tests.models.walks import FLOAT32, deviations

WORD = words_of("odd")[0]


def media(pictures=3):
    """Vectors such as the image tower gives: pictures 17 D."""
    return np.random.default_rng(8).normal(size=(pictures, 17, 128)).astype(np.float32)


def text(latents, gates, words=None):
    """Two examples and a third picture, by these vectors of the pictures."""
    config, (whole, params) = small_gates()[0], small_reader()
    ids = few_shots.example_ids([[WORD, WORD]])
    given = latents.reshape(1, -1, *latents.shape[1:])
    return few_shots.interleaved(ids, given, gates, words or params, config, whole.decoder)


def seen(pictures):
    config, gates = small_gates()
    return few_shots.resample(np.float64(pictures), gates, config)


def test_the_gates_have_the_arrays_of_their_configuration():
    config, gates = small_gates()
    assert {name: array.shape for name, array in gates.items()} == config.shapes()
    assert config.layers == small_reader()[0].decoder.layers
    assert all(gates[f"gated.{i}.attn_gate"] != 0 for i in range(config.layers))


def test_shut_gates_leave_the_decoder_as_it_was_bit_for_bit():
    gates = {name: np.float64(array) for name, array in small_gates()[1].items()}
    shut = {name: 0 * array for name, array in gates.items() if name.endswith("_gate")}
    whole, params = small_reader()
    words = {name: np.float64(array) for name, array in params.items()}
    ids = few_shots.example_ids([[WORD, WORD]])
    room = words["decoder.wte.weight"][ids[ids == IMAGE]]  # what stands there without a picture
    alone = reader.read(ids, room[None], words, whole.decoder)
    assert np.array_equal(text(seen(media()), gates | shut, words), alone)
    assert not np.allclose(text(seen(media()), gates, words), alone)


def test_the_order_of_the_tokens_of_a_picture_changes_nothing():
    pictures = media()
    first, second = (text(seen(x), small_gates()[1]) for x in (pictures, pictures[:, ::-1]))
    assert np.max(np.abs(first - second)) < np.max(np.abs(first)) * 2**-40


def test_a_picture_changes_no_word_before_it():
    pictures = media()
    other = pictures.copy()
    other[2] = media(4)[3]
    first, second = (text(seen(x), small_gates()[1]) for x in (pictures, other))
    assert np.array_equal(first[:, :8], second[:, :8])
    assert not np.allclose(first[:, 8:], second[:, 8:])


def in_torch(monkeypatch):
    """The decoder and the new layers that were trained, in float32."""
    torch = pytest.importorskip("torch")
    monkeypatch.syspath_prepend(folder())
    modules = {}
    for name in ("torch_reader", "torch_few_shots"):
        spec = importlib.util.spec_from_file_location(name, folder() / f"{name}.py")
        modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(modules[name])
    (config, gates), (whole, words) = small_gates(), small_reader()
    made = modules["torch_few_shots"].Flamingo(config.latents, config.width, config.layers)
    made.load_state_dict({name: torch.tensor(array) for name, array in gates.items()})
    sizes = whole.decoder
    decoder = modules["torch_reader"].Decoder(
        sizes.vocabulary, sizes.context, sizes.width, sizes.layers
    )
    own = {k[8:]: torch.tensor(v) for k, v in words.items() if k.startswith("decoder.")}
    decoder.load_state_dict(own)
    return made, decoder, torch


def test_every_layer_in_torch_is_within_the_bound(monkeypatch):
    made, decoder, torch = in_torch(monkeypatch)
    layers: dict = {}
    for i in range(small_gates()[0].layers):
        for name, module in (
            (f"gated.{i}", made.gated[i]),
            (f"decoder.transformer.resblocks.{i}", decoder.transformer.resblocks[i]),
        ):
            module.register_forward_hook(
                lambda _, __, y, name=name: layers.update({name: y.detach().numpy().copy()})
            )
    made.resampler.register_forward_hook(
        lambda _, __, y: layers.update(resampler=y.detach().numpy().copy())
    )
    ids = few_shots.example_ids([[WORD, WORD]])
    with torch.no_grad():
        logits = made(decoder, torch.tensor(ids), torch.tensor(media()[None]), IMAGE)
    layers["logits"] = logits.numpy()
    config, gates = small_gates()
    whole, words = small_reader()
    lifted, words = Lifted(gates, FLOAT32), Lifted(words, FLOAT32)

    def run(tap):
        latents = few_shots.resample(exact(media(), FLOAT32), lifted, config, TEXT, tap)
        latents = exact(latents.value[None], FLOAT32)
        few_shots.interleaved(ids, latents, lifted, words, config, whole.decoder, TEXT, tap)

    assert deviations(layers, few_shots.interleaved, run) == []


def test_examples_are_pictures_with_a_word_each_and_one_more():
    found = few_shots.example_ids([[WORD, 7]])
    assert found.tolist() == [[IMAGE, COLON, WORD, DOT, IMAGE, COLON, 7, DOT, IMAGE, COLON]]
    assert few_shots.example_ids(np.zeros((1, 0), int)).tolist() == [[IMAGE, COLON]]


@pytest.fixture
def drawn(tmp_path):
    """A one and a seven, drawn by a program."""
    one, seven = np.zeros((28, 28), np.uint8), np.zeros((28, 28), np.uint8)
    one[5:23, 13:16] = 255
    seven[6:9, 8:20] = 255
    for row in range(9, 23):
        column = 18 - (row - 9) // 2
        seven[row, column - 1 : column + 2] = 255
    for name, pixels in {"one": one, "seven": seven}.items():
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    return {name: tmp_path / f"{name}.png" for name in ("one", "seven")}


def run(capsys, *words):
    with pytest.raises(SystemExit) as end:
        main(["few-shot", *(str(word) for word in words)])
    told = capsys.readouterr()
    return end.value.code, told.out, told.err


@pytest.mark.parametrize(("shown", "due"), [("one", "seven"), ("1", "7"), ("odd", "odd")])
def test_one_example_tells_what_is_asked(shown, due, drawn, capsys):
    code, said, _ = run(capsys, drawn["one"], shown, drawn["seven"])
    assert code == 0
    assert said.split()[1] == due


MISTAKEN = {
    "No such file": ("nowhere.png",),
    "1 answers for 1 pictures": ("{one}", "odd"),
    "5 examples, expected at most 4": ("{one}", "odd") * 5 + ("{one}",),
    "the answer 'an eight' has 2 words": ("{one}", "an eight", "{one}"),
    "does not know the word 'green'": ("{one}", "green", "{one}"),
}


@pytest.mark.parametrize("says", MISTAKEN)
def test_what_is_wrong_is_said_in_a_line(says, drawn, capsys):
    code, _, error = run(capsys, *(part.format(**drawn) for part in MISTAKEN[says]))
    assert code == 4
    assert says in error
    assert error.count("\n") == 1


def test_shares_of_words_sum_to_one():
    images = np.zeros((2, 3, 1, 28, 28))
    shares = described.next_words(images, np.full((2, 2), WORD))
    assert np.max(np.abs(shares.sum(axis=1) - 1)) < 2**-40
