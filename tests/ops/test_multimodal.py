"""Images, videos and words in one model: published numbers, and the libraries that have them."""

from __future__ import annotations

import numpy as np
import pytest

import refimpl
from refimpl.axes import AxesError
from refimpl.registry import OPS
from refimpl.testing import assert_conforms

S = np.sin(np.arange(1.0, 7))
TWO_QUERIES = OPS["qformer_layer"].probes[0]


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


def test_a_vector_is_noised_where_it_is_standard_by_the_published_numbers():
    S4, C4 = np.sin(np.arange(1.0, 5))[None], np.cos(np.arange(1.0, 5))[None] / 2
    mean, std = np.array([0.1, -0.2, 0.3, 0.0]), np.array([0.5, 1.0, 2.0, 0.25])
    share = refimpl.alpha_bar(refimpl.linear_schedule(1000, 1e-4, 0.02))
    for level, want in (
        (0, [0.8427846661, 0.90716122638]),
        (250, [0.72885771739, 0.45707589377, -0.49959611066, -0.60300748851]),
    ):
        found = refimpl.augment_embedding(S4, mean, std, np.array([level]), C4, share)
        assert found[0, : len(want)].round(11).tolist() == want
        assert found.shape == (1, 8)


def test_continuous_times_have_the_published_signal_and_steps():
    cosine = refimpl.log_snr_cosine(np.array([0.0, 0.2, 0.5, 0.25]), 0.008)
    assert cosine[:3].round(10).tolist() == [8.7692947882, 2.1813946011, -0.0249339209]
    linear = refimpl.log_snr_linear(np.array([0.0, 0.2, 0.5, 1.0]))
    want = [9.2102903716, 0.7093296379, -2.4144584583, -10.0000546036]
    assert linear.round(10).tolist() == want
    one, nothing = np.ones((1, 1)), np.zeros((1, 1))
    step = cosine[2:3], cosine[3:4]
    from_x, variance = refimpl.continuous_posterior(one, nothing, *step)
    from_start, _ = refimpl.continuous_posterior(nothing, one, *step)
    found = [float(x.round(9).item()) for x in (from_x, from_start, variance)]
    assert found == [0.230956252, 0.757971521, 0.126116595]


def test_latents_ask_the_image_by_the_published_numbers():
    eye, one = np.eye(4), np.ones(4)
    media = np.sin(np.arange(1.0, 13)).reshape(1, 3, 4)
    latents = np.cos(np.arange(1.0, 9)).reshape(1, 2, 4) / 2
    norms = (one, 0 * one, one, 0 * one, 1e-5)
    found = refimpl.perceiver_attention(media, latents, *norms, eye, eye, eye, eye, 1)
    want = [1.65264679438, -0.13676931789, -1.36753267603, -0.90808512452]
    assert found[0, 0].round(11).tolist() == want
    assert found[0, 1, :2].round(11).tolist() == [0.24552869375, 1.38336805977]


def test_a_gate_opens_by_the_published_numbers():
    x, branch = np.sin(np.arange(1.0, 5)), np.cos(np.arange(1.0, 5)) / 2
    found = refimpl.gated_residual(x, branch, np.array(0.5))
    assert found.round(11).tolist() == [
        0.96631246763,
        0.81314313027,
        -0.08762625106,
        -0.90783246128,
    ]
    gate_grad = refimpl.gated_residual_vjp(branch, np.array(0.5), x[::-1])[2]
    assert gate_grad.round(11) == -0.75414382189


def test_shut_gates_leave_a_language_model_as_it_is_bit_for_bit():
    x, branch = np.sin(np.arange(40.0)), 1e6 * np.cos(np.arange(40.0))
    for function in (refimpl.gated_residual, refimpl.fast.gated_residual):
        assert (function(x, branch, np.array(0.0)) == x).all()


def test_a_word_before_the_first_image_gets_nothing_from_it():
    bias = refimpl.media_bias(refimpl.text_times(np.array([[0, 1, 0]])), 1, 2)
    tokens = np.sin(np.arange(1.0, 13)).reshape(1, 1, 3, 4)
    found = refimpl.attention(tokens, tokens[:, :, :2], tokens[:, :, :2], bias)[0, 0]
    assert (found[0] == 0).all()
    assert (found[1:] != 0).all()


def test_pairs_are_alike_by_their_best_query_and_cost_the_published_numbers():
    images = np.sin(np.arange(1.0, 25)).reshape(2, 3, 4)
    texts = np.cos(np.arange(1.0, 9)).reshape(2, 4) / 2
    alike = refimpl.itc_similarity(images, texts)
    want = [[0.9876817816, 0.72174952605], [0.92138875952, 0.98470372338]]
    assert alike.round(11).tolist() == want
    assert refimpl.itc_loss(alike, 0.07, 0.1).round(11) == 0.29580817402
    assert refimpl.itc_loss(alike, 0.07, 0.0).round(11) == 0.17821988138


def test_wrong_texts_are_drawn_by_how_alike_they_are():
    alike = np.array([[0.9, 0.2, 0.4], [0.1, 0.8, 0.5], [0.3, 0.6, 0.7]])
    weights = refimpl.hard_negative_weights(alike, 0.07)
    assert weights[0].round(11).tolist() == [0, 0.05431326613, 0.94568673387]
    drawn = [
        int(np.searchsorted(np.cumsum(row), u, side="right"))
        for row, u in zip(weights, (0.5, 0.1, 0.9), strict=True)
    ]
    assert drawn == [2, 2, 1]


def test_a_single_pair_has_no_wrong_text():
    with pytest.raises(AxesError, match="hard_negative_weights: similarity has N=1"):
        refimpl.hard_negative_weights(np.ones((1, 1)), 0.07)


@pytest.mark.parametrize("function", [refimpl.splice_tokens, refimpl.fast.splice_tokens])
def test_room_for_more_tokens_than_there_are_is_refused(function):
    with pytest.raises(AxesError, match="splice_tokens: ids keep room"):
        function(np.zeros((1, 3, 2)), np.array([[9, 9, 1]]), 9, np.ones((1, 1, 2)))


def test_answers_score_by_leaving_each_person_out():
    found = refimpl.vqa_score(10, np.arange(6.0))
    assert found.round(12).tolist() == [0, 0.3, 0.6, 0.9, 1, 1]
    target = np.minimum(np.arange(6) / 3, 1)
    assert (found >= target - 0.1 - np.finfo(float).eps).all()


@pytest.mark.parametrize("where", [refimpl, refimpl.fast])
def test_of_equally_similar_queries_the_first_has_the_whole_gradient(where):
    query, texts = np.array([[3.0, 4.0]]), np.array([[5.0, 12.0]])
    images, grad = np.concatenate((0 * query - 1, query, query))[None], np.array([[1.5]])
    found, _ = where.itc_similarity_vjp(images, texts, grad)
    alone, _ = where.itc_similarity_vjp(query[None], texts, grad)
    assert np.array_equal(found, np.concatenate((0 * query, alone[0], 0 * query))[None])
    assert (alone != 0).all()


def test_transformers_has_the_layer_of_a_qformer():
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from refimpl.backends.hooks import allow_broken_torchvision

    allow_broken_torchvision()
    from transformers import Blip2QFormerConfig
    from transformers.models.blip_2.modeling_blip_2 import Blip2QFormerLayer

    inputs = TWO_QUERIES.inputs()
    config = Blip2QFormerConfig(
        hidden_size=4, num_attention_heads=2, intermediate_size=3, encoder_hidden_size=6,
        use_qformer_text_input=True, hidden_act="gelu", attn_implementation="eager",
    )  # fmt: skip
    layer = Blip2QFormerLayer(config, 0).double().eval()
    rows = {"query": slice(4), "key": slice(4, 8), "value": slice(8, 12)}
    places = {f"attention.attention.{n}": ("self", at) for n, at in rows.items()}
    places |= {"crossattention.attention.query": ("query", slice(None))}
    places |= {"crossattention.attention.key": ("image", slice(4))}
    places |= {"crossattention.attention.value": ("image", slice(4, 8))}
    for there, here in {
        "attention.output": "self_out self_norm",
        "crossattention.output": "image_out image_norm",
        "output_query": "queries_out queries_norm",
        "output": "words_out words_norm",
    }.items():
        dense, norm = here.split()
        places |= {
            f"{there}.dense": (dense, slice(None)),
            f"{there}.LayerNorm": (norm, slice(None)),
        }
    places |= {"intermediate_query.dense": ("queries_in", slice(None))}
    places |= {"intermediate.dense": ("words_in", slice(None))}
    given = {}
    for there, (here, at) in places.items():
        first = "gain" if "norm" in here else "weight"
        given[f"{there}.weight"] = torch.tensor(inputs[f"{here}_{first}"][at].copy())
        given[f"{there}.bias"] = torch.tensor(inputs[f"{here}_bias"][at].copy())
    layer.load_state_dict(given)
    x, image = (torch.tensor(inputs[n]) for n in ("x", "image"))
    with torch.no_grad():
        found = layer(x, encoder_hidden_states=image, query_length=2).numpy()
    assert_conforms(found, "qformer_layer", inputs, "float64")
