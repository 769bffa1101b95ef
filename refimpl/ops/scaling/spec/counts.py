"""What is known about operations of training and numbers of parameters: laws, probes, mistakes."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.common import FLOATS, mistakes_of
from refimpl.ops.scaling import reference as text


def draw_numbers(low, high):
    """Whole numbers between powers of two."""

    def draw(source, sizes):
        return np.floor(2.0 ** source.uniform((sizes["N"],), low, high))

    return draw


def probe(says, **numbers):
    return Probe(says, lambda: {name: np.array(x, dtype=float) for name, x in numbers.items()})


def second_difference(name, constant):
    """A law: by one argument a count is a parabola, bent by what `constant` says."""

    def law(f, **sizes):
        steps = [f(**{**sizes, name: sizes[name] + step}) for step in (0, 1, 2)]
        yield steps[0] + steps[2] - 2 * steps[1], constant(**sizes)

    return law


def grows_by(name, amount):
    """A law: one more of an argument adds what `amount` says."""

    def law(f, **sizes):
        more = f(**{**sizes, name: sizes[name] + 1})
        yield more, f(**sizes) + amount(**sizes)

    return law


def six_each(f, parameters, tokens, layers, width, context):
    twice = f(2 * parameters, tokens, layers, width, context)
    yield twice, f(parameters, tokens, layers, width, context) + 6 * parameters * tokens


def attention_in_full(f, parameters, tokens, layers, width, context):
    found = f(parameters, tokens, layers, width, 2 * context)
    attention = 12 * layers * width * context * tokens
    yield found, f(parameters, tokens, layers, width, context) + attention


def each_word(f, parameters, tokens, layers, width, context):
    found = f(parameters, tokens, layers, width, context)
    yield f(parameters, 2 * tokens, layers, width, context), 2 * found


def product_of_sizes(f, parameters, tokens, layers, width, context):
    exchanged = f(parameters, tokens, width, context, layers)
    yield exchanged, f(parameters, tokens, layers, width, context)


wrong = mistakes_of("training_flops")
WORK = "tokens * (6 * parameters + 12 * layers * width * context)"
TRAINING_FLOPS = Op(
    text.training_flops,
    laws=(
        Law("each parameter takes six operations a word", six_each),
        Law("twice the context doubles attention", attention_in_full),
        Law("each token takes the same", each_word),
        Law("layers, width and context enter as a product", product_of_sizes),
    ),
    probes=(
        probe(
            "GPT-3 and GPT-2",
            parameters=[175e9, 85e6],
            tokens=[300e9, 1e9],
            layers=[96, 12],
            width=[12288, 768],
            context=[2048, 1024],
        ),
    ),
    mistakes=(
        wrong(
            "forward-only",
            "counts the forward pass alone",
            WORK,
            "tokens * (2 * parameters + 4 * layers * width * context)",
            "a third of the operations",
            "",
        ),
        wrong(
            "multiplications",
            "counts a multiplication and an addition as one operation",
            WORK,
            "tokens * (3 * parameters + 6 * layers * width * context)",
            "half of what others count",
            "",
        ),
        wrong(
            "recomputed",
            "counts activations recomputed to save memory",
            WORK,
            "tokens * (8 * parameters + 16 * layers * width * context)",
            "counts what the hardware does, not what the model needs",
            "",
        ),
        wrong(
            "attention-forgotten",
            "leaves attention out",
            " + 12 * layers * width * context",
            " + 0 * layers * width * context",
            "long texts seem as cheap as short ones",
            "the context is short",
        ),
        wrong(
            "attention-once",
            "counts the scores and forgets the weighted sum",
            "12 * layers",
            "6 * layers",
            "half of attention is missing",
            "the context is short",
        ),
    ),
    precisions=FLOATS,
    values={
        "parameters": draw_numbers(20, 38),
        "tokens": draw_numbers(20, 42),
        "layers": draw_numbers(1, 7),
        "width": draw_numbers(6, 14),
        "context": draw_numbers(8, 17),
    },
)
WIDTHS = {
    "width": draw_numbers(3, 13),
    "layers": draw_numbers(0, 7),
    "vocabulary": draw_numbers(8, 17),
    "context": draw_numbers(5, 12),
}
BLOCKS = "12 * width * width + 13 * width"


def a_block(width, **rest):
    return 12 * width * width + 13 * width


def of_blocks(op, tables):
    """Mistakes of a family whose blocks have biases and layer norms."""
    wrong = mistakes_of(op)
    return (
        wrong(
            "rule-of-thumb",
            "leaves out biases and norms of the blocks",
            BLOCKS,
            "12 * width * width",
            "a thousandth is missing",
            "blocks are very wide",
        ),
        wrong(
            "norms-forgotten",
            "leaves out the norms of the blocks",
            BLOCKS,
            "12 * width * width + 9 * width",
            "differs from the published count",
            "blocks are very wide",
        ),
        wrong(
            "attention-forgotten",
            "counts the feed-forward layers alone",
            BLOCKS,
            "8 * width * width + 13 * width",
            "a third of the blocks is missing",
            "",
        ),
        wrong(
            "positions-forgotten",
            "leaves out the table of positions",
            tables,
            tables.replace(" + context", " + 0 * context"),
            "as if positions had no parameters",
            "there are many blocks",
        ),
    )


GPT_PARAMETERS = Op(
    text.gpt_parameters,
    laws=(
        Law("one more block adds its parameters", grows_by("layers", a_block)),
        Law("one more word adds a row", grows_by("vocabulary", lambda width, **_: width)),
        Law("one more position adds a row", grows_by("context", lambda width, **_: width)),
        Law(
            "is quadratic in the width, 12 D² a block",
            second_difference("width", lambda width, layers, **_: 24 * layers + 0 * width),
        ),
    ),
    probes=(
        probe(
            "GPT-2, small to extra large",
            width=[768, 1024, 1280, 1600],
            layers=[12, 24, 36, 48],
            vocabulary=[50257] * 4,
            context=[1024] * 4,
        ),
        probe("a tiny one", width=[2], layers=[1], vocabulary=[5], context=[3]),
    ),
    mistakes=(
        *of_blocks("gpt_parameters", "(vocabulary + context)"),
        mistakes_of("gpt_parameters")(
            "head-of-its-own",
            "counts the tied output layer as well",
            "(vocabulary + context)",
            "(2 * vocabulary + context)",
            "GPT-2 small has 163 million",
            "",
        ),
        mistakes_of("gpt_parameters")(
            "last-norm-forgotten",
            "leaves out the last norm, as GPT-1 has none",
            " + 2 * width",
            "",
            "a little less than was published",
            "the model is large",
        ),
    ),
    precisions=FLOATS,
    values=WIDTHS,
)


def gated_block(width, hidden, shared, **_):
    return 2 * width * width + 2 * width * shared + 3 * width * hidden + 2 * width


of_llama = mistakes_of("llama_parameters")
LLAMA_PARAMETERS = Op(
    text.llama_parameters,
    laws=(
        Law("one more block adds its parameters", grows_by("layers", gated_block)),
        Law("one more word adds two rows", grows_by("vocabulary", lambda width, **_: 2 * width)),
        Law(
            "one more hidden unit adds three vectors a block",
            grows_by("hidden", lambda width, layers, **_: 3 * layers * width),
        ),
        Law(
            "one more key dimension adds two rows a block",
            grows_by("shared", lambda width, layers, **_: 2 * layers * width),
        ),
    ),
    probes=(
        probe(
            "Llama 2 7B, Llama 3 8B",
            width=[4096, 4096],
            layers=[32, 32],
            hidden=[11008, 14336],
            shared=[4096, 1024],
            vocabulary=[32000, 128256],
        ),
        probe("a tiny one", width=[4], layers=[2], hidden=[7], shared=[2], vocabulary=[5]),
    ),
    mistakes=(
        of_llama(
            "head-tied",
            "counts the embedding table once, as if input and output shared it",
            "2 * vocabulary",
            "vocabulary",
            "right for models with tied embeddings, as Qwen2.5 up to 3B",
            "",
        ),
        of_llama(
            "two-matrices",
            "forgets the gate matrix of the feed-forward",
            "3 * width * hidden",
            "2 * width * hidden",
            "a third of the feed-forward is missing",
            "",
        ),
        of_llama(
            "keys-of-each-head",
            "counts keys and values for every query head",
            "2 * width * shared",
            "2 * width * width + 0 * shared",
            "too many where heads share keys",
            "no heads share keys",
        ),
        of_llama(
            "hidden-four-times",
            "uses 4 D for the hidden width",
            "3 * width * hidden",
            "12 * width * width + 0 * hidden",
            "half as much again",
            "the hidden width is four times the width",
        ),
        of_llama(
            "biases-of-norms",
            "counts biases for the norms",
            " + 2 * width)",
            " + 4 * width)",
            "a little more than was published",
            "blocks are very wide",
        ),
    ),
    precisions=FLOATS,
    values={
        "width": draw_numbers(3, 13),
        "layers": draw_numbers(0, 7),
        "hidden": draw_numbers(4, 15),
        "shared": draw_numbers(2, 12),
        "vocabulary": draw_numbers(8, 17),
    },
)
BERT_PARAMETERS = Op(
    text.bert_parameters,
    laws=(
        Law("one more block adds its parameters", grows_by("layers", a_block)),
        Law("one more word adds a row", grows_by("vocabulary", lambda width, **_: width)),
        Law("one more position adds a row", grows_by("context", lambda width, **_: width)),
        Law(
            "is quadratic in the width, 12 D² a block and D² for the pooler",
            second_difference("width", lambda width, layers, **_: 24 * layers + 2 + 0 * width),
        ),
    ),
    probes=(
        probe(
            "BERT base and large",
            width=[768, 1024],
            layers=[12, 24],
            vocabulary=[30522] * 2,
            context=[512] * 2,
        ),
        probe("a tiny one", width=[2], layers=[1], vocabulary=[5], context=[3]),
    ),
    mistakes=(
        *of_blocks("bert_parameters", "(vocabulary + context + 2)"),
        mistakes_of("bert_parameters")(
            "pooler-forgotten",
            "leaves out the pooler",
            " + width * width + width",
            "",
            "the count of BERT for masked words, which has no pooler",
            "the model is large",
        ),
        mistakes_of("bert_parameters")(
            "segments-forgotten",
            "leaves out the table of segments",
            "context + 2)",
            "context)",
            "a little less than was published",
            "the model is large",
        ),
    ),
    precisions=FLOATS,
    values=WIDTHS,
)


def pair_of_blocks(width, hidden, inner, **_):
    return 12 * width * inner + 4 * width * hidden + 5 * width


of_t5 = mistakes_of("t5_parameters")
T5_PARAMETERS = Op(
    text.t5_parameters,
    laws=(
        Law(
            "one more block on either side adds its parameters", grows_by("layers", pair_of_blocks)
        ),
        Law("one more word adds a row", grows_by("vocabulary", lambda width, **_: width)),
        Law(
            "one more head adds 64 relative positions",
            grows_by("heads", lambda width, **_: 64 + 0 * width),
        ),
        Law(
            "one more hidden unit adds two vectors a block on either side",
            grows_by("hidden", lambda width, layers, **_: 4 * layers * width),
        ),
    ),
    probes=(
        probe(
            "T5 1.0, small, base and 11B",
            width=[512, 768, 1024],
            layers=[6, 12, 24],
            hidden=[2048, 3072, 65536],
            inner=[512, 768, 16384],
            heads=[8, 12, 128],
            vocabulary=[32128] * 3,
        ),
        probe(
            "a tiny one", width=[2], layers=[1], hidden=[3], inner=[4], heads=[2], vocabulary=[5]
        ),
    ),
    mistakes=(
        of_t5(
            "cross-attention-forgotten",
            "counts one attention per decoder block",
            "12 * width * inner",
            "8 * width * inner",
            "a third of all attention is missing",
            "",
        ),
        of_t5(
            "inner-is-width",
            "uses the model width for heads times head width",
            "12 * width * inner",
            "12 * width * width + 0 * inner",
            "11B has two thirds of its count",
            "heads together are as wide as the tokens",
        ),
        of_t5(
            "gated",
            "counts a gate matrix, as T5 1.1 has",
            "4 * width * hidden",
            "6 * width * hidden",
            "half as much again in the feed-forward",
            "",
        ),
        of_t5(
            "head-of-its-own",
            "counts an output layer, as T5 1.1 has",
            "vocabulary * width",
            "2 * vocabulary * width",
            "more than was published",
            "",
        ),
        of_t5(
            "positions-of-every-block",
            "counts a table of relative positions in every block",
            "64 * heads",
            "64 * heads * layers",
            "too many: the first block's table serves all",
            "there is one block",
        ),
    ),
    precisions=FLOATS,
    values={
        "width": draw_numbers(3, 11),
        "layers": draw_numbers(0, 6),
        "hidden": draw_numbers(4, 15),
        "inner": draw_numbers(3, 13),
        "heads": draw_numbers(1, 7),
        "vocabulary": draw_numbers(8, 16),
    },
)
