"""What goes wrong in the structure of Stable Diffusion's U-Net, as edits of its text."""

from refimpl.models.mistakes_maps import AMONG_PIXELS, of_maps
from refimpl.models.mistakes_unet import of_unets
from refimpl.op import Edit

ATTENTION = "ops.attention(split(query, heads), split(key, heads), split(value, heads), None)"
HALVES = "up, gate = y[..., : y.shape[-1] // 2], y[..., y.shape[-1] // 2 :]"
SELF = 'read(y, y, params, f"{name}.attn1", heads, ops, tap)'
CROSS = 'read(y, words, params, f"{name}.attn2", heads, ops, tap)'
GIVEN = "np.concatenate((pooled, waves), axis=1)"
TOKENS = ("pixels", "placed")

READS = (
    Edit(
        "sd-unet/keys-and-values-exchanged",
        "exchanges keys and values",
        ATTENTION,
        "ops.attention(split(query, heads), split(value, heads), split(key, heads), None)",
        "read",
    ),
    Edit(
        "sd-unet/scores-not-scaled",
        "does not divide the scores by the root of the head's width",
        ATTENTION,
        ATTENTION.replace("(split(query", "(np.sqrt(query.shape[-1] // heads) * split(query"),
        "read",
    ),
    Edit(
        "sd-unet/scores-scaled-by-whole-width",
        "divides the scores by the root of the whole width",
        ATTENTION,
        ATTENTION.replace("split(query, heads)", "split(query, heads) / np.sqrt(heads)"),
        "read",
    ),
    Edit(
        "sd-unet/heads-for-their-width",
        "takes the number of heads for the channels of a head",
        "ops.attention(split(query, heads), split(key, heads), split(value, heads), None)",
        "ops.attention(*(split(y, y.shape[-1] // heads) for y in (query, key, value)), None)",
        "read",
    ),
    Edit(
        "sd-unet/pixels-not-normalised",
        "leaves out the norm before self-attention",
        SELF,
        SELF.replace("y, y,", "x, x,"),
        "reading_block",
    ),
    Edit(
        "sd-unet/words-not-read",
        "leaves out cross-attention",
        f"x + {CROSS}",
        "x",
        "reading_block",
    ),
    Edit(
        "sd-unet/no-residual-of-pixels",
        "leaves out the residual connection of self-attention",
        f"x + {SELF}",
        SELF,
        "reading_block",
    ),
    Edit(
        "sd-unet/no-residual-of-words",
        "leaves out the residual connection of cross-attention",
        f"x + {CROSS}",
        CROSS,
        "reading_block",
    ),
    Edit(
        "sd-unet/no-residual-of-gate",
        "leaves out the residual connection of the feed-forward layers",
        "return tap(name, x + y)",
        "return tap(name, y)",
        "reading_block",
    ),
    Edit(
        "sd-unet/gate-and-up-exchanged",
        "applies the activation to the first half, not the second",
        "up, gate = y",
        "gate, up = y",
        "reading_block",
    ),
    Edit(
        "sd-unet/halves-in-turn",
        "takes every other channel for the gate, not the second half",
        HALVES,
        "up, gate = y[..., ::2], y[..., 1::2]",
        "reading_block",
    ),
    Edit(
        "sd-unet/gate-not-activated",
        "leaves out the activation of the gate",
        "getattr(ops, config.gate)(gate, up)",
        "gate * up",
        "reading_block",
    ),
    Edit(
        "sd-unet/map-not-added",
        "leaves out the outer residual connection",
        "return tap(name, x + placed(y, rows, cols))",
        "return tap(name, placed(y, rows, cols))",
        "read_words",
    ),
    Edit(
        "sd-unet/map-not-normalised",
        "leaves out the group normalisation before the block",
        "ops.group_norm(x, gain, bias, config.groups, config.map_eps)",
        "x",
        "read_words",
    ),
)
SIZES_OF_XL = (
    Edit(
        "sd-unet/sizes-not-told",
        "ignores pooled text and sizes",
        "emb = emb + told_sizes",
        "emb = emb + 0 * told_sizes",
        "sd_unet",
        invisible_when="the model is not XL",
    ),
    Edit(
        "sd-unet/sizes-before-the-text",
        "concatenates the embedded sizes before the pooled text",
        GIVEN,
        "np.concatenate((waves, pooled), axis=1)",
        "told_sizes",
        invisible_when="the model is not XL",
    ),
    Edit(
        "sd-unet/widths-before-heights",
        "takes sizes as (width, height)",
        "np.reshape(sizes, (B * many,))",
        "np.reshape(np.reshape(sizes, (B, many // 2, 2))[:, :, ::-1], (B * many,))",
        "told_sizes",
        invisible_when="the model is not XL",
    ),
    Edit(
        "sd-unet/target-before-crop",
        "exchanges the target's size and the crop's corner",
        "np.reshape(sizes, (B * many,))",
        "np.reshape(sizes[:, [0, 1, 4, 5, 2, 3]], (B * many,))",
        "told_sizes",
        invisible_when="the model is not XL",
    ),
)
WAVE_AND_SIZES = (
    Edit(
        "sd-unet/zeros-behind-alone",
        "pads below and to the right only when halving, not on all sides",
        "config.around",
        "(0, 1)",
        "refimpl.models.unet.u_turn",
    ),
    Edit(
        "sd-unet/sines-first",
        "puts the sines of the time before the cosines",
        "ops.timestep_embedding(t, config.widths[0] // 2)",
        "np.roll(ops.timestep_embedding(t, config.widths[0] // 2), config.widths[0] // 2, axis=1)",
        "sd_unet",
    ),
)
SD_MISTAKES = (
    *WAVE_AND_SIZES,
    *READS,
    *SIZES_OF_XL,
    *of_unets("sd-unet"),
    *of_maps("sd-unet", tuple(edit for edit in AMONG_PIXELS if edit.where in TOKENS)),
)
