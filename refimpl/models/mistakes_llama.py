"""What goes wrong in the structure of a Llama, as edits of its text."""

from refimpl.models.mistakes import WITHIN_ATTENTION, elsewhere
from refimpl.op import Edit

ATTENTION = "ops.attention(split(query, H), split(key, G), split(value, G), bias)"
TURNED_QUERY = "query = turn(split(query, H), angles, config, ops)"
TURNED_KEY = "key = turn(split(key, G), angles, config, ops)"
TURNED = "ops.rotary_embedding(x, angles)\n"
NORM_1 = '    y = tap(f"{name}.ln_1", ops.rms_norm(x, params[f"{name}.ln_1.weight"], config.eps))'
NORM_2 = '    y = tap(f"{name}.ln_2", ops.rms_norm(x, params[f"{name}.ln_2.weight"], config.eps))\n'
GATED = "getattr(ops, gate)(opened, up)"
HEADS = ("split", "join")
MODULE = "refimpl.models.llama"

OWN = (
    Edit(
        "llama/no-positions",
        "rotates neither queries nor keys",
        TURNED_QUERY,
        "query = split(query, H)",
        "shared_attention",
        also=(("shared_attention", TURNED_KEY, "key = split(key, G)"),),
    ),
    Edit(
        "llama/keys-not-turned",
        "rotates the queries only",
        TURNED_KEY,
        "key = split(key, G)",
        "shared_attention",
    ),
    Edit(
        "llama/values-turned",
        "rotates the values as well",
        "split(value, G), bias",
        "turn(split(value, G), angles, config, ops), bias",
        "shared_attention",
    ),
    Edit(
        "llama/turned-backwards",
        "rotates in the opposite direction",
        TURNED,
        "ops.rotary_embedding(x, -angles)\n",
        "turn",
    ),
    Edit(
        "llama/positions-one-later",
        "counts positions from one",
        "ops.rotary_angles(positions,",
        "ops.rotary_angles(positions + 1,",
        "llama",
        effect="no output changes, keys and queries do: scores depend on distances alone",
    ),
    Edit(
        "llama/frequencies-of-the-whole-head",
        "divides the exponents by the width of a head, not by its half",
        "ops.rotary_angles(positions, config.head // 2, config.base)",
        "ops.rotary_angles(positions, config.head // 2, np.sqrt(config.base))",
        "llama",
    ),
    Edit(
        "llama/groups-interleaved",
        "lets head h use key head h mod G instead of h // R",
        ATTENTION,
        ATTENTION.replace(
            "split(key, G), split(value, G)",
            "*(np.concatenate([split(y, G)] * (H // G), axis=1) for y in (key, value))",
        ),
        "shared_attention",
    ),
    Edit(
        "llama/later-words-seen",
        "does not mask later words",
        "split(value, G), bias)",
        "split(value, G), None)",
        "shared_attention",
    ),
    Edit(
        "llama/scores-not-scaled",
        "does not divide the scores by the root of the head's width",
        ATTENTION,
        ATTENTION.replace("split(query, H)", "split(query, H) * np.sqrt(config.head)"),
        "shared_attention",
    ),
    Edit(
        "llama/scores-scaled-by-whole-width",
        "divides the scores by the root of the whole width",
        ATTENTION,
        ATTENTION.replace("split(query, H)", "split(query, H) / np.sqrt(H)"),
        "shared_attention",
    ),
    Edit(
        "llama/bias-dropped",
        "leaves out the biases of queries, keys and values",
        'params.get(f"{name}.bias")',
        "None",
        "project",
        invisible_when="there are none, as in Llama",
    ),
    Edit(
        "llama/no-projection-of-attention",
        "leaves out the output projection of attention",
        'return project(mixed, params, f"{name}.out_proj", ops)',
        "return mixed",
        "shared_attention",
    ),
    Edit(
        "llama/layer-norm",
        "subtracts the mean before the first norm of a block",
        NORM_1,
        NORM_1.replace("rms_norm(x,", "rms_norm(x - np.mean(x, axis=-1, keepdims=True),"),
        "llama_block",
    ),
    Edit(
        "llama/gains-above-one",
        "multiplies by 1 + w in the norms of a block, as Gemma does",
        NORM_1,
        NORM_1.replace('params[f"{name}.ln_1.weight"]', '1 + params[f"{name}.ln_1.weight"]'),
        "llama_block",
    ),
    Edit(
        "llama/first-norm-twice",
        "uses the gain of the first norm for the second",
        NORM_2,
        NORM_2.replace('params[f"{name}.ln_2.weight"]', 'params[f"{name}.ln_1.weight"]'),
        "llama_block",
    ),
    Edit(
        "llama/no-residual-of-attention",
        "leaves out the residual connection of attention",
        'tap(f"{name}.middle", x + y)',
        'tap(f"{name}.middle", y)',
        "llama_block",
    ),
    Edit(
        "llama/no-residual-of-perceptron",
        "leaves out the residual connection of the perceptron",
        "return tap(name, x + gated",
        "return tap(name, gated",
        "llama_block",
    ),
    Edit(
        "llama/perceptron-added-to-normalised",
        "adds the perceptron's output to the normalised tokens",
        NORM_2,
        NORM_2.replace("y = tap", "x = y = tap"),
        "llama_block",
    ),
    Edit(
        "llama/gate-and-up-exchanged",
        "applies the activation to the other projection",
        GATED,
        "getattr(ops, gate)(up, opened)",
        "gated_perceptron",
    ),
    Edit(
        "llama/gate-without-activation",
        "multiplies the two projections without activation",
        GATED,
        "opened * up",
        "gated_perceptron",
    ),
    Edit(
        "llama/gate-by-sigmoid",
        "uses a sigmoid instead of silu in the gate",
        GATED,
        "ops.sigmoid(opened) * up",
        "gated_perceptron",
    ),
    Edit(
        "llama/no-gate",
        "leaves out the second projection",
        GATED,
        "ops.silu(opened)",
        "gated_perceptron",
    ),
    Edit(
        "llama/no-last-norm",
        "leaves out the last norm",
        'ops.rms_norm(x, params["norm.weight"], config.eps)',
        "x",
        "llama_blocks",
    ),
    Edit(
        "llama/words-times-root-of-width",
        "multiplies words by the root of the width, as Gemma and the first Transformer do",
        'params["words.weight"][ids]',
        'np.sqrt(config.width) * params["words.weight"][ids]',
        "llama",
    ),
)
AMONG_HEADS = tuple(e for e in WITHIN_ATTENTION if e.where in HEADS and "width" not in e.id)
LLAMA = (*OWN, *(elsewhere(edit, "llama") for edit in AMONG_HEADS))


def of_llama(family: str, but: tuple[str, ...] = ()) -> tuple[Edit, ...]:
    """The mistakes of blocks of a Llama and of its heads, but some, for a family that ends in one.

    Those are named that no model of the family shows: it has no biases, or no groups.
    """
    own = (e for e in OWN if e.where != "llama" and not e.id.endswith(but or "/"))
    blocks = (elsewhere(edit, family, MODULE) for edit in own)
    return (*blocks, *(elsewhere(edit, family) for edit in AMONG_HEADS))
