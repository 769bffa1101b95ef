"""The edits that a slip of the pen might make, a small function each, a family a file.

Their order is that in which equal edits are kept: the first name of an edit stays.
"""

from refimpl.oracle.diagnosis.search.registry import gathered
from refimpl.oracle.diagnosis.search.rules import (
    arguments,
    blocks,
    branches,
    calls,
    groups,
    names,
    numbers,
    operators,
    overflow,
    padding,
    parts,
    quantities,
    reductions,
    sections,
    shared,
    shortened,
    statements,
    tables,
)

FAMILIES = (
    *(numbers, operators, sections, names, calls, branches, statements, quantities),
    *(tables, arguments, shared, padding, groups, overflow, reductions),
    *(parts, blocks),
)
RULES = gathered(FAMILIES)
FORMATS = [
    *(shortened.held_shorter, shortened.operands_shorter, shortened.function_shorter),
    *(shortened.squares_shorter, shortened.several_shorter, arguments.in_whole_steps),
]
DETOURS = [shortened.by_a_detour, shortened.from_the_mean_square]
