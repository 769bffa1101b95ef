"""The picture of every operation, drawn by its own text; a new operation has one by itself.

Where `picture_records.py` names an operation, its record says which kind of picture it is. For all
others the signature says it: a gradient is the slope of a curve, an operation on samples is a step
in the plane, one without arrays of real numbers is a table over its index, one whose result is a
number is a curve over its arguments, one that keeps the shape of its only array is a curve, and
everything else is its arguments and results as tables of colours.
"""

from __future__ import annotations

from docs.book.kinds import Drawing, along_index, as_tables, over, reals, slices, slope
from docs.book.picture_records import RECORDS
from docs.book.plots import Picture
from docs.book.scenes import in_the_plane, on_samples
from refimpl.gradients import PRODUCT
from refimpl.op import Op


def kind_of(op: Op) -> Drawing:
    """The kind of picture that an operation's signature asks for."""
    arrays = [name for name in reals(op) if not op.specs[name].kind.table]
    if op.name.endswith(PRODUCT):
        return slope
    if on_samples(op):
        return in_the_plane()
    if not arrays:
        return along_index()
    if all(spec.axes == "" for spec in op.returns):
        return slices()
    axes = {spec.axes for spec in (*op.returns, *(op.specs[name] for name in arrays))}
    if axes == {"..."} or (len(arrays) == 1 and axes in ({"B"}, {"levels"})):
        return over()
    return as_tables()


def picture(op: Op) -> Picture:
    """The picture of an operation: by its record, or else by its signature."""
    return RECORDS.get(op.name, kind_of(op))(op)
