"""What is known about latents that ask the tokens of an image: laws, probes, mistakes."""

import numpy as np

from refimpl.axes.drawing import Wanted, draw_weights
from refimpl.op import Law, Op, Probe
from refimpl.ops.common import cosines, draw_layer_eps, mistakes_of, sines
from refimpl.ops.flamingo import reference as text


def any_order(f, media, **rest):
    yield f(media[:, ::-1], **rest), f(media, **rest)


def latents_in_any_order(f, media, latents, **rest):
    yield f(media, latents[:, ::-1], **rest), f(media, latents, **rest)[:, ::-1]


def nothing_said(f, media, latents, out_weight, **rest):
    yield f(media, latents, out_weight=0 * out_weight, **rest), latents


def samples_apart(f, media, latents, **rest):
    yield f(media[:1], latents[:1], **rest), f(media, latents, **rest)[:1]


def twice_told(f, media, latents, value_weight, **rest):
    """What is told is linear in the values."""
    once = f(media, latents, value_weight=value_weight, **rest)
    yield f(media, latents, value_weight=2 * value_weight, **rest) - latents, 2 * (once - latents)


def level_unseen(f, media, latents, **rest):
    """A constant added to a token changes nothing."""
    yield f(media + 2, latents, **rest), f(media, latents, **rest)


def probe(B, M, N, D, heads, E):
    width = heads * E
    return {
        "media": 2 * sines(B, M, D),
        "latents": 2 * cosines(B, N, D),
        "media_gain": 1 + cosines(D),
        "media_shift": sines(D) / 2,
        "latents_gain": 1 - cosines(D),
        "latents_shift": cosines(D) / 2,
        "eps": 1e-5,
        "query_weight": sines(width, D),
        "key_weight": 2 * cosines(width, D),
        "value_weight": sines(width, D) - cosines(width, D),
        "out_weight": cosines(D, width),
        "heads": heads,
    }


def plain():
    eye, one = np.eye(4), np.ones(4)
    weights = dict.fromkeys(("query_weight", "key_weight", "value_weight", "out_weight"), eye)
    shifts = {"media_shift": 0 * one, "latents_shift": 0 * one}
    gains = {"media_gain": one, "latents_gain": one, "eps": 1e-5, "heads": 1}
    return {"media": sines(1, 3, 4), "latents": cosines(1, 2, 4), **gains, **shifts, **weights}


def draw_shift(source, known):
    """Shifts of a layer norm are small beside its gains."""
    return draw_weights(source, Wanted((known["D"],))) / 4


def draw_queries(source, known):
    """Half of what keeps numbers as large: scores that half formats can tell apart."""
    return draw_weights(source, Wanted((known["H"] * known["E"], known["D"]))) / 2


wrong = mistakes_of("perceiver_attention")
TOLD = "layer_norm(media, media_gain, media_shift, eps)"

PERCEIVER_ATTENTION = Op(
    text.perceiver_attention,
    laws=(
        Law("permuting the media changes nothing", any_order),
        Law("permuting the latents permutes the result", latents_in_any_order),
        Law("with a zero output projection the latents stay", nothing_said),
        Law("the update is linear in the value weight", twice_told),
        Law("a constant added to the media changes nothing", level_unseen),
        Law("each sample is treated by itself", samples_apart),
    ),
    probes=(
        Probe("three tokens, two latents, one head", plain),
        Probe("two heads", lambda: probe(2, 3, 2, 4, 2, 3)),
    ),
    mistakes=(
        wrong(
            "keys-without-latents",
            "uses keys and values of the media only, without the latents",
            "(told, asking)",
            "(told,)",
            "latents cannot attend to each other",
            "never; hardly with one latent of low score",
        ),
        wrong(
            "media-not-normalised",
            "does not normalise the media",
            f"told = {TOLD}",
            "told = media",
            "the result depends on the scale of the features",
            "the media are normalised",
            source="https://github.com/lucidrains/flamingo-pytorch/issues/1",
        ),
        wrong(
            "latents-not-normalised",
            "does not normalise the latents",
            "asking = layer_norm(latents, latents_gain, latents_shift, eps)",
            "asking = latents",
            "scores grow from layer to layer",
            "the latents are normalised",
        ),
        wrong(
            "norms-exchanged",
            "normalises the media with the latents' gain and shift",
            TOLD,
            "layer_norm(media, latents_gain, latents_shift, eps)",
            "wrong with given weights",
            "both norms are alike",
        ),
        wrong(
            "no-residual",
            "leaves out the residual connection",
            "return latents + linear",
            "return linear",
            "the latents are lost",
            "never",
        ),
        wrong(
            "residual-of-the-norm",
            "adds the normalised latents as residual",
            "return latents + linear",
            "return asking + linear",
            "the result has another scale",
            "the latents are normalised",
        ),
        wrong(
            "keys-for-values",
            "uses the keys as values",
            "linear(seen, value_weight, None)",
            "linear(seen, key_weight, None)",
            "wrong with given weights",
            "both weights are alike",
        ),
    ),
    values={
        "eps": draw_layer_eps,
        "media_shift": draw_shift,
        "latents_shift": draw_shift,
        "query_weight": draw_queries,
    },
    costly=("H", "N", "M"),
)
