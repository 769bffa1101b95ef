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
        "adds no numbers for distances in the encoder",
        ENCODER_BIAS,
        f"0 * {ENCODER_BIAS}",
        "encode",
    ),
    Edit(
        "t5/no-bias-of-distances-in-the-decoder",
        "adds no numbers for distances in the decoder",
        DECODER_BIAS,
        f"0 * {DECODER_BIAS}",
        "t5",
    ),
    Edit(
        "t5/distances-backwards",
        "takes keys before a query for keys behind it",
        BUCKETS,
        f"np.swapaxes({BUCKETS}, 0, 1)",
        "encode",
    ),
    Edit(
        "t5/one-direction-in-the-encoder",
        "counts distances in the encoder as a decoder does",
        BUCKETS,
        BUCKETS.replace("relative_buckets", "relative_buckets_causal"),
        "encode",
    ),
    Edit(
        "t5/both-directions-in-the-decoder",
        "counts distances in the decoder as an encoder does",
        BACK,
        BACK.replace("_causal", ""),
        "t5",
    ),
    Edit(
        "t5/table-of-the-encoder",
        "takes the encoder's numbers for distances in the decoder",
        'params["decoder.relative.weight"]',
        'params["encoder.relative.weight"]',
        "t5",
    ),
    Edit(
        "t5/distances-of-the-first-block-alone",
        "adds the numbers for distances in the first block alone",
        't5_block(x, params, f"encoder.layers.{i}", config, bias, ops, tap)',
        't5_block(x, params, f"encoder.layers.{i}", config, seen if i else bias, ops, tap)',
        "encode",
    ),
    Edit(
        "t5/padding-seen",
        "lets all words see the padding of what is read",
        "ops.padding_bias(lengths, read)",
        "0 * np.zeros((1, 1, 1, read))",
        "t5",
    ),
    Edit(
        "t5/padding-of-the-memory-seen",
        "lets words that are written see the padding of what is read",
        READS,
        READS.replace("memory_bias", "None"),
        "t5_block",
    ),
    Edit(
        "t5/later-words-seen",
        "lets words that are written see those behind them",
        "bias = bias + ops.causal_bias_lower_right(length, first + length)",
        "bias = bias",
        "t5",
    ),
    Edit(
        "t5/memory-not-read",
        "reads the tokens themselves in the place of the memory",
        READS,
        READS.replace("y, memory,", "y, y,").replace("memory_bias", "None"),
        "t5_block",
    ),
    Edit(
        "t5/memory-not-normalised",
        "gives the decoder what the last block of the encoder gives",
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
        "does not add the tokens to what attention gives",
        'tap(f"{name}.added_1", x + y)',
        'tap(f"{name}.added_1", y)',
        "t5_block",
    ),
    Edit(
        "t5/no-residual-of-the-memory",
        "does not add the tokens to what they read in the memory",
        'tap(f"{name}.added_cross", x + y)',
        'tap(f"{name}.added_cross", y)',
        "t5_block",
    ),
    Edit(
        "t5/no-residual-of-perceptron",
        "does not add the tokens to what the perceptron gives",
        "return tap(name, x + perceptron",
        "return tap(name, perceptron",
        "t5_block",
    ),
    Edit(
        "t5/perceptron-added-to-normalised",
        "adds what the perceptron gives to the normalised tokens",
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
        "reads words that are not normalised",
        'scale(x, params, "decoder.ln", config, ops)',
        "x",
        "t5",
    ),
    Edit(
        "t5/scores-of-words-not-scaled",
        "does not divide by the root of the width before the table of words",
        "ops.linear(x / np.sqrt(config.width), params",
        "ops.linear(x, params",
        "t5",
        invisible_when="the head is a matrix of its own, as in version 1.1",
    ),
    Edit(
        "t5/gate-and-up-exchanged",
        "lets the activation go over the other projection",
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
