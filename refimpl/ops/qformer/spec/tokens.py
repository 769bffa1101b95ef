"""What is known about tokens that are put together: laws, probes, mistakes."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Law, Op, Probe
from refimpl.ops.common import cosines, mistakes_of, sines
from refimpl.ops.layers.reference import layer_norm
from refimpl.ops.qformer import reference as text

ROOM = -200  # the word that keeps room


def any_order(f, queries, **rest):
    many = len(queries)
    found, turned = f(queries, **rest), f(queries[::-1], **rest)
    yield turned[:, :many], found[:, :many][:, ::-1]
    yield turned[:, many:], found[:, many:]


def words_alone(f, queries, words, positions, gain, shift, eps):
    found = f(queries, words, positions, gain, shift, eps)
    yield found[:, len(queries) :], layer_norm(words + positions, gain, shift, eps)


def queries_alike(f, queries, words, positions, gain, shift, eps):
    found = f(queries, words, positions, gain, shift, eps)
    yield found[:, : len(queries)], layer_norm(queries + 0 * found[:, :1], gain, shift, eps)


def level_unseen(f, queries, words, positions, gain, shift, eps):
    moved = f(queries + 2, words - 3, positions, gain, shift, eps)
    yield moved, f(queries, words, positions, gain, shift, eps)


wrong = mistakes_of("qformer_embed")
TOKENS = "np.concatenate((alike, words + positions), axis=1)"

QFORMER_EMBED = Op(
    text.qformer_embed,
    laws=(
        Law("permuting the queries permutes their outputs", any_order),
        Law("the words are normalised after adding positions", words_alone),
        Law("queries are the same for all texts", queries_alike),
        Law("a constant added to a token changes nothing", level_unseen),
    ),
    probes=(
        Probe(
            "two queries, three words",
            lambda: {
                "queries": sines(2, 4),
                "words": cosines(2, 3, 4),
                "positions": sines(3, 4) - cosines(3, 4),
                "gain": 1 + cosines(4),
                "shift": sines(4) / 2,
                "eps": 1e-12,
            },
        ),
    ),
    mistakes=(
        wrong(
            "positions-forgotten",
            "does not add positions to the words",
            "words + positions",
            "words + 0 * positions",
            "the order of words is lost",
            "positions are 0",
        ),
        wrong(
            "words-first",
            "puts the words before the queries",
            "(alike, words + positions)",
            "(words + positions, alike)",
            "queries and words are confused",
            "never",
        ),
        wrong(
            "words-alone-normed",
            "does not normalise the queries",
            "return layer_norm(tokens, gain, shift, eps)",
            "many = len(queries); return np.concatenate((tokens[:, :many], "
            "layer_norm(tokens[:, many:], gain, shift, eps)), axis=1)",
            "the queries have another scale",
            "queries are normalised",
        ),
        wrong(
            "positions-behind-the-norm",
            "adds positions after the normalisation",
            "return layer_norm(tokens, gain, shift, eps)",
            "tokens = np.concatenate((alike, words), axis=1); "
            "return layer_norm(tokens, gain, shift, eps) + np.concatenate("
            "(0 * queries, positions), axis=0)",
            "the words have another scale",
            "positions are 0",
        ),
        wrong(
            "positions-from-the-end",
            "reverses the positions",
            "words + positions",
            "words + positions[::-1]",
            "the words get the positions in reverse",
            "there is one word",
        ),
    ),
)


def draw_ids(source, sizes):
    """As many rooms as the image has tokens, anywhere in each text."""
    shape = (sizes["B"], sizes["N"])
    order = np.argsort(source.uniform(shape, 0, 1), axis=1, kind="stable")
    rank = np.argsort(order, axis=1, kind="stable")
    return np.where(rank < sizes["latents"], ROOM, rank)


DRAWN = {"ids": draw_ids, "image_id": lambda source, sizes: ROOM}


def spliced(f, words, ids, image_id, images):
    yield f(words, ids, image_id, 0 * images), words * (ids != image_id)[:, :, None]


def image_alone(f, words, ids, image_id, images):
    K = images.shape[1]
    yield f(words[:, :K], 0 * ids[:, :K] + image_id, image_id, images), images


def total(f, words, ids, image_id, images):
    found = np.sum(f(0 * words, ids, image_id, images), axis=1)
    yield found, np.sum(images, axis=1)


def no_vocabulary(f, words, ids, image_id, images):
    """What stood where the image comes leaves no trace."""
    blank = words * (ids != image_id)[:, :, None]
    yield f(blank, ids, image_id, images), f(words, ids, image_id, images)


def samples_apart(f, words, ids, image_id, images):
    yield f(words[1:], ids[1:], image_id, images[1:]), f(words, ids, image_id, images)[1:]


wrong_splice = mistakes_of("splice_tokens")
IDS = np.array([[ROOM, 1, ROOM, 2], [3, ROOM, 4, ROOM]])

SPLICE_TOKENS = Op(
    text.splice_tokens,
    laws=(
        Law("words keep their places", spliced),
        Law("a text of placeholders is the image", image_alone),
        Law("every image token is inserted once", total),
        Law("the placeholder's embedding does not matter", no_vocabulary),
        Law("each sample is treated by itself", samples_apart),
    ),
    probes=(
        Probe(
            "two tokens in four places",
            lambda: {
                "words": sines(2, 4, 3),
                "ids": IDS,
                "image_id": ROOM,
                "images": 2 + cosines(2, 2, 3),
            },
        ),
    ),
    mistakes=(
        wrong_splice(
            "from-the-end",
            "inserts the image tokens in reverse",
            "taken = images[",
            "taken = images[:, ::-1][",
            "the image is reversed",
            "the image has one token",
        ),
        wrong_splice(
            "first-everywhere",
            "inserts the first image token everywhere",
            "np.maximum(np.cumsum(room, axis=1) - 1, 0)",
            "0 * np.cumsum(room, axis=1)",
            "the image is one token",
            "the image has one token",
        ),
        wrong_splice(
            "by-place",
            "uses the position in the text as index of the image token",
            "np.maximum(np.cumsum(room, axis=1) - 1, 0)",
            "np.minimum(np.arange(room.shape[1]) + 0 * ids, K - 1)",
            "tokens are skipped and repeated",
            "the image comes first",
        ),
        wrong_splice(
            "added",
            "adds image tokens to the placeholders instead of replacing them",
            "taken, words)",
            "taken + words, words)",
            "the placeholder's embedding is mixed in",
            "the placeholder's embedding is 0",
        ),
        wrong_splice(
            "off-by-one",
            "counts the placeholder itself, so that indices are one too large",
            "np.cumsum(room, axis=1) - 1, 0)",
            "np.minimum(np.cumsum(room, axis=1), K - 1), 0)",
            "the first token is lost, and the last comes twice",
            "the image has one token",
        ),
        wrong_splice(
            "sample-of-another",
            "takes the image of the previous sample",
            "np.arange(B)[:, None]",
            "np.arange(B)[:, None] - 1",
            "texts see the images of other texts",
            "there is one sample",
        ),
    ),
    values=DRAWN,
)


def goes_both_ways(f, ids, image_id, images, grad):
    words_grad, images_grad = f(ids, image_id, images, grad)
    yield np.sum(words_grad, axis=1) + np.sum(images_grad, axis=1), np.sum(grad, axis=1)


def words_get_theirs(f, ids, image_id, images, grad):
    yield f(ids, image_id, images, grad)[0], grad * (ids != image_id)[:, :, None]


def image_gets_all(f, ids, image_id, images, grad):
    K = images.shape[1]
    found = f(0 * ids[:, :K] + image_id, image_id, images, grad[:, :K])
    yield found[0], 0 * grad[:, :K]
    yield found[1], grad[:, :K]


def image_does_not_matter(f, ids, image_id, images, grad):
    without = f(ids, image_id, 0 * images, grad)
    yield from zip(without, f(ids, image_id, images, grad), strict=True)


wrong_vjp = mistakes_of("splice_tokens_vjp")

SPLICE_TOKENS_VJP = Op(
    text.splice_tokens_vjp,
    outputs=("words_grad", "images_grad"),
    laws=(
        Law("the gradients of words and image sum to grad", goes_both_ways),
        Law("the gradient of a word is grad at its place", words_get_theirs),
        Law("the gradient of the image is grad at the placeholders", image_gets_all),
        Law("does not depend on the image", image_does_not_matter),
        LINEAR_IN_GRAD,
    ),
    probes=(
        Probe(
            "two tokens in four places",
            lambda: {
                "ids": IDS,
                "image_id": ROOM,
                "images": cosines(2, 2, 3),
                "grad": 2 + sines(2, 4, 3),
            },
        ),
    ),
    mistakes=(
        wrong_vjp(
            "words-too",
            "gives placeholders a gradient, too",
            "np.where(room[:, :, None], 0, grad)",
            "grad",
            "the placeholder's embedding is trained by the image",
            "there is no image",
        ),
        wrong_vjp(
            "image-frozen",
            "gives the image no gradient",
            "images_grad = grad[np.arange(B)[:, None], first]",
            "images_grad = 0 * grad[np.arange(B)[:, None], first]",
            "the projection is never trained",
            "grad is 0",
        ),
        wrong_vjp(
            "from-the-end",
            "assigns the gradients to the image tokens in reverse",
            '"stable")[:, :K]',
            '"stable")[:, :K][:, ::-1]',
            "tokens get each other's gradients",
            "the image has one token",
        ),
        wrong_vjp(
            "first-places",
            "takes grad at the first places of the text",
            "grad[np.arange(B)[:, None], first]",
            "grad[:, :K]",
            "image tokens get gradients of words",
            "the image comes first",
        ),
        wrong_vjp(
            "mask-inverted",
            "inverts the mask",
            "np.where(room[:, :, None], 0, grad)",
            "np.where(room[:, :, None], grad, 0)",
            "words get gradients of the image",
            "grad is 0",
        ),
    ),
    values=DRAWN,
)


def positions_get_sums(f, **inputs):
    _, words_grad, positions_grad, _, _ = f(**inputs)
    yield positions_grad, np.sum(words_grad, axis=0)


def shift_gets_all(f, **inputs):
    yield f(**inputs)[4], np.sum(inputs["grad"], axis=(0, 1))


def samples_in_any_order(f, words, grad, **rest):
    straight, turned = (
        f(words=words, grad=grad, **rest),
        f(words=words[::-1], grad=grad[::-1], **rest),
    )
    yield turned[0], straight[0]
    yield turned[1], straight[1][::-1]


def a_constant_is_not_seen(f, **inputs):
    for found in f(**inputs)[:2]:
        total = np.sum(found, axis=-1)
        yield total, 0 * total


def drawn_grad(source, sizes):
    return source.normal((sizes["B"], sizes["latents"] + sizes["N"], sizes["D"]))


wrong_back = mistakes_of("qformer_embed_vjp")
BACK = "layer_norm_vjp(tokens, gain, eps, grad)"

QFORMER_EMBED_VJP = Op(
    text.qformer_embed_vjp,
    outputs=("queries_grad", "words_grad", "positions_grad", "gain_grad", "shift_grad"),
    laws=(
        Law("positions get the sum of the words' gradients", positions_get_sums),
        Law("the shift gets the sum of grad", shift_gets_all),
        Law("the order of samples does not matter to queries", samples_in_any_order),
        Law("gradients of a token sum to zero: a constant is not seen", a_constant_is_not_seen),
        LINEAR_IN_GRAD,
    ),
    probes=(
        Probe(
            "two queries, three words",
            lambda: {
                "queries": sines(2, 4),
                "words": cosines(2, 3, 4),
                "positions": sines(3, 4) - cosines(3, 4),
                "gain": 1 + cosines(4),
                "eps": 1e-12,
                "grad": 2 + sines(2, 5, 4),
            },
        ),
    ),
    mistakes=(
        wrong_back(
            "queries-of-one-sample",
            "takes the first sample's gradients for what samples share",
            "np.sum(tokens_grad, axis=0)",
            "tokens_grad[0]",
            "queries and positions learn from one sample",
            "there is one sample",
        ),
        wrong_back(
            "averaged",
            "averages over the batch what samples share",
            "np.sum(tokens_grad, axis=0)",
            "np.mean(tokens_grad, axis=0)",
            "too small by the batch size",
            "there is one sample",
        ),
        wrong_back(
            "without-positions",
            "does not add positions before the norm is differentiated",
            "words + positions",
            "words + 0 * positions",
            "the gradient is that of other tokens",
            "positions are 0",
        ),
        wrong_back(
            "no-gain",
            "leaves out the gain",
            BACK,
            "layer_norm_vjp(tokens, 0 * gain + 1, eps, grad)",
            "each component has a wrong scale",
            "the gain is 1",
        ),
        wrong_back(
            "norm-passed-over",
            "gives words the gradient after the norm",
            "tokens_grad[:, L:], shared",
            "grad[:, L:], shared",
            "words get gradients of another scale",
            "never",
        ),
    ),
    values={"grad": drawn_grad},
)
