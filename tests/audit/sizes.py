"""`python -m tests.audit.sizes`: the sizes that each profile draws for each axis, as a table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from refimpl.op import Op
from refimpl.oracle.cases.sizes import EDGES, FORMS, LADDER, LEVELS, axes, rows
from refimpl.registry import OPS

EVERY = {"edges": set(EDGES), "ladder": set(LADDER)}


def drawn(op: Op, axis: str, profile: str) -> set[int]:
    """The sizes of an axis in the table of chosen sizes."""
    return {row.sizes[axis] for row in rows(op, profile)}


def told(sizes: set[int]) -> str:
    """Sizes in words: the widest named set that they contain, what is beside it, or all of them.

    >>> told({1, 9, 17, 33}), told({*EDGES, 1, 2})
    ('1 9 17 33', 'edges, 1 2')
    """
    for name in ("ladder", "edges"):
        if EVERY[name] <= sizes:
            return ", ".join([name, *listed(sizes - EVERY[name])])
    return "".join(listed(sizes))


def listed(sizes: Iterable[int]) -> list[str]:
    """Sizes in order, as one entry; none where there are none."""
    text = " ".join(map(str, sorted(sizes)))
    return [text] if text else []


def table(ops: Iterable[Op]) -> str:
    """A line for each axis of each operation; the rows of each profile with the first."""
    lines = [
        "| operation | rows | axis | " + " | ".join(LEVELS) + " |",
        "|---|---|---|" + "---|" * len(LEVELS),
    ]
    for op in ops:
        first = f"`{op.name}` | " + " / ".join(str(len(rows(op, profile))) for profile in LEVELS)
        for axis in axes(op):
            cells = [told(drawn(op, axis, profile)) for profile in LEVELS]
            lines.append(f"| {first} | {axis} | " + " | ".join(cells) + " |")
            first = " | "
    return "\n".join(lines)


PAGE = """# The sizes that are drawn

Made by `python -m tests.audit.sizes --page docs/sizes.md`. Probes and random cases are small. So
each profile also draws a table of chosen sizes, in which every axis of every operation takes each
size of a ladder. The rows of the table take turns in these forms, as far as they apply to the
operation:

{forms}

`deep` meets each size in each form. The sizes are:

- **edges**, one beyond each tile, and 63 and 64: {edges}
- **ladder**, one below, at and above each tile: {ladder}

A line may list less than the ladder. Then an array with a longer axis, or with its square, would
be larger than the profile allows, even with all other axes at their least. `...` are leading axes.
Rows are those of `quick` / `ci` / `deep`.

{table}
"""


def page() -> str:
    """The table with what its words mean."""
    words = {name: " ".join(map(str, sorted(sizes))) for name, sizes in EVERY.items()}
    forms = "\n".join(f"- {form.says}" for form in FORMS)
    return PAGE.format(forms=forms, table=table(OPS.values()), **words)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.audit.sizes", description=__doc__)
    parser.add_argument("ops", nargs="*", help="default: all")
    parser.add_argument("--page", type=Path, help="write the page to this file")
    options = parser.parse_args()
    if options.page:
        options.page.write_text(page(), encoding="utf-8")
    else:
        print(table(OPS[name] for name in options.ops or OPS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
