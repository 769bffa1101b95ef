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
        "takes keys and values of the image alone, so that latents do not see each other",
        SEEN,
        "told",
        "resampling",
    ),
    Edit(
        "flamingo/latents-before-the-media",
        "lets latents see themselves alone",
        SEEN,
        "asking",
        "resampling",
    ),
    Edit(
        "flamingo/media-not-normalised",
        "shows latents an image that is not normalised",
        TOLD,
        "media",
        "resampling",
    ),
    Edit(
        "flamingo/media-by-the-norm-of-latents",
        "normalises the image by the gain and bias of the latents' norm",
        TOLD,
        TOLD.replace("ln_media", "ln_latents"),
        "resampling",
    ),
    Edit(
        "flamingo/latents-not-normalised",
        "lets latents ask that are not normalised",
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
        "forgets the latents behind the resampler's attention",
        'tap(f"{at}.added", x + y)',
        'tap(f"{at}.added", y)',
        "resampled",
    ),
    Edit(
        "flamingo/no-residual-of-the-resamplers-perceptron",
        "forgets the latents behind the resampler's perceptron",
        'x = x + tap(f"{at}.mlp.c_proj"',
        'x = tap(f"{at}.mlp.c_proj"',
        "resampled",
    ),
    Edit(
        "flamingo/latents-not-normalised-last",
        "gives latents that are not normalised to the language model",
        'norm(x, params, "resampler.ln", RESAMPLER_EPS, ops)',
        "x",
        "resampled",
    ),
    Edit(
        "flamingo/first-block-of-the-resampler-again",
        "has one block of the resampler for all of its layers",
        'at = f"resampler.blocks.{i}"',
        'at = f"resampler.blocks.{0 * i}"',
        "resampled",
    ),
)
MASKS = (
    Edit(
        "flamingo/words-before-images-see-all",
        "leaves words before the first image to a softmax of equal scores: they see all images",
        BIAS,
        f"np.where((times == 0)[:, None, :, None], 0.0, {BIAS})",
        "flamingo",
        invisible_when="texts begin with an image, or gates are 0",
    ),
    Edit(
        "flamingo/all-images-so-far",
        "lets words see all images before them, not the last one alone",
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
        "lets an image's own token see the image before",
        TIMES,
        f"({TIMES} - (ids == config.media_id))",
        "flamingo",
    ),
    Edit(
        "flamingo/next-image-seen",
        "lets words see the image behind them, not the one before",
        TIMES,
        f"({TIMES} + 1)",
        "flamingo",
    ),
    Edit(
        "flamingo/latents-interleaved",
        "puts first tokens of all images first, then all second ones",
        f"np.reshape(tokens, {TOKENS})",
        "np.reshape(np.swapaxes(np.reshape(tokens, (B, media, -1, config.vision.width)), 1, 2), "
        f"{TOKENS})",
        "shown",
        invisible_when="there is one image, or one token of each",
    ),
    Edit(
        "flamingo/images-in-reverse",
        "takes images from the end of the text",
        "np.reshape(images, (B * media",
        "np.reshape(images[:, ::-1], (B * media",
        "shown",
    ),
)
GATES = (
    Edit(
        "flamingo/gate-not-bounded",
        "multiplies by the gate's number itself, not by its hyperbolic tangent",
        CROSS,
        'x + params[f"{name}.alpha_cross"] * y',
        "gated_layer",
        invisible_when="the gate is 0, as at first",
    ),
    Edit(
        "flamingo/tangent-for-hyperbolic-tangent",
        "opens gates by the tangent",
        CROSS,
        'x + np.sin(params[f"{name}.alpha_cross"]) / np.cos(params[f"{name}.alpha_cross"]) * y',
        "gated_layer",
        invisible_when="the gate is 0, as at first",
    ),
    Edit(
        "flamingo/no-gate-of-attention",
        "adds what words read without a gate",
        CROSS,
        "x + y",
        "gated_layer",
    ),
    Edit(
        "flamingo/no-gate-of-perceptron",
        "adds what the perceptron gives without a gate",
        DENSE,
        "x + y",
        "gated_layer",
    ),
    Edit(
        "flamingo/gates-exchanged",
        "opens the perceptron's gate as far as that of attention",
        DENSE,
        DENSE.replace("alpha_mlp", "alpha_cross"),
        "gated_layer",
        invisible_when="both gates are open alike",
    ),
    Edit(
        "flamingo/no-gated-perceptron",
        "has no perceptron behind what words read",
        DENSE,
        "x",
        "gated_layer",
    ),
    Edit(
        "flamingo/gated-layers-a-block-late",
        "puts gated layers before every last block of a group, as OpenFlamingo does",
        "if i % config.every:",
        "if (i + 1) % config.every:",
        "flamingo",
    ),
    Edit(
        "flamingo/later-words-see-through-images",
        "lets words ask with what is behind them",
        MIXED,
        "ops.attention(query[:, :, ::-1], key, value, bias)",
        "gated_layer",
    ),
    Edit(
        "flamingo/words-turned-to-images",
        "does not normalise what words ask with",
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
    *of_tower("flamingo-tower"),
)
