"""What goes wrong in the structure of ADM and of its classifier, as edits of their texts."""

from refimpl.models.mistakes import elsewhere
from refimpl.models.mistakes_maps import AMONG_PIXELS, of_maps
from refimpl.op import Edit

NORM_2 = 'group_norm(y, params, f"{name}.out_layers.0", config, ops)'
ATTENTION = "ops.attention(split(query, heads), split(key, heads), split(value, heads), None)"
BESIDE = "np.concatenate((x, kept.pop()), axis=1)"
THIRDS = "thirds(joint), strict=True"
EMB = 'emb + params["label_emb.weight"][labels]'
TOKENS = ("pixels", "placed")
MEAN = "np.mean(tokens, axis=1, keepdims=True)"

BLOCK = (
    Edit(
        "adm/scale-without-one",
        "multiplies the norm by scale, not by 1 + scale",
        "y * (1 + scale) + shift",
        "y * scale + shift",
        "scaled_residual",
    ),
    Edit(
        "adm/shift-before-scale",
        "exchanges scale and shift",
        "scale, shift = np",
        "shift, scale = np",
        "scaled_residual",
    ),
    Edit(
        "adm/shifted-before-scaled",
        "adds the shift before multiplying by the scale",
        "y * (1 + scale) + shift",
        "(y + shift) * (1 + scale)",
        "scaled_residual",
    ),
    Edit(
        "adm/scaled-before-the-norm",
        "applies scale and shift before the second norm, not after it",
        NORM_2,
        NORM_2.replace("(y,", "(y * (1 + said[:, : y.shape[1]]) + said[:, y.shape[1] :],"),
        "scaled_residual",
        also=(("scaled_residual", "y = y * (1 + scale) + shift", "y = y"),),
    ),
    Edit(
        "adm/time-not-activated",
        "has no activation before the projection of the time",
        "dense(act(emb), params",
        "dense(emb, params",
        "scaled_residual",
    ),
    Edit(
        "adm/no-shortcut",
        "leaves out the residual connection of the convolutions",
        "return tap(name, x + y)",
        "return tap(name, y)",
        "scaled_residual",
    ),
    Edit(
        "adm/no-second-norm",
        "has no norm before the second convolution",
        NORM_2,
        "y",
        "scaled_residual",
    ),
    Edit(
        "adm/resized-before-the-norm",
        "resizes the map before the first norm and activation, not after them",
        'group_norm(x, params, f"{name}.in_layers.0", config, ops)',
        'group_norm(resized(x, resize, ops), params, f"{name}.in_layers.0", config, ops)',
        "scaled_residual",
        also=(("scaled_residual", "resized(act(y), resize, ops)", "act(y)"),),
    ),
    Edit(
        "adm/halved-by-leaving-out",
        "halves a map by leaving out pixels, not by averaging",
        "ops.avg_pool2d(x, 2)",
        "x[:, :, ::2, ::2]",
        "resized",
    ),
    Edit(
        "adm/tiled",
        "enlarges by tiling the map, not by repeating each pixel",
        "ops.resize_nearest(x, 2 * x.shape[2], 2 * x.shape[3])",
        "np.concatenate([np.concatenate([x, x], axis=2)] * 2, axis=3)",
        "resized",
    ),
    Edit(
        "adm/no-residual-of-attention",
        "leaves out the residual connection of attention",
        "return tap(name, x + placed(y, rows, cols))",
        "return tap(name, placed(y, rows, cols))",
        "map_attention",
    ),
    Edit(
        "adm/attention-without-norm",
        "leaves out the norm before attention",
        'group_norm(x, params, f"{name}.norm", config, ops)',
        "x",
        "map_attention",
    ),
    Edit(
        "adm/keys-from-queries",
        "takes the keys from the weights of the queries",
        THIRDS,
        "[thirds(joint)[i] for i in (0, 0, 2)], strict=True",
        "packed_attention",
    ),
    Edit(
        "adm/keys-and-values-exchanged",
        "exchanges keys and values",
        THIRDS,
        "[thirds(joint)[i] for i in (0, 2, 1)], strict=True",
        "packed_attention",
    ),
    Edit(
        "adm/scores-not-scaled",
        "does not divide the scores by the root of the head's width",
        ATTENTION,
        ATTENTION.replace("(split(query", "(np.sqrt(query.shape[-1] // heads) * split(query"),
        "packed_attention",
    ),
    Edit(
        "adm/scores-scaled-twice",
        "divides both queries and keys by the root of the head's width",
        ATTENTION,
        ATTENTION.replace(
            "split(query, heads)", "split(query, heads) / np.sqrt(query.shape[-1] // heads)"
        ),
        "packed_attention",
    ),
    Edit(
        "adm/heads-for-their-width",
        "takes the number of heads for the channels of a head",
        "C // config.head if config.head else config.heads",
        "config.head",
        "map_attention",
        invisible_when="there are as many heads as each has channels",
    ),
)
TIME = (
    Edit(
        "adm/sines-first",
        "puts the sines of the time before the cosines",
        "ops.timestep_embedding(t, config.width // 2)",
        "np.roll(ops.timestep_embedding(t, config.width // 2), config.width // 2, axis=1)",
        "told_time",
    ),
    Edit(
        "adm/time-not-activated-between",
        "leaves out the activation between the two layers of the time embedding",
        "dense(act(emb), params",
        "dense(emb, params",
        "told_time",
    ),
)
UP = (
    Edit(
        "adm/kept-map-before-the-features",
        "concatenates the skip connection before the features, not after them",
        BESIDE,
        "np.concatenate((kept.pop(), x), axis=1)",
        "through",
    ),
    Edit(
        "adm/no-last-norm",
        "has no norm before the last convolution",
        'group_norm(x, params, "out.0", config, ops)',
        "x",
        "through",
    ),
)
LABELS = (
    Edit(
        "adm/labels-not-told",
        "ignores the label",
        EMB,
        "emb",
        "adm",
        invisible_when="there are no classes",
    ),
    Edit(
        "adm/labels-from-one",
        "counts labels from one",
        EMB,
        EMB.replace("[labels]", "[labels - 1]"),
        "adm",
        invisible_when="there are no classes",
    ),
)
POOL = (
    Edit(
        "adm-classifier/mean-last",
        "appends the mean of the pixels and takes the last token",
        f"np.concatenate(({MEAN}, tokens), axis=1)",
        f"np.concatenate((tokens, {MEAN}), axis=1)",
        "adm_classifier",
        also=(("adm_classifier", "mixed[:, 0]", "mixed[:, -1]"),),
    ),
    Edit(
        "adm-classifier/mean-of-tokens",
        "pools the mean of all tokens, not the first one",
        "mixed[:, 0]",
        "np.mean(mixed, axis=1)",
        "adm_classifier",
    ),
    Edit(
        "adm-classifier/no-positions",
        "adds no positions",
        'tokens + np.swapaxes(params["out.2.positional_embedding"], 0, 1)',
        "tokens",
        "adm_classifier",
    ),
    Edit(
        "adm-classifier/no-last-norm",
        "leaves out the last norm",
        'group_norm(x, params, "out.0", config, ops)',
        "x",
        "adm_classifier",
    ),
)
CLEAN = "skip[:, None, None, None] * noisy + out[:, None, None, None] * x"
PRECONDITIONED = (
    Edit(
        "consistency-adm/factors-of-edm",
        "uses the factors of EDM, which do not account for the smallest level",
        "above = sigma - config.sigma_min",
        "above = sigma",
        "consistency_adm",
    ),
    Edit(
        "consistency-adm/input-not-scaled",
        "does not scale the noisy image for the network",
        "noisy / root[:, None, None, None]",
        "noisy",
        "consistency_adm",
    ),
    Edit(
        "consistency-adm/residual-of-scaled",
        "adds the scaled image to the network's output, not the image itself",
        CLEAN,
        CLEAN.replace("* noisy", "* (noisy / root[:, None, None, None])"),
        "consistency_adm",
    ),
    Edit(
        "consistency-adm/no-image-added",
        "leaves out the skip connection of the image",
        CLEAN,
        "out[:, None, None, None] * x",
        "consistency_adm",
    ),
    Edit(
        "consistency-adm/time-of-edm",
        "uses log σ / 4 as time, not 250 log σ",
        "config.noise_scale * np.log(sigma)",
        "0.25 * np.log(sigma)",
        "consistency_adm",
    ),
    Edit(
        "consistency-adm/level-for-its-logarithm",
        "uses the level itself as time, not its logarithm",
        "config.noise_scale * np.log(sigma)",
        "config.noise_scale * sigma",
        "consistency_adm",
    ),
    Edit(
        "consistency-adm/condition-not-told",
        "ignores the condition",
        "emb + more",
        "emb",
        "consistency_adm",
    ),
    Edit(
        "consistency-adm/not-clipped",
        "does not clip images to [-1, 1]",
        "np.minimum(np.maximum(clean, -1), 1)",
        "clean",
        "consistency_adm",
    ),
)
ON_TOKENS = tuple(edit for edit in AMONG_PIXELS if edit.where in TOKENS)
ADM_MISTAKES = (*BLOCK, *TIME, *UP, *LABELS, *of_maps("adm", ON_TOKENS))
ON_THE_WAY_DOWN = tuple(edit for edit in (*BLOCK, *TIME) if edit.id != "adm/tiled")
CLASSIFIER_MISTAKES = (
    *POOL,
    *(elsewhere(edit, "adm-classifier", "refimpl.models.adm") for edit in ON_THE_WAY_DOWN),
)
CONSISTENCY_MISTAKES = (
    *PRECONDITIONED,
    *(elsewhere(e, "consistency-adm", "refimpl.models.adm") for e in (*BLOCK, *TIME, *UP)),
    *of_maps("consistency-adm", ON_TOKENS),
)
