"""A page on how DALL·E 2 comes from a text to pictures: its vectors among those of others."""

from __future__ import annotations

import base64
import html
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from refimpl import fast
from refimpl.models.picture import to_uint8
from refimpl.models.shipped import DIGITS, digit_vectors, small_clip
from refimpl.models.systems.dalle2 import Drawn, stretched
from refimpl.models.zero_shot import principal_components

SIDE, EDGE = 560, 24  # of the plane, in units of the page
STYLE = """
:root { color-scheme: light dark; --page: #fff; --ink: #1b1f24; --soft: #7a8490; --text: #0b5cad;
  --made: #b3470a; }
@media (prefers-color-scheme: dark) { :root { --page: #14171b; --ink: #e4e8ec; --soft: #87919c;
  --text: #7cbcff; --made: #ff9d5c; } }
body { margin: 0 auto; padding: 1.5rem; max-width: 60rem; background: var(--page);
  color: var(--ink); font: 1rem/1.6 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.3; } .soft { color: var(--soft); }
svg { width: 100%; max-width: 44rem; font: 10px system-ui, sans-serif; }
svg text { text-anchor: middle; dominant-baseline: central; fill: var(--soft); }
svg text.text { fill: var(--text); font-weight: 700; font-size: 14px; }
svg circle { fill: var(--made); } svg rect { fill: none; stroke: var(--text); stroke-width: 2; }
svg line { stroke: var(--made); stroke-width: .6; opacity: .6; }
figure { display: inline-block; margin: .2rem; } img { width: 5rem; image-rendering: pixelated; }
"""
LEAD = (
    "Each small digit is the vector of a picture that no model was trained on, each large blue one "
    "that of a text, “a handwritten …”. The frame is the text that was asked for; from it the "
    "prior goes to the orange dots, one for each picture, and the decoder paints those. Shown are "
    "the first two principal components of all vectors of pictures and texts."
)


@dataclass(frozen=True)
class Plane:
    """Places of vectors in the plane of the two principal components: N 2 each."""

    pictures: np.ndarray
    labels: np.ndarray
    texts: np.ndarray
    asked: np.ndarray
    made: np.ndarray
    share: float  # of the variance


def plane(text: str, vectors: np.ndarray) -> Plane:
    """Where a text and the vectors that the prior made of it lie among others."""
    pictures, labels = digit_vectors()
    texts = [f"a handwritten {name}" for name in DIGITS]
    said = stretched(small_clip().text_features([*texts, text], fast))
    known = np.concatenate((pictures, said[:-1])).astype(np.float64)
    found = principal_components(known, 2)
    share = float(np.sum(found.variances) / np.sum(np.var(known, axis=0, ddof=1)))
    asked, made = ((x - found.mean) @ found.directions.T for x in (said[-1:], vectors))
    many = len(labels)
    return Plane(found.scores[:many], labels, found.scores[many:], asked, made, share)


def page(text: str, drawn: Drawn, pictures: np.ndarray, words: str) -> str:
    """One HTML page without scripts that needs no network; pictures are B height width."""
    seen = plane(text, drawn.vectors)
    cosines = fast.l2_normalize(drawn.vectors) @ fast.l2_normalize(drawn.text).T  # B 1
    shown = "".join(
        f'<figure><img alt="" src="{_data(image)}">'
        f'<figcaption class="soft">cosine {cosine:.3f}</figcaption></figure>'
        for image, cosine in zip(pictures, cosines[:, 0], strict=True)
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'; img-src data:\">"
        f"<title>{_esc(text)}</title><style>{STYLE}</style></head><body>"
        f"<h1>“{_esc(text)}”, from a text’s vector to pictures</h1>"
        f'<p class="soft">{_esc(words)}</p>'
        f"<p>{LEAD} They hold {seen.share:.0%} of the variance.</p>{_svg(seen)}"
        f"<p>The pictures, and the cosine of each vector with that of the text:</p>{shown}"
        "</body></html>\n"
    )


def _svg(seen: Plane) -> str:
    all_of_them = np.concatenate((seen.pictures, seen.texts, seen.asked, seen.made))
    low, high = all_of_them.min(axis=0), all_of_them.max(axis=0)

    def placed(points: np.ndarray) -> list[list[float]]:
        inside = EDGE + (points - low) / (high - low) * (SIDE - 2 * EDGE)
        return np.stack((inside[:, 0], SIDE - inside[:, 1]), axis=1).round(1).tolist()

    ((x, y),) = placed(seen.asked)
    made = placed(seen.made)
    parts = [f'<line x1="{x}" y1="{y}" x2="{a}" y2="{b}"/>' for a, b in made]
    known = zip(placed(seen.pictures), seen.labels.tolist(), strict=True)
    parts += [f'<text x="{a}" y="{b}">{label}</text>' for (a, b), label in known]
    parts += [f'<circle cx="{a}" cy="{b}" r="4"/>' for a, b in made]
    parts += [
        f'<text class="text" x="{a}" y="{b}">{label}</text>'
        for label, (a, b) in enumerate(placed(seen.texts))
    ]
    parts.append(f'<rect x="{x - 9}" y="{y - 9}" width="18" height="18"/>')
    return f'<svg viewBox="0 0 {SIDE} {SIDE}" role="img">{"".join(parts)}</svg>'


def _data(image: np.ndarray) -> str:
    """A picture as an address that holds it."""
    held = io.BytesIO()
    Image.fromarray(to_uint8(image)).save(held, format="PNG")
    return "data:image/png;base64," + base64.b64encode(held.getvalue()).decode()


def _esc(text: str) -> str:
    return html.escape(text, quote=True)
