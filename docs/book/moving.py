"""Pictures that a reader moves: a slider, and a frame for each of its places.

All frames are drawn by the operations when the page is made. Without scripts the first frame that
matters stands still and the slider stays away; `book.js` brings it, shows one frame and says where
it is. A moving picture is a function that returns its frames; its docstring is the caption.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from html import escape

import numpy as np

import refimpl
from docs.book.drawing import PROMPT, STEPS, noise, photograph, tables
from docs.book.drawn_operations import TOY
from docs.book.plots import Line, chart, heat, number, photo
from refimpl.models.generate import generate

WINES, LOGITS = ("pfalz", "mosel", "rhein"), np.array([[4.1, 3.9, 2.7]])
TINY = 1.0 + 1e-3 * np.array([[-1.5, -0.5, 0.2, 1.8]])  # a token whose numbers hardly differ


@dataclass(frozen=True)
class Frame:
    """What is shown at one place of a slider, and what the place is called."""

    says: str
    panels: tuple[str, ...]


@dataclass(frozen=True)
class Moving:
    """A slider with its frames; `still` is the one that stands where there are no scripts."""

    frames: Callable[[], list[Frame]]
    label: str
    still: int

    @property
    def caption(self) -> str:
        """The docstring of the function that draws, in one line."""
        return " ".join((inspect.getdoc(self.frames) or "").split())

    @property
    def html(self) -> str:
        """All frames, one of them shown, and the slider, which a script unhides."""
        made = self.frames()
        shown = [
            f'<div class="frame panels{" shown" * (place == self.still)}" '
            f'data-says="{escape(frame.says)}">{"".join(frame.panels)}</div>'
            for place, frame in enumerate(made)
        ]
        slider = f'<input type="range" min="0" max="{len(made) - 1}" value="{self.still}">'
        told = f"<output>{escape(made[self.still].says)}</output>"
        return (
            f'<div class="frames">{"".join(shown)}</div>'
            f'<label class="slider" hidden><span>{escape(self.label)}</span>{slider}{told}</label>'
        )


MOVING: dict[str, Moving] = {}


def moving(label: str, still: int) -> Callable:
    """Register a function that makes frames under its name."""

    def register(frames: Callable[[], list[Frame]]) -> Callable[[], list[Frame]]:
        MOVING[frames.__name__] = Moving(frames, label, still)
        return frames

    return register


def shares_of(names: tuple[str, ...], shares: np.ndarray) -> str:
    """Shares as bars, each under its name."""
    places = np.arange(len(names))
    title = ", ".join(f"{name} {share:.3f}" for name, share in zip(names, shares, strict=True))
    bars = [Line("", places, shares, "bars")]
    limits = ((-0.6, len(names) - 0.4), (0.0, 1.0))
    return chart(title, bars, "word", "share", around=limits, named=names)


@moving("temperature", 20)
def warmth() -> list[Frame]:
    """`temperature_softmax` of the lecture's logits 4.1, 3.9, 2.7: cold, the best word takes all;
    hot, all get the same."""
    frames = []
    for T in np.geomspace(0.1, 10, 41):
        (shares,) = refimpl.temperature_softmax(LOGITS, float(T))
        frames.append(Frame(f"T = {T:.2f}", (shares_of(WINES, shares),)))
    return frames


@moving("guard eps", 6)
def guard() -> list[Frame]:
    """`layer_norm` of one token whose numbers spread by 0.001 only. As long as eps is far below the
    variance, 1.4e-6, the result spreads by one; at the customary 1e-5 most of it is gone."""
    frames, places = [], np.arange(4)
    for power in np.arange(-8.0, -2.9, 0.5):
        (y,) = refimpl.layer_norm(TINY, np.ones(4), np.zeros(4), float(10**power))
        title = f"result, spread {np.std(y):.2f}"
        bars = chart(title, [Line("", places, y, "bars")], "entry", around=((-0.6, 3.6), (-2, 2)))
        frames.append(Frame(f"eps = {number(float(10**power))}", (bars,)))
    return frames


@moving("time t", 6)
def drowning() -> list[Frame]:
    """A portrait under the forward chain of the cosine schedule: `q_sample` at each time. The bars
    are the shares of signal and noise in the variance."""
    image = photograph().mean(axis=2).reshape(56, 4, 56, 4).mean(axis=(1, 3))  # 56 56
    share, eps, frames = refimpl.alpha_bar(tables()["cosine"]), noise(56, 56), []
    for t in (*range(0, STEPS, 50), STEPS - 1):
        x = refimpl.q_sample(2 * image[None] - 1, np.array([t]), eps[None], share)[0]
        bars = [Line("", np.arange(2), [share[t], 1 - share[t]], "bars")]
        around = ((-0.6, 1.6), (0.0, 1.0))
        parts = chart("shares", bars, "", around=around, named=("signal", "noise"), size=(200, 190))
        frames.append(Frame(f"t = {t}", (photo("x_t", (x + 2) / 4, 170), parts)))
    return frames


@moving("words so far", 3)
def growing() -> list[Frame]:
    """The shares that `attention` gives the toy vectors of a lecture under a causal mask. A word
    that is added adds a row and changes none above it: that is what a cache relies on."""
    words, vectors = tuple(TOY), np.array(list(TOY.values()))
    frames = []
    for n in range(1, len(words) + 1):
        tokens = vectors[None, None, :n]  # 1 1 n E
        shares = refimpl.attention(tokens, tokens, np.eye(n)[None, None], refimpl.causal_bias(n, n))
        panel = heat(f"“{' '.join(words[:n])}”", shares[0, 0])
        frames.append(Frame(f"{n}: {words[n - 1]}", (panel,)))
    return frames


@moving("scale", 2)
def obeying() -> list[Frame]:
    """Eight noises, twelve steps of `ddim_step` each, guided by `classifier_free_guidance` towards
    “a handwritten seven”. At 0 the words do not count; a large scale obeys, and all look alike."""
    frames = []
    for scale in (0.0, 1.0, 2.0, 4.0, 8.0):
        *_, last = generate(PROMPT, "cfg", scale, steps=12, sampler="ddim", count=8)
        tiles = np.pad((last.x[:, 0] + 1) / 2, ((0, 0), (1, 1), (1, 1)), constant_values=0.5)
        sheet = tiles.reshape(2, 4, 30, 30).transpose(0, 2, 1, 3).reshape(60, 120)
        frames.append(Frame(f"s = {scale:g}", (photo(f"scale {scale:g}", sheet, 160),)))
    return frames
