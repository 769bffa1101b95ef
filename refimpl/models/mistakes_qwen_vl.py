"""What goes wrong in the structure of Qwen2.5-VL, as edits of its text."""

from refimpl.models.mistakes_llama import of_llama
from refimpl.op import Edit

TURNED_QUERY = "join(ops.rotary_embedding(query, angles))"
TURNED_KEY = "join(ops.rotary_embedding(key, angles))"
PLACE = "np.stack((order // (m * cols), order % (m * cols)), axis=1)"
SEEN = "seen[i in config.whole]"
MERGED = "np.reshape(y, (y.shape[0], y.shape[1] // many, many * y.shape[2]))"
POSITIONS = "constant(1, x) * positions"
NORM_1 = 'ops.rms_norm(x, params[f"{name}.ln_1.weight"], config.eps)'
AROUND = "ops.multimodal_positions(around, grids, np.full(len(grids), config.tick), 1)"

WINDOWS = (
    Edit(
        "qwen-vl/windows-in-all-layers",
        "attends within windows in all layers",
        SEEN,
        "seen[str(i) in config.whole]",
        "qwen_tower",
        invisible_when="an image is no larger than a window",
    ),
    Edit(
        "qwen-vl/whole-frames-in-all-layers",
        "attends to whole frames in all layers",
        SEEN,
        "seen[True]",
        "qwen_tower",
        invisible_when="an image is no larger than a window",
    ),
    Edit(
        "qwen-vl/windows-and-whole-frames-exchanged",
        "exchanges windows and whole frames between the layers",
        SEEN,
        "seen[i not in config.whole]",
        "qwen_tower",
        invisible_when="an image is no larger than a window",
    ),
    Edit(
        "qwen-vl/whole-frames-a-layer-late",
        "counts the layers with whole frames from one",
        SEEN,
        "seen[i - 1 in config.whole]",
        "qwen_tower",
    ),
    Edit(
        "qwen-vl/frames-not-separated",
        "attends across the frames of a video",
        "frames.extend([rows * cols] * time)",
        "frames.append(rows * cols * time)",
        "in_windows",
        invisible_when="there are images alone",
    ),
    Edit(
        "qwen-vl/media-not-separated",
        "attends across images and videos",
        "frames.extend([rows * cols] * time)",
        "frames[:] = [sum(frames) + rows * cols * time]",
        "in_windows",
        invisible_when="there is one image",
    ),
    Edit(
        "qwen-vl/lengths-in-tokens",
        "counts the sizes of windows and frames in tokens instead of patches",
        "(np.arange(len(parts)), many * np.array(parts))",
        "(np.arange(len(parts) + 1), np.append(parts, (many - 1) * sum(parts)))",
        "qwen_tower",
    ),
    Edit(
        "qwen-vl/window-order-applied-twice",
        "applies the window order to the merged tokens again, not its inverse",
        "ops.inverse_order(order)",
        "order",
        "qwen_tower",
        invisible_when="the order is its own inverse, as where windows tile the grid two by two",
    ),
    Edit(
        "qwen-vl/window-order-kept",
        "leaves the merged tokens in window order",
        "[:, ops.inverse_order(order)]",
        "",
        "qwen_tower",
        invisible_when="an image is no larger than a window",
    ),
    Edit(
        "qwen-vl/patches-not-in-window-order",
        "leaves the patches in reading order, so that windows hold the wrong patches",
        "x = reordered(x, order, many)",
        "x = reordered(x, np.arange(len(order)), many)",
        "qwen_tower",
        invisible_when="an image is no larger than a window",
    ),
    Edit(
        "qwen-vl/angles-not-in-window-order",
        "uses the angles of the reading order for patches in window order",
        "reordered(angles[None], order, many)[0]",
        "angles",
        "qwen_tower",
        invisible_when="an image is no larger than a window",
    ),
    Edit(
        "qwen-vl/single-patches-reordered",
        "reorders single patches instead of squares",
        "reordered(x, order, many)",
        "x[:, (order + len(order) * np.arange(many)[:, None]).ravel()]",
        "qwen_tower",
    ),
)
PLACES = (
    Edit(
        "qwen-vl/patches-not-turned",
        "rotates neither queries nor keys of patches",
        TURNED_QUERY,
        "join(query)",
        "tower_attention",
        also=(("tower_attention", TURNED_KEY, "join(key)"),),
    ),
    Edit(
        "qwen-vl/keys-of-patches-not-turned",
        "rotates the queries of patches only",
        TURNED_KEY,
        "join(key)",
        "tower_attention",
    ),
    Edit(
        "qwen-vl/columns-before-rows",
        "rotates the first half of the pairs by the column",
        PLACE,
        PLACE.replace(
            "order // (m * cols), order % (m * cols)", "order % (m * cols), order // (m * cols)"
        ),
        "patch_places",
    ),
    Edit(
        "qwen-vl/places-in-reading-order",
        "uses the places of patches row by row, although they are ordered square by square",
        "ops.merge_order(m * rows, m * cols, m)",
        "np.arange(m * rows * m * cols)",
        "patch_places",
    ),
    Edit(
        "qwen-vl/places-of-tokens",
        "gives all patches of a square the place of their token",
        "constant(1, x) * patch_places(grids, config, ops)",
        "constant(1, x) * (patch_places(grids, config, ops) // config.merge)",
        "qwen_tower",
    ),
    Edit(
        "qwen-vl/frequencies-of-whole-heads",
        "divides the exponents of the angles by the width of a head, not by its half",
        "config.heads // 4, config.turns)",
        "config.heads // 4, np.sqrt(config.turns))",
        "qwen_tower",
    ),
)
TOWER = (
    Edit(
        "qwen-vl/kernels-with-frames-first",
        "flattens the kernels by frame before channel",
        "kernels = np.reshape(weight, (config.width, config.numbers))",
        "kernels = np.reshape(np.swapaxes(weight, 1, 2), (config.width, config.numbers))",
        "qwen_tower",
    ),
    Edit(
        "qwen-vl/mean-subtracted-in-the-tower",
        "subtracts the mean before the first norm of the tower's blocks",
        NORM_1,
        NORM_1.replace("(x,", "(x - np.mean(x, axis=-1, keepdims=True),"),
        "tower_block",
    ),
    Edit(
        "qwen-vl/no-residual-of-attention-in-the-tower",
        "leaves out the residual connection of the tower's attention",
        'tap(f"{name}.middle", x + y)',
        'tap(f"{name}.middle", y)',
        "tower_block",
    ),
    Edit(
        "qwen-vl/no-residual-of-perceptron-in-the-tower",
        "leaves out the residual connection of the tower's perceptron",
        "return tap(name, x + gated",
        "return tap(name, gated",
        "tower_block",
    ),
    Edit(
        "qwen-vl/thirds-within-heads",
        "interleaves queries, keys and values within a head",
        "(split(y, heads) for y in thirds(joint))",
        "(split(joint, heads)[..., np.arange(i, joint.shape[-1] // heads, 3)] for i in range(3))",
        "tower_attention",
    ),
    Edit(
        "qwen-vl/no-norm-before-the-merger",
        "leaves out the norm before the merger",
        'ops.rms_norm(x, params[f"{at}.ln_q.weight"], config.eps)',
        "x",
        "merged",
    ),
    Edit(
        "qwen-vl/features-merged-first",
        "concatenates the patches of a square feature by feature",
        MERGED,
        "np.reshape(np.swapaxes(np.reshape(y, (y.shape[0], -1, many, y.shape[2])), 2, 3), "
        "(y.shape[0], y.shape[1] // many, many * y.shape[2]))",
        "merged",
    ),
    Edit(
        "qwen-vl/merger-without-activation",
        "leaves out the activation of the merger",
        "getattr(ops, config.activation)(y)",
        "y",
        "merged",
    ),
)
TEXT = (
    Edit(
        "qwen-vl/image-as-text-positions",
        "counts positions of all tokens as of words",
        POSITIONS,
        "constant(1, x) * np.tile(np.arange(x.shape[1]), (3, 1))",
        "qwen_vl",
    ),
    Edit(
        "qwen-vl/words-behind-an-image-too-late",
        "counts every token of an image in the positions of later words",
        POSITIONS,
        "constant(1, x) * np.where(ids == config.image_id, positions, np.arange(x.shape[1]))",
        "qwen_vl",
    ),
    Edit(
        "qwen-vl/rows-and-columns-exchanged",
        "exchanges rows and columns of positions",
        POSITIONS,
        "constant(1, x) * positions[[0, 2, 1]]",
        "qwen_vl",
    ),
    Edit(
        "qwen-vl/no-time-between-frames",
        "gives all frames of a video the time of its start",
        AROUND,
        AROUND.replace("config.tick)", "0)"),
        "qwen_vl",
        invisible_when="there are images alone",
    ),
    Edit(
        "qwen-vl/positions-of-patches",
        "counts rows and columns in patches instead of tokens",
        POSITIONS,
        "constant(1, x) * np.where((ids == config.image_id) & (np.arange(3)[:, None] > 0), "
        "config.tower.merge * positions, positions)",
        "qwen_vl",
    ),
    Edit(
        "qwen-vl/sections-interleaved",
        "interleaves time, row and column over the pairs, as Qwen3-VL does",
        "ops.mrope_angles(",
        "ops.mrope_angles_interleaved(",
        "qwen_vl",
    ),
    Edit(
        "qwen-vl/sections-in-another-order",
        "assigns the sections to column, row and time",
        "np.array(config.sections)",
        "np.array(config.sections[::-1])",
        "qwen_vl",
        invisible_when="sections are equal from both ends",
    ),
    Edit(
        "qwen-vl/image-not-spliced",
        "leaves the placeholders where tokens of an image belong",
        "ops.splice_tokens(words, ids, config.image_id, tokens)",
        "words",
        "qwen_vl",
    ),
)
QWEN_VL = (*WINDOWS, *PLACES, *TOWER, *TEXT, *of_llama("qwen-vl"))
