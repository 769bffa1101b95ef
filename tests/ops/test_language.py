"""Text models: published and certified numbers that the chapters about them must give."""

import numpy as np

import refimpl
from refimpl.ops.common import sines


def near(printed):
    """Numbers as printed with twelve digits."""
    return {"rtol": 1e-11, "atol": 1e-14, "desired": np.array(printed.split(), dtype=float)}


def test_a_rotary_embedding_of_halves_has_the_certified_numbers():
    angles = refimpl.rotary_angles(np.array([3.0]), 4, 1e4)
    np.testing.assert_allclose(
        refimpl.rotary_embedding(sines(1, 1, 1, 8), angles).ravel(),
        **near(
            "-.697726559698 .951257937087 .121349867164 -.759767159987 "
            "1.06807622888 .00177994243551 .660923942152 .987083390434"
        ),
    )


def test_between_converters_it_is_the_form_of_the_paper_that_pairs_neighbours():
    angles = refimpl.rotary_angles(np.array([3.0]), 4, 1e4)
    turned = refimpl.rotary_embedding(refimpl.halves_from_pairs(sines(1, 1, 1, 8)), angles)
    np.testing.assert_allclose(
        refimpl.pairs_from_halves(turned).ravel(),
        **near(
            "-.961370021269 -.781449237577 .358467522861 -.681297224883 "
            "-.950111583469 -.30805318393 .654015571994 .991324751354"
        ),
    )


def test_twelve_heads_have_eight_slopes_and_every_other_one_of_sixteen():
    slopes = -refimpl.alibi_bias(np.array([1.0]), np.array([0.0]), 12).ravel()
    np.testing.assert_array_equal(slopes[:8], 0.5 ** np.arange(1, 9))
    between = ".707106781187 .353553390593 .176776695297 .0883883476483"
    np.testing.assert_allclose(slopes[8:], **near(between))


def test_the_buckets_of_t5_begin_where_its_code_puts_them():
    distances = np.arange(200)
    both = refimpl.relative_buckets(distances, np.array([0]), 32, 128)[:, 0]
    causal = refimpl.relative_buckets_causal(distances, np.array([0]), 32, 128)[:, 0]
    firsts = [np.flatnonzero(np.diff(found, prepend=-1)).tolist() for found in (both, causal)]
    assert firsts[0] == [*range(9), 12, 16, 23, 32, 46, 64, 91]
    far = [19, 21, 24, 27, 31, 35, 40, 46, 52, 59, 67, 77, 87, 99, 113]
    assert firsts[1] == [*range(17), *far]


def test_the_losses_of_three_words_are_the_certified_ones():
    logits, labels = 2 * sines(1, 3, 4), np.array([[1, 3, 0]])
    every, two = np.ones((1, 3), dtype=bool), np.array([[1, 1, 0]])
    nats = -refimpl.token_log_probs(logits, labels)
    np.testing.assert_allclose(nats[0], **near(".753312448142 .478577505643 .305319814041"))
    found = (
        refimpl.masked_cross_entropy(logits, labels, two),
        *(
            refimpl.smoothed_cross_entropy(logits, labels, np.eye(3, dtype=int)[[n]], 0.1)
            for n in range(3)
        ),
        refimpl.perplexity(nats, every),
    )
    printed = ".615944976893 .878417637288 .656048901344 .471166798599 1.66929812882"
    np.testing.assert_allclose(found, **near(printed))


def test_advantages_whitening_and_the_clipped_loss_have_the_certified_numbers():
    values = np.array([[0.2, 0.1, 0.3, 0.4]])
    rewards, old = np.array([[0.0, -0.1, 0.05, 1.0]]), np.array([[-1.0, -0.5, -2.0, -0.1]])
    goes_on, every = np.zeros((1, 4), dtype=int), np.ones((1, 4), dtype=int)
    advantages = refimpl.gae(rewards, values, np.zeros(1), goes_on, 1.0, 0.95)
    np.testing.assert_allclose(advantages[0], **near(".6448 .784 .72 .6"))
    discounted = refimpl.gae(rewards, values, np.array([0.5]), goes_on, 0.9, 0.95)
    np.testing.assert_allclose(discounted[0], **near(".68654044375 .93162625 1.00775 1.05"))
    white = refimpl.whiten(advantages, every, 1e-8)
    printed = "-.601922447796 1.37420030535 .465638119993 -1.23791597754"
    np.testing.assert_allclose(white[0], **near(printed))
    new = np.array([[-0.7, -0.6, -2.4, -0.1]])
    found = (
        refimpl.ppo_loss(new, old, white, every, 0.2),
        refimpl.value_loss(
            values + np.array([0.5, -0.1, 0.0, 0.3]), values, values + advantages, every, 0.2
        ),
    )
    np.testing.assert_allclose(found, **near(".123717968249 .20721288"))


def test_pairs_of_answers_cost_the_certified_numbers():
    pair = [np.array([x]) for x in (-10.0, -12.0, -11.0, -11.5)]
    found = (
        refimpl.preference_loss(np.array([1.2]), np.array([-0.3])),
        refimpl.preference_loss(np.array([40.0]), np.array([0.0])) * 1e18,
        refimpl.dpo_loss(*pair, 0.1, 0.0),
        refimpl.dpo_loss(*pair, 0.1, 0.1),
        refimpl.dpo_loss_vjp(*pair, 0.1, 0.0, np.array(1.0))[0][0],
        refimpl.ipo_loss(*pair, 0.1),
    )
    printed = ".201413277983 4.24835425529 .62095704779 .63595704779 -.0462570154656 12.25"
    np.testing.assert_allclose(found, **near(printed))


def test_rankings_are_measured_as_trec_eval_and_sklearn_do():
    gains = np.array([[3.0, 2.0, 3.0, 0.0, 1.0, 2.0]])
    second, first = np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]])
    hits = (gains > 0).astype(float)
    found = (
        refimpl.ndcg(gains, gains, 6),
        refimpl.ndcg(gains, gains, 3),
        refimpl.ndcg(2**gains - 1, 2**gains - 1, 6),
        refimpl.ndcg(second, second, 2),
        refimpl.ndcg(first, np.ones((1, 2)), 2),
        refimpl.average_precision(hits, np.array([5])),
    )
    printed = ".960808194336 .977781361631 .948810748568 .630929753571 .613147192765 .926666666667"
    np.testing.assert_allclose(np.ravel(found), **near(printed))


def test_the_table_of_temperatures_and_the_eight_logits_of_the_lectures():
    wine = np.array([[4.1, 3.9, 2.7]])
    found = [refimpl.temperature_softmax(wine, T)[0] for T in (1.0, 0.5, 1.5)]
    printed = (
        ".4841846607 .3964168719 .1193984673 .5776573320 .3872152894 .0351273785 "
        ".4408366296 .3858084563 .1733549140"
    )
    np.testing.assert_allclose(np.ravel(found), np.array(printed.split(), float), atol=5e-11)
    logits = np.array([[1.2, -0.8, -0.3, 0.5, 1.1, 0.2, -0.7, 2.4]])
    for left in (refimpl.keep_top_k(logits, 3), refimpl.keep_top_p(logits, 0.7)):
        assert np.flatnonzero(np.isfinite(left[0])).tolist() == [0, 4, 7]
    wide = refimpl.keep_top_p(logits, 0.9)
    assert np.flatnonzero(np.isfinite(wide[0])).tolist() == [0, 3, 4, 5, 7]


def test_scaling_laws_give_the_numbers_of_their_rounded_constants():
    fit = (406.4, 0.34, 410.7, 0.28)
    sizes, words = np.array([70e9, 1e9]), np.array([1.4e12, 2e10])
    np.testing.assert_allclose(
        refimpl.chinchilla_loss(sizes, words, 1.69, *fit), **near("1.93664547056 2.58004787224")
    )
    found = (
        refimpl.power_law_loss(np.array([1e9]), 8.8e13, 0.076)[0],
        refimpl.power_law_loss(np.array([1e10]), 5.4e13, 0.095)[0],
    )
    np.testing.assert_allclose(found, **near("2.37564029513 2.26244175382"))
    size, text = refimpl.chinchilla_optimum(np.array([5.76e23, 1e21]), *fit)
    assert (text / size).round(1).tolist() == [92.6, 50.1]


def test_counts_by_family_are_the_published_ones():
    """As transformers 5.23 counts distinct tensors on the meta device."""

    def counted(function, rows):
        columns = (np.array(column, dtype=float) for column in zip(*rows))
        return function(*columns).astype(int).tolist()

    sizes = ((768, 12), (1024, 24), (1280, 36), (1600, 48))
    gpt = [(width, layers, 50257, 1024) for width, layers in sizes]
    assert counted(refimpl.gpt_parameters, gpt) == [
        *(124_439_808, 354_823_168, 774_030_080, 1_557_611_200),
    ]
    bert = [(768, 12, 30522, 512), (1024, 24, 30522, 512)]
    assert counted(refimpl.bert_parameters, bert) == [109_482_240, 335_141_888]
    assert counted(refimpl.llama_parameters, [(4096, 32, 11008, 4096, 32000)]) == [6_738_415_616]
    t5 = [
        (512, 6, 2048, 512, 8, 32128),
        (768, 12, 3072, 768, 12, 32128),
        (1024, 24, 4096, 1024, 16, 32128),
        (1024, 24, 16384, 4096, 32, 32128),
        (1024, 24, 65536, 16384, 128, 32128),
    ]
    assert counted(refimpl.t5_parameters, t5) == [
        *(60_506_624, 222_903_552, 737_668_096, 2_851_598_336, 11_307_321_344),
    ]


def test_training_gpt_3_takes_what_was_published():
    """3.14e23 operations, which is 6 n d, and a little for attention."""
    alone = 6 * 174.6e9 * 300e9
    sizes = (np.array([x]) for x in (174.6e9, 300e9, 96.0, 12288.0, 2048.0))
    assert 1.02 < refimpl.training_flops(*sizes)[0] / alone < 1.03
    assert round(alone / 1e23, 2) == 3.14
