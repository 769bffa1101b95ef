"""Guided sampling and zero-shot classification with the small models, as functions and commands."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from refimpl.commands.main import main
from refimpl.models import picture
from refimpl.models.classify import zero_shot
from refimpl.models.clip import clip_image
from refimpl.models.generate import (
    SCALES,
    generate,
    noise,
    standard_normal,
    towards,
    towards_digit,
)
from refimpl.models.shipped import DIGITS, small_clip
from refimpl.models.tokenizer import TextError, tokenize
from refimpl.op import DomainError

MASK = 2**64 - 1


def philox(counter, key):
    """Philox 4×64 with ten rounds, after Salmon et al. 2011, in Python's own integers."""
    x, k = list(counter), list(key)
    for _ in range(10):
        first, second = 0xD2E7470EE14C6C93 * x[0], 0xCA5A826395121157 * x[2]
        x = [
            (second >> 64) ^ x[1] ^ k[0],
            second & MASK,
            (first >> 64) ^ x[3] ^ k[1],
            first & MASK,
        ]
        k = [(k[0] + 0x9E3779B97F4A7C15) & MASK, (k[1] + 0xBB67AE8584CAA73B) & MASK]
    return x


def test_the_witness_of_philox_gives_the_published_words():
    assert philox([0] * 4, [0] * 2) == [
        0x16554D9ECA36314C,
        0xDB20FE9D672D0FDC,
        0xD7E772CEE186176B,
        0x7E68B68AEC7BA23B,
    ]


def test_noise_is_box_muller_of_philox():
    words = philox([1, 0, 0, 0], [5, 2]) + philox([2, 0, 0, 0], [5, 2])
    u = [((word >> 11) + 0.5) / 2**53 for word in words]
    expected = []
    for radius, turn in zip(u[::2], u[1::2]):
        length = math.sqrt(-2 * math.log(radius))
        angle = 2 * math.pi * turn
        expected += [length * math.cos(angle), length * math.sin(angle)]
    spacing = np.spacing(np.abs(expected[:7])) * 8
    assert np.all(np.abs(standard_normal(5, 2, 7) - expected[:7]) <= spacing)


def test_noise_is_standard_normal():
    z = standard_normal(3, 1, 100_001)
    error = 5 / math.sqrt(len(z))  # five standard errors
    assert abs(np.mean(z)) < error
    assert abs(np.mean(z**2) - 1) < math.sqrt(2) * error
    assert abs(np.mean(z**4) - 3) < math.sqrt(96) * error


def test_a_sample_has_the_same_noise_however_many_others_there_are():
    assert np.array_equal(noise(9, 2, 3), noise(9, 5, 3)[:, :2])
    assert not np.any(noise(9, 1, 3) == noise(10, 1, 3))
    layers = noise(9, 2, 3)
    assert not np.any(layers[0] == layers[1])
    assert not np.any(layers[:, 0] == layers[:, 1])


def at_a_time(count=3):
    return noise(2, count, 1)[0], np.full(count, 600)


def test_the_gradient_of_clip_guidance_is_that_of_automatic_differentiation():
    torch = pytest.importorskip("torch")
    from tests.models.test_denoiser import in_torch

    text, (x_t, t) = "a handwritten seven", at_a_time()
    module, _ = in_torch("noised_clip")
    module = module.double()
    x = torch.tensor(x_t, requires_grad=True)
    rows = torch.tensor(small_clip("noised_clip").rows([text]))
    pairs = torch.cosine_similarity(module.visual(x), module.encode_text(rows))
    (module.logit_scale.exp() * pairs).sum().backward()
    expected = x.grad.numpy()
    found = towards(text)(x_t, t)
    off = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    assert off < 1000 * np.finfo(np.float32).eps


def test_the_gradient_of_the_classifier_is_its_slope():
    text, (x_t, t) = "a handwritten seven", at_a_time(1)
    model = small_clip("noised_clip")
    params = {name: value.astype(np.float64) for name, value in model.params.items()}
    weights = model.text_features([f"a handwritten {name}" for name in DIGITS])
    weights = weights / np.linalg.norm(weights, axis=1, keepdims=True)

    def log_probability(x):
        features = clip_image(x, params, model.config)[0]
        logits = np.exp(params["logit_scale"]) * weights @ features / np.linalg.norm(features)
        return logits[7] - np.log(np.sum(np.exp(logits)))

    gradient = towards_digit(text)(x_t, t)
    direction = gradient / np.linalg.norm(gradient)
    step = 1e-4
    rise = log_probability(x_t + step * direction) - log_probability(x_t - step * direction)
    slope = rise / (2 * step)
    assert slope == pytest.approx(np.linalg.norm(gradient), rel=1e-3)


def test_gradients_of_a_batch_are_those_of_its_samples():
    x_t, t = at_a_time()
    for gradient in (towards("the digit 3"), towards_digit("the digit 3")):
        alone = np.concatenate([gradient(x_t[i : i + 1], t[:1]) for i in range(3)])
        assert np.allclose(gradient(x_t, t), alone, rtol=1e-3, atol=1e-5 * np.max(np.abs(alone)))


def last(*arguments, **options):
    *_, step = generate(*arguments, **options)
    return step.x


def read(images):
    """The digits that the CLIP for clean images reads, which gives no gradients."""
    model = small_clip()
    features = clip_image(images.astype(np.float32), model.params, model.config)
    texts = model.text_features([f"a photo of the number {name}" for name in DIGITS])
    return np.argmax(features @ (texts / np.linalg.norm(texts, axis=1, keepdims=True)).T, axis=1)


def test_every_step_is_seen_and_the_last_one_is_clean():
    steps = list(generate("7", "none", 0.0, steps=4, count=2))
    assert [step.t for step in steps] == [666, 333, 0, -1]
    assert np.array_equal(steps[-1].x, steps[-1].x_start)
    assert np.all(np.abs(steps[-1].x) <= 1.0 + 1e-6)


@pytest.mark.parametrize("guidance", ["cfg", "clip", "classifier"])
def test_guided_samples_are_read_as_what_was_asked(guidance):
    images = last("a handwritten three", guidance, SCALES[guidance], steps=15, seed=1, count=12)
    assert np.mean(read(images) == 3) >= 0.75


@pytest.mark.parametrize("guidance", ["clip", "classifier"])
def test_ddpm_is_guided_too(guidance):
    images = last(
        "a handwritten three", guidance, 2 * SCALES[guidance], steps=20, sampler="ddpm", count=8
    )
    assert np.mean(read(images) == 3) >= 0.5


def test_without_guidance_samples_are_of_many_kinds():
    assert len(set(read(last("7", "none", 0.0, steps=12, count=40)))) >= 7


def test_the_share_of_what_was_asked_rises_with_the_scale():
    text, options = "a handwritten five", {"steps": 12, "count": 16}
    without, some, much = (
        np.mean(read(last(text, "clip", scale, **options)) == 5) for scale in (0.0, 1.0, 6.0)
    )
    assert without + 0.5 < much
    assert without <= some <= much


def test_a_scale_of_zero_is_no_guidance():
    free = last("7", "none", 0.0, steps=3, count=2)
    for guidance in ("clip", "classifier", "cfg"):
        assert np.array_equal(last("7", guidance, 0.0, steps=3, count=2), free)


def test_a_seed_says_everything():
    once, again = (last("7", "cfg", 2.0, steps=3, count=2, seed=4) for _ in range(2))
    assert np.array_equal(once, again)
    assert not np.allclose(once, last("7", "cfg", 2.0, steps=3, count=2, seed=5))


WRONG = {
    "guidance": ("7", "magic", 1.0),
    "scale": ("7", "clip", -1.0),
    "scale ": ("7", "clip", math.nan),
    "steps": ("7", "clip", 1.0, 1),
    "steps ": ("7", "clip", 1.0, 1001),
    "sampler": ("7", "clip", 1.0, 5, "euler"),
    "seed": ("7", "clip", 1.0, 5, "ddim", -1),
    "count": ("7", "clip", 1.0, 5, "ddim", 0, 0),
}


def test_words_are_read_even_where_they_are_not_used():
    with pytest.raises(TextError, match="giraffe"):
        generate("a giraffe", "none", 0.0)


@pytest.mark.parametrize("name", WRONG)
def test_what_is_out_of_range_is_named(name):
    with pytest.raises(DomainError, match=f"sample: {name.strip()} is"):
        generate(*WRONG[name])


def test_an_unknown_word_is_named_with_those_that_are_known():
    with pytest.raises(TextError, match="does not know the word 'giraffe'; it knows 0, 1,"):
        small_clip().rows(["seven", "a handwritten giraffe"])


def test_the_end_of_a_text_keeps_the_largest_number():
    model = small_clip()
    rows = model.rows(["a handwritten seven", "8"])
    ids = tokenize(["a handwritten seven", "8"], model.config.text.context)
    assert np.array_equal(model.token_ids[rows], ids)
    assert np.array_equal(np.argmax(rows, axis=1), np.argmax(ids, axis=1))


@pytest.mark.parametrize("text", ["a digit", "seven or eight", "a seven and a 3"])
def test_classifier_guidance_needs_one_digit(text):
    with pytest.raises(DomainError, match="needs one digit in the text"):
        towards_digit(text)


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        main(list(map(str, arguments)))
    said = capsys.readouterr()
    return end.value.code or 0, said.out, said.err


def test_the_command_writes_samples_and_the_way_to_them(tmp_path, capsys):
    out = tmp_path / "seven.png"
    code, said, _ = run(
        capsys, "sample", "a handwritten seven", "--steps", 3, "--count", 4, "--out", out
    )
    assert code == 0
    assert "4 samples" in said
    with Image.open(out) as page:
        assert page.format == "PNG"
        assert np.asarray(page).std() > 0


def test_a_sheet_says_what_it_shows_and_zero_shot_that_it_is_one(tmp_path, capsys):
    out, tiles = tmp_path / "seven.png", tmp_path / "tiles"
    arguments = ("--steps", 2, "--count", 3, "--out", out, "--tiles", tiles)
    run(capsys, "sample", "a handwritten seven", "--guidance", "none", *arguments)
    with Image.open(out) as page:
        assert page.info["Description"].startswith("a handwritten seven, none 0, seed 0")
    assert "is a sheet of 9 images" in run(capsys, "zero-shot", out, "a seven", "an eight")[2]
    names = sorted(path.name for path in tiles.iterdir())
    assert names == ["0.png", "1.png", "2.png"]
    with Image.open(tiles / "0.png") as tile:
        assert tile.size == (28, 28)
        assert "seven" in tile.info["Description"]
    assert run(capsys, "zero-shot", tiles / "0.png", "a seven", "an eight")[2] == ""


def test_a_place_without_an_image_stays_paper():
    pixels = picture.grid(picture.in_rows(np.full((3, 2, 2), -1.0)))
    assert set(np.unique(pixels)) == {0, picture.PAPER}
    assert np.all(picture.grid(np.full((1, 1, 4, 4), np.nan)) == picture.PAPER)


def test_a_sweep_has_a_row_for_each_scale(tmp_path, capsys):
    out = tmp_path / "sweep.png"
    heights = []
    for scales in ([1], [0, 1, 2]):
        arguments = ("--guidance", "cfg", "--steps", 2, "--count", 2, "--out", out)
        code, *_ = run(capsys, "sample", "7", *arguments, "--sweep", *scales)
        assert code == 0
        with Image.open(out) as page:
            heights.append(page.height)
    assert heights[1] == 3 * heights[0]


MISTAKEN = {
    "the word 'giraffe'": ("sample", "a giraffe"),
    "the text is empty": ("sample", "  "),
    "expected a name that ends in .png": ("sample", "7", "--out", "x.gif"),
    "give --tiles or --sweep": ("sample", "7", "--tiles", "here", "--sweep", "1"),
    "steps is 1": ("sample", "7", "--steps", "1"),
    "scale is -1": ("sample", "7", "--scale", "-1"),
    "give --scale or --sweep": ("sample", "7", "--scale", "1", "--sweep", "1"),
    "there is no such folder": ("sample", "7", "--out", "nowhere/x.png"),
    "No such file": ("zero-shot", "nowhere.png", "7"),
    "a text is empty": ("zero-shot", "{seven}", "7", " "),
    "zero-shot: --plot is x.gif": ("zero-shot", "{seven}", "7", "--plot", "x.gif"),
    "nowhere.safetensors": ("zero-shot", "{seven}", "7", "--weights", "nowhere.safetensors"),
}


@pytest.fixture
def seven(tmp_path):
    """A seven, drawn by a program."""
    pixels = np.zeros((28, 28, 3), np.uint8)
    pixels[6:9, 8:20] = 255
    for row in range(9, 23):
        column = 18 - (row - 9) // 2
        pixels[row, column - 1 : column + 2] = 255
    Image.fromarray(pixels).save(tmp_path / "seven.png")
    return tmp_path / "seven.png"


@pytest.mark.parametrize("says", MISTAKEN)
def test_what_is_wrong_is_said_in_a_line(says, seven, capsys):
    code, _, error = run(capsys, *(part.format(seven=seven) for part in MISTAKEN[says]))
    assert code == 4
    assert says in error
    assert error.count("\n") == 1


def test_zero_shot_reads_a_digit(seven, capsys):
    texts = [f"a handwritten {name}" for name in DIGITS]
    code, said, _ = run(capsys, "zero-shot", seven, *texts)
    lines = said.splitlines()
    assert code == 0
    assert lines[0].endswith("a handwritten seven")
    assert sum(float(line.split()[0]) for line in lines) == pytest.approx(1, abs=1e-3)


def test_zero_shot_plots(seven, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    code, *_ = run(capsys, "zero-shot", seven, "one", "7", "--plot", tmp_path / "bars.png")
    assert code == 0
    with Image.open(tmp_path / "bars.png") as page:
        assert page.format == "PNG"


@pytest.mark.parametrize("layout", ["openai", "transformers"])
def test_a_checkpoint_of_clip_gives_what_its_own_library_gives(layout, tmp_path):
    torch = pytest.importorskip("torch")
    hooks = pytest.importorskip("refimpl.backends.hooks")
    hooks.allow_broken_torchvision()
    transformers = pytest.importorskip("transformers")
    save = pytest.importorskip("safetensors.numpy").save_file
    from refimpl.models.preprocess import load_image, preprocess
    from refimpl.models.weights import translate

    torch.manual_seed(0)
    towers = {"hidden_size": 64, "num_attention_heads": 1, "intermediate_size": 256}
    config = transformers.CLIPConfig(
        text_config={
            **towers,
            "num_hidden_layers": 1,
            "bos_token_id": 49406,
            "eos_token_id": 49407,
        },
        vision_config={**towers, "num_hidden_layers": 1, "image_size": 32, "patch_size": 8},
        projection_dim=48,
    )
    model = transformers.CLIPModel(config).eval()
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    params = state if layout == "transformers" else translate(state)
    save({k: np.array(v, order="C") for k, v in params.items()}, tmp_path / "w.safetensors")
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8)).save(tmp_path / "noise.png")
    texts = ["a photo of a cat", "a wild animal", "public transportation"]
    pixels = preprocess(load_image(tmp_path / "noise.png"), 32)[None].astype(np.float32)
    with torch.no_grad():
        logits = model(
            input_ids=torch.tensor(tokenize(texts)), pixel_values=torch.tensor(pixels)
        ).logits_per_image
    expected = logits.softmax(-1).numpy()[0]
    found = zero_shot(tmp_path / "noise.png", texts, tmp_path / "w.safetensors")
    assert np.max(np.abs(found - expected)) < 1000 * np.finfo(np.float32).eps


def test_pixels_are_rounded_and_clipped():
    assert picture.to_uint8(np.array([-2, -1, -1 + 0.9 / 127.5, 0.5, 1, 9])).tolist() == [
        0, 0, 1, 191, 255, 255,
    ]  # fmt: skip


def test_a_grid_shows_every_image_in_its_place():
    images = np.full((2, 3, 4, 4), -1.0)
    images[1, 2] = 0.0
    pixels = picture.grid(images)
    rows, cols = pixels.shape[0] // 2, pixels.shape[1] // 3
    bright = np.argwhere(pixels == 128)
    assert bright.min(axis=0).tolist() == [rows + picture.GAP, 2 * cols + picture.GAP]
    assert len(bright) == (4 * picture.ENLARGED) ** 2
