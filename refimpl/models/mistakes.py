"""What goes wrong in the structure of a Vision Transformer and of CLIP, as edits of their texts.

The same records as the mistakes of operations: compiled, run layer by layer, shown as a diff.
"""

from dataclasses import replace

from refimpl.op import Edit

NORM_1 = '    y = tap(f"{name}.ln_1", norm(x, params, f"{name}.ln_1", config.eps, ops))\n'
NORM_2 = '    y = tap(f"{name}.ln_2", norm(x, params, f"{name}.ln_2", config.eps, ops))\n'
MIDDLE = 'x = tap(f"{name}.middle", x + layer_scale(y, params, f"{name}.ls_1"))\n'
LAST = 'return tap(name, x + layer_scale(y, params, f"{name}.ls_2"))'
POOLED = "x[:, 0] if config.class_token else np.mean(x, axis=1)"
TOKENS = 'ops.vit_tokens(x, params[f"{at}class_embedding"], positions)'
THIRDS = "thirds(joint), strict"
ATTENTION = "ops.attention(query, key, value, bias)"

CLASS_LAST = (
    "np.concatenate([x, np.broadcast_to("
    'params[f"{at}class_embedding"], x[:, :1].shape)], axis=1) + positions'
)
CLASS_UNPLACED = (
    "np.concatenate([np.broadcast_to("
    'params[f"{at}class_embedding"], x[:, :1].shape), x + positions[1:]], axis=1)'
)
PATCHES = "ops.patch_embed(images, kernel, bias)"
BY_COLUMNS = (
    "np.reshape(np.swapaxes(np.reshape("
    f"{PATCHES}, (images.shape[0], config.image // config.patch, -1, config.width)"
    "), 1, 2), (images.shape[0], -1, config.width))"
)
PROJECTED = 'return dense(mixed, params, f"{name}.out_proj", ops)'
POST_NORM_1 = MIDDLE + (
    '    x = tap(f"{name}.ln_1", norm(x, params, f"{name}.ln_1", config.eps, ops))\n'
)
POST_NORM_2 = (
    'x = x + layer_scale(y, params, f"{name}.ls_2")\n'
    '    x = tap(f"{name}.ln_2", norm(x, params, f"{name}.ln_2", config.eps, ops))\n'
    "    return tap(name, x)"
)

TOKENS_AND_POOL = (
    Edit(
        "vit/class-token-last",
        "appends the class token and takes the last token",
        TOKENS,
        CLASS_LAST,
        "vit_features",
        also=(("vit", POOLED, POOLED.replace("x[:, 0]", "x[:, -1]")),),
    ),
    Edit(
        "vit/no-positions",
        "adds no positions",
        TOKENS,
        TOKENS[:-1].replace("positions", "0 * positions") + ")",
        "vit_features",
    ),
    Edit(
        "vit/mean-of-patches",
        "pools the mean of the patches, not the class token",
        POOLED,
        POOLED.replace("x[:, 0]", "np.mean(x[:, 1:], axis=1)"),
        "vit",
    ),
    Edit(
        "vit/mean-of-tokens",
        "pools the mean of all tokens, not the class token",
        POOLED,
        "np.mean(x, axis=1)",
        "vit",
    ),
    Edit(
        "vit/last-token",
        "pools the last token, not the class token",
        POOLED,
        POOLED.replace("x[:, 0]", "x[:, -1]"),
        "vit",
    ),
    Edit(
        "vit/positions-of-patches-only",
        "adds the positions to the patches before prepending the class token",
        TOKENS,
        CLASS_UNPLACED,
        "vit_features",
    ),
    Edit(
        "vit/patches-by-columns",
        "orders the patches column by column, not row by row",
        PATCHES,
        BY_COLUMNS,
        "vit_features",
    ),
    Edit(
        "vit/no-last-norm",
        "leaves out the last norm",
        'norm(x, params, f"{at}ln_post", config.eps, ops)',
        "x",
        "vit",
    ),
)
BLOCK = (
    Edit(
        "vit/heads-merged-without-transposition",
        "joins the heads without moving their axis back",
        "np.reshape(np.swapaxes(x, 1, 2), (B, N, H * E))",
        "np.reshape(x, (B, N, H * E))",
        "join",
    ),
    Edit(
        "vit/heads-split-without-transposition",
        "splits tokens into heads without moving the axis",
        "np.swapaxes(np.reshape(x, (B, N, heads, D // heads)), 1, 2)",
        "np.reshape(x, (B, heads, N, D // heads))",
        "split",
    ),
    Edit(
        "vit/heads-interleaved",
        "interleaves the heads over the channels instead of blocks",
        "np.swapaxes(np.reshape(x, (B, N, heads, D // heads)), 1, 2)",
        "np.swapaxes(np.swapaxes(np.reshape(x, (B, N, D // heads, heads)), 1, 3), 2, 3)",
        "split",
        also=(
            (
                "join",
                "np.reshape(np.swapaxes(x, 1, 2), (B, N, H * E))",
                "np.reshape(np.swapaxes(np.swapaxes(x, 2, 3), 1, 3), (B, N, H * E))",
            ),
        ),
    ),
    Edit(
        "vit/joint-matrix-by-heads",
        "reads the packed matrix head by head, q, k and v of each",
        "thirds(joint), strict",
        "[np.reshape(np.reshape(joint, (*x.shape[:2], heads, 3, -1))[:, :, :, i], x.shape) "
        "for i in range(3)], strict",
        "self_attention",
    ),
    Edit(
        "vit/keys-from-queries",
        "takes the keys from the weights of the queries",
        THIRDS,
        "[thirds(joint)[i] for i in (0, 0, 2)], strict",
        "self_attention",
    ),
    Edit(
        "vit/values-from-keys",
        "takes the values from the weights of the keys",
        THIRDS,
        "[thirds(joint)[i] for i in (0, 1, 1)], strict",
        "self_attention",
    ),
    Edit(
        "vit/queries-and-keys-exchanged",
        "exchanges queries and keys",
        THIRDS,
        "[thirds(joint)[i] for i in (1, 0, 2)], strict",
        "self_attention",
    ),
    Edit(
        "vit/keys-and-values-exchanged",
        "exchanges keys and values",
        THIRDS,
        "[thirds(joint)[i] for i in (0, 2, 1)], strict",
        "self_attention",
    ),
    Edit(
        "vit/scores-not-scaled",
        "does not divide the scores by the root of the head's width",
        ATTENTION,
        "ops.attention(query * np.sqrt(query.shape[-1]), key, value, bias)",
        "self_attention",
    ),
    Edit(
        "vit/scores-scaled-by-whole-width",
        "divides the scores by the root of the whole width",
        ATTENTION,
        "ops.attention(query * np.sqrt(query.shape[-1] / x.shape[-1]), key, value, bias)",
        "self_attention",
    ),
    Edit(
        "vit/scores-scaled-twice",
        "divides the scores by the head's width, not by its root",
        ATTENTION,
        "ops.attention(query / np.sqrt(query.shape[-1]), key, value, bias)",
        "self_attention",
    ),
    Edit(
        "vit/scores-scaled-by-heads",
        "divides the scores by the root of the number of heads",
        ATTENTION,
        "ops.attention(query * np.sqrt(query.shape[-1] / heads), key, value, bias)",
        "self_attention",
    ),
    Edit(
        "vit/later-tokens-hidden",
        "hides later tokens, as a decoder does",
        ATTENTION,
        "ops.attention(query, key, value, ops.causal_bias(x.shape[1], x.shape[1]))",
        "self_attention",
    ),
    Edit(
        "vit/no-projection-of-attention",
        "leaves out the output projection of attention",
        PROJECTED,
        "return mixed",
        "self_attention",
    ),
    Edit(
        "vit/projection-of-attention-transposed",
        "transposes the output projection of attention",
        PROJECTED,
        'return ops.linear(mixed, np.swapaxes(params[f"{name}.out_proj.weight"], 0, 1), '
        'params[f"{name}.out_proj.bias"])',
        "self_attention",
    ),
    Edit(
        "vit/no-residual-of-attention",
        "leaves out the residual connection of attention",
        'x + layer_scale(y, params, f"{name}.ls_1")',
        'layer_scale(y, params, f"{name}.ls_1")',
        "block",
    ),
    Edit(
        "vit/no-residual-of-perceptron",
        "leaves out the residual connection of the perceptron",
        'x + layer_scale(y, params, f"{name}.ls_2")',
        'layer_scale(y, params, f"{name}.ls_2")',
        "block",
    ),
    Edit(
        "vit/residual-of-normalised",
        "adds attention's output to the normalised tokens",
        NORM_1,
        NORM_1.replace("y = tap", "x = y = tap"),
        "block",
    ),
    Edit(
        "vit/perceptron-added-to-normalised",
        "adds the perceptron's output to the normalised tokens",
        NORM_2,
        NORM_2.replace("y = tap", "x = y = tap"),
        "block",
    ),
    Edit(
        "vit/first-norm-twice",
        "uses gain and bias of the first norm for the second",
        NORM_2,
        NORM_2.replace('params, f"{name}.ln_2"', 'params, f"{name}.ln_1"'),
        "block",
    ),
    Edit(
        "vit/layer-scale-dropped",
        "leaves out the scale of each channel",
        "return x if gamma is None else gamma * x",
        "return x",
        "layer_scale",
    ),
    Edit(
        "vit/no-activation",
        "has no activation between the layers of the perceptron",
        "getattr(ops, config.activation)(y)",
        "y",
        "block",
    ),
    Edit(
        "vit/post-norm",
        "normalises after adding, not before each half of a block",
        NORM_1,
        "    y = x\n",
        "block",
        also=(
            ("block", MIDDLE, POST_NORM_1),
            ("block", NORM_2, "    y = x\n"),
            ("block", LAST, POST_NORM_2),
        ),
    ),
)
VIT = (*TOKENS_AND_POOL, *BLOCK)
WITHIN_ATTENTION = tuple(e for e in BLOCK if e.where in ("self_attention", "split", "join"))


def elsewhere(edit: Edit, family: str, module: str = "refimpl.models.vit") -> Edit:
    """The mistake in a function of `module`, for a family whose text calls that function."""
    return replace(
        edit,
        id=f"{family}/{edit.id.partition('/')[2]}",
        where=f"{module}.{edit.where}",
        also=tuple((f"{module}.{where}", old, new) for where, old, new in edit.also),
    )


ENDS = "x[np.arange(texts), np.argmax(ids, axis=1)]"
LOGITS = "ops.clip_logits(image_features, text_features, scale)"
CLIP = (
    *(elsewhere(edit, "clip") for edit in VIT),
    Edit(
        "clip/later-words-seen",
        "does not mask later words",
        "ops.causal_bias(length, length)",
        "None",
        "clip_text",
    ),
    Edit(
        "clip/last-position",
        "takes the last position, not the end of the text",
        ENDS,
        "x[:, -1]",
        "clip_text",
    ),
    Edit(
        "clip/first-position",
        "takes the first position, not the end of the text",
        ENDS,
        "x[:, 0]",
        "clip_text",
    ),
    Edit(
        "clip/mean-of-words",
        "pools the mean of all words, not the end of the text",
        ENDS,
        "np.mean(x, axis=1)",
        "clip_text",
    ),
    Edit(
        "clip/no-positions-of-words",
        "adds no positions to the words",
        ' + params["positional_embedding"][:length]',
        "",
        "clip_text",
    ),
    Edit(
        "clip/no-last-norm-of-words",
        "leaves out the last norm of the text tower",
        'norm(x, params, "ln_final", config.text.eps, ops)',
        "x",
        "clip_text",
    ),
    Edit(
        "clip/scale-not-exponentiated",
        "multiplies by the log scale without exponentiating it",
        'params["logit_scale"]',
        'np.log(params["logit_scale"])',
        "clip",
    ),
    Edit(
        "clip/features-not-normalised",
        "does not normalise the features",
        LOGITS,
        "np.exp(scale) * (image_features @ np.swapaxes(text_features, 0, 1))",
        "clip",
    ),
    Edit(
        "clip/logits-transposed",
        "returns the transposed logits, texts by images",
        LOGITS,
        f"np.swapaxes({LOGITS}, 0, 1)",
        "clip",
    ),
)
