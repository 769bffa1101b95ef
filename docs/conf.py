"""How Sphinx builds the textbook; `make docs` calls it from the root of the checkout."""

from pathlib import Path

import refimpl
from refimpl.registry import CHAPTERS

HERE = Path(__file__).parent

project = "refimpl"
author = "the authors of refimpl"
version = release = refimpl.__version__
extensions = [
    "myst_parser",
    "docs.book.mathml",
    "docs.book.folded",
    "docs.book.measured",
    "docs.book.extension",
]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
smartquotes_action = "q"  # dots stay dots: they are axes
html_math_renderer = "mathml"
html_theme = "furo"
html_title = "refimpl"
html_static_path = ["_static"]
html_css_files = ["book.css", "plots.css"]
html_js_files = ["book.js"]
html_use_index = False  # the search finds all that an index would list
html_copy_source = False
html_show_copyright = False
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
exclude_patterns = ["_build", "README.md"] + [
    f"chapters/{path.name}"
    for path in (HERE / "chapters").glob("*.md")
    if path.stem not in CHAPTERS  # an introduction to operations that are not there yet
]
