"""The edits that a slip of the pen might make, a small function each, a family a file.

Their order is that in which equal edits are kept: the first name of an edit stays.
"""

from refimpl.oracle.diagnosis.search.registry import gathered
from refimpl.oracle.diagnosis.search.rules import (
    arguments,
    branches,
    calls,
    names,
    numbers,
    operators,
    overflow,
    padding,
    quantities,
    sections,
    shared,
    statements,
    tables,
)

FAMILIES = (
    *(numbers, operators, sections, names, calls, branches, statements, quantities),
    *(tables, arguments, shared, padding, overflow),
)
RULES = gathered(FAMILIES)
