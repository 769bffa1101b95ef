"""Small pictures as SVG that stands in the page: heat maps, curves, bars, points in the plane.

A picture is a row of panels, each an SVG of its own, so that a narrow window wraps them instead of
shrinking their letters. Ink follows the page, light or dark; colours differ in lightness and lines
in dashes, so that a grey print can be read.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib
import numpy as np

SHADES = matplotlib.colormaps["cividis"]
LETTER = 6.4  # width of a letter, in pixels
WIDEST = 300  # pixels of a table, so that a telephone shows it whole
BECOMES = '<span class="becomes" aria-hidden="true">→</span>'
INKS = 4  # lines that a reader can tell apart; `book.css` has a colour and a dash for each


@dataclass(frozen=True)
class Picture:
    """Panels beside each other, the caption in Markdown, and words for who cannot see it."""

    panels: tuple[str, ...]
    caption: str

    @property
    def html(self) -> str:
        """The panels as they stand in a page; an arrow stays beside what it points to."""
        before, arrow, after = "".join(self.panels).partition(BECOMES)
        led = f'<span class="panels">{arrow}{after}</span>' if arrow else ""
        return f'<div class="panels">{before}{led}</div>'


def number(value: float) -> str:
    """A number in few letters.

    >>> number(0.5), number(-1234.5), number(3.0), number(float("-inf"))
    ('0.5', '−1234', '3', '−∞')
    """
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "−∞"
    small = value == 0 or 1e-2 <= abs(value) < 1e4
    text = f"{value + 0.0:.2g}" if small else f"{value:.1e}".replace(".0e", "e")
    if small and abs(value) >= 100:
        text = f"{value:.0f}"
    return text.replace("e-0", "e−").replace("e+0", "e").replace("e+", "e").replace("-", "−")


def words(x: float, y: float, text: str, anchor: str = "middle", kind: str = "") -> str:
    """A text in a panel."""
    name = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{name}>{escape(text)}</text>'


def panel(width: float, height: float, title: str, body: Sequence[str], about: str = "") -> str:
    """An SVG of its natural size; `about` is what is said in its place."""
    width = max(width, LETTER * len(title) + 8)
    head = f'<svg class="plot" role="img" viewBox="0 0 {width:.0f} {height:.0f}"'
    head += f' width="{width:.0f}" height="{height:.0f}" aria-label="{escape(about or title)}">'
    return "".join([head, words(width / 2, 13, title, kind="title"), *body, "</svg>"])


def encoded(pixels: np.ndarray) -> str:
    """A picture of bytes as an address that holds it."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def photo(title: str, image: np.ndarray, side: int = 150, about: str = "") -> str:
    """A picture with values in [0, 1]: height width, or height width 3."""
    pixels = np.uint8(np.clip(np.round(image * 255), 0, 255))
    rows, cols = pixels.shape[:2]
    wide = side * cols / rows
    body = [
        f'<image x="4" y="20" width="{wide:.0f}" height="{side}" preserveAspectRatio="none" '
        f'class="pixels" href="{encoded(pixels)}"/>'
    ]
    return panel(wide + 8, side + 24, title, body, about)


def scaled(values: np.ndarray) -> np.ndarray:
    """Finite values into [0, 1]; equal ones into the middle."""
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    if high == low:
        return np.full(values.shape, 0.5)
    return np.clip((values - low) / (high - low), 0, 1)


def shade(share: float) -> tuple[str, str]:
    """A colour of the map, and black or white for letters on it."""
    red, green, blue, _ = SHADES(share)
    name = "#{:02x}{:02x}{:02x}".format(*(round(255 * c) for c in (red, green, blue)))
    return name, "#000" if 0.3 * red + 0.6 * green + 0.1 * blue > 0.45 else "#fff"


def cell(value: float, share: float, box: tuple[float, ...], small: bool) -> str:
    """One number of a table: its colour, and its digits where there is room."""
    x, y, wide, tall = box
    fill, ink = shade(share)
    finite = bool(np.isfinite(value))
    size = f'width="{wide - 1:.1f}" height="{tall - 1:g}"'
    look = f'fill="{fill}"' if finite else 'class="empty"'
    drawn = f'<rect x="{x:.1f}" y="{y:g}" {size} {look}/>'
    if small:
        color = f' fill="{ink}"' if finite else ""
        place = f'x="{x + wide / 2 - 0.5:.1f}" y="{y + 15:g}" text-anchor="middle"'
        drawn += f"<text {place}{color}>{number(value)}</text>"
    return drawn


def heat(title: str, values: Any, cols: str = "") -> str:
    """A table of numbers by colour, with digits or else its range; infinite ones are empty."""
    table = np.atleast_2d(np.asarray(values, float))
    rows, columns = table.shape
    longest = max((len(number(x)) for x in table.ravel()), default=1)
    wide, tall = max(24, LETTER * longest + 6), 22.0
    small = rows <= 12 and columns * wide <= WIDEST
    if not small:
        wide = tall = min(max(WIDEST // max(rows, columns, 1), 9), 20)
    share = scaled(table)
    body = [
        cell(table[i, j], share[i, j], (4 + wide * j, 20 + tall * i, wide, tall), small)
        for i, j in np.ndindex(rows, columns)
    ]
    finite = table[np.isfinite(table)]
    if not small and finite.size:
        cols = f"{number(finite.min())} … {number(finite.max())}"
    height, width = 20 + tall * rows, 8 + wide * columns
    if cols:
        body.append(words(width / 2, height + 13, cols))
    about = f"{title}: {rows} by {columns} numbers"
    return panel(width, height + (18 if cols else 2), title, body, about)


@dataclass(frozen=True)
class Line:
    """A curve with its name; `kind` is line, dots, steps or bars."""

    label: str
    x: Any
    y: Any
    kind: str = "line"


@dataclass(frozen=True)
class Frame:
    """Where numbers of two axes are in a panel."""

    x: tuple[float, float]
    y: tuple[float, float]
    box: tuple[float, float, float, float]  # left, top, right, bottom
    log_x: bool = False
    log_y: bool = False

    def at(self, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Pixels of places."""
        left, top, right, bottom = self.box
        return (
            along(x, *self.x, left, right, self.log_x),
            along(y, *self.y, bottom, top, self.log_y),
        )


def along(
    value: Any, low: float, high: float, start: float, end: float, logarithmic: bool
) -> np.ndarray:
    """Pixels of numbers on one axis."""
    value = np.asarray(value, float)
    if logarithmic:
        value, low, high = np.log10(np.maximum(value, 1e-300)), math.log10(low), math.log10(high)
    return start + (value - low) / (high - low) * (end - start)


def limits(values: Any, logarithmic: bool = False) -> tuple[float, float]:
    """A range that holds all finite numbers, with some air."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values) & ((values > 0) | (not logarithmic))]
    if not values.size:
        return (0.1, 10.0) if logarithmic else (-1.0, 1.0)
    low, high = float(values.min()), float(values.max())
    if logarithmic:
        return (low / 1.3, high * 1.3)
    air = 0.06 * (high - low) or max(abs(high), 1.0) * 0.5
    return low - air, high + air


def ticks(low: float, high: float, logarithmic: bool) -> list[float]:
    """Three to six round numbers between two.

    >>> ticks(-1.1, 3.2, False)
    [-1.0, 0.0, 1.0, 2.0, 3.0]
    """
    powers = (
        range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1) if logarithmic else ()
    )
    if len(powers) > 1:
        return [10.0**power for power in powers[:: max(1, len(powers) // 4)]]
    rough = (high - low) / 4
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * k for k in (1, 2, 2.5, 5, 10) if unit * k >= rough * 0.8)
    first = math.ceil(low / step)
    return [step * k + 0.0 for k in range(first, math.floor(high / step + 1e-9) + 1)]


def labels(values: Sequence[float]) -> list[str]:
    """Numbers in few letters, but enough to tell them apart.

    >>> labels([0.5, 1.0]), labels([1.31, 1.33])
    (['0.5', '1'], ['1.31', '1.33'])
    """
    found = [number(value) for value in values]
    for digits in range(3, 7):
        if len(set(found)) == len(found):
            break
        found = [f"{value:.{digits}g}".replace("-", "−") for value in values]
    return found


def box_of(frame: Frame, xlabel: str, ylabel: str, rows: bool, named: Sequence[str]) -> list[str]:
    """The two axes with their ticks and names; `rows` and places may have names of their own."""
    left, top, right, bottom = frame.box
    body = [f'<path class="axis" d="M{left} {top}V{bottom}H{right}"/>']
    places = [float(k) for k in range(len(named))] or ticks(*frame.x, frame.log_x)
    for value, name in zip(places, named or labels(places), strict=True):
        x = float(frame.at(value, frame.y[0])[0])
        body += [f'<path class="axis" d="M{x:.1f} {bottom}v4"/>', words(x, bottom + 16, name)]
    heights = [] if rows else ticks(*frame.y, frame.log_y)
    for value, name in zip(heights, labels(heights), strict=True):
        y = float(frame.at(frame.x[0], value)[1])
        body += [
            f'<path class="axis" d="M{left} {y:.1f}h-4"/>',
            words(left - 6, y + 4, name, "end"),
        ]
    body.append(words((left + right) / 2, bottom + 31, xlabel))
    if ylabel:
        body.append(words(4, top - 6, ylabel, "start"))
    return body


def drawn(line: Line, frame: Frame, ink: int) -> list[str]:
    """One curve as paths; it is interrupted where it is not finite."""
    x, y = np.broadcast_arrays(np.asarray(line.x, float), np.asarray(line.y, float))
    x, y = x.ravel(), y.ravel()
    good = np.isfinite(x) & np.isfinite(y)
    across, down = frame.at(np.where(good, x, 0), np.where(good, y, 0))
    if line.kind == "dots":
        return [
            f'<circle class="dot ink{ink}" cx="{a:.1f}" cy="{b:.1f}" r="3.5"/>'
            for a, b, ok in zip(across, down, good, strict=True)
            if ok
        ]
    if line.kind == "bars":
        zero = float(frame.at(frame.x[0], min(max(0.0, frame.y[0]), frame.y[1]))[1])
        return [
            f'<path class="bar ink{ink}" d="M{a:.1f} {zero:.1f}V{b:.1f}"/>'
            for a, b, ok in zip(across, down, good, strict=True)
            if ok
        ]
    path, pen = "", "M"
    for i, ok in enumerate(good):
        if not ok:
            pen = "M"
            continue
        if pen == "L" and line.kind == "steps":
            path += f"H{across[i]:.1f}V{down[i]:.1f}"
        else:
            path += f"{pen}{across[i]:.1f} {down[i]:.1f}"
        pen = "L"
    return [f'<path class="line ink{ink}" d="{path}"/>'] if path else []


def legend(lines: Sequence[Line], left: float, top: float) -> list[str]:
    """The names of curves, one a row, each beside a piece of its line or a dot."""
    body = []
    for ink, line in enumerate(lines):
        y, color = top + 15 * ink, f"ink{ink % INKS}"
        if line.kind == "dots":
            body.append(f'<circle class="dot {color}" cx="{left + 11}" cy="{y - 4}" r="3.5"/>')
        else:
            body.append(f'<path class="line {color}" d="M{left} {y - 4}h22"/>')
        body.append(words(left + 27, y, line.label, "start"))
    return body


def chart(
    title: str,
    lines: Sequence[Line],
    xlabel: str = "",
    ylabel: str = "",
    log: str = "",
    tangents: Sequence[tuple[float, float, float]] = (),
    size: tuple[int, int] = (300, 190),
    around: tuple[tuple[float, float] | None, tuple[float, float] | None] = (None, None),
    rows: bool = False,
    named: Sequence[str] = (),
) -> str:
    """Curves over an axis; `log` names logarithmic axes, a tangent is a place and a slope.

    `around` are the ranges of the axes, `rows` says that the lines are rows of dots, and `named`
    are the names of the places 0, 1, … on the axis.
    """
    names = [line.label for line in lines if line.label]
    top = 24 + 15 * len(names) + (10 if ylabel else 0)
    x = around[0] or limits(np.concatenate([np.ravel(line.x) for line in lines]), "x" in log)
    everything = np.concatenate([np.ravel(np.asarray(line.y, float)) for line in lines])
    if any(line.kind == "bars" for line in lines):
        everything = np.append(everything, 0.0)
    y = around[1] or limits(everything, "y" in log)
    box = (48.0, float(top), float(size[0] - 10), float(top + size[1] - 60))
    frame = Frame(x, y, box, "x" in log, "y" in log)
    body = legend(lines if names else (), 48, 30) + box_of(frame, xlabel, ylabel, rows, named)
    for ink, line in enumerate(lines):
        body += drawn(line, frame, ink % INKS)
    body += [piece for tangent in tangents for piece in touching(tangent, frame)]
    about = f"{title}: curves over {xlabel}" + (f": {', '.join(names)}" if names else "")
    return panel(size[0], top + size[1] - 22, title, body, about)


def touching(tangent: tuple[float, float, float], frame: Frame) -> list[str]:
    """A short line through a place with a slope, and a dot where it touches."""
    x, y, slope = tangent
    (a, b), (c, _) = frame.at(x, y), frame.at(x + 1e-3 * (frame.x[1] - frame.x[0]), y)
    lift = float(frame.at(x, y + slope * 1e-3 * (frame.x[1] - frame.x[0]))[1] - b)
    way = np.array([float(c - a), lift])
    way = 34 * way / np.hypot(*way)
    ends = f"M{a - way[0]:.1f} {b - way[1]:.1f}L{a + way[0]:.1f} {b + way[1]:.1f}"
    return [
        f'<path class="tangent ink1" d="{ends}"/>',
        f'<circle class="dot ink1" cx="{a:.1f}" cy="{b:.1f}" r="3"/>',
    ]


@dataclass(frozen=True)
class Mark:
    """A dot in the plane, or an arrow that ends there; `strong` is what the page is about."""

    label: str
    to: tuple[float, float]
    start: tuple[float, float] | None = None
    strong: bool = False


def plane(title: str, marks: Sequence[Mark], shadow: Any = None, side: int = 300) -> str:
    """Dots and arrows in the plane, over the shadow of a density; one unit is as long both ways."""
    places = np.array([p for m in marks for p in (m.to, m.start) if p is not None])
    middle = (places.max(0) + places.min(0)) / 2
    half = max(float((places.max(0) - places.min(0)).max()) / 2 * 1.35, 0.5)
    box = (6.0, 22.0, float(side - 6), float(side + 10))
    frame = Frame((middle[0] - half, middle[0] + half), (middle[1] - half, middle[1] + half), box)
    body = [f'<rect class="empty" x="6" y="22" width="{side - 12}" height="{side - 12}"/>']
    if shadow is not None:
        body.append(shadow_of(shadow, frame))
    taken: list[tuple[float, float]] = []
    for mark in marks:
        body += marked(mark, frame, taken)
    names = ", ".join(mark.label for mark in marks)
    return panel(side, side + 16, title, body, f"{title}, in the plane: {names}")


def shadow_of(density: Any, frame: Frame, count: int = 64) -> str:
    """A density over the frame in grey that any page shows through."""
    x, y = (np.linspace(low, high, count) for low, high in (frame.x, frame.y))
    points = np.stack(np.meshgrid(x, y[::-1]), axis=-1).reshape(-1, 2)
    values = density(points).reshape(count, count)
    alpha = np.uint8(150 * values / values.max())
    pixels = np.stack([np.full_like(alpha, 128), alpha], axis=-1)
    left, top, right, bottom = frame.box
    return (
        f'<image x="{left}" y="{top}" width="{right - left}" height="{bottom - top}" '
        f'preserveAspectRatio="none" href="{encoded(pixels)}"/>'
    )


def marked(mark: Mark, frame: Frame, taken: list[tuple[float, float]]) -> list[str]:
    """A dot or an arrow with its name, which keeps away from the names before it."""
    x, y = map(float, frame.at(*mark.to))
    ink, body = 1 if mark.strong else 0, []
    if mark.start is None:
        body.append(f'<circle class="dot ink{ink}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>')
    else:
        a, b = map(float, frame.at(*mark.start))
        body += arrow(a, b, x, y, 1 if mark.strong else 2)
    right = x < (frame.box[0] + frame.box[2]) / 2 + 40
    anchor, place = ("start", x + 7) if right else ("end", x - 7)
    low = y + 4
    while any(abs(low - other) < 13 and abs(place - at) < 90 for at, other in taken):
        low += 13
    taken.append((place, low))
    return [*body, words(place, low, mark.label, anchor, "name strong" if mark.strong else "name")]


def arrow(a: float, b: float, x: float, y: float, ink: int) -> list[str]:
    """An arrow between two pixels."""
    length = math.hypot(x - a, y - b)
    if length < 1:
        return []
    u, v = (x - a) / length, (y - b) / length
    head = f"{x:.1f},{y:.1f} {x - 9 * u + 4 * v:.1f},{y - 9 * v - 4 * u:.1f} "
    head += f"{x - 9 * u - 4 * v:.1f},{y - 9 * v + 4 * u:.1f}"
    return [
        f'<path class="arrow ink{ink}" d="M{a:.1f} {b:.1f}L{x - 7 * u:.1f} {y - 7 * v:.1f}"/>',
        f'<polygon class="head ink{ink}" points="{head}"/>',
    ]
