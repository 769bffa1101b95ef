"""What the slides get wrong, and that what we say instead is right. Numbers are those of the list.

The other is a matter of history (15) and has nothing to compute.
"""

from __future__ import annotations

import numpy as np
import pytest

import refimpl
from refimpl.models import configs
from refimpl.models.preprocess import resize_and_crop, resized_to
from tests.textbook import lecture_numbers as n

WINE = np.array([4.1, 3.9, 2.7])


def test_1_sizes_of_gpt():
    assert 1600 % 48
    assert 1600 == 25 * 64
    assert 12888 % 96
    assert 12288 == 96 * 128
    assert round(n.gpt_parameters(96, 12288, 2048, 50257, last=True) / 1e9) == 175
    assert round(n.gpt_parameters(96, 12888, 2048, 50257, last=True) / 1e9) == 192
    assert round(n.gpt_parameters(12, 768, 512, 40478, last=False) / 1e6) == 117


def test_2_shares_at_temperature_one_and_a_half():
    assert refimpl.softmax(WINE)[1].round(3) == 0.396
    assert refimpl.softmax(WINE / 0.5).round(3).tolist() == [0.578, 0.387, 0.035]


@pytest.mark.parametrize("T", [0.5, 1.5, 3.0])
def test_3_powers_of_shares_are_softmax_at_a_temperature(T):
    power = refimpl.softmax(WINE) ** (1 / T)
    refimpl.testing.assert_conforms(power / power.sum(), "softmax", {"z": WINE / T})


def test_4_flatness_depends_on_the_gaps():
    assert refimpl.softmax(WINE / 0.25)[1] > 0.3
    assert refimpl.softmax(np.array([20.0, 0.0]) / 2)[0] > 0.9999


def test_5_the_forward_step_keeps_and_adds():
    betas, one, nothing = np.array([0.36, 0.5]), np.ones((1, 1)), np.zeros((1, 1))
    first = np.array([0])
    assert refimpl.q_step(one, first, nothing, betas) == np.sqrt(1 - 0.36)
    assert refimpl.q_step(nothing, first, one, betas) == np.sqrt(0.36)
    share = refimpl.alpha_bar(betas)
    straight = refimpl.q_sample(one, first, one, share)
    assert straight == refimpl.q_step(one, first, one, betas), "t = 0 is the first noise level"


def test_6_where_the_gradient_is_taken_matters_unless_it_is_constant():
    x_t, mean, variance = np.array([0.9]), np.array([0.3]), np.array([0.5])

    def guided(gradient, at):
        return refimpl.classifier_guidance(mean, variance, gradient(at), 1.0)

    assert guided(lambda x: 0.8 * (1 - x), mean) != guided(lambda x: 0.8 * (1 - x), x_t)
    assert guided(lambda x: 0 * x + 0.4, mean) == guided(lambda x: 0 * x + 0.4, x_t)


def test_7_a_condition_is_handed_over_and_no_gradient_is_followed():
    text, nothing = np.array([[[0.5, 2.0]]]), np.array([[0.25, 0.25]])

    def network(condition):  # any function of the condition, also one without a slope
        return np.sign(condition.sum(axis=1))

    keep = np.array([1])
    cond = network(refimpl.null_condition(text, nothing, keep))
    uncond = network(refimpl.null_condition(text, nothing, 1 - keep))
    assert (refimpl.classifier_free_guidance(uncond, cond, 1.0) == network(text)).all()
    assert (uncond == network(nothing[None])).all(), "nothing of the text is left"


def test_8_the_prior_is_a_diffusion_model_and_so_is_the_decoder():
    image, noise = np.array([[0.6, 0.8]]), np.array([[1.0, -1.0]])
    words = refimpl.prior_tokens(image[None], image, 0 * image, noise, np.zeros(2))
    assert (words[0, -2] == noise[0]).all(), "it reads a noised vector, and no vector before it"
    late, early = np.array([-20.0]), np.array([40.0])
    clean, spread = refimpl.continuous_posterior(noise, image, late, early)
    assert (np.abs(clean - image) <= np.exp(-9)).all(), "predicted whole, it is the vector"
    assert (spread <= np.exp(early * -0.99)).all()


def test_9_the_ends_of_a_landscape_are_cut_away():
    landscape = np.zeros((16, 32, 3), np.uint8)
    landscape[:, :6], landscape[:, -6:] = 255, 255  # bright ends
    assert resized_to(16, 32, 8) == (8, 16), "the aspect ratio stays"
    assert resize_and_crop(landscape, 8).max() == 0


def test_10_the_axis_normalised_and_the_inverse_temperature():
    scores = np.array([[0.33, 0.19, 0.11], [0.15, 0.35, 0.09], [0.08, 0.13, 0.31]]) / 0.07
    right = np.arange(3)
    for_each_image = -np.log(refimpl.softmax(scores)[right, right]).mean()  # over axis 1
    for_each_text = -np.log(refimpl.softmax(scores.T)[right, right]).mean()  # over axis 0
    assert for_each_image.round(6) == refimpl.cross_entropy(scores, right).round(6) == 0.116894
    assert for_each_text.round(6) == refimpl.cross_entropy(scores.T, right).round(6) == 0.110187
    start = refimpl.clip_logits(np.ones((1, 2)), np.ones((1, 2)), 2.659260036932778)
    assert start.round(6) == round(1 / 0.07, 6)


def test_11_patches_are_sixteen_pixels_wide():
    image = np.zeros((1, 3, 224, 224))
    assert refimpl.patchify(image, 16).shape == (1, 196, 768)
    assert refimpl.patchify(image, 14).shape == (1, 256, 588)
    large = [configs.count(model) / 1e6 for model in (configs.VIT_L_16, configs.VIT_L_32)]
    assert np.round(large, 1).tolist() == [304.3, 306.5]


def test_12_shares_of_a_row_sum_to_one():
    printed = {"auto4": (0.63, 0.07), "auto5": (0.60, 0.11)}
    meant = {"auto4": (0.93, 0.07), "auto5": (0.89, 0.11)}
    assert all(sum(row) < 0.75 for row in printed.values())
    assert all(round(sum(row), 2) == 1 for row in meant.values())


def test_13_a_soft_visual_prompt_is_words_of_no_vocabulary():
    table = np.eye(4)
    ids, image = np.array([[3, 0, 0, 1]]), np.array([[[0.5, 0.25, 0.0, 0.0], [0.0, 2.0, 1.0, 0.5]]])
    read = refimpl.splice_tokens(refimpl.embed_tokens(ids, table), ids, 0, image)
    assert (read[0, [0, 3]] == table[[3, 1]]).all()
    assert (read[0, 1:3] == image[0]).all()
    assert not any((read[0, place] == table).all(axis=1).any() for place in (1, 2))


def test_14_a_power_law_is_straight_on_two_logarithmic_axes():
    size = 10.0 ** np.arange(6, 12)
    loss = (8.8e13 / size) ** 0.076
    assert np.allclose(np.diff(np.log(loss), 2), 0, atol=np.spacing(8.0))
    assert np.diff(loss, 2).min() > 0.01, "not straight on one"


def test_16_a_token_sees_itself():
    assert np.diag(refimpl.causal_bias(5, 5)).tolist() == [0.0] * 5


def test_17_the_toy_vectors_tell_another_story_by_cosine():
    it = np.array([0.72, 0.11, 0.12, 0.44, 0.18, -0.35])
    elephant = np.array([0.78, 0.19, -0.25, 0.62, 0.15, -0.46])
    car = np.array([0.48, 0.22, -0.10, 0.34, 0.07, -0.29])
    pair = np.stack([elephant, car])
    cosines = refimpl.clip_logits(it[None], pair, 0.0)[0]
    assert cosines.round(4).tolist() == [0.9312, 0.9361]
    marks = np.eye(2)[None, None]  # the weights themselves come out
    weights = refimpl.attention(it[None, None, None], pair[None, None], marks, None).ravel()
    assert weights[0] > weights[1]


def test_18_float32_shares_in_the_digits_of_float64():
    assert repr(float(np.float32(0.21))) == "0.20999999344348907"
    assert repr(float(np.float32(0.22))) == "0.2199999988079071"
    assert repr(float(np.float32(92.43))) == "92.43000030517578"


def test_19_the_penalty_keeps_the_policy_near_where_it_started():
    start, reward, beta = np.array([0.7, 0.3]), np.array([0.0, 1.0]), 0.5
    p = np.linspace(0.001, 0.999, 999)
    policy = np.stack([1 - p, p], axis=1)
    plain = policy @ reward
    penalised = plain - beta * np.sum(policy * np.log(policy / start), axis=1)
    assert policy[plain.argmax(), 1] == 0.999, "without it the best answer takes all"
    best = refimpl.softmax(np.log(start) + reward / beta)
    assert abs(policy[penalised.argmax(), 1] - best[1]) < p[1] - p[0]


def test_20_areas_and_initials():
    assert round(5.53 * 5.16, 2) == 28.53
    words = ["Caballo", "Hoja", "Avión", "Luna", "Elefante", "Casa", "Oreja"]
    assert "".join(word[0] for word in words) == "CHALECO"
