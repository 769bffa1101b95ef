"""What is known about pairs of images and texts: laws, probes, mistakes."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Law, Op, Probe
from refimpl.ops.common import cosines, draw_loss_gradient, mistakes_of, sines
from refimpl.ops.layers.reference import l2_normalize
from refimpl.ops.qformer import reference as text


def any_query(f, images, texts):
    yield f(images[:, ::-1], texts), f(images, texts)


def one_query(f, images, texts):
    yield f(images[:, :1], texts), l2_normalize(images[:, 0]) @ l2_normalize(texts).T


def more_is_more(f, images, texts):
    yield np.minimum(f(images, texts) - f(images[:, :1], texts), 0), 0 * f(images, texts)


def length_unseen(f, images, texts):
    yield f(4 * images, texts / 2), f(images, texts)


def within(f, images, texts):
    found = f(images, texts)
    yield np.maximum(np.abs(found) - 1, 0), 0 * found


wrong = mistakes_of("itc_similarity")

ITC_SIMILARITY = Op(
    text.itc_similarity,
    laws=(
        Law("the order of the queries does not matter", any_query),
        Law("for one query it is the cosine", one_query),
        Law("never falls as queries are added", more_is_more),
        Law("lengths do not matter", length_unseen),
        Law("lies between -1 and 1", within),
    ),
    probes=(
        Probe(
            "two images of three queries",
            lambda: {"images": sines(2, 3, 4), "texts": cosines(2, 4)},
        ),
    ),
    mistakes=(
        wrong(
            "mean-over-queries",
            "averages over the queries instead of taking the maximum",
            "np.max(cosines, axis=1)",
            "np.mean(cosines, axis=1)",
            "the best query no longer decides",
            "there is one query",
        ),
        wrong(
            "first-query",
            "uses the first query only",
            "np.max(cosines, axis=1)",
            "cosines[:, 0]",
            "the other queries are ignored",
            "there is one query",
        ),
        wrong(
            "images-not-normalised",
            "does not normalise the images",
            "l2_normalize(images) @",
            "images @",
            "longer vectors win",
            "images have length 1",
        ),
        wrong(
            "texts-not-normalised",
            "does not normalise the texts",
            "l2_normalize(texts).T",
            "texts.T",
            "longer vectors win",
            "texts have length 1",
        ),
        wrong(
            "least",
            "takes the minimum over the queries",
            "np.max(cosines",
            "np.min(cosines",
            "the worst query decides",
            "there is one query",
        ),
    ),
)


def across(f, images, texts, grad):
    """Lengths do not matter to a cosine, so that its gradients stand at right angles."""
    for x, slope in zip((images, texts), f(images, texts, grad), strict=True):
        along = np.sum(x * slope, axis=-1)
        yield along, 0 * along


def longer_is_slower(f, images, texts, grad):
    found, there = f(4 * images, texts / 2, grad), f(images, texts, grad)
    yield 4 * found[0], there[0]
    yield found[1], 2 * there[1]


def each_text_alone(f, images, texts, grad):
    """Gradients of the images add up over texts, those of a text know no other."""
    whole = f(images, texts, grad)
    parts = [f(images, texts[m : m + 1], grad[:, m : m + 1]) for m in range(len(texts))]
    yield sum(part[0] for part in parts), whole[0]
    yield np.concatenate([part[1] for part in parts]), whole[1]


def worst_unheard(f, images, texts, grad):
    """A query that points away from the one text has no gradient beside one that is along it."""
    first = np.concatenate((texts[:1], -texts[:1]))[None]  # 1 2 D
    back = f(first, texts[:1], grad[:1, :1])[0]
    yield back[:, 1], 0 * back[:, 1]


def draw_vectors(*axes):
    """Vectors that are not zero: there a cosine has no derivative."""

    def draw(source, sizes):
        x = source.normal(tuple(sizes[axis] for axis in axes))
        return source.choice([0.125, 1.0, 32.0]) * (x + np.all(x == 0, axis=-1, keepdims=True))

    return draw


wrong_back = mistakes_of("itc_similarity_vjp")
IS_BEST = "np.where(is_best, grad[:, None], 0.0)"

ITC_SIMILARITY_VJP = Op(
    text.itc_similarity_vjp,
    outputs=("images_grad", "texts_grad"),
    laws=(
        Law("gradients are orthogonal to what they belong to", across),
        Law("longer vectors have smaller gradients", longer_is_slower),
        Law("gradients of the images add up over the texts", each_text_alone),
        Law("a query that is not the best has none", worst_unheard),
        LINEAR_IN_GRAD,
    ),
    probes=(
        Probe(
            "two images of three queries",
            lambda: {
                "images": 2 * sines(2, 3, 4),
                "texts": 3 * cosines(2, 4),
                "grad": cosines(2, 2) + 1,
            },
        ),
    ),
    mistakes=(
        wrong_back(
            "spread-over-queries",
            "gives every query a share, as though the mean had been taken",
            IS_BEST,
            "grad[:, None] / images.shape[1] + 0 * cosines",
            "queries that did not count are pulled, too",
            "there is one query",
        ),
        wrong_back(
            "best-by-product",
            "takes the query with the largest product, not the largest cosine",
            "np.argmax(cosines, axis=1)",
            "np.argmax(images @ asked.T, axis=1)",
            "longer queries win",
            "all queries have one length",
        ),
        wrong_back(
            "worst-query",
            "gives the gradient to the least similar query",
            "np.argmax(cosines",
            "np.argmin(cosines",
            "the query that counted does not learn",
            "there is one query",
        ),
        wrong_back(
            "images-not-normalised-back",
            "leaves out the gradient of the images' normalisation",
            "l2_normalize_vjp(images, passed @ asked)",
            "passed @ asked",
            "the gradient has a part along the vector",
            "never, but for length 1 and a grad across",
        ),
        wrong_back(
            "texts-not-normalised-back",
            "leaves out the gradient of the texts' normalisation",
            "l2_normalize_vjp(texts, told)",
            "told",
            "the gradient has a part along the vector",
            "never, but for length 1 and a grad across",
        ),
        wrong_back(
            "mean-over-images",
            "averages a text's gradient over the images",
            "np.sum(np.swapaxes(passed, 1, 2) @ unit, axis=0)",
            "np.mean(np.swapaxes(passed, 1, 2) @ unit, axis=0)",
            "too small by the number of images",
            "there is one image",
        ),
    ),
    values={
        "images": draw_vectors("Q", "latents", "D"),
        "texts": draw_vectors("texts", "D"),
    },
)


def turned(f, similarity, temperature, smoothing):
    yield f(similarity.T, temperature, smoothing), f(similarity, temperature, smoothing)


def shifted(f, similarity, temperature, smoothing):
    yield f(similarity + 2, temperature, smoothing), f(similarity, temperature, smoothing)


def warmer(f, similarity, temperature, smoothing):
    yield f(4 * similarity, 4 * temperature, smoothing), f(similarity, temperature, smoothing)


def all_alike(f, similarity, temperature, smoothing):
    yield f(0 * similarity, temperature, smoothing), np.log(0 * similarity[0, 0] + len(similarity))


def mixed(f, similarity, temperature, smoothing):
    sure, spread = (f(similarity, temperature, s) for s in (0.0, 1.0))
    yield f(similarity, temperature, smoothing), sure + smoothing * (spread - sure)


def pairs(smoothing, temperature=0.07):
    return lambda: {
        "similarity": np.array([[0.9, 0.2, 0.4], [0.1, 0.8, 0.5], [0.3, 0.6, 0.7]]),
        "temperature": temperature,
        "smoothing": smoothing,
    }


wrong_loss = mistakes_of("itc_loss")
LABELS = "(1 - smoothing) * np.eye(N) + smoothing / N"
BOTH = "log_softmax(logits) + log_softmax(logits.T).T"
VALUES = {"smoothing": lambda source, sizes: source.choice([0.125, 0.0, 0.5])}

ITC_LOSS = Op(
    text.itc_loss,
    laws=(
        Law("exchanging images and texts changes nothing", turned),
        Law("a constant changes nothing", shifted),
        Law("depends on similarity / temperature alone", warmer),
        Law("for equal similarities it is log N", all_alike),
        Law("is linear in the smoothing", mixed),
    ),
    probes=(Probe("three pairs", pairs(0.1)), Probe("three pairs, no smoothing", pairs(0.0))),
    mistakes=(
        wrong_loss(
            "multiplied",
            "multiplies by the temperature",
            "similarity / temperature",
            "similarity * temperature",
            "all pairs look nearly equal",
            "the temperature is 1",
        ),
        wrong_loss(
            "images-alone",
            "uses the direction from image to text only",
            BOTH,
            "2 * log_softmax(logits)",
            "the direction from text to image is not trained",
            "the similarities are symmetric",
        ),
        wrong_loss(
            "smoothing-of-others",
            "spreads the smoothing over the other texts only",
            "smoothing / N",
            "smoothing / max(N - 1, 1) * (1 - np.eye(N))",
            "the target of the pair is too small",
            "nothing is smoothed",
        ),
        wrong_loss(
            "not-smoothed",
            "ignores the smoothing",
            LABELS,
            "np.eye(N) + 0 * smoothing",
            "the model becomes overconfident",
            "nothing is smoothed",
        ),
        wrong_loss(
            "sum-for-mean",
            "sums over the pairs instead of averaging",
            "/ (2 * N)",
            "/ 2",
            "too large by the number of pairs",
            "there is one pair",
        ),
        wrong_loss(
            "not-halved",
            "adds both directions instead of averaging",
            "/ (2 * N)",
            "/ N",
            "twice the loss",
            "never",
        ),
    ),
    values=VALUES,
)


def adds_to_nothing(f, similarity, temperature, smoothing, grad):
    found = np.sum(f(similarity, temperature, smoothing, grad))
    yield found, 0 * found


def turned_back(f, similarity, temperature, smoothing, grad):
    there = f(similarity, temperature, smoothing, grad)
    yield f(similarity.T, temperature, smoothing, grad), there.T


def warmer_is_slower(f, similarity, temperature, smoothing, grad):
    warm = f(4 * similarity, 4 * temperature, smoothing, grad)
    yield 4 * warm, f(similarity, temperature, smoothing, grad)


def balanced(f, similarity, temperature, smoothing, grad):
    found = f(0 * similarity, temperature, 1.0, grad)
    yield found, 0 * similarity


wrong_vjp = mistakes_of("itc_loss_vjp")

ITC_LOSS_VJP = Op(
    text.itc_loss_vjp,
    outputs=("similarity_grad",),
    laws=(
        Law("sums to zero", adds_to_nothing),
        Law("exchanging images and texts changes nothing", turned_back),
        Law("scaling similarity and temperature by 4 divides it by 4", warmer_is_slower),
        Law("for equal similarities and smoothing 1 it is zero", balanced),
        LINEAR_IN_GRAD,
    ),
    probes=(Probe("three pairs", lambda: pairs(0.1)() | {"grad": np.array(1.0)}),),
    mistakes=(
        wrong_vjp(
            "temperature-forgotten",
            "does not divide by the temperature",
            "(2 * N * temperature)",
            "(2 * N)",
            "too small by the temperature",
            "the temperature is 1",
        ),
        wrong_vjp(
            "images-alone",
            "uses the gradient of one direction only",
            "softmax(logits) + softmax(logits.T).T",
            "2 * softmax(logits)",
            "the direction from text to image has no gradient",
            "the similarities are symmetric",
        ),
        wrong_vjp(
            "labels-once",
            "subtracts the labels of one direction only",
            "- 2 * labels",
            "- labels",
            "all similarities shrink",
            "never",
        ),
        wrong_vjp(
            "sum-for-mean",
            "sums over the pairs instead of averaging",
            "(2 * N * temperature)",
            "(2 * temperature)",
            "too large by the number of pairs",
            "there is one pair",
        ),
        wrong_vjp(
            "not-smoothed",
            "uses labels without smoothing",
            LABELS,
            "np.eye(N) + 0 * smoothing",
            "similarities of pairs grow without end",
            "nothing is smoothed",
        ),
    ),
    values=VALUES | {"grad": draw_loss_gradient},
)


def adds_to_one(f, similarity, temperature):
    total = np.sum(f(similarity, temperature), axis=1)
    yield total, 0 * total + 1


def never_its_own(f, similarity, temperature):
    found = f(similarity, temperature)
    yield found * np.eye(len(similarity)), 0 * found


def own_unseen(f, similarity, temperature):
    yield (
        f(similarity * (1 - np.eye(len(similarity))), temperature),
        f(similarity, temperature),
    )


def two_pairs(f, similarity, temperature):
    yield f(similarity[:2, :2], temperature), np.array([[0.0, 1.0], [1.0, 0.0]])


def warmer_shares(f, similarity, temperature):
    yield f(4 * similarity, 4 * temperature), f(similarity, temperature)


wrong_weights = mistakes_of("hard_negative_weights")
OWN = "np.where(np.eye(N) == 1, -np.inf, 0.0)"

HARD_NEGATIVE_WEIGHTS = Op(
    text.hard_negative_weights,
    laws=(
        Law("rows sum to one", adds_to_one),
        Law("the matching text has weight 0", never_its_own),
        Law("the similarity of the matching pair does not matter", own_unseen),
        Law("with two pairs the other text has weight 1", two_pairs),
        Law("depends on similarity / temperature alone", warmer_shares),
    ),
    probes=(
        Probe(
            "three pairs",
            lambda: {k: v for k, v in pairs(0.0)().items() if k != "smoothing"},
        ),
        Probe("four pairs", lambda: {"similarity": sines(4, 4) / 2, "temperature": 0.25}),
    ),
    mistakes=(
        wrong_weights(
            "own-included",
            "does not exclude the matching text",
            OWN,
            "0 * np.eye(N)",
            "matching captions are labelled as negatives",
            "never",
        ),
        wrong_weights(
            "own-at-zero",
            "sets the matching text's score to 0 instead of -inf",
            "softmax(similarity / temperature + own)",
            "softmax(np.where(np.eye(N) == 1, 0.0, similarity / temperature))",
            "matching captions are labelled as negatives",
            "scores are far above 0",
        ),
        wrong_weights(
            "easy",
            "prefers the least similar texts",
            "similarity / temperature + own",
            "own - similarity / temperature",
            "the negatives are too easy",
            "all are alike",
        ),
        wrong_weights(
            "not-divided",
            "forgets the temperature",
            "similarity / temperature",
            "similarity",
            "negatives are drawn almost uniformly",
            "the temperature is 1",
        ),
        wrong_weights(
            "own-removed-afterwards",
            "sets the matching text's weight to 0 without normalising again",
            "softmax(similarity / temperature + own)",
            "softmax(similarity / temperature) * (1 - np.eye(N))",
            "weights do not sum to one",
            "never",
        ),
        wrong_weights(
            "by-texts",
            "normalises over the images instead of the texts",
            "softmax(similarity / temperature + own)",
            "softmax((similarity / temperature + own).T).T",
            "the weights are those of images for a text",
            "the similarities are symmetric",
        ),
    ),
    values={
        "similarity": lambda source, sizes: source.normal((sizes["N"] + 1, sizes["N"] + 1)),
    },
)
