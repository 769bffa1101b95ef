"""Every operation has a picture, and its own text draws it."""

from __future__ import annotations

import dataclasses
import doctest
import functools
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from refimpl.op import Op
from refimpl.registry import OPS
from tests.textbook import DOCS, folded, kinds, moving, operations, pictures, plots, readings

ALL = [pytest.param(op, id=op.name) for op in OPS.values()]


def wrong(op):
    """The operation with another text: one more than y + y², which leaves no number as it is."""

    @functools.wraps(op.text)
    def text(*args, **kwargs):
        found = op.text(*args, **kwargs)
        if isinstance(found, tuple):
            return tuple(1 + x + np.square(x) for x in map(np.asarray, found))
        return 1 + np.asarray(found) + np.square(found)

    return dataclasses.replace(op, text=text)


@pytest.mark.parametrize("op", ALL)
def test_the_picture_of_an_operation_is_drawn_by_its_own_text(op):
    drawn = pictures.picture(op)
    assert drawn.caption
    for panel in drawn.panels:
        assert ElementTree.fromstring(panel).tag
        assert "nan" not in panel
    assert pictures.picture(wrong(op)).panels != drawn.panels


@pytest.mark.parametrize("op", ALL[::7])
def test_the_page_of_an_operation_shows_a_picture_beside_its_equation(op):
    page = operations.page(op, {})
    equation = page.partition("\n## Equation")[2].partition("\n## ")[0]
    assert equation.count("```{picture} ") + equation.count("```{drawing} ") == 1


def scaled_shift(x, scale):
    return scale * x + 1


def test_a_function_of_another_chapter_has_a_picture_without_a_record():
    from refimpl.axes import Array, Float

    scaled_shift.__annotations__ = {
        "x": Float[Array, "..."],
        "scale": Float[Array, "..."],
        "return": Float[Array, "..."],
    }
    drawn = pictures.picture(Op(scaled_shift))
    assert "scale = 2" in drawn.html


@pytest.mark.parametrize("name", [name for name in moving.MOVING if name != "obeying"])
def test_what_moves_has_a_frame_for_each_place_and_a_still_one(name):
    drawn = moving.MOVING[name]
    frames = drawn.frames()
    assert len({frame.panels for frame in frames}) == len(frames) > 4
    assert len({frame.says for frame in frames}) == len(frames)
    assert drawn.html.count('frame panels shown"') == 1
    assert f"<output>{frames[drawn.still].says}</output>" in drawn.html


def test_the_chapters_show_all_that_moves():
    chapters = "".join(path.read_text() for path in (DOCS / "chapters").glob("*.md"))
    assert set(re.findall(r"```{moving} (\w+)", chapters)) == set(moving.MOVING)


def test_frames_are_what_the_operations_return():
    frames = moving.MOVING["warmth"].frames()
    (first, middle, last) = (frames[i].panels[0] for i in (0, 20, 40))
    assert "pfalz 0.484, mosel 0.396, rhein 0.119" in middle  # the lecture's table
    assert "rhein 0.000" in first
    assert "rhein 0.305" in last  # 1 / (1 + exp(0.12) + exp(0.14)), by hand


def leap(x, denoised, sigma):
    return denoised + 0 * x * sigma


def test_a_sampler_whose_arguments_have_known_names_is_a_step_in_the_plane():
    from refimpl.axes import Array, Float, Positive

    samples = dict.fromkeys(("x", "denoised", "return"), Float[Array, "..."])
    leap.__annotations__ = samples | {"sigma": Positive[float, ""]}
    drawn = pictures.picture(Op(leap))
    assert "in the plane: x, denoised, leap" in drawn.html
    assert drawn.html.count("<polygon") == 1  # the arrow of the step


def test_a_tangent_has_the_slope_that_the_gradient_returns():
    frame = plots.Frame((0.0, 1.0), (0.0, 1.0), (0.0, 0.0, 100.0, 100.0))
    line, _ = plots.touching((0.5, 0.5, 1.0), frame)
    left, right = line.split('d="M')[1].split('"')[0].split("L")
    (a, b), (x, y) = (map(float, end.split()) for end in (left, right))
    assert x - a == pytest.approx(b - y, abs=0.2)  # up to the digits that are written


def test_numbers_and_ticks_are_short():
    assert doctest.testmod(plots).failed == 0


def test_a_diff_shows_in_bold_what_differs_within_a_line():
    assert doctest.testmod(folded).failed == 0
    html = folded.shown([" x = 1", "-y = np.sqrt(E)", "+y = np.sqrt(D)", "-gone", "+a <", "+b"])
    assert "<del>-y = np.sqrt(<b>E</b>)</del><ins>+y = np.sqrt(<b>D</b>)</ins>" in html
    assert "<span> x = 1</span>" in html
    assert "&lt;" in html


@pytest.mark.parametrize("op", ALL[::5])
def test_every_mistake_of_a_page_is_folded_under_its_name(op):
    for edit in (*op.mistakes, *op.dialects, *op.lossy):
        assert folded.edit_named(edit.id) == (op, edit)


def test_what_a_curve_does_is_read_off_its_numbers():
    assert doctest.testmod(readings).failed == 0
    x = np.linspace(-1, 1, 9)
    assert readings.course(x, np.abs(x)) == "falls from 1 to 0 (at 0), then rises to 1"
    assert readings.course(x, -np.abs(x)) == "rises from −1 to 0 (at 0), then falls to −1"
    assert readings.course(x, np.sin(9 * x)).startswith("goes up and down between")
    assert readings.course(x, np.full(9, np.inf)) == "is not finite"


def test_a_caption_without_words_of_its_own_says_what_the_picture_shows():
    assert "falls from −0.0335 to −0.278" in pictures.picture(OPS["silu"]).caption
    assert "`weight` O × D" in pictures.picture(OPS["linear"]).caption
    assert "it rises from 0.0067" not in pictures.picture(wrong(OPS["sigmoid"])).caption


def test_the_number_that_is_moved_is_one_that_matters():
    op = OPS["masked_cross_entropy"]
    inputs = kinds.drawn_case(op)
    place = kinds.loudest(op, inputs, "logits")
    assert inputs["keep"][place[:2]] == 1


def test_of_many_tables_those_of_the_samples_are_shown_and_the_others_counted():
    drawn = pictures.picture(OPS["residual_block"])
    assert "`emb` B × D" in drawn.caption
    assert "Not shown: 12 arguments" in drawn.caption
    assert len(drawn.panels) == 4  # two arguments, the arrow, the result
