"""What goes wrong in the structure of a Vision Transformer, as edits of its text.

The same records as the mistakes of operations: compiled, run layer by layer, shown as a diff.
"""

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
POST_NORM_1 = MIDDLE + (
    '    x = tap(f"{name}.ln_1", norm(x, params, f"{name}.ln_1", config.eps, ops))\n'
)
POST_NORM_2 = (
    'x = x + layer_scale(y, params, f"{name}.ls_2")\n'
    '    x = tap(f"{name}.ln_2", norm(x, params, f"{name}.ln_2", config.eps, ops))\n'
    "    return tap(name, x)"
)

VIT = (
    Edit(
        "vit/class-token-last",
        "puts the class token behind the patches and takes the last token",
        TOKENS,
        CLASS_LAST,
        "vit",
        also=(("vit", POOLED, POOLED.replace("x[:, 0]", "x[:, -1]")),),
    ),
    Edit(
        "vit/no-positions",
        "adds no positions",
        TOKENS,
        TOKENS[:-1].replace("positions", "0 * positions") + ")",
        "vit",
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
        "vit/heads-merged-without-transposition",
        "puts heads side by side without moving their axis back",
        "np.reshape(np.swapaxes(x, 1, 2), (B, N, H * E))",
        "np.reshape(x, (B, N, H * E))",
        "join",
    ),
    Edit(
        "vit/heads-split-without-transposition",
        "cuts tokens into heads without moving the axis",
        "np.swapaxes(np.reshape(x, (B, N, heads, D // heads)), 1, 2)",
        "np.reshape(x, (B, heads, N, D // heads))",
        "split",
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
        "vit/no-residual-of-attention",
        "does not add the tokens to what attention gives",
        'x + layer_scale(y, params, f"{name}.ls_1")',
        'layer_scale(y, params, f"{name}.ls_1")',
        "block",
    ),
    Edit(
        "vit/no-residual-of-perceptron",
        "does not add the tokens to what the perceptron gives",
        'x + layer_scale(y, params, f"{name}.ls_2")',
        'layer_scale(y, params, f"{name}.ls_2")',
        "block",
    ),
    Edit(
        "vit/residual-of-normalised",
        "adds what attention gives to the normalised tokens",
        NORM_1,
        NORM_1.replace("y = tap", "x = y = tap"),
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
