"""What goes wrong in the structure of BLIP-2 and its Q-Former, as edits of their text."""

from refimpl.models.mistakes import VIT, elsewhere
from refimpl.op import Edit

ASKED = "ops.attention(split(query, heads), split(key, heads), split(value, heads), bias)"
READS = 'asked(asking, image, None, params, f"{name}.cross", heads, ops, tap)'
SELF = 'asked(x, x, bias, params, f"{name}.attn", heads, ops, tap)'
NORM_CROSS = 'norm(asking, params, f"{name}.ln_cross", eps, ops)'
WORDS = 'rows_alone(x[:, queries:], params, f"{name}.words", config, ops, tap)'
EMBED = "ops.qformer_embed(queries, words, places, gain, shift, config.eps)"
BIAS = "ops.padding_bias(many + lengths, many + length)"
IMAGE = 'norm(x, params, "visual.ln_post", config.vision.eps, ops)'
LIKE = 'tap("similarity", ops.itc_similarity(seen, said))'
HEAD = 'dense(both[:, : own.queries], params, "itm_head", ops)'
LAYERS = (
    Edit(
        "blip2/words-by-the-perceptron-of-queries",
        "uses the perceptron of the queries for words",
        WORDS,
        WORDS.replace(".words", ".queries"),
        "qformer_block",
        invisible_when="there are no words, as in captioning",
    ),
    Edit(
        "blip2/queries-by-the-perceptron-of-words",
        "uses the perceptron of the words for queries",
        'rows_alone(asking, params, f"{name}.queries"',
        'rows_alone(asking, params, f"{name}.words"',
        "qformer_block",
    ),
    Edit(
        "blip2/image-not-read",
        "uses self-attention in place of attention to the image",
        READS,
        READS.replace("image", "image * 0"),
        "qformer_block",
    ),
    Edit(
        "blip2/values-from-keys-of-the-image",
        "uses the keys of the image as values",
        ASKED,
        ASKED.replace("split(value", "split(key"),
        "asked",
    ),
    Edit(
        "blip2/no-residual-of-the-image",
        "leaves out the residual connection of attention to the image",
        "asking + y",
        "y",
        "qformer_block",
    ),
    Edit(
        "blip2/no-norm-behind-the-image",
        "leaves out the norm after attention to the image",
        NORM_CROSS,
        "asking",
        "qformer_block",
    ),
    Edit(
        "blip2/norm-of-attention-twice",
        "uses gain and bias of the first norm after attention to the image",
        NORM_CROSS,
        NORM_CROSS.replace("ln_cross", "ln_1"),
        "qformer_block",
    ),
    Edit(
        "blip2/no-residual-of-attention",
        "leaves out the residual connection of the Q-Former's attention",
        f"x + {SELF}",
        SELF,
        "qformer_block",
    ),
    Edit(
        "blip2/no-residual-of-perceptron",
        "leaves out the residual connection of the Q-Former's perceptrons",
        "x + perceptron(",
        "perceptron(",
        "rows_alone",
    ),
    Edit(
        "blip2/no-norm-behind-the-perceptron",
        "does not normalise behind the perceptron",
        'norm(x, params, f"{name}.ln_2", config.eps, ops)',
        "x",
        "rows_alone",
    ),
    Edit(
        "blip2/scores-of-queries-not-scaled",
        "does not divide scores by the root of the head's width",
        ASKED,
        ASKED.replace("split(query, heads)", "split(query, heads) * np.sqrt(x.shape[-1] // heads)"),
        "asked",
    ),
    Edit(
        "blip2/queries-masked-causally",
        "masks queries and words causally",
        BIAS,
        f"{BIAS} + ops.causal_bias(many + length, many + length)",
        "qformer",
    ),
    Edit(
        "blip2/queries-apart-from-words",
        "hides queries and words from each other",
        BIAS,
        f"{BIAS} + ops.block_diagonal_bias(np.arange(many + length) // many)"
        " if many >= length else "
        f"{BIAS} + ops.block_diagonal_bias(np.where(np.arange(many + length) < many, 0, 1))",
        "qformer",
    ),
    Edit(
        "blip2/padding-seen",
        "does not mask the padding of texts",
        BIAS,
        "None",
        "qformer",
        invisible_when="all texts are as long as the longest",
    ),
    Edit(
        "blip2/padding-counted-without-queries",
        "counts padding without the queries, so that too many words are hidden",
        BIAS,
        BIAS.replace("many + lengths", "np.maximum(lengths, many)"),
        "qformer",
    ),
)
ENDS = (
    Edit(
        "blip2/queries-not-normalised",
        "normalises only the words before the first block",
        EMBED,
        f"np.concatenate((queries + 0 * {EMBED}[:, :many], {EMBED}[:, many:]), axis=1)",
        "qformer",
    ),
    Edit(
        "blip2/no-positions-of-words",
        "adds no positions to words",
        EMBED,
        EMBED.replace("places", "0 * places"),
        "qformer",
    ),
    Edit(
        "blip2/positions-behind-the-queries",
        "counts positions of words from the number of queries",
        'params["positions.weight"][:length]',
        'params["positions.weight"][many : many + length]',
        "qformer",
    ),
    Edit(
        "blip2/image-not-normalised",
        "leaves out the last norm of the image tower",
        IMAGE,
        "x",
        "blip2",
    ),
    Edit(
        "blip2/no-class-token-shown",
        "leaves out the class token of the image",
        IMAGE,
        f"{IMAGE}[:, 1:]",
        "blip2",
    ),
    Edit(
        "blip2/mean-of-queries",
        "takes the mean of the queries' cosines, not the largest",
        LIKE,
        'tap("similarity", np.mean(ops.l2_normalize(seen) @ ops.l2_normalize(said).T, axis=1))',
        "blip2",
    ),
    Edit(
        "blip2/products-for-cosines",
        "does not normalise the vectors that are compared",
        LIKE,
        'tap("similarity", np.max(seen @ said.T, axis=1))',
        "blip2",
    ),
    Edit(
        "blip2/last-word-for-the-text",
        "uses the last word's vector for the text, not the first",
        "said[:, 0]",
        "said[:, -1]",
        "blip2",
    ),
    Edit(
        "blip2/text-asks-the-image",
        "reads a text together with the queries where it should be alone",
        'read(queries[:0], words, lengths, "text_alone")',
        'read(queries, words, lengths, "text_alone")[:, own.queries :]',
        "blip2",
    ),
    Edit(
        "blip2/match-of-the-first-query",
        "scores the match by the first query alone",
        "np.mean(scores, axis=1)",
        "scores[:, 0]",
        "blip2",
    ),
    Edit(
        "blip2/match-of-words",
        "scores the match by the words, not by the queries",
        HEAD,
        HEAD.replace(": own.queries", "own.queries :"),
        "blip2",
    ),
    Edit(
        "blip2/match-without-the-text",
        "scores the match by queries that saw no text",
        'read(queries, words, lengths, "both")',
        'read(queries, words[:, :1], 0 * lengths, "both")',
        "blip2",
    ),
)
TOWER = tuple(e for e in VIT if e.where not in ("vit", "layer_scale") and not e.also)
UNPLACED = ("no-residual-of-attention", "no-residual-of-perceptron")
BLIP2 = (
    *LAYERS,
    *ENDS,
    *(elsewhere(e, "blip2-tower" if e.id.endswith(UNPLACED) else "blip2") for e in TOWER),
)
