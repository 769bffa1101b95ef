"""Figures of the small reader: what it says of pictures, and what its queries look at."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")

from docs.book.drawing import bare, figure
from docs.book.drawn_models import drawn_digits
from refimpl import fast
from refimpl.models import described
from refimpl.models.reader_words import WORDS

ASKED = ("which digit?", "is it even?", "is it larger than four?", "which number comes next?")


@figure(
    (9, 4.6),
    "Ten pictures of white digits on black in two rows, from zero to nine. Above each stands what "
    "the model wrote, such as a handwritten seven, and below it its answers to four questions.",
)
def captions(fig: Any) -> None:
    """Ten generated digits, what the small reader says of each, and its answers to “which digit?”,
    “is it even?”, “is it larger than four?” and “which number comes next?”."""
    pictures = drawn_digits()
    prompts = described.prompts(pictures, fast)
    said = described.say(prompts, None, fast)
    answers = zip(*(described.say(prompts, question, fast) for question in ASKED))
    told = zip(fig.subplots(2, 5).flat, pictures[:, 0], said, answers, strict=True)
    for axes, picture, caption, answered in told:
        bare(axes, caption).imshow(picture, cmap="gray", vmin=-1, vmax=1)
        axes.set_xlabel(" · ".join(answered))


@figure(
    (9, 2.6),
    "A white three on black, and beside it two rows of eight heat maps of 4 by 4 patches, one for "
    "each query. In the upper row the queries look at different patches; in the lower row most of "
    "them look at the same two in the middle.",
)
def asking(fig: Any) -> None:
    """Where the eight queries of the small reader look on a three, in the two layers that ask: the
    shares of `attention` over the patches, the mean over heads. The rest of each query's share is
    at the class token."""
    picture = drawn_digits()[3:4]
    looked = described.looks(picture)  # layers latents M
    side = round(np.sqrt(looked.shape[2] - 1))
    grid = fig.subplots(2, 1 + looked.shape[1])
    bare(grid[0, 0], "picture").imshow(picture[0, 0], cmap="gray", vmin=-1, vmax=1)
    grid[1, 0].set_axis_off()
    for line, layer in zip(grid[:, 1:], looked, strict=True):
        for query, (axes, row) in enumerate(zip(line, layer[:, 1:], strict=True)):
            shown = bare(axes, f"query {query}").imshow(row.reshape(side, side), cmap="cividis")
            shown.set_clim(0, layer[:, 1:].max())


@figure(
    (5, 4.4),
    "Three rows of three small pictures of digits. The first two of each row have a word written "
    "above them, the third has the word that the model wrote and its share.",
)
def shots(fig: Any) -> None:
    """By examples: two generated digits with a word each, then a third one, for which the small
    model writes the word. Nothing but the examples says what is asked for."""
    pictures = drawn_digits()
    rows = (("one", "seven", (1, 7, 4)), ("5", "2", (5, 2, 8)), ("odd", "even", (3, 6, 9)))
    for line, (*words, places) in zip(fig.subplots(3, 3), rows, strict=True):
        given = np.array([[WORDS.index(word) for word in words]])
        shares = described.next_words(pictures[None, list(places)], given)[0]
        said = f"→ {WORDS[np.argmax(shares)]}  ({np.max(shares):.2f})"
        for axes, place, word in zip(line, places, (*words, said), strict=True):
            bare(axes, word).imshow(pictures[place, 0], cmap="gray", vmin=-1, vmax=1)
