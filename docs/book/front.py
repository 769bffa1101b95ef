"""The picture of the first page: a wrong attention as the oracle sees it, and the mistake by name.

`docs/front.svg` is written by `make pages` and kept in the repository, where README.md shows it.
Its colours follow the reader's light or dark page.
"""

from __future__ import annotations

from html import escape

import numpy as np

import refimpl
from refimpl.oracle.cases.drawn import rounded
from refimpl.oracle.judging.judge import error_ratio, expect
from refimpl.registry import OPS

OP, MISTAKE = "attention", "attention/scale-by-model-width"
CELL, LEFT, TOP = 17, 600, 60
SHADES = ("c0", "c1", "c2", "c3", "c4")  # up to 1, 10, 100, 1000, more
STYLE = """
text { font: 13px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #1f2328; }
.paper { fill: #ffffff; stroke: #d1d9e0; } .quiet { fill: #59636e; } .bold { font-weight: bold; }
.gone { fill: #ffd7d5; } .new { fill: #ccf2d2; } .wrong { fill: #b3241c; font-weight: bold; }
.code { font-size: 11px; }
.c0 { fill: #d7e6f5; } .c1 { fill: #f3d9a4; } .c2 { fill: #e8a25c; } .c3 { fill: #cf5a34; }
.c4 { fill: #86190f; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; } .paper { fill: #0d1117; stroke: #3d444d; } .quiet { fill: #9198a1; }
.gone { fill: #67201d; } .new { fill: #1c4428; } .wrong { fill: #ff8f86; }
.c0 { fill: #23415e; } .c1 { fill: #6b4f1a; } .c2 { fill: #b0742c; } .c3 { fill: #e58a5c; }
.c4 { fill: #ffd9c2; }
}
"""


def ratios() -> np.ndarray:
    """Error ÷ allowed of the mistake in float32, for each query and value dimension of one head."""
    op = OPS[OP]
    draws = np.random.Generator(np.random.PCG64(7)).standard_normal((3, 1, 2, 12, 12))
    named = dict(zip(("query", "key", "value"), draws, strict=True))
    inputs = rounded(op, op.read(**named, bias=refimpl.causal_bias(12, 12)), "float32")
    (want,) = expect(op, inputs, "float32")
    (edit,) = (edit for edit in op.mistakes if edit.id == MISTAKE)
    found = np.float32(op.edited(edit)(**inputs))
    return error_ratio(want, np.float64(found))[0, 0]  # N E


def text(x: float, y: float, words: str, kind: str = "", length: float = 0) -> str:
    """A line of text; its spaces stay, and where a length is given, so does that."""
    fixed = f' textLength="{length:.0f}" lengthAdjust="spacingAndGlyphs"' if length else ""
    head = f'<text x="{x}" y="{y}" class="{kind}" xml:space="preserve"{fixed}>'
    return f"{head}{escape(words)}</text>"


def svg() -> str:
    """The whole picture."""
    (edit,) = (edit for edit in OPS[OP].mistakes if edit.id == MISTAKE)
    found = ratios()
    worst = float(f"{found.max():.1g}")  # one digit: the same on every machine
    lines = [
        text(20, 34, "$ refimpl verify mine.py", "bold"),
        text(20, 62, f"{OP} in float32 deviates"),
        text(20, 84, f"about {worst:,.0f} × the allowed error", "wrong"),
        text(20, 118, f"looks like {edit.id}:", "bold"),
        text(20, 138, edit.says.partition(", ")[0] + ","),
        text(20, 156, edit.says.partition(", ")[2]),
    ]
    y = 190
    for line in OPS[OP].diff(edit).splitlines():
        if line.startswith(("-  ", "+  ")):
            shown = line[0] + " " + line[1:].partition("#")[0].strip()
            kind = "gone" if line[0] == "-" else "new"
            lines.append(f'<rect x="14" y="{y - 15}" width="566" height="21" class="{kind}"/>')
            lines.append(text(20, y, shown, "code", 6.7 * len(shown)))
            y += 22
    lines.append(text(20, y + 30, "The first query sees one key: there any", "quiet"))
    lines.append(text(20, y + 48, "scale is right, and nothing is wrong.", "quiet"))
    lines.append(text(LEFT, 34, "error ÷ allowed, by query and", "quiet"))
    lines.append(text(LEFT, 51, "value dimension; causal mask", "quiet"))
    for (row, col), ratio in np.ndenumerate(found):
        shade = SHADES[int(np.clip(np.ceil(np.log10(max(ratio, 1e-9))), 0, 4))]
        x, top = LEFT + CELL * col, TOP + CELL * row
        lines.append(f'<rect x="{x}" y="{top}" width="16" height="16" class="{shade}"/>')
    bottom = TOP + CELL * len(found) + 10
    for shade, words, x in zip(SHADES, ("≤ 1", "10", "100", "10³", "more"), (0, 46, 88, 136, 184)):
        place = LEFT + x
        lines.append(f'<rect x="{place}" y="{bottom}" width="12" height="12" class="{shade}"/>')
        lines.append(text(place + 16, bottom + 11, words, "quiet"))
    height = bottom + 28
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 850 {height}" role="img">'
    about = "A wrong attention: how far off each element is, and the mistake by name"
    paper = f'<rect x="0.5" y="0.5" width="849" height="{height - 1}" rx="8" class="paper"/>'
    top = [head, f"<title>{about}</title>", f"<style>{STYLE}</style>", paper]
    return "\n".join([*top, *lines, "</svg>", ""])
