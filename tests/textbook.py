"""The textbook's pages and what makes them, which stand beside the package and not in it."""

from docs.book import (
    exercises,
    figures,
    folded,
    front,
    kinds,
    lecture_numbers,
    lectures,
    measured,
    moving,
    operations,
    pictures,
    plots,
    readings,
)

DOCS = operations.HERE
GENERATED = ("lectures.md", "clases.md", "golden.md")  # pages that the build writes into docs

__all__ = [
    "DOCS",
    "GENERATED",
    "exercises",
    "figures",
    "folded",
    "front",
    "kinds",
    "lecture_numbers",
    "lectures",
    "measured",
    "moving",
    "operations",
    "pictures",
    "plots",
    "readings",
]
