"""What goes wrong in the structure of a T5, as edits of its text."""

from refimpl.models.mistakes import BLOCK, elsewhere
from refimpl.op import Edit

HEADS = ("split", "join")
SCORES = "query @ np.swapaxes(key, 2, 3)"
BUCKETS = "ops.relative_buckets(places, places, config.buckets, config.max_distance)"
BACK = "ops.relative_buckets_causal(places[first:], places, *how)"
ENCODER_BIAS = 'ops.relative_bias(params["encoder.relative.weight"], buckets)'
DECODER_BIAS = 'ops.relative_bias(params["decoder.relative.weight"], buckets)'
READS = "unscaled_attention(y, memory, params, at, config, memory_bias, ops, tap)"
NORM_2 = '    y = tap(f"{name}.ln_2", scale(x, params, f"{name}.ln_2", config, ops))\n'
GIVEN = 'given = {"query": x, "key": memory, "value": memory}'
SPLIT = 'split(tap(f"{name}.{part}", after(past, f"{name}.{part}", y)), config.heads)'

T5_MISTAKES = (
    Edit(
        "t5/scores-scaled",
        "divides the scores by the root of the head's width",
        SCORES,
        "query @ np.swapaxes(key, 2, 3) / np.sqrt(config.head)",
        "unscaled_attention",
    ),
    Edit(
        "t5/no-bias-of-distances-in-the-encoder",
        "leaves out relative positions in the encoder",
        ENCODER_BIAS,
        f"0 * {ENCODER_BIAS}",
        "encode",
    ),
    Edit(
        "t5/no-bias-of-distances-in-the-decoder",
        "leaves out relative positions in the decoder",
        DECODER_BIAS,
        f"0 * {DECODER_BIAS}",
        "t5",
    ),
    Edit(
        "t5/distances-backwards",
        "exchanges keys before and after the query",
        BUCKETS,
        f"np.swapaxes({BUCKETS}, 0, 1)",
        "encode",
    ),
    Edit(
        "t5/one-direction-in-the-encoder",
        "uses the decoder's causal buckets in the encoder",
        BUCKETS,
        BUCKETS.replace("relative_buckets", "relative_buckets_causal"),
        "encode",
    ),
    Edit(
        "t5/both-directions-in-the-decoder",
        "uses the encoder's two-way buckets in the decoder",
        BACK,
        BACK.replace("_causal", ""),
        "t5",
    ),
    Edit(
        "t5/table-of-the-encoder",
        "uses the encoder's table of relative positions in the decoder",
        'params["decoder.relative.weight"]',
        'params["encoder.relative.weight"]',
        "t5",
    ),
    Edit(
        "t5/distances-of-the-first-block-alone",
        "adds relative positions in the first block only",
        't5_block(x, params, f"encoder.layers.{i}", config, bias, ops, tap)',
        't5_block(x, params, f"encoder.layers.{i}", config, seen if i else bias, ops, tap)',
        "encode",
    ),
    Edit(
        "t5/padding-seen",
        "does not mask the padding of the input",
        "ops.padding_bias(lengths, read)",
        "0 * np.zeros((1, 1, 1, read))",
        "t5",
    ),
    Edit(
        "t5/padding-of-the-memory-seen",
        "does not mask the input's padding in cross-attention",
        READS,
        READS.replace("memory_bias", "None"),
        "t5_block",
    ),
    Edit(
        "t5/later-words-seen",
        "does not mask later words in the decoder",
        "bias = bias + ops.causal_bias_lower_right(length, first + length)",
        "bias = bias",
        "t5",
    ),
    Edit(
        "t5/memory-not-read",
        "uses self-attention in place of cross-attention",
        READS,
        READS.replace("y, memory,", "y, y,").replace("memory_bias", "None"),
        "t5_block",
    ),
    Edit(
        "t5/memory-not-normalised",
        "leaves out the last norm of the encoder",
        'scale(x, params, "encoder.ln", config, ops)',
        "x",
        "encode",
    ),
    Edit(
        "t5/keys-from-queries",
        "takes the keys from the weights of the queries",
        "weight[i * inner : (i + 1) * inner]",
        "weight[(i - (i == 1)) * inner :][:inner]",
        "unscaled_attention",
    ),
    Edit(
        "t5/keys-and-values-exchanged",
        "exchanges keys and values",
        "query, key, value = whole",
        "query, value, key = whole",
        "unscaled_attention",
    ),
    Edit(
        "t5/no-residual-of-attention",
        "leaves out the residual connection of attention",
        'tap(f"{name}.added_1", x + y)',
        'tap(f"{name}.added_1", y)',
        "t5_block",
    ),
    Edit(
        "t5/no-residual-of-the-memory",
        "leaves out the residual connection of cross-attention",
        'tap(f"{name}.added_cross", x + y)',
        'tap(f"{name}.added_cross", y)',
        "t5_block",
    ),
    Edit(
        "t5/no-residual-of-perceptron",
        "leaves out the residual connection of the perceptron",
        "return tap(name, x + perceptron",
        "return tap(name, perceptron",
        "t5_block",
    ),
    Edit(
        "t5/perceptron-added-to-normalised",
        "adds the perceptron's output to the normalised tokens",
        NORM_2,
        NORM_2.replace("y = tap", "x = y = tap"),
        "t5_block",
    ),
    Edit(
        "t5/layer-norm",
        "subtracts the mean before it normalises",
        "ops.rms_norm(x, params",
        "ops.rms_norm(x - np.mean(x, axis=-1, keepdims=True), params",
        "scale",
    ),
    Edit(
        "t5/words-times-root-of-width",
        "multiplies words by the root of the width",
        'params["shared.weight"][source]',
        'np.sqrt(config.width) * params["shared.weight"][source]',
        "encode",
    ),
    Edit(
        "t5/no-last-norm",
        "leaves out the last norm",
        'scale(x, params, "decoder.ln", config, ops)',
        "x",
        "t5",
    ),
    Edit(
        "t5/scores-of-words-not-scaled",
        "does not divide by the root of the width before the output layer",
        "ops.linear(x / np.sqrt(config.width), params",
        "ops.linear(x, params",
        "t5",
        invisible_when="the head is a matrix of its own, as in version 1.1",
    ),
    Edit(
        "t5/gate-and-up-exchanged",
        "applies the activation to the other projection",
        "getattr(ops, config.gate)(gate, up)",
        "getattr(ops, config.gate)(up, gate)",
        "perceptron",
        invisible_when="there is no gate, as in version 1.0",
    ),
    Edit(
        "t5/no-activation",
        "has no activation between the layers of the perceptron",
        "getattr(ops, config.activation)(y)",
        "y",
        "perceptron",
        invisible_when="there is a gate, as in version 1.1",
    ),
    *(elsewhere(e, "t5") for e in BLOCK if e.where in HEADS and "interleaved" not in e.id),
)
