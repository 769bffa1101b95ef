"""Figures of operations on images, tokens and scores."""

from __future__ import annotations

import runpy
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt

import refimpl
from docs.book.drawing import HERE, LINES, RGB, bare, figure, noise, photograph
from refimpl.models.preprocess import CLIP_MEAN, CLIP_STD
from refimpl.registry import OPS


@figure(
    (9, 4.4),
    "Left, a square portrait with a grid of 14 by 14 lines; right, the same squares pulled apart, "
    "numbered row by row from 0 at the top left to 195 at the bottom right.",
    "patch_embed",
)
def patches(fig: Any) -> None:
    """224 × 224 pixels, cut by `patchify` into 196 squares of 16 × 16; token k is in row
    k // 14."""
    image = photograph()
    tokens = refimpl.patchify(image.transpose(2, 0, 1)[None], 16)[0]  # N channels*P*P
    left, right = fig.subplots(1, 2)
    bare(left, "image").imshow(image)
    for line in range(16, 224, 16):
        left.axhline(line - 0.5, color="white", linewidth=0.7)
        left.axvline(line - 0.5, color="white", linewidth=0.7)
    sheet = np.full((14 * 20, 14 * 20, 4), 0.0)
    for k, token in enumerate(tokens):
        row, col = divmod(k, 14)
        square = token.reshape(3, 16, 16).transpose(1, 2, 0)  # P P channels
        sheet[row * 20 : row * 20 + 16, col * 20 : col * 20 + 16, :3] = square
        sheet[row * 20 : row * 20 + 16, col * 20 : col * 20 + 16, 3] = 1
    right.imshow(sheet)
    right.set(yticks=np.arange(14) * 20 + 8, yticklabels=np.arange(14) * 14)
    right.set(xticks=np.arange(14) * 20 + 8, xticklabels=np.arange(14))
    right.tick_params(length=0)
    right.set_title("tokens")
    right.spines[:].set_visible(False)


@figure(
    (9, 3.6),
    "Left, a heat map of 64 by 64 positions, bright along the diagonal and in bands beside it; "
    "right, three curves of similarity over distance that coincide, falling from one in waves.",
)
def positions(fig: Any) -> None:
    """Products of `sinusoidal_positions`, width 64: they depend on the distance alone."""
    table = refimpl.sinusoidal_positions(np.arange(64.0), 32)  # N 2*E
    product = table @ table.T / 32
    left, right = fig.subplots(1, 2, width_ratios=(1, 1.4))
    drawn = left.imshow(product, cmap="cividis")
    left.set(xlabel="position", ylabel="position")
    fig.colorbar(drawn, ax=left, shrink=0.85)
    for start, (color, dash) in zip((0, 12, 24), LINES, strict=False):
        right.plot(product[start, start : start + 40], dash, color=color, label=f"from {start}")
    right.set(xlabel="distance", ylabel="product ÷ 32")
    right.legend()


@figure(
    (7.5, 3.6),
    "Shares of three words over the temperature, on a logarithmic axis: to the left the first word "
    "takes all, to the right the three curves approach one third; dots mark 0.5, 1 and 1.5.",
)
def temperature(fig: Any) -> None:
    """`softmax` of the logits 4.1, 3.9, 2.7, divided by T; the dots are the three columns of the
    lecture's table."""
    axes, logits = fig.subplots(), np.array([4.1, 3.9, 2.7])
    T = np.geomspace(0.05, 20, 200)
    shares = refimpl.softmax(logits / T[:, None])  # N K
    marked = refimpl.softmax(logits / np.array([[0.5], [1.0], [1.5]]))
    for k, word in enumerate(("pfalz", "mosel", "rhein")):
        color, dash = LINES[k]
        axes.plot(T, shares[:, k], dash, color=color, label=word)
        axes.plot((0.5, 1, 1.5), marked[:, k], "o", color=color)
    axes.axhline(1 / 3, linewidth=0.6, color="grey")
    axes.set(xscale="log", xlabel="temperature T", ylabel="share", ylim=(0, 1))
    axes.legend()


@figure(
    (9, 2.1),
    "Six grids of queries by keys with visible cells filled: a lower triangle, a lower triangle "
    "shifted to the right, a vertical block, a triangle with a full square, squares along the "
    "diagonal, and a band along it.",
)
def masks(fig: Any) -> None:
    """What each query (row) may see of the keys (columns): filled cells are 0, empty ones -inf."""
    shown = {
        "causal_bias": refimpl.causal_bias(5, 7),
        "causal_bias_lower_right": refimpl.causal_bias_lower_right(5, 7),
        "padding_bias": np.repeat(refimpl.padding_bias(np.array([4]), 7)[0, 0], 5, axis=0),
        "prefix_bias": refimpl.prefix_bias(3, 6),
        "block_diagonal_bias": refimpl.block_diagonal_bias(np.array([0, 0, 0, 1, 1, 2])),
        "sliding_window_bias": refimpl.sliding_window_bias(6, 6, 3),
    }
    for axes, (name, bias) in zip(fig.subplots(1, 6), shown.items(), strict=True):
        axes.imshow(bias == 0, cmap="cividis", vmin=0, vmax=1.3)
        rows, cols = bias.shape
        axes.set_xticks(np.arange(cols + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(rows + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="grey", linewidth=0.5)
        axes.tick_params(which="both", length=0, labelbottom=False, labelleft=False)
        axes.set_title(name.replace("_bias", "").replace("_", " "), fontsize=9)


TOY = {  # the encoder's output for a sentence, as a lecture prints it
    "The": (0.11, -0.09, 0.42, 0.03, -0.02, 0.20),
    "pink": (0.60, 0.25, -0.05, 0.40, -0.22, -0.28),
    "elephant": (0.78, 0.19, -0.25, 0.62, 0.15, -0.46),
    "tried": (0.40, 0.18, 0.15, 0.58, -0.20, 0.30),
    "car": (0.48, 0.22, -0.10, 0.34, 0.07, -0.29),
    "it": (0.72, 0.11, 0.12, 0.44, 0.18, -0.35),
    "big": (0.85, 0.21, -0.18, 0.50, 0.09, -0.39),
}


@figure(
    (9, 3.6),
    "Left, a heat map of seven words by seven words, rows summing to one, the column of “elephant” "
    "brightest; right, bars for the word “it”: by dot product elephant is before car, by cosine it "
    "is just behind.",
)
def lookup(fig: Any) -> None:
    """What `attention` makes of the toy vectors of a lecture: the share each word (row) gives to
    the others, and what “it” finds near by dot product and by cosine. The two disagree."""
    words, vectors = list(TOY), np.array(list(TOY.values()))
    tokens = vectors[None, None]  # 1 1 N E
    weights = refimpl.attention(tokens, tokens, np.eye(7)[None, None], None)[0, 0]  # N N
    left, right = fig.subplots(1, 2)
    drawn = left.imshow(weights, cmap="cividis")
    left.set_xticks(range(7), words, rotation=60)
    left.set_yticks(range(7), words)
    fig.colorbar(drawn, ax=left, shrink=0.85)
    others = [k for k, word in enumerate(words) if word != "it"]
    it, places = words.index("it"), np.arange(6)
    products = (vectors @ vectors[it])[others]
    unit = refimpl.l2_normalize(vectors)
    right.bar(places - 0.2, products, 0.4, color=LINES[0][0], label="dot product")
    cosines = (unit @ unit[it])[others]
    right.bar(places + 0.2, cosines, 0.4, color=LINES[1][0], hatch="//", label="cosine")
    right.set_xticks(places, [words[k] for k in others])
    right.set_ylim(0, 1.3)
    right.legend(loc="upper left", ncols=2)


@figure(
    (9, 3.2),
    "Left, error over allowed error for each query and value dimension, nearly all cells between a "
    "hundred and ten thousand; right, the same for an honest computation, all cells below one.",
)
def planted(fig: Any) -> None:
    """Error ÷ allowed, on one input in float32: attention divided by the root of the model's width
    (`examples/bad_attention.py`), and an honest computation. 1 is the limit."""
    from refimpl.oracle.cases.drawn import rounded
    from refimpl.oracle.judging.judge import error_ratio, expect

    op = OPS["attention"]
    draws = noise(4, 12, 8)
    inputs = {"query": draws[None, :1], "key": draws[None, 1:2], "value": draws[None, 2:3]}
    inputs = {name: np.repeat(x, 2, axis=1) for name, x in inputs.items()} | {"bias": None}
    inputs = rounded(op, op.read(**inputs), "float32")
    (want,) = expect(op, inputs, "float32")
    narrow = {k: None if v is None else np.float32(v) for k, v in inputs.items()}
    attention = runpy.run_path(str(HERE.parent / "examples" / "bad_attention.py"))["attention"]
    results = {"a planted mistake": attention(**narrow), "an honest computation": op.text(**narrow)}
    both = fig.subplots(1, 2)
    for axes, (name, found) in zip(both, results.items(), strict=True):
        ratio = np.log10(np.maximum(error_ratio(want, np.float64(found))[0, 0], 1e-3))
        drawn = axes.imshow(ratio, cmap="cividis", vmin=-3, vmax=6, aspect="auto")
        axes.set(title=f"{name}: at most {10 ** ratio.max():.2g}", xlabel="value dimension")
    both[0].set_ylabel("query")
    bar = fig.colorbar(drawn, ax=both, shrink=0.9, label="error ÷ allowed")
    bar.set_ticks((-3, 0, 3, 6), labels=("0.001", "1", "1000", "10⁶"))


@figure(
    (9, 3.4),
    "Three heat maps of 8 images by 8 texts: cosines with a bright diagonal, row shares that are "
    "nearly one on the diagonal, and gradients that are negative on the diagonal only.",
)
def similarity(fig: Any) -> None:
    """Eight pairs of features that share a part: cosines, the shares of each row, and the gradient
    of the loss with respect to the scores, (R + C − 2I) / 2n."""
    features = noise(3, 8, 16)
    images, texts = features[0] + 1.2 * features[2], features[1] + 1.2 * features[2]
    log_scale = float(np.log(1 / 0.07))
    scores = refimpl.clip_logits(images, texts, log_scale)
    R, C = refimpl.softmax(scores), refimpl.softmax(scores.T).T
    loss = refimpl.clip_loss(images, texts, log_scale)
    shown = {
        "cosine": (scores * 0.07, "cividis", -1, 1),
        f"share of the row; loss {float(loss):.2f}": (R, "cividis", 0, 1),
        "gradient": ((R + C - 2 * np.eye(8)) / 16, "cividis", -0.06, 0.06),
    }
    for axes, (name, (matrix, colors, low, high)) in zip(
        fig.subplots(1, 3), shown.items(), strict=True
    ):
        drawn = axes.imshow(matrix, cmap=colors, vmin=low, vmax=high)
        axes.set(title=name, xlabel="text", ylabel="image", xticks=[], yticks=[])
        fig.colorbar(drawn, ax=axes, shrink=0.75)


@figure(
    (9, 3.2),
    "A landscape photograph with a square marked in its middle; the square alone; and three "
    "histograms of its channels after normalisation, from about minus two to plus two.",
)
def preprocessing(fig: Any) -> None:
    """`resize_bicubic` makes the shorter side 224, `center_crop` keeps the middle, and
    `normalize_image` centres each channel: the ends of a landscape are never seen."""
    from skimage import data

    image = data.coffee()[None].transpose(0, 3, 1, 2) / 255.0  # 1 channels height width
    resized = refimpl.resize_bicubic(image, 224, 336)
    cropped = refimpl.center_crop(resized, 224, 224)
    normal = refimpl.normalize_image(cropped, CLIP_MEAN, CLIP_STD)
    left, middle, right = fig.subplots(1, 3, width_ratios=(336, 224, 300))
    bare(left, "224 × 336").imshow(np.clip(resized[0].transpose(1, 2, 0), 0, 1))
    frame = plt.Rectangle((56, 0), 223, 223, fill=False, edgecolor="white", linewidth=2)
    left.add_patch(frame)
    bare(middle, "224 × 224").imshow(np.clip(cropped[0].transpose(1, 2, 0), 0, 1))
    for channel, (color, dash) in zip(("red", "green", "blue"), RGB, strict=True):
        counts, edges = np.histogram(normal[0, "rgb".index(channel[0])], bins=50)
        right.plot(edges[1:], counts, dash, color=color, label=channel)
    right.set(xlabel="value", yticks=[])
    right.legend()


@figure(
    (9, 3.2),
    "Left, three curves that nearly coincide, flat on the left and straight on the right; beside, "
    "what the two approximations are off by: the logistic one up to 0.02, the other below 0.0005.",
)
def gelus(fig: Any) -> None:
    """`gelu`, `gelu_tanh` and `quick_gelu`, and how far the latter two are from the first."""
    x = np.linspace(-5, 5, 400)
    left, right = fig.subplots(1, 2)
    exact = refimpl.gelu(x)
    made = {"gelu": exact, "gelu_tanh": refimpl.gelu_tanh(x), "quick_gelu": refimpl.quick_gelu(x)}
    for (name, y), (color, dash) in zip(made.items(), LINES, strict=False):
        left.plot(x, y, dash, color=color, label=name)
        if name != "gelu":
            right.semilogy(x, np.maximum(np.abs(y - exact), 1e-9), dash, color=color, label=name)
    left.set(xlabel="x")
    right.set(xlabel="x", ylabel="distance", ylim=(1e-7, 0.1))
    left.legend()
    right.legend()
