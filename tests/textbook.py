"""The modules of the textbook, which stand beside its pages and not in the package."""

import sys
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
GENERATED = ("lectures.md", "clases.md", "golden.md")  # pages that the build writes into docs
sys.path.insert(0, str(DOCS))

import exercises  # noqa: E402
import figures  # noqa: E402
import folded  # noqa: E402
import front  # noqa: E402
import lecture_numbers  # noqa: E402
import lectures  # noqa: E402
import measured  # noqa: E402
import moving  # noqa: E402
import operations  # noqa: E402
import pictures  # noqa: E402
import plots  # noqa: E402

__all__ = [
    "DOCS",
    "GENERATED",
    "exercises",
    "figures",
    "folded",
    "front",
    "lecture_numbers",
    "lectures",
    "measured",
    "moving",
    "operations",
    "pictures",
    "plots",
]
