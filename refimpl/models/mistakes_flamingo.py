"""What goes wrong in the structure of Flamingo, as edits of its text."""

from refimpl.models.mistakes_llama import of_llama
from refimpl.models.mistakes_tower import of_tower
from refimpl.op import Edit

SEEN = "np.concatenate((told, asking), axis=1)"
TOLD = 'norm(media, params, f"{name}.ln_media", RESAMPLER_EPS, ops)'
BIAS = "ops.media_bias(times, images.shape[1], config.resampler.latents)"
TIMES = "ops.text_times((ids == config.media_id).astype(int))"
MIXED = "ops.attention(query, key, value, bias)"
CROSS = 'ops.gated_residual(x, y, params[f"{name}.alpha_cross"])'
DENSE = 'ops.gated_residual(x, y, params[f"{name}.alpha_mlp"])'
TOKENS = "(B, media * config.resampler.latents, config.vision.width)"
MEDIA = "shown(images, params, config, ops, tap)"
RESAMPLER = (
    Edit(
        "flamingo/keys-without-latents",
        "uses keys and values of the image only, without the latents",
        SEEN,
        "told",
        "resampling",
    ),
    Edit(
        "flamingo/latents-before-the-media",
        "uses keys and values of the latents only",
        SEEN,
        "asking",
        "resampling",
    ),
    Edit(
        "flamingo/media-not-normalised",
        "leaves out the norm of the image in the resampler",
        TOLD,
        "media",
        "resampling",
    ),
    Edit(
        "flamingo/media-by-the-norm-of-latents",
        "uses gain and bias of the latents' norm for the image",
        TOLD,
        TOLD.replace("ln_media", "ln_latents"),
        "resampling",
    ),
    Edit(
        "flamingo/latents-not-normalised",
        "leaves out the norm of the latents in the resampler",
        'asking = norm(latents, params, f"{name}.ln_latents", RESAMPLER_EPS, ops)',
        "asking = latents",
        "resampling",
    ),
    Edit(
        "flamingo/heads-not-normalised",
        "normalises neither queries nor keys of the resampler's heads",
        "if normed:",
        "if False:",
        "resampling",
        invisible_when="the model has no such norms, as OpenFlamingo",
    ),
    Edit(
        "flamingo/no-residual-of-latents",
        "leaves out the residual connection of the resampler's attention",
        'tap(f"{at}.added", x + y)',
        'tap(f"{at}.added", y)',
        "resampled",
    ),
    Edit(
        "flamingo/no-residual-of-the-resamplers-perceptron",
        "leaves out the residual connection of the resampler's perceptron",
        'x = x + tap(f"{at}.mlp.c_proj"',
        'x = tap(f"{at}.mlp.c_proj"',
        "resampled",
    ),
    Edit(
        "flamingo/latents-not-normalised-last",
        "leaves out the last norm of the resampler",
        'norm(x, params, "resampler.ln", RESAMPLER_EPS, ops)',
        "x",
        "resampled",
    ),
    Edit(
        "flamingo/first-block-of-the-resampler-again",
        "uses the first block of the resampler for all of its layers",
        'at = f"resampler.blocks.{i}"',
        'at = f"resampler.blocks.{0 * i}"',
        "resampled",
    ),
)
MASKS = (
    Edit(
        "flamingo/words-before-images-see-all",
        "shows all images to words before the first, as a softmax of equal scores does",
        BIAS,
        f"np.where((times == 0)[:, None, :, None], 0.0, {BIAS})",
        "flamingo",
        invisible_when="texts begin with an image, or gates are 0",
    ),
    Edit(
        "flamingo/all-images-so-far",
        "shows all images so far to a word, not the last one alone",
        BIAS,
        BIAS.replace("media_bias(", "media_bias_all("),
        "flamingo",
    ),
    Edit(
        "flamingo/all-images",
        "hides no image from any word",
        BIAS,
        "None",
        "flamingo",
    ),
    Edit(
        "flamingo/image-seen-a-word-late",
        "shows an image's own token the previous image",
        TIMES,
        f"({TIMES} - (ids == config.media_id))",
        "flamingo",
    ),
    Edit(
        "flamingo/next-image-seen",
        "shows words the next image instead of the last one",
        TIMES,
        f"({TIMES} + 1)",
        "flamingo",
    ),
    Edit(
        "flamingo/latents-interleaved",
        "interleaves the tokens of the images",
        f"np.reshape(tokens, {TOKENS})",
        "np.reshape(np.swapaxes(np.reshape(tokens, (B, media, -1, config.vision.width)), 1, 2), "
        f"{TOKENS})",
        "shown",
        invisible_when="there is one image, or one token of each",
    ),
    Edit(
        "flamingo/images-in-reverse",
        "takes the images in reverse order",
        "np.reshape(images, (B * media",
        "np.reshape(images[:, ::-1], (B * media",
        "shown",
    ),
)
GATES = (
    Edit(
        "flamingo/gate-not-bounded",
        "multiplies by the gate itself, not by its hyperbolic tangent",
        CROSS,
        'x + params[f"{name}.alpha_cross"] * y',
        "gated_layer",
        invisible_when="the gate is 0, as at first",
    ),
    Edit(
        "flamingo/tangent-for-hyperbolic-tangent",
        "uses tan instead of tanh in the gates",
        CROSS,
        'x + np.sin(params[f"{name}.alpha_cross"]) / np.cos(params[f"{name}.alpha_cross"]) * y',
        "gated_layer",
        invisible_when="the gate is 0, as at first",
    ),
    Edit(
        "flamingo/no-gate-of-attention",
        "leaves out the gate of cross-attention",
        CROSS,
        "x + y",
        "gated_layer",
    ),
    Edit(
        "flamingo/no-gate-of-perceptron",
        "leaves out the gate of the perceptron",
        DENSE,
        "x + y",
        "gated_layer",
    ),
    Edit(
        "flamingo/gates-exchanged",
        "uses the gate of attention for the perceptron",
        DENSE,
        DENSE.replace("alpha_mlp", "alpha_cross"),
        "gated_layer",
        invisible_when="both gates are open alike",
    ),
    Edit(
        "flamingo/no-gated-perceptron",
        "leaves out the perceptron of the gated layers",
        DENSE,
        "x",
        "gated_layer",
    ),
    Edit(
        "flamingo/gated-layers-a-block-late",
        "puts each gated layer before the last block of a group, as OpenFlamingo does",
        "if i % config.every:",
        "if (i + 1) % config.every:",
        "flamingo",
    ),
    Edit(
        "flamingo/later-words-see-through-images",
        "takes the queries of the words in reverse order",
        MIXED,
        "ops.attention(query[:, :, ::-1], key, value, bias)",
        "gated_layer",
    ),
    Edit(
        "flamingo/words-turned-to-images",
        "leaves out the norm before cross-attention",
        'ops.rms_norm(x, params[f"{name}.ln_1.weight"], own.eps)',
        "x",
        "gated_layer",
    ),
)
UNSEEN = ("bias-dropped", "groups-interleaved")
FLAMINGO = (
    *RESAMPLER,
    *MASKS,
    *GATES,
    *of_llama("flamingo", UNSEEN),
    *of_tower("flamingo-tower", ", in the tower"),
)
