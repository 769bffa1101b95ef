"""Mathematics as MathML, which browsers draw themselves: no script, no image, no network."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

from docutils import nodes
from latex2mathml.converter import convert

NAMES = "cos|exp|log|max|min|sin|tanh"
COLUMN = 26  # letters that fit beside the code
SMALLEST = 0.6  # of the usual size, still legible
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


def letters(tree: ElementTree.Element) -> float:
    """About how wide a formula is, in letters: a fraction as its longer part, an index smaller.

    >>> letters(ElementTree.fromstring("<mfrac><mi>a</mi><mn>12</mn></mfrac>"))
    2.0
    """
    kind, parts = tree.tag.rpartition("}")[2], [letters(part) for part in tree]
    if kind in ("mfrac", "munder", "mover", "munderover", "mtable"):
        return max(parts, default=0.0)
    if kind in ("msub", "msup", "msubsup"):
        return parts[0] + 0.7 * max(parts[1:])
    wide = 1.9 if kind == "mo" and (tree.text or "") in "=+−-≤≥<>→∈" else 1.0
    return wide * len((tree.text or "").strip()) + sum(parts)


def shown(formula: str) -> str:
    """The pieces of a formula, and how much they shrink in a narrow column."""
    drawn = [mathml(piece, "block") for piece in pieces(formula)]
    widest = max(letters(ElementTree.fromstring(piece)) for piece in drawn)
    fit = max(min(COLUMN / widest, 1.0), SMALLEST)
    return f'<div class="formula" style="--fit: {fit:.2f}">{"".join(drawn)}</div>'


def block(translator: Any, node: Any) -> None:
    """A formula on lines of its own; what is too wide even when it has shrunk scrolls."""
    translator.body.append(shown(node.astext()))
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Tell Sphinx; `html_math_renderer = "mathml"` chooses it."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
