"""What goes wrong in U-Nets and autoencoders of images, as edits of their texts."""

from refimpl.models.mistakes import elsewhere
from refimpl.op import Edit

HERE = "refimpl.models.feature_maps"
SUM = "return tap(name, x + y)"
SHORTCUT = 'x = tap(f"{name}.conv_shortcut", convolve(x, params, f"{name}.conv_shortcut", ops))'
ACT_1 = 'y = tap(f"{name}.act1", ops.silu(y))'
ATTENTION = "ops.attention(split(query, heads), split(key, heads), split(value, heads), None)"
ACROSS = (
    "np.swapaxes(ops.attention(*(np.swapaxes(split(one, heads), 2, 3) "
    "for one in (query, key, value)), None), 2, 3)"
)
PARTS = 'dense(y, params, f"{name}.{part}", ops)'
ASKED = "return tap(name, x + placed(y, rows, cols))"
LARGER = "ops.resize_nearest(x, 2 * rows, 2 * cols)"

RESIDUAL = (
    Edit(
        "maps/no-shortcut",
        "leaves out the residual connection of the convolutions",
        SUM,
        "return tap(name, y)",
        "residual",
    ),
    Edit(
        "maps/no-shortcut-where-channels-change",
        "leaves out the residual connection where the number of channels changes",
        SHORTCUT,
        SHORTCUT.replace("x = tap", "x = 0 * tap"),
        "residual",
    ),
    Edit(
        "maps/shortcut-of-normalised",
        "adds the normalised features as residual of the convolutions",
        ACT_1,
        f"x = y\n    {ACT_1}",
        "residual",
    ),
    Edit(
        "maps/no-second-norm",
        "has no norm before the second convolution",
        'group_norm(y, params, f"{name}.norm2", config, ops)',
        "y",
        "residual",
    ),
    Edit(
        "maps/no-first-activation",
        "has no activation before the first convolution",
        ACT_1,
        ACT_1.replace("ops.silu(y)", "y"),
        "residual",
    ),
    Edit(
        "maps/no-second-activation",
        "has no activation before the second convolution",
        'tap(f"{name}.act2", ops.silu(y))',
        'tap(f"{name}.act2", y)',
        "residual",
    ),
    Edit(
        "maps/activation-relu",
        "has a relu before both convolutions",
        'tap(f"{name}.act1", ops.silu(y))',
        'tap(f"{name}.act1", ops.relu(y))',
        "residual",
        also=(("residual", 'f"{name}.act2", ops.silu(y)', 'f"{name}.act2", ops.relu(y)'),),
    ),
)
AMONG_PIXELS = (
    Edit(
        "maps/no-residual-of-attention",
        "leaves out the residual connection of attention",
        ASKED,
        "return tap(name, placed(y, rows, cols))",
        "pixel_attention",
    ),
    Edit(
        "maps/normalised-added-to-attention",
        "adds the normalised features as residual of attention",
        ASKED,
        ASKED.replace("x + placed(y", "placed(h + y"),
        "pixel_attention",
        also=(
            (
                "pixel_attention",
                'y = tap(f"{name}.group_norm", y)',
                'h = y = tap(f"{name}.group_norm", y)',
            ),
        ),
    ),
    Edit(
        "maps/attention-without-norm",
        "leaves out the norm before attention",
        'group_norm(x, params, f"{name}.group_norm", config, ops)',
        "x",
        "pixel_attention",
    ),
    Edit(
        "maps/attention-of-channels",
        "lets channels attend to channels, not pixels to pixels",
        ATTENTION,
        ACROSS,
        "pixel_attention",
    ),
    Edit(
        "maps/keys-from-queries",
        "takes the keys from the weights of the queries",
        PARTS,
        PARTS.replace("{part}", "{part.replace('k', 'q')}"),
        "pixel_attention",
    ),
    Edit(
        "maps/values-from-keys",
        "takes the values from the weights of the keys",
        PARTS,
        PARTS.replace("{part}", "{part.replace('v', 'k')}"),
        "pixel_attention",
    ),
    Edit(
        "maps/keys-and-values-exchanged",
        "exchanges keys and values",
        ATTENTION,
        "ops.attention(split(query, heads), split(value, heads), split(key, heads), None)",
        "pixel_attention",
    ),
    Edit(
        "maps/scores-not-scaled",
        "does not divide the scores by the root of the head's width",
        ATTENTION,
        ATTENTION.replace("(split(query", "(np.sqrt(query.shape[-1] // heads) * split(query"),
        "pixel_attention",
    ),
    Edit(
        "maps/scores-scaled-by-channels",
        "divides the scores by the head's width, not by its root",
        ATTENTION,
        ATTENTION.replace(
            "split(query, heads)", "split(query, heads) / np.sqrt(query.shape[-1] // heads)"
        ),
        "pixel_attention",
    ),
    Edit(
        "maps/tokens-without-transposition",
        "reshapes maps to tokens without moving the channel axis",
        "np.swapaxes(np.reshape(x, (B, C, rows * cols)), 1, 2)",
        "np.reshape(x, (B, rows * cols, C))",
        "pixels",
        also=(
            (
                "placed",
                "np.reshape(np.swapaxes(tokens, 1, 2), (B, C, rows, cols))",
                "np.reshape(tokens, (B, C, rows, cols))",
            ),
        ),
    ),
    Edit(
        "maps/pixels-put-back-by-columns",
        "puts the pixels back column by column, not row by row",
        "np.reshape(np.swapaxes(tokens, 1, 2), (B, C, rows, cols))",
        "np.swapaxes(np.reshape(np.swapaxes(tokens, 1, 2), (B, C, cols, rows)), 2, 3)",
        "placed",
    ),
)
SIZES = (
    Edit(
        "maps/tiled",
        "enlarges by tiling the map, not by repeating each pixel",
        LARGER,
        "np.concatenate([np.concatenate([x, x], axis=2)] * 2, axis=3)",
        "doubled",
    ),
    Edit(
        "maps/convolved-before-repeated",
        "convolves the map before its pixels are repeated",
        "return tap(at, convolve(larger, params, at, ops))",
        "return tap(at, ops.resize_nearest(convolve(x, params, at, ops), 2 * rows, 2 * cols))",
        "doubled",
    ),
)
DRAWN = "mean + np.exp(log_variance / 2) * noise"
SCALED = "(z - config.shift) * config.scale"
UNSCALED = "latent / config.scale + config.shift"
MIDDLE = 'pixel_attention(x, params, f"{at}.attentions.0", 1, config, ops, tap)'
CODER = (
    Edit(
        "maps/zeros-on-all-sides",
        "pads on all sides when halving, not only below and to the right",
        "(0, 1), ops, tap)",
        "(1, 1), ops, tap)",
        "encode",
    ),
    Edit(
        "maps/no-attention-in-the-middle",
        "has no attention in the middle",
        f"x = {MIDDLE}",
        "x = x",
        "middle",
    ),
    Edit(
        "maps/no-last-norm",
        "has no norm before the last convolution",
        'group_norm(x, params, f"{at}.conv_norm_out", config, ops)',
        "x",
        "last",
    ),
    Edit(
        "maps/no-last-activation",
        "has no activation before the last convolution",
        'tap(f"{at}.conv_act", ops.silu(x))',
        'tap(f"{at}.conv_act", x)',
        "last",
    ),
)
LATENTS = (
    Edit(
        "vae/latents-not-scaled",
        "does not multiply the latents by their scale, nor divide before the decoder",
        SCALED,
        "z - config.shift",
        "autoencoder",
        also=(("autoencoder", UNSCALED, "latent + config.shift"),),
    ),
    Edit(
        "vae/scale-forgotten-by-the-decoder",
        "does not divide the latents by their scale before the decoder",
        UNSCALED,
        "latent + config.shift",
        "autoencoder",
    ),
    Edit(
        "vae/scale-forgotten-by-the-encoder",
        "does not multiply the latents by their scale",
        SCALED,
        "z - config.shift",
        "autoencoder",
    ),
    Edit(
        "vae/scale-the-other-way",
        "divides the latents by their scale, and multiplies before the decoder",
        SCALED,
        "(z - config.shift) / config.scale",
        "autoencoder",
        also=(("autoencoder", UNSCALED, "latent * config.scale + config.shift"),),
    ),
    Edit(
        "vae/scale-of-xl",
        "takes the scale of Stable Diffusion XL, 0.13025",
        SCALED,
        "(z - config.shift) * 0.13025",
        "autoencoder",
        also=(("autoencoder", UNSCALED, "latent / 0.13025 + config.shift"),),
    ),
    Edit(
        "vae/scale-of-1",
        "takes the scale of Stable Diffusion 1 and 2, 0.18215",
        SCALED,
        "(z - config.shift) * 0.18215",
        "autoencoder",
        also=(("autoencoder", UNSCALED, "latent / 0.18215 + config.shift"),),
        invisible_when="that is the scale",
    ),
    Edit(
        "vae/shift-behind-the-scale",
        "applies shift and scale in the other order",
        SCALED,
        "z * config.scale - config.shift",
        "autoencoder",
        also=(("autoencoder", UNSCALED, "(latent + config.shift) / config.scale"),),
        invisible_when="the shift is zero, as in Stable Diffusion",
    ),
    Edit(
        "vae/shift-forgotten",
        "does not shift the latents",
        SCALED,
        "z * config.scale",
        "autoencoder",
        also=(("autoencoder", UNSCALED, "latent / config.scale"),),
        invisible_when="the shift is zero, as in Stable Diffusion",
    ),
    Edit(
        "vae/variance-for-deviation",
        "multiplies the noise by the variance, not by the deviation",
        "np.exp(log_variance / 2)",
        "np.exp(log_variance)",
        "autoencoder",
    ),
    Edit(
        "vae/log-of-the-deviation",
        "uses the log variance as the deviation",
        "np.exp(log_variance / 2)",
        "log_variance",
        "autoencoder",
    ),
    Edit(
        "vae/mode",
        "returns the means as latents, without noise",
        DRAWN,
        "mean + 0 * noise",
        "autoencoder",
    ),
    Edit(
        "vae/variances-first",
        "takes the first half of the channels for the variances",
        "mean, log_variance = ops",
        "log_variance, mean = ops",
        "autoencoder",
    ),
)


NEAREST = "book[ops.nearest_code(latents, book)]"
CODES = (
    Edit(
        "vqgan/latents-not-quantised",
        "decodes the latents themselves, not their nearest codes",
        NEAREST,
        "latents",
        "quantized",
    ),
    Edit(
        "vqgan/largest-product",
        "takes the code with the largest inner product, not the nearest",
        "ops.nearest_code(latents, book)",
        "np.argmax(latents @ np.swapaxes(book, 0, 1), axis=1)",
        "quantized",
    ),
    Edit(
        "vqgan/channels-as-pixels",
        "reshapes latents to vectors without moving the channel axis",
        "np.reshape(pixels(z), (B * rows * cols, D))",
        "np.reshape(z, (B * rows * cols, D))",
        "quantized",
    ),
    Edit(
        "vqgan/codes-put-back-by-columns",
        "puts the codes back column by column, not row by row",
        "np.reshape(nearest, (B, rows * cols, D)), rows, cols)",
        "np.reshape(np.swapaxes(np.reshape(nearest, (B, cols, rows, D)), 1, 2), "
        "(B, rows * cols, D)), rows, cols)",
        "quantized",
    ),
    Edit(
        "vqgan/directions",
        "compares the cosines of latents and codes, not their distances",
        "ops.nearest_code(latents, book)",
        "ops.nearest_code(ops.l2_normalize(latents), ops.l2_normalize(book))",
        "quantized",
    ),
)


def of_maps(family: str, *groups: tuple[Edit, ...]) -> tuple[Edit, ...]:
    """Mistakes in what feature maps are built of, for a family whose text calls it."""
    return tuple(elsewhere(edit, family, HERE) for edits in groups for edit in edits)


def of_coders(family: str) -> tuple[Edit, ...]:
    """Mistakes in an encoder and its decoder, for a family whose text calls them."""
    return tuple(elsewhere(edit, family, "refimpl.models.autoencoder") for edit in CODER)


VAE_MISTAKES = (*LATENTS, *of_maps("vae", RESIDUAL, AMONG_PIXELS, SIZES), *of_coders("vae"))
VQ_MISTAKES = (*CODES, *of_maps("vqgan", RESIDUAL, AMONG_PIXELS, SIZES), *of_coders("vqgan"))
