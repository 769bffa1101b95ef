"""Images and videos of any size in a language model: their patches, windows and positions."""

import numpy as np

from refimpl.axes import Array, AxesError, Base, Float, Index, Label, Size, Stride, Time, Total
from refimpl.constants import constant  # noqa: F401  mistakes lift their numbers by it


def smart_resize(
    height: Stride[int, ""],
    width: Stride[int, ""],
    factor: Stride[int, ""],
    low: Stride[int, ""],
    high: Stride[int, ""],
) -> tuple[Total[Array, ""], Total[Array, ""]]:
    r"""The size to resize an image to: whole units near its sides, an area between two limits.

    $$(r, c) = \begin{cases}
    \max\left(1, \left\lfloor \sqrt{\mathrm{high}\, h / w} \,/ f \right\rfloor\right), \dots &
    f^2 \lfloor h / f \rceil \lfloor w / f \rceil > \mathrm{high} \\
    \left\lceil \sqrt{\mathrm{low}\, h / w} \,/ f \right\rceil, \dots &
    f^2 \lfloor h / f \rceil \lfloor w / f \rceil < \mathrm{low} \\
    \lfloor h / f \rceil, \lfloor w / f \rceil & \text{else} \end{cases}$$

    height: h, rows of the image, in pixels.
    width: w, columns of the image, in pixels.
    factor: f, the side of a unit in pixels: that of a patch times the patches that are merged.
    low: the smallest area, in pixels.
    high: the largest area, in pixels, not below low.

    Returns the sides f r and f c in pixels; the columns have h and w exchanged. Halves are rounded
    to even numbers, so that a side may come to 0 units before the area is compared with low.

    Raises AxesError where one side is more than 200 times the other, or high is below low.

    Elsewhere: transformers and qwen-vl-utils divide by a root that was rounded, which loses a
    whole unit where the quotient is a whole number. qwen-vl-utils takes at least one unit for a
    side before it compares.

    Paper: Bai et al. 2025, "Qwen2.5-VL technical report", section 2.1.1; the rule is that of its
    code.

    >>> smart_resize(480, 640, factor=28, low=3136, high=1003520)
    (np.int64(476), np.int64(644))
    """
    sides = np.array((height, width))
    if max(sides) > 200 * min(sides) or high < low:
        raise AxesError(f"smart_resize: sides are {height} and {width}, limits {low} and {high}")
    units = np.rint(sides / factor)
    if np.prod(units) * factor**2 > high:
        units = np.floor(np.sqrt(high * sides // (sides[::-1] * factor**2)))
        units = np.maximum(units, 1)
    elif np.prod(units) * factor**2 < low:
        units = np.ceil(np.sqrt(-(-low * sides // (sides[::-1] * factor**2))))
    tall, wide = units.astype(int) * factor
    return tall, wide


def patchify_video(
    frames: Float[Array, "frames channels rows*merge*P cols*merge*P"],
    patch: Size[int, "P"],
    together: Stride[int, ""],
    merge: Size[int, "merge"],
) -> Float[Array, "patches D"]:
    r"""Cut frames into patches of several frames each, in the order in which squares are merged.

    $$x_{n,\; ((k p + s) P + i) P + j} = \mathrm{frame}_{t p + s,\, k,\, (r m + a) P + i,\,
    (c m + b) P + j}, \qquad
    n = (((t\,\mathrm{rows} + r)\,\mathrm{cols} + c)\,m + a)\,m + b$$

    frames: frames channels rows*merge*P cols*merge*P, pixels; an image is one frame.
    patch: P, the side of a patch in pixels.
    together: p, the frames of a patch; the last frame is repeated to fill the last patch.
    merge: m, the side of the squares of patches that are merged later.

    Returns patches D, with D = channels p P P; within a patch the channel varies slowest, then the
    frame, the row and the column.

    Raises AxesError for sides that are no multiple of merge times the patch side; DomainError where
    there is no frame.

    Elsewhere: `patchify` orders patches row by row. Kernels of a convolution in three dimensions,
    channels p P P each, multiply the vector as it is.

    Paper: Bai et al. 2025, "Qwen2.5-VL technical report", section 2.1.1.

    >>> patchify_video(np.arange(4.0).reshape(1, 1, 2, 2), patch=1, together=2, merge=2)
    array([[0., 0.],
           [1., 1.],
           [2., 2.],
           [3., 3.]])
    """
    T, channels, height, width = frames.shape
    missing = -T % together
    full = np.concatenate((frames, *[frames[-1:]] * missing), axis=0)  # time*p channels …
    rows, cols = height // (merge * patch), width // (merge * patch)
    shape = (rows, merge, patch, cols, merge, patch)
    grid = np.reshape(full, ((T + missing) // together, together, channels, *shape))
    grid = np.transpose(grid, (0, 3, 6, 4, 7, 2, 1, 5, 8))  # time rows cols m m channels p P P
    return np.reshape(grid, (-1, channels * together * patch * patch))  # patches D


def patchify_video_vjp(
    frames: Float[Array, "frames channels rows*merge*P cols*merge*P"],
    patch: Size[int, "P"],
    together: Stride[int, ""],
    merge: Size[int, "merge"],
    grad: Float[Array, "patches D"],
) -> Float[Array, "frames channels rows*merge*P cols*merge*P"]:
    r"""The gradient of a loss that follows `patchify_video`: pixels get back what they gave.

    $$\bar f_{t} = \sum_{s:\ \min(s, T - 1) = t} \bar g_s$$

    with g the frames with repetitions, which patches only permute.

    frames: frames channels rows*merge*P cols*merge*P, of which only the shape counts.
    patch: P, the side of a patch in pixels.
    together: p, the frames of a patch.
    merge: m, the side of the squares of patches.
    grad: patches D, the gradient by the patches.

    Returns the gradient by the frames; the last one gets the sum over its repetitions.

    Raises AxesError for sides that are no multiple of merge times the patch side, and for a grad of
    another shape than the patches, or of no frame.

    Elsewhere: an image alone is repeated, too, and its gradient is twice as large.

    Paper: Bai et al. 2025, "Qwen2.5-VL technical report", section 2.1.1, differentiated.

    >>> frames, grad = np.zeros((1, 1, 2, 1)), np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> patchify_video_vjp(frames, patch=1, together=2, merge=1, grad=grad).ravel()
    array([3., 7.])
    """
    T, channels, height, width = frames.shape
    times = (T + -T % together) // together
    rows, cols = height // (merge * patch), width // (merge * patch)
    shape = (times, rows, cols, merge, merge, channels, together, patch, patch)
    wanted = (times * rows * cols * merge**2, channels * together * patch**2)
    if not T or grad.shape != wanted:
        raise AxesError(
            f"patchify_video_vjp: grad is {grad.shape} of {T} frames, expected {wanted}"
        )
    grid = np.reshape(grad, shape)
    grid = np.transpose(grid, (0, 6, 5, 1, 3, 7, 2, 4, 8))  # time p channels rows m P cols m P
    full = np.reshape(grid, (times * together, channels, height, width))
    last = np.sum(full[T - 1 :], axis=0)  # channels …
    return np.concatenate((full[: T - 1], last[None]), axis=0)


def merge_order(
    rows: Stride[int, ""], cols: Stride[int, ""], merge: Stride[int, ""]
) -> Index[Array, "patches"]:
    r"""The order of the patches of a grid, square after square.

    $$o_{((r\,\mathrm{cols} / m + c)\,m + a)\,m + b} = (r m + a)\,\mathrm{cols} + c m + b$$

    rows: rows of patches, a multiple of merge.
    cols: columns of patches, a multiple of merge.
    merge: m, the side of a square.

    Returns rows*cols places in reading order: the first m² are those of the first square. Row and
    column of a place are its quotient and remainder by cols.

    Raises DomainError for rows or columns that are no multiple of merge.

    Elsewhere: a transposed view of the reading order, flattened.

    Paper: Wang et al. 2024, "Qwen2-VL: enhancing vision-language model's perception of the world at
    any resolution", section 2.1.

    >>> merge_order(2, 4, 2)
    array([0, 1, 4, 5, 2, 3, 6, 7])
    """
    grid = np.arange(rows * cols).reshape(rows // merge, merge, cols // merge, merge)
    return np.transpose(grid, (0, 2, 1, 3)).reshape(-1)  # patches


def grid_angles(
    places: Time[Array, "N 2"], quarter: Size[int, "E"], base: Base[float, ""]
) -> Float[Array, "N 2*E"]:
    r"""Rotary angles for a grid: half of the pairs by the row of a patch, half by its column.

    $$\theta_{ni} = r_n\, b^{-i/E}, \qquad \theta_{n,E+i} = c_n\, b^{-i/E},
    \qquad i = 0, \dots, E - 1$$

    places: N 2, row r and column c of each patch, zero-based.
    quarter: E, a quarter of the width that is turned.
    base: b, above 1; 10000 in Qwen2-VL's vision tower.

    Returns N 2*E, angles in radians for `rotary_embedding`: rows in the first half.

    Raises AxesError for a negative place or a base of 1 or less.

    Elsewhere: EVA-02 and Flux turn neighbours; some divide by the size of the grid first.

    Paper: Wang et al. 2024, "Qwen2-VL: enhancing vision-language model's perception of the world at
    any resolution", section 2.1, after Su et al. 2021, "RoFormer".

    >>> grid_angles(np.array([[3.0, 2.0]]), quarter=2, base=100.0).round(2)
    array([[3. , 0.3, 2. , 0.2]])
    """
    frequencies = np.exp(-np.log(base) * np.arange(quarter) / quarter)  # E
    angles = places[:, :, None] * frequencies  # N 2 E
    return np.reshape(angles, (len(places), 2 * quarter))  # N 2*E


def window_order(
    frames: Size[int, "frames"],
    rows: Size[int, "rows"],
    cols: Size[int, "cols"],
    window: Stride[int, ""],
) -> tuple[Index[Array, "frames*rows*cols"], Stride[Array, "windows"]]:
    r"""The order of the tokens of frames, window after window, and the size of each window.

    $$o = (t, r, c)\ \text{sorted by}\ \left(t, \lfloor r / w \rfloor, \lfloor c / w \rfloor,
    r, c\right)$$

    frames: frames, or groups of frames that patches last together.
    rows: rows of tokens in a frame.
    cols: columns of tokens in a frame.
    window: w, the side of a window in tokens; those at the right and at the bottom may be cut off.

    Returns the places in reading order, frame by frame, and the lengths of the windows in order.

    Raises AxesError for a window without tokens; DomainError where there is nothing to order.

    Elsewhere: transformers pads the grid to whole windows, marks the padding by -100 and drops it,
    which is the same. Swin shifts windows in every second layer.

    Paper: Bai et al. 2025, "Qwen2.5-VL technical report", section 2.1.1.

    >>> window_order(1, 2, 3, 2)
    (array([0, 1, 3, 4, 2, 5]), array([4, 2]))
    """
    index = np.arange(frames * rows * cols).reshape(frames, rows, cols)
    windows = [
        np.reshape(index[t, r : r + window, c : c + window], -1)
        for t in range(frames)
        for r in range(0, rows, window)
        for c in range(0, cols, window)
    ]
    return np.concatenate(windows), np.array([len(places) for places in windows])


def inverse_order(order: Index[Array, "N", "N"]) -> Index[Array, "N"]:
    r"""The inverse permutation: the order that undoes another one.

    $$o^{-1}_{o_n} = n$$

    order: N, each of 0 to N - 1 once.

    Returns N, such that x[order][inverse] is x.

    Raises AxesError for a place that occurs twice.

    Elsewhere: an argsort; the scatter of 0 to N - 1.

    Paper: Bai et al. 2025, "Qwen2.5-VL technical report", section 2.1.1: windows are undone behind
    the last layer.

    >>> inverse_order(np.array([2, 0, 1]))
    array([1, 2, 0])
    """
    if len(set(order.tolist())) < len(order):
        raise AxesError(f"inverse_order: order is {order}, expected each place once")
    return np.argsort(order)


def multimodal_positions(
    texts: Total[Array, "media+1"],
    grids: Stride[Array, "media 3"],
    ticks: Total[Array, "media"],
    timescale: Stride[int, ""],
) -> tuple[Index[Array, "3 N"], Label[Array, ""]]:
    r"""The position of each token of a text with images and videos: time, row and column.

    $$p_n = s + \begin{cases} (n, n, n) & \text{in a text} \\
    \left(\lfloor t\,\tau / u \rfloor, r, c\right) & \text{in an image or video} \end{cases},
    \qquad s' = 1 + \max_{n, i} p_{ni}$$

    texts: media+1, words before the first image or video, between them, and behind the last.
    grids: media 3, frames, rows and columns of tokens of each image or video, as merged.
    ticks: media, τ, how far a frame is from the next, in ticks.
    timescale: u, ticks to a position.

    Returns 3 N, the positions, and how many the next position is ahead of N, mostly negative.
    Each part begins behind the largest position s' of all three rows.

    Raises AxesError for a grid without tokens.

    Elsewhere: transformers 5.23 continues after a video at its start plus its longer side, so that
    words after a long video get positions before its last frames.

    Paper: Bai et al. 2025, "Qwen2.5-VL technical report", section 2.1.1; Wang et al. 2024,
    "Qwen2-VL", figure 3.

    >>> multimodal_positions(np.array([1, 2]), np.array([[1, 2, 3]]), np.array([1]), 1)
    (array([[0, 1, 1, 1, 1, 1, 1, 4, 5],
           [0, 1, 1, 1, 2, 2, 2, 4, 5],
           [0, 1, 2, 3, 1, 2, 3, 4, 5]]), np.int64(-3))
    """
    parts = [np.tile(np.arange(texts[0]), (3, 1))]  # 3 N
    start = texts[0]
    for words, grid, step in zip(texts[1:], grids, ticks, strict=True):
        time, row, col = np.indices(grid).reshape(3, -1)
        parts.append(start + np.stack((time * step // timescale, row, col)))
        start = np.max(parts[-1]) + 1
        parts.append(start + np.tile(np.arange(words), (3, 1)))
        start = start + words
    positions = np.concatenate(parts, axis=1)  # 3 N
    return positions, start - positions.shape[1]


def mrope_angles(
    positions: Time[Array, "3 N"], sections: Total[Array, "3"], base: Base[float, ""]
) -> Float[Array, "N E"]:
    r"""Rotary angles for time, row and column, each for a block of the pairs.

    $$\theta_{ni} = p_{k(i),\,n}\, b^{-i/E}, \qquad k = (0^{s_0}, 1^{s_1}, 2^{s_2}),
    \qquad E = s_0 + s_1 + s_2$$

    positions: 3 N, time, row and column of each token, from `multimodal_positions`.
    sections: 3, how many pairs time, row and column have; (16, 24, 24) in Qwen2.5-VL.
    base: b, above 1; 1000000 in Qwen2.5-VL.

    Returns N E, angles in radians for `rotary_embedding`; of a text, those of `rotary_angles`.

    Raises AxesError for a negative position or a base of 1 or less.

    Elsewhere: transformers doubles the sections, since it keeps each cosine twice, and takes the
    parts in turn. Qwen3-VL mixes them: `mrope_angles_interleaved`.

    Paper: Wang et al. 2024, "Qwen2-VL: enhancing vision-language model's perception of the world at
    any resolution", section 2.1.

    >>> mrope_angles(np.array([[3.0], [1.0], [2.0]]), np.array([1, 1, 1]), 1e3).round(4)
    array([[3.  , 0.1 , 0.02]])
    """
    half = int(np.sum(sections))
    frequencies = np.exp(-np.log(base) * np.arange(half) / half)  # E
    row = np.repeat(np.arange(3), sections)  # E
    return positions[row].T * frequencies  # N E


def mrope_angles_interleaved(
    positions: Time[Array, "3 N"], sections: Total[Array, "3"], base: Base[float, ""]
) -> Float[Array, "N E"]:
    r"""Rotary angles for time, row and column, interleaved over the pairs, then time alone.

    $$\theta_{ni} = p_{k(i),\,n}\, b^{-i/E}, \qquad
    k(i) = \begin{cases} i \bmod 3 & i < 3\, s_{i \bmod 3} \\ 0 & \text{else} \end{cases},
    \qquad E = s_0 + s_1 + s_2$$

    positions: 3 N, time, row and column of each token, from `multimodal_positions`.
    sections: 3, how many pairs time, row and column have; (24, 20, 20) in Qwen3-VL.
    base: b, above 1; 5000000 in Qwen3-VL.

    Returns N E, angles in radians for `rotary_embedding`; of a text, those of `rotary_angles`.

    Raises AxesError for a negative position, a base of 1 or less, or sections that
    do not interleave completely: then a row would have fewer pairs than its section says.

    Elsewhere: Qwen2-VL and Qwen2.5-VL give each row a block: `mrope_angles`.

    Paper: Bai et al. 2025, "Qwen3-VL technical report", section 2.

    >>> mrope_angles_interleaved(np.array([[3.0], [1.0], [2.0]]), np.array([2, 1, 1]), 1e4).round(3)
    array([[3.   , 0.1  , 0.02 , 0.003]])
    """
    half = int(np.sum(sections))
    frequencies = np.exp(-np.log(base) * np.arange(half) / half)  # E
    turn = np.arange(half) % 3  # E
    row = np.where(np.arange(half) < 3 * sections[turn], turn, 0)  # E
    if not np.array_equal(np.bincount(row, minlength=3), sections):
        raise AxesError(f"mrope_angles_interleaved: sections {sections} do not fit by turns")
    return positions[row].T * frequencies  # N E
