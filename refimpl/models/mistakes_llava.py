"""What goes wrong in the structure of LLaVA, as edits of its text."""

from refimpl.models.mistakes_llama import of_llama
from refimpl.models.mistakes_tower import of_tower
from refimpl.op import Edit

TOWER = "config.vision.layers - config.unused"
PATCHES = 'vit_features(images, params, tower, ops, tap, "visual.")[:, 1:]'
SPLICE = "ops.splice_tokens(words, ids, config.image_id, patches)"
POSITIONS = "constant(1, x) * np.arange(np.shape(ids)[1])"
ROOM = "(ids[0] == config.image_id)"
GRID = "(len(ids), config.vision.image // config.vision.patch, -1, config.text.width)"
BY_COLUMNS = f"np.reshape(np.swapaxes(np.reshape(patches, {GRID}), 1, 2), patches.shape)"
OWN = (
    Edit(
        "llava/last-block-used",
        "takes the patches after the last block of the tower, not the last but one",
        TOWER,
        "config.vision.layers",
        "seen_patches",
    ),
    Edit(
        "llava/last-block-dropped-twice",
        "leaves out one block of the tower too many",
        TOWER,
        f"{TOWER} - 1",
        "seen_patches",
    ),
    Edit(
        "llava/patches-normalised",
        "applies the tower's last norm to the patches",
        PATCHES,
        'ops.layer_norm(vit_features(images, params, tower, ops, tap, "visual."), '
        'params["visual.ln_post.weight"], params["visual.ln_post.bias"], tower.eps)[:, 1:]',
        "seen_patches",
    ),
    Edit(
        "llava/class-token-for-the-last-patch",
        "keeps the class token and drops the last patch",
        PATCHES,
        PATCHES.replace("[:, 1:]", "[:, :-1]"),
        "seen_patches",
    ),
    Edit(
        "llava/class-token-behind-the-patches",
        "drops the first patch and appends the class token",
        PATCHES,
        f"np.roll({PATCHES.removesuffix('[:, 1:]')}, -2, axis=1)[:, :-1]",
        "seen_patches",
    ),
    Edit(
        "llava/projector-without-activation",
        "leaves out the activation of the projector",
        "getattr(ops, config.projector)(y)",
        "y",
        "seen_patches",
    ),
    Edit(
        "llava/image-not-spliced",
        "leaves the placeholders where patches belong",
        SPLICE,
        "words",
        "llava",
    ),
    Edit(
        "llava/patches-down-the-columns",
        "inserts the patches into the text column by column",
        SPLICE,
        SPLICE.replace("patches)", f"{BY_COLUMNS})"),
        "llava",
    ),
    Edit(
        "llava/images-of-the-next-text",
        "gives each text the image of the next one",
        SPLICE,
        SPLICE.replace("patches)", "patches[::-1])"),
        "llava",
        invisible_when="there is one text",
    ),
    Edit(
        "llava/positions-without-patches",
        "counts positions of words only",
        POSITIONS,
        f"constant(1, x) * (np.cumsum(~{ROOM}) - ~{ROOM})",
        "llava",
    ),
)
LLAVA = (*OWN, *of_llama("llava", ("bias-dropped",)), *of_tower("llava-tower", ", in the tower"))
