"""What goes wrong in the structure of Imagen's U-Nets, as edits of their text."""

from refimpl.models.mistakes import elsewhere
from refimpl.models.mistakes_adm import BLOCK, TIME, UP
from refimpl.op import Edit

BOTH = "np.concatenate(parts, axis=1) for parts in zip(said, own, strict=True)"
ATTENTION = "ops.attention(query, key, value, None)"
WORDS = 'normed_words(memory, params, f"{name}.norm_words", config, ops)'
POOLED = "emb = emb + pooled_words(words, params, config, ops, tap)"
LEVEL = "emb = emb + told_level(level, params, config, ops, tap)"
OWN = (
    Edit(
        "imagen/words-alone",
        "lets pixels attend to the words only, not to each other",
        BOTH,
        "parts[0] for parts in zip(said, own, strict=True)",
        "pixels_and_words",
    ),
    Edit(
        "imagen/words-not-read",
        "lets pixels attend to each other only, not to the words",
        BOTH,
        "parts[1] for parts in zip(said, own, strict=True)",
        "pixels_and_words",
    ),
    Edit(
        "imagen/words-read-by-the-matrices-of-pixels",
        "takes the words' values from the weights of their keys",
        'for part in ("encoder_k", "encoder_v")\n    ]',
        'for part in ("encoder_k", "encoder_k")\n    ]',
        "pixels_and_words",
    ),
    Edit(
        "imagen/keys-of-words-last",
        "appends the words' keys after those of the pixels, but their values before",
        BOTH,
        "np.concatenate(parts[::step], axis=1) "
        "for parts, step in zip(zip(said, own, strict=True), (-1, 1), strict=True)",
        "pixels_and_words",
    ),
    Edit(
        "imagen/words-not-normalised",
        "leaves out the norm of the words",
        WORDS,
        "memory",
        "pixels_and_words",
    ),
    Edit(
        "imagen/words-normalised-one-by-one",
        "normalises each word by itself",
        WORDS,
        'norm(memory, params, f"{name}.norm_words", config.eps, ops)',
        "pixels_and_words",
    ),
    Edit(
        "imagen/scores-not-scaled",
        "does not divide the scores by the root of the head's width",
        ATTENTION,
        "ops.attention(query * np.sqrt(config.head), key, value, None)",
        "pixels_and_words",
    ),
    Edit(
        "imagen/heads-for-their-width",
        "takes the width of a head for the number of heads",
        "heads = C // config.head",
        "heads = config.head",
        "pixels_and_words",
    ),
    Edit(
        "imagen/no-residual-of-attention",
        "leaves out the residual connection of the attention to pixels and words",
        'x + placed(tap(f"{name}.proj_out", y), rows, cols)',
        'placed(tap(f"{name}.proj_out", y), rows, cols)',
        "pixels_and_words",
    ),
    Edit(
        "imagen/text-not-told",
        "ignores the pooled text",
        POOLED,
        "emb = emb + 0 * pooled_words(words, params, config, ops, tap)",
        "imagen",
    ),
    Edit(
        "imagen/text-pooled-by-the-mean",
        "pools the words by their mean, without attention",
        f"{ATTENTION})[:, 0]",
        "value[:, :, :1])[:, 0]",
        "pooled_words",
    ),
    Edit(
        "imagen/mean-without-its-place",
        "leaves out the learned vector of the pooling query",
        ' + params[f"{at}.positional_embedding"]',
        "",
        "pooled_words",
    ),
    Edit(
        "imagen/mean-not-seen",
        "lets the pooling query attend to the words only, not to itself",
        "np.concatenate((mean, x), axis=1)",
        "x",
        "pooled_words",
    ),
    Edit(
        "imagen/pooled-not-normalised",
        "leaves out the norm of the pooled text",
        'norm(y, params, "pooled.ln_2", config.eps, ops)',
        "y",
        "pooled_words",
    ),
    Edit(
        "imagen/words-not-normalised-before-the-pool",
        "leaves out the norm before pooling the words",
        'norm(words, params, "pooled.ln_1", config.eps, ops)',
        "words",
        "pooled_words",
    ),
    Edit(
        "imagen/projected-words-pooled",
        "leaves out the bias of the projection of the words",
        'memory = tap("words", dense(words, params, "words", ops))',
        'memory = tap("words", words @ params["words.weight"].T)',
        "imagen",
    ),
    Edit(
        "imagen/level-not-told",
        "ignores the noise level of the small image",
        LEVEL,
        "emb = emb + 0 * told_level(level, params, config, ops, tap)",
        "imagen",
        invisible_when="the network does not enlarge",
    ),
    Edit(
        "imagen/time-for-the-level",
        "uses the time as the noise level of the small image",
        LEVEL,
        LEVEL.replace("(level,", "(t,"),
        "imagen",
        invisible_when="both are equal, or the network does not enlarge",
    ),
    Edit(
        "imagen/small-image-first",
        "concatenates the small image before the noisy one",
        "np.concatenate((x_t, small), axis=1)",
        "np.concatenate((small, x_t), axis=1)",
        "imagen",
        invisible_when="the network does not enlarge",
    ),
)
OF_ADM = tuple(
    e for e in (*BLOCK, *TIME, *UP) if e.where not in ("map_attention", "packed_attention")
)
IMAGEN = (*OWN, *(elsewhere(edit, "imagen", "refimpl.models.adm") for edit in OF_ADM))
READS = ("words-alone", "words-not-read", "by-the-matrices-of-pixels", "keys-of-words-last")
OF_READING = tuple(e for e in OWN if e.id.endswith((*READS, "not-scaled", "width", "of-attention")))
TOKENS = "np.reshape(y, (y.shape[0], config.tokens, config.memory))"
TOLD = 'tap("image_norm", norm(said, params, "image_norm", config.eps, ops))'
UNCLIP = (
    Edit(
        "unclip/tokens-by-columns",
        "reads the projected vector as columns of tokens, as DALL·E 2 does, not token after token",
        TOKENS,
        "ops.context_tokens(y, config.tokens)",
        "image_tokens",
    ),
    Edit(
        "unclip/tokens-not-normalised",
        "leaves out the norm of the tokens",
        'norm(y, params, "image_tokens.ln", config.eps, ops)',
        "y",
        "image_tokens",
    ),
    Edit(
        "unclip/vector-not-told",
        "gives blocks the vector as tokens only, not in the time embedding",
        f"emb = emb + {TOLD}",
        f"emb = emb + 0 * {TOLD}",
        "unclip",
    ),
    Edit(
        "unclip/told-vector-not-normalised",
        "leaves out the norm of the vector in the time embedding",
        'norm(said, params, "image_norm", config.eps, ops)',
        "said",
        "unclip",
    ),
    *(elsewhere(edit, "unclip", "refimpl.models.imagen") for edit in OF_READING),
    *(elsewhere(edit, "unclip", "refimpl.models.adm") for edit in OF_ADM),
)
