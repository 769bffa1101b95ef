"""What is known about the positions of texts with images and videos: laws, probes, mistakes."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.common import FLOATS, mistakes_of, whole
from refimpl.ops.qwen import reference as text


def text_alone(f, texts, grids, ticks, timescale):
    positions, delta = f(texts[:1], grids[:0], ticks[:0], timescale)
    yield positions, np.tile(np.arange(texts[0]), (3, 1))
    yield delta, 0


def next_is_new(f, texts, grids, ticks, timescale):
    positions, delta = map(whole, f(texts, grids, ticks, timescale))
    yield positions.shape[1] + delta, np.max(positions, initial=-1) + 1


def words_in_line(f, texts, grids, ticks, timescale):
    """Words have three equal positions, each one more than that of the word before."""
    positions = whole(f(texts, grids, ticks, timescale)[0])
    start = 0
    for words, grid in zip(texts, (*grids, (0, 0, 0)), strict=True):
        block = positions[:, start : start + words]
        yield block - block[:1, :1], np.tile(np.arange(words), (3, 1))
        start += words + np.prod(grid)


def words_in_front(f, texts, grids, ticks, timescale):
    more = np.append(texts[:1] + 2, texts[1:])
    further, same = f(more, grids, ticks, timescale)
    positions, delta = f(texts, grids, ticks, timescale)
    yield further[:, 2:], positions + 2
    yield same, delta


def images_alone(f, texts, grids, ticks, timescale):
    """Of images the step between frames does not matter."""
    grids = np.concatenate((0 * grids[:, :1] + 1, grids[:, 1:]), axis=1)
    at_once = f(texts, grids, 0 * ticks, timescale)
    yield from zip(f(texts, grids, ticks, timescale), at_once, strict=True)


def finer_ticks(f, texts, grids, ticks, timescale):
    finer = f(texts, grids, 3 * ticks, 3 * timescale)
    yield from zip(finer, f(texts, grids, ticks, timescale), strict=True)


wrong = mistakes_of("multimodal_positions")


TIME = "time * step // timescale"

MULTIMODAL_POSITIONS = Op(
    text.multimodal_positions,
    outputs=("positions", "delta"),
    laws=(
        Law("for text alone all three rows are 0, 1, 2, …", text_alone),
        Law("the next position exceeds all others", next_is_new),
        Law("words have equal positions in all three rows", words_in_line),
        Law("words in front shift all positions", words_in_front),
        Law("for images the step does not matter", images_alone),
        Law("a finer unit of time changes nothing", finer_ticks),
    ),
    probes=(
        Probe(
            "a word, an image of two by three, two words",
            lambda: {
                "texts": np.array([1, 2]),
                "grids": np.array([[1, 2, 3]]),
                "ticks": np.array([1]),
                "timescale": 1,
            },
        ),
        Probe(
            "a video of three frames, fifty positions apart, and five words",
            lambda: {
                "texts": np.array([0, 5]),
                "grids": np.array([[3, 2, 2]]),
                "ticks": np.array([50]),
                "timescale": 1,
            },
        ),
        Probe(
            "two videos of one position and a half a frame",
            lambda: {
                "texts": np.array([3, 1, 2]),
                "grids": np.array([[4, 2, 1], [3, 1, 3]]),
                "ticks": np.array([3, 5]),
                "timescale": 2,
            },
        ),
    ),
    mistakes=(
        wrong(
            "images-as-words",
            "counts positions through images and videos as through words",
            "np.stack((time * step // timescale, row, col))",
            "np.tile(np.arange(len(time)), (3, 1))",
            "the position within an image is lost",
            "there is no image",
            source="https://github.com/ml-explore/mlx-lm/pull/1768",
        ),
        wrong(
            "step-not-forwarded",
            "uses one position per frame, whatever the step",
            TIME,
            "time",
            "wrong times in videos",
            "the step is one position, or there are images alone",
            source="https://github.com/huggingface/transformers/issues/41152",
        ),
        wrong(
            "step-times-start",
            "multiplies the start by the step as well",
            "np.stack((time * step // timescale, row, col))",
            "np.stack(((start + time) * step // timescale - start, row, col))",
            "a start of 15 becomes 60",
            "nothing comes before, or the step is one position",
            source="https://github.com/huggingface/transformers/issues/45381",
        ),
        wrong(
            "step-cut-early",
            "truncates the step to whole positions before multiplying",
            TIME,
            "time * (step // timescale)",
            "steps of half a position become 0",
            "steps are whole positions",
        ),
        wrong(
            "goes-on-by-the-longer-side",
            "continues after a grid at its start plus its longer side",
            "start = np.max(parts[-1]) + 1",
            "start = start + max(grid[1:])",
            "words after a video get positions before its last frames",
            "there are images alone",
            source="https://github.com/huggingface/transformers/pull/45400",
        ),
        wrong(
            "goes-on-by-the-tokens",
            "continues after a grid as if its tokens were words",
            "start = np.max(parts[-1]) + 1",
            "start = start + len(time)",
            "words are too far from the image",
            "there is no image",
        ),
        wrong(
            "begins-at-zero",
            "starts each grid at position 0",
            "parts.append(start + np.stack((time * step // timescale, row, col)))",
            "parts.append(np.stack((time * step // timescale, row, col)))",
            "images get positions of the first words",
            "an image comes first",
        ),
        wrong(
            "rows-and-columns-exchanged",
            "exchanges rows and columns",
            "timescale, row, col))",
            "timescale, col, row))",
            "the image is transposed",
            "images have one row or one column",
        ),
        wrong(
            "delta-of-the-last-part",
            "computes the offset from the last part alone",
            "start - positions.shape[1]",
            "start - parts[-1].shape[1]",
            "generated words start at wrong positions",
            "there is one part",
        ),
    ),
    precisions=FLOATS,
    values={
        "texts": lambda source, sizes: np.floor(source.uniform((sizes["media"] + 1,), 0, 5)).astype(
            np.int64
        ),
        "grids": lambda source, sizes: np.floor(source.uniform((sizes["media"], 3), 1, 4)).astype(
            np.int64
        ),
        "ticks": lambda source, sizes: np.floor(source.uniform((sizes["media"],), 0, 9)).astype(
            np.int64
        ),
        "timescale": lambda source, sizes: source.choice([2, 1, 3]),
    },
)
