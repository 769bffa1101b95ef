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
        "gives words the perceptron of the queries",
        WORDS,
        WORDS.replace(".words", ".queries"),
        "qformer_block",
        invisible_when="there are no words, as in captioning",
    ),
    Edit(
        "blip2/queries-by-the-perceptron-of-words",
        "gives queries the perceptron of the words",
        'rows_alone(asking, params, f"{name}.queries"',
        'rows_alone(asking, params, f"{name}.words"',
        "qformer_block",
    ),
    Edit(
        "blip2/image-not-read",
        "lets queries read each other where the image belongs",
        READS,
        READS.replace("image", "image * 0"),
        "qformer_block",
    ),
    Edit(
        "blip2/values-from-keys-of-the-image",
        "takes values from the tokens that were keys",
        ASKED,
        ASKED.replace("split(value", "split(key"),
        "asked",
    ),
    Edit(
        "blip2/no-residual-of-the-image",
        "does not add the queries to what they read in the image",
        "asking + y",
        "y",
        "qformer_block",
    ),
    Edit(
        "blip2/no-norm-behind-the-image",
        "does not normalise behind reading the image",
        NORM_CROSS,
        "asking",
        "qformer_block",
    ),
    Edit(
        "blip2/norm-of-attention-twice",
        "normalises behind the image by the gain and bias of the norm behind attention",
        NORM_CROSS,
        NORM_CROSS.replace("ln_cross", "ln_1"),
        "qformer_block",
    ),
    Edit(
        "blip2/no-residual-of-attention",
        "does not add the tokens to what attention gives",
        f"x + {SELF}",
        SELF,
        "qformer_block",
    ),
    Edit(
        "blip2/no-residual-of-perceptron",
        "does not add the tokens to what the perceptron gives",
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
        "hides later tokens from queries and words",
        BIAS,
        f"{BIAS} + ops.causal_bias(many + length, many + length)",
        "qformer",
    ),
    Edit(
        "blip2/queries-apart-from-words",
        "hides words from queries, and queries from words",
        BIAS,
        f"{BIAS} + ops.block_diagonal_bias(np.arange(many + length) // many)"
        " if many >= length else "
        f"{BIAS} + ops.block_diagonal_bias(np.where(np.arange(many + length) < many, 0, 1))",
        "qformer",
    ),
    Edit(
        "blip2/padding-seen",
        "lets tokens see the padding of texts",
        BIAS,
        "None",
        "qformer",
        invisible_when="all texts are as long as the longest",
    ),
    Edit(
        "blip2/padding-counted-without-queries",
        "hides as many words too many as there are queries",
        BIAS,
        BIAS.replace("many + lengths", "np.maximum(lengths, many)"),
        "qformer",
    ),
)
ENDS = (
    Edit(
        "blip2/queries-not-normalised",
        "normalises words alone before the first block",
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
        "counts positions of words from the number of queries on",
        'params["positions.weight"][:length]',
        'params["positions.weight"][many : many + length]',
        "qformer",
    ),
    Edit(
        "blip2/image-not-normalised",
        "shows the queries an image that is not normalised",
        IMAGE,
        "x",
        "blip2",
    ),
    Edit(
        "blip2/no-class-token-shown",
        "hides the class token of the image",
        IMAGE,
        f"{IMAGE}[:, 1:]",
        "blip2",
    ),
    Edit(
        "blip2/mean-of-queries",
        "compares the mean of the queries' cosines, not the best",
        LIKE,
        'tap("similarity", np.mean(ops.l2_normalize(seen) @ ops.l2_normalize(said).T, axis=1))',
        "blip2",
    ),
    Edit(
        "blip2/products-for-cosines",
        "compares vectors that are not normalised",
        LIKE,
        'tap("similarity", np.max(seen @ said.T, axis=1))',
        "blip2",
    ),
    Edit(
        "blip2/last-word-for-the-text",
        "takes the last word for the whole text, not the first",
        "said[:, 0]",
        "said[:, -1]",
        "blip2",
    ),
    Edit(
        "blip2/text-asks-the-image",
        "lets a text that is read alone stand beside the queries",
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
