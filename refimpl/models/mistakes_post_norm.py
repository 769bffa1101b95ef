"""What goes wrong in the structure of post-norm blocks, as edits of their text."""

from refimpl.models.mistakes import WITHIN_ATTENTION, elsewhere
from refimpl.op import Edit

MODULE = "refimpl.models.post_norm"
NORM_1 = '    x = tap(f"{name}.ln_1", norm(x, params, f"{name}.ln_1", config.eps, ops))\n'
NORM_CROSS = (
    '        x = tap(f"{name}.ln_cross", norm(x, params, f"{name}.ln_cross", config.eps, ops))\n'
)
NORM_2 = 'norm(x, params, f"{name}.ln_2", config.eps, ops)'
SELF = "self_attention(x, params, at, heads, bias, ops, tap, past)"
PERCEPTRON = 'perceptron(x, params, f"{name}.mlp", config, ops, tap)'
ADDED_1, ADDED_2 = (f'tap(f"{{name}}.added_{i}", x + y)' for i in (1, 2))
READS = "cross_attention(x, memory, params, at, heads, memory_bias, ops, tap)"

BLOCK = (
    Edit(
        "post/no-residual-of-attention",
        "leaves out the residual connection of attention",
        ADDED_1,
        ADDED_1.replace("x + y", "y"),
        "post_block",
    ),
    Edit(
        "post/no-residual-of-perceptron",
        "leaves out the residual connection of the perceptron",
        ADDED_2,
        ADDED_2.replace("x + y", "y"),
        "post_block",
    ),
    Edit(
        "post/pre-norm",
        "normalises before each half of a block, not after adding",
        SELF,
        SELF.replace("(x", '(norm(x, params, f"{name}.ln_1", config.eps, ops)'),
        "post_block",
        also=(
            ("post_block", NORM_1, ""),
            (
                "post_block",
                PERCEPTRON,
                PERCEPTRON.replace("(x", '(norm(x, params, f"{name}.ln_2", config.eps, ops)'),
            ),
            ("post_block", f'tap(f"{{name}}.ln_2", {NORM_2})', 'tap(f"{name}.ln_2", x)'),
        ),
    ),
    Edit(
        "post/norm-before-adding",
        "normalises before adding the residual, not after",
        ADDED_1,
        ADDED_1.replace("x + y", 'x + norm(y, params, f"{name}.ln_1", config.eps, ops)'),
        "post_block",
        also=(("post_block", NORM_1, ""),),
    ),
    Edit(
        "post/first-norm-twice",
        "uses gain and bias of the first norm for the second",
        NORM_2,
        NORM_2.replace("ln_2", "ln_1"),
        "post_block",
    ),
    Edit(
        "post/no-last-norm-of-block",
        "leaves out the norm after the perceptron",
        NORM_2,
        "x",
        "post_block",
    ),
    Edit(
        "post/no-activation",
        "has no activation between the layers of the perceptron",
        "getattr(ops, config.activation)(y)",
        "y",
        "perceptron",
    ),
    Edit(
        "post/perceptron-of-attention",
        "feeds the perceptron with attention's output, without the residual",
        PERCEPTRON,
        PERCEPTRON.replace("(x", "(y"),
        "post_block",
    ),
)
CROSS = (
    Edit(
        "post/memory-not-read",
        "uses self-attention in place of cross-attention",
        READS,
        READS.replace("memory,", "x,").replace("memory_bias", "None"),
        "post_block",
    ),
    Edit(
        "post/values-from-keys-of-the-memory",
        "takes the memory's values from the weights of its keys",
        "(0, D, 2 * D), strict",
        "(0, D, D), strict",
        "cross_attention",
    ),
    Edit(
        "post/padding-of-the-memory-seen",
        "does not mask the padding of the memory",
        "ops.attention(query, key, value, bias)",
        "ops.attention(query, key, value, None)",
        "cross_attention",
    ),
    Edit(
        "post/scores-of-the-memory-not-scaled",
        "does not divide the scores of the memory by the root of the head's width",
        "ops.attention(query, key, value, bias)",
        "ops.attention(query * np.sqrt(query.shape[-1]), key, value, bias)",
        "cross_attention",
    ),
    Edit(
        "post/no-residual-of-the-memory",
        "leaves out the residual connection of cross-attention",
        'x = tap(f"{name}.added_cross", x + y)',
        'x = tap(f"{name}.added_cross", y)',
        "post_block",
    ),
    Edit(
        "post/no-norm-behind-the-memory",
        "leaves out the norm after cross-attention",
        NORM_CROSS,
        "",
        "post_block",
    ),
    Edit(
        "post/memory-read-first",
        "applies cross-attention before self-attention",
        SELF,
        f"{SELF} if memory is None else "
        'cross_attention(x, memory, params, f"{name}.cross", heads, memory_bias, ops, tap)',
        "post_block",
        also=(
            (
                "post_block",
                READS,
                'self_attention(x, params, f"{name}.attn", heads, bias, ops, tap, past)',
            ),
        ),
    ),
)


def of_encoder(family: str) -> tuple[Edit, ...]:
    """The mistakes of post-norm blocks and their attention, for a family built from them."""
    blocks = (elsewhere(edit, family, MODULE) for edit in BLOCK)
    return (*blocks, *(elsewhere(edit, family) for edit in WITHIN_ATTENTION))


def of_decoder(family: str) -> tuple[Edit, ...]:
    """Those, and the mistakes of blocks that read a memory."""
    return (*of_encoder(family), *(elsewhere(edit, family, MODULE) for edit in CROSS))
