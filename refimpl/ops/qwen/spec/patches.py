"""What is known about the patches of a video and their order: laws, probes, mistakes."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Law, Op, Probe
from refimpl.ops.common import FLOATS, mistakes_of, sines, whole
from refimpl.ops.patch_embedding.reference import patchify
from refimpl.ops.qwen import reference as text


def is_patchify(f, frames, patch, together, merge):
    """One frame a patch and no squares: the patches of an image."""
    yield f(frames[:1], patch, 1, 1), patchify(frames[:1], patch)[0]


def in_merge_order(f, frames, patch, together, merge):
    height, width = frames.shape[2:]
    order = text.merge_order(height // patch, width // patch, merge)
    yield f(frames[:1], patch, 1, merge), patchify(frames[:1], patch)[0][order]


def repeated(f, frames, patch, together, merge):
    full = np.concatenate((frames, *[frames[-1:]] * (-len(frames) % together)))
    yield f(full, patch, together, merge), f(frames, patch, together, merge)


def first_frames(f, frames, patch, together, merge):
    first = f(frames[:together], patch, together, merge)
    yield first, f(frames, patch, together, merge)[: first.shape[0]]


def one_channel(f, frames, patch, together, merge):
    last = frames.shape[1] - 1
    columns = slice(last * together * patch * patch, None)
    yield f(frames[:, last:], patch, together, merge), f(frames, patch, together, merge)[:, columns]


def drawn_frames(source, sizes):
    sides = (sizes[side] * sizes["merge"] * sizes["P"] for side in ("rows", "cols"))
    return source.normal((sizes["frames"], sizes["channels"], *sides))


wrong = mistakes_of("patchify_video")


ORDER = "(0, 3, 6, 4, 7, 2, 1, 5, 8)"

PATCHIFY_VIDEO = Op(
    text.patchify_video,
    laws=(
        Law("for one frame and squares of one patch it is patchify", is_patchify),
        Law("the patches of a square are neighbours", in_merge_order),
        Law("the last frame is repeated to fill the last patch", repeated),
        Law("patches are ordered by time first", first_frames),
        Law("the last channel fills the last columns", one_channel),
    ),
    probes=(
        Probe(
            "three frames of two channels",
            lambda: {"frames": sines(3, 2, 4, 8), "patch": 1, "together": 2, "merge": 2},
        ),
        Probe(
            "an image of one frame",
            lambda: {"frames": sines(1, 2, 8, 12), "patch": 2, "together": 2, "merge": 2},
        ),
        Probe(
            "three frames a patch",
            lambda: {"frames": sines(7, 1, 2, 4), "patch": 2, "together": 3, "merge": 1},
        ),
    ),
    mistakes=(
        wrong(
            "reading-order",
            "orders the patches row by row over the whole image",
            ORDER,
            "(0, 3, 4, 6, 7, 2, 1, 5, 8)",
            "the merger combines patches of one row",
            "squares are as wide as the image",
        ),
        wrong(
            "frames-before-channels",
            "orders each patch by frame before channel",
            ORDER,
            "(0, 3, 6, 4, 7, 1, 2, 5, 8)",
            "weights multiply other channels",
            "there is one channel, or frames are alike",
        ),
        wrong(
            "channels-last",
            "orders each patch with the channel last",
            ORDER,
            "(0, 3, 6, 4, 7, 1, 5, 8, 2)",
            "weights multiply other channels",
            "there is one channel",
        ),
        wrong(
            "squares-transposed",
            "orders the patches of a square column by column",
            ORDER,
            "(0, 3, 6, 7, 4, 2, 1, 5, 8)",
            "the merger combines patches in another order",
            "squares are one patch",
        ),
        wrong(
            "pixels-transposed",
            "flattens each patch column by column",
            ORDER,
            "(0, 3, 6, 4, 7, 2, 1, 8, 5)",
            "weights multiply pixels of the transposed patch",
            "a patch is one pixel",
        ),
        wrong(
            "filled-with-zeros",
            "pads the last patch with black frames",
            "*[frames[-1:]] * missing",
            "*[0 * frames[-1:]] * missing",
            "a single image appears half as bright",
            "the frames fill all patches",
        ),
        wrong(
            "filled-with-the-first",
            "pads the last patch with the first frame",
            "*[frames[-1:]] * missing",
            "*[frames[:1]] * missing",
            "the video jumps back at the end",
            "the frames fill all patches, or there is one",
        ),
        wrong(
            "time-after-place",
            "orders the tokens by place before time",
            ORDER,
            "(3, 6, 4, 7, 0, 2, 1, 5, 8)",
            "tokens get the positions of other frames",
            "a patch lasts all frames",
        ),
    ),
    values={
        "frames": drawn_frames,
        "together": lambda source, sizes: source.choice([2, 1, 3]),
    },
)


def all_goes_back(f, frames, patch, together, merge, grad):
    if not len(frames) % together:
        yield np.sum(f(frames, patch, together, merge, grad)), np.sum(grad)


def of_its_patches(f, frames, patch, together, merge, grad):
    """Of its own patches each pixel gets itself, the last frame once more for each repetition."""
    patches = text.patchify_video(frames, patch, together, merge)
    often = np.ones(len(frames))
    often[-1] += -len(frames) % together
    yield f(frames, patch, together, merge, patches), frames * often[:, None, None, None]


def pixels_do_not_matter(f, frames, patch, together, merge, grad):
    yield f(2 - frames, patch, together, merge, grad), f(frames, patch, together, merge, grad)


def same_product(f, frames, patch, together, merge, grad):
    patches = text.patchify_video(frames, patch, together, merge)
    yield np.sum(frames * f(frames, patch, together, merge, grad)), np.sum(patches * grad)


def drawn_grad(source, sizes):
    times = -(-sizes["frames"] // sizes["together"])
    squares = sizes["rows"] * sizes["cols"] * sizes["merge"] ** 2
    numbers = sizes["channels"] * sizes["together"] * sizes["P"] ** 2
    return source.normal((times * squares, numbers))


wrong_back = mistakes_of("patchify_video_vjp")
BACK = "(0, 6, 5, 1, 3, 7, 2, 4, 8)"
LAST = "np.sum(full[T - 1 :], axis=0)"

PATCHIFY_VIDEO_VJP = Op(
    text.patchify_video_vjp,
    outputs=("frames_grad",),
    laws=(
        Law("without repetitions all of grad goes back", all_goes_back),
        Law("of its patches each pixel gets itself as often as it occurs", of_its_patches),
        Law("pixels do not matter", pixels_do_not_matter),
        Law("frames and their gradient have the product of patches and grad", same_product),
        LINEAR_IN_GRAD,
    ),
    probes=(
        Probe(
            "three frames of two channels",
            lambda: {
                "frames": sines(3, 2, 4, 8),
                "patch": 1,
                "together": 2,
                "merge": 2,
                "grad": 2 + sines(64, 4),
            },
        ),
        Probe(
            "an image of one frame",
            lambda: {
                "frames": sines(1, 2, 8, 12),
                "patch": 2,
                "together": 2,
                "merge": 2,
                "grad": 2 + sines(24, 16),
            },
        ),
    ),
    mistakes=(
        wrong_back(
            "repetitions-lost",
            "drops the gradient of repeated frames",
            LAST,
            "full[T - 1]",
            "the last frame learns too little",
            "frames fill the patches",
        ),
        wrong_back(
            "repetitions-averaged",
            "averages over the repetitions of the last frame",
            LAST,
            "np.mean(full[T - 1 :], axis=0)",
            "the last frame learns too little",
            "frames fill the patches",
        ),
        wrong_back(
            "reading-order",
            "takes patches to come row by row, not square by square",
            BACK,
            "(0, 6, 5, 1, 2, 7, 3, 4, 8)",
            "pixels get the gradients of other patches",
            "squares are one patch",
        ),
        wrong_back(
            "columns-first",
            "exchanges rows and columns inside patches",
            BACK,
            "(0, 6, 5, 1, 3, 8, 2, 4, 7)",
            "each patch is transposed",
            "patches are one pixel",
        ),
        wrong_back(
            "channels-of-frames",
            "takes the frames of a patch for its channels",
            "(times, rows, cols, merge, merge, channels, together, patch, patch)",
            "(times, rows, cols, merge, merge, together, channels, patch, patch)",
            "channels and frames are mixed",
            "there is one channel, or one frame a patch",
        ),
    ),
    values={
        "frames": drawn_frames,
        "together": lambda source, sizes: source.choice([2, 1, 3]),
        "grad": drawn_grad,
    },
)


def each_once(f, rows, cols, merge):
    yield np.sort(whole(f(rows, cols, merge))), np.arange(rows * cols)


def no_squares(f, rows, cols, merge):
    yield f(rows, cols, 1), np.arange(rows * cols)


def squares_together(f, rows, cols, merge):
    row, col = np.divmod(whole(f(rows, cols, merge)), cols)
    square = row // merge * (cols // merge) + col // merge
    yield square, np.repeat(np.arange(rows * cols // merge**2), merge**2)


def within_a_square(f, rows, cols, merge):
    row, col = np.divmod(whole(f(rows, cols, merge)), cols)
    inside = row % merge * merge + col % merge
    yield inside, np.tile(np.arange(merge**2), rows * cols // merge**2)


wrong_order = mistakes_of("merge_order")


def grid(rows, cols, merge):
    return lambda: {"rows": rows, "cols": cols, "merge": merge}


MERGE_ORDER = Op(
    text.merge_order,
    laws=(
        Law("every patch occurs once", each_once),
        Law("squares of one patch are the reading order", no_squares),
        Law("squares come one after another in reading order", squares_together),
        Law("the patches of a square are in reading order", within_a_square),
    ),
    probes=(
        Probe("four by four", grid(4, 4, 2)),
        Probe("four by six", grid(4, 6, 2)),
        Probe("squares of three", grid(6, 3, 3)),
    ),
    mistakes=(
        wrong_order(
            "reading-order",
            "orders the patches row by row over the whole image",
            "(0, 2, 1, 3)",
            "(0, 1, 2, 3)",
            "the merger combines patches of one row",
            "squares are as wide as the image",
        ),
        wrong_order(
            "squares-by-column",
            "orders squares column by column",
            "(0, 2, 1, 3)",
            "(2, 0, 1, 3)",
            "tokens get the positions of the transposed grid",
            "there is one row or one column of squares",
        ),
        wrong_order(
            "within-by-column",
            "orders the patches of a square column by column",
            "(0, 2, 1, 3)",
            "(0, 2, 3, 1)",
            "the merger combines patches in another order",
            "squares are one patch",
        ),
        wrong_order(
            "rows-for-columns",
            "exchanges the numbers of rows and columns",
            "reshape(rows // merge, merge, cols // merge, merge)",
            "reshape(cols // merge, merge, rows // merge, merge)",
            "squares are taken apart",
            "the grid is square",
        ),
        wrong_order(
            "count-for-size",
            "exchanges the number of squares and their side",
            "reshape(rows // merge, merge, cols // merge, merge)",
            "reshape(merge, rows // merge, merge, cols // merge)",
            "squares are taken apart",
            "there are as many squares as patches in one",
        ),
    ),
    precisions=FLOATS,
    values={
        "rows": lambda source, known: 6 * source.integer(1, 2),
        "cols": lambda source, known: 6 * source.integer(1, 3),
        "merge": lambda source, known: source.choice([2, 3, 1]),
    },
)
