"""What is known about the layer of a Q-Former: laws, probes, mistakes."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.attention.reference import causal_bias, multi_head_attention, padding_bias
from refimpl.ops.common import FLOATS, cosines, draw_layer_eps, mistakes_of, sines
from refimpl.ops.layers.reference import gelu, layer_norm, linear
from refimpl.ops.qformer import reference as text
from refimpl.ops.unet.spec.shared import HEADS, drawn_weights, heads_and_width_swapped


def draw_normed(source, sizes):
    """Tokens as a layer norm leaves them, about one: nothing normalises them before attention."""
    return source.normal((sizes["B"], sizes["N"], sizes["channels"]))


def draw_image(source, sizes):
    """Tokens of an image as its tower's layer norm leaves them, or none."""
    if source.absent():
        return None
    return source.normal((sizes["B"], sizes["patches"], sizes["D"]))


def draw_eps(source, sizes):
    """A single channel less its mean is rounding, which only eps keeps from growing four times."""
    eps = draw_layer_eps(source, sizes)
    return eps if sizes["channels"] > 1 else 1e-3


def whole(bias, x):
    """The mask of all tokens in its full shape."""
    B, N, _ = x.shape
    return np.zeros((B, 1, N, N)) + (0 if bias is None else bias)


def layer_of_bert(f, x, heads, bias, eps, **given):
    """Without an image, and with words alone, it is a layer of BERT."""
    own = (given[f"self_{name}"] for name in ("weight", "bias", "out_weight", "out_bias"))
    tokens = x + multi_head_attention(x, x, *own, heads, bias)
    tokens = layer_norm(tokens, given["self_norm_gain"], given["self_norm_bias"], eps)
    hidden = gelu(linear(tokens, given["words_in_weight"], given["words_in_bias"]))
    tokens = tokens + linear(hidden, given["words_out_weight"], given["words_out_bias"])
    want = layer_norm(tokens, given["words_norm_gain"], given["words_norm_bias"], eps)
    alone = given | {"image": None, "queries": 0}
    yield f(x, heads=heads, bias=bias, eps=eps, **alone), want


def same_for_both(f, **inputs):
    """Where both kinds have one feed-forward and no image is read, the kinds are one."""
    shared = {n: inputs[n.replace("words", "queries")] for n in inputs if n.startswith("words_")}
    alike = inputs | shared | {"image": None}
    yield f(**alike), f(**alike | {"queries": 0})


def queries_in_any_order(f, **inputs):
    x, many = inputs["x"], inputs["queries"]
    order = np.r_[np.arange(many)[::-1], np.arange(many, x.shape[1])]
    bias = whole(inputs["bias"], x)[:, :, order][..., order]
    yield f(**inputs | {"x": x[:, order], "bias": bias}), f(**inputs)[:, order]


def image_in_any_order(f, **inputs):
    if inputs["image"] is not None:
        yield f(**inputs | {"image": inputs["image"][:, ::-1]}), f(**inputs)


def words_see_no_image(f, **inputs):
    many = inputs["queries"]
    if inputs["image"] is not None:
        other = inputs | {"image": 3 - inputs["image"]}
        yield f(**other)[:, many:], f(**inputs)[:, many:]


def apart_by_kind(f, **inputs):
    """The last bias of a kind is added to its rows alone."""
    many = inputs["queries"]
    for kind, share in (("queries", 1.0), ("words", 0.0)):
        last = f"{kind}_norm_bias"
        rows = np.where(np.arange(inputs["x"].shape[1]) < many, share, 1 - share)[:, None]
        yield f(**inputs | {last: inputs[last] + 2}), f(**inputs) + 2 * rows


def samples_apart(f, **inputs):
    alone = {"x": inputs["x"][:1], "bias": whole(inputs["bias"], inputs["x"])[:1]}
    if inputs["image"] is not None:
        alone["image"] = inputs["image"][:1]
    yield f(**inputs | alone), f(**inputs)[:1]


def weights(D, channels, hidden):
    """The weights of a layer: no two of them alike."""
    square = sines(D, D) / 2
    norms = {
        "self": (1 + cosines(D), sines(D) / 2),
        "image": (1 - cosines(D), cosines(D)),
        "queries": (1 + sines(D) / 2, -cosines(D)),
        "words": (1 - sines(D) / 3, sines(D)),
    }
    given = {f"{name}_norm_gain": gain for name, (gain, _) in norms.items()}
    given |= {f"{name}_norm_bias": shift for name, (_, shift) in norms.items()}
    return given | {
        "self_weight": cosines(3 * D, D)[::-1] + 0.25,
        "self_bias": sines(3 * D),
        "self_out_weight": square + cosines(D, D).T / 2,
        "self_out_bias": cosines(D),
        "query_weight": square[::-1] * 2,
        "query_bias": cosines(D) + 1,
        "image_weight": cosines(2 * D, channels) + sines(channels, 2 * D).T / 2,
        "image_bias": sines(2 * D)[::-1],
        "image_out_weight": square.T - cosines(D, D) / 2,
        "image_out_bias": sines(D),
        "queries_in_weight": sines(hidden, D) / 2,
        "queries_in_bias": cosines(hidden),
        "queries_out_weight": cosines(D, hidden),
        "queries_out_bias": sines(D)[::-1],
        "words_in_weight": cosines(hidden, D)[::-1],
        "words_in_bias": sines(hidden) / 2,
        "words_out_weight": sines(D, hidden) - cosines(D, hidden) / 2,
        "words_out_bias": cosines(D)[::-1],
    }


def two_queries():
    """Two queries and three words of four channels, an image of three tokens, two heads."""
    given = {"x": 2 * sines(2, 5, 4), "image": 2 * cosines(2, 3, 6)} | weights(4, 6, 3)
    return given | {"queries": 2, "heads": 2, "bias": None, "eps": 1e-12}


def padded_words():
    """Words of which some are padding, and tokens so alike that eps counts."""
    hidden = {"bias": padding_bias(np.array([5, 3]), 5), "x": 1e-2 * sines(2, 5, 4)}
    return two_queries() | hidden | {"eps": 1e-5}


def written_words():
    """A layer that reads no image; words see the queries and what was written before them."""
    bias = causal_bias(5, 5)
    bias[:2, :2] = 0
    return two_queries() | {"image": None, "bias": bias}


wrong = mistakes_of("qformer_layer")
SELF = "multi_head_attention(x, x, *own, heads, bias)"
READS = "image_attention(asking, image, *reads, heads)"
NORM = "layer_norm(asking, image_norm_gain, image_norm_bias, eps)"
THINKS = "feed_forward(words, *of_words, words_norm_gain, words_norm_bias, eps)"

QFORMER_LAYER = Op(
    text.qformer_layer,
    values={
        "x": draw_normed,
        "image": draw_image,
        "eps": draw_eps,
        **HEADS,
        **drawn_weights(text.qformer_layer),
    },
    precisions=FLOATS,
    costly=("B", "N", "channels"),
    laws=(
        Law("without an image and without queries it is a layer of BERT", layer_of_bert),
        Law("with one feed-forward for both and no image, the kinds are one", same_for_both),
        Law("permuting the queries permutes their rows", queries_in_any_order),
        Law("permuting the tokens of the image changes nothing", image_in_any_order),
        Law("the rows of words do not depend on the image", words_see_no_image),
        Law("the last bias of a kind is added to its rows alone", apart_by_kind),
        Law("each sample is treated by itself", samples_apart),
    ),
    probes=(
        Probe("two queries, three words", two_queries),
        Probe("padded words", padded_words),
        Probe("no image, words written one by one", written_words),
    ),
    mistakes=(
        wrong(
            "words-by-the-feed-forward-of-queries",
            "uses the feed-forward of the queries for words, too",
            THINKS,
            "feed_forward(words, *of_queries, queries_norm_gain, queries_norm_bias, eps)",
            "texts come out wrong",
            "there are no words, as in captioning",
            source="https://github.com/huggingface/transformers/issues/30846",
        ),
        wrong(
            "words-without-feed-forward",
            "has a feed-forward for queries alone, and passes words on",
            THINKS,
            "words",
            "texts come out wrong",
            "there are no words, as in captioning",
            source="https://github.com/huggingface/transformers/issues/30846",
        ),
        wrong(
            "words-ask-the-image",
            "lets words attend to the image, too",
            f"        asking = asking + {READS}\n        asking = {NORM}\n",
            f"        x = x + {READS.replace('asking', 'x')}\n"
            f"        x = {NORM.replace('asking', 'x')}\n"
            "        asking, words = x[:, :queries], x[:, queries:]\n",
            "a text is not read alone",
            "there are no words",
        ),
        wrong(
            "image-not-read",
            "reads zeros in place of the image's tokens",
            READS,
            "image_attention(asking, 0 * image, *reads, heads)",
            "the image has no effect",
            "the image is zero",
        ),
        wrong(
            "no-residual-of-the-image",
            "leaves out the residual connection of attention to the image",
            f"asking + {READS}",
            READS,
            "the queries are lost",
            "never",
        ),
        wrong(
            "no-norm-behind-the-image",
            "leaves out the norm behind attention to the image",
            NORM,
            "1 * asking",
            "the scale grows",
            "the sum is normalised already",
        ),
        wrong(
            "norm-of-attention-twice",
            "uses gain and bias of the first norm behind attention to the image",
            NORM,
            NORM.replace("image_", "self_"),
            "wrong with given weights",
            "both norms are alike",
        ),
        wrong(
            "no-residual-of-attention",
            "leaves out the residual connection of self-attention",
            f"x + {SELF}",
            SELF,
            "the input of the layer is lost",
            "never",
        ),
        wrong(
            "no-residual-of-the-feed-forward",
            "leaves out the residual connections of both feed-forwards",
            "x + linear(hidden, out_weight, out_bias)",
            "linear(hidden, out_weight, out_bias)",
            "the output of attention is lost",
            "never",
            where="feed_forward",
        ),
        wrong(
            "normalised-first",
            "normalises the tokens before self-attention, not behind it (pre-norm)",
            f"x = x + {SELF}\n    x = layer_norm(x, self_norm_gain, self_norm_bias, eps)",
            "x = x + multi_head_attention(*(layer_norm(x, self_norm_gain, self_norm_bias, eps),)"
            " * 2, *own, heads, bias)",
            "wrong with given weights",
            "never",
        ),
        wrong(
            "mask-dropped",
            "ignores the mask",
            SELF,
            "multi_head_attention(x, x, *own, heads, None)",
            "padding is read",
            "nothing is hidden",
        ),
        wrong(
            "values-first",
            "takes the rows of keys of the image for those of values",
            "key, value = (split_heads",
            "value, key = (split_heads",
            "wrong with given weights",
            "both are alike",
            where="image_attention",
        ),
        heads_and_width_swapped("qformer_layer"),
    ),
)
