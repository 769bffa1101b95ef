"""Deviations that no listed edit explains: a search over small edits of the text's syntax tree.

Every edit that a slip of the pen might make is tried: another constant, axis, operator, name,
argument order or function, a factor, sign, step or transpose too few or too many, parentheses
moved, an index one off, another kind of mask. An edit explains a deviation if the edited text gives
what the target returned on every case, within the bound of the edited text. Where no single edit
does, a number is solved for in every place that might hold one; then pairs are tried while time is
left, of listed edits with each other and with small ones first. Time is counted as computing, so
that what is found does not depend on what else the machine does.

`rules` holds the edits, a small function each, a family a file; `writer` applies them to a page;
`candidates` gathers what they give; `edit_search` compares it with what the target returned.
"""

from refimpl.oracle.diagnosis.search.candidates import of_catalogue, single_edits
from refimpl.oracle.diagnosis.search.edit_search import explain, explain_short, matches
from refimpl.oracle.diagnosis.search.pages import NUMPY, Candidate

__all__ = [
    "NUMPY",
    "Candidate",
    "explain",
    "explain_short",
    "matches",
    "of_catalogue",
    "single_edits",
]
