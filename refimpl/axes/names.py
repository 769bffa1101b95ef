"""The axis vocabulary: what each axis is, and how long it is when inputs are drawn.

A record is all there is to an axis: random and chosen sizes, long sums, square forms and smallest
inputs are read from it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """One axis; a name without a record, as in a page of one's own, has a plain one."""

    says: str = ""
    low: int = 1  # the shortest that makes sense
    high: int = 7  # the longest in a random case
    most: int = 0  # the longest that any case has, where work grows with a power of it
    rare: int = 0  # a size that it takes now and then: a whole schedule
    wide: bool = False  # a sum may run over it: long in some random cases
    long: int = 0  # its length in cases with long sums; 0 if nothing depends on it
    long_with_heads: int = 0  # and beside an axis of heads, where arrays are larger
    heads: bool = False
    within: str = ""  # the axis that it is never longer than
    long_within: int = 0  # its length in cases with long sums, if that axis is there
    like: str = ""  # the axis that it equals where things are square
    repeats: bool = False  # the same is done for each of its entries
    usually_one: bool = False
    sometimes_empty: bool = False
    sometimes_one: bool = False


AXES = {
    "B": Axis("batch", repeats=True, sometimes_empty=True),
    "C": Axis("channels of a feature map within a group", long=8),
    "D": Axis(
        "width of a token, a feature vector or a layer's input",
        wide=True,
        long=2048,
        long_with_heads=192,
    ),
    "E": Axis("head width of queries and keys", wide=True, long=512, long_with_heads=192),
    "F": Axis("head width of values", like="E"),
    "G": Axis("groups: key and value heads, or groups of channels"),
    "H": Axis("heads", heads=True, long=2),
    "K": Axis("classes, or kept timesteps", wide=True, long=2048, within="T", long_within=7),
    "M": Axis("keys", wide=True, long=512, like="N"),
    "N": Axis("queries or tokens", repeats=True, sometimes_one=True),
    "O": Axis("width of a layer's output, or output channels within a group", like="D"),
    "P": Axis("patch side", high=4, long=16),
    "Q": Axis("documents that are scored"),
    "R": Axis("query heads that share one key head", usually_one=True),
    "S": Axis("sections of a respaced schedule"),
    "T": Axis("diffusion steps", low=3, high=12, rare=1000, long=12),
    "V": Axis("words of a vocabulary"),
    "channels": Axis("image channels, or those of a feature map and its tokens"),
    "rows": Axis("rows of a grid of patches or features", high=4),
    "cols": Axis("columns of a grid of patches or features", high=4, like="rows"),
    "codes": Axis("rows of a codebook"),
    "cuts": Axis("cutouts of each image", repeats=True),
    "frames": Axis("frames of a video, or groups of them", high=4),
    "height": Axis("image rows", long=16),
    "hidden": Axis("width of a hidden layer"),
    "width": Axis("image columns", long=16, like="height"),
    "levels": Axis("noise levels of a sampler"),
    "latents": Axis("learned vectors that stand for an image", within="N", long_within=2),
    "media": Axis("images and videos of a text", high=3),
    "merge": Axis("side of a square of patches that become one token", high=2, most=2),
    "patches": Axis("patches of an image or video"),
    "side": Axis("rows, and columns, of a pooled cutout", like="height"),
    "tall": Axis("rows of an image that was resized, cropped or convolved", like="height"),
    "taps": Axis("rows, and columns, of a kernel", high=4, most=4),
    "texts": Axis("texts of a batch, at least one"),
    "windows": Axis("windows of attention"),
    "words": Axis("width of the tokens of a caption"),
    "wide": Axis("columns of an image that was resized, cropped or convolved", like="width"),
}

_PLAIN = Axis()


def axis(name: str) -> Axis:
    """The record of an axis.

    >>> axis("T").low, axis("lanes").high
    (3, 7)
    """
    return AXES.get(name, _PLAIN)
