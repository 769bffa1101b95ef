"""Text that may stand in a report, whatever a target said."""

from __future__ import annotations

import html
import re

UNREADABLE = re.compile(r"[^\t\n\x20-\x7E\xA0-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")


def clean(text: object) -> str:
    """Text without the characters that XML, HTML or a terminal would trip over.

    >>> clean("a\\x1b[31m\\x00b\\ud800")
    'a[31mb'
    """
    return UNREADABLE.sub("", str(text))


def esc(text: object) -> str:
    """Text for HTML, inside and outside of attributes."""
    return html.escape(clean(text), quote=True)
