"""What is known about which image a word sees: laws, probes, mistakes."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.common import FLOATS, mistakes_of
from refimpl.ops.flamingo import reference as text


def words_alone(f, media):
    yield f(0 * media), 0 * media


def images_alone(f, media):
    yield f(0 * media + 1), 0 * media + 1 + np.arange(media.shape[1])


def steps(f, media):
    found = f(media)
    yield found[:, :1], media[:, :1]
    yield found[:, 1:] - found[:, :-1], media[:, 1:]


def later_unseen(f, media):
    half = media.shape[1] // 2
    yield f(media[:, :half]), f(media)[:, :half]


wrong_times = mistakes_of("text_times")
COUNT = "np.cumsum(media, axis=1)"

TEXT_TIMES = Op(
    text.text_times,
    laws=(
        Law("a text without images has 0 everywhere", words_alone),
        Law("a text of image tokens counts 1, 2, 3, …", images_alone),
        Law("the count rises by one at each image token", steps),
        Law("later tokens change nothing", later_unseen),
    ),
    probes=(
        Probe("two images", lambda: {"media": np.array([[1, 0, 0, 1, 0, 0]])}),
        Probe("words first", lambda: {"media": np.array([[0, 0, 1, 0], [0, 1, 0, 1]])}),
    ),
    mistakes=(
        wrong_times(
            "own-token-left-out",
            "counts an image only after its own token",
            COUNT,
            "np.cumsum(media, axis=1) - media",
            "an image's token sees the previous image",
            "there is no image",
        ),
        wrong_times(
            "counts-from-zero",
            "counts images from zero",
            COUNT,
            "np.cumsum(media, axis=1) - 1",
            "words see the image before the most recent one",
            "never",
        ),
        wrong_times(
            "over-the-batch",
            "accumulates over the batch instead of the text",
            "axis=1",
            "axis=0",
            "texts see the images of other texts",
            "there is one text of one token",
        ),
        wrong_times(
            "to-come",
            "counts the images that follow",
            COUNT,
            "np.cumsum(media[:, ::-1], axis=1)[:, ::-1]",
            "words see later images",
            "images stand evenly",
        ),
        wrong_times(
            "all-images",
            "returns the number of images for every token",
            COUNT,
            "np.sum(media, axis=1)[:, None] + 0 * media",
            "all words see the last image",
            "the images come first",
        ),
    ),
    precisions=FLOATS,
)


def seen(bias):
    return np.exp(bias)


def nothing_before(f, times, media, latents):
    yield seen(f(0 * times, media, latents)), np.zeros((len(times), 1, times.shape[1], 1))


def whole_images(f, times, media, latents):
    yield f(times, media, latents), np.repeat(f(times, media, 1), latents, axis=-1)


def tokens_apart(f, times, media, latents):
    yield f(times[:, ::-1], media, latents), f(times, media, latents)[:, :, ::-1]


def one_image(f, times, media, latents):
    found = np.sum(seen(f(times, media, latents)), axis=(1, 3))
    yield found, latents * 1.0 * ((times >= 1) & (times <= media))


def so_many(f, times, media, latents):
    found = np.sum(seen(f(times, media, latents)), axis=(1, 3))
    yield found, latents * np.minimum(times, media) * 1.0


def last_of_all(f, times, media, latents):
    now, before = (
        text.media_bias_all(t, media, latents) for t in (times, np.maximum(times, 1) - 1)
    )
    yield seen(f(times, media, latents)), seen(now) - seen(before)


def sum_of_each(f, times, media, latents):
    total = sum(
        seen(text.media_bias(np.where(times >= k, k, 0), media, latents))
        for k in range(1, media + 1)
    )
    yield seen(f(times, media, latents)), total


def mistakes(function, sees):
    """How the mask of one mode goes wrong, `sees` being its comparison."""
    wrong = mistakes_of(function)
    time = f"times[:, None, :, None] {sees} image"
    return (
        wrong(
            "leading-text-leaks",
            "shows all images to words before the first, as a softmax of equal scores does",
            f"np.where({time}, 0.0, -np.inf)",
            f"np.where(({time}) | (times[:, None, :, None] == 0), 0.0, -np.inf)",
            "words see images that come later",
            "a text begins with an image, or the gate is shut",
            source="https://github.com/huggingface/transformers/pull/26839",
        ),
        wrong(
            "counts-from-zero",
            "counts images from zero",
            "np.arange(media), latents) + 1",
            "np.arange(media), latents)",
            "words see the next image",
            "never",
        ),
        wrong(
            "latents-of-all-images",
            "interleaves the tokens of the images",
            "np.repeat(np.arange(media), latents)",
            "np.tile(np.arange(media), latents)",
            "words see some tokens of every image",
            "images have one token, or there is one",
            source="https://github.com/OpenTSLM/OpenTSLM/issues/54",
        ),
        wrong(
            "images-to-come",
            "shows the images that follow",
            sees + " image",
            "< image",
            "words see later images only",
            "never",
        ),
        wrong(
            "mask-inverted",
            "inverts the mask",
            "0.0, -np.inf",
            "-np.inf, 0.0",
            "words see all images but the right ones",
            "never",
        ),
    )


def mask(function, sees, laws, *more):
    return Op(
        function,
        laws=(
            Law("words before the first image see nothing", nothing_before),
            Law("all tokens of an image are visible or none", whole_images),
            Law("each word is masked by itself", tokens_apart),
            *laws,
        ),
        probes=(
            Probe(
                "two images of two tokens",
                lambda: {"times": np.array([[0, 1, 1, 2, 2]]), "media": 2, "latents": 2},
            ),
            Probe(
                "three images of one token",
                lambda: {"times": np.array([[1, 3], [0, 2]]), "media": 3, "latents": 1},
            ),
        ),
        mistakes=(*mistakes(function.__name__, sees), *more),
        precisions=FLOATS,
        values={
            "times": lambda source, sizes: np.cumsum(
                source.uniform((sizes["B"], sizes["N"]), 0, 1) < 0.4, axis=1
            )
        },
    )


MEDIA_BIAS = mask(
    text.media_bias,
    "==",
    (
        Law("a word sees at most one image", one_image),
        Law("it is the last image so far", last_of_all),
    ),
    mistakes_of("media_bias")(
        "all-images",
        "shows all images so far instead of the last",
        "== image",
        ">= image",
        "earlier images are mixed with the last",
        "there is one image",
    ),
)
MEDIA_BIAS_ALL = mask(
    text.media_bias_all,
    ">=",
    (
        Law("a word sees all images before it", so_many),
        Law("it is the union of the masks of single images", sum_of_each),
    ),
    mistakes_of("media_bias_all")(
        "last-image",
        "shows the last image only",
        ">= image",
        "== image",
        "earlier images are hidden",
        "there is one image",
    ),
)
