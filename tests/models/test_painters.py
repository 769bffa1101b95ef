"""The small DALL·E 2 and the small Imagen paint what they are asked for."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from refimpl.commands.main import main
from refimpl.models import systems
from refimpl.models.clip import clip_image
from refimpl.models.shipped import DIGITS, digit_vectors, small_clip
from refimpl.models.systems import dalle2, imagen


@functools.cache
def directions():
    """What the text tower of the clean CLIP says of the ten digits."""
    said = small_clip().text_features([f"a photo of the number {name}" for name in DIGITS])
    return said / np.linalg.norm(said, axis=1, keepdims=True)


def read(pictures):
    model = small_clip()
    features = clip_image(pictures.astype(np.float32), model.params, model.config)
    return np.argmax(features @ directions().T, axis=1)


def made(name, text, **choices):
    *_, last = systems.sample(name, systems.asked(name, text, **choices))
    return last.x


@pytest.mark.parametrize("digit", [3, 7])
def test_dalle2_paints_the_digit_that_was_asked_for(digit):
    pictures = made("dalle2", f"a handwritten {DIGITS[digit]}", steps=15, count=3)
    assert read(pictures).tolist() == [digit] * 3


def test_imagen_paints_the_digit_that_was_asked_for():
    pictures = made("imagen", "a handwritten seven", steps=18, count=2)
    assert pictures.shape == (2, 1, 28, 28)
    assert read(pictures).tolist() == [7] * 2


def test_the_prior_goes_from_a_text_to_where_pictures_of_its_digit_are():
    drawn = dalle2.drawn("a handwritten seven", 0, 4)
    vectors, labels = digit_vectors()
    means = np.stack([vectors[labels == digit].mean(axis=0) for digit in range(10)])
    far = np.linalg.norm(drawn.vectors[:, None] - means, axis=2)  # 4 10
    assert np.argmin(far, axis=1).tolist() == [7] * 4
    assert np.all(far[:, 7] < np.linalg.norm(drawn.text - means[7]))


def test_a_picture_does_not_depend_on_how_many_others_there_are():
    alone = made("dalle2", "a 3", steps=3, count=1)
    assert np.allclose(made("dalle2", "a 3", steps=3, count=2)[:1], alone, atol=1e-3)


def test_a_static_threshold_leaves_more_pixels_at_the_limit_than_a_dynamic_one():
    start, *_ = imagen.noises(1, 2)
    guesses = {
        kind: next(iter(imagen.base("a handwritten eight", 20.0, 4, start, kind))).x_start
        for kind in imagen.THRESHOLDS
    }
    limit = {kind: np.mean(np.abs(x) >= 1 - 1e-6) for kind, x in guesses.items()}
    assert limit["cfg"] < limit["cfg-static"]
    assert all(np.all(np.abs(x) <= 1 + 1e-6) for x in guesses.values())


def test_a_page_shows_the_vectors_of_dalle2(tmp_path, capsys):
    page = tmp_path / "page.html"
    asked = ["sample", "a 4", "--system", "dalle2", "--steps", "2", "--count", "2"]
    with pytest.raises(SystemExit) as end:
        main([*asked, "--out", str(tmp_path / "4.png"), "--explain", str(page)])
    assert not end.value.code
    shown = page.read_text(encoding="utf-8")
    assert shown.count("<circle") == 2
    assert shown.count('class="text"') == 10
    assert shown.count("<img") == 2
    assert "<script" not in shown


def test_only_systems_with_a_page_explain(tmp_path, capsys):
    asked = ["sample", "a 4", "--out", str(tmp_path / "4.png")]
    with pytest.raises(SystemExit) as end:
        main([*asked, "--explain", str(tmp_path / "page.html")])
    assert end.value.code == 4
    assert "--explain is for dalle2" in capsys.readouterr().err
