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


def block(translator: Any, node: Any) -> None:
    """A formula on lines of its own; one that is too wide for the page scrolls by itself."""
    translator.body.append(f'<div class="formula">{mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Tell Sphinx; `html_math_renderer = "mathml"` chooses it."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
