"""Mathematics as MathML, which browsers draw themselves: no script, no image, no network."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert

NAMES = "cos|exp|log|max|min|sin|tanh"
SPACED = 'form="prefix" lspace="0.15em" rspace="0.1em"'


def mathml(formula: str, display: str = "inline") -> str:
    """A formula as MathML; names of functions get their space."""
    formula = formula.replace("{aligned}", "{split}")
    found = convert(formula, display=display)
    return re.sub(rf"<mi>({NAMES})</mi>", rf"<mo {SPACED}>\1</mo>", found)


def inline(translator: Any, node: Any) -> None:
    """A formula within a line."""
    translator.body.append(mathml(node.astext()))
    raise nodes.SkipNode


def pieces(formula: str) -> list[str]:
    r"""A formula cut at wide spaces that are in no brace and no environment.

    >>> pieces(r"y = \frac{a \quad b}{c}, \qquad a = 1")
    ['y = \\frac{a \\quad b}{c},', 'a = 1']
    """
    found, depth = [""], 0
    for part in re.split(r"(\\begin\b|\\end\b|\\q?quad\b|\\.|[{}])", formula, flags=re.DOTALL):
        depth += (part in ("{", "\\begin")) - (part in ("}", "\\end"))
        if depth == 0 and part in ("\\quad", "\\qquad"):
            found.append("")
        else:
            found[-1] += part
    return [piece.strip() for piece in found if piece.strip()]


def block(translator: Any, node: Any) -> None:
    """A formula on lines of its own: its pieces wrap, and what is too wide for the page scrolls."""
    shown = "".join(mathml(piece, "block") for piece in pieces(node.astext()))
    translator.body.append(f'<div class="formula">{shown}</div>')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Tell Sphinx; `html_math_renderer = "mathml"` chooses it."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
