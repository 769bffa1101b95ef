"""Images, videos and words in one model: published numbers, and the libraries that have them."""

from __future__ import annotations

import numpy as np
import pytest

import refimpl
from refimpl.axes import AxesError

S = np.sin(np.arange(1.0, 7))


@pytest.mark.parametrize(
    ("sides", "options", "want"),
    [
        ((480, 640), {}, (476, 644)),
        ((1080, 1920), {}, (728, 1316)),
        ((224, 224), {}, (224, 224)),
        ((70, 70), {}, (56, 56)),
        ((42, 42), {}, (56, 56)),
        ((14, 300), {}, (28, 280)),
        ((16, 2048), {"factor": 32, "low": 65536, "high": 2**24}, (32, 2912)),
        ((31, 639), {"low": 28 * 28, "high": 20 * 784}, (28, 560)),
    ],
)
def test_images_get_the_published_sides(sides, options, want):
    usual = {"factor": 28, "low": 56 * 56, "high": 28 * 28 * 1280}
    assert refimpl.smart_resize(*sides, **(usual | options)) == want


@pytest.mark.parametrize(("height", "low", "high"), [(3, 784, 7840), (900, 7840, 784)])
def test_a_strip_or_limits_that_cross_are_refused(height, low, high):
    with pytest.raises(AxesError, match=f"smart_resize: sides are {height} and 900"):
        refimpl.smart_resize(height, 900, 28, low, high)


def test_patches_stand_in_squares():
    assert refimpl.merge_order(4, 4, 2).tolist() == [
        0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15
    ]  # fmt: skip


def test_windows_that_do_not_tile_are_not_undone_by_themselves():
    order, lengths = refimpl.window_order(1, 3, 5, 2)
    assert order.tolist() == [0, 1, 5, 6, 2, 3, 7, 8, 4, 9, 10, 11, 12, 13, 14]
    assert lengths.tolist() == [4, 4, 2, 2, 2, 1]
    assert not np.array_equal(order[order], np.arange(15))
    assert np.array_equal(order[refimpl.inverse_order(order)], np.arange(15))


def test_a_word_behind_a_video_stands_behind_all_its_frames():
    (time, row, col), delta = refimpl.multimodal_positions(
        np.array([0, 5]), np.array([[3, 2, 2]]), np.array([50]), 1
    )
    assert time.tolist() == [0] * 4 + [50] * 4 + [100] * 4 + [101, 102, 103, 104, 105]
    assert row[:12].tolist() == [0, 0, 1, 1] * 3
    assert col[:12].tolist() == [0, 1, 0, 1] * 3
    assert delta == 106 - 17


def test_three_rows_of_positions_turn_a_pair_each_by_the_published_numbers():
    angles = refimpl.mrope_angles(np.array([[3.0], [1.0], [2.0]]), np.array([1, 1, 1]), 1e4)
    assert angles.round(11).tolist() == [[3.0, 0.04641588834, 0.00430886938]]
    turned = refimpl.rotary_embedding(S.reshape(1, 1, 1, 6), angles).ravel()
    want = [-0.72624998683, 0.95281143342, 0.14232265918, 0.86797718392, -0.91570079574]
    assert turned.round(11).tolist() == [*want, -0.27880483854]


def test_turns_end_where_the_sections_of_rows_and_columns_do():
    places, sections = np.array([[1.0], [2.0], [3.0]]), np.array([4, 1, 1])
    rows = refimpl.mrope_angles_interleaved(places, sections, 1e4) / refimpl.rotary_angles(
        np.ones(1), 6, 1e4
    )
    assert rows.round(9).tolist() == [[1.0, 2.0, 3.0, 1.0, 1.0, 1.0]]


def test_scores_do_not_know_where_a_text_with_images_begins():
    positions, _ = refimpl.multimodal_positions(
        np.array([2, 1]), np.array([[2, 2, 3]]), np.array([2]), 1
    )
    x = np.sin(np.arange(15.0 * 12)).reshape(1, 1, 15, 12)

    def scores(first):
        angles = refimpl.mrope_angles(positions + first, np.array([1, 2, 3]), 1e4)
        turned = refimpl.rotary_embedding(x, angles)[0, 0]
        return turned @ turned.T

    near = np.finfo(float).eps * 12 * np.abs(x[0, 0]) @ np.abs(x[0, 0]).T * positions.max()
    assert (np.abs(scores(40.0) - scores(0.0)) <= 40 * near).all()


@pytest.mark.parametrize("interleaved", [False, True])
def test_transformers_turns_by_the_same_angles(interleaved):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from refimpl.backends.hooks import allow_broken_torchvision

    allow_broken_torchvision()
    from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as blocks
    from transformers.models.qwen3_vl import modeling_qwen3_vl as turns

    sections = [4, 1, 1] if interleaved else [1, 2, 3]
    positions = np.array([[3.0, 3, 60, 4], [1, 2, 7, 4], [2, 5, 11, 4]])
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": sections}
    sizes = {"hidden_size": 12, "num_attention_heads": 1, "head_dim": 12, "rope_parameters": rope}
    module, name = (turns, "Qwen3VLText") if interleaved else (blocks, "Qwen2_5_VLText")
    config = getattr(module, f"{name}Config")(**sizes)
    embed = getattr(module, f"{name.removesuffix('Text')}{'Text' * interleaved}RotaryEmbedding")
    cosine, sine = embed(config)(torch.zeros(1, 1, 12), torch.tensor(positions).long()[:, None])
    ours = refimpl.mrope_angles_interleaved if interleaved else refimpl.mrope_angles
    angles = ours(positions, np.array(sections), 1e4)
    eps = np.finfo(np.float32).eps
    for found, want in ((cosine, np.cos(angles)), (sine, np.sin(angles))):
        assert (np.abs(found[0, :, :6].numpy() - want) <= 8 * eps * (1 + angles)).all()
