"""What goes wrong in the structure of U-Nets, as edits of their texts."""

from refimpl.models.mistakes import elsewhere
from refimpl.models.mistakes_maps import AMONG_PIXELS, RESIDUAL, SIZES, of_maps
from refimpl.op import Edit

ADDED = "y + shift[:, :, None, None]"
NORM_2 = 'y = tap(f"{name}.norm2", group_norm(y, params, f"{name}.norm2", config, ops))'
TOLD = 'y = tap(f"{name}.told", ' + ADDED + ")"
BESIDE = "np.concatenate((x, kept.pop()), axis=1)"
MIDDLE = 'attend(x, -1, "mid_block.attentions.0")'
WAVES = "np.concatenate((np.sin(angles), np.cos(angles)), axis=-1)"

TIME = (
    Edit("unet/no-time", "ignores the time", ADDED, "y", "residual"),
    Edit(
        "unet/time-not-activated",
        "has no activation before the projection of the time",
        "dense(ops.silu(emb), params",
        "dense(emb, params",
        "residual",
    ),
    Edit(
        "unet/time-behind-the-norm",
        "adds the time after the second norm, not before it",
        f"        {TOLD}\n\n    {NORM_2}",
        f"        y = y\n\n    {NORM_2}\n    y = y if emb is None else {ADDED}",
        "residual",
    ),
    Edit(
        "unet/time-as-scale",
        "multiplies by 1 + the time's projection instead of adding it",
        ADDED,
        "y * (1 + shift[:, :, None, None])",
        "residual",
    ),
)
U = (
    Edit(
        "unet/kept-map-before-the-features",
        "concatenates the skip connection before the features, not after them",
        BESIDE,
        "np.concatenate((kept.pop(), x), axis=1)",
        "u_turn",
    ),
    Edit(
        "unet/kept-before-attention",
        "keeps the skip connection before attention, not after it",
        'x = attend(x, i, f"{at}.attentions.{j}")\n            kept.append(x)',
        'kept.append(x)\n            x = attend(x, i, f"{at}.attentions.{j}")',
        "u_turn",
    ),
    Edit(
        "unet/no-attention-in-the-middle",
        "has no attention in the middle",
        MIDDLE,
        "x",
        "u_turn",
    ),
    Edit(
        "unet/no-last-norm",
        "has no norm before the last convolution",
        'group_norm(x, params, "conv_norm_out", config, ops)',
        "x",
        "u_turn",
    ),
    Edit(
        "unet/no-last-activation",
        "has no activation before the last convolution",
        'tap("conv_act", ops.silu(x))',
        'tap("conv_act", x)',
        "u_turn",
    ),
    Edit(
        "unet/time-not-activated-between",
        "leaves out the activation between the two layers of the time embedding",
        'tap(f"{name}.act", ops.silu(y))',
        'tap(f"{name}.act", y)',
        "told",
    ),
)
WAVE = (
    Edit(
        "ddpm-unet/cosines-first",
        "puts cosines before sines",
        WAVES,
        "np.concatenate((np.cos(angles), np.sin(angles)), axis=-1)",
        "waves",
    ),
    Edit(
        "ddpm-unet/frequencies-of-half",
        "divides by the number of frequencies, not by one less",
        "/ (half - 1)",
        "/ half",
        "waves",
    ),
    Edit(
        "ddpm-unet/sines-and-cosines-in-turn",
        "interleaves sines and cosines",
        WAVES,
        "np.reshape(np.stack((np.sin(angles), np.cos(angles)), axis=-1), (len(t), -1))",
        "waves",
    ),
    Edit(
        "ddpm-unet/time-counted-from-one",
        "takes the first time for 1",
        "t[:, None] * frequencies",
        "(t[:, None] + 1) * frequencies",
        "waves",
    ),
)


def of_unets(family: str) -> tuple[Edit, ...]:
    """Mistakes of every U-Net, for a family whose text is one."""
    u = tuple(elsewhere(edit, family, "refimpl.models.unet") for edit in U)
    return of_maps(family, RESIDUAL, SIZES, TIME) + u


DDPM_MISTAKES = (*WAVE, *of_unets("ddpm-unet"), *of_maps("ddpm-unet", AMONG_PIXELS))
